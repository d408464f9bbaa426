# SPDX-License-Identifier: GPL-2.0-only
# values.jsonl, slurped → result.json. $cost: what each run of cost.c printed; its first row is of the empty program, and
# tells which run was disturbed least. $machine: a line. $refused: figures that were refused.

def stat: sort | {n: length, min: .[0], max: .[-1],
	median: (if length == 0 then null else (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2 end)};

(group_by(.name) | map({key: .[0].name, value: (map({key: (.round | tostring), value}) | from_entries)}) | from_entries) as $by
| ($cost | min_by(.[0].median)) as $quietest
| ($quietest | map({key: .name, value: .}) | from_entries) as $ns
| def all($name): [$by[$name] // {} | .[]];
  # f of two figures of the same round
  def both($a; $b; f): [$by[$a] // {} | to_entries[] | {a: .value, b: $by[$b][.key]} | select(.b) | f] | stat;
  def per($a; $b): both($a; $b; .a / .b);
  def wanted($name; $op; $limit; $stat): {name: $name, want: "\($op) \($limit)", reached: (
	if $stat.n == 0 then null
	elif $op == ">=" then $stat.median >= $limit
	elif $op == "<=" then $stat.median <= $limit
	else $stat.median == $limit end)} + $stat;
  def cost($name): $ns[$name] // {n: 0} | {n, min, median, max, floor};
  def small($method): "pps.\($method).small.1";
  def close($method): "pps.\($method).close";
{
	schema: 1,
	machine: $machine,
	refused: $refused,
	ratios: [
		wanted("XDP native with redirect / old daemon"; ">="; 20; per(small("redirect"); small("old"))),
		wanted("XDP native with redirect / the same redirect that clears nothing"; ">="; 0.95;
			per(close("redirect"); close("wire"))),
		wanted("XDP native / forwarding alone"; ">="; 0.97; per(close("native"); close("forward"))),
		wanted("XDP native / nftables rule"; ">="; 1; per(close("native"); close("nft"))),
		wanted("XDP native / tc-bpf"; ">="; 1; per(close("native"); close("tc"))),
		wanted("time of the DF clear: program / what the old daemon adds"; "<="; 0.01;
			both(small("old"); small("forward"); cost("cleared").median / (1e9 / .a - 1e9 / .b))),
		wanted("program, cleared with everything on, ns"; "<="; 8; cost("cleared, nth")),
		wanted("program, dearest of what does not match, ns"; "<="; 3;
			["other-port", "not-udp", "fragment", "not-ipv4"] | map(cost(.)) | max_by(.median)),
		wanted("program, cleared through VXLAN, ns"; "<="; 12; cost("cleared, vxlan")),
		wanted("flow hash, ns more"; "<="; 5; cost("flow hash")),
		wanted("1/256 sampling, ns more"; "<="; 5; cost("sampling, shown") as $shown | cost("sampling, not chosen")
			| with_entries(if .key != "n" and .value then .value += $shown[.key] / 256 else . end)),
		wanted("NFQUEUE path / old daemon, one core each, overload"; ">="; 2.2;
			per("pps.overload.nfq"; "pps.overload.old")),
		wanted("the least that any daemon does / old daemon, one core each, overload"; ">="; 2.2;
			per("pps.overload.least"; "pps.overload.old")),
		wanted("NFQUEUE path / old daemon, lossless, as shipped"; ">="; 3; per("pps.lossless.nfq"; "pps.lossless.old")),
		wanted("NFQUEUE path / old daemon, longest burst handled, as shipped"; ">="; 3; per("burst.nfq"; "burst.old")),
		wanted("NFQUEUE path, 2 queues and CPUs / 1"; ">="; 1.6; per("pps.nfq.small.2"; small("nfq"))),
		wanted("NFQUEUE path at 90 % of lossless: not handled"; "=="; 0; all("at_90_percent.not_handled") | stat),
		wanted("overload, times what it handles"; ">="; 10; all("overload.nfq.times_capacity") | stat),
		wanted("overload, fail open: delivered share"; "=="; 1; all("overload.nfq.delivered_share") | stat),
		wanted("overload, fail open: counted as unmodified / truth, less 1"; "<="; 0.001;
			both("overload.nfq.counted"; "overload.nfq.not_handled"; .a / .b - 1 | fabs)),
		wanted("overload, fail closed: counted as dropped - truth"; "=="; 0;
			both("overload.nfq-closed.counted"; "overload.nfq-closed.not_handled"; .a - .b)),
		wanted("RSS of the NFQUEUE daemon, kB"; "<="; 32768; all("rss_kb.nfq") | stat),
		wanted("RSS of the XDP supervisor, kB"; "<="; 16384; all("rss_kb.native") | stat),
		wanted("RSS of the NFQUEUE daemon, growth under load, kB"; "=="; 0;
			both("rss_after_kb.nfq"; "rss_before_kb.nfq"; .a - .b))
	],
	figures: ([$by | to_entries[] | {key, value: ([.value[]] | stat)}] | from_entries),
	program_ns: $quietest
}

# SPDX-License-Identifier: GPL-2.0-only
# result.json → the table for people, in Markdown.

def kpps: if . then .median / 1000 | round | tostring else "-" end;
def us: if . then .median / 100 | round / 10 | tostring else "-" end;
def name: {
	forward: "forwarding alone", old: "old daemon", nfq: "NFQUEUE path (`run nfqueue`)",
	nft: "one nftables rule, prerouting", "nft-ingress": "one nftables rule, ingress", tc: "tc-bpf",
	generic: "XDP generic, pass", native: "XDP native, pass",
	wire: "XDP native, redirect, clears nothing", redirect: "XDP native, redirect"
}[.];
.figures as $f
| def pps($method; $size; $cpus): $f["pps.\($method).\($size).\($cpus)"];
  def latency($q; $method; $load): $f["latency_\($q)_ns.\($method).\($load)"] | us;
"\(.machine)\n",
"| thousand packets/s | small, 1 CPU | 2 CPUs | 1,400 bytes, 1 CPU | 2 CPUs | ns a packet over forwarding | p50/p99 µs at 10 % | 50 % | 90 % |",
"|---|---|---|---|---|---|---|---|---|",
(["forward", "old", "nfq", "nft", "nft-ingress", "tc", "generic", "native", "wire", "redirect"][] as $m
| "| \($m | name) | \(pps($m; "small"; 1) | kpps) | \(pps($m; "small"; 2) | kpps) | \(pps($m; "1400"; 1) | kpps) | \(pps($m; "1400"; 2) | kpps) | "
+ (if pps($m; "small"; 1) and pps("forward"; "small"; 1) then
	1e9 / pps($m; "small"; 1).median - 1e9 / pps("forward"; "small"; 1).median | round | tostring else "-" end)
+ " | " + ([10, 50, 90] | map("\(latency("p50"; $m; .))/\(latency("p99"; $m; .))") | join(" | ")) + " |"),
"",
"| program alone, ns a packet | over | floor | median | min | max |", "|---|---|---|---|---|---|",
(.program_ns[] | "| \(.name) | \(.over) | \(.floor) | \(.median) | \(.min) | \(.max) |"),
"",
"| | wanted | median | min | max | reached |", "|---|---|---|---|---|---|",
(.ratios[] | "| \(.name) | \(.want) | \([.median, .min, .max] | map(if . then . * 1000 | round / 1000 else "-" end | tostring) | join(" | ")) | \(if .reached == null then "not measured" elif .reached then "yes" else "NO" end) |")

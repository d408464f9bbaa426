#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The page of migrate report in a browser: nothing sticks out, is cut off or stands on something else, on a phone and on a
# desk; it fetches nothing; JSON and page are written whole or not at all.
set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
N2X=$(cd "$ROOT" && realpath -m "${BUILD:-build}")/nfq2xdp
[ -x "$N2X" ] || { echo "needs $N2X: make"; exit 77; }
BROWSER=$(command -v chromium-headless-shell || command -v chromium) ||
	{ echo "needs chromium-headless-shell: make deps TEST=1"; exit 77; }
if [ "${PAGE_INSIDE:-}" != $$ ]; then
	PAGE_INSIDE=1 unshare -rm true 2>/dev/null || { echo "no user and mount namespace"; exit 77; }
	PAGE_INSIDE=$$ exec unshare -rm "$0"
fi
mount -t tmpfs page /var/lib || { echo "no tmpfs on /var/lib"; exit 77; }
# shellcheck source=tests/check.sh
. "$ROOT/tests/check.sh"
DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$DIR"' EXIT
CONF=$DIR/br0.yaml
JOURNAL=/var/lib/nfq2xdp/br0/journal.jsonl
printf 'interface: br0\nmatch: { dport: [31765] }\nxdp: { attach: [ens5] }\n' >"$CONF"

report() { timeout -s KILL 20 "$N2X" migrate report -c "$CONF" "$@"; }

# journal KIND: on standard output.
journal() {
	jq -cn --arg kind "$1" '
	def at: (1795266000 + . | floor | strftime("%Y-%m-%dT%H:%M:%S")) + ".250Z";
	def gates(fail): ["reading", "program", "carrier", "xdp-errors", "fallback", "rules", "queue", "leaks",
		"conservation", "share", "rate", "samples", "a-gate-of-another-build"] | map([., (if . == "leaks" and fail
		then "fail" elif . == "samples" then "inconclusive" else "pass" end), "lost 0, not seen by XDP 0, taken and queued 0",
		"lost 64, not seen 64, taken and queued 64"]);
	def look($t; $g; $share; $x; $n; fail): {time: ($t | at), generation: $g, event: "gates", state: "SPLIT", step: 1,
		$share, xdp_rate: $x, nfqueue_rate: $n, samples: 1, gates: gates(fail),
		counters: {matched: ($t * 22000), cleared: ($t * $x), handled: ($t * $n), leaked: 0}};
	def move($t; $g; $from; $to): ({time: ($t | at), generation: $g, event: "intent", do: "share", $from, $to, step: 1},
		{time: ($t | at), generation: $g, event: "did", do: "share"});
	def begin($t; $g): {time: ($t | at), generation: $g, event: "environment", environment: {version: "0.1.0",
		kernel: "6.18.44-a-kernel-with-a-long-name-and-no-place-to-break-it-0123456789 x86_64", daemon: "own",
		attached: [range(8) | {interface: "enp0s31f6.4094", driver: "veth 1.0", mode: "native", program: "xdp.frags", mtu: 9001}],
		policy_file: ("/etc/nfq2xdp/" + "x" * 120), policy: ("# " + "long " * 60 + "\n# " + "y" * 300 + "\n")}};
	def back($t; $g; $from; $why): {time: ($t | at), generation: $g, event: "rollback", reason: $why, $from, rung: "share",
		write_ns: 5400, effect_ns: 1200000, verify_ns: 203000000, result: "verified"};
	if $kind == "short" then begin(0; 1)
	elif $kind == "hand" then begin(0; 1), move(3; 1; "0"; "1/10"), move(4; 1; "1/10"; "33.33333333%"), move(4.1; 1; "33.33333333%"; "1/2"),
		move(4.2; 1; "1/2"; "all"), {time: (9 | at), generation: 1, event: "panic"}
	elif $kind == "quick" then begin(0; 1), look(1; 1; "0"; 0; 22000; false), move(2; 1; "0"; "1/1000"), look(3; 1; "1/1000"; 22; 21978; false),
		move(8; 1; "1/1000"; "1/100"), {time: (9 | at), generation: 1, event: "did", do: "confirm"}, look(20; 1; "1/100"; 220; 21780; false)
	else range(1; 4) as $g | (begin($g * 5000; $g), (range(0; 1000) as $i | ($g * 5000 + $i) as $t |
		(if $i % 200 == 100 then move($t; $g; "0"; ["1/100", "1/10", "1/2", "all", "all"][$i / 200 | floor]) else empty end),
		look($t; $g; "1/2"; 1234567 * ($i % 7); 22000.5; $i % 97 == 0)),
		range(0; 5) as $i | back($g * 5000 + 1000 + $i * 3; $g; "all"; "gate " + "leaks: 12 (limit: 0) " * 6),
		{time: ($g * 5000 + 1020 | at), generation: $g, event: "parity", compared: 123456789, equal: 123456000, accepted: 700,
		different: 89, classes: {"ip-checksum-not-updated": {xdp: 0, behind: 700}, "df-cleared-wrongly": {xdp: 89, behind: 0}}},
		{time: ($g * 5000 + 200000 | at), generation: $g, event: "did", do: "confirm"})
	end'
}

# What the browser says of the page: a script is put behind it, and the policy that forbids scripts taken away.
cat >"$DIR/measure.js" <<'END'
const seen = e => e.getClientRects().length > 0, root = document.documentElement, bad = [];
for (const d of document.querySelectorAll("details")) d.open = true;
for (const e of document.querySelectorAll("body *")) {
	if (!seen(e) || e.closest("svg") && e.tagName !== "svg") continue;
	const r = e.getBoundingClientRect();
	if (r.right > root.clientWidth + 0.5 || r.left < -0.5) bad.push("sticks out: " + e.tagName + " " + e.textContent.slice(0, 40));
	if (e.tagName !== "svg" && e.scrollWidth > e.clientWidth + 1 && e.clientWidth) bad.push("is cut: " + e.tagName + " " + e.textContent.slice(0, 40));
}
let labels = 0, charts = 0;
for (const svg of document.querySelectorAll("svg")) {
	if (!seen(svg)) continue;
	charts++;
	const box = svg.viewBox.baseVal, boxes = [];
	for (const t of svg.querySelectorAll("text")) {
		const b = t.getBBox();
		labels++;
		if (b.x < 0 || b.y < 0 || b.x + b.width > box.width || b.y + b.height > box.height)
			bad.push("outside its chart: " + t.textContent);
		for (const o of boxes)
			if (b.x < o.x + o.width && o.x < b.x + b.width && b.y + 3 < o.y + o.height && o.y + 3 < b.y + b.height)
				bad.push("on another: " + t.textContent);
		boxes.push(b);
	}
	for (const l of svg.querySelectorAll("line.back, line.confirmed"))
		for (const b of boxes) {
			const x = l.x1.baseVal.value;
			if (b.x < x && x < b.x + b.width && b.y + b.height > l.y1.baseVal.value + 1 && b.y < l.y2.baseVal.value - 1)
				bad.push("under the line of a mark");
		}
	if (svg.getBoundingClientRect().width < box.width - 1) bad.push("chart is scaled: text is too small");
}
document.body.textContent = "MEASURED " + JSON.stringify({inner: innerWidth, scroll: root.scrollWidth <= root.clientWidth,
	charts, labels: labels >= 8, bad: bad.slice(0, 5)}) + " END";
END

# measure PAGE WIDTH: one line of JSON.
measure() {
	{
		sed '/Content-Security-Policy/d; /<\/body>/d' "$1"
		echo '<script>'
		cat "$DIR/measure.js"
		echo '</script></body></html>'
	} >"$DIR/measured.html"
	timeout -s KILL 60 "$BROWSER" --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$DIR/profile" --window-size="$2,900" --dump-dom \
		"file://$DIR/measured.html" 2>"$DIR/browser.log" | sed -nE 's/.*MEASURED (.*) END.*/\1/p'
}

report >"$DIR/out" 2>"$DIR/err"
check "no journal: exit, lines" "$? $(wc -c <"$DIR/out") $(wc -l <"$DIR/err")" "3 0 1"
mkdir -p "${JOURNAL%/*}"
for kind in short hand quick long; do
	journal $kind >$JOURNAL
	printf '{"time":"2026-11-2' >>$JOURNAL # a crash
	page=$DIR/$kind.html
	report --out "$page"
	check "$kind: exit" $? 0
	check "$kind: cut-off line" "$(report --json | jq -c '[.schema, .unreadable, .instance]')" '[1,1,"br0"]'
	check "$kind: standard output is the same page" "$(report | cmp - "$page" 2>&1)" ""
	check "$kind: nothing to fetch or run" \
		"$(grep -ciE '<script|<link|<img|<iframe|url\(|@import|https?:|javascript:| on[a-z]+=' "$page")" 0
	charts=1
	[ $kind != quick ] || charts=2
	[ $kind != long ] || charts=6 # time and gates, of each rollout
	for width in 360 1280; do
		check "$kind at $width px" "$(measure "$page" $width)" \
			"{\"inner\":$width,\"scroll\":true,\"charts\":$charts,\"labels\":true,\"bad\":[]}"
	done
done

# Whole, or not at all.
report --out "$DIR/none/x.html" 2>"$DIR/err"
check "no such directory: exit, lines" "$? $(wc -l <"$DIR/err")" "2 1"
mkdir "$DIR/full" && mount -t tmpfs -o size=64k page "$DIR/full" && echo before >"$DIR/full/x.html"
report --out "$DIR/full/x.html" 2>"$DIR/err"
check "full disk: exit, lines" "$? $(wc -l <"$DIR/err")" "6 1"
check "full disk: as before" "$(ls "$DIR/full") $(<"$DIR/full/x.html")" "x.html before"
umount "$DIR/full"
report --json --out "$DIR/x.json"
check "--json --out" "$(jq -c '[.schema, (.rollouts | length)]' "$DIR/x.json")" "[1,3]"
tally

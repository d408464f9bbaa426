# SPDX-License-Identifier: GPL-2.0-only
# result.json → an SVG: packets/s of each method, a bar for each size and number of CPUs, with its spread.

def bars: [["small", 1, "#1f77b4"], ["small", 2, "#7fb2dd"], ["1400", 1, "#d9822b"], ["1400", 2, "#f0b97d"]];
def methods: ["old", "nfq", "nft", "nft-ingress", "tc", "generic", "native", "forward", "redirect", "wire"];
def x0: 90; def width: 560; def row: 56;
.figures as $f
| ([$f | to_entries[] | select(.key | startswith("pps.")) | .value.max] | max) as $max
| def x: . / $max * width * 10 | round / 10;
"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"\((methods | length) * row + 60)\" font-family=\"sans-serif\" font-size=\"11\">",
"<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
(bars | to_entries[] | "<rect x=\"\(x0 + .key * 130)\" y=\"10\" width=\"10\" height=\"10\" fill=\"\(.value[2])\"/>"
	+ "<text x=\"\(x0 + 14 + .key * 130)\" y=\"19\">\(if .value[0] == "small" then "small" else "1,400 bytes" end), \(.value[1]) CPU</text>"),
(methods | to_entries[] | .key as $i | .value as $m
| "<text x=\"\(x0 - 6)\" y=\"\($i * row + 60)\" text-anchor=\"end\">\($m)</text>",
	(bars | to_entries[] | .key as $j | .value as [$size, $cpus, $colour] | $f["pps.\($m).\($size).\($cpus)"] | select(.)
	| ($i * row + 34 + $j * 12) as $y
	| "<rect x=\"\(x0)\" y=\"\($y)\" width=\"\(.median | x)\" height=\"10\" fill=\"\($colour)\"/>"
	+ "<path d=\"M\(x0 + (.min | x)) \($y + 5)H\(x0 + (.max | x))\" stroke=\"black\"/>"
	+ "<text x=\"\(x0 + 4 + (.max | x))\" y=\"\($y + 9)\" font-size=\"9\">\(.median / 1000 | round)k</text>")),
"<text x=\"\(x0)\" y=\"\((methods | length) * row + 50)\">packets/s, median; the line is minimum to maximum</text>",
"</svg>"

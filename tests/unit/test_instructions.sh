#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# How many instructions the XDP programs have, and how many the NFQUEUE handler runs for a packet, against
# instructions.txt: more than 5 % away from it, up or down, has to be committed with the change:
# `tests/unit/test_instructions.sh --accept` writes it.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
CLANG=${CLANG:-clang}
FILE=tests/unit/instructions.txt
REASONS=(cleared no-df other-port not-udp) RUNS=1000
# shellcheck source=tests/check.sh
. tests/check.sh
TMP=$(mktemp -d) || exit
trap 'rm -rf "$TMP"' EXIT

# Counts are of these compilers.
compilers() { echo "# $($CLANG -dumpversion) $(cc -dumpfullversion) $(uname -m)"; }

# Eight bytes each; what loads 64 bits is two.
xdp() {
	local size name
	llvm-objdump -t "$BUILD/xdp/nfq2xdp.bpf.o" | awk '$3 == "F" && $6 ~ /^n2x_xdp/ { print $5, $6 }' |
		while read -r size name; do echo "$name $((16#$size / 8))"; done
}

# Not what is in $BUILD: that may be built with sanitizers.
handler() {
	local reason
	cc -std=gnu17 -O2 -I. -D_GNU_SOURCE -o "$TMP/handler" tests/unit/instructions.c nfq-fallback/nfq_handler.c || return
	for reason in "${REASONS[@]}"; do
		valgrind --tool=callgrind --toggle-collect=nfq_handle --callgrind-out-file="$TMP/out" \
			"$TMP/handler" "$reason" >"$TMP/log" 2>&1 || { cat "$TMP/log" >&2; return 1; }
		awk -v name="nfq_handle,$reason" -v runs=$RUNS '$1 == "summary:" { print name, $2 / runs }' "$TMP/out"
	done
}

now=$(compilers; xdp; handler)
if [ "${1:-}" = --accept ]; then
	echo "$now" >$FILE
	exit
fi
if [ "$(head -1 <<<"$now")" != "$(head -1 $FILE)" ]; then
	echo "compilers and machine are $(head -1 <<<"$now"), the counts are of $(head -1 $FILE)"
	exit 77
fi
check "what is counted" "$(cut -d' ' -f1 <<<"$now")" "$(cut -d' ' -f1 $FILE)"
while read -r name count want; do
	check "$name: $count, within 5 % of $want" \
		"$(awk "BEGIN { print ($count > 0 && $count <= $want * 1.05 && $count >= $want * 0.95) }")" 1
done < <(join <(sed 1d <<<"$now" | sort) <(sed 1d $FILE | sort))
tally

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Cycles of start, 1/10, 1/2, all and back, at 20,000 packets/s: nothing lost, leaked or doubled; how long a move takes.
set -u
# shellcheck source=tests/faults/lib.sh
. "$(dirname "$0")/lib.sh"

cycles=$(by_form 10 100)
lost=0 leaked=0 duplicate=0
before=$(everything)
for attach in "match=, encap: vxlan, vni: [1]" "attach=[vxlan1]"; do
	echo "# $cycles cycles: $attach"
	conf "$attach"
	start_nfqueue
	mark
	traffic
	: >/run/lab/up
	: >/run/lab/down
	failed=0 detached=0
	for ((i = 1; i <= cycles; i++)); do
		n2x migrate start -c "$CONF" >/dev/null 2>&1 || failed=$((failed + 1))
		for move in "split --every 10" "split --every 2" full; do
			# shellcheck disable=SC2086
			n2x migrate $move -c "$CONF" --json 2>/dev/null >>/run/lab/up || failed=$((failed + 1))
		done
		n2x migrate rollback -c "$CONF" --json >>/run/lab/down || failed=$((failed + 1))
		# Every tenth also goes all the way: detached, and attached again. What XDP cleared goes with its maps.
		if ((i % 10 == 0)); then
			detached=$((detached + $(status | jq .xdp.cleared)))
			detach >/dev/null || failed=$((failed + 1))
		fi
	done
	no_traffic
	check "moves that failed" $failed 0
	since_mark
	whole "$cycles cycles"
	check "xdp + nfqueue = sent, leaks" "$((detached + $(diff_of .handled))) $(diff_of .leaks)" "$SENT 0"
	check "up: moves that were seen to act" "$(jq -s 'map(select(.effect_ns > 0)) | length' /run/lab/up)" $((3 * cycles))
	check "down: leaked; moves that were seen to act" \
		"$(jq -s 'map(.leaked) | add' /run/lab/down) $(jq -s 'map(select(.effect_ns > 0)) | length' /run/lab/down)" "0 $cycles"
	lost=$((lost + $(sink_of .lost))) duplicate=$((duplicate + $(sink_of .duplicate)))
	leaked=$((leaked + $(diff_of .leaks)))
	stop_daemon nfqueue
	cat /run/lab/up >>/run/lab/all-up
	cat /run/lab/down >>/run/lab/all-down
done
up=$(jq '.effect_ns / 1e6' /run/lab/all-up | percentiles)
down=$(jq '.effect_ns / 1e6' /run/lab/all-down | percentiles)
verified=$(jq '.verify_ns / 1e6' /run/lab/all-down | percentiles)
echo "share write to the first packet on XDP, ms: $up; on NFQUEUE: $down; rollback verified: $verified"
keep cycles "$(jq -cn --argjson n $((2 * cycles)) --argjson up "$up" --argjson down "$down" --argjson v "$verified" \
	--argjson lost $lost --argjson leaked $leaked --argjson duplicate $duplicate \
	'{cycles: $n, lost: $lost, leaked: $leaked, duplicate: $duplicate, up_ms: $up, down_ms: $down, rollback_verified_ms: $v}')"
unchanged "the end" "$before"
finish

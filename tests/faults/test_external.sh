#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The operator's own daemon and rule, of iptables-nft and of iptables-legacy: adopted, migrated, rolled back, taken away
# and restored under traffic; the rules afterwards are the rules before, byte for byte.
set -u
# shellcheck source=tests/faults/lib.sh
. "$(dirname "$0")/lib.sh"

# What the operator sees, without the time it was printed at and what his chains have counted.
saved() { in_gw "$1-save" | sed -E '/^#/d; s/ \[[0-9]+:[0-9]+\]$//'; }

external() {
	conf attach="[vxlan1]" queue=0
	sed -i 's/fail: open/fail: open, daemon: external/' "$CONF"
	echo "parity: { accept: [udp-checksum-zeroed] }" >>"$CONF" # what the operator's daemon is known to do
	cp "$CONF" /run/lab/plain.yaml
}
again() {
	cp /run/lab/plain.yaml "$CONF"
	rollout "$@"
}
old_handled() {
	ask old
	field .handled
}

external
refuse "external, and no rule" 1 "no rule feeds queue 0" n2x migrate start -c "$CONF"

for tool in iptables-nft iptables-legacy; do
	echo "# $tool"
	in_gw $tool -t mangle -A PREROUTING -i ens6 -p udp -j ACCEPT
	in_gw $tool -t mangle -A PREROUTING -i br0 -p udp --dport 31765 -m comment --comment "clear DF, see wiki" \
		-j NFQUEUE --queue-num 0
	in_gw $tool -t mangle -A PREROUTING -i ens6 -p tcp -j ACCEPT
	lab_baseline
	before=$(everything)
	rules=$(saved $tool)
	external
	refuse "$tool: nobody listens" 1 "nobody listens on queue 0" n2x migrate start -c "$CONF"
	unchanged "$tool: refused" "$before"
	start_daemon old in_gw "$LAB_BIN/old_daemon" -l 4096
	sed -i 's/mode: auto/mode: native/' "$CONF"
	refuse "$tool: the driver refuses" 6 "vxlan1: cannot attach XDP: *the rule that was there is guarded*nfq2xdp migrate restore" \
		n2x migrate start -c "$CONF"
	check "$tool: the driver refuses: the rule" "$(saved $tool | grep -c '0x4&0x5fff=0x4000')" 1
	ok "$tool: the driver refuses: restore" n2x migrate restore -c "$CONF"
	unchanged "$tool: the driver refuses: restored" "$before"
	external
	traffic
	ok "$tool: start, what it would do" n2x migrate start -c "$CONF" --dry-run
	check "$tool: names the rule" "$(grep -c 'queue only what has DF set: .*clear DF, see wiki' <<<"$OUT")" 1
	unchanged "$tool: dry run" "$before"
	again hold=1s
	start_auto
	until_auto '.event == "step" and .step == 1'
	check "$tool: the rule, guarded in its place" "$(saved $tool | sed -n '/PREROUTING.*NFQUEUE/p')" \
		"-A PREROUTING -i br0 -p udp -m udp --dport 31765 -m comment --comment \"clear DF, see wiki\" -m u32 --u32 \"0x4&0x5fff=0x4000\" -j NFQUEUE --queue-num 0"
	check "$tool: status" "$(status | jq -r '"\(.nfqueue.external) \(.nfqueue.running) \(.nfqueue.pid)"')" \
		"true true ${LAB_PID[old]}"
	until_auto '.event == "step" and .step == 3'
	generation=$(field .generation)
	until_auto '.in_step_seconds > 1'
	check "$tool: full: gates" "$(field .worst)" pass
	ok "$tool: confirm" n2x migrate confirm "$generation" -c "$CONF"
	end_auto
	check "$tool: confirmed" "$END_RC $(state)" "0 CONFIRMED all"
	ok "$tool: rollback" n2x migrate rollback -c "$CONF" --json
	check "$tool: rollback: carried, leaked" "$(jq -r '"\(.nfqueue_handled > 0) \(.leaked)"' <<<"$OUT")" "true 0"
	ok "$tool: restore" n2x migrate restore -c "$CONF"
	check "$tool: restored" "$(saved $tool)" "$rules"
	check "$tool: our table is gone" "$(in_gw nft list tables | grep -c nfq2xdp)" 0
	ok "$tool: detach" detach
	no_traffic
	whole "$tool"
	check "$tool: zeroed UDP checksums: the old daemon's share" "$(sink_of .zero_udp_csum)" "$(old_handled)"

	echo "# $tool: done, and back from there"
	again steps="[all]" confirm=60s
	traffic
	ok "$tool: start" n2x migrate start -c "$CONF"
	ok "$tool: full" n2x migrate full -c "$CONF"
	ok "$tool: confirm" confirm
	ok "$tool: done" n2x migrate done -c "$CONF"
	told "$tool: done" "0 DONE all removed ours"
	check "$tool: done: state, rule" "$(state) $(saved $tool | grep -c NFQUEUE)" "DONE all 0"
	ok "$tool: done again" n2x migrate done -c "$CONF"
	ok "$tool: restore" n2x migrate restore -c "$CONF"
	check "$tool: restored from done" "$(saved $tool)" "$rules"
	check "$tool: restored from done: state" "$(state)" "ROLLED_BACK 0"
	refuse "$tool: restore again" 3 "nothing to restore" n2x migrate restore -c "$CONF"
	no_traffic
	whole "$tool, done"
	ok "$tool: detach" detach
	unchanged "$tool: the end" "$before"

	echo "# $tool: our own NFQUEUE path in its place, and back"
	traffic
	conf attach="[vxlan1]"
	start_nfqueue
	ok "$tool: own: start" n2x migrate start -c "$CONF"
	check "$tool: own: the rule is guarded" "$(saved $tool | grep -c 'u32.*NFQUEUE')" 1
	ok "$tool: own: full" n2x migrate full -c "$CONF"
	handled=$(old_handled)
	ok "$tool: own: rollback" n2x migrate rollback -c "$CONF"
	check "$tool: own: the old daemon is idle" "$(old_handled)" "$handled"
	ok "$tool: own: restore" n2x migrate restore -c "$CONF"
	wait_daemon nfqueue
	check "$tool: own: restored" "$(saved $tool)" "$rules"
	ok "$tool: own: detach" detach
	no_traffic
	whole "$tool, own"
	stop_daemon old

	echo "# $tool: a fallback daemon that does nothing, and one that is slow"
	external
	start_daemon old in_gw "$LAB_BIN/old_daemon" -l 4096 -n
	traffic
	again down=pass
	start_auto
	t0=$(now_ms)
	expect "$tool: daemon does nothing" "gate queue: *unmodified*"
	told "$tool: daemon does nothing" "4 SHADOW 0 useless ours" "the daemon does nothing: * packets that it gave back had DF set"
	no_traffic
	check "$tool: does nothing: lost, duplicate" "$(sink_of '"\(.lost) \(.duplicate)"')" "0 0"
	traffic
	ok "$tool: restore after a gate" n2x migrate restore -c "$CONF"
	no_traffic
	check "$tool: restore after a gate: XDP took nothing for it" "$(status | jq .xdp.cleared)" 0
	stop_daemon old
	# Its rule has no bypass: what comes while nobody listens is dropped.
	start_daemon old in_gw "$LAB_BIN/old_daemon" -l 4096 -d 1500000
	RATE=500 # three quarters of what that carries; and its queue is half full only after a second
	traffic
	again give_up=3s samples=100
	start_auto
	until_auto '.event == "trial"'
	check "$tool: slow: refused, with the number" "$(field '"\(.ok) \(.capacity < .rate * 1.5) \(.why | test("it can carry [0-9]+/s, [0-9]+/s are needed"))"')" \
		"false true true"
	t0=$(now_ms)
	expect "$tool: daemon too slow for a step up" "inconclusive for too long"
	told "$tool: slow" "0 SHADOW 0 ok ours"
	check "$tool: slow: XDP took nothing" "$(status | jq .xdp.cleared)" 0
	no_traffic
	RATE=20000
	whole "$tool, slow"
	stop_daemon old
	start_daemon old in_gw "$LAB_BIN/old_daemon" -l 4096
	ok "$tool: restore" n2x migrate restore -c "$CONF"
	ok "$tool: detach" detach
	unchanged "$tool: the end" "$before"
	stop_daemon old
	in_gw $tool -t mangle -F PREROUTING
done

echo "# a rule that is not understood"
in_gw iptables-nft -t mangle -A PREROUTING -i br0 -p udp --dport 31765 -m statistic --mode nth --every 2 --packet 0 -j NFQUEUE --queue-num 0
start_daemon old in_gw "$LAB_BIN/old_daemon"
rules=$(saved iptables-nft)
external
refuse "not understood" 1 "a rule that is not understood is left alone" n2x migrate start -c "$CONF"
check "not understood: left" "$(saved iptables-nft)" "$rules"
stop_daemon old
in_gw iptables-nft -t mangle -F PREROUTING
lab_baseline
keep external "$FAULT_RESULTS"
finish

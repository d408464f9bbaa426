#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# parity live on the lab's traffic: against our own NFQUEUE path and against the operator's daemon, at every share; what
# a bridge hides from XDP; what the other end loses. Both ends choose the same packets: no half of a pair is missing.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"

# policy SAMPLE ACCEPTED CONF-WORD…
policy() {
	conf "${@:3}"
	echo "parity: { sample: $1$2 }" >>"$CONF"
}

report() { jq -r "$1" <<<"$REPORT"; }

# compare_begin [ARGUMENT…]: returns once XDP shows packets.
compare_begin() {
	CTL=$(find /sys/fs/bpf/nfq2xdp -name ctl)
	start live in_gw "$N2X" parity live -c "$CONF" --json --for 1h "$@"
	until [ "$(bpftool -j map lookup pinned "$CTL" key 0 0 0 0 | jq '.formatted.value.sample_until > 0')" = true ]; do
		kill -0 "${LAB_PID[live]}" || return
	done
}

# compare_end: RC and REPORT; what is on its way is still compared.
compare_end() {
	kill -TERM "${LAB_PID[live]}"
	wait_daemon live
	RC=$?
	REPORT=$REPLY
}

# compare N SOURCE-ARGUMENT…: N packets while it is compared.
compare() {
	compare_begin && send "$@" && settle && compare_end
}

# all_of NAME COMPARED MATCHING [ACCEPTED]: these, nothing different, nothing missing.
all_of() {
	check "$1: exit, result, complete" "$RC $(report '"\(.result) \(.complete)"')" "0 equal true"
	check "$1: compared, matching, accepted" "$(report '"\(.compared) \(.matching) \(.accepted)"')" "$2 $3 ${4:-0}"
	check "$1: different, one-sided, not comparable, samples lost" \
		"$(report '"\(.different) \(.one_sided | add) \(.not_comparable | add) \(.samples_lost | add)"')" "0 0 0 0"
}

# by_path NAME NFQUEUE XDP: as many compared, but for the remainder that each CPU has.
by_path() {
	check_le "$1: off by" "$(report "[.reordered.nfqueue.of - $2, .reordered.xdp.of - $3 | fabs] | max")" "$CPUS"
}

# The empty table that the old rule leaves is not ours.
lab_old_rule A && lab_old_rule D && lab_baseline
before=$(everything)
N=3000

for setup in "match=, encap: vxlan, vni: [1]" "attach=[vxlan1]"; do
	echo "# our own daemon, every packet: $setup"
	policy all "" "$setup"
	refuse "no rules" 3 "start the NFQUEUE path first" n2x parity live -c "$CONF"
	start_nfqueue
	refuse "not attached" 3 "br0" n2x parity live -c "$CONF"
	ok start n2x migrate start -c "$CONF"
	for share in 0 2 1; do
		[ $share = 0 ] || ok "1/$share" n2x migrate split --every $share -c "$CONF"
		compare $N -f 10 -l 64:1400
		all_of "share $share" $N $N
		by_path "share $share" $((share ? N - N / share : N)) $((share ? N / share : 0))
		check "share $share: overtaken on one path" "$(report '"\(.reordered.nfqueue.overtaken) \(.reordered.xdp.overtaken)"')" "0 0"
	done
	compare $N -p 9
	check "another port: exit, result" "$RC $(report .result)" "4 inconclusive"
	check "another port: compared, matching" "$(report '"\(.compared) \(.matching)"')" "$N 0"
	compare_begin
	refuse "a second reader" 5 "has a reader already" n2x parity live -c "$CONF"
	compare_end
	ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset
	stop_daemon nfqueue
done
check "unchanged" "$(diff <(echo "$before") <(everything))" ""
finish

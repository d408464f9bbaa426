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

# Until when samples are asked for.
sample_until() {
	bpftool -j map lookup pinned "$CTL" key 0 0 0 0 | jq '.formatted.value[".data.ctl"][0].ctl.sample_until'
}

# compare_begin [ARGUMENT…]: returns once XDP shows packets.
compare_begin() {
	CTL=$(find /sys/fs/bpf/nfq2xdp -name ctl)
	# shellcheck disable=SC2016
	start live in_gw sh -c 'exec "$0" "$@" >/run/lab/report' "$N2X" parity live -c "$CONF" --for 1h "$@"
	until [ "$(sample_until)" -gt 0 ]; do kill -0 "${LAB_PID[live]}" || return; done
}

# compare_settled: once it has asked for samples again: what came out by then may have been in front of the first.
compare_settled() {
	local first
	compare_begin "$@"
	first=$(sample_until)
	while [ "$(sample_until)" = "$first" ]; do kill -0 "${LAB_PID[live]}" || return; done
}

# compare_end: RC and REPORT; what is on its way is still compared.
compare_end() {
	kill -TERM "${LAB_PID[live]}"
	wait_daemon live
	RC=$?
	REPORT=$(</run/lab/report)
}

# through N SOURCE-ARGUMENT…: N packets through the gateway, whatever becomes of them.
through() {
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0
	start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -n "$1" -r 20000 "${@:2}"
	wait_daemon source
	settle
	stop_daemon sink # REPLY
}

# compare N SOURCE-ARGUMENT…: N packets while it is compared.
compare() {
	compare_begin --json && send "$@" && settle && compare_end
}

# all_of NAME COMPARED MATCHING [ACCEPTED]: these, nothing different, nothing missing.
all_of() {
	check "$1: exit, result, complete" "$RC $(report '"\(.result) \(.complete)"')" "0 equal true"
	check "$1: compared, matching, accepted" "$(report '"\(.compared) \(.matching) \(.accepted)"')" "$2 $3 ${4:-0}"
	check "$1: different, one-sided, not comparable, samples lost" \
		"$(report '"\(.different) \(.one_sided | add) \(.not_comparable | add) \(.samples_lost | add)"')" "0 0 0 0"
}

# classes: "CLASS by-XDP by-NFQUEUE", of those that were found.
classes() {
	report '[.classes | to_entries[] | select(.value | add > 0) | "\(.key) \(.value.xdp) \(.value.behind)"] | join(", ")'
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
	compare_begin --json
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0 -p 9 -n $N -t 5
	start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -n $N -r 20000 -p 9
	wait_daemon source
	wait_daemon sink
	compare_end
	check "another port: exit, result" "$RC $(report .result)" "4 inconclusive"
	check "another port: compared, matching" "$(report '"\(.compared) \(.matching)"')" "$N 0"
	compare_begin
	refuse "a second reader" 5 "has a reader already" n2x parity live -c "$CONF"
	compare_end
	ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset
	stop_daemon nfqueue
done

echo "# our own daemon, one packet in 16: the same ones at both ends"
policy 1/16 "" attach='[vxlan1]'
start_nfqueue
ok start n2x migrate start -c "$CONF"
ok split n2x migrate split --every 2 -c "$CONF"
compare 48000 -f 10
n=$(report .compared)
all_of "1/16" "$n" "$n"
# 48,000 / 16, by more than 7 standard deviations.
check_le "1/16: from 2,600" $((2600 - n)) 0
check_le "1/16: to 3,400" "$n" 3400

echo "# payloads of less than 8 bytes, by another program"
ip -n n2x-src addr add 192.0.2.1/24 dev mirror0
ip -n n2x-src neigh add 192.0.2.2 lladdr "$LAB_MAC" dev mirror0
compare_begin --json
in_src bash -c 'for i in {1..4096}; do printf %04d $i >&3; done 3>/dev/udp/192.0.2.2/31765'
until [ "$(status | jq '.xdp.matched')" = $((48000 + 4096)) ]; do :; done
settle
compare_end
n=$(report .compared)
all_of "short" "$n" "$n"
# All of one key, but for the length: that is chosen, or is not.
check_le "short: compared" "$n" 4096
ip -n n2x-src addr del 192.0.2.1/24 dev mirror0

echo "# a queue that is not served, and a daemon that dies"
compare_begin --json
kill -STOP "${LAB_PID[nfqueue]}"
start_daemon sink in_col "$LAB_BIN/sink" -i eth0
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -n 3200 -r 20000
wait_daemon source
kill -CONT "${LAB_PID[nfqueue]}"
settle
compare_end
n=$(report .compared)
all_of "stopped for a moment" "$n" "$n"
stop_daemon sink
ok rollback n2x migrate rollback -c "$CONF"
ok start n2x migrate start -c "$CONF"
compare_begin --json
kill -STOP "${LAB_PID[nfqueue]}"
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -n 4000 -r 1000 -f 10
wait_daemon source # for 4 s, of which one packet is waited for 2
kill -CONT "${LAB_PID[nfqueue]}"
settle
compare_end
n=$(report .compared)
all_of "stopped for longer than is waited" "$n" "$n"
check_le "stopped for longer: compared, from 150" 150 "$n" # 4,000 / 16, by more than 6 standard deviations
ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset
stop_daemon nfqueue

echo "# the operator's daemon: before anything moves, and while both carry"
lab_old_rule A
for how in "" -w; do
	policy all "" attach='[vxlan1]' queue=0
	sed -i 's/fail: open/fail: open, daemon: external/' "$CONF"
	# shellcheck disable=SC2086
	start_daemon old in_gw "$LAB_BIN/old_daemon" -l 16384 $how
	ok start n2x migrate start -c "$CONF"
	compare_begin --json --example "/run/lab/example$how"
	through $N
	compare_end
	check "external$how: exit, result, compared, different" \
		"$RC $(report '"\(.result) \(.compared) \(.different)"')" "1 different $N $N"
	check "external$how: by class" "$(classes)" \
		"${how:+ip-checksum-zeroed 0 $N, }udp-checksum-zeroed 0 $N"
	check "external$how: one-sided, not comparable" "$(report '"\(.one_sided | add) \(.not_comparable | add)"')" "0 0"
	for form in before xdp behind; do
		check "external$how: examples, $form" \
			"$(n2x parity replay "/run/lab/example$how/udp-checksum-zeroed.$form.pcap" -c "$CONF" --json | jq .packets)" 10
	done
	[ "$how" = "" ] || break
	sed -i 's/sample: all/sample: all, accept: [udp-checksum-zeroed]/' "$CONF"
	ok split n2x migrate split --every 2 -c "$CONF"
	compare_begin --json
	through $N
	compare_end
	n=$(report .reordered.nfqueue.of)
	all_of "external, accepted" $N $N "$n"
	by_path "external" $((N / 2)) $((N / 2))
	ok rollback n2x migrate rollback -c "$CONF"
	ok restore n2x migrate restore -c "$CONF"
	ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset
	stop_daemon old
done
compare_begin
through $N
compare_end
check "in words" "$(grep -o "ip-checksum-zeroed: .*" <<<"$REPORT")" \
	"ip-checksum-zeroed: $N by NFQUEUE: the IPv4 header checksum is 0: receivers drop such packets"
ok restore n2x migrate restore -c "$CONF"
ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset
stop_daemon old
lab_old_rule D

echo "# the bridge trap: XDP on br0, and the same traffic past it"
policy all "" attach='[br0]'
start_nfqueue
ok start n2x migrate start -c "$CONF" --local-only
compare_settled --json
through $N
compare_end
check "trap: exit, result" "$RC $(report .result)" "1 different"
check "trap: seen only behind" "$(report '"\(.classes["seen-only-behind"].behind) \(.bridged_past) \(.one_in)"')" "$N $N 1"
ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset
stop_daemon nfqueue

# defect NAME: PROGRAM is a build that has it.
defect() {
	PROGRAM=$(BUILD=${LAB_BIN%/tests/lab} "$LAB_ROOT/tests/faults/defects.sh" "$1" 2>/run/lab/stderr) || cat /run/lab/stderr
}

echo "# an NFQUEUE path that swaps the first two of each batch: said, and no difference of XDP"
policy all "" attach='[vxlan1]'
defect swap
start_said nfqueue '*NFQUEUE path ready*' "$PROGRAM" run nfqueue -c "$CONF"
ok start n2x migrate start -c "$CONF"
compare_begin --json
kill -STOP "${LAB_PID[nfqueue]}"
# From one CPU: only packets of the same one have an order.
start_daemon source in_src taskset -c 0 "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -n 3200 -r 20000 -f 1 -l 64:64
wait_daemon source
kill -CONT "${LAB_PID[nfqueue]}"
settle
compare_end
check "swapped: exit, result, different" "$RC $(report '"\(.result) \(.different)"')" "0 equal 0"
check "swapped: overtaken" "$(report '"\(.reordered.nfqueue.overtaken) \(.reordered.xdp.overtaken)"')" "100 0"
ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset
stop_daemon nfqueue

echo "# programs with a defect, each by its name"
policy all "" attach='[vxlan1]'
start_nfqueue
for defect in checksum port lost; do
	defect $defect
	ok "$defect: start" in_gw "$PROGRAM" migrate start -c "$CONF"
	ok "$defect: full" in_gw "$PROGRAM" migrate full -c "$CONF"
	compare_begin --json
	case $defect in
	checksum) through $N && want="seen-only-by-xdp $N 0" ;; # the stack drops them in front of the rule
	port) through $N -p 9 && want="df-cleared-wrongly $N 0" ;;
	lost) through $N && want="seen-only-by-xdp $((N - $(field .received))) 0" ;;
	esac
	compare_end
	check "$defect: exit, classes" "$RC $(classes)" "1 $want"
	ok "$defect: detach" in_gw "$PROGRAM" migrate rollback -c "$CONF" --detach --allow-link-reset
done
stop_daemon nfqueue

echo "# 100,000 packets/s, one in 16: it keeps up, or says what it missed"
policy 1/16 "" attach='[vxlan1]'
start_nfqueue
ok start n2x migrate start -c "$CONF"
ok full n2x migrate full -c "$CONF"
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 100000 -f 10
n2x parity live -c "$CONF" --json --bound 3e-4 >/run/lab/report # 10,000 pairs
RC=$? REPORT=$(</run/lab/report)
stop_daemon source
check "fast: exit, result, different, one-sided" "$RC $(report '"\(.result) \(.different) \(.one_sided | add)"')" "0 equal 0 0"
check_le "fast: at least 10,000" 10000 "$(report .matching)"
echo "compared $(report '"\(.compared) in \(.seconds) s; samples lost \(.samples_lost), not comparable \(.not_comparable)"')"
ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset
stop_daemon nfqueue

check "unchanged" "$(diff <(echo "$before") <(everything))" ""
finish

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Faults put into the data path while a rollout runs: each ends it for the right reason, within two checks.
set -u
# shellcheck source=tests/faults/lib.sh
. "$(dirname "$0")/lib.sh"

plain() {
	conf attach="[vxlan1]" "$@"
	cp "$CONF" /run/lab/plain.yaml
}
again() {
	cp /run/lab/plain.yaml "$CONF"
	rollout "$@"
}
plain
start_nfqueue

# defective NAME STEP COSTS REASON SOURCE-ARGUMENT…: the defect's binary rolls out, the good one runs the NFQUEUE path; it
# shows in step STEP (0: SHADOW), and costs packets (yes) or not (no).
defective() {
	local name=$1 step=$2 costs=$3 reason=$4 binary
	shift 4
	binary=$("$LAB_ROOT/tests/faults/defects.sh" "$name" 2>/dev/null) || { check "$name: builds" failed ok; return; }
	again hold=3s
	traffic "$@"
	start_auto "$binary"
	t0=$(now_ms)
	if [ "$step" != 0 ]; then
		until_auto ".event == \"step\" and .step == $step"
		t0=$(now_ms)
	fi
	expect "$name" "$reason" 2500
	case $name in
	disobeys) told "$name" "4 ROLLED_BACK 0 ok ours" "vxlan1: the program was replaced by one that does nothing: *" ;;
	*) told "$name" "0 $([ "$step" = 0 ] && echo SHADOW || echo ROLLED_BACK) 0 ok ours" ;;
	esac
	mark
	no_traffic
	since_mark
	check "$name: XDP takes nothing more" "$(diff_of .cleared)" 0
	check "$name: with DF, duplicate" "$(sink_of '"\(.df_left) \(.duplicate)"')" "0 0"
	if [ "$costs" = no ]; then
		whole "$name"
	else
		check "$name: it did cost packets" "$(sink_of '.received' | jq --argjson sent "$SENT" '. < $sent')" true
	fi
	ok "$name: detach" detach
}

echo "# a program that computes a wrong checksum"
defective checksum 1 yes "gate conservation: lost *"

echo "# one that drops what it cleared (XDP_ABORTED)"
defective aborted 1 yes "gate conservation: lost *"

echo "# one that misses a VLAN"
in_gw sysctl -qw net.bridge.bridge-nf-filter-vlan-tagged=1
defective vlan 0 no "gate conservation: lost 0, not seen by XDP *" -b vlan -l 60:1400
echo "# the right one does not"
again steps="[all]"
traffic -b vlan -l 60:1400
start_auto
until_auto '.event == "step"'
until_auto '.in_step_seconds > 2'
check "VLAN: all gates pass" "$(field .worst)" pass
kill -TERM "${LAB_PID[auto]}"
end_auto
no_traffic
whole VLAN
ok detach detach
in_gw sysctl -qw net.bridge.bridge-nf-filter-vlan-tagged=0

echo "# one that does not count what it leaves"
defective uncounted 0 no "gate conservation: lost 0, not seen by XDP *"

echo "# one that does not obey the share: the next rung"
defective disobeys 0 no "gate share: *"
check "disobeys: the rung" "$(jq -r .rung <<<"$END")" stub

echo "# the same by hand, and of its interfaces some are gone"
binary=$("$LAB_ROOT/tests/faults/defects.sh" disobeys 2>/dev/null)
for i in 0 1; do
	in_gw ip link add fx$i type veth peer name fy$i
done
conf attach="[fx0, vxlan1, fx1]" mode=generic
ok "interfaces gone: start" in_gw "$binary" migrate start -c "$CONF"
for i in 0 1; do
	in_gw ip link del fx$i
done
traffic
ok "interfaces gone: rollback" n2x migrate rollback -c "$CONF" --json
check "interfaces gone: the rung, the program" \
	"$(jq -r .rung <<<"$OUT") $(in_gw ip -j link show vxlan1 | jq -r '.[0].xdp.prog.name')" "stub n2x_pass_frags"
no_traffic
whole "interfaces gone"
ok "interfaces gone: detach" n2x migrate rollback -c "$CONF" --detach

echo "# somebody else's program"
again hold=30s
traffic
start_auto
until_auto '.event == "second" and .samples > 1000'
in_gw bpftool link detach pinned "$(find /sys/fs/bpf/nfq2xdp -name link-vxlan1)"
in_gw ip link set vxlan1 xdpgeneric obj "$(dirname "$N2X")/tests/faults/foreign.bpf.o" sec xdp
t0=$(now_ms)
expect "foreign program" "gate program: vxlan1: our program is not attached any more*" 2500
told "foreign program" "4 SHADOW 0 ok foreign" "vxlan1: our XDP program is not attached there any more: another program is"
check "foreign program: left alone" "$(in_gw ip -j link show vxlan1 | jq -r '.[0].xdp.prog.name')" "foreign"
in_gw ip link set vxlan1 xdpgeneric off
no_traffic
whole "foreign program"
ok detach detach

# The NFQUEUE path fails: with on-legacy-down pass XDP goes, with stay-xdp it keeps what it has.
echo "# a fallback daemon that dies"
step_one() {
	traffic
	again hold="${1-1s}" steps="[1/2, all]" down="${2-pass}"
	start_auto
	until_auto '.event == "step" and .step == 1'
	t0=$(now_ms)
}
step_one 3s pass
kill -KILL "${LAB_PID[nfqueue]}"
lab_reap nfqueue 2>/dev/null
expect "daemon dies" "gate fallback: does not run*" 2500
told "daemon dies" "4 ROLLED_BACK 0 down ours" "the NFQUEUE path does not run: *"
start_nfqueue
no_traffic
check "daemon dies: duplicate" "$(sink_of .duplicate)" 0

echo "# the same, and XDP stays"
step_one 1s stay-xdp
kill -KILL "${LAB_PID[nfqueue]}"
lab_reap nfqueue 2>/dev/null
until_auto '.state == "HOLD"'
check "stays: which gate" "$(field '.gates | map(select(.verdict == "fail")) | .[0].name')" fallback
told stays "4 HOLD 1/2 down ours" "the NFQUEUE path does not run: *"
check "stays: share, step" "$(field '"\(.share) \(.step)"')" "1/2 1"
until_auto '.in_step_seconds > 0'
start_nfqueue
told "stays: it is back" "0 HOLD 1/2 ok ours"
until_auto '.event == "step" and .step == 2'
check "stays: on, when it is back" "$(field .share)" all
kill -TERM "${LAB_PID[auto]}"
end_auto
check "stays: exit" "$END_RC" 7
no_traffic
check "stays: lost but what waited as it died, duplicate" "$(sink_of '"\(.lost < 200) \(.duplicate)"')" "true 0"

echo "# a fallback daemon that hangs: its queue fills"
step_one 3s pass
kill -STOP "${LAB_PID[nfqueue]}"
expect "daemon hangs" "gate queue: *" 2500
told "daemon hangs" "4 ROLLED_BACK 0 full ours" "* packets wait for the NFQUEUE path: it hangs, or is too slow: *"
kill -CONT "${LAB_PID[nfqueue]}"
no_traffic
check "daemon hangs: lost, duplicate" "$(sink_of '"\(.lost) \(.duplicate)"')" "0 0"
check "daemon hangs: unmodified = with DF" "$(status | jq .nfqueue.unmodified)" "$(sink_of .df_left)"

rounds=$(by_form 3 20)
echo "# a fault, $rounds times: from there to rolled back"
traffic
: >/run/lab/back
for ((round = 1; round <= rounds; round++)); do
	again hold=1s steps="[1/2, all]"
	start_auto
	until_auto '.event == "step" and .step == 1'
	until_auto ".in_step_seconds > 0.$((RANDOM % 10))"
	t0=$(now_ms)
	in_gw bpftool link detach pinned "$(find /sys/fs/bpf/nfq2xdp -name link-vxlan1)"
	expect "program detached, $round" "gate program: *" 2500
	echo "$TOOK" >>/run/lab/back
	told "program detached, $round" "4 ROLLED_BACK 0 ok nobody" "vxlan1: our XDP program is not attached there any more"
	detach >/dev/null
done
keep back "$(percentiles </run/lab/back)"
no_traffic
whole "detached"

echo "# the interface goes and comes back"
traffic
again hold=1s steps="[1/2, all]"
start_auto
until_auto '.event == "step" and .step == 1'
in_gw ip link del vxlan1
t0=$(now_ms)
expect "interface deleted" "gate program: *" 2500
told "interface deleted" "4 ROLLED_BACK 0 ok gone" "vxlan1: our XDP program is not attached there any more: the interface is gone"
lab_batch n2x-gw <<-END
	link add vxlan1 mtu 8951 address 02:4e:32:58:01:01 type vxlan id 1 local 198.51.100.1 remote 198.51.100.2 dev ens5 dstport 4789 nolearning noudpcsum
	link set vxlan1 up
	link set vxlan1 master br0
	link set vxlan1 type bridge_slave learning off flood off mcast_flood off
END
in_gw ethtool -K vxlan1 gro off rx-gro-list off rx-udp-gro-forwarding off
lab_forwarding
no_traffic
check "interface deleted: with DF, duplicate" "$(sink_of '"\(.df_left) \(.duplicate)"')" "0 0"
told "interface made again" "4 ROLLED_BACK 0 ok nobody" "vxlan1: our XDP program is not attached there any more"
refuse "interface deleted: start" 4 "not attached to vxlan1 any more" n2x migrate start -c "$CONF"
ok detach detach
ok "interface made again: start" n2x migrate start -c "$CONF"
check "interface made again: state" "$(state)" "SHADOW 0"
ok detach detach
stop_daemon nfqueue
keep data_path "$FAULT_RESULTS"
# The interface that was made again has another index, and its forwarding entries are gone: not our doing.
lab_baseline
finish

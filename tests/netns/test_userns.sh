#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A gateway whose network namespace belongs to a user namespace, as a rootless container's does, entered by the host's
# root. Newer kernels drop there what a verdict of NFQUEUE rewrites. What this one does is seen on packets of a daemon that
# is not ours. Where it drops them, whatever would have NFQUEUE as its way (back) refuses; and else nothing does.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
# shellcheck disable=SC2016
start_daemon holder unshare --user --map-root-user --net sh -c 'echo "{\"ready\":true}"; kill -STOP $$' ||
	lab_skip "this kernel makes no user namespaces"
: >/run/netns/n2x-gw
mount --bind "/proc/${LAB_PID[holder]}/ns/net" /run/netns/n2x-gw || exit 1
kill -KILL "${LAB_PID[holder]}"
wait_daemon holder
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
N=300
RULE=(PREROUTING -i br0 -p udp --dport 31765 -j NFQUEUE --queue-num 0 --queue-bypass)
WHY="this kernel drops what a verdict of NFQUEUE rewrites in this network namespace"

in_gw iptables -t mangle -A "${RULE[@]}"
in_gw iptables -t mangle -F PREROUTING
lab_baseline
in_gw iptables -t mangle -A "${RULE[@]}"
start_daemon old in_gw "$LAB_BIN/old_daemon" -l 4096
start_daemon sink in_col "$LAB_BIN/sink" -i eth0 -n $N -t 5
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -n $N -r 5000
wait_daemon source
wait_daemon sink
THROUGH=$(field .received)

# verdict_of_plan: of the finding.
verdict_of_plan() {
	OUT=$(n2x plan -c "$CONF" --json)
	jq -r '.checks[] | select(.id == "user-namespace").verdict' <<<"$OUT"
}

dropped() {
	local clean
	conf queue=0
	sed -i 's/fail: open/fail: open, daemon: external/' "$CONF"
	clean=$(everything)
	check "external: plan" "$(verdict_of_plan)" fail
	refuse "external: start" 6 "$WHY" n2x migrate start -c "$CONF"
	refuse "external: auto" 6 "br0: user-namespace: $WHY" n2x migrate auto -c "$CONF"
	unchanged external "$clean"
	conf attach="[vxlan1]"
	check "plan" "$(verdict_of_plan)" fail
	refuse "run nfqueue" 6 "$WHY" n2x run nfqueue -c "$CONF"
	refuse "start" 6 "$WHY" n2x migrate start -c "$CONF"
	unchanged "own" "$clean"
}

passed() {
	conf attach="[vxlan1]"
	check "plan" "$(verdict_of_plan)" ok
	start_nfqueue
	ok start n2x migrate start -c "$CONF"
	both "own" $N
	ok detach n2x migrate rollback -c "$CONF" --detach
	stop_daemon nfqueue
}

case $THROUGH in
0) dropped ;;
"$N") passed ;;
*) check "out of the old daemon: none or all" "$THROUGH" $N ;;
esac
in_gw iptables -t mangle -F PREROUTING
stop_daemon old

echo "# XDP alone"
conf attach="[vxlan1]"
start_xdp
burst $N -f 10
check "XDP: cleared, with DF" "$(diff_of .cleared) $(sink_of .df_left)" "$N 0"
stop_daemon xdp
ok detach n2x migrate rollback -c "$CONF" --detach
finish

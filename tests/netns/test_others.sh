#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Somebody else's queue beside ours, with packets waiting in it: our coming and going must not cost it one. The kernel
# drops what waits in every queue of the namespace when any netfilter hook goes, also in a batch that fails half way.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1

N2X=$(dirname "$(dirname "$LAB_BIN")")/nfq2xdp
CONF=/run/lab/br0.yaml
PACKETS=500
cat >$CONF <<-END
	interface: br0
	match: { dport: [31765] }
	xdp: { attach: [vxlan1] }
	nfqueue: { queue: 1 }
END

status() { in_gw "$N2X" migrate status -c $CONF --json | lab_status; }

await() {
	local deadline=$((SECONDS + LAB_WAIT))
	until jq -e "$1" >/dev/null < <(status); do
		[ $SECONDS -lt $deadline ] || { echo "never true: $1"; return 1; }
	done
}

# shellcheck disable=SC2016
waiting() { in_gw awk '$1 == 0 { print $3 }' /proc/self/net/netfilter/nfnetlink_queue; }

# hold: the other daemon stands still with PACKETS packets in its queue.
hold() {
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0 -p 31766 -n $PACKETS -t 20
	kill -STOP "${LAB_PID[other]}"
	start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 20000 -p 31766 -n $PACKETS
	wait_daemon source
	check "$1: packets wait in the other queue" "$(waiting)" $PACKETS
}

# release: it goes on; every packet must come out.
release() {
	kill -CONT "${LAB_PID[other]}"
	wait_daemon sink
	check "$1: received, lost, duplicate" "$(field '"\(.received) \(.lost) \(.duplicate)"')" "$PACKETS 0 0"
}

other_rule() { in_gw iptables -t mangle "-$1" PREROUTING -i br0 -p udp --dport 31766 -j NFQUEUE --queue-num 0; }

# The empty table that the other's rule leaves is not ours.
other_rule A
other_rule D
lab_baseline
other_rule A
start_daemon other in_gw "$LAB_BIN/old_daemon"

# handled: what the other daemon handled since the last call.
handled() {
	local before=${SEEN:-0}
	ask other
	SEEN=$(field .handled)
	check "$1: handled by the other daemon" $((SEEN - before)) "$2"
}

hold "start"
start ours in_gw "$N2X" run nfqueue -c $CONF
await '.nfqueue.pid > 0'
check "start: ours waits for the other queue" "$(status | jq .nfqueue.running)" false
release "start"
await .nfqueue.running
handled "start" $PACKETS
kill -TERM "${LAB_PID[ours]}"
wait_daemon ours

# A queue that stands still is waited for 3 s. Nothing is lost even then; the kernel queues its packets once more.
hold "start, other stuck"
start ours in_gw "$N2X" run nfqueue -c $CONF
await .nfqueue.running
release "start, other stuck"
handled "start, other stuck" $((2 * PACKETS))

hold "migrate"
in_gw "$N2X" migrate start -c $CONF >/dev/null
in_gw "$N2X" migrate full -c $CONF >/dev/null
in_gw "$N2X" migrate rollback -c $CONF --detach >/dev/null
release "migrate"
handled "migrate" $PACKETS

# Ours takes its rule away at once, and its table when it sees no packet waiting.
hold "stop"
kill -TERM "${LAB_PID[ours]}"
await '.nfqueue.running | not'
check "stop: ours still waits for the other queue" "$(in_gw nft list tables | grep -c nfq2xdp_br0)" 1
release "stop"
wait_daemon ours
check "stop: exit" $? 0
check "stop: tables left" "$(in_gw nft list tables | grep -c nfq2xdp)" 0

handled "stop" $PACKETS
stop_daemon other
other_rule D
finish

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The lab judges everything else, so it is judged first: what goes in comes out, the old path does what it is known to
# do, and the sink counts injected faults exactly.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1

MANY=$((100000 / LAB_SLOW)) # a few seconds of each rate
totals='"\(.received) \(.lost) \(.duplicate) \(.late) \(.bad_ip_csum) \(.bad_udp_csum) \(.bad_payload) \(.other)"'

# traffic COUNT SOURCE-ARGUMENT…: through the gateway. REPLY: the sink's last line.
traffic() {
	local n=$1
	shift
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0 -n "$n" -t 3
	start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -n "$n" "$@"
	wait_daemon source
	check "sent" "$(field .sent)" "$n"
	wait_daemon sink
	check "sink_drops" "$(field .sink_drops)" 0
}

# fault COUNT SOURCE-ARGUMENT…: from ens6 straight to the sink, for the bridge would drop a bad IP checksum itself.
# The source is done when the kernel has taken its last packet, and a veth delivers at once: SIGTERM sees all.
fault() {
	local n=$1
	shift
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0
	start_daemon source in_gw "$LAB_BIN/source" -i ens6 -m "$LAB_MAC" -r 20000 -n "$n" "$@"
	wait_daemon source
	sent=$(field .sent)
	stop_daemon sink
}

echo "# forwarding alone"
before=$(lab_snapshot)
traffic $MANY -r 50000
check "all, once, in order, whole" "$(field "$totals")" "$MANY 0 0 0 0 0 0 0"
check "df_left" "$(field .df_left)" $MANY
check "zero_udp_csum" "$(field .zero_udp_csum)" 0
check "snapshot after traffic" "$(diff <(echo "$before") <(lab_snapshot))" ""

echo "# the old rule and the old daemon"
lab_old_rule A
check "the snapshot sees the rule" "$(lab_snapshot | grep -c -- '-j NFQUEUE --queue-num 0$')" 1
start_daemon old in_gw "$LAB_BIN/old_daemon" -l 4096
traffic $MANY -r 20000
check "all, once, in order, whole" "$(field "$totals")" "$MANY 0 0 0 0 0 0 0"
check "df_left" "$(field .df_left)" 0
check "zero_udp_csum" "$(field .zero_udp_csum)" $MANY
ask old
check "handled, asked" "$(field .handled)" $MANY
stop_daemon old
check "handled, last line" "$? $(field .handled)" "0 $MANY"
lab_old_rule D

echo "# the sink's counters: one fault in every 100 of 10,000"
fault 10000 -b drop
check "drop" "$sent $(field "$totals")" "9900 9900 100 0 0 0 0 0 0"
fault 10000 -b duplicate
check "duplicate" "$sent $(field "$totals")" "10100 10000 0 100 0 0 0 0 0"
check "duplicate: every copy is checked" "$(field .df_left)" 10100
fault 10000 -b swap -f 1
check "swap in one flow" "$sent $(field "$totals")" "10000 10000 0 0 100 0 0 0 0"
fault 10000 -b swap -f 2
check "swap between flows is not late" "$sent $(field "$totals")" "10000 10000 0 0 0 0 0 0 0"
fault 10000 -b ip-csum
check "ip-csum" "$sent $(field "$totals")" "10000 10000 0 0 0 100 0 0 0"
fault 10000 -b udp-csum
check "udp-csum" "$sent $(field "$totals")" "10000 10000 0 0 0 0 100 0 0"
fault 10000 -p 9
check "another port" "$sent $(field "$totals")" "10000 0 0 0 0 0 0 0 10000"

echo "# a sink that is too slow says so"
start_daemon sink in_col "$LAB_BIN/sink" -i eth0
kill -STOP "${LAB_PID[sink]}"
in_gw "$LAB_BIN/source" -i ens6 -m "$LAB_MAC" -r 50000 -n 20000 -l 8951:8951 >/dev/null
kill -CONT "${LAB_PID[sink]}"
stop_daemon sink
check "received + sink_drops" "$(field '.received + .sink_drops')" 20000
check "sink_drops > 0" "$(field '.sink_drops > 0')" true

echo "# totals while traffic runs, and a stop at any time"
start_daemon sink in_col "$LAB_BIN/sink" -i eth0
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 20000
ask source
sent=$(field .sent)
ask sink
check_le "the sink has what was sent before" "$sent" "$(field .received)"
stop_daemon source
sent=$(field .sent)
ask sink
check "asked right after the end" "$(field "$totals")" "$sent 0 0 0 0 0 0 0"
stop_daemon sink
check "exit, last line" "$? $(field "$totals")" "0 $sent 0 0 0 0 0 0 0"

lab_down
check "lab_down leaves no namespace" "$(ip netns)" ""
finish

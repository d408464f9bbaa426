#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The NFQUEUE process dies, stops and starts, at rest and under traffic: nothing is lost, nothing comes twice, and
# every packet that nobody handled is counted.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"

N=1000
RATE=20000
table_left="table ip nfq2xdp_br0"
! has owner || table_left=
before=$(everything)

# So that a stop falls into the middle: asks NAME until its FIELD is at least COUNT.
reach() {
	local deadline=$((SECONDS + LAB_WAIT))
	until ask "$1" && [ "$(field "$2")" -ge "$3" ]; do
		[ $SECONDS -lt $deadline ] || { echo "$1 never reached $3" >&2; return 1; }
	done
}

start_stream() {
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0
	start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r $RATE
	reach sink .received $((RATE / 4))
}

# Some that are sent from now on.
more() {
	ask source
	reach sink .received $(($(field .sent) + RATE / 4))
}

end_stream() {
	stop_daemon source
	sent=$(field .sent)
	reach sink .received "$sent"
	stop_daemon sink
	SINK=$REPLY
	settle
}

for setup in "match=, encap: vxlan, vni: [1]" "attach=[vxlan1]"; do
	echo "# SIGKILL in SHADOW ($setup)"
	conf "$setup"
	start_nfqueue
	ok start n2x migrate start -c "$CONF"
	burst $N -f 10
	check "before: df_left, handled" "$(sink_of .df_left) $(diff_of .handled)" "0 $N"
	kill -KILL "${LAB_PID[nfqueue]}"
	lab_reap nfqueue 2>/dev/null
	check "the table goes with its owner, or stays with bypass" "$(in_gw nft list tables)" "$table_left"
	OUT=$(status)
	check "status: degraded" $? 4
	check "status: why" "$(jq -r '.problems | join(",")' <<<"$OUT" | grep -c '^the NFQUEUE path does not run')" 1
	refuse "no step up" 1 "NFQUEUE path does not run" n2x migrate full -c "$CONF"
	send $N -f 10
	check "the gap: df_left" "$(sink_of .df_left)" $N
	start_nfqueue
	burst $N -f 10
	check "after: df_left, handled" "$(sink_of .df_left) $(diff_of .handled)" "0 $N"
	status >/dev/null
	check "status: well again" $? 0

	echo "# SIGTERM and start, at $RATE packets/s ($setup)"
	mark
	start_stream
	stop_daemon nfqueue
	check "SIGTERM: exit" $? 0
	first=$(status | jq .nfqueue.handled)
	more
	start_nfqueue
	more
	end_stream
	handled=$((first - $(jq .nfqueue.handled <<<"$MARK") + $(jq .nfqueue.handled <<<"$STATUS")))
	check "all of $sent: whole" "$(sink_of "$WHOLE")" "$sent 0 0 0 0 0 0 0"
	check "handled by two processes + df_left" "$((handled + $(sink_of .df_left)))" "$sent"
	check_le "both processes had some" $((RATE / 4)) "$handled"
	check_le "and the gap" $((RATE / 4)) "$(sink_of .df_left)"
	check "XDP saw them all" "$(($(jq .xdp.matched <<<"$STATUS") - $(jq .xdp.matched <<<"$MARK")))" "$sent"

	echo "# full, SIGKILL behind it ($setup)"
	ok full n2x migrate full -c "$CONF"
	kill -KILL "${LAB_PID[nfqueue]}"
	lab_reap nfqueue 2>/dev/null
	burst $N -f 10
	check "XDP goes on: df_left, cleared" "$(sink_of .df_left) $(diff_of .cleared)" "0 $N"
	refuse "rollback" 1 "run nfqueue" n2x migrate rollback -c "$CONF"
	start_nfqueue
	ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset
	stop_daemon nfqueue
	check "the daemon's exit" $? 0
	unchanged "the end" "$before"
done

echo "# nft flush ruleset, by somebody else"
conf
start_nfqueue
if has owner; then
	in_gw nft flush ruleset
	burst $N -f 10
	check "our table stays: df_left, handled, queued" "$(sink_of .df_left) $(diff_of .handled .queued)" "0 $N $N"
else
	mark
	# It looks once a second, but not while it stands still.
	kill -STOP "${LAB_PID[nfqueue]}"
	in_gw nft flush ruleset
	start_stream
	check "the gap: state" "$(status | jq -c '[.nfqueue.running, .nfqueue.pid > 0]')" "[false,true]"
	kill -CONT "${LAB_PID[nfqueue]}"
	wait_line nfqueue '*somebody removed our nftables table: it is back*'
	check "the table is back, and the log says so" $? 0
	more
	end_stream
	handled=$(($(jq .nfqueue.handled <<<"$STATUS") - $(jq .nfqueue.handled <<<"$MARK")))
	check "all of $sent: whole" "$(sink_of "$WHOLE")" "$sent 0 0 0 0 0 0 0"
	check "handled + df_left" "$((handled + $(sink_of .df_left)))" "$sent"
	check_le "the gap" $((RATE / 4)) "$(sink_of .df_left)"
	check_le "and after it" $((RATE / 4)) "$handled"
	flushed=$EPOCHREALTIME
	in_gw nft flush ruleset
	wait_line nfqueue '*somebody removed our nftables table: it is back*'
	check_le "back after, in ms" $(((${EPOCHREALTIME/./} - ${flushed/./}) / 1000)) 2000
	burst $N -f 10
	check "as before: df_left, handled" "$(sink_of .df_left) $(diff_of .handled)" "0 $N"
fi
stop_daemon nfqueue
check "the daemon's exit" $? 0
unchanged "the end" "$before"
finish

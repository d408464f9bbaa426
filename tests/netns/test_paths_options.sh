#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What a policy can say besides a port, on both paths; one path alone; and what is not of the policy.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"

N=1200
# For what is bridged the other way, to n2x-src's mirror0: VXLAN drops frames whose source is its own address.
SRC_MAC=02:4e:32:58:00:02
ip -n n2x-src link set mirror0 address $SRC_MAC
in_gw bridge fdb replace $SRC_MAC dev vxlan1 master static
lab_batch n2x-gw <<-END
	link add en.s7 mtu 1500 type veth peer name en.p7 mtu 1500
END
lab_baseline

start_path() {
	start_nfqueue && ok start n2x migrate start -c "$CONF"
}

stop_path() {
	ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset
	stop_daemon nfqueue
	check "the daemon's exit" $? 0
	check "pins" "$(pins)" ""
}

# other_way N SOURCE-ARGUMENT…: from n2x-col to n2x-src.
other_way() {
	mark
	start_daemon sink in_src "$LAB_BIN/sink" -i mirror0 -n "$1" -t 5
	start_daemon source in_col "$LAB_BIN/source" -i eth0 -m $SRC_MAC -n "$@" -r 20000
	wait_daemon source
	wait_daemon sink
	SINK=$REPLY
	check "the other way: whole" "$(sink_of "$WHOLE")" "$1 0 0 0 0 0 0 0"
	since_mark
}

before=$(everything)

for setup in "match=, encap: vxlan, vni: [1]" "attach=[vxlan1]"; do
	echo "# run xdp ($setup)"
	conf "$setup"
	start_xdp
	burst $N -f 10
	check "alone: df_left, matched, cleared" "$(sink_of .df_left) $(diff_of .matched .cleared)" "0 $N $N"
	refuse "the lock" 5 "pid ${LAB_PID[xdp]}" n2x migrate split -c "$CONF" --every 2
	stop_daemon xdp
	check "SIGTERM: exit" $? 0
	burst $N -f 10
	check "SIGTERM: df_left, matched, cleared" "$(sink_of .df_left) $(diff_of .matched .cleared)" "$N $N 0"
	check "SIGTERM: attached, share" "$(jq -r '"\(.xdp.attached | map(.ours) | all) \(.share)"' <<<"$STATUS")" "true 0"
	prog=$(jq '.xdp.attached[0].prog_id' <<<"$STATUS")
	start_xdp
	kill -KILL "${LAB_PID[xdp]}"
	lab_reap xdp 2>/dev/null
	burst $N -f 10
	check "SIGKILL: df_left, cleared" "$(sink_of .df_left) $(diff_of .cleared)" "0 $N"
	check "SIGKILL: share, generation" \
		"$(jq -r '"\(.share) \(.generation)"' <<<"$STATUS")" "all $(jq .generation <<<"$MARK")"
	start_xdp
	check "adopted: the same program" "$(status | jq '.xdp.attached[0].prog_id')" "$prog"
	stop_daemon xdp
	check "adopted: exit" $? 0
	ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset

	echo "# min-length 1400, ip-id keep ($setup)"
	conf "$setup" min=1400
	start_path
	burst $N -f 10 -l 1399:1401
	check "shadow: df_left, handled, below-min" "$(sink_of .df_left) $(diff_of .handled .below .matched .leaks)" \
		"$((N / 3)) $((N * 2 / 3)) $((N / 3)) $((N * 2 / 3)) 0"
	check "shadow: below-min is not queued" "$(diff_of .queued)" $((N * 2 / 3))
	ok full n2x migrate full -c "$CONF"
	burst $N -f 10 -l 1399:1401
	check "full: df_left, cleared, below-min" "$(sink_of .df_left) $(diff_of .cleared .plain .below .handled .leaks)" \
		"$((N / 3)) $((N * 2 / 3)) $((N * 2 / 3)) $((N / 3)) 0 0"
	burst $N -f 10
	check "the usual lengths, 6 of 12 are below" "$(sink_of .df_left) $(diff_of .cleared .below)" \
		"$((N / 2)) $((N / 2)) $((N / 2))"
	stop_path

	echo "# another port ($setup)"
	conf "$setup"
	start_path
	ok full n2x migrate full -c "$CONF"
	mark
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0 -p 9 -n $N -t 5
	start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -p 9 -n $N -r 20000
	wait_daemon source
	wait_daemon sink
	SINK=$REPLY
	since_mark
	check "another port: whole" "$(sink_of "$WHOLE")" "$N 0 0 0 0 0 0 0"
	check "another port: df_left, other-port, all else" \
		"$(sink_of .df_left) $(diff_of .other_port .matched .cleared .handled .queued .leaks)" "$N $N 0 0 0 0 0"
	stop_path
done

echo "# threads: 2, one queue a CPU"
conf threads=2
start_nfqueue
for cpu in 0 1; do
	mark
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0 -n $N -t 5
	start_daemon source in_src taskset -c $((cpu % CPUS)) \
		"$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -n $N -r 20000
	wait_daemon source
	wait_daemon sink
	SINK=$REPLY
	since_mark
	check "CPU $cpu: df_left, late, handled" "$(sink_of '"\(.df_left) \(.late)"') $(diff_of .handled)" "0 0 $N"
done
# The last id of each queue is how many packets it gave out.
check "each queue had its share" "$(in_gw awk '{ printf "%s ", $8 }' /proc/self/net/netfilter/nfnetlink_queue)" \
	"$([ "$CPUS" = 1 ] && echo "$((2 * N)) 0 " || echo "$N $N ")"
stop_daemon nfqueue

echo "# two interfaces, one set of maps"
conf attach="[vxlan1, ens6]"
start_path
check "attached" "$(status | jq -r '.xdp.attached | map("\(.interface) \(.ours)") | sort | join(", ")')" \
	"ens6 true, vxlan1 true"
burst $N -f 10
check "this way: df_left, matched, handled" "$(sink_of .df_left) $(diff_of .matched .handled)" "0 $N $N"
other_way $((N / 2)) -f 10
check "that way: df_left, matched, handled" "$(sink_of .df_left) $(diff_of .matched .handled)" "0 $((N / 2)) $((N / 2))"
ok full n2x migrate full -c "$CONF"
burst $N -f 10
check "this way, full: df_left, cleared" "$(sink_of .df_left) $(diff_of .cleared .handled)" "0 $N 0"
other_way $((N / 2)) -f 10
check "that way, full: df_left, cleared" "$(sink_of .df_left) $(diff_of .cleared .handled)" "0 $((N / 2)) 0"
check "matched in all" "$(jq .xdp.matched <<<"$STATUS")" $((3 * N))
stop_path

echo "# a dot in the name"
conf attach="[en.s7]"
start_path
check "attached" "$(status | jq -r '.xdp.attached | map("\(.interface) \(.ours) \(.mode) \(.frags)") | join(", ")')" \
	"en.s7 true native false"
stop_path

unchanged "the end" "$before"
finish

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What went wrong once, under traffic: signals while it drains, a rollback that nobody carries, a panic that a command
# under way undoes, counters of packets that wait, half UDP headers.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"

N=2000

# await FILTER: until jq says true of the status.
await() {
	local deadline=$((SECONDS + LAB_WAIT))
	until status | jq -e "$1" >/dev/null; do
		[ $SECONDS -lt $deadline ] || { echo "never true: $1" >&2; return 1; }
	done
}

rollback() { n2x migrate rollback -c "$CONF" "$@"; }
share() { status | jq -r .share; }
alive() { kill -0 "${LAB_PID[$1]}" 2>/dev/null; }

# freeze: our daemon stands still, with every thread. Until its main thread has a CPU, the others still work.
freeze() {
	local deadline=$((SECONDS + LAB_WAIT))
	kill -STOP "${LAB_PID[nfqueue]}"
	while grep -L 'State:.*stopped' /proc/"${LAB_PID[nfqueue]}"/task/*/status | grep -q .; do
		[ $SECONDS -lt $deadline ] || { echo "not stopped" >&2; return 1; }
	done
}

# hold NAME SINK-ARGUMENT…: our daemon stands still with N packets in its queue.
hold() {
	local name=$1 deadline=$((SECONDS + LAB_WAIT))
	shift
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0 "$@"
	freeze
	start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 20000 -n $N
	wait_daemon source
	until [ "$(status | jq .nfqueue.depth)" = $N ] || [ $SECONDS -ge $deadline ]; do :; done
	check "$name: packets wait" "$(status | jq .nfqueue.depth)" $N
}

# traffic RATE: without an end.
traffic() {
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0 &&
		start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r "$1"
}

no_traffic() {
	stop_daemon source
	stop_daemon sink
	SINK=$REPLY
}

echo "# signals while it drains"
conf attach="[vxlan1]"
start_nfqueue
hold signals -n $N
pid=${LAB_PID[nfqueue]} signals=0
kill -TERM "$pid"
kill -CONT "$pid"
# Until it is gone, so that some come at every point of its way down.
deadline=$((SECONDS + LAB_WAIT))
while [ $SECONDS -lt $deadline ] && kill -HUP "$pid" 2>/dev/null && kill -TERM "$pid" 2>/dev/null; do
	signals=$((signals + 2))
done
check_le "signals: some came" 2 $signals
wait_daemon nfqueue
check "signals: exit" $? 0
wait_daemon sink
check "signals: all arrive" "$(field "$WHOLE")" "$N 0 0 0 0 0 0 0"
check "signals: df_left" "$(field .df_left)" 0

echo "# SIGKILL while packets wait: the kernel drops each of them, fail: open or not"
start_nfqueue
hold killed
kill -KILL "${LAB_PID[nfqueue]}"
lab_reap nfqueue 2>/dev/null
left=
has owner || left="table ip nfq2xdp_br0"
check "killed: the table goes with it, or stays with bypass" "$(in_gw nft list tables)" "$left"
# The numbers begin at 0 again: one of the first $N would be a duplicate.
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 20000 -n $N
wait_daemon source
deadline=$((SECONDS + LAB_WAIT))
until ask sink && [ "$(field .received)" = $N ] || [ $SECONDS -ge $deadline ]; do :; done
stop_daemon sink
check "killed: of 2 * $N, $N are lost" "$(field '.received + .duplicate')" $N
check "killed: and these are the first, no other has DF" "$(field '"\(.lost) \(.duplicate) \(.df_left)"')" "0 0 $N"

echo "# a rollback without traffic"
start_nfqueue
ok start n2x migrate start -c "$CONF"
ok "at share 0" rollback
check "at share 0: says so" "$(grep -c 'it was 0 already: nothing to do' <<<"$OUT")" 1
ok full n2x migrate full -c "$CONF"
ok "no traffic" rollback
check "no traffic: does not say verified" "$(grep -ci verified <<<"$OUT")" 0
check "no traffic: says so" "$(grep -c 'no traffic came' <<<"$OUT")" 1
ok full n2x migrate full -c "$CONF"
ok "no traffic, JSON" rollback --json
check "no traffic, JSON: share, before, matched, handled" \
	"$(jq -r '"\(.share) \(.before) \(.matched) \(.nfqueue_handled)"' <<<"$OUT")" "0 all 0 0"

echo "# a rollback under traffic, and one that nobody carries"
# run xdp has the lock: a rollback waits for it for a second, behind its write. So it does see traffic.
traffic 20000
start_xdp
ok traffic rollback
check "traffic: says verified" "$(grep -c ': verified in .* leaked 0 meanwhile' <<<"$OUT")" 1
stop_daemon xdp
start_xdp
check "nobody: share" "$(share)" all
in_gw sysctl -qw net.bridge.bridge-nf-call-iptables=0
await '.nfqueue.depth == 0'
refuse nobody 4 "net.bridge.bridge-nf-call-iptables=1" rollback
check "nobody: share afterwards" "$(share)" 0
stop_daemon xdp
# What the daemon handles meanwhile proves nothing, when it waited there since before.
in_gw sysctl -qw net.bridge.bridge-nf-call-iptables=1
freeze
await '.nfqueue.depth > 0'
start_xdp
in_gw sysctl -qw net.bridge.bridge-nf-call-iptables=0
start rollback in_gw sh -c 'exec "$0" "$@" 2>&1' "$N2X" migrate rollback -c "$CONF"
await '.share == "0"'
kill -CONT "${LAB_PID[nfqueue]}"
wait_daemon rollback
check "nobody, with a backlog: exit" $? 4
await '.nfqueue.depth == 0'
in_gw sysctl -qw net.bridge.bridge-nf-call-iptables=1
no_traffic
check "nobody: lost" "$(sink_of .lost)" 0
stop_daemon xdp

echo "# a rollback while the NFQUEUE daemon dies"
start_xdp
check "dies: share" "$(share)" all
start rollback in_gw sh -c 'exec "$0" "$@" 2>&1' "$N2X" migrate rollback -c "$CONF"
await '.share == "0"'
kill -KILL "${LAB_PID[nfqueue]}"
lab_reap nfqueue 2>/dev/null
wait_daemon rollback
check "dies: exit" $? 4
check "dies: says what" "$(grep -c 'share 0, but the NFQUEUE path went away meanwhile' <<<"$REPLY")" 1
stop_daemon xdp
start_nfqueue

echo "# panic while done waits for the NFQUEUE daemon to end"
ok full n2x migrate full -c "$CONF"
ok confirm confirm
freeze
start "done" in_gw sh -c 'exec "$0" "$@" 2>&1' "$N2X" migrate "done" -c "$CONF"
await '.state == "DONE"'
ok panic n2x panic br0
kill -CONT "${LAB_PID[nfqueue]}"
wait_daemon "done"
check "done, and panic: exit" $? 4
check "done, and panic: says what" "$(grep -c 'the NFQUEUE path is gone, and somebody took the share down meanwhile' <<<"$REPLY")" 1
wait_daemon nfqueue
start_nfqueue

echo "# panic, and a rollback, while a command is under way"
lock=$(stat -c %i /run/nfq2xdp/*-br0.lock)
# locked: no process is started to find out, it would take too long.
locked() {
	local locks
	mapfile -t locks </proc/locks
	[[ ${locks[*]} == *":$lock "* ]]
}
# A command reads all chains between the lock and its write: with so many it takes some milliseconds.
{
	echo 'table ip other {'
	printf 'chain c%d { }\n' {1..2000}
	echo '}'
} >/run/lab/other.nft
in_gw nft -f /run/lab/other.nft
# under_way WAY…: until ten commands were stopped between their look and their write.
under_way() {
	local caught=0 refused=0 up=0 map deadline=$((SECONDS + LAB_WAIT))
	while [ $caught -lt 10 ] && [ $SECONDS -lt $deadline ]; do
		start split in_gw nice -n 10 "$N2X" migrate split -c "$CONF" --every 2 2>/dev/null
		until locked || ! alive split; do :; done
		# Often it has read by now that it may, and not written. (nice: this loop must not miss it.)
		kill -STOP "${LAB_PID[split]}" 2>/dev/null
		map=$(status | jq .panic)
		locked && [ "$(share)" = 0 ] && caught=$((caught + 1))
		start way in_gw "$N2X" "$@"
		# The command goes on when the map was written, or the way back has ended without.
		until [ "$(status | jq .panic)" != "$map" ] || [ ! -e "/proc/${LAB_PID[way]}/exe" ]; do :; done
		kill -CONT "${LAB_PID[split]}" 2>/dev/null
		wait_daemon split
		wait_daemon way || refused=$((refused + 1))
		[ "$(share)" = 0 ] || up=$((up + 1))
	done
	check_le "${*:1:2}: a command was under way" 1 $caught
	check "${*:1:2}: exits other than 0, shares other than 0" "$refused $up" "0 0"
}
under_way panic br0
under_way migrate rollback -c "$CONF"
in_gw nft delete table ip other
ok detach rollback --detach

echo "# datagrams that end inside the UDP header"
ok start n2x migrate start -c "$CONF"
mark
start_daemon sink in_col "$LAB_BIN/sink" -i eth0 -n $((N - N / 100)) -t 5
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 20000 -n $N -b short
wait_daemon source
wait_daemon sink
check "short: received, lost, other, df_left" "$(field '"\(.received) \(.lost) \(.other) \(.df_left)"')" \
	"$((N - N / 100)) $((N / 100)) $((N / 100)) 0"
since_mark
check "short: queued, handled, leaks" "$(diff_of .queued .handled .leaks)" "$((N - N / 100)) $((N - N / 100)) 0"
check "short: XDP's matched, malformed" "$(diff_of .matched) $(jq .xdp.reasons.malformed <<<"$STATUS")" \
	"$((N - N / 100)) $((N / 100))"
ok detach rollback --detach
stop_daemon nfqueue

poll='for ((i = 0; i < 300; i++)); do "$0" "$@"; done'
for threads in 1 2; do
	echo "# counters while packets move, $threads thread(s)"
	conf attach="[vxlan1]" threads=$threads
	start_nfqueue
	traffic 10000
	in_gw bash -c "$poll" "$N2X" migrate status -c "$CONF" --json >/run/lab/polls
	no_traffic
	check "$threads: polls" "$(jq -s length /run/lab/polls)" 300
	check "$threads: polls that saw packets move" \
		"$(jq -s '[.[1:], .[:-1] | map(.nfqueue.queued)] | transpose | map(select(.[0] > .[1])) | length > 200' \
			/run/lab/polls)" true
	check "$threads: polls with unmodified" "$(jq -s 'map(select(.nfqueue.unmodified != 0)) | length' /run/lab/polls)" 0
	check "$threads: polls with leaks" "$(jq -s 'map(select(.leaks != 0)) | length' /run/lab/polls)" 0
	check "$threads: lost, df_left" "$(sink_of '"\(.lost) \(.df_left)"')" "0 0"
	# It mostly stops as it comes back from a verdict: that packet no longer waits, and must be counted.
	hold "$threads" -n $N
	for ((i = 0; i < 40; i++)); do
		kill -CONT "${LAB_PID[nfqueue]}"
		kill -STOP "${LAB_PID[nfqueue]}"
		status
	done >/run/lab/polls
	kill -CONT "${LAB_PID[nfqueue]}"
	wait_daemon sink
	check "$threads: stopped, with unmodified" "$(jq -s 'map(select(.nfqueue.unmodified != 0)) | length' /run/lab/polls)" 0
	check "$threads: stopped, all arrive" "$(field '"\(.received) \(.df_left)"')" "$N 0"
	stop_daemon nfqueue
done
finish

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What status says in every state of the machine, and of everything that can be missing: the same by the policy and by the
# interface alone. And monitor: on a terminal of 80x24, into a pipe, as JSON.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
command -v script >/dev/null || lab_skip "needs script: util-linux"

LINE='"\(.state) \(.share) \(.share_ratio) \(.nfqueue.health) \(.xdp.attached | map(.holder) | join(",")) \(.problems | length)"'

# by ARGUMENT…: STATUS and its exit status.
by() {
	STATUS=$(n2x migrate status "$@" --json | lab_status; exit "${PIPESTATUS[0]}")
}
# is NAME EXIT LINE: by -c and by the interface, and there is only one.
is() {
	local rc
	by "$INSTANCE"
	rc=$?
	check "$1, by interface" "$rc $(jq -r "$LINE" <<<"$STATUS")" "$2 $3"
	by -c "$CONF"
	rc=$?
	check "$1" "$rc $(jq -r "$LINE" <<<"$STATUS")" "$2 $3"
}
# of NAME FILTER VALUE: of the last status.
of() { check "$1" "$(jq -r "$2" <<<"$STATUS")" "$3"; }
problem() { of "$1: why" '.problems | join("; ")' "$2"; }
migrate() { ok "$1" n2x migrate "$@" -c "$CONF"; }
link() { find /sys/fs/bpf/nfq2xdp -name "link-$1"; }

# until_status FILTER
until_status() {
	local deadline=$((SECONDS + LAB_WAIT))
	until by -c "$CONF"; jq -e "$1" >/dev/null <<<"$STATUS"; do
		[ $SECONDS -lt $deadline ] || { echo "never true: $1: $STATUS" >&2; return 1; }
	done
}

INSTANCE=br0
conf attach="[vxlan1]"
echo "rollout: { confirm-within: 1h }" >>"$CONF"

echo "# IDLE"
is "nothing" 3 "IDLE 0 0 down  0"
of "nothing: panic" '"\(.panic) \(.panic_does)"' " nothing: no XDP path is here"
refuse "nothing, not named" 3 "status: no XDP path in this network namespace: say IFACE or -c FILE" n2x migrate status
refuse "both" 2 "status: say IFACE or -c FILE, not both" n2x migrate status br0 -c "$CONF"
refuse "no name" 2 "status: '../br0' is not an interface name" n2x migrate status ../br0
by nope0
check "no such interface" "$? $(jq -r '.problems[0]' <<<"$STATUS")" "3 nope0: there is no such interface here"
in_gw ip link add br-lan type bridge
in_gw nft 'table ip nfq2xdp_br_lan { chain other { }; }'
by br-lan
of "a table with our name" '.problems[0]' "our nftables table has somebody else's contents: nft list table ip nfq2xdp_br_lan"
in_gw nft delete table ip nfq2xdp_br_lan
in_gw ip link del br-lan
start_nfqueue
is "IDLE, NFQUEUE path" 3 "IDLE 0 0 ok  0"

echo "# up"
migrate start
is SHADOW 0 "SHADOW 0 0 ok ours 0"
of "SHADOW: table, generation" '"\(.nfqueue.table) \(.generation) \(.lease_seconds)"' "ours 1 null"
of "SHADOW: event" '.events[-1] | "\(.event) \(.text)"' "did start"
migrate split --every 10
is "1/10" 0 "SPLIT 1/10 0.1 ok ours 0"
sed -i 's/1h/2h/' "$CONF"
migrate split --percent 25 --by flow
check_le "25 %: goes back within what is left" "$(grep -o 'within [0-9]*' <<<"$OUT" | cut -d ' ' -f 2)" 3600
sed -i 's/2h/1h/' "$CONF"
is "25 %" 0 "SPLIT 25% 0.25 ok ours 0"
migrate hold
is HOLD 0 "HOLD 25% 0.25 ok ours 0"
of "HOLD: by whom, event" '"\(.held) \(.controller) \(.events[-1].event)"' "true 0 hold"
migrate resume
send 1000 -f 10
migrate full
is "FULL, to be confirmed" 0 "FULL all 1 ok ours 0"
of "FULL: time left" '.confirm_seconds > 3500 and .lease_seconds == .confirm_seconds' true
of "FULL: what panic would do" .panic_does "XDP takes nothing, the NFQUEUE path carries all"
of "FULL: packets" '.xdp.cleared + .nfqueue.handled' 1000

echo "# what is missing, and what is in the way"
n=3000
kill -STOP "${LAB_PID[nfqueue]}"
is "NFQUEUE path stands still, idle" 0 "FULL all 1 ok ours 0"
ok panic n2x panic
is "after panic" 0 "ROLLED_BACK 0 0 ok ours 0"
of "after panic: event" '.events[-1].event' panic
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 20000 -n $((2 * n))
wait_daemon source
until_status ".nfqueue.depth == $((2 * n))"
is "NFQUEUE path hangs" 4 "ROLLED_BACK 0 0 full ours 1"
problem "hangs" "$((2 * n)) packets wait for the NFQUEUE path: it hangs, or is too slow: what finds no room passes with DF set"
kill -CONT "${LAB_PID[nfqueue]}"
until_status '.nfqueue.depth == 0'
is "and goes on" 0 "ROLLED_BACK 0 0 ok ours 0"
if has owner; then
	in_gw nft flush ruleset
	is "ruleset flushed: our table is its process's" 0 "ROLLED_BACK 0 0 ok ours 0"
fi

echo "# the state directories are gone"
migrate start
migrate full
mount -t tmpfs lab /run/nfq2xdp
mount -t tmpfs lab /var/lib/nfq2xdp
if has owner; then
	is "no state: the path runs unseen" 4 "FULL all 1 unseen ours 1"
	problem "no state" "the NFQUEUE path runs, and its counters are not to be seen: its file in /run/nfq2xdp is gone: start it anew"
fi
ok "no state: panic" n2x panic
by br0
of "no state: after panic" '"\(.state) \(.share) \(.events | length)"' "ROLLED_BACK 0 0"
umount /run/nfq2xdp /var/lib/nfq2xdp
is "state again" 0 "ROLLED_BACK 0 0 ok ours 0"
mv "$CONF" /run/lab/away
by
check "no configuration, not named" "$? $(jq -r "$LINE" <<<"$STATUS")" "0 ROLLED_BACK 0 0 ok ours 0"
mv /run/lab/away "$CONF"

echo "# the lease is over"
migrate start
sed -i 's/1h/1s/' "$CONF"
migrate full
until_status '.state == "ROLLED_BACK"'
is "not confirmed in time" 4 "ROLLED_BACK all 0 ok ours 1"
problem "not confirmed" "the lease ran out: XDP takes nothing since"
of "not confirmed: panic" .panic_does "nothing changes: XDP takes nothing already"
sed -i 's/1s/1h/' "$CONF"

echo "# a share that nobody knows"
migrate start
migrate full
in_gw bash -c "$(by br0; jq -r .panic <<<"$STATUS" | sed -E 's/value 0/value 99/')"
is "unknown share" 4 "SPLIT ? 0 ok ours 1"
ok "panic" n2x panic

echo "# the NFQUEUE path is gone"
migrate start
migrate full
kill -KILL "${LAB_PID[nfqueue]}"
lab_reap nfqueue 2>/dev/null
is "NFQUEUE path killed" 4 "FULL all 1 down ours 1"
of "killed: panic" .panic_does "XDP takes nothing, and packets pass with DF set: nothing is behind it"
start_nfqueue
is "NFQUEUE path, started again" 0 "FULL all 1 ok ours 0"

echo "# CONFIRMED, DONE"
migrate hold
is "FULL, held" 0 "HOLD all 1 ok ours 0"
ok confirm confirm
is CONFIRMED 0 "CONFIRMED all 1 ok ours 0"
of "CONFIRMED: no lease" '"\(.lease_seconds) \(.confirm_seconds)"' "null null"
migrate done
wait_daemon nfqueue
is DONE 0 "DONE all 1 removed ours 0"
of "DONE: panic" .panic_does "XDP takes nothing, and packets pass with DF set: nothing is behind it"
start_nfqueue
is "DONE, and an NFQUEUE path" 4 "DONE all 1 ok ours 1"
migrate rollback
is "rolled back" 0 "ROLLED_BACK 0 0 ok ours 0"
of "rolled back: event" '.events[-1] | "\(.event) \(.text)"' "rollback from all, an operator said so, verified"

echo "# XDP alone"
# What a reboot takes: processes, pins, what is attached, and /run.
reboot() {
	local name deadline=$((SECONDS + LAB_WAIT))
	for name in xdp nfqueue; do
		[ -z "${LAB_PID[$name]:-}" ] || { kill -KILL "${LAB_PID[$name]}" && lab_reap $name 2>/dev/null; }
	done
	umount /sys/fs/bpf && mount -t bpf bpf /sys/fs/bpf && rm -r /run/nfq2xdp && mkdir /run/nfq2xdp
	# The kernel puts a link away a while after its last pin.
	while in_gw ip link show vxlan1 | grep -q xdp && [ $SECONDS -lt $deadline ]; do :; done
}
start_xdp
is "NFQUEUE beside" 0 "CONFIRMED all 1 ok ours 0"
kill -KILL "${LAB_PID[nfqueue]}" && lab_reap nfqueue 2>/dev/null
is "NFQUEUE beside, killed" 4 "CONFIRMED all 1 down ours 1"
reboot
start_xdp
is "after a reboot" 0 "DONE all 1 removed ours 0"
refuse "after a reboot: no way back, no step down" 5 "(pid ${LAB_PID[xdp]})" n2x migrate split --every 2 -c "$CONF"
start_nfqueue
is "NFQUEUE started beside" 0 "CONFIRMED all 1 ok ours 0"
stop_daemon nfqueue
is "NFQUEUE stopped, and nobody said done" 4 "CONFIRMED all 1 down ours 1"
reboot
start_daemon old in_gw "$LAB_BIN/old_daemon" -q 1
refuse "NFQUEUE cannot start" 5 "queue 1 is taken" n2x run nfqueue -c "$CONF"
start_xdp
is "NFQUEUE could not start" 4 "CONFIRMED all 1 down ours 1"
stop_daemon old
stop_daemon xdp
start_nfqueue
migrate start
migrate full
ok confirm confirm
migrate done
wait_daemon nfqueue
for again in "" ", again"; do
	start_xdp
	is "after done$again" 0 "DONE all 1 removed ours 0"
	stop_daemon xdp
	is "after done$again, stopped" 4 "ROLLED_BACK 0 0 down ours 1"
done
start_nfqueue

echo "# the program"
migrate start
in_gw bpftool link detach pinned "$(link vxlan1)"
is "program detached" 4 "SHADOW 0 0 ok nobody 1"
problem "detached" "vxlan1: our XDP program is not attached there any more"
in_gw ip link set vxlan1 xdpgeneric obj "$(dirname "$N2X")/tests/faults/foreign.bpf.o" sec xdp
is "foreign program" 4 "SHADOW 0 0 ok foreign 1"
problem "foreign" "vxlan1: our XDP program is not attached there any more: another program is"
in_gw ip link set vxlan1 xdpgeneric off
ok detach n2x migrate rollback -c "$CONF" --detach
is detached 3 "IDLE 0 0 ok  0"
stop_daemon nfqueue

echo "# the interfaces go"
lab_batch n2x-gw <<-END
	link add fx0 mtu 1500 type veth peer name fx1 mtu 1500
	link set fx0 up
END
cp "$CONF" /run/lab/away
conf interface=fx0 attach="[fx0]" mode=generic
INSTANCE=fx0
migrate start
is "another instance" 4 "SHADOW 0 0 down ours 1"
ip -n n2x-gw link del fx0
is "interface gone" 4 "SHADOW 0 0 down gone 3"
problem "gone" "fx0: our XDP program is not attached there any more: the interface is gone; the NFQUEUE path does not run: what XDP does not take passes with DF set; fx0: there is no such interface here"
ok detach n2x migrate rollback -c "$CONF" --detach
INSTANCE=br0
mv /run/lab/away "$CONF"

echo "# the operator's daemon"
conf attach="[vxlan1]" queue=0
sed -i 's/fail: open/fail: open, daemon: external/' "$CONF"
rule() { in_gw iptables -t mangle "$@" PREROUTING; }
lab_old_rule A
start_daemon old in_gw "$LAB_BIN/old_daemon"
by -c "$CONF"
of "external, untouched" "$LINE" "IDLE 0 0 untouched  0"
migrate start
is "external" 0 "SHADOW 0 0 ok ours 0"
of "external: queue, pid" '"\(.nfqueue.queue) \(.nfqueue.external) \(.nfqueue.pid) \(.nfqueue.reasons)"' "0 true ${LAB_PID[old]} null"
migrate full
is "external, FULL" 0 "FULL all 1 ok ours 0"
in_gw nft delete table ip nfq2xdp_br0
is "external, our table deleted" 4 "FULL all 1 uncounted ours 1"
ok "panic" n2x panic
migrate start
is "external, start puts it back" 0 "SHADOW 0 0 ok ours 0"
migrate full
rule -F
by -c "$CONF"
check "external, rules flushed" "$? $(jq -r "$LINE" <<<"$STATUS")" "4 FULL all 1 unfed ours 1"
problem "flushed" "no rule sends to the daemon's queue any more: what XDP does not take passes with DF set"
stop_daemon old
by br0
check "external, all of it gone, by interface" "$? $(jq -r '"\(.nfqueue.external) \(.nfqueue.running) \(.nfqueue.queue)"' <<<"$STATUS")" \
	"4 true false null"
by -c "$CONF"
check "external, daemon dead" "$? $(jq -r "$LINE" <<<"$STATUS")" "4 FULL all 1 down ours 1"
ok panic n2x panic
lab_old_rule A
start_daemon old in_gw "$LAB_BIN/old_daemon"
migrate restore
stop_daemon old
ok detach n2x migrate rollback -c "$CONF" --detach
lab_old_rule D
lab_baseline # the empty table of iptables

echo "# monitor"
conf attach="[vxlan1]"
echo "rollout: { steps: [1/10], hold: 1s, lease: 3s }" >>"$CONF"
start_nfqueue
start_daemon sink in_col "$LAB_BIN/sink" -i eth0
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 2000
SCREEN=$LAB_ROOT/${BUILD:-build}/monitor
case ${BUILD:-} in /*) SCREEN=$BUILD/monitor ;; esac

# on_terminal FILE SIGNAL ENV…: three screens of monitor on a terminal of 80x24, and then the signal; what stty says of
# the terminal before and after, and its exit status, are in /run/lab/tty.
on_terminal() {
	local file=$1 signal=$2 deadline=$((SECONDS + LAB_WAIT)) pid
	shift 2
	rm -f "$file" /run/lab/tty
	# shellcheck disable=SC2024
	env -u NO_COLOR TERM=linux "$@" script -qfec "stty rows 24 cols 80; stty -a >/run/lab/tty
		nsenter --net=/run/netns/n2x-gw $N2X monitor br0; echo exit \$? >>/run/lab/tty; stty -a >>/run/lab/tty" \
		"$file" >/dev/null </dev/null &
	pid=$!
	until [ -s "$file" ] && [ "$(grep -c 'br0:* SPLIT' "$file")" -ge 4 ] || [ $SECONDS -ge $deadline ]; do :; done
	kill "-$signal" "$(pgrep -f '^[^ ]*nfq2xdp monitor br0$')"
	wait $pid
	sed -i '/^Script /d' "$file"
}
plain_text() { sed -E 's/\x1b\[[0-9;]*[A-Za-z]//g; s/\r//g'; }

start auto in_gw "$N2X" migrate auto -c "$CONF" --json
wait_line auto '*"event":"step"*'
wait_line auto '*"event":"second"*'
by br0
of "rollout: who, step, gates" '"\(.controller) \(.step) \(.gates | map(.name) | contains(["conservation", "leaks"]))"' "${LAB_PID[auto]} 1 true"
on_terminal "$SCREEN" INT
check "rollout: its gates are shown" "$(plain_text <"$SCREEN" | grep -cE '^  gates    [0-9]+ of [0-9]+ pass$')" "$(plain_text <"$SCREEN" | grep -c '^br0: ')"
kill -TERM "${LAB_PID[auto]}"
wait_daemon auto
by br0
of "rollout: over" '"\(.state) \(.controller) \(.gates) \(.events[-1] | "\(.event) \(.text)")"' "ROLLED_BACK 0 null end told to stop"
migrate start
migrate split --every 10
check "terminal: exit, as it was" "$(grep ^exit /run/lab/tty) $(sort /run/lab/tty | uniq -c | awk '$2 != "exit" && $1 != 2' | wc -l)" "exit 0 0"
check_le "terminal: widest line" "$(plain_text <"$SCREEN" | wc -L)" 80
check_le "terminal: lines of a screen" "$(plain_text <"$SCREEN" | awk '/^br0: / { n = 0 } { if (++n > most) most = n } END { print most }')" 23
check "terminal: nothing but up, clear and colours" "$(grep -oE $'\x1b[^A-Za-z]*[A-Za-z]' "$SCREEN" | sed 's/[0-9]*//g' | sort -u | tr -d '\033\n')" "[A[J[K[m"
# As many rows up as the screen before has: what is on it differs.
check "terminal: every screen over the last" "$(awk 'match($0, /\033\[[0-9]+A/) { if (substr($0, RSTART + 2, RLENGTH - 3) != rows) print rows ": " $0; rows = 0 } { rows++ }' "$SCREEN")" ""
check "terminal: rates" "$(plain_text <"$SCREEN" | tac | sed '/^br0: /q' | grep -cE '^  (xdp|nfqueue) +[_.:=+*#-]+ [0-9]+/s$')" 2
on_terminal /run/lab/screen TERM NO_COLOR=1
check "NO_COLOR: exit" "$(grep ^exit /run/lab/tty)" "exit 0"
check "NO_COLOR: no colours" "$(grep -c $'\x1b\\[[0-9;]*m' /run/lab/screen)" 0
on_terminal /run/lab/screen HUP TERM=dumb
check "dumb terminal: exit, escapes" "$(grep ^exit /run/lab/tty) $(grep -c $'\x1b' /run/lab/screen)" "exit 0 0"

for signal in INT TERM HUP; do
	start pipe in_gw "$N2X" monitor -c "$CONF"
	for ((i = 0; i < 2; i++)); do
		wait_line pipe '*'
		[[ $REPLY =~ ^[0-9:]{8}\ br0\ SPLIT\ 1/10,\ xdp\ [0-9-]+/s,\ nfqueue\ [0-9-]+/s,\ waiting\ [0-9]+,\ leaks\ 0,\ problems\ 0$ ]]
		check "pipe: a plain line" "$?" 0
	done
	kill -$signal "${LAB_PID[pipe]}"
	wait_daemon pipe
	check "pipe, $signal: exit" $? 0
done
start pipe in_gw "$N2X" monitor --json
until BEFORE=$REPLY
	wait_line pipe '*' || break
	lab_status <<<"$REPLY" >/dev/null
	[ "$(field '.rates.cleared > 0')" = true ]; do :; done
# What a rate is, whatever this machine made of the source's.
check "JSON: rates" "$(jq -cn --argjson a "$BEFORE" --argjson b "$REPLY" '$b.rates | [.matched, .cleared, .handled, .leaks] | map(. * $b.rates.seconds | round)')" \
	"$(jq -cn --argjson a "$BEFORE" --argjson b "$REPLY" '[$a, $b | [.xdp.matched, .xdp.cleared, .nfqueue.handled, .leaks]] | transpose | map(.[1] - .[0])')"
check "JSON: leaks" "$(field .leaks)" 0
ok panic n2x panic
wait_line pipe '*"ROLLED_BACK"*'
check "JSON: the event" "$(field '.events[-1].event')" panic
stop_daemon pipe
check "JSON: exit" $? 0
# Text, by hand: what is on one screen.
n2x migrate status >"$SCREEN.status"
check "status, as text: exit" $? 0
check_le "status: lines" "$(wc -l <"$SCREEN.status")" 24
check "status: its last line is panic's" "$(tail -1 "$SCREEN.status")" "$(status | jq -r .panic)"
check "status: rates" "$(grep -cE '^  rates    xdp 0/s, nfqueue [0-9]+/s, leaks 0/s, over (0\.[5-9]|[1-9][0-9]*\.[0-9]) s$' "$SCREEN.status")" 1
stop_daemon source
stop_daemon sink
ok detach n2x migrate rollback -c "$CONF" --detach
stop_daemon nfqueue
finish

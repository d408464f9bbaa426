#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What went wrong once, around the commands: interfaces made again, pid namespaces, rules that nft cannot read back,
# closed descriptors, full disks, and somebody else who changes rules all the time.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"

# await FILTER: until jq says true of the status.
await() {
	local deadline=$((SECONDS + LAB_WAIT))
	until status | jq -e "$1" >/dev/null; do
		[ $SECONDS -lt $deadline ] || { echo "never true: $1" >&2; return 1; }
	done
}

begin() { n2x migrate start -c "$CONF"; }
detach() { n2x migrate rollback -c "$CONF" --detach --allow-link-reset; }

# fx N: an interface of this name, the N-th one.
fx() {
	lab_batch n2x-gw <<-END
		link add fx0 address 02:4e:32:58:0f:0$1 type veth peer name fx1
		link set fx0 up
		link set fx1 up
	END
}

echo "# an interface that was deleted and made again"
conf attach="[fx0]"
fx 1
ok start begin
in_gw ip link del fx0
refuse "deleted: start" 4 "fx0" begin
fx 2
refuse "made again: start" 4 "not attached to fx0 any more" begin
check "made again: nothing was attached" "$(in_gw ip -j link show fx0 | jq '.[0] | has("xdp")')" false
ok "made again: detach" detach
ok "made again: start after it" begin
check "made again: attached" "$(status | jq -c '.xdp.attached | map([.interface, .ours])')" '[["fx0",true]]'
ok "made again: the end" detach
in_gw ip link del fx0

echo "# an interface that went to another namespace, and another has its index here"
fx 1
ok "went away: start" begin
index=$(in_gw ip -j link show fx0 | jq '.[0].ifindex')
in_gw ip link set fx0 netns n2x-col
in_gw ip link add fx2 index "$index" type veth peer name fx3
check "went away: status names it" "$(status | jq -c '.xdp.attached | map([.interface, .ours])')" '[["fx0",false]]'
ok "went away: detach" detach
check "went away: not attached there" "$(in_col ip -j link show fx0 | jq '.[0] | has("xdp")')" false
in_col ip link del fx0
in_gw ip link del fx2

echo "# started by somebody who ignores his children"
conf attach="[vxlan1]"
ok "ignored SIGCHLD: start" in_gw env --ignore-signal=CHLD "$N2X" migrate start -c "$CONF"
ok "ignored SIGCHLD: detach" detach

echo "# seen from another pid namespace"
conf attach="[vxlan1]"
start_nfqueue
ok start begin
ok full n2x migrate full -c "$CONF"
ok "pid namespace: status" in_gw unshare --pid --fork --mount-proc "$N2X" migrate status -c "$CONF" --json
check "pid namespace: running, state" "$(jq -r '"\(.nfqueue.running) \(.state)"' <<<"$OUT")" "true FULL"
ok confirm confirm
refuse "pid namespace: done" 6 "runs in another pid namespace" \
	in_gw unshare --pid --fork --mount-proc "$N2X" migrate done -c "$CONF"
check "pid namespace: it still runs" "$(status | jq -r '"\(.nfqueue.running) \(.nfqueue.pid) \(.state)"')" \
	"true ${LAB_PID[nfqueue]} CONFIRMED"
ok detach detach
stop_daemon nfqueue

echo "# nft reads what it shows of our table"
# A kernel without nft_queue has the xt target in that place: nft cannot load it, and no queue statement either.
loadable() {
	if [ "$COMPAT" = true ]; then
		sed -E 's/(counter( packets [0-9]+ bytes [0-9]+)?) (queue|xt target) .*/\1/'
	else
		cat
	fi
}
# fresh CMD…: in a namespace where nobody was before.
fresh() { unshare --net "$@"; }
body() { sed -E '/^#/d; s/ +# progname .*//; /^\tflags owner$/,+1d'; }
for setup in "threads=1" "threads=2 min=1400" "dport=[1,31765,65535]"; do
	# shellcheck disable=SC2086
	conf $setup
	start_nfqueue
	COMPAT=$(status | jq .nfqueue.compat)
	in_gw nft -s list ruleset 2>/dev/null | loadable >/run/lab/listed.nft
	n2x run nfqueue -c "$CONF" --dry-run --json |
		jq -r '.changes[].do | select(startswith("add table"))' | loadable >/run/lab/said.nft
	check "$setup: chains listed, said" "$(grep -c 'chain .* {' /run/lab/listed.nft /run/lab/said.nft | tr '\n' ' ')" \
		"/run/lab/listed.nft:2 /run/lab/said.nft:2 "
	for file in listed said; do
		check "$setup: nft -c -f $file" "$(fresh nft -c -f /run/lab/$file.nft 2>&1)" ""
	done
	check "$setup: what is said is what is there" "$(diff <(body </run/lab/listed.nft) \
		<(fresh sh -c 'nft -f "$0" && nft -s list ruleset' /run/lab/said.nft | body))" ""
	stop_daemon nfqueue
done

echo "# closed descriptors"
conf attach="[vxlan1]"
# start_closed NAME REDIRECTION CMD…
start_closed() {
	start "$1" in_gw bash -c "exec \"\$@\" $2" bash "${@:3}"
}
lock_size() { stat -c %s /run/nfq2xdp/*-br0.lock; }
for closed in '0<&-' '1>&-' '2>&-' '0<&- 1>&- 2>&-'; do
	# The lock file is a new one: it must be the first descriptor there is.
	rm -f /run/nfq2xdp/*
	start_closed cmd "$closed" "$N2X" migrate start -c "$CONF" 2>/dev/null
	wait_daemon cmd
	check "$closed: start: exit, lock file" "$? $(lock_size)" "0 4"
	start_closed nfqueue "$closed" "$N2X" run nfqueue -c "$CONF" 2>/dev/null
	await .nfqueue.running
	burst 200
	check "$closed: run nfqueue: handled, df_left" "$(diff_of .handled) $(sink_of .df_left)" "200 0"
	stop_daemon nfqueue
	check "$closed: run nfqueue: exit" $? 0
	ok "$closed: detach" detach
	start_closed xdp "$closed" "$N2X" run xdp -c "$CONF" 2>/dev/null
	await '.share == "all"'
	send 200
	check "$closed: run xdp: cleared, df_left" "$(status | jq .xdp.cleared) $(sink_of .df_left)" "200 0"
	stop_daemon xdp
	check "$closed: run xdp: exit, lock file" "$? $(lock_size)" "0 4"
	ok "$closed: detach" detach
done

echo "# nobody reads what it says"
mkfifo /run/lab/unread
# shellcheck disable=SC2094
exec 7<>/run/lab/unread 8>/run/lab/unread 7<&-
start nfqueue in_gw "$N2X" run nfqueue -c "$CONF" 2>&8
await .nfqueue.running
burst 200
check "unread: handled, df_left" "$(diff_of .handled) $(sink_of .df_left)" "200 0"
stop_daemon nfqueue
check "unread: exit" $? 0
exec 8>&-

echo "# bridged frames, by the bridge's own switch"
in_gw sysctl -qw net.bridge.bridge-nf-call-iptables=0
in_gw ip link set br0 type bridge nf_call_iptables 1
start_said nfqueue "*is not 1: unless the bridge's own nf_call_iptables is,*" "$N2X" run nfqueue -c "$CONF"
await .nfqueue.running
burst 200
check "own switch: handled, df_left" "$(diff_of .handled) $(sink_of .df_left)" "200 0"
stop_daemon nfqueue
in_gw ip link set br0 type bridge nf_call_iptables 0
in_gw sysctl -qw net.bridge.bridge-nf-call-iptables=1

echo "# a full /run"
mount -t tmpfs -o size=64k tiny /run/nfq2xdp
head -c 64k /dev/zero >/run/nfq2xdp/full 2>/dev/null
refuse "no room: run nfqueue" 6 "br0: state file in /run/nfq2xdp: No space left on device" n2x run nfqueue -c "$CONF"
umount /run/nfq2xdp

echo "# a control map whose pin somebody removed"
start_xdp
rm /sys/fs/bpf/nfq2xdp/*/*/br0/ctl
wait_daemon xdp
check "no pin: run xdp: exit, last line" "$? $REPLY" \
	"4 nfq2xdp: br0: no XDP path here: start it with nfq2xdp migrate start -c FILE"
send 200
check "no pin: run xdp took the share down: with DF" "$(sink_of .df_left)" 200
ok "no pin: start" begin
ok "no pin: detach" detach

echo "# a full disk"
start_nfqueue
ok start begin
for json in '' --json; do
	for verb in "migrate status -c $CONF" "migrate start -c $CONF" "panic br0"; do
		# shellcheck disable=SC2086
		n2x $verb $json >/dev/full 2>/run/lab/stderr
		check "${verb% -c *} $json >/dev/full: exit" $? 6
	done
done

echo "# somebody else changes rules all the time"
# So many chains do not fit into one message of a dump, and each change of theirs makes the rest of it worthless.
{
	echo 'table ip many {'
	printf 'chain c%d { }\n' {1..500}
	echo '}'
} >/run/lab/many.nft
in_gw nft -f /run/lab/many.nft
cat >/run/lab/foreign.nft <<-END
	add table ip other
	delete table ip other
	add table ip other { chain c { counter; }; }
END
# No hook of theirs comes or goes: that would be another story.
start foreign in_gw sh -c 'n=0
	while [ ! -e /run/lab/enough ] && nft -f /run/lab/foreign.nft; do n=$((n + 1)); done
	echo $n; nft "delete table ip other; delete table ip many"'
: >/run/lab/stderr
failed=0
for ((i = 0; i < 200; i++)); do
	n2x migrate full -c "$CONF" >/dev/null 2>>/run/lab/stderr || failed=$((failed + 1))
	n2x migrate rollback -c "$CONF" >/dev/null 2>>/run/lab/stderr || failed=$((failed + 1))
done
check "foreign changes: of 400 commands failed" "$failed $(sort -u /run/lab/stderr)" "0 "
touch /run/lab/enough
wait_daemon foreign
check "foreign changes: exit" $? 0
check_le "foreign changes: so many" 400 "$REPLY"
ok detach detach
stop_daemon nfqueue
finish

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What is refused: the exit code, one line that names what is in the way, and nothing changed.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"

# no NAME EXIT PATTERN CMD…: refused, and everything is as it was when this setting began.
no() {
	refuse "$@"
	unchanged "$1" "$SETTING"
}

begin() { n2x migrate start -c "$CONF" "$@"; }

lab_batch n2x-gw <<-END
	link add fx0 mtu 1500 type veth peer name fx1 mtu 1500
	link set fx0 up
	link set fx1 up
END
lab_baseline
clean=$(everything)
SETTING=$clean

echo "# interfaces"
conf attach="[nope0]"
no "missing interface" 2 "interface nope0 does not exist" begin
conf interface=nope0
no "missing bridge" 2 "interface nope0 does not exist" n2x run nfqueue -c "$CONF"
conf attach="[br0]"
no "bridge" 1 "br0 is a bridge" begin
no "bridge, run xdp" 1 "br0 is a bridge" n2x run xdp -c "$CONF"
ok "bridge, --local-only" begin --local-only
check "bridge, --local-only: mode" "$(status | jq -r '.xdp.attached | map("\(.interface) \(.ours) \(.mode)") | join(",")')" \
	"br0 true generic"
ok "bridge, detach" n2x migrate rollback -c "$CONF" --detach
conf attach="[ens6, vxlan1]" mode=native
no "the second interface fails" 6 "vxlan1: cannot attach XDP" begin
conf attach="[ens6, nope0]"
no "the second interface is missing" 2 "nope0" begin

echo "# somebody else's XDP program"
bpftool prog loadall "$BPF_OBJ" /sys/fs/bpf/foreign
for mode in xdpdrv xdpgeneric; do
	conf attach="[fx0]"
	in_gw bpftool net attach $mode pinned /sys/fs/bpf/foreign/n2x_clock dev fx0
	id=$(bpftool -j prog show pinned /sys/fs/bpf/foreign/n2x_clock | jq .id)
	SETTING=$(everything)
	check "$mode: it is there" "$(in_gw ip -j link show fx0 | jq '.[0].xdp.prog.id')" "$id"
	for policy in auto native generic; do
		conf attach="[fx0]" mode=$policy
		no "$mode under $policy" 5 "fx0: XDP program id $id (n2x_clock)" begin
	done
	conf attach="[ens6, fx0]"
	no "$mode on the second interface" 5 "fx0: XDP program id $id (n2x_clock)" begin
	no "$mode, run xdp" 5 "fx0: XDP program id $id (n2x_clock)" n2x run xdp -c "$CONF"
	no "$mode, dry run" 5 "fx0: XDP program id $id (n2x_clock)" begin --dry-run
	in_gw bpftool net detach $mode dev fx0
done
# The kernel attaches nothing below one.
while read -r above below; do
	conf attach="[$below]"
	in_gw bpftool net attach xdpgeneric pinned /sys/fs/bpf/foreign/n2x_clock dev "$above"
	SETTING=$(everything)
	for policy in auto generic; do
		conf attach="[$below]" mode=$policy
		no "on $above, to $below under $policy" 5 "$below: cannot attach XDP: *upper device*ip -d link" begin
	done
	no "on $above, to $below: run xdp" 5 "$below: cannot attach XDP: *upper device*ip -d link" n2x run xdp -c "$CONF"
	in_gw bpftool net detach xdpgeneric dev "$above"
done <<-END
	br0 vxlan1
	vxlan1 ens5
END
rm -r /sys/fs/bpf/foreign
# A link, of another instance of ours.
conf interface=other attach="[fx0]"
cp "$CONF" /run/lab/other.yaml
ok "another instance" begin
id=$(status | jq '.xdp.attached[0].prog_id')
SETTING=$(everything)
conf attach="[fx0]"
no "a link of another instance" 5 "fx0: XDP program id $id (n2x_xdp)" begin
ok "detach it" n2x migrate rollback -c /run/lab/other.yaml --detach --allow-link-reset
unchanged "back to the beginning" "$clean"

echo "# the queue and the table"
SETTING=$clean
start_daemon old in_gw "$LAB_BIN/old_daemon"
port=$(in_gw awk '$1 == 0 { print $2 }' /proc/self/net/netfilter/nfnetlink_queue)
conf queue=0
no "queue taken" 5 "queue 0 is taken (netlink port $port)" n2x run nfqueue -c "$CONF"
check "the old daemon still has it" \
	"$(in_gw awk '$1 == 0 { print $2 }' /proc/self/net/netfilter/nfnetlink_queue)" "$port"
stop_daemon old
conf
for foreign in '' 'chain other { counter; }' 'chain other { }' 'chain leak { counter; }; chain other { }'; do
	in_gw nft "table ip nfq2xdp_br0 { $foreign; }"
	SETTING=$(everything)
	no "foreign table: $foreign" 5 "table ip nfq2xdp_br0 has other chains than ours" n2x run nfqueue -c "$CONF"
	in_gw nft delete table ip nfq2xdp_br0
done
if ! has owner; then
	echo "# this kernel has no tables with an owner"
elif mkfifo /run/lab/nft && start owner in_gw sh -c 'exec nft -i </run/lab/nft 2>&1' && exec 9>/run/lab/nft &&
	echo 'add table ip nfq2xdp_br0 { flags owner; }; list tables' >&9 && wait_line owner 'table ip nfq2xdp_br0'; then
	SETTING=$(everything)
	no "table of another process" 5 \
		"table ip nfq2xdp_br0 is owned by another process (netlink port " n2x run nfqueue -c "$CONF"
	exec 9>&-
	wait_daemon owner
else
	check "nft -i holds a table" no yes
fi
unchanged "back to the beginning" "$clean"
start_nfqueue
SETTING=$(everything)
no "NFQUEUE path twice" 5 "runs already (pid ${LAB_PID[nfqueue]})" n2x run nfqueue -c "$CONF"
stop_daemon nfqueue

echo "# out of order"
SETTING=$clean
conf
no "split when idle" 3 "br0: not started" n2x migrate split -c "$CONF" --every 2
no "full when idle" 3 "br0: not started" n2x migrate full -c "$CONF"
no "done when idle" 3 "the state is IDLE" n2x migrate done -c "$CONF"
no "panic with nothing" 3 "nothing to stop" n2x panic
no "panic of a name" 3 "panic: no XDP path for br0" n2x panic br0
conf attach="[vxlan1]"
ok start begin
SETTING=$(everything)
no "split without a path behind" 1 "the NFQUEUE path does not run" n2x migrate split -c "$CONF" --every 2
no "full without a path behind" 1 "the NFQUEUE path does not run" n2x migrate full -c "$CONF"
no "panic of another" 3 "panic: no XDP path for br1" n2x panic br1
start_nfqueue
SETTING=$(everything)
no "done before full" 1 "the state is SHADOW" n2x migrate done -c "$CONF"
conf attach="[vxlan1]" min=1400
no "changed since start: start" 1 "rollback --detach" begin
no "changed since start: split" 1 "br0: what is attached has another policy" n2x migrate split -c "$CONF" --every 2
no "changed since start: full" 1 "br0: what is attached has another policy" n2x migrate full -c "$CONF"
no "changed since start: run xdp" 1 "br0: what is attached has another policy" n2x run xdp -c "$CONF"
conf attach="[vxlan1, ens6]"
no "other interfaces: start" 1 "rollback --detach" begin
conf attach="[ens6]"
no "another interface: start" 1 "rollback --detach" begin
no "another interface: full" 1 "rollback --detach" n2x migrate full -c "$CONF"
conf attach="[vxlan1]"
ok split n2x migrate split -c "$CONF" --every 2
SETTING=$(everything)
no "run xdp in a rollout" 1 "a rollout is under way" n2x run xdp -c "$CONF"
ok full n2x migrate full -c "$CONF"
SETTING=$(everything)
no "run xdp instead of a confirm" 1 "a rollout is under way" n2x run xdp -c "$CONF"
check "run xdp instead of a confirm: the lease" "$(status | jq '.confirm_seconds > 0')" true
ok detach n2x migrate rollback -c "$CONF" --detach

echo "# another command has the lock"
start_xdp
SETTING=$(everything)
for verb in start "split --every 2" full done; do
	# shellcheck disable=SC2086
	no "locked: $verb" 5 "(pid ${LAB_PID[xdp]})" n2x migrate $verb -c "$CONF"
done
no "locked: run xdp" 5 "(pid ${LAB_PID[xdp]})" n2x run xdp -c "$CONF"
stop_daemon xdp
ok detach n2x migrate rollback -c "$CONF" --detach
stop_daemon nfqueue
unchanged "the end" "$clean"
finish

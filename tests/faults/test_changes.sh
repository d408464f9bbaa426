#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What happens to a gateway while it is split: rules flushed, the interface renamed, its MTU and channels changed, the
# daemon restarted, the binary exchanged for another build and back. Each ends in a named state, no packet lost by us.
set -u
# shellcheck source=tests/faults/lib.sh
. "$(dirname "$0")/lib.sh"

before=$(everything)
tag() { in_gw bpftool -j prog show id "$(status | jq '.xdp.attached[0].prog_id')" | jq -r .tag; }

# split_up CONF-WORD…: split in halves, a rollout under way.
split_up() {
	conf "$@"
	rollout steps="[1/2, all]" hold=60s
	traffic
	ok "start" n2x migrate start -c "$CONF"
	ok "split" n2x migrate split -c "$CONF" --every 2
}

# shared NAME: traffic goes on over both paths, and the state is what it was.
shared() {
	local a b
	check "$1: state" "$(state)" "SPLIT 1/2"
	a=$(status | jq -c '[.xdp.cleared, .nfqueue.handled]')
	deadline=$((SECONDS + LAB_WAIT))
	until b=$(status | jq -c '[.xdp.cleared, .nfqueue.handled]')
		jq -e --argjson a "$a" '.[0] > $a[0] and .[1] > $a[1]' <<<"$b" >/dev/null || [ $SECONDS -ge $deadline ]; do :; done
	check "$1: both paths carry" "$(jq --argjson a "$a" '.[0] > $a[0] and .[1] > $a[1]' <<<"$b")" true
}

conf attach="[vxlan1]"
start_nfqueue

echo "# nft flush ruleset, 100 times under load, in a rollout"
n=$(by_form 100 100)
conf attach="[vxlan1]"
rollout hold=1s
traffic
start_auto
until_auto '.event == "step" and .step == 1'
flushed=0
for ((i = 0; i < n; i++)); do
	if has owner; then
		in_gw nft flush ruleset && flushed=$((flushed + 1))
	fi
done
if has owner; then
	check "flush: flushed, our table is there" "$flushed $(in_gw nft list tables | grep -c nfq2xdp)" "$n 1"
fi
until_auto '.event == "step" and .step == 3'
check "flush: the rollout goes on" "$(field .share)" all
ok "flush: confirm" confirm
end_auto
check "flush: confirmed" "$END_RC $(state)" "0 CONFIRMED all"
no_traffic
whole flush
ok detach detach

echo "# the MTU of the attach point, and its name"
split_up attach="[vxlan1]"
in_gw ip link set vxlan1 mtu 8000
shared "MTU smaller"
in_gw ip link set vxlan1 mtu 8951
shared "MTU as before"
in_gw ip link set vxlan1 down
in_gw ip link set vxlan1 name vx9
in_gw ip link set vx9 up
lab_forwarding
shared "another name"
check "another name: status says it" "$(status | jq -r '.xdp.attached[0] | "\(.interface) \(.ours)"')" "vx9 true"
refuse "another name: no step up" 1 "other interfaces than this file" n2x migrate full -c "$CONF"
ok "another name: rollback" n2x migrate rollback -c "$CONF"
in_gw ip link set vx9 down
in_gw ip link set vx9 name vxlan1
in_gw ip link set vxlan1 up
lab_forwarding
ok "its name again: split" n2x migrate split -c "$CONF" --every 2
shared "its name again"
no_traffic
# Down is down: what came meanwhile is lost by that, and nothing else is.
check "name: with DF, duplicate" "$(sink_of '"\(.df_left) \(.duplicate)"')" "0 0"
ok detach detach

echo "# channels of a native attach point"
split_up "match=, encap: vxlan, vni: [1]"
in_gw ethtool -L ens5 rx 2 tx 2
shared "2 channels"
in_gw ethtool -L ens5 rx 1 tx 1
shared "1 channel"
no_traffic
check "channels: with DF, duplicate" "$(sink_of '"\(.df_left) \(.duplicate)"')" "0 0"
ok detach detach

echo "# the daemon is restarted"
split_up "match=, encap: vxlan, vni: [1]"
stop_daemon nfqueue
check "restart: exit" $? 0
check "restart: status says so" "$(status | jq -r '.problems | map(select(test("NFQUEUE path does not run"))) | length')" 1
start_nfqueue
shared restart
no_traffic
check "restart: lost, duplicate" "$(sink_of '"\(.lost) \(.duplicate)"')" "0 0"
ok detach detach

echo "# the binary: another build, and back"
other=$("$LAB_ROOT/tests/faults/defects.sh" harmless 2>/dev/null)
check "another build" "$(test -x "$other" && echo built)" built
for attach in "match=, encap: vxlan, vni: [1]" "attach=[vxlan1]"; do
	split_up "$attach"
	id=$(status | jq '.xdp.attached[0].prog_id')
	old=$(tag)
	ok "next: start" in_gw "$other" migrate start -c "$CONF"
	check "next: says so" "$(grep -c 'programs exchanged' <<<"$OUT")" 1
	check "next: another program" "$([ "$(tag)" != "$old" ] && [ "$(status | jq '.xdp.attached[0].prog_id')" != "$id" ] && echo yes)" yes
	shared next
	ok "next: start again" in_gw "$other" migrate start -c "$CONF"
	check "next: nothing to do" "$(grep -c 'attached to .* already:' <<<"$OUT")" 1
	ok "back: start" n2x migrate start -c "$CONF"
	check "back: the program as before" "$(tag)" "$old"
	shared back
	ok "rollback" n2x migrate rollback -c "$CONF"
	no_traffic
	whole "another build"
	ok detach detach
done

echo "# the binary: another build with another layout, and back"
next=$("$LAB_ROOT/tests/faults/defects.sh" layout 2>/dev/null)
check "another layout" "$(test -x "$next" && echo built)" built
split_up attach="[vxlan1]"
check "next layout: sees nothing of it" "$(in_gw "$next" migrate status -c "$CONF" --json | jq -r .state)" IDLE
check "next layout: and says so" "$(in_gw "$next" migrate status -c "$CONF" --json | lab_status | jq -r '"\(.other_build) \(.problems[0])"')" \
	"true another build of nfq2xdp attached it, with pins of its own: nfq2xdp migrate start -c FILE takes it over"
ok "next layout: panic reaches it" in_gw "$next" panic
check "next layout: share 0" "$(state)" "ROLLED_BACK 0"
ok "split" n2x migrate split -c "$CONF" --every 2
ok "next layout: start" in_gw "$next" migrate start -c "$CONF"
check "next layout: taken over at share 0" \
	"$(in_gw "$next" migrate status -c "$CONF" --json | jq -r '"\(.state) \(.share) \(.xdp.attached | map(.ours) | all)"')" \
	"SHADOW 0 true"
check "next layout: one directory" "$(find /sys/fs/bpf/nfq2xdp -name ctl | wc -l)" 1
ok "next layout: split" in_gw "$next" migrate split -c "$CONF" --every 2
ok "back: start" n2x migrate start -c "$CONF"
check "back: taken over at share 0" "$(state)" "SHADOW 0"
no_traffic
whole "another layout"
ok detach detach
stop_daemon nfqueue
keep changes "$FAULT_RESULTS"
unchanged "the end" "$before"
finish

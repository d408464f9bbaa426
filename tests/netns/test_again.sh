#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# An instance that is started anew in another way than the last time: with other ports, around a rule that moved, with the
# other kind of daemon. What the last start left behind is neither in the way nor taken for the new one's.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"

rule() {
	in_gw iptables -t "$1" "-$2" PREROUTING -i br0 -p udp -m multiport --dports 31765,31766 "${@:3}" \
		-j NFQUEUE --queue-num 0
}
external() {
	conf attach="[vxlan1]" queue=0 "$@"
	sed -i 's/fail: open/fail: open, daemon: external/' "$CONF"
}
# The old daemon zeroes UDP checksums: send would call that a difference.
to_port() {
	mark
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0 -p "$1" -n 500 -t 5
	start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 20000 -p "$1" -n 500
	wait_daemon source
	wait_daemon sink
	since_mark
	check "$2: received, with DF" "$(field '"\(.received) \(.df_left)"')" "500 0"
}
priorities() {
	in_gw nft -j list table ip nfq2xdp_br0 | jq -r '[.nftables[].chain // empty | .prio] | sort | map(tostring) | join(" ")'
}

# The tables that the operator's rules leave are not ours.
for table in mangle raw; do
	rule $table A
	rule $table D
done
lab_baseline
rule mangle A
start_daemon old in_gw "$LAB_BIN/old_daemon"

echo "# other ports"
external
ok "one port" n2x migrate start -c "$CONF"
ok "one port: detach" n2x migrate rollback -c "$CONF" --detach
external dport="[31765, 31766]"
ok "two ports" n2x migrate start -c "$CONF"
for port in 31765 31766; do
	to_port $port "port $port"
	check "port $port: matched, queued, handled" "$(diff_of .matched .queued .handled)" "500 500 500"
done
ok "started already" n2x migrate start -c "$CONF"
check "started already: still counted" "$(status | jq .nfqueue.queued)" 1000
ok "two ports: detach" n2x migrate rollback -c "$CONF" --detach

echo "# the rule moved"
rule mangle D -m u32 --u32 '4&0x5fff=0x4000'
rule raw A
ok "raw" n2x migrate start -c "$CONF"
check "raw: around the rule" "$(priorities)" "-301 -299"
to_port 31766 raw
check "raw: queued, handled" "$(diff_of .queued .handled)" "500 500"
ok "raw: detach" n2x migrate rollback -c "$CONF" --detach

echo "# our own daemon"
conf attach="[vxlan1]" dport="[31765, 31766]"
start_nfqueue
check "own: in front of defragmentation" "$(priorities)" "-450 -449"
! has owner || check "own: the table is its own" "$(status | jq .nfqueue.owner)" true
to_port 31766 own
check "own: queued, handled" "$(diff_of .queued .handled)" "500 500"
stop_daemon nfqueue

ask old
check "the old daemon handled" "$(field .handled)" 1500
stop_daemon old
rule raw D -m u32 --u32 '4&0x5fff=0x4000'
finish

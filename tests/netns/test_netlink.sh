#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A kernel before 5.9 has no XDP links: the same way by netlink, which never replaces a foreign program either.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"

old() { in_gw "$LAB_BIN/no_link" "$N2X" "$@"; }
attached() { status | jq -r '.xdp.attached | map("\(.interface) \(.ours) \(.mode) \(.by)") | sort | join(", ")'; }

before=$(everything)
conf attach='[vxlan1, ens6]' mode=generic
start_nfqueue || exit 1

echo "# two interfaces, generic"
ok start old migrate start -c "$CONF"
check "attached" "$(attached)" "ens6 true generic netlink, vxlan1 true generic netlink"
ok "start again" old migrate start -c "$CONF"
check "start again: already" "$(grep -c already <<<"$OUT")" 2
burst 1000
check "shadow: df_left, matched, handled" "$(sink_of .df_left) $(diff_of .matched .handled)" "0 1000 1000"
ok full old migrate full -c "$CONF"
burst 1000
check "full: df_left, cleared, handled" "$(sink_of .df_left) $(diff_of .cleared .handled)" "0 1000 0"
ok rollback old migrate rollback -c "$CONF" --detach
check "attached" "$(attached)" ""

echo "# native"
conf attach='[ens5]' match=', encap: vxlan, vni: [1]' mode=native
ok start old migrate start -c "$CONF"
check "attached" "$(attached)" "ens5 true native netlink"
ok full old migrate full -c "$CONF"
burst 1000
check "full: df_left, cleared, handled" "$(sink_of .df_left) $(diff_of .cleared .handled)" "0 1000 0"

echo "# somebody takes the interface: it is his"
in_gw ip link set dev ens5 xdp off
bpftool prog loadall "$BPF_OBJ" /sys/fs/bpf/foreign
in_gw bpftool net attach xdpgeneric pinned /sys/fs/bpf/foreign/n2x_clock dev ens5
check "attached" "$(attached)" "ens5 false generic netlink"
refuse "start" 4 "ens5" old migrate start -c "$CONF"
ok panic old panic
ok rollback old migrate rollback -c "$CONF" --detach
check "the foreign program is there" "$(in_gw bpftool -j net | jq '[.[0].xdp[] | select(.devname == "ens5")] | length')" 1
refuse "start on it" 5 "n2x_clock" old migrate start -c "$CONF"
in_gw bpftool net detach xdpgeneric dev ens5
rm -r /sys/fs/bpf/foreign

stop_daemon nfqueue
check "the daemon's exit" $? 0
unchanged "the end" "$before"
finish

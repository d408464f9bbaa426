#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Packets of several pages, natively: taken with xdp.frags, and without it refused, or taken generically.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
N=300
LONG=8951 # of the inner packet: 9,001 outside

conf match=', encap: vxlan, vni: [1]' mode=native
start_nfqueue || exit 1
if has frags; then
	want="native, xdp.frags"
else
	want="generic, xdp"
	refuse "native" 6 "ens5: cannot attach XDP: veth: Peer MTU is too large to set XDP: see nfq2xdp plan, or set xdp.mode to generic" \
		n2x migrate start -c "$CONF"
	conf match=', encap: vxlan, vni: [1]'
fi
ok "start" n2x migrate start -c "$CONF"
check "mode, build" "$(sed -nE 's/^br0: attached to ens5: (.*), program.*/\1/p' <<<"$OUT")" "$want"
burst $N -l $LONG:$LONG
check "shadow: matched, cleared, handled, with DF" "$(diff_of .matched .cleared .handled) $(sink_of .df_left)" "$N 0 $N 0"
ok "full" n2x migrate full -c "$CONF"
burst $N -l $LONG:$LONG
check "full: matched, cleared, handled, with DF, leaks" \
	"$(diff_of .matched .cleared .handled) $(sink_of .df_left) $(diff_of .leaks)" "$N $N 0 0 0"
ok "detach" n2x migrate rollback -c "$CONF" --detach --allow-link-reset
stop_daemon nfqueue
finish

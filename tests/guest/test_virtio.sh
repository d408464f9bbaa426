#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# virtio NICs, each the port of the bridge that packets come from: what the driver takes natively is native, and what it
# refuses is refused in its own words, and taken generically.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
[ "${LAB_INSIDE:-}" = $$ ] || exec 8</proc/self/ns/net # where the NICs are
lab_reexec "$@"
in_guest() { nsenter --net=/proc/self/fd/8 "$@"; }
in_guest ethtool -i eth4 2>/dev/null | grep -q virtio_net || lab_skip "needs the virtio NICs of tests/vm/run.sh"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
N=300

in_guest ip link set eth0 netns n2x-src name wire
ip -n n2x-src link set wire up mtu 9000
ip -n n2x-gw link set vxlan1 nomaster
for i in 1 2 3 4; do
	in_guest ip link set eth$i netns n2x-gw
	in_gw ethtool -K eth$i gro off
	ip -n n2x-gw link set eth$i up # its queues stay
	ip -n n2x-gw link set eth$i down
done
ip -n n2x-gw link set eth4 mtu 9000
lab_baseline

# plan ID: what it says of that, for $CONF.
plan() {
	n2x plan -c "$CONF" --json | jq -r --arg id "$1" '.checks[] | select(.id == $id) |
		"\(.verdict): \(.cause)" + if .command == "" then "" else " > " + .command end'
}

# nic NUMBER BUILD LONGEST WHY: native with this build (xdp, xdp.frags), or with a WHY refused so, and generic.
nic() {
	local name=eth$1 build=$2 longest=$3 why=$4 mode=native
	echo "# $name: ${why:-native}"
	SEND_FROM=wire SEND_TO=02:4e:32:58:08:0$1
	ip -n n2x-gw link set "$name" up master br0
	in_gw bridge fdb replace "$SEND_TO" dev ens6 master static
	lab_forwarding
	conf attach="[$name]" mode=native
	if [ -n "$why" ]; then
		refuse "$name: native" 6 "$name: cannot attach XDP: virtio_net: $why: see nfq2xdp plan, or set xdp.mode to generic" \
			n2x migrate start -c "$CONF"
		mode=generic
		conf attach="[$name]"
	fi
	check "$name: plan: queues" "$(plan queues)" "ok: no number of queues is in the way"
	ok "$name: start" n2x migrate start -c "$CONF"
	check "$name: says why" "$(cat /run/lab/stderr)" \
		"${why:+nfq2xdp: $name: native XDP is not possible: virtio_net: $why}"
	check "$name: mode, build" "$(sed -nE "s/^br0: attached to $name: (.*), program.*/\1/p" <<<"$OUT")" "$mode, $build"
	burst $N -l "64:$longest" -f 4
	check "$name: shadow: matched, cleared, handled, with DF" \
		"$(diff_of .matched .cleared .handled) $(sink_of .df_left)" "$N 0 $N 0"
	ok "$name: full" n2x migrate full -c "$CONF"
	burst $N -l "64:$longest" -f 4
	check "$name: full: matched, cleared, handled, with DF, leaks" \
		"$(diff_of .matched .cleared .handled) $(sink_of .df_left) $(diff_of .leaks)" "$N $N 0 0 0"
	ok "$name: detach" n2x migrate rollback -c "$CONF" --detach --allow-link-reset
	in_gw bridge fdb del "$SEND_TO" dev ens6 master
	ip -n n2x-gw link set "$name" down nomaster
}

conf attach="[eth1]"
start_nfqueue || exit 1
linear=xdp
! has frags || linear=xdp.frags
# Before 6.3 the driver takes one page; that kernel is also the first to say what its drivers take.
long="MTU too large to enable XDP"
! grep -qw netdev_nl_dev_get_doit /proc/kallsyms || long=
nic 1 xdp 1500 ""
nic 2 xdp 1500 "" # no queue is left for XDP: shared
nic 3 xdp 1500 "Can't set XDP while host is implementing GRO_HW/CSUM, disable GRO_HW/CSUM first"
check "eth3: plan: gro" "$(plan gro)" \
	"warn: eth3: rx-gro-hw is on and fixed: native XDP is refused, it will be generic > xdp: { mode: generic } in the file   # or off where the device is made"
nic 4 $linear 9000 "$long"
if [ -n "$long" ]; then
	# The kernel switches it off for generic XDP, and not on again.
	check "eth4: rx-gro-hw" "$(in_gw ethtool -k eth4 | grep rx-gro-hw)" "rx-gro-hw: off"
	in_gw ethtool -K eth4 rx-gro-hw on
fi
stop_daemon nfqueue
finish

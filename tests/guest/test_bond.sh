#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A bond of two NICs as the port of the bridge: XDP on the bond, and on its NICs.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
ip link add probe0 type bond mode active-backup 2>/dev/null || lab_skip "the kernel has no bonds"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
N=300
# shellcheck disable=SC2034 # for send
SEND_FROM=eth0

# bond MODE: of ens5 and ens7, in place of the tunnel.
bond() {
	lab_batch n2x-gw <<-END
		link set ens5 down
		link set ens7 down
		link add bond0 mtu 9001 type bond miimon 100 mode $1
		link set ens5 master bond0
		link set ens7 master bond0
		link set bond0 up master br0
	END
	in_gw ethtool -K bond0 gro off
	lab_forwarding
}

# plan ID: what it says of that, for $CONF.
plan() {
	n2x plan -c "$CONF" --json | jq -r --arg id "$1" '.checks[] | select(.id == $id) | "\(.verdict): \(.cause)"'
}

# way NAME ATTACHED: in SHADOW the NFQUEUE path has all, in FULL XDP has.
way() {
	ok "$1: start" n2x migrate start -c "$CONF"
	check "$1: attached" "$(sed -nE 's/^br0: attached to (.*), program.*/\1/p' <<<"$OUT" | sort)" "$2"
	both "$1" $N
	ok "$1: detach" n2x migrate rollback -c "$CONF" --detach --allow-link-reset
}

lab_batch n2x-gw <<-END
	link set vxlan1 nomaster
	link set ens5 down
	link add ens7 mtu 9001 type veth peer name eth1 mtu 9001 netns n2x-src
	link set ens7 up
	link set ens7 down
END
ip -n n2x-src link set eth1 up
in_gw ethtool -K ens7 gro off rx-gro-list off rx-udp-gro-forwarding off
lab_baseline
conf
start_nfqueue || exit 1
build=xdp nics=generic
! has frags || build=xdp.frags nics=native
# A bond hands the program on to its NICs (5.15), where its mode lets it.
why="Underlying driver does not support XDP in native mode"
hands_on=
if grep -q ' bond_xdp_' /proc/kallsyms; then
	hands_on=1
	why="No native XDP support for the current bonding mode"
fi
unsaid="unknown: this kernel does not say whether bond0 can do native XDP (before 6.3): attaching will"
! grep -qw netdev_nl_dev_get_doit /proc/kallsyms || unsaid=

for mode in active-backup balance-alb; do
	echo "# $mode: the bond"
	bond $mode
	conf attach="[bond0]" mode=native
	if [ "$mode $hands_on" = "active-backup 1" ]; then
		check "$mode: plan: native" "$(plan native)" "${unsaid:-ok: every attach point can do native XDP}"
		way "$mode, the bond" "bond0: native, $build"
	else
		check "$mode: plan: native" "$(plan native)" "${unsaid:-fail: bond0 (bonding) cannot do native XDP}"
		refuse "$mode: native" 6 "bond0: cannot attach XDP: $why: see nfq2xdp plan, or set xdp.mode to generic" \
			n2x migrate start -c "$CONF"
		conf attach="[bond0]"
		way "$mode, the bond" "bond0: generic, $build"
	fi
	echo "# $mode: its NICs"
	conf attach="[ens5, ens7]"
	check "$mode, its NICs: plan: the bond" \
		"$(n2x plan -c "$CONF" --json | jq -r '.not_attached[] | select(.interface == "bond0") | del(.interface)[]')" \
		"XDP is below it"
	way "$mode, its NICs" "ens5: $nics, $build
ens7: $nics, $build"
	ip -n n2x-gw link del bond0
done
stop_daemon nfqueue
finish

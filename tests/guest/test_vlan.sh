#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# 802.1Q: tagged frames through a port of the bridge, and a VLAN device that is a port.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
ip link add probe0 type dummy 2>/dev/null || lab_skip "the kernel has no dummy devices"
ip link add link probe0 probe1 type vlan id 1 2>/dev/null || lab_skip "the kernel has no VLAN devices"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
N=300

lab_batch n2x-src <<-END
	link add link mirror0 name mirror0.100 type vlan id 100
	link set mirror0.100 up
	link add link eth0 name eth0.100 type vlan id 100
	link set eth0.100 up
END
lab_batch n2x-col <<-END
	link add link eth0 name eth0.100 type vlan id 100
	link set eth0.100 up
END
lab_batch n2x-gw <<-END
	link add link ens5 name ens5.100 type vlan id 100
END
in_gw ethtool -K ens5.100 gro off
in_col ethtool -K eth0.100 gro off
# It has its qdisc from when it was up.
ip -n n2x-gw link set ens5.100 up
ip -n n2x-gw link set ens5.100 down
tagged() { in_gw sysctl -qw net.bridge.bridge-nf-filter-vlan-tagged="$1"; }
lab_baseline
conf
start_nfqueue || exit 1

# way NAME: in SHADOW the NFQUEUE path has all, in FULL XDP has.
way() {
	ok "$1: start" n2x migrate start -c "$CONF"
	both "$1" $N
}
detach() { ok "$1: detach" n2x migrate rollback -c "$CONF" --detach --allow-link-reset; }

echo "# tagged frames, in the tunnel: seen below it, and on the port"
SEND_FROM=mirror0.100 SEND_AT=eth0.100
tagged 1
for point in ens5 vxlan1; do
	conf attach="[$point]" match="$([ $point = vxlan1 ] || echo ', encap: vxlan')"
	way "tagged, $point"
	detach "tagged, $point"
done

echo "# which the rule does not see"
tagged 0
ok "hidden: start" n2x migrate start -c "$CONF"
burst $N -f 10
check "hidden: shadow: matched, handled, with DF" "$(diff_of .matched .handled) $(sink_of .df_left)" "$N 0 $N"
ok "hidden: full" n2x migrate full -c "$CONF"
burst $N -f 10
check "hidden: full: cleared, handled, with DF" "$(diff_of .cleared .handled) $(sink_of .df_left)" "$N 0 0"
detach hidden

echo "# a VLAN device as the port: XDP on it, and below it"
ip -n n2x-gw link set vxlan1 nomaster
ip -n n2x-gw link set ens5.100 up master br0
lab_forwarding
SEND_FROM=eth0.100 SEND_AT=eth0
for point in ens5.100 ens5; do
	conf attach="[$point]"
	way "VLAN device, $point"
	detach "VLAN device, $point"
done
ip -n n2x-gw link set ens5.100 down nomaster
ip -n n2x-gw link set vxlan1 master br0
ip -n n2x-gw link set vxlan1 type bridge_slave learning off flood off mcast_flood off
stop_daemon nfqueue
finish

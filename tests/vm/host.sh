#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs in the guest, at each boot, as a service: the package on a host with systemd as PID 1, over a reboot. The host is
# the gateway; source and collector are namespaces. Output to ttyS1, the exit code to the kernel's log.
set -u
export BUILD=build LAB_SLOW=10 LAB_WAIT=120 PATH=/usr/sbin:/usr/bin HOME=/root
stty -F /dev/ttyS1 raw -echo
exec >/dev/ttyS1 2>&1 </dev/null
STAGE=/var/lib/n2x-stage
end() {
	stty -F /dev/ttyS1 raw # waits until all is sent
	echo "<5>vm: exit $1" >/dev/kmsg
	systemctl poweroff -ff
	exit
}
trap 'end 1' EXIT
# shellcheck source=tests/lab/lab.sh
. /n2x/tests/lab/lab.sh
# What the test asks must not take the CPUs from what it asks about: the rollout measures what the NFQUEUE path can carry.
host() { nice -n 19 "$@"; }
mkdir -p /run/lab /run/netns
modprobe -a br_netfilter veth vxlan nfnetlink_queue
ip netns attach n2x-gw 1
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. /n2x/tests/netns/lib.sh
# shellcheck source=tests/lab/units.sh
. /n2x/tests/lab/units.sh
systemctl() { command systemctl -q "$@"; }
N=500 RATE=5000 # of which the guest sends a tenth
snapshot() {
	lab_snapshot
	files
}

first() {
	local generation
	echo "<5>vm: ready $(uname -r)" >/dev/kmsg
	snapshot >/var/tmp/before
	echo "# install"
	install_deb /n2x/build/deb/nfq2xdp_*.deb >/var/tmp/dpkg 2>&1
	check "install" $? 0
	set_conf attach="[vxlan1]"
	ok "enable --now, NFQUEUE" systemctl enable --now "$(unit nfqueue)"
	traffic $RATE
	ok "enable --now, migrate" systemctl enable --now "$(unit migrate)"
	await state_is FULL

	echo "# SIGKILL of each unit, under traffic"
	check "metrics" "$(metrics)" nfq2xdp_build_info
	generation=$(status | jq .generation)
	systemctl kill -s KILL "$(unit migrate)"
	anew() { [ "$(status | jq -r '"\(.generation) \(.state)"')" = "$((generation + 1)) FULL" ]; }
	await anew
	check "migrate: began anew, restarts" "$(show migrate NRestarts)" 1
	ok "confirm" confirm
	systemctl kill -s KILL "$(unit nfqueue)"
	await is nfqueue NRestarts 1
	await is nfqueue ActiveState active
	systemctl start "$(unit xdp)"
	check "xdp: start: share" "$? $(status | jq -r .share)" "0 all"
	systemctl kill -s KILL "$(unit xdp)"
	await is xdp NRestarts 1
	await is xdp ActiveState active
	systemctl stop "$(unit xdp)"
	ok "rollback" n2x migrate rollback -c $CONF
	no_traffic
	check "lost, doubled; with DF" "$(sink_of "$WHOLE") $(sink_of .df_left)" "$SENT 0 0 0 0 0 0 0 0"

	echo "# FULL, and a reboot"
	traffic $RATE
	systemctl restart "$(unit migrate)"
	await state_is FULL
	no_traffic
	check "share" "$(status | jq -r .share)" all # no traffic: it holds
	ROLLOUT="hold: 1h"
	set_conf attach="[vxlan1]"
	[ $FAILED = 0 ] || exit
	echo "second $PASSED" >$STAGE
	sync
	trap - EXIT
	systemctl reboot
}

# Nothing was started here: the units came with the interface.
second() {
	PASSED=$1
	echo "# after the reboot"
	await is nfqueue ActiveState active
	await is migrate ActiveState active
	check "state, share, generation" "$(status | jq -r '"\(.state) \(.share) \(.generation)"')" "SHADOW 0 1"
	burst $N
	check "NFQUEUE carries all, XDP sees all" "$(diff_of .handled .matched .cleared) $(sink_of .df_left)" "$N $N 0 0"
	check "problems" "$(status | jq -c .problems)" "[]"

	echo "# remove"
	purge_deb >>/var/tmp/dpkg 2>&1
	check "purge" $? 0
	rm $STAGE
	check "what is left" "$(diff /var/tmp/before <(snapshot))" ""
	tally
	end $?
}

case $(cat $STAGE 2>/dev/null) in
"") first ;;
"second "*) second "$(cut -d' ' -f2 $STAGE)" ;;
esac

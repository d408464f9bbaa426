#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The Debian package: installed on a host, migrating live traffic by its units, removed and purged, and nothing is left.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
# shellcheck source=tests/lab/host.sh
. "$LAB_ROOT/tests/lab/host.sh"
host() { in_host gw "$@"; }
# shellcheck source=tests/lab/units.sh
. "$LAB_ROOT/tests/lab/units.sh"
[ "${LAB_BIN%/tests/lab}" = "$LAB_ROOT/build" ] || lab_skip "the package is that of build"
shopt -s nullglob
DEB=("$LAB_ROOT"/build/deb/nfq2xdp_*.deb)
[ ${#DEB[@]} = 1 ] || lab_skip "needs build/deb/nfq2xdp_*.deb: make deb"
[ -x /lib/systemd/systemd-udevd ] || lab_skip "needs systemd and udev"

host_new gw && cp "${DEB[0]}" "$(host_root gw)/nfq2xdp.deb" && host_up gw n2x-gw && lab_baseline || exit 1
files >/run/lab/before

echo "# install"
install_deb /nfq2xdp.deb >/run/lab/log 2>&1
check "install" $? 0
check "user, directories" "$(host stat -c '%U %a' /sys/fs/bpf/nfq2xdp /etc/nfq2xdp | tr '\n' ' ')" "nfq2xdp 700 root 755 "
check "manual" "$(host man -w nfq2xdp nfq2xdp-run nfq2xdp-migrate nfq2xdp-parity nfq2xdp.yaml | wc -l)" 5

echo "# use, as the guide has it"
mapfile -t guide < <(awk '/^```bash/ { on = 1; next } /^```/ { on = 0 } on' "$LAB_ROOT/MIGRATION.md")
check "commands for systemd in the guide" ${#guide[@]} 4
guide() { ok "$1" host sh -c "$1"; }
set_conf attach="[vxlan1]"
guide "${guide[0]}"
traffic 5000
guide "${guide[1]}"
await state_is FULL
ok "confirm" confirm
await is migrate SubState exited
ok "rollback" n2x migrate rollback -c $CONF
ok "full again" n2x migrate full -c $CONF

ok "its log" host sh -c "journalctl -u nfq2xdp-migrate@br0"
check "its log: ends with" "$(grep -c 'CONFIRMED' <<<"$OUT")" 1
# On a terminal, with an editor that writes what the manual has.
host sh -c 'cat >/editor && chmod +x /editor' <<-'END'
	#!/bin/sh
	for file; do :; done
	printf '[Service]
AmbientCapabilities=CAP_SYS_PTRACE
CapabilityBoundingSet=CAP_SYS_PTRACE
' >"$file"
END
ok "drop-in" host sh -c "SYSTEMD_EDITOR=/editor script -qec 'systemctl edit nfq2xdp-migrate@' /dev/null"
ok "again, with it" host sh -c "systemctl restart nfq2xdp-migrate@br0"
check "its rights" "$(show migrate AmbientCapabilities | grep -o cap_sys_ptrace)" cap_sys_ptrace
host rm -r /editor "/etc/systemd/system/nfq2xdp-migrate@.service.d"
systemctl daemon-reload
await state_is FULL

echo "# install again"
install_deb /nfq2xdp.deb >>/run/lab/log 2>&1
check "install over it, under traffic" $? 0
check "it goes on" "$(status | jq -r .share) $(show nfqueue NRestarts) $(show nfqueue ActiveState)" "all 0 active"
no_traffic
check "lost, doubled; with DF" "$(sink_of "$WHOLE") $(sink_of .df_left)" "$SENT 0 0 0 0 0 0 0 0"

echo "# done"
ok "confirm again" confirm
await is migrate SubState exited
ok "done" n2x migrate "done" -c $CONF
guide "${guide[2]}"
guide "${guide[3]}"
alone() {
	OUT=$(status)
	check "$1: status" "$? $(jq -r '"\(.state) \(.share) \(.problems)"' <<<"$OUT")" "0 DONE all []"
	burst 1000
	check "$1: cleared, df_left" "$(diff_of .cleared) $(sink_of .df_left)" "1000 0"
}
alone "XDP alone"
host_down gw
# With the host's processes and mounts its pins go, and then what they held.
detached() { ! in_gw ip link show vxlan1 | grep -q xdp; }
until detached; do :; done
host_up gw n2x-gw || exit 1
# In a container systemd hears nothing of udev: what the interface starts on a host is started here.
host sh -c 'systemctl daemon-reload; systemctl start $(ls /etc/systemd/system/sys-subsystem-net-devices-br0.device.wants)'
check "after a reboot: xdp, nfqueue, migrate" "$(show xdp ActiveState) $(show nfqueue ActiveState) $(show migrate ActiveState)" "active inactive inactive"
alone "after a reboot"

echo "# an operator's rule that was taken away, and his daemon is not there any more"
in_gw ip link add fx0 type veth peer name fx1
in_gw iptables -t mangle -A PREROUTING -i fx0 -p udp --dport 31765 -j NFQUEUE --queue-num 5
start_daemon old in_gw "$LAB_BIN/old_daemon" -q 5
echo '{ interface: fx0, match: { dport: [31765] }, xdp: { attach: [fx0] }, nfqueue: { queue: 5, daemon: external } }' |
	host sh -c 'cat >/etc/nfq2xdp/fx0.yaml'
for step in start full "confirm 1" "done"; do
	# shellcheck disable=SC2086
	ok "external: $step" n2x migrate $step -c /etc/nfq2xdp/fx0.yaml
done
stop_daemon old

echo "# remove"
host dpkg -r nfq2xdp >/run/lab/remove 2>&1
check "remove" $? 0
cat /run/lab/remove >>/run/lab/log
check "what cannot be put back is said" "$(grep '^nfq2xdp: ' /run/lab/remove)" \
	"nfq2xdp: nobody listens on queue 5: start the daemon that was there first"
check "and kept, alone" "$(host sh -c 'ls /run/nfq2xdp | grep -vc -- "-fx0.rules$"') $(host sh -c 'cat /run/nfq2xdp/*-fx0.rules' | grep -c -- '--queue-num 5')" "0 1"
in_gw ip link del fx0
in_gw nft delete table ip mangle
check "the operator's files stay" "$(host ls /etc/nfq2xdp /var/lib/nfq2xdp | tr '\n' ' ')" \
	"/etc/nfq2xdp: br0.yaml fx0.yaml  /var/lib/nfq2xdp: br0 fx0 "
check "the gateway" "$(diff /run/lab/baseline <(lab_snapshot))" ""
purge_deb >>/run/lab/log 2>&1
check "purge" $? 0
check "files, users, units, programs" "$(diff /run/lab/before <(files))" ""
check "what dpkg said" "$(grep -iE 'warning|error|failed' /run/lab/log | grep -v 'not empty so not removed')" ""
[ $FAILED = 0 ] || cat /run/lab/log
host_down gw
finish

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The units under a real systemd: their rights, a rollout under traffic, SIGKILL, a queue that stands still, what stops
# for good, and commands of root between those of the service's user.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
# shellcheck source=tests/lab/host.sh
. "$LAB_ROOT/tests/lab/host.sh"
[ -x /lib/systemd/systemd-udevd ] || lab_skip "needs systemd and udev"

host_new gw || exit 1
make -s -C "$LAB_ROOT" BUILD="${LAB_BIN%/tests/lab}" install DESTDIR="$(host_root gw)" PREFIX=/usr >/dev/null || exit 1
host_up gw n2x-gw && lab_baseline || exit 1

host() { in_host gw "$@"; }
# shellcheck source=tests/lab/units.sh
. "$LAB_ROOT/tests/lab/units.sh"

echo "# the files"
host systemd-sysusers
host systemd-tmpfiles --create nfq2xdp.conf
systemctl daemon-reload
check "bpffs" "$(host stat -c '%U:%G %a' /sys/fs/bpf /sys/fs/bpf/nfq2xdp | tr '\n' ' ')" "root:root 1700 nfq2xdp:nfq2xdp 700 "
for u in nfqueue xdp migrate rollback; do
	file=/usr/lib/systemd/system/nfq2xdp-$u@.service
	check "$u: verify" "$(host systemd-analyze verify $file 2>&1)" ""
	exposure=$(host systemd-analyze security --no-pager --offline=true $file | sed -nE 's/.*exposure.*: ([0-9.]+) .*/\1/p')
	check_le "$u: exposure, tenths" "${exposure/./}" 15
done

echo "# a rollout under traffic"
set_conf attach="[vxlan1]"
systemctl enable --now "$(unit nfqueue)"
check "nfqueue: start" $? 0
traffic 5000
systemctl enable --now "$(unit migrate)"
check "migrate: start" $? 0
await state_is FULL
check "status of nfqueue" "$(show nfqueue StatusText | sed 's/^[0-9]* //')" "packets handled"
await is migrate StatusText "FULL, step 2 of 2, share all"
rights() {
	host awk '/^(Uid|Gid|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):/ { printf "%s ", $2 }' "/proc/$(pid_of "$1")/status"
}
id="$(host id -u nfq2xdp) $(host id -g nfq2xdp)"
check "rights of nfqueue: net_admin" "$(rights nfqueue)" \
	"$id 0000000000001000 0000000000001000 0000000000001000 1 2 "
check "rights of migrate: net_admin, perfmon, bpf" "$(rights migrate)" \
	"$id 000000c000001000 000000c000001000 000000c000001000 1 2 "
# The build is known without CAP_SYS_ADMIN, too.
check "attached" "$(status | jq -c '.xdp.attached | map([.frags, .ours, .stub])')" "[[true,true,false]]"
ok confirm confirm
await is migrate SubState exited
check "metrics" "$(metrics)" nfq2xdp_build_info
check "confirmed: unit, state" "$(show migrate ActiveState) $(status | jq -r .state)" "active CONFIRMED"
ok "rollback by root" n2x migrate rollback -c $CONF
no_traffic
settle
check "all of it arrived" "$(sink_of "$WHOLE")" "$SENT 0 0 0 0 0 0 0"
check "left with DF, leaks" "$(sink_of .df_left) $(jq .leaks <<<"$STATUS")" "0 0"
check "handled once" "$(jq '.nfqueue.handled + .xdp.cleared' <<<"$STATUS")" "$SENT"

echo "# root's commands between"
ok "restart: confirmed before, and back since: the rollout begins anew" systemctl restart "$(unit migrate)"
systemctl stop "$(unit migrate)"
ok "start by root" n2x migrate start -c $CONF
ok "split by root" n2x migrate split -c $CONF --every 2
ok "panic by root" n2x panic
ok "detach by root" n2x migrate rollback -c $CONF --detach --allow-link-reset
ok "start by root, from nothing" n2x migrate start -c $CONF
check "whose it is" \
	"$(host find /run/nfq2xdp /var/lib/nfq2xdp /sys/fs/bpf/nfq2xdp ! -user nfq2xdp ! -path /run/nfq2xdp/nfq2xdp)" ""
traffic 5000
ok "the rollout on what root began" systemctl restart "$(unit migrate)"
await state_is FULL

echo "# SIGKILL"
generation=$(status | jq .generation)
systemctl kill -s KILL "$(unit migrate)"
anew() { [ "$(status | jq -r '"\(.generation) \(.state)"')" = "$((generation + 1)) FULL" ]; }
await anew
check "the rollout began anew: restarts" "$(show migrate NRestarts)" 1
ok confirm confirm
await is migrate SubState exited
ok "confirmed: the rollout started again" systemctl restart "$(unit migrate)"
check "confirmed: nothing is rolled out, nor back" \
	"$(status | jq -r '"\(.state) \(.share)"') $(show migrate SubState) $(show rollback ActiveState)" \
	"CONFIRMED all exited inactive"
systemctl kill -s KILL "$(unit nfqueue)"
await is nfqueue NRestarts 1
await is nfqueue ActiveState active
no_traffic
check "while XDP has all, nothing is lost by it" "$(sink_of "$WHOLE") $(sink_of .df_left)" "$SENT 0 0 0 0 0 0 0 0"
ok rollback n2x migrate rollback -c $CONF
burst 2000
check "after it: handled, df_left" "$(diff_of .handled) $(sink_of .df_left)" "2000 0"

echo "# XDP alone"
systemctl start "$(unit xdp)"
check "xdp: start; migrate" "$? $(show xdp ActiveState) $(show migrate ActiveState)" "0 active inactive"
systemctl kill -s KILL "$(unit xdp)"
check "xdp: killed: share" "$(status | jq -r .share)" all
await is xdp NRestarts 1
await is xdp ActiveState active
burst 2000
check "xdp: again: cleared, df_left" "$(diff_of .cleared) $(sink_of .df_left)" "2000 0"
systemctl stop "$(unit xdp)"
check "xdp: stop: share" "$(status | jq -r .share)" 0

echo "# a queue that stands still"
tid=$(find /proc/"$(pgrep -f 'nfq2xdp run nfqueue')"/task -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n | tail -1)
start_daemon hold "$LAB_BIN/hold_thread" "$tid"
in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 1000 -n 10 >/dev/null
await is nfqueue NRestarts 2
kill "${LAB_PID[hold]}" && lab_reap hold
check "ended by the watchdog" "$(host journalctl -q -o cat -u "$(unit nfqueue)" | grep -c 'Watchdog timeout')" 1
await is nfqueue ActiveState active
burst 2000
check "after it: handled, df_left" "$(diff_of .handled) $(sink_of .df_left)" "2000 0"

echo "# what lasts stops, and does not loop"
systemctl stop "$(unit nfqueue)"
start_daemon old in_gw "$LAB_BIN/old_daemon" -q 1
systemctl start "$(unit nfqueue)"
check "queue taken: start, status, restarts" "$? $(show nfqueue ExecMainStatus) $(show nfqueue NRestarts)" "1 5 0"
stop_daemon old
host sh -c "mkdir -p /run/systemd/system/nfq2xdp-xdp@.service.d
	printf '[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=CAP_NET_ADMIN\n' >/run/systemd/system/nfq2xdp-xdp@.service.d/x.conf"
systemctl daemon-reload
systemctl start "$(unit xdp)"
check "no right: start, status, restarts" "$? $(show xdp ExecMainStatus) $(show xdp NRestarts)" "1 6 0"
systemctl reset-failed

echo "# bpffs mounted once more, over ours: the way back needs none"
host mount -t bpf bpf /sys/fs/bpf
systemctl start "$(unit nfqueue)"
check "nfqueue: start" "$? $(show nfqueue ActiveState)" "0 active"
host rm -r /run/systemd/system/nfq2xdp-xdp@.service.d
systemctl daemon-reload
systemctl start "$(unit xdp)"
check "xdp: start, status" "$? $(show xdp ExecMainStatus)" "1 6"
check "xdp: says why" "$(host journalctl -q -o cat -u "$(unit xdp)" | grep -c 'is not a BPF file system: mount')" 1
host umount /sys/fs/bpf
systemctl stop "$(unit nfqueue)"
systemctl reset-failed

echo "# a rollout that fails"
ROLLOUT+=", on-legacy-down: pass"
set_conf attach="[vxlan1]"
systemctl start "$(unit nfqueue)"
systemctl restart "$(unit migrate)"
traffic 5000
await state_is FULL
before=$(host journalctl -q -o cat -u "$(unit rollback)" | grep -c '^Finished')
systemctl stop "$(unit nfqueue)"
await is migrate ActiveState failed
check "failed: status, restarts" "$(show migrate ExecMainStatus) $(show migrate NRestarts)" "7 0"
ran() { [ "$(host journalctl -q -o cat -u "$(unit rollback)" | grep -c '^Finished')" = "$1" ]; }
await ran $((before + 1))
check "the rollback unit ran" "$(show rollback Result) $(show rollback ExecMainStatus)" "success 0"
check "share" "$(status | jq -r .share)" 0
no_traffic
systemctl reset-failed

echo "# residue"
systemctl disable --now "$(unit nfqueue)" "$(unit migrate)"
ok detach n2x migrate rollback -c $CONF --detach --allow-link-reset
check "pins" "$(host find /sys/fs/bpf/nfq2xdp -mindepth 1)" ""
host_down gw
check "cgroups" "$(find /sys/fs/cgroup -name "$HOST_LAB-*")" ""
finish

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Nobody is alive to roll back: the controller is killed, stands still, or its disk is full. The kernel takes XDP out by
# itself once the lease is over, and the NFQUEUE path carries all.
set -u
# shellcheck source=tests/faults/lib.sh
. "$(dirname "$0")/lib.sh"

rounds=$(by_form 1 5)
before=$(everything)
start_state() {
	conf attach="[vxlan1]"
	rollout steps="[all]" hold=1s "$@"
	start_auto
	until_auto '.event == "step"'
	until_auto '.in_step_seconds > 1'
}

# expired NAME LEASE_S: waits until the kernel does not take the share any more; SINCE is how long after t0.
expired() {
	local deadline=$((SECONDS + LAB_WAIT))
	until [ "$(status | jq -r .state)" = ROLLED_BACK ] || [ $SECONDS -ge $deadline ]; do :; done
	SINCE=$(($(now_ms) - t0))
	check_le "$1: out after, in ms" "$SINCE" $((($2 + 1) * 1000))
	echo "$SINCE" >>/run/lab/times
}

conf attach="[vxlan1]"
start_nfqueue
mark
traffic
for ((round = 1; round <= rounds; round++)); do
	for lease in 1 5; do
		echo "# killed, lease $lease s"
		start_state lease=${lease}s
		kill -KILL "${LAB_PID[auto]}"
		t0=$(now_ms)
		lab_reap auto 2>/dev/null
		expired "killed, lease $lease s" $lease
		check "killed: share, problem" "$(status | jq -r '"\(.share) \(.lease_seconds) \(.problems | map(select(test("lease ran out"))) | length)"')" \
			"all 0 1"
		told "killed" "4 ROLLED_BACK all ok ours" "the lease ran out: XDP takes nothing since"
		refuse "killed: no step up on it" 1 "the lease ran out" n2x migrate split -c "$CONF" --every 2
		refuse "killed: no confirm of it" 1 "was not confirmed in time" confirm
		ok "killed: rollback" n2x migrate rollback -c "$CONF"
		check "killed: state" "$(state)" "ROLLED_BACK 0"

		echo "# stands still, lease $lease s, and goes on"
		start_state lease=${lease}s
		kill -STOP "${LAB_PID[auto]}"
		t0=$(now_ms)
		expired "stopped, lease $lease s" $lease
		told "stopped" "4 ROLLED_BACK all ok ours" "the lease ran out: XDP takes nothing since"
		kill -CONT "${LAB_PID[auto]}"
		expect "controller stopped, lease $lease s" "the lease ran out*"
		check "stopped: state" "$(state)" "ROLLED_BACK 0"

		echo "# a full disk, lease $lease s"
		# A disk of its own, with room for the first seconds.
		mkdir -p /var/lib/nfq2xdp
		mount -t tmpfs -o size=64k lab /var/lib/nfq2xdp
		start_state lease=${lease}s
		dd if=/dev/zero of=/var/lib/nfq2xdp/filler bs=1k count=64 2>/dev/null
		# And the page that the journal has.
		while printf '{}\n' >>/var/lib/nfq2xdp/br0/journal.jsonl; do :; done 2>/dev/null
		t0=$(now_ms)
		expired "full disk, lease $lease s" $lease
		expect "full disk, lease $lease s" "gate journal: *No space left on device*"
		told "full disk" "0 ROLLED_BACK 0 ok ours"
		refuse "full disk: no step up" 6 "journal" n2x migrate start -c "$CONF"
		ok "full disk: rollback" n2x migrate rollback -c "$CONF"
		ok "full disk: panic" n2x panic
		umount /var/lib/nfq2xdp
	done
done

echo "# by hand: nobody confirms"
conf attach="[vxlan1]"
rollout confirm=2s
ok "by hand: start" n2x migrate start -c "$CONF"
t0=$(now_ms)
ok "by hand: full" n2x migrate full -c "$CONF"
expired "by hand" 2
told "by hand" "4 ROLLED_BACK all ok ours" "the lease ran out: XDP takes nothing since"
ok "by hand: start again" n2x migrate start -c "$CONF"
check "by hand: state" "$(state)" "SHADOW 0"

echo "# panic, with the state directories and the configuration gone"
ok full n2x migrate full -c "$CONF"
mount -t tmpfs lab /run/nfq2xdp
mount -t tmpfs lab /var/lib/nfq2xdp
rm "$CONF"
ok panic n2x panic
check "panic: status, by the interface" "$(n2x migrate status br0 --json | lab_status | jq -r '"\(.state) \(.share) \(.xdp.attached[0].holder)"')" \
	"ROLLED_BACK 0 ours"
umount /run/nfq2xdp /var/lib/nfq2xdp
conf attach="[vxlan1]"
told panic "0 ROLLED_BACK 0 ok ours"

no_traffic
since_mark
whole all
check "cleared + handled = sent, leaks" "$(diff_of '.cleared + .handled' .leaks)" "$SENT 0"
ok detach detach
stop_daemon nfqueue
keep lease "$(percentiles </run/lab/times)"
keep lease_faults "$FAULT_RESULTS"
unchanged "the end" "$before"
finish

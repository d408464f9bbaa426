#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The playbook on three hosts with traffic, each with a systemd of its own: it takes them to XDP one after the other, and
# stops at the one whose rollout goes back.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
# shellcheck source=tests/lab/host.sh
. "$LAB_ROOT/tests/lab/host.sh"
[ "${LAB_BIN%/tests/lab}" = "$LAB_ROOT/build" ] || lab_skip "the package is that of build"
shopt -s nullglob
DEB=("$LAB_ROOT"/build/deb/nfq2xdp_*.deb)
[ ${#DEB[@]} = 1 ] || lab_skip "needs build/deb/nfq2xdp_*.deb: make deb"
for tool in ansible-playbook /lib/systemd/systemd-udevd; do
	command -v $tool >/dev/null || lab_skip "needs $tool"
done
HOSTS=(gw1 gw2 gw3) # gw2 is the one
FLEET=/run/lab/fleet

# A host is one interface with traffic: packets that nobody waits for behind it.
fleet_up() {
	local h mac
	mkdir -p $FLEET/files
	for h in "${HOSTS[@]}"; do
		mac=02:4e:32:58:0f:0${h#gw}
		ip netns add "n2x-$h"
		ip netns add "n2x-$h-src"
		lab_batch "n2x-$h" <<-END || return
			link add mirror address $mac type veth peer name mirror0 netns n2x-$h-src
			link set lo up
			link set mirror up
		END
		ip -n "n2x-$h-src" link set mirror0 up
		host_new "$h" && cp "${DEB[0]}" "$(host_root "$h")/nfq2xdp.deb" && host_up "$h" "n2x-$h" || return
		echo "${HOST_PID[$h]}" >"$FLEET/$h"
		start_daemon "source-$h" nsenter --net="/run/netns/n2x-$h-src" "$LAB_BIN/source" -i mirror0 -m "$mac" -r 2000 -l 52:1400 || return
	done
	cat >$FLEET/files/mirror.yaml <<-END
		interface: mirror
		match:    { protocol: udp, dport: [31765] }
		xdp:      { attach: [mirror] }
		nfqueue:  { queue: 1 }
		rollout:  { steps: [1/10, all], hold: 1s, samples: 100, lease: 2s }
	END
	# In place of ssh: HOST and COMMAND are its last arguments.
	cat >$FLEET/ssh <<-'END'
		#!/bin/bash
		host=${*: -2:1}
		exec nsenter --target="$(<"/run/lab/fleet/$host")" --mount --pid --net --uts --ipc --cgroup --root --wd \
			env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 sh -c "${*: -1}"
	END
	chmod +x $FLEET/ssh
	{
		echo "[gateways]"
		printf '%s\n' "${HOSTS[@]}"
		echo "[gateways:vars]"
		printf '%s\n' ansible_ssh_executable=$FLEET/ssh ansible_ssh_transfer_method=piped instance=mirror \
			ansible_become=false ansible_python_interpreter=/usr/bin/python3 policy=$FLEET/files/mirror.yaml package=/nfq2xdp.deb patience=60
	} >$FLEET/inventory
}

state() { in_host "$1" nfq2xdp migrate status -c /etc/nfq2xdp/mirror.yaml --json 2>/dev/null | jq -r '"\(.state) \(.share)"'; }
play() {
	env -u MAKEFLAGS ANSIBLE_HOME=$FLEET/ansible ANSIBLE_LOCAL_TEMP=$FLEET/tmp ANSIBLE_NOCOLOR=1 ANSIBLE_HOST_KEY_CHECKING=0 \
		ansible-playbook -i $FLEET/inventory "$LAB_ROOT/deploy/ansible/rollout.yml" -e '{"batches": [1]}' >$FLEET/log 2>&1
}
# recap: HOST:FAILED of each host that was reached.
recap() { sed -n '/^PLAY RECAP/,$p' $FLEET/log | sed -nE 's/^(gw.) .* failed=([0-9]).*/\1:\2/p' | xargs; }

fleet_up || exit 1
# What XDP cleared has DF again in front of the NFQUEUE rule: both paths would handle it.
in_host gw2 nft 'add table ip defect; add chain ip defect c { type filter hook prerouting priority -460; };
	add rule ip defect c udp dport 31765 ip frag-off set 0x4000'

echo "# one host goes back"
play
rc=$?
check "the playbook fails" $((rc != 0)) 1
check "reached, failed" "$(recap)" "gw1:0 gw2:1"
check "it says which and why" "$(grep -c 'gw2: the rollout went back: journalctl -u nfq2xdp-migrate@mirror' $FLEET/log)" 1
check "gw1" "$(state gw1)" "CONFIRMED all"
check "gw2: back on NFQUEUE" "$(state gw2) $(in_host gw2 systemctl is-active nfq2xdp-nfqueue@mirror)" "ROLLED_BACK 0 active"
check "gw2: because of" "$(in_host gw2 journalctl -o cat -u nfq2xdp-migrate@mirror | grep -o 'rolled back: gate [a-z-]*' | sort -u)" \
	"rolled back: gate conservation"
check "gw3: not touched" "$(in_host gw3 dpkg-query -W nfq2xdp 2>&1 | grep -c 'no packages found')" 1
[ $FAILED = 0 ] || cat $FLEET/log

echo "# repaired"
in_host gw2 nft delete table ip defect
in_host gw2 systemctl reset-failed
play
check "the playbook succeeds" $? 0
check "reached, failed" "$(recap)" "gw1:0 gw2:0 gw3:0"
check "all" "$(for h in "${HOSTS[@]}"; do state "$h"; done | sort | uniq -c | xargs)" "3 CONFIRMED all"
[ $FAILED = 0 ] || cat $FLEET/log
for h in "${HOSTS[@]}"; do
	stop_daemon "source-$h"
	host_down "$h"
done
tally

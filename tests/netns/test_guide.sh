#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs every command block of MIGRATION.md, in order and as written, on the lab's gateway under traffic: each exits 0,
# and no packet is lost, doubled, left with DF, or not accounted for.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1

# A private copy of /etc, an empty /var/log, and the binary in PATH: what the guide names, and nothing of the host's.
mkdir /run/lab/etc
cp -a /etc/. /run/lab/etc
mount --bind /run/lab/etc /etc
mount -t tmpfs lab /var/log
mkdir -p /etc/nfq2xdp
PATH=$(dirname "$(dirname "$LAB_BIN")"):$PATH
CONF=/etc/nfq2xdp/br0.yaml
# The README's example is the guide's configuration.
awk '/^```yaml/ { on = 1; next } /^```/ { on = 0 } on' "$LAB_ROOT/README.md" >$CONF
# The same in seconds instead of minutes.
echo "rollout: { hold: 1s }" >>$CONF

status() { in_gw nfq2xdp migrate status -c $CONF --json | lab_status; }

# await FILTER: until jq says true of the status.
await() {
	local deadline=$((SECONDS + LAB_WAIT))
	until jq -e "$1" >/dev/null < <(status); do
		[ $SECONDS -lt $deadline ] || { echo "never true: $1"; tail /var/log/nfq2xdp-br0.log; return 1; }
	done
}

# The empty table that the old rule leaves is not ours.
lab_old_rule A
lab_old_rule D
lab_baseline
lab_old_rule A
start_daemon old in_gw "$LAB_BIN/old_daemon" -l 4096
start_daemon sink in_col "$LAB_BIN/sink" -i eth0
# Before each step up the NFQUEUE path shows that it can carry half as much again: also under sanitizers.
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 3000

mapfile -t -d $'\1' blocks < <(awk '/^```sh/ { on = 1; next } /^```/ { if (on) printf "\1"; on = 0 } on' \
	"$LAB_ROOT/MIGRATION.md")
check "command blocks in the guide" "${#blocks[@]}" 17
handled=0
for block in "${blocks[@]}"; do
	in_gw bash -eu -c "$block"
	check "exit of: ${block//$'\n'/; }" $? 0
	case $block in
	setsid*nfqueue*)
		await .nfqueue.running
		;;
	setsid*auto*)
		# The counters of the NFQUEUE path end with its process, and it is the same one.
		await '.state == "FULL" and .step == 4'
		;;
	*"confirm 2"*)
		check "state" "$(status | jq -r .state)" CONFIRMED
		# What XDP clears until it is detached goes with its maps: nothing from here on.
		in_gw nfq2xdp migrate rollback -c $CONF
		;;
	"iptables -t mangle -D"*)
		until awk '$1 == 0 && $3 { exit 1 }' < <(in_gw cat /proc/thread-self/net/netfilter/nfnetlink_queue); do :; done
		stop_daemon old
		old=$(field .handled)
		;;
	*"migrate done"*)
		handled=$(status | jq .nfqueue.handled)
		check "state" "$(status | jq -r .state)" DONE
		;;
	esac
	if [[ $block == *--detach* ]]; then
		stop_daemon source
		sent=$(field .sent)
		await '.nfqueue.depth == 0'
		handled=$((handled + $(status | jq .nfqueue.handled)))
	elif [[ $block == *status* ]]; then
		check "problems, leaks, unmodified" "$(status | jq -c '[.problems, .leaks, .nfqueue.unmodified]')" \
			'[[],0,0]'
	fi
	# Counters of XDP go with its maps: read them before the last block.
	[ -z "$(status | jq '.xdp.attached[]')" ] || xdp=$(status | jq .xdp.cleared)
done
ask sink
check "received = sent" "$(field .received)" "$sent"
check "lost, duplicate, with DF" "$(field '"\(.lost) \(.duplicate) \(.df_left)"')" "0 0 0"
check "bad checksums, sink drops" "$(field '"\(.bad_ip_csum) \(.bad_udp_csum) \(.sink_drops)"')" "0 0 0"
check "old + nfqueue + xdp = sent" $((old + handled + xdp)) "$sent"
stop_daemon sink
in_gw pkill -TERM -x nfq2xdp
while in_gw nft list tables | grep -q nfq2xdp; do :; done
finish

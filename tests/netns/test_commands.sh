#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Every command that README, MIGRATION.md and the manual name, run as written where it belongs: on the way from the old
# daemon to XDP alone and back, under traffic of which no packet is lost. tests/commands.py finds them and says how the
# placeholders are filled in; a command that nothing here runs, or that nothing there names, is a failure.
# shellcheck disable=SC2016 # $GENERATION is for the command
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
for tool in python3 tcpdump; do
	command -v $tool >/dev/null || lab_skip "needs $tool"
done

# What runs in another place: FILE:WHAT, and the file has it; no WHAT: the command itself.
declare -A ELSEWHERE=(
	["make demo"]=".ci/run:stage demo 240 make demo"
	["make demo VM=1"]=".ci/run:stage demo-vm 400 make demo VM=1"
	["make test"]=".ci/run:stage test 2000 make test"
	["make deb"]="tests/unit/test_deb.sh:make -s deb"
	["make install"]='tests/netns/test_units.sh:install DESTDIR='
	["nft flush ruleset"]="tests/netns/test_paths_crash.sh:in_gw nft flush ruleset"
	["nft delete table"]="tests/netns/test_faults.sh:in_gw nft delete table"
	["systemctl restart nfq2xdp-migrate@br0"]="tests/netns/test_package.sh:"
	["systemctl edit nfq2xdp-migrate@"]="tests/netns/test_package.sh:"
	["journalctl -u nfq2xdp-migrate@br0"]="tests/netns/test_package.sh:"
)
declare -A RAN

cd "$LAB_ROOT" || exit 1
mkdir /run/lab/etc
cp -a /etc/. /run/lab/etc
mount --bind /run/lab/etc /etc
mkdir -p /etc/nfq2xdp /var/lib/prometheus/node-exporter
PATH=$(dirname "$N2X"):$PATH
CONF=/etc/nfq2xdp/br0.yaml
C="-c $CONF"
# The README's example, in seconds instead of minutes.
awk '/^```yaml/ { on = 1; next } /^```/ { on = 0 } on' "$LAB_ROOT/README.md" >$CONF
echo "rollout: { hold: 1s, samples: 100, steps: [1/10, all] }" >>$CONF

# as_written EXIT COMMAND: OUT is what it says on standard output.
as_written() {
	RAN[$2]=1
	OUT=$(GENERATION=$(status | jq .generation) in_gw bash -c "$2" 2>/run/lab/stderr)
	check "$2" $? "$1"
}
# begun NAME PATTERN COMMAND: in the background, until it says that (if anything). ended NAME EXIT [SIGNAL].
begun() {
	RAN[$3]=1
	start "$1" in_gw bash -c "exec $3 2>&1"
	[ -z "$2" ] || { wait_line "$1" "$2"; check "$3: says $2" $? 0; }
}
ended() {
	[ $# -lt 3 ] || kill "-$3" "${LAB_PID[$1]}"
	wait_daemon "$1"
	check "$1 ended${3:+ by SIG$3}: exit" $? "$2"
}
state_is() { check "state, share" "$(status | jq -r '"\(.state) \(.share)"')" "$1"; }
await() {
	local deadline=$((SECONDS + LAB_WAIT))
	until jq -e "$1" >/dev/null < <(status); do
		[ $SECONDS -lt $deadline ] || { echo "never true: $1: $(status)"; return 1; }
	done
}
# dry COMMAND…: each changes nothing.
dry() {
	local before
	before=$(everything)
	while [ $# -gt 0 ]; do
		as_written 0 "$1"
		check_le "$1: changes" 1 "$(grep -c . <<<"$OUT")"
		shift
	done
	unchanged "dry runs" "$before"
}
# card PROBLEM: the emergency card has it, and status says it, with exit status 4.
card() {
	check "the card has it" "$(grep -c "^| \`PROBLEM $1\` |" "$LAB_ROOT/MIGRATION.md")" 1
	as_written 4 "nfq2xdp migrate status"
	check "status has it" "$(grep -c "PROBLEM.*${1#… }" <<<"$OUT")" 1
}

# The empty table that the old rule leaves is not ours.
lab_old_rule A
lab_old_rule D
lab_baseline

echo "# before"
as_written 0 "make help"
as_written 0 "nfq2xdp --help"
as_written 0 "nfq2xdp --version"
as_written 0 "iptables -t mangle -A PREROUTING -i br0 -p udp --dport 31765 -j NFQUEUE --queue-num 0"
as_written 0 "iptables -t mangle -L PREROUTING --line-numbers"
check "the rule's number" "$(awk '/NFQUEUE/ { print $1 }' <<<"$OUT")" 1
start_daemon old in_gw "$LAB_BIN/old_daemon" -l 4096
start_daemon sink in_col "$LAB_BIN/sink" -i eth0
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 3000 -f 16
for iface in "" " br0"; do
	for local in "" " --local-only"; do
		as_written 0 "nfq2xdp plan$iface$local"
		as_written 0 "nfq2xdp plan$iface --write /run/lab/new.yaml$local"
		check "a policy" "$(head -1 /run/lab/new.yaml)" "interface: br0"
		rm /run/lab/new.yaml
	done
done
mv $CONF /run/lab/mine
as_written 0 "nfq2xdp plan --write $CONF"
check "a policy" "$(head -1 $CONF)" "interface: br0"
mv /run/lab/mine $CONF
dry "nfq2xdp run nfqueue $C --dry-run" "nfq2xdp run xdp $C --dry-run" "nfq2xdp run xdp $C --local-only --dry-run" \
	"nfq2xdp migrate start $C --dry-run" "nfq2xdp migrate start $C --local-only --dry-run"
in_gw tcpdump -Z root -ni ens5 -c 200 -w /run/lab/FILE.pcap udp dst port 4789 2>/dev/null
for queue in "" " --live-queue"; do
	for example in "" " --example /run/lab/example"; do
		as_written 0 "nfq2xdp parity replay /run/lab/FILE.pcap $C$queue$example"
	done
done

echo "# the NFQUEUE path"
GUARDED="PREROUTING -i br0 -p udp --dport 31765 -m u32 --u32 '4&0x4000=0x4000' -j NFQUEUE --queue-num 0"
in_gw bash -c "iptables -t mangle -R ${GUARDED/ / 1 }"
begun nfqueue '*NFQUEUE path ready*' "nfq2xdp run nfqueue $C"
in_gw bash -c "iptables -t mangle -D $GUARDED"
until as_written 0 "cat /proc/net/netfilter/nfnetlink_queue" && awk '$1 == 0 && $3 { exit 1 }' <<<"$OUT"; do :; done
check "queues" "$(awk '{ print $1 }' <<<"$OUT" | xargs)" "0 1"
stop_daemon old
old=$(field .handled)
as_written 0 "nfq2xdp plan $C"
as_written 0 "nfq2xdp plan $C --local-only"

echo "# shadow"
as_written 0 "nfq2xdp migrate start $C"
state_is "SHADOW 0"
for command in "nfq2xdp status" "nfq2xdp migrate status"; do
	for which in "" " br0" " $C"; do
		as_written 0 "$command$which"
		check "says the state" "$(grep -c SHADOW <<<"$OUT")" 1
	done
done
as_written 0 "nfq2xdp status --json"
check "the same as data" "$(jq -r .state <<<"$OUT")" SHADOW
for which in "" " br0" " $C"; do
	begun monitor '*SHADOW*' "nfq2xdp monitor$which"
	ended monitor 0 INT
done
for how in "--for 3s" "--bound 1e-2" "--for 3s --bound 1e-2"; do
	as_written 0 "nfq2xdp parity live $C $how"
	as_written 0 "nfq2xdp parity live $C $how --example /run/lab/example"
done
for example in "" " --example /run/lab/example"; do
	matched=$(status | jq .xdp.matched)
	begun parity '' "nfq2xdp parity live $C$example"
	await ".xdp.matched > $matched + 2000"
	ended parity 0 INT
done

echo "# split"
dry "nfq2xdp migrate split $C --every 10 --dry-run" "nfq2xdp migrate split $C --percent 10 --by flow --dry-run" \
	"nfq2xdp migrate full $C --dry-run"
as_written 0 "nfq2xdp migrate split $C --every 10"
state_is "SPLIT 1/10"
as_written 0 "nfq2xdp migrate split $C --percent 10 --by flow"
state_is "SPLIT 10%"
as_written 0 "nfq2xdp migrate hold $C"
state_is "HOLD 10%"
as_written 0 "nfq2xdp migrate resume $C"
as_written 0 "nfq2xdp migrate extend $C"
state_is "SPLIT 10%"
dry "nfq2xdp panic --dry-run" "nfq2xdp panic br0 --dry-run" "nfq2xdp migrate rollback $C --dry-run"
as_written 0 "nfq2xdp migrate rollback $C"
state_is "ROLLED_BACK 0"

echo "# full"
for back in "nfq2xdp panic" "nfq2xdp panic br0" "the same without nfq2xdp"; do
	as_written 0 "nfq2xdp migrate full $C"
	state_is "FULL all"
	if [[ $back == nfq2xdp* ]]; then
		as_written 0 "$back"
	else
		in_gw bash -c "$(in_gw nfq2xdp migrate status | grep -o 'bpftool map update .*')"
		check "the line of the status" $? 0
	fi
	state_is "ROLLED_BACK 0"
done
as_written 0 "nfq2xdp migrate full $C"
as_written 0 "nfq2xdp migrate metrics $C"
check "leaks" "$(awk '/^nfq2xdp_leaked_total/ { print $2 }' <<<"$OUT")" 0
for file in /run/lab/out /var/lib/prometheus/node-exporter/br0.prom; do
	as_written 0 "nfq2xdp migrate metrics $C --out $file"
	check "$file: its state" "$(grep 'nfq2xdp_state.* 1$' $file | grep -o FULL)" FULL
done

echo "# confirmed"
as_written 0 "nfq2xdp migrate confirm \$GENERATION $C"
state_is "CONFIRMED all"
dry "nfq2xdp migrate done $C --dry-run"
as_written 0 "nfq2xdp migrate rollback $C"
state_is "ROLLED_BACK 0"
as_written 0 "nfq2xdp migrate full $C"
as_written 0 "nfq2xdp migrate confirm \$GENERATION $C"
handled=$(status | jq .nfqueue.handled)
as_written 0 "nfq2xdp migrate done $C"
state_is "DONE all"
ended nfqueue 0
begun nfqueue '*NFQUEUE path ready*' "nfq2xdp run nfqueue $C"
as_written 0 "nfq2xdp migrate rollback $C"
state_is "ROLLED_BACK 0"

echo "# by itself"
for back in "nfq2xdp migrate rollback $C" "nfq2xdp panic" TERM; do
	begun auto '*share 1/10*' "nfq2xdp migrate auto $C --local-only"
	if [ "$back" = TERM ]; then
		ended auto 7 TERM
	else
		as_written 0 "$back"
		ended auto 7
	fi
	state_is "ROLLED_BACK 0"
done
begun auto '*FULL*' "nfq2xdp migrate auto $C"
as_written 0 "nfq2xdp migrate hold $C"
state_is "HOLD all"
as_written 0 "nfq2xdp migrate status"
check "who holds" "$(grep -c 'by an operator: nfq2xdp migrate resume' <<<"$OUT")" 1
as_written 0 "nfq2xdp migrate resume $C"
as_written 0 "nfq2xdp migrate confirm \$GENERATION $C"
ended auto 0
state_is "CONFIRMED all"

echo "# taking it away"
as_written 0 "nfq2xdp migrate rollback $C"
as_written 0 "nfq2xdp migrate full $C"
as_written 1 "nfq2xdp migrate rollback $C --detach --dry-run"
state_is "FULL all"
as_written 1 "nfq2xdp migrate rollback $C --detach"
check "refused: it says what it did" "${OUT%%,*}" "br0: share 0 (was all)"
state_is "ROLLED_BACK 0"
dry "nfq2xdp migrate rollback $C --detach --allow-link-reset --dry-run"
xdp=$(status | jq .xdp.cleared)
await '.nfqueue.depth == 0'
as_written 0 "nfq2xdp migrate rollback $C --detach --allow-link-reset"
state_is "IDLE 0"
as_written 0 "nfq2xdp migrate report $C"
for file in /run/lab/out /run/lab/report.html; do
	as_written 0 "nfq2xdp migrate report $C --out $file"
	check "$file: a page" "$(head -c 15 $file)" "<!DOCTYPE html>"
done

echo "# back to the old daemon"
start_daemon old in_gw "$LAB_BIN/old_daemon" -l 4096
as_written 0 "iptables -t mangle -A $GUARDED"
as_written 0 "pkill -f '^nfq2xdp run nfqueue -c /etc/nfq2xdp/br0.yaml'"
wait_daemon nfqueue
check "the NFQUEUE path: exit" $? 0
handled=$((handled + $(status | jq .nfqueue.handled)))
as_written 0 "iptables -t mangle -R PREROUTING 1 -i br0 -p udp --dport 31765 -j NFQUEUE --queue-num 0"
stop_daemon source
sent=$(field .sent)
stop_daemon old
old=$((old + $(field .handled)))
ask sink
check "received = sent" "$(field .received)" "$sent"
check "lost, duplicate, with DF" "$(field '"\(.lost) \(.duplicate) \(.df_left)"')" "0 0 0"
check "old + nfqueue + xdp = sent" $((old + handled + xdp)) "$sent"
stop_daemon sink

echo "# rules put back"
begun nfqueue '*NFQUEUE path ready*' "nfq2xdp run nfqueue $C"
start_daemon old in_gw "$LAB_BIN/old_daemon"
rules=$(in_gw iptables-save)
as_written 0 "nfq2xdp migrate start $C"
check "the old rule looks at DF" "$(in_gw iptables-save | grep -c -- --u32)" 1
dry "nfq2xdp migrate restore $C --dry-run"
as_written 0 "nfq2xdp migrate restore $C"
check "the rules" "$(diff <(sed '/^#/d; s/\[.*\]//' <<<"$rules") <(in_gw iptables-save | sed '/^#/d; s/\[.*\]//'))" ""
ended nfqueue 0
lab_old_rule D
stop_daemon old

echo "# the emergency card"
begun nfqueue '*NFQUEUE path ready*' "nfq2xdp run nfqueue $C"
as_written 0 "nfq2xdp migrate start $C --local-only"
as_written 0 "nfq2xdp migrate full $C"
kill -TERM "${LAB_PID[nfqueue]}"
ended nfqueue 0
card "the NFQUEUE path does not run"
begun nfqueue '*NFQUEUE path ready*' "nfq2xdp run nfqueue $C"
await '.problems == []'
as_written 0 "nfq2xdp migrate rollback $C"
sed -i 's/hold: 1s/hold: 1s, confirm-within: 1s/' $CONF
as_written 0 "nfq2xdp migrate full $C"
await '.state == "ROLLED_BACK"'
card "the lease ran out"
as_written 0 "nfq2xdp migrate rollback $C"
as_written 0 "nfq2xdp migrate status"
sed -i 's/, confirm-within: 1s//' $CONF
as_written 0 "nfq2xdp migrate start $C"
state_is "SHADOW 0"
as_written 0 "nfq2xdp migrate full $C"
bpftool link detach pinned "$(find /sys/fs/bpf/nfq2xdp -name link-ens5)"
card "… not attached there any more"
as_written 0 "nfq2xdp migrate rollback $C"
check "share" "$(status | jq -r .share)" 0
as_written 0 "nfq2xdp migrate rollback $C --detach --allow-link-reset"
ended nfqueue 0 TERM

echo "# XDP alone"
for local in "" " --local-only"; do
	begun xdp '*XDP path ready*' "nfq2xdp run xdp $C$local"
	check "share, lease" "$(status | jq -r '"\(.share) \(.lease_seconds)"')" "all null"
	ended xdp 0 TERM
	check "share" "$(status | jq -r .share)" 0
done
as_written 0 "nfq2xdp migrate rollback $C --detach --allow-link-reset"

echo "# all of them"
while IFS=$'\t' read -r command files; do
	place=${ELSEWHERE[$command]-}
	if [ -n "$place" ]; then
		what=${place#*:}
		check "$command: in ${place%%:*}" "$(grep -cF -m 1 -- "${what:-$command}" "${place%%:*}")" 1
	else
		check "$command ($files): run here" "${RAN[$command]-0}" 1
	fi
	unset 'RAN[$command]' 'ELSEWHERE[$command]'
done < <(tests/commands.py "$N2X" README.md MIGRATION.md man/*.scd)
check "run, and named nowhere" "$(printf '%s\n' "${!RAN[@]}" "${!ELSEWHERE[@]}" | grep .)" ""
finish

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What is refused for lack of rights or of bpffs; --dry-run, which changes nothing; and the form of every output.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"

no() {
	refuse "$@"
	unchanged "$1" "$SETTING"
}

# without CAP…: the command that follows -- as root with all capabilities but these.
without() {
	local caps=''
	while [ "$1" != -- ]; do
		caps+=${caps:+,}-$1
		shift
	done
	in_gw setpriv --bounding-set="$caps" --inh-caps=-all "$N2X" "${@:2}"
}

# dry NAME LINES PATTERN VERB…: says what it would do, and does not. Each change has its undo, in text and in JSON.
dry() {
	local name=$1 changes=$2 pattern=$3
	shift 3
	ok "dry run of $name" n2x "$@" --dry-run
	check "dry run of $name: changes" "$(grep -v '^nothing to change$' <<<"$OUT" | grep -c '^[^ 	}]')" "$changes"
	check "dry run of $name: undos" "$(grep -c '^    undo: .' <<<"$OUT")" "$changes"
	check "dry run of $name: names it" "$(grep -c -- "$pattern" <<<"$OUT")" 1
	ok "dry run of $name, JSON" n2x "$@" --dry-run --json
	check "dry run of $name, JSON: lines, schema, changes" \
		"$(wc -l <<<"$OUT") $(jq -c '[.schema, (.changes | map(select(.do != "" and .undo != "")) | length)]' <<<"$OUT")" \
		"1 [1,$changes]"
	unchanged "dry run of $name" "$SETTING"
}

# json NAME VERB…: one line of JSON with its schema on standard output.
json() {
	local name=$1
	shift
	ok "$name --json" n2x "$@" --json
	check "$name --json: lines, schema" "$(wc -l <<<"$OUT") $(jq .schema <<<"$OUT")" "1 1"
}

clean=$(everything)
SETTING=$clean
conf attach="[vxlan1]"

echo "# rights"
no "nfqueue without net_admin" 6 "CAP_NET_ADMIN is missing" without net_admin -- run nfqueue -c "$CONF"
no "start without net_admin" 6 "CAP_NET_ADMIN is missing" without net_admin -- migrate start -c "$CONF"
no "start without bpf" 6 "CAP_BPF is missing" without sys_admin bpf -- migrate start -c "$CONF"
no "start without perfmon" 6 "CAP_PERFMON is missing" without sys_admin perfmon -- migrate start -c "$CONF"
no "run xdp without any" 6 "CAP_BPF is missing" without all -- run xdp -c "$CONF"
for verb in start "split --every 2" full done restore rollback status hold resume extend "confirm 1" auto; do
	# shellcheck disable=SC2086
	no "$verb without any" 6 "CAP_BPF is missing" without all -- migrate $verb -c "$CONF"
done

echo "# bpffs is not there"
hidden() { timeout "$LAB_WAIT" ip netns exec n2x-gw "$N2X" "$@"; }
for verb in start "split --every 2" full done rollback status hold resume extend "confirm 1" auto; do
	# shellcheck disable=SC2086
	no "$verb with bpffs hidden" 6 "nsenter --net" hidden migrate $verb -c "$CONF"
done
no "run xdp with bpffs hidden" 6 "nsenter --net" hidden run xdp -c "$CONF"
no "panic with bpffs hidden" 6 "nsenter --net" hidden panic

echo "# dry runs, idle"
dry "run nfqueue" 2 "^add table ip nfq2xdp_br0 {" run nfqueue -c "$CONF"
dry "run xdp" 2 "^attach xdp.frags to vxlan1 (MTU 8951)$" run xdp -c "$CONF"
dry start 2 "^attach xdp.frags to vxlan1 (MTU 8951) at share 0" migrate start -c "$CONF"

echo "# dry runs, started"
json start migrate start -c "$CONF"
start_nfqueue
SETTING=$(everything)
dry "start again" 0 "^nothing to change$" migrate start -c "$CONF"
dry "run xdp, adopting" 1 "share all$" run xdp -c "$CONF"
dry split 1 "write share 1/7 " migrate split -c "$CONF" --every 7
dry "split by flow" 1 "write share 25% " migrate split -c "$CONF" --percent 25 --by flow
dry full 1 "write share all " migrate full -c "$CONF"
dry rollback 1 "write share 0 " migrate rollback -c "$CONF"
dry detach 2 "^detach program id [0-9]* from vxlan1 (generic)$" migrate rollback -c "$CONF" --detach
dry done 1 "stop the NFQUEUE path" migrate done -c "$CONF"
dry restore 1 "stop the NFQUEUE path" migrate restore -c "$CONF"
dry panic 1 "write share 0 " panic

echo "# JSON"
json status migrate status -c "$CONF"
json split migrate split -c "$CONF" --every 7
json full migrate full -c "$CONF"
json panic panic br0
json rollback migrate rollback -c "$CONF"
json full migrate full -c "$CONF"
json confirm migrate confirm "$(status | jq .generation)" -c "$CONF"
json hold migrate hold -c "$CONF"
json resume migrate resume -c "$CONF"
json done migrate done -c "$CONF"
wait_daemon nfqueue
start_nfqueue
json detach migrate rollback -c "$CONF" --detach
stop_daemon nfqueue
OUT=$(status)
check "status, idle: exit" $? 3
check "status, idle: lines, schema" "$(wc -l <<<"$OUT") $(jq .schema <<<"$OUT")" "1 1"
unchanged "the end" "$clean"
finish

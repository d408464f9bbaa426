#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Killed at every system call: each transition is killed in front of its 1st, 2nd, … system call that can change
# anything (kill_at.c), under traffic. At each point status tells the truth, rollback works from there, and the same
# command works from there: killed there once more, or after the rollback where that had nothing to do. FAULTS=full: every
# point; else every k-th, eight of each transition.
set -u
# shellcheck source=tests/faults/lib.sh
. "$(dirname "$0")/lib.sh"

POINTS=8
TOP=${LAB_BIN%/tests/lab}
KILL_AT=$TOP/tests/faults/kill_at
ABI=$(($(sed -n 's/^#define ABI_VERSION \([0-9]*\)$/\1/p' "$LAB_ROOT/core/abi.h") + 1))

# A build with another layout, and one with another program.
build() { MAKEFLAGS='' make -s -j"$CPUS" -C "$LAB_ROOT" "$@" >/dev/null; }
build BUILD="$FAULTS_OUT/layout" CPPFLAGS=-DABI_VERSION=$ABI all || exit 1
OTHER=$(BUILD=$TOP "$LAB_ROOT/tests/faults/defects.sh" harmless 2>/dev/null) || exit 1
LAYOUT=$FAULTS_OUT/layout/nfq2xdp

run() { in_gw timeout --foreground -s KILL "$LAB_WAIT" "$@" >/run/lab/said 2>&1; }
tool() { run "$TOOL" migrate "$@" -c "$CONF"; }

# The operator's rules as they stand; nothing when there are none.
rules() { [ -z "$RULES" ] || in_gw iptables-save -t mangle | sed -E '/^#/d; s/ \[[0-9:]+\]$//'; }

# What our tool says, and the kernel without it. In one shell: a point costs little else.
LOOK='"$0" migrate status -c "$1" --json 2>/run/lab/said; echo "$?"
	printf "link show dev %s\n" ens5 vxlan1 | ip -d -j -batch -
	nft list tables
	while read -r line; do echo "queue $line"; done </proc/self/net/netfilter/nfnetlink_queue'

# value KEY: of the status line. Not by jq, which takes longer than everything else of a point.
value() {
	[[ $STATUS =~ \"$1\":(\"([^\"]*)\"|\[([^]]*)\]|([^,}]*)) ]]
	VALUE=${BASH_REMATCH[2]:-}${BASH_REMATCH[3]:-}${BASH_REMATCH[4]:-}
}

# ask_build BINARY: its status, as "STATE SHARE LEASE" and ": PROBLEM" for each in SAW, and in S_*. The kernel's word:
# K_IDS are the programs on the attach points, K_TAGS what is in them, K_BOUND whether somebody has the queue, K_RUNS
# whether there is a rule that feeds it, too.
ask_build() {
	local world line
	world=$(in_gw sh -c "$LOOK" "$1" "$CONF")
	STATUS=${world%%$'\n'*}
	value state && SAW=$VALUE S_RC=0
	value share && S_SHARE=$VALUE SAW+=" $VALUE"
	value lease_seconds && { [ "$VALUE" = null ] && SAW+=" -" || SAW+=" $(((${VALUE%.*} + 30) / 60))m"; }
	value problems && [ -n "$VALUE" ] && SAW+=": ${VALUE//\"/}" S_RC=4
	[[ $SAW != IDLE* ]] || S_RC=3
	value running && S_RUNS=$VALUE
	value leaks && S_LEAKS=${VALUE/null/0}
	value generation && GENERATION=$VALUE
	value attached
	S_IDS=
	while [[ $VALUE =~ \"ours\":true[^}]*\"prog_id\":([0-9]+)(.*) ]]; do
		S_IDS+=" ${BASH_REMATCH[1]}" VALUE=${BASH_REMATCH[2]}
	done
	K_RC='' K_IDS='' K_TAGS='' K_BOUND=false K_RUNS=false
	while read -r line; do
		if [[ $line =~ \"prog\":\{\"id\":([0-9]+)[^}]*\"tag\":\"([0-9a-f]+) ]]; then
			[[ " $K_IDS " == *" ${BASH_REMATCH[1]} "* ]] || K_IDS+=${K_IDS:+ }${BASH_REMATCH[1]}
			[[ " $K_TAGS " == *" ${BASH_REMATCH[2]} "* ]] || K_TAGS+=${K_TAGS:+ }${BASH_REMATCH[2]}
		elif [[ $line =~ ^[0-9]+$ ]]; then
			K_RC=$line
		fi
	done <<<"${world#*$'\n'}"
	[[ $world =~ queue\ +$QUEUE\  ]] && K_BOUND=true
	[[ $world == *nfq2xdp_br0* ]] && K_RUNS=$K_BOUND
}

# The share that these programs obey, in their own control map: TAKES. A program has the same one all its life.
declare -A CTL_OF
find_share() {
	local id map maps n
	TAKES=
	for id; do
		if [ -z "${CTL_OF[$id]:-}" ]; then
			maps=$(bpftool -j prog show id "$id")
			maps=${maps#*'"map_ids":['}
			for map in ${maps//[],]/ }; do
				[[ $map =~ ^[0-9]+$ ]] || break
				[[ $(bpftool -j map show id "$map") != *'"name":".data.ctl"'* ]] || CTL_OF[$id]=$map
			done
		fi
		[[ $(bpftool -j map lookup id "${CTL_OF[$id]}" key 0 0 0 0) =~ \"share_kind\":([0-9]+),\"share_n\":([0-9]+) ]]
		case ${BASH_REMATCH[1]} in 0) n=0 ;; 1) n=1/${BASH_REMATCH[2]} ;; 3) n=all ;; *) n="kind ${BASH_REMATCH[1]}" ;; esac
		[[ " $TAKES " == *" $n "* ]] || TAKES+=${TAKES:+ }$n
	done
}

# same "A B" "B A": the same words.
same() {
	local word
	for word in $1; do [[ " $2 " == *" $word "* ]] || return; done
	for word in $2; do [[ " $1 " == *" $word "* ]] || return; done
}

# look: SAW is what status says; false when the kernel says something else. Of two builds with different layouts
# (ALSO), each sees what it has pinned: VIEW is the one that is asked.
look() {
	local ids='' now
	if [ -n "$ALSO" ]; then
		ask_build "$ALSO"
		ids=$S_IDS
	fi
	VIEW=$TOOL
	ask_build "$TOOL"
	ids+=" $S_IDS"
	if [ -n "$ALSO" ] && [[ $SAW == IDLE* ]]; then
		VIEW=$ALSO
		ask_build "$ALSO"
	fi
	# shellcheck disable=SC2086
	find_share $K_IDS
	if [ -n "$RULES" ]; then
		now=$(rules)
		[ "$now" != "$RULES" ] || SAW+=", plain"
		# The operator's rule with our match, and its listener, are a way back without our table.
		[[ $now != *0x5fff=0x4000* ]] || K_RUNS=$K_BOUND
	fi
	[ "$K_RC" = "$S_RC" ] || bad "status: exit $K_RC: $SAW" || return
	same "$ids" "$K_IDS" || bad "status: programs $ids, in the kernel $K_IDS: $SAW" || return
	[ -z "$K_IDS" ] || [ "$S_SHARE" = "$TAKES" ] || bad "status: share $S_SHARE, in the kernel $TAKES: $SAW" || return
	[ "$S_RUNS" = "$K_RUNS" ] || bad "status: NFQUEUE $S_RUNS, in the kernel $K_RUNS: $SAW" || return
	[ "$S_LEAKS" = 0 ] || bad "leaks: $S_LEAKS"
}

# bad WHAT: this point is not held.
bad() {
	echo "     $NAME $WHERE: $1 | $(head -c 300 /run/lab/said | tr '\n' ' ')"
	false
}

# The state from which the transition starts, by commands that nobody kills.
reach() {
	local tool=$TOOL TOOL=$STARTER
	if [[ $SAW =~ $HALF ]]; then
		tool rollback --detach --allow-link-reset && look || return
	fi
	if [ "$START" = IDLE ]; then
		if [ -n "$RULES" ] && [ "$SAW" != "IDLE 0 -, plain" ]; then
			tool start && tool restore || return
		fi
		tool rollback --detach --allow-link-reset && [ "$(rules)" = "$RULES" ]
		return
	fi
	if [[ $SAW == IDLE* || $tool != "$STARTER" || $SAW == *"not run"* || $SAW == *"our table around"* ]]; then
		tool start || return
	fi
	[ "$START" != CONFIRMED ] || look || return # its generation
	run "$TOOL" panic br0
	case $START in
	SHADOW) tool start ;;
	SPLIT) tool split --every 10 ;;
	FULL) tool full ;;
	CONFIRMED) tool full && tool confirm "$GENERATION" ;;
	HOLD) tool split --every 10 && tool hold ;;
	esac
}

# The daemon that `done` stopped.
daemon_again() {
	[[ $SAW == DONE* && $K_RUNS == false ]] || return 0
	wait_daemon nfqueue && start_nfqueue
}

command_now() {
	COMMAND=("${WORDS[@]/#GENERATION/$GENERATION}")
	[ "${COMMAND[0]}" = panic ] || COMMAND=(migrate "${COMMAND[@]}" -c "$CONF2")
}

# A restore that was killed when there was nothing left to do.
all_done() { [[ $SAW =~ ^($AFTER)$ && $(</run/lab/said) == *": nothing to restore"* ]]; }

# try back|on|both N: 0 held, 1 not, 2 it ended before.
try() {
	local killed rc COMMAND
	WHERE="$2, $1"
	reach || bad "not in $START" || return
	command_now
	killed=$(in_gw timeout -s KILL "$LAB_WAIT" "$KILL_AT" "$2" "$TOOL" "${COMMAND[@]}" 2>/run/lab/said)
	[[ $killed != "ended 0 "* ]] || return 2
	[[ $killed == killed* ]] || bad "it was not killed" || return
	WHERE="$2 (${killed#killed }), $1"
	look || return
	[[ $SAW =~ ^($MAY)$ ]] || bad "killed, it says: $SAW" || return
	if [ "$1" != on ]; then
		daemon_again || bad "the daemon" || return
		TOOL=$VIEW tool rollback || bad "rollback: exit $?; before: $SAW" || return
		look || return
		[[ $SAW =~ ^(IDLE|SHADOW|ROLLED_BACK)' 0 ' ]] || bad "rolled back, it says: $SAW" || return
	fi
	if [ "$1" != back ]; then
		run "$TOOL" "${COMMAND[@]}" || { rc=$? && all_done; } || bad "again: exit $rc; before: $SAW" || return
		look || return
		[[ $SAW =~ ^($AFTER)$ ]] || bad "again, it says: $SAW" || return
		[ -z "$TAG" ] || [ "$K_TAGS" = "$TAG" ] || bad "again: the program is not this build's" || return
		daemon_again || bad "the daemon"
	fi
}

# Whatever went wrong, the next point is to be tried from its start.
recover() {
	look >/dev/null
	daemon_again
	tool rollback --detach --allow-link-reset
	look >/dev/null
}

RESULT='{"tried": 0, "held": 0, "transitions": {}}'
# transition NAME START MAY AFTER WORD…: MAY are the SAWs after a kill, AFTER those after the command, all patterns.
transition() {
	[ -z "${ONLY:-}" ] || [ "$1" = "$ONLY" ] || return 0
	local n go rc=0 step tried=0 held=0 point all begin=$SECONDS
	NAME=$1 START=$2 MAY=$3 AFTER=$4 WORDS=("${@:5}") WHERE=unharmed
	STARTER=${STARTER:-$TOOL}
	look
	reach || bad "not in $START"
	command_now
	all=$(in_gw timeout -s KILL "$LAB_WAIT" "$KILL_AT" 100000 "$TOOL" "${COMMAND[@]}" 2>/run/lab/said)
	[[ $all == "ended 0 "* ]] || bad "it did not end: $all"
	look && { [[ $SAW =~ ^($AFTER)$ ]] || bad "it says: $SAW"; }
	daemon_again
	all=${all##* }
	step=$(by_form $((all / POINTS + 1)) 1)
	# Its loops wait for packets, so that it may be longer next time; not ten times.
	for ((n = step; n < 10 * ${all:-0}; n += step)); do
		point=1
		for go in $GOES; do
			try "$go" $n
			rc=$?
			[ $rc = 0 ] || point=0
			[ $rc != 2 ] || { look; daemon_again; break 2; }
			[ $rc = 0 ] || recover
		done
		tried=$((tried + 1)) held=$((held + point))
		[ $((tried - held)) -lt 20 ] || { echo "     $NAME: the other points are not tried"; break; }
	done
	check "$NAME: held, of $tried (every $step. of $all calls, $((SECONDS - begin)) s)" $held $tried
	check_le "$NAME: points" 1 $tried
	RESULT=$(jq -c --arg name "$NAME" --argjson tried $tried --argjson held $held \
		'.transitions[$name] = {$tried, $held} | .tried += $tried | .held += $held' <<<"$RESULT")
}

GOES='back on'
NAME=first WHERE='' ALSO='' SAW='' TAG='' RULES='' CONF2=$CONF STARTER='' GENERATION=1
HALF=': (no attach point is left|[a-z0-9]+: our XDP program is not attached there|br0: what is attached has another policy or other).*'
NO_WAY=": (the NFQUEUE path does not run|our table around the operator's rule is not there).*"
# The empty table that the old rule leaves is not ours.
# Without GRO a veth takes its ring down with a native program, and what is in it: plain bpftool loses 3 of 972,706 in
# 1,200 times, and none with it (drivers/net/veth.c, veth_disable_xdp()). This attaches and detaches a thousand times.
in_gw ethtool -K ens5 gro on
lab_old_rule A && lab_old_rule D && lab_baseline
before=$(everything)
conf attach='[ens5, vxlan1]' match=', encap: vxlan, vni: [1]'
rollout confirm=10m
sed 's/confirm-within: 10m/confirm-within: 40m/' "$CONF" >/run/lab/longer.yaml

echo "# our own daemon"
QUEUE=1 TOOL=$N2X
start_nfqueue || exit 1
traffic -f 10 || exit 1
look

# both: with share 0 a rollback has nothing to do, and one kill serves for back and on.
GOES=both transition start IDLE "IDLE 0 -|SHADOW 0 -($HALF)?" 'SHADOW 0 -' start
transition split SHADOW 'SHADOW 0 -|SPLIT 1/10 10m' 'SPLIT 1/10 10m' split --every 10
transition full SPLIT 'SPLIT 1/10 10m|FULL all 10m' 'FULL all 10m' full
transition confirm FULL 'FULL all 10m|CONFIRMED all -' 'CONFIRMED all -' confirm GENERATION
transition hold SPLIT 'SPLIT 1/10 10m|HOLD 1/10 10m' 'HOLD 1/10 10m' hold
transition resume HOLD 'HOLD 1/10 10m|SPLIT 1/10 10m' 'SPLIT 1/10 10m' resume
CONF2=/run/lab/longer.yaml
transition extend SPLIT 'SPLIT 1/10 (10|40)m' 'SPLIT 1/10 40m' extend
CONF2=$CONF
transition rollback SPLIT 'SPLIT 1/10 10m|ROLLED_BACK 0 -' 'ROLLED_BACK 0 -' rollback
transition panic FULL 'FULL all 10m|ROLLED_BACK 0 -' 'ROLLED_BACK 0 -' panic br0
# From above it is a rollback first.
GOES=both transition detach SHADOW "SHADOW 0 -($HALF)?|IDLE 0 -" 'IDLE 0 -' rollback --detach --allow-link-reset
transition 'done' CONFIRMED 'CONFIRMED all -|DONE all -(: done was not finished.*)?' 'DONE all -' 'done'

# tag_of BINARY: K_TAGS is its program's.
tag_of() {
	TOOL=$1
	tool start && look
}
tag_of "$N2X" && was=$K_TAGS
tag_of "$OTHER" && is=$K_TAGS
check "the other build has another program" "$([ "$was" != "$is" ] && echo yes)" yes
TAG=$is TOOL=$OTHER STARTER=$N2X
transition upgrade SPLIT 'SPLIT 1/10 10m' 'SPLIT 1/10 10m' start
TAG=$was TOOL=$N2X STARTER=$OTHER
transition downgrade SPLIT 'SPLIT 1/10 10m' 'SPLIT 1/10 10m' start
TAG='' TOOL=$LAYOUT STARTER=$N2X ALSO=$N2X
OTHERS=': another build of nfq2xdp attached it.*' # also while its pins are all that is left of it
GOES=both transition layout SPLIT "(SPLIT 1/10|ROLLED_BACK 0) 10m($OTHERS)?|SHADOW 0 -($HALF|$OTHERS)?" \
	'SHADOW 0 -' start
TOOL=$N2X STARTER=$N2X ALSO=''

tool rollback --detach --allow-link-reset
check detach $? 0
no_traffic
whole "own daemon"
stop_daemon nfqueue
unchanged "own daemon" "$before"

echo "# the operator's rule and daemon"
sed -i 's/^nfqueue:.*/nfqueue: { daemon: external, queue: 0 }/' "$CONF"
QUEUE=0
lab_old_rule A
RULES=all
RULES=$(rules)
start_daemon old in_gw "$LAB_BIN/old_daemon" -l 16384
traffic -f 10 || exit 1
look
GOES=both transition "external start" IDLE "IDLE 0 -(, plain)?|SHADOW 0 -($HALF)?" 'SHADOW 0 -' start
transition "external split" SHADOW 'SHADOW 0 -|SPLIT 1/10 10m' 'SPLIT 1/10 10m' split --every 10
transition "external rollback" SPLIT 'SPLIT 1/10 10m|ROLLED_BACK 0 -' 'ROLLED_BACK 0 -' rollback
transition "external restore" SPLIT "SPLIT 1/10 10m|FULL all 0m($NO_WAY)?|ROLLED_BACK 0 -$NO_WAY" \
	"ROLLED_BACK 0 -$NO_WAY" restore
START=IDLE
reach
check "the rules as they were" $? 0
no_traffic
# Its queue overflows when it does not run for long enough: then what is lost is not lost by us.
check "the operator's daemon: dropped by the kernel" \
	"$(in_gw awk '$1 == 0 { print $6, $7 }' /proc/thread-self/net/netfilter/nfnetlink_queue)" "0 0"
whole "the operator's daemon"
stop_daemon old
lab_old_rule D
unchanged "the operator's" "$before"
keep kill "$RESULT"
echo "kill points: $(jq -r '"\(.held) held of \(.tried)"' <<<"$RESULT")"
finish

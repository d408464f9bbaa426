#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The whole way of a migration, twice over: sourced by test_paths_native.sh and test_paths_generic.sh, which set
# MODE, FRAGS and SETUP (for conf). Traffic is finite bursts, so every count of every step is exact.
N=1000
DETACH=(--detach) GENERIC=1
[ "$MODE" = generic ] || DETACH+=(--allow-link-reset) GENERIC=0

state() { jq -r '"\(.state) \(.share)"' < <(status); }

# step NAME STATE: a burst, whole, without DF and without a leak; in this state before and after.
step() {
	local want=$2
	burst $N -f 10
	check "$1: df_left, leaks, matched, cleared + handled" \
		"$(sink_of .df_left) $(diff_of .leaks .matched '.cleared + .handled')" "0 0 $N $N"
	check "$1: state" "$(jq -r '"\(.state) \(.share)"' <<<"$STATUS")" "$want"
}

# The share that every N-th gives, on any number of CPUs.
near() {
	check "$1: |cleared - N/$2| < CPUs" \
		"$(jq --argjson n $N --argjson c "$CPUS" "(.cleared - \$n / $2 | fabs) < \$c" <<<"$DIFF")" true
}

# flows PERCENT: which of the first 12 flows XDP takes: with F flows and F packets, one packet a flow.
flows() {
	local f before=0 now set=''
	for ((f = 1; f <= 12; f++)); do
		burst $f -f $f
		now=$(diff_of .cleared)
		set+=$((now - before))
		before=$now
	done
	FLOWS=$set
}

before=$(everything)
conf "${SETUP[@]}"

echo "# the NFQUEUE path alone"
start_nfqueue || exit 1
burst $N -f 10
check "df_left, late" "$(sink_of '"\(.df_left) \(.late)"')" "0 0"
check "handled, queued, leaks" "$(diff_of .handled .queued .leaks)" "$N $N 0"
check "no XDP, nothing unmodified, no drop" \
	"$(jq -r '"\(.state) \(.xdp.attached | length) \(.nfqueue.unmodified) \(.nfqueue.dropped)"' <<<"$STATUS")" "IDLE 0 0 0"
status >/dev/null
check "status: inactive" $? 3

echo "# start: SHADOW"
ok start n2x migrate start -c "$CONF"
check "says the mode" "$(grep -c ": $MODE, $FRAGS, " <<<"$OUT")" 1
check "says why generic" "$(grep -c 'native XDP is not possible' /run/lab/stderr)" "$GENERIC"
check "generation" "$(status | jq .generation)" 1
check "attached" "$(status | jq -r '.xdp.attached | map("\(.ours) \(.mode) \(.frags) \(.by)") | join(",")')" \
	"true $MODE $([ "$FRAGS" = xdp ] && echo false || echo true) link"
ok "start again" n2x migrate start -c "$CONF"
check "start again: already" "$(grep -c already <<<"$OUT")" 1
check "generation stays" "$(status | jq .generation)" 1
step shadow "SHADOW 0"
check "shadow: cleared, handled" "$(diff_of .cleared .handled)" "0 $N"
n2x migrate status -c "$CONF" >/dev/null
check "status: active" $? 0

echo "# split"
for every in 10 2; do
	ok "every $every" n2x migrate split -c "$CONF" --every $every
	step "every $every" "SPLIT 1/$every"
	near "every $every" $every
done
ok "every 1" n2x migrate split -c "$CONF" --every 1
step "every 1" "FULL all"
check "every 1: cleared" "$(diff_of .cleared)" $N
ok "25 percent" n2x migrate split -c "$CONF" --percent 25 --by flow
burst $N -f 500
at25=$(diff_of .cleared)
check "25 percent: df_left, late, cleared + handled" \
	"$(sink_of '"\(.df_left) \(.late)"') $(diff_of '.cleared + .handled')" "0 0 $N"
check_le "25 percent of 500 flows of 2 packets, five sigma" "$(((at25 - 250) * (at25 - 250)))" $((97 * 97))
check "25 percent: whole flows" $((at25 % 2)) 0
flows
few=$FLOWS
ok "50 percent" n2x migrate split -c "$CONF" --percent 50 --by flow
burst $N -f 500
check "50 percent: df_left, late, cleared + handled" \
	"$(sink_of '"\(.df_left) \(.late)"') $(diff_of '.cleared + .handled')" "0 0 $N"
check_le "50 percent: at least those of 25" "$at25" "$(diff_of .cleared)"
flows
check "flows taken at 25 are taken at 50 ($few, $FLOWS)" $(((2#$few & 2#$FLOWS) == 2#$few && 2#$FLOWS < 4095)) 1
check "some flow is taken" $((2#$FLOWS > 0)) 1

echo "# full, rollback"
ok full n2x migrate full -c "$CONF"
step full "FULL all"
check "full: cleared, handled" "$(diff_of .cleared .handled)" "$N 0"
ok rollback n2x migrate rollback -c "$CONF" --json
check "rollback: fields" "$(jq -c '[.schema, .share, .before, .leaked, .nfqueue_handled, .write_ns > 0, .verify_ns > 0]' \
	<<<"$OUT")" '[1,"0","all",0,0,true,true]'
step "rolled back" "ROLLED_BACK 0"
check "rolled back: cleared, handled" "$(diff_of .cleared .handled)" "0 $N"

echo "# panic, with nothing but the pins"
ok full n2x migrate full -c "$CONF"
mount -t tmpfs lab /run/nfq2xdp
ok panic n2x panic
check "panic leaves no file" "$(ls -A /run/nfq2xdp)" ""
umount /run/nfq2xdp
step panic "ROLLED_BACK 0"
check "panic: cleared, handled" "$(diff_of .cleared .handled)" "0 $N"
ok full n2x migrate full -c "$CONF"
ok "the line that status prints" in_gw bash -c "$(status | jq -r .panic)"
step "the line" "ROLLED_BACK 0"
check "the line: cleared, handled" "$(diff_of .cleared .handled)" "0 $N"

echo "# done, and back from there"
ok full n2x migrate full -c "$CONF"
refuse "done before confirm" 1 "done comes after confirm" n2x migrate done -c "$CONF"
generation=$(status | jq .generation)
refuse "confirm another generation" 1 "the generation is $generation, not 7" n2x migrate confirm 7 -c "$CONF"
ok confirm n2x migrate confirm "$generation" -c "$CONF"
check "confirmed: state, lease" "$(status | jq -r '"\(.state) \(.lease_seconds) \(.confirm_seconds)"')" "CONFIRMED null null"
ok done n2x migrate done -c "$CONF"
wait_daemon nfqueue
check "the daemon's exit" $? 0
check "tables" "$(in_gw nft list tables)" ""
check "queues" "$(in_gw cat /proc/self/net/netfilter/nfnetlink_queue)" ""
step done "DONE all"
check "done: cleared" "$(diff_of .cleared)" $N
ok "done again" n2x migrate done -c "$CONF"
refuse "rollback without a path behind" 1 "run nfqueue" n2x migrate rollback -c "$CONF"
check "and nothing moved" "$(state)" "DONE all"
start_nfqueue
ok "rollback with one" n2x migrate rollback -c "$CONF"
step "back from done" "ROLLED_BACK 0"
check "back from done: cleared, handled" "$(diff_of .cleared .handled)" "0 $N"

echo "# detach"
if [ "$MODE" = native ]; then
	refuse "native detach" 1 "--allow-link-reset" n2x migrate rollback -c "$CONF" --detach
	check "still attached" "$(status | jq '.xdp.attached | map(.ours) | all')" true
fi
ok detach n2x migrate rollback -c "$CONF" "${DETACH[@]}"
check "state" "$(state)" "IDLE 0"
check "pins" "$(pins)" ""
ok "detach again" n2x migrate rollback -c "$CONF" "${DETACH[@]}"
ok "start again" n2x migrate start -c "$CONF" --json
check "generation rises by one" "$(jq '.generation' <<<"$OUT")" 2
ok detach n2x migrate rollback -c "$CONF" "${DETACH[@]}"
stop_daemon nfqueue
check "the daemon's exit" $? 0
unchanged "the end" "$before"

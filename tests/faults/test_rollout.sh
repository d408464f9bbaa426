#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A rollout by itself: forward on evidence, held, refused, confirmed; and back however it ends.
set -u
# shellcheck source=tests/faults/lib.sh
. "$(dirname "$0")/lib.sh"

before=$(everything)
conf attach="[vxlan1]"
start_nfqueue
cp "$CONF" /run/lab/plain.yaml
# again KEY=VALUE…: the same gateway, another rollout.
again() {
	cp /run/lab/plain.yaml "$CONF"
	rollout "$@"
}

echo "# forward, and confirmed"
again
mark
traffic
start_auto
for step in 1 2 3; do
	until_auto ".event == \"trial\""
	check "step $step: the NFQUEUE path carried all first" "$(field '"\(.ok) \(.capacity > .rate * 1.5)"')" "true true"
	until_auto '.event == "step"'
	check "step $step: number" "$(field .step)" $step
	[ $step = 3 ] || refuse "step $step: confirm" 1 "is at step $step of 3" confirm
done
check "steps: share, lease" "$(status | jq -r '"\(.state) \(.share) \(.lease_seconds > 1 and .lease_seconds <= 3.1)"')" \
	"FULL all true"
generation=$(status | jq .generation)
refuse "another generation" 1 "the generation is $generation" n2x migrate confirm $((generation + 1)) -c "$CONF"
refuse "by hand, meanwhile" 5 "migrate auto runs its rollout (pid ${LAB_PID[auto]})" \
	n2x migrate split -c "$CONF" --every 3
refuse "a second one" 5 "migrate auto runs its rollout (pid ${LAB_PID[auto]})" n2x migrate auto -c "$CONF"
told "nothing moved" "0 FULL all ok ours"
ok "confirm" n2x migrate confirm "$generation" -c "$CONF"
until_auto '.event == "end"'
check "end" "$(field '"\(.confirmed) \(.rolled_back)"')" "true false"
wait_daemon auto
check "exit" $? 0
check "confirmed: no lease" "$(status | jq -r '"\(.state) \(.lease_seconds) \(.controller)"')" "CONFIRMED null 0"
ok "again, confirmed" n2x migrate auto -c "$CONF"
check "again, confirmed: says so" "$(grep -c 'br0: CONFIRMED already: nothing to roll out$' /run/lab/stderr)" 1
no_traffic
since_mark
whole forward
check "forward: xdp + nfqueue = sent, leaks" "$(diff_of '.cleared + .handled' .leaks)" "$SENT 0"
check "journal: every move" "$(jq -rs 'map(select(.event == "intent" or .event == "did" or .event == "failed") |
	"\(.event) \(.do)\(if .to then " " + .to else "" end)") | join(", ")' /var/lib/nfq2xdp/br0/journal.jsonl)" \
	"intent start, did start, intent share 1/10, did share, intent share 1/2, did share, intent share all, did share, \
intent confirm, failed confirm, intent confirm, did confirm"
ok rollback n2x migrate rollback -c "$CONF"

echo "# hold, resume, extend"
again confirm=20s
traffic
start_auto
until_auto '.event == "step" and .step == 1'
ok hold n2x migrate hold -c "$CONF"
until_auto '.state == "HOLD" and .in_step_seconds > 3'
check "held: step, gates" "$(field '"\(.step) \(.worst)"')" "1 pass"
check "held: status" "$(status | jq -r '"\(.state) \(.share) \(.held)"')" "HOLD 1/10 true"
ok resume n2x migrate resume -c "$CONF"
until_auto '.event == "step" and .step == 3'
left=$(status | jq .confirm_seconds)
ok extend n2x migrate extend -c "$CONF"
check "extend: begins anew" "$(status | jq --argjson left "$left" '.confirm_seconds > $left and .confirm_seconds <= 20.1')" true
echo "# told to stop: never a confirm"
for signal in HUP TERM INT; do
	kill -$signal "${LAB_PID[auto]}"
	end_auto
	check "$signal: end, exit" "$(jq -r '"\(.confirmed) \(.rolled_back) \(.reason)"' <<<"$END") $END_RC" \
		"false true told to stop 7"
	told "$signal" "0 ROLLED_BACK 0 ok ours"
	[ $signal = INT ] && break
	again steps="[all]"
	start_auto
	until_auto '.event == "step"'
done
echo "# nobody reads what it says"
again steps="[all]"
start auto in_gw sh -c '"$0" migrate auto -c "$1" --json | head -n 1; echo $?' "$N2X" "$CONF"
wait_line auto '*"second"*'
deadline=$((SECONDS + LAB_WAIT))
until [ "$(state)" = "FULL all" ] || [ $SECONDS -ge $deadline ]; do :; done
check "unread: state" "$(state)" "FULL all"
ok "unread: confirm" n2x migrate confirm "$(status | jq .generation)" -c "$CONF"
wait_daemon auto
check "unread: state" "$(state)" "CONFIRMED all"
ok rollback n2x migrate rollback -c "$CONF"

echo "# nobody confirms"
again steps="[all]" confirm=4s
start_auto
until_auto '.event == "step"'
expect "nobody confirms" "nobody confirmed in time"
told "nobody confirms" "0 ROLLED_BACK 0 ok ours"

echo "# panic, and a share by bpftool, meanwhile"
again
start_auto
until_auto '.event == "step" and .step == 2'
ok panic n2x panic
t0=$(now_ms)
expect panic "somebody else moved the share"
told panic "0 ROLLED_BACK 0 ok ours"

for way in panic "migrate rollback -c $CONF"; do
	echo "# ${way%% -c*} in SHADOW"
	again hold=3s
	start_auto
	until_auto '.event == "second"'
	# shellcheck disable=SC2086
	ok "${way%% -c*}" n2x $way
	t0=$(now_ms)
	expect "${way%% -c*} in SHADOW" "somebody else moved the share"
	check "${way%% -c*} in SHADOW: XDP took nothing" "$(status | jq -r '"\(.state) \(.share)"')" "ROLLED_BACK 0"
done

echo "# the traffic stops"
again give_up=3s hold=2s
start_auto
until_auto '.event == "step" and .step == 1'
kill -STOP "${LAB_PID[source]}"
until_auto '.state == "HOLD"'
check "no traffic: the gate" "$(field '.gates[] | select(.name == "rate") | .verdict')" inconclusive
expect "traffic stops" "inconclusive for too long"
told "traffic stops" "0 ROLLED_BACK 0 ok ours"
kill -CONT "${LAB_PID[source]}"

echo "# cut off, and begun again"
again
start_auto
until_auto '.event == "step" and .step == 1'
first=$(status | jq .generation)
kill -KILL "${LAB_PID[auto]}"
lab_reap auto 2>/dev/null
told "cut off" "0 SPLIT 1/10 ok ours"
check "cut off: status says so" "$(n2x migrate status -c "$CONF" | grep -c 'nobody runs it any more')" 1
start_auto
until_auto '.event == "step" and .step == 1'
check "begun again: the next generation" "$(field .generation)" $((first + 1))
kill -TERM "${LAB_PID[auto]}"
end_auto
no_traffic
whole "all of these"
ok detach detach
stop_daemon nfqueue
keep rollout "$FAULT_RESULTS"
unchanged "the end" "$before"
finish

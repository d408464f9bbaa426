#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What the fault tests share: sourced first, it is the lab and what acts in it.
#
#	fault_conf attach='[vxlan1]'; rollout hold=1s
#	traffic; start_auto; until_auto '.event == "step" and .step == 1'
#	fault NAME EXPECTED …                # what the rollout ended with, and when
# FAULTS=full is the long form.
# shellcheck disable=SC2034 # for the scripts

export FAULTS=${FAULTS:-short}
export LAB_TIME=${LAB_TIME:-$([ "$FAULTS" = full ] && echo 1800 || echo 900)}
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
FAULTS_OUT=$(dirname "$(dirname "$LAB_BIN")")/faults
mkdir -p "$FAULTS_OUT"
RATE=20000

# by_form SHORT FULL
by_form() { if [ "$FAULTS" = full ]; then echo "$2"; else echo "$1"; fi; }

# rollout KEY=VALUE…: appended to the configuration.
rollout() {
	local steps='[1/10, 1/2, all]' hold=1s samples=1000 lease=3s confirm=60s give_up=60s down=pass
	# shellcheck disable=SC2163
	for word; do local "${word?}"; done
	echo "rollout: { steps: $steps, hold: $hold, samples: $samples, lease: $lease, confirm-within: $confirm," \
		"give-up-after: $give_up, on-legacy-down: $down }" >>"$CONF"
}

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

# traffic [SOURCE-ARGUMENT…]: without an end.
traffic() {
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0 &&
		start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r $RATE "$@"
}

# no_traffic: SENT, and the judge's last line in SINK, once all of it has arrived or is not coming.
no_traffic() {
	local deadline=$((SECONDS + 5)) last=-1
	stop_daemon source
	SENT=$(field .sent)
	while ask sink; [ "$(field .received)" != "$SENT" ] && [ $SECONDS -lt $deadline ]; do last=$(field .received); done
	stop_daemon sink
	SINK=$REPLY
}

# whole NAME: everything that was sent has arrived, once, sound and without DF.
whole() {
	check "$1: received" "$(sink_of .received)" "$SENT"
	check "$1: lost, duplicate, with DF, bad checksums" \
		"$(sink_of '"\(.lost) \(.duplicate) \(.df_left) \(.bad_ip_csum) \(.bad_udp_csum)"')" "0 0 0 0 0"
}

# start_auto [BINARY]
start_auto() { start auto in_gw "${1:-$N2X}" migrate auto -c "$CONF" --json; }

# until_auto FILTER: reads the rollout's lines until jq says true of one, which is then in REPLY.
until_auto() {
	local deadline=$((SECONDS + LAB_WAIT))
	while [ $SECONDS -lt $deadline ] && wait_line auto '*'; do
		jq -e "$1" >/dev/null <<<"$REPLY" && return
	done
	echo "the rollout never said: $1; last: $REPLY" >&2
	return 1
}

# end_auto: END is its last line, END_RC its exit, TOOK the milliseconds since `t0`.
end_auto() {
	until_auto '.event == "end"'
	TOOK=$(($(now_ms) - ${t0:-0}))
	END=$REPLY
	wait_daemon auto
	END_RC=$?
}

# expect NAME REASON-GLOB [MAX-MS]: the rollout rolled back, for this reason; kept for the result.
FAULT_RESULTS='[]'
expect() {
	local reason ok=false
	end_auto
	reason=$(jq -r .reason <<<"$END")
	# shellcheck disable=SC2053
	[[ $reason == $2 ]] && [ "$END_RC" = 7 ] && ok=true
	check "$1: exit, reason ($reason)" "$END_RC $ok" "7 true"
	# Verified by then; the share was 0 so much earlier as the verification took.
	[ -z "${3-}" ] || check_le "$1: rolled back after, in ms" "$TOOK" "$3"
	[ -z "${3-}" ] || check_le "$1: share 0 after, in ms" $((TOOK - $(jq '.verify_ns / 1000000 | floor' <<<"$END"))) 2000
	FAULT_RESULTS=$(jq -c --arg name "$1" --arg expected "$2" --arg got "$reason" --argjson ok $ok --argjson ms "$TOOK" \
		'. + [{name: $name, expected: $expected, got: $got, ok: $ok, ms: $ms}]' <<<"$FAULT_RESULTS")
}

# keep NAME JSON: a part of build/faults/result.json.
keep() { echo "$2" >"$FAULTS_OUT/$1.json"; }

# percentiles: of the numbers on standard input, one a line.
percentiles() {
	jq -cs 'sort | {n: length, p50: .[(length - 1) / 2 | floor], p99: .[(length - 1) * 0.99 | ceil], max: .[-1]}'
}

# told NAME "EXIT STATE SHARE HEALTH HOLDER" PROBLEM-GLOB: what status says of it; HEALTH is the NFQUEUE path's, HOLDER the
# first attach point's, and the problem is all of them.
told() {
	local rc said
	said=$(status)
	rc=$?
	check "$1: status" "$rc $(jq -r '"\(.state) \(.share) \(.nfqueue.health) \(.xdp.attached[0].holder)"' <<<"$said")" "$2"
	said=$(jq -r '.problems | join("; ")' <<<"$said")
	# shellcheck disable=SC2053
	[[ $said == ${3-} ]] || check "$1: problems" "$said" "${3-}"
}

detach() { n2x migrate rollback -c "$CONF" --detach --allow-link-reset; }
state() { status | jq -r '"\(.state) \(.share)"'; }

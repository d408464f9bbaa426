#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# make demo: live traffic goes from the old daemon to our NFQUEUE path, to XDP step by step by hand, back at once, and by
# migrate auto to the end. Exits non-zero if one packet was lost, doubled, leaked or not counted. Writes
# build/demo/result.json, and report.html as migrate report makes it.
# shellcheck disable=SC2016 # jq and awk have variables of their own
set -u -o pipefail
# A step up that is refused, because the machine was busy, is asked again after 10 s.
LAB_WAIT=${LAB_WAIT:-$((120 * ${LAB_SLOW:-1}))}
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
lab_skip() {
	echo "demo: cannot run here: $*; make demo VM=1 runs it inside qemu" >&2
	exit 1
}
lab_reexec "$@"
bpftool prog show >/dev/null 2>&1 || lab_skip "the kernel refuses the bpf() system call"

RATE=${DEMO_RATE:-22000}     # packets/s
SECONDS_A_STEP=${DEMO_STEP:-3}
N2X=$(dirname "$(dirname "$LAB_BIN")")/nfq2xdp
OUT=$(dirname "$N2X")/demo
CONF=/run/lab/br0.yaml
CPUS=$(getconf _NPROCESSORS_CONF)
STEPS='[]'
START=$EPOCHREALTIME

cat >$CONF <<-END
	interface: br0
	match:    { protocol: udp, dport: [31765], encap: vxlan, vni: [1] }
	action:   { clear-df: { min-length: 0 }, ip-id: keep }
	xdp:      { attach: [ens5], mode: auto }
	nfqueue:  { queue: 1, threads: 1, fail: open }
	rollout:  { steps: [1/10, 1/2, all], hold: 2s, confirm-within: 10m }
END

die() {
	echo "demo: $*" >&2
	exit 1
}

n2x() { in_gw "$N2X" "$@"; }

since_start() { jq -n --arg a "$START" --arg b "$EPOCHREALTIME" '$b | tonumber - ($a | tonumber) | . * 10 | round / 10'; }

# Everything that counts packets, now, as one JSON object.
snapshot() {
	local sent sink old=${OLD_FINAL:-} status
	ask source && sent=$(field .sent)
	if [ -z "$old" ]; then
		ask old && old=$(field .handled)
	fi
	status=$(n2x migrate status -c $CONF --json)
	ask sink && sink=$REPLY
	jq -cn --argjson sent "$sent" --argjson sink "$sink" --argjson old "$old" --argjson status "$status" \
		'{$sent, $old, nfqueue: $status.nfqueue.handled, xdp: $status.xdp.cleared,
		  matched: $status.xdp.matched, leaked: ($status.leaks // 0), lost: $sink.lost,
		  late: $sink.late, state: $status.state, share: $status.share}'
}

# What overtook is missing for a moment; what is lost stays missing.
lost_now() {
	local deadline=$((SECONDS + 2))
	while ask sink && [ "$(field .lost)" != 0 ] && [ $SECONDS -lt $deadline ]; do :; done
	field .lost
}

# step NAME [CMD…]: lets traffic run, or CMD, and prints what each path did in that time.
step() {
	local name=$1 before after row lost
	shift
	[ $# -gt 0 ] || set -- sleep "$SECONDS_A_STEP"
	before=$(snapshot) || die "no snapshot"
	"$@" || die "$name failed"
	after=$(snapshot) || die "no snapshot"
	lost=$(lost_now)
	row=$(jq -cn --arg name "$name" --arg at "$(since_start)" --argjson a "$before" --argjson b "$after" \
		--argjson lost "$lost" \
		'{$name, at: ($at | tonumber), state: $b.state, share: $b.share,
		  old: ($b.old - $a.old), nfqueue: ($b.nfqueue - $a.nfqueue), xdp: ($b.xdp - $a.xdp),
		  matched: ($b.matched - $a.matched), $lost, leaked: ($b.leaked - $a.leaked),
		  late: ($b.late - $a.late)}')
	STEPS=$(jq -c --argjson row "$row" '. + [$row]' <<<"$STEPS")
	jq -r '"\(.at)s\t\(.name): packets by old \(.old), nfqueue \(.nfqueue), xdp \(.xdp), lost \(.lost), leaked \(.leaked)"' <<<"$row"
}

# The old rule, made to look at DF as ours does: then no packet is handled by both.
old_rule_df() {
	in_gw iptables -t mangle -R PREROUTING 1 -i br0 -p udp --dport 31765 \
		-m u32 --u32 '4&0x4000=0x4000' -j NFQUEUE --queue-num 0
}

old_to_ours() {
	old_rule_df || die "cannot replace the old rule"
	start nfqueue nsenter --net=/run/netns/n2x-gw "$N2X" run nfqueue -c $CONF
	local deadline=$((SECONDS + 10))
	until jq -e .nfqueue.running >/dev/null < <(n2x migrate status -c $CONF --json); do
		[ $SECONDS -lt $deadline ] || die "the NFQUEUE path did not start"
	done
	in_gw iptables -t mangle -F PREROUTING
	until in_gw awk '$1 == 0 && $3 != 0 { exit 1 }' /proc/self/net/netfilter/nfnetlink_queue; do :; done
	stop_daemon old
	OLD_FINAL=$(field .handled)
}

# The policy's steps, each on evidence; it waits to be confirmed at the last, and has looked at it.
auto() {
	start auto in_gw "$N2X" migrate auto -c "$CONF" --json && wait_line auto '*"event":"second"*"state":"FULL"*'
}

confirm() {
	local generation
	generation=$(n2x migrate status -c $CONF --json | jq .generation)
	n2x migrate confirm "$generation" -c "$CONF" && wait_daemon auto
}

lab_up || die "the lab could not be set up"
mkdir -p "$OUT"
echo "gateway in namespaces, $RATE packets/s of UDP up to 8951 bytes through VXLAN; kernel $(uname -r), $CPUS CPUs"
# The empty table that the old rule leaves is not ours.
{ lab_old_rule A && lab_old_rule D && lab_baseline && lab_old_rule A; } || die "the old rule does not work"
start_daemon old in_gw "$LAB_BIN/old_daemon" -l 4096 || die "the old daemon did not start"
start_daemon sink in_col "$LAB_BIN/sink" -i eth0 || die "the sink did not start"
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r "$RATE" || die "the source did not start"

step "old daemon"
old_to_ours
step "our NFQUEUE path"
n2x migrate start -c $CONF || die "start failed"
step "shadow"
n2x migrate split -c $CONF --every 10 || die "split failed"
step "split 1/10"
n2x migrate split -c $CONF --every 2 || die "split failed"
step "split 1/2"
n2x migrate full -c $CONF || die "full failed"
step "all"
n2x panic br0 || die "panic failed"
step "panic: NFQUEUE"
step "migrate auto" auto
confirm || die "confirm failed"
step "confirmed"
LEAKS=$(n2x migrate status -c $CONF --json | jq .leaks)
n2x migrate "done" -c $CONF || die "done failed"
step "done"

stop_daemon source
SENT=$(field .sent)
lost_now >/dev/null
stop_daemon sink
SINK=$REPLY
wait_daemon nfqueue || die "the NFQUEUE path ended badly"
STATUS=$(n2x migrate status -c $CONF --json)
{ REPORT=$(n2x migrate report -c $CONF --json) && n2x migrate report -c $CONF --out "$OUT/report.html"; } || die "report failed"
{ n2x panic br0 && n2x migrate rollback -c $CONF --detach --allow-link-reset; } >/dev/null || die "detach failed"

# What was handled while a step was changed, and by whom: with it the columns add up to what was sent.
jq -n --argjson sent "$SENT" --argjson sink "$SINK" --argjson steps "$STEPS" --argjson status "$STATUS" \
	--argjson old "$OLD_FINAL" --argjson leaked "$LEAKS" --argjson cpus "$CPUS" --argjson rate "$RATE" \
	'{schema: 1, $rate, $cpus, $sent} + ($sink | {received, lost, duplicate, late, df_left, bad_ip_csum,
	  bad_udp_csum, zero_udp_csum, sink_drops}) + {$leaked, attached: $status.xdp.attached,
	  by_path: {$old, nfqueue: $status.nfqueue.handled, xdp: $status.xdp.cleared}, $steps} |
	.between_steps = (. as $all | .by_path | with_entries(.key as $path |
		.value -= ($all.steps | map(.[$path]) | add)))' >"$OUT/result.json"

echo
jq -r '["step", "share", "old", "nfqueue", "xdp", "late", "lost", "leaked"],
	(.steps[] | [.name, .share, .old, .nfqueue, .xdp, .late, .lost, .leaked]),
	(.between_steps | ["between steps", "", .old, .nfqueue, .xdp, "", "", ""]),
	(. as $all | .by_path | ["total", "", .old, .nfqueue, .xdp, $all.late, $all.lost, $all.leaked]) | @tsv' \
	"$OUT/result.json" |
	awk -F '\t' '{ printf "%-16s %6s", $1, $2; for (i = 3; i <= NF; i++) printf " %9s", $i; print "" }'
echo

r() { jq -r "$1" "$OUT/result.json"; }
check "received = sent" "$(r .received)" "$SENT"
check "lost, duplicate" "$(r '"\(.lost) \(.duplicate)"')" "0 0"
check "with DF at the collector, leaked" "$(r '"\(.df_left) \(.leaked)"')" "0 0"
check "bad IP, bad UDP checksums" "$(r '"\(.bad_ip_csum) \(.bad_udp_csum)"')" "0 0"
check "old + nfqueue + xdp = sent" "$(r '.by_path | .old + .nfqueue + .xdp')" "$SENT"
check "UDP checksums zeroed: by the old daemon alone" "$(r .zero_udp_csum)" "$(r .by_path.old)"
check "sink kept up" "$(r .sink_drops)" 0
check "1/10 within the number of CPUs" "$(r '.cpus as $c | .steps[] | select(.name == "split 1/10") |
	(.xdp - .matched / 10 | fabs) < $c')" true
check "1/2 within the number of CPUs" "$(r '.cpus as $c | .steps[] | select(.name == "split 1/2") |
	(.xdp - .matched / 2 | fabs) < $c')" true
check "rate reached" "$(r '.rate as $r | (.steps | map(select(.name != "migrate auto"))) | (map(.old + .nfqueue + .xdp) | add) >=
	0.95 * $r * '"$SECONDS_A_STEP"' * length')" true
check "report: rollouts" "$(jq -r '.rollouts | map("\(.outcome): \(.moves | map(.to) | join(" "))") | join(", ")' <<<"$REPORT")" \
	"rolled back: 1/10 1/2 all 0, done: 1/10 1/2 all"
check "report: states that the gates were read in" "$(jq -r '[.rollouts[1].looks[].state] | unique | join(" ")' <<<"$REPORT")" \
	"FULL SHADOW SPLIT"
check "report: looks without a rate" "$(jq -c '[.rollouts[1].looks | to_entries[] | select(.value | has("nfqueue_rate") | not).key]' <<<"$REPORT")" "[0]"
echo "result: ${OUT#"$LAB_ROOT"/}/result.json; report, for a browser: ${OUT#"$LAB_ROOT"/}/report.html"
finish

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What the tests of the binary share. Sourced after lab.sh, once lab_up is through.
#
#	burst 2000 -f 10                 # SINK: the sink's last line. DIFF: what the status counted meanwhile
#	check "all" "$(diff_of .handled .cleared)" "2000 0"
# shellcheck disable=SC2034 # SINK and OUT are for the scripts

N2X=${LAB_BIN%/tests/lab}/nfq2xdp
BPF_OBJ=${LAB_BIN%/tests/lab}/xdp/nfq2xdp.bpf.o
CONF=/run/lab/br0.yaml
CPUS=$(getconf _NPROCESSORS_CONF)
# What is in the judge's own line when nothing went wrong on the way.
WHOLE='[.received, .lost, .duplicate, .bad_ip_csum, .bad_udp_csum, .zero_udp_csum, .bad_payload, .sink_drops]
	| map(tostring) | join(" ")'

bpftool prog show >/dev/null 2>&1 || lab_skip "the kernel refuses the bpf() system call"

# has FEATURE: does this kernel have it, asked without our program? frags: XDP on packets of several pages (5.18, with this
# helper). owner: nftables tables that only their process can change, and that go with it (5.12).
has() {
	case $1 in
	frags) grep -qw bpf_xdp_get_buff_len /proc/kallsyms ;;
	owner) in_gw nft -c 'add table ip n2x_probe { flags owner; }' 2>/dev/null ;;
	esac
}

n2x() { in_gw timeout --foreground "$LAB_WAIT" "$N2X" "$@"; }

# Its exit status is that of the command.
status() {
	n2x migrate status -c "$CONF" --json | lab_status
	return "${PIPESTATUS[0]}"
}

# conf KEY=VALUE…: writes $CONF; the values are YAML.
conf() {
	local interface=br0 dport='[31765]' match='' min=0 attach='[ens5]' mode=auto queue=1 threads=1 "$@"
	cat >"$CONF" <<-END
		interface: $interface
		match:    { protocol: udp, dport: $dport$match }
		action:   { clear-df: { min-length: $min }, ip-id: keep }
		xdp:      { attach: $attach, mode: $mode }
		nfqueue:  { queue: $queue, threads: $threads, fail: open }
	END
}

# The numbers of a status, flat. settled: every verdict is given and counted.
NUMBERS='{matched: .xdp.matched, cleared: .xdp.cleared, below: .xdp.reasons["below-min"],
	other_port: .xdp.reasons["other-port"], plain: .xdp.reasons.cleared,
	handled: .nfqueue.handled, queued: .nfqueue.queued, leaks: (.leaks // 0)}'

# A verdict is given before it is counted: the counters say all once nothing is missing between rule and verdict.
settle() {
	local deadline=$((SECONDS + LAB_WAIT))
	until STATUS=$(status)
		jq -e '.nfqueue.unmodified + .nfqueue.depth == 0' <<<"$STATUS" >/dev/null; do
		[ $SECONDS -lt $deadline ] || { echo "counters never settled: $STATUS" >&2; return 1; }
	done
}

# mark, since_mark: what the counters did between.
mark() {
	settle
	MARK=$STATUS
}

since_mark() {
	settle
	DIFF=$(jq -cn --argjson a "$MARK" --argjson b "$STATUS" \
		"(\$a | $NUMBERS) as \$x | (\$b | $NUMBERS) | with_entries(.value -= \$x[.key])")
}

# diff_of FILTER…: these numbers of DIFF, in one line.
diff_of() {
	local IFS=,
	jq -r "[$*] | map(tostring) | join(\" \")" <<<"$DIFF"
}

sink_of() { jq -r "$1" <<<"$SINK"; }

# send N SOURCE-ARGUMENT…: N packets through the gateway, all of them seen by the sink. Nothing else is read. They leave
# SEND_FROM, to the MAC SEND_TO, and are seen at SEND_AT.
SEND_FROM=mirror0 SEND_TO=$LAB_MAC SEND_AT=eth0
send() {
	local n=$1
	shift
	start_daemon sink in_col "$LAB_BIN/sink" -i "$SEND_AT" -n "$n" -t 5 &&
		start_daemon source in_src "$LAB_BIN/source" -i "$SEND_FROM" -m "$SEND_TO" -n "$n" -r 20000 "$@" || return
	wait_daemon source
	wait_daemon sink
	SINK=$REPLY
	[ "$(sink_of "$WHOLE")" = "$n 0 0 0 0 0 0 0" ] || check "sent $n: whole" "$(sink_of "$WHOLE")" "$n 0 0 0 0 0 0 0"
}

burst() {
	mark
	send "$@"
	since_mark
}

# both NAME PACKETS: in SHADOW the NFQUEUE path has all, in FULL XDP has.
both() {
	burst "$2" -f 10
	check "$1: shadow: matched, cleared, handled, with DF" \
		"$(diff_of .matched .cleared .handled) $(sink_of .df_left)" "$2 0 $2 0"
	ok "$1: full" n2x migrate full -c "$CONF"
	burst "$2" -f 10
	check "$1: full: matched, cleared, handled, with DF, leaks" \
		"$(diff_of .matched .cleared .handled) $(sink_of .df_left) $(diff_of .leaks)" "$2 $2 0 0 0"
}

# start_said NAME PATTERN CMD…: start, and wait for what a command of ours says on standard error.
start_said() {
	local name=$1 pattern=$2
	shift 2
	# shellcheck disable=SC2016
	start "$name" in_gw sh -c 'exec "$0" "$@" 2>&1' "$@" && wait_line "$name" "$pattern"
}

start_nfqueue() { start_said nfqueue '*NFQUEUE path ready*' "$N2X" run nfqueue -c "$CONF"; }
start_xdp() { start_said xdp '*XDP path ready*' "$N2X" run xdp -c "$CONF"; }

confirm() { n2x migrate confirm "$(status | jq .generation)" -c "$CONF" "$@"; }

# ok NAME CMD…: the command says 0. Its standard output is OUT.
ok() {
	local name=$1
	shift
	OUT=$("$@" 2>/run/lab/stderr)
	check "$name: exit" "$?" 0
}

# refuse NAME EXIT PATTERN CMD…: this exit code, and one line on standard error that contains all of PATTERN (a glob).
refuse() {
	local name=$1 want=$2 pattern=$3 rc text
	shift 3
	OUT=$("$@" 2>/run/lab/stderr </dev/null)
	rc=$?
	text=$(</run/lab/stderr)
	check "$name: exit, lines" "$rc $(wc -l </run/lab/stderr)" "$want 1"
	# shellcheck disable=SC2053
	if [[ $text == *$pattern* ]]; then
		check "$name: says what" "*$pattern*" "*$pattern*"
	else
		check "$name: says what" "$text" "*$pattern*"
	fi
}

# Not the top directory, which may be the system's (tmpfiles.d).
pins() { find /sys/fs/bpf -mindepth 1 ! -name '*.debug' ! -path /sys/fs/bpf/nfq2xdp | sort; }

# Everything that a command could have left: the gateway, and what is pinned.
everything() {
	lab_snapshot
	echo "== pins"
	pins
}

# unchanged NAME BEFORE
unchanged() {
	check "$1: unchanged" "$(diff <(echo "$2") <(everything))" ""
}

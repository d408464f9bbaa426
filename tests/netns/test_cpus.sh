#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Two senders on two CPUs at once: the counters and the share are exact, and both CPUs really counted.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
[ "$(nproc)" -ge 2 ] || lab_skip "needs two CPUs"
command -v taskset >/dev/null || lab_skip "needs taskset"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"

N=(9000 6000) # one each
PORT=(31765 31766)
mapfile -t CPU < <(taskset -cp $$ | sed 's/.*: //; s/,/\n/g' |
	awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) print i }')
ALL=$((N[0] + N[1]))

# What each CPU's counters have in all reasons that a matching packet can end in: enum df_reason 0 to 4.
per_cpu() {
	in_gw bpftool -j map dump pinned "$(find /sys/fs/bpf/nfq2xdp -name stats)" |
		jq -c '[.[0].formatted.values[].value.reason[0:5] | add]'
}

# both: two sinks, two sources at the same time. Both end by themselves.
both() {
	local i before after
	before=$(per_cpu)
	mark
	for i in 0 1; do
		start_daemon sink$i in_col "$LAB_BIN/sink" -i eth0 -p "${PORT[i]}" -n "${N[i]}" -t 5
	done
	for i in 0 1; do
		start_daemon source$i in_src taskset -c "${CPU[i]}" "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" \
			-p "${PORT[i]}" -n "${N[i]}" -r 20000 -l 60:1400
	done
	for i in 0 1; do
		wait_daemon source$i
		wait_daemon sink$i
		SINK=$REPLY
		check "$1: sender $i: whole, df_left" "$(sink_of "$WHOLE") $(sink_of .df_left)" "${N[i]} 0 0 0 0 0 0 0 0"
	done
	since_mark
	check "$1: matched, cleared + handled, leaks" "$(diff_of .matched '.cleared + .handled' .leaks)" "$ALL $ALL 0"
	after=$(per_cpu)
	BY_CPU=$(jq -cn "$after as \$a | $before as \$b | [range(\$a | length) | \$a[.] - \$b[.]]")
	check "$1: the sum over the CPUs" "$(jq add <<<"$BY_CPU")" $ALL
	check "$1: both counted, $BY_CPU" "$(jq "map(select(. >= $ALL / 20)) | length >= 2" <<<"$BY_CPU")" true
}

for setup in "attach=[vxlan1]" "match=, encap: vxlan, vni: [1]"; do
	echo "# $setup"
	conf "dport=[31765, 31766]" "$setup"
	start_nfqueue
	ok start n2x migrate start -c "$CONF"
	both shadow
	check "shadow: cleared" "$(diff_of .cleared)" 0
	ok "every 3" n2x migrate split -c "$CONF" --every 3
	both "every 3"
	check "every 3: |cleared - all/3| < CPUs" \
		"$(jq --argjson n $ALL --argjson c "$CPUS" '(.cleared - $n / 3 | fabs) < $c' <<<"$DIFF")" true
	ok full n2x migrate full -c "$CONF"
	both full
	check "full: cleared, handled" "$(diff_of .cleared .handled)" "$ALL 0"
	ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset
	stop_daemon nfqueue
done
finish

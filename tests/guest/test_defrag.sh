#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Connection tracking puts fragments together, behind both paths: each sees three fragments, and what follows one packet.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
grep -qw nf_ct_defrag_user /proc/kallsyms || modprobe -q nf_defrag_ipv4 || lab_skip "the kernel does not track connections"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
N=300 # fragments
LEN=1044

# A rule that asks for the state is what loads defragmentation: counted before it and behind. Put together, the source's
# fragments have a wrong UDP checksum: the state is "invalid".
in_gw nft -f - <<-END || lab_skip "the kernel has no ct expression"
	table ip seen {
		counter fragments { }
		counter whole { }
		chain before {
			type filter hook prerouting priority -460;
			ip protocol udp ip length $LEN counter name fragments
		}
		chain behind {
			type filter hook prerouting priority -190;
			ct state new,established,invalid ip protocol udp ip length $((3 * (LEN - 20) + 20)) udp dport 31765 counter name whole
		}
	}
END
seen() { in_gw nft -j list counters | jq -r '[.nftables[].counter.packets // empty] | join(" ")'; }
lab_baseline

# pieces NAME: N fragments, of N / 3 packets; what the table saw of them, and what became of them.
pieces() {
	local before after
	before=$(seen)
	mark
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0 &&
		start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -n $N -r 20000 -l $LEN:$LEN -f 1 -b pieces || return
	wait_daemon source
	await_whole $((${before#* } + N / 3))
	stop_daemon sink
	since_mark
	after=$(seen)
	check "$1: fragments, whole packets" "$((${after% *} - ${before% *})) $((${after#* } - ${before#* }))" "$N $((N / 3))"
}
await_whole() {
	local deadline=$((SECONDS + LAB_WAIT)) now
	until now=$(seen)
		[ "${now#* }" -ge "$1" ] || [ $SECONDS -gt $deadline ]; do :; done
}
later() { jq -r '.xdp.reasons.fragment' <<<"$STATUS"; }

conf attach="[vxlan1]"
start_nfqueue || exit 1
ok "start" n2x migrate start -c "$CONF"
pieces "shadow"
check "shadow: matched, cleared, handled, queued, leaks" "$(diff_of .matched .cleared .handled .queued .leaks)" \
	"$((N / 3)) 0 $((N / 3)) $((N / 3)) 0"
check "shadow: later fragments" "$(later)" $((2 * N / 3))
ok "full" n2x migrate full -c "$CONF"
pieces "full"
check "full: matched, cleared, handled, queued, leaks" "$(diff_of .matched .cleared .handled .queued .leaks)" \
	"$((N / 3)) $((N / 3)) 0 0 0"
check "full: later fragments" "$(later)" $((4 * N / 3))
ok "detach" n2x migrate rollback -c "$CONF" --detach
stop_daemon nfqueue
in_gw nft reset counters >/dev/null
finish

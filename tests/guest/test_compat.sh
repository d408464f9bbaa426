#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The same kernel with nft_queue, and with the xtables target in its place.
# nft lists the two alike but for the order of words.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
MODULE=$(find /lib/modules/"$(uname -r)" -name 'nft_queue.ko*' 2>/dev/null)
[ -n "$MODULE" ] || [ "${LAB_INSIDE:-}" = $$ ] || lab_skip "needs nft_queue as a module"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
N=300

# path NAME RULE: which rule it is, said and listed; it queues all, and stops without a loss.
path() {
	conf attach="[vxlan1]"
	start_nfqueue || exit 1
	check "$1: says which" "$(grep -c "$1" <<<"$REPLY")" 1
	check "$1: rule" "$(in_gw nft list table ip nfq2xdp_br0 2>/dev/null | grep -c "$2")" 1
	burst $N -f 10
	check "$1: queued, handled, with DF, leaks" "$(diff_of .queued .handled) $(sink_of .df_left) $(diff_of .leaks)" "$N $N 0 0"
	ok "$1: start" n2x migrate start -c "$CONF"
	ok "$1: full" n2x migrate full -c "$CONF"
	burst $N -f 10
	check "$1: full: cleared, handled, with DF" "$(diff_of .cleared .handled) $(sink_of .df_left)" "$N 0 0"
	ok "$1: detach" n2x migrate rollback -c "$CONF" --detach
	stop_daemon nfqueue
}

path "nft queue" "queue flags bypass to 1"
mv "$MODULE" "$MODULE.away" && modprobe -r nft_queue
check "nft_queue is gone" "$(grep -c '^nft_queue ' /proc/modules)" 0
path "through nft_compat" "queue num 1 bypass"
"$(dirname "$LAB_BIN")/netns/test_queue_vectors" >/run/lab/vectors 2>&1
check "the vectors through it: exit" $? 0
mv "$MODULE.away" "$MODULE" && modprobe nft_queue
finish

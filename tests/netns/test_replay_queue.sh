#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# parity replay --live-queue: the vectors through a real queue in a namespace that nobody sees. What the stack drops is
# named, every count is exact, and the namespace that the command runs in is the same before, during and after.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
N2X=$BUILD/nfq2xdp
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
[ -x "$N2X" ] || { echo "needs $N2X: make"; exit 77; }
# Of its own, so that whatever changed is ours.
[ "${INSIDE:-}" = $$ ] || INSIDE=1 exec unshare --net --mount --pid --fork --kill-child --mount-proc env INSIDE=1 "$0" "$@"
DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$DIR"' EXIT
# shellcheck source=tests/check.sh
. tests/check.sh
"$BUILD/tests/bpf/test_replay" write "$DIR" || exit 1

# replay POLICY [OPTION…]: RC, $DIR/out, $DIR/err
replay() {
	local policy=$1
	shift
	timeout -s KILL 60 "$N2X" parity replay "$DIR/$policy.ethernet.pcap" -c "$DIR/$policy.yaml" "$@" \
		>"$DIR/out" 2>"$DIR/err" </dev/null
	RC=$?
}

json() { jq -r "$1" "$DIR/out"; }

replay keep --live-queue
[ "$RC" != 6 ] || { cat "$DIR/err"; exit 77; }

# What a namespace holds of the kinds of thing that the command makes.
snapshot() {
	ip -o link
	nft list ruleset
	cat /proc/net/netfilter/nfnetlink_queue
}
BEFORE=$(snapshot)

echo "# the vectors"
# Different, accepted; packets, compared, matching, and dropped by the stack for each of its reasons.
NUMBERS='[.different, .accepted, .packets, .compared, .matching, .not_comparable["bad-header", "bad-length", "bad-checksum"]]
	| map(tostring) | join(" ")'
while read -r policy expected; do
	replay "$policy" --live-queue --json
	check "$policy" "$RC $(json "$NUMBERS")" "0 0 0 $expected"
	live=$(json '.compared + .not_comparable["bad-header"] + .not_comparable["bad-length"] + .not_comparable["bad-checksum"]')
	replay "$policy" --json
	check "$policy: those and no others, as without a queue" "$live" "$(json .compared)"
done <<-END
	keep 318 80 45 23 54 70
	assign 25 21 19 0 1 3
	list 7 7 5 0 0 0
	min 8 7 2 0 1 0
	vxlan 188 36 27 2 34 2
	vxlan-any 2 2 2 0 0 0
	vxlan-16 3 2 2 0 0 0
	vxlan-assign 5 4 4 0 1 0
	vxlan-min 3 3 2 0 0 0
END

echo "# in words"
replay keep --live-queue
check "through a live queue" "$(grep -c ' packets, through a live queue' "$DIR/out")" 1
check "what the stack drops" "$(grep -c 'the stack drops them before any rule$\|it drops them before any rule$' "$DIR/out")" 3
replay keep
check "not without it" "$(grep -c 'live queue\|the stack drops' "$DIR/out")" 0

echo "# nothing is touched"
check "before and after" "$(snapshot | cksum)" "$(cksum <<<"$BEFORE")"
# A capture that does not end: looked at meanwhile, and killed.
mkfifo "$DIR/fifo"
"$N2X" parity replay "$DIR/fifo" -c "$DIR/keep.yaml" --live-queue >"$DIR/out" 2>"$DIR/err" &
pid=$!
exec 5>"$DIR/fifo"
cat "$DIR/keep.ethernet.pcap" >&5
# More than the pipe and the first read of the file hold: it reads on only with everything in place.
for _ in 1 2 3 4 5 6 7 8; do tail -c +25 "$DIR/keep.ethernet.pcap"; done | head -c 100000 >&5
check "meanwhile: a tun device" "$(readlink "/proc/$pid/fd/"* | grep -c '^/dev/net/tun$')" 1
check "meanwhile" "$(snapshot | cksum)" "$(cksum <<<"$BEFORE")"
check "meanwhile: the namespace of the process" "$(readlink /proc/$pid/ns/net)" "$(readlink /proc/self/ns/net)"
kill -KILL $pid
wait $pid 2>/dev/null
exec 5>&-
check "killed" "$(snapshot | cksum)" "$(cksum <<<"$BEFORE")"

echo "# refused"
setpriv --bounding-set=-sys_admin --inh-caps=-all "$N2X" parity replay "$DIR/keep.ethernet.pcap" -c "$DIR/keep.yaml" --live-queue \
	>"$DIR/out" 2>"$DIR/err"
check "no right to make a namespace" "$? $(wc -l <"$DIR/err") $(grep -c 'CAP_SYS_ADMIN' "$DIR/err") $(wc -c <"$DIR/out")" "6 1 1 0"

tally

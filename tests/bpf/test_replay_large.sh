#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# parity replay of more than 2 GiB: the right numbers, and no more memory than for a small one.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
N2X=$BUILD/nfq2xdp TRAFFIC=$BUILD/tests/lab/traffic
for tool in "$N2X" "$TRAFFIC"; do
	[ -x "$tool" ] || { echo "needs $tool: make tests"; exit 77; }
done
[ "$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)" -gt 3000000 ] ||
	{ echo "needs 3 GB of memory, for where /tmp is in it"; exit 77; }
DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$DIR"' EXIT
# shellcheck source=tests/check.sh
. tests/check.sh
RSS_MAX=65536 # KiB
! grep -q __asan_init "$BUILD/main.o" || RSS_MAX=1048576 # the sanitizer keeps what was freed
N=34000
NUMBERS='[.result, .complete, .packets, .compared, .matching, .different]'

cat >"$DIR/keep.yaml" <<-END
	interface: br0
	match:    { protocol: udp, dport: [31765] }
	xdp:      { attach: [br0] }
END

# Packets of 65,000 bytes, nearly all of them zeros: holes in the file.
"$TRAFFIC" $N 1 65000 | dd of="$DIR/large.pcap" bs=4096 conv=sparse iflag=fullblock status=none
check "a file of more than 2 GiB" "$(($(stat -c %s "$DIR/large.pcap") > 1 << 31))" 1
"$N2X" parity replay "$DIR/large.pcap" -c "$DIR/keep.yaml" --json >"$DIR/out" 2>"$DIR/err"
RC=$?
[ $RC != 6 ] || { cat "$DIR/err"; exit 77; }
[ "$(jq '.not_comparable.refused' "$DIR/out")" = 0 ] || { echo "needs a kernel that runs XDP on frames of 65,000 bytes"; exit 77; }
check "its numbers" "$RC $(jq -c "$NUMBERS" "$DIR/out")" "0 [\"equal\",true,$N,$N,24550,0]"

# The same through a pipe whose end stays open: so the process is still there when it has read everything but what the
# pipe holds, and says how much memory it ever had.
mkfifo "$DIR/fifo"
"$N2X" parity replay "$DIR/fifo" -c "$DIR/keep.yaml" --json >"$DIR/piped" 2>"$DIR/err" &
pid=$!
exec 5>"$DIR/fifo"
cat "$DIR/large.pcap" >&5
check_le "most memory, KiB" "$(awk '/^VmHWM/ { print $2 }' /proc/$pid/status)" $RSS_MAX
exec 5>&-
wait $pid
check "the same numbers" "$? $(jq -c 'del(.file)' "$DIR/piped" | cksum)" "0 $(jq -c 'del(.file)' "$DIR/out" | cksum)"

tally

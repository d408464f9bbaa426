#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Builds of the binary whose XDP program has a defect, for the fault tests: defects.sh NAME → path of the binary.
# Only what the defect touches is compiled again.
set -eu
cd "$(dirname "$0")/../.."
BUILD=$(realpath -m "${BUILD:-build}")
dir=$BUILD/faults/defect-$1
file=xdp/nfq2xdp.bpf.c
case $1 in
checksum) script='s/reason = (int)df_rewrite(&policy, pkt);/{ reason = (int)df_rewrite(\&policy, pkt); pkt->ip->check ^= 1; }/' ;;
vlan) script='s/return df_parse(policy, pkt, eth + 1, eth->proto_be);/return eth->proto_be == DF_BE16(ETH_P_8021Q) ? DF_NOT_IPV4 : df_parse(policy, pkt, eth + 1, eth->proto_be);/' file=core/packet.h ;;
aborted) script='/count->reason\[reason\]++;/a\	if (reason == DF_CLEARED) return XDP_ABORTED;' ;;
lost) script='/count->reason\[reason\]++;/a\	if (reason == DF_CLEARED \&\& count->reason[DF_CLEARED] % 1000 == 0) return XDP_DROP;' ;;
port) script='/reason = df_match_udp(&policy/a\	if (reason == DF_OTHER_PORT) reason = DF_GO_ON;' ;;
disobeys) script='s/df_select(&ctl, bpf_jiffies64(), &count->nth, pkt)/& == DF_MALFORMED ? DF_ERROR : DF_GO_ON/' ;;
uncounted) script='s/if (reason >= 0 && reason < DF_REASON_MAX)/if (reason >= 0 \&\& reason < DF_REASON_MAX \&\& reason != DF_NOT_SELECTED)/' ;;
harmless) script='s/int reason;/int reason; volatile int other = 1; (void)other;/' ;;
swap) script='s/^\tif (queue->n_out \&\& send_verdicts/\tif (queue->n_out > 1) {\n\t\tstruct iovec first = queue->out[0];\n\n\t\tqueue->out[0] = queue->out[1];\n\t\tqueue->out[1] = first;\n\t}\n&/' file=nfq-fallback/nfq_queue.c ;;
layout) script='s/define ABI_VERSION [0-9]*/define ABI_VERSION 99/' file=core/abi.h ;;
*) echo "$1: no such defect" >&2; exit 2 ;;
esac
mkdir -p "$dir"
# The tree and what is built of it, with their times; but what includes the file: dependencies name the folder they
# were built in.
tar -c --exclude=./build --exclude=./.git . | tar -x -C "$dir"
mkdir -p "$dir/build"
parts=(core rules nfq-fallback migrate main.o main.d)
[ $file != core/abi.h ] || parts=()
for part in "${parts[@]}"; do cp -a "$BUILD/$part" "$dir/build/" 2>/dev/null || true; done
sed -i "$script" "$dir/$file"
! cmp -s "$file" "$dir/$file" || { echo "$1: sed changed nothing in $file" >&2; exit 1; }
# What is built with sanitizers links with them only.
san=
! grep -q __asan_init "$BUILD/main.o" || san=-fsanitize=address,undefined
make -s -C "$dir" BUILD=build "SAN=$san" all >&2
echo "$dir/build/nfq2xdp"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# One mistake at a time in what the XDP program is made of, and only there: parity replay of the vectors finds it, by
# its name and on its side, and nothing else.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
command -v "${CLANG:-clang}" >/dev/null || { echo "needs clang, to build what is wrong"; exit 77; }
[ -x "$BUILD/nfq2xdp" ] || { echo "needs $BUILD/nfq2xdp: make"; exit 77; }
DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$DIR"' EXIT
# shellcheck source=tests/check.sh
. tests/check.sh
TREE=$DIR/tree BPF=xdp/nfq2xdp.bpf.c PACKET=core/packet.h
"$BUILD/tests/bpf/test_replay" write "$DIR" || exit 1
"$BUILD/nfq2xdp" parity replay "$DIR/keep.ethernet.pcap" -c "$DIR/keep.yaml" >"$DIR/out" 2>&1
[ $? != 6 ] || { cat "$DIR/out"; exit 77; }

# What is built with sanitizers links with them only.
SAN=
! grep -q __asan_init "$BUILD/main.o" || SAN=-fsanitize=address,undefined
# The tree and what is built of it, with their times; but xdp/, whose dependencies name the folder it was built in.
mkdir -p "$TREE/build"
tar -c --exclude=./build --exclude=./.git . | tar -x -C "$TREE"
for part in core rules nfq-fallback migrate main.o main.d; do cp -a "$BUILD/$part" "$TREE/build/" || exit 1; done

# build FILE SCRIPT: the program of a header of its own, so that user space keeps the right one.
build() {
	sed 's|"core/packet.h"|"core/packet_xdp.h"|' $BPF >"$TREE/$BPF"
	cp $PACKET "$TREE/core/packet_xdp.h"
	local file=$TREE/${1/packet.h/packet_xdp.h}
	cp "$file" "$DIR/before"
	sed -i "$2" "$file"
	! cmp -s "$file" "$DIR/before" || { echo "sed changed nothing in $1"; return 1; }
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$TREE" BUILD=build CFLAGS=-O0 "SAN=$SAN" all >"$DIR/make" 2>&1 ||
		{ tail -5 "$DIR/make"; return 1; }
}

# defect NAME POLICY EXPECTED FILE SCRIPT: EXPECTED is the exit code, and each class with the side it is charged to.
defect() {
	local name=$1 policy=$2 expected=$3 rc
	build "$4" "$5" || { check "$name" "not built" "built"; return; }
	"$TREE/build/nfq2xdp" parity replay "$DIR/$policy.ethernet.pcap" -c "$DIR/$policy.yaml" --json >"$DIR/json" 2>"$DIR/err"
	rc=$?
	check "$name" "$rc $(jq -r '[.classes | to_entries[] | .key as $c | .value | to_entries[] | select(.value > 0)
		| "\($c):\(.key)"] | join(" ")' "$DIR/json")" "$expected"
}

behind_rewrite() { printf 's/reason = (int)df_rewrite(&policy, &pkt);/{ reason = (int)df_rewrite(\\&policy, \\&pkt); %s }/' "$1"; }

defect "no defect" keep "0 " $BPF 's/int reason;/int reason; volatile int other = 1; (void)other;/'
defect "checksum: a bit" keep "1 ip-checksum-wrong:xdp" $BPF "$(behind_rewrite 'pkt.ip->check ^= 1;')"

# Ten of each class, before and after: one byte is between the two sides.
examples=$DIR/examples
"$TREE/build/nfq2xdp" parity replay "$DIR/keep.ethernet.pcap" -c "$DIR/keep.yaml" --example "$examples" >"$DIR/out" 2>"$DIR/err"
check "examples: files" "$? $(cd "$examples" && echo *)" \
	"1 ip-checksum-wrong.before.pcap ip-checksum-wrong.behind.pcap ip-checksum-wrong.xdp.pcap"
for form in before behind xdp; do
	"$BUILD/nfq2xdp" parity replay "$examples/ip-checksum-wrong.$form.pcap" -c "$DIR/keep.yaml" --json >"$DIR/json"
	check "examples: $form" "$? $(jq -c '[.packets, .matching, .different]' "$DIR/json")" \
		"$([ $form = before ] && echo '0 [10,10,0]' || echo '4 [10,0,0]')"
done
check "examples: bytes that differ" \
	"$(cmp -l "$examples"/ip-checksum-wrong.{xdp,behind}.pcap | wc -l)" 10

# One vector comes with 0 already.
defect "checksum: 0" keep "1 ip-checksum-not-updated:xdp ip-checksum-zeroed:xdp" $PACKET \
	's/ip->check = df_csum_update(ip->check, old, new);/ip->check = 0;/'
defect "checksum: as it was" keep "1 ip-checksum-not-updated:xdp" $PACKET \
	'/ip->check = df_csum_update(ip->check, old, new);/d'
defect "checksum: no end-around carry" keep "1 ip-checksum-wrong:xdp" $PACKET \
	'/sum = (sum & 0xffff) + (sum >> 16);/d'
defect "ID: checksum of before it" assign "1 ip-checksum-wrong:xdp" $PACKET \
	'/ip->check = df_csum_update(ip->check, 0, new);/d'
defect "ID: not assigned" assign "1 ip-id-not-assigned:xdp" $PACKET \
	's/if (policy->ip_id != DF_IP_ID_ASSIGN)/if (policy->ip_id)/'
defect "ID: another" assign "1 ip-id-changed:behind ip-id-changed:xdp" $PACKET \
	's/id = (__u16)(hash >> 48);/id = (__u16)(hash >> 47);/'
defect "ID: of the first fragment too" assign "1 ip-id-changed:xdp" $PACKET \
	's/if (ip->id_be || (new &DF_IP_MF))/if (ip->id_be)/'
defect "ID: assigned without being asked" keep "1 ip-id-changed:xdp" $PACKET \
	's/if (policy->ip_id != DF_IP_ID_ASSIGN)/if (policy->ip_id == DF_IP_ID_MAX)/'
defect "802.1Q is not looked into" keep "1 df-not-cleared:xdp" $PACKET 's/DF_BE16(ETH_P_8021Q)/DF_BE16(1)/'
defect "one tag, no two" keep "1 df-not-cleared:xdp" $PACKET 's/define DF_VLAN_TAGS_MAX 2/define DF_VLAN_TAGS_MAX 1/'
# Some options look like a UDP header.
defect "options are not stepped over" keep "1 df-cleared-wrongly:xdp df-not-cleared:xdp" $PACKET \
	's/udp = at + df_ihl(ip);/udp = at + sizeof(*ip);/'
defect "the first port only" list "1 df-not-cleared:xdp" $PACKET 's/i < DF_PORTS_MAX \&\& i < n/i < 1 \&\& i < n/'
defect "every port" keep "1 df-cleared-wrongly:xdp" $PACKET \
	's/if (!df_port_known(policy, pkt->udp->dport_be))/if (0)/'
defect "min-length: one off" min "1 df-not-cleared:xdp" $PACKET \
	's/tot_len_be) < policy->min_len)/tot_len_be) <= policy->min_len)/'
defect "min-length: ignored" min "1 df-cleared-wrongly:xdp" $PACKET \
	's/tot_len_be) < policy->min_len)/tot_len_be) < 1)/'
defect "fragments too" keep "1 df-cleared-wrongly:xdp" $PACKET \
	's/if (ip->frag_off_be & DF_IP_OFFSET)/if (0)/'
defect "the reserved bit is cleared too" keep "1 other-header-field:xdp" $PACKET \
	's/new = (__be16)(old & ~DF_IP_DF);/new = (__be16)(old \& DF_BE16(0x3fff));/'
# The right checksum of one vector, without that, is 0.
defect "TTL" keep "1 ip-checksum-wrong:xdp ip-checksum-zeroed:xdp other-header-field:xdp" $BPF "$(behind_rewrite 'pkt.ip->ttl--;')"
defect "UDP checksum: 0" keep "1 udp-checksum-zeroed:xdp" $BPF "$(behind_rewrite 'pkt.udp->check = 0;')"
defect "UDP checksum: a bit" keep "1 udp-checksum-changed:xdp" $BPF "$(behind_rewrite 'pkt.udp->check ^= 0x0101;')"
# In some vectors that byte, and the last one, lies behind the packet.
defect "payload" keep "1 around:xdp payload:xdp" $BPF \
	"$(behind_rewrite 'if ((void *)(pkt.udp + 1) + 2 <= pkt.data_end) ((__u8 *)(pkt.udp + 1))[1] ^= 1;')"
defect "length" keep "1 around:xdp length:xdp" $BPF "$(behind_rewrite 'bpf_xdp_adjust_tail(ctx, -1);')"
defect "Ethernet address" keep "1 around:xdp" $BPF "$(behind_rewrite 'eth->src[5] ^= 1;')"
defect "dropped" keep "1 dropped:xdp" $BPF "$(behind_rewrite 'count->reason[reason]++; return XDP_DROP;')"
defect "not counted" keep "1 counter:xdp" $BPF 's/reason < DF_REASON_MAX)/reason < DF_REASON_MAX \&\& reason != DF_NO_DF)/'
defect "counted, not done" keep "1 counter:xdp df-not-cleared:xdp" $BPF \
	's/reason = (int)df_rewrite(&policy, &pkt);/reason = DF_CLEARED;/'
defect "VXLAN: every VNI" vxlan "1 df-cleared-wrongly:xdp seen-only-by-xdp:xdp" $PACKET 's/return n == 0;/return 1;/'
defect "VXLAN: any port" vxlan "1 payload:xdp seen-only-by-xdp:xdp" $PACKET \
	's/if (outer->dport_be != DF_BE16(VXLAN_PORT))/if (0)/'
defect "VXLAN: the outer header" vxlan "1 around:xdp counter:xdp df-not-cleared:xdp" $PACKET \
	's/struct df_ipv4 \*ip = pkt->ip;/struct df_ipv4 *ip = pkt->data + 14; if ((void *)(ip + 1) > pkt->data_end) return DF_ERROR;/'

tally

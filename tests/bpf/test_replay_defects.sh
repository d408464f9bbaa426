#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# One mistake at a time, in what the XDP program is made of, in the handler or in the rule, and only there: parity replay
# of the vectors finds it, by its name and on its side, and nothing else. And it finds nothing in PARITY_PACKETS packets
# without a mistake. Both go to build/parity/result.json.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
command -v "${CLANG:-clang}" >/dev/null || { echo "needs clang, to build what is wrong"; exit 77; }
[ -x "$BUILD/nfq2xdp" ] || { echo "needs $BUILD/nfq2xdp: make"; exit 77; }
DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$DIR"' EXIT
# shellcheck source=tests/check.sh
. tests/check.sh
TREE=$DIR/tree BPF=xdp/nfq2xdp.bpf.c PACKET=core/packet.h RULE=rules/nft_rule.c
HANDLER=nfq-fallback/nfq_handler.c CHANGED=nfq-fallback/nfq_handler.h QUEUE=nfq-fallback/nfq_queue.c
PACKETS=${PARITY_PACKETS:-1000000}
RESULTS=()
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
	local right
	for right in $HANDLER $CHANGED $QUEUE $RULE; do
		cmp -s "$right" "$TREE/$right" || cp "$right" "$TREE/$right"
	done
	local file=$TREE/${1/packet.h/packet_xdp.h}
	cp "$file" "$DIR/before"
	sed -i "$2" "$file"
	! cmp -s "$file" "$DIR/before" || { echo "sed changed nothing in $1"; return 1; }
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$TREE" BUILD=build CFLAGS=-O0 "SAN=$SAN" all >"$DIR/make" 2>&1 ||
		{ tail -5 "$DIR/make"; return 1; }
}

# Each class of $DIR/json, with the side it is charged to.
classes() {
	jq -r '[.classes | to_entries[] | .key as $c | .value | to_entries[] | select(.value > 0) | "\($c):\(.key)"]
		| join(" ")' "$DIR/json"
}

# found NAME ACTUAL EXPECTED: a check that is written down, too.
found() {
	check "$@"
	RESULTS+=("$(jq -nc --arg name "$1" --arg class "${3#1 }" --argjson found "$([ "$2" = "$3" ] && echo true || echo false)" \
		'{$name, $class, $found}')")
}

# defect NAME POLICY EXPECTED FILE SCRIPT [OPTION…]: EXPECTED is the exit code, and the classes.
defect() {
	local name=$1 policy=$2 expected=$3 rc
	build "$4" "$5" || { found "$name" "not built" "$expected"; return; }
	shift 5
	"$TREE/build/nfq2xdp" parity replay "$DIR/$policy.ethernet.pcap" -c "$DIR/$policy.yaml" --json "$@" >"$DIR/json" 2>"$DIR/err"
	rc=$?
	found "$name" "$rc $(classes)" "$expected"
}

# Behind the rewrite; and where there is still a frame, too.
behind_rewrite() { printf 's/reason = (int)df_rewrite(&policy, pkt);/{ reason = (int)df_rewrite(\\&policy, pkt); %s }/' "$1"; }
behind_frame() { printf 's/return finish(&pkt, count, reason);/{ int ret = finish(\\&pkt, count, reason); if (reason == DF_GO_ON) { %s } return ret; }/' "$1"; }

build $BPF 's/int reason;/int reason; volatile int other = 1; (void)other;/' &&
	"$TREE/build/nfq2xdp" parity replay "$DIR/keep.ethernet.pcap" -c "$DIR/keep.yaml" --json >"$DIR/json"
check "no defect" "$? $(classes)" "0 "
defect "checksum: a bit" keep "1 ip-checksum-wrong:xdp" $BPF "$(behind_rewrite 'pkt->ip->check ^= 1;')"

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
	's/ip->check = df_csum_add(ip->check, (__u16)~DF_IP_DF);/ip->check = 0;/'
defect "checksum: as it was" keep "1 ip-checksum-not-updated:xdp" $PACKET \
	'/ip->check = df_csum_add(ip->check, (__u16)~DF_IP_DF);/d'
defect "checksum: no end-around carry" keep "1 ip-checksum-wrong:xdp" $PACKET \
	's/(sum + 1) >> 16/sum == 0xffff/'
defect "ID: checksum of before it" assign "1 ip-checksum-wrong:xdp" $PACKET \
	'/ip->check = df_csum_update(ip->check, 0, id);/d'
defect "ID: not assigned" assign "1 ip-id-not-assigned:xdp" $PACKET \
	's/if (policy->ip_id != DF_IP_ID_ASSIGN)/if (policy->ip_id)/'
defect "ID: another" assign "1 ip-id-changed:behind ip-id-changed:xdp" $PACKET \
	's/id = (__u16)(hash >> 48);/id = (__u16)(hash >> 47);/'
defect "ID: of the first fragment too" assign "1 ip-id-changed:xdp" $PACKET \
	's/0xffff2000/0xffff0000/'
defect "ID: assigned without being asked" keep "1 ip-id-changed:xdp" $PACKET \
	's/if (policy->ip_id != DF_IP_ID_ASSIGN)/if (policy->ip_id == DF_IP_ID_MAX)/'
defect "802.1Q is not looked into" keep "1 df-not-cleared:xdp" $PACKET 's/DF_BE16(ETH_P_8021Q)/DF_BE16(1)/'
defect "one tag, no two" keep "1 df-not-cleared:xdp" $PACKET 's/define DF_VLAN_TAGS_MAX 2/define DF_VLAN_TAGS_MAX 1/'
# Some options look like a UDP header.
defect "options are not stepped over" keep "1 df-cleared-wrongly:xdp df-not-cleared:xdp" $PACKET \
	's/udp = at + df_ihl(ip);/udp = at + sizeof(*ip);/'
defect "any header is 20 bytes long" keep "1 df-cleared-wrongly:xdp df-not-cleared:xdp other-header-field:xdp" $PACKET \
	's/if (ip->version_ihl != 0x45)/if (ip->version_ihl >> 4 != 4)/'
defect "the first port only" list "1 df-not-cleared:xdp" $PACKET 's/i < DF_PORTS_MAX \&\& i < n/i < 1 \&\& i < n/'
defect "every port" keep "1 df-cleared-wrongly:xdp" $PACKET \
	's/if (!df_port_known(policy, pkt->udp->dport_be))/if (0)/'
defect "min-length: one off" min "1 df-not-cleared:xdp" $PACKET \
	's/tot_len_be) < policy->min_len)/tot_len_be) <= policy->min_len)/'
defect "min-length: ignored" min "1 df-cleared-wrongly:xdp" $PACKET \
	's/tot_len_be) < policy->min_len)/tot_len_be) < 1)/'
defect "fragments too" keep "1 df-cleared-wrongly:xdp" $PACKET \
	's/0x1fff00ff/0x000000ff/'
# The checksum follows DF alone.
defect "the reserved bit is cleared too" keep "1 ip-checksum-wrong:xdp other-header-field:xdp" $PACKET \
	's/ip->frag_off_be & ~DF_IP_DF/ip->frag_off_be \& DF_BE16(0x3fff)/'
# The right checksum of one vector, without that, is 0.
defect "TTL" keep "1 ip-checksum-wrong:xdp ip-checksum-zeroed:xdp other-header-field:xdp" $BPF "$(behind_rewrite 'pkt->ip->ttl--;')"
defect "UDP checksum: 0" keep "1 udp-checksum-zeroed:xdp" $BPF "$(behind_rewrite 'pkt->udp->check = 0;')"
defect "UDP checksum: a bit" keep "1 udp-checksum-changed:xdp" $BPF "$(behind_rewrite 'pkt->udp->check ^= 0x0101;')"
# In some vectors that byte, and the last one, lies behind the packet.
defect "payload" keep "1 around:xdp payload:xdp" $BPF \
	"$(behind_rewrite 'if ((void *)(pkt->udp + 1) + 2 <= pkt->data_end) ((__u8 *)(pkt->udp + 1))[1] ^= 1;')"
defect "length" keep "1 around:xdp length:xdp" $BPF "$(behind_frame 'bpf_xdp_adjust_tail(ctx, -1);')"
defect "Ethernet address" keep "1 around:xdp" $BPF "$(behind_frame 'struct df_eth *first = (void *)(long)ctx->data; if ((void *)(first + 1) <= pkt.data_end) first->src[5] ^= 1;')"
defect "dropped" keep "1 dropped:xdp" $BPF "$(behind_rewrite 'count->reason[reason]++; return XDP_DROP;')"
defect "not counted" keep "1 counter:xdp" $BPF 's/reason < DF_REASON_MAX)/reason < DF_REASON_MAX \&\& reason != DF_NO_DF)/'
defect "counted, not done" keep "1 counter:xdp df-not-cleared:xdp" $BPF \
	's/reason = (int)df_rewrite(&policy, pkt);/reason = pkt ? DF_CLEARED : DF_ERROR;/'
defect "802.1ad is not looked into" keep "1 df-not-cleared:xdp" $PACKET 's/DF_BE16(ETH_P_8021AD)/DF_BE16(1)/'
defect "checksum: 0 as 0xffff" keep "1 other-header-field:behind other-header-field:xdp" $PACKET \
	's/(sum + 1) >> 16/sum >> 16/'
defect "MF is cleared too" keep "1 ip-checksum-wrong:xdp other-header-field:xdp" $PACKET '/define DF_IP_DF/s/0x4000/0x6000/'
defect "first fragments are left" keep "1 df-not-cleared:xdp" $PACKET 's/0x1fff00ff/0x3fff00ff/'
defect "every second packet" keep "1 counter:xdp df-not-cleared:xdp" $BPF \
	's/df_select(&ctl, bpf_jiffies64(), &count->nth, pkt)/& == DF_GO_ON \&\& count->nth++ % 2 ? DF_GO_ON : DF_CLEARED/'
defect "VXLAN: the I flag is not asked" vxlan "1 payload:xdp seen-only-by-xdp:xdp" $PACKET \
	's/if (!(DF_HOST32(vxlan->flags_be) & 0x08000000))/if (0)/'
defect "VXLAN: every VNI" vxlan "1 df-cleared-wrongly:xdp seen-only-by-xdp:xdp" $PACKET 's/return n == 0;/return 1;/'
defect "VXLAN: any port" vxlan "1 payload:xdp seen-only-by-xdp:xdp" $PACKET \
	's/if (outer->dport_be != DF_BE16(VXLAN_PORT))/if (0)/'
defect "VXLAN: the outer header" vxlan "1 around:xdp df-not-cleared:xdp" $BPF \
	's/return finish(&pkt, count, reason);/if (reason == DF_GO_ON) { pkt.ip = (void *)(long)ctx->data + ETH_HLEN; if ((void *)(pkt.ip + 1) > pkt.data_end) return XDP_PASS; } &/'

# Of the traffic below: what the vectors are too few for.
traffic() { "$BUILD/tests/lab/traffic" "$@"; }
traffic 400000 >"$DIR/many.ethernet.pcap"
ln -s keep.yaml "$DIR/many.yaml"
# Some of them are of a kind that the path behind is not shown.
defect "one in 10,000 is dropped" many "1 dropped:xdp seen-only-by-xdp:xdp" $BPF \
	's/^static __always_inline int handle/static __u32 seen;\n\n&/; s/return handle(ctx);/return ++seen % 10000 ? handle(ctx) : (handle(ctx), XDP_DROP);/'
check "one in 10,000 is dropped: how many" "$(jq -c '.classes.dropped.xdp' "$DIR/json")" 40
defect "one in 10,000 is not cleared" many "1 counter:xdp df-not-cleared:xdp" $BPF \
	's/^static __always_inline int finish/static __u32 seen;\n\n&/; s/reason = (int)df_rewrite(&policy, pkt);/reason = ++seen % 10000 ? (int)df_rewrite(\&policy, pkt) : DF_CLEARED;/'

# The path behind: the handler, called and on a queue, and the rule in front of it.
handler() { printf 's/^\tcount(stats, reason, 1);$/\tif (reason <= DF_CLEARED_ASSIGNED)\\n\t\t%s\\n&/' "$1"; }

for option in "" " --live-queue"; do
	# shellcheck disable=SC2086 # none or one
	{
		defect "behind: UDP checksum 0$option" keep "1 udp-checksum-zeroed:behind" $HANDLER "$(handler 'df.udp->check = 0;')" $option
		# As above.
		defect "behind: IPv4 checksum 0$option" keep "1 ip-checksum-not-updated:behind ip-checksum-zeroed:behind" $HANDLER "$(handler 'df.ip->check = 0;')" $option
		defect "behind: the payload stays here$option" keep "1 df-not-cleared:behind" $CHANGED \
			's/return reason <= DF_CLEARED_ASSIGNED;/return reason > DF_REASON_MAX;/' $option
		defect "behind: ID of a fragment$option" assign "1 ip-id-changed:behind" $HANDLER \
			"$(handler 'if (df.ip->frag_off_be \& DF_IP_MF) df.ip->id_be++, df.ip->check = df_csum_update(df.ip->check, 0, 1);')" $option
	}
done
defect "queue: no verdict" keep "1 dropped:behind seen-only-by-xdp:xdp" $QUEUE \
	's/^\tadd_verdict(queue, hdr->packet_id/\tif (!nfq_changed(reason))\n\t&/' --live-queue
defect "queue: a byte less" keep "1 length:behind" $QUEUE 's/^\tif (payload)$/\tif (payload \&\& payload->nla_len--)/' --live-queue
defect "rule: min-length, one off" min "1 counter:behind df-not-cleared:behind" $RULE 's/NFT_CMP_GTE, \&len_be/NFT_CMP_GT, \&len_be/' --live-queue
defect "rule: no first fragments" keep "1 counter:behind df-not-cleared:behind" $RULE \
	's/DF_IP_DF | DF_IP_OFFSET, NFT_CMP_EQ/DF_IP_DF | DF_IP_MF | DF_IP_OFFSET, NFT_CMP_EQ/' --live-queue
defect "rule: the other port" keep "1 counter:behind df-not-cleared:behind" $RULE \
	's/offsetof(struct df_udp, dport_be)/offsetof(struct df_udp, sport_be)/' --live-queue

# What the policy accepts is counted, and is no difference.
{ cat "$DIR/keep.yaml"; echo "parity: { accept: [udp-checksum-zeroed] }"; } >"$DIR/accept.yaml"
ln "$DIR/keep.ethernet.pcap" "$DIR/accept.ethernet.pcap"
build $HANDLER "$(handler 'df.udp->check = 0;')" &&
	"$TREE/build/nfq2xdp" parity replay "$DIR/accept.ethernet.pcap" -c "$DIR/accept.yaml" --json >"$DIR/json"
check "accepted: exit, classes, all of them" "$? $(classes) $(jq -c '[.different, .accepted == .classes["udp-checksum-zeroed"].behind]' "$DIR/json")" \
	"0 udp-checksum-zeroed:behind [0,true]"
build $BPF "$(behind_rewrite 'pkt->udp->check = 0;')" &&
	"$TREE/build/nfq2xdp" parity replay "$DIR/accept.ethernet.pcap" -c "$DIR/accept.yaml" --json >"$DIR/json"
check "accepted of the path behind only" "$? $(classes) $(jq -c .accepted "$DIR/json")" "1 udp-checksum-zeroed:xdp 0"

# Without a mistake: nothing, whatever the packets are.
CLEAN=0 ALARMS=0 SEED=0
for policy in keep assign min vxlan vxlan-assign; do
	SEED=$((SEED + 1))
	"$BUILD/nfq2xdp" parity replay <(traffic $((PACKETS / 5)) $SEED) -c "$DIR/$policy.yaml" --json >"$DIR/json"
	check "clean packets, $policy: exit, all of them" "$? $(jq -c '[.complete, .packets]' "$DIR/json")" "0 [true,$((PACKETS / 5))]"
	jq -r '"\t\(.compared) compared, \(.matching) that the policy matches"' "$DIR/json"
	CLEAN=$((CLEAN + $(jq .packets "$DIR/json"))) ALARMS=$((ALARMS + $(jq .different "$DIR/json")))
done
check "clean packets: false alarms" "$ALARMS" 0

mkdir -p "$BUILD/parity"
printf '%s\n' "${RESULTS[@]}" | jq -s --argjson clean "$CLEAN" --argjson alarms "$ALARMS" \
	'{defects: ., clean_packets: $clean, false_alarms: $alarms}' >"$BUILD/parity/result.json"
check "$(jq -c '"\(.defects | length) defects, \(.clean_packets) clean packets"' "$BUILD/parity/result.json"): not found" \
	"$(jq -c '[.defects[] | select(.found | not) | .name]' "$BUILD/parity/result.json")" "[]"
tally

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Can the fuzzer find a defect? Puts one into a copy of core/packet.h at a time and expects a difference.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
CLANG=${CLANG:-clang}
runs=${MUTANT_RUNS:-200000}
top=$BUILD/fuzz/mutants
flags=(-std=gnu17 -O1 -g -D_GNU_SOURCE "-fsanitize=fuzzer,address,undefined" -fno-sanitize-recover=all)

# NAME|sed script. A script that changes nothing is an error: packet.h moved on, the mutant has to follow.
mutants=(
	"none|"
	"min-length: off by one|s/< policy->min_len/<= policy->min_len/"
	"checksum: carry not folded|s/(sum + ((sum + 1) >> 16))/sum/"
	"checksum: 0 written as 0xffff|s/(sum + 1) >> 16/sum >> 16/"
	"DF: wrong bit|/define DF_IP_DF/s/0x4000/0x8000/"
	"DF: MF cleared with it|/define DF_IP_DF/s/0x4000/0x6000/"
	"fragment: low bits of the offset only|/define DF_IP_OFFSET/s/0x1fff/0x00ff/"
	"fragment: MF taken for an offset|/define DF_IP_OFFSET/s/0x1fff/0x3fff/"
	"VLAN: one tag|/define DF_VLAN_TAGS_MAX/s/2/1/"
	"VLAN: three tags|/define DF_VLAN_TAGS_MAX/s/2/3/"
	"VLAN: no 802.1ad|s/df_equal(proto_be, DF_BE16(ETH_P_8021AD))/0/"
	"VLAN: tag not bounded|s/if (\*at > pkt->data_end)/if (0)/"
	"options: ihl ignored|s/udp = at + df_ihl(ip)/udp = at + 20/"
	"options: ihl below 5 accepted|s/> 0x4f - 0x45/& \&\& ip->version_ihl >> 4 != 4/"
	"version: 5 accepted|s/> 0x4f - 0x45/> 0x5f - 0x45/"
	"length: options not in tot_len|s/< df_ihl(ip) + sizeof(\*udp)/< 20 + sizeof(*udp)/"
	"bounds: UDP header|s/(udp + 1) > pkt->data_end/udp > pkt->data_end/"
	"bounds: VXLAN header|s/(vxlan + 1) > pkt->data_end/vxlan > pkt->data_end/"
	"bounds: payload|s/(payload + 8) <= pkt->data_end/payload <= pkt->data_end/"
	"plain: options taken for UDP|s/if (ip->version_ihl != 0x45)/if (ip->version_ihl >> 4 != 4)/"
	"plain: a tag is another ethertype|s/df_is_tag(eth->proto_be) ? DF_UNPLAIN : lacks.ipv4/lacks.ipv4/"
	"plain: low bits of the offset only|s/0x1fff00ff/0x00ff00ff/"
	"plain: MF taken for an offset|s/0x1fff00ff/0x3fff00ff/"
	"plain: length not asked|s/< sizeof(\*ip) + sizeof(\*udp)/< sizeof(*ip)/"
	"plain: inner header 8 bytes on|s/(void \*)pkt->udp - (void \*)outer/& + 8/"
	"VXLAN: VNI not shifted|s/(df_load32(&vxlan->vni_be)) >> 8/(df_load32(\&vxlan->vni_be)) \& 0xffffff/"
	"VXLAN: inner behind the outer UDP|s/if (\*held > DF_HOST16(outer->len_be))/if (0)/"
	"VXLAN: inner behind the outer packet|s/held = DF_HOST16(pkt->ip->tot_len_be) - (long)df_ihl(pkt->ip);/held = DF_HOST16(outer->len_be);/"
	"VXLAN: inner not bounded|s/held < (long)sizeof(\*pkt->udp) ? DF_TRUNCATED : DF_GO_ON/DF_GO_ON/"
	"VXLAN: I flag not asked|s/if (!(DF_HOST32(vxlan->flags_be) & 0x08000000))/if (0)/"
	"VXLAN: outer options cut off|/define DF_OUTER_MAX/s/126/62/"
	"VXLAN: inner tags cut off|/define DF_INNER_MAX/s/30/14/"
	"VXLAN: only the first VNI|s/n = policy->n_vni/n = !!policy->n_vni/"
	"VXLAN: unused VNIs match|s/i < DF_VNIS_MAX \&\& i < n;/i < DF_VNIS_MAX;/"
	"VXLAN: outer not-ipv4 kept|s/{ DF_NOT_VXLAN, DF_NOT_VXLAN }/{ DF_NOT_IPV4, DF_NOT_VXLAN }/"
	"ports: only the first|s/n = policy->n_dport/n = 1/"
	"ports: unused ones match|s/i < DF_PORTS_MAX \&\& i < n;/i < DF_PORTS_MAX;/"
	"lease: one tick late|s/now >= deadline/now > deadline/"
	"nth: off by one|s/++\*nth < n/++*nth <= n/"
	"nth: never restarts|/\*nth = 0;/d"
	"flow: off by one|s/df_flow_hash(pkt) < n/df_flow_hash(pkt) <= n/"
	"flow: one port left out|s/(__u64)DF_HOST16(pkt->udp->sport_be) << 16 | //"
	"ID: given to first fragments|s/0xffff2000/0xffff0000/"
	"ID: 0 given|s/id ? id : 1/id/"
	"ID: padding mixed in|s/>= df_ihl(pkt->ip) + 16/>= 16/"
	"ID: what is behind the tunnel mixed in|s/pkt->room >= 16/1/"
	"ID: checksum not updated|/df_csum_update(ip->check, 0, id)/d"
)

# Prints one line: what became of mutant $1, named $2, made by sed script $3.
try() {
	local dir=$top/$1 rc n

	rm -rf "$dir"
	mkdir -p "$dir/core"
	sed "$3" core/packet.h >"$dir/core/packet.h"
	[ "$2" != none ] && cmp -s core/packet.h "$dir/core/packet.h" && { echo "FAIL $2: sed changed nothing"; return; }
	"$CLANG" "${flags[@]}" "-I$dir" -I. -o "$dir/fuzz" tests/fuzz/fuzz_packet.c "$top/naive.o" \
		>"$dir/log" 2>&1 || { echo "FAIL $2: does not build: $dir/log"; return; }
	"$dir/fuzz" -runs="$runs" -seed=1 -timeout=10 -print_final_stats=1 -artifact_prefix="$dir/" >"$dir/log" 2>&1
	rc=$?
	n=$(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/log")
	if [ "$2" = none ]; then
		[ $rc = 0 ] && echo "ok   unchanged: no difference in $n runs" || echo "FAIL unchanged: $dir/log"
	elif [ $rc != 0 ] && grep -qE '^difference: |ERROR: AddressSanitizer: |runtime error: ' "$dir/log"; then
		echo "ok   $2: found in run $n"
	else
		echo "FAIL $2: not found in $n runs (exit $rc): $dir/log"
	fi
}

command -v "$CLANG" >/dev/null || { echo "no $CLANG"; exit 77; }
mkdir -p "$top"
"$CLANG" "${flags[@]/fuzzer/fuzzer-no-link}" -I. -c -o "$top/naive.o" tests/fuzz/naive.c || exit 1
for i in "${!mutants[@]}"; do
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
		wait -n
	done
	try "$i" "${mutants[i]%%|*}" "${mutants[i]#*|}" >"$top/$i.result" &
done
wait
for i in "${!mutants[@]}"; do
	cat "$top/$i.result"
done | tee "$top/result"
passed=$(grep -c '^ok ' "$top/result")
echo "$((passed - 1)) of $((${#mutants[@]} - 1)) defects found within $runs runs"
echo "$passed passed, $((${#mutants[@]} - passed)) failed"
[ "$passed" = ${#mutants[@]} ]

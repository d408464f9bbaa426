/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * parse -> match -> select -> rewrite, written once. Compiled into the BPF programs, the NFQUEUE
 * handler, the unit tests and the fuzzer: both paths run this code.
 *
 * Freestanding: no libc, no BPF helper, no map, no clock; what a step needs is passed in. Every step
 * returns an enum df_reason when the packet's fate is decided, or DF_GO_ON.
 *
 * Invariants (cited as "packet P1" and so on):
 *  P1  No byte outside [data, data_end) is read or written. `data` is even.
 *  P2  Nothing is written before the packet matched and was selected.
 *  P3  Only frag_off, check and (ip-id: assign) id of the matched IPv4 header are ever written.
 *  P4  The one's-complement sum of the header is unchanged by a write (RFC 1624). So a correct
 *      checksum stays correct, a wrong one stays wrong, and CHECKSUM_COMPLETE and an outer UDP
 *      checksum stay valid.
 *  P5  The UDP header and the payload are never written: the UDP checksum does not cover the IPv4
 *      header (RFC 768).
 *  P6  A second pass over a handled packet writes nothing and returns DF_NO_DF.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/types.h>

#include "core/abi.h"

#define DF_GO_ON  (-1)
#define DF_INLINE static inline __attribute__((always_inline))

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define DF_BE16(x)   ((__be16)__builtin_bswap16((__u16)(x)))
#define DF_BE32(x)   ((__be32)__builtin_bswap32((__u32)(x)))
#define DF_HOST16(x) __builtin_bswap16((__u16)(x))
#define DF_HOST32(x) __builtin_bswap32((__u32)(x))
#define DF_LE32(x)   ((__u32)(x))
#else
#define DF_BE16(x)   ((__be16)(x))
#define DF_BE32(x)   ((__be32)(x))
#define DF_HOST16(x) ((__u16)(x))
#define DF_HOST32(x) ((__u32)(x))
#define DF_LE32(x)   __builtin_bswap32((__u32)(x))
#endif

#define DF_IP_DF     DF_BE16(0x4000) /* RFC 791: "don't fragment" */
#define DF_IP_MF     DF_BE16(0x2000) /* RFC 791: "more fragments" */
#define DF_IP_OFFSET DF_BE16(0x1fff) /* RFC 791: fragment offset */

#define DF_IPPROTO_UDP 17

#define DF_VLAN_TAGS_MAX 2
#define DF_OUTER_MAX     126 /* two tags, IPv4 with options, UDP and VXLAN are 84 bytes */
#define DF_INNER_MAX     30 /* Ethernet and two tags are 22 */

/*
 * Our own headers, because an Ethernet header of 14 bytes leaves what follows 2-aligned and no
 * more: the kernel's structs promise 4. Every pointer made here stays even as long as `data` is,
 * which it is on every driver.
 */
#define DF_WIRE __attribute__((packed, aligned(2)))

struct DF_WIRE df_eth {
	__u8 dst[ETH_ALEN];
	__u8 src[ETH_ALEN];
	__be16 proto_be;
};

struct DF_WIRE df_vlan { /* what follows an ethertype of 802.1Q or 802.1ad */
	__be16 tci_be;
	__be16 proto_be;
};

struct DF_WIRE df_ipv4 { /* RFC 791, section 3.1 */
	__u8 version_ihl;
	__u8 tos;
	__be16 tot_len_be;
	__be16 id_be;
	__be16 frag_off_be;
	__u8 ttl;
	__u8 protocol;
	__u16 check;
	__be32 saddr_be;
	__be32 daddr_be;
};

struct DF_WIRE df_udp { /* RFC 768 */
	__be16 sport_be;
	__be16 dport_be;
	__be16 len_be;
	__u16 check;
};

struct DF_WIRE df_vxlan { /* RFC 7348, section 5 */
	__be32 flags_be; /* 0x08000000: the VNI is valid; all other bits are reserved and ignored on
			    receipt */
	__be32 vni_be; /* VNI in the upper 24 bits */
};

_Static_assert(sizeof(struct df_eth) == 14 && sizeof(struct df_ipv4) == 20, "wire layout");
_Static_assert(sizeof(struct df_udp) == 8 && sizeof(struct df_vxlan) == 8, "wire layout");

struct DF_WIRE __attribute__((may_alias)) df_word {
	__u32 word;
};

/*
 * Four bytes as they stand, at an even address. For BPF clang makes two loads of that, which some machines'
 * verifiers want; these have CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS.
 */
DF_INLINE __u32 df_load32(const void *at)
{
#if defined(__TARGET_ARCH_x86) || defined(__TARGET_ARCH_arm64)
	return *(const volatile __u32 *)at;
#else
	return ((const struct df_word *)at)->word;
#endif
}

/* A packet being looked at. On DF_GO_ON from df_match(), ip and udp are set and point into it. */
struct df_pkt {
	void *data;
	void *data_end;
	struct df_ipv4 *ip;
	struct df_udp *udp;
	/*
	 * With encap: vxlan, and only then: what the outer datagram holds, from udp on. Volatile, so that it
	 * is in memory and no register is loaded for it without.
	 */
	volatile long room;
};

/* What a packet is called that has no IPv4 or no UDP header where one is looked for. */
struct df_lacks {
	int ipv4, udp;
};

#define DF_LACKS ((struct df_lacks){ DF_NOT_IPV4, DF_NOT_UDP })

DF_INLINE __u32 df_ihl(const struct df_ipv4 *ip) /* in bytes */
{
	return (ip->version_ihl & 0x0fU) * 4;
}

/* The IPv4 and UDP headers at `at`. Sets pkt->ip and pkt->udp on DF_GO_ON. */
DF_INLINE int df_parse_ipv4(struct df_pkt *pkt, void *at, struct df_lacks lacks)
{
	struct df_ipv4 *ip = at;
	struct df_udp *udp;

	if ((void *)(ip + 1) > pkt->data_end)
		return DF_TRUNCATED;
	/* Version 4 and an ihl of 5 or more, in one comparison. */
	if ((__u32)(ip->version_ihl - 0x45) > 0x4f - 0x45)
		return DF_MALFORMED;
	if (ip->protocol != DF_IPPROTO_UDP)
		return lacks.udp;
	if (ip->frag_off_be & DF_IP_OFFSET)
		return DF_FRAGMENT;
	if (DF_HOST16(ip->tot_len_be) < df_ihl(ip) + sizeof(*udp))
		return DF_MALFORMED;
	udp = at + df_ihl(ip);
	if ((void *)(udp + 1) > pkt->data_end)
		return DF_TRUNCATED;
	pkt->ip = ip;
	pkt->udp = udp;
	return DF_GO_ON;
}

/* 1 when equal, without a branch. */
DF_INLINE __u32 df_equal(__u32 a, __u32 b)
{
	return (__u32)(((__u64)(a ^ b) - 1) >> 63);
}

DF_INLINE __u32 df_is_tag(__be16 proto_be)
{
	return df_equal(proto_be, DF_BE16(ETH_P_8021Q)) | df_equal(proto_be, DF_BE16(ETH_P_8021AD));
}

/*
 * What follows an ethertype `proto_be`: at most two VLAN tags (802.1Q, 802.1ad), then IPv4. Behind the
 * first test the tags are stepped over by arithmetic: a branch for each number of tags would have the
 * verifier (seen on 6.18, clang 14) walk everything behind it three times, with VXLAN nine times.
 */
DF_INLINE int df_skip_tags(const struct df_pkt *pkt, void **at, __be16 proto_be,
			   struct df_lacks lacks)
{
	if (proto_be == DF_BE16(ETH_P_IP))
		return DF_GO_ON;
	if (!df_is_tag(proto_be))
		return lacks.ipv4;
	for (int i = 0; i < DF_VLAN_TAGS_MAX; i++) {
		__u32 tag = df_is_tag(proto_be);

		*at += tag * sizeof(struct df_vlan);
		if (*at > pkt->data_end)
			return DF_TRUNCATED;
		if (tag)
			proto_be = ((struct df_vlan *)*at - 1)->proto_be;
	}
	return proto_be == DF_BE16(ETH_P_IP) ? DF_GO_ON : lacks.ipv4;
}

DF_INLINE int df_parse_l3(struct df_pkt *pkt, void *at, __be16 proto_be, struct df_lacks lacks)
{
	int ret = df_skip_tags(pkt, &at, proto_be, lacks);

	return ret == DF_GO_ON ? df_parse_ipv4(pkt, at, lacks) : ret;
}

/*
 * to, an even number of bytes behind `from`, at most max (2^n - 2), as if the verifier did not know how it
 * came about (what is subtracted from a pointer is any number to it): it walks what follows once, and not
 * again for each way that leads there.
 */
DF_INLINE void *df_forget(void *to, void *from, long max)
{
	long offset = to - from;

	asm volatile("" : "+r"(offset));
	return from + (offset & max);
}

DF_INLINE int df_parse_eth(struct df_pkt *pkt, void *at)
{
	struct df_eth *eth = at;
	void *l3 = eth + 1;
	int ret;

	if ((void *)(eth + 1) > pkt->data_end)
		return DF_TRUNCATED;
	ret = df_skip_tags(pkt, &l3, eth->proto_be, DF_LACKS);
	if (ret != DF_GO_ON)
		return ret;
	return df_parse_ipv4(pkt, df_forget(l3, at, DF_INNER_MAX), DF_LACKS);
}

/*
 * The first is mostly the only one. Both return at the first hit: a flag carried to the end of the loop
 * would more than double what the verifier walks.
 */
DF_INLINE int df_port_known(const volatile struct df_policy *policy, __be16 dport_be)
{
	int n;

	if (policy->dport_be[0] == dport_be)
		return 1;
	n = policy->n_dport;
	for (int i = 1; i < DF_PORTS_MAX && i < n; i++)
		if (policy->dport_be[i] == dport_be)
			return 1;
	return 0;
}

DF_INLINE int df_vni_known(const volatile struct df_policy *policy, __u32 vni)
{
	int n;

	if (policy->vni[0] == vni)
		return 1;
	n = policy->n_vni;
	for (int i = 1; i < DF_VNIS_MAX && i < n; i++)
		if (policy->vni[i] == vni)
			return 1;
	return n == 0;
}

/* VXLAN behind the outer UDP header, pkt->udp. *held: the bytes of that datagram, its header included. */
DF_INLINE int df_parse_vxlan(const volatile struct df_policy *policy, const struct df_pkt *pkt,
			     long *held)
{
	const struct df_udp *outer = pkt->udp;
	const struct df_vxlan *vxlan = (const void *)(outer + 1);

	if (outer->dport_be != DF_BE16(VXLAN_PORT))
		return DF_NOT_VXLAN;
	if ((const void *)(vxlan + 1) > pkt->data_end)
		return DF_TRUNCATED;
	if (!(DF_HOST32(vxlan->flags_be) & 0x08000000))
		return DF_NOT_VXLAN;
	if (!df_vni_known(policy, DF_HOST32(df_load32(&vxlan->vni_be)) >> 8))
		return DF_OTHER_VNI;
	*held = DF_HOST16(pkt->ip->tot_len_be) - (long)df_ihl(pkt->ip);
	if (*held > DF_HOST16(outer->len_be))
		*held = DF_HOST16(outer->len_be);
	return DF_GO_ON;
}

/*
 * The inner headers must be inside the outer datagram, not in what follows it in the frame: the kernel
 * trims to that before it decapsulates, and the outer UDP checksum covers that (P4).
 */
DF_INLINE int df_inside(struct df_pkt *pkt, long held, long udp_at)
{
	held -= udp_at;
	pkt->room = held;
	return held < (long)sizeof(*pkt->udp) ? DF_TRUNCATED : DF_GO_ON;
}

/* Anything that cannot carry VXLAN is "not VXLAN", whichever header said so. */
#define DF_LACKS_VXLAN ((struct df_lacks){ DF_NOT_VXLAN, DF_NOT_VXLAN })

/* The outer headers, VXLAN, then the inner frame. */
DF_INLINE int df_parse_tunnel(const volatile struct df_policy *policy, struct df_pkt *pkt, void *at,
			      __be16 proto_be)
{
	int ret = df_parse_l3(pkt, at, proto_be, DF_LACKS_VXLAN);
	void *inner;
	long held;

	if (ret == DF_GO_ON)
		ret = df_parse_vxlan(policy, pkt, &held);
	if (ret != DF_GO_ON)
		return ret;
	held += (void *)pkt->udp - at;
	inner = (void *)(pkt->udp + 1) + sizeof(struct df_vxlan);
	ret = df_parse_eth(pkt, df_forget(inner, at, DF_OUTER_MAX));
	return ret == DF_GO_ON ? df_inside(pkt, held, (void *)pkt->udp - at) : ret;
}

/*
 * The UDP packet that the policy looks at. at: the first byte behind an ethertype of proto_be (network
 * order), for the NFQUEUE handler its payload. DF_GO_ON: there is one, pkt->ip and pkt->udp are valid.
 */
DF_INLINE int df_parse(const volatile struct df_policy *policy, struct df_pkt *pkt, void *at,
		       __be16 proto_be)
{
	return policy->encap == DF_ENCAP_VXLAN ? df_parse_tunnel(policy, pkt, at, proto_be)
					       : df_parse_l3(pkt, at, proto_be, DF_LACKS);
}

#define DF_UNPLAIN (-2)

/* An Ethernet frame without tags and IPv4 options: each header is where a constant says. */
DF_INLINE int df_plain_eth(struct df_pkt *pkt, struct df_eth *eth, struct df_lacks lacks)
{
	struct df_ipv4 *ip = (void *)(eth + 1);
	struct df_udp *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > pkt->data_end)
		return DF_UNPLAIN;
	if (eth->proto_be != DF_BE16(ETH_P_IP))
		return df_is_tag(eth->proto_be) ? DF_UNPLAIN : lacks.ipv4;
	if (ip->version_ihl != 0x45)
		return DF_UNPLAIN;
	/* Offset, (TTL,) protocol. */
	if ((df_load32(&ip->frag_off_be) & DF_BE32(0x1fff00ff)) != DF_BE32(DF_IPPROTO_UDP))
		return ip->protocol != DF_IPPROTO_UDP ? lacks.udp : DF_FRAGMENT;
	if (DF_HOST16(ip->tot_len_be) < sizeof(*ip) + sizeof(*udp))
		return DF_MALFORMED;
	pkt->ip = ip;
	pkt->udp = udp;
	return DF_GO_ON;
}

DF_INLINE int df_plain_frame(const volatile struct df_policy *policy, struct df_pkt *pkt,
			     struct df_eth *eth)
{
	struct df_udp *outer;
	long held;
	int ret;

	if (policy->encap != DF_ENCAP_VXLAN)
		return df_plain_eth(pkt, eth, DF_LACKS);
	ret = df_plain_eth(pkt, eth, DF_LACKS_VXLAN);
	if (ret == DF_GO_ON)
		ret = df_parse_vxlan(policy, pkt, &held);
	if (ret != DF_GO_ON)
		return ret;
	outer = pkt->udp;
	ret = df_plain_eth(pkt, (void *)(outer + 1) + sizeof(struct df_vxlan), DF_LACKS);
	return ret == DF_GO_ON ? df_inside(pkt, held, (void *)pkt->udp - (void *)outer) : ret;
}

/*
 * df_parse() of an Ethernet frame. Most are plain, and the first way says of those what the second one would
 * say, in half the instructions.
 */
DF_INLINE int df_parse_frame(const volatile struct df_policy *policy, struct df_pkt *pkt,
			     struct df_eth *eth)
{
	int ret = df_plain_frame(policy, pkt, eth);

	if (ret != DF_UNPLAIN)
		return ret;
	if ((void *)(eth + 1) > pkt->data_end)
		return DF_TRUNCATED;
	return df_parse(policy, pkt, eth + 1, eth->proto_be);
}

/* Does the policy want that packet to be handled? DF_GO_ON: it does, and DF is set. */
DF_INLINE int df_match_udp(const volatile struct df_policy *policy, const struct df_pkt *pkt)
{
	if (!df_port_known(policy, pkt->udp->dport_be))
		return DF_OTHER_PORT;
	if (!(pkt->ip->frag_off_be & DF_IP_DF))
		return DF_NO_DF;
	if (policy->min_len && DF_HOST16(pkt->ip->tot_len_be) < policy->min_len)
		return DF_BELOW_MIN;
	return DF_GO_ON;
}

/* Both. */
DF_INLINE int df_match(const volatile struct df_policy *policy, struct df_pkt *pkt, void *at,
		       __be16 proto_be)
{
	int ret = df_parse(policy, pkt, at, proto_be);

	return ret == DF_GO_ON ? df_match_udp(policy, pkt) : ret;
}

/* Of the reasons of df_match(): those of a packet whose UDP header was found, in pkt->ip and pkt->udp. */
DF_INLINE int df_is_udp(int reason)
{
	return reason == DF_NO_DF || reason == DF_BELOW_MIN || reason == DF_OTHER_PORT;
}

/* A 64-bit finaliser: every input bit changes every output bit with probability near one half
 * (MurmurHash3 fmix64). */
DF_INLINE __u64 df_mix(__u64 h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	h ^= h >> 33;
	return h;
}

/* Same flow, same hash: addresses and ports, read as host-order numbers so that every machine
 * agrees. */
DF_INLINE __u64 df_flow_hash(const struct df_pkt *pkt)
{
	__u64 addrs = (__u64)DF_HOST32(pkt->ip->saddr_be) << 32 | DF_HOST32(pkt->ip->daddr_be);
	__u64 ports = (__u64)DF_HOST16(pkt->udp->sport_be) << 16 | DF_HOST16(pkt->udp->dport_be);

	return df_mix(addrs ^ df_mix(ports + 0x9e3779b97f4a7c15ULL));
}

/*
 * Is this matching packet in the share? now: jiffies64. nth: this CPU's counter. A kind that is not
 * known selects nothing (fail open). Flows selected at P percent stay selected at every larger P.
 */
DF_INLINE int df_select(const volatile struct df_ctl *ctl, __u64 now, __u32 *nth,
			const struct df_pkt *pkt)
{
	__u32 kind = ctl->share_kind, n = ctl->share_n;
	__u64 deadline = ctl->deadline;

	if (kind == DF_SHARE_NONE)
		return DF_NOT_SELECTED;
	if (deadline && now >= deadline)
		return DF_LEASE_EXPIRED;
	if (kind == DF_SHARE_ALL)
		return DF_GO_ON;
	if (kind == DF_SHARE_NTH && n) {
		if (++*nth < n)
			return DF_NOT_SELECTED;
		*nth = 0;
		return DF_GO_ON;
	}
	if (kind == DF_SHARE_FLOW && (__u32)df_flow_hash(pkt) < n)
		return DF_GO_ON;
	return DF_NOT_SELECTED;
}

/*
 * jhash(key, 12, 0) of include/linux/jhash.h for a key of three words as they stand in the packet: what
 * nft's `jhash … seed 0x0` computes, so that netfilter makes the same choice as this program.
 */
DF_INLINE __u32 df_jhash(__u32 x, __u32 y, __u32 z)
{
	const __u32 init = 0xdeadbeef + 12;
	__u32 a = DF_LE32(x) + init, b = DF_LE32(y) + init, c = DF_LE32(z) + init;

/* (v, v) >> (32 - by) is v turned left by `by`, which BPF has no instruction for. */
#define DF_FINAL(u, v, by) ((u) = ((u) ^ (v)) - (__u32)(((__u64)(v) << 32 | (v)) >> (32 - (by))))
	DF_FINAL(c, b, 14);
	DF_FINAL(a, c, 11);
	DF_FINAL(b, a, 25);
	DF_FINAL(c, b, 16);
	DF_FINAL(a, c, 4);
	DF_FINAL(b, a, 14);
	DF_FINAL(c, b, 24);
#undef DF_FINAL
	return c;
}

/*
 * Is this UDP packet one of those to be compared? Chosen by content that neither path changes, so that
 * the rule behind both (rules/nft.h) chooses the same packets: total length and ID, or, where IDs are
 * assigned, what stands before them; and the first eight bytes of the payload, or, of a shorter one,
 * addresses and ports.
 */
DF_INLINE int df_sampled(const volatile struct df_policy *policy, __u32 max,
			 const struct df_pkt *pkt)
{
	const void *key = pkt->udp + 1;
	__u32 tot_len = DF_HOST16(pkt->ip->tot_len_be);
	__u32 word = df_load32((const void *)pkt->ip + (policy->ip_id == DF_IP_ID_ASSIGN ? 0 : 2));
	__u32 y, z;

	if (tot_len > DF_SAMPLE_MAX)
		return 0;
	if (DF_HOST16(pkt->udp->len_be) < sizeof(*pkt->udp) + 8) {
		y = pkt->ip->saddr_be;
		z = df_load32(pkt->udp);
	} else {
		if (tot_len < df_ihl(pkt->ip) + sizeof(*pkt->udp) + 8 || key + 8 > pkt->data_end)
			return 0;
		y = df_load32(key);
		z = df_load32(key + 4);
	}
	return df_jhash(word, y, z) <= max;
}

/*
 * The checksum after its words' sum rose by `word`: HC' = ~(~HC + word), RFC 1624 eqn. 3. That is
 * HC + ~word, with 0 where the sum is 0xffff, the other zero; so does ip_decrease_ttl() in
 * include/net/ip.h. One's-complement sums do not depend on byte order (RFC 1071), so all of it is used as
 * it stands in the packet.
 */
DF_INLINE __u16 df_csum_add(__u16 check, __u16 word)
{
	__u32 sum = (__u32)check + (__u16)~word;

	return (__u16)(sum + ((sum + 1) >> 16));
}

/* And after one 16-bit word changed from old to new: by ~old + new. */
DF_INLINE __u16 df_csum_update(__u16 check, __u16 old, __u16 new)
{
	return df_csum_add(df_csum_add(check, (__u16)~old), new);
}

/*
 * The ID that ip-id: assign gives: never 0, and a function of the packet alone, so that both paths
 * give a packet the same one. Mixed from the flow, the UDP length and checksum, and the first eight
 * payload bytes when they are there. Two datagrams of one flow that agree in all of these share an
 * ID; others do with probability 1/65,535.
 */
DF_INLINE __be16 df_assigned_id(const volatile struct df_policy *policy, const struct df_pkt *pkt)
{
	const __u8 *payload = (const __u8 *)(pkt->udp + 1);
	__u64 hash = df_flow_hash(pkt);
	__u64 head = 0;
	__u16 id;

	hash ^= (__u64)DF_HOST16(pkt->udp->len_be) << 16 | DF_HOST16(pkt->udp->check);
	/* Asked of tot_len and of the tunnel too: XDP sees what is behind them, netfilter does not. */
	if (DF_HOST16(pkt->ip->tot_len_be) >= df_ihl(pkt->ip) + 16 &&
	    (policy->encap != DF_ENCAP_VXLAN || pkt->room >= 16) &&
	    (const void *)(payload + 8) <= pkt->data_end)
		for (int i = 0; i < 8; i++)
			head = head << 8 | payload[i];
	hash = df_mix(df_mix(hash) ^ head);
	id = (__u16)(hash >> 48);
	return DF_BE16(id ? id : 1);
}

/* Clear DF of a matched and selected packet: packet P3, P4, P5. */
DF_INLINE enum df_reason df_rewrite(const volatile struct df_policy *policy, struct df_pkt *pkt)
{
	struct df_ipv4 *ip = pkt->ip;
	/*
	 * Never a fragment's ID: its other fragments carry no ports and keep theirs (RFC 791 reassembly).
	 * ID and MF in one load, before one of them is written.
	 */
	__u32 keeps_id = df_load32(&ip->id_be) & DF_BE32(0xffff2000);
	__be16 id;

	/* ~old + new is the same for every old that has DF. */
	ip->check = df_csum_add(ip->check, (__u16)~DF_IP_DF);
	ip->frag_off_be = (__be16)(ip->frag_off_be & ~DF_IP_DF);
	if (keeps_id)
		return DF_CLEARED;
	if (policy->ip_id != DF_IP_ID_ASSIGN)
		return DF_CLEARED_ID0;
	id = df_assigned_id(policy, pkt);
	ip->check = df_csum_update(ip->check, 0, id);
	ip->id_be = id;
	return DF_CLEARED_ASSIGNED;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * core/packet.h against tests/fuzz/naive.c: same reason, same bytes, same nth counter, and the
 * invariants P1..P6 of packet.h. An input is a struct head and the packet behind it. The mutator
 * builds packets that get deep, and hands a part of the work to libFuzzer's own mutations.
 */
#include <endian.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names.h"
#include "core/packet.h"
#include "tests/fuzz/naive.h"

#define PACKET_MAX 2048

struct head {
	struct df_policy policy;
	struct df_ctl ctl;
	uint64_t now;
	uint32_t nth;
	uint16_t ethertype; /* host order; not for a whole frame */
	uint8_t frame; /* odd: an Ethernet frame as XDP has it; even: what follows an ethertype */
	uint8_t unused;
};

_Static_assert(sizeof(struct head) == 184, "every byte of an input means something");

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static uint64_t reasons[DF_REASON_MAX], sampled;

/* Of the handled ones: how many came to the code that is hard to reach. */
static struct {
	uint64_t options, vxlan, outer_sum, wrong_sum, check_zero, both;
} deep;

static void print_counts(void)
{
	for (int i = 0; i < DF_REASON_MAX; i++)
		printf("reason %-16s %10" PRIu64 "\n", df_reason_name[i], reasons[i]);
	printf("sampled: %" PRIu64 "\n", sampled);
	printf("handled: %" PRIu64 " with options, %" PRIu64 " inside VXLAN (%" PRIu64
	       " of them with a valid outer UDP checksum), %" PRIu64
	       " with a wrong IP checksum, %" PRIu64 " to checksum 0, %" PRIu64
	       " compared over both entries\n",
	       deep.options, deep.vxlan, deep.outer_sum, deep.wrong_sum, deep.check_zero,
	       deep.both);
	fflush(stdout);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): libFuzzer's */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return atexit(print_counts);
}

/* What a policy that was checked can say; everything else of the head may be anything. */
static void make_valid(struct head *h)
{
	h->policy.n_dport = (uint8_t)(h->policy.n_dport % DF_PORTS_MAX + 1);
	h->policy.n_vni %= DF_VNIS_MAX + 1;
	h->policy.encap %= DF_ENCAP_MAX;
	h->policy.ip_id %= DF_IP_ID_MAX;
	h->nth %= UINT32_MAX; /* a counter starts at 0 and never passes n */
	h->frame &= 1;
}

/* The steps of xdp/nfq2xdp.bpf.c and of the NFQUEUE handler, without their counters. */
static int run_packet(const struct head *h, bool frame, uint16_t ethertype, uint32_t *nth,
		      uint8_t *bytes, size_t len)
{
	struct df_pkt pkt = { .data = bytes, .data_end = bytes + len };
	int reason;

	reason = frame ? df_parse_frame(&h->policy, &pkt, pkt.data)
		       : df_parse(&h->policy, &pkt, bytes, htobe16(ethertype));
	if (reason != DF_GO_ON)
		return reason;
	/* As the program does; what it says is tested against netfilter, on live traffic. */
	sampled += (uint64_t)df_sampled(&h->policy, h->ctl.sample_max, &pkt);
	reason = df_match_udp(&h->policy, &pkt);
	if (reason == DF_GO_ON)
		reason = df_select(&h->ctl, h->now, nth, &pkt);
	return reason == DF_GO_ON ? (int)df_rewrite(&h->policy, &pkt) : reason;
}

/* A buffer of exactly this size: the sanitizer sees the first byte read behind it. */
static uint8_t *copy(const uint8_t *bytes, size_t len)
{
	uint8_t *buf = malloc(len);

	if (!buf || (uintptr_t)buf % 2)
		abort();
	if (len)
		memcpy(buf, bytes, len);
	return buf;
}

static void dump(const char *name, const uint8_t *bytes, size_t len)
{
	fprintf(stderr, "%-9s", name);
	for (size_t i = 0; i < len; i++)
		fprintf(stderr, "%s%02x", i % 4 ? "" : " ", bytes[i]);
	fputc('\n', stderr);
}

struct seen {
	const struct head *h;
	const uint8_t *before, *after, *expected;
	size_t len;
	const struct naive *naive;
	int reason;
};

static const char *name_of(int reason)
{
	return reason >= 0 && reason < DF_REASON_MAX ? df_reason_name[reason] : "none";
}

static void check(const struct seen *s, bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "difference: %s (packet.h says %s)\n", what, name_of(s->reason));
	dump("before", s->before, s->len);
	dump("packet.h", s->after, s->len);
	dump("naive", s->expected, s->len);
	abort();
}

static unsigned int word(const uint8_t *bytes)
{
	return bytes[0] * 256u + bytes[1];
}

static size_t ihl_of(const uint8_t *ip)
{
	return (ip[0] & 15u) * 4UL;
}

/* RFC 768. A datagram that is not there as a whole has no checksum to keep. */
static bool outer_sum_valid(const struct naive *n, const uint8_t *packet)
{
	const uint8_t *udp = packet + n->outer_udp;
	size_t udp_len = word(udp + 4);

	if (word(udp + 6) == 0 || udp_len < 8 || n->outer_udp + udp_len > n->len)
		return false;
	return naive_sum(udp, udp_len,
			 naive_sum(packet + n->outer_ip + 12, 8, 17 + (uint32_t)udp_len)) == 0xffff;
}

/* packet P4 for the outer UDP checksum. */
static void check_outer(const struct seen *s)
{
	if (!outer_sum_valid(s->naive, s->before))
		return;
	check(s, outer_sum_valid(s->naive, s->after), "P4: outer UDP checksum");
	deep.outer_sum++;
}

static void check_handled(const struct seen *s)
{
	size_t ip = s->naive->ip, ihl = ihl_of(s->before + ip);
	uint16_t sum = naive_sum(s->before + ip, ihl, 0);
	uint32_t nth = s->h->nth;
	uint8_t *again = copy(s->after, s->len);

	for (size_t i = 0; i < s->len; i++) {
		bool id = s->reason == DF_CLEARED_ASSIGNED && (i == ip + 4 || i == ip + 5);
		bool allowed = id || i == ip + 6 || i == ip + 10 || i == ip + 11;

		check(s, allowed || s->before[i] == s->after[i], "P3: another byte written");
	}
	check(s, (s->before[ip + 6] ^ s->after[ip + 6]) == 0x40, "P3: not DF alone cleared");
	check(s, naive_sum(s->after + ip, ihl, 0) == sum, "P4: sum of the header");
	if (s->naive->outer_udp)
		check_outer(s);
	check(s,
	      run_packet(s->h, s->h->frame, s->h->ethertype, &nth, again, s->len) == DF_NO_DF &&
		      nth == s->h->nth && memcmp(again, s->after, s->len) == 0,
	      "P6: second pass");
	free(again);
	deep.options += ihl > 20;
	deep.vxlan += s->naive->outer_udp != 0;
	deep.wrong_sum += sum != 0xffff;
	deep.check_zero += word(s->after + ip + 10) == 0;
}

/*
 * What XDP makes of a frame, padding included, and what the NFQUEUE handler makes of the same
 * packet as the kernel hands it over: without Ethernet header, cut to tot_len.
 */
static void check_paths(const struct seen *s)
{
	const uint8_t *ip = s->before + 14;
	uint32_t nth = s->h->nth;
	uint8_t *payload;
	size_t len;

	if (!s->h->frame || s->len < 34 || word(s->before + 12) != ETH_P_IP)
		return;
	len = word(ip + 2);
	if (ihl_of(ip) < 20 || len < ihl_of(ip) || 14 + len > s->len)
		return; /* the kernel drops it before netfilter */
	if (s->h->policy.encap == DF_ENCAP_VXLAN) {
		/* Headers that the outer packet does not hold end differently. */
		if (!s->naive->outer_udp || s->reason > DF_BELOW_MIN)
			return;
	}
	payload = copy(ip, len);
	check(s, run_packet(s->h, false, ETH_P_IP, &nth, payload, len) == s->reason,
	      "the two entries disagree on the reason");
	check(s, memcmp(payload, s->after + 14, len) == 0, "the two entries disagree on the bytes");
	free(payload);
	deep.both += s->reason <= DF_CLEARED_ASSIGNED;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t expected[PACKET_MAX];
	struct head h;
	struct naive naive = { .policy = &h.policy, .ctl = &h.ctl, .bytes = expected };
	struct seen s = { .h = &h, .naive = &naive, .expected = expected };
	uint32_t nth;
	uint8_t *buf;
	int want;

	if (size < sizeof(h) || size - sizeof(h) > PACKET_MAX)
		return 0;
	memcpy(&h, data, sizeof(h));
	make_valid(&h);
	s.before = data + sizeof(h);
	s.len = naive.len = size - sizeof(h);
	if (s.len)
		memcpy(expected, s.before, s.len);
	naive.now = h.now;
	naive.nth = nth = h.nth;
	s.after = buf = copy(s.before, s.len);

	want = (int)(h.frame ? naive_frame(&naive) : naive_l3(&naive, h.ethertype));
	s.reason = run_packet(&h, h.frame, h.ethertype, &nth, buf, s.len);
	check(&s, s.reason == want, name_of(want));
	check(&s, memcmp(buf, expected, s.len) == 0, "the bytes");
	check(&s, nth == naive.nth, "the nth counter");
	if (s.reason <= DF_CLEARED_ASSIGNED)
		check_handled(&s);
	else
		check(&s, memcmp(buf, s.before, s.len) == 0, "P2: written, but not handled");
	check_paths(&s);
	reasons[s.reason]++;
	free(buf);
	return 0;
}

/* From here on: how inputs are made. */

static uint64_t rng;

static uint64_t any(void) /* splitmix64 */
{
	uint64_t z = rng += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)(any() % n);
}

static bool one_in(uint32_t n)
{
	return below(n) == 0;
}

#define ONE_OF(...)          \
	((const uint32_t[]){ \
		__VA_ARGS__ })[below(sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))]

struct out {
	uint8_t bytes[512];
	size_t len;
};

static void set(struct out *o, size_t pos, unsigned int value)
{
	o->bytes[pos] = (uint8_t)(value >> 8);
	o->bytes[pos + 1] = (uint8_t)value;
}

static void put(struct out *o, uint64_t value, int size)
{
	while (size--)
		o->bytes[o->len++] = (uint8_t)(value >> 8 * size);
}

static void put_random(struct out *o, uint32_t size)
{
	while (size--)
		put(o, any(), 1);
}

static void put_ethertype(struct out *o, unsigned int ethertype, uint32_t tags)
{
	while (tags--) {
		put(o, ONE_OF(0x8100, 0x88a8), 2);
		put(o, any(), 2);
	}
	put(o, ethertype, 2);
}

static uint32_t some_tags(void)
{
	return ONE_OF(0, 0, 0, 0, 0, 1, 1, 2, 2, 3);
}

static unsigned int some_ethertype(void)
{
	return one_in(64) ? ONE_OF(0x86dd, 0x0806, 0x0008, 0x9100) : 0x0800;
}

/* One of the ways a header is not what the happy path wants. */
static void spoil_ip(struct out *o, size_t ip)
{
	switch (below(5)) {
	case 0:
		o->bytes[ip] = (uint8_t)any();
		break;
	case 1:
		o->bytes[ip] = (uint8_t)(0x40 | below(16));
		break;
	case 2:
		o->bytes[ip + 9] = (uint8_t)ONE_OF(6, 1, 16, 18, 0, 136);
		break;
	case 3:
		set(o, ip + 6, ONE_OF(0x4001, 0x5000, 0x6001, 0x1fff, 0x5fff, 0x4100));
		break;
	default:
		set(o, ip + 2, ONE_OF(0, 19, 20, 27, 28, 29, 67, 68, 0xffff));
	}
}

/* Mostly right; else wrong, or right with a given checksum: the ends of the number range. */
static void finish_ip_check(struct out *o, size_t ip, uint32_t ihl)
{
	unsigned int kind = below(8);
	size_t free_word = ip + 14; /* lower half of the source address */

	if (kind == 0) {
		set(o, ip + 10, (unsigned int)any());
		return;
	}
	if (kind <= 3) {
		set(o, ip + 10,
		    ONE_OF(0, 1, 0x3ffe, 0x3fff, 0x4000, 0xbffe, 0xbfff, 0xc000, 0xfffe, 0xffff));
		set(o, free_word, 0);
		set(o, free_word, 0xffffu - naive_sum(o->bytes + ip, ihl, 0));
		return;
	}
	set(o, ip + 10, 0);
	set(o, ip + 10, 0xffffu - naive_sum(o->bytes + ip, ihl, 0));
	if (kind == 4 && one_in(2))
		set(o, ip + 10, ONE_OF(0, 0xffff));
}

static unsigned int some_tot_len(const struct head *h, uint32_t ihl, size_t real)
{
	switch (below(8)) {
	case 0:
		return h->policy.min_len + below(3) - 1;
	case 1:
		return ihl + 7 + below(3); /* the UDP header just fits */
	case 2:
		return ihl + 15 + below(3); /* eight bytes of payload just fit */
	default:
		return (unsigned int)real;
	}
}

static void put_ip_udp(struct out *o, const struct head *h, bool outer);

/* NOLINTNEXTLINE(misc-no-recursion): one level, an inner header has no VXLAN behind it */
static void put_vxlan(struct out *o, const struct head *h)
{
	uint32_t n = one_in(8) ? DF_VNIS_MAX : h->policy.n_vni;

	put(o, one_in(32) ? any() : any() | 8, 1);
	put_random(o, 3);
	put(o, n == 0 || one_in(32) ? any() : h->policy.vni[below(n)], 3);
	put_random(o, 1);
	put_random(o, 2 * ETH_ALEN);
	put_ethertype(o, some_ethertype(), some_tags());
	put_ip_udp(o, h, false);
}

static void finish_udp_check(struct out *o, size_t ip, size_t udp)
{
	uint32_t len = word(o->bytes + udp + 4);
	uint16_t sum;

	sum = naive_sum(o->bytes + udp, len, naive_sum(o->bytes + ip + 12, 8, 17 + len));
	set(o, udp + 6, sum == 0xffff ? 0xffff : 0xffffu - sum);
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static void put_ip_udp(struct out *o, const struct head *h, bool outer)
{
	uint32_t ihl = one_in(3) ? 20 + 4 * below(11) : 20, n = h->policy.n_dport;
	size_t ip = o->len, udp = ip + ihl;

	put(o, 0x40 | ihl / 4, 1);
	put(o, any(), 1);
	put(o, 0, 2);
	put(o, one_in(2) ? 0 : any(), 2);
	put(o, ONE_OF(0x4000, 0x4000, 0x4000, 0x4000, 0xc000, 0x6000, 0xe000, 0, 0x2000), 2);
	put(o, any(), 1);
	put(o, 17, 1);
	put(o, 0, 2);
	put_random(o, 8 + ihl - 20);

	put(o, any(), 2);
	if (outer)
		put(o, one_in(32) ? ONE_OF(4788, 4790, 8472) : 4789, 2);
	else
		put(o, one_in(16) ? any() : be16toh(h->policy.dport_be[below(one_in(8) ? 16 : n)]),
		    2);
	put(o, 0, 4);
	if (outer)
		put_vxlan(o, h);
	else
		put_random(o, below(20));

	set(o, ip + 2,
	    outer && !one_in(8) ? (unsigned int)(o->len - ip) : some_tot_len(h, ihl, o->len - ip));
	set(o, udp + 4, (unsigned int)(o->len - udp));
	if (outer && one_in(16)) /* a datagram that ends before the frame does */
		set(o, udp + 4, 8 + below((uint32_t)(o->len - udp - 7)));
	if (one_in(outer ? 32 : 8))
		spoil_ip(o, ip);
	finish_ip_check(o, ip, ihl);
	if (one_in(2))
		finish_udp_check(o, ip, udp);
	else if (one_in(2))
		set(o, udp + 6, (unsigned int)any());
}

static void random_head(struct head *h)
{
	for (size_t i = 0; i < sizeof(*h); i++)
		((uint8_t *)h)[i] = (uint8_t)any();
	for (int i = 0; i < DF_PORTS_MAX; i++)
		if (one_in(4))
			h->policy.dport_be[i] = htobe16((uint16_t)ONE_OF(4789, 31765, 0, 0xffff));
	for (int i = 0; i < DF_VNIS_MAX; i++)
		h->policy.vni[i] &= one_in(4) ? 0xff : 0xffffff;
	h->policy.min_len = (uint16_t)(one_in(4)   ? ONE_OF(0, 28, 1400, 0xffff)
				       : one_in(2) ? 0
						   : below(100));
	h->ctl.share_kind = ONE_OF(0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 4, 0xffffffff);
	if (h->ctl.share_kind == DF_SHARE_NTH) {
		h->nth = one_in(4) ? h->nth : below(4);
		h->ctl.share_n = one_in(4) ? ONE_OF(0, 1, 2, 10, 0xffffffff) : h->nth + below(4);
	}
	if (!one_in(4))
		h->ctl.deadline = 0;
	else if (!one_in(8))
		h->now = h->ctl.deadline + below(3) - 1;
	h->ethertype = (uint16_t)some_ethertype();
	make_valid(h);
	h->policy.n_dport--; /* what is read goes through make_valid() again */
}

static uint64_t unmix(uint64_t h) /* MurmurHash3 fmix64, backwards */
{
	h ^= h >> 33;
	h *= 0x9cb4b2f8129337db;
	h ^= h >> 33;
	h *= 0x4f74430c22a54005;
	return h ^ h >> 33;
}

/* The payload that makes the upper 16 bits of the hash 0 or 1. */
static void aim_at_id(const struct naive *n, struct out *o)
{
	uint8_t *udp = o->bytes + n->ip + ihl_of(n->bytes + n->ip);
	uint64_t len_and_check = (uint64_t)word(udp + 4) << 16 | word(udp + 6);
	uint64_t payload = unmix(any() >> 15) ^ df_mix(naive_flow_hash(n) ^ len_and_check);

	if (udp + 16 <= o->bytes + o->len)
		for (int i = 0; i < 8; i++)
			udp[8 + i] = (uint8_t)(payload >> (56 - 8 * i));
}

/* The checksum that makes the sum of RFC 1624 carry twice, or just not, in this byte order. */
static void aim_at_carry(const struct naive *n, struct out *o)
{
	uint16_t id, check;

	memcpy(&id, n->bytes + n->ip + 4, sizeof(id));
	check = (uint16_t)(id - below(3)); /* with DF clear: ~check + ~0 + id = 0x1ffff + 0..2 */
	check = df_csum_update(check, 0, DF_IP_DF);
	memcpy(o->bytes + n->ip + 10, &check, sizeof(check));
}

/* Moves an input that is handled to an edge that chance alone would not find. */
static void aim(struct head *h, struct out *o)
{
	struct head all = *h;
	struct out bytes = *o;
	struct naive n = { .policy = &all.policy, .ctl = &all.ctl, .bytes = bytes.bytes };
	int reason;

	make_valid(&all);
	all.ctl.share_kind = DF_SHARE_ALL;
	all.ctl.deadline = 0;
	n.len = bytes.len;
	reason = (int)(h->frame ? naive_frame(&n) : naive_l3(&n, h->ethertype));
	if (reason > DF_CLEARED_ASSIGNED)
		return;
	if (h->ctl.share_kind == DF_SHARE_FLOW)
		h->ctl.share_n = (uint32_t)naive_flow_hash(&n) + below(3) - 1;
	if (reason == DF_CLEARED_ASSIGNED && one_in(2))
		aim_at_id(&n, o);
	else if (reason == DF_CLEARED_ASSIGNED)
		aim_at_carry(&n, o);
}

static size_t generate(uint8_t *data, size_t max_size)
{
	struct out o = { 0 };
	struct head h, valid;
	uint32_t tags = some_tags();

	random_head(&h);
	valid = h;
	make_valid(&valid);
	if (h.frame) {
		put_random(&o, 2 * ETH_ALEN);
		put_ethertype(&o, h.ethertype, tags);
	} else if (tags) {
		put(&o, any(), 2);
		put_ethertype(&o, h.ethertype, tags - 1);
		h.ethertype = (uint16_t)ONE_OF(0x8100, 0x88a8);
	}
	put_ip_udp(&o, &valid, valid.policy.encap == DF_ENCAP_VXLAN);
	if (one_in(8))
		o.len = below((uint32_t)o.len + 1); /* cut anywhere */
	else if (one_in(3))
		put_random(&o, below(20)); /* padding */
	if (one_in(4))
		aim(&h, &o);
	if (o.len > max_size - sizeof(h))
		o.len = max_size - sizeof(h);
	memcpy(data, &h, sizeof(h));
	memcpy(data + sizeof(h), o.bytes, o.len);
	return sizeof(h) + o.len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	struct head h;

	rng = seed;
	if (max_size < sizeof(h))
		return LLVMFuzzerMutate(data, size, max_size);
	if (size <= sizeof(h) || !one_in(4))
		return generate(data, max_size);
	switch (below(3)) {
	case 0: /* the same packet under another policy */
		random_head(&h);
		memcpy(data, &h, sizeof(h));
		return size;
	case 1: /* the same policy, another packet */
		return sizeof(h) +
		       LLVMFuzzerMutate(data + sizeof(h), size - sizeof(h), max_size - sizeof(h));
	default:
		return LLVMFuzzerMutate(data, size, max_size);
	}
}

// SPDX-License-Identifier: GPL-2.0-only
/* migrate/parity.c, parity_view.c: every class by a packet made for it, on either side; the arithmetic. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/packet.h"
#include "core/util.h"
#include "migrate/parity.h"
#include "migrate/parity_view.h"

#define LEN 32 /* IPv4, UDP, four bytes */

#define BIT(name) PARITY_BIT(PARITY_##name)

/* As it came: ID 0x1234, DF, the checksum right; and as both paths make it. */
static const uint8_t came[LEN] = { 0x45, 0,    0, LEN, 0x12, 0x34, 0x40, 0,   64,  17,   0x3c,
				   0x62, 192,  0, 2,   1,    198,  51,   100, 2,   0x9c, 0x40,
				   0x7c, 0x15, 0, 12,  0xab, 0xcd, 'd',  'a', 't', 'a' };

struct change {
	size_t at;
	uint16_t value; /* 16 bits in network order */
};

static void set16(uint8_t *packet, size_t at, uint16_t value)
{
	packet[at] = (uint8_t)(value >> 8);
	packet[at + 1] = (uint8_t)value;
}

static uint16_t get16(const uint8_t *packet, size_t at)
{
	return (uint16_t)(packet[at] << 8 | packet[at + 1]);
}

/* RFC 791: over the whole header, from scratch. */
static void fix_checksum(uint8_t *packet)
{
	uint32_t sum = 0;

	set16(packet, 10, 0);
	for (size_t i = 0; i < (size_t)(packet[0] & 15) * 4; i += 2)
		sum += get16(packet, i);
	sum = (sum & 0xffff) + (sum >> 16);
	set16(packet, 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
}

struct row {
	const char *name;
	struct change change[3]; /* of what one path made; 0, 0 ends it */
	int fix; /* and the checksum of it is right again */
	int matches, assigns;
	uint32_t expected; /* charged to that side; the other has nothing */
};

static const struct row rows[] = {
	{ "nothing", { { 0 } }, 0, 1, 0, 0 },
	{ "DF still set", { { 6, 0x4000 } }, 1, 1, 0, BIT(DF_NOT_CLEARED) },
	{ "DF set, checksum as if clear",
	  { { 6, 0x4000 } },
	  0,
	  1,
	  0,
	  BIT(DF_NOT_CLEARED) | BIT(IP_CSUM_WRONG) },
	{ "checksum off by one", { { 10, 0x7c63 } }, 0, 1, 0, BIT(IP_CSUM_WRONG) },
	{ "checksum 0", { { 10, 0 } }, 0, 1, 0, BIT(IP_CSUM_ZEROED) },
	{ "checksum as it came", { { 10, 0x3c62 } }, 0, 1, 0, BIT(IP_CSUM_NOT_UPDATED) },
	{ "UDP checksum 0", { { 26, 0 } }, 0, 1, 0, BIT(UDP_CSUM_ZEROED) },
	{ "UDP checksum another", { { 26, 0xabce } }, 0, 1, 0, BIT(UDP_CSUM_CHANGED) },
	{ "ID another", { { 4, 0x1235 } }, 1, 1, 0, BIT(IP_ID_CHANGED) },
	{ "ID another, checksum not",
	  { { 4, 0x1235 } },
	  0,
	  1,
	  0,
	  BIT(IP_ID_CHANGED) | BIT(IP_CSUM_WRONG) },
	{ "payload", { { 30, 0x7462 } }, 0, 1, 0, BIT(PAYLOAD) },
	{ "first payload byte", { { 28, 0x0061 } }, 0, 1, 0, BIT(PAYLOAD) },
	{ "TOS", { { 0, 0x4504 } }, 1, 1, 0, BIT(OTHER_FIELD) },
	{ "total length", { { 2, LEN + 1 } }, 1, 1, 0, BIT(OTHER_FIELD) },
	{ "reserved bit", { { 6, 0x8000 } }, 1, 1, 0, BIT(OTHER_FIELD) },
	{ "more fragments", { { 6, 0x2000 } }, 1, 1, 0, BIT(OTHER_FIELD) },
	{ "TTL", { { 8, 0x3f11 } }, 1, 1, 0, BIT(OTHER_FIELD) },
	{ "source address", { { 14, 0x0202 } }, 1, 1, 0, BIT(OTHER_FIELD) },
	{ "destination address", { { 18, 0x6403 } }, 1, 1, 0, BIT(OTHER_FIELD) },
	{ "source port", { { 20, 0x9c41 } }, 0, 1, 0, BIT(OTHER_FIELD) },
	{ "UDP length", { { 24, 13 } }, 0, 1, 0, BIT(OTHER_FIELD) },
	{ "three at once",
	  { { 6, 0x4000 }, { 26, 0 }, { 30, 0 } },
	  1,
	  1,
	  0,
	  BIT(DF_NOT_CLEARED) | BIT(UDP_CSUM_ZEROED) | BIT(PAYLOAD) },
};

static struct parity_case case_of(const uint8_t *xdp, size_t xdp_len, const uint8_t *behind,
				  size_t behind_len, int matches)
{
	return (struct parity_case){ .came = { came, LEN },
				     .side = { { xdp, xdp_len }, { behind, behind_len } },
				     .matches = matches };
}

static void right(uint8_t *out)
{
	memcpy(out, came, LEN);
	set16(out, 6, 0);
	fix_checksum(out);
	assert_int_equal(get16(out, 10), 0x7c62);
}

static void check(const char *name, const struct parity_case *c, uint32_t xdp, uint32_t behind)
{
	const struct parity_set found = parity_compare(c);

	if (found.by[PARITY_XDP] != xdp || found.by[PARITY_BEHIND] != behind)
		fail_msg("%s: found %#x and %#x, not %#x and %#x", name, found.by[PARITY_XDP],
			 found.by[PARITY_BEHIND], xdp, behind);
}

static void test_classes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		uint8_t good[LEN], bad[LEN];
		struct parity_case c;

		right(good);
		right(bad);
		for (size_t k = 0; k < ARRAY_SIZE(row->change) && row->expected; k++)
			if (row->change[k].at || row->change[k].value)
				set16(bad, row->change[k].at, row->change[k].value);
		if (row->fix)
			fix_checksum(bad);
		c = case_of(bad, LEN, good, LEN, row->matches);
		check(row->name, &c, row->expected, 0);
		c = case_of(good, LEN, bad, LEN, row->matches);
		check(row->name, &c, 0, row->expected);
		c = case_of(bad, LEN, bad, LEN, row->matches);
		check("the same on both sides", &c, 0, 0); /* Y2 */
	}
}

static void test_cleared_wrongly(void **state)
{
	uint8_t cleared[LEN];
	struct parity_case c = case_of(cleared, LEN, came, LEN, 0);

	(void)state;
	right(cleared);
	check("by XDP", &c, BIT(DF_CLEARED_WRONGLY), 0);
	c = case_of(came, LEN, cleared, LEN, 0);
	check("behind", &c, 0, BIT(DF_CLEARED_WRONGLY));
}

/* DF that was not there. */
static void test_df_set(void **state)
{
	uint8_t clear[LEN];
	struct parity_case c = { .came = { clear, LEN },
				 .side = { { came, LEN }, { clear, LEN } } };

	(void)state;
	right(clear);
	check("DF set", &c, BIT(OTHER_FIELD), 0);
}

static void test_length(void **state)
{
	uint8_t good[LEN + 1] = { 0 };
	struct parity_case c;

	(void)state;
	right(good);
	for (size_t len = 0; len < LEN; len++) {
		c = case_of(good, len, good, LEN, 1);
		check("shorter", &c, BIT(LENGTH), 0);
		c = case_of(good, LEN, good, len, 1);
		check("shorter behind", &c, 0, BIT(LENGTH));
	}
	c = case_of(good, LEN + 1, good, LEN, 1);
	check("longer", &c, BIT(LENGTH), 0);
}

static void test_one_side(void **state)
{
	uint8_t good[LEN];
	struct parity_case c = case_of(good, LEN, NULL, 0, 1);

	(void)state;
	right(good);
	check("only XDP", &c, BIT(ONLY_XDP), 0);
	c = case_of(NULL, 0, good, LEN, 1);
	check("only behind", &c, 0, BIT(ONLY_BEHIND));
	c = case_of(good, LEN, NULL, 0, 0);
	check("only XDP, wrongly", &c, BIT(ONLY_XDP) | BIT(DF_CLEARED_WRONGLY), 0);
}

/* ip-id: assign. */
static void test_assign(void **state)
{
	uint8_t zero[LEN], kept[LEN], a[LEN], b[LEN];
	struct parity_case c = { .came = { zero, LEN }, .matches = true, .assigns = true };

	(void)state;
	right(kept);
	set16(kept, 4, 0);
	fix_checksum(kept);
	memcpy(zero, kept, LEN);
	set16(zero, 6, 0x4000);
	fix_checksum(zero);
	memcpy(a, kept, LEN);
	set16(a, 4, 7);
	fix_checksum(a);
	memcpy(b, a, LEN);
	c.side[PARITY_XDP] = (struct parity_bytes){ a, LEN };
	c.side[PARITY_BEHIND] = (struct parity_bytes){ b, LEN };
	check("the same ID", &c, 0, 0);
	set16(b, 4, 8);
	fix_checksum(b);
	check("two IDs", &c, BIT(IP_ID_CHANGED), BIT(IP_ID_CHANGED));
	c.side[PARITY_BEHIND].data = kept;
	check("none behind", &c, 0, BIT(IP_ID_NOT_ASSIGNED));
	c.side[PARITY_XDP].data = kept;
	c.side[PARITY_BEHIND].data = b;
	check("none by XDP", &c, BIT(IP_ID_NOT_ASSIGNED), 0);
}

/* Two forms of a checksum that says the same: each is right, and still they are two. */
static void test_two_zeros(void **state)
{
	uint8_t in[LEN], plus[LEN], minus[LEN];
	struct parity_case c = { .came = { in, LEN },
				 .side = { { plus, LEN }, { minus, LEN } },
				 .matches = true };

	(void)state;
	right(plus);
	set16(plus, 4, 0);
	fix_checksum(plus);
	set16(plus, 4, get16(plus, 10)); /* its own complement fills it up */
	fix_checksum(plus);
	assert_int_equal(get16(plus, 10), 0);
	memcpy(minus, plus, LEN);
	set16(minus, 10, 0xffff);
	memcpy(in, plus, LEN);
	set16(in, 6, 0x4000);
	fix_checksum(in);
	check("0 and 0xffff", &c, BIT(OTHER_FIELD), BIT(OTHER_FIELD));
}

/* What is no IPv4 header is bytes; and any bytes at all are read within their bounds. */
static void test_any_bytes(void **state)
{
	uint8_t in[40], out[40];

	(void)state;
	for (unsigned int first = 0; first < 256; first++) {
		for (size_t len = 1; len <= sizeof(in); len++) {
			struct parity_case c = { .came = { in, len },
						 .side = { { out, len }, { in, len } } };
			struct parity_set found;

			memset(in, 0x11, sizeof(in));
			in[0] = (uint8_t)first;
			memcpy(out, in, sizeof(in));
			out[len - 1] ^= 1;
			found = parity_compare(&c);
			assert_int_not_equal(found.by[PARITY_XDP], 0);
			assert_int_equal(found.by[PARITY_BEHIND], 0);
			if (first >> 4 != 4)
				assert_int_equal(found.by[PARITY_XDP], BIT(OTHER_FIELD));
		}
	}
}

/* What the caller says counts, equal bytes or not. */
static void test_said(void **state)
{
	struct parity_case c = case_of(came, LEN, came, LEN, 0);

	(void)state;
	c.said.by[PARITY_XDP] = BIT(AROUND) | BIT(COUNTER);
	c.said.by[PARITY_BEHIND] = BIT(DROPPED);
	check("said", &c, BIT(AROUND) | BIT(COUNTER), BIT(DROPPED));
}

static void count(struct parity_report *report, const struct parity_case *c,
		  const struct parity_set *accept)
{
	const struct parity_set found = parity_compare(c);

	parity_count(report, c, &found, accept);
	assert_int_equal(report->compared,
			 report->equal + report->accepted + report->different); /* Y1 */
}

static void test_report(void **state)
{
	const struct parity_set nothing = { { 0 } };
	const struct parity_set zeroed = { { 0, BIT(UDP_CSUM_ZEROED) } };
	struct parity_report r = { 0 };
	uint8_t good[LEN], zero[LEN], worse[LEN];
	struct parity_case c;

	(void)state;
	right(good);
	memcpy(zero, good, LEN);
	set16(zero, 26, 0);
	memcpy(worse, zero, LEN);
	worse[31] ^= 1;
	assert_int_equal(parity_judge(&r), PARITY_INCONCLUSIVE);
	c = case_of(came, LEN, came, LEN, 0);
	count(&r, &c, &nothing);
	assert_int_equal(parity_judge(&r), PARITY_INCONCLUSIVE); /* none that matches */
	c = case_of(good, LEN, good, LEN, 1);
	count(&r, &c, &nothing);
	c = case_of(good, LEN, zero, LEN, 1);
	count(&r, &c, &zeroed);
	assert_int_equal(r.accepted, 1);
	assert_int_equal(parity_judge(&r), PARITY_EQUAL);
	count(&r, &c, &nothing);
	c = case_of(zero, LEN, good, LEN, 1);
	count(&r, &c, &zeroed); /* Y3: accepted of the other side alone */
	c = case_of(good, LEN, worse, LEN, 1);
	count(&r, &c, &zeroed);
	c = case_of(good, LEN, NULL, 0, 1);
	count(&r, &c, &nothing);
	assert_int_equal(parity_judge(&r), PARITY_DIFFERENT);
	assert_int_equal(r.compared, 7);
	assert_int_equal(r.equal, 2);
	assert_int_equal(r.accepted, 1);
	assert_int_equal(r.different, 4);
	assert_int_equal(r.matching, 6);
	assert_int_equal(r.matching_different, 4);
	assert_int_equal(r.class[PARITY_UDP_CSUM_ZEROED][PARITY_BEHIND], 3);
	assert_int_equal(r.class[PARITY_UDP_CSUM_ZEROED][PARITY_XDP], 1);
	assert_int_equal(r.class[PARITY_PAYLOAD][PARITY_BEHIND], 1);
	assert_int_equal(r.class[PARITY_ONLY_XDP][PARITY_XDP], 1);
	assert_int_equal(r.one_sided[PARITY_XDP], 1);
	assert_int_equal(r.one_sided[PARITY_BEHIND], 0);
}

static void check_bound(uint64_t k, uint64_t n, double expected)
{
	double got = parity_at_most(k, n);

	if (fabs(got - expected) > expected * 1e-6)
		fail_msg("%lu of %lu: %.9g, not %.9g", (unsigned long)k, (unsigned long)n, got,
			 expected);
}

/* The quantile of the beta distribution, Beta(k + 1, n - k) at 0.95. */
static void test_claim(void **state)
{
	(void)state;
	check_bound(0, 0, 1);
	check_bound(0, 1, 1);
	check_bound(0, 3, 1);
	check_bound(0, 4, 0.75);
	check_bound(0, 1000, 0.003);
	check_bound(0, 3000000, 1e-6);
	check_bound(1, 2, 0.9746794345);
	check_bound(1, 100, 0.04655981145);
	check_bound(2, 1000, 0.006282284547);
	check_bound(10, 100, 0.1637176233);
	check_bound(50, 100, 0.5863782854);
	check_bound(99, 100, 0.9994871986);
	check_bound(7, 558, 0.02343323101);
	check_bound(3, 1000000, 7.753638099e-06);
	check_bound(5, 5, 1);
	for (uint64_t k = 1; k < 200; k++)
		assert_true(parity_at_most(k, 200) > parity_at_most(k - 1, 200));
}

static const uint8_t ethernet[ETH_HLEN] = { [12] = 0x08 };

static enum parity_unseen view(const struct df_policy *policy, const uint8_t *frame, size_t len,
			       size_t at, size_t view_len)
{
	struct parity_view v;
	enum parity_unseen unseen = parity_view(policy, frame, len, &v);

	assert_true(v.at + v.len <= len);
	if (unseen == PARITY_SHOWN) {
		assert_int_equal(v.at, at);
		assert_int_equal(v.len, view_len);
	}
	return unseen;
}

static void test_view(void **state)
{
	static const uint8_t tags[] = { 0x88, 0xa8, 0, 1, 0x81, 0x00, 0, 2, 0x81, 0x00, 0, 3 };
	const struct df_policy policy = { .n_dport = 1 };

	(void)state;
	for (size_t n = 0; n <= 3; n++) {
		uint8_t frame[128] = { 0 };
		size_t head = ETH_HLEN + 4 * n;

		memcpy(frame, ethernet, 12);
		memcpy(frame + 12, tags, 4 * n);
		set16(frame, head - 2, ETH_P_IP);
		memcpy(frame + head, came, LEN);
		for (size_t len = 0; len < head + sizeof(struct df_ipv4); len++)
			assert_int_equal(view(&policy, frame, len, 0, 0),
					 n == 3 && len >= ETH_HLEN + 8 ? PARITY_NOT_IPV4
								       : PARITY_TOO_SHORT);
		assert_int_equal(view(&policy, frame, head + LEN - 1, head, LEN - 1),
				 n == 3 ? PARITY_NOT_IPV4 : PARITY_SHOWN);
		/* Padding is not shown. */
		assert_int_equal(view(&policy, frame, head + LEN + 9, head, LEN),
				 n == 3 ? PARITY_NOT_IPV4 : PARITY_SHOWN);
		/* A total length that cannot be cuts nothing. */
		set16(frame, head + 2, 19);
		assert_int_equal(view(&policy, frame, head + LEN, head, LEN),
				 n == 3 ? PARITY_NOT_IPV4 : PARITY_SHOWN);
	}
}

/* Ethernet, IPv4, UDP, VXLAN of VNI 7, Ethernet, the packet. */
static size_t tunnel(uint8_t frame[128])
{
	const size_t inner = ETH_HLEN + 20 + 8 + 8 + ETH_HLEN;

	memset(frame, 0, 128);
	memcpy(frame, ethernet, ETH_HLEN);
	memcpy(frame + ETH_HLEN, came, 28);
	set16(frame, ETH_HLEN + 2, (uint16_t)(inner - ETH_HLEN + LEN));
	set16(frame, ETH_HLEN + 22, VXLAN_PORT);
	set16(frame, ETH_HLEN + 24, (uint16_t)(inner - ETH_HLEN - 20 + LEN));
	frame[ETH_HLEN + 28] = 0x08;
	frame[ETH_HLEN + 34] = 7;
	memcpy(frame + inner - ETH_HLEN, ethernet, ETH_HLEN);
	memcpy(frame + inner, came, LEN);
	return inner;
}

static void test_view_tunnel(void **state)
{
	struct df_policy policy = {
		.n_dport = 1, .encap = DF_ENCAP_VXLAN, .n_vni = 1, .vni = { 7 }
	};
	static const struct {
		size_t at;
		uint16_t value;
		enum parity_unseen unseen;
	} changed[] = {
		{ 12, 0x86dd, PARITY_NOT_TUNNEL }, /* outer IPv6 */
		{ ETH_HLEN, 0x6500, PARITY_NOT_TUNNEL }, /* version 6 */
		{ ETH_HLEN, 0x4400, PARITY_NOT_TUNNEL }, /* ihl 4 */
		{ ETH_HLEN + 2, 0, PARITY_NOT_TUNNEL }, /* a length that cannot be */
		{ ETH_HLEN + 2, 19, PARITY_NOT_TUNNEL },
		{ ETH_HLEN + 2, 27, PARITY_NOT_TUNNEL }, /* no UDP header in the packet */
		{ ETH_HLEN + 6, 1, PARITY_NOT_TUNNEL }, /* a fragment behind the first */
		{ ETH_HLEN + 8, 0x4006, PARITY_NOT_TUNNEL }, /* TCP */
		{ ETH_HLEN + 22, 4790, PARITY_NOT_TUNNEL }, /* another port */
		{ ETH_HLEN + 28, 0xf700, PARITY_NOT_TUNNEL }, /* no I flag */
		{ ETH_HLEN + 34, 0x0600, PARITY_NOT_TUNNEL }, /* VNI 6 */
		{ ETH_HLEN + 24, 15, PARITY_TOO_SHORT }, /* no VXLAN in the datagram */
		{ ETH_HLEN + 24, 16 + 33, PARITY_TOO_SHORT }, /* not all of the inner header */
		{ ETH_HLEN + 2, 20 + 16 + 33, PARITY_TOO_SHORT }, /* the same of the packet */
		{ ETH_HLEN + 48, 0x0806, PARITY_NOT_IPV4 }, /* inner ARP */
	};
	uint8_t frame[128];
	size_t inner = tunnel(frame);

	(void)state;
	assert_int_equal(view(&policy, frame, inner + LEN, inner, LEN), PARITY_SHOWN);
	assert_int_equal(view(&policy, frame, inner + LEN + 5, inner, LEN), PARITY_SHOWN);
	assert_int_equal(view(&policy, frame, inner + LEN - 2, inner, LEN - 2), PARITY_SHOWN);
	for (size_t len = 0; len < inner + 20; len++)
		assert_int_equal(view(&policy, frame, len, 0, 0), PARITY_TOO_SHORT);
	set16(frame, ETH_HLEN + 24, (uint16_t)(inner - ETH_HLEN - 20 + LEN - 3));
	assert_int_equal(view(&policy, frame, inner + LEN, inner, LEN - 3), PARITY_SHOWN);
	for (size_t i = 0; i < ARRAY_SIZE(changed); i++) {
		tunnel(frame);
		set16(frame, changed[i].at, changed[i].value);
		assert_int_equal(view(&policy, frame, inner + LEN, 0, 0), changed[i].unseen);
	}
	policy.encap = DF_ENCAP_NONE; /* then it is a packet like others */
	tunnel(frame);
	assert_int_equal(view(&policy, frame, inner + LEN, ETH_HLEN, inner + LEN - ETH_HLEN),
			 PARITY_SHOWN);
}

static void check_stack(const uint8_t *packet, size_t len, enum parity_unseen why)
{
	const struct parity_bytes bytes = { packet, len };

	assert_int_equal(parity_stack(&bytes), why);
}

/* net/ipv4/ip_input.c, ip_rcv_core(): in that order. */
static void test_stack(void **state)
{
	uint8_t p[LEN + 40];

	(void)state;
	check_stack(came, LEN, PARITY_SHOWN);
	for (size_t len = 20; len < LEN; len++)
		check_stack(came, len, PARITY_BAD_LENGTH);
	for (size_t len = 0; len < 20; len++)
		check_stack(came, len, PARITY_BAD_HEADER);
	for (unsigned int first = 0; first < 256; first++) {
		memset(p, 0, sizeof(p));
		memcpy(p, came, 20);
		p[0] = (uint8_t)first;
		set16(p, 2, sizeof(p));
		if (first >> 4 != 4 || (first & 15) < 5) {
			check_stack(p, sizeof(p), PARITY_BAD_HEADER);
			continue;
		}
		fix_checksum(p);
		check_stack(p, sizeof(p), PARITY_SHOWN);
		check_stack(p, (first & 15) * 4 - 1, PARITY_BAD_HEADER);
		set16(p, 2, (uint16_t)((first & 15) * 4));
		fix_checksum(p);
		check_stack(p, sizeof(p), PARITY_SHOWN); /* padding */
		set16(p, 2, (uint16_t)((first & 15) * 4 - 1));
		fix_checksum(p);
		check_stack(p, sizeof(p), PARITY_BAD_HEADER);
		p[(first & 15) * 4 - 1] ^= 1;
		check_stack(p, sizeof(p), PARITY_BAD_CHECKSUM);
	}
	memcpy(p, came, LEN);
	for (size_t i = 0; i < LEN; i++) {
		p[i] ^= 0x80;
		check_stack(p, LEN,
			    i == 0   ? PARITY_BAD_HEADER
			    : i < 20 ? PARITY_BAD_CHECKSUM
				     : PARITY_SHOWN);
		p[i] ^= 0x80;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),     cmocka_unit_test(test_cleared_wrongly),
		cmocka_unit_test(test_df_set),      cmocka_unit_test(test_length),
		cmocka_unit_test(test_one_side),    cmocka_unit_test(test_assign),
		cmocka_unit_test(test_two_zeros),   cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_said),        cmocka_unit_test(test_report),
		cmocka_unit_test(test_claim),       cmocka_unit_test(test_view),
		cmocka_unit_test(test_view_tunnel), cmocka_unit_test(test_stack),
	};

	return cmocka_run_group_tests_name("parity", tests, NULL, NULL);
}

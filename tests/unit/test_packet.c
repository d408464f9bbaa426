// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "core/names.h"
#include "core/packet.h"
#include "tests/vectors/vectors.h"

static struct vector *vectors;
static size_t vectors_n;

static int load(void **state)
{
	(void)state;
	vectors = vectors_load(&vectors_n);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	vectors_free(vectors, vectors_n);
	return 0;
}

/* On the heap and of exactly this length, so that ASan sees one byte too far. Freed by the caller.
 */
static uint8_t *exact_copy(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	return memcpy(copy, bytes, len);
}

static int rewrite_if(const struct df_policy *policy, struct df_pkt *pkt, int reason)
{
	return reason == DF_GO_ON ? (int)df_rewrite(policy, pkt) : reason;
}

/* As the XDP program enters: a frame. */
static int run_eth(const struct df_policy *policy, void *frame, size_t len)
{
	struct df_pkt pkt = { .data = frame, .data_end = frame + len };
	int reason = df_parse_frame(policy, &pkt, pkt.data);

	if (reason == DF_GO_ON)
		reason = df_match_udp(policy, &pkt);
	return rewrite_if(policy, &pkt, reason);
}

/* As the NFQUEUE handler enters: what follows the Ethernet header, alone. */
static int run_l3(const struct df_policy *policy, uint8_t *payload, size_t len, __be16 proto_be)
{
	struct df_pkt pkt = { .data = payload, .data_end = payload + len };

	return rewrite_if(policy, &pkt, df_match(policy, &pkt, payload, proto_be));
}

/* Says which vector; the caller asserts once that none failed. */
static int differs(const struct vector *v, const char *how, int reason, const uint8_t *got,
		   const uint8_t *want, size_t len)
{
	if (reason != (int)v->reason)
		print_error("%s, %s: reason %s, not %s\n", v->name, how, df_reason_name[reason],
			    df_reason_name[v->reason]);
	for (size_t i = 0; i < len; i++)
		if (got[i] != want[i]) {
			print_error("%s, %s: byte %zu is %02x, not %02x\n", v->name, how, i, got[i],
				    want[i]);
			return 1;
		}
	return reason != (int)v->reason;
}

static void test_table(void **state)
{
	size_t below_eth = 0, no_live = 0;
	int seen[DF_REASON_MAX] = { 0 };

	(void)state;
	assert_int_equal(vectors_n, VECTORS);
	for (size_t i = 0; i < vectors_n; i++) {
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(vectors[i].name, vectors[j].name);
		below_eth += vectors[i].len < ETH_HLEN;
		no_live += vectors[i].not_live != NULL;
		seen[vectors[i].reason]++;
	}
	assert_int_equal(below_eth, VECTORS_SHORT);
	assert_int_equal(no_live, VECTORS_NO_LIVE);
	/* Every reason that a packet alone can have; the others are of the share and of failures.
	 */
	for (int reason = 0; reason < DF_REASON_MAX; reason++)
		if (reason != DF_NOT_SELECTED && reason != DF_LEASE_EXPIRED && reason != DF_ERROR)
			assert_true(seen[reason] > 0);
}

static void test_from_eth(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < vectors_n; i++) {
		const struct vector *v = &vectors[i];
		uint8_t *frame = exact_copy(v->in, v->len);
		int reason = run_eth(&vector_policies[v->policy], frame, v->len);

		failed += differs(v, "from Ethernet", reason, frame, v->out, v->len);
		free(frame);
	}
	assert_int_equal(failed, 0);
}

static void test_from_l3(void **state)
{
	size_t ran = 0;
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < vectors_n; i++) {
		const struct vector *v = &vectors[i];
		size_t len = v->len - ETH_HLEN;
		uint8_t *payload;
		__be16 proto_be;

		if (v->len < ETH_HLEN)
			continue;
		payload = exact_copy(v->in + ETH_HLEN, len);
		memcpy(&proto_be, v->in + 12, sizeof(proto_be));
		failed += differs(v, "from L3",
				  run_l3(&vector_policies[v->policy], payload, len, proto_be),
				  payload, v->out + ETH_HLEN, len);
		free(payload);
		ran++;
	}
	assert_int_equal(failed, 0);
	assert_int_equal(ran, VECTORS - VECTORS_SHORT);
}

/* packet P6: what was handled is handled no second time. */
static void test_second_pass(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < vectors_n; i++) {
		struct vector again = vectors[i];
		uint8_t *frame = exact_copy(again.out, again.len);

		if (again.reason <= DF_CLEARED_ASSIGNED)
			again.reason = DF_NO_DF;
		failed += differs(&again, "second pass",
				  run_eth(&vector_policies[again.policy], frame, again.len), frame,
				  again.out, again.len);
		free(frame);
	}
	assert_int_equal(failed, 0);
}

/* RFC 1071 over an IPv4 header as it stands; 0 when its checksum is right. */
static uint16_t header_check(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < (ip[0] & 15u) * 4; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* The checksum that a full recompute gives this header. */
static uint16_t header_recompute(const uint8_t *ip)
{
	uint8_t copy[60];

	memcpy(copy, ip, (size_t)(ip[0] & 15u) * 4);
	copy[10] = copy[11] = 0;
	return header_check(copy);
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* packet P3: outside [ip, ip + 20) nothing, inside only these fields. */
static void check_neighbours(const struct vector *v, const uint8_t *got, size_t ip_at)
{
	for (size_t i = 0; i < v->len; i++) {
		size_t at = i - ip_at;
		bool id = at == 4 || at == 5, frag_off = at == 6, check = at == 10 || at == 11;

		if (!frag_off && !check && !(id && v->reason == DF_CLEARED_ASSIGNED) &&
		    got[i] != v->in[i])
			fail_msg("%s: byte %zu was written", v->name, i);
	}
}

static void check_rewrite(const struct vector *v)
{
	const struct df_policy *policy = &vector_policies[v->policy];
	uint8_t *got = exact_copy(v->in, v->len);
	struct df_pkt pkt = { .data = got, .data_end = got + v->len };
	size_t ip_at, header;
	uint8_t *ip;

	if (df_match(policy, &pkt, got + 14, ((struct df_eth *)pkt.data)->proto_be) != DF_GO_ON) {
		fail_msg("%s: does not match", v->name);
		return;
	}
	ip = (uint8_t *)pkt.ip;
	ip_at = (size_t)(ip - got);
	header = df_ihl(pkt.ip);
	assert_int_equal(df_rewrite(policy, &pkt), v->reason);
	assert_int_equal(get16(ip + 6), get16(v->in + ip_at + 6) - 0x4000);
	check_neighbours(v, got, ip_at);
	/* P4. A header cut off by the end of the frame never gets here. */
	assert_true(ip_at + header <= v->len);
	assert_int_equal(header_check(ip), header_check(v->in + ip_at));
	if (header_check(v->in + ip_at) == 0)
		assert_int_equal(get16(ip + 10), header_recompute(ip));
	if (v->reason == DF_CLEARED_ASSIGNED)
		assert_int_not_equal(get16(ip + 4), 0);
	free(got);
}

static void test_rewrite(void **state)
{
	size_t handled = 0;

	(void)state;
	for (size_t i = 0; i < vectors_n; i++)
		if (vectors[i].reason <= DF_CLEARED_ASSIGNED) {
			check_rewrite(&vectors[i]);
			handled++;
		}
	assert_true(handled > 100);
}

/* DF clear on every ID, with every combination of flags that reaches it: against a full recompute.
 */
static void test_csum_df(void **state)
{
	static const uint16_t flags[] = { 0x4000, 0x6000, 0xc000, 0xe000 };
	struct df_ipv4 ip = { .version_ihl = 0x45,
			      .ttl = 64,
			      .protocol = 17,
			      .tot_len_be = DF_BE16(1500),
			      .saddr_be = htonl(0xc0000201),
			      .daddr_be = htonl(0xc6336402) };
	unsigned long wrong = 0;

	(void)state;
	for (size_t f = 0; f < sizeof(flags) / sizeof(flags[0]); f++)
		for (uint32_t id = 0; id <= 0xffff; id++) {
			ip.id_be = htons((uint16_t)id);
			ip.frag_off_be = htons(flags[f]);
			ip.check = htons(header_recompute((uint8_t *)&ip));
			ip.check = df_csum_update(ip.check, ip.frag_off_be,
						  ip.frag_off_be & (__be16)~DF_IP_DF);
			ip.frag_off_be &= (__be16)~DF_IP_DF;
			wrong += ip.check != htons(header_recompute((uint8_t *)&ip));
		}
	assert_int_equal(wrong, 0);
}

/* The ID from 0 to every value. */
static void test_csum_id(void **state)
{
	struct df_ipv4 ip = { .version_ihl = 0x45, .protocol = 17, .saddr_be = htonl(0x0a000001) };
	uint16_t before = htons(header_recompute((uint8_t *)&ip));
	unsigned long wrong = 0;

	(void)state;
	for (uint32_t id = 1; id <= 0xffff; id++) {
		ip.id_be = htons((uint16_t)id);
		ip.check = df_csum_update(before, 0, ip.id_be);
		wrong += ip.check != htons(header_recompute((uint8_t *)&ip));
	}
	assert_int_equal(wrong, 0);
}

/* A packet of flow number i: source ports in sequence, then the next source address. */
struct flow {
	struct df_ipv4 ip;
	struct df_udp udp;
};

static struct df_pkt flow_packet(struct flow *flow, unsigned int i)
{
	*flow = (struct flow){ .ip = { .saddr_be = htonl(0x0a000001 + i / 50000),
				       .daddr_be = htonl(0xc6336402) },
			       .udp = { .sport_be = htons((uint16_t)(1024 + i % 50000)),
					.dport_be = DF_BE16(31765) } };
	return (struct df_pkt){ .ip = &flow->ip, .udp = &flow->udp };
}

static int select_flow(const struct df_ctl *ctl, unsigned int i)
{
	struct flow flow;
	struct df_pkt pkt = flow_packet(&flow, i);
	__u32 nth = 0;

	return df_select(ctl, 0, &nth, &pkt);
}

static void test_nth(void **state)
{
	unsigned long wrong = 0;

	(void)state;
	for (unsigned int n = 1; n <= 1000; n++) {
		const struct df_ctl ctl = { .share_kind = DF_SHARE_NTH, .share_n = n };
		__u32 nth = 0;

		for (unsigned int i = 1; i <= 5 * n; i++)
			wrong += df_select(&ctl, 0, &nth, NULL) !=
				 (i % n ? DF_NOT_SELECTED : DF_GO_ON);
	}
	assert_int_equal(wrong, 0);
}

/* Lowered while the counter is above it: the next packet is taken, no wait for a wrap. */
static void test_nth_lowered(void **state)
{
	struct df_ctl ctl = { .share_kind = DF_SHARE_NTH, .share_n = 1000 };
	__u32 nth = 0;

	(void)state;
	for (int i = 0; i < 500; i++)
		assert_int_equal(df_select(&ctl, 0, &nth, NULL), DF_NOT_SELECTED);
	ctl.share_n = 10;
	assert_int_equal(df_select(&ctl, 0, &nth, NULL), DF_GO_ON);
	assert_int_equal(nth, 0);
}

static void test_select_nothing(void **state)
{
	const struct df_ctl nothing[] = {
		{ 0 }, /* abi I1 */
		{ .share_kind = DF_SHARE_NONE, .share_n = 1 },
		{ .share_kind = DF_SHARE_NTH, .share_n = 0 },
		{ .share_kind = DF_SHARE_FLOW, .share_n = 0 },
		{ .share_kind = DF_SHARE_KIND_MAX, .share_n = 1 },
		{ .share_kind = UINT32_MAX, .share_n = UINT32_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
		for (unsigned int flow = 0; flow < 100; flow++)
			assert_int_equal(select_flow(&nothing[i], flow), DF_NOT_SELECTED);
}

static void test_lease(void **state)
{
	struct df_ctl ctl = { .share_kind = DF_SHARE_ALL, .deadline = 1000 };
	const struct df_ctl none = { .share_kind = DF_SHARE_NONE, .deadline = 1000 };
	__u32 nth = 0;

	(void)state;
	assert_int_equal(df_select(&ctl, 999, &nth, NULL), DF_GO_ON);
	assert_int_equal(df_select(&ctl, 1000, &nth, NULL), DF_LEASE_EXPIRED);
	assert_int_equal(df_select(&ctl, 1001, &nth, NULL), DF_LEASE_EXPIRED);
	assert_int_equal(df_select(&ctl, UINT64_MAX, &nth, NULL), DF_LEASE_EXPIRED);
	assert_int_equal(df_select(&none, 1001, &nth, NULL), DF_NOT_SELECTED);
	ctl.deadline = 0; /* none */
	assert_int_equal(df_select(&ctl, 0, &nth, NULL), DF_GO_ON);
	assert_int_equal(df_select(&ctl, UINT64_MAX, &nth, NULL), DF_GO_ON);
	/* An expired lease does not count towards "every n-th". */
	ctl = (struct df_ctl){ .share_kind = DF_SHARE_NTH, .share_n = 2, .deadline = 1000 };
	assert_int_equal(df_select(&ctl, 1000, &nth, NULL), DF_LEASE_EXPIRED);
	assert_int_equal(nth, 0);
}

static __u32 share_of(unsigned int percent)
{
	return (__u32)((__u64)percent * (1ULL << 32) / 100);
}

#define FLOWS 100000

/* Binomial: n p and three standard deviations of it, squared so that no square root is needed. */
static void test_flow_share(void **state)
{
	static const unsigned int percents[] = { 1, 10, 50 };

	(void)state;
	for (size_t k = 0; k < sizeof(percents) / sizeof(percents[0]); k++) {
		const struct df_ctl ctl = { .share_kind = DF_SHARE_FLOW,
					    .share_n = share_of(percents[k]) };
		double p = percents[k] / 100.0, off = -FLOWS * p;
		unsigned int taken = 0;

		for (unsigned int i = 0; i < FLOWS; i++)
			taken += select_flow(&ctl, i) == DF_GO_ON;
		off += taken;
		print_message("flow share %u %%: %u of %u\n", percents[k], taken, FLOWS);
		assert_true(off * off <= 9 * FLOWS * p * (1 - p));
	}
}

/* Selected at P percent: selected at every larger P, and always for the same flow. */
static void test_flow_monotone(void **state)
{
	unsigned long wrong = 0;

	(void)state;
	for (unsigned int i = 0; i < 2000; i++) {
		int before = DF_NOT_SELECTED;

		for (unsigned int percent = 0; percent < 100; percent++) {
			const struct df_ctl ctl = { .share_kind = DF_SHARE_FLOW,
						    .share_n = share_of(percent) };
			int now = select_flow(&ctl, i);

			wrong += now != select_flow(&ctl, i);
			wrong += before == DF_GO_ON && now != DF_GO_ON;
			before = now;
		}
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),         cmocka_unit_test(test_from_eth),
		cmocka_unit_test(test_from_l3),       cmocka_unit_test(test_second_pass),
		cmocka_unit_test(test_rewrite),       cmocka_unit_test(test_csum_df),
		cmocka_unit_test(test_csum_id),       cmocka_unit_test(test_nth),
		cmocka_unit_test(test_nth_lowered),   cmocka_unit_test(test_select_nothing),
		cmocka_unit_test(test_lease),         cmocka_unit_test(test_flow_share),
		cmocka_unit_test(test_flow_monotone),
	};

	return cmocka_run_group_tests_name("packet", tests, load, unload);
}

// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/parity.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/packet.h"
#include "core/util.h"

#define CONFIDENCE 0.95

const char *const parity_side_name[] = { [PARITY_XDP] = "xdp", [PARITY_BEHIND] = "behind" };

const char *const parity_unseen_name[] = {
	[PARITY_SHOWN] = "shown",           [PARITY_NOT_IPV4] = "not-ipv4",
	[PARITY_NOT_TUNNEL] = "not-tunnel", [PARITY_TOO_SHORT] = "too-short",
	[PARITY_REFUSED] = "refused",       [PARITY_BAD_HEADER] = "bad-header",
	[PARITY_BAD_LENGTH] = "bad-length", [PARITY_BAD_CHECKSUM] = "bad-checksum",
};

const char *const parity_verdict_name[] = {
	[PARITY_EQUAL] = "equal",
	[PARITY_DIFFERENT] = "different",
	[PARITY_INCONCLUSIVE] = "inconclusive",
};

static_assert(ARRAY_SIZE(parity_side_name) == PARITY_SIDE_MAX, "every side has a name");
static_assert(ARRAY_SIZE(parity_unseen_name) == PARITY_UNSEEN_MAX, "every reason has a name");
static_assert(ARRAY_SIZE(parity_verdict_name) == PARITY_VERDICT_MAX, "every verdict has a name");

/* Where things are in the packet that came, within what both it and its other form have. */
struct layout {
	size_t common; /* bytes that both have */
	size_t ip; /* length of the IPv4 header; 0: there is none */
	size_t udp; /* end of the UDP header; not behind ip: there is none */
};

static uint16_t load16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static struct layout find_headers(const struct parity_bytes *came, size_t other_len)
{
	struct layout l = { .common = came->len < other_len ? came->len : other_len };
	size_t ihl;

	if (l.common < sizeof(struct df_ipv4) || came->data[0] >> 4 != 4)
		return l;
	ihl = (size_t)(came->data[0] & 0x0f) * 4;
	if (ihl < sizeof(struct df_ipv4))
		return l;
	l.udp = l.ip = ihl < l.common ? ihl : l.common;
	if (came->data[9] == DF_IPPROTO_UDP && !(load16(came->data + 6) & 0x1fff) &&
	    ihl + sizeof(struct df_udp) <= l.common)
		l.udp += sizeof(struct df_udp);
	return l;
}

/* One's-complement sum; 0xffff and 0 are both zero. RFC 1071. */
static uint32_t sum(const uint8_t *data, size_t len)
{
	uint32_t s = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		s += load16(data + i);
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s == 0xffff ? 0 : s;
}

/* A rewrite keeps the sum of the header: what was right stays right, what was wrong stays so. */
static uint32_t classes_ip_csum(const uint8_t *came, const uint8_t *now, size_t ip)
{
	uint16_t check = load16(now + 10);

	if (sum(came, ip) == sum(now, ip))
		return 0;
	if (check == load16(came + 10))
		return PARITY_BIT(PARITY_IP_CSUM_NOT_UPDATED);
	return PARITY_BIT(check ? PARITY_IP_CSUM_WRONG : PARITY_IP_CSUM_ZEROED);
}

static bool differ(const uint8_t *came, const uint8_t *now, size_t from, size_t to)
{
	return to > from && memcmp(came + from, now + from, to - from) != 0;
}

static uint32_t classes_ip(const struct parity_case *c, const uint8_t *came, const uint8_t *now,
			   size_t ip)
{
	uint16_t flags = load16(came + 6), flags_now = load16(now + 6);
	uint16_t id = load16(came + 4), id_now = load16(now + 4);
	uint32_t classes = classes_ip_csum(came, now, ip);

	if (flags_now & 0x4000) {
		if (c->matches)
			classes |= PARITY_BIT(PARITY_DF_NOT_CLEARED);
		if (!(flags & 0x4000))
			classes |= PARITY_BIT(PARITY_OTHER_FIELD);
	} else if (flags & 0x4000 && !c->matches) {
		classes |= PARITY_BIT(PARITY_DF_CLEARED_WRONGLY);
	}
	if (c->assigns && id_now == id)
		classes |= PARITY_BIT(PARITY_IP_ID_NOT_ASSIGNED);
	if (!c->assigns && id_now != id)
		classes |= PARITY_BIT(PARITY_IP_ID_CHANGED);
	if ((flags ^ flags_now) & ~0x4000 || differ(came, now, 0, 4) || differ(came, now, 8, 10) ||
	    differ(came, now, 12, ip))
		classes |= PARITY_BIT(PARITY_OTHER_FIELD);
	return classes;
}

static uint32_t classes_udp(const uint8_t *came, const uint8_t *now, size_t at)
{
	uint32_t classes = 0;

	if (differ(came, now, at, at + 6))
		classes |= PARITY_BIT(PARITY_OTHER_FIELD);
	if (differ(came, now, at + 6, at + 8))
		classes |= PARITY_BIT(load16(now + at + 6) ? PARITY_UDP_CSUM_CHANGED
							   : PARITY_UDP_CSUM_ZEROED);
	return classes;
}

/* What deviates in one side's packet from what the policy makes of the one that came (Y3). */
static uint32_t classes_of(const struct parity_case *c, const struct parity_bytes *now)
{
	const struct layout l = find_headers(&c->came, now->len);
	const uint8_t *came = c->came.data;
	uint32_t classes = 0;
	/* Without an IPv4 header the first bytes are some other header. */
	size_t payload = l.ip ? l.udp : l.common;

	if (now->len != c->came.len)
		classes |= PARITY_BIT(PARITY_LENGTH);
	if (now->len < sizeof(struct df_ipv4) && now->len < c->came.len)
		return classes; /* no header left to compare */
	if (l.ip)
		classes |= classes_ip(c, came, now->data, l.ip);
	else if (differ(came, now->data, 0, l.common))
		classes |= PARITY_BIT(PARITY_OTHER_FIELD);
	if (l.udp > l.ip)
		classes |= classes_udp(came, now->data, l.ip);
	if (differ(came, now->data, payload, l.common))
		classes |= PARITY_BIT(PARITY_PAYLOAD);
	return classes;
}

static bool same(const struct parity_bytes *a, const struct parity_bytes *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* Each side alone is in order, and still they differ: two IDs, or the two forms of a zero checksum. */
static void blame_both(const struct parity_case *c, struct parity_set *found)
{
	const struct parity_bytes *a = &c->side[PARITY_XDP], *b = &c->side[PARITY_BEHIND];
	bool id = c->assigns && a->len >= 6 && b->len >= 6 &&
		  memcmp(a->data + 4, b->data + 4, 2) != 0;

	for (int side = 0; side < PARITY_SIDE_MAX; side++)
		found->by[side] |= PARITY_BIT(id ? PARITY_IP_ID_CHANGED : PARITY_OTHER_FIELD);
}

void parity_ask(const struct df_policy *policy, struct parity_case *c)
{
	struct df_pkt pkt = { .data = (void *)c->came.data,
			      .data_end = (void *)(c->came.data + c->came.len) };

	c->matches = df_match(policy, &pkt, pkt.data, DF_BE16(ETH_P_IP)) == DF_GO_ON;
	c->assigns = c->matches && policy->ip_id == DF_IP_ID_ASSIGN && !pkt.ip->id_be &&
		     !(pkt.ip->frag_off_be & DF_IP_MF);
}

struct parity_set parity_compare(const struct parity_case *c)
{
	const bool xdp = c->side[PARITY_XDP].data, behind = c->side[PARITY_BEHIND].data;
	struct parity_set found = c->said;

	if (xdp && behind && same(&c->side[PARITY_XDP], &c->side[PARITY_BEHIND]))
		return found;
	for (int side = 0; side < PARITY_SIDE_MAX; side++)
		if (c->side[side].data)
			found.by[side] |= classes_of(c, &c->side[side]);
	if (xdp && !behind)
		found.by[PARITY_XDP] |= PARITY_BIT(PARITY_ONLY_XDP);
	if (behind && !xdp)
		found.by[PARITY_BEHIND] |= PARITY_BIT(PARITY_ONLY_BEHIND);
	if (xdp && behind && !found.by[PARITY_XDP] && !found.by[PARITY_BEHIND])
		blame_both(c, &found);
	return found;
}

void parity_count(struct parity_report *report, const struct parity_case *c,
		  const struct parity_set *found, const struct parity_set *accept)
{
	const bool xdp = c->side[PARITY_XDP].data, behind = c->side[PARITY_BEHIND].data;
	uint32_t any = 0, not_accepted = 0;

	for (int side = 0; side < PARITY_SIDE_MAX; side++) {
		any |= found->by[side];
		not_accepted |= found->by[side] & ~accept->by[side];
		for (int cause = 0; cause < PARITY_CLASS_MAX; cause++)
			report->class[cause][side] += found->by[side] >> cause & 1;
	}
	report->compared++;
	report->equal += !any;
	report->accepted += any && !not_accepted;
	report->different += not_accepted != 0;
	report->matching += c->matches;
	report->matching_different += c->matches && not_accepted;
	report->one_sided[PARITY_XDP] += xdp && !behind;
	report->one_sided[PARITY_BEHIND] += behind && !xdp;
}

enum parity_verdict parity_judge(const struct parity_report *report)
{
	if (report->different)
		return PARITY_DIFFERENT;
	return report->matching ? PARITY_EQUAL : PARITY_INCONCLUSIVE;
}

/* P(at most k of n) for 0 < p < 1 and k <= np: from k down the terms only fall. */
static double binomial_cdf(uint64_t k, uint64_t n, double p)
{
	double kd = (double)k, nd = (double)n, odds = (1 - p) / p, total = 0;
	double term = exp(lgamma(nd + 1) - lgamma(kd + 1) - lgamma(nd - kd + 1) + kd * log(p) +
			  (nd - kd) * log1p(-p));

	for (uint64_t i = k; term > total * 1e-16; i--) {
		total += term;
		term *= (double)i / (nd - (double)i + 1) * odds;
	}
	return total;
}

double parity_at_most(uint64_t k, uint64_t n)
{
	double low, high = 1;

	if (k >= n || (k == 0 && n <= 3))
		return 1;
	if (k == 0)
		return 3 / (double)n;
	low = (double)k / (double)n;
	for (int i = 0; i < 60; i++) {
		double mid = (low + high) / 2;

		if (binomial_cdf(k, n, mid) > 1 - CONFIDENCE)
			low = mid;
		else
			high = mid;
	}
	return high;
}

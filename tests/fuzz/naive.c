// SPDX-License-Identifier: GPL-2.0-only
#include "naive.h"

#include <stdbool.h>
#include <stdlib.h>

#define GO_ON DF_REASON_MAX /* no reason found to stop yet */

/* The number in the next size bytes, the first one most significant (RFC 791, appendix B). */
static uint64_t number(const struct naive *n, size_t pos, unsigned int size)
{
	uint64_t value = 0;

	if (pos + size > n->len)
		abort();
	for (unsigned int i = 0; i < size; i++)
		value = value * 256 + n->bytes[pos + i];
	return value;
}

static void write_word(struct naive *n, size_t pos, unsigned int value)
{
	if (pos + 2 > n->len)
		abort();
	n->bytes[pos] = (uint8_t)(value / 256);
	n->bytes[pos + 1] = (uint8_t)(value % 256);
}

static bool there(const struct naive *n, size_t pos, size_t size)
{
	return pos + size <= n->len;
}

uint16_t naive_sum(const uint8_t *bytes, size_t len, uint32_t start)
{
	uint64_t sum = start;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? bytes[i] * 256u : bytes[i];
	while (sum > 0xffff)
		sum = sum / 65536 + sum % 65536;
	return (uint16_t)sum;
}

/* 802.1Q and 802.1ad: up to two tags of four bytes, the last two being the next ethertype. */
static enum df_reason skip_tags(const struct naive *n, unsigned int ethertype, size_t *pos)
{
	int tags = 0;

	while (tags < 2 && (ethertype == 0x8100 || ethertype == 0x88a8)) {
		if (!there(n, *pos, 4))
			return DF_TRUNCATED;
		ethertype = (unsigned int)number(n, *pos + 2, 2);
		*pos += 4;
		tags++;
	}
	return ethertype == 0x0800 ? GO_ON : DF_NOT_IPV4;
}

static size_t ihl_bytes(const struct naive *n, size_t ip)
{
	return number(n, ip, 1) % 16 * 4;
}

static uint64_t tot_len(const struct naive *n, size_t ip)
{
	return number(n, ip + 2, 2);
}

static bool flag_df(const struct naive *n, size_t ip)
{
	return number(n, ip + 6, 1) & 0x40;
}

static bool flag_mf(const struct naive *n, size_t ip)
{
	return number(n, ip + 6, 1) & 0x20;
}

static enum df_reason check_ipv4_udp(const struct naive *n, size_t ip)
{
	if (!there(n, ip, 20))
		return DF_TRUNCATED;
	if (number(n, ip, 1) / 16 != 4 || ihl_bytes(n, ip) < 20)
		return DF_MALFORMED;
	if (number(n, ip + 9, 1) != 17)
		return DF_NOT_UDP;
	if (number(n, ip + 6, 2) % 8192 != 0)
		return DF_FRAGMENT;
	if (tot_len(n, ip) < ihl_bytes(n, ip) + 8)
		return DF_MALFORMED;
	if (!there(n, ip, ihl_bytes(n, ip) + 8))
		return DF_TRUNCATED;
	return GO_ON;
}

/* From an ethertype to a UDP header: n->ip is the IPv4 header of it. */
static enum df_reason find_udp(struct naive *n, unsigned int ethertype, size_t pos)
{
	enum df_reason reason = skip_tags(n, ethertype, &pos);

	if (reason != GO_ON)
		return reason;
	n->ip = pos;
	return check_ipv4_udp(n, pos);
}

/* RFC 7348, section 5. *inner is the first byte of the inner Ethernet frame. */
static enum df_reason check_vxlan(struct naive *n, size_t *inner)
{
	size_t udp = n->ip + ihl_bytes(n, n->ip), vxlan = udp + 8;

	if (number(n, udp + 2, 2) != 4789)
		return DF_NOT_VXLAN;
	if (!there(n, vxlan, 8))
		return DF_TRUNCATED;
	if (!(number(n, vxlan, 1) & 0x08))
		return DF_NOT_VXLAN;
	n->outer_ip = n->ip;
	n->outer_udp = udp;
	*inner = vxlan + 8;
	if (n->policy->n_vni == 0)
		return GO_ON;
	for (int i = 0; i < n->policy->n_vni; i++)
		if (n->policy->vni[i] == number(n, vxlan + 4, 3))
			return GO_ON;
	return DF_OTHER_VNI;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccd;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53;
	h ^= h >> 33;
	return h;
}

uint64_t naive_flow_hash(const struct naive *n)
{
	uint64_t addresses = number(n, n->ip + 12, 8); /* source, then destination */
	uint64_t ports = number(n, n->ip + ihl_bytes(n, n->ip), 4);

	return mix(addresses ^ mix(ports + 0x9e3779b97f4a7c15));
}

/* The end of the outer datagram: by its own length or by that of its packet, whichever is first. */
static size_t outer_end(const struct naive *n)
{
	size_t by_udp = n->outer_udp + number(n, n->outer_udp + 4, 2);
	size_t by_ip = n->outer_ip + tot_len(n, n->outer_ip);

	return by_udp < by_ip ? by_udp : by_ip;
}

static unsigned int new_id(const struct naive *n)
{
	size_t udp = n->ip + ihl_bytes(n, n->ip);
	uint64_t len_and_check = number(n, udp + 4, 4), head = 0;
	unsigned int id;

	if (tot_len(n, n->ip) >= ihl_bytes(n, n->ip) + 16 && there(n, udp + 8, 8) &&
	    (!n->outer_udp || udp + 16 <= outer_end(n)))
		head = number(n, udp + 8, 8);
	id = (unsigned int)(mix(mix(naive_flow_hash(n) ^ len_and_check) ^ head) >> 48);
	return id == 0 ? 1 : id;
}

/* RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). */
static unsigned int update_check(unsigned int check, unsigned int before, unsigned int after)
{
	unsigned int sum = (0xffff - check) + (0xffff - before) + after;

	while (sum > 0xffff)
		sum = sum / 65536 + sum % 65536;
	return 0xffff - sum;
}

/*
 * Writes one word of the header. A header that was right gets the checksum of RFC 791 computed
 * anew; one that was wrong stays wrong by the same difference.
 */
static void change_word(struct naive *n, size_t pos, unsigned int after)
{
	unsigned int before = (unsigned int)number(n, pos, 2);
	unsigned int check = (unsigned int)number(n, n->ip + 10, 2);
	bool right = naive_sum(n->bytes + n->ip, ihl_bytes(n, n->ip), 0) == 0xffff;

	write_word(n, pos, after);
	write_word(n, n->ip + 10, 0);
	if (right)
		check = 0xffffu - naive_sum(n->bytes + n->ip, ihl_bytes(n, n->ip), 0);
	else
		check = update_check(check, before, after);
	write_word(n, n->ip + 10, check);
}

static enum df_reason rewrite(struct naive *n)
{
	bool id0 = number(n, n->ip + 4, 2) == 0 && !flag_mf(n, n->ip);

	change_word(n, n->ip + 6, (unsigned int)number(n, n->ip + 6, 2) - 0x4000);
	if (!id0)
		return DF_CLEARED;
	if (n->policy->ip_id != DF_IP_ID_ASSIGN)
		return DF_CLEARED_ID0;
	change_word(n, n->ip + 4, new_id(n));
	return DF_CLEARED_ASSIGNED;
}

static bool every_nth(struct naive *n)
{
	if (n->ctl->share_n == 0)
		return false;
	n->nth++;
	if (n->nth < n->ctl->share_n)
		return false;
	n->nth = 0;
	return true;
}

static enum df_reason select_by_share(struct naive *n)
{
	bool selected;

	if (n->ctl->share_kind == DF_SHARE_NONE)
		return DF_NOT_SELECTED;
	if (n->ctl->deadline != 0 && n->now >= n->ctl->deadline)
		return DF_LEASE_EXPIRED;
	if (n->ctl->share_kind == DF_SHARE_ALL)
		selected = true;
	else if (n->ctl->share_kind == DF_SHARE_NTH)
		selected = every_nth(n);
	else if (n->ctl->share_kind == DF_SHARE_FLOW)
		selected = naive_flow_hash(n) % 4294967296 < n->ctl->share_n;
	else
		selected = false;
	return selected ? GO_ON : DF_NOT_SELECTED;
}

static bool port_listed(const struct naive *n)
{
	uint64_t dport = number(n, n->ip + ihl_bytes(n, n->ip) + 2, 2);

	for (int i = 0; i < n->policy->n_dport; i++) {
		const uint8_t *be = (const uint8_t *)&n->policy->dport_be[i];

		if (dport == be[0] * 256u + be[1])
			return true;
	}
	return false;
}

static enum df_reason decide(struct naive *n)
{
	enum df_reason reason;

	if (!port_listed(n))
		return DF_OTHER_PORT;
	if (!flag_df(n, n->ip))
		return DF_NO_DF;
	if (tot_len(n, n->ip) < n->policy->min_len)
		return DF_BELOW_MIN;
	reason = select_by_share(n);
	return reason == GO_ON ? rewrite(n) : reason;
}

/* An Ethernet frame from pos on: two addresses of six bytes, then the ethertype. */
static enum df_reason find_udp_in_frame(struct naive *n, size_t pos)
{
	if (!there(n, pos, 14))
		return DF_TRUNCATED;
	return find_udp(n, (unsigned int)number(n, pos + 12, 2), pos + 14);
}

static enum df_reason go_inside(struct naive *n, enum df_reason outer)
{
	size_t inner = 0;

	if (outer == DF_NOT_IPV4 || outer == DF_NOT_UDP)
		return DF_NOT_VXLAN;
	if (outer == GO_ON)
		outer = check_vxlan(n, &inner);
	if (outer == GO_ON)
		outer = find_udp_in_frame(n, inner);
	if (outer == GO_ON && n->ip + ihl_bytes(n, n->ip) + 8 > outer_end(n))
		return DF_TRUNCATED;
	return outer;
}

static enum df_reason finish(struct naive *n, enum df_reason reason)
{
	if (n->policy->encap == DF_ENCAP_VXLAN)
		reason = go_inside(n, reason);
	return reason == GO_ON ? decide(n) : reason;
}

enum df_reason naive_frame(struct naive *n)
{
	n->ip = n->outer_ip = n->outer_udp = 0;
	return finish(n, find_udp_in_frame(n, 0));
}

enum df_reason naive_l3(struct naive *n, unsigned int ethertype)
{
	n->ip = n->outer_ip = n->outer_udp = 0;
	return finish(n, find_udp(n, ethertype, 0));
}

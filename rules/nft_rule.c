// SPDX-License-Identifier: GPL-2.0-only
#include "rules/nft_rule.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>

#include "core/packet.h"
#include "rules/nft.h"

/* Appends a new expression of this type to the rule; NULL when out of memory. */
static struct nftnl_expr *add_expr(struct nftnl_rule *r, const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);

	if (e)
		nftnl_rule_add_expr(r, e);
	return e;
}

static int add_cmp(struct nftnl_rule *r, uint32_t op, const void *data, uint32_t len)
{
	struct nftnl_expr *e = add_expr(r, "cmp");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, len);
	return 0;
}

/* use: NFTNL_EXPR_PAYLOAD_DREG, read into the register, or _SREG, written from it. */
static int add_payload_of(struct nftnl_rule *r, uint16_t use, uint32_t reg, uint32_t base,
			  uint32_t offset, uint32_t len)
{
	struct nftnl_expr *e = add_expr(r, "payload");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, use, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
	return 0;
}

static int add_payload_to(struct nftnl_rule *r, uint32_t reg, uint32_t base, uint32_t offset,
			  uint32_t len)
{
	return add_payload_of(r, NFTNL_EXPR_PAYLOAD_DREG, reg, base, offset, len);
}

static int add_payload(struct nftnl_rule *r, uint32_t base, uint32_t offset, uint32_t len)
{
	return add_payload_to(r, NFT_REG_1, base, offset, len);
}

static int add_iifname(struct nftnl_rule *r, uint32_t op, const char *interface)
{
	char name[IFNAMSIZ] = { 0 };
	struct nftnl_expr *e = add_expr(r, "meta");

	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_IIFNAME);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, NFT_REG_1);
	snprintf(name, sizeof(name), "%s", interface);
	return add_cmp(r, op, name, sizeof(name));
}

/* (frag_off & mask) op value */
static int add_frag_off(struct nftnl_rule *r, __be16 mask, uint32_t op, __be16 value)
{
	const __be16 none = 0;
	struct nftnl_expr *e;

	if (add_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct df_ipv4, frag_off_be), 2) <
	    0)
		return -ENOMEM;
	e = add_expr(r, "bitwise");
	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, sizeof(mask));
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, &mask, sizeof(mask));
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, &none, sizeof(none));
	return add_cmp(r, op, &value, sizeof(value));
}

static int add_min_len(struct nftnl_rule *r, uint16_t min_len)
{
	const __be16 len_be = htons(min_len);

	if (!min_len)
		return 0;
	if (add_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct df_ipv4, tot_len_be), 2) < 0)
		return -ENOMEM;
	return add_cmp(r, NFT_CMP_GTE, &len_be, sizeof(len_be));
}

static int add_dport(struct nftnl_rule *r)
{
	struct nftnl_expr *e;

	if (add_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct df_udp, dport_be), 2) < 0)
		return -ENOMEM;
	e = add_expr(r, "lookup");
	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, SET_PORTS);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SET_ID, 1);
	return 0;
}

/*
 * The whole UDP header is there: a load behind the packet's end ends the rule. So what the rule counts
 * and what df_match() of core/packet.h matches are the same packets.
 */
static int add_whole_udp(struct nftnl_rule *r)
{
	const __be16 zero = 0;

	if (add_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct df_udp, check), 2) < 0)
		return -ENOMEM;
	return add_cmp(r, NFT_CMP_GTE, &zero, sizeof(zero));
}

static int add_udp(struct nftnl_rule *r)
{
	const uint8_t udp = IPPROTO_UDP;

	if (add_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct df_ipv4, protocol), 1) < 0)
		return -ENOMEM;
	return add_cmp(r, NFT_CMP_EQ, &udp, sizeof(udp));
}

static int add_counter(struct nftnl_rule *r)
{
	return add_expr(r, "counter") ? 0 : -ENOMEM;
}

/* The three words of df_sampled() into one register. */
static int add_sample_key(struct nftnl_rule *r, const struct policy *policy, bool brief)
{
	const uint32_t head = policy->df.ip_id == DF_IP_ID_ASSIGN
				      ? 0
				      : offsetof(struct df_ipv4, tot_len_be);
	int ret = add_payload_to(r, NFT_REG32_00, NFT_PAYLOAD_NETWORK_HEADER, head, 4);

	if (ret < 0 || !brief)
		return ret ? ret
			   : add_payload_to(r, NFT_REG32_01, NFT_PAYLOAD_TRANSPORT_HEADER,
					    sizeof(struct df_udp), 8);
	ret = add_payload_to(r, NFT_REG32_01, NFT_PAYLOAD_NETWORK_HEADER,
			     offsetof(struct df_ipv4, saddr_be), 4);
	return ret ? ret : add_payload_to(r, NFT_REG32_02, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 4);
}

/* jhash % n == 0; net/netfilter/nft_hash.c scales instead of dividing. */
static int add_one_in(struct nftnl_rule *r, uint32_t n)
{
	const uint32_t zero = 0;
	struct nftnl_expr *e = n > 1 ? add_expr(r, "hash") : NULL;

	if (n <= 1)
		return 0;
	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_SREG, NFT_REG32_00);
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_LEN, 12);
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_MODULUS, n);
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_SEED, 0);
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_TYPE, NFT_HASH_JENKINS);
	return add_cmp(r, NFT_CMP_EQ, &zero, sizeof(zero));
}

int nft_rule_sample(struct nftnl_rule *r, const struct policy *policy, bool brief)
{
	const __be16 len_be = htons(sizeof(struct df_udp) + 8);
	struct nftnl_expr *e;
	int ret = add_udp(r);

	if (ret == 0)
		ret = add_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct df_udp, len_be),
				  2);
	if (ret == 0)
		ret = add_cmp(r, brief ? NFT_CMP_LT : NFT_CMP_GTE, &len_be, sizeof(len_be));
	if (ret == 0 && brief) /* the key of the others ends behind the header */
		ret = add_whole_udp(r);
	if (ret == 0)
		ret = add_sample_key(r, policy, brief);
	if (ret == 0)
		ret = add_one_in(r, policy->parity.sample);
	e = ret == 0 ? add_expr(r, "log") : NULL;
	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u16(e, NFTNL_EXPR_LOG_GROUP, nft_sample_group(policy));
	return 0;
}

int nft_rule_handled(struct nftnl_rule *r, const struct policy *policy)
{
	int ret = add_udp(r);

	if (ret == 0)
		ret = add_frag_off(r, DF_IP_DF | DF_IP_OFFSET, NFT_CMP_EQ, DF_IP_DF);
	if (ret == 0)
		ret = add_min_len(r, policy->df.min_len);
	if (ret == 0)
		ret = add_dport(r);
	if (ret == 0)
		ret = add_whole_udp(r);
	if (ret == 0)
		ret = add_iifname(r, NFT_CMP_EQ, policy->interface);
	return ret ? ret : add_counter(r);
}

int nft_rule_behind(struct nftnl_rule *r, const struct policy *policy)
{
	int ret = add_udp(r);

	if (ret == 0)
		ret = add_dport(r);
	if (ret == 0)
		ret = add_whole_udp(r);
	if (ret == 0)
		ret = add_counter(r);
	if (ret == 0)
		ret = add_frag_off(r, DF_IP_DF, NFT_CMP_EQ, DF_IP_DF);
	if (ret == 0)
		ret = add_min_len(r, policy->df.min_len);
	return ret ? ret : add_counter(r);
}

int nft_rule_leave(struct nftnl_rule *r, const struct policy *policy, enum nft_leave when)
{
	struct nftnl_expr *e;
	int ret = when == NFT_LEAVE_INTERFACE ? add_iifname(r, NFT_CMP_NEQ, policy->interface)
					      : add_frag_off(r, DF_IP_OFFSET, NFT_CMP_NEQ, 0);

	e = ret == 0 ? add_expr(r, "immediate") : NULL;
	if (!e)
		return -ENOMEM;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)NFT_RETURN);
	return 0;
}

int nft_rule_rewrite(struct nftnl_rule *r)
{
	const uint32_t at = offsetof(struct df_ipv4, check);

	if (add_payload(r, NFT_PAYLOAD_NETWORK_HEADER, at, 2) < 0)
		return -ENOMEM;
	return add_payload_of(r, NFTNL_EXPR_PAYLOAD_SREG, NFT_REG_1, NFT_PAYLOAD_NETWORK_HEADER, at,
			      2);
}

/* The native expression, or the xt target that every kernel with iptables-nft has. */
int nft_rule_queue(struct nftnl_rule *r, const struct policy *policy, bool compat)
{
	const bool open = policy->nfqueue.fail == NFQ_FAIL_OPEN;
	const bool fanout = policy->nfqueue.threads > 1;
	struct xt_NFQ_info_v3 *info;
	struct nftnl_expr *e = add_expr(r, compat ? "target" : "queue");

	if (!e)
		return -ENOMEM;
	if (!compat) {
		nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_NUM, policy->nfqueue.queue);
		nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_TOTAL, policy->nfqueue.threads);
		nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_FLAGS,
				   (open ? NFT_QUEUE_FLAG_BYPASS : 0) |
					   (fanout ? NFT_QUEUE_FLAG_CPU_FANOUT : 0));
		return 0;
	}
	info = calloc(1, sizeof(*info)); /* libnftnl frees it with the expression */
	if (!info)
		return -ENOMEM;
	info->queuenum = policy->nfqueue.queue;
	info->queues_total = policy->nfqueue.threads;
	info->flags = (uint16_t)((open ? NFQ_FLAG_BYPASS : 0) | (fanout ? NFQ_FLAG_CPU_FANOUT : 0));
	nftnl_expr_set_str(e, NFTNL_EXPR_TG_NAME, "NFQUEUE");
	nftnl_expr_set_u32(e, NFTNL_EXPR_TG_REV, 3);
	nftnl_expr_set(e, NFTNL_EXPR_TG_INFO, info, sizeof(*info));
	return 0;
}

static void format_sample(FILE *f, const struct policy *policy, bool brief)
{
	fprintf(f, "\t\tip protocol udp udp length %s ",
		brief ? "< 16 udp checksum >= 0" : ">= 16");
	if (policy->parity.sample > 1)
		fprintf(f, "jhash @nh,%d,32 . %s mod %u seed 0x0 == 0 ",
			policy->df.ip_id == DF_IP_ID_ASSIGN ? 0 : 16,
			brief ? "@nh,96,32 . @th,0,32" : "@th,64,64", policy->parity.sample);
	fprintf(f, "log group %u\n", nft_sample_group(policy));
}

char *nft_format(const struct policy *policy)
{
	static const char *const flags[2][2] = { { "", " flags fanout" },
						 { " flags bypass", " flags bypass,fanout" } };
	const bool open = policy->nfqueue.fail == NFQ_FAIL_OPEN;
	const unsigned int first = policy->nfqueue.queue;
	const unsigned int last = first + policy->nfqueue.threads - 1;
	char table[NFT_TABLE_MAX], min[32] = "", to[16] = "";
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	nft_table_name(policy->interface, table);
	if (policy->df.min_len)
		snprintf(min, sizeof(min), "ip length >= %u ", policy->df.min_len);
	if (last > first)
		snprintf(to, sizeof(to), "-%u", last);
	fprintf(f,
		"table ip %s {\n\tset " SET_PORTS
		" { type inet_service; flags constant; elements = { ",
		table);
	for (unsigned int i = 0; i < policy->df.n_dport; i++)
		fprintf(f, "%s%u", i ? ", " : "", ntohs(policy->df.dport_be[i]));
	fprintf(f,
		" } }\n"
		"\tchain " CHAIN_LEAK " {\n\t\ttype filter hook prerouting priority %d;\n"
		"\t\tiifname != \"%s\" return\n\t\tip frag-off & 0x1fff != 0x0 return\n"
		"\t\tip protocol udp udp dport @" SET_PORTS " udp checksum >= 0 counter "
		"ip frag-off & 0x4000 == 0x4000 %scounter\n",
		PRIORITY_LEAK, policy->interface, min);
	if (policy->parity.sample) {
		format_sample(f, policy, false);
		format_sample(f, policy, true);
	}
	fprintf(f,
		"\t}\n\tchain " CHAIN_QUEUE " {\n\t\ttype filter hook prerouting priority %d;\n"
		"\t\tip protocol udp ip frag-off & 0x5fff == 0x4000 %sudp dport @" SET_PORTS
		" udp checksum >= 0 iifname \"%s\" counter queue%s to %u%s\n\t}\n}\n",
		PRIORITY_QUEUE, min, policy->interface, flags[open][last > first], first, to);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "nfq-fallback/nfq_handler.h"

#include "core/packet.h"

static enum df_reason handle(const struct df_policy *policy, struct df_pkt *pkt, __be16 proto_be)
{
	int reason = df_match(policy, pkt, pkt->data, proto_be);

	return reason == DF_GO_ON ? df_rewrite(policy, pkt) : (enum df_reason)reason;
}

/* One writer per counter; readers are in other processes. */
static void count(struct df_stats *stats, enum df_reason reason, int by)
{
	__atomic_store_n(&stats->reason[reason], stats->reason[reason] + (uint64_t)(int64_t)by,
			 __ATOMIC_RELAXED);
}

enum df_reason nfq_handle(const struct df_policy *policy, struct df_stats *stats,
			  const struct nfq_packet *pkt)
{
	struct df_pkt df = { .data = pkt->payload, .data_end = pkt->payload + pkt->len };
	enum df_reason reason = DF_ERROR;

	if (pkt->whole)
		reason = handle(policy, &df, pkt->hw_protocol_be);
	count(stats, reason, 1);
	return reason;
}

void nfq_not_changed(struct df_stats *stats, enum df_reason reason)
{
	count(stats, reason, -1);
	count(stats, DF_ERROR, 1);
}

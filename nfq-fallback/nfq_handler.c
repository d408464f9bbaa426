// SPDX-License-Identifier: GPL-2.0-only
#include "nfq-fallback/nfq_handler.h"

#include "core/packet.h"

static enum df_reason handle(const struct df_policy *policy, struct df_pkt *pkt, __be16 proto_be)
{
	int reason = df_match(policy, pkt, pkt->data, proto_be);

	return reason == DF_GO_ON ? df_rewrite(policy, pkt) : (enum df_reason)reason;
}

int nfq_handle(const struct df_policy *policy, struct df_stats *stats, const struct nfq_packet *pkt,
	       const struct nfq_verdict_sink *sink)
{
	struct df_pkt df = { .data = pkt->payload, .data_end = pkt->payload + pkt->len };
	enum df_reason reason = DF_ERROR;
	int ret = -1;

	if (pkt->whole)
		reason = handle(policy, &df, pkt->hw_protocol_be);
	if (reason <= DF_CLEARED_ASSIGNED) {
		ret = sink->accept(sink->ctx, pkt->id, pkt->payload, pkt->len);
		if (ret < 0)
			reason = DF_ERROR; /* H1: then on, as it came */
	}
	if (ret < 0)
		ret = sink->accept(sink->ctx, pkt->id, NULL, 0);
	/* One writer per counter; readers are in other processes. */
	__atomic_store_n(&stats->reason[reason], stats->reason[reason] + 1, __ATOMIC_RELAXED);
	return ret;
}

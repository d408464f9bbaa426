/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One queued packet in, what became of it out. Pure: no socket, no clock, so that the handler is
 * tested, replayed and fuzzed without a kernel. The caller gives the verdict, always an accept.
 *
 * Invariants (cited as "handler H1" and so on):
 *  H1  Exactly one verdict per packet, on every path; it is always an accept.
 *  H2  A verdict carries the payload only when the payload was changed (the kernel replaces the
 *      whole packet).
 *  H3  Exactly one counter of stats rises by one per packet.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/abi.h"

struct nfq_packet {
	__be16 hw_protocol_be; /* NFQA_PACKET_HDR hw_protocol: the ethertype in front of payload */
	void *payload; /* from the network header on; edited in place; even address */
	size_t len;
	bool whole; /* false: the kernel copied only a part, so the payload must not go back */
};

/* Matches, rewrites in place, counts in stats. Call it before the verdict is given: from then on the
 * kernel no longer counts the packet as waiting. */
enum df_reason nfq_handle(const struct df_policy *policy, struct df_stats *stats,
			  const struct nfq_packet *pkt);

/* Was the payload changed, and must it go with the verdict (H2)? */
static inline bool nfq_changed(enum df_reason reason)
{
	return reason <= DF_CLEARED_ASSIGNED;
}

/* The payload of a packet that was counted as `reason` cannot go back: it counts as an error (H3), and
 * goes on as it came (H1). */
void nfq_not_changed(struct df_stats *stats, enum df_reason reason);

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One queued packet in, one verdict out. Pure: no socket, no clock; the verdict goes to a sink, so
 * that the handler is tested, replayed and fuzzed without a kernel.
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
	uint32_t id; /* NFQA_PACKET_HDR packet_id, host order */
	__be16 hw_protocol_be; /* NFQA_PACKET_HDR hw_protocol: the ethertype in front of payload */
	void *payload; /* from the network header on; edited in place; even address */
	size_t len;
	bool whole; /* false: the kernel copied only a part, so the payload must not go back */
};

/* Accepts packet `id`: as it is when payload is NULL, else with these bytes. 0 or -errno. */
struct nfq_verdict_sink {
	int (*accept)(void *ctx, uint32_t id, const void *payload, size_t len);
	void *ctx;
};

/* Matches, rewrites, counts in stats, gives the verdict. Returns what the sink returned. */
int nfq_handle(const struct df_policy *policy, struct df_stats *stats, const struct nfq_packet *pkt,
	       const struct nfq_verdict_sink *sink);

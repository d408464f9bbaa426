/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A second implementation of what core/packet.h does, written from RFC 791, 768, 1071, 1624, 7348,
 * IEEE 802.1Q and the meaning of the reasons in core/abi.h, not from packet.h. Slow and obvious: it
 * shares no code with packet.h, so that a mistake has to be made twice to go unseen.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/abi.h"

struct naive {
	const struct df_policy *policy;
	const struct df_ctl *ctl;
	uint64_t now; /* of the clock of ctl->deadline */
	uint32_t nth; /* in and out */
	uint8_t *bytes; /* in and out */
	size_t len;
	/* Out: the last IPv4 header looked at, and the two around it (outer_udp 0: none). */
	size_t ip, outer_ip, outer_udp;
};

/* What becomes of an Ethernet frame. */
enum df_reason naive_frame(struct naive *n);

/* What becomes of bytes that stand behind an ethertype, which is in host order. */
enum df_reason naive_l3(struct naive *n, unsigned int ethertype);

/* RFC 1071: the one's-complement sum of the words of len bytes on top of start. */
uint16_t naive_sum(const uint8_t *bytes, size_t len, uint32_t start);

/* The hash that a share by flow goes by, of the packet whose header n->ip was found. */
uint64_t naive_flow_hash(const struct naive *n);

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The packets that a rule shows to an NFLOG group (nfnetlink_log): here those behind both paths, chosen
 * by the sample rules of rules/nft.h.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define NFLOG_DELAY_MS 100 /* the kernel collects packets for at most so long */

struct nflog;

struct nflog_packet {
	const uint8_t *data; /* from the IPv4 header on */
	size_t len;
	uint32_t port; /* ifindex of the bridge port it came in by; 0: by none */
};

/* Returns 0, -N2X_FOREIGN when somebody else reads the group, or -N2X_SYSTEM. */
int nflog_open(uint16_t group, struct nflog **out, struct err *err);

/* Hands over every packet that is there; never waits. Returns 0 or -errno. */
int nflog_read(struct nflog *log, void (*packet)(void *ctx, const struct nflog_packet *packet),
	       void *ctx);

/* How many the kernel had no room for. */
uint64_t nflog_lost(const struct nflog *log);

/* NULL is allowed. */
void nflog_close(struct nflog *log);

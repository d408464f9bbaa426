/* SPDX-License-Identifier: GPL-2.0-only */
/* The rules of our table (rules/nft.h), as expressions. Used by rules/nft.c alone. */
#pragma once

#include <stdbool.h>

#include <libnftnl/rule.h>

#include "core/policy.h"

#define CHAIN_QUEUE    "to_queue" /* "queue" is a keyword of nft */
#define CHAIN_LEAK     "leak"
#define SET_PORTS      "ports"
#define PRIORITY_QUEUE (-450)
#define PRIORITY_LEAK  (-449)

/*
 * What the rules match, and their counter: packets to be handled, or, with all, every packet with a UDP
 * header and a port of the policy. Returns 0 or -ENOMEM.
 */
int nft_rule_match(struct nftnl_rule *r, const struct policy *policy, bool all);

/*
 * One packet in policy->parity.sample goes to the NFLOG group of policy->nfqueue.queue. brief: those
 * with less than 8 bytes of payload; else the others.
 */
int nft_rule_sample(struct nftnl_rule *r, const struct policy *policy, bool brief);

/* The native queue expression, or the xt target that every kernel with iptables-nft has. */
int nft_rule_queue(struct nftnl_rule *r, const struct policy *policy, bool compat);

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

/* What is to be handled, and its counter. Returns 0 or -ENOMEM, as all of these. */
int nft_rule_handled(struct nftnl_rule *r, const struct policy *policy);

/* The rest of the chain is for UDP's first fragments that came in by the interface. */
enum nft_leave { NFT_LEAVE_INTERFACE, NFT_LEAVE_FRAGMENT };
int nft_rule_leave(struct nftnl_rule *r, const struct policy *policy, enum nft_leave when);

/* Two counters: every packet with a UDP header and a port of the policy; and of them, what should have
 * been handled. */
int nft_rule_behind(struct nftnl_rule *r, const struct policy *policy);

/*
 * One packet in policy->parity.sample goes to the NFLOG group of policy->nfqueue.queue. brief: those
 * with less than 8 bytes of payload; else the others.
 */
int nft_rule_sample(struct nftnl_rule *r, const struct policy *policy, bool brief);

/* Writes to the IPv4 header, as a verdict does: the checksum that is there. */
int nft_rule_rewrite(struct nftnl_rule *r);

/* The native queue expression, or the xt target that every kernel with iptables-nft has. */
int nft_rule_queue(struct nftnl_rule *r, const struct policy *policy, bool compat);

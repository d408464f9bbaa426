/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is here, as nfq2xdp plan reads it: rules, daemon, devices, traffic, kernel. Reading changes nothing:
 * no rule, no module, no file, no setting; what cannot be read is marked as such, and says why.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/netdev.h"
#include "core/policy.h"
#include "migrate/fallback.h"
#include "migrate/sample.h"
#include "migrate/topology.h"
#include "nfq-fallback/nfq_queue.h"
#include "rules/legacy.h"
#include "rules/nft.h"
#include "xdp/xdp_path.h"
#include "xdp/xdp_probe.h"

/* One reading: whether it was made (asked), and what came of it: 0, or -enum n2x_exit with the line. */
struct fact_try {
	bool asked;
	int ret;
	struct err why;
};

/* Why there is nothing to go by; NULL: there is. */
static inline const char *fact_missing(const struct fact_try *t)
{
	if (!t->asked)
		return "not read";
	return t->ret ? t->why.text : NULL;
}

struct facts_device {
	struct topology_node node;
	struct netdev_hw hw;
	bool hw_known;
	uint64_t features; /* NETDEV_XDP_* */
	bool features_known;
	const struct topology_dev *vlan; /* that is carried by it and not in the tree; NULL: none */
	struct sample_count sample; /* with facts->sampled */
};

struct facts_window { /* the same twice: at the begin of the look at the traffic, and at its end */
	uint64_t at_ns;
	struct fallback_busy busy; /* of the listener; n 0: cannot be read */
	uint32_t sent; /* packets that the queues have handed out */
};

#define FACTS_FLUSHERS 8

struct facts {
	bool given; /* the policy is the operator's; else it is made from what is found */
	bool local_only;
	char interface[IFNAMSIZ]; /* that it is about; "": not known */

	/* rules */
	struct fact_try rules;
	struct legacy_rule rule[LEGACY_RULES_MAX];
	unsigned int n_rules;
	bool nft_rules; /* iptables-nft has rules of any kind */
	bool legacy_rules; /* iptables-legacy has */
	char mark[160]; /* a rule that marks packets to one of the ports; "": none seen */
	struct {
		const char *name; /* of who replaces rulesets */
		const char *how;
	} flusher[FACTS_FLUSHERS];
	unsigned int n_flushers;
	long conntrack; /* entries; -1: no connection tracking in this kernel, or not loaded */

	/* the listener of the queues of the rule */
	struct fact_try listening;
	struct legacy_listener listener; /* of the first */
	uint16_t queue, queues; /* first number, how many */
	int unbound; /* number of the first that nobody listens to; -1: none */
	struct nfq_queue_info waiting; /* summed over them; portid: the first one's */
	int receive_buffer; /* bytes, as the kernel accounts them; 0: cannot be read */
	long rmem_max; /* 0: cannot be read here */
	struct fact_try fallback_read;
	struct nfq_path_info fallback;

	/* devices */
	struct fact_try devices;
	struct facts_device device[TOPOLOGY_NODES]; /* the tree from `interface` down; [0] is it */
	unsigned int n_devices, left_out;
	char missing[IFNAMSIZ]; /* an attach point of the policy that is not there */
	bool bridge_hidden;

	/* traffic, over the window */
	bool sampled;
	struct facts_window begin, end;
	long cpus; /* online */

	/* kernel and rights */
	bool bpffs_read_only;
	struct fact_try rights_xdp, rights_nfqueue, bpffs, program, nft, table, journal, instance;
	struct fact_try rewrite; /* do packets that a verdict rewrites get through */
	struct xdp_probed probed;
	struct nft_installed form;
	struct nft_counters counters;
	struct xdp_state xdp;
	char lockdown[31]; /* "": cannot be read */
	bool other_build; /* another build of nfq2xdp has pinned something of the instance */
	uint64_t journal_free; /* bytes */

	struct topology topology; /* what the nodes point into */
};

void facts_release(struct facts *facts);

/* Rights, and what the tables hold: with a policy the rules that could see its packets; else all that send
 * to a queue, of this interface ("" any). */
void facts_read_rules(struct facts *facts, const struct policy *policy);

/* The devices below facts->interface, and below the policy's attach points where that is not among them. */
void facts_read_devices(struct facts *facts, const struct policy *policy);

/* Who listens to the queues. */
void facts_read_listener(struct facts *facts, uint16_t queue, uint16_t queues);

/* Looks at the traffic for so many milliseconds: at what arrives at the devices, and how the listener
 * bears it. */
void facts_look_at_traffic(struct facts *facts, const struct policy *policy, unsigned int ms);

/* What needs the whole policy: kernel, tables, the instance. */
void facts_read_system(struct facts *facts, const struct policy *policy);

/* NULL when it is none of the devices read. */
const struct facts_device *facts_device(const struct facts *facts, const char *name);

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rules that were there: what an operator had sent to an NFQUEUE before we came, in
 * iptables-nft, iptables-legacy or a table of nft. They are found, and guarded: replaced in place
 * by the same rule plus "DF set, offset 0", so that it queues only what the XDP program in front
 * has not handled.
 *
 *	-A PREROUTING -i br0 -p udp -m udp --dport 31765 \
 *		-m u32 --u32 "0x4&0x5fff=0x4000" -j NFQUEUE --queue-num 0
 *	iifname "br0" udp dport 31765 counter queue to 0
 *		->   ip frag-off & 0x5fff == 0x4000 iifname ...
 *
 * The match directly in front of NFQUEUE (nft: as first expression) is the mark of a guarded rule.
 * Everything is read and changed by the tools of the rule's own kind.
 *
 * Invariants (cited as "legacy L1" and so on):
 *  L1  Reading creates nothing: no table, no chain, no lock file; and loads no module.
 *  L2  A change is one transaction of one table. No hook comes or goes: a hook that goes drops what
 *      waits in every queue of the namespace, one that comes sees what waits a second time.
 *  L3  The rule that is taken away is named by its whole text (nft: by its handle, found by its
 *      text just before), never by a number: whatever else happens meanwhile, no other rule is
 *      touched.
 *  L4  Guard and unguard together leave the listing as it was, counters included but for what was
 *      counted between reading and writing.
 *  L5  A rule that is not understood word for word is never changed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/err.h"
#include "core/policy.h"

#define LEGACY_RULES_MAX 16

enum legacy_kind { LEGACY_IPTABLES_NFT, LEGACY_IPTABLES_LEGACY, LEGACY_NFT, LEGACY_KIND_MAX };

struct legacy_rule {
	enum legacy_kind kind;
	char family[8], table[64], chain[64]; /* as the tool names them */
	int priority; /* of the hook: mangle -150, raw -300, nft: the chain's */
	unsigned int position; /* 1.. in its chain */
	unsigned int copy; /* 0.. among the same texts in its chain */
	uint16_t queue, queues; /* first number, how many */
	bool bypass;
	bool guarded;
	bool understood;
	char interface[IFNAMSIZ]; /* that it looks at; "": any, or several by a wildcard */
	uint16_t port[DF_PORTS_MAX]; /* UDP destination ports that it looks at; host order */
	unsigned int n_ports; /* 0: any, or more than fit */
	char why[128]; /* not understood: the first thing that is not */
	char text[1024]; /* as listed, without counters and without our match; nft: JSON */
};

/* What the tools list; NULL: there can be no rule of this kind, or no tool that could know. */
struct legacy_listing {
	char *text[LEGACY_KIND_MAX];
};

/* Returns 0 with *out to be released by legacy_listing_release(), or -N2X_SYSTEM. */
int legacy_list(struct legacy_listing *out, struct err *err);
void legacy_listing_release(struct legacy_listing *listing);

/* legacy_find() in a listing. */
int legacy_find_listed(const struct legacy_listing *listing, const struct policy *policy,
		       struct legacy_rule rules[LEGACY_RULES_MAX], struct err *err);

/*
 * All rules of this network namespace that send to an NFQUEUE and could see the policy's packets:
 * its interface or any, UDP or any protocol, one of its ports or any. Not ours (tables nfq2xdp_*).
 * A policy without an interface, or without a port, stands for any. Returns the number, or -N2X_SYSTEM.
 */
int legacy_find(const struct policy *policy, struct legacy_rule rules[LEGACY_RULES_MAX],
		struct err *err);

/*
 * Each looks the rule up again by its text, wherever it is now, changes it and every copy of it in
 * its chain (one alone would leave the others to take over), and reads back. All are idempotent.
 * Returns 0, -N2X_FOREIGN (not understood), -N2X_INACTIVE (the rule is gone: guard and unguard), or
 * -N2X_SYSTEM; on failure the rule is as it was, or the line says that it is not.
 */
int legacy_guard(const struct legacy_rule *rule, struct err *err);
int legacy_unguard(const struct legacy_rule *rule, struct err *err);

/* Takes the rule away, guarded or not. Its chain, table and hook stay (L2). */
int legacy_remove(const struct legacy_rule *rule, struct err *err);

/* Puts a removed rule back at its position: several in the order in which they were found. */
int legacy_insert(const struct legacy_rule *rule, bool guarded, struct err *err);

struct legacy_listener {
	bool bound;
	uint32_t portid;
	pid_t pid; /* 0: not to be found, such as in another pid namespace */
	int fd; /* the socket's number in that process */
	char comm[16 + 1];
};

/* The process that has the netlink socket to which the queue is bound. Returns 0 or -N2X_SYSTEM. */
int legacy_listener(uint16_t queue, struct legacy_listener *out, struct err *err);

/*
 * The pure half, from text to text. `listing` is what `iptables-*-save -c` or
 * `nft -j -a list ruleset` printed.
 */
enum legacy_edit {
	LEGACY_GUARD,
	LEGACY_UNGUARD,
	LEGACY_REMOVE,
	LEGACY_INSERT,
	LEGACY_INSERT_GUARDED,
};

/* Appends what is found to rules[0..n). Returns the new number, or -N2X_SYSTEM. */
int legacy_find_in(enum legacy_kind kind, const char *listing, const struct policy *policy,
		   struct legacy_rule rules[LEGACY_RULES_MAX], int n, struct err *err);

/*
 * *batch is the input for `iptables-*-restore --noflush --counters` or `nft -j -f -`, to be
 * released by free(); NULL when there is nothing to do. Returns 0, -N2X_INACTIVE or -N2X_SYSTEM.
 */
int legacy_batch(const struct legacy_rule *rule, enum legacy_edit edit, const char *listing,
		 char **batch, struct err *err);

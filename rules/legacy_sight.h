/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a reader sees of a rule, word by word, until it is decided whether the rule is one of those
 * that legacy_find() is to find. Used by rules/ alone.
 *
 * For each rule of a listing a reader fills a struct legacy_rule whose `understood` begins as true,
 * tells of each word what it means for the policy's packets, and hands both to legacy_take().
 */
#pragma once

#include <stdbool.h>

#include "core/err.h"
#include "core/policy.h"
#include "rules/legacy.h"

struct legacy_sight {
	const struct policy *policy;
	struct legacy_rule *rule;
	bool queue; /* it sends to an NFQUEUE */
	bool other; /* it cannot see the policy's packets */
	bool negated; /* iptables: "!" was in front */
	bool lost; /* an unknown word was there: what follows may be its argument */
	bool many; /* more ports than a rule can remember */
};

/* L5: the rule is never changed. The first reason that is given is kept. */
void legacy_not_understood(struct legacy_sight *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Where the rule is and what it says. What does not fit is cut off, and makes it not understood. */
void legacy_see_text(struct legacy_sight *s, const char *family, const char *table,
		     const char *chain, const char *text);

/* A match that leaves only others than the policy's packets, or not. */
void legacy_see_others(struct legacy_sight *s, bool others);

/* `any`, at the end of a name, is what stands for all names that begin so. */
void legacy_see_interface(struct legacy_sight *s, const char *name, char any);

/* The rule looks at the ports from low to high. Is one of the policy's among them? */
bool legacy_see_port(struct legacy_sight *s, unsigned int low, unsigned int high);

void legacy_see_queues(struct legacy_sight *s, unsigned int low, unsigned int high);

/*
 * The last word on a rule: appends it to rules[0..n) if it queues what the policy is about. Returns
 * the new number, or -N2X_SYSTEM.
 */
int legacy_take(const struct legacy_sight *s, struct legacy_rule *rules, int n, struct err *err);

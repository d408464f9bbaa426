/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rules of nft's tables: from what `nft -j -a list ruleset` prints to the input of
 * `nft -j -f -`. From text to text. Used by rules/ alone.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "core/err.h"
#include "core/policy.h"
#include "rules/legacy.h"
#include "rules/legacy_edit.h"

/*
 * See legacy_find_in(). xt_listed: what iptables-nft made is known already. Otherwise such a rule
 * is found here, and is not understood.
 */
int legacy_nft_find(const char *listing, bool xt_listed, const struct policy *policy,
		    struct legacy_rule *rules, int n, struct err *err);

/* Writes the change to f, and into *t, all 0, what it found. Returns 0 or -errno. */
int legacy_nft_batch(const struct legacy_rule *rule, enum legacy_edit edit, const char *listing,
		     FILE *f, struct legacy_tally *t);

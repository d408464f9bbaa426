/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rules of iptables, of either kind: from what `iptables-*-save -c` prints to the input of
 * `iptables-*-restore --noflush --counters`. From text to text. Used by rules/ alone.
 */
#pragma once

#include <stdio.h>

#include "core/err.h"
#include "core/policy.h"
#include "rules/legacy.h"
#include "rules/legacy_edit.h"

/* See legacy_find_in(). */
int legacy_xt_find(enum legacy_kind kind, const char *listing, const struct policy *policy,
		   struct legacy_rule *rules, int n, struct err *err);

/* Writes the change to f, and into *t, all 0, what it found. Returns 0 or -errno. */
int legacy_xt_batch(const struct legacy_rule *rule, enum legacy_edit edit, const char *listing,
		    FILE *f, struct legacy_tally *t);

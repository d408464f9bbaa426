/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a change is to do, and what it found of its rule in a listing: the writers of both kinds
 * decide by it, and reading back compares it. Used by rules/ alone.
 */
#pragma once

#include <stdbool.h>

#include "rules/legacy.h"

struct legacy_tally {
	unsigned int rules; /* in its chain */
	unsigned int copies[2]; /* of this one: as it was, guarded */
	unsigned int edits; /* to be made; 0: nothing to do */
};

static inline bool legacy_is_insert(enum legacy_edit edit)
{
	return edit == LEGACY_INSERT || edit == LEGACY_INSERT_GUARDED;
}

static inline bool legacy_wants_guard(enum legacy_edit edit)
{
	return edit == LEGACY_GUARD || edit == LEGACY_INSERT_GUARDED;
}

static inline unsigned int legacy_copies(const struct legacy_tally *t)
{
	return t->copies[false] + t->copies[true];
}

/* Counts a copy. Returns whether it has to be changed. */
static inline bool legacy_tally_copy(struct legacy_tally *t, enum legacy_edit edit, bool guarded)
{
	bool change = edit == LEGACY_REMOVE || guarded != legacy_wants_guard(edit);

	t->copies[guarded]++;
	t->edits += change;
	return change;
}

/* With all copies counted: is one to be inserted? */
static inline bool legacy_is_missing(const struct legacy_tally *t, const struct legacy_rule *rule,
				     enum legacy_edit edit)
{
	return legacy_is_insert(edit) && legacy_copies(t) <= rule->copy;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The checks of a plan: one small function each, from what was read to a verdict, its cause and the command
 * that mends it. Pure.
 *
 * Invariants (cited as "finding F1" and so on):
 *  F1  What could not be read is unknown, and says why: never ok.
 *  F2  Only a fail is in the way; it has the exit code of what is in the way. migrate auto refuses with it.
 */
#pragma once

#include "migrate/choose.h"
#include "migrate/facts.h"

enum finding_verdict {
	FINDING_OK,
	FINDING_UNKNOWN,
	FINDING_WARN,
	FINDING_FAIL,
	FINDING_VERDICT_MAX
};
extern const char *const finding_verdict_name[FINDING_VERDICT_MAX];

struct finding {
	const char *id;
	enum finding_verdict verdict;
	enum n2x_exit exit; /* of a fail */
	char cause[480];
	char command[480]; /* "": nothing to do, or nothing that a command could */
};

#define FINDINGS_MAX 48

/* All of them, always in the same order. Returns how many. */
unsigned int findings_make(const struct facts *facts, const struct choice *choice,
			   struct finding out[FINDINGS_MAX]);

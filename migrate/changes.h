/* SPDX-License-Identifier: GPL-2.0-only */
/* What would change, each with its undo (output_change() of core/output.h). Changes nothing. */
#pragma once

#include <jansson.h>

#include "core/err.h"
#include "core/policy.h"
#include "migrate/facts.h"

/* What becomes of the operator's rules. Returns 0 or -N2X_SYSTEM. */
int changes_rules(const struct policy *policy, const char *what, const char *undo, json_t *changes,
		  struct err *err);

/* migrate start; nothing where it is started. Fails as machine_start() would. */
int changes_start(const struct policy *policy, bool local_only, json_t *changes, struct err *err);

/* The whole way, from the first process to migrate done. Fails as changes_start(). */
int changes_all(const struct facts *facts, const struct policy *policy, json_t *changes,
		struct err *err);

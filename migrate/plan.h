/* SPDX-License-Identifier: GPL-2.0-only */
/* What is here, what would change, what is in the way. Changes nothing. */
#pragma once

#include <stdbool.h>

#include "migrate/choose.h"
#include "migrate/facts.h"
#include "migrate/finding.h"

#define PLAN_LOOK_MS 150 /* so long the traffic is looked at */

struct plan {
	struct facts facts;
	struct choice choice;
	struct finding finding[FINDINGS_MAX];
	unsigned int n_findings;
};

struct plan_request {
	const char *interface; /* NULL: that of the rule found */
	const struct policy *policy; /* the operator's; NULL: one is made */
	bool local_only;
	bool traffic; /* look at it, for PLAN_LOOK_MS */
};

/* Returns a plan for plan_free(), or NULL when there is no memory: whatever else fails is a finding. */
struct plan *plan_make(const struct plan_request *request);
void plan_free(struct plan *plan);
void plan_freep(struct plan **plan);

/* How many findings have that verdict. */
unsigned int plan_count(const struct plan *plan, enum finding_verdict verdict);

/* Is anything in the way of this policy? Returns 0, or the first fail with its exit code (finding F2). */
int plan_preflight(const struct policy *policy, bool local_only, struct err *err);

/* Writes a policy file, whole or not at all, and never over one that is there. Returns 0, -N2X_NO when there
 * is one, or -N2X_SYSTEM. */
int plan_write(const char *path, const char *text, struct err *err);

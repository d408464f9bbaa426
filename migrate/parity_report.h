/* SPDX-License-Identifier: GPL-2.0-only */
/* What a comparison found, as JSON: for the commands and for the journal. */
#pragma once

#include <jansson.h>

#include "migrate/parity_live.h"

/* result, compared, matching, equal, accepted, different, classes, one_sided, claim, claim_matching */
json_t *parity_report_json(const struct parity_report *report);

/* The same, and what only live traffic has. */
json_t *live_report_json(const struct live_report *report);

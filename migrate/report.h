/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What happened, made of the journal's lines: first one JSON document, then a page that shows it. Pure.
 *
 *	{"instance", "lines", "unreadable", "rollouts": [{
 *		"generation", "begun", "ended", "duration", "outcome", "reason",
 *		"environment": as of environment.h, or null,
 *		"claim": {"xdp", "nfqueue", "leaked", "gates": {"pass", "inconclusive", "fail"},
 *			  "parity": {"different", "of", "at_most", "confidence_percent"}, "text": [...]},
 *		"moves": [{"at", "from", "to", "share", "by"}],
 *		"phases": [{"at", "duration", "share", "xdp", "nfqueue", "leaked", "xdp_rate", "nfqueue_rate"}],
 *		"looks": [{"at", "state", "step", "share", "xdp_rate", "nfqueue_rate", "samples",
 *			   "gates": [[name, verdict, reading, limit], ...]}],
 *		"gates": [{"name", "pass", "inconclusive", "fail"}],
 *		"trials", "rollbacks", "parity", "events": [{"at", ...}]}]}
 *
 * at and duration are seconds, at from the rollout's begin; rates are packets a second; what was not
 * counted is null.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

struct report;

/* NULL without memory. */
struct report *report_new(const char *instance);
void report_freep(struct report **report);

/* The journal's next line. Any object will do: what is not understood is shown as it is, or left out. */
void report_add(struct report *report, json_t *line);

/* The document, to be released. No line may be added any more. */
json_t *report_finish(struct report *report, uint64_t unreadable);

/* "1,234,567" */
#define REPORT_NUMBER 32
const char *report_grouped(json_int_t n, char out[REPORT_NUMBER]);

/* The same as one HTML page that needs nothing else. Whether it could be written, `out` says. */
void report_html(const json_t *document, FILE *out);

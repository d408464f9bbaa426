/* SPDX-License-Identifier: GPL-2.0-only */
/* The charts of a report's page: inline SVG, coloured by the page's style. */
#pragma once

#include <stdio.h>

#include <jansson.h>

/* Escaped for text and attributes of HTML; control characters become spaces. NULL: nothing. */
void report_text(const char *text, FILE *out);

/* Share and rates over the time of a rollout of report.h; `width` is in CSS pixels, at least 300. */
void report_timeline(const json_t *rollout, unsigned int width, FILE *out);

/* The verdicts of each gate over the same time. Nothing without a look. */
void report_strips(const json_t *rollout, unsigned int width, FILE *out);

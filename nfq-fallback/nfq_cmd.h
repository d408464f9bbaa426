/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <jansson.h>

#include "core/metrics.h"
#include "core/policy.h"

/* nfq2xdp run nfqueue. fill: what is known elsewhere, for the metrics. Returns an enum n2x_exit. */
int nfq_cmd_run(int argc, char **argv, metrics_fill_fn *fill);

/* What it changes, appended to the array: output_change(). */
void nfq_cmd_changes(const struct policy *policy, json_t *changes);

/* SPDX-License-Identifier: GPL-2.0-only */
/* What the metrics of an instance are made of, wherever it is. */
#pragma once

#include "core/metrics.h"
#include "migrate/parity_live.h"

/* A metrics_fill_fn. The NFQUEUE path that serves metrics has told of itself already (nfqueue.own). */
void metrics_fill(const struct policy *policy, struct metrics *metrics);

/* What a rollout has compared so far, for who serves: beside the instance's other files in /run. Not
 * having it stops nothing. */
void metrics_publish(const char *instance, const struct live_report *report);

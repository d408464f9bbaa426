/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "core/metrics.h"

/* nfq2xdp run xdp. fill: what there is, for the metrics. Returns an enum n2x_exit. */
int xdp_cmd_run(int argc, char **argv, metrics_fill_fn *fill);

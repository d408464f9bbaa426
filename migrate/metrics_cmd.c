// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>

#include "core/args.h"
#include "migrate/cmd.h"
#include "migrate/metrics.h"
#include "migrate/migrate_cmd.h"

static void write_metrics(const void *ctx, FILE *out)
{
	metrics_render(ctx, out);
}

int migrate_cmd_metrics(int argc, char **argv)
{
	struct metrics metrics = { 0 };
	struct policy policy;
	struct args args;
	struct err err;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_OUT, &args, &policy, &err);

	if (ret < 0)
		return cmd_finish(ret, &err);
	metrics.interface = policy.interface;
	metrics_fill(&policy, &metrics);
	return cmd_finish(cmd_write(args.out, write_metrics, &metrics, &err), &err);
}

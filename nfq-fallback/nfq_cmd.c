// SPDX-License-Identifier: GPL-2.0-only
#include "nfq-fallback/nfq_cmd.h"

#include <stdlib.h>
#include <string.h>

#include "core/args.h"
#include "core/log.h"
#include "core/output.h"
#include "core/util.h"
#include "nfq-fallback/nfq_path.h"

void nfq_cmd_changes(const struct policy *policy, json_t *changes)
{
	_cleanup_free_ char *rules = nft_format(policy);

	for (unsigned int i = 0; i < policy->nfqueue.threads; i++)
		output_change(changes, "stop this process", "bind queue %u",
			      policy->nfqueue.queue + i);
	output_change(changes, "stop this process", "add %s", rules ? rules : "the nftables table");
}

static int dry_run(const struct policy *policy, bool json)
{
	json_t *changes = json_array();

	nfq_cmd_changes(policy, changes);
	return output_changes(changes, json) < 0 ? N2X_SYSTEM : N2X_OK;
}

int nfq_cmd_run(int argc, char **argv, metrics_fill_fn *fill)
{
	struct policy policy;
	struct args args;
	struct err err;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_DRY_RUN, &args, &policy, &err);

	if (ret == 0 && args.dry_run)
		return dry_run(&policy, args.json);
	if (ret == 0)
		ret = nfq_path_run(&policy, fill, &err);
	if (ret < 0)
		log_info("%s", err.text);
	return -ret;
}

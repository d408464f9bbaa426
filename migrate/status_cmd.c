// SPDX-License-Identifier: GPL-2.0-only
#include <poll.h>
#include <stdio.h>

#include "core/args.h"
#include "core/util.h"
#include "migrate/cmd.h"
#include "migrate/migrate_cmd.h"
#include "migrate/status.h"

#define RATE_MS 500

/* A second look, for rates: where something counts. */
static int look_again(const struct policy *policy, struct status *s, struct err *err)
{
	_cleanup_(status_release) struct status before = *s;
	int ret;

	poll(NULL, 0, RATE_MS);
	*s = (struct status){ 0 };
	ret = status_read(before.instance, policy, s, err);
	if (ret == 0)
		status_rate(&before, s);
	return ret;
}

int migrate_cmd_status(int argc, char **argv)
{
	_cleanup_(status_release) struct status status = { 0 };
	struct status_view view = { .out = stdout, .colour = cmd_colour() };
	const struct policy *given;
	char instance[IFNAMSIZ];
	struct policy policy;
	struct args args;
	struct err err;
	int ret = args_parse(argc, argv, ARGS_INSTANCE | ARGS_MAY_CONFIG, &args, &policy, &err);

	if (ret == 0)
		ret = cmd_instance(argv[0], &args, &policy, instance, &err);
	if (ret < 0)
		return cmd_finish(ret, &err);
	given = args.config ? &policy : NULL;
	ret = status_read(instance, given, &status, &err);
	if (ret == 0 && !args.json &&
	    (status.machine.state != MACHINE_IDLE || status.machine.nfq.running))
		ret = look_again(given, &status, &err);
	if (ret < 0)
		return cmd_finish(ret, &err);
	if (!args.json)
		status_show(&status, &view);
	else if (cmd_print(status_json(&status)) != N2X_OK)
		return N2X_SYSTEM;
	return status_exit(&status);
}

// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>

#include "core/args.h"
#include "core/log.h"
#include "core/output.h"
#include "migrate/cmd.h"
#include "migrate/machine.h"
#include "migrate/migrate_cmd.h"

struct panic {
	const struct args *args;
	json_t *results;
	unsigned int tried;
	int ret;
	struct err err;
};

static void panic_one(const char *instance, unsigned int version, void *ctx)
{
	struct panic *panic = ctx;
	int ret;

	if (panic->args->instance && strcmp(panic->args->instance, instance) != 0)
		return;
	panic->tried++;
	if (panic->args->dry_run) {
		output_change(panic->results, "nfq2xdp migrate full -c FILE",
			      "%s: write share 0 to the pinned map ctl", instance);
		return;
	}
	ret = xdp_zero(instance, version, &panic->err);
	if (ret < 0) {
		log_info("%s", panic->err.text);
		panic->ret = ret; /* and on: one instance must not keep the others in */
		return;
	}
	json_array_append_new(panic->results, json_string(instance));
	if (!panic->args->json)
		printf("%s: share 0: XDP takes nothing any more\n", instance);
}

/* For who wants to know later (journal J2): only where there is a journal, and not waited for. */
static void panic_record(const char *instance)
{
	json_t *last = journal_last(instance);
	struct journal journal = { .fd = -1 };
	struct machine_status status = { 0 };
	struct err ignored;

	if (last && xdp_read(instance, &status.xdp, &ignored) == 0 &&
	    journal_open(instance, &journal, &ignored) == 0) {
		machine_count(&status);
		journal.generation = status.xdp.ctl.generation;
		journal_write(&journal, "panic",
			      json_pack("{s:{s:I, s:I}}", "counters", "matched",
					(json_int_t)status.matched, "cleared",
					(json_int_t)status.cleared),
			      false, &ignored);
		journal_close(&journal);
	}
	json_decref(last);
}

/* When all are at 0: none may be raised by a command that was under way. */
static void panic_settle(const char *instance, unsigned int version, void *ctx)
{
	struct panic *panic = ctx;

	if (version != ABI_VERSION ||
	    (panic->args->instance && strcmp(panic->args->instance, instance) != 0))
		return;
	if (machine_settle(instance, &panic->err) < 0)
		log_info("%s", panic->err.text);
	panic_record(instance);
}

/* Needs the pinned map and nothing else: no configuration, no lock, no state directory, no other
 * path. */
int migrate_cmd_panic(int argc, char **argv)
{
	struct args args;
	struct panic panic = { .args = &args };
	int ret = args_parse(argc, argv, ARGS_DRY_RUN | ARGS_INSTANCE, &args, NULL, &panic.err);

	if (ret < 0)
		return cmd_finish(ret, &panic.err);
	panic.results = json_array();
	ret = xdp_instances(panic_one, &panic, &panic.err);
	fflush(stdout);
	if (ret >= 0 && panic.tried && !args.dry_run)
		ret = xdp_instances(panic_settle, &panic, &panic.err);
	if (ret >= 0 && !panic.tried)
		ret = err_set(&panic.err, N2X_INACTIVE,
			      "panic: no XDP path %s%s in this network namespace: nothing to stop",
			      args.instance ? "for " : "", args.instance ? args.instance : "");
	if (ret < 0) {
		json_decref(panic.results);
		return cmd_finish(ret, &panic.err);
	}
	if (args.dry_run)
		return output_changes(panic.results, args.json) < 0 ? N2X_SYSTEM : N2X_OK;
	if (args.json && cmd_print(json_pack("{s:O}", "share0", panic.results)) != N2X_OK)
		panic.ret = -N2X_SYSTEM;
	json_decref(panic.results);
	return -panic.ret;
}

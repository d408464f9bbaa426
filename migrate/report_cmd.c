// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>

#include "core/args.h"
#include "core/output.h"
#include "core/util.h"
#include "migrate/cmd.h"
#include "migrate/journal.h"
#include "migrate/migrate_cmd.h"
#include "migrate/report.h"

static void add(void *ctx, json_t *line)
{
	report_add(ctx, line);
}

static int make(const char *instance, json_t **out, struct err *err)
{
	_cleanup_(report_freep) struct report *report = report_new(instance);
	uint64_t unreadable;
	int ret;

	if (!report)
		return err_set(err, N2X_SYSTEM, "out of memory");
	ret = journal_read(instance, add, report, &unreadable, err);
	if (ret == 0)
		*out = report_finish(report, unreadable);
	return ret;
}

static void write_html(const void *ctx, FILE *out)
{
	report_html(ctx, out);
}

static void write_json(const void *ctx, FILE *out)
{
	if (json_dumpf(ctx, out, JSON_COMPACT | JSON_SORT_KEYS) == 0)
		fputc('\n', out);
}

int migrate_cmd_report(int argc, char **argv)
{
	json_t *document = NULL;
	struct policy policy;
	struct args args;
	struct err err;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_OUT, &args, &policy, &err);

	if (ret == 0)
		ret = make(policy.interface, &document, &err);
	if (ret < 0)
		return cmd_finish(ret, &err);
	json_object_set_new(document, "schema", json_integer(OUTPUT_SCHEMA));
	ret = cmd_write(args.out, args.json ? write_json : write_html, document, &err);
	json_decref(document);
	return cmd_finish(ret, &err);
}

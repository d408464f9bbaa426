// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

static int print(const json_t *document, bool json, FILE *out)
{
	if (!json)
		report_html(document, out);
	else if (json_dumpf(document, out, JSON_COMPACT | JSON_SORT_KEYS) == 0)
		fputc('\n', out);
	return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}

/* The whole file under its name, or none: written beside it first. */
static int write_file(const json_t *document, bool json, const char *path, struct err *err)
{
	_cleanup_free_ char *beside = NULL;
	_cleanup_file_ FILE *out = NULL;
	int ret;

	if (asprintf(&beside, "%s.part", path) < 0)
		return err_set(err, N2X_SYSTEM, "out of memory");
	out = fopen(beside, "we");
	if (!out)
		return err_set(err, N2X_USAGE, "%s: %s: name a file that can be written", beside,
			       strerror(errno));
	if (print(document, json, out) == 0 && rename(beside, path) == 0)
		return 0;
	ret = err_set(err, N2X_SYSTEM, "%s: cannot write: %s", path, strerror(errno));
	unlink(beside);
	return ret;
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
	if (args.out)
		ret = write_file(document, args.json, args.out, &err);
	else if (print(document, args.json, stdout) < 0)
		ret = err_set(&err, N2X_SYSTEM, "standard output: cannot write");
	json_decref(document);
	return cmd_finish(ret, &err);
}

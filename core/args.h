/* SPDX-License-Identifier: GPL-2.0-only */
/* The options that commands have in common, by getopt_long(3). */
#pragma once

#include <stdbool.h>

#include "core/err.h"
#include "core/policy.h"

enum args_want {
	ARGS_CONFIG = 1 << 0, /* -c FILE is required, and read */
	ARGS_DRY_RUN = 1 << 1, /* --dry-run */
	ARGS_SPLIT = 1 << 2, /* --every N, or --percent P --by flow */
	ARGS_INSTANCE = 1 << 3, /* one optional operand */
	ARGS_DETACH = 1 << 4, /* --detach, --allow-link-reset */
	ARGS_LOCAL_ONLY = 1 << 5, /* --local-only */
	ARGS_GENERATION = 1 << 6, /* one required operand, a number from 1 */
	ARGS_FILE = 1 << 7, /* one required operand, a path */
	ARGS_EXAMPLE = 1 << 8, /* --example DIR */
	ARGS_LIVE = 1 << 9, /* --for DURATION, --bound SHARE */
	ARGS_LIVE_QUEUE = 1 << 10, /* --live-queue */
	ARGS_OUT = 1 << 11, /* --out FILE */
	ARGS_WRITE = 1 << 12, /* --write FILE */
	ARGS_MAY_CONFIG = 1 << 13, /* -c FILE may be given, and is read then */
};

struct args {
	const char *config; /* NULL: none was given */
	const char *instance; /* the operand, or NULL */
	unsigned int generation; /* ARGS_GENERATION */
	const char *file; /* ARGS_FILE */
	const char *example; /* --example, or NULL */
	uint64_t for_ns; /* --for; without --bound a minute unless given, else 0: no limit */
	double bound; /* --bound, in 0..1; 0: not given */
	bool live_queue;
	const char *out; /* --out, or NULL */
	const char *write; /* --write, or NULL */
	struct share share; /* ARGS_SPLIT: what was asked for */
	bool json;
	bool dry_run;
	bool detach;
	bool allow_link_reset;
	bool local_only;
};

/*
 * Parses argv[1..]; --json and --verbose are always taken. With ARGS_CONFIG the file is loaded into
 * *policy. Returns 0 or -N2X_USAGE.
 */
int args_parse(int argc, char **argv, unsigned int want, struct args *out, struct policy *policy,
	       struct err *err);

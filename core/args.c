// SPDX-License-Identifier: GPL-2.0-only
#include "core/args.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

#define LIVE_NS 60000000000U /* parity live without --for and --bound */

enum {
	OPT_JSON = 256,
	OPT_DRY_RUN,
	OPT_EVERY,
	OPT_PERCENT,
	OPT_BY,
	OPT_DETACH,
	OPT_LINK_RESET,
	OPT_LOCAL_ONLY,
	OPT_EXAMPLE,
	OPT_FOR,
	OPT_BOUND,
	OPT_LIVE_QUEUE,
	OPT_OUT,
	OPT_WRITE
};

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "every", required_argument, NULL, OPT_EVERY },
	{ "percent", required_argument, NULL, OPT_PERCENT },
	{ "by", required_argument, NULL, OPT_BY },
	{ "detach", no_argument, NULL, OPT_DETACH },
	{ "allow-link-reset", no_argument, NULL, OPT_LINK_RESET },
	{ "local-only", no_argument, NULL, OPT_LOCAL_ONLY },
	{ "example", required_argument, NULL, OPT_EXAMPLE },
	{ "for", required_argument, NULL, OPT_FOR },
	{ "bound", required_argument, NULL, OPT_BOUND },
	{ "live-queue", no_argument, NULL, OPT_LIVE_QUEUE },
	{ "out", required_argument, NULL, OPT_OUT },
	{ "write", required_argument, NULL, OPT_WRITE },
	{ 0 },
};

/* Values that are parsed once all of them are there. */
struct split {
	const char *every;
	const char *percent;
	const char *by;
	const char *live_for;
	const char *bound;
};

static int parse_split(const struct split *split, struct share *out, struct err *err)
{
	char *end = NULL;

	if (!split->every == !split->percent)
		return err_set(err, N2X_USAGE, "say either --every N or --percent P --by flow");
	errno = 0;
	if (split->every) {
		unsigned long n = strtoul(split->every, &end, 10);

		if (split->by)
			return err_set(err, N2X_USAGE, "--by goes with --percent");
		if (errno || *end || strspn(split->every, "0123456789") == 0 ||
		    share_every(n, out) < 0)
			return err_set(err, N2X_USAGE,
				       "--every %s: give a number of packets, 1 or more",
				       split->every);
		return 0;
	}
	if (!split->by || strcmp(split->by, "flow") != 0)
		return err_set(err, N2X_USAGE,
			       "--percent needs --by flow: packets are split with --every");
	if (strspn(split->percent, "0123456789.") != strlen(split->percent) ||
	    share_percent(strtod(split->percent, &end), out) < 0 || *end || !*split->percent)
		return err_set(err, N2X_USAGE, "--percent %s: give a number above 0, up to 100",
			       split->percent);
	return 0;
}

static int parse_live(const struct split *said, struct args *out, struct err *err)
{
	char *end = NULL;

	if (said->live_for && duration_parse(said->live_for, &out->for_ns) < 0)
		return err_set(err, N2X_USAGE,
			       "--for %s: give a number with ms, s, m or h, as in 60s",
			       said->live_for);
	if (!said->live_for && !said->bound)
		out->for_ns = LIVE_NS;
	if (said->bound)
		out->bound = strtod(said->bound, &end);
	if (said->bound && (*end || !(out->bound > 0) || out->bound >= 1))
		return err_set(err, N2X_USAGE,
			       "--bound %s: give a part of the packets between 0 and 1, as in 1e-5",
			       said->bound);
	return 0;
}

static int parse_generation(const char *command, const char *text, unsigned int *out,
			    struct err *err)
{
	unsigned long n = text ? strtoul(text, NULL, 10) : 0;

	if (!text || strspn(text, "0123456789") != strlen(text) || n < 1 || n > INT_MAX)
		return err_set(
			err, N2X_USAGE,
			"%s: which generation? Give its number, as nfq2xdp migrate status prints it",
			command);
	*out = (unsigned int)n;
	return 0;
}

static bool allowed(int opt, unsigned int want)
{
	switch (opt) {
	case 'c':
		return want & (ARGS_CONFIG | ARGS_MAY_CONFIG);
	case OPT_DRY_RUN:
		return want & ARGS_DRY_RUN;
	case OPT_EVERY:
	case OPT_PERCENT:
	case OPT_BY:
		return want & ARGS_SPLIT;
	case OPT_DETACH:
	case OPT_LINK_RESET:
		return want & ARGS_DETACH;
	case OPT_LOCAL_ONLY:
		return want & ARGS_LOCAL_ONLY;
	case OPT_EXAMPLE:
		return want & ARGS_EXAMPLE;
	case OPT_FOR:
	case OPT_BOUND:
		return want & ARGS_LIVE;
	case OPT_LIVE_QUEUE:
		return want & ARGS_LIVE_QUEUE;
	case OPT_OUT:
		return want & ARGS_OUT;
	case OPT_WRITE:
		return want & ARGS_WRITE;
	default:
		return true;
	}
}

/* A known option's name: argv has its value by now. */
static const char *name_of(int opt)
{
	const struct option *o = options;

	while (o->val != opt)
		o++;
	return o->name;
}

static void take(int opt, struct args *args, struct split *split)
{
	switch (opt) {
	case 'c':
		args->config = optarg;
		break;
	case 'v':
		log_verbose(true);
		break;
	case OPT_JSON:
		args->json = true;
		break;
	case OPT_DRY_RUN:
		args->dry_run = true;
		break;
	case OPT_EVERY:
		split->every = optarg;
		break;
	case OPT_PERCENT:
		split->percent = optarg;
		break;
	case OPT_BY:
		split->by = optarg;
		break;
	case OPT_DETACH:
		args->detach = true;
		break;
	case OPT_LINK_RESET:
		args->allow_link_reset = true;
		break;
	case OPT_LOCAL_ONLY:
		args->local_only = true;
		break;
	case OPT_EXAMPLE:
		args->example = optarg;
		break;
	case OPT_FOR:
		split->live_for = optarg;
		break;
	case OPT_BOUND:
		split->bound = optarg;
		break;
	case OPT_LIVE_QUEUE:
		args->live_queue = true;
		break;
	case OPT_OUT:
		args->out = optarg;
		break;
	case OPT_WRITE:
		args->write = optarg;
		break;
	}
}

int args_parse(int argc, char **argv, unsigned int want, struct args *out, struct policy *policy,
	       struct err *err)
{
	struct split split = { 0 };
	struct args args = { 0 };
	int opt;

	optind = 0; /* glibc: start anew, for the tests */
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":c:v", options, NULL)) != -1) {
		const char *said = optind > 0 && optind <= argc ? argv[optind - 1] : "";

		if (opt == ':')
			return err_set(err, N2X_USAGE, "%s: %s needs a value", argv[0], said);
		if (opt == '?' || !allowed(opt, want))
			return err_set(
				err, N2X_USAGE,
				"%s: %s%s is not an option of this command: see nfq2xdp --help",
				argv[0], opt == '?' ? "" : "--", opt == '?' ? said : name_of(opt));
		take(opt, &args, &split);
	}
	if (want & ARGS_INSTANCE && optind < argc)
		args.instance = argv[optind++];
	if (want & ARGS_GENERATION && parse_generation(argv[0], optind < argc ? argv[optind] : NULL,
						       &args.generation, err) < 0)
		return -N2X_USAGE;
	optind += want & ARGS_GENERATION ? 1 : 0;
	if (want & ARGS_FILE && optind >= argc)
		return err_set(err, N2X_USAGE, "%s: which file?", argv[0]);
	if (want & ARGS_FILE)
		args.file = argv[optind++];
	if (optind < argc)
		return err_set(err, N2X_USAGE, "%s: '%s' is too much", argv[0], argv[optind]);
	if (args.allow_link_reset && !args.detach)
		return err_set(err, N2X_USAGE, "--allow-link-reset goes with --detach");
	if (want & ARGS_SPLIT && parse_split(&split, &args.share, err) < 0)
		return -N2X_USAGE;
	if (want & ARGS_LIVE && parse_live(&split, &args, err) < 0)
		return -N2X_USAGE;
	if (want & ARGS_CONFIG && !args.config)
		return err_set(err, N2X_USAGE, "%s: -c FILE is missing", argv[0]);
	if (args.config && policy_load(args.config, policy, err) < 0)
		return -N2X_USAGE;
	*out = args;
	return 0;
}

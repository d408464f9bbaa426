// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/err.h"
#include "core/log.h"
#include "core/util.h"
#include "migrate/metrics.h"
#include "migrate/migrate_cmd.h"
#include "nfq-fallback/nfq_cmd.h"
#include "xdp/xdp_cmd.h"

/* The paths do not know each other; who serves metrics tells of both. */
static int run_nfqueue(int argc, char **argv)
{
	return nfq_cmd_run(argc, argv, metrics_fill);
}

static int run_xdp(int argc, char **argv)
{
	return xdp_cmd_run(argc, argv, metrics_fill);
}

static const struct verb {
	const char *group; /* NULL: the name stands alone */
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} verbs[] = {
	{ NULL, "plan", migrate_cmd_plan,
	  "[[IFACE] [--write FILE] | -c FILE] [--local-only]\twhat is here, what would change, what is in the way" },
	{ NULL, "status", migrate_cmd_status, "[IFACE | -c FILE]\tas migrate status" },
	{ NULL, "monitor", migrate_cmd_monitor,
	  "[IFACE | -c FILE]\tthe same, each second, until a signal" },
	{ "run", "nfqueue", run_nfqueue,
	  "-c FILE [--dry-run]\trun the NFQUEUE path in the foreground" },
	{ "run", "xdp", run_xdp,
	  "-c FILE [--local-only] [--dry-run]\trun the XDP path alone, share all" },
	{ "migrate", "start", migrate_cmd_start,
	  "-c FILE [--local-only] [--dry-run]\tattach XDP at share 0" },
	{ "migrate", "split", migrate_cmd_split,
	  "-c FILE {--every N | --percent P --by flow} [--dry-run]\tgive XDP a share" },
	{ "migrate", "full", migrate_cmd_full, "-c FILE [--dry-run]\tgive XDP everything" },
	{ "migrate", "auto", migrate_cmd_auto,
	  "-c FILE [--local-only]\tthe policy's steps by itself, on evidence; back when a gate fails" },
	{ "migrate", "confirm", migrate_cmd_confirm,
	  "GENERATION -c FILE\tkeep the share for good: no lease any more" },
	{ "migrate", "hold", migrate_cmd_hold, "-c FILE\tno step up until resume" },
	{ "migrate", "resume", migrate_cmd_resume, "-c FILE\tsteps up again" },
	{ "migrate", "extend", migrate_cmd_extend, "-c FILE\tthe time to confirm begins anew" },
	{ "migrate", "rollback", migrate_cmd_rollback,
	  "-c FILE [--detach [--allow-link-reset]] [--dry-run]\tback to NFQUEUE, verified" },
	{ "migrate", "done", migrate_cmd_done,
	  "-c FILE [--dry-run]\ttake the NFQUEUE path behind XDP away" },
	{ "migrate", "restore", migrate_cmd_restore,
	  "-c FILE [--dry-run]\tthe rules that were there, as they were" },
	{ "migrate", "status", migrate_cmd_status,
	  "[IFACE | -c FILE]\tstate, counters, rates, problems; what panic would do" },
	{ "migrate", "metrics", migrate_cmd_metrics,
	  "-c FILE [--out FILE]\tfor Prometheus, as text; `run` serves the same" },
	{ "migrate", "report", migrate_cmd_report,
	  "-c FILE [--out FILE]\tall that the journal has, as one HTML page" },
	{ "parity", "replay", parity_cmd_replay,
	  "FILE.pcap -c FILE [--live-queue] [--example DIR]\ta capture through both paths, compared" },
	{ "parity", "live", parity_cmd_live,
	  "-c FILE [--for DURATION] [--bound SHARE] [--example DIR]\tboth paths on the live traffic, compared" },
	{ NULL, "panic", migrate_cmd_panic,
	  "[INSTANCE] [--dry-run]\tshare 0, now; needs nothing but the pinned map" },
};

static int usage(FILE *out)
{
	fputs("usage: nfq2xdp VERB …   (every verb: --json, -v)\n", out);
	for (unsigned int i = 0; i < ARRAY_SIZE(verbs); i++) {
		const char *help = strchr(verbs[i].help, '\t');

		fprintf(out, "  %s%s%s %.*s\n        %s\n", verbs[i].group ? verbs[i].group : "",
			verbs[i].group ? " " : "", verbs[i].name, (int)(help - verbs[i].help),
			verbs[i].help, help + 1);
	}
	fputs("exit: 0 ok, 1 no, 2 usage or configuration, 3 inactive, 4 degraded, 5 something foreign in the way,\n"
	      "      6 kernel, driver or permission, 7 rolled back\n",
	      out);
	return out == stdout ? N2X_OK : N2X_USAGE;
}

/* Descriptors 0 to 2 are open, so that no map, lock or queue becomes what messages are written to. */
static int open_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
	return fd;
}

static int dispatch(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return usage(stdout);
	if (!strcmp(argv[1], "--version"))
		return puts("nfq2xdp " VERSION) < 0 ? N2X_SYSTEM : N2X_OK;
	for (unsigned int i = 0; i < ARRAY_SIZE(verbs); i++) {
		int at = verbs[i].group ? 2 : 1;

		if (at == 2 && (argc < 3 || strcmp(argv[1], verbs[i].group) != 0))
			continue;
		if (!strcmp(argv[at], verbs[i].name))
			return verbs[i].run(argc - at, argv + at);
	}
	log_info("%s%s%s is not a verb: see nfq2xdp --help", argv[1], argc > 2 ? " " : "",
		 argc > 2 ? argv[2] : "");
	return N2X_USAGE;
}

int main(int argc, char **argv)
{
	int ret;

	if (open_stdio() < 0)
		return N2X_SYSTEM;
	signal(SIGPIPE, SIG_IGN); /* a reader that went away must not end a path */
	signal(SIGCHLD, SIG_DFL); /* ignored, as whoever starts us may: no tool's exit status */
	ret = dispatch(argc, argv);
	if ((fflush(stdout) != 0 || ferror(stdout)) && ret == N2X_OK) {
		log_info("standard output: cannot write");
		return N2X_SYSTEM;
	}
	return ret;
}

// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <math.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/args.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/output.h"
#include "core/util.h"
#include "migrate/cmd.h"
#include "migrate/migrate_cmd.h"
#include "migrate/parity_live.h"
#include "migrate/parity_report.h"
#include "migrate/replay.h"

#define PROGRESS_NS 500000000

static const char *const class_text[PARITY_CLASS_MAX] = {
	[PARITY_DF_NOT_CLEARED] = "DF is still set, and the policy matches",
	[PARITY_DF_CLEARED_WRONGLY] = "DF is cleared, and the policy does not match",
	[PARITY_IP_CSUM_WRONG] = "the IPv4 header checksum is wrong: receivers drop such packets",
	[PARITY_IP_CSUM_ZEROED] = "the IPv4 header checksum is 0: receivers drop such packets",
	[PARITY_IP_CSUM_NOT_UPDATED] =
		"the IPv4 header checksum is that of before: receivers drop such packets",
	[PARITY_UDP_CSUM_ZEROED] = "the UDP checksum is 0",
	[PARITY_UDP_CSUM_CHANGED] = "the UDP checksum is another",
	[PARITY_IP_ID_CHANGED] = "the IPv4 ID is another",
	[PARITY_IP_ID_NOT_ASSIGNED] = "the IPv4 ID is still 0",
	[PARITY_LENGTH] = "the length is another",
	[PARITY_PAYLOAD] = "the payload is another",
	[PARITY_OTHER_FIELD] = "another bit of the IPv4 or UDP header differs",
	[PARITY_AROUND] = "link or tunnel headers, or padding, are not as they came",
	[PARITY_DROPPED] = "dropped",
	[PARITY_COUNTER] = "not counted once, as what was done",
	[PARITY_ONLY_XDP] = "seen or changed by XDP, and not by the path behind",
	[PARITY_ONLY_BEHIND] = "seen behind, and never by XDP",
};

static const char *const unseen_text[PARITY_UNSEEN_MAX] = {
	[PARITY_SHOWN] = "",
	[PARITY_NOT_IPV4] = "not IPv4",
	[PARITY_NOT_TUNNEL] = "no VXLAN of the policy",
	[PARITY_TOO_SHORT] = "too short for an IPv4 header",
	[PARITY_REFUSED] = "of a length that this kernel runs no XDP program on",
	[PARITY_BAD_HEADER] =
		"without an IPv4 header that the stack takes: it drops them before any rule",
	[PARITY_BAD_LENGTH] = "shorter than they say: the stack drops them before any rule",
	[PARITY_BAD_CHECKSUM] = "with a wrong IPv4 checksum: the stack drops them before any rule",
};

struct progress {
	uint64_t next_ns;
	bool shown;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void show_progress(void *ctx, const struct replay_report *report)
{
	struct progress *progress = ctx;
	uint64_t now = now_ns();

	if (now < progress->next_ns)
		return;
	progress->next_ns = now + PROGRESS_NS;
	progress->shown = true;
	fprintf(stderr, "\r\033[K%" PRIu64 " packets, %" PRIu64 " compared, %" PRIu64 " different",
		report->packets, report->parity.compared, report->parity.different);
}

/* A difference is one, however the file ends. */
static int exit_code(const struct replay_report *report)
{
	if (parity_judge(&report->parity) == PARITY_DIFFERENT)
		return N2X_NO;
	if (!report->complete)
		return N2X_USAGE;
	return parity_judge(&report->parity) == PARITY_EQUAL ? N2X_OK : N2X_DEGRADED;
}

static json_t *unseen_json(const struct parity_report *report)
{
	json_t *unseen = json_object();

	for (int i = PARITY_SHOWN + 1; i < PARITY_UNSEEN_MAX; i++)
		json_object_set_new(unseen, parity_unseen_name[i],
				    json_integer((json_int_t)report->unseen[i]));
	return unseen;
}

static int print_json(const struct policy *policy, const char *file, bool live_queue,
		      const struct replay_report *report)
{
	json_t *object = parity_report_json(&report->parity);

	json_object_update_new(object, json_pack("{s:s, s:s, s:s, s:b, s:b, s:I, s:I, s:o}",
						 "instance", policy->interface, "file", file,
						 "link", report->link, "live_queue",
						 (int)live_queue, "complete", (int)report->complete,
						 "packets", (json_int_t)report->packets, "cut",
						 (json_int_t)report->cut, "not_comparable",
						 unseen_json(&report->parity)));
	return cmd_print(object);
}

static void print_not_compared(const struct parity_report *report)
{
	uint64_t n = 0;

	for (int i = PARITY_SHOWN + 1; i < PARITY_UNSEEN_MAX; i++)
		n += report->unseen[i];
	if (n)
		printf("not compared: %" PRIu64
		       ", which XDP let pass, or left for the stack to drop\n",
		       n);
	for (int i = PARITY_SHOWN + 1; i < PARITY_UNSEEN_MAX; i++)
		if (report->unseen[i])
			printf("    %" PRIu64 " %s\n", report->unseen[i], unseen_text[i]);
}

static void print_compared(const struct parity_report *p)
{
	printf("compared: %" PRIu64 ", of which the policy matches %" PRIu64 ": %" PRIu64
	       " equal, %" PRIu64 " accepted, %" PRIu64 " different\n",
	       p->compared, p->matching, p->equal, p->accepted, p->different);
}

static void print_classes(const struct parity_report *report)
{
	static const char *const side[] = { "XDP", "NFQUEUE" };

	for (int cause = 0; cause < PARITY_CLASS_MAX; cause++)
		for (int i = 0; i < PARITY_SIDE_MAX; i++)
			if (report->class[cause][i])
				printf("    %s: %" PRIu64 " by %s: %s\n", parity_class_name[cause],
				       report->class[cause][i], side[i], class_text[cause]);
}

static void print_claim(const char *what, uint64_t different, uint64_t of)
{
	printf("    %" PRIu64 " of %" PRIu64 " %s: at most %.3g %%\n", different, of, what,
	       parity_at_most(different, of) * 100);
}

/* Of all traffic, and of the part of it where there is something to do: most of a capture may be other. */
static void print_claims(const struct parity_report *report)
{
	if (parity_judge(report) == PARITY_INCONCLUSIVE) {
		printf("inconclusive: nothing was compared that the policy matches\n");
		return;
	}
	printf("different in such traffic, with 95 %% confidence:\n");
	print_claim("compared", report->different, report->compared);
	if (report->matching)
		print_claim("that the policy matches", report->matching_different,
			    report->matching);
}

static int print_text(const struct policy *policy, const char *file, bool live_queue,
		      const struct replay_report *report)
{
	const struct parity_report *p = &report->parity;

	printf("%s: %s (%s): %" PRIu64 " packets%s", policy->interface, file, report->link,
	       report->packets, live_queue ? ", through a live queue" : "");
	if (report->cut)
		printf(", %" PRIu64 " cut short by the capture and compared as far as they go",
		       report->cut);
	putchar('\n');
	print_compared(p);
	print_classes(p);
	print_not_compared(p);
	print_claims(p);
	return fflush(stdout) == 0 ? N2X_OK : N2X_SYSTEM;
}

int parity_cmd_replay(int argc, char **argv)
{
	struct progress progress = { .next_ns = now_ns() + PROGRESS_NS };
	struct replay_report report;
	struct policy policy;
	struct replay replay = { .policy = &policy, .ctx = &progress };
	struct args args;
	struct err err;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_FILE | ARGS_EXAMPLE | ARGS_LIVE_QUEUE,
			     &args, &policy, &err);

	if (ret < 0)
		return cmd_finish(ret, &err);
	replay.file = args.file;
	replay.example_dir = args.example;
	replay.live_queue = args.live_queue;
	if (isatty(STDERR_FILENO))
		replay.progress = show_progress;
	ret = replay_run(&replay, &report, &err);
	if (progress.shown)
		fputs("\r\033[K", stderr);
	if (ret < 0)
		return cmd_finish(ret, &err);
	ret = args.json ? print_json(&policy, args.file, args.live_queue, &report)
			: print_text(&policy, args.file, args.live_queue, &report);
	if (!report.complete)
		log_info("%s", report.broken.text);
	return ret == N2X_OK ? exit_code(&report) : ret;
}

struct live_session {
	const struct policy *policy;
	const struct args *args;
	struct parity_live *live;
	bool terminal, shown;
};

/* Packets of the policy without a difference that are needed for the bound. */
static uint64_t needed(const struct args *args, const struct live_report *report)
{
	uint64_t n = args->bound > 0 ? (uint64_t)ceil(3 / args->bound) : 0;

	return n > report->parity.matching ? n - report->parity.matching : 0;
}

static double seconds_more(const struct args *args, const struct live_report *report)
{
	double rate = (double)report->parity.matching / ((double)report->took_ns / 1e9);

	return rate > 0 ? (double)needed(args, report) / rate : -1;
}

/* Every second. Non-zero: enough. */
static int live_tick(void *ctx)
{
	struct live_session *s = ctx;
	struct live_report r;

	live_read(s->live, &r);
	if (s->terminal) {
		s->shown = true;
		fprintf(stderr,
			"\r\033[K%.0f s, %" PRIu64 " compared (%.0f/s), %" PRIu64 " different",
			(double)r.took_ns / 1e9, r.parity.compared,
			(double)r.parity.compared / ((double)r.took_ns / 1e9), r.parity.different);
	}
	return *r.broken.text || (s->args->for_ns && r.took_ns >= s->args->for_ns) ||
	       (s->args->bound > 0 && !needed(s->args, &r));
}

static void print_live_not_compared(const struct live_report *r)
{
	static const char *const text[LIVE_UNSEEN_MAX] = {
		[LIVE_BAD_CHECKSUM] =
			"came with a wrong IPv4 checksum: the stack drops them in front of both paths",
		[LIVE_REASSEMBLED] =
			"fragments, of which conntrack makes one packet in front of the rule",
		[LIVE_QUEUE_FULL] = "dropped by the kernel because the queue was full",
		[LIVE_SAMPLE_LOST] = "of which one of the two samples had no room",
		[LIVE_LOST] =
			"lost behind XDP, and not by it: those that it takes are lost no more often",
	};

	for (int i = 0; i < LIVE_UNSEEN_MAX; i++)
		if (r->unseen[i])
			printf("not compared: %" PRIu64 " %s: %s\n", r->unseen[i],
			       live_unseen_name[i], text[i]);
	if (r->samples_lost[PARITY_XDP] || r->samples_lost[PARITY_BEHIND])
		printf("samples without room: %" PRIu64 " in front, %" PRIu64 " behind\n",
		       r->samples_lost[PARITY_XDP], r->samples_lost[PARITY_BEHIND]);
}

static void print_bridged(const struct policy *policy, const struct live_report *r)
{
	char port[IF_NAMESIZE];

	if (!r->bridged)
		return;
	if (!if_indextoname(r->bridged_port, port))
		snprintf(port, sizeof(port), "ifindex %u", r->bridged_port);
	printf("XDP never saw %" PRIu64 " of those compared (about %" PRIu64
	       " packets): they came by %s and "
	       "were bridged past %s, where XDP is attached: attach to the port\n",
	       r->bridged, r->bridged * r->one_in, port, policy->xdp.attach[0]);
}

static int print_live_text(const struct live_session *s, const struct live_report *r)
{
	printf("%s: %.1f s of live traffic, one packet in %u\n", s->policy->interface,
	       (double)r->took_ns / 1e9, r->one_in);
	print_compared(&r->parity);
	print_classes(&r->parity);
	print_bridged(s->policy, r);
	print_live_not_compared(r);
	printf("overtaken: %" PRIu64 " of %" PRIu64 " on the NFQUEUE path alone, %" PRIu64
	       " of %" PRIu64 " that XDP took, %" PRIu64 " of all\n",
	       r->left.late, r->left.joined, r->taken.late, r->taken.joined, r->late);
	print_claims(&r->parity);
	if (needed(s->args, r) && !r->parity.different && r->parity.matching)
		printf("at most %.3g %%: needs %.0f s more at this rate\n", s->args->bound * 100,
		       seconds_more(s->args, r));
	return fflush(stdout) == 0 ? N2X_OK : N2X_SYSTEM;
}

static int print_live_json(const struct live_session *s, const struct live_report *r)
{
	json_t *object = live_report_json(r);

	json_object_set_new(object, "instance", json_string(s->policy->interface));
	if (s->args->bound > 0)
		json_object_set_new(object, "seconds_needed", json_real(seconds_more(s->args, r)));
	return cmd_print(object);
}

static int live_exit_code(const struct live_session *s, const struct live_report *r)
{
	if (parity_judge(&r->parity) == PARITY_DIFFERENT)
		return N2X_NO;
	return *r->broken.text || parity_judge(&r->parity) != PARITY_EQUAL || needed(s->args, r)
		       ? N2X_DEGRADED
		       : N2X_OK;
}

int parity_cmd_live(int argc, char **argv)
{
	struct live_report report;
	struct policy policy;
	struct args args;
	struct live_session s = { .policy = &policy, .args = &args };
	const struct loop loop = { .fd = -1, .tick = live_tick, .ctx = &s };
	struct err err;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_EXAMPLE | ARGS_LIVE, &args, &policy,
			     &err);

	if (ret < 0)
		return cmd_finish(ret, &err);
	s.terminal = isatty(STDERR_FILENO);
	loop_hold_signals();
	ret = live_open(&policy, args.example, &s.live, &err);
	if (ret < 0)
		return cmd_finish(ret, &err);
	ret = loop_wait(&loop);
	live_finish(s.live, &report);
	live_close(s.live);
	if (s.shown)
		fputs("\r\033[K", stderr);
	if (ret < 0)
		return N2X_SYSTEM;
	ret = args.json ? print_live_json(&s, &report) : print_live_text(&s, &report);
	if (*report.broken.text)
		log_info("%s", report.broken.text);
	return ret == N2X_OK ? live_exit_code(&s, &report) : ret;
}

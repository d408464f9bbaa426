// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/args.h"
#include "core/log.h"
#include "core/output.h"
#include "core/util.h"
#include "migrate/cmd.h"
#include "migrate/migrate_cmd.h"
#include "migrate/replay.h"

#define PROGRESS_NS 500000000

static const char *const class_text[PARITY_CLASS_MAX] = {
	[PARITY_DF_NOT_CLEARED] = "DF is still set, and the policy matches",
	[PARITY_DF_CLEARED_WRONGLY] = "DF is cleared, and the policy does not match",
	[PARITY_IP_CSUM_WRONG] = "the IPv4 header checksum is wrong",
	[PARITY_IP_CSUM_ZEROED] = "the IPv4 header checksum is 0",
	[PARITY_IP_CSUM_NOT_UPDATED] = "the IPv4 header checksum is that of before the change",
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
	[PARITY_ONLY_XDP] = "changed by XDP, and the path behind is never shown it",
	[PARITY_ONLY_BEHIND] = "never shown to XDP",
};

static const char *const unseen_text[PARITY_UNSEEN_MAX] = {
	[PARITY_SHOWN] = "",
	[PARITY_NOT_IPV4] = "not IPv4",
	[PARITY_NOT_TUNNEL] = "no VXLAN of the policy",
	[PARITY_TOO_SHORT] = "too short for an IPv4 header",
	[PARITY_REFUSED] = "of a length that this kernel runs no XDP program on",
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

static json_t *by_side(const uint64_t n[PARITY_SIDE_MAX])
{
	return json_pack("{s:I, s:I}", parity_side_name[PARITY_XDP], (json_int_t)n[PARITY_XDP],
			 parity_side_name[PARITY_BEHIND], (json_int_t)n[PARITY_BEHIND]);
}

static json_t *classes_json(const struct parity_report *report)
{
	json_t *classes = json_object();

	for (int cause = 0; cause < PARITY_CLASS_MAX; cause++)
		json_object_set_new(classes, parity_class_name[cause],
				    by_side(report->class[cause]));
	return classes;
}

static json_t *unseen_json(const struct parity_report *report)
{
	json_t *unseen = json_object();

	for (int i = PARITY_SHOWN + 1; i < PARITY_UNSEEN_MAX; i++)
		json_object_set_new(unseen, parity_unseen_name[i],
				    json_integer((json_int_t)report->unseen[i]));
	return unseen;
}

static json_t *claim_json(uint64_t different, uint64_t of)
{
	return json_pack("{s:I, s:I, s:f, s:i}", "different", (json_int_t)different, "of",
			 (json_int_t)of, "at_most", parity_at_most(different, of),
			 "confidence_percent", 95);
}

static int print_json(const struct policy *policy, const char *file,
		      const struct replay_report *report)
{
	const struct parity_report *p = &report->parity;

	return cmd_print(json_pack(
		"{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}",
		"instance", policy->interface, "file", file, "link", report->link, "result",
		parity_verdict_name[parity_judge(p)], "complete", (int)report->complete, "packets",
		(json_int_t)report->packets, "cut", (json_int_t)report->cut, "compared",
		(json_int_t)p->compared, "matching", (json_int_t)p->matching, "equal",
		(json_int_t)p->equal, "accepted", (json_int_t)p->accepted, "different",
		(json_int_t)p->different, "classes", classes_json(p), "one_sided",
		by_side(p->one_sided), "not_comparable", unseen_json(p), "claim",
		claim_json(p->different, p->compared), "claim_matching",
		claim_json(p->matching_different, p->matching)));
}

static void print_not_compared(const struct parity_report *report)
{
	uint64_t n = 0;

	for (int i = PARITY_SHOWN + 1; i < PARITY_UNSEEN_MAX; i++)
		n += report->unseen[i];
	if (n)
		printf("not compared: %" PRIu64 ", which XDP let pass as they came\n", n);
	for (int i = PARITY_SHOWN + 1; i < PARITY_UNSEEN_MAX; i++)
		if (report->unseen[i])
			printf("    %" PRIu64 " %s\n", report->unseen[i], unseen_text[i]);
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

static int print_text(const struct policy *policy, const char *file,
		      const struct replay_report *report)
{
	const struct parity_report *p = &report->parity;

	printf("%s: %s (%s): %" PRIu64 " packets", policy->interface, file, report->link,
	       report->packets);
	if (report->cut)
		printf(", %" PRIu64 " cut short by the capture and compared as far as they go",
		       report->cut);
	printf("\ncompared: %" PRIu64 ", of which the policy matches %" PRIu64 ": %" PRIu64
	       " equal, %" PRIu64 " accepted, %" PRIu64 " different\n",
	       p->compared, p->matching, p->equal, p->accepted, p->different);
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
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_FILE | ARGS_EXAMPLE, &args, &policy,
			     &err);

	if (ret < 0)
		return cmd_finish(ret, &err);
	replay.file = args.file;
	replay.example_dir = args.example;
	if (isatty(STDERR_FILENO))
		replay.progress = show_progress;
	ret = replay_run(&replay, &report, &err);
	if (progress.shown)
		fputs("\r\033[K", stderr);
	if (ret < 0)
		return cmd_finish(ret, &err);
	ret = args.json ? print_json(&policy, args.file, &report)
			: print_text(&policy, args.file, &report);
	if (!report.complete)
		log_info("%s", report.broken.text);
	return ret == N2X_OK ? exit_code(&report) : ret;
}

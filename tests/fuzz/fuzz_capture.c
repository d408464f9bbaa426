// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any bytes as a capture file: migrate/capture.c reads it, and each frame goes through parity_view.c,
 * packet.h as both paths run it, and parity.c. What has to hold:
 *  - no frame makes the two paths differ, and XDP handles none that the path behind is not shown;
 *  - one bit, or the last byte, of one side wrong: a class is found, on that side alone (parity Y2, Y3);
 *  - the report adds up (parity Y1).
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/packet.h"
#include "core/util.h"
#include "migrate/capture.h"
#include "migrate/parity_view.h"
#include "tests/vectors/vectors.h"

#define FRAMES_MAX 64 /* of an input */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file = -1;
static uint64_t seen[PARITY_UNSEEN_MAX], stack[PARITY_UNSEEN_MAX], frames, handled, cut, broken,
	refused;

static void print_counts(void)
{
	for (int i = 0; i < PARITY_UNSEEN_MAX; i++)
		if (i != PARITY_REFUSED) /* the kernel's word */
			printf("reason %-16s %10" PRIu64 "\n", parity_unseen_name[i],
			       seen[i] + stack[i]);
	printf("handled: %" PRIu64 " of %" PRIu64 " frames under %d policies, %" PRIu64
	       " frames cut, %" PRIu64 " files broken behind their header, %" PRIu64 " refused\n",
	       handled, frames, VECTOR_POLICY_MAX, cut, broken, refused);
	fflush(stdout);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): libFuzzer's */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	file = memfd_create("capture", MFD_CLOEXEC);
	return file < 0 || atexit(print_counts);
}

static void check(bool good, const char *what)
{
	if (good)
		return;
	printf("difference: %s\n", what);
	fflush(stdout);
	abort();
}

/* A buffer of exactly this size: the sanitizer sees the first byte read behind it. */
static uint8_t *copy(const uint8_t *bytes, size_t len)
{
	uint8_t *buf = malloc(len ? len : 1);

	if (!buf)
		abort();
	if (len)
		memcpy(buf, bytes, len);
	return buf;
}

/* Whether it was handled. */
static bool rewrite(const struct df_policy *policy, struct df_pkt *pkt, int reason)
{
	if (reason == DF_GO_ON)
		reason = (int)df_rewrite(policy, pkt);
	return reason <= DF_CLEARED_ASSIGNED;
}

static bool run_xdp(const struct df_policy *policy, void *frame, size_t len)
{
	struct df_pkt pkt = { .data = frame, .data_end = frame + len };
	int reason = df_parse_frame(policy, &pkt, pkt.data);

	if (reason == DF_GO_ON)
		reason = df_match_udp(policy, &pkt);
	return rewrite(policy, &pkt, reason);
}

static bool run_behind(const struct df_policy *policy, void *packet, size_t len)
{
	struct df_pkt pkt = { .data = packet, .data_end = packet + len };

	return rewrite(policy, &pkt, df_match(policy, &pkt, packet, DF_BE16(ETH_P_IP)));
}

static void count(const struct parity_case *c, const struct parity_set *found,
		  const struct parity_set *accept)
{
	struct parity_report report = { 0 };

	parity_count(&report, c, found, accept);
	check(report.compared == 1 && report.equal + report.accepted + report.different == 1, "Y1");
	check(parity_judge(&report) != PARITY_EQUAL || report.matching,
	      "equal, and nothing matched");
}

/* Breaks one side, at a place that the packet itself chooses. */
static void check_found(const struct parity_case *c, enum parity_side side, size_t where)
{
	const struct parity_bytes good = c->side[side];
	const size_t at = good.len ? where / 8 % good.len : 0; /* a view has 20 bytes or more */
	uint8_t *bad = copy(good.data, good.len);
	struct parity_case broken_case = *c;
	struct parity_set found;

	bad[at] ^= (uint8_t)(1 << where % 8);
	broken_case.side[side].data = bad;
	found = parity_compare(&broken_case);
	check(found.by[side] && !found.by[!side], "a bit");
	count(&broken_case, &found, &found);
	bad[at] ^= (uint8_t)(1 << where % 8);
	broken_case.side[side].len--;
	found = parity_compare(&broken_case);
	check(found.by[side] & PARITY_BIT(PARITY_LENGTH) && !found.by[!side], "a byte less");
	free(bad);
}

static size_t mix(const uint8_t *bytes, size_t len)
{
	uint64_t h = len;

	for (size_t i = 0; i < len && i < 64; i++)
		h = df_mix(h ^ bytes[i]);
	return (size_t)h;
}

/* The frame, of which `came` is a part, through both. */
static void compare(const struct df_policy *policy, const uint8_t *frame, size_t len,
		    const struct parity_view *view)
{
	const struct parity_set nothing = { { 0 } };
	struct df_policy behind_policy = *policy;
	uint8_t *xdp = copy(frame, len), *behind = copy(frame + view->at, view->len);
	struct parity_case c = { .came = { frame + view->at, view->len },
				 .side = { { xdp + view->at, view->len }, { behind, view->len } } };
	struct parity_set found;
	size_t end = view->at + view->len;
	enum parity_unseen why = parity_stack(&c.came);

	behind_policy.encap = DF_ENCAP_NONE;
	c.matches = run_behind(&behind_policy, behind, view->len);
	c.assigns = c.matches && memcmp(behind + 4, c.came.data + 4, 2) != 0;
	check(run_xdp(policy, xdp, len) == c.matches, "handled by one path alone");
	check(memcmp(xdp, frame, view->at) == 0 && memcmp(xdp + end, frame + end, len - end) == 0,
	      "around");
	found = parity_compare(&c);
	check(!found.by[PARITY_XDP] && !found.by[PARITY_BEHIND], "a false alarm");
	count(&c, &found, &nothing);
	/* What the stack would drop, it would drop of what comes out, too. */
	check(parity_stack(&c.side[PARITY_XDP]) == why, "the stack takes it otherwise");
	stack[why] += why != PARITY_SHOWN;
	handled += c.matches;
	check_found(&c, PARITY_XDP, mix(xdp, len));
	check_found(&c, PARITY_BEHIND, mix(behind, view->len));
	free(xdp);
	free(behind);
}

static void look(const struct df_policy *policy, const struct capture_frame *frame)
{
	uint8_t *came = copy(frame->data, frame->len);
	struct parity_view view;
	enum parity_unseen unseen = parity_view(policy, came, frame->len, &view);

	check(view.at <= frame->len && view.len <= frame->len - view.at, "a view out of bounds");
	seen[unseen]++;
	if (unseen == PARITY_SHOWN)
		compare(policy, came, frame->len, &view);
	else
		check(!run_xdp(policy, came, frame->len), "handled by XDP, and not shown behind");
	free(came);
}

static void read_all(struct capture *capture)
{
	struct capture_frame frame;
	struct err err;
	int ret = 1;

	check(*capture_link(capture), "a link type without a name");
	for (int i = 0; i < FRAMES_MAX; i++) {
		ret = capture_next(capture, &frame, &err);
		if (ret != 1)
			break;
		frames++;
		cut += frame.cut;
		for (int policy = 0; policy < VECTOR_POLICY_MAX; policy++)
			look(&vector_policies[policy], &frame);
	}
	check(ret == 1 || ret == 0 || ret == -N2X_USAGE, "a read failed");
	check(ret >= 0 || (*err.text && !strchr(err.text, '\n')), "not one line");
	broken += ret < 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(capture_closep) struct capture *capture = NULL;
	struct err err = { "" };
	char path[32];

	if (ftruncate(file, 0) < 0 || pwrite(file, data, size, 0) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (capture_open(path, &capture, &err) == 0) {
		read_all(capture);
		return 0;
	}
	check(*err.text && !strchr(err.text, '\n'), "not one line");
	refused++;
	return 0;
}

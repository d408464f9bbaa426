// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/replay.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <string.h>

#include "core/packet.h"
#include "core/util.h"
#include "migrate/capture.h"
#include "migrate/parity_example.h"
#include "migrate/parity_view.h"
#include "migrate/replay_queue.h"
#include "nfq-fallback/nfq_handler.h"
#include "xdp/xdp_replay.h"

/* One packet and what became of it. The copies have no byte to spare: so that a sanitizer sees a read
 * behind the end of one. */
struct packet {
	const struct capture_frame *frame;
	struct parity_view view;
	uint8_t *xdp; /* the whole frame as XDP left it */
	uint8_t *payload; /* what the handler edits in place */
	struct xdp_ran ran;
	struct parity_case c;
};

struct run {
	const struct replay *how;
	struct df_policy behind; /* as it applies there: without the encapsulation */
	struct xdp_replay *xdp;
	struct replay_queue *queue; /* or NULL */
	struct parity_examples *examples;
	struct df_stats stats; /* the handler's */
	struct replay_report report;
};

static void packet_free(struct packet *p)
{
	free(p->xdp);
	free(p->payload);
}

static void run_end(struct run *run)
{
	struct err ignored;

	xdp_replay_close(run->xdp);
	replay_queue_close(run->queue);
	if (run->examples)
		parity_examples_close(run->examples, &ignored);
}

static int packet_copy(struct packet *p, struct err *err)
{
	const size_t len = p->view.len ? p->view.len : 1;

	p->xdp = malloc(p->frame->len + XDP_REPLAY_ROOM);
	p->payload = malloc(len);
	if (!p->xdp || !p->payload)
		return err_set(err, N2X_SYSTEM, "out of memory");
	p->c.came = (struct parity_bytes){ p->frame->data + p->view.at, p->view.len };
	memcpy(p->payload, p->c.came.data, p->c.came.len);
	return 0;
}

/* Not changed: it goes on as it came, whatever the handler did to its copy (handler H2). */
static void run_behind(struct run *run, struct packet *p)
{
	const struct nfq_packet packet = { .hw_protocol_be = DF_BE16(ETH_P_IP),
					   .payload = p->payload,
					   .len = p->view.len,
					   .whole = true };
	const enum df_reason reason = nfq_handle(&run->behind, &run->stats, &packet);

	p->c.side[PARITY_BEHIND] = nfq_changed(reason)
					   ? (struct parity_bytes){ p->payload, p->view.len }
					   : p->c.came;
}

/*
 * The same through the live queue, which our rule sends what the policy matches and nothing else. A packet
 * that does not come out is excused when the stack has something against it.
 */
static int run_queue(struct run *run, struct packet *p, enum parity_unseen *unseen, struct err *err)
{
	struct replay_queued queued;
	int ret = replay_queue_run(run->queue, &p->c.came, &queued, err);

	if (ret < 0)
		return ret;
	p->c.side[PARITY_BEHIND] = queued.out;
	if (!queued.copies)
		*unseen = parity_stack(&p->c.came);
	if (*unseen != PARITY_SHOWN)
		return 0;
	if (!queued.copies)
		p->c.said.by[PARITY_BEHIND] |= PARITY_BIT(PARITY_DROPPED);
	if (queued.copies > 1 || queued.handled != p->c.matches)
		p->c.said.by[PARITY_BEHIND] |= PARITY_BIT(PARITY_COUNTER);
	return 0;
}

/* Of the frame that came out, what stands where the packet stood. */
static void find_xdp_side(struct packet *p)
{
	const struct capture_frame *frame = p->frame;
	const struct xdp_ran *ran = &p->ran;
	const size_t head = p->view.at, tail = frame->len - head - p->view.len;
	const size_t end = ran->len > head + tail ? ran->len - tail : head;
	const bool changed = ran->len != frame->len || memcmp(p->xdp, frame->data, frame->len) != 0;
	const bool handled = ran->reason >= 0 && ran->reason <= DF_CLEARED_ASSIGNED;
	uint32_t *said = &p->c.said.by[PARITY_XDP];

	p->c.side[PARITY_XDP] = (struct parity_bytes){ p->xdp + head, end - head };
	if (ran->len < head + tail || memcmp(p->xdp, frame->data, head) != 0 ||
	    memcmp(p->xdp + end, frame->data + frame->len - tail, tail) != 0)
		*said |= PARITY_BIT(PARITY_AROUND);
	if (!ran->passed)
		*said |= PARITY_BIT(PARITY_DROPPED);
	if (ran->reason < 0 || handled != changed)
		*said |= PARITY_BIT(PARITY_COUNTER);
}

/* The frame behind is made of what came out and what was around it as it came. */
static int keep_example(struct run *run, const struct packet *p, const struct parity_set *found,
			struct err *err)
{
	const struct parity_bytes *behind = &p->c.side[PARITY_BEHIND];
	const struct capture_frame *frame = p->frame;
	const size_t end = p->view.at + p->view.len;
	struct parity_example example = { .at = frame->at,
					  .before = { frame->data, frame->len },
					  .xdp = { p->xdp, p->ran.len } };

	if (behind->data) {
		example.behind[0] = (struct parity_piece){ frame->data, p->view.at };
		example.behind[1] = (struct parity_piece){ behind->data, behind->len };
		example.behind[2] = (struct parity_piece){ frame->data + end, frame->len - end };
	}
	return parity_examples_keep(run->examples, found, &example, err);
}

/* Not shown to the path behind, and XDP did nothing that changes this. */
static bool excused(const struct packet *p, enum parity_unseen unseen)
{
	const struct parity_bytes *xdp = &p->c.side[PARITY_XDP], *came = &p->c.came;

	if (unseen == PARITY_SHOWN || p->c.said.by[PARITY_XDP])
		return false;
	if (unseen >= PARITY_BAD_HEADER)
		return parity_stack(xdp) == unseen;
	return xdp->len == came->len && memcmp(xdp->data, came->data, xdp->len) == 0;
}

static int judge(struct run *run, const struct packet *p, enum parity_unseen unseen,
		 struct err *err)
{
	const struct parity_set accept = { .by[PARITY_BEHIND] = run->how->policy->parity.accept };
	struct parity_report *report = &run->report.parity;
	struct parity_set found;

	if (excused(p, unseen)) {
		report->unseen[unseen]++;
		return 0;
	}
	found = parity_compare(&p->c);
	parity_count(report, &p->c, &found, &accept);
	if (run->examples && (found.by[PARITY_XDP] || found.by[PARITY_BEHIND]))
		return keep_example(run, p, &found, err);
	return 0;
}

static int run_packet(struct run *run, const struct capture_frame *frame, struct err *err)
{
	_cleanup_(packet_free) struct packet p = { .frame = frame };
	enum parity_unseen unseen = parity_view(&run->how->policy->df, frame->data, frame->len,
						&p.view);
	int ret = packet_copy(&p, err);

	if (ret == 0)
		ret = xdp_replay_run(run->xdp, frame->data, frame->len, p.xdp, &p.ran, err);
	if (ret == -N2X_NO) {
		if (frame->len >= ETH_HLEN)
			unseen = PARITY_REFUSED;
		run->report.parity.unseen[unseen]++;
		return 0;
	}
	if (ret < 0)
		return ret;
	find_xdp_side(&p);
	if (unseen == PARITY_SHOWN) {
		parity_ask(&run->behind, &p.c);
		if (run->queue)
			ret = run_queue(run, &p, &unseen, err);
		else
			run_behind(run, &p);
	}
	return ret < 0 ? ret : judge(run, &p, unseen, err);
}

/* Returns 0 at the end of the file, also an early one. */
static int run_all(struct run *run, struct capture *capture, struct err *err)
{
	struct replay_report *report = &run->report;
	struct capture_frame frame;
	int ret;

	while ((ret = capture_next(capture, &frame, &report->broken)) == 1) {
		ret = run_packet(run, &frame, err);
		if (ret < 0)
			return ret;
		report->packets++;
		report->cut += frame.cut;
		if (run->how->progress)
			run->how->progress(run->how->ctx, report);
	}
	report->complete = ret == 0;
	return ret == -N2X_SYSTEM ? err_set(err, N2X_SYSTEM, "%s", report->broken.text) : 0;
}

int replay_run(const struct replay *replay, struct replay_report *out, struct err *err)
{
	_cleanup_(run_end) struct run run = { .how = replay, .behind = replay->policy->df };
	_cleanup_(capture_closep) struct capture *capture = NULL;
	int ret = capture_open(replay->file, &capture, err);

	if (ret < 0)
		return ret;
	run.behind.encap = DF_ENCAP_NONE;
	snprintf(run.report.link, sizeof(run.report.link), "%s", capture_link(capture));
	ret = xdp_replay_open(&replay->policy->df, &run.xdp, err);
	if (ret == 0 && replay->live_queue)
		ret = replay_queue_open(replay->policy, &run.queue, err);
	if (ret == 0 && replay->example_dir)
		ret = parity_examples_open(replay->example_dir, &run.examples, err);
	if (ret == 0)
		ret = run_all(&run, capture, err);
	if (ret == 0 && run.examples)
		ret = parity_examples_close(TAKE_PTR(run.examples), err);
	if (ret == 0)
		*out = run.report;
	return ret;
}

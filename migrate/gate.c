// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/gate.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "core/netdev.h"
#include "core/util.h"

#define STALE_NS      1000000000U /* a look that took longer says nothing about one moment */
#define LOSS_FACTOR   2 /* packets between the two hooks may get lost as in SHADOW, and twice that */
#define PARITY_ENOUGH 30 /* pairs: without a difference, with 95 % confidence at most 10 % differ */
#define RATE_FALL     2 /* the traffic may fall to this part of what it was before the step */

const char *const gate_verdict_name[GATE_VERDICT_MAX] = {
	[GATE_PASS] = "pass",
	[GATE_INCONCLUSIVE] = "inconclusive",
	[GATE_FAIL] = "fail",
};

typedef void gate_fn(const struct gate_context *c, struct gate_result *r);

static __attribute__((format(printf, 3, 4))) void
say(struct gate_result *r, enum gate_verdict verdict, const char *format, ...)
{
	va_list args;

	r->verdict = verdict;
	va_start(args, format);
	vsnprintf(r->reading, sizeof(r->reading), format, args);
	va_end(args);
}

static __attribute__((format(printf, 2, 3))) void limit(struct gate_result *r, const char *format,
							...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(r->limit, sizeof(r->limit), format, args);
	va_end(args);
}

static enum gate_verdict fail_if(bool bad)
{
	return bad ? GATE_FAIL : GATE_PASS;
}

/* The reading itself. Nobody's fault that can be named; the other gates judge what they have. */
static void gate_reading(const struct gate_context *c, struct gate_result *r)
{
	limit(r, "read within 1 s");
	if (c->now->failed)
		say(r, GATE_INCONCLUSIVE, "%.90s", c->now->why.text);
	else
		say(r, c->now->took_ns > STALE_NS ? GATE_INCONCLUSIVE : GATE_PASS, "%.1f ms",
		    (double)c->now->took_ns / 1e6);
}

/* Link and program are ours, the same as at the begin of the step. */
static void gate_program(const struct gate_context *c, struct gate_result *r)
{
	const struct xdp_state *now = &c->now->status.xdp, *base = &c->base->status.xdp;

	limit(r, "ours, as at the step's begin");
	say(r, GATE_PASS, "%u of %u", now->n_points, base->n_points);
	if (now->n_points != base->n_points || !now->n_points)
		say(r, GATE_FAIL, "%u of %u attach points are left", now->n_points, base->n_points);
	for (unsigned int i = 0; i < now->n_points && r->verdict == GATE_PASS; i++) {
		const struct xdp_point *point = &now->point[i];

		if (!point->ours)
			say(r, GATE_FAIL, "%s: our program is not attached any more",
			    point->interface);
		else if (point->stub)
			say(r, GATE_FAIL, "%s: replaced by the one that does nothing",
			    point->interface);
		else if (memcmp(point->tag, base->point[i].tag, sizeof(point->tag)) != 0)
			say(r, GATE_FAIL, "%s: another program (id %u)", point->interface,
			    point->prog_id);
	}
}

static void gate_carrier(const struct gate_context *c, struct gate_result *r)
{
	limit(r, "every attach point");
	say(r, fail_if(c->now->carrier_down), "%u without", c->now->carrier_down);
}

static void gate_errors(const struct gate_context *c, struct gate_result *r)
{
	uint64_t errors = c->now->status.xdp.reason[DF_ERROR] -
			  c->base->status.xdp.reason[DF_ERROR];

	limit(r, "0");
	say(r, fail_if(errors), "%" PRIu64, errors);
}

/* a less b, not below 0. */
static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* Packets that XDP saw and that surely did not come to the end of the hook. */
static uint64_t lost(const struct gate_sample *base, const struct gate_sample *now)
{
	return less(now->status.arriving - base->status.arriving,
		    now->after.arrived - base->before.arrived + now->status.nfq.depth);
}

/* Packets at the end of the hook that XDP surely did not see. */
static uint64_t unseen(const struct gate_sample *base, const struct gate_sample *now)
{
	return less(now->before.arrived - base->after.arrived,
		    now->status.arriving - base->status.arriving + base->status.nfq.depth);
}

/* Packets that the queue rule saw although XDP says that it took them. */
static uint64_t twice(const struct gate_sample *base, const struct gate_sample *now)
{
	uint64_t left = now->status.matched - now->status.cleared;
	uint64_t left_base = base->status.matched - base->status.cleared;

	return less(now->before.queued - base->after.queued, left - left_base);
}

uint64_t gate_matched(const struct gate_context *c)
{
	return c->now->status.matched - c->base->status.matched;
}

/*
 * Packets that may be between XDP and the rule while the two are read: what comes in 10 ms, and at most
 * one NAPI budget (64) a CPU.
 */
static uint64_t in_flight(const struct gate_context *c)
{
	uint64_t most = 64 * (uint64_t)get_nprocs();
	uint64_t n;

	if (!c->last || c->now->at_ns <= c->last->at_ns)
		return most;
	n = 1 + (c->now->status.arriving - c->last->status.arriving) * 10000000 /
			(c->now->at_ns - c->last->at_ns);
	return n < most ? n : most;
}

static bool same_rules(const struct nft_counters *now, const struct nft_counters *base)
{
	return now->present && now->has_queue && now->has_leak && !now->foreign &&
	       now->owner == base->owner && now->queued >= base->queued &&
	       now->arrived >= base->arrived;
}

static bool same_fallback(const struct gate_context *c)
{
	const struct nfq_path_info *now = &c->now->status.nfq, *base = &c->base->status.nfq;

	return now->running && now->pid == base->pid && now->dropped == base->dropped &&
	       same_rules(&c->now->before, &c->base->before) &&
	       same_rules(&c->now->after, &c->base->after);
}

/*
 * in = xdp + nfqueue + passed: what XDP counted comes out behind both paths, and nothing else does. A
 * packet that arrives damaged is dropped by the stack between: so much may be lost as in SHADOW, twice.
 */
static void gate_conservation(const struct gate_context *c, struct gate_result *r)
{
	uint64_t n_lost = lost(c->base, c->now), n_unseen = unseen(c->base, c->now);
	uint64_t n_twice = twice(c->base, c->now), slack = in_flight(c);
	uint64_t seen = c->now->status.arriving - c->base->status.arriving;
	uint64_t allowed = slack;

	/* What waited in a queue that went is lost there, and counters that began anew say nothing. */
	if (!same_fallback(c)) {
		say(r, GATE_INCONCLUSIVE, "the NFQUEUE path or its rules changed");
		return;
	}
	if (!c->shadow) /* what is lost in SHADOW, we did not lose */
		allowed += n_lost;
	else if (c->shadow->status.arriving > c->first->status.arriving)
		allowed += (uint64_t)((double)seen * LOSS_FACTOR *
				      (double)lost(c->first, c->shadow) /
				      (double)(c->shadow->status.arriving -
					       c->first->status.arriving));
	limit(r, "lost %" PRIu64 ", not seen %" PRIu64 ", taken and queued %" PRIu64, allowed,
	      slack, slack);
	say(r, fail_if(n_lost > allowed || n_unseen > slack || n_twice > slack),
	    "lost %" PRIu64 ", not seen by XDP %" PRIu64 ", taken and queued %" PRIu64, n_lost,
	    n_unseen, n_twice);
}

/* Does the program do what the share says? Flows cannot be foretold: then only that it is not nothing. */
static void gate_share(const struct gate_context *c, struct gate_result *r)
{
	const struct df_ctl *ctl = &c->now->status.xdp.ctl;
	uint64_t taken = c->now->status.cleared - c->base->status.cleared;
	uint64_t matched = gate_matched(c), want = 0;
	/* nth is counted per CPU. And what was in flight as the step began. */
	uint64_t slack = in_flight(c) + (uint64_t)get_nprocs();

	if (ctl->share_kind == DF_SHARE_ALL)
		want = matched;
	else if (ctl->share_kind == DF_SHARE_NTH && ctl->share_n)
		want = matched / ctl->share_n;
	else if (ctl->share_kind == DF_SHARE_FLOW)
		want = taken;
	limit(r, "%" PRIu64 " of %" PRIu64 ", +-%" PRIu64, want, matched, slack);
	say(r, fail_if(less(taken, want) > slack || less(want, taken) > slack), "%" PRIu64, taken);
}

static void gate_leaks(const struct gate_context *c, struct gate_result *r)
{
	uint64_t leaked = less(c->now->status.nfq.nft.leaked, c->base->status.nfq.nft.leaked);

	limit(r, "0");
	say(r, fail_if(leaked), "%" PRIu64, leaked);
}

/* Bound, by the process that had it. */
static void gate_fallback(const struct gate_context *c, struct gate_result *r)
{
	const struct nfq_path_info *now = &c->now->status.nfq, *base = &c->base->status.nfq;

	limit(r, "runs, the same process");
	say(r, fail_if(!now->running || now->pid != base->pid), "%s, pid %d",
	    now->running ? "runs" : "does not run", now->pid);
}

/* The rules that feed it and count: ours, unchanged. */
static void gate_rules(const struct gate_context *c, struct gate_result *r)
{
	const struct nft_counters *now = &c->now->status.nfq.nft;
	bool same = same_rules(now, &c->base->status.nfq.nft);

	limit(r, "our table, counters that rise");
	say(r, fail_if(!same), "%s",
	    same           ? "ours"
	    : now->present ? "our table was changed"
			   : "our table is gone");
}

static void gate_queue(const struct gate_context *c, struct gate_result *r)
{
	const struct nfq_path_info *now = &c->now->status.nfq, *base = &c->base->status.nfq;
	uint64_t half = fallback_depth_limit(now);
	uint64_t dropped = less(now->dropped, base->dropped);
	uint64_t unmodified = less(now->unmodified, base->unmodified);
	/* While packets move it is derived; what leaks is counted exactly. */
	uint64_t slack = in_flight(c);

	limit(r, "waiting %" PRIu64 ", dropped 0, unmodified %" PRIu64, half, slack);
	say(r, fail_if(now->depth > half || dropped || unmodified > slack),
	    "waiting %" PRIu64 ", dropped %" PRIu64 ", unmodified %" PRIu64, now->depth, dropped,
	    unmodified);
}

/* Traffic that stops or falls proves nothing any more. */
static void gate_rate(const struct gate_context *c, struct gate_result *r)
{
	double seconds, rate;

	limit(r, "above %.0f/s", c->rate / RATE_FALL);
	if (!c->last || c->now->at_ns <= c->last->at_ns) {
		say(r, GATE_INCONCLUSIVE, "not known yet");
		return;
	}
	seconds = (double)(c->now->at_ns - c->last->at_ns) / 1e9;
	rate = (double)(c->now->status.matched - c->last->status.matched) / seconds;
	say(r, rate <= c->rate / RATE_FALL ? GATE_INCONCLUSIVE : GATE_PASS, "%.0f/s", rate);
}

/* The classes that are different, by whom, as far as there is room: XDP's are XDP's fault. */
static void name_differences(const struct parity_report *report, uint32_t accepted,
			     struct gate_result *r, char *out, size_t size)
{
	static const char *const side[] = { "XDP", "NFQUEUE" };
	size_t used = 0;

	for (int cause = 0; cause < PARITY_CLASS_MAX; cause++) {
		for (int i = 0; i < PARITY_SIDE_MAX && used < size; i++) {
			if (!report->class[cause][i] ||
			    (i == PARITY_BEHIND && accepted & PARITY_BIT(cause)))
				continue;
			if (i == PARITY_XDP || cause == PARITY_ONLY_BEHIND)
				r->blame = GATE_XDP;
			used += (size_t)snprintf(out + used, size - used, "%s%s by %s",
						 used ? ", " : "", parity_class_name[cause],
						 side[i]);
		}
	}
}

/* The bytes: what one path makes of a packet, the other makes, too. */
static void gate_parity(const struct gate_context *c, struct gate_result *r)
{
	const struct live_report *now = &c->now->live, *base = &c->base->live;
	uint64_t n = less(now->parity.compared, base->parity.compared);
	uint64_t different = less(now->parity.different, c->excused);
	char what[GATE_TEXT] = "";

	limit(r, "0 different of %u in this step", PARITY_ENOUGH);
	r->blame = GATE_FALLBACK;
	if (different) {
		name_differences(&now->parity, c->policy->parity.accept, r, what, sizeof(what));
		say(r, GATE_FAIL, "%" PRIu64 " of %" PRIu64 ": %s", different, now->parity.compared,
		    what);
	} else if (*now->broken.text) {
		say(r, GATE_INCONCLUSIVE, "%.90s", now->broken.text);
	} else {
		say(r, n < PARITY_ENOUGH ? GATE_INCONCLUSIVE : GATE_PASS, "0 of %" PRIu64, n);
	}
}

void gate_sample(const struct policy *policy, struct parity_live *live, struct gate_sample *out)
{
	struct gate_sample s = { .at_ns = machine_now_ns() };

	s.failed = nft_read(policy->interface, &s.before, &s.why);
	if (!s.failed)
		s.failed = machine_status(policy, &s.status, &s.why);
	if (!s.failed)
		s.failed = nft_read(policy->interface, &s.after, &s.why);
	for (unsigned int i = 0; i < policy->xdp.n_attach; i++)
		s.carrier_down += !netdev_running(policy->xdp.attach[i]);
	if (live)
		live_read(live, &s.live);
	s.took_ns = machine_now_ns() - s.at_ns;
	*out = s;
}

static void gate_enough(const struct gate_context *c, struct gate_result *r)
{
	uint64_t n = gate_matched(c);

	limit(r, "%u packets", c->policy->rollout.samples);
	say(r, n < c->policy->rollout.samples ? GATE_INCONCLUSIVE : GATE_PASS, "%" PRIu64, n);
}

static const struct gate {
	const char *name;
	enum gate_blame blame;
	gate_fn *run;
} gates[] = {
	{ "program", GATE_XDP, gate_program },   { "carrier", GATE_XDP, gate_carrier },
	{ "xdp-errors", GATE_XDP, gate_errors }, { "fallback", GATE_FALLBACK, gate_fallback },
	{ "rules", GATE_FALLBACK, gate_rules },  { "queue", GATE_FALLBACK, gate_queue },
	{ "leaks", GATE_FALLBACK, gate_leaks },  { "conservation", GATE_XDP, gate_conservation },
	{ "share", GATE_XDP, gate_share },       { "rate", GATE_XDP, gate_rate },
	{ "samples", GATE_XDP, gate_enough },    { "parity", GATE_XDP, gate_parity },
};

_Static_assert(ARRAY_SIZE(gates) + 1 <= GATES_MAX, "room for the reading and every gate");

unsigned int gates_run(const struct gate_context *context, struct gate_result out[GATES_MAX],
		       enum gate_verdict *worst)
{
	unsigned int n = 0;

	out[n] = (struct gate_result){ .name = "reading", .blame = GATE_XDP };
	gate_reading(context, &out[n++]);
	for (unsigned int i = 0; i < ARRAY_SIZE(gates) && !context->now->failed; i++) {
		if (gates[i].run == gate_parity && !context->now->live.one_in)
			continue; /* parity.sample: 0 */
		out[n] = (struct gate_result){ .name = gates[i].name, .blame = gates[i].blame };
		gates[i].run(context, &out[n++]);
	}
	*worst = GATE_PASS;
	for (unsigned int i = 0; i < n; i++)
		*worst = out[i].verdict > *worst ? out[i].verdict : *worst;
	return n;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/auto.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "core/instance.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/notify.h"
#include "core/util.h"
#include "migrate/metrics.h"
#include "migrate/parity_report.h"
#include "migrate/plan.h"

#define PERIOD_MS       1000
#define TRIAL_MS        250
#define TRIAL_PERIOD_MS 5
#define TRIAL_MARGIN    1.5
#define TRIAL_AGAIN_NS  10000000000U /* a refused step is tried again so often */

struct rollout {
	const struct policy *policy;
	const struct auto_observer *observer;
	struct xdp_ctl ctl;
	struct parity_live *live; /* NULL: parity.sample is 0 */
	struct journal journal;
	struct gate_sample first, shadow, base, last, now;
	bool have_base, have_last; /* the look at that moment was complete */
	struct share share; /* that this process wrote */
	uint32_t writes; /* of the share, as of then: any other is somebody else's */
	unsigned int step;
	uint64_t step_ns; /* when it began */
	uint64_t unsure_ns; /* since when it is inconclusive; 0: it is not */
	bool refused; /* the last trial */
	double rate; /* matching packets a second before this step */
	uint64_t excused; /* differences of the path behind that XDP's share outlived */
	struct auto_end end;
	struct err err;
};

static bool same(const struct share *a, const struct df_ctl *b)
{
	return a->kind == b->share_kind && a->n == b->share_n;
}

static uint32_t generation(const struct rollout *r)
{
	return r->ctl.map->generation;
}

static int finish(struct rollout *r, const char *reason)
{
	snprintf(r->end.reason, sizeof(r->end.reason), "%s", reason);
	return 1;
}

/* Back, for this reason. always: also when there is nothing to go back to. */
static int back(struct rollout *r, const char *reason, bool always)
{
	const struct rollback_how how = { .reason = reason, .always = always };
	int ret = rollback(r->policy, &how, &r->journal, &r->end.rollback, &r->err);

	r->end.rolled_back = true;
	if (ret < 0) {
		/* Not verified, or nobody there to carry it; whatever it is, XDP is out. */
		xdp_ctl_zero(&r->ctl);
		snprintf(r->end.reason, sizeof(r->end.reason), "%.200s; %.190s", reason,
			 r->err.text);
		return 1;
	}
	return finish(r, reason);
}

/* The step counts from this look on; if it failed, from the next that does not. */
static void set_base(struct rollout *r)
{
	r->base = r->now;
	r->have_base = !r->now.failed;
	/* What is lost in SHADOW is counted over the same stretch, by the same counters. */
	if (r->step == 0)
		r->first = r->now;
	r->step_ns = r->now.at_ns;
}

/* What was compared, since the rollout began. */
static void record_parity(struct rollout *r)
{
	struct live_report report;
	struct err ignored;

	if (!r->live)
		return;
	live_read(r->live, &report);
	journal_write(&r->journal, "parity", live_report_json(&report), false, &ignored);
}

static void begin_step(struct rollout *r)
{
	set_base(r);
	r->unsure_ns = 0;
	r->refused = false;
	xdp_ctl_flag(&r->ctl, DF_CTL_UNSURE, 0);
}

static void set_unsure(struct rollout *r, bool on)
{
	if (!on)
		r->unsure_ns = 0;
	else if (!r->unsure_ns)
		r->unsure_ns = machine_now_ns();
	xdp_ctl_flag(&r->ctl, DF_CTL_UNSURE, on);
}

/* The step counts anew from here. */
static void restart(struct rollout *r)
{
	gate_sample(r->policy, r->live, &r->now);
	set_base(r);
	r->have_last = false;
}

/* All of the traffic on the NFQUEUE path for a moment; what it took is what there is. */
static void watch_trial(struct rollout *r, struct auto_trial *trial)
{
	struct machine_status before, after;
	struct fallback_busy was, is;
	uint64_t start = machine_now_ns(), ns, busiest, depth;
	int ret = machine_status(r->policy, &before, &r->err);

	if (ret == 0)
		ret = fallback_busy(before.nfq.pid, &was);
	for (int ms = 0; ret == 0 && ms < TRIAL_MS; ms += TRIAL_PERIOD_MS) {
		poll(NULL, 0, TRIAL_PERIOD_MS);
		depth = fallback_depth(r->policy);
		if (depth > trial->deepest)
			trial->deepest = depth;
	}
	if (ret == 0)
		ret = machine_status(r->policy, &after, &r->err);
	if (ret == 0)
		ret = fallback_busy(after.nfq.pid, &is);
	ns = machine_now_ns() - start;
	if (ret < 0) {
		snprintf(trial->why, sizeof(trial->why), "the NFQUEUE path cannot be measured");
		return;
	}
	busiest = fallback_busiest_ns(&was, &is);
	trial->rate = (double)(after.matched - before.matched) * 1e9 / (double)ns;
	trial->capacity = (double)(after.nfq.handled - before.nfq.handled) * 1e9 /
			  (double)(busiest ? busiest : 1);
	if (after.nfq.handled == before.nfq.handled)
		snprintf(trial->why, sizeof(trial->why), "no packet came in %d ms", TRIAL_MS);
	else if (after.nfq.dropped != before.nfq.dropped ||
		 after.nfq.nft.leaked != before.nfq.nft.leaked ||
		 trial->deepest > fallback_depth_limit(&after.nfq))
		snprintf(trial->why, sizeof(trial->why),
			 "its queue overflowed: %" PRIu64 " waited at once", trial->deepest);
	else if (trial->capacity < trial->rate * TRIAL_MARGIN)
		snprintf(trial->why, sizeof(trial->why), "it can carry %.0f/s, %.0f/s are needed",
			 trial->capacity, trial->rate * TRIAL_MARGIN);
	else
		trial->ok = true;
}

/* A3. Returns 1 when it may go up, 0 when not yet, -1 when the share is not ours any more. */
static int try_fallback(struct rollout *r)
{
	struct auto_trial trial = { 0 };
	struct err ignored;

	if (r->share.kind != DF_SHARE_NONE && xdp_ctl_trial(&r->ctl, &r->share, &r->err) < 0)
		return -1;
	watch_trial(r, &trial);
	if (r->share.kind != DF_SHARE_NONE && xdp_ctl_trial_end(&r->ctl, &r->share, &r->err) < 0)
		return -1;
	journal_write(&r->journal, "trial",
		      json_pack("{s:f, s:f, s:I, s:b, s:s}", "rate", trial.rate, "capacity",
				trial.capacity, "deepest", (json_int_t)trial.deepest, "ok",
				(int)trial.ok, "why", trial.why),
		      false, &ignored);
	r->observer->trial(r->observer->ctx, &trial);
	r->refused = !trial.ok;
	if (trial.ok)
		return 1;
	/* The step lasts once more, counted without this moment. */
	restart(r);
	set_unsure(r, true);
	return 0;
}

static struct gate_context context(const struct rollout *r)
{
	return (struct gate_context){
		.policy = r->policy,
		.first = &r->first,
		.shadow = r->step ? &r->shadow : NULL,
		.base = &r->base,
		.last = r->have_last ? &r->last : NULL,
		.now = &r->now,
		.rate = r->rate,
		.excused = r->excused,
	};
}

static double per_second(uint64_t now, uint64_t last, uint64_t ns)
{
	return ns && now > last ? (double)(now - last) * 1e9 / (double)ns : 0;
}

static void observe(struct rollout *r, struct auto_second *s)
{
	const struct df_ctl *map = r->ctl.map;
	uint64_t now = r->now.status.xdp.now, ns = r->now.at_ns - r->last.at_ns;
	const struct gate_context c = context(r);

	s->state = r->now.status.state;
	s->step = r->step;
	s->share = r->share;
	s->generation = map->generation;
	s->samples = r->now.failed ? 0 : gate_matched(&c);
	s->in_step_ns = r->now.at_ns - r->step_ns;
	s->lease_left_ns = xdp_ctl_left_ns(map, now, map->deadline);
	s->confirm_left_ns = xdp_ctl_left_ns(map, now, map->confirm_by);
	s->rates_known = r->have_last && !r->now.failed;
	if (s->rates_known) {
		s->xdp_rate = per_second(r->now.status.cleared, r->last.status.cleared, ns);
		s->nfqueue_rate = per_second(r->now.status.nfq.handled, r->last.status.nfq.handled,
					     ns);
	}
	r->observer->second(r->observer->ctx, s);
}

/* Every reading of every gate, as the report needs it. */
static bool record(struct rollout *r, const struct auto_second *s)
{
	json_t *gates = json_array();
	char share[32];

	for (unsigned int i = 0; i < s->n_gates; i++)
		json_array_append_new(gates, json_pack("[s, s, s, s]", s->gate[i].name,
						       gate_verdict_name[s->gate[i].verdict],
						       s->gate[i].reading, s->gate[i].limit));
	return journal_write(
		       &r->journal, "gates",
		       json_pack("{s:s, s:i, s:s, s:o*, s:o*, s:I, s:o, s:o*}", "state",
				 r->now.failed ? "unknown" : machine_state_name[s->state], "step",
				 (int)s->step, "share",
				 share_format(&s->share, share, sizeof(share)), "xdp_rate",
				 s->rates_known ? json_real(s->xdp_rate) : NULL, "nfqueue_rate",
				 s->rates_known ? json_real(s->nfqueue_rate) : NULL, "samples",
				 (json_int_t)s->samples, "gates", gates, "counters",
				 r->now.failed ? NULL : machine_counters(&r->now.status)),
		       true, &r->err) == 0;
}

/* The worst failure, XDP's before the way back's: then the packets do not stay with XDP. */
static const struct gate_result *failed(const struct auto_second *s)
{
	const struct gate_result *found = NULL;

	for (unsigned int i = 0; i < s->n_gates; i++)
		if (s->gate[i].verdict == GATE_FAIL &&
		    (!found || (found->blame == GATE_FALLBACK && s->gate[i].blame == GATE_XDP)))
			found = &s->gate[i];
	return found;
}

/* Is a reading missing? Too few samples are no more than "not yet" until the step has lasted. */
static bool unsure(const struct rollout *r, const struct auto_second *s)
{
	bool early = s->in_step_ns <= r->policy->rollout.hold_ns;

	for (unsigned int i = 0; i < s->n_gates; i++) {
		bool samples = !strcmp(s->gate[i].name, "samples");
		bool rate = !strcmp(s->gate[i].name, "rate");

		samples = samples || !strcmp(s->gate[i].name, "parity");

		if (s->gate[i].verdict == GATE_INCONCLUSIVE && !(samples && early) &&
		    !(rate && !r->have_last))
			return true;
	}
	return false;
}

static int fail(struct rollout *r, const struct gate_result *gate)
{
	char reason[256];

	snprintf(reason, sizeof(reason), "gate %s: %s (limit: %s)", gate->name, gate->reading,
		 gate->limit);
	if (gate->blame == GATE_XDP)
		return back(r, reason, true);
	if (r->policy->rollout.on_legacy_down == LEGACY_DOWN_PASS || r->share.kind == DF_SHARE_NONE)
		return back(r, reason, true);
	/* XDP is well and the way back is not: XDP keeps what it has, and takes no more until the way back
	 * has been well for a whole step. */
	if (r->live)
		live_forget(r->live);
	restart(r);
	r->excused = r->now.live.parity.different;
	set_unsure(r, true);
	return 0;
}

/* No step up: what happened since this second's gates? They have a name for it. */
static int refused(struct rollout *r)
{
	const struct err why = r->err;
	struct auto_second s = { 0 };
	struct gate_context c;
	const struct gate_result *bad;

	gate_sample(r->policy, r->live, &r->now);
	c = context(r);
	s.n_gates = gates_run(&c, s.gate, &s.worst);
	bad = failed(&s);
	return bad ? fail(r, bad) : back(r, why.text, false);
}

static int step_up(struct rollout *r)
{
	const struct share *to = &r->policy->rollout.steps[r->step];
	const struct machine_raise how = { .to = *to,
					   .lease_ns = r->policy->rollout.lease_ns,
					   .step = r->step + 1,
					   .writes = &r->writes };
	struct machine_move move;
	int ret;

	if (r->step == 0)
		r->shadow = r->now;
	if (r->have_last)
		r->rate = (double)(r->now.status.matched - r->base.status.matched) * 1e9 /
			  (double)(r->now.at_ns - r->base.at_ns);
	ret = machine_raise(r->policy, &how, &r->journal, &move, &r->err);
	if (ret < 0)
		return refused(r);
	r->share = *to;
	r->writes = r->ctl.map->writes;
	r->step++;
	record_parity(r);
	gate_sample(r->policy, r->live, &r->now);
	begin_step(r);
	r->observer->step(r->observer->ctx, r->step, &move);
	return 0;
}

/* What somebody or the kernel did since the last look. Returns 1 when that ends the rollout. */
static int look_around(struct rollout *r)
{
	const struct df_ctl *map = r->ctl.map;
	uint64_t now = xdp_ctl_now(&r->ctl);

	if (map->confirmed == map->generation && same(&r->share, map)) {
		r->end.confirmed = true;
		return finish(r, "confirmed");
	}
	if (!same(&r->share, map) || map->writes != r->writes) {
		r->end.rolled_back = map->share_kind == DF_SHARE_NONE;
		return finish(r, "somebody else moved the share");
	}
	if (map->confirm_by && now >= map->confirm_by)
		return back(r, "nobody confirmed in time", true);
	if (map->deadline && now >= map->deadline)
		return back(
			r,
			"the lease ran out: this process did not run, or its checks did not pass",
			true);
	return 0;
}

/* Up, when the step has lasted, everything passed and the way back has shown what it can carry. */
static int go_on(struct rollout *r, const struct auto_second *s)
{
	bool held = r->ctl.map->flags & DF_CTL_HELD;
	int ret;

	if (held || s->in_step_ns < r->policy->rollout.hold_ns || s->worst != GATE_PASS ||
	    r->step == r->policy->rollout.n_steps)
		return 0;
	xdp_ctl_extend(&r->ctl, r->policy->rollout.lease_ns, &r->err);
	ret = try_fallback(r);
	if (ret > 0)
		return step_up(r);
	return 0; /* below 0: the next look says what it was */
}

static int judge(struct rollout *r, struct auto_second *s)
{
	const struct gate_context c = context(r);
	const struct gate_result *bad;

	s->n_gates = gates_run(&c, s->gate, &s->worst);
	observe(r, s);
	/* An own gate: it is judged by what it says itself. */
	if (!record(r, s)) {
		struct gate_result full = { .name = "journal", .limit = "on the disk" };

		snprintf(full.reading, sizeof(full.reading), "%.90s", r->err.text);
		return fail(r, &full);
	}
	bad = failed(s);
	if (bad && fail(r, bad))
		return 1;
	if (!bad)
		set_unsure(r, unsure(r, s) || r->refused);
	/* A1: blind is not extended. */
	if (r->share.kind != DF_SHARE_NONE && !r->now.failed)
		xdp_ctl_extend(&r->ctl, r->policy->rollout.lease_ns, &r->err);
	if (!bad && r->unsure_ns && !(r->ctl.map->flags & DF_CTL_HELD) &&
	    machine_now_ns() - r->unsure_ns > r->policy->rollout.give_up_ns)
		return back(r, "inconclusive for too long", true);
	return go_on(r, s);
}

static int tick(void *ctx)
{
	struct rollout *r = ctx;
	struct auto_second second = { 0 };
	int ret = look_around(r);

	if (ret)
		return ret;
	gate_sample(r->policy, r->live, &r->now);
	if (!r->now.failed && !r->have_base)
		set_base(r);
	if (r->live && !r->now.failed)
		metrics_publish(r->policy->interface, &r->now.live);
	ret = judge(r, &second);
	if (!r->now.failed) {
		r->last = r->now;
		r->have_last = true;
	}
	return ret;
}

/* What is there when it begins: a rollout that was cut off begins anew, one that is confirmed is over. */
static int begin(struct rollout *r, bool local_only, struct err *err)
{
	const struct rollback_how how = { .reason = "a rollout that was cut off begins anew" };
	struct machine_start start = { .local_only = local_only };
	struct machine_status status;
	int ret = machine_status(r->policy, &status, err);

	if (ret < 0)
		return ret;
	if (status.state == MACHINE_CONFIRMED || status.state == MACHINE_DONE) {
		r->end.confirmed = true;
		snprintf(r->end.reason, sizeof(r->end.reason), "%s already: nothing to roll out",
			 machine_state_name[status.state]);
		return 0;
	}
	r->journal.generation = status.xdp.ctl.generation;
	if (status.state != MACHINE_IDLE)
		ret = rollback(r->policy, &how, &r->journal, &r->end.rollback, err);
	if (ret == 0)
		ret = plan_preflight(r->policy, local_only, err);
	if (ret == 0)
		ret = machine_start(r->policy, &start, &r->journal, err);
	if (ret == 0)
		ret = xdp_ctl_open(r->policy->interface, &r->ctl, err);
	if (ret == 0)
		ret = machine_status(r->policy, &status, err);
	if (ret == 0 && status.n_problems)
		ret = err_set(err, N2X_NO, "%s: refused: %s", r->policy->interface,
			      status.problem[0]);
	if (ret < 0)
		return ret;
	r->journal.generation = generation(r);
	r->writes = r->ctl.map->writes;
	if (r->policy->parity.sample)
		ret = live_open(r->policy, NULL, &r->live, err);
	if (ret < 0)
		return ret;
	gate_sample(r->policy, r->live, &r->now);
	if (r->now.failed) {
		*err = r->now.why;
		return r->now.failed;
	}
	begin_step(r);
	return 0;
}

static void down(struct rollout *r)
{
	live_close(r->live);
	xdp_ctl_close(&r->ctl);
	journal_close(&r->journal);
}

/* A third of the lease, so that one look that is late does not end it. */
static unsigned int period_ms(const struct policy *policy)
{
	uint64_t third = policy->rollout.lease_ns / 3 / 1000000;

	return third < PERIOD_MS ? (unsigned int)third : PERIOD_MS;
}

int auto_run(const struct policy *policy, bool local_only, const struct auto_observer *observer,
	     struct auto_end *end, struct err *err)
{
	_cleanup_(down) struct rollout r = {
		.policy = policy,
		.observer = observer,
		.ctl.clock_fd = -1,
		.journal.fd = -1,
	};
	const struct loop loop = {
		.fd = -1, .tick = tick, .ctx = &r, .period_ms = period_ms(policy)
	};
	_cleanup_close_ int lock = -1;
	struct err ignored;
	int ret;

	loop_hold_signals();
	ret = lock = instance_lock(policy->interface, "auto", err);
	if (ret >= 0)
		ret = journal_open(policy->interface, &r.journal, err);
	if (ret == 0)
		ret = begin(&r, local_only, err);
	if (ret < 0)
		return ret;
	if (r.end.confirmed) {
		log_info("%s: %s", policy->interface, r.end.reason);
		notify("READY=1");
		*end = r.end;
		return 0;
	}
	ret = loop_wait(&loop);
	/* A2: a signal, a lost terminal, no memory: back. */
	if (ret != LOOP_TICK)
		back(&r, ret < 0 ? "cannot set up the event loop" : "told to stop", true);
	if (r.ctl.map->flags & DF_CTL_UNSURE)
		xdp_ctl_flag(&r.ctl, DF_CTL_UNSURE, 0);
	record_parity(&r);
	journal_write(&r.journal, "end",
		      json_pack("{s:b, s:b, s:s}", "confirmed", (int)r.end.confirmed, "rolled_back",
				(int)r.end.rolled_back, "reason", r.end.reason),
		      true, &ignored);
	*end = r.end;
	if (r.end.confirmed)
		return 0;
	return err_set(err, N2X_ROLLED_BACK, "%s: rolled back: %s", policy->interface,
		       r.end.reason);
}

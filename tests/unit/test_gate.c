// SPDX-License-Identifier: GPL-2.0-only
/* migrate/gate.c: every gate by its name, at its limit and one past it, on samples made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include <cmocka.h>

#include "core/util.h"
#include "migrate/gate.h"

#define SEC   1000000000ULL
#define SLACK 11 /* what a scene has in flight: 10 ms of 1,000 a second, and one */
#define PID   4711

/*
 * Ten seconds of SHADOW, then ten of share 1/10. Each second XDP sees 1,000 packets, 800 of them
 * match, all of them come out. Every gate passes.
 */
struct scene {
	struct policy policy;
	struct gate_sample first, shadow, base, last, now;
	struct gate_context c;
	struct gate_result result[GATES_MAX];
	unsigned int n;
	enum gate_verdict worst;
};

static void set_arrived(struct gate_sample *s, uint64_t arrived)
{
	s->before.arrived = s->after.arrived = s->status.nfq.nft.arrived = arrived;
}

static void set_queued(struct gate_sample *s, uint64_t queued)
{
	s->before.queued = s->after.queued = s->status.nfq.nft.queued = queued;
}

/* XDP took so many of what it has seen: the rule saw the others. */
static void set_cleared(struct gate_sample *s, uint64_t cleared)
{
	s->status.cleared = cleared;
	set_queued(s, s->status.matched - cleared);
}

static struct gate_sample sample_at(uint64_t second, uint64_t cleared)
{
	static const struct nft_counters ours = {
		.present = true, .owner = 1234, .has_queue = true, .has_leak = true
	};
	struct gate_sample s = {
		.at_ns = second * SEC,
		.took_ns = 2500000,
		.before = ours,
		.after = ours,
		.status = { .xdp = { .n_points = 2,
				     .ctl = { .share_kind = DF_SHARE_NTH, .share_n = 10 } },
			    .nfq = { .running = true, .pid = PID, .threads = 1, .nft = ours },
			    .arriving = second * 1000,
			    .matched = second * 800 },
	};

	for (unsigned int i = 0; i < 2; i++)
		s.status.xdp.point[i] = (struct xdp_point){
			.interface = "vxlan0", .ours = true, .prog_id = 30 + i, .tag = { 0xab }
		};
	s.status.xdp.point[1].interface[5] = '1';
	set_arrived(&s, s.status.arriving);
	set_cleared(&s, cleared);
	return s;
}

static int scene_begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	if (!s)
		return -1;
	s->policy.rollout.samples = 1000;
	s->first = sample_at(1, 0);
	s->shadow = s->base = sample_at(11, 0);
	s->last = sample_at(20, 720);
	s->now = sample_at(21, 800);
	s->c = (struct gate_context){ .policy = &s->policy,
				      .first = &s->first,
				      .shadow = &s->shadow,
				      .base = &s->base,
				      .last = &s->last,
				      .now = &s->now,
				      .rate = 800 };
	*state = s;
	return 0;
}

static int scene_end(void **state)
{
	free(*state);
	return 0;
}

static const struct gate_result *find(const struct scene *s, const char *name)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (!strcmp(s->result[i].name, name))
			return &s->result[i];
	fail_msg("no gate \"%s\"", name);
	return NULL;
}

static void run(struct scene *s)
{
	memset(s->result, 0xa5, sizeof(s->result));
	s->worst = GATE_VERDICT_MAX;
	s->n = gates_run(&s->c, s->result, &s->worst);
	assert_in_range(s->n, 1, GATES_MAX);
}

/* Runs all; this one says so. */
static void check(struct scene *s, const char *name, enum gate_verdict verdict, const char *reading)
{
	const struct gate_result *r;

	run(s);
	r = find(s, name);
	if (r->verdict != verdict || strcmp(r->reading, reading) != 0)
		fail_msg("%s: %s: \"%s\", not %s: \"%s\"", name, gate_verdict_name[r->verdict],
			 r->reading, gate_verdict_name[verdict], reading);
}

/* And every other passes. */
static void check_only(struct scene *s, const char *name, enum gate_verdict verdict,
		       const char *reading)
{
	check(s, name, verdict, reading);
	assert_int_equal(s->n, 12);
	assert_int_equal(s->worst, verdict);
	for (unsigned int i = 0; i < s->n; i++)
		if (s->result[i].verdict != GATE_PASS && strcmp(s->result[i].name, name) != 0)
			fail_msg("%s, too: \"%s\"", s->result[i].name, s->result[i].reading);
}

/* Passes at n and fails one past it; the rest is not asked. */
#define check_limit(s, name, at, past, change)        \
	do {                                          \
		check(s, name, GATE_PASS, at);        \
		(change);                             \
		check_only(s, name, GATE_FAIL, past); \
	} while (0)

static void check_says_limit(struct scene *s, const char *name, const char *limit)
{
	run(s);
	assert_string_equal(find(s, name)->limit, limit);
}

static void test_names_and_blame(void **state)
{
	static const struct {
		const char *name;
		enum gate_blame blame;
		const char *reading, *limit;
	} want[] = {
		{ "reading", GATE_XDP, "2.5 ms", "read within 1 s" },
		{ "program", GATE_XDP, "2 of 2", "ours, as at the step's begin" },
		{ "carrier", GATE_XDP, "0 without", "every attach point" },
		{ "xdp-errors", GATE_XDP, "0", "0" },
		{ "fallback", GATE_FALLBACK, "runs, pid 4711", "runs, the same process" },
		{ "rules", GATE_FALLBACK, "ours", "our table, counters that rise" },
		{ "queue", GATE_FALLBACK, "waiting 0, dropped 0, unmodified 0",
		  "waiting 4096, dropped 0, unmodified 11" },
		{ "leaks", GATE_FALLBACK, "0", "0" },
		{ "conservation", GATE_XDP, "lost 0, not seen by XDP 0, taken and queued 0",
		  "lost 11, not seen 11, taken and queued 11" },
		{ "share", GATE_XDP, "800", NULL }, /* its limit depends on the CPUs */
		{ "rate", GATE_XDP, "800/s", "above 400/s" },
		{ "samples", GATE_XDP, "8000", "1000 packets" },
	};
	struct scene *s = *state;

	run(s);
	assert_int_equal(s->n, ARRAY_SIZE(want));
	assert_int_equal(s->worst, GATE_PASS);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_string_equal(s->result[i].name, want[i].name);
		assert_int_equal(s->result[i].blame, want[i].blame);
		assert_int_equal(s->result[i].verdict, GATE_PASS);
		assert_string_equal(s->result[i].reading, want[i].reading);
		if (want[i].limit)
			assert_string_equal(s->result[i].limit, want[i].limit);
	}
	assert_int_equal(gate_matched(&s->c), 8000);
	assert_string_equal(gate_verdict_name[GATE_PASS], "pass");
	assert_string_equal(gate_verdict_name[GATE_INCONCLUSIVE], "inconclusive");
	assert_string_equal(gate_verdict_name[GATE_FAIL], "fail");
}

/* Wherever in the order it stands, the worst counts. */
static void test_worst(void **state)
{
	struct scene *s = *state;

	s->policy.rollout.samples = 8001;
	check_only(s, "samples", GATE_INCONCLUSIVE, "8000");
	s->now.status.xdp.point[0].ours = false;
	check(s, "samples", GATE_INCONCLUSIVE, "8000");
	assert_int_equal(s->worst, GATE_FAIL);
	s->now.took_ns = 2 * SEC;
	check(s, "reading", GATE_INCONCLUSIVE, "2000.0 ms");
	assert_int_equal(s->worst, GATE_FAIL);
	s->now.status.xdp.point[0].ours = true;
	run(s);
	assert_int_equal(s->worst, GATE_INCONCLUSIVE);
}

static void test_reading(void **state)
{
	struct scene *s = *state;

	s->now.took_ns = SEC;
	check_only(s, "reading", GATE_PASS, "1000.0 ms");
	s->now.took_ns = SEC + 1;
	check_only(s, "reading", GATE_INCONCLUSIVE, "1000.0 ms");
}

/* G1: what was not read is judged by nobody, whatever stands there. */
static void test_reading_failed(void **state)
{
	struct scene *s = *state;

	memset(&s->now.status, 0, sizeof(s->now.status));
	s->now.carrier_down = 1;
	s->now.failed = -N2X_SYSTEM;
	memset(s->now.why.text, 'x', 200);
	check(s, "reading", GATE_INCONCLUSIVE,
	      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	assert_int_equal(s->n, 1);
	assert_int_equal(s->worst, GATE_INCONCLUSIVE);
	snprintf(s->now.why.text, sizeof(s->now.why.text), "netlink: %%s");
	check(s, "reading", GATE_INCONCLUSIVE, "netlink: %s");
}

static void test_program(void **state)
{
	struct scene *s = *state;
	struct xdp_state *xdp = &s->now.status.xdp;

	xdp->point[1].prog_id = 99; /* loaded anew, the same instructions */
	check_only(s, "program", GATE_PASS, "2 of 2");
	xdp->point[1].tag[7] = 1;
	check_only(s, "program", GATE_FAIL, "vxlan1: another program (id 99)");
	xdp->point[1].stub = true;
	check_only(s, "program", GATE_FAIL, "vxlan1: replaced by the one that does nothing");
	xdp->point[1].ours = false;
	check_only(s, "program", GATE_FAIL, "vxlan1: our program is not attached any more");
	xdp->n_points = 1;
	check_only(s, "program", GATE_FAIL, "1 of 2 attach points are left");
	xdp->n_points = 0;
	check_only(s, "program", GATE_FAIL, "0 of 2 attach points are left");
	s->base.status.xdp.n_points = 0;
	check_only(s, "program", GATE_FAIL, "0 of 0 attach points are left");
}

static void test_carrier_and_errors(void **state)
{
	struct scene *s = *state;

	s->now.carrier_down = 1;
	check_only(s, "carrier", GATE_FAIL, "1 without");
	s->now.carrier_down = 0;
	s->base.status.xdp.reason[DF_ERROR] = 5;
	s->now.status.xdp.reason[DF_ERROR] = 5;
	check_only(s, "xdp-errors", GATE_PASS, "0");
	s->now.status.xdp.reason[DF_ERROR] = 6;
	check_only(s, "xdp-errors", GATE_FAIL, "1");
}

static void test_fallback(void **state)
{
	struct scene *s = *state;

	s->now.status.nfq.pid = PID + 1;
	check(s, "fallback", GATE_FAIL, "runs, pid 4712");
	s->now.status.nfq.pid = PID;
	s->now.status.nfq.running = false;
	check(s, "fallback", GATE_FAIL, "does not run, pid 4711");
	assert_int_equal(s->worst, GATE_FAIL);
}

static void test_queue_length(void **state)
{
	static const struct {
		uint16_t threads;
		bool external;
		unsigned int half;
	} of[] = {
		{ 1, false, 4096 }, { 2, false, 8192 }, { 16, false, 65536 },
		{ 0, false, 4096 }, { 0, true, 512 },   { 4, true, 2048 },
	};
	struct nfq_path_info *nfq = &((struct scene *)*state)->now.status.nfq;
	char text[GATE_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		nfq->threads = of[i].threads;
		nfq->external = of[i].external;
		snprintf(text, sizeof(text), "waiting %u, dropped 0, unmodified 11", of[i].half);
		check_says_limit(*state, "queue", text);
		for (unsigned int past = 0; past < 2; past++) {
			nfq->depth = of[i].half + past;
			snprintf(text, sizeof(text), "waiting %u, dropped 0, unmodified 0",
				 of[i].half + past);
			check_only(*state, "queue", past ? GATE_FAIL : GATE_PASS, text);
		}
	}
}

static void test_queue_losses(void **state)
{
	struct scene *s = *state;

	s->base.status.nfq.unmodified = 100;
	s->now.status.nfq.unmodified = 100 + SLACK;
	check_limit(s, "queue", "waiting 0, dropped 0, unmodified 11",
		    "waiting 0, dropped 0, unmodified 12", s->now.status.nfq.unmodified++);
	s->now.status.nfq.unmodified = 99; /* derived: it may fall */
	check_only(s, "queue", GATE_PASS, "waiting 0, dropped 0, unmodified 0");
	s->base.status.nfq.dropped = s->now.status.nfq.dropped = 7;
	check_only(s, "queue", GATE_PASS, "waiting 0, dropped 0, unmodified 0");
	s->now.status.nfq.dropped = 8;
	check(s, "queue", GATE_FAIL, "waiting 0, dropped 1, unmodified 0");
	assert_int_equal(s->worst, GATE_FAIL);
}

static void test_leaks(void **state)
{
	struct scene *s = *state;

	s->base.status.nfq.nft.leaked = s->now.status.nfq.nft.leaked = 3;
	check_limit(s, "leaks", "0", "1", s->now.status.nfq.nft.leaked++);
}

/* What makes a table another than the one at the begin of the step: n of them. */
static unsigned int changed(const struct nft_counters *now, const struct nft_counters *base,
			    struct nft_counters out[8])
{
	unsigned int n = 0;

	out[n] = *now, out[n++].present = false;
	out[n] = *now, out[n++].has_queue = false;
	out[n] = *now, out[n++].has_leak = false;
	out[n] = *now, out[n++].foreign = true;
	out[n] = *now, out[n++].owner++;
	out[n] = *now, out[n++].queued = base->queued - 1;
	out[n] = *now, out[n++].arrived = base->arrived - 1;
	return n;
}

static void test_rules(void **state)
{
	struct scene *s = *state;
	struct nft_counters *nft = &s->now.status.nfq.nft, is[8];
	unsigned int n = changed(nft, &s->base.status.nfq.nft, is);

	for (unsigned int i = 0; i < n; i++) {
		*nft = is[i];
		check_only(s, "rules", GATE_FAIL,
			   i ? "our table was changed" : "our table is gone");
	}
	*nft = s->base.status.nfq.nft; /* nothing came: not fallen */
	check_only(s, "rules", GATE_PASS, "ours");
}

/* Packets lost between XDP and the end of the hook. */
static void test_lost(void **state)
{
	struct scene *s = *state;

	set_arrived(&s->now, 21000 - SLACK);
	check_limit(s, "conservation", "lost 11, not seen by XDP 0, taken and queued 0",
		    "lost 12, not seen by XDP 0, taken and queued 0",
		    set_arrived(&s->now, 21000 - SLACK - 1));
	/* The bracket: what came between its two readings is not lost. */
	s->now.after.arrived = 21000;
	check_only(s, "conservation", GATE_PASS, "lost 0, not seen by XDP 0, taken and queued 0");
	s->base.before.arrived = 11000 - 500;
	set_arrived(&s->now, 21000 - 500 - SLACK - 1);
	check_only(s, "conservation", GATE_FAIL, "lost 12, not seen by XDP 0, taken and queued 0");
}

/* Packets that came to the end of the hook past XDP. */
static void test_unseen(void **state)
{
	struct scene *s = *state;

	set_arrived(&s->now, 21000 + SLACK);
	check_limit(s, "conservation", "lost 0, not seen by XDP 11, taken and queued 0",
		    "lost 0, not seen by XDP 12, taken and queued 0",
		    set_arrived(&s->now, 21000 + SLACK + 1));
	s->now.before.arrived = 21000;
	check_only(s, "conservation", GATE_PASS, "lost 0, not seen by XDP 0, taken and queued 0");
	set_arrived(&s->now, 21000 + SLACK + 1);
	s->base.after.arrived = 11001;
	check_only(s, "conservation", GATE_PASS, "lost 0, not seen by XDP 11, taken and queued 0");
}

/* Packets that XDP took and the queue rule saw. */
static void test_twice(void **state)
{
	struct scene *s = *state;

	set_queued(&s->now, 16000 + SLACK);
	check_limit(s, "conservation", "lost 0, not seen by XDP 0, taken and queued 11",
		    "lost 0, not seen by XDP 0, taken and queued 12",
		    set_queued(&s->now, 16000 + SLACK + 1));
	s->now.before.queued = 16000;
	check_only(s, "conservation", GATE_PASS, "lost 0, not seen by XDP 0, taken and queued 0");
	set_queued(&s->now, 16000 + SLACK + 1);
	s->base.after.queued = 8801;
	check_only(s, "conservation", GATE_PASS, "lost 0, not seen by XDP 0, taken and queued 11");
}

/* What waits now was seen by XDP and is not out; what waited at the begin was seen before. */
static void test_depth(void **state)
{
	struct scene *s = *state;

	s->now.status.nfq.depth = 300;
	set_arrived(&s->now, 21000 - 300 - SLACK);
	check_limit(s, "conservation", "lost 11, not seen by XDP 0, taken and queued 0",
		    "lost 12, not seen by XDP 0, taken and queued 0", s->now.status.nfq.depth--);
	s->base.status.nfq.depth = 300;
	check_only(s, "conservation", GATE_FAIL, "lost 12, not seen by XDP 0, taken and queued 0");
	s->now.status.nfq.depth = 0;
	set_arrived(&s->now, 21000 + 300 + SLACK);
	check_limit(s, "conservation", "lost 0, not seen by XDP 11, taken and queued 0",
		    "lost 0, not seen by XDP 12, taken and queued 0", s->base.status.nfq.depth--);
	s->now.status.nfq.depth = 300;
	check_only(s, "conservation", GATE_FAIL, "lost 0, not seen by XDP 12, taken and queued 0");
}

/* In flight is what comes in 10 ms and one more, at most 64 a CPU; so many where no rate is known. */
static void test_slack(void **state)
{
	const unsigned int most = 64 * (unsigned int)get_nprocs();
	const struct {
		uint64_t last_ns, arriving;
		unsigned int slack;
	} of[] = {
		{ 20 * SEC, 0, 1 },
		{ 20 * SEC, 99, 1 },
		{ 20 * SEC, 100, 2 },
		{ 20 * SEC, 5000, 51 },
		{ 21 * SEC - SEC / 2, 2500, 51 },
		{ 20 * SEC, 6299, 63 },
		{ 20 * SEC, 6300, 64 },
		{ 20 * SEC, 100ULL * most, most },
		{ 20 * SEC, 100000000, most },
		{ 21 * SEC, 0, most }, /* no time has gone by */
		{ 22 * SEC, 0, most },
	};
	struct scene *s = *state;
	char text[GATE_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		s->last.at_ns = of[i].last_ns;
		s->last.status.arriving = s->now.status.arriving - of[i].arriving;
		snprintf(text, sizeof(text), "lost %u, not seen %u, taken and queued %u",
			 of[i].slack, of[i].slack, of[i].slack);
		check_says_limit(s, "conservation", text);
	}
	s->c.last = NULL;
	snprintf(text, sizeof(text), "lost %u, not seen %u, taken and queued %u", most, most, most);
	check_says_limit(s, "conservation", text);
	set_arrived(&s->now, 21000 + most);
	run(s);
	assert_int_equal(find(s, "conservation")->verdict, GATE_PASS);
	set_arrived(&s->now, 21000 + most + 1);
	run(s);
	assert_int_equal(find(s, "conservation")->verdict, GATE_FAIL);
}

/* 100 of 10,000 arrived damaged in SHADOW: twice that part may be lost, of what was seen since. */
static void test_damaged(void **state)
{
	struct scene *s = *state;

	set_arrived(&s->shadow, 11000 - 100);
	s->base = s->shadow;
	set_arrived(&s->now, 21000 - 100 - 200 - SLACK);
	check_limit(s, "conservation", "lost 211, not seen by XDP 0, taken and queued 0",
		    "lost 212, not seen by XDP 0, taken and queued 0",
		    set_arrived(&s->now, 21000 - 100 - 200 - SLACK - 1));
	assert_string_equal(find(s, "conservation")->limit,
			    "lost 211, not seen 11, taken and queued 11");
	/* That is for what is lost alone. */
	set_arrived(&s->now, 21000 - 100 + SLACK + 1);
	check_only(s, "conservation", GATE_FAIL, "lost 0, not seen by XDP 12, taken and queued 0");
	/* Half of the traffic: half of the losses. */
	s->base.status.arriving += 5000;
	set_arrived(&s->base, 11000 - 100 + 5000);
	check_says_limit(s, "conservation", "lost 111, not seen 11, taken and queued 11");
	/* What waited in the queue as SHADOW ended was not lost. */
	s->shadow.status.nfq.depth = 100;
	check_says_limit(s, "conservation", "lost 11, not seen 11, taken and queued 11");
	/* SHADOW without a packet says nothing. */
	s->first = s->shadow;
	check_says_limit(s, "conservation", "lost 11, not seen 11, taken and queued 11");
}

/* In SHADOW itself XDP changes nothing: what is lost there, it did not lose. */
static void test_lost_in_shadow(void **state)
{
	struct scene *s = *state;

	s->c.shadow = NULL;
	s->now.status.xdp.ctl = (struct df_ctl){ .share_kind = DF_SHARE_NONE };
	set_cleared(&s->now, 0);
	set_arrived(&s->now, 21000 - 5000);
	check_only(s, "conservation", GATE_PASS,
		   "lost 5000, not seen by XDP 0, taken and queued 0");
	assert_string_equal(find(s, "conservation")->limit,
			    "lost 5011, not seen 11, taken and queued 11");
	set_arrived(&s->now, 21000 + SLACK + 1);
	check_only(s, "conservation", GATE_FAIL, "lost 0, not seen by XDP 12, taken and queued 0");
	set_arrived(&s->now, 21000);
	set_queued(&s->now, 16800 + SLACK + 1);
	check_only(s, "conservation", GATE_FAIL, "lost 0, not seen by XDP 0, taken and queued 12");
}

/* The NFQUEUE path or its rules are others than at the begin: their counters say nothing. */
static void test_fallback_changed(void **state)
{
	static const char says[] = "the NFQUEUE path or its rules changed";
	struct scene *s = *state;
	struct nft_counters is[8], *at[] = { &s->now.before, &s->now.after };
	const struct nft_counters *base[] = { &s->base.before, &s->base.after };

	s->now.status.arriving += 1000;
	check_only(s, "conservation", GATE_FAIL,
		   "lost 1000, not seen by XDP 0, taken and queued 0");
	for (size_t k = 0; k < ARRAY_SIZE(at); k++) {
		const struct nft_counters good = *at[k];
		unsigned int n = changed(&good, base[k], is);

		assert_int_equal(n, 7);
		for (unsigned int i = 0; i < n; i++) {
			*at[k] = is[i];
			check_only(s, "conservation", GATE_INCONCLUSIVE, says);
		}
		*at[k] = good;
	}
	s->now.status.nfq.pid++;
	check(s, "conservation", GATE_INCONCLUSIVE, says);
	s->now.status.nfq.pid--;
	s->now.status.nfq.dropped++;
	check(s, "conservation", GATE_INCONCLUSIVE, says);
	s->now.status.nfq.dropped--;
	s->now.status.nfq.running = false;
	check(s, "conservation", GATE_INCONCLUSIVE, says);
	s->now.status.nfq.running = true;
	check_only(s, "conservation", GATE_FAIL,
		   "lost 1000, not seen by XDP 0, taken and queued 0");
}

/* Our table was made anew by a process of the same number: counters fall, and none is below 0. */
static void test_table_anew(void **state)
{
	struct scene *s = *state;

	s->base.status.nfq.nft.leaked = 9;
	s->base.status.nfq.unmodified = 9;
	s->base.status.nfq.dropped = 9;
	set_queued(&s->now, 3);
	set_arrived(&s->now, 4);
	check(s, "rules", GATE_FAIL, "our table was changed");
	assert_int_equal(s->worst, GATE_FAIL);
	check(s, "leaks", GATE_PASS, "0");
	check(s, "queue", GATE_PASS, "waiting 0, dropped 0, unmodified 0");
	check(s, "conservation", GATE_INCONCLUSIVE, "the NFQUEUE path or its rules changed");
	check(s, "fallback", GATE_PASS, "runs, pid 4711");
	check(s, "share", GATE_PASS, "800");
}

/* XDP's counters only ever rise: when they do not, that is no pass. */
static void test_xdp_counters_fall(void **state)
{
	struct scene *s = *state;

	s->now.status.arriving = s->base.status.arriving - 1;
	s->now.status.matched = s->base.status.matched - 1;
	s->now.status.cleared = 0;
	run(s);
	assert_int_equal(find(s, "conservation")->verdict, GATE_FAIL);
	assert_int_equal(s->worst, GATE_FAIL);
}

/* So many more or fewer pass, and one past that fails. */
static void check_share(struct scene *s, struct df_ctl ctl, uint64_t want)
{
	const uint64_t slack = SLACK + (uint64_t)get_nprocs();
	const uint64_t matched = gate_matched(&s->c);
	char text[GATE_TEXT], limit[GATE_TEXT];

	s->now.status.xdp.ctl = ctl;
	snprintf(limit, sizeof(limit), "%d of %d, +-%d", (int)want, (int)matched, (int)slack);
	for (uint64_t taken = want > slack ? want - slack - 1 : 0; taken <= want + slack + 1;
	     taken++) {
		bool far = taken > want + slack || taken + slack < want;

		if (taken > matched)
			break;
		set_cleared(&s->now, taken);
		snprintf(text, sizeof(text), "%d", (int)taken);
		check_only(s, "share", far ? GATE_FAIL : GATE_PASS, text);
		assert_string_equal(find(s, "share")->limit, limit);
	}
}

static void test_share(void **state)
{
	struct scene *s = *state;

	check_share(s, (struct df_ctl){ .share_kind = DF_SHARE_NTH, .share_n = 10 }, 800);
	check_share(s, (struct df_ctl){ .share_kind = DF_SHARE_NTH, .share_n = 3 }, 2666);
	check_share(s, (struct df_ctl){ .share_kind = DF_SHARE_NTH, .share_n = 8001 }, 0);
	check_share(s, (struct df_ctl){ .share_kind = DF_SHARE_ALL }, 8000);
	check_share(s, (struct df_ctl){ .share_kind = DF_SHARE_NONE }, 0);
	check_share(s, (struct df_ctl){ .share_kind = DF_SHARE_TRIAL }, 0);
	check_share(s, (struct df_ctl){ .share_kind = DF_SHARE_NTH, .share_n = 0 }, 0);
	check_share(s, (struct df_ctl){ .share_kind = DF_SHARE_KIND_MAX, .share_n = 1 }, 0);
	/* More than there were. */
	s->now.status.xdp.ctl = (struct df_ctl){ .share_kind = DF_SHARE_ALL };
	s->now.status.cleared = 8000 + SLACK + (uint64_t)get_nprocs() + 1;
	run(s);
	assert_int_equal(find(s, "share")->verdict, GATE_FAIL);
}

/* Which flows there are cannot be foretold. */
static void test_share_flow(void **state)
{
	static const unsigned int takes[] = { 0, 1, 800, 4000, 8000 };
	struct scene *s = *state;
	char text[GATE_TEXT];

	s->now.status.xdp.ctl = (struct df_ctl){ .share_kind = DF_SHARE_FLOW, .share_n = 1U << 30 };
	for (size_t i = 0; i < ARRAY_SIZE(takes); i++) {
		set_cleared(&s->now, takes[i]);
		snprintf(text, sizeof(text), "%u", takes[i]);
		check_only(s, "share", GATE_PASS, text);
		snprintf(text, sizeof(text), "%u of 8000, +-%d", takes[i], SLACK + get_nprocs());
		assert_string_equal(find(s, "share")->limit, text);
	}
}

static void test_rate(void **state)
{
	struct scene *s = *state;

	s->last.status.matched = s->now.status.matched - 401;
	check_only(s, "rate", GATE_PASS, "401/s");
	s->last.status.matched++;
	check_only(s, "rate", GATE_INCONCLUSIVE, "400/s");
	s->last.at_ns += SEC / 2; /* the same in half of the time */
	check_only(s, "rate", GATE_PASS, "800/s");
	s->last.status.matched = s->now.status.matched;
	check_only(s, "rate", GATE_INCONCLUSIVE, "0/s");
	s->c.rate = 0; /* not known */
	check_only(s, "rate", GATE_INCONCLUSIVE, "0/s");
	assert_string_equal(find(s, "rate")->limit, "above 0/s");
	s->last.status.matched--;
	check_only(s, "rate", GATE_PASS, "2/s");
	s->last.at_ns = s->now.at_ns; /* no time has gone by */
	check_only(s, "rate", GATE_INCONCLUSIVE, "not known yet");
	s->last.at_ns = s->now.at_ns + SEC;
	check_only(s, "rate", GATE_INCONCLUSIVE, "not known yet");
	s->c.last = NULL;
	check_only(s, "rate", GATE_INCONCLUSIVE, "not known yet");
}

static void test_samples(void **state)
{
	struct scene *s = *state;

	s->policy.rollout.samples = 8000;
	check_only(s, "samples", GATE_PASS, "8000");
	s->policy.rollout.samples = 8001;
	check_only(s, "samples", GATE_INCONCLUSIVE, "8000");
	assert_string_equal(find(s, "samples")->limit, "8001 packets");
}

/* A packet that was one-sided may come out after all: both counts can fall. */
static void test_parity(void **state)
{
	struct scene *s = *state;
	struct parity_report *now = &s->now.live.parity;

	s->now.live.one_in = 1;
	s->base.live.parity.compared = 100;
	now->compared = 129;
	check(s, "parity", GATE_INCONCLUSIVE, "0 of 29");
	now->compared++;
	check(s, "parity", GATE_PASS, "0 of 30");
	now->different = now->class[PARITY_PAYLOAD][PARITY_BEHIND] = 2;
	check(s, "parity", GATE_FAIL, "2 of 130: payload by NFQUEUE");
	assert_int_equal(find(s, "parity")->blame, GATE_FALLBACK);
	s->c.excused = 2;
	check(s, "parity", GATE_PASS, "0 of 30");
	s->c.excused = 3;
	check(s, "parity", GATE_PASS, "0 of 30");
	now->compared = 99;
	check(s, "parity", GATE_INCONCLUSIVE, "0 of 0");
}

#define scene_test(f) cmocka_unit_test_setup_teardown(f, scene_begin, scene_end)

/* What a step up is measured by: a thread that stood still took nothing, however long it lives. */
static void test_busiest(void **state)
{
	const struct fallback_busy before = { 2, { 10, 11 }, { 5000000000, 300 } };
	const struct fallback_busy idle = before;
	const struct fallback_busy worked = { 2, { 10, 11 }, { 5000000000, 1300 } };
	const struct fallback_busy another = { 2, { 11, 12 }, { 400, 700 } };
	const struct fallback_busy reused = { 1, { 10 }, { 70 } };

	(void)state;
	assert_int_equal(fallback_busiest_ns(&before, &idle), 0);
	assert_int_equal(fallback_busiest_ns(&before, &worked), 1000);
	assert_int_equal(fallback_busiest_ns(&before, &another), 700);
	assert_int_equal(fallback_busiest_ns(&before, &reused), 70);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scene_test(test_names_and_blame),
		scene_test(test_worst),
		scene_test(test_reading),
		scene_test(test_reading_failed),
		scene_test(test_program),
		scene_test(test_carrier_and_errors),
		scene_test(test_fallback),
		scene_test(test_queue_length),
		scene_test(test_queue_losses),
		scene_test(test_leaks),
		scene_test(test_rules),
		scene_test(test_lost),
		scene_test(test_unseen),
		scene_test(test_twice),
		scene_test(test_depth),
		scene_test(test_slack),
		scene_test(test_damaged),
		scene_test(test_lost_in_shadow),
		scene_test(test_fallback_changed),
		scene_test(test_table_anew),
		scene_test(test_xdp_counters_fall),
		scene_test(test_share),
		scene_test(test_share_flow),
		scene_test(test_rate),
		scene_test(test_samples),
		scene_test(test_parity),
		cmocka_unit_test(test_busiest),
	};

	return cmocka_run_group_tests_name("gates", tests, NULL, NULL);
}

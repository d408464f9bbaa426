// SPDX-License-Identifier: GPL-2.0-only
/* xdp/xdp_ctl.c on the pinned maps of an instance, below a bpffs of its own: ctl C1 to C4. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "core/instance.h"
#include "core/util.h"
#include "tests/vectors/vectors.h"
#include "xdp/xdp_ctl.h"
#include "xdp/xdp_load.h"
#include "xdp/xdp_pin.h"

#define SKIP       77
#define SEC        1000000000ULL
#define HOUR       (3600 * SEC)
#define GENERATION 7

static struct nfq2xdp *skel;
static struct xdp_ctl ctl;
static struct vector *vectors;
static size_t vectors_n;

static const struct share none = { DF_SHARE_NONE, 0 }, hundredth = { DF_SHARE_NTH, 100 },
			  tenth = { DF_SHARE_NTH, 10 }, all = { DF_SHARE_ALL, 0 };

static void refused(int ret, const struct err *err, int want, const char *text)
{
	assert_int_equal(ret, want);
	assert_string_equal(err->text, text);
}

#define MOVED "somebody else moved the share meanwhile: it stays as it is"

static uint64_t now(void)
{
	uint64_t ticks = xdp_ctl_now(&ctl);

	assert_int_not_equal(ticks, 0);
	return ticks;
}

/* The map as xdp_attach() leaves it, at a share. */
static int begin(void **state)
{
	const uint32_t hz = ctl.map->hz;

	(void)state;
	memset(ctl.map, 0, sizeof(*ctl.map));
	ctl.map->generation = GENERATION;
	ctl.map->hz = hz;
	return 0;
}

static void set_share(const struct share *share)
{
	ctl.map->share_kind = share->kind;
	ctl.map->share_n = share->n;
}

static void assert_share(const struct share *share)
{
	assert_int_equal(ctl.map->share_kind, share->kind);
	assert_int_equal(ctl.map->share_n, share->n);
}

/* At 1/10, waiting to be confirmed within an hour, with a lease of a minute. */
static void begin_waiting(void)
{
	set_share(&tenth);
	ctl.map->deadline = xdp_ctl_after(ctl.map, now(), 60 * SEC);
	ctl.map->confirm_by = xdp_ctl_after(ctl.map, now(), HOUR);
	ctl.map->writes = 1;
	ctl.map->step = 1;
}

static int raise_share(const struct share *from, const struct share *to, struct err *err)
{
	const struct xdp_raise raise = {
		.from = *from,
		.to = *to,
		.lease_ns = 5 * SEC,
		.confirm_by = xdp_ctl_after(ctl.map, now(), HOUR),
		.step = 3,
	};

	return xdp_ctl_raise(&ctl, &raise, err);
}

/* Written between these two moments, so many ns ahead. */
static void assert_ahead(uint64_t ticks, uint64_t from, uint64_t ns)
{
	assert_in_range(ticks, xdp_ctl_after(ctl.map, from, ns), xdp_ctl_after(ctl.map, now(), ns));
}

static void test_raise(void **state)
{
	uint64_t from = now();
	struct err err = { "" };

	(void)state;
	ctl.map->confirmed = GENERATION - 1;
	ctl.map->flags = DF_CTL_DONE | DF_CTL_HELD;
	assert_int_equal(raise_share(&none, &hundredth, &err), 0);
	assert_share(&hundredth);
	assert_ahead(ctl.map->deadline, from, 5 * SEC);
	assert_ahead(ctl.map->confirm_by, from, HOUR);
	assert_int_equal(ctl.map->generation, GENERATION);
	assert_int_equal(ctl.map->confirmed, 0);
	assert_int_equal(ctl.map->writes, 1);
	assert_int_equal(ctl.map->step, 3);
	assert_int_equal(ctl.map->flags, DF_CTL_HELD);
	assert_int_equal(raise_share(&hundredth, &all, &err), 0);
	assert_share(&all);
	assert_int_equal(ctl.map->writes, 2);
	assert_string_equal(err.text, "");
}

/* C1: it was decided on another share. */
static void test_raise_moved(void **state)
{
	static const struct share others[] = { { DF_SHARE_NTH, 101 },
					       { DF_SHARE_FLOW, 100 },
					       { DF_SHARE_ALL, 0 },
					       { DF_SHARE_NONE, 100 } };
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		begin_waiting();
		set_share(&others[i]);
		refused(raise_share(&hundredth, &tenth, &err), &err, -N2X_NO, MOVED);
		assert_share(&others[i]);
		assert_int_equal(ctl.map->writes, 1);
		assert_int_equal(ctl.map->step, 1);
	}
}

/* C1: panic between the decision and the store, at every share above 0. */
static void test_raise_after_panic(void **state)
{
	static const struct share *const from[] = { &hundredth, &tenth, &all };
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		begin_waiting();
		set_share(from[i]);
		xdp_ctl_zero(&ctl);
		refused(raise_share(from[i], &all, &err), &err, -N2X_NO, MOVED);
		assert_share(&none);
		assert_int_equal(ctl.map->writes, 2); /* raised once, and down */
	}
}

static void test_zero(void **state)
{
	struct df_ctl want = { .generation = GENERATION, .hz = ctl.map->hz, .writes = 2 };

	(void)state;
	begin_waiting();
	ctl.map->confirmed = GENERATION;
	ctl.map->flags = DF_CTL_DONE | DF_CTL_HELD | DF_CTL_UNSURE;
	xdp_ctl_zero(&ctl);
	assert_memory_equal(ctl.map, &want, sizeof(want));
	xdp_ctl_zero(&ctl); /* no-op but for the count */
	want.writes = 3;
	assert_memory_equal(ctl.map, &want, sizeof(want));
}

static void test_extend(void **state)
{
	struct err err = { "" };
	struct df_ctl before;
	uint64_t from = now();

	(void)state;
	begin_waiting();
	before = *ctl.map;
	assert_int_equal(xdp_ctl_extend(&ctl, 5 * SEC, &err), 0);
	assert_ahead(ctl.map->deadline, from, 5 * SEC);
	before.deadline = ctl.map->deadline;
	assert_memory_equal(ctl.map, &before, sizeof(before)); /* C2: nothing else */
	assert_string_equal(err.text, "");
}

/* C2: a share that is 0 stays 0. */
static void test_extend_raises_nothing(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(xdp_ctl_extend(&ctl, 5 * SEC, &err), 0);
	assert_share(&none);
	assert_int_equal(ctl.map->writes, 0);
	begin_waiting();
	xdp_ctl_zero(&ctl);
	assert_int_equal(xdp_ctl_extend(&ctl, 5 * SEC, &err), 0);
	assert_share(&none);
	assert_int_equal(ctl.map->confirm_by, 0);
}

/* C3: over is over, from the deadline itself on. */
static void test_extend_late(void **state)
{
	struct err err;

	(void)state;
	for (uint64_t late = 0; late < 2; late++) {
		struct df_ctl before;

		begin_waiting();
		ctl.map->deadline = now() - late;
		before = *ctl.map;
		refused(xdp_ctl_extend(&ctl, 5 * SEC, &err), &err, -N2X_NO,
			"the lease has run out");
		assert_memory_equal(ctl.map, &before, sizeof(before));
	}
}

/* C4: however long the lease is to be. */
static void test_deadline_before_confirm_by(void **state)
{
	static const uint64_t leases[] = { SEC, 59 * SEC, 60 * SEC, 61 * SEC, 8760 * HOUR };
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(leases); i++) {
		struct xdp_raise raise = { .to = tenth, .lease_ns = leases[i] };
		uint64_t from = now();

		raise.confirm_by = xdp_ctl_after(ctl.map, from, 60 * SEC);
		set_share(&none);
		assert_int_equal(xdp_ctl_raise(&ctl, &raise, &err), 0);
		assert_int_equal(ctl.map->confirm_by, raise.confirm_by);
		if (leases[i] < 60 * SEC)
			assert_ahead(ctl.map->deadline, from, leases[i]);
		else
			assert_in_range(ctl.map->deadline, from, raise.confirm_by);
		if (leases[i] > 60 * SEC)
			assert_int_equal(ctl.map->deadline, raise.confirm_by);
		for (size_t k = 0; k < ARRAY_SIZE(leases); k++) {
			assert_int_equal(xdp_ctl_extend(&ctl, leases[k], &err), 0);
			assert_true(ctl.map->deadline <= raise.confirm_by);
		}
		assert_int_equal(ctl.map->deadline, raise.confirm_by);
	}
}

/* By hand, without a heartbeat: the lease is the time to confirm. */
static void test_raise_without_heartbeat(void **state)
{
	struct xdp_raise raise = { .to = tenth };
	struct err err;

	(void)state;
	raise.confirm_by = xdp_ctl_after(ctl.map, now(), HOUR);
	assert_int_equal(xdp_ctl_raise(&ctl, &raise, &err), 0);
	assert_int_equal(ctl.map->deadline, raise.confirm_by);
	assert_int_equal(ctl.map->confirm_by, raise.confirm_by);
	/* With a lease alone. */
	raise = (struct xdp_raise){ .from = tenth, .to = all, .lease_ns = SEC };
	assert_int_equal(xdp_ctl_raise(&ctl, &raise, &err), 0);
	assert_true(ctl.map->deadline > now());
	assert_int_equal(ctl.map->confirm_by, 0);
	/* And without any. */
	raise = (struct xdp_raise){ .from = all, .to = all };
	assert_int_equal(xdp_ctl_raise(&ctl, &raise, &err), 0);
	assert_int_equal(ctl.map->deadline, 0);
}

static void test_confirm(void **state)
{
	struct err err = { "" };
	struct df_ctl want;

	(void)state;
	begin_waiting();
	want = *ctl.map;
	for (uint32_t wrong = GENERATION - 1; wrong <= GENERATION + 1; wrong += 2) {
		char text[64];

		snprintf(text, sizeof(text), "the generation is 7, not %u: nothing is confirmed",
			 wrong);
		refused(xdp_ctl_confirm(&ctl, wrong, &err), &err, -N2X_NO, text);
		assert_memory_equal(ctl.map, &want, sizeof(want));
	}
	want.deadline = want.confirm_by = 0;
	want.confirmed = GENERATION;
	for (int twice = 0; twice < 2; twice++) {
		assert_int_equal(xdp_ctl_confirm(&ctl, GENERATION, &err), 0);
		assert_memory_equal(ctl.map, &want, sizeof(want));
	}
	refused(xdp_ctl_confirm(&ctl, GENERATION + 1, &err), &err, -N2X_NO,
		"the generation is 7, not 8: nothing is confirmed");
	assert_memory_equal(ctl.map, &want, sizeof(want));
}

static void test_confirm_late(void **state)
{
	struct err err;
	struct df_ctl before;

	(void)state;
	begin_waiting();
	ctl.map->deadline = now();
	before = *ctl.map;
	refused(xdp_ctl_confirm(&ctl, GENERATION, &err), &err, -N2X_NO,
		"generation 7 was not confirmed in time: XDP takes nothing any more");
	refused(xdp_ctl_confirm_within(&ctl, HOUR, &err), &err, -N2X_NO,
		"generation 7 was not confirmed in time: XDP takes nothing any more");
	assert_memory_equal(ctl.map, &before, sizeof(before));
}

/* Nothing waits: never raised, taken down, or taken down after it was confirmed. */
static void test_confirm_nothing(void **state)
{
	static const char nothing[] = "generation 7 does not wait to be confirmed";
	struct err err;
	struct df_ctl before;

	(void)state;
	for (int i = 0; i < 4; i++) {
		begin(NULL);
		if (i)
			begin_waiting();
		if (i == 3)
			assert_int_equal(xdp_ctl_confirm(&ctl, GENERATION, &err), 0);
		if (i == 1)
			set_share(&none); /* the store of a panic that goes no further */
		else if (i)
			xdp_ctl_zero(&ctl);
		before = *ctl.map;
		refused(xdp_ctl_confirm(&ctl, GENERATION, &err), &err, -N2X_NO, nothing);
		refused(xdp_ctl_confirm_within(&ctl, HOUR, &err), &err, -N2X_NO, nothing);
		assert_memory_equal(ctl.map, &before, sizeof(before));
	}
	/* A panic that goes no further, after it was confirmed. */
	begin_waiting();
	assert_int_equal(xdp_ctl_confirm(&ctl, GENERATION, &err), 0);
	set_share(&none);
	refused(xdp_ctl_confirm(&ctl, GENERATION, &err), &err, -N2X_NO, nothing);
	/* A share without a time to confirm it. */
	begin(NULL);
	set_share(&all);
	refused(xdp_ctl_confirm(&ctl, GENERATION, &err), &err, -N2X_NO, nothing);
}

/* A heartbeat that comes after the confirm brings no lease back. */
static void test_extend_confirmed(void **state)
{
	struct err err;

	(void)state;
	begin_waiting();
	assert_int_equal(xdp_ctl_confirm(&ctl, GENERATION, &err), 0);
	assert_int_equal(xdp_ctl_extend(&ctl, 5 * SEC, &err), 0);
	assert_int_equal(ctl.map->deadline, 0);
	assert_int_equal(ctl.map->confirm_by, 0);
	assert_share(&tenth);
	/* One that was confirmed before this generation is no confirm. */
	ctl.map->confirmed = GENERATION - 1;
	assert_int_equal(xdp_ctl_extend(&ctl, 5 * SEC, &err), 0);
	assert_true(ctl.map->deadline > now());
}

/* C4: more time to confirm; the heartbeat stays as short as it was. */
static void test_confirm_within(void **state)
{
	struct err err;
	uint64_t from = now(), deadline;

	(void)state;
	begin_waiting();
	deadline = ctl.map->deadline;
	assert_int_equal(xdp_ctl_confirm_within(&ctl, 2 * HOUR, &err), 0);
	assert_ahead(ctl.map->confirm_by, from, 2 * HOUR);
	assert_int_equal(ctl.map->deadline, deadline);
	/* Without a heartbeat both are one. */
	ctl.map->deadline = ctl.map->confirm_by;
	from = now();
	assert_int_equal(xdp_ctl_confirm_within(&ctl, 3 * HOUR, &err), 0);
	assert_ahead(ctl.map->confirm_by, from, 3 * HOUR);
	assert_int_equal(ctl.map->deadline, ctl.map->confirm_by);
	assert_share(&tenth);
	/* Less time than the lease has left. */
	begin_waiting();
	from = now();
	assert_int_equal(xdp_ctl_confirm_within(&ctl, SEC, &err), 0);
	assert_ahead(ctl.map->confirm_by, from, SEC);
	assert_int_equal(ctl.map->deadline, ctl.map->confirm_by);
}

static void test_trial(void **state)
{
	static const struct share trial = { DF_SHARE_TRIAL, 0 };
	struct df_ctl before;
	struct err err;

	(void)state;
	begin_waiting();
	before = *ctl.map;
	assert_int_equal(xdp_ctl_trial(&ctl, &tenth, &err), 0);
	assert_share(&trial);
	refused(xdp_ctl_trial(&ctl, &tenth, &err), &err, -N2X_NO, MOVED);
	assert_share(&trial);
	assert_int_equal(xdp_ctl_trial_end(&ctl, &tenth, &err), 0);
	assert_memory_equal(ctl.map, &before, sizeof(before));
	refused(xdp_ctl_trial_end(&ctl, &tenth, &err), &err, -N2X_NO, MOVED);
	refused(xdp_ctl_trial(&ctl, &all, &err), &err, -N2X_NO, MOVED);
	assert_memory_equal(ctl.map, &before, sizeof(before));
}

static void test_trial_panic(void **state)
{
	struct err err;

	(void)state;
	begin_waiting();
	assert_int_equal(xdp_ctl_trial(&ctl, &tenth, &err), 0);
	xdp_ctl_zero(&ctl);
	refused(xdp_ctl_trial_end(&ctl, &tenth, &err), &err, -N2X_NO, MOVED);
	assert_share(&none);
	begin_waiting();
	xdp_ctl_zero(&ctl);
	refused(xdp_ctl_trial(&ctl, &tenth, &err), &err, -N2X_NO, MOVED);
	assert_share(&none);
}

/* No lease without a clock, and nothing moves; what needs none goes on. */
static void test_no_clock(void **state)
{
	const struct xdp_ctl blind = { .map = ctl.map, .clock_fd = -1 };
	struct xdp_raise raise = { .from = tenth, .to = all, .lease_ns = SEC };
	struct df_ctl before;
	struct err err;

	(void)state;
	begin_waiting();
	before = *ctl.map;
	assert_int_equal(xdp_ctl_now(&blind), 0);
	refused(xdp_ctl_raise(&blind, &raise, &err), &err, -N2X_SYSTEM,
		"the kernel's clock cannot be read: no lease");
	raise.lease_ns = 0;
	raise.confirm_by = ctl.map->confirm_by;
	refused(xdp_ctl_raise(&blind, &raise, &err), &err, -N2X_SYSTEM,
		"the kernel's clock cannot be read: no lease");
	refused(xdp_ctl_extend(&blind, SEC, &err), &err, -N2X_NO, "the lease has run out");
	assert_int_equal(xdp_ctl_confirm(&blind, GENERATION, &err), -N2X_NO);
	assert_memory_equal(ctl.map, &before, sizeof(before));
	raise.confirm_by = 0;
	assert_int_equal(xdp_ctl_raise(&blind, &raise, &err), 0);
	assert_share(&all);
	xdp_ctl_zero(&blind);
	assert_share(&none);
}

static void test_flags(void **state)
{
	(void)state;
	xdp_ctl_flag(&ctl, DF_CTL_HELD, 1);
	xdp_ctl_flag(&ctl, DF_CTL_UNSURE, 1);
	assert_int_equal(ctl.map->flags, DF_CTL_HELD | DF_CTL_UNSURE);
	xdp_ctl_flag(&ctl, DF_CTL_HELD, 1);
	xdp_ctl_flag(&ctl, DF_CTL_UNSURE, 0);
	assert_int_equal(ctl.map->flags, DF_CTL_HELD);
	xdp_ctl_flag(&ctl, DF_CTL_HELD, 0);
	assert_int_equal(ctl.map->flags, 0);
}

typedef unsigned __int128 wide;

/* Never sooner than asked, and never a tick later than that needs. */
static void test_round_trip(void **state)
{
	static const uint32_t hz[] = { 100, 250, 300, 1000 };
	static const uint64_t tick_ns[] = { 10000000, 4000000, 3333333, 1000000 };
	static const uint64_t times[] = { 0,       1,       999999,     1000000,    3333333,
					  3333334, 4000000, 10000000,   SEC - 1,    SEC,
					  SEC + 1, 5 * SEC, 1800 * SEC, 8760 * HOUR };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hz); i++) {
		const struct df_ctl c = { .hz = hz[i] };
		const uint64_t start = UINT32_MAX - 5; /* across 32 bits */

		for (size_t k = 0; k < ARRAY_SIZE(times); k++) {
			uint64_t until = xdp_ctl_after(&c, start, times[k]);

			assert_int_equal(until,
					 start + 1 + (uint64_t)((wide)times[k] * hz[i] / SEC));
			assert_int_equal(xdp_ctl_left_ns(&c, start, until),
					 (uint64_t)((wide)(until - start) * SEC / hz[i]));
			assert_in_range(xdp_ctl_left_ns(&c, start, until), times[k],
					times[k] + tick_ns[i] + 1);
		}
		assert_int_equal(xdp_ctl_left_ns(&c, start, start + 1), tick_ns[i]);
		assert_int_equal(xdp_ctl_left_ns(&c, start, start + hz[i]), SEC);
		assert_int_equal(xdp_ctl_left_ns(&c, start, start), 0);
		assert_int_equal(xdp_ctl_left_ns(&c, start, start - 1), 0);
		assert_int_equal(xdp_ctl_left_ns(&c, start, 0), 0);
	}
	assert_int_equal(xdp_ctl_left_ns(&(struct df_ctl){ .hz = 0 }, 1, 2), 0);
	assert_int_equal(xdp_ctl_after(&(struct df_ctl){ .hz = 0 }, 5, SEC), 6);
}

/* The number behind a line's beginning in the kernel's configuration; 0: it is not to be read. */
static uint32_t config_number(const char *beginning)
{
	_cleanup_file_ FILE *file = NULL;
	uint32_t number = 0;
	char line[256];
	int fds[2];
	pid_t pid;

	if (access("/proc/config.gz", R_OK) < 0)
		return 0;
	assert_int_equal(pipe2(fds, 0), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		execlp("gzip", "gzip", "-dc", "/proc/config.gz", (char *)NULL);
		_exit(1);
	}
	close(fds[1]);
	file = fdopen(fds[0], "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, beginning, strlen(beginning)))
			number = (uint32_t)strtoul(line + strlen(beginning), NULL, 10);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return number;
}

/* Two of three: one that was not scheduled for a moment, or whose ticks came late, measures wrong. */
static void test_measure_hz(void **state)
{
	const uint32_t want = config_number("CONFIG_HZ=");
	uint32_t hz[3];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hz); i++) {
		hz[i] = xdp_ctl_measure_hz(ctl.clock_fd);
		assert_true(hz[i] == 100 || hz[i] == 250 || hz[i] == 300 || hz[i] == 1000);
	}
	print_message("%u, %u, %u Hz, configured: %u\n", hz[0], hz[1], hz[2], want);
	if (want)
		assert_true((hz[0] == want) + (hz[1] == want) + (hz[2] == want) >= 2);
	else
		assert_true(hz[0] == hz[1] || hz[1] == hz[2] || hz[0] == hz[2]);
}

/* One packet that matches, through n2x_xdp: 1 when it was cleared, 0 when the lease had expired. */
static int run_packet(void)
{
	static const enum df_reason reasons[] = { DF_LEASE_EXPIRED, DF_CLEARED };
	_cleanup_free_ struct df_stats *stats = calloc((size_t)libbpf_num_possible_cpus(),
						       sizeof(*stats));
	const int fd = bpf_map__fd(skel->maps.stats), cpus = libbpf_num_possible_cpus();
	const struct vector *v = &vectors[0]; /* plain */
	uint64_t total = 0, of[DF_REASON_MAX] = { 0 };
	uint8_t out[128];
	__u32 zero = 0;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = v->in, .data_out = out,
		    .data_size_in = (__u32)v->len, .data_size_out = sizeof(out));

	assert_non_null(stats);
	assert_int_equal(bpf_map_update_elem(fd, &zero, stats, BPF_ANY), 0);
	assert_int_equal(bpf_prog_test_run_opts(xdp_load_prog(skel, false), &opts), 0);
	assert_int_equal(opts.retval, XDP_PASS);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, stats), 0);
	for (int cpu = 0; cpu < cpus; cpu++)
		for (int reason = 0; reason < DF_REASON_MAX; reason++) {
			of[reason] += stats[cpu].reason[reason];
			total += stats[cpu].reason[reason];
		}
	assert_int_equal(total, 1);
	for (int cleared = 0; cleared < 2; cleared++)
		if (of[reasons[cleared]]) {
			assert_memory_equal(out, cleared ? v->out : v->in, v->len);
			return cleared;
		}
	fail_msg("counted neither as cleared nor as expired");
	return -1;
}

/* Cleared until the deadline, and from it on not: around the very tick. */
static void test_program_lease(void **state)
{
	int cleared = 0, expired = 0;
	struct err err;

	(void)state;
	set_share(&all);
	assert_int_equal(run_packet(), 1);
	ctl.map->deadline = now() + 60ULL * ctl.map->hz;
	assert_int_equal(run_packet(), 1);
	ctl.map->deadline = now();
	assert_int_equal(run_packet(), 0);
	ctl.map->deadline = now() + ctl.map->hz / 10;
	while (expired < 10) {
		uint64_t before = now();
		int was = run_packet();

		/* In between: either. */
		if (now() < ctl.map->deadline)
			assert_int_equal(was, 1);
		if (before >= ctl.map->deadline)
			assert_int_equal(was, 0);
		cleared += was;
		expired += !was;
	}
	assert_true(cleared > 0);
	refused(xdp_ctl_extend(&ctl, SEC, &err), &err, -N2X_NO, "the lease has run out");
	assert_int_equal(run_packet(), 0);
}

/* A trial takes nothing; one that outlasts the lease brings nothing back. */
static void test_program_trial(void **state)
{
	struct err err;

	(void)state;
	begin_waiting();
	set_share(&all);
	assert_int_equal(run_packet(), 1);
	assert_int_equal(xdp_ctl_trial(&ctl, &all, &err), 0);
	ctl.map->deadline = now();
	assert_int_equal(run_packet(), 0);
	assert_int_equal(xdp_ctl_trial_end(&ctl, &all, &err), 0);
	assert_int_equal(run_packet(), 0);
}

struct watch {
	bool stop;
	unsigned int looks; /* at a share above 0 that stood still */
	unsigned int without; /* of these, without a lease, or with one beyond confirm_by */
};

/* C2, C4 as a program on another CPU would see them. */
static void *watch_lease(void *data)
{
	const struct df_ctl *map = ctl.map;
	struct watch *w = data;

	while (!__atomic_load_n(&w->stop, __ATOMIC_SEQ_CST)) {
		uint32_t writes = __atomic_load_n(&map->writes, __ATOMIC_SEQ_CST);
		uint32_t kind = __atomic_load_n(&map->share_kind, __ATOMIC_SEQ_CST);
		uint64_t deadline = __atomic_load_n(&map->deadline, __ATOMIC_SEQ_CST);
		uint64_t by = __atomic_load_n(&map->confirm_by, __ATOMIC_SEQ_CST);

		if (kind == DF_SHARE_NONE ||
		    __atomic_load_n(&map->writes, __ATOMIC_SEQ_CST) != writes)
			continue;
		w->looks++;
		w->without += !deadline || deadline > by;
	}
	return NULL;
}

static void test_lease_first(void **state)
{
	struct watch watch = { 0 };
	pthread_t thread;
	struct err err;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, watch_lease, &watch), 0);
	for (int i = 0; i < 20000; i++) {
		assert_int_equal(raise_share(&none, &tenth, &err), 0);
		assert_int_equal(xdp_ctl_extend(&ctl, 2 * SEC, &err), 0);
		xdp_ctl_zero(&ctl);
	}
	__atomic_store_n(&watch.stop, true, __ATOMIC_SEQ_CST);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(watch.looks > 0);
	assert_int_equal(watch.without, 0);
}

/* Raises, extends and tries until somebody takes the share down. Returns NULL when that was seen. */
static void *climb(void *data)
{
	struct share is = hundredth, other = tenth;
	struct err err;

	while (raise_share(&is, &other, &err) == 0 && xdp_ctl_trial(&ctl, &other, &err) == 0 &&
	       xdp_ctl_extend(&ctl, SEC, &err) == 0 && xdp_ctl_trial_end(&ctl, &other, &err) == 0) {
		const struct share was = is;

		is = other;
		other = was;
	}
	return strcmp(err.text, MOVED) == 0 ? NULL : data;
}

/* C1: whenever it comes, the panic stands. */
static void test_panic_any_time(void **state)
{
	struct err err;

	(void)state;
	for (int i = 0; i < 300; i++) {
		pthread_t thread;
		void *other;

		begin(NULL);
		assert_int_equal(raise_share(&none, &hundredth, &err), 0);
		assert_int_equal(pthread_create(&thread, NULL, climb, &err), 0);
		while (__atomic_load_n(&ctl.map->writes, __ATOMIC_SEQ_CST) <
		       2U + (unsigned int)i % 7)
			sched_yield();
		xdp_ctl_zero(&ctl);
		assert_int_equal(pthread_join(thread, &other), 0);
		assert_null(other);
		assert_share(&none);
	}
}

static void unpin(const char *name)
{
	char path[PATH_MAX + 64];

	xdp_pin_path("lo", "", name, path);
	assert_int_equal(unlink(path), 0);
}

/* Last of all: the pins are gone then. */
static void test_open(void **state)
{
	struct xdp_ctl second = { .clock_fd = -77 };
	struct err err = { "" };
	uint64_t before;

	(void)state;
	assert_int_equal(xdp_ctl_open("lo", &second, &err), 0);
	begin_waiting();
	xdp_ctl_zero(&second); /* the same memory */
	assert_share(&none);
	before = now();
	assert_true(xdp_ctl_now(&second) >= before);
	xdp_ctl_close(&second);
	assert_null(second.map);
	assert_int_equal(second.clock_fd, -1);
	xdp_ctl_close(&second);
	unpin("clock");
	assert_int_equal(xdp_ctl_open("lo", &second, &err), 0);
	assert_true(second.clock_fd < 0);
	assert_int_equal(xdp_ctl_now(&second), 0);
	xdp_ctl_close(&second);
	unpin("ctl");
	second.clock_fd = -77;
	refused(xdp_ctl_open("lo", &second, &err), &err, -N2X_INACTIVE,
		"lo: no XDP path here: start it with nfq2xdp migrate start -c FILE");
	assert_null(second.map);
	assert_int_equal(second.clock_fd, -77);
}

static int load(void **state)
{
	struct policy policy;
	struct err err = { "" };
	int ret;

	(void)state;
	vectors = vectors_load(&vectors_n);
	assert_string_equal(vectors[0].name, "plain");
	policy_defaults(&policy);
	snprintf(policy.interface, sizeof(policy.interface), "lo");
	policy.df = vector_policies[vectors[0].policy];
	xdp_libbpf_init();
	ret = xdp_load(&policy, true, false, &skel);
	if (ret == 0)
		ret = xdp_load_pin("lo", skel, &err);
	if (ret == 0)
		ret = xdp_ctl_open("lo", &ctl, &err);
	if (ret < 0) {
		print_error("%d: %s %s\n", ret, err.text, xdp_libbpf_said());
		return -1;
	}
	ctl.map->hz = xdp_ctl_measure_hz(ctl.clock_fd);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	xdp_ctl_close(&ctl);
	nfq2xdp__destroy(skel);
	vectors_free(vectors, vectors_n);
	return 0;
}

/* May BPF programs be loaded here at all? Returns 0 or SKIP, and has said why. */
static int probe(void)
{
	int xdp;

	if (geteuid() != 0) {
		puts("not root");
		return SKIP;
	}
	libbpf_set_print(NULL);
	xdp = libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_XDP, NULL);
	if (xdp != 1) {
		puts("no right to load BPF programs here");
		return SKIP;
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("bpf", INSTANCE_BPFFS, "bpf", 0, "mode=0700") < 0) {
		printf("no mount namespace, or no bpffs of its own: %s\n", strerror(errno));
		return SKIP;
	}
	return 0;
}

#define ctl_test(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ctl_test(test_raise),
		ctl_test(test_raise_moved),
		ctl_test(test_raise_after_panic),
		ctl_test(test_zero),
		ctl_test(test_extend),
		ctl_test(test_extend_raises_nothing),
		ctl_test(test_extend_late),
		ctl_test(test_deadline_before_confirm_by),
		ctl_test(test_raise_without_heartbeat),
		ctl_test(test_confirm),
		ctl_test(test_confirm_late),
		ctl_test(test_confirm_nothing),
		ctl_test(test_extend_confirmed),
		ctl_test(test_confirm_within),
		ctl_test(test_trial),
		ctl_test(test_trial_panic),
		ctl_test(test_no_clock),
		ctl_test(test_flags),
		ctl_test(test_round_trip),
		ctl_test(test_measure_hz),
		ctl_test(test_program_lease),
		ctl_test(test_program_trial),
		ctl_test(test_lease_first),
		ctl_test(test_panic_any_time),
		ctl_test(test_open),
	};

	if (probe() == SKIP)
		return SKIP;
	alarm(300); /* the other thread may never come */
	return cmocka_run_group_tests_name("control map", tests, load, unload);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the lease and the samples cost a packet: bench_program PROGRAM.bpf.o WITHOUT-LEASE.bpf.o
 *
 * Two programs, or one in two ways, run over the same matching packet, by BPF_PROG_RUN, in turns. The
 * share is "every 2^32-1-th", so that the packet is parsed, matched and asked of the share and stays as
 * it is. The time is that of the system call: the kernel's own average has no fractions. Prints a JSON
 * line for each: per packet in ns, of n pairs the median, minimum and maximum of the differences; and the
 * counters, which must say that every run got as far as the share.
 */
#include <arpa/inet.h>
#include <err.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>

#include "core/abi.h"

#define PAIRS 41
#define RUNS  2000000
#define SHOWN 20000 /* runs between two times that the buffer is emptied: it must not be full */
#define PAGES 2048

struct side {
	int prog, ctl, stats, samples;
	uint64_t runs, shown, lost;
	struct perf_buffer *buffer;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static void load(const char *path, uint64_t sample_until, uint32_t sample_max, struct side *out)
{
	const struct df_policy policy = { .dport_be = { htons(31765) }, .n_dport = 1 };
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	const struct df_ctl ctl = { .share_kind = DF_SHARE_NTH,
				    .share_n = UINT32_MAX,
				    .deadline = UINT64_MAX,
				    .sample_until = sample_until,
				    .sample_max = sample_max };
	const uint32_t zero = 0;
	struct bpf_map *map;

	if (!object)
		errx(1, "%s: cannot be opened", path);
	bpf_object__for_each_map(map, object) if (strstr(bpf_map__name(map), ".rodata"))
		bpf_map__set_initial_value(map, &policy, sizeof(policy));
	if (bpf_object__load(object) < 0)
		errx(1, "%s: cannot be loaded", path);
	out->prog = bpf_program__fd(bpf_object__find_program_by_name(object, "n2x_xdp"));
	out->ctl = bpf_object__find_map_fd_by_name(object, "ctl");
	out->stats = bpf_object__find_map_fd_by_name(object, "stats");
	out->samples = bpf_object__find_map_fd_by_name(object, "samples");
	if (bpf_map_update_elem(out->ctl, &zero, &ctl, BPF_ANY) < 0)
		err(1, "ctl");
}

static enum bpf_perf_event_ret count(void *ctx, int cpu, struct perf_event_header *event)
{
	struct side *side = ctx;

	(void)cpu;
	side->shown += event->type == PERF_RECORD_SAMPLE;
	side->lost += event->type == PERF_RECORD_LOST;
	return LIBBPF_PERF_EVENT_CONT;
}

static void open_buffer(struct side *side)
{
	/* As xdp/xdp_sample.c does. */
	struct perf_event_attr attr = { .size = sizeof(attr),
					.type = PERF_TYPE_SOFTWARE,
					.config = PERF_COUNT_SW_BPF_OUTPUT,
					.sample_type = PERF_SAMPLE_RAW,
					.sample_period = 1,
					.watermark = 1,
					.wakeup_watermark = UINT32_MAX };

	side->buffer = perf_buffer__new_raw(side->samples, PAGES, &attr, count, side, NULL);
	if (!side->buffer)
		err(1, "perf buffer");
}

/* Ns a packet. */
static double run(struct side *side)
{
	const uint32_t batch = side->buffer ? SHOWN : RUNS;
	uint64_t ns = 0;

	static uint8_t packet[64] = { [12] = 8,  [14] = 0x45, [17] = 50,   [20] = 0x40, [22] = 64,
				      [23] = 17, [36] = 0x7c, [37] = 0x15, [39] = 30 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet),
		    .repeat = (int)batch);

	for (uint32_t i = 0; i < RUNS; i += batch) {
		uint64_t start = now_ns();

		if (bpf_prog_test_run_opts(side->prog, &opts) < 0)
			err(1, "BPF_PROG_RUN");
		ns += now_ns() - start;
		if (side->buffer)
			perf_buffer__consume(side->buffer);
	}
	side->runs += RUNS;
	return (double)ns / RUNS;
}

static uint64_t not_selected(const struct side *side)
{
	int cpus = libbpf_num_possible_cpus();
	struct df_stats *stats = calloc((size_t)cpus, sizeof(*stats));
	const uint32_t zero = 0;
	uint64_t sum = 0;

	if (!stats || bpf_map_lookup_elem(side->stats, &zero, stats) < 0)
		err(1, "stats");
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += stats[cpu].reason[DF_NOT_SELECTED];
	free(stats);
	return sum;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_difference(const char *name, struct side *with, struct side *without)
{
	double difference[PAIRS], base[PAIRS];

	run(with);
	run(without);
	for (int i = 0; i < PAIRS; i++) {
		bool first = i % 2;
		double a = first ? run(with) : 0;

		base[i] = run(without);
		difference[i] = (first ? a : run(with)) - base[i];
	}
	if (not_selected(with) != with->runs || not_selected(without) != without->runs ||
	    with->shown != (with->buffer ? with->runs : 0) || with->lost)
		errx(1, "%s: the counters do not add up", name);
	qsort(difference, PAIRS, sizeof(double), compare);
	qsort(base, PAIRS, sizeof(double), compare);
	printf("{\"%s_ns\":{\"n\":%d,\"median\":%.2f,\"min\":%.2f,\"max\":%.2f},\"without_ns\":%.2f,"
	       "\"runs\":%" PRIu64 ",\"not_selected\":%" PRIu64 ",\"shown\":%" PRIu64 "}\n",
	       name, PAIRS, difference[PAIRS / 2], difference[0], difference[PAIRS - 1],
	       base[PAIRS / 2], with->runs + without->runs,
	       not_selected(with) + not_selected(without), with->shown);
}

int main(int argc, char **argv)
{
	struct side lease = { 0 }, no_lease = { 0 }, off = { 0 }, asked = { 0 }, shown = { 0 };

	if (argc != 3)
		errx(2, "bench_program PROGRAM.bpf.o WITHOUT-LEASE.bpf.o");
	load(argv[1], 0, 0, &lease);
	load(argv[2], 0, 0, &no_lease);
	load(argv[1], 0, 0, &off);
	load(argv[1], UINT64_MAX, 0, &asked); /* this packet is not chosen */
	load(argv[1], UINT64_MAX, UINT32_MAX, &shown);
	open_buffer(&shown);
	print_difference("lease", &lease, &no_lease);
	print_difference("sample_not_chosen", &asked, &off);
	off.runs = 0;
	load(argv[1], 0, 0, &off);
	print_difference("sample_shown", &shown, &off);
	return 0;
}

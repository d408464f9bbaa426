// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the lease costs a packet: bench_lease WITH.bpf.o WITHOUT.bpf.o
 *
 * Both programs run over the same matching packet, by BPF_PROG_RUN, in turns. The share is "every
 * 2^32-1-th", so that the packet is parsed, matched and asked of the share and stays as it is. The time
 * is that of the system call: the kernel's own average has no fractions. Prints one JSON line: per
 * packet in ns, of n pairs the median, minimum and maximum of the differences; and the counters, which
 * must say that every run got as far as the share.
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

#include "core/abi.h"

#define PAIRS 41
#define RUNS  2000000

struct side {
	int prog, ctl, stats;
	uint64_t runs;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static void load(const char *path, struct side *out)
{
	const struct df_policy policy = { .dport_be = { htons(31765) }, .n_dport = 1 };
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	const struct df_ctl ctl = { .share_kind = DF_SHARE_NTH,
				    .share_n = UINT32_MAX,
				    .deadline = UINT64_MAX };
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
	if (bpf_map_update_elem(out->ctl, &zero, &ctl, BPF_ANY) < 0)
		err(1, "ctl");
}

/* Ns a packet. */
static double run(struct side *side)
{
	static uint8_t packet[64] = { [12] = 8,  [14] = 0x45, [17] = 50,   [20] = 0x40, [22] = 64,
				      [23] = 17, [36] = 0x7c, [37] = 0x15, [39] = 30 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet),
		    .repeat = RUNS);
	uint64_t start = now_ns();

	if (bpf_prog_test_run_opts(side->prog, &opts) < 0)
		err(1, "BPF_PROG_RUN");
	side->runs += RUNS;
	return (double)(now_ns() - start) / RUNS;
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

int main(int argc, char **argv)
{
	struct side with = { 0 }, without = { 0 };
	double difference[PAIRS], base[PAIRS];

	if (argc != 3)
		errx(2, "bench_lease WITH.bpf.o WITHOUT.bpf.o");
	load(argv[1], &with);
	load(argv[2], &without);
	run(&with);
	run(&without);
	for (int i = 0; i < PAIRS; i++) {
		bool first = i % 2;
		double a = first ? run(&with) : 0;

		base[i] = run(&without);
		difference[i] = (first ? a : run(&with)) - base[i];
	}
	if (not_selected(&with) != with.runs || not_selected(&without) != without.runs)
		errx(1, "the counters do not add up");
	qsort(difference, PAIRS, sizeof(double), compare);
	qsort(base, PAIRS, sizeof(double), compare);
	printf("{\"lease_ns\":{\"n\":%d,\"median\":%.2f,\"min\":%.2f,\"max\":%.2f},\"without_ns\":%.2f,"
	       "\"runs\":%" PRIu64 ",\"not_selected\":%" PRIu64 "}\n",
	       PAIRS, difference[PAIRS / 2], difference[0], difference[PAIRS - 1], base[PAIRS / 2],
	       with.runs + without.runs, not_selected(&with) + not_selected(&without));
	return 0;
}

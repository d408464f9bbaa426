// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a packet costs in the program alone: cost PAIRS BENCH.bpf.o NOLEASE.bpf.o
 *
 * By BPF_PROG_RUN on one CPU. bench_cost gives the packet its DF back and goes on as the product;
 * bench_empty gives it back and passes it. A row is compared with the row that it is over, in turns; the
 * difference of two neighbours is one value; floor is the difference of the fastest of each, which a busy
 * machine does not reach. The time is that of the system call: the kernel's own average
 * has no fractions. Every cache and every branch predictor is warm, as at full load.
 *
 * The veths cost0, cost1, … carry nothing, and each row's program is attached to one: else every call would
 * wait 20 ms for its program to be known to the dispatcher.
 *
 * Prints a JSON array, ns a packet; and of each row how many packets were run, and how many of them the
 * program counted for the reason that the row is about. A row where these differ is an error.
 */
#include <arpa/inet.h>
#include <err.h>
#include <inttypes.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/names.h"
#include "tests/bench/bench.h"
#include "tests/lab/wire.h"
#include "tests/vectors/vectors.h"

#define RUNS      20000U /* short: few are disturbed, and the median leaves those out */
#define PAIRS_MAX 1001
#define LOADS \
	7 /* where the kernel puts a program moves a row by some ns: load them again and again */
#define PLAIN_AT   14 /* the IPv4 header that is rewritten */
#define VXLAN_AT   64
#define FOREVER    UINT64_MAX
#define RING_BYTES (8U * 1024 * 1024)

enum build { PRODUCT, NOLEASE, EMPTY }; /* EMPTY: no build, bench_empty */

struct row {
	const char *name;
	const char *over; /* the row it is compared with */
	const char *vector; /* packet, policy and reason */
	enum build build;
	uint32_t at;
	struct df_ctl ctl;
	enum df_reason reason; /* SAME: the vector's */
};

struct loaded {
	const struct row *row;
	const struct vector *packet;
	struct bpf_object *object;
	struct bpf_link *link;
	enum df_reason reason;
	int prog, stats, refill;
	struct ring_buffer *ring; /* of the samples, when they are shown */
	uint64_t runs, counted, shown;
	double fastest;
};

/* clang-format off */
#define TAKES(kind, n) .share_kind = DF_SHARE_##kind, .share_n = (n), .deadline = FOREVER
#define ALL   { TAKES(ALL, 0) }
#define NTH   { TAKES(NTH, 1) }
#define FLOW  { TAKES(FLOW, UINT32_MAX) }
#define SKIP  { TAKES(NTH, UINT32_MAX) }
#define ASKED { TAKES(ALL, 0), .sample_until = FOREVER }
#define SHOWN { TAKES(ALL, 0), .sample_until = FOREVER, .sample_max = UINT32_MAX }
#define LATE  { .share_kind = DF_SHARE_ALL, .deadline = 1 }
#define NONE  { .share_kind = DF_SHARE_NONE }
#define SAME  DF_REASON_MAX
#define P(v)  v, PRODUCT, PLAIN_AT
#define VX(v) v, PRODUCT, VXLAN_AT

static const struct row rows[] = {
	{ "empty", "empty", "plain", EMPTY, PLAIN_AT, NONE, SAME },
	/* with everything on: policy, lease, share, rewrite, counter */
	{ "cleared", "empty", P("plain"), ALL, SAME },
	{ "cleared, nth", "empty", P("plain"), NTH, SAME },
	{ "cleared-id0", "empty", P("ID 0, keep"), ALL, SAME },
	{ "cleared-assigned", "empty", P("ID 0, assign"), ALL, SAME },
	{ "cleared, 802.1Q", "empty", "802.1Q", PRODUCT, PLAIN_AT + 4, ALL, SAME },
	{ "cleared, 16 ports, the last", "empty", P("list: 16th port"), ALL, SAME },
	{ "cleared, vxlan", "empty", VX("vxlan: first VNI of the set"), ALL, SAME },
	/* matched, left to the other path */
	{ "not-selected, share 0", "empty", P("plain"), NONE, DF_NOT_SELECTED },
	{ "not-selected, nth", "empty", P("plain"), SKIP, DF_NOT_SELECTED },
	{ "lease-expired", "empty", P("plain"), LATE, DF_LEASE_EXPIRED },
	/* not for us */
	{ "no-df", "empty", P("no DF"), ALL, SAME },
	{ "other-port", "empty", P("other port"), ALL, SAME },
	{ "not-udp", "empty", P("TCP with the same port bytes"), ALL, SAME },
	{ "fragment", "empty", P("middle fragment with DF"), ALL, SAME },
	{ "not-ipv4", "empty", P("IPv6, UDP, the same port"), ALL, SAME },
	{ "not-vxlan", "empty", P("vxlan: port 8472"), ALL, SAME },
	{ "other-vni", "empty", VX("vxlan: other VNI"), ALL, SAME },
	/* what a part of it costs */
	{ "no lease", "empty", "plain", NOLEASE, PLAIN_AT, ALL, SAME },
	{ "lease", "no lease", P("plain"), ALL, SAME },
	{ "nth", "cleared", P("plain"), NTH, SAME },
	{ "flow hash", "cleared", P("plain"), FLOW, SAME },
	{ "sampling, not chosen", "cleared", P("plain"), ASKED, SAME },
	{ "sampling, shown", "cleared", P("plain"), SHOWN, SAME },
};
/* clang-format on */

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct vector *find_vector(const char *name)
{
	static struct vector *vectors;
	static size_t n;

	if (!vectors)
		vectors = vectors_load(&n);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(vectors[i].name, name))
			return &vectors[i];
	errx(1, "no vector \"%s\"", name);
}

static size_t find_row(const char *name)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (!strcmp(rows[i].name, name))
			return i;
	errx(1, "no row \"%s\"", name);
}

static int count_sample(void *ctx, void *data, size_t size)
{
	struct loaded *l = ctx;

	(void)data;
	l->shown += size > sizeof(struct df_sample);
	return 0;
}

/* As xdp/xdp_sample.c does; large enough for one call of run(). */
static void open_ring(struct loaded *l)
{
	int samples = bpf_object__find_map_fd_by_name(l->object, "samples");
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "cost", 0, 0, RING_BYTES, NULL);
	const uint32_t zero = 0;

	l->ring = ring_buffer__new(fd, count_sample, l, NULL);
	if (!l->ring || bpf_map_update_elem(samples, &zero, &fd, BPF_ANY) < 0)
		err(1, "ring buffer");
	close(fd);
}

/* What the product's loader sets (xdp/xdp_load.c). */
static void set_constants(const struct loaded *l)
{
	const struct df_policy *policy = &vector_policies[l->packet->policy];
	struct bpf_map *map;
	size_t size;

	bpf_object__for_each_map(map, l->object)
	{
		const char *name = bpf_map__name(map);

		if (strstr(name, ".rodata.kernel"))
			((bool *)bpf_map__initial_value(map, &size))[4] = true; /* load_bytes */
		else if (strstr(name, ".rodata"))
			bpf_map__set_initial_value(map, policy, sizeof(*policy));
	}
}

static void load_row(struct loaded *l, const struct row *row, const char *path)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *prog;
	const uint32_t zero = 0;
	char iface[32];

	l->row = row;
	l->packet = find_vector(row->vector);
	l->reason = row->reason == SAME ? l->packet->reason : row->reason;
	snprintf(iface, sizeof(iface), "cost%td", row - rows);
	if (!object)
		errx(1, "%s: cannot be opened", path);
	prog = bpf_object__find_program_by_name(object,
						row->build == EMPTY ? "bench_empty" : "bench_cost");
	l->object = object;
	set_constants(l);
	if (bpf_object__load(object) == 0)
		l->link = bpf_program__attach_xdp(prog, (int)if_nametoindex(iface));
	if (!l->link)
		err(1, "%s on %s", path, iface);
	l->prog = bpf_program__fd(prog);
	l->stats = bpf_object__find_map_fd_by_name(object, "stats");
	l->refill = bpf_object__find_map_fd_by_name(object, "refill");
	if (bpf_map_update_elem(bpf_object__find_map_fd_by_name(object, ".data.ctl"), &zero,
				&row->ctl, BPF_ANY) < 0)
		err(1, "ctl");
	if (row->ctl.sample_max)
		open_ring(l);
}

/* Ns a packet. */
static double run(struct loaded *l)
{
	struct bench_refill refill = { .at = l->row->at };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = l->packet->in,
		    .data_size_in = (uint32_t)l->packet->len, .repeat = RUNS);
	const uint32_t zero = 0;
	uint64_t start;
	double ns;

	memcpy(refill.word, l->packet->in + l->row->at + BENCH_REFILL_AT, sizeof(refill.word));
	if (bpf_map_update_elem(l->refill, &zero, &refill, BPF_ANY) < 0)
		err(1, "%s", l->row->name);
	start = wire_now_ns();
	if (bpf_prog_test_run_opts(l->prog, &opts) < 0)
		err(1, "%s: BPF_PROG_RUN", l->row->name);
	ns = (double)(wire_now_ns() - start) / RUNS;
	if (opts.retval != XDP_PASS)
		errx(1, "%s: the program was not run", l->row->name);
	if (l->ring)
		ring_buffer__consume(l->ring);
	l->runs += RUNS;
	if (!l->fastest || ns < l->fastest)
		l->fastest = ns;
	return ns;
}

static void unload_row(struct loaded *l)
{
	int cpus = libbpf_num_possible_cpus();
	struct df_stats *stats = calloc((size_t)cpus, sizeof(*stats));
	const uint32_t zero = 0;

	if (!stats || bpf_map_lookup_elem(l->stats, &zero, stats) < 0)
		err(1, "stats");
	for (int cpu = 0; cpu < cpus; cpu++)
		l->counted += stats[cpu].reason[l->reason];
	free(stats);
	ring_buffer__free(l->ring);
	l->ring = NULL;
	bpf_link__destroy(l->link);
	bpf_object__close(l->object);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_row(const struct loaded *l, const struct loaded *over, double *value, size_t n,
		      bool last)
{
	bool empty = l->row->build == EMPTY;
	uint64_t counted = empty ? l->runs : l->counted;

	qsort(value, n, sizeof(*value), compare);
	printf(" {\"name\":\"%s\",\"over\":\"%s\",\"n\":%zu,\"min\":%.2f,\"median\":%.2f,\"max\":%.2f,"
	       "\"floor\":%.2f,\"reason\":\"%s\",\"runs\":%" PRIu64 ",\"counted\":%" PRIu64 "}%s\n",
	       l->row->name, empty ? "nothing" : l->row->over, n, value[0], value[n / 2],
	       value[n - 1], l->fastest - (empty ? 0 : over->fastest),
	       empty ? "none" : df_reason_name[l->reason], l->runs, counted, last ? "" : ",");
	if (counted != l->runs || l->shown != (l->row->ctl.sample_max ? l->runs : 0))
		errx(1, "%s: the counters do not add up", l->row->name);
}

int main(int argc, char **argv)
{
	static double value[N_ROWS][PAIRS_MAX];
	static struct loaded loaded[N_ROWS];
	size_t pairs;
	cpu_set_t set;

	if (argc != 4)
		errx(2, "cost PAIRS BENCH.bpf.o NOLEASE.bpf.o");
	pairs = wire_number(argv[1], LOADS, PAIRS_MAX);
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
	libbpf_set_print(NULL);
	for (size_t pair = 0; pair < pairs; pair++) {
		bool first = pair % 2;

		for (size_t i = 0; i < N_ROWS && pair % (pairs / LOADS) == 0; i++) {
			if (pair)
				unload_row(&loaded[i]);
			load_row(&loaded[i], &rows[i], argv[rows[i].build == NOLEASE ? 3 : 2]);
		}
		for (size_t i = 0; i < N_ROWS; i++) {
			struct loaded *over = &loaded[find_row(rows[i].over)];
			double a = first ? run(&loaded[i]) : 0, base = i ? run(over) : 0;

			value[i][pair] = (first ? a : run(&loaded[i])) - base;
		}
	}
	for (size_t i = 0; i < N_ROWS; i++)
		unload_row(&loaded[i]);
	puts("[");
	for (size_t i = 0; i < N_ROWS; i++)
		print_row(&loaded[i], &loaded[find_row(rows[i].over)], value[i], pairs,
			  i == N_ROWS - 1);
	puts("]");
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Both ends of the wire, for one measurement:
 *	traffic [-c CPUS] [-l LENGTH] [-w WARM_MS] [-t WINDOW_MS] [-b BURST] [-r PPS] [-q QUIET_MS] [-s] [-y]
 *
 * Sends UDP packets with DF and an IPv4 total length of LENGTH by live frames, from CPUs 0 to CPUS-1, and
 * counts at the sink what came in WINDOW_MS. They come BURST at a time, as from a NIC's ring; without -r
 * one burst after the other, with it on time. -s: every packet carries the time, and the sink takes
 * latencies. After QUIET_MS without a packet the last one has come. -y: what else runs on these CPUs has
 * them first, and the senders what it leaves.
 *
 * Runs in the sender's network namespace; its programs and maps are pinned in BENCH_PINS. Prints one
 * JSON line. sent, received, cleared, bad and other are of the whole run, until nothing came any more;
 * pps and cleared_pps of the window.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tests/bench/bench.h"
#include "tests/lab/wire.h"

#define BENCH_PINS "/sys/fs/bpf/bench/"
#define RING       64 /* frames at once, as a driver's poll takes them */

struct traffic {
	unsigned int cpus, length, warm_ms, window_ms, quiet_ms;
	uint64_t rate;
	unsigned int burst;
	bool stamp, yield;
	int gen, gen_state, sink_state;
	int cpus_possible;
};

struct sender {
	const struct traffic *traffic;
	unsigned int cpu;
	pthread_t thread;
	bool ended;
};

static int pinned(const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), BENCH_PINS "%s", name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

/* The sum over the CPUs of a map of struct of u64 words. */
static void sum(const struct traffic *t, int map, uint64_t *out, size_t words)
{
	uint64_t *values = calloc((size_t)t->cpus_possible, words * sizeof(*values));
	const uint32_t zero = 0;

	if (!values || bpf_map_lookup_elem(map, &zero, values) < 0)
		err(1, "counters");
	memset(out, 0, words * sizeof(*out));
	for (int cpu = 0; cpu < t->cpus_possible; cpu++)
		for (size_t i = 0; i < words; i++)
			out[i] += values[(size_t)cpu * words + i];
	free(values);
}

static struct bench_sink read_sink(const struct traffic *t)
{
	struct bench_sink sink;

	sum(t, t->sink_state, (uint64_t *)&sink, sizeof(sink) / 8);
	return sink;
}

static uint64_t read_sent(const struct traffic *t)
{
	uint64_t gen[sizeof(struct bench_gen) / 8];

	sum(t, t->gen_state, gen, sizeof(gen) / 8);
	return gen[0];
}

static void clear(const struct traffic *t, int map, size_t size)
{
	void *zeros = calloc((size_t)t->cpus_possible, size);
	const uint32_t zero = 0;

	if (!zeros || bpf_map_update_elem(map, &zero, zeros, BPF_ANY) < 0)
		err(1, "counters");
	free(zeros);
}

static void configure(const struct traffic *t)
{
	struct bench_cfg cfg = {
		.frame.at = {
			.eth = { .dst = { 0x02, 0x4e, 0x32, 0x58, 0x06, 0x02 },
				 .src = { 0x02, 0x4e, 0x32, 0x58, 0x05, 0x02 },
				 .proto_be = htons(ETH_P_IP) },
			.ip = { .version_ihl = 0x45,
				.tot_len_be = htons((uint16_t)t->length),
				.id_be = htons(1),
				.frag_off_be = htons(0x4000),
				.ttl = 64,
				.protocol = IPPROTO_UDP,
				.saddr_be = htonl(0xc6120001),
				.daddr_be = htonl(0xc6130001) },
			.udp = { .sport_be = htons(1024),
				 .dport_be = htons(WIRE_DPORT),
				 .len_be = htons((uint16_t)(t->length - 20)) },
			.magic = BENCH_MAGIC,
		},
		.burst = t->burst,
		.stamp = t->stamp,
	};
	const uint32_t zero = 0;
	int conf = pinned("conf");

	cfg.frame.at.ip.check = wire_fold(wire_sum(&cfg.frame.at.ip, 20, 0));
	if (t->rate)
		cfg.gap = (1000000000ULL << BENCH_GAP) * t->burst * t->cpus / t->rate;
	if (bpf_map_update_elem(conf, &zero, &cfg, BPF_ANY) < 0)
		err(1, "conf");
	close(conf);
	clear(t, t->gen_state, sizeof(struct bench_gen));
	clear(t, t->sink_state, sizeof(struct bench_sink));
}

/* Until it is interrupted. */
static void *send_frames(void *arg)
{
	struct sender *sender = arg;
	const struct traffic *t = sender->traffic;
	static uint8_t frame[2048];
	struct xdp_md ctx = { .data_end = (uint32_t)t->length + ETH_HLEN,
			      .ingress_ifindex = BENCH_WIRE };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = ctx.data_end,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1 << 30,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .batch_size = t->burst < RING ? t->burst : RING);
	cpu_set_t set;
	int ret;

	CPU_ZERO(&set);
	CPU_SET(sender->cpu, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
		errx(1, "no CPU %u", sender->cpu);
	/* The thread's alone. The lab runs with nice -20; with 0 it would not be heard on a busy machine. */
	if (t->yield && setpriority(PRIO_PROCESS, 0, -10) < 0)
		err(1, "nice");
	ret = bpf_prog_test_run_opts(t->gen, &opts);
	if (ret < 0 && ret != -EINTR)
		errx(1, "live frames: %s", strerror(-ret));
	__atomic_store_n(&sender->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

static void interrupted(int sig)
{
	(void)sig;
}

/* Again and again: a signal before the system call began would interrupt nothing. */
static void stop(struct sender *sender)
{
	while (!__atomic_load_n(&sender->ended, __ATOMIC_ACQUIRE)) {
		pthread_kill(sender->thread, SIGUSR1);
		poll(NULL, 0, 1);
	}
	pthread_join(sender->thread, NULL);
}

static struct bench_sink wait_quiet(const struct traffic *t)
{
	struct bench_sink now = read_sink(t), before;

	do {
		before = now;
		poll(NULL, 0, (int)t->quiet_ms);
		now = read_sink(t);
	} while (memcmp(&before, &now, sizeof(now)) != 0);
	return now;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void print_latency(const struct traffic *t)
{
	size_t size = sizeof(uint64_t) * BENCH_CPUS * BENCH_SAMPLES, n = 0;
	struct bench_sink *per_cpu = calloc((size_t)t->cpus_possible, sizeof(*per_cpu));
	uint64_t *all = malloc(size), *kept;
	const uint32_t zero = 0;

	kept = mmap(NULL, size, PROT_READ, MAP_SHARED, pinned("latencies"), 0);
	if (!all || !per_cpu || kept == MAP_FAILED ||
	    bpf_map_lookup_elem(t->sink_state, &zero, per_cpu) < 0)
		err(1, "latencies");
	for (int cpu = 0; cpu < BENCH_CPUS && cpu < t->cpus_possible; cpu++) {
		size_t have = per_cpu[cpu].samples < BENCH_SAMPLES ? per_cpu[cpu].samples
								   : BENCH_SAMPLES;

		memcpy(all + n, kept + (size_t)cpu * BENCH_SAMPLES, have * sizeof(*all));
		n += have;
	}
	qsort(all, n, sizeof(*all), compare);
	if (n)
		printf(",\"samples\":%zu,\"p50_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64
		       ",\"max_ns\":%" PRIu64,
		       n, all[n / 2], all[n * 99 / 100], all[n - 1]);
	munmap(kept, size);
	free(per_cpu);
	free(all);
}

static void measure(const struct traffic *t)
{
	struct sender sender[BENCH_CPUS] = { 0 };
	struct bench_sink from, to, end;
	uint64_t start, sent_from, sent_to;
	double seconds;

	for (unsigned int i = 0; i < t->cpus; i++) {
		sender[i] = (struct sender){ .traffic = t, .cpu = i };
		if (pthread_create(&sender[i].thread, NULL, send_frames, &sender[i]))
			errx(1, "no thread");
	}
	poll(NULL, 0, (int)t->warm_ms);
	from = read_sink(t);
	start = wire_now_ns();
	sent_from = read_sent(t);
	poll(NULL, 0, (int)t->window_ms);
	to = read_sink(t);
	seconds = (double)(wire_now_ns() - start) * 1e-9;
	sent_to = read_sent(t);
	for (unsigned int i = 0; i < t->cpus; i++)
		stop(&sender[i]);
	end = wait_quiet(t);
#define U(x) (unsigned long long)(x)
	printf("{\"sent\":%llu,\"received\":%llu,\"cleared\":%llu,\"bad\":%llu,\"other\":%llu,"
	       "\"seconds\":%.4f,\"sent_pps\":%.0f,\"pps\":%.0f,\"cleared_pps\":%.0f",
	       U(read_sent(t)), U(end.received), U(end.cleared), U(end.bad), U(end.other), seconds,
	       (double)(sent_to - sent_from) / seconds,
	       (double)(to.received - from.received) / seconds,
	       (double)(to.cleared - from.cleared) / seconds);
#undef U
	if (t->stamp)
		print_latency(t);
	puts("}");
}

int main(int argc, char **argv)
{
	struct traffic t = { .cpus = 1,
			     .length = 46,
			     .warm_ms = 50,
			     .window_ms = 150,
			     .quiet_ms = 30,
			     .burst = 64 };
	cpu_set_t set;
	int opt;

	while ((opt = getopt(argc, argv, "c:l:w:t:r:b:q:sy")) != -1) {
		if (opt == 'c')
			t.cpus = (unsigned int)wire_number(optarg, 1, BENCH_CPUS);
		else if (opt == 'l')
			t.length = (unsigned int)wire_number(optarg, 46, 1500);
		else if (opt == 'w')
			t.warm_ms = (unsigned int)wire_number(optarg, 1, 3600000);
		else if (opt == 't')
			t.window_ms = (unsigned int)wire_number(optarg, 1, 3600000);
		else if (opt == 'r')
			t.rate = wire_number(optarg, 1, 100000000);
		else if (opt == 'b')
			t.burst = (unsigned int)wire_number(optarg, 1, 1 << 16);
		else if (opt == 'q')
			t.quiet_ms = (unsigned int)wire_number(optarg, 1, 10000);
		else if (opt == 's')
			t.stamp = true;
		else if (opt == 'y')
			t.yield = true;
		else
			return 2;
	}
	/* What looks on stays on the last CPU: the first one is what is measured when there is one. */
	CPU_ZERO(&set);
	CPU_SET(BENCH_CPUS - 1, &set);
	sched_setaffinity(0, sizeof(set), &set);
	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = interrupted }, NULL);
	libbpf_set_print(NULL);
	t.cpus_possible = libbpf_num_possible_cpus();
	t.gen = pinned("bench_gen");
	t.gen_state = pinned("gen_state");
	t.sink_state = pinned("sink_state");
	configure(&t);
	measure(&t);
	return 0;
}

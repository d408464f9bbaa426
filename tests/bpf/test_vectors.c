// SPDX-License-Identifier: GPL-2.0-only
/* The vectors, the share and the lease through BPF_PROG_RUN, and what the verifier makes of it all.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "core/names.h"
#include "core/packet.h"
#include "core/util.h"
#include "tests/vectors/vectors.h"
#include "xdp/nfq2xdp.skel.h"

#define SKIP 77

/*
 * BPF_PROG_RUN puts a frame into one page, behind 256 bytes of headroom and in front of
 * skb_shared_info. Longer ones: refused before xdp.frags was known, since then in fragments, of
 * which either program sees the first.
 */
#define ONE_PAGE_MAX 3400
#define JUMBO        3 /* vectors longer than that */

#define SHOWN 166 /* vectors that are UDP, and whole */

#define RING_BYTES (1U << 20)

#define INSNS_MAX   12000
/* In a guest without KVM that many times more. */
#define LOAD_MS_MAX (100 * (getenv("LAB_SLOW") ? atoi(getenv("LAB_SLOW")) : 1))

static struct vector *vectors;
static size_t vectors_n;
static bool frags_known; /* xdp.frags: Linux 5.18 */

static void destroyp(struct nfq2xdp **skel)
{
	nfq2xdp__destroy(*skel);
}

#define _cleanup_skel_ _cleanup_(destroyp)

static struct nfq2xdp *load_with(const struct df_policy *policy, bool frags, bool load_bytes)
{
	_cleanup_skel_ struct nfq2xdp *skel = nfq2xdp__open();

	if (!skel)
		return NULL;
	skel->rodata->policy = *policy;
	skel->rodata_kernel->kernel.load_bytes = load_bytes;
	bpf_program__set_autoload(skel->progs.n2x_xdp_frags, frags);
	bpf_program__set_autoload(skel->progs.n2x_pass_frags, frags);
	errno = -nfq2xdp__load(skel);
	return errno ? NULL : TAKE_PTR(skel);
}

static struct nfq2xdp *try_load(const struct df_policy *policy, bool frags)
{
	return load_with(policy, frags, frags); /* both came with 5.18 */
}

static void set_ctl(const struct nfq2xdp *skel, struct df_ctl ctl)
{
	__u32 zero = 0;

	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(skel->maps.data_ctl), &zero, &ctl, BPF_ANY), 0);
}

static struct nfq2xdp *load_all(enum vector_policy policy)
{
	struct nfq2xdp *skel = try_load(&vector_policies[policy], frags_known);

	assert_non_null(skel);
	set_ctl(skel, (struct df_ctl){ .share_kind = DF_SHARE_ALL });
	return skel;
}

/* Over all CPUs. */
static struct df_stats read_stats(const struct nfq2xdp *skel)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct df_stats *per_cpu = calloc((size_t)cpus, sizeof(*per_cpu));
	struct df_stats sum = { 0 };
	__u32 zero = 0;

	assert_non_null(per_cpu);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(skel->maps.stats), &zero, per_cpu), 0);
	for (int cpu = 0; cpu < cpus; cpu++)
		for (int reason = 0; reason < DF_REASON_MAX; reason++)
			sum.reason[reason] += per_cpu[cpu].reason[reason];
	for (int cpu = 0; cpu < cpus; cpu++)
		sum.unshown += per_cpu[cpu].unshown;
	return sum;
}

static void clear_stats(const struct nfq2xdp *skel)
{
	_cleanup_free_ struct df_stats *per_cpu = calloc((size_t)libbpf_num_possible_cpus(),
							 sizeof(*per_cpu));
	__u32 zero = 0;

	assert_non_null(per_cpu);
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(skel->maps.stats), &zero, per_cpu, BPF_ANY), 0);
}

/* Returns 0 or -errno; out and *verdict are the program's. */
static int run_once(const struct bpf_program *prog, const void *in, void *out, size_t len,
		    __u32 *verdict)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_out = out,
		    .data_size_in = (__u32)len, .data_size_out = (__u32)len, .repeat = 1);
	int ret = bpf_prog_test_run_opts(bpf_program__fd(prog), &opts);

	if (ret < 0)
		return ret;
	assert_int_equal(opts.data_size_out, len);
	*verdict = opts.retval;
	return 0;
}

/* The reason whose counter, alone, rose by one; else -1. */
static int counted(const struct df_stats *before, const struct df_stats *after)
{
	int found = -1;

	for (int reason = 0; reason < DF_REASON_MAX; reason++) {
		__u64 rise = after->reason[reason] - before->reason[reason];

		if (rise == 0)
			continue;
		if (rise != 1 || found >= 0)
			return -1;
		found = reason;
	}
	return found;
}

/* One pass. Returns the reason counted; asserts the verdict. */
static int run_counted(const struct nfq2xdp *skel, const struct bpf_program *prog, const void *in,
		       void *out, size_t len)
{
	struct df_stats before = read_stats(skel), after;
	__u32 verdict = XDP_ABORTED;

	assert_int_equal(run_once(prog, in, out, len, &verdict), 0);
	assert_int_equal(verdict, XDP_PASS);
	after = read_stats(skel);
	return counted(&before, &after);
}

static int check_vector(const struct nfq2xdp *skel, const struct bpf_program *prog,
			const struct vector *v)
{
	_cleanup_free_ uint8_t *out = calloc(1, v->len);
	int reason = run_counted(skel, prog, v->in, out, v->len);
	bool same = memcmp(out, v->out, v->len) == 0;

	if (reason == (int)v->reason && same)
		return 0;
	print_error("%s: %s: counted %s, not %s; bytes %s\n", bpf_program__name(prog), v->name,
		    reason < 0 ? "not once" : df_reason_name[reason], df_reason_name[v->reason],
		    same ? "equal" : "differ");
	return 1;
}

/* Does the kernel refuse to run this frame? */
static bool refused(const struct bpf_program *prog, const struct vector *v)
{
	_cleanup_free_ uint8_t *out = calloc(1, v->len);
	__u32 verdict;
	int ret = run_once(prog, v->in, out, v->len, &verdict);

	return ret == -EINVAL || ret == -EMSGSIZE;
}

/* Every vector through one program, loaded once per policy. */
static void run_vectors(bool frags)
{
	size_t ran = 0, below_eth = 0, jumbo = 0;
	int failed = 0;

	for (int policy = 0; policy < VECTOR_POLICY_MAX; policy++) {
		_cleanup_skel_ struct nfq2xdp *skel = load_all((enum vector_policy)policy);
		struct bpf_program *prog = frags ? skel->progs.n2x_xdp_frags : skel->progs.n2x_xdp;

		for (size_t i = 0; i < vectors_n; i++) {
			const struct vector *v = &vectors[i];

			if ((int)v->policy != policy)
				continue;
			if (v->len < ETH_HLEN && refused(prog, v)) {
				below_eth++;
			} else if (v->len > ONE_PAGE_MAX && refused(prog, v)) {
				jumbo++;
			} else {
				failed += check_vector(skel, prog, v);
				ran++;
			}
		}
	}
	print_message("%zu vectors; refused by the kernel: %zu below %d bytes, %zu above %d\n", ran,
		      below_eth, ETH_HLEN, jumbo, ONE_PAGE_MAX);
	assert_int_equal(failed, 0);
	/* All or none, by the kernel's version. */
	assert_true(below_eth == VECTORS_SHORT || below_eth == 0);
	assert_int_equal(jumbo, frags_known ? 0 : JUMBO);
	assert_int_equal(ran, VECTORS - below_eth - jumbo);
}

static void test_vectors_xdp(void **state)
{
	(void)state;
	run_vectors(false);
}

static void test_vectors_frags(void **state)
{
	(void)state;
	if (!frags_known) {
		print_message("this kernel has no xdp.frags\n");
		skip();
	}
	run_vectors(true);
}

static const struct vector *find(const char *name)
{
	for (size_t i = 0; i < vectors_n; i++)
		if (!strcmp(vectors[i].name, name))
			return &vectors[i];
	fail_msg("no vector \"%s\"", name);
	return NULL;
}

/* Runs the plain vector under this ctl: what was counted, and were the bytes as they should be? */
static void check_share(const struct nfq2xdp *skel, struct df_ctl ctl, enum df_reason want)
{
	const struct vector *v = find("plain");
	uint8_t out[128];

	set_ctl(skel, ctl);
	assert_int_equal(run_counted(skel, skel->progs.n2x_xdp, v->in, out, v->len), want);
	assert_memory_equal(out, want == DF_CLEARED ? v->out : v->in, v->len);
}

/* abi I1: the map as it is created selects nothing. */
static void test_share_none(void **state)
{
	_cleanup_skel_ struct nfq2xdp *skel = load_all(KEEP);

	(void)state;
	check_share(skel, (struct df_ctl){ 0 }, DF_NOT_SELECTED);
	check_share(skel, (struct df_ctl){ .share_n = 1, .generation = 9 }, DF_NOT_SELECTED);
	check_share(skel, (struct df_ctl){ .share_kind = DF_SHARE_NTH }, DF_NOT_SELECTED);
	check_share(skel, (struct df_ctl){ .share_kind = DF_SHARE_KIND_MAX, .share_n = 1 },
		    DF_NOT_SELECTED);
	check_share(skel, (struct df_ctl){ .share_kind = DF_SHARE_ALL }, DF_CLEARED);
}

static __u64 read_clock(const struct nfq2xdp *skel)
{
	const uint8_t in[ETH_HLEN] = { 0 };
	uint8_t out[ETH_HLEN];
	__u32 verdict = XDP_ABORTED;
	__u64 now;

	assert_int_equal(run_once(skel->progs.n2x_clock, in, out, sizeof(in), &verdict), 0);
	assert_int_equal(verdict, XDP_PASS);
	memcpy(&now, out, sizeof(now));
	return now;
}

static void test_lease(void **state)
{
	_cleanup_skel_ struct nfq2xdp *skel = load_all(KEEP);
	struct df_ctl ctl = { .share_kind = DF_SHARE_ALL };
	__u64 now = read_clock(skel);

	(void)state;
	assert_int_not_equal(now, 0);
	assert_true(read_clock(skel) >= now);
	ctl.deadline = now; /* jiffies64 only rises: over by now, whenever now is */
	check_share(skel, ctl, DF_LEASE_EXPIRED);
	ctl.deadline = now - 1;
	check_share(skel, ctl, DF_LEASE_EXPIRED);
	ctl.deadline = 1;
	check_share(skel, ctl, DF_LEASE_EXPIRED);
	ctl.deadline = now + 1000000; /* 16 minutes at 1,000 Hz */
	check_share(skel, ctl, DF_CLEARED);
	ctl.deadline = 0;
	check_share(skel, ctl, DF_CLEARED);
	ctl = (struct df_ctl){ .deadline = 1 };
	check_share(skel, ctl, DF_NOT_SELECTED);
}

static void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* On one CPU the n-th, the 2n-th and so on are taken, and no others. */
static void test_every_nth(void **state)
{
	static const __u32 every[] = { 1, 2, 3, 7, 10, 100, 333, 999, 1000, 1001 };
	_cleanup_skel_ struct nfq2xdp *skel = load_all(KEEP);
	const struct vector *v = find("plain");
	cpu_set_t before;
	uint8_t out[128];
	__u32 verdict;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	pin_to(sched_getcpu());
	for (size_t k = 0; k < ARRAY_SIZE(every); k++) {
		struct df_stats stats;

		clear_stats(skel);
		set_ctl(skel, (struct df_ctl){ .share_kind = DF_SHARE_NTH, .share_n = every[k] });
		for (__u32 i = 1; i <= 1000; i++) {
			assert_int_equal(
				run_once(skel->progs.n2x_xdp, v->in, out, v->len, &verdict), 0);
			assert_memory_equal(out, i % every[k] ? v->in : v->out, v->len);
		}
		stats = read_stats(skel);
		assert_int_equal(stats.reason[DF_CLEARED], 1000 / every[k]);
		assert_int_equal(stats.reason[DF_NOT_SELECTED], 1000 - 1000 / every[k]);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

/* Over several CPUs each counts for itself: together fewer than one packet a CPU are missing. */
static void test_every_nth_cpus(void **state)
{
	_cleanup_skel_ struct nfq2xdp *skel = load_all(KEEP);
	const struct vector *v = find("plain");
	cpu_set_t before;
	struct df_stats stats;
	uint8_t out[128];
	int cpus = 0;
	__u32 verdict;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	set_ctl(skel, (struct df_ctl){ .share_kind = DF_SHARE_NTH, .share_n = 10 });
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET((size_t)cpu, &before))
			continue;
		cpus++;
		pin_to(cpu);
		for (int i = 0; i < 109; i++)
			assert_int_equal(
				run_once(skel->progs.n2x_xdp, v->in, out, v->len, &verdict), 0);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	stats = read_stats(skel);
	assert_int_equal(stats.reason[DF_CLEARED], 10 * cpus);
	assert_true(109 * cpus / 10 - 10 * cpus < cpus);
}

/* The program takes the same flows as packet.h compiled for the host. */
static void test_flow_parity(void **state)
{
	const struct df_ctl ctl = { .share_kind = DF_SHARE_FLOW, .share_n = UINT32_MAX / 10 };
	_cleanup_skel_ struct nfq2xdp *skel = load_all(KEEP);
	const struct vector *v = find("plain");
	uint8_t in[128], out[128];
	int taken = 0;

	(void)state;
	memcpy(in, v->in, v->len);
	set_ctl(skel, ctl);
	for (int port = 0; port < 2000; port++) {
		struct df_pkt pkt = { .ip = (void *)(in + 14), .udp = (void *)(in + 34) };
		__u32 nth = 0, verdict;
		bool host;

		pkt.udp->sport_be = DF_BE16(1024 + port);
		host = df_select(&ctl, 0, &nth, &pkt) == DF_GO_ON;
		assert_int_equal(run_once(skel->progs.n2x_xdp, in, out, v->len, &verdict), 0);
		assert_int_equal(memcmp(in, out, v->len) != 0, host);
		taken += host;
	}
	assert_in_range(taken, 150, 250);
}

struct shown {
	unsigned int n;
	size_t record;
	struct df_sample sample;
	uint8_t frame[DF_SAMPLE_MAX + 128];
};

static int take_sample(void *ctx, void *data, size_t size)
{
	struct shown *shown = ctx;
	const struct df_sample *sample = data;

	assert_true(size >= sizeof(*sample) + sample->len);
	shown->n++;
	shown->record = size;
	shown->sample = *sample;
	memcpy(shown->frame, sample + 1, sample->len);
	return 0;
}

/* Everything is shown from here on, to who reads the ring. */
static struct ring_buffer *show_all(const struct nfq2xdp *skel, size_t bytes, struct shown *shown)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "shown", 0, 0, (__u32)bytes, NULL);
	struct ring_buffer *ring = ring_buffer__new(fd, take_sample, shown, NULL);
	__u32 zero = 0;

	assert_non_null(ring);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(skel->maps.samples), &zero, &fd, BPF_ANY),
			 0);
	close(fd);
	set_ctl(skel, (struct df_ctl){ .share_kind = DF_SHARE_ALL,
				       .sample_until = UINT64_MAX,
				       .sample_max = UINT32_MAX });
	return ring;
}

/* How many bytes of it are to be shown: none, when it is not UDP or ends before its total length. */
static size_t shown_len(const struct vector *v)
{
	struct df_pkt pkt = { .data = v->in, .data_end = v->in + v->len };
	struct df_eth *eth = pkt.data;
	int reason = df_match(&vector_policies[v->policy], &pkt, eth + 1, eth->proto_be);
	size_t len;

	if ((reason != DF_GO_ON && !df_is_udp(reason)) ||
	    !df_sampled(&vector_policies[v->policy], UINT32_MAX, &pkt))
		return 0;
	len = (size_t)((uint8_t *)pkt.ip - v->in) + DF_HOST16(pkt.ip->tot_len_be);
	return len <= v->len ? len : 0;
}

/* Once, as it came, and with what is done with it. Returns whether it is to be shown. */
static bool check_shown(const struct bpf_program *prog, struct ring_buffer *ring,
			struct shown *shown, const struct vector *v)
{
	const size_t len = shown_len(v);
	_cleanup_free_ uint8_t *out = calloc(1, v->len);
	__u32 verdict;

	shown->n = 0;
	assert_int_equal(run_once(prog, v->in, out, v->len, &verdict), 0);
	assert_memory_equal(out, v->out, v->len);
	assert_true(ring_buffer__consume(ring) >= 0);
	if (shown->n != (len > 0))
		fail_msg("%s: shown %u times", v->name, shown->n);
	if (!len)
		return false;
	assert_int_equal(shown->sample.reason,
			 v->reason <= DF_CLEARED_ASSIGNED ? DF_CLEARED : v->reason);
	assert_true(shown->sample.cpu < (__u32)libbpf_num_possible_cpus());
	assert_int_equal(shown->sample.len, len);
	assert_int_equal(v->in[shown->sample.ip_at] >> 4, 4);
	assert_memory_equal(shown->frame, v->in, len);
	return true;
}

static void run_shown(bool frags, bool load_bytes)
{
	static struct shown shown;
	unsigned int n = 0;

	for (int policy = 0; policy < VECTOR_POLICY_MAX; policy++) {
		_cleanup_skel_ struct nfq2xdp *skel = load_with(&vector_policies[policy], frags,
								load_bytes);
		struct bpf_program *prog = frags ? skel->progs.n2x_xdp_frags : skel->progs.n2x_xdp;
		struct ring_buffer *ring = show_all(skel, RING_BYTES, &shown);

		for (size_t i = 0; i < vectors_n; i++) {
			const struct vector *v = &vectors[i];

			if ((int)v->policy == policy && v->len >= ETH_HLEN &&
			    v->len <= (frags ? SIZE_MAX : ONE_PAGE_MAX))
				n += check_shown(prog, ring, &shown, v);
		}
		assert_int_equal(read_stats(skel).unshown, 0);
		ring_buffer__free(ring);
	}
	print_message("%u shown\n", n);
	assert_int_equal(n, frags ? SHOWN : SHOWN - JUMBO);
}

static void test_shown(void **state)
{
	(void)state;
	run_shown(false, false);
	if (frags_known) {
		run_shown(false, true);
		run_shown(true, true);
	}
}

/* A record is of the smallest size that the packet fits into; a packet that fits into none is not shown. */
static void test_shown_sizes(void **state)
{
	static const size_t lens[][2] = { { 50, 256 },
					  { 256, 256 },
					  { 257, 1600 },
					  { 1600, 1600 },
					  { 1601, 9216 },
					  { 9216, 9216 },
					  { 9217, 60128 },
					  { DF_SAMPLE_MAX + 14, 60128 },
					  { DF_SAMPLE_MAX + 15, 0 } };
	static struct shown shown;
	static uint8_t in[DF_SAMPLE_MAX + 128], out[sizeof(in)];
	_cleanup_skel_ struct nfq2xdp *skel = load_all(KEEP);
	struct df_pkt pkt = { .ip = (void *)(in + 14), .udp = (void *)(in + 34) };
	struct ring_buffer *ring = show_all(skel, RING_BYTES, &shown);
	__u32 verdict;

	(void)state;
	memcpy(in, find("plain")->in, 42);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		const size_t len = lens[i][0];

		if (len > ONE_PAGE_MAX && !frags_known)
			continue;
		pkt.ip->tot_len_be = DF_BE16(len - 14);
		pkt.udp->len_be = DF_BE16(len - 34);
		memset(in + 42, (int)i + 1, len - 42);
		shown.n = 0;
		assert_int_equal(run_once(len > ONE_PAGE_MAX ? skel->progs.n2x_xdp_frags
							     : skel->progs.n2x_xdp,
					  in, out, len, &verdict),
				 0);
		ring_buffer__consume(ring);
		assert_int_equal(shown.n, lens[i][1] != 0);
		if (!shown.n)
			continue;
		assert_int_equal(shown.record, sizeof(shown.sample) + lens[i][1]);
		assert_int_equal(shown.sample.len, len);
		assert_memory_equal(shown.frame, in, len);
	}
	assert_int_equal(read_stats(skel).unshown, 0);
	ring_buffer__free(ring);
}

/* What there is no room for, and what nobody reads, is counted, and handled as ever. */
static void test_shown_full(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const unsigned int room =
		(unsigned int)(page / 280); /* 8 + 12 + 256, up to a multiple of 8 */
	static struct shown shown;
	_cleanup_skel_ struct nfq2xdp *skel = load_all(KEEP);
	const struct vector *v = find("plain");
	struct ring_buffer *ring = show_all(skel, page, &shown);
	uint8_t out[128];
	__u32 zero = 0;

	(void)state;
	for (unsigned int i = 0; i < room + 5; i++)
		assert_int_equal(run_counted(skel, skel->progs.n2x_xdp, v->in, out, v->len),
				 DF_CLEARED);
	assert_int_equal(read_stats(skel).unshown, 5);
	ring_buffer__consume(ring);
	assert_int_equal(shown.n, room);
	assert_int_equal(bpf_map_delete_elem(bpf_map__fd(skel->maps.samples), &zero), 0);
	assert_int_equal(run_counted(skel, skel->progs.n2x_xdp, v->in, out, v->len), DF_CLEARED);
	assert_int_equal(read_stats(skel).unshown, 6);
	ring_buffer__free(ring);
}

/* Everything a policy can ask for at once: the most code that is left to the verifier. */
static struct df_policy largest_policy(void)
{
	struct df_policy policy = vector_policies[LIST];

	policy.encap = DF_ENCAP_VXLAN;
	policy.ip_id = DF_IP_ID_ASSIGN;
	policy.min_len = 1400;
	policy.n_vni = DF_VNIS_MAX;
	memcpy(policy.vni, vector_policies[VXLAN_16].vni, sizeof(policy.vni));
	return policy;
}

/* "processed 123 insns (limit 1000000) ...": Linux 5.2. */
static long load_and_count(const struct df_policy *policy, const char *name)
{
	_cleanup_skel_ struct nfq2xdp *skel = nfq2xdp__open();
	struct bpf_program *prog;
	char log[4096] = "";
	const char *at;

	assert_non_null(skel);
	skel->rodata->policy = *policy;
	skel->rodata_kernel->kernel.load_bytes = frags_known;
	bpf_program__set_autoload(skel->progs.n2x_xdp_frags, frags_known);
	bpf_program__set_autoload(skel->progs.n2x_pass_frags, frags_known);
	prog = bpf_object__find_program_by_name(skel->obj, name);
	assert_non_null(prog);
	assert_int_equal(bpf_program__set_log_level(prog, 4), 0);
	assert_int_equal(bpf_program__set_log_buf(prog, log, sizeof(log)), 0);
	assert_int_equal(nfq2xdp__load(skel), 0);
	at = strstr(log, "processed ");
	assert_non_null(at);
	return strtol(at + strlen("processed "), NULL, 10);
}

/* Returns the largest count of the three programs. */
static long verify(const char *label, const struct df_policy *policy)
{
	static const char *const names[] = { "n2x_xdp", "n2x_xdp_frags", "n2x_clock" };
	long most = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		long insns;

		if (!frags_known && !strcmp(names[i], "n2x_xdp_frags"))
			continue;
		insns = load_and_count(policy, names[i]);
		print_message("%s, %s: %ld instructions processed\n", label, names[i], insns);
		assert_true(insns > 0);
		most = insns > most ? insns : most;
	}
	return most;
}

static void test_verifier(void **state)
{
	const struct df_policy largest = largest_policy();

	(void)state;
	assert_in_range(verify("one port", &vector_policies[KEEP]), 1, INSNS_MAX);
	assert_in_range(verify("16 ports", &vector_policies[LIST]), 1, INSNS_MAX);
	assert_in_range(verify("vxlan, 16 VNIs", &vector_policies[VXLAN_16]), 1, INSNS_MAX);
	assert_in_range(verify("vxlan, 16 VNIs, 16 ports, assign", &largest), 1, INSNS_MAX);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double load_ms(void)
{
	const struct df_policy policy = largest_policy();
	struct timespec from, to;
	struct nfq2xdp *skel;

	clock_gettime(CLOCK_MONOTONIC, &from);
	skel = try_load(&policy, frags_known);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_non_null(skel);
	nfq2xdp__destroy(skel);
	return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

static void test_load_time(void **state)
{
	double ms[5];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ms); i++)
		ms[i] = load_ms();
	qsort(ms, ARRAY_SIZE(ms), sizeof(ms[0]), by_value);
	print_message("load: median %.1f ms, of %.1f to %.1f\n", ms[2], ms[0], ms[4]);
	assert_true(ms[2] < LOAD_MS_MAX);
}

static int load(void **state)
{
	(void)state;
	vectors = vectors_load(&vectors_n);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	vectors_free(vectors, vectors_n);
	return 0;
}

/* What this kernel and user may; sets frags_known. Returns 0 or SKIP, and has said why. */
static int probe(void)
{
	struct nfq2xdp *skel = try_load(&vector_policies[KEEP], true);

	frags_known = skel != NULL;
	if (!skel)
		skel = try_load(&vector_policies[KEEP], false);
	if (!skel && (errno == EPERM || errno == ENOSYS)) {
		printf("no right to load BPF programs here: %s\n", strerror(errno));
		return SKIP;
	}
	nfq2xdp__destroy(skel); /* any other failure is the first test's to report */
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors_xdp), cmocka_unit_test(test_vectors_frags),
		cmocka_unit_test(test_share_none),  cmocka_unit_test(test_lease),
		cmocka_unit_test(test_every_nth),   cmocka_unit_test(test_every_nth_cpus),
		cmocka_unit_test(test_flow_parity), cmocka_unit_test(test_verifier),
		cmocka_unit_test(test_load_time),   cmocka_unit_test(test_shown),
		cmocka_unit_test(test_shown_sizes), cmocka_unit_test(test_shown_full),
	};

	if (geteuid() != 0) {
		puts("not root");
		return SKIP;
	}
	libbpf_set_print(NULL);
	if (probe() == SKIP)
		return SKIP;
	return cmocka_run_group_tests_name("BPF_PROG_RUN", tests, load, unload);
}

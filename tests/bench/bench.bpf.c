// SPDX-License-Identifier: GPL-2.0-only
/*
 * The benchmark's programs: the two ends of the wire, and what the product has no program for. The
 * product's own source is part of this object, so that what is compared does the product's work.
 */
#include <stdbool.h>

#include "tests/bench/bench.h"
#include "xdp/nfq2xdp.bpf.c" /* NOLINT(bugprone-suspicious-include): all of it, as it is */

#include <linux/pkt_cls.h>

const volatile struct df_policy policy = { .dport_be = { DF_BE16(31765) }, .n_dport = 1 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_cfg);
} conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_gen);
} gen_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_sink);
} sink_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BENCH_CPUS *BENCH_SAMPLES);
	__type(key, __u32);
	__type(value, __u64);
} latencies SEC(".maps");

/* Is a packet due? After a stall at most 1 ms is made up for: more would measure the burst. */
static __always_inline bool due(const struct bench_cfg *cfg, struct bench_gen *gen)
{
	__u64 now, late;

	if (!cfg->gap)
		return true;
	if (gen->left) {
		gen->left--;
		return true;
	}
	now = bpf_ktime_get_ns() << BENCH_GAP;
	if (now < gen->next)
		return false;
	late = now - (1000000ULL << BENCH_GAP);
	gen->next = (gen->next > late ? gen->next : late) + cfg->gap;
	gen->left = cfg->burst - 1;
	return true;
}

/* The generator: run by BPF_PROG_RUN on live frames, in the sender's namespace. */
SEC("xdp")
int bench_gen(struct xdp_md *ctx)
{
	union bench_frame *frame = (void *)(long)ctx->data;
	const struct bench_cfg *c;
	struct bench_gen *gen;

	c = bpf_map_lookup_elem(&conf, ZERO);
	gen = bpf_map_lookup_elem(&gen_state, ZERO);
	if (!c || !gen || (void *)(frame + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	if (!due(c, gen))
		return XDP_DROP;
	*(volatile union bench_frame *)frame = c->frame;
	if (c->stamp)
		frame->word[6] = bpf_ktime_get_ns();
	gen->sent++;
	return (int)bpf_redirect(BENCH_WIRE, 0);
}

static __always_inline bool checksum_good(const struct df_ipv4 *ip)
{
	const __u16 *word = (const __u16 *)ip;
	__u32 sum = 0;

	for (unsigned int i = 0; i < sizeof(*ip) / 2; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* The other end of the wire: the only place where packets are counted. */
SEC("xdp")
int bench_sink(struct xdp_md *ctx)
{
	const union bench_frame *frame = (void *)(long)ctx->data;
	struct bench_sink *sink;
	__u32 slot;
	__u64 *sample;

	sink = bpf_map_lookup_elem(&sink_state, ZERO);
	if (!sink)
		return XDP_ABORTED;
	if ((void *)(frame + 1) > (void *)(long)ctx->data_end || frame->at.magic != BENCH_MAGIC) {
		sink->other++;
		return XDP_DROP;
	}
	if (!checksum_good(&frame->at.ip)) {
		sink->bad++;
		return XDP_DROP;
	}
	sink->received++;
	if (!(frame->at.ip.frag_off_be & DF_IP_DF))
		sink->cleared++;
	if (!frame->word[6])
		return XDP_DROP;
	slot = (__u32)(sink->samples++ % BENCH_SAMPLES);
	slot += bpf_get_smp_processor_id() * BENCH_SAMPLES;
	sample = bpf_map_lookup_elem(&latencies, &slot);
	if (sample)
		*sample = bpf_ktime_get_ns() - frame->word[6];
	return XDP_DROP;
}

/* What the product does not do: the bridge's work too. */
SEC("xdp")
int bench_redirect(struct xdp_md *ctx)
{
	handle(ctx);
	return (int)bpf_redirect(BENCH_OUT, 0);
}

/* The same, and nothing is cleared. */
SEC("xdp")
int bench_wire(struct xdp_md *ctx)
{
	(void)ctx;
	return (int)bpf_redirect(BENCH_OUT, 0);
}

/* The product's work at the tc hook. */
SEC("tc")
int bench_tc(struct __sk_buff *skb)
{
	struct df_stats *count;
	struct df_pkt pkt;
	int reason;

	count = bpf_map_lookup_elem(&stats, ZERO);
	if (!count)
		return TC_ACT_OK;
	pkt.data_end = (void *)(long)skb->data_end;
	reason = df_parse_frame(&policy, &pkt, (void *)(long)skb->data);
	if (reason == DF_GO_ON)
		reason = decide(&pkt, count);
	finish(&pkt, count, reason);
	return TC_ACT_OK;
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_refill);
} refill SEC(".maps");

/*
 * For BPF_PROG_RUN, which hands the same packet out again: gives it back what a rewrite took. In two stores, each
 * holding all of what a load of the program reads of it: a load that has to wait for two stores is slow, and
 * a packet that arrives has none on its way.
 */
static __always_inline bool refilled(struct xdp_md *ctx)
{
	const struct bench_refill *r;
	volatile __u64 *to;

	r = bpf_map_lookup_elem(&refill, ZERO);
	if (!r || r->at > 128)
		return false;
	to = (void *)(long)ctx->data + r->at + BENCH_REFILL_AT;
	if ((void *)(to + 2) > (void *)(long)ctx->data_end)
		return false;
	to[0] = r->word[0];
	to[1] = r->word[1];
	return true;
}

SEC("xdp")
int bench_cost(struct xdp_md *ctx)
{
	return refilled(ctx) ? handle(ctx) : XDP_ABORTED;
}

SEC("xdp")
int bench_empty(struct xdp_md *ctx)
{
	return refilled(ctx) ? XDP_PASS : XDP_ABORTED;
}

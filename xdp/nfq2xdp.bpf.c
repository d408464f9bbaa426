// SPDX-License-Identifier: GPL-2.0-only
/*
 * The XDP path. XDP_PASS on every way out: the packet goes on with DF cleared, or as it came. What
 * is not cleared here still has DF and so falls to the netfilter rule behind.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>

#include "core/packet.h"

const volatile struct df_policy policy;

/* Run-time control. A variable: it is read without a look-up. Its map is an array of one entry. */
volatile struct df_ctl ctl SEC(".data.ctl");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct df_stats);
} stats SEC(".maps");

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};

/* Who reads samples puts a ring in, of the size it likes; without one there is nothing to write to. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct ring);
} samples SEC(".maps");

const volatile struct {
	__u32 zero; /* the key of maps of one entry; on the stack it costs three instructions more */
	bool load_bytes; /* does this kernel have bpf_xdp_load_bytes()? From 5.18 on, as frags */
} kernel SEC(".rodata.kernel");

#define ZERO ((const void *)&kernel.zero)

/* A ring's record has a constant size, and a frame has not: a macro, for one of each of a few sizes. */
#define SHOW_AS(size)                                                                      \
	do {                                                                               \
		record = bpf_ringbuf_reserve(ring, sizeof(*record) + (size), 0);           \
		if (!record)                                                               \
			return 0;                                                          \
		*record = sample;                                                          \
		failed = kernel.load_bytes ? bpf_xdp_load_bytes(ctx, 0, record + 1, len)   \
					   : bpf_probe_read_kernel(record + 1, len, data); \
		if (failed)                                                                \
			bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);                     \
		else                                                                       \
			bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);                      \
		return 1;                                                                  \
	} while (0)

/*
 * The first len bytes of the frame as it came, and what is about to be done with it; a frame that ends
 * before is not shown. Returns 0 when there was no room. A global function, which the verifier reads once
 * and not for each way that leads here.
 */
__attribute__((noinline)) int n2x_show(struct xdp_md *ctx, __u32 len, __u32 ip_at, __u32 reason)
{
	const struct df_sample sample = {
		.len = len,
		.cpu = bpf_get_smp_processor_id(),
		.ip_at = (__u16)ip_at,
		.reason = (__u8)reason,
	};
	void *data = (void *)(long)ctx->data;
	struct df_sample *record;
	void *ring = bpf_map_lookup_elem(&samples, ZERO);
	long failed;

	if (!ring)
		return 0;
	/* bpf_probe_read_kernel() does not know where the frame ends. */
	if (len < sizeof(struct df_ipv4) ||
	    (!kernel.load_bytes && data + len > (void *)(long)ctx->data_end))
		return 1;
	if (len <= 256)
		SHOW_AS(256);
	if (len <= 1600)
		SHOW_AS(1600);
	if (len <= 9216)
		SHOW_AS(9216);
	if (len <= DF_SAMPLE_MAX + 128)
		SHOW_AS(DF_SAMPLE_MAX + 128);
	return 0;
}

static __always_inline int decide(const struct df_pkt *pkt, struct df_stats *count)
{
	int reason = df_match_udp(&policy, pkt);

	return reason == DF_GO_ON ? df_select(&ctl, bpf_jiffies64(), &count->nth, pkt) : reason;
}

static __always_inline int finish(struct df_pkt *pkt, struct df_stats *count, int reason)
{
	if (reason == DF_GO_ON)
		reason = (int)df_rewrite(&policy, pkt);
	if (reason >= 0 && reason < DF_REASON_MAX)
		count->reason[reason]++;
	return XDP_PASS;
}

/*
 * The whole way of a UDP packet that was chosen to be shown, from the beginning: so the way of all others,
 * which are many more, has the registers for itself.
 */
static __attribute__((noinline)) int handle_shown(struct xdp_md *ctx, struct df_stats *count)
{
	struct df_eth *eth = (void *)(long)ctx->data;
	struct df_pkt pkt;
	__u32 ip_at;
	int reason;

	pkt.data_end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) > pkt.data_end ||
	    df_parse(&policy, &pkt, eth + 1, eth->proto_be) != DF_GO_ON)
		return XDP_PASS; /* it was parsed already */
	reason = decide(&pkt, count);
	ip_at = (__u32)((void *)pkt.ip - (void *)eth);
	if (ctl.sample_until > bpf_jiffies64() &&
	    !n2x_show(ctx, ip_at + DF_HOST16(pkt.ip->tot_len_be), ip_at,
		      reason == DF_GO_ON ? DF_CLEARED : (__u32)reason))
		count->unshown++;
	return finish(&pkt, count, reason);
}

static __always_inline int handle(struct xdp_md *ctx)
{
	struct df_stats *count;
	struct df_pkt pkt;
	int reason;

	/* The first thing, so that nothing is ever done without being counted (abi I2). */
	count = bpf_map_lookup_elem(&stats, ZERO);
	if (!count)
		return XDP_PASS;
	/* And no more of pkt: whatever is set here is written on every packet's way. */
	pkt.data_end = (void *)(long)ctx->data_end;
	reason = df_parse_frame(&policy, &pkt, (void *)(long)ctx->data);
	if (reason == DF_GO_ON) {
		if (ctl.sample_until && df_sampled(&policy, ctl.sample_max, &pkt))
			return handle_shown(ctx, count);
		reason = decide(&pkt, count);
	}
	return finish(&pkt, count, reason);
}

SEC("xdp")
int n2x_xdp(struct xdp_md *ctx)
{
	return handle(ctx);
}

SEC("xdp.frags")
int n2x_xdp_frags(struct xdp_md *ctx)
{
	return handle(ctx);
}

/* What a rollback puts in the place of a program that does not obey: it does nothing. */
SEC("xdp")
int n2x_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

SEC("xdp.frags")
int n2x_pass_frags(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

/* User space's view of the clock that leases are measured in: writes jiffies64 into the packet.
 * Never attached. */
SEC("xdp")
int n2x_clock(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;

	if (data + sizeof(__u64) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	*(__u64 *)data = bpf_jiffies64();
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";

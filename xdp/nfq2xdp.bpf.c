// SPDX-License-Identifier: GPL-2.0-only
/*
 * The XDP path. XDP_PASS on every way out: the packet goes on with DF cleared, or as it came. What
 * is not cleared here still has DF and so falls to the netfilter rule behind.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "core/packet.h"

const volatile struct df_policy policy;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct df_ctl);
} ctl SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct df_stats);
} stats SEC(".maps");

/* Read by `parity`. Perf and not a ring buffer: the same on every kernel, and it takes the frame itself,
 * of any length and in any number of pages. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} samples SEC(".maps");

/* The frame as it came, and what is about to be done with it. What fails to be shown is lost to the
 * comparison only. */
static __always_inline void show(struct xdp_md *ctx, const struct df_pkt *pkt, int reason)
{
	struct df_sample sample = {
		.ip_at = (__u16)((void *)pkt->ip - pkt->data),
		.reason = (__u8)(reason == DF_GO_ON ? DF_CLEARED : reason),
	};

	sample.len = sample.ip_at + DF_HOST16(pkt->ip->tot_len_be);
	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU | (__u64)sample.len << 32, &sample,
			      sizeof(sample));
}

static __always_inline int handle(struct xdp_md *ctx)
{
	struct df_pkt pkt = {
		.data = (void *)(long)ctx->data,
		.data_end = (void *)(long)ctx->data_end,
	};
	struct df_eth *eth = pkt.data;
	struct df_stats *count;
	struct df_ctl *control;
	__u32 zero = 0;
	int reason;

	/* The first thing, so that nothing is ever done without being counted (abi I2). */
	count = bpf_map_lookup_elem(&stats, &zero);
	if (!count)
		return XDP_PASS;
	if ((void *)(eth + 1) > pkt.data_end) {
		count->reason[DF_TRUNCATED]++;
		return XDP_PASS;
	}
	reason = df_match(&policy, &pkt, eth + 1, eth->proto_be);
	if (reason == DF_GO_ON || df_is_udp(reason)) {
		control = bpf_map_lookup_elem(&ctl, &zero);
		if (!control) {
			count->reason[DF_ERROR]++;
			return XDP_PASS;
		}
		if (reason == DF_GO_ON)
			reason = df_select(control, bpf_jiffies64(), &count->nth, &pkt);
		if (control->sample_until && control->sample_until > bpf_jiffies64() &&
		    df_sampled(&policy, control->sample_max, &pkt))
			show(ctx, &pkt, reason);
		if (reason == DF_GO_ON)
			reason = (int)df_rewrite(&policy, &pkt);
	}
	if (reason >= 0 && reason < DF_REASON_MAX)
		count->reason[reason]++;
	return XDP_PASS;
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

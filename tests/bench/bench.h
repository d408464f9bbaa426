/* SPDX-License-Identifier: GPL-2.0-only */
/* What the benchmark's BPF programs and its generator share. */
#pragma once

#include "core/packet.h"

#define BENCH_MAGIC   0x6e327862U /* host order: both ends are one machine */
#define BENCH_IN      105 /* ifindex of the gateway's ens5 */
#define BENCH_OUT     106 /* ifindex of the gateway's ens6 */
#define BENCH_WIRE    107 /* ifindex of the generator's eth0 */
#define BENCH_SAMPLES (1U << 19) /* latencies kept for each CPU: the last ones */
#define BENCH_CPUS    2
#define BENCH_GAP     8 /* fractional bits of a time in struct bench_cfg and bench_gen */

/* What is written into every frame, in words: live frames come back as the gateway left them. */
union bench_frame {
	struct DF_WIRE {
		struct df_eth eth;
		struct df_ipv4 ip;
		struct df_udp udp;
		__u32 magic;
		__u16 pad;
		__u64 time; /* CLOCK_MONOTONIC, ns; 0: not asked for */
	} at;
	__u64 word[7];
};

_Static_assert(sizeof(union bench_frame) == 56, "wire layout");

struct bench_cfg {
	union bench_frame frame;
	__u64 gap; /* between two bursts, ns << BENCH_GAP; 0: as fast as it can */
	__u32 burst; /* packets */
	__u32 stamp; /* write the time into every packet */
};

struct bench_gen { /* one per CPU */
	__u64 sent;
	__u64 next; /* burst due, ns << BENCH_GAP */
	__u32 left; /* packets of this burst */
	__u32 pad;
};

struct bench_sink { /* one per CPU */
	__u64 received; /* ours, good */
	__u64 cleared; /* of them, with DF clear */
	__u64 bad; /* ours, with a wrong IPv4 header checksum */
	__u64 other;
	__u64 samples;
};

#define BENCH_REFILLED \
	16 /* bytes of an IPv4 header that are written again: all that a rewrite changes */
#define BENCH_REFILL_AT 2 /* from there on */

struct bench_refill {
	__u32 at; /* offset of the IPv4 header; even, at most 128 */
	__u32 pad;
	__u64 word[BENCH_REFILLED / 8];
};

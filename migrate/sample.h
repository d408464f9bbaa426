/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A look at the traffic: for a moment, copies of the heads of the frames that arrive at some devices, by one
 * packet socket. Nothing is changed by it. What matches is decided by df_match(), as in the XDP program.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/abi.h"

#define SAMPLE_POINTS 32
#define SAMPLE_FLOWS  4096
#define SAMPLE_CPUS   512

struct sample_point {
	int ifindex;
	struct df_policy policy; /* its encap says where in the frame to look */
};

struct sample_count {
	double rate; /* frames a second that arrived, looked at or not */
	uint64_t looked; /* at so many of them: what the buffer held */
	uint64_t matching; /* of these: UDP to a port of the policy, DF or not */
	uint64_t id0; /* of the matching: DF set, no fragment, IPv4 ID 0 */
	uint64_t tagged; /* of the matching: behind a VLAN tag */
	uint64_t fragments; /* of the looked at: IPv4 UDP fragments with an offset */
	unsigned int cpu;
	unsigned int flows; /* among the matching; at most SAMPLE_FLOWS */
	uint64_t largest_flow; /* packets of the largest */
	uint64_t largest_outer_flow; /* encap: vxlan: the same of the tunnel's packets */
	uint64_t on_cpus; /* of the matching: those of which it is known on what CPU they arrived */
	uint64_t largest_cpu; /* of these: on the busiest, which is `cpu` */
};

struct sample;

/* Begins. n is at most SAMPLE_POINTS. Returns 0 with *out set, or -errno. */
int sample_open(const struct sample_point *points, unsigned int n, struct sample **out);

/* Ends it: out[i] is what points[i] saw. */
void sample_close(struct sample *sample, struct sample_count *out);

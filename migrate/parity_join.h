/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Joins two streams of the same packets: as they came, in front of XDP, and as they came out behind both
 * paths; and compares each pair. Pure: time is what the caller says.
 *
 * A pair is joined by what neither path may change. Identical packets join in their order. What finds no
 * equal is held back, and joined with one of its flow that found none either and has its ID, its payload
 * or, where it has no ID, its length: those two differ. What finds none of these is missing, and joined
 * with its equal when that comes out after all.
 *
 * A packet that XDP took is compared with what the policy makes of it, and so is XDP judged by what came
 * out; of any other the path behind is judged, and XDP by what its program would have made of it.
 *
 * Invariants (cited as "join J1" and so on):
 *  J1  Every packet shown in front is counted once: compared, missing, or forgotten. What comes out late
 *      is not missing any more, but compared: the last JOIN_GIVEN_UP_MAX that were missing are known.
 *  J2  A packet that came out and was not shown in front is counted only when its sample cannot have
 *      been in front of the first or behind the last one, as far as packets were seen to take so long.
 *  J3  What the path behind loses or reorders by itself (packets that XDP let be) is noise, and the
 *      measure for what XDP took.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/abi.h"
#include "core/err.h"
#include "migrate/parity.h"

#define JOIN_WAIT_NS      2000000000U /* a packet that is not out after so long is missing */
#define JOIN_GIVEN_UP_MAX 16384 /* more than a queue holds */

/* Why a packet is not out behind. */
enum join_missing {
	JOIN_BAD_CHECKSUM, /* of the IPv4 header: the stack drops it in front of both rules */
	JOIN_REASSEMBLED, /* a first fragment: conntrack made one packet of it and its others */
	JOIN_LOST, /* none of these */
	JOIN_MISSING_MAX
};

struct join_stream {
	uint64_t joined;
	uint64_t missing[JOIN_MISSING_MAX];
	uint64_t late; /* of those joined: came out behind one that XDP saw later, of this stream */
};

struct join_report {
	struct parity_report parity; /* of pairs alone */
	struct join_stream left, taken; /* that XDP let be, and that it took */
	uint64_t late; /* came out behind one that XDP saw later, of either stream */
	uint64_t bridged; /* of the policy, not seen by XDP, by a port where it is not attached */
	uint64_t unseen; /* of the policy, not seen by XDP, for no reason that is known */
	uint32_t bridged_port; /* ifindex of the last such port */
};

struct join_how {
	struct df_policy policy;
	struct parity_set accept;
	const uint32_t *attached; /* ifindexes where XDP is */
	unsigned int n_attached;
	/* Every pair that is not equal; or NULL. frames: as it came, and the Ethernet header in front of
	 * the other two. */
	void (*found)(void *ctx, const struct parity_set *found, const struct parity_case *c,
		      const uint8_t *frame, size_t head);
	void *ctx;
};

struct parity_join;

/* Returns NULL when out of memory. now_ns: samples are taken from here on (J2). */
struct parity_join *join_new(const struct join_how *how, uint64_t now_ns);
void join_free(struct parity_join *join);

/* A packet in front of XDP, in the order of its CPU. Returns 0 or -ENOMEM. */
int join_came(struct parity_join *join, int cpu, const struct df_sample *sample,
	      const uint8_t *frame, uint64_t now_ns);

/*
 * A packet behind both paths, in their order, from its IPv4 header on; every packet that XDP saw before
 * it must have been given by join_came(). port: ifindex of the bridge port that it came by, or 0.
 */
int join_out(struct parity_join *join, const uint8_t *data, size_t len, uint32_t port,
	     uint64_t now_ns);

/* What waits is not counted, and samples are taken from here on: nothing was to be seen behind. */
void join_forget(struct parity_join *join, uint64_t now_ns);

/* No sample is taken any more (J2). */
void join_stop(struct parity_join *join, uint64_t now_ns);

/* What is older than JOIN_WAIT_NS is given up; with all, everything. */
void join_age(struct parity_join *join, uint64_t now_ns, bool all);

/* Does a packet that came wait for its other half? */
bool join_waiting(const struct parity_join *join);

const struct join_report *join_report(const struct parity_join *join);

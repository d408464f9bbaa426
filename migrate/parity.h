/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The comparer: one packet as it came, as XDP left it, and as it came out of the path behind; what is
 * different, on whose side, and what that supports. Pure.
 *
 * Invariants (cited as "parity Y1" and so on):
 *  Y1  compared == equal + accepted + different. A packet that one side alone has is among them.
 *  Y2  Equal means the same bytes from both sides, and nothing said against either. Then no class is
 *      found; in every other case at least one is.
 *  Y3  A class is charged to the side whose packet deviates from the one that came, and only there is
 *      it accepted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/abi.h"
#include "core/parity_class.h"

enum parity_side { PARITY_XDP, PARITY_BEHIND, PARITY_SIDE_MAX };

extern const char *const parity_side_name[PARITY_SIDE_MAX];

/* Classes by side. */
struct parity_set {
	uint32_t by[PARITY_SIDE_MAX]; /* of PARITY_BIT() */
};

/* A packet from its IPv4 header on; data NULL: this side does not have it. */
struct parity_bytes {
	const uint8_t *data;
	size_t len;
};

struct parity_case {
	struct parity_bytes came;
	struct parity_bytes side[PARITY_SIDE_MAX];
	struct parity_set said; /* what the caller knows besides: AROUND, DROPPED, COUNTER */
	bool matches; /* the policy wants DF cleared */
	bool assigns; /* and an IPv4 ID given */
};

/* Fills in what the policy wants of c->came. policy: without the encapsulation. */
void parity_ask(const struct df_policy *policy, struct parity_case *c);

/* The set is empty when they are equal (Y2). Any bytes will do. */
struct parity_set parity_compare(const struct parity_case *c);

/*
 * Why a packet was not compared. All of them passed XDP as they came; those that the stack drops in front
 * of the queue (replay with a live one) came out of XDP so that it drops them still.
 */
enum parity_unseen {
	PARITY_SHOWN, /* it was */
	PARITY_NOT_IPV4,
	PARITY_NOT_TUNNEL, /* encap: vxlan, and no tunnel of the policy: the rule never sees it */
	PARITY_TOO_SHORT, /* it ends before the IPv4 header does */
	PARITY_REFUSED, /* the kernel does not run the program on such a frame */
	PARITY_BAD_HEADER, /* the stack: no version 4, or lengths that cannot be */
	PARITY_BAD_LENGTH, /* the stack: a total length above what there is */
	PARITY_BAD_CHECKSUM, /* the stack: of the IPv4 header */
	PARITY_UNSEEN_MAX
};

extern const char *const parity_unseen_name[PARITY_UNSEEN_MAX];

struct parity_report {
	uint64_t compared, equal, accepted, different; /* Y1 */
	uint64_t matching; /* of those compared: the policy matches */
	uint64_t matching_different; /* and they are different */
	uint64_t one_sided[PARITY_SIDE_MAX]; /* of those compared: this side alone has it */
	uint64_t class[PARITY_CLASS_MAX][PARITY_SIDE_MAX]; /* packets, accepted ones too */
	uint64_t unseen[PARITY_UNSEEN_MAX]; /* not compared */
};

enum parity_verdict {
	PARITY_EQUAL,
	PARITY_DIFFERENT,
	PARITY_INCONCLUSIVE, /* nothing that the policy matches was compared */
	PARITY_VERDICT_MAX
};

extern const char *const parity_verdict_name[PARITY_VERDICT_MAX];

/* Counts a compared packet: found is what parity_compare() said of c. */
void parity_count(struct parity_report *report, const struct parity_case *c,
		  const struct parity_set *found, const struct parity_set *accept);

enum parity_verdict parity_judge(const struct parity_report *report);

/*
 * k of n different: with 95 % confidence at most this share is, in traffic of which these n are a
 * random sample. k 0: the rule of three, 3/n. Else the exact one-sided bound of Clopper and Pearson.
 * n 0: 1.
 */
double parity_at_most(uint64_t k, uint64_t n);

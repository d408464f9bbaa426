/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The checks of a rollout, each second: one small function a gate, from readings to a verdict.
 *
 * Invariants (cited as "gate G1" and so on):
 *  G1  No reading is no success: what is missing or stale is inconclusive, and holds the step.
 *  G2  A failure says whose it is, because it decides where the packets should go.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/policy.h"
#include "migrate/machine.h"
#include "migrate/parity_live.h"

enum gate_verdict { GATE_PASS, GATE_INCONCLUSIVE, GATE_FAIL, GATE_VERDICT_MAX };
extern const char *const gate_verdict_name[GATE_VERDICT_MAX];

enum gate_blame {
	GATE_XDP, /* the XDP path: back to NFQUEUE */
	GATE_FALLBACK, /* the way back: on-legacy-down says what then */
};

/* Everything that one look at the gateway gives. */
struct gate_sample {
	uint64_t at_ns; /* machine_now_ns() before the first reading */
	uint64_t took_ns;
	int failed; /* not 0: it could not be read; why says it */
	struct err why;
	/* Our table's counters before XDP's were read, and after the queue's depth: a bracket. */
	struct nft_counters before, after;
	struct machine_status status;
	unsigned int carrier_down; /* attach points without carrier */
	struct live_report live; /* since the rollout began; one_in 0: nothing is compared */
};

struct gate_context {
	const struct policy *policy;
	const struct gate_sample *shadow; /* at the end of SHADOW; NULL before */
	const struct gate_sample *base; /* at the begin of this step */
	const struct gate_sample *last; /* a second ago; NULL: none */
	const struct gate_sample *now;
	const struct gate_sample *first; /* at the begin of SHADOW */
	double rate; /* matching packets a second before this step; 0: not known */
	uint64_t excused; /* differences that were judged before, and did not end the rollout */
};

#define GATE_TEXT 96

struct gate_result {
	const char *name;
	enum gate_blame blame;
	enum gate_verdict verdict;
	char reading[GATE_TEXT];
	char limit[GATE_TEXT];
};

#define GATES_MAX 16

/* Takes one look. live: NULL when nothing is compared. */
void gate_sample(const struct policy *policy, struct parity_live *live, struct gate_sample *out);

/* Runs all of them. Returns how many; the worst verdict in *worst. */
unsigned int gates_run(const struct gate_context *context, struct gate_result out[GATES_MAX],
		       enum gate_verdict *worst);

/* Matching packets of this step so far. */
uint64_t gate_matched(const struct gate_context *context);

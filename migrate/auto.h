/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A rollout by itself: SHADOW, the policy's steps, FULL, and then an operator confirms. Each second the
 * gates; every step up on evidence; back when a gate fails, when it stays inconclusive, when the lease
 * or the time to confirm runs out, and however this process ends.
 *
 * Invariants (cited as "auto A1" and so on):
 *  A1  The lease is extended only after a look that was complete and in which no gate failed that
 *      speaks against XDP.
 *  A2  No way out of this function confirms: only migrate confirm does, naming the generation.
 *  A3  Before a step up the NFQUEUE path has carried all of the traffic for a moment, and has time left
 *      for half as much again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/policy.h"
#include "migrate/gate.h"
#include "migrate/rollback.h"

/* What one second gave, for who prints it. */
struct auto_second {
	enum machine_state state;
	unsigned int step; /* 0: SHADOW; of policy->rollout.n_steps */
	struct share share;
	uint32_t generation;
	bool rates_known; /* from the second look on: a rate is between two */
	double xdp_rate, nfqueue_rate; /* packets a second */
	uint64_t samples;
	uint64_t in_step_ns;
	uint64_t lease_left_ns, confirm_left_ns; /* 0: none */
	unsigned int n_gates;
	struct gate_result gate[GATES_MAX];
	enum gate_verdict worst;
};

/* How the trial of the NFQUEUE path went (A3). */
struct auto_trial {
	double rate; /* packets a second that it carried: all of them */
	double capacity; /* that it could have carried, from the time its busiest thread needed */
	uint64_t deepest; /* packets that waited, at most */
	bool ok;
	char why[GATE_TEXT];
};

struct auto_end {
	bool confirmed;
	bool rolled_back;
	char reason[400];
	struct rollback rollback;
};

struct auto_observer {
	void (*second)(void *ctx, const struct auto_second *second);
	void (*step)(void *ctx, unsigned int step, const struct machine_move *move);
	void (*trial)(void *ctx, const struct auto_trial *trial);
	void *ctx;
};

/*
 * Runs until it is confirmed or back. Returns 0 when confirmed, -N2X_ROLLED_BACK, or why it could not
 * begin; *end is filled but in the last case.
 */
int auto_run(const struct policy *policy, bool local_only, const struct auto_observer *observer,
	     struct auto_end *end, struct err *err);

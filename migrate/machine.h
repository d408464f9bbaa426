/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The states of a migration and the moves between them. The state is derived from what the kernel
 * holds, never kept beside it.
 *
 *	IDLE         the XDP path is not attached
 *	SHADOW       attached, share 0, not moved yet
 *	SPLIT        a part of the matching packets goes to XDP
 *	FULL         XDP takes all, the NFQUEUE path waits behind it
 *	DONE         XDP takes all, the NFQUEUE path was taken away on purpose
 *	ROLLED_BACK  attached, share 0 again
 *
 * Invariants (cited as "machine M1" and so on):
 *  M1  The share rises only while the NFQUEUE path behind runs and every attach point is ours.
 *  M2  Every move is one map write. No move changes a rule, a queue or an attachment, except start,
 *      done and rollback --detach, which say so.
 *  M3  A rollback through this path is verified with counters; panic is the way that needs nothing
 *      but the map.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/policy.h"
#include "nfq-fallback/nfq_path.h"
#include "xdp/xdp_path.h"

enum machine_state {
	MACHINE_IDLE,
	MACHINE_SHADOW,
	MACHINE_SPLIT,
	MACHINE_FULL,
	MACHINE_DONE,
	MACHINE_ROLLED_BACK,
	MACHINE_STATE_MAX
};

extern const char *const machine_state_name[MACHINE_STATE_MAX];

#define MACHINE_PROBLEMS_MAX 16

struct machine_status {
	enum machine_state state;
	struct xdp_state xdp; /* all zero in IDLE */
	struct nfq_path_info nfq;
	uint64_t matched; /* packets that XDP saw and that were to be handled */
	uint64_t cleared; /* of these, handled by XDP */
	char problem[MACHINE_PROBLEMS_MAX]
		    [sizeof(struct err)]; /* what makes it degraded, in words */
	unsigned int n_problems;
};

/* What a move of the share measured. */
struct machine_move {
	struct share before;
	struct share after;
	uint64_t write_ns; /* the map write, with its read-back */
	/* Rollback only, from the write on; all 0 when the share was 0 before: */
	uint64_t verify_ns; /* until XDP's counter was seen to stand still */
	uint64_t
		matched; /* packets that XDP saw and left meanwhile; 0: no traffic, nothing proved */
	uint64_t nfq_handled; /* packets the NFQUEUE path handled meanwhile */
	uint64_t leaked; /* packets behind both paths that still had DF meanwhile */
};

/* Reads everything. Returns 0 or -N2X_SYSTEM. */
int machine_status(const char *instance, struct machine_status *out, struct err *err);

/* Is it attached? Changes nothing. -N2X_NO when it is, but not as this policy says. */
int machine_started(const struct policy *policy, bool *already, struct err *err);

/* Attaches at share 0. Nothing to do, and 0, when it is attached with this policy. */
int machine_start(const struct policy *policy, bool local_only, bool *already, struct err *err);

/* Sets a share above 0 (M1). Returns 0, -N2X_NO when refused, -N2X_INACTIVE in IDLE. */
int machine_split(const struct policy *policy, const struct share *share, struct machine_move *out,
		  struct err *err);

/*
 * After share 0 was written: a command that was let through before may still write its share. Waits,
 * for a second at most, until no command is under way, and writes share 0 again if it is not 0.
 */
int machine_settle(const char *instance, struct err *err);

/*
 * Share 0, verified (M3). Nothing to do when it is 0. -N2X_NO, and nothing done, when the NFQUEUE path
 * does not run; -N2X_DEGRADED when it is done and packets are seen that nobody carries.
 */
int machine_rollback(const char *instance, struct machine_move *out, struct err *err);

/* After a rollback: detaches and unpins. A native detach resets the link of many drivers: only when
 * allowed. */
int machine_detach(const char *instance, bool allow_link_reset, struct err *err);

/* From FULL: stops the NFQUEUE path, which takes its rule away, drains and closes. */
int machine_done(const char *instance, struct err *err);

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The states of a migration and the moves between them. The state is derived from what the kernel
 * holds, never kept beside it.
 *
 *	IDLE         the XDP path is not attached
 *	SHADOW       attached, share 0, not moved yet
 *	SPLIT        a part of the matching packets goes to XDP
 *	FULL         XDP takes all, the NFQUEUE path waits behind it, nobody confirmed
 *	CONFIRMED    XDP takes all, without a lease: somebody confirmed, or runs nfq2xdp run xdp
 *	DONE         and there is no NFQUEUE path, on purpose
 *	HOLD         SHADOW, SPLIT or FULL, and no step up: an operator or a gate said so
 *	ROLLED_BACK  attached, and XDP takes nothing: share 0 again, or the lease ran out
 *
 * Invariants (cited as "machine M1" and so on):
 *  M1  The share rises only while the NFQUEUE path behind runs and every attach point is ours.
 *  M2  Every move is one store of one word. No move changes a rule, a queue or an attachment, except
 *      start, done, restore and rollback --detach, which say so.
 *  M3  A rollback through this path is verified with counters; panic is the way that needs nothing
 *      but the map.
 *  M4  A share above 0 has a lease until somebody confirms it.
 *  M5  What raises the share or changes rules is in the journal before it happens (journal J1); a way
 *      back is not held up by it (J2).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/policy.h"
#include "migrate/fallback.h"
#include "migrate/journal.h"
#include "xdp/xdp_ctl.h"
#include "xdp/xdp_path.h"

enum machine_state {
	MACHINE_IDLE,
	MACHINE_SHADOW,
	MACHINE_SPLIT,
	MACHINE_FULL,
	MACHINE_CONFIRMED,
	MACHINE_DONE,
	MACHINE_HOLD,
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
	uint64_t
		arriving; /* UDP packets to the policy's ports that XDP saw, whatever became of them */
	char problem[MACHINE_PROBLEMS_MAX]
		    [sizeof(struct err)]; /* what makes it degraded, in words */
	unsigned int n_problems;
};

/* What raising the share measured. */
struct machine_move {
	struct share before;
	struct share after;
	uint32_t generation;
	uint64_t confirm_ns; /* left to confirm it: the time may run since a step before */
	uint64_t write_ns; /* the store */
	uint64_t
		effect_ns; /* until XDP's counter was seen to rise; 0: no packet came within 0.1 s */
};

uint64_t machine_now_ns(void);

/* Of an instance that is pinned. */
enum machine_state machine_state_of(const struct xdp_state *xdp);

/* The part of the matching packets that XDP takes by its map, from 0 to 1: 0 when the lease is over. */
double machine_share_ratio(const struct xdp_state *xdp);

/* Our NFQUEUE path runs, but its file in /run is gone: nothing is known of it. */
bool machine_nfq_unseen(const struct nfq_path_info *nfq);

/* Has a build of another layout pinned something of it? Also while it is being taken over. */
bool machine_other_layout(const char *instance);

/* matched, cleared and arriving, of what xdp has. */
void machine_count(struct machine_status *status);

/* What is counted, for the journal: a report makes packets and rates of two such readings. */
json_t *machine_counters(const struct machine_status *status);

/* M5: {"event": "intent", "do": what, …more}, on the disk when it returns 0. And what became of it, as
 * far as that can be written; returns ret. */
int machine_intend(struct journal *journal, const char *what, json_t *more, struct err *err);
int machine_did(struct journal *journal, const char *what, int ret, const struct err *why);

/* Reads everything. Returns 0 or -N2X_SYSTEM. */
int machine_status(const struct policy *policy, struct machine_status *out, struct err *err);

/* Is it attached? Changes nothing. -N2X_NO when it is, but not as this policy says. */
int machine_started(const struct policy *policy, bool *already, struct err *err);

struct machine_start {
	bool local_only;
	bool already; /* out: there was nothing to do */
	bool upgraded; /* out: attached already, and now with this build's programs */
};

/*
 * Makes the operator's rules DF-aware, attaches at share 0. Nothing to do, and 0, when it is attached
 * with this policy. After a rollback it is the next generation.
 */
int machine_start(const struct policy *policy, struct machine_start *start, struct journal *journal,
		  struct err *err);

struct machine_raise {
	struct share to;
	uint64_t lease_ns; /* 0: the lease is the time to confirm */
	uint32_t step; /* of a rollout by itself; 0: by hand */
	const uint32_t
		*writes; /* what df_ctl.writes was when it was decided; NULL: whatever it is */
};

/*
 * Sets a share above 0 (M1), with a lease: never longer than confirm_within of the policy (from now on,
 * unless this generation waits already, as in a rollout's later steps). Returns 0, -N2X_NO when refused
 * or somebody wrote the share meanwhile, -N2X_INACTIVE in IDLE.
 */
int machine_raise(const struct policy *policy, const struct machine_raise *how,
		  struct journal *journal, struct machine_move *out, struct err *err);

/*
 * After share 0 was written: a command that was let through before may still write its share. Waits,
 * for a second at most, until no command is under way, and writes share 0 again if it is not 0.
 */
int machine_settle(const char *instance, struct err *err);

/* A native detach resets the link of many drivers: -N2X_NO unless that is allowed. */
int machine_may_detach(const struct xdp_state *state, bool allow_link_reset, struct err *err);

/* After a rollback: detaches and unpins, when it may. */
int machine_detach(const struct policy *policy, bool allow_link_reset, struct err *err);

/* From CONFIRMED: takes the way back away (fallback_remove()). */
int machine_done(const struct policy *policy, struct journal *journal, struct err *err);

/*
 * The operator's rules as they were, our table around them gone. For a moment XDP takes all, when it is
 * attached: so nothing waits in a queue as our table goes (fallback F2). The share is 0 then.
 */
int machine_restore(const struct policy *policy, struct journal *journal, struct err *err);

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The way back, rung by rung, each measured:
 *
 *	0  the lease runs out: the program by itself, with nobody alive
 *	1  share 0: one store
 *	2  the program is exchanged for one that does nothing: for one that does not obey the share
 *	3  detach, where that is allowed: it resets the link of many drivers
 *
 * Make before break: there must be a way back that runs, or the policy says what then. Then the XDP
 * counter must stand still and the NFQUEUE path be seen to carry the packets.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/policy.h"
#include "migrate/journal.h"
#include "migrate/machine.h"

enum rollback_rung { RUNG_LEASE, RUNG_SHARE, RUNG_STUB, RUNG_DETACH, RUNG_MAX };
extern const char *const rollback_rung_name[RUNG_MAX];

struct rollback_how {
	const char *reason; /* for the journal */
	bool allow_link_reset; /* rung 3 */
	bool always; /* also without a way back: packets then pass with DF set */
	bool write; /* also where the share is 0: a rollout that runs looks for a write, and a command may be about to */
};

struct rollback {
	struct share before;
	enum rollback_rung rung; /* the one that held */
	uint64_t write_ns; /* the store */
	uint64_t
		effect_ns; /* until the NFQUEUE path was seen to carry more; 0: no packet in 0.1 s */
	uint64_t rung_ns
		[RUNG_MAX]; /* each that was tried: until its counter was seen to stand still */
	uint64_t verify_ns; /* all of it; 0: the share was 0 before */
	uint64_t
		matched; /* packets that XDP saw and left meanwhile; 0: no traffic, nothing proved */
	uint64_t nfq_handled; /* packets the NFQUEUE path handled meanwhile */
	uint64_t leaked; /* packets behind both paths that still had DF meanwhile */
};

/*
 * Share 0, verified (machine M3). Nothing to do when it is 0 and XDP's counter stands still, unless
 * how->write. journal may be NULL. -N2X_NO, and nothing done, when there is no way back;
 * -N2X_DEGRADED when it is done and packets are seen that nobody carries, or no rung that is allowed
 * held.
 */
int rollback(const struct policy *policy, const struct rollback_how *how, struct journal *journal,
	     struct rollback *out, struct err *err);

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a rollback goes back to: our own NFQUEUE path, or the operator's daemon (nfqueue.daemon:
 * external) behind his own rule.
 *
 * The operator's rule is made DF-aware in place (rules/legacy.h), so that it queues only what XDP left;
 * our table counts in front of it and behind it. Neither rule nor counters need a process of ours.
 *
 * Invariants (cited as "fallback F1" and so on):
 *  F1  The guard comes before anything of ours, and goes after everything of ours: with it, a packet
 *      is handled by one path however the rules change.
 *  F2  Our table goes only while XDP takes all or nothing waits: with a hook, the kernel drops what
 *      waits in every queue (nft N3).
 */
#pragma once

#include "core/err.h"
#include "core/policy.h"
#include "nfq-fallback/nfq_path.h"
#include "rules/legacy.h"

/* Reads what is true now, of either kind. With an external daemon `handled` is derived: counted in
 * front, less what waits and what left with DF. Returns 0 or -N2X_SYSTEM. */
int fallback_read(const struct policy *policy, struct nfq_path_info *out, struct err *err);

/* Does a guarded rule of the operator's feed the policy's queue? Asks his tools: tens of milliseconds. Returns 1, 0, or
 * -N2X_SYSTEM when they cannot say. */
int fallback_fed(const struct policy *policy, struct err *err);

/* Packets that wait in its queues now; cheap. And how many may: half of what fits. */
uint64_t fallback_depth(const struct policy *policy);
uint64_t fallback_depth_limit(const struct nfq_path_info *info);

/*
 * Guards the operator's rules; with an external daemon also adds our table around, or, unless started
 * (XDP is attached), exchanges the one that an earlier start left. Nothing to do, and 0, where it is done.
 * -N2X_NO when the daemon is external and there is no such rule, or nobody listens.
 */
int fallback_adopt(const struct policy *policy, bool started, struct err *err);

/* The way back to the operator's rules, in the order machine_restore() needs; each can be repeated.
 * reinstate: rules that fallback_remove() took are there again, guarded. -N2X_NO when nobody listens.
 * leave: our table, and our own NFQUEUE path, go (F2). unguard: the rules are as they were. */
int fallback_reinstate(const struct policy *policy, struct err *err);
int fallback_leave(const struct policy *policy, struct err *err);
int fallback_unguard(const struct policy *policy, struct err *err);

/* Takes the way back away, on purpose: our NFQUEUE path stops; the operator's rules go, kept in
 * /run for fallback_reinstate(). */
int fallback_remove(const struct policy *policy, struct err *err);

/*
 * Nanoseconds that each thread of the process needed or waited for a CPU, as of now: the largest over
 * its threads is what limits it. Returns 0, or -N2X_SYSTEM when the process cannot be looked into.
 */
#define FALLBACK_TASKS_MAX 64
struct fallback_busy {
	unsigned int n;
	int tid[FALLBACK_TASKS_MAX];
	uint64_t ns[FALLBACK_TASKS_MAX];
};
int fallback_busy(pid_t pid, struct fallback_busy *out);

/* The busiest thread between two readings, in nanoseconds. */
uint64_t fallback_busiest_ns(const struct fallback_busy *before, const struct fallback_busy *after);

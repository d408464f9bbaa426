/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control map of an instance (struct df_ctl of core/abi.h), in this process's memory: share, lease,
 * confirm. Every change is one store of one word, seen by the program with its next packet.
 *
 * Invariants (cited as "ctl C1" and so on):
 *  C1  A share above 0 is written by compare-and-swap against the share that was looked at: who takes
 *      the share down meanwhile is never overruled.
 *  C2  The lease is in place before the share rises, and only ever a word of its own: extending it
 *      raises nothing.
 *  C3  A lease that has run out, by the clock read just before, is not extended: the share is 0 then,
 *      and rises only by C1.
 *  C4  deadline <= confirm_by while confirm_by is set.
 */
#pragma once

#include <stdint.h>

#include "core/abi.h"
#include "core/err.h"
#include "core/policy.h"

struct xdp_ctl {
	struct df_ctl *map; /* the kernel's memory */
	int clock_fd; /* the program that reads jiffies64; -1: none */
};

/* Returns 0, -N2X_INACTIVE when the instance is not pinned, or -N2X_SYSTEM. */
int xdp_ctl_open(const char *instance, struct xdp_ctl *out, struct err *err);
void xdp_ctl_close(struct xdp_ctl *ctl);

/* The kernel's clock that leases are measured in (jiffies64), or 0 when it cannot be read. */
uint64_t xdp_ctl_now(const struct xdp_ctl *ctl);

/* How many of them a second has: measured, takes 0.2 s or more. clock_fd is the program n2x_clock. */
uint32_t xdp_ctl_measure_hz(int clock_fd);

/* The time that is `ns` after `now`, at least one tick. */
uint64_t xdp_ctl_after(const struct df_ctl *ctl, uint64_t now, uint64_t ns);

/* Nanoseconds from now until `until`; 0 when it is past. */
uint64_t xdp_ctl_left_ns(const struct df_ctl *ctl, uint64_t now, uint64_t until);

struct xdp_raise {
	struct share from; /* what the share was when it was decided (C1) */
	struct share to;
	uint64_t lease_ns; /* 0: the lease is confirm_by alone */
	uint64_t confirm_by; /* jiffies64; 0: none */
	uint32_t step;
};

/* Raises the share. -N2X_NO when it is not `from` any more; nothing is changed then but the lease. */
int xdp_ctl_raise(const struct xdp_ctl *ctl, const struct xdp_raise *raise, struct err *err);

/* Share 0 and no lease. Cannot fail. */
void xdp_ctl_zero(const struct xdp_ctl *ctl);

/* Extends the lease (C3). -N2X_NO when it has run out. */
int xdp_ctl_extend(const struct xdp_ctl *ctl, uint64_t lease_ns, struct err *err);

/*
 * The share as it is now, to be kept without a lease: `generation` must be the one that waits.
 * -N2X_NO when it is another, nothing waits, or the lease ran out.
 */
int xdp_ctl_confirm(const struct xdp_ctl *ctl, uint32_t generation, struct err *err);

/* The confirm lease anew, from now on. -N2X_NO when there is none or it ran out. */
int xdp_ctl_confirm_within(const struct xdp_ctl *ctl, uint64_t ns, struct err *err);

/*
 * One packet in `one_in`, chosen as df_sampled() of core/packet.h does, is shown to who reads the map
 * "samples", for `ns` from now; one_in 0: none is. Returns 0 or -N2X_SYSTEM.
 */
int xdp_ctl_sample(const struct xdp_ctl *ctl, uint32_t one_in, uint64_t ns, struct err *err);

/* Sets or clears bits of enum df_ctl_flags. */
void xdp_ctl_flag(const struct xdp_ctl *ctl, uint32_t flag, int on);

/*
 * The NFQUEUE path shows for a moment that it can carry all: the share becomes one that takes nothing;
 * and back. -N2X_NO when somebody moved the share meanwhile.
 */
int xdp_ctl_trial(const struct xdp_ctl *ctl, const struct share *share, struct err *err);
int xdp_ctl_trial_end(const struct xdp_ctl *ctl, const struct share *share, struct err *err);

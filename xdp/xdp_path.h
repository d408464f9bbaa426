/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The XDP path: load, attach, pin, share, read, detach. Its state is in the kernel and is read from
 * there: pinned maps "ctl", "stats" and "policy" (see core/abi.h), one pinned "link-<interface>"
 * per attach point, or, where the kernel has no XDP links (before 5.9), the pinned program as
 * "prog-<interface>".
 *
 * Invariants (cited as "xdp X1" and so on):
 *  X1  Nothing foreign is replaced: links, or netlink with XDP_FLAGS_UPDATE_IF_NOEXIST; never the
 *      plain form.
 *  X2  Attached at share 0; the share moves only by xdp_share_set().
 *  X3  A failed xdp_attach() leaves no program, link, pin or directory behind.
 *  X4  Several attach points share one set of maps: one share, one set of counters.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/policy.h"

/* One attach point as the kernel has it now. */
struct xdp_point {
	char interface[IFNAMSIZ]; /* its name now; the pinned name when it is gone */
	bool ours; /* our program is attached and the interface exists */
	bool native; /* false: generic */
	bool frags; /* the xdp.frags build */
	bool link; /* a bpf_link; false: netlink */
	uint32_t prog_id;
};

struct xdp_state {
	struct xdp_point point[POLICY_ATTACH_MAX];
	unsigned int n_points;
	struct df_policy policy;
	struct df_ctl ctl;
	uint64_t reason[DF_REASON_MAX]; /* summed over the CPUs */
};

/* What attaching would do to one interface, for --dry-run. */
struct xdp_plan {
	char interface[IFNAMSIZ];
	unsigned int mtu;
	bool frags;
};

/*
 * Checks everything that can be checked without changing anything: rights, bpffs, that the
 * interfaces exist, that no foreign program is on them, that none is a bridge (unless local_only).
 * Fills plan[0..policy->xdp.n_attach). Returns 0, -N2X_FOREIGN with the program's id and name,
 * -N2X_USAGE or -N2X_SYSTEM.
 */
int xdp_plan(const struct policy *policy, bool local_only, struct xdp_plan plan[POLICY_ATTACH_MAX],
	     struct err *err);

/* Loads, attaches to every interface at share 0, pins. All or nothing (X3). Fails as xdp_plan(). */
int xdp_attach(const struct policy *policy, bool local_only, uint32_t generation, struct err *err);

/* Returns 0, -N2X_INACTIVE when the instance is not pinned, or -N2X_SYSTEM. */
int xdp_read(const char *instance, struct xdp_state *out, struct err *err);

/*
 * Is what is attached what the policy says, on every interface? Returns 0, -N2X_DEGRADED when our
 * program is gone from one, -N2X_NO when policy or interfaces differ.
 */
int xdp_check(const struct xdp_state *state, const struct policy *policy, struct err *err);

/*
 * Writes the share and reads it back. It keeps the generation, counts the write, and takes a lease
 * away (a deadline of an earlier share says nothing about this one) and the mark of
 * xdp_done_set(). Needs the pinned map alone.
 * Returns as xdp_read().
 */
int xdp_share_set(const char *instance, const struct share *share, struct err *err);

/*
 * Notes in the control map that the NFQUEUE path was taken away on purpose. -N2X_NO when the share is
 * no longer all; else returns as xdp_read().
 */
int xdp_done_set(const char *instance, struct err *err);

/*
 * Detaches and unpins; what is gone already is fine. The share should be 0 for a while before.
 * Returns 0 or -N2X_SYSTEM.
 */
int xdp_detach(const char *instance, struct err *err);

/* Calls fn for each instance pinned in this namespace. Returns the number of instances, or
 * -N2X_SYSTEM. */
int xdp_instances(void (*fn)(const char *instance, void *ctx), void *ctx, struct err *err);

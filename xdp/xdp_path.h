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
 *  X2  Attached at share 0; the share moves only by xdp_ctl.h.
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
	bool taken; /* another program is */
	bool gone; /* the interface is */
	bool native; /* false: generic */
	bool frags; /* the xdp.frags build */
	bool link; /* a bpf_link; false: netlink */
	bool stub; /* the program that does nothing: xdp_stub() */
	uint32_t prog_id;
	uint8_t tag[8]; /* the kernel's hash of the program's instructions: tells builds apart */
};

struct xdp_state {
	struct xdp_point point[POLICY_ATTACH_MAX];
	unsigned int n_points;
	struct df_policy policy;
	struct df_ctl ctl;
	uint64_t now; /* jiffies64; 0: the clock cannot be read */
	bool expired; /* the lease has run out: XDP takes nothing, whatever the share is */
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

/* Is it an attach that was killed half way: some of the interfaces, and the share never written? */
bool xdp_half(const struct xdp_state *there, const struct policy *policy);

/* Loads, attaches to every interface at share 0, pins. All or nothing (X3); one that was killed half way
 * is finished. Fails as xdp_plan(). */
int xdp_attach(const struct policy *policy, bool local_only, uint32_t generation, struct err *err);

/* Returns 0, -N2X_INACTIVE when the instance is not pinned, or -N2X_SYSTEM. */
int xdp_read(const char *instance, struct xdp_state *out, struct err *err);

/*
 * Is what is attached what the policy says, on every interface? Returns 0, -N2X_DEGRADED when our
 * program is gone from one, -N2X_NO when policy or interfaces differ.
 */
int xdp_check(const struct xdp_state *state, const struct policy *policy, struct err *err);

/* Has this build, or one of another layout, pinned something of this instance? */
bool xdp_pinned(const char *instance);

/*
 * The same attachment with the programs of this build: after the binary was upgraded, and after
 * xdp_stub(). What another build with another layout (ABI_VERSION) pinned is taken over at share 0, so
 * that the NFQUEUE path carries all from then on, as rollout `generation`; with the same layout share, lease and counters go on.
 * Each program is exchanged by the kernel in one step, without a detach. *changed: something was to do.
 * Returns 0, -N2X_INACTIVE when nothing is attached, or -N2X_SYSTEM; can be repeated.
 */
int xdp_upgrade(const struct policy *policy, uint32_t generation, bool *changed, struct err *err);

/*
 * Rung 2 of the way back: the programs are exchanged for one that does nothing, in one step each. For
 * a program that does not obey the share. Returns 0, -N2X_INACTIVE or -N2X_SYSTEM.
 */
int xdp_stub(const char *instance, struct err *err);

bool xdp_is_stub(const char *prog_name);

/* Share 0, whichever build pinned the map: needs nothing but it. Returns as xdp_read(). */
int xdp_zero(const char *instance, unsigned int version, struct err *err);

/*
 * Detaches and unpins; what is gone already is fine. The share should be 0 for a while before.
 * Returns 0 or -N2X_SYSTEM.
 */
int xdp_detach(const char *instance, struct err *err);

/*
 * Calls fn for each instance pinned in this namespace, by this build (version is ABI_VERSION) or by one
 * with another layout. Returns the number of instances, or -N2X_SYSTEM.
 */
int xdp_instances(void (*fn)(const char *instance, unsigned int version, void *ctx), void *ctx,
		  struct err *err);

/* SPDX-License-Identifier: GPL-2.0-only */
/* The programs and maps of an instance, loaded and pinned. Used by xdp/ alone. */
#pragma once

#include <stdbool.h>

#include "core/err.h"
#include "core/policy.h"
#include "xdp/nfq2xdp.skel.h"

void xdp_skel_destroyp(struct nfq2xdp **skel);

/*
 * Loads the builds that are wanted, with this policy; on the maps ctl and stats that are pinned for the
 * instance, when there are such. Returns 0 with *out set, or -errno with xdp_libbpf_said().
 */
int xdp_load(const struct policy *policy, bool linear, bool frags, struct nfq2xdp **out);

/* As an error of the kernel's, ret being what xdp_load() returned. */
int xdp_load_failed(int ret, struct err *err);

/*
 * Makes the instance's directory and pins maps, clock and stub; what is pinned there already is
 * replaced in one step, so that a reader finds one or the other.
 */
int xdp_load_pin(const char *instance, const struct nfq2xdp *skel, struct err *err);

/* The descriptor of the build. */
int xdp_load_prog(const struct nfq2xdp *skel, bool frags);

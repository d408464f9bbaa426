/* SPDX-License-Identifier: GPL-2.0-only */
/* What this kernel can do with our programs: by loading them, attached nowhere and pinned nowhere. */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/policy.h"

struct xdp_probed {
	bool linear, frags; /* the build loads */
	bool jited; /* compiled to machine code, not interpreted */
	struct err why; /* of the build that does not load: the linear one's, if neither does */
};

/* Needs the rights of CAP_NEED_XDP, and not that anything of the policy but its matching is there. */
void xdp_probe(const struct policy *policy, struct xdp_probed *out);

/* Returns 0, or -N2X_SYSTEM when /sys/fs/bpf is not a BPF file system here, or nothing can be pinned there. */
int xdp_probe_bpffs(bool *read_only, struct err *err);

/* The name of the program with that id, "?" when it may not be seen. */
void xdp_probe_name(uint32_t id, char out[BPF_OBJ_NAME_LEN]);

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The XDP program on packets out of a buffer (BPF_PROG_RUN): a copy loaded for this alone, with the
 * policy and share all. It has maps of its own, is attached nowhere and pinned nowhere, and goes with
 * its process: an instance that runs is not touched.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/policy.h"

#define XDP_REPLAY_ROOM 4096 /* bytes that a frame may have grown by */

struct xdp_replay;

struct xdp_ran {
	size_t len; /* of the frame that came out */
	bool passed; /* the verdict was XDP_PASS */
	int reason; /* the enum df_reason whose counter, alone, rose by one; else -1 */
};

/* Returns 0 or -N2X_SYSTEM. */
int xdp_replay_open(const struct df_policy *policy, struct xdp_replay **out, struct err *err);

/*
 * One frame through the program. out has room for len + XDP_REPLAY_ROOM bytes. Returns 0, -N2X_NO when
 * the kernel runs no program on such a frame (too short; before 5.18 longer than a page), or -N2X_SYSTEM.
 */
int xdp_replay_run(struct xdp_replay *replay, const void *in, size_t len, void *out,
		   struct xdp_ran *ran, struct err *err);

void xdp_replay_close(struct xdp_replay *replay);

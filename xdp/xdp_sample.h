/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The packets that the attached program shows (core/abi.h, struct df_sample): as they came, in front of
 * whatever is done with them. Nothing is shown unless somebody asks for it every few seconds: who asked
 * and died costs the gateway nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/abi.h"
#include "core/err.h"

struct xdp_samples;

struct xdp_samples_reader {
	/* A sample of `cpu`, in the order of that CPU. frame has sample->len bytes, until the return. */
	void (*sample)(void *ctx, int cpu, const struct df_sample *sample, const uint8_t *frame);
	void *ctx;
};

/* Returns 0, -N2X_INACTIVE when the instance is not pinned, or -N2X_SYSTEM. One reader at a time: a
 * second one takes the samples away from the first. */
int xdp_samples_open(const char *instance, const struct xdp_samples_reader *reader,
		     struct xdp_samples **out, struct err *err);

/* One packet in `one_in` is shown from now on, for for_ns; 0: none any more. Returns 0 or -N2X_SYSTEM. */
int xdp_samples_ask(struct xdp_samples *samples, uint32_t one_in, uint64_t for_ns, struct err *err);

/* Hands over everything that was shown so far; never waits. Returns 0 or -errno. */
int xdp_samples_read(struct xdp_samples *samples);

/* How many were shown and had no room. */
uint64_t xdp_samples_lost(const struct xdp_samples *samples);

/* NULL is allowed. Nothing is shown any more. */
void xdp_samples_close(struct xdp_samples *samples);

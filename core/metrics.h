/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The metrics of one instance in Prometheus' text format, version 0.0.4. Pure: who renders was told all.
 *
 * Counters are the kernel's or a process's own and only rise while what counts them lives: XDP's are in the pinned map,
 * and go on whoever serves them. What is not known is left out, never 0.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/abi.h"
#include "core/parity_class.h"
#include "core/policy.h"

enum metrics_parity { METRICS_EQUAL, METRICS_ACCEPTED, METRICS_DIFFERENT, METRICS_PARITY_MAX };
enum metrics_side { METRICS_XDP, METRICS_BEHIND, METRICS_SIDE_MAX };

struct metrics {
	const char *interface;
	const char *const *states; /* all names there are; NULL: not known which it is */
	unsigned int n_states, state;
	struct {
		bool known; /* it could be looked at */
		bool up; /* attached everywhere, ours */
		bool pinned; /* what follows is there, too */
		uint64_t reason[DF_REASON_MAX];
		double share; /* 0..1 that it takes now: 0 without a lease that holds */
		uint32_t generation;
		double lease, confirm; /* seconds left; below 0: there is none */
	} xdp;
	struct {
		bool own; /* the path tells it, or nobody: who opens and closes its file ends its lock */
		bool known;
		bool up; /* bound, and the rule is there */
		bool reasons; /* an external daemon's verdicts have none: `handled` is all there is */
		uint64_t reason[DF_REASON_MAX], handled;
		uint64_t depth, dropped, unmodified;
		bool behind; /* the counter behind both paths is there */
		uint64_t leaked;
	} nfqueue;
	struct {
		bool known;
		uint64_t result[METRICS_PARITY_MAX];
		uint64_t class[PARITY_CLASS_MAX][METRICS_SIDE_MAX];
	} parity;
};

/* What is known elsewhere and not in *metrics yet. Given to the paths, which do not know each other. */
typedef void metrics_fill_fn(const struct policy *policy, struct metrics *metrics);

void metrics_render(const struct metrics *metrics, FILE *out);

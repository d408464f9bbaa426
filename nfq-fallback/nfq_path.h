/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The NFQUEUE path as a process: queues, worker threads, our nftables table; and what other
 * commands see of it.
 *
 * Invariants (cited as "nfq N1" and so on):
 *  N1  The rule is there only while every queue is bound: bind, then rule; rule away, drain, then
 *      close.
 *  N2  One process per instance and namespace: the one that holds the lock on its state file.
 *  N3  unmodified is derived, because the kernel counts neither bypass nor fail-open: packets the
 *      rule sent, less those waiting, less those handled. Exact at rest, never too high while
 *      packets move.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/err.h"
#include "core/metrics.h"
#include "core/policy.h"
#include "rules/nft.h"

struct nfq_path_info {
	bool external; /* the operator's daemon: no reasons, and `handled` is derived from counters */
	bool running; /* a process holds the state file, queues bound, rule in place */
	pid_t pid;
	uint16_t queue;
	uint16_t threads;
	bool owner; /* nft table has the owner flag */
	uint64_t reason
		[DF_REASON_MAX]; /* verdicts of the process that runs, or of the last that ran */
	uint64_t handled; /* their sum */
	uint64_t unmodified; /* passed without a verdict of ours since the rule was put in (N3) */
	uint64_t depth; /* waiting now, all queues */
	uint64_t dropped; /* by the kernel: queue full or receive buffer full */
	struct nft_counters nft;
};

/*
 * Runs the path until SIGTERM, SIGINT or SIGHUP, then drains and cleans up; serves metrics meanwhile,
 * with what fill() knows of the other path (NULL: nothing). Returns 0 or -enum n2x_exit: -N2X_FOREIGN
 * when it runs already, or queue or table belong to somebody else.
 */
int nfq_path_run(const struct policy *policy, metrics_fill_fn *fill, struct err *err);

/* What *info has, as metrics. */
void nfq_path_metrics(const struct nfq_path_info *info, struct metrics *out);

/* Reads what is true now. running is false (and the rest 0) when nobody runs. Returns 0 or
 * -N2X_SYSTEM. */
int nfq_path_read(const char *interface, struct nfq_path_info *out, struct err *err);

/* Asks the running process to stop and waits for it. Returns 0 (also when none runs) or
 * -N2X_SYSTEM. */
int nfq_path_stop(const char *interface, int timeout_ms, struct err *err);

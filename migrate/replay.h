/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every packet of a capture through the XDP program and through the NFQUEUE handler, compared. Nothing
 * is attached, pinned, bound or sent. The handler is shown what parity_view.h says, by a call, or through a
 * queue of its own (replay_queue.h).
 *
 * What the capture cut off (a snapshot length) both sides go without: such a packet is compared as far
 * as it was captured, and counted as cut.
 */
#pragma once

#include "core/err.h"
#include "core/policy.h"
#include "migrate/parity.h"

struct replay_report {
	struct parity_report parity;
	uint64_t packets; /* parity.compared and parity.unseen[] together */
	uint64_t cut; /* of them: not captured whole */
	char link[32]; /* libpcap's name of the link type */
	bool complete; /* the file was read to its end */
	struct err broken; /* why not */
};

struct replay {
	const struct policy *policy; /* parity.accept too */
	const char *file;
	const char *example_dir; /* or NULL */
	bool live_queue;
	void (*progress)(void *ctx, const struct replay_report *report); /* each packet; or NULL */
	void *ctx;
};

/*
 * Returns 0 with *out set, -N2X_USAGE or -N2X_SYSTEM. A file that is broken behind its first packets is no
 * failure here: out->complete is false.
 */
int replay_run(const struct replay *replay, struct replay_report *out, struct err *err);

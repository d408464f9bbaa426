/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two paths of an instance compared on the traffic that is there, by a thread of its own: what XDP
 * shows (xdp/xdp_sample.h) joined with what comes out behind both (nfq-fallback/nflog.h). Changes
 * nothing: the rules behind are there from the start, and showing ends by itself.
 */
#pragma once

#include "core/err.h"
#include "core/policy.h"
#include "migrate/parity.h"
#include "migrate/parity_join.h"

/* Why a packet that XDP showed was not compared. None of these is a difference. */
enum live_unseen {
	LIVE_BAD_CHECKSUM, /* of its IPv4 header: the stack drops it in front of both rules */
	LIVE_REASSEMBLED, /* a fragment: conntrack made one packet of all of them */
	LIVE_QUEUE_FULL, /* as many as the kernel counted for this queue */
	LIVE_SAMPLE_LOST, /* the other half of the pair had no room in a buffer */
	LIVE_LOST, /* let be by XDP and lost behind, or taken and no more often lost than those */
	LIVE_UNSEEN_MAX
};

extern const char *const live_unseen_name[LIVE_UNSEEN_MAX];

struct live_report {
	struct parity_report parity; /* with the packets that one side alone has */
	uint64_t unseen[LIVE_UNSEEN_MAX];
	struct join_stream left,
		taken; /* the path behind against itself (A/A), and XDP's packets */
	uint64_t late; /* overtook each other, whichever path they took */
	uint64_t bridged; /* of those only seen behind: past where XDP is attached */
	uint32_t bridged_port; /* ifindex */
	uint64_t samples_lost[PARITY_SIDE_MAX];
	uint32_t one_in; /* one packet in so many is compared */
	uint64_t took_ns;
	struct err broken; /* not empty: it stopped, for this reason */
};

struct live_losses { /* while it ran */
	uint64_t samples[PARITY_SIDE_MAX];
	uint64_t queue; /* packets that the kernel dropped for the queue */
};

/* Folds a join into a report: what is missing is explained, accepted or different. Pure. */
void live_fold(const struct join_report *join, const struct live_losses *losses,
	       const struct parity_set *accept, struct live_report *out);

struct parity_live;

/*
 * Begins. example_dir: see parity_example.h; or NULL. Returns 0, -N2X_INACTIVE when the instance is not
 * attached, -N2X_NO when its rules show nothing, -N2X_FOREIGN when it is compared already, or
 * -N2X_SYSTEM.
 */
int live_open(const struct policy *policy, const char *example_dir, struct parity_live **out,
	      struct err *err);

/* What was compared so far. */
void live_read(struct parity_live *live, struct live_report *out);

/* The rules behind were not there, or are others: what waits to be seen there is not counted. */
void live_forget(struct parity_live *live);

/* No packet is shown any more; those on their way are waited for, up to JOIN_WAIT_NS. */
void live_finish(struct parity_live *live, struct live_report *out);

/* NULL is allowed. */
void live_close(struct parity_live *live);

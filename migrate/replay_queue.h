/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A live queue for parity replay: a network namespace that nobody else sees, with a tun device in it, our
 * table, and a real NFQUEUE with the handler on it. What came out is read off a second queue behind the
 * table. The namespace has no name and no process in it: it goes with the descriptors that are open here,
 * however this process ends. This thread is in it only while replay_queue_open() runs.
 */
#pragma once

#include "core/err.h"
#include "core/policy.h"
#include "migrate/parity.h"

struct replay_queue;

/*
 * policy is the instance's; its match and action apply as behind the tunnel (encap: none). It must outlive the
 * queue. Returns 0 or -N2X_SYSTEM; the namespace of the caller is what it was in any case.
 */
int replay_queue_open(const struct policy *policy, struct replay_queue **out, struct err *err);

struct replay_queued {
	struct parity_bytes out; /* until the next call; data NULL: it did not come out */
	unsigned int copies; /* that came out */
	unsigned int handled; /* times that it was handled on the queue */
};

/* One packet, from its IPv4 header on, and no other meanwhile. Returns 0 or -N2X_SYSTEM. */
int replay_queue_run(struct replay_queue *queue, const struct parity_bytes *in,
		     struct replay_queued *out, struct err *err);

void replay_queue_close(struct replay_queue *queue);

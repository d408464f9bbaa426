// SPDX-License-Identifier: GPL-2.0-only
/* Checks of the daemon: the way back. */
#include "migrate/finding_check.h"

#include <stdio.h>
#include <string.h>

#define MTU_PAGE        1500 /* fits one page with headroom and tail on every driver */
#define ENOUGH_PACKETS  100 /* of a sample, to say something about flows */
#define CAPACITY_MARGIN 1.5 /* what migrate auto asks of the way back */
#define EXTERNAL_LENGTH 1024 /* of a queue, by default (NFQNL_QMAX_DEFAULT) */
#define PACKET_OVERHEAD 1024 /* what the kernel accounts beside the packet, about */

/* The policy's queue is somebody else's: the first behind it that no rule feeds. */
static enum finding_verdict taken(struct check *c)
{
	const struct facts *f = c->facts;
	unsigned int queue = f->queue + f->queues;

	for (unsigned int i = 0; i < f->n_rules; i++)
		if (f->rule[i].queue + f->rule[i].queues > queue)
			queue = f->rule[i].queue + f->rule[i].queues;
	mend(c, "nfqueue: { queue: %u } in the file   # one that nobody uses", queue);
	return fail_as(c, N2X_FOREIGN,
		       "queue %u is taken by %s (pid %d): our NFQUEUE path cannot start on it",
		       f->queue, f->listener.comm, f->listener.pid);
}

enum finding_verdict check_fallback(struct check *c)
{
	const struct facts *f = c->facts;

	if (!c->policy)
		return unknown(c, "there is no policy");
	if (!c->external && f->given) {
		if (fact_missing(&f->fallback_read))
			return unknown(c, "%s", fact_missing(&f->fallback_read));
		if (f->fallback.running)
			return ok(c, "our NFQUEUE path runs, pid %d, queue %u", f->fallback.pid,
				  f->fallback.queue);
		if (f->listener.bound && f->queue == c->policy->nfqueue.queue)
			return taken(c);
		mend(c, "nfq2xdp run nfqueue -c FILE");
		return fail(c,
			    "the NFQUEUE path does not run: what XDP does not take would pass with "
			    "DF set");
	}
	if (fact_missing(&f->listening))
		return unknown(c, "%s", fact_missing(&f->listening));
	if (f->listener.bound && f->unbound < 0)
		return ok(c, "%s (pid %d) listens on queue %u", f->listener.comm, f->listener.pid,
			  f->queue);
	mend(c, "systemctl start DAEMON   # the one that binds queue %u",
	     f->unbound < 0 ? f->queue : (unsigned int)f->unbound);
	if (c->external)
		return fail(c, "nobody listens on queue %d: there is no way back", f->unbound);
	return warn(c,
		    "nobody listens on queue %d: packets of the rule %s now; the plan is our own "
		    "path",
		    f->unbound, c->rule && c->rule->bypass ? "pass with DF set" : "are dropped");
}

enum finding_verdict check_fail_open(struct check *c)
{
	if (!c->policy)
		return unknown(c, "there is no policy");
	if (c->external) {
		mend(c, "grep -n FAIL_OPEN …   # in the daemon's source: NFQA_CFG_F_FAIL_OPEN");
		return unknown(c,
			       "the kernel does not show whether the daemon asked for fail-open; "
			       "without it a full queue drops, bypass or not");
	}
	if (c->policy->nfqueue.fail == NFQ_FAIL_OPEN)
		return ok(c, "a full queue passes packets unmodified, and counts them");
	mend(c, "nfqueue: { fail: open } in the file");
	return warn(c, "fail: closed: a full queue, or an NFQUEUE path that ends, drops packets");
}

enum finding_verdict check_overflow(struct check *c)
{
	const struct nfq_queue_info *q = &c->facts->waiting;

	if (!c->facts->listener.bound)
		return unknown(c, "nobody listens: the kernel counts from when somebody does");
	if (!q->dropped && !q->user_dropped)
		return ok(c, "queue %u has lost nothing since it was bound", c->facts->queue);
	mend(c, "cat /proc/net/netfilter/nfnetlink_queue   # columns 6 and 7");
	return warn(
		c,
		"queue %u has overflowed: %u packets found it full, %u its receive buffer, since it "
		"was bound",
		c->facts->queue, q->dropped, q->user_dropped);
}

enum finding_verdict check_depth(struct check *c)
{
	const uint32_t depth = c->facts->waiting.depth;

	if (!c->facts->listener.bound)
		return unknown(c, "nobody listens");
	if (depth <= EXTERNAL_LENGTH / 2)
		return ok(c, "%u packets wait", depth);
	mend(c, "top -H -p %d", c->facts->listener.pid);
	return warn(c, "%u packets wait in queue %u: its daemon does not keep up", depth,
		    c->facts->queue);
}

enum finding_verdict check_buffer(struct check *c)
{
	const struct facts *f = c->facts;
	unsigned int mtu = f->n_devices ? f->device[0].node.dev->mtu : MTU_PAGE, need;

	if (!f->listener.bound)
		return unknown(c, "nobody listens; net.core.rmem_max is %ld", f->rmem_max);
	if (!f->receive_buffer)
		return unknown(c, "the buffer of pid %d cannot be read; net.core.rmem_max is %ld",
			       f->listener.pid, f->rmem_max);
	for (unsigned int i = 0; i < f->n_devices; i++)
		if (f->device[i].node.dev->mtu > mtu)
			mtu = f->device[i].node.dev->mtu;
	need = EXTERNAL_LENGTH / 2 * (mtu + PACKET_OVERHEAD);
	if ((unsigned int)f->receive_buffer >= need)
		return ok(c, "pid %d has %d bytes: at least %u packets of %u", f->listener.pid,
			  f->receive_buffer,
			  (unsigned int)f->receive_buffer / (mtu + PACKET_OVERHEAD), mtu);
	mend(c, "sysctl -w net.core.rmem_max=%u   # and the daemon asks for as much, SO_RCVBUF",
	     need);
	return warn(
		c,
		"the daemon's receive buffer holds %u packets of %u bytes: what comes then is lost "
		"(net.core.rmem_max is %ld)",
		(unsigned int)f->receive_buffer / (mtu + PACKET_OVERHEAD), mtu, f->rmem_max);
}

enum finding_verdict check_capacity(struct check *c)
{
	const struct facts_window *a = &c->facts->begin, *b = &c->facts->end;
	const uint64_t busiest = fallback_busiest_ns(&a->busy, &b->busy);
	const uint32_t sent = b->sent - a->sent;
	double rate, capacity;

	if (!a->busy.n || !b->busy.n)
		return unknown(c, "no process to measure");
	if (sent < ENOUGH_PACKETS || !busiest)
		return unknown(c, "%u packets went through it while it was looked at: too few",
			       sent);
	rate = sent / check_seconds(c);
	capacity = sent * 1e9 / (double)busiest;
	if (capacity >= rate * CAPACITY_MARGIN)
		return ok(c, "it carries %.0f packets/s, and could carry %.0f", rate, capacity);
	mend(c, "nfq2xdp migrate auto -c FILE   # refuses each step up until there is room");
	return warn(
		c,
		"the way back carries %.0f packets/s and could carry %.0f: less than half as much "
		"again",
		rate, capacity);
}

enum finding_verdict check_changes(struct check *c)
{
	if (!c->policy)
		return unknown(c, "there is no policy");
	if (!c->external)
		return ok(c, "no daemon but ours: the same code as XDP's");
	mend(c, "nfq2xdp parity replay FILE.pcap -c FILE");
	return unknown(
		c, "what the daemon changes besides DF is not seen from here: some zero the UDP "
		   "checksum, XDP keeps it");
}

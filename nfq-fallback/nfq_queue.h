/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One netfilter queue: a netlink socket bound to it, the packets on it through nfq_handle(), the
 * verdicts back. A queue belongs to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/abi.h"
#include "nfq-fallback/nfq_handler.h"

/*
 * What a reader that is not scheduled may miss: 80 ms at 100,000 packets/s. More than that is waited for
 * by every packet behind it, and lost when the process is killed.
 */
#define NFQ_QUEUE_LENGTH 8192

#define NFQ_BATCH 32 /* packets that one system call receives */

struct nfq_queue;

/*
 * Binds queue `num` of this network namespace. policy and stats stay the caller's and must outlive
 * the queue. fail_open: when the queue is full, packets pass unmodified (NFQA_CFG_F_FAIL_OPEN)
 * instead of being dropped. Returns 0 with *out set, or -errno with *out untouched: -EBUSY somebody
 * else has the queue, -EPERM no CAP_NET_ADMIN, -EOPNOTSUPP the kernel has no nfnetlink_queue.
 */
int nfq_queue_open(struct nfq_queue **out, uint16_t num, bool fail_open,
		   const struct df_policy *policy, struct df_stats *stats);

/*
 * What is done with a packet, in the place of nfq_handle(): returns its reason, and the payload goes back
 * when that says that it was changed.
 */
typedef enum df_reason nfq_queue_fn(void *ctx, const struct nfq_packet *pkt);

/* The same with another handler. */
int nfq_queue_open_with(struct nfq_queue **out, uint16_t num, bool fail_open, nfq_queue_fn *handle,
			void *ctx);

/* A non-blocking descriptor that polls readable when packets wait. */
int nfq_queue_fd(const struct nfq_queue *queue);

/*
 * Handles what waits, up to NFQ_BATCH packets. block: waits for the first one, or for nfq_queue_wake().
 * Returns how many, or -errno.
 */
int nfq_queue_service(struct nfq_queue *queue, bool block);

/* From any thread: nfq_queue_service() returns, now or the next time it is called. */
void nfq_queue_wake(struct nfq_queue *queue);

/* Unbinds and frees; what is still queued is dropped by the kernel, so drain first. NULL is
 * allowed. */
void nfq_queue_close(struct nfq_queue *queue);

/* What /proc/net/netfilter/nfnetlink_queue says of queue `num`. */
struct nfq_queue_info {
	uint32_t portid; /* netlink port id of the listener */
	uint32_t depth; /* packets waiting for a verdict */
	uint32_t dropped; /* queue full */
	uint32_t user_dropped; /* receive buffer full */
	uint32_t sent; /* packets handed to the listener since it bound; wraps */
};

/* Returns 0, -ENOENT when nobody is bound, or another -errno; *out is untouched on failure. */
int nfq_queue_read(uint16_t num, struct nfq_queue_info *out);

/* Packets that wait in all queues of this namespace, anybody's. 0 when that cannot be read. */
uint64_t nfq_queues_waiting(void);

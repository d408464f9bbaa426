// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/replay_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>

#include "core/packet.h"
#include "core/util.h"
#include "nfq-fallback/nfq_queue.h"
#include "rules/nft.h"

#define DEVICE       "replay"
#define QUEUE        0 /* the namespace is ours: every number is free */
#define QUEUE_TAP    1
#define PRIORITY_TAP (-448) /* behind the last chain of our table */
#define PACKET_MAX   65535
#define MARK_LEN     36 /* an IPv4 header and 16 bytes that no capture has */
#define DEADLINE_MS  5000 /* for one packet; in practice it is there when write() returns */

struct replay_queue {
	struct policy policy; /* as it applies in the namespace */
	struct df_stats stats;
	int tun;
	struct nft *nft; /* the table is there as long as this is */
	struct nfq_queue *queue, *tap;
	uint8_t mark[MARK_LEN];
	bool marked; /* the mark came out */
	unsigned int copies;
	struct parity_bytes in;
	size_t len;
	uint8_t out[PACKET_MAX];
};

/* Behind the table: keeps what it is shown. */
static enum df_reason tap(void *ctx, const struct nfq_packet *pkt)
{
	struct replay_queue *queue = ctx;

	if (pkt->len == MARK_LEN && memcmp(pkt->payload, queue->mark, MARK_LEN) == 0) {
		queue->marked = true;
	} else if (pkt->len <= PACKET_MAX) {
		queue->len = pkt->len;
		memcpy(queue->out, pkt->payload, pkt->len);
		queue->copies++;
		/* Netlink carries 65,531 bytes: what it cut off is taken as it came. */
		if (!pkt->whole && pkt->len < queue->in.len) {
			memcpy(queue->out + pkt->len, queue->in.data + pkt->len,
			       queue->in.len - pkt->len);
			queue->len = queue->in.len;
		}
	}
	return DF_NO_DF; /* on, as it came */
}

/* A packet of an experimental protocol: no rule but the tap's takes it. */
static int make_mark(uint8_t mark[MARK_LEN])
{
	struct df_ipv4 ip = { .version_ihl = 0x45,
			      .tot_len_be = DF_BE16(MARK_LEN),
			      .ttl = 64,
			      .protocol = 253 /* RFC 3692 */ };
	const __u16 *word = (const __u16 *)&ip;

	ip.check = 0xffff;
	for (size_t i = 0; i < sizeof(ip) / 2; i++)
		if (i != offsetof(struct df_ipv4, check) / 2)
			ip.check = df_csum_update(ip.check, 0, word[i]);
	memcpy(mark, &ip, sizeof(ip));
	return getrandom(mark + sizeof(ip), MARK_LEN - sizeof(ip), 0) < 0 ? -errno : 0;
}

static int open_tun(struct err *err)
{
	_cleanup_close_ int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { .ifr_name = DEVICE, .ifr_flags = IFF_TUN | IFF_NO_PI };

	if (tun < 0)
		return err_set(err, N2X_SYSTEM, "--live-queue: /dev/net/tun: %s%s", strerror(errno),
			       errno == ENOENT || errno == ENODEV || errno == ENXIO
				       ? ": load it (modprobe tun)"
				       : "");
	if (ioctl(tun, TUNSETIFF, &req) < 0)
		return err_set(err, N2X_SYSTEM, "--live-queue: cannot make a tun device: %s",
			       strerror(errno));
	req.ifr_flags = IFF_UP;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &req) < 0)
		return err_set(err, N2X_SYSTEM, "--live-queue: cannot set a tun device up: %s",
			       strerror(errno));
	return TAKE_FD(tun);
}

/* In the namespace. Queues first, then the rules that feed them (nfq N1). */
static int set_up(struct replay_queue *queue, struct err *err)
{
	struct nft_installed installed;
	int ret;

	queue->tun = open_tun(err);
	if (queue->tun < 0)
		return queue->tun;
	ret = nfq_queue_open(&queue->queue, QUEUE, false, &queue->policy.df, &queue->stats);
	if (ret == 0)
		ret = nfq_queue_open_with(&queue->tap, QUEUE_TAP, false, tap, queue);
	if (ret == -EOPNOTSUPP)
		return err_set(
			err, N2X_SYSTEM,
			"--live-queue: this kernel has no nfnetlink_queue: load it (modprobe nfnetlink_queue)");
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "--live-queue: cannot bind a queue: %s",
			       strerror(-ret));
	ret = nft_open(&queue->nft, err);
	if (ret == 0)
		ret = nft_install(queue->nft, &queue->policy, NULL, &installed, err);
	if (ret < 0)
		return ret;
	ret = nft_tap(queue->nft, NFPROTO_IPV4, PRIORITY_TAP, QUEUE_TAP);
	return ret < 0 ? err_set(err, N2X_SYSTEM, "--live-queue: nftables: %s", strerror(-ret)) : 0;
}

static void closep(struct replay_queue **queue)
{
	replay_queue_close(*queue);
}

/* Into a new namespace and back. Not to come back is no state to go on in. */
static int set_up_inside(struct replay_queue *queue, struct err *err)
{
	_cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int ret;

	if (home < 0)
		return err_set(err, N2X_SYSTEM, "--live-queue: /proc/thread-self/ns/net: %s",
			       strerror(errno));
	if (unshare(CLONE_NEWNET) < 0)
		return err_set(
			err, N2X_SYSTEM,
			"--live-queue: cannot make a network namespace: %s: be root, or have "
			"CAP_SYS_ADMIN and CAP_NET_ADMIN",
			strerror(errno));
	ret = set_up(queue, err);
	if (setns(home, CLONE_NEWNET) < 0)
		abort();
	return ret;
}

int replay_queue_open(const struct policy *policy, struct replay_queue **out, struct err *err)
{
	_cleanup_(closep) struct replay_queue *queue = calloc(1, sizeof(*queue));
	int ret;

	if (!queue)
		return err_set(err, N2X_SYSTEM, "out of memory");
	queue->tun = -1;
	queue->policy.df = policy->df;
	queue->policy.df.encap = DF_ENCAP_NONE;
	strcpy(queue->policy.interface, DEVICE);
	queue->policy.nfqueue.queue = QUEUE;
	queue->policy.nfqueue.threads = 1;
	queue->policy.nfqueue.fail = NFQ_FAIL_CLOSED; /* what is lost is seen to be */
	ret = make_mark(queue->mark);
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "--live-queue: %s", strerror(-ret));
	ret = set_up_inside(queue, err);
	if (ret == 0)
		*out = TAKE_PTR(queue);
	return ret;
}

static int serve(struct replay_queue *queue, unsigned int *handled, struct err *err)
{
	int ret = nfq_queue_service(queue->queue, false);

	if (ret >= 0) {
		*handled += (unsigned int)ret;
		ret = nfq_queue_service(queue->tap, false);
	}
	return ret < 0 ? err_set(err, N2X_SYSTEM, "--live-queue: a queue cannot be read: %s",
				 strerror(-ret))
		       : 0;
}

static int wait_readable(const struct replay_queue *queue)
{
	struct pollfd fds[] = { { .fd = nfq_queue_fd(queue->queue), .events = POLLIN },
				{ .fd = nfq_queue_fd(queue->tap), .events = POLLIN } };

	return poll(fds, ARRAY_SIZE(fds), DEADLINE_MS);
}

/*
 * What is written to the device runs through the hooks in its order. So when the mark that was sent behind
 * a packet has come out, and nothing waits on the first queue, the packet came out before, or never will.
 */
static int pass_mark(struct replay_queue *queue, unsigned int *handled, struct err *err)
{
	int ret = 0;

	queue->marked = false;
	if (write(queue->tun, queue->mark, MARK_LEN) != MARK_LEN)
		return err_set(err, N2X_SYSTEM, "--live-queue: cannot send: %s", strerror(errno));
	while (ret == 0 && !queue->marked) {
		ret = serve(queue, handled, err);
		if (ret == 0 && !queue->marked && wait_readable(queue) == 0)
			return err_set(err, N2X_SYSTEM,
				       "--live-queue: the queue says nothing for %d s",
				       DEADLINE_MS / 1000);
	}
	return ret < 0 ? ret : serve(queue, handled, err);
}

int replay_queue_run(struct replay_queue *queue, const struct parity_bytes *in,
		     struct replay_queued *out, struct err *err)
{
	struct replay_queued queued = { .handled = 0 };
	int ret = 0;

	queue->copies = 0;
	queue->in = *in;
	/* EINVAL: neither version 4 nor 6. A link that says it is IPv4 has the stack drop it. */
	if (write(queue->tun, in->data, in->len) < 0 && errno != EINVAL)
		return err_set(err, N2X_SYSTEM, "--live-queue: cannot send %zu bytes: %s", in->len,
			       strerror(errno));
	ret = serve(queue, &queued.handled, err);
	if (ret == 0 && queue->copies != 1)
		ret = pass_mark(queue, &queued.handled, err);
	if (ret < 0)
		return ret;
	queued.copies = queue->copies;
	if (queue->copies)
		queued.out = (struct parity_bytes){ queue->out, queue->len };
	*out = queued;
	return 0;
}

void replay_queue_close(struct replay_queue *queue)
{
	if (!queue)
		return;
	nft_close(queue->nft);
	nfq_queue_close(queue->queue);
	nfq_queue_close(queue->tap);
	util_closep(&queue->tun);
	free(queue);
}

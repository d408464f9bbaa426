// SPDX-License-Identifier: GPL-2.0-only
#include "nfq-fallback/nfq_queue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include "core/util.h"
#include "nfq-fallback/nfq_handler.h"

#define RCVBUF_BYTES \
	(64 * 1024 * 1024) /* the kernel doubles it; 16 KiB for each packet that waits */
#define COPY_RANGE 0xffff /* the largest IPv4 packet */
#define RECV_BYTES (COPY_RANGE + 4096) /* and the attributes around it */
#define BURST      256 /* packets handled before the caller's loop gets a turn */

struct nfq_queue {
	struct mnl_socket *nl;
	uint16_t num;
	uint32_t portid;
	uint32_t last_id; /* of the last packet seen */
	nfq_queue_fn *handle;
	void *ctx;
	const struct df_policy *policy; /* of handle_df() */
	struct df_stats *stats;
	char buf[RECV_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
};

static ssize_t send_verdict(struct nfq_queue *queue, uint32_t id, const void *payload, size_t len)
{
	char head[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *nlh = nfq_nlmsg_put(head, NFQNL_MSG_VERDICT, queue->num);
	struct nlattr attr = { .nla_type = NFQA_PAYLOAD };
	struct iovec iov[4];
	struct msghdr msg = { .msg_iov = iov };
	static const char zeros[NLMSG_ALIGNTO];

	nfq_nlmsg_verdict_put(nlh, (int)id, NF_ACCEPT);
	iov[msg.msg_iovlen++] = (struct iovec){ nlh, nlh->nlmsg_len };
	if (payload) {
		attr.nla_len = (uint16_t)(MNL_ATTR_HDRLEN + len);
		iov[msg.msg_iovlen++] = (struct iovec){ &attr, MNL_ATTR_HDRLEN };
		iov[msg.msg_iovlen++] = (struct iovec){ (void *)payload, len };
		iov[msg.msg_iovlen++] = (struct iovec){ (void *)zeros, MNL_ALIGN(len) - len };
		nlh->nlmsg_len += MNL_ATTR_HDRLEN + (uint32_t)MNL_ALIGN(len);
	}
	return sendmsg(mnl_socket_get_fd(queue->nl), &msg, 0);
}

static int accept_packet(void *ctx, uint32_t id, const void *payload, size_t len)
{
	return send_verdict(ctx, id, payload, len) < 0 ? -errno : 0;
}

static int handle_df(void *ctx, const struct nfq_packet *pkt, const struct nfq_verdict_sink *sink)
{
	const struct nfq_queue *queue = ctx;

	return nfq_handle(queue->policy, queue->stats, pkt, sink);
}

static int handle_message(struct nfq_queue *queue, const struct nlmsghdr *nlh)
{
	const struct nfq_verdict_sink sink = { .accept = accept_packet, .ctx = queue };
	struct nlattr *attr[NFQA_MAX + 1] = { 0 };
	const struct nfqnl_msg_packet_hdr *hdr;
	struct nfq_packet pkt = { .whole = true };

	if (nlh->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
		return 0;
	if (nfq_nlmsg_parse(nlh, attr) < 0 || !attr[NFQA_PACKET_HDR])
		return 0;
	hdr = mnl_attr_get_payload(attr[NFQA_PACKET_HDR]);
	pkt.id = ntohl(hdr->packet_id);
	queue->last_id = pkt.id;
	pkt.hw_protocol_be = hdr->hw_protocol;
	if (attr[NFQA_PAYLOAD]) {
		pkt.payload = mnl_attr_get_payload(attr[NFQA_PAYLOAD]);
		pkt.len = mnl_attr_get_payload_len(attr[NFQA_PAYLOAD]);
	} else {
		pkt.payload = queue->buf;
	}
	pkt.whole = !attr[NFQA_CAP_LEN];
	queue->handle(queue->ctx, &pkt, &sink);
	return 1;
}

/*
 * Sends a configuration message and waits for its acknowledgement. A rule may already feed this
 * queue, so packets can arrive before it: they get their verdict here.
 */
static int configure(struct nfq_queue *queue, struct nlmsghdr *nlh)
{
	nlh->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(queue->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t got = mnl_socket_recvfrom(queue->nl, queue->buf, sizeof(queue->buf));
		const struct nlmsghdr *reply = (void *)queue->buf;
		int len = (int)got;

		if (got < 0)
			return -errno;
		for (; mnl_nlmsg_ok(reply, len); reply = mnl_nlmsg_next(reply, &len)) {
			if (reply->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)mnl_nlmsg_get_payload(reply))->error;
			handle_message(queue, reply);
		}
	}
}

/*
 * A full receive buffer makes the kernel drop (or, fail-open, pass) packets, and by default also
 * fail the next receive with ENOBUFS, which says nothing that the queue's counters do not.
 */
static int tune(struct nfq_queue *queue)
{
	int fd = mnl_socket_get_fd(queue->nl);
	int bytes = RCVBUF_BYTES;
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) < 0)
		return -errno;
	if (mnl_socket_setsockopt(queue->nl, NETLINK_NO_ENOBUFS, &on, sizeof(on)) < 0)
		return -errno;
	return 0;
}

/*
 * One message: between a bind and its parameters a queue would drop what a rule sends it already, with
 * bypass too, because somebody listens and wants no copy.
 */
static int bind_queue(struct nfq_queue *queue, bool fail_open)
{
	char buf[256] __attribute__((aligned(NLMSG_ALIGNTO))) = { 0 };
	struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, queue->num);
	struct nfq_queue_info info;
	int ret;

	nfq_nlmsg_cfg_put_cmd(nlh, AF_INET, NFQNL_CFG_CMD_BIND);
	/* Never NFQA_CFG_F_GSO: a super-packet given back with its payload loses its checksum state. */
	nfq_nlmsg_cfg_put_params(nlh, NFQNL_COPY_PACKET, COPY_RANGE);
	nfq_nlmsg_cfg_put_qmaxlen(nlh, NFQ_QUEUE_LENGTH);
	mnl_attr_put_u32(nlh, NFQA_CFG_FLAGS, htonl(fail_open ? NFQA_CFG_F_FAIL_OPEN : 0));
	mnl_attr_put_u32(nlh, NFQA_CFG_MASK, htonl(NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_GSO));
	ret = configure(queue, nlh);
	/* The kernel says EPERM both to the unprivileged and to a second listener. */
	if (ret == -EPERM && nfq_queue_read(queue->num, &info) == 0)
		return -EBUSY;
	/* No subsystem behind the message. */
	if (ret == -EINVAL || ret == -EPROTONOSUPPORT)
		return -EOPNOTSUPP;
	return ret;
}

static void closep(struct nfq_queue **queue)
{
	nfq_queue_close(*queue);
}

/* Takes the queue over, also when it fails. */
static int queue_open(struct nfq_queue *taken, struct nfq_queue **out, uint16_t num, bool fail_open)
{
	_cleanup_(closep) struct nfq_queue *queue = taken;
	int ret;

	queue->num = num;
	queue->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!queue->nl || mnl_socket_bind(queue->nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	queue->portid = mnl_socket_get_portid(queue->nl);
	ret = tune(queue);
	if (ret == 0)
		ret = bind_queue(queue, fail_open);
	if (ret < 0)
		return ret;
	*out = TAKE_PTR(queue);
	return 0;
}

int nfq_queue_open(struct nfq_queue **out, uint16_t num, bool fail_open,
		   const struct df_policy *policy, struct df_stats *stats)
{
	struct nfq_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	queue->handle = handle_df;
	queue->ctx = queue;
	queue->policy = policy;
	queue->stats = stats;
	return queue_open(queue, out, num, fail_open);
}

int nfq_queue_open_with(struct nfq_queue **out, uint16_t num, bool fail_open, nfq_queue_fn *handle,
			void *ctx)
{
	struct nfq_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	queue->handle = handle;
	queue->ctx = ctx;
	return queue_open(queue, out, num, fail_open);
}

int nfq_queue_fd(const struct nfq_queue *queue)
{
	return mnl_socket_get_fd(queue->nl);
}

int nfq_queue_service(struct nfq_queue *queue)
{
	int handled = 0;

	while (handled < BURST) {
		ssize_t got = recv(nfq_queue_fd(queue), queue->buf, sizeof(queue->buf),
				   MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (void *)queue->buf;
		int len = (int)got;

		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (got < 0 && (errno == EINTR || errno == ENOBUFS))
			continue;
		if (got < 0)
			return -errno;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			handled += handle_message(queue, nlh);
	}
	return handled;
}

/* One verdict for all that waits: it passes unmodified, where the close alone would drop it. */
static void accept_rest(struct nfq_queue *queue)
{
	char buf[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_VERDICT_BATCH, queue->num);

	/* The kernel compares ids as signed distances: everything up to here, and what came since. */
	nfq_nlmsg_verdict_put(nlh, (int)(queue->last_id + INT32_MAX / 2), NF_ACCEPT);
	(void)!mnl_socket_sendto(queue->nl, nlh, nlh->nlmsg_len);
}

void nfq_queue_close(struct nfq_queue *queue)
{
	if (!queue)
		return;
	if (queue->nl) {
		accept_rest(queue);
		mnl_socket_close(queue->nl);
	}
	free(queue);
}

static FILE *queues_open(void)
{
	return fopen("/proc/thread-self/net/netfilter/nfnetlink_queue", "re");
}

/* net/netfilter/nfnetlink_queue.c, seq_show(): the columns of one queue. */
static bool queues_next(FILE *f, uint32_t *num, struct nfq_queue_info *out)
{
	return fscanf(f,
		      "%" SCNu32 " %" SCNu32 " %" SCNu32 " %*u %*u %" SCNu32 " %" SCNu32 " %*u %*u",
		      num, &out->portid, &out->depth, &out->dropped, &out->user_dropped) == 5;
}

int nfq_queue_read(uint16_t num, struct nfq_queue_info *out)
{
	_cleanup_file_ FILE *f = queues_open();
	struct nfq_queue_info info;
	uint32_t queue;

	if (!f)
		return -errno;
	while (queues_next(f, &queue, &info)) {
		if (queue != num)
			continue;
		*out = info;
		return 0;
	}
	return -ENOENT;
}

uint64_t nfq_queues_waiting(void)
{
	_cleanup_file_ FILE *f = queues_open();
	struct nfq_queue_info info;
	uint64_t waiting = 0;
	uint32_t queue;

	while (f && queues_next(f, &queue, &info))
		waiting += info.depth;
	return waiting;
}

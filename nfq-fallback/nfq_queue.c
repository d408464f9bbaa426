// SPDX-License-Identifier: GPL-2.0-only
#include "nfq-fallback/nfq_queue.h"

#include <arpa/inet.h>
#include <assert.h>
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

#define COPY_RANGE   0xffff /* the largest IPv4 packet */
/* A message; and not a multiple of pages, so that the buffers do not share the sets of the cache. */
#define RECV_BYTES   (COPY_RANGE + 4097 + 5 * 64)
#define SEND_BYTES   32768 /* verdicts are sent once there is more than this of them */
#define RCVBUF_BYTES (NFQ_QUEUE_LENGTH * 8 * 1024) /* the kernel doubles it: 16 KiB each */

/* What a message of the kernel begins with. */
struct head {
	struct nlmsghdr nlh;
	struct nfgenmsg nfg;
};

/* A verdict without payload. */
struct verdict {
	struct head head;
	struct nlattr attr;
	struct nfqnl_msg_verdict_hdr hdr;
};

static_assert(sizeof(struct verdict) == 32, "no padding");

struct nfq_queue {
	struct mnl_socket *nl;
	uint16_t num;
	struct verdict accept; /* all of it but the packet's id */
	uint32_t last_id; /* of the last packet seen */
	nfq_queue_fn *handle;
	void *ctx;
	const struct df_policy *policy; /* of handle_df() */
	struct df_stats *stats;
	/* Verdicts that are not sent yet, in the order of the packets. They lie in buf. */
	unsigned int n_out;
	size_t out_bytes;
	struct iovec out[NFQ_BATCH];
	enum df_reason reason[NFQ_BATCH];
	struct mmsghdr in[NFQ_BATCH];
	struct iovec in_iov[NFQ_BATCH];
	char buf[NFQ_BATCH][RECV_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
};

static ssize_t send_verdicts(struct nfq_queue *queue, struct iovec *verdict, unsigned int n)
{
	const struct msghdr msg = { .msg_iov = verdict, .msg_iovlen = n };

	return sendmsg(mnl_socket_get_fd(queue->nl), &msg, 0);
}

/* A send fails before the kernel read any of it. */
static void send_alone(struct nfq_queue *queue, struct iovec *verdict, enum df_reason reason)
{
	struct nlmsghdr *nlh = verdict->iov_base;

	if (send_verdicts(queue, verdict, 1) >= 0 || nlh->nlmsg_len == sizeof(struct verdict))
		return;
	nfq_not_changed(queue->stats, reason);
	nlh->nlmsg_len = sizeof(struct verdict);
	verdict->iov_len = sizeof(struct verdict);
	send_verdicts(queue, verdict, 1);
}

static void flush(struct nfq_queue *queue)
{
	if (queue->n_out && send_verdicts(queue, queue->out, queue->n_out) < 0)
		for (unsigned int i = 0; i < queue->n_out; i++)
			send_alone(queue, &queue->out[i], queue->reason[i]);
	queue->n_out = 0;
	queue->out_bytes = 0;
}

/*
 * Written over the message that it answers. With a payload it ends where the payload attribute begins,
 * which is the same in both directions: so nothing is copied.
 */
static void add_verdict(struct nfq_queue *queue, uint32_t id_be, void *message,
			struct nlattr *payload, enum df_reason reason)
{
	struct verdict *verdict = payload ? (struct verdict *)payload - 1 : message;

	*verdict = queue->accept;
	verdict->hdr.id = id_be;
	if (payload)
		verdict->head.nlh.nlmsg_len += NLA_ALIGN(payload->nla_len);
	queue->out[queue->n_out] = (struct iovec){ verdict, verdict->head.nlh.nlmsg_len };
	queue->reason[queue->n_out++] = reason;
	queue->out_bytes += verdict->head.nlh.nlmsg_len;
	if (queue->n_out == NFQ_BATCH || queue->out_bytes > SEND_BYTES)
		flush(queue);
}

static enum df_reason handle_df(void *ctx, const struct nfq_packet *pkt)
{
	const struct nfq_queue *queue = ctx;

	return nfq_handle(queue->policy, queue->stats, pkt);
}

/* The attributes that are needed, each wholly within the message; NULL: it has none. */
struct found {
	struct nlattr *packet, *payload, *cap_len;
};

static struct found find(struct nlmsghdr *nlh)
{
	char *at = (char *)nlh + sizeof(struct head), *end = (char *)nlh + nlh->nlmsg_len;
	struct found found = { 0 };

	while (end - at >= NLA_HDRLEN) {
		struct nlattr *attr = (void *)at;

		if (attr->nla_len < NLA_HDRLEN || attr->nla_len > end - at)
			break;
		switch (attr->nla_type & NLA_TYPE_MASK) {
		case NFQA_PACKET_HDR:
			if (attr->nla_len >= NLA_HDRLEN + sizeof(struct nfqnl_msg_packet_hdr))
				found.packet = attr;
			break;
		case NFQA_PAYLOAD:
			found.payload = attr;
			break;
		case NFQA_CAP_LEN:
			found.cap_len = attr;
			break;
		}
		at += NLA_ALIGN(attr->nla_len);
	}
	return found;
}

static int handle_message(struct nfq_queue *queue, struct nlmsghdr *nlh)
{
	const struct nfqnl_msg_packet_hdr *hdr;
	struct nfq_packet pkt = { .payload = nlh };
	enum df_reason reason;
	struct found found;

	if (nlh->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
		return 0;
	found = find(nlh);
	if (!found.packet)
		return 0;
	hdr = (void *)((char *)found.packet + NLA_HDRLEN);
	queue->last_id = ntohl(hdr->packet_id);
	pkt.hw_protocol_be = hdr->hw_protocol;
	if (found.payload) {
		pkt.payload = (char *)found.payload + NLA_HDRLEN;
		pkt.len = found.payload->nla_len - (size_t)NLA_HDRLEN;
	}
	/* The kernel puts the payload last: there is room in front of it. Behind a bridge there may be none. */
	pkt.whole = !found.cap_len &&
		    (!pkt.len || (char *)found.payload >= (char *)nlh + sizeof(struct verdict));
	reason = queue->handle(queue->ctx, &pkt);
	add_verdict(queue, hdr->packet_id, nlh, nfq_changed(reason) ? found.payload : NULL, reason);
	return 1;
}

/*
 * Sends a configuration message and waits for its acknowledgement. A rule may already feed this
 * queue, so packets can arrive before it: they get their verdict here.
 */
static int configure(struct nfq_queue *queue, struct nlmsghdr *nlh)
{
	struct nlmsghdr *reply = (void *)queue->buf[0];

	nlh->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(queue->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t got = mnl_socket_recvfrom(queue->nl, reply, RECV_BYTES);

		if (got < 0)
			return -errno;
		if (!mnl_nlmsg_ok(reply, (int)got))
			continue;
		if (reply->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)mnl_nlmsg_get_payload(reply))->error;
		handle_message(queue, reply);
		flush(queue);
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
	queue->accept = (struct verdict){
		.head.nlh = { .nlmsg_len = sizeof(struct verdict),
			      .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
			      .nlmsg_flags = NLM_F_REQUEST },
		.head.nfg = { .version = NFNETLINK_V0, .res_id = htons(num) },
		.attr = { NLA_HDRLEN + sizeof(struct nfqnl_msg_verdict_hdr), NFQA_VERDICT_HDR },
		.hdr.verdict = htonl(NF_ACCEPT),
	};
	for (unsigned int i = 0; i < NFQ_BATCH; i++) {
		queue->in_iov[i] = (struct iovec){ queue->buf[i], RECV_BYTES };
		queue->in[i].msg_hdr = (struct msghdr){ .msg_iov = &queue->in_iov[i],
							.msg_iovlen = 1 };
	}
	queue->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!queue->nl || mnl_socket_bind(queue->nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
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

int nfq_queue_service(struct nfq_queue *queue, bool block)
{
	int got = recvmmsg(nfq_queue_fd(queue), queue->in, NFQ_BATCH,
			   block ? MSG_WAITFORONE : MSG_DONTWAIT, NULL);
	int handled = 0;

	if (got < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
		return 0;
	if (got < 0)
		return -errno;
	for (int i = 0; i < got; i++) {
		struct nlmsghdr *nlh = (void *)queue->buf[i];

		if (mnl_nlmsg_ok(nlh, (int)queue->in[i].msg_len))
			handled += handle_message(queue, nlh);
	}
	flush(queue);
	return handled;
}

/* A message that does nothing, and its acknowledgement, which comes to who reads the queue. */
void nfq_queue_wake(struct nfq_queue *queue)
{
	struct nlmsghdr nlh = { .nlmsg_len = sizeof(nlh),
				.nlmsg_type = NLMSG_NOOP,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK };

	(void)!mnl_socket_sendto(queue->nl, &nlh, sizeof(nlh));
}

/* One verdict for all that waits: it passes unmodified, where the close alone would drop it. */
static void accept_rest(struct nfq_queue *queue)
{
	struct verdict all = queue->accept;

	all.head.nlh.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT_BATCH;
	/* The kernel compares ids as signed distances: everything up to here, and what came since. */
	all.hdr.id = htonl(queue->last_id + INT32_MAX / 2);
	(void)!mnl_socket_sendto(queue->nl, &all, sizeof(all));
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
		      "%" SCNu32 " %" SCNu32 " %" SCNu32 " %*u %*u %" SCNu32 " %" SCNu32 " %" SCNu32
		      " %*u",
		      num, &out->portid, &out->depth, &out->dropped, &out->user_dropped,
		      &out->sent) == 6;
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

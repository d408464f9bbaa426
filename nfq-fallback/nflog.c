// SPDX-License-Identifier: GPL-2.0-only
#include "nfq-fallback/nflog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>

#include "core/util.h"

#define RCVBUF_BYTES (16 * 1024 * 1024)
#define BATCH_BYTES \
	65536 /* of packets, as the kernel collects them: NFULNL_NLBUFSIZ_MAX is twice that */
#define RECV_BYTES (4 * BATCH_BYTES)

struct nflog {
	struct mnl_socket *nl;
	uint16_t group;
	bool have_seq;
	uint32_t next_seq;
	uint64_t lost;
	char buf[RECV_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
};

static struct nlmsghdr *put_header(char *buf, uint16_t group)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = AF_INET;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(group);
	return nlh;
}

/* Sends a configuration and waits for its acknowledgement: packets may come before it. */
static int configure(struct nflog *log, struct nlmsghdr *nlh)
{
	if (mnl_socket_sendto(log->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t got = mnl_socket_recvfrom(log->nl, log->buf, sizeof(log->buf));
		const struct nlmsghdr *reply = (void *)log->buf;
		int len = (int)got;

		if (got < 0)
			return -errno;
		for (; mnl_nlmsg_ok(reply, len); reply = mnl_nlmsg_next(reply, &len))
			if (reply->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)mnl_nlmsg_get_payload(reply))->error;
	}
}

static int bind_group(struct nflog *log)
{
	const struct nfulnl_msg_config_cmd cmd = { .command = NFULNL_CFG_CMD_BIND };
	const struct nfulnl_msg_config_mode mode = { .copy_range = htonl(0xffff),
						     .copy_mode = NFULNL_COPY_PACKET };
	char buf[256] __attribute__((aligned(NLMSG_ALIGNTO))) = { 0 };
	struct nlmsghdr *nlh = put_header(buf, log->group);

	mnl_attr_put(nlh, NFULA_CFG_CMD, sizeof(cmd), &cmd);
	mnl_attr_put(nlh, NFULA_CFG_MODE, sizeof(mode), &mode);
	mnl_attr_put_u16(nlh, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
	mnl_attr_put_u32(nlh, NFULA_CFG_TIMEOUT, htonl(NFLOG_DELAY_MS / 10));
	mnl_attr_put_u32(nlh, NFULA_CFG_NLBUFSIZ, htonl(BATCH_BYTES));
	return configure(log, nlh);
}

static void closep(struct nflog **log)
{
	nflog_close(*log);
}

int nflog_open(uint16_t group, struct nflog **out, struct err *err)
{
	_cleanup_(closep) struct nflog *log = calloc(1, sizeof(*log));
	int bytes = RCVBUF_BYTES, on = 1, fd, ret;

	if (!log)
		return err_set(err, N2X_SYSTEM, "out of memory");
	log->group = group;
	log->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!log->nl || mnl_socket_bind(log->nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return err_set(err, N2X_SYSTEM, "NFLOG: cannot open netlink: %s", strerror(errno));
	fd = mnl_socket_get_fd(log->nl);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	/* What is lost is seen by the numbers. */
	mnl_socket_setsockopt(log->nl, NETLINK_NO_ENOBUFS, &on, sizeof(on));
	ret = bind_group(log);
	/* The kernel says EPERM to a second reader, too. */
	if (ret == -EBUSY || ret == -EPERM)
		return err_set(err, N2X_FOREIGN,
			       "NFLOG group %u has a reader already: only one comparison at a time",
			       group);
	if (ret == -EINVAL || ret == -EPROTONOSUPPORT)
		return err_set(err, N2X_SYSTEM,
			       "this kernel has no nfnetlink_log: modprobe nfnetlink_log");
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "NFLOG group %u: %s", group, strerror(-ret));
	*out = TAKE_PTR(log);
	return 0;
}

static int take_attr(const struct nlattr *attr, void *data)
{
	const struct nlattr **attrs = data;

	if (mnl_attr_type_valid(attr, NFULA_MAX) > 0)
		attrs[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static void count_lost(struct nflog *log, uint32_t seq)
{
	if (log->have_seq)
		log->lost += seq - log->next_seq;
	log->have_seq = true;
	log->next_seq = seq + 1;
}

static bool parse(struct nflog *log, const struct nlmsghdr *nlh, struct nflog_packet *out)
{
	const struct nlattr *attr[NFULA_MAX + 1] = { 0 };

	if (nlh->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET) ||
	    mnl_attr_parse(nlh, sizeof(struct nfgenmsg), take_attr, attr) < 0)
		return false;
	if (attr[NFULA_SEQ])
		count_lost(log, ntohl(mnl_attr_get_u32(attr[NFULA_SEQ])));
	if (!attr[NFULA_PAYLOAD])
		return false;
	out->data = mnl_attr_get_payload(attr[NFULA_PAYLOAD]);
	out->len = mnl_attr_get_payload_len(attr[NFULA_PAYLOAD]);
	out->port = attr[NFULA_IFINDEX_PHYSINDEV]
			    ? ntohl(mnl_attr_get_u32(attr[NFULA_IFINDEX_PHYSINDEV]))
			    : 0;
	return true;
}

int nflog_read(struct nflog *log, void (*packet)(void *ctx, const struct nflog_packet *packet),
	       void *ctx)
{
	for (;;) {
		ssize_t got = recv(mnl_socket_get_fd(log->nl), log->buf, sizeof(log->buf),
				   MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (void *)log->buf;
		struct nflog_packet one;
		int len = (int)got;

		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (got < 0 && (errno == EINTR || errno == ENOBUFS))
			continue;
		if (got < 0)
			return -errno;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			if (parse(log, nlh, &one))
				packet(ctx, &one);
	}
}

uint64_t nflog_lost(const struct nflog *log)
{
	return log->lost;
}

void nflog_close(struct nflog *log)
{
	if (!log)
		return;
	if (log->nl)
		mnl_socket_close(log->nl);
	free(log);
}

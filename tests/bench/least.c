// SPDX-License-Identifier: GPL-2.0-only
/*
 * The least that a daemon can do, as a bound for all of them: no payload comes, every packet goes on as it
 * came, one message accepts all that one system call received:
 *	least [-o]
 *
 * Queue 0, as long as our own path's. -o: what finds it full passes (fail open). Prints {"ready":true} when
 * bound. SIGUSR1: one line {"handled":N}, without what passed. SIGTERM: the last one.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>

#define LENGTH 8192
#define BATCH  32

static volatile sig_atomic_t asked;

static void ask(int sig)
{
	asked = sig;
}

/* Once it is asked, also when no packet comes any more: receiving is interrupted, at the latest by its timeout. */
static void answer(unsigned long long handled)
{
	if (!asked)
		return;
	printf("{\"handled\":%llu}\n", handled);
	if (asked == SIGTERM)
		exit(0);
	asked = 0;
}

static struct mnl_socket *bind_queue(bool open)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	char buf[256] __attribute__((aligned(NLMSG_ALIGNTO))) = { 0 };
	struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, 0);
	const struct timeval limit = { .tv_usec = 10000 };
	int room = 64 << 20, on = 1, fd;

	nfq_nlmsg_cfg_put_cmd(nlh, AF_INET, NFQNL_CFG_CMD_BIND);
	nfq_nlmsg_cfg_put_params(nlh, NFQNL_COPY_META, 0);
	nfq_nlmsg_cfg_put_qmaxlen(nlh, LENGTH);
	mnl_attr_put_u32(nlh, NFQA_CFG_FLAGS, htonl(open ? NFQA_CFG_F_FAIL_OPEN : 0));
	mnl_attr_put_u32(nlh, NFQA_CFG_MASK, htonl(NFQA_CFG_F_FAIL_OPEN));
	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		err(1, "netlink");
	fd = mnl_socket_get_fd(nl);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    mnl_socket_setsockopt(nl, NETLINK_NO_ENOBUFS, &on, sizeof(on)) < 0 ||
	    mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		err(1, "queue");
	return nl;
}

/* The last packet's id; the messages are all alike but for it. */
static uint32_t id_of(const struct nlmsghdr *nlh)
{
	struct nlattr *attr[NFQA_MAX + 1] = { 0 };

	if (nfq_nlmsg_parse(nlh, attr) < 0 || !attr[NFQA_PACKET_HDR])
		errx(1, "not a packet");
	return ntohl(((struct nfqnl_msg_packet_hdr *)mnl_attr_get_payload(attr[NFQA_PACKET_HDR]))
			     ->packet_id);
}

int main(int argc, char **argv)
{
	static char in[BATCH][1024] __attribute__((aligned(NLMSG_ALIGNTO)));
	char out[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct iovec iov[BATCH];
	struct mmsghdr msg[BATCH] = { 0 };
	unsigned long long handled = 0;
	struct mnl_socket *nl = bind_queue(argc > 1 && !strcmp(argv[1], "-o"));
	const struct sigaction action = { .sa_handler = ask };

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ in[i], sizeof(in[i]) };
		msg[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("{\"ready\":true}");
	for (;; answer(handled)) {
		int n = recvmmsg(mnl_socket_get_fd(nl), msg, BATCH, MSG_WAITFORONE, NULL);
		struct nlmsghdr *nlh;

		if (n <= 0)
			continue;
		nlh = nfq_nlmsg_put(out, NFQNL_MSG_VERDICT_BATCH, 0);
		nfq_nlmsg_verdict_put(nlh, (int)id_of((void *)in[n - 1]), NF_ACCEPT);
		if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
			err(1, "verdict");
		handled += (unsigned int)n;
	}
}

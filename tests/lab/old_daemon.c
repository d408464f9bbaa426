// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stand-in for the daemon that is migrated away from:
 *	old_daemon [-q QUEUE] [-l LENGTH] [-b BYTES] [-n] [-w] [-d NS]
 *
 * The callback API, one packet a recv(), the UDP checksum zeroed: as naive as the original. LENGTH is
 * the queue's, by default the kernel's 1024; a longer one rides out a busy machine. BYTES are its receive
 * buffer's, by default enough. With -n it does nothing: every packet goes back as it came. With -w it
 * leaves the IPv4 checksum zero, as the first version of the original was written. With -d it is busy for
 * so long with each. Prints
 * {"ready":true} when bound. SIGUSR1: one line {"handled":N}.
 * SIGTERM or SIGINT: the last one.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/lab/wire.h"

/* Needs netinet/in.h before it. */
#include <linux/netfilter.h>

#include <libnetfilter_queue/libnetfilter_queue.h>
#include <libnfnetlink/libnfnetlink.h>

struct daemon {
	/* Held while a verdict is given, so that the last line counts exactly these. */
	pthread_mutex_t lock;
	uint64_t handled;
	bool nothing, as_written;
	uint64_t delay_ns;
	sigset_t signals;
};

/* What this thread has used: as much on a busy machine. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int handle(struct nfq_q_handle *queue, struct nfgenmsg *msg, struct nfq_data *data,
		  void *arg)
{
	struct nfqnl_msg_packet_hdr *head = nfq_get_msg_packet_hdr(data);
	struct daemon *d = arg;
	struct iphdr ip;
	struct udphdr udp;
	uint8_t *payload;
	int len = nfq_get_payload(data, &payload), ret;
	size_t ihl;

	(void)msg;
	if (!head)
		return -1;
	if (d->delay_ns)
		for (uint64_t end = cpu_ns() + d->delay_ns; cpu_ns() < end;)
			;
	if (!d->nothing && len >= (int)(sizeof(ip) + sizeof(udp))) {
		memcpy(&ip, payload, sizeof(ip));
		ihl = ip.ihl * 4UL;
		ip.frag_off &= (__be16)~htons(0x4000);
		ip.check = 0;
		memcpy(payload, &ip, sizeof(ip));
		ip.check = d->as_written ? 0 : wire_fold(wire_sum(payload, ihl, 0));
		memcpy(payload, &ip, sizeof(ip));
		if (ip.protocol == IPPROTO_UDP && (size_t)len >= ihl + sizeof(udp))
			memset(payload + ihl + offsetof(struct udphdr, check), 0,
			       sizeof(udp.check));
	}
	pthread_mutex_lock(&d->lock);
	ret = nfq_set_verdict(queue, ntohl(head->packet_id), NF_ACCEPT, len > 0 ? (uint32_t)len : 0,
			      payload);
	d->handled += ret >= 0;
	pthread_mutex_unlock(&d->lock);
	return ret;
}

/* A thread of its own waits for signals: recv() stays the plain blocking call of the original. */
static void *serve_signals(void *arg)
{
	struct daemon *d = arg;
	int sig;

	while (!sigwait(&d->signals, &sig)) {
		pthread_mutex_lock(&d->lock);
		printf("{\"handled\":%llu}\n", (unsigned long long)d->handled);
		if (sig != SIGUSR1)
			exit(0);
		pthread_mutex_unlock(&d->lock);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct daemon d = { .lock = PTHREAD_MUTEX_INITIALIZER };
	static char buf[0xffff + 4096] __attribute__((aligned(8)));
	struct nfq_handle *handle_nfq;
	struct nfq_q_handle *queue;
	uint32_t length = 0, room = 64 << 20;
	uint16_t num = 0;
	pthread_t thread;
	int opt;

	while ((opt = getopt(argc, argv, "q:l:b:nwd:")) != -1) {
		if (opt == 'q')
			num = (uint16_t)wire_number(optarg, 0, UINT16_MAX);
		else if (opt == 'l')
			length = (uint32_t)wire_number(optarg, 1, UINT16_MAX);
		else if (opt == 'b')
			room = (uint32_t)wire_number(optarg, 1, 1 << 30);
		else if (opt == 'n')
			d.nothing = true;
		else if (opt == 'w')
			d.as_written = true;
		else if (opt == 'd')
			d.delay_ns = wire_number(optarg, 1, 1000000000);
		else
			return 2;
	}
	sigemptyset(&d.signals);
	sigaddset(&d.signals, SIGUSR1);
	sigaddset(&d.signals, SIGTERM);
	sigaddset(&d.signals, SIGINT);
	sigprocmask(SIG_BLOCK, &d.signals, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	handle_nfq = nfq_open();
	if (!handle_nfq)
		err(1, "nfq_open");
	queue = nfq_create_queue(handle_nfq, num, handle, &d);
	/* The default buffer holds some 50 jumbo packets: it, and not the queue, would be the
	 * limit. */
	nfnl_rcvbufsiz(nfq_nfnlh(handle_nfq), room);
	if (!queue || nfq_set_mode(queue, NFQNL_COPY_PACKET, 0xffff) < 0)
		err(1, "queue %u", num);
	if (length && nfq_set_queue_maxlen(queue, length) < 0)
		err(1, "queue length %u", length);
	if (pthread_create(&thread, NULL, serve_signals, &d))
		errx(1, "no thread");
	puts("{\"ready\":true}");
	for (;;) {
		ssize_t len = recv(nfq_fd(handle_nfq), buf, sizeof(buf), 0);

		if (len >= 0)
			nfq_handle_packet(handle_nfq, buf, (int)len);
		else if (errno != ENOBUFS) /* lost for want of buffer: the kernel counts them */
			err(1, "recv");
	}
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sends numbered, checksummed UDP packets with DF set at a fixed rate:
 *	source -i IFACE -m DST_MAC -r PPS [-n COUNT] [-f FLOWS] [-p DPORT] [-l MIN:MAX] [-b FAULT]
 *
 * FAULT, once in every 100 sequence numbers, to prove what a sink counts: drop, duplicate,
 * swap (neighbours; they are of one flow with -f 1 only), ip-csum, udp-csum, short (an IPv4 total
 * length of 24 and 27 in turn, which ends inside the UDP header; the frame stays as long), vlan (an
 * 802.1Q tag in front), id0 (an IPv4 ID of 0), fragment (an offset that is not 0). And pieces: each
 * three packets are the fragments of one (of the same MIN and MAX, the header and n * 8 bytes).
 *
 * Prints {"ready":true} when it starts. SIGUSR1: one line {"sent":N}. At COUNT sequence numbers,
 *SIGTERM or SIGINT: the last line.
 */
#include <endian.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lab/wire.h"

#define BATCH      32
#define TICK_NS    1000000
#define LENGTH_MAX 16 /* entries of the list of packet lengths */

enum fault {
	FAULT_NONE,
	FAULT_DROP,
	FAULT_DUPLICATE,
	FAULT_SWAP,
	FAULT_IP,
	FAULT_UDP,
	FAULT_SHORT,
	FAULT_VLAN,
	FAULT_ID0,
	FAULT_FRAGMENT,
	FAULT_PIECES,
	FAULT_MAX
};

static const char *const fault_name[] = {
	[FAULT_NONE] = "none",         [FAULT_DROP] = "drop",     [FAULT_DUPLICATE] = "duplicate",
	[FAULT_SWAP] = "swap",         [FAULT_IP] = "ip-csum",    [FAULT_UDP] = "udp-csum",
	[FAULT_SHORT] = "short",       [FAULT_VLAN] = "vlan",     [FAULT_ID0] = "id0",
	[FAULT_FRAGMENT] = "fragment", [FAULT_PIECES] = "pieces",
};
_Static_assert(sizeof(fault_name) / sizeof(fault_name[0]) == FAULT_MAX, "every fault has a name");

struct source {
	int fd;
	uint64_t rate;
	uint64_t count; /* sequence numbers to use up */
	uint32_t flows;
	uint16_t dport;
	uint8_t dst[ETH_ALEN];
	enum fault fault;
	uint16_t length[LENGTH_MAX]; /* IPv4 total lengths, used in turn */
	uint64_t pattern_sum[LENGTH_MAX];
	unsigned int n_length;
	uint64_t seq; /* next */
	bool again; /* FAULT_DUPLICATE: seq was sent once */
	uint64_t sent; /* packets that the kernel took */
	uint8_t pattern[WIRE_PATTERN_MAX];
	struct wire_frame frame[BATCH];
	struct iovec iov[BATCH][4];
	struct mmsghdr msg[BATCH];
};

static bool faulty(const struct source *s, uint64_t seq, enum fault fault)
{
	return s->fault == fault && seq % 100 == 50;
}

/* The sequence number of the next packet; false when they are used up. */
static bool next_seq(struct source *s, uint64_t *seq)
{
	if (faulty(s, s->seq, FAULT_DROP))
		s->seq++;
	if (s->seq >= s->count)
		return false;
	*seq = s->seq;
	if (faulty(s, s->seq, FAULT_SWAP))
		*seq = s->seq + 1;
	else if (s->seq && faulty(s, s->seq - 1, FAULT_SWAP))
		*seq = s->seq - 1;
	s->again = faulty(s, s->seq, FAULT_DUPLICATE) && !s->again;
	if (!s->again)
		s->seq++;
	return true;
}

/* Piece 0, 1 or 2 of a packet, all of one length. */
static void make_piece(struct wire_frame *frame, uint64_t seq)
{
	unsigned int piece = seq % 3, bytes = ntohs(frame->ip.tot_len) - sizeof(frame->ip);

	frame->ip.id = htons((uint16_t)(seq / 3 % 65535 + 1));
	frame->ip.frag_off |= htons((uint16_t)((piece < 2 ? 0x2000 : 0) | piece * bytes / 8));
}

static void build(const struct source *s, uint64_t seq, struct wire_frame *frame,
		  struct iovec iov[4])
{
	static const uint16_t tag[2] = { 0x0081, 0x6400 }; /* 802.1Q, VLAN 100, as on the wire */
	const size_t macs = offsetof(struct ethhdr, h_proto);

	/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): main() sets lengths before all else */
	unsigned int l = seq % s->n_length;
	uint32_t flow = seq % s->flows;

	*frame = (struct wire_frame){
		.eth = { .h_source = { 0x02, 0x4e, 0x32, 0x58, 0, 1 }, .h_proto = htons(ETH_P_IP) },
		.ip = { .version = 4,
			.ihl = 5,
			.ttl = 64,
			.protocol = IPPROTO_UDP,
			.tot_len = htons(s->length[l]),
			.frag_off = htons(0x4000),
			.id = htons((uint16_t)(seq % 65535 + 1)),
			/* 198.18.0.0/15 is for benchmarks (RFC 2544). */
			.saddr = htonl(0xc6120000 | flow),
			.daddr = htonl(0xc6130001) },
		.udp = { .source = htons((uint16_t)(1024 + flow % 30000)),
			 .dest = htons(s->dport),
			 .len = htons((uint16_t)(s->length[l] - sizeof(struct iphdr))) },
		.wire = { .magic_be = htonl(WIRE_MAGIC),
			  .flow_be = htonl(flow),
			  .seq_be = htobe64(seq),
			  .flow_seq_be = htobe64(seq / s->flows) },
	};
	memcpy(frame->eth.h_dest, s->dst, ETH_ALEN);
	if (faulty(s, seq, FAULT_SHORT))
		frame->ip.tot_len = htons(seq % 200 == 50 ? 24 : 27);
	if (faulty(s, seq, FAULT_ID0))
		frame->ip.id = 0;
	if (faulty(s, seq, FAULT_FRAGMENT))
		frame->ip.frag_off = htons(1);
	if (s->fault == FAULT_PIECES)
		make_piece(frame, seq);
	frame->ip.check =
		wire_fold(wire_sum((uint8_t *)frame + sizeof(frame->eth), sizeof(frame->ip), 0));
	frame->udp.check = wire_fold(wire_udp_sum(frame) + s->pattern_sum[l]) ?: 0xffff;
	if (faulty(s, seq, FAULT_IP))
		frame->ip.check ^= 1;
	if (faulty(s, seq, FAULT_UDP)) /* and never 0, which means "none" */
		frame->udp.check ^= frame->udp.check == 1 ? 2 : 1;
	iov[0] = (struct iovec){ frame, macs };
	iov[1] = (struct iovec){ (void *)tag, faulty(s, seq, FAULT_VLAN) ? sizeof(tag) : 0 };
	iov[2] = (struct iovec){ (uint8_t *)frame + macs, sizeof(*frame) - macs };
	iov[3] = (struct iovec){ (void *)s->pattern, s->length[l] - WIRE_LEN_MIN };
}

/* Sends up to max packets; false when the sequence numbers are used up. */
static bool send_batch(struct source *s, uint64_t max)
{
	unsigned int n = 0, done = 0;
	uint64_t seq;

	for (; n < max && n < BATCH && next_seq(s, &seq); n++) {
		build(s, seq, &s->frame[n], s->iov[n]);
		s->msg[n].msg_hdr = (struct msghdr){ .msg_iov = s->iov[n], .msg_iovlen = 4 };
	}
	while (done < n) {
		int ret = sendmmsg(s->fd, s->msg + done, n - done, 0);

		if (ret > 0) {
			done += (unsigned int)ret;
			s->sent += (unsigned int)ret;
		} else if (errno == ENOBUFS || errno == EAGAIN) {
			/* Not taken: the same packet again, so that the sequence has no hole. */
			poll(&(struct pollfd){ .fd = s->fd, .events = POLLOUT }, 1, 1);
		} else if (errno != EINTR) {
			err(1, "send");
		}
	}
	return n == max || n == BATCH;
}

/* Takes one pending signal, if any; false when it says stop. */
static bool serve_signals(const struct source *s, const sigset_t *signals)
{
	switch (sigtimedwait(signals, NULL, &(struct timespec){ 0 })) {
	case SIGUSR1:
		printf("{\"sent\":%llu}\n", (unsigned long long)s->sent);
		return true;
	case SIGTERM:
	case SIGINT:
		return false;
	default:
		return true;
	}
}

/*
 * Once a tick, sends what is due by the clock since start. After a stall it catches up at twice the
 * rate: a backlog sent at once would measure the burst and not the rate.
 */
static void run(struct source *s, const sigset_t *signals, uint64_t start)
{
	uint64_t burst = 2 * s->rate * TICK_NS / 1000000000 + 1;
	bool more = true;

	while (more && serve_signals(s, signals)) {
		uint64_t now = wire_now_ns(), next = now + TICK_NS - (now - start) % TICK_NS;
		uint64_t due = (uint64_t)((double)(now - start) * 1e-9 * (double)s->rate) + 1;
		uint64_t todo = due > s->sent ? due - s->sent : 0;
		struct timespec tick = { (time_t)(next / 1000000000), (long)(next % 1000000000) };

		if (todo > burst)
			todo = burst;
		while (todo && more) {
			uint64_t n = todo < BATCH ? todo : BATCH;

			more = send_batch(s, n);
			todo -= n;
		}
		if (more)
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &tick, NULL);
	}
}

/* The lengths: MIN, the usual corners between, MAX. */
static void set_lengths(struct source *s, const char *text)
{
	static const uint16_t corner[] = { 60,   128,  256,  576,  1024, 1280,
					   1400, 1500, 1501, 4000, 8192, 8951 };
	unsigned int min, max;
	char rest;

	if (sscanf(text, "%u:%u%c", &min, &max, &rest) != 2 || min < WIRE_LEN_MIN || max < min ||
	    max > WIRE_LEN_MAX)
		errx(2, "-l %s: not MIN:MAX within %zu:%u", text, WIRE_LEN_MIN, WIRE_LEN_MAX);
	s->n_length = 0;
	s->length[s->n_length++] = (uint16_t)min;
	for (size_t i = 0; i < sizeof(corner) / sizeof(corner[0]); i++)
		if (corner[i] > min && corner[i] < max)
			s->length[s->n_length++] = corner[i];
	if (max > min)
		s->length[s->n_length++] = (uint16_t)max;
	for (unsigned int i = 0; i < s->n_length; i++)
		s->pattern_sum[i] = wire_sum(s->pattern, s->length[i] - WIRE_LEN_MIN, 0);
}

static void open_socket(struct source *s, const char *iface)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET };

	addr.sll_ifindex = (int)if_nametoindex(iface);
	if (!addr.sll_ifindex)
		err(1, "%s", iface);
	s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&addr, sizeof(addr)))
		err(1, "%s: packet socket", iface);
}

static enum fault find_fault(const char *name)
{
	for (unsigned int i = 0; i < FAULT_MAX; i++)
		if (!strcmp(name, fault_name[i]))
			return i;
	errx(2, "-b %s: unknown", name);
}

static void parse(struct source *s, int argc, char **argv)
{
	const char *iface = NULL;
	const struct ether_addr *mac = NULL;
	int opt;

	while ((opt = getopt(argc, argv, "i:m:r:n:f:p:l:b:")) != -1) {
		switch (opt) {
		case 'i':
			iface = optarg;
			break;
		case 'm':
			mac = ether_aton(optarg);
			break;
		case 'r':
			s->rate = wire_number(optarg, 1, 10000000);
			break;
		case 'n':
			s->count = wire_number(optarg, 1, UINT64_MAX);
			break;
		case 'f':
			s->flows = (uint32_t)wire_number(optarg, 1, WIRE_FLOWS_MAX);
			break;
		case 'p':
			s->dport = (uint16_t)wire_number(optarg, 1, UINT16_MAX);
			break;
		case 'l':
			set_lengths(s, optarg);
			break;
		case 'b':
			s->fault = find_fault(optarg);
			break;
		default:
			exit(2);
		}
	}
	if (!iface || !mac || !s->rate || optind != argc)
		errx(2, "-i IFACE, -m DST_MAC and -r PPS are required");
	memcpy(s->dst, mac, ETH_ALEN);
	open_socket(s, iface);
}

int main(int argc, char **argv)
{
	static struct source s = { .count = UINT64_MAX, .flows = 16, .dport = WIRE_DPORT };
	sigset_t signals;
	uint64_t start;
	double seconds;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	wire_pattern(s.pattern);
	set_lengths(&s, "60:8951");
	parse(&s, argc, argv);
	puts("{\"ready\":true}");
	start = wire_now_ns();
	run(&s, &signals, start);
	seconds = (double)(wire_now_ns() - start) * 1e-9;
	printf("{\"sent\":%llu,\"seconds\":%.3f,\"pps\":%.0f}\n", (unsigned long long)s.sent,
	       seconds, (double)s.sent / seconds);
	return 0;
}

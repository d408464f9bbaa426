// SPDX-License-Identifier: GPL-2.0-only
/*
 * Captures what one run of source sent, and judges every packet:
 *	sink -i IFACE [-p DPORT] [-n COUNT] [-t SECONDS]
 *
 * Prints {"ready":true} when it captures. SIGUSR1: one line of totals. At SIGTERM, SIGINT, COUNT
 * distinct packets or SECONDS without one: the last line. Every line covers all that had arrived at
 * that moment. The checks of a packet's content count every copy of it.
 *
 * received: distinct sequence numbers; lost: the others below the highest one that was seen, so a
 * lost tail shows only against source's "sent". late: first arrivals behind a higher number of the
 * same flow. zero_udp_csum: no UDP checksum; csum_not_ready: left to a NIC to fill in; neither is
 * bad. sink_drops: lost by this program; not zero means that the run says nothing. other: not
 * source's packets.
 */
#include <endian.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lab/wire.h"

#define BLOCK_SIZE (1u << 20)
#define BLOCKS     128 /* less where memory is short */
#define RETIRE_MS  4 /* longest time that a packet waits in an open block */
#define SEQ_MAX    (1ull << 33) /* a bitmap of 1 GiB */

struct sink {
	int fd;
	uint16_t dport;
	uint8_t *ring;
	unsigned int n_block, block;
	uint64_t captured; /* put into the ring by the kernel */
	uint64_t handled; /* taken from it */
	uint8_t *seen; /* bitmap over the sequence numbers */
	uint64_t seen_bits;
	uint64_t highest; /* sequence number + 1 */
	uint64_t flow_next[WIRE_FLOWS_MAX]; /* highest number in the flow + 1 */
	uint8_t pattern[WIRE_PATTERN_MAX];
	struct {
		uint64_t received, duplicate, late, df_left, bad_ip_csum, bad_udp_csum;
		uint64_t zero_udp_csum, csum_not_ready, bad_payload, drops, other;
	} total;
};

/* Marks seq; false when it was marked before. */
static bool mark(struct sink *s, uint64_t seq)
{
	uint8_t bit = (uint8_t)(1 << seq % 8);

	if (seq >= s->seen_bits) {
		uint64_t bits = s->seen_bits ?: 1 << 20;

		while (bits <= seq)
			bits *= 2;
		s->seen = realloc(s->seen, bits / 8);
		if (!s->seen)
			err(1, "bitmap");
		memset(s->seen + s->seen_bits / 8, 0, (bits - s->seen_bits) / 8);
		s->seen_bits = bits;
	}
	if (s->seen[seq / 8] & bit)
		return false;
	s->seen[seq / 8] |= bit;
	return true;
}

static void check_sequence(struct sink *s, const struct wire *wire)
{
	uint64_t seq = be64toh(wire->seq_be), flow_seq = be64toh(wire->flow_seq_be);
	uint64_t *flow_next = &s->flow_next[ntohl(wire->flow_be)];

	if (!mark(s, seq)) {
		s->total.duplicate++;
		return;
	}
	s->total.received++;
	if (seq >= s->highest)
		s->highest = seq + 1;
	if (flow_seq < *flow_next)
		s->total.late++;
	else
		*flow_next = flow_seq + 1;
}

static void check_content(struct sink *s, const struct wire_frame *frame, const uint8_t *pattern,
			  uint32_t status)
{
	size_t len = ntohs(frame->ip.tot_len) - WIRE_LEN_MIN;

	if (frame->ip.frag_off & htons(0x4000))
		s->total.df_left++;
	if (wire_fold(wire_sum((const uint8_t *)frame + sizeof(frame->eth), sizeof(frame->ip), 0)))
		s->total.bad_ip_csum++;
	/* Zero is what a daemon wrote; not ready is a sum of the pseudo-header alone. */
	if (!frame->udp.check)
		s->total.zero_udp_csum++;
	else if (status & TP_STATUS_CSUMNOTREADY)
		s->total.csum_not_ready++;
	else if (wire_fold(wire_sum(pattern, len, wire_udp_sum(frame))))
		s->total.bad_udp_csum++;
	if (memcmp(pattern, s->pattern, len) != 0)
		s->total.bad_payload++;
}

static bool is_ours(const struct sink *s, const struct wire_frame *frame, size_t captured)
{
	uint16_t len = ntohs(frame->ip.tot_len);

	return frame->eth.h_proto == htons(ETH_P_IP) && frame->ip.version == 4 &&
	       frame->ip.ihl == 5 && frame->ip.protocol == IPPROTO_UDP &&
	       !(frame->ip.frag_off & htons(0x3fff)) && frame->udp.dest == htons(s->dport) &&
	       frame->wire.magic_be == htonl(WIRE_MAGIC) && len >= WIRE_LEN_MIN &&
	       len <= WIRE_LEN_MAX && len + sizeof(frame->eth) <= captured &&
	       frame->udp.len == htons((uint16_t)(len - sizeof(frame->ip))) &&
	       ntohl(frame->wire.flow_be) < WIRE_FLOWS_MAX && be64toh(frame->wire.seq_be) < SEQ_MAX;
}

static void judge(struct sink *s, const uint8_t *data, size_t len, uint32_t status)
{
	struct wire_frame frame;

	if (len >= sizeof(frame))
		memcpy(&frame, data, sizeof(frame));
	if (len < sizeof(frame) || !is_ours(s, &frame, len)) {
		s->total.other++;
		return;
	}
	check_sequence(s, &frame.wire);
	check_content(s, &frame, data + sizeof(frame), status);
}

static void read_blocks(struct sink *s)
{
	for (;;) {
		struct tpacket_block_desc *block =
			(void *)(s->ring + s->block * (size_t)BLOCK_SIZE);
		struct tpacket_hdr_v1 *head = &block->hdr.bh1;
		uint8_t *p = (uint8_t *)block + head->offset_to_first_pkt;

		if (!(__atomic_load_n(&head->block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			return;
		for (uint32_t i = 0; i < head->num_pkts; i++) {
			const struct tpacket3_hdr *pkt = (void *)p;

			judge(s, p + pkt->tp_mac, pkt->tp_snaplen, pkt->tp_status);
			p += pkt->tp_next_offset;
		}
		s->handled += head->num_pkts;
		__atomic_store_n(&head->block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): open_ring() set it */
		s->block = (s->block + 1) % s->n_block;
	}
}

static void read_statistics(struct sink *s)
{
	struct tpacket_stats_v3 st;
	socklen_t len = sizeof(st);

	/* Reading resets them. tp_packets includes tp_drops. */
	if (getsockopt(s->fd, SOL_PACKET, PACKET_STATISTICS, &st, &len))
		err(1, "PACKET_STATISTICS");
	s->captured += st.tp_packets - st.tp_drops;
	s->total.drops += st.tp_drops;
}

/* Handles all that had arrived when it was called: the kernel's own count says how much that is. */
static void catch_up(struct sink *s)
{
	uint64_t deadline = wire_now_ns() + 5000000000, target;

	read_statistics(s);
	target = s->captured;
	read_blocks(s);
	while (s->handled < target) {
		if (wire_now_ns() > deadline)
			errx(1, "%llu captured, only %llu came through the ring",
			     (unsigned long long)target, (unsigned long long)s->handled);
		poll(&(struct pollfd){ .fd = s->fd, .events = POLLIN }, 1, RETIRE_MS);
		read_blocks(s);
	}
}

static void print_totals(struct sink *s)
{
	catch_up(s);
#define T(name) (unsigned long long)s->total.name
	printf("{\"received\":%llu,\"lost\":%llu,\"duplicate\":%llu,\"late\":%llu,\"df_left\":%llu,"
	       "\"bad_ip_csum\":%llu,\"bad_udp_csum\":%llu,\"zero_udp_csum\":%llu,"
	       "\"csum_not_ready\":%llu,\"bad_payload\":%llu,\"sink_drops\":%llu,\"other\":%llu}\n",
	       T(received), (unsigned long long)s->highest - T(received), T(duplicate), T(late),
	       T(df_left), T(bad_ip_csum), T(bad_udp_csum), T(zero_udp_csum), T(csum_not_ready),
	       T(bad_payload), T(drops), T(other));
#undef T
}

static void open_ring(struct sink *s, const char *iface)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct packet_mreq promisc = { .mr_type = PACKET_MR_PROMISC };
	struct tpacket_req3 req = { .tp_block_size = BLOCK_SIZE,
				    .tp_frame_size = 2048,
				    .tp_block_nr = BLOCKS,
				    .tp_retire_blk_tov = RETIRE_MS };
	int version = TPACKET_V3, one = 1, ret;

	addr.sll_ifindex = (int)if_nametoindex(iface);
	if (!addr.sll_ifindex)
		err(1, "%s", iface);
	promisc.mr_ifindex = addr.sll_ifindex;
	s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || setsockopt(s->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
	    setsockopt(s->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(s->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc)))
		err(1, "%s: packet socket", iface);
	do {
		s->n_block = req.tp_block_nr;
		req.tp_frame_nr = s->n_block * (BLOCK_SIZE / req.tp_frame_size);
		ret = setsockopt(s->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req));
		req.tp_block_nr /= 2;
	} while (ret && errno == ENOMEM && req.tp_block_nr >= 8);
	if (ret)
		err(1, "PACKET_RX_RING");
	s->ring = mmap(NULL, s->n_block * (size_t)BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       s->fd, 0);
	if (s->ring == MAP_FAILED)
		err(1, "ring");
	if (bind(s->fd, (struct sockaddr *)&addr, sizeof(addr)))
		err(1, "%s: bind", iface);
}

static void run(struct sink *s, int signal_fd, uint64_t count, uint64_t idle_s)
{
	struct pollfd fds[] = { { .fd = s->fd, .events = POLLIN },
				{ .fd = signal_fd, .events = POLLIN } };
	uint64_t last = wire_now_ns(), received = 0;
	struct signalfd_siginfo info;

	while (s->total.received < count) {
		uint64_t idle_ms = (wire_now_ns() - last) / 1000000;

		if (idle_s && idle_ms >= idle_s * 1000)
			return;
		if (poll(fds, 2, idle_s ? (int)(idle_s * 1000 - idle_ms) : -1) < 0)
			err(1, "poll");
		read_blocks(s);
		if (s->total.received != received) {
			received = s->total.received;
			last = wire_now_ns();
		}
		if (!(fds[1].revents & POLLIN))
			continue;
		if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
			err(1, "signalfd");
		if (info.ssi_signo != SIGUSR1)
			return;
		print_totals(s);
	}
}

int main(int argc, char **argv)
{
	static struct sink s = { .dport = WIRE_DPORT };
	uint64_t count = UINT64_MAX, idle_s = 0;
	const char *iface = NULL;
	sigset_t signals;
	int opt, signal_fd;

	while ((opt = getopt(argc, argv, "i:p:n:t:")) != -1) {
		switch (opt) {
		case 'i':
			iface = optarg;
			break;
		case 'p':
			s.dport = (uint16_t)wire_number(optarg, 1, UINT16_MAX);
			break;
		case 'n':
			count = wire_number(optarg, 1, SEQ_MAX);
			break;
		case 't':
			idle_s = wire_number(optarg, 1, 3600);
			break;
		default:
			return 2;
		}
	}
	if (!iface || optind != argc)
		errx(2, "-i IFACE is required");
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (signal_fd < 0)
		err(1, "signalfd");
	setvbuf(stdout, NULL, _IOLBF, 0);
	wire_pattern(s.pattern);
	open_ring(&s, iface);
	puts("{\"ready\":true}");
	run(&s, signal_fd, count, idle_s);
	print_totals(&s);
	free(s.seen);
	return 0;
}

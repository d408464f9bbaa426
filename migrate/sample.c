// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/sample.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "core/packet.h"
#include "core/util.h"

#define HEAD_BYTES 192 /* VXLAN with two tags and all options of both IPv4 headers */
#define ROOM_BYTES (8 << 20) /* the kernel doubles it, and counts some 1 KiB a frame */

struct point {
	struct sample_point at;
	uint32_t flow[SAMPLE_FLOWS], outer_flow[SAMPLE_FLOWS], cpu[SAMPLE_CPUS];
};

struct sample {
	int fd;
	uint64_t since_ns;
	unsigned int n;
	struct point point[];
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static void freep(struct sample **sample)
{
	if (*sample)
		util_closep(&(*sample)->fd);
	free(*sample);
}

/*
 * What arrives at one of the devices, cut to its head: what is copied while packets move is little. The
 * number of the CPU is added to where it is cut, which tells it (arrived_on()). One socket for all, because
 * the kernel takes a while to close one (synchronize_net()).
 */
static int set_filter(const struct sample *sample)
{
	struct sock_filter code[SAMPLE_POINTS + 5] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_IFINDEX)),
	};
	const struct sock_fprog filter = { .len = (unsigned short)(sample->n + 5), .filter = code };
	unsigned int n = 1;

	for (unsigned int i = 0; i < sample->n; i++, n++)
		code[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						       (uint32_t)sample->point[i].at.ifindex,
						       (uint8_t)(sample->n - i), 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 (uint32_t)(SKF_AD_OFF + SKF_AD_CPU));
	code[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, HEAD_BYTES);
	code[n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
	return setsockopt(sample->fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
}

static int set_up(const struct sample *sample)
{
	const struct sockaddr_ll all = { .sll_family = AF_PACKET,
					 .sll_protocol = htons(ETH_P_ALL) };
	const int room = ROOM_BYTES, on = 1, fd = sample->fd;

	if (set_filter(sample) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	return bind(fd, (const struct sockaddr *)&all, sizeof(all)) < 0 ? -errno : 0;
}

int sample_open(const struct sample_point *points, unsigned int n, struct sample **out)
{
	_cleanup_(freep) struct sample *sample =
		calloc(1, sizeof(*sample) + n * sizeof(sample->point[0]));
	int ret;

	if (!sample)
		return -ENOMEM;
	sample->n = n;
	for (unsigned int i = 0; i < n; i++)
		sample->point[i].at = points[i];
	/* Protocol 0: nothing comes before it is bound. */
	sample->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sample->fd < 0)
		return -errno;
	ret = set_up(sample);
	sample->since_ns = now_ns();
	if (ret == 0)
		*out = TAKE_PTR(sample);
	return ret;
}

static void count_flow(uint32_t table[SAMPLE_FLOWS], const struct df_pkt *pkt, unsigned int *flows,
		       uint64_t *largest)
{
	uint32_t *packets = &table[df_flow_hash(pkt) % SAMPLE_FLOWS];

	*flows += !(*packets)++;
	if (*packets > *largest)
		*largest = *packets;
}

/* The frame with the policy's packet: the inner one with encap: vxlan. NULL: it is no VXLAN. */
static struct df_eth *find_frame(struct point *point, struct df_pkt *pkt, struct sample_count *out)
{
	unsigned int flows = 0;

	if (point->at.policy.encap != DF_ENCAP_VXLAN)
		return pkt->data;
	if (df_parse_eth(pkt, pkt->data) != DF_GO_ON || pkt->udp->dport_be != htons(VXLAN_PORT))
		return NULL;
	count_flow(point->outer_flow, pkt, &flows, &out->largest_outer_flow);
	return (void *)((struct df_vxlan *)(pkt->udp + 1) + 1);
}

/* The CPU; -1: the frame was too short to be cut. */
static int arrived_on(const struct tpacket_auxdata *aux)
{
	return aux->tp_snaplen < aux->tp_len ? (int)aux->tp_snaplen - HEAD_BYTES : -1;
}

static void count_cpu(struct point *point, int cpu, struct sample_count *out)
{
	if (cpu < 0 || cpu >= SAMPLE_CPUS)
		return;
	out->on_cpus++;
	if (++point->cpu[cpu] <= out->largest_cpu)
		return;
	out->largest_cpu = point->cpu[cpu];
	out->cpu = (unsigned int)cpu;
}

static void count(struct point *point, void *head, size_t len, const struct tpacket_auxdata *aux,
		  struct sample_count *out)
{
	struct df_pkt pkt = { .data = head, .data_end = head + len };
	const struct df_eth *eth = head, *frame;
	int ret;

	out->looked++;
	if (len < sizeof(*eth))
		return;
	frame = find_frame(point, &pkt, out);
	ret = df_match(&point->at.policy, &pkt, head + sizeof(*eth), eth->proto_be);
	out->fragments += ret == DF_FRAGMENT;
	if ((ret != DF_GO_ON && ret != DF_NO_DF && ret != DF_BELOW_MIN) || !pkt.ip)
		return;
	out->matching++;
	/* What stands between the frame's header and the packet is tags. */
	out->tagged += aux->tp_status & TP_STATUS_VLAN_VALID ||
		       (const void *)pkt.ip != (const void *)(frame + 1);
	out->id0 += ret == DF_GO_ON && !pkt.ip->id_be && !(pkt.ip->frag_off_be & DF_IP_MF);
	count_flow(point->flow, &pkt, &out->flows, &out->largest_flow);
	count_cpu(point, arrived_on(aux), out);
}

/* What stands beside the frame: hardware and kernel take a tag out of it and say so here. */
static struct tpacket_auxdata aux_of(struct msghdr *msg)
{
	struct tpacket_auxdata aux = { 0 };

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA)
			memcpy(&aux, CMSG_DATA(c), sizeof(aux));
	return aux;
}

/* One frame of what waits. */
static bool next(struct sample *s, struct sample_count *out)
{
	char head[HEAD_BYTES] __attribute__((aligned(8)));
	char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))] __attribute__((aligned(8)));
	struct iovec iov = { head, sizeof(head) };
	struct sockaddr_ll from = { 0 };
	struct tpacket_auxdata aux;
	struct msghdr msg = { .msg_name = &from,
			      .msg_namelen = sizeof(from),
			      .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(s->fd, &msg, 0);

	if (got < 0)
		return false;
	aux = aux_of(&msg);
	for (unsigned int i = 0; i < s->n; i++)
		if (s->point[i].at.ifindex == from.sll_ifindex)
			count(&s->point[i], head, (size_t)got, &aux, &out[i]);
	return true;
}

void sample_close(struct sample *sample, struct sample_count *out)
{
	struct tpacket_stats stats = { 0 };
	socklen_t len = sizeof(stats);
	double seconds = (double)(now_ns() - sample->since_ns) / 1e9;
	uint64_t looked = 0;

	memset(out, 0, sample->n * sizeof(*out));
	/* All that came, what found no room included; and no more is read than had come then. */
	getsockopt(sample->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
	while (looked < stats.tp_packets && next(sample, out))
		looked++;
	for (unsigned int i = 0; i < sample->n && looked; i++)
		out[i].rate = (double)out[i].looked / (double)looked * stats.tp_packets / seconds;
	freep(&sample);
}

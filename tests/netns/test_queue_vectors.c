// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vectors through a live NFQUEUE: a frame into one port of a bridge, a rule that queues
 * everything, nfq_queue_service(), and out of the other port.
 *
 * The rule is in the bridge family where the kernel can queue there: it sees every frame as it came.
 * Where it cannot (without nft_queue nft_compat refuses NFQUEUE for bridges; some kernels drop what a
 * bridge queue gives back changed), it is in the ip family behind br_netfilter, which takes away frames
 * in front of it: fate_of() says which, and every vector is held to that too. The network namespace is this process's own and goes with it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>

#include "core/names.h"
#include "core/util.h"
#include "nfq-fallback/nfq_queue.h"
#include "rules/nft.h"
#include "tests/vectors/vectors.h"

#define SKIP        77
#define QUEUE       3
#define DEADLINE_MS 5000 /* for one event; a passing run never comes near */
#define FRAME_MAX   16384
#define SYSCTL      "/proc/sys/net/bridge/bridge-nf-"
#define SOCKBUF     (16 * 1024 * 1024) /* for all vectors of a policy at once */
/* net/netlink/af_netlink.c, netlink_sendmsg(), with the smallest send buffer that can be asked for. */
#define NARROW_MAX  4576

/* What becomes of a frame on its way to the rule. */
enum fate {
	QUEUED,
	PASSED_BY, /* bridged without being shown to the rule */
	DROPPED,
	FATE_MAX
};

static const char *const fate_name[] = {
	[QUEUED] = "queued",
	[PASSED_BY] = "passed by the rule",
	[DROPPED] = "dropped before it",
};

/* How many have each fate behind br_netfilter. In the bridge family all are queued. */
static const size_t fates_ip[FATE_MAX] = { [QUEUED] = 193, [PASSED_BY] = 63, [DROPPED] = 246 };

static int tx = -1, rx = -1; /* the far ends of the two bridge ports */
static bool ip_family; /* where the rule is */

static const char setup_text[] = "link add tx0 mtu 9100 type veth peer name tx1 mtu 9100\n"
				 "link add rx0 mtu 9100 type veth peer name rx1 mtu 9100\n"
				 "link add br0 mtu 9100 type bridge mcast_snooping 0\n"
				 "link set tx1 master br0\n"
				 "link set rx1 master br0\n"
				 "link set br0 up\n"
				 "link set tx0 up\n"
				 "link set tx1 up\n"
				 "link set rx0 up\n"
				 "link set rx1 up\n";

/* 0, also when this kernel does not have the switch; else -errno. */
static int write_sysctl(const char *path, const char *value)
{
	_cleanup_file_ FILE *f = fopen(path, "we");

	if (!f)
		return errno == ENOENT ? 0 : -errno;
	return fputs(value, f) < 0 || fflush(f) ? -errno : 0;
}

/* Two veth pairs and a bridge on which nobody but us sends. */
static int make_network(void)
{
	FILE *ip;

	if (write_sysctl("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1") ||
	    write_sysctl("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"))
		return -1;
	ip = popen("ip -batch -", "we"); /* NOLINT(cert-env33-c): a fixed text */
	if (!ip)
		return -1;
	fputs(setup_text, ip);
	return pclose(ip) ? -1 : 0;
}

static int open_packet(const char *ifname, int protocol)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons((uint16_t)protocol),
				    .sll_ifindex = (int)if_nametoindex(ifname) };
	_cleanup_close_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int on = 1, bytes = SOCKBUF;

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
	    /* What waits in a queue of the bridge family is still its sender's. */
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -1;
	return TAKE_FD(fd);
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

/* The kernel takes the outermost VLAN tag out of the frame and reports it beside: put it back. */
static size_t restore_tag(struct msghdr *msg, uint8_t *frame, size_t len)
{
	struct tpacket_auxdata aux;
	uint16_t tag[2];

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
			continue;
		tag[0] = htons(aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid
									 : ETH_P_8021Q);
		tag[1] = htons(aux.tp_vlan_tci);
		memmove(frame + 16, frame + 12, len - 12);
		memcpy(frame + 12, tag, sizeof(tag));
		return len + sizeof(tag);
	}
	return len;
}

/* The next frame at the other port. Returns its length, or 0 when the time is over. */
static size_t capture(uint8_t *frame, int timeout_ms)
{
	char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct iovec iov = { frame, FRAME_MAX };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t len;

	if (!readable(rx, timeout_ms))
		return 0;
	len = recvmsg(rx, &msg, 0);
	return len < ETH_HLEN ? 0 : restore_tag(&msg, frame, (size_t)len);
}

/* Of an ethertype that no rule here is shown: behind a dropped frame it says that nothing comes. */
static const uint8_t hello[60] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };

/* A bridge port forwards some time after its carrier is up: ask until it does. No rule yet. */
static bool wait_forwarding(void)
{
	uint8_t frame[FRAME_MAX];

	for (int i = 0; i < DEADLINE_MS / 10; i++) {
		if (send(tx, hello, sizeof(hello), 0) != sizeof(hello))
			return false;
		if (capture(frame, 10))
			return true;
	}
	return false;
}

/* The reason whose counter, alone, is one; else -1. */
static int counted(const struct df_stats *stats)
{
	int found = -1;

	for (int reason = 0; reason < DF_REASON_MAX; reason++) {
		if (stats->reason[reason] == 0)
			continue;
		if (stats->reason[reason] != 1 || found >= 0)
			return -1;
		found = reason;
	}
	return found;
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* RFC 1071: is the one's-complement sum of the header all ones? */
static bool header_sum_ok(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < (ip[0] & 15u) * 4; i += 2)
		sum += get16(ip + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* Where the network header is once the kernel has taken the outermost tag out. */
static size_t network_at(const struct vector *v)
{
	uint16_t proto = get16(v->in + 12);

	return proto == ETH_P_8021Q || proto == ETH_P_8021AD ? ETH_HLEN + 4 : ETH_HLEN;
}

/*
 * net/bridge/br_netfilter_hooks.c, br_nf_pre_routing() and br_validate_ipv4(): only IPv4 behind at
 * most one tag comes to the ip family, and only with a header that the IPv4 stack would take.
 */
static enum fate fate_of(const struct vector *v)
{
	const uint8_t *ip = v->in + network_at(v);
	size_t len = v->len - network_at(v), ihl;

	if (!ip_family)
		return QUEUED;
	if (get16(ip - 2) != ETH_P_IP)
		return PASSED_BY;
	if (len < 20 || ip[0] >> 4 != 4 || (ip[0] & 15) < 5)
		return DROPPED;
	ihl = (size_t)(ip[0] & 15) * 4;
	if (len < ihl || !header_sum_ok(ip) || get16(ip + 2) > len || get16(ip + 2) < ihl)
		return DROPPED;
	return QUEUED;
}

/* br_validate_ipv4() also trims what lies behind tot_len. */
static size_t length_out(const struct vector *v, enum fate fate)
{
	size_t at = network_at(v);

	return ip_family && fate == QUEUED ? at + get16(v->in + at + 2) : v->len;
}

static const char *handle_queued(struct nfq_queue *queue, const struct df_stats *stats,
				 const struct vector *v)
{
	if (!readable(nfq_queue_fd(queue), DEADLINE_MS))
		return "never queued";
	if (nfq_queue_service(queue, false) != 1)
		return "not one packet handled";
	if (counted(stats) < 0)
		return "not counted once";
	return counted(stats) == (int)v->reason ? NULL : df_reason_name[counted(stats)];
}

/* One frame all the way. Returns NULL, or what was wrong. */
static const char *send_vector(struct nfq_queue *queue, const struct df_stats *stats,
			       const struct vector *v, enum fate fate)
{
	const uint8_t *want = fate == QUEUED ? v->out : fate == PASSED_BY ? v->in : hello;
	size_t want_len = fate == DROPPED ? sizeof(hello) : length_out(v, fate);
	const char *wrong = NULL;
	uint8_t frame[FRAME_MAX];
	size_t len;

	if (send(tx, v->in, v->len, 0) != (ssize_t)v->len)
		return strerror(errno);
	if (fate == QUEUED)
		wrong = handle_queued(queue, stats, v);
	else if (fate == DROPPED && send(tx, hello, sizeof(hello), 0) != sizeof(hello))
		wrong = strerror(errno);
	if (wrong)
		return wrong;
	len = capture(frame, DEADLINE_MS);
	if (!len)
		return "never came out";
	if (len != want_len || memcmp(frame, want, len) != 0)
		return "other bytes";
	return readable(nfq_queue_fd(queue), 0) ? "queued" : NULL;
}

/* Stops at the first failure: what is left of it on the wire would be taken for the next frame. */
static void run_policy(enum vector_policy policy, const struct vector *vectors, size_t n,
		       size_t fates[FATE_MAX])
{
	struct df_stats stats;
	struct nfq_queue *queue;
	struct nfq_queue_info info;
	uint8_t frame[FRAME_MAX];
	const char *wrong;
	enum fate fate;

	assert_int_equal(nfq_queue_open(&queue, QUEUE, false, &vector_policies[policy], &stats), 0);
	for (size_t i = 0; i < n; i++) {
		if (vectors[i].policy != policy || vectors[i].not_live)
			continue;
		memset(&stats, 0, sizeof(stats));
		fate = fate_of(&vectors[i]);
		wrong = send_vector(queue, &stats, &vectors[i], fate);
		if (wrong)
			fail_msg("%s: %s (expected: %s, %s)", vectors[i].name, wrong,
				 fate_name[fate], df_reason_name[vectors[i].reason]);
		fates[fate]++;
	}
	assert_int_equal(nfq_queue_read(QUEUE, &info), 0);
	assert_int_equal(info.depth, 0);
	assert_int_equal(info.dropped, 0);
	assert_int_equal(info.user_dropped, 0);
	nfq_queue_close(queue);
	assert_int_equal(capture(frame, 0), 0); /* nothing came twice */
}

static void test_vectors(void **state)
{
	size_t n, left_out = 0, fates[FATE_MAX] = { 0 };
	struct vector *vectors = vectors_load(&n);

	(void)state;
	for (int policy = 0; policy < VECTOR_POLICY_MAX; policy++)
		run_policy((enum vector_policy)policy, vectors, n, fates);
	for (size_t i = 0; i < n; i++)
		left_out += vectors[i].not_live != NULL;
	vectors_free(vectors, n);
	print_message("%s family: %zu queued, %zu passed by the rule, %zu dropped before it; "
		      "%zu cannot be sent\n",
		      ip_family ? "ip" : "bridge", fates[QUEUED], fates[PASSED_BY], fates[DROPPED],
		      left_out);
	assert_int_equal(left_out, VECTORS_NO_LIVE);
	assert_int_equal(fates[QUEUED] + fates[PASSED_BY] + fates[DROPPED],
			 VECTORS - VECTORS_NO_LIVE);
	for (int fate = 0; fate < FATE_MAX; fate++)
		if (ip_family)
			assert_int_equal(fates[fate], fates_ip[fate]);
}

/* Does the verdict with its payload fit into the narrow send buffer? */
static bool fits(const struct vector *v)
{
	return v->reason > DF_CLEARED_ASSIGNED || v->len < NARROW_MAX - 100;
}

/* Sends what the rule is shown, and waits until all of it is queued. Returns how many. */
static unsigned int queue_all(const struct vector *vectors, size_t n, enum vector_policy policy)
{
	struct nfq_queue_info info = { 0 };
	unsigned int sent = 0;

	for (size_t i = 0; i < n; i++) {
		const struct vector *v = &vectors[i];

		if (v->policy != policy || v->not_live || fate_of(v) != QUEUED)
			continue;
		assert_int_equal(send(tx, v->in, v->len, 0), v->len);
		sent++;
	}
	for (int ms = 0; ms < DEADLINE_MS && info.depth != sent; ms++) {
		poll(NULL, 0, info.depth ? 1 : 0);
		assert_int_equal(nfq_queue_read(QUEUE, &info), 0);
	}
	assert_int_equal(info.depth, sent);
	return sent;
}

/* All were handled: the bytes of each, in their order. narrow: what does not fit is as it came. */
static void check_all(const struct vector *vectors, size_t n, enum vector_policy policy,
		      bool narrow, struct df_stats *want)
{
	uint8_t frame[FRAME_MAX];

	for (size_t i = 0; i < n; i++) {
		const struct vector *v = &vectors[i];
		bool changed = !narrow || fits(v);

		if (v->policy != policy || v->not_live || fate_of(v) != QUEUED)
			continue;
		want->reason[changed ? v->reason : DF_ERROR]++;
		if (capture(frame, DEADLINE_MS) != length_out(v, QUEUED) ||
		    memcmp(frame, changed ? v->out : v->in, length_out(v, QUEUED)) != 0)
			fail_msg("%s: other bytes, or another packet", v->name);
	}
	assert_int_equal(capture(frame, 0), 0);
}

/* All that the rule is shown, queued before the first is handled. Returns how many. */
static unsigned int run_batches(const struct vector *vectors, size_t n, enum vector_policy policy,
				bool narrow)
{
	struct df_stats stats = { 0 }, want = { 0 };
	struct nfq_queue *queue;
	unsigned int left, all;
	int bytes = 1;

	assert_int_equal(nfq_queue_open(&queue, QUEUE, false, &vector_policies[policy], &stats), 0);
	if (narrow)
		assert_int_equal(setsockopt(nfq_queue_fd(queue), SOL_SOCKET, SO_SNDBUF, &bytes,
					    sizeof(bytes)),
				 0);
	all = left = queue_all(vectors, n, policy);
	for (; left > NFQ_BATCH; left -= NFQ_BATCH)
		assert_int_equal(nfq_queue_service(queue, false), NFQ_BATCH);
	assert_int_equal(nfq_queue_service(queue, false), left);
	assert_int_equal(nfq_queue_service(queue, false), 0);
	check_all(vectors, n, policy, narrow, &want);
	assert_memory_equal(stats.reason, want.reason, sizeof(stats.reason));
	nfq_queue_close(queue);
	return all;
}

static void test_batches(void **state)
{
	unsigned int most = 0;
	size_t n;
	struct vector *vectors = vectors_load(&n);

	(void)state;
	for (int policy = 0; policy < VECTOR_POLICY_MAX; policy++) {
		unsigned int all = run_batches(vectors, n, (enum vector_policy)policy, false);

		most = all > most ? all : most;
	}
	vectors_free(vectors, n);
	assert_true(most > 2 * NFQ_BATCH);
}

/* Verdicts that cannot be sent together are sent alone; one that cannot be sent goes without payload. */
static void test_narrow(void **state)
{
	size_t n, too_long = 0;
	struct vector *vectors = vectors_load(&n);

	(void)state;
	for (size_t i = 0; i < n; i++)
		too_long += vectors[i].policy == KEEP && !fits(&vectors[i]);
	run_batches(vectors, n, KEEP, true);
	vectors_free(vectors, n);
	assert_int_equal(too_long, 1);
}

/* A service that blocks returns when it is told to, before it began to wait, too. */
static void test_wake(void **state)
{
	struct df_stats stats = { 0 };
	struct nfq_queue *queue;

	(void)state;
	assert_int_equal(nfq_queue_open(&queue, QUEUE, false, &vector_policies[KEEP], &stats), 0);
	nfq_queue_wake(queue);
	assert_int_equal(nfq_queue_service(queue, true), 0);
	nfq_queue_close(queue);
}

/*
 * net/netfilter/nfnetlink_queue.c, nfqnl_validate_write(): the new payload of a verdict must be a sound
 * packet of the family, with the old header but for DF; for a bridge none is.
 */
static bool bridge_takes_payload(void)
{
	_cleanup_file_ FILE *f = fopen("/proc/kallsyms", "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, " nfqnl_validate_"))
			return false;
	return true;
}

/* Tries the family that sees most first. Sets ip_family. */
static int install_any_rule(void)
{
	static const uint16_t families[] = { NFPROTO_BRIDGE, NFPROTO_IPV4 };
	static struct nft *nft; /* open as long as this process is */
	struct err err;
	int ret = nft_open(&nft, &err) < 0 ? -EIO : -ENOENT;

	for (size_t i = bridge_takes_payload() ? 0 : 1;
	     i < ARRAY_SIZE(families) && ret < 0 && ret != -EIO; i++) {
		ip_family = families[i] == NFPROTO_IPV4;
		ret = nft_tap(nft, families[i], -450, QUEUE);
	}
	if (ret < 0)
		return ret;
	if (ip_family && access(SYSCTL "call-iptables", F_OK) < 0)
		return -errno;
	/* In front of, or behind, a bridge rule br_netfilter would check and drop. */
	if ((ret = write_sysctl(SYSCTL "call-iptables", ip_family ? "1" : "0")) < 0 ||
	    (ret = write_sysctl(SYSCTL "call-ip6tables", "0")) < 0)
		return ret;
	return write_sysctl(SYSCTL "filter-vlan-tagged", "1");
}

/* Returns 0, SKIP having said why, or 1. */
static int setup(void)
{
	int ret;

	if (unshare(CLONE_NEWNET) < 0) {
		printf("no network namespace: %s\n", strerror(errno));
		return errno == EPERM ? SKIP : 1;
	}
	if (make_network() < 0) {
		puts("the bridge could not be made");
		return 1;
	}
	tx = open_packet("tx0", 0);
	rx = open_packet("rx0", ETH_P_ALL);
	if (tx < 0 || rx < 0 || !wait_forwarding()) {
		puts("the bridge does not forward");
		return 1;
	}
	ret = install_any_rule();
	if (ret < 0)
		printf("no rule can queue bridged frames here: %s\n", strerror(-ret));
	return ret == -ENOENT || ret == -EOPNOTSUPP ? SKIP : ret != 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_wake),
	};
	int ret = setup();

	if (ret)
		return ret;
	return cmocka_run_group_tests_name("live queue", tests, NULL, NULL);
}

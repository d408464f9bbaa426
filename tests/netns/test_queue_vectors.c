// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vectors through a live NFQUEUE: a frame into one port of a bridge, a rule that queues
 * everything, nfq_queue_service(), and out of the other port. The rule is in the bridge family,
 * because the IPv4 stack drops malformed packets in front of its own prerouting and never shows the
 * others to it. The network namespace is this process's own and goes with it.
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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "core/names.h"
#include "core/util.h"
#include "nfq-fallback/nfq_queue.h"
#include "tests/vectors/vectors.h"

#define SKIP         77
#define QUEUE        3
#define DEADLINE_MS  100 /* for one event; a passing run never comes near */
#define FRAME_MAX    16384
#define BRIDGE_TABLE "n2x_vectors"
#define BRIDGE_CHAIN "pre"

static int tx = -1, rx = -1; /* the far ends of the two bridge ports */

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
	ip = popen("ip -batch -", "we");
	if (!ip)
		return -1;
	fputs(setup_text, ip);
	if (pclose(ip))
		return -1;
	/* There once br_netfilter is: it would check IPv4 headers in front of our rule. */
	return write_sysctl("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");
}

static int open_packet(const char *ifname, int protocol)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons((uint16_t)protocol),
				    .sll_ifindex = (int)if_nametoindex(ifname) };
	_cleanup_close_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
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

/* A bridge port forwards some time after its carrier is up: ask until it does. No rule yet. */
static bool wait_forwarding(void)
{
	static const uint8_t hello[60] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
	uint8_t frame[FRAME_MAX];

	for (int i = 0; i < DEADLINE_MS / 10; i++) {
		if (send(tx, hello, sizeof(hello), 0) != sizeof(hello))
			return false;
		if (capture(frame, 10))
			return true;
	}
	return false;
}

static void free_table(struct nftnl_table **t)
{
	nftnl_table_free(*t);
}

static void free_chain(struct nftnl_chain **c)
{
	nftnl_chain_free(*c);
}

static void free_rule(struct nftnl_rule **r)
{
	nftnl_rule_free(*r);
}

static struct nftnl_table *table_new(void)
{
	struct nftnl_table *t = nftnl_table_alloc();

	nftnl_table_set_str(t, NFTNL_TABLE_NAME, BRIDGE_TABLE);
	return t;
}

static struct nftnl_chain *chain_new(void)
{
	struct nftnl_chain *c = nftnl_chain_alloc();

	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, BRIDGE_TABLE);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, BRIDGE_CHAIN);
	nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
	nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, 0); /* NF_BR_PRE_ROUTING */
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, -300);
	return c;
}

/*
 * Everything to queue 0. The verdict itself, as an immediate: it needs neither nft_queue, which some
 * kernels lack, nor the xtables target, which newer ones refuse in the bridge family.
 */
static struct nftnl_rule *rule_new(void)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct nftnl_expr *e = nftnl_expr_alloc("immediate");

	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, BRIDGE_TABLE);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, BRIDGE_CHAIN);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, NF_QUEUE);
	nftnl_rule_add_expr(r, e);
	return r;
}

static struct nlmsghdr *put(struct mnl_nlmsg_batch *b, uint16_t type, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(b), type, NFPROTO_BRIDGE,
				     (uint16_t)(NLM_F_CREATE | flags), 0);
}

/* Returns 0, or what the kernel said first. Only the rule is acknowledged: it comes last. */
static int commit(struct mnl_nlmsg_batch *b)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	const struct nlmsghdr *nlh = (void *)buf;
	int ret = -EIO;

	if (!nl)
		return -errno;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0 &&
	    mnl_socket_sendto(nl, mnl_nlmsg_batch_head(b), mnl_nlmsg_batch_size(b)) > 0 &&
	    readable(mnl_socket_get_fd(nl), DEADLINE_MS) &&
	    mnl_socket_recvfrom(nl, buf, sizeof(buf)) > 0 && nlh->nlmsg_type == NLMSG_ERROR)
		ret = ((const struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->error;
	mnl_socket_close(nl);
	return ret;
}

static int install_rule(void)
{
	_cleanup_(free_table) struct nftnl_table *t = table_new();
	_cleanup_(free_chain) struct nftnl_chain *c = chain_new();
	_cleanup_(free_rule) struct nftnl_rule *r = rule_new();
	char buf[MNL_SOCKET_BUFFER_SIZE * 2];
	struct mnl_nlmsg_batch *b = mnl_nlmsg_batch_start(buf, MNL_SOCKET_BUFFER_SIZE);
	int ret;

	nftnl_batch_begin(mnl_nlmsg_batch_current(b), 0);
	mnl_nlmsg_batch_next(b);
	nftnl_table_nlmsg_build_payload(put(b, NFT_MSG_NEWTABLE, 0), t);
	mnl_nlmsg_batch_next(b);
	nftnl_chain_nlmsg_build_payload(put(b, NFT_MSG_NEWCHAIN, 0), c);
	mnl_nlmsg_batch_next(b);
	nftnl_rule_nlmsg_build_payload(put(b, NFT_MSG_NEWRULE, NLM_F_APPEND | NLM_F_ACK), r);
	mnl_nlmsg_batch_next(b);
	nftnl_batch_end(mnl_nlmsg_batch_current(b), 0);
	mnl_nlmsg_batch_next(b);
	ret = commit(b);
	mnl_nlmsg_batch_stop(b);
	return ret;
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

/* One frame all the way. Returns 0, or 1 having said what was wrong. */
static int check_vector(struct nfq_queue *queue, const struct df_stats *stats,
			const struct vector *v)
{
	uint8_t frame[FRAME_MAX];
	const char *wrong = NULL;
	size_t len;

	if (send(tx, v->in, v->len, 0) != (ssize_t)v->len)
		wrong = strerror(errno);
	else if (!readable(nfq_queue_fd(queue), DEADLINE_MS))
		wrong = "never queued";
	else if (nfq_queue_service(queue) != 1)
		wrong = "not one packet handled";
	else if (counted(stats) != (int)v->reason)
		wrong = counted(stats) < 0 ? "not counted once" : df_reason_name[counted(stats)];
	else if (!(len = capture(frame, DEADLINE_MS)))
		wrong = "never came out";
	else if (len != v->len || memcmp(frame, v->out, len) != 0)
		wrong = "other bytes";
	if (wrong)
		print_error("%s: %s (expected %s)\n", v->name, wrong, df_reason_name[v->reason]);
	return wrong != NULL;
}

static int run_policy(enum vector_policy policy, const struct vector *vectors, size_t n,
		      size_t *ran)
{
	struct df_stats stats;
	struct nfq_queue *queue;
	struct nfq_queue_info info;
	uint8_t frame[FRAME_MAX];
	int failed = 0;

	assert_int_equal(nfq_queue_open(&queue, QUEUE, false, &vector_policies[policy], &stats), 0);
	for (size_t i = 0; i < n; i++) {
		if (vectors[i].policy != policy || vectors[i].not_live)
			continue;
		memset(&stats, 0, sizeof(stats));
		failed += check_vector(queue, &stats, &vectors[i]);
		++*ran;
	}
	assert_int_equal(nfq_queue_read(QUEUE, &info), 0);
	assert_int_equal(info.depth, 0);
	assert_int_equal(info.dropped, 0);
	assert_int_equal(info.user_dropped, 0);
	nfq_queue_close(queue);
	assert_int_equal(capture(frame, 0), 0); /* nothing came twice */
	return failed;
}

static void test_vectors(void **state)
{
	size_t n, ran = 0, left_out = 0;
	struct vector *vectors = vectors_load(&n);
	int failed = 0;

	(void)state;
	for (int policy = 0; policy < VECTOR_POLICY_MAX; policy++)
		failed += run_policy((enum vector_policy)policy, vectors, n, &ran);
	for (size_t i = 0; i < n; i++)
		left_out += vectors[i].not_live != NULL;
	vectors_free(vectors, n);
	print_message("%zu vectors live, %zu cannot be sent\n", ran, left_out);
	assert_int_equal(failed, 0);
	assert_int_equal(left_out, VECTORS_NO_LIVE);
	assert_int_equal(ran, VECTORS - VECTORS_NO_LIVE);
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
	ret = install_rule();
	if (ret == -ENOENT || ret == -EOPNOTSUPP) {
		puts("no nf_tables bridge family");
		return SKIP;
	}
	if (ret < 0)
		printf("the rule was refused: %s\n", strerror(-ret));
	return ret ? 1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors) };
	int ret = setup();

	if (ret)
		return ret;
	return cmocka_run_group_tests_name("live queue", tests, NULL, NULL);
}

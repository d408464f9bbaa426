// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rules that were there, found and guarded with the real tools and kernel: rules/legacy.h. Each test
 * has a network namespace of its own, all have a /run of their own, so that the lock of iptables is not
 * the host's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
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
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include "core/util.h"
#include "rules/legacy.h"

#define SKIP        77
#define DEADLINE_MS 5000 /* for one event; a passing run never comes near */
#define TEXT        16384
#define U32         " -m u32 --u32 \"0x4&0x5fff=0x4000\""
#define GUARD                                                                           \
	"{\"match\":{\"op\":\"==\",\"left\":{\"&\":[{\"payload\":{\"protocol\":\"ip\"," \
	"\"field\":\"frag-off\"}},24575]},\"right\":16384}}"
#define IIF \
	"{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"iifname\"}},\"right\":\"br0\"}}"
#define DPORT(right)                                                                       \
	"{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"udp\",\"field\":" \
	"\"dport\"}},\"right\":" right "}}"
#define COUNTER "{\"counter\":null}"

static const char *const names[] = { "nft", "legacy" };
static bool works[2]; /* which iptables this kernel has */

static struct policy policy;
static struct legacy_rule rules[LEGACY_RULES_MAX];
static struct err err;

/* What the command prints. Its exit status must be 0. */
static void shell(char out[TEXT], const char *format, ...) __attribute__((format(printf, 2, 3)));

static void shell(char out[TEXT], const char *format, ...)
{
	char command[TEXT];
	va_list args;
	size_t len;
	FILE *f;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	f = popen(command, "re"); /* NOLINT(cert-env33-c): texts of this file */
	assert_non_null(f);
	len = fread(out, 1, TEXT - 1, f);
	out[len] = '\0';
	assert_int_equal(pclose(f), 0);
}

/* Returns the exit status of a tool that reads `input`. */
static int feed(const char *command, const char *input)
{
	FILE *f = popen(command, "we"); /* NOLINT(cert-env33-c): texts of this file */

	assert_non_null(f);
	fputs(input, f);
	return pclose(f);
}

static void restore(int kind, const char *input)
{
	char command[128];

	snprintf(command, sizeof(command), "iptables-%s-restore --noflush --counters", names[kind]);
	assert_int_equal(feed(command, input), 0);
}

/* The listing without times and without the counts of whole chains. */
static void save(int kind, char out[TEXT])
{
	shell(out, "iptables-%s-save -c | sed -e '/^#/d' -e 's/^\\(:.*\\) \\[.*/\\1/'",
	      names[kind]);
}

static void done(int ret)
{
	if (ret != 0)
		fail_msg("%d: %s", ret, err.text);
}

static int find(void)
{
	return legacy_find(&policy, rules, &err);
}

/* `text` with its one `from` made `to`. */
static void replaced(char out[TEXT], const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);

	assert_non_null(at);
	assert_null(strstr(at + 1, from));
	snprintf(out, TEXT, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static int new_namespace(void **state)
{
	(void)state;
	memset(rules, 0xa5, sizeof(rules));
	err.text[0] = '\0';
	return unshare(CLONE_NEWNET);
}

#define HEAD  "-A PREROUTING -i br0 -p udp -m udp --dport 31765"
#define QUOTE " -m comment --comment \"it\\'s \\\"the\\\" \\\\ -j NFQUEUE --queue-num 9\""

static const char ruleset[] =
	"*mangle\n"
	"[3:30] -A PREROUTING -i lo -j ACCEPT\n"
	"[7:700] " HEAD " -j NFQUEUE --queue-num 0\n"
	"[5:55] " HEAD QUOTE " -j NFQUEUE --queue-num 1 --queue-bypass\n"
	"[0:0] " HEAD QUOTE " -j ACCEPT\n"
	"[1:2] -A PREROUTING -p udp -m multiport --dports 53,31765 -j NFQUEUE "
	"--queue-balance 2:5 --queue-bypass --queue-cpu-fanout\n"
	"[9:90] -A PREROUTING -i br0 -m comment --comment last -j ACCEPT\n"
	"COMMIT\n"
	"*raw\n"
	"[4:44] -A PREROUTING -i br+ -p udp -m udp --dport 31000:32000 -j NFQUEUE "
	"--queue-num 6\n"
	"[0:0] -A PREROUTING -j NFQUEUE --queue-num 7\n"
	"COMMIT\n";

static const struct {
	const char *table;
	int priority;
	unsigned int position, queue, queues;
	bool bypass;
	const char *head, *target; /* what stands around our match */
} known[] = {
	{ "mangle", -150, 2, 0, 1, false, HEAD, " -j NFQUEUE --queue-num 0" },
	{ "mangle", -150, 3, 1, 1, true, HEAD QUOTE, " -j NFQUEUE --queue-num 1 --queue-bypass" },
	{ "mangle", -150, 5, 2, 4, true, "-A PREROUTING -p udp -m multiport --dports 53,31765",
	  " -j NFQUEUE --queue-balance 2:5 --queue-bypass --queue-cpu-fanout" },
	{ "raw", -300, 1, 6, 1, false, "-A PREROUTING -i br+ -p udp -m udp --dport 31000:32000",
	  " -j NFQUEUE --queue-num 6" },
	{ "raw", -300, 2, 7, 1, false, "-A PREROUTING", " -j NFQUEUE --queue-num 7" },
};

#define KNOWN ((int)ARRAY_SIZE(known))

static void check_known(const struct legacy_rule *rule, int kind, size_t i, bool guarded)
{
	char text[TEXT];

	snprintf(text, sizeof(text), "%s%s", known[i].head, known[i].target);
	assert_int_equal(rule->kind, kind);
	assert_string_equal(rule->family, "ip");
	assert_string_equal(rule->table, known[i].table);
	assert_string_equal(rule->chain, "PREROUTING");
	assert_int_equal(rule->priority, known[i].priority);
	assert_int_equal(rule->position, known[i].position);
	assert_int_equal(rule->copy, 0);
	assert_int_equal(rule->queue, known[i].queue);
	assert_int_equal(rule->queues, known[i].queues);
	assert_int_equal(rule->bypass, known[i].bypass);
	assert_int_equal(rule->guarded, guarded);
	assert_string_equal(rule->why, "");
	assert_true(rule->understood);
	assert_string_equal(rule->text, text);
}

/* iptables-nft and iptables-legacy list their tables in different orders. */
static size_t which(const struct legacy_rule *rule)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(rule->table, known[i].table) == 0 && rule->position == known[i].position)
			return i;
	fail_msg("found: %s", rule->text);
	return 0;
}

static void test_find_both(void **state)
{
	unsigned int seen[2] = { 0 };

	(void)state;
	if (!works[0] || !works[1])
		skip();
	restore(0, ruleset);
	restore(1, ruleset);
	assert_int_equal(find(), 2 * KNOWN);
	for (int i = 0; i < 2 * KNOWN; i++) {
		size_t w = which(&rules[i]);

		check_known(&rules[i], i / KNOWN, w, false);
		seen[i / KNOWN] |= 1u << w;
	}
	assert_int_equal(seen[0], (1u << KNOWN) - 1);
	assert_int_equal(seen[1], (1u << KNOWN) - 1);
}

/* Each rule, while all others are not guarded and then while all are. */
static void guard_all(int kind)
{
	static char before[TEXT], want[TEXT], after[TEXT], hooks[TEXT], hooks_after[TEXT];
	char plain[1024], guarded[1024];
	int n;

	restore(kind, ruleset);
	save(kind, before);
	shell(hooks, "nft -a list chains");
	n = find();
	assert_int_equal(n, KNOWN);
	memcpy(want, before, sizeof(want));
	for (int i = 0; i < n; i++) {
		size_t w = which(&rules[i]);
		char last[TEXT];

		memcpy(last, want, sizeof(last));
		snprintf(plain, sizeof(plain), "] %s%s\n", known[w].head, known[w].target);
		snprintf(guarded, sizeof(guarded), "] %s" U32 "%s\n", known[w].head,
			 known[w].target);
		replaced(want, last, plain, guarded);
		for (int again = 0; again < 2; again++) {
			done(legacy_guard(&rules[i], &err));
			save(kind, after);
			assert_string_equal(after, want);
		}
	}
	assert_int_equal(find(), n);
	for (int i = 0; i < n; i++)
		check_known(&rules[i], kind, which(&rules[i]), true);
	for (int i = 0; i < 2 * n; i++)
		done(legacy_unguard(&rules[i % n], &err));
	save(kind, after);
	assert_string_equal(after, before);
	shell(hooks_after, "nft -a list chains");
	assert_string_equal(hooks_after, hooks);
}

static void remove_and_insert(int kind)
{
	static char before[TEXT], after[TEXT];
	int n;

	restore(kind, ruleset);
	for (int guarded = 0; guarded < 2; guarded++) {
		n = find();
		assert_int_equal(n, KNOWN);
		for (int i = 0; guarded && i < n; i++)
			done(legacy_guard(&rules[i], &err));
		/* Counts of a removed rule are gone: nothing has one. */
		shell(before, "iptables-%s-save | grep -v '^[#:]'", names[kind]);
		for (int i = 0; i < 2 * n; i++)
			done(legacy_remove(&rules[i % n], &err));
		shell(after, "iptables-%s-save | grep -c PREROUTING", names[kind]);
		assert_string_equal(after, "5\n"); /* two chains, three rules */
		for (int i = 0; i < 2 * n; i++)
			done(legacy_insert(&rules[i % n], guarded, &err));
		shell(after, "iptables-%s-save | grep -v '^[#:]'", names[kind]);
		assert_string_equal(after, before);
	}
	/* What is there in the other form is changed. */
	for (int i = 0; i < n; i++)
		done(legacy_insert(&rules[i], false, &err));
	assert_int_equal(find(), n);
	for (int i = 0; i < n; i++)
		check_known(&rules[i], kind, which(&rules[i]), false);
}

/* Somebody else's rules come between looking and changing. */
static void moved(int kind)
{
	static char want[TEXT], after[TEXT];

	restore(kind, "*mangle\n-A PREROUTING -i lo -j ACCEPT\n" HEAD " -j NFQUEUE --queue-num 0\n"
		      "-A PREROUTING -i lo -j DROP\nCOMMIT\n");
	assert_int_equal(find(), 1);
	assert_int_equal(rules[0].position, 2);
	restore(kind,
		"*mangle\n-I PREROUTING 1 -i eth8 -j ACCEPT\n-I PREROUTING 1 -i eth9 -j DROP\n"
		"COMMIT\n");
	done(legacy_guard(&rules[0], &err));
	shell(after, "iptables-%s-save | grep ^-", names[kind]);
	snprintf(want, sizeof(want),
		 "-A PREROUTING -i eth9 -j DROP\n-A PREROUTING -i eth8 -j ACCEPT\n"
		 "-A PREROUTING -i lo -j ACCEPT\n" HEAD U32 " -j NFQUEUE --queue-num 0\n"
		 "-A PREROUTING -i lo -j DROP\n");
	assert_string_equal(after, want);
	restore(kind, "*mangle\n-D PREROUTING 1\n-D PREROUTING 1\n-D PREROUTING 1\nCOMMIT\n");
	done(legacy_unguard(&rules[0], &err));
	shell(after, "iptables-%s-save | grep ^-", names[kind]);
	assert_string_equal(after, HEAD " -j NFQUEUE --queue-num 0\n-A PREROUTING -i lo -j DROP\n");
	restore(kind, "*mangle\n-F PREROUTING\nCOMMIT\n");
	save(kind, want);
	assert_int_equal(legacy_guard(&rules[0], &err), -N2X_INACTIVE);
	assert_non_null(strstr(err.text, "the rule is gone: " HEAD " -j NFQUEUE --queue-num 0"));
	assert_int_equal(legacy_unguard(&rules[0], &err), -N2X_INACTIVE);
	done(legacy_remove(&rules[0], &err));
	save(kind, after);
	assert_string_equal(after, want);
	/* Its place is not there any more: the nearest one is taken. */
	done(legacy_insert(&rules[0], true, &err));
	shell(after, "iptables-%s-save | grep ^-", names[kind]);
	assert_string_equal(after, HEAD U32 " -j NFQUEUE --queue-num 0\n");
}

/* One guarded copy alone would leave its packets to the other. */
static void copies(int kind)
{
	static char before[TEXT], want[TEXT], after[TEXT];

	restore(kind, "*mangle\n[1:10] " HEAD " -j NFQUEUE --queue-num 0\n"
		      "[2:20] -A PREROUTING -i lo -j ACCEPT\n"
		      "[3:30] " HEAD " -j NFQUEUE --queue-num 0\n"
		      "[4:40] -A PREROUTING -i lo -j ACCEPT\nCOMMIT\n");
	save(kind, before);
	assert_int_equal(find(), 2);
	assert_string_equal(rules[0].text, rules[1].text);
	assert_int_equal(rules[0].position, 1);
	assert_int_equal(rules[0].copy, 0);
	assert_int_equal(rules[1].position, 3);
	assert_int_equal(rules[1].copy, 1);
	done(legacy_guard(&rules[1], &err));
	shell(after, "iptables-%s-save -c | grep '] -A'", names[kind]);
	snprintf(want, sizeof(want),
		 "[1:10] " HEAD U32 " -j NFQUEUE --queue-num 0\n"
		 "[2:20] -A PREROUTING -i lo -j ACCEPT\n"
		 "[3:30] " HEAD U32 " -j NFQUEUE --queue-num 0\n"
		 "[4:40] -A PREROUTING -i lo -j ACCEPT\n");
	assert_string_equal(after, want);
	done(legacy_guard(&rules[0], &err));
	done(legacy_unguard(&rules[0], &err));
	save(kind, after);
	assert_string_equal(after, before);
	done(legacy_remove(&rules[1], &err));
	assert_int_equal(find(), 0);
}

static void copies_back(int kind)
{
	struct legacy_rule found[2];
	static char after[TEXT];

	restore(kind, "*mangle\n" HEAD " -j NFQUEUE --queue-num 0\n"
		      "-A PREROUTING -i lo -j ACCEPT\n" HEAD " -j NFQUEUE --queue-num 0\nCOMMIT\n");
	assert_int_equal(find(), 2);
	memcpy(found, rules, sizeof(found));
	done(legacy_remove(&found[0], &err));
	for (int i = 0; i < 4; i++)
		done(legacy_insert(&found[i % 2], false, &err));
	shell(after, "iptables-%s-save | grep ^-", names[kind]);
	assert_string_equal(after, HEAD " -j NFQUEUE --queue-num 0\n"
					"-A PREROUTING -i lo -j ACCEPT\n" HEAD
					" -j NFQUEUE --queue-num 0\n");
}

#define Q " -j NFQUEUE --queue-num 0\n"

static const struct {
	const char *table, *lines, *why;
} strange[] = {
	{ "mangle", "-A FORWARD -i br0 -p udp -m udp --dport 31765" Q,
	  "chain FORWARD of table mangle" },
	{ "filter", "-A INPUT -i br0 -p udp -m udp --dport 31765" Q,
	  "chain INPUT of table filter" },
	{ "mangle", ":mine -\n-A PREROUTING -i br0 -j mine\n-A mine -p udp -m udp --dport 31765" Q,
	  "chain mine of table mangle" },
	{ "mangle", "-A PREROUTING ! -i eth9 -p udp -m udp --dport 31765" Q, "negation of -i" },
	{ "mangle", "-A PREROUTING ! -p tcp" Q, "negation of -p" },
	{ "mangle", "-A PREROUTING -s 192.0.2.0/24 -i br0 -p udp" Q, "address 192.0.2.0/24" },
	{ "raw", "-A PREROUTING -i br0 -p udp -m udp --sport 53 --dport 31765" Q,
	  "option --sport" },
	{ "mangle", "-A PREROUTING -i br0 -p udp -m length --length 1400:65535" Q, "match length" },
	{ "mangle", "-A PREROUTING -i br0 -m u32 --u32 \"0x4&0x4000=0x4000\"" Q, "match u32" },
	{ "mangle", "-A PREROUTING -i br0 -p udp -m multiport --ports 31765" Q, "option --ports" },
	/* Its words must not be taken for options. */
	{ "mangle", "-A PREROUTING -m mac --mac-source 02:00:00:00:00:01 -m comment --comment -p" Q,
	  "match mac" },
};

static void not_understood(int kind)
{
	static char before[TEXT], after[TEXT], input[TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(strange); i++) {
		assert_int_equal(new_namespace(NULL), 0);
		snprintf(input, sizeof(input), "*%s\n%sCOMMIT\n", strange[i].table,
			 strange[i].lines);
		restore(kind, input);
		save(kind, before);
		assert_int_equal(find(), 1);
		assert_false(rules[0].understood);
		assert_string_equal(rules[0].why, strange[i].why);
		assert_int_equal(legacy_guard(&rules[0], &err), -N2X_FOREIGN);
		assert_int_equal(legacy_unguard(&rules[0], &err), -N2X_FOREIGN);
		assert_int_equal(legacy_remove(&rules[0], &err), -N2X_FOREIGN);
		assert_int_equal(legacy_insert(&rules[0], true, &err), -N2X_FOREIGN);
		assert_non_null(strstr(err.text, strange[i].why));
		save(kind, after);
		assert_string_equal(after, before);
	}
}

/* What cannot see the policy's packets, and what has no queue. */
static void elsewhere(int kind)
{
	restore(kind,
		"*mangle\n"
		"-A PREROUTING -i eth9" Q "-A PREROUTING -i br0 -p tcp" Q
		"-A PREROUTING -i br01 -p udp" Q "-A PREROUTING -i brx+ -p udp" Q
		"-A PREROUTING -s 192.0.2.1/32 -i eth9 -p udp" Q
		"-A PREROUTING -i br0 -p udp -m udp --dport 31766" Q
		"-A PREROUTING -i br0 -p udp -m multiport --dports 1,5:9,31766:65535" Q
		"-A OUTPUT -p udp -m udp --dport 31765" Q
		"-A PREROUTING -m comment --comment \"x -j NFQUEUE --queue-num 0\" -j ACCEPT\n"
		"COMMIT\n");
	assert_int_equal(find(), 0);
}

static void too_many(int kind)
{
	static char input[TEXT];
	size_t len = (size_t)snprintf(input, sizeof(input), "*mangle\n");

	for (int i = 0; i < LEGACY_RULES_MAX + 1; i++)
		len += (size_t)snprintf(input + len, sizeof(input) - len,
					"-A PREROUTING -j NFQUEUE --queue-num %d\n", i);
	snprintf(input + len, sizeof(input) - len, "COMMIT\n");
	restore(kind, input);
	assert_int_equal(find(), -N2X_SYSTEM);
	assert_string_equal(err.text, "more than 16 rules with a queue, such as "
				      "-A PREROUTING -j NFQUEUE --queue-num 16");
	restore(kind, "*mangle\n-D PREROUTING 17\nCOMMIT\n");
	assert_int_equal(find(), LEGACY_RULES_MAX);
}

/* ---- packets that wait meanwhile ---- */

static struct mnl_socket *bind_queue(uint16_t queue)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh;
	ssize_t len;

	assert_non_null(nl);
	assert_int_equal(mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID), 0);
	nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, queue);
	nlh->nlmsg_flags |= NLM_F_ACK;
	nfq_nlmsg_cfg_put_cmd(nlh, AF_INET, NFQNL_CFG_CMD_BIND);
	nfq_nlmsg_cfg_put_params(nlh, NFQNL_COPY_META, 0);
	assert_int_equal(mnl_socket_sendto(nl, nlh, nlh->nlmsg_len), nlh->nlmsg_len);
	len = mnl_socket_recvfrom(nl, buf, sizeof(buf));
	assert_true(len > 0);
	assert_int_equal(mnl_cb_run(buf, (size_t)len, 0, mnl_socket_get_portid(nl), NULL, NULL), 0);
	return nl;
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

static const struct sockaddr_in *address(void)
{
	static struct sockaddr_in lo = { .sin_family = AF_INET };

	lo.sin_port = htons(31765);
	lo.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return &lo;
}

/* What it sends has DF or not. */
static int udp_source(bool df)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int discover = df ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &discover, sizeof(discover)),
			 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)address(), sizeof(*address())), 0);
	return fd;
}

static int udp_sink(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)address(), sizeof(*address())), 0);
	return fd;
}

/* Exactly one packet has come through, and none waits. */
static void came_once(int sink, const struct mnl_socket *nl)
{
	char byte;

	assert_true(readable(sink, DEADLINE_MS));
	assert_int_equal(recv(sink, &byte, sizeof(byte), 0), 1);
	assert_false(readable(sink, 0));
	assert_false(readable(mnl_socket_get_fd(nl), 0));
}

static uint32_t queued(int sink, const struct mnl_socket *nl)
{
	struct nlattr *attr[NFQA_MAX + 1] = { 0 };
	const struct nfqnl_msg_packet_hdr *hdr;
	char buf[MNL_SOCKET_BUFFER_SIZE];

	assert_true(readable(mnl_socket_get_fd(nl), DEADLINE_MS));
	assert_true(mnl_socket_recvfrom(nl, buf, sizeof(buf)) > 0);
	assert_int_equal(nfq_nlmsg_parse((struct nlmsghdr *)buf, attr), MNL_CB_OK);
	hdr = mnl_attr_get_payload(attr[NFQA_PACKET_HDR]);
	assert_false(readable(sink, 0));
	return ntohl(hdr->packet_id);
}

static void let_go(const struct mnl_socket *nl, uint32_t id)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_VERDICT, 0);

	nfq_nlmsg_verdict_put(nlh, (int)id, NF_ACCEPT);
	assert_int_equal(mnl_socket_sendto(nl, nlh, nlh->nlmsg_len), nlh->nlmsg_len);
}

/* legacy L2: what waits in the queue is neither dropped nor seen a second time. */
static void waiting(int kind)
{
	static int (*const steps[])(const struct legacy_rule *, struct err *) = {
		legacy_guard,
		legacy_unguard,
		legacy_remove,
	};
	struct policy lo = policy;
	struct mnl_socket *nl;
	int sink, with, without;
	char out[TEXT];
	uint32_t id;

	shell(out, "ip link set lo up");
	sink = udp_sink();
	with = udp_source(true);
	without = udp_source(false);
	restore(kind, "*mangle\n-A PREROUTING -i lo -p udp -m udp --dport 31765" Q "COMMIT\n");
	snprintf(lo.interface, sizeof(lo.interface), "lo");
	assert_int_equal(legacy_find(&lo, rules, &err), 1);
	nl = bind_queue(0);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		assert_int_equal(send(with, "", 1, 0), 1);
		id = queued(sink, nl);
		done(steps[i](&rules[0], &err));
		let_go(nl, id);
		came_once(sink, nl);
	}
	assert_int_equal(send(with, "", 1, 0), 1); /* removed */
	came_once(sink, nl);
	done(legacy_insert(&rules[0], true, &err));
	assert_int_equal(send(without, "", 1, 0), 1);
	came_once(sink, nl);
	assert_int_equal(send(with, "", 1, 0), 1);
	id = queued(sink, nl);
	let_go(nl, id);
	came_once(sink, nl);
	mnl_socket_close(nl);
	close(sink);
	close(with);
	close(without);
}

#define FOR_BOTH(name, run)                     \
	static void name##_nft(void **state)    \
	{                                       \
		(void)state;                    \
		if (!works[0])                  \
			skip();                 \
		run(0);                         \
	}                                       \
	static void name##_legacy(void **state) \
	{                                       \
		(void)state;                    \
		if (!works[1])                  \
			skip();                 \
		run(1);                         \
	}

FOR_BOTH(test_guard, guard_all)
FOR_BOTH(test_remove, remove_and_insert)
FOR_BOTH(test_moved, moved)
FOR_BOTH(test_copies, copies)
FOR_BOTH(test_copies_back, copies_back)
FOR_BOTH(test_not_understood, not_understood)
FOR_BOTH(test_elsewhere, elsewhere)
FOR_BOTH(test_too_many, too_many)
FOR_BOTH(test_waiting, waiting)

/* legacy L1 */
static void test_reading_creates_nothing(void **state)
{
	static char before[TEXT], after[TEXT];
	static const char state_of[] =
		"nft -a list ruleset; cat /proc/net/ip_tables_names 2>/dev/null; ls -A /run; true";

	(void)state;
	shell(before, "%s", state_of);
	assert_null(strstr(before, "table"));
	assert_int_equal(find(), 0);
	shell(after, "%s", state_of);
	assert_string_equal(after, before);
	if (!works[1])
		skip();
	restore(1, "*raw\n" HEAD Q "COMMIT\n");
	shell(before, "%s", state_of);
	assert_non_null(strstr(before, "raw\n"));
	assert_int_equal(find(), 1);
	shell(after, "%s", state_of);
	assert_string_equal(after, before);
}

/* ---- nft ---- */

#define TABLE(family, elems)                                                                    \
	"{\"nftables\":[{\"metainfo\":{\"version\":\"1\"}},"                                    \
	"{\"set\":{\"family\":\"" family "\",\"name\":\"p\",\"table\":\"op\",\"elem\":" elems   \
	"}},"                                                                                   \
	"{\"chain\":{\"family\":\"" family "\",\"table\":\"op\",\"name\":\"pre\",\"handle\":1," \
	"\"type\":\"filter\",\"hook\":\"prerouting\",\"prio\":-140}},"
#define RULE(family, handle, rest)        \
	"{\"rule\":{\"family\":\"" family \
	"\",\"table\":\"op\",\"chain\":\"pre\",\"handle\":" handle rest "}}"
#define COUNTS   "{\"counter\":{\"packets\":7,\"bytes\":700}}"
#define QUEUE(q) "{\"queue\":" q "}"
#define EXPR(e)  ",\"expr\":[" e "]"
#define KEPT(e)  "{\"expr\":[" e "]}"

static int find_nft(const char *listing)
{
	return legacy_find_in(LEGACY_NFT, listing, &policy, rules, 0, &err);
}

#define PLAIN(right) DPORT(right) "," QUEUE("null")
#define L4PROTO(right) \
	"{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"l4proto\"}},\"right\":" right "}}"

static void test_nft_find(void **state)
{
	static const struct {
		const char *expr, *kept;
		unsigned int queue, queues;
		bool bypass, guarded;
	} rows[] = {
		{ IIF "," DPORT("31765") "," COUNTS "," QUEUE("{\"num\":3}"),
		  IIF "," DPORT("31765") "," COUNTER "," QUEUE("{\"num\":3}"), 3, 1, false, false },
		{ GUARD "," IIF "," DPORT("31765") "," QUEUE("{\"num\":3,\"flags\":\"bypass\"}"),
		  IIF "," DPORT("31765") "," QUEUE("{\"num\":3,\"flags\":\"bypass\"}"), 3, 1, true,
		  true },
		{ DPORT("{\"set\":[1,{\"range\":[5,9]},31765]}") "," QUEUE(
			  "{\"num\":{\"range\":[2,5]},\"flags\":[\"bypass\",\"fanout\"]}"),
		  DPORT("{\"set\":[1,{\"range\":[5,9]},31765]}") "," QUEUE(
			  "{\"num\":{\"range\":[2,5]},\"flags\":[\"bypass\",\"fanout\"]}"),
		  2, 4, true, false },
		{ DPORT("\"@p\"") "," QUEUE("null"), DPORT("\"@p\"") "," QUEUE("null"), 0, 1, false,
		  false },
		{ DPORT("{\"range\":[31000,32000]}") "," QUEUE("null"),
		  DPORT("{\"range\":[31000,32000]}") "," QUEUE("null"), 0, 1, false, false },
		/* Where there is no /etc/protocols. */
		{ L4PROTO("17") "," PLAIN("31765"), L4PROTO("17") "," PLAIN("31765"), 0, 1, false,
		  false },
	};
	char listing[TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(listing, sizeof(listing),
			 TABLE("inet", "[7,31765]") RULE("inet", "4", EXPR(COUNTS)) "," RULE(
				 "inet", "9", EXPR("%s")) "]}",
			 rows[i].expr);
		assert_int_equal(find_nft(listing), 1);
		assert_string_equal(rules[0].why, "");
		assert_true(rules[0].understood);
		assert_int_equal(rules[0].kind, LEGACY_NFT);
		assert_string_equal(rules[0].family, "inet");
		assert_string_equal(rules[0].table, "op");
		assert_string_equal(rules[0].chain, "pre");
		assert_int_equal(rules[0].priority, -140);
		assert_int_equal(rules[0].position, 2);
		assert_int_equal(rules[0].queue, rows[i].queue);
		assert_int_equal(rules[0].queues, rows[i].queues);
		assert_int_equal(rules[0].bypass, rows[i].bypass);
		assert_int_equal(rules[0].guarded, rows[i].guarded);
		snprintf(listing, sizeof(listing), KEPT("%s"), rows[i].kept);
		assert_string_equal(rules[0].text, listing);
	}
	assert_int_equal(find_nft("{"), -N2X_SYSTEM);
}

#define ONE(family, elems, expr) TABLE(family, elems) RULE(family, "4", EXPR(expr)) "]}"

static void test_nft_not_ours_to_change(void **state)
{
	static const struct {
		const char *listing, *why; /* NULL: not to be found at all */
	} rows[] = {
		{ ONE("ip", "[7]", PLAIN("\"@p\"")), NULL },
		{ ONE("ip", "[7]", PLAIN("31766")), NULL },
		{ ONE("ip", "[7]", L4PROTO("6") "," QUEUE("null")), NULL },
		{ ONE("ip6", "[7]", PLAIN("31765")), NULL },
		{ ONE("ip", "[7]", COUNTS), NULL },
		{ ONE("ip", "[\"dns\"]", PLAIN("\"@p\"")), "ports that are not numbers" },
		{ ONE("bridge", "[7]", PLAIN("31765")), "table of family bridge" },
		{ ONE("ip", "[7]", "{\"limit\":{\"rate\":1}}," PLAIN("31765")), "limit" },
		{ ONE("ip", "[7]",
		      "{\"match\":{\"op\":\"!=\",\"left\":{\"meta\":{\"key\":\"iifname\"}},"
		      "\"right\":\"br0\"}}," PLAIN("31765")),
		  "match with !=" },
		{ ONE("ip", "[7]",
		      "{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"ip\","
		      "\"field\":\"saddr\"}},\"right\":\"192.0.2.1\"}}," PLAIN("31765")),
		  "match of ip saddr" },
		{ ONE("ip", "[7]", DPORT("31765") "," GUARD "," QUEUE("null")), "match of  " },
		{ ONE("ip", "[7]", QUEUE("{\"num\":{\"jhash\":{}}}")),
		  "queue that is not a number" },
		{ ONE("ip", "[7]",
		      DPORT("31765") ",{\"xt\":{\"type\":\"target\",\"name\":\"NFQUEUE\"}}"),
		  "made by iptables, and not listed by iptables-nft-save" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(find_nft(rows[i].listing), rows[i].why != NULL);
		if (!rows[i].why)
			continue;
		assert_false(rules[0].understood);
		assert_string_equal(rules[0].why, rows[i].why);
	}
}

static void check_batch(enum legacy_edit edit, const char *listing, const char *want)
{
	_cleanup_free_ char *batch = NULL;

	done(legacy_batch(&rules[0], edit, listing, &batch, &err));
	if (want)
		assert_string_equal(batch, want);
	else
		assert_null(batch);
}

#define AT                  "\"rule\":{\"family\":\"ip\",\"table\":\"op\",\"chain\":\"pre\""
#define COMMAND(verb, rest) "{\"" verb "\":{" AT rest "}}}"
#define BATCH(commands)     "{\"nftables\":[" commands "]}"
#define REPLACE(handle, rest)                                                     \
	BATCH(COMMAND("insert", ",\"handle\":" handle rest) "," COMMAND("delete", \
									",\"handle\":" handle))

static void test_nft_batch(void **state)
{
	static const char tail[] = IIF "," COUNTS "," QUEUE("null");
	static const char kept[] = IIF "," COUNTER "," QUEUE("null");
	static const char comment[] = ",\"comment\":\"a b\"";
	char plain[TEXT], guarded[TEXT], gone[TEXT], want[TEXT];

	(void)state;
	snprintf(plain, sizeof(plain),
		 TABLE("ip", "[]")
			 RULE("ip", "4", "%s" EXPR("%s")) "," RULE("ip", "6", EXPR("")) "]}",
		 comment, tail);
	snprintf(guarded, sizeof(guarded),
		 TABLE("ip", "[]")
			 RULE("ip", "8", "%s" EXPR(GUARD ",%s")) "," RULE("ip", "6", EXPR("")) "]}",
		 comment, tail);
	snprintf(gone, sizeof(gone), TABLE("ip", "[]") RULE("ip", "6", EXPR("")) "]}");
	assert_int_equal(find_nft(plain), 1);
	snprintf(want, sizeof(want), "{\"comment\":\"a b\",\"expr\":[%s]}", kept);
	assert_string_equal(rules[0].text, want);

	snprintf(want, sizeof(want), REPLACE("4", EXPR(GUARD ",%s") "%s"), tail, comment);
	check_batch(LEGACY_GUARD, plain, want);
	check_batch(LEGACY_INSERT_GUARDED, plain, want);
	snprintf(want, sizeof(want), REPLACE("8", EXPR("%s") "%s"), tail, comment);
	check_batch(LEGACY_UNGUARD, guarded, want);
	check_batch(LEGACY_INSERT, guarded, want);
	check_batch(LEGACY_REMOVE, plain, BATCH(COMMAND("delete", ",\"handle\":4")));
	check_batch(LEGACY_REMOVE, guarded, BATCH(COMMAND("delete", ",\"handle\":8")));
	snprintf(want, sizeof(want),
		 BATCH(COMMAND("insert", ",\"handle\":6" EXPR(GUARD ",%s") "%s")), kept, comment);
	check_batch(LEGACY_INSERT_GUARDED, gone, want);
	snprintf(want, sizeof(want), BATCH(COMMAND("add", EXPR("%s") "%s")), kept, comment);
	check_batch(LEGACY_INSERT, TABLE("ip", "[]") "{}]}", want);
	check_batch(LEGACY_GUARD, guarded, NULL);
	check_batch(LEGACY_INSERT_GUARDED, guarded, NULL);
	check_batch(LEGACY_UNGUARD, plain, NULL);
	check_batch(LEGACY_INSERT, plain, NULL);
	check_batch(LEGACY_REMOVE, gone, NULL);
}

static const struct {
	const char *family, *rule;
	const char *expr; /* as nft prints it, without counts and what follows the counter */
} forms[] = {
	{ "ip", "iifname \"br0\" udp dport 31765", IIF "," DPORT("31765") },
	{ "inet", "iifname \"br0\" udp dport 31765", IIF "," DPORT("31765") },
	{ "ip", "udp dport { 53, 31765 }", DPORT("{\"set\":[53,31765]}") },
	{ "inet", "udp dport { 1, 5-9, 31765 }", DPORT("{\"set\":[1,{\"range\":[5,9]},31765]}") },
	{ "inet", "udp dport 31000-32000", DPORT("{\"range\":[31000,32000]}") },
	{ "ip", "udp dport @p", DPORT("\"@p\"") },
	{ "inet", "ip protocol udp udp dport @p",
	  "{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"ip\",\"field\":"
	  "\"protocol\"}},\"right\":\"udp\"}}," DPORT("\"@p\"") },
	{ "ip", "iifname \"br*\" ip protocol udp",
	  "{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"iifname\"}},\"right\":\"br*\"}},"
	  "{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"ip\",\"field\":"
	  "\"protocol\"}},\"right\":\"udp\"}}" },
	{ "inet", "meta l4proto udp",
	  "{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"l4proto\"}},\"right\":\"udp\"}}" },
};

/* A table with that form of rule between two others. */
static void nft_table(size_t i, const char *end)
{
	char input[TEXT];

	snprintf(input, sizeof(input),
		 "table %s op {\nset p { type inet_service; elements = { 7, 31765 }; }\n"
		 "chain pre {\ntype filter hook prerouting priority -140;\n"
		 "iifname \"lo\" counter packets 1 bytes 10 accept\n"
		 "%s counter packets 7 bytes 700 %s comment \"a b\"\n"
		 "iifname \"eth9\" drop\n}\n}\n",
		 forms[i].family, forms[i].rule, end);
	assert_int_equal(feed("nft -f -", input), 0);
}

/* Guard, unguard, remove and insert rules[0], which is the rule of nft_table(). */
static void nft_all_ways(size_t i, const char *end)
{
	static char before[TEXT], want[TEXT], after[TEXT], zero[TEXT];
	char plain[256], guarded[256];
	const struct legacy_rule *rule = &rules[0];

	shell(before, "nft list ruleset");
	snprintf(plain, sizeof(plain), "packets 7 bytes 700 %s comment", end);
	assert_non_null(strstr(before, plain));
	replaced(zero, before, "packets 7 bytes 700", "packets 0 bytes 0");
	for (int again = 0; again < 2; again++) {
		done(legacy_guard(rule, &err));
		shell(after, "nft list ruleset");
		snprintf(guarded, sizeof(guarded), "\t\tip frag-off & 24575 == 16384 %s counter",
			 forms[i].rule);
		snprintf(plain, sizeof(plain), "\t\t%s counter", forms[i].rule);
		replaced(want, before, plain, guarded);
		assert_string_equal(after, want);
	}
	for (int again = 0; again < 2; again++) {
		done(legacy_unguard(rule, &err));
		shell(after, "nft list ruleset");
		assert_string_equal(after, before);
	}
	for (int again = 0; again < 2; again++) {
		done(legacy_remove(rule, &err));
		shell(after, "nft list ruleset | grep -c counter");
		assert_string_equal(after, "1\n");
	}
	assert_int_equal(legacy_guard(rule, &err), -N2X_INACTIVE);
	for (int again = 0; again < 2; again++) {
		done(legacy_insert(rule, again, &err));
		done(legacy_insert(rule, false, &err));
		shell(after, "nft list ruleset");
		assert_string_equal(after, zero);
	}
}

/* Every kernel can show that a rule of each form is changed and changed back: only the queue is not there. */
static void test_nft_live_accept(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		assert_int_equal(new_namespace(NULL), 0);
		nft_table(i, "accept");
		rules[0] = (struct legacy_rule){ .kind = LEGACY_NFT,
						 .table = "op",
						 .chain = "pre",
						 .position = 2,
						 .understood = true };
		snprintf(rules[0].family, sizeof(rules[0].family), "%s", forms[i].family);
		snprintf(rules[0].text, sizeof(rules[0].text),
			 "{\"comment\":\"a b\",\"expr\":[%s," COUNTER ",{\"accept\":null}]}",
			 forms[i].expr);
		nft_all_ways(i, "accept");
	}
}

static void test_nft_live_queue(void **state)
{
	(void)state;
	if (feed("nft -f - 2>/dev/null", "table ip t {\nchain c {\nqueue to 0\n}\n}\n") != 0) {
		print_message("the kernel has no nft_queue\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		assert_int_equal(new_namespace(NULL), 0);
		nft_table(i, "queue flags bypass to 3");
		assert_int_equal(find(), 1);
		assert_true(rules[0].understood);
		assert_int_equal(rules[0].kind, LEGACY_NFT);
		assert_string_equal(rules[0].family, forms[i].family);
		assert_int_equal(rules[0].priority, -140);
		assert_int_equal(rules[0].position, 2);
		assert_int_equal(rules[0].queue, 3);
		assert_int_equal(rules[0].queues, 1);
		assert_true(rules[0].bypass);
		assert_false(rules[0].guarded);
		nft_all_ways(i, "queue flags bypass to 3");
		done(legacy_guard(&rules[0], &err));
		assert_int_equal(find(), 1);
		assert_true(rules[0].guarded);
	}
}

/* ---- who listens ---- */

static void test_listener(void **state)
{
	struct mnl_socket *sockets[2];
	struct legacy_listener who;
	char comm[TEXT];

	(void)state;
	shell(comm, "cat /proc/%d/comm", getpid());
	comm[strcspn(comm, "\n")] = '\0';
	/* Only one of them can have the pid for its port id. */
	for (uint16_t i = 0; i < 2; i++)
		sockets[i] = bind_queue((uint16_t)(40 + i));
	assert_int_not_equal(mnl_socket_get_portid(sockets[1]), getpid());
	for (uint16_t i = 0; i < 2; i++) {
		memset(&who, 0xa5, sizeof(who));
		done(legacy_listener((uint16_t)(40 + i), &who, &err));
		assert_true(who.bound);
		assert_int_equal(who.portid, mnl_socket_get_portid(sockets[i]));
		assert_int_equal(who.pid, getpid());
		assert_string_equal(who.comm, comm);
		mnl_socket_close(sockets[i]);
	}
	for (uint16_t i = 0; i < 3; i++) {
		memset(&who, 0xa5, sizeof(who));
		done(legacy_listener((uint16_t)(40 + i), &who, &err));
		assert_false(who.bound);
		assert_int_equal(who.portid, 0);
		assert_int_equal(who.pid, 0);
		assert_string_equal(who.comm, "");
	}
}

/* Returns 0, SKIP having said why, or 1. */
static int setup(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0) {
		printf("no namespaces: %s\n", strerror(errno));
		return errno == EPERM ? SKIP : 1;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0) {
		printf("no /run of our own: %s\n", strerror(errno));
		return 1;
	}
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	for (int kind = 0; kind < 2; kind++) {
		char command[128];

		snprintf(command, sizeof(command), "iptables-%s-restore", names[kind]);
		works[kind] = feed(command, "*mangle\n" HEAD U32 Q "COMMIT\n") == 0;
		printf("iptables-%s: %s\n", names[kind], works[kind] ? "works" : "not here");
	}
	/* The probe of iptables-legacy leaves its lock. */
	unlink("/run/xtables.lock");
	policy_defaults(&policy);
	snprintf(policy.interface, sizeof(policy.interface), "br0");
	policy.df.dport_be[0] = htons(31765);
	policy.df.n_dport = 1;
	return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, new_namespace)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reading_creates_nothing),
		TEST(test_find_both),
		TEST(test_guard_nft),
		TEST(test_guard_legacy),
		TEST(test_remove_nft),
		TEST(test_remove_legacy),
		TEST(test_moved_nft),
		TEST(test_moved_legacy),
		TEST(test_copies_nft),
		TEST(test_copies_legacy),
		TEST(test_copies_back_nft),
		TEST(test_copies_back_legacy),
		TEST(test_not_understood_nft),
		TEST(test_not_understood_legacy),
		TEST(test_elsewhere_nft),
		TEST(test_elsewhere_legacy),
		TEST(test_too_many_nft),
		TEST(test_too_many_legacy),
		TEST(test_waiting_nft),
		TEST(test_waiting_legacy),
		TEST(test_nft_find),
		TEST(test_nft_not_ours_to_change),
		TEST(test_nft_batch),
		TEST(test_nft_live_accept),
		TEST(test_nft_live_queue),
		TEST(test_listener),
	};
	int ret = setup();

	if (ret)
		return ret;
	return cmocka_run_group_tests_name("legacy rules", tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only
#include "rules/nft.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "core/util.h"
#include "rules/nft_rule.h"

#define SAMPLE_GROUP      20000 /* NFLOG groups, of which other programs use the small numbers */
#define SAMPLE_GROUPS     40000
#define TABLE_PROBE       "nfq2xdp.probe" /* no name of an interface makes these */
#define TABLE_TAP         "nfq2xdp.tap"
#define CHAIN_TAP         "tap"
#define READ_TRIES        100
#define TYPE_INET_SERVICE 13 /* nft's datatype number, so that `nft list` prints ports */

struct nft {
	struct mnl_socket *nl;
	uint32_t seq;
};

/* A batch under construction. `what` remembers which object each message is about, for the error
 * line. */
struct batch {
	struct mnl_nlmsg_batch *msgs;
	uint16_t family;
	uint32_t seq;
	uint32_t first_seq;
	const char *what[16];
	char buf[2 * MNL_NLMSG_HDRLEN + 16384] __attribute__((aligned(NLMSG_ALIGNTO)));
};

static void table_freep(struct nftnl_table **t)
{
	if (*t)
		nftnl_table_free(*t);
}

static void chain_freep(struct nftnl_chain **c)
{
	if (*c)
		nftnl_chain_free(*c);
}

static void rule_freep(struct nftnl_rule **r)
{
	if (*r)
		nftnl_rule_free(*r);
}

static void set_freep(struct nftnl_set **s)
{
	if (*s)
		nftnl_set_free(*s);
}

static void batch_freep(struct batch **b)
{
	if (*b && (*b)->msgs)
		mnl_nlmsg_batch_stop((*b)->msgs);
	free(*b);
}

void nft_table_name(const char *interface, char out[NFT_TABLE_MAX])
{
	snprintf(out, NFT_TABLE_MAX, "nfq2xdp_%s", interface);
	for (char *c = out; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '_' && *c != '.')
			*c = '_';
}

static struct batch *batch_new(struct nft *nft)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	/* The limit is half the buffer: a message is built first and counted after. */
	b->msgs = mnl_nlmsg_batch_start(b->buf, sizeof(b->buf) / 2);
	b->family = NFPROTO_IPV4;
	b->seq = b->first_seq = nft->seq;
	if (!b->msgs) {
		free(b);
		return NULL;
	}
	b->what[0] = "batch";
	nftnl_batch_begin(mnl_nlmsg_batch_current(b->msgs), b->seq++);
	mnl_nlmsg_batch_next(b->msgs);
	return b;
}

static struct nlmsghdr *batch_add(struct batch *b, uint16_t type, uint16_t flags, const char *what)
{
	b->what[(b->seq - b->first_seq) % ARRAY_SIZE(b->what)] = what;
	return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(b->msgs), type, b->family,
				     flags | NLM_F_ACK, b->seq++);
}

/* Sends the batch and reads every acknowledgement. Returns 0 or the first -errno, with *what it was
 * about. A batch without its end is looked at by the kernel, and not done (commit false). */
static int batch_send(struct nft *nft, struct batch *b, bool commit, const char **what)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	uint32_t last = b->seq - 1;
	uint32_t seen = 0;
	int first = 0;

	if (commit) {
		nftnl_batch_end(mnl_nlmsg_batch_current(b->msgs), b->seq++);
		mnl_nlmsg_batch_next(b->msgs);
	}
	nft->seq = b->seq;
	*what = "batch";
	if (mnl_socket_sendto(nft->nl, mnl_nlmsg_batch_head(b->msgs),
			      mnl_nlmsg_batch_size(b->msgs)) < 0)
		return -errno;
	while (seen != last) {
		ssize_t got = mnl_socket_recvfrom(nft->nl, buf, sizeof(buf));
		const struct nlmsghdr *nlh = (void *)buf;
		int len = (int)got;

		if (got < 0)
			return -errno;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
			const struct nlmsgerr *ack = mnl_nlmsg_get_payload(nlh);

			if (nlh->nlmsg_type != NLMSG_ERROR)
				continue;
			seen = nlh->nlmsg_seq;
			if (ack->error && !first) {
				first = ack->error;
				*what = b->what[(seen - b->first_seq) % ARRAY_SIZE(b->what)];
			}
			/* Of a batch that cannot even begin the kernel says only that. */
			if (ack->error && seen == b->first_seq)
				return first;
		}
	}
	return first;
}

static int add_table(struct batch *b, const char *name, uint16_t type, uint16_t flags,
		     uint32_t table_flags)
{
	_cleanup_(table_freep) struct nftnl_table *t = nftnl_table_alloc();

	if (!t)
		return -ENOMEM;
	nftnl_table_set_u32(t, NFTNL_TABLE_FAMILY, b->family);
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, name);
	if (table_flags)
		nftnl_table_set_u32(t, NFTNL_TABLE_FLAGS, table_flags);
	nftnl_table_nlmsg_build_payload(batch_add(b, type, flags, "table"), t);
	mnl_nlmsg_batch_next(b->msgs);
	return 0;
}

static int add_set(struct batch *b, const char *table, const struct df_policy *df)
{
	_cleanup_(set_freep) struct nftnl_set *s = nftnl_set_alloc();

	if (!s)
		return -ENOMEM;
	nftnl_set_set_str(s, NFTNL_SET_TABLE, table);
	nftnl_set_set_str(s, NFTNL_SET_NAME, SET_PORTS);
	nftnl_set_set_u32(s, NFTNL_SET_ID, 1);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, NFT_SET_CONSTANT);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, TYPE_INET_SERVICE);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, sizeof(df->dport_be[0]));
	for (unsigned int i = 0; i < df->n_dport; i++) {
		struct nftnl_set_elem *e = nftnl_set_elem_alloc();

		if (!e)
			return -ENOMEM;
		nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, &df->dport_be[i],
				   sizeof(df->dport_be[i]));
		nftnl_set_elem_add(s, e);
	}
	nftnl_set_nlmsg_build_payload(batch_add(b, NFT_MSG_NEWSET, NLM_F_CREATE, "set"), s);
	mnl_nlmsg_batch_next(b->msgs);
	nftnl_set_elems_nlmsg_build_payload(batch_add(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, "set"),
					    s);
	mnl_nlmsg_batch_next(b->msgs);
	return 0;
}

/* hook false: a chain that nothing runs through, for a probe. */
static int add_chain(struct batch *b, const char *table, const char *name, int32_t priority,
		     bool hook)
{
	_cleanup_(chain_freep) struct nftnl_chain *c = nftnl_chain_alloc();

	if (!c)
		return -ENOMEM;
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, table);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
	if (hook) {
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, NF_INET_PRE_ROUTING);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, priority);
		nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	}
	nftnl_chain_nlmsg_build_payload(batch_add(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, "chain"), c);
	mnl_nlmsg_batch_next(b->msgs);
	return 0;
}

uint16_t nft_sample_group(const struct policy *policy)
{
	return (uint16_t)(SAMPLE_GROUP + policy->nfqueue.queue % SAMPLE_GROUPS);
}

enum rule {
	RULE_INTERFACE,
	RULE_FRAGMENT,
	RULE_BEHIND,
	RULE_SAMPLE,
	RULE_SAMPLE_BRIEF,
	RULE_COUNT,
	RULE_QUEUE,
	RULE_QUEUE_COMPAT,
	RULE_REWRITE /* in no table of ours: nft_may_rewrite() */
};

/* In the order of enum rule; what an error is about. */
static const char *const rule_what[] = {
	"leak rule",  "leak rule",  "leak rule",  "sample rule",    "sample rule",
	"queue rule", "queue rule", "queue rule", "rewriting rule",
};

static int build_rule(struct nftnl_rule *r, const struct policy *policy, enum rule which)
{
	int ret;

	switch (which) {
	case RULE_INTERFACE:
		return nft_rule_leave(r, policy, NFT_LEAVE_INTERFACE);
	case RULE_FRAGMENT:
		return nft_rule_leave(r, policy, NFT_LEAVE_FRAGMENT);
	case RULE_BEHIND:
		return nft_rule_behind(r, policy);
	case RULE_SAMPLE:
	case RULE_SAMPLE_BRIEF:
		return nft_rule_sample(r, policy, which == RULE_SAMPLE_BRIEF);
	case RULE_REWRITE:
		return nft_rule_rewrite(r);
	default:
		ret = nft_rule_handled(r, policy);
		if (ret == 0 && which != RULE_COUNT)
			ret = nft_rule_queue(r, policy, which == RULE_QUEUE_COMPAT);
		return ret;
	}
}

static int add_rule(struct batch *b, const char *table, const struct policy *policy,
		    enum rule which)
{
	_cleanup_(rule_freep) struct nftnl_rule *r = nftnl_rule_alloc();
	int ret;

	if (!r)
		return -ENOMEM;
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, table);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, which < RULE_COUNT ? CHAIN_LEAK : CHAIN_QUEUE);
	ret = build_rule(r, policy, which);
	if (ret < 0)
		return ret;
	nftnl_rule_nlmsg_build_payload(
		batch_add(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, rule_what[which]), r);
	mnl_nlmsg_batch_next(b->msgs);
	return 0;
}

/* All rules of a chain, or of the table when chain is NULL. */
static int add_delete_rules(struct batch *b, const char *table, const char *chain)
{
	_cleanup_(rule_freep) struct nftnl_rule *r = nftnl_rule_alloc();

	if (!r)
		return -ENOMEM;
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, table);
	if (chain)
		nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain);
	nftnl_rule_nlmsg_build_payload(batch_add(b, NFT_MSG_DELRULE, 0, "old rules"), r);
	mnl_nlmsg_batch_next(b->msgs);
	return 0;
}

static int add_delete_set(struct batch *b, const char *table)
{
	_cleanup_(set_freep) struct nftnl_set *s = nftnl_set_alloc();

	if (!s)
		return -ENOMEM;
	nftnl_set_set_str(s, NFTNL_SET_TABLE, table);
	nftnl_set_set_str(s, NFTNL_SET_NAME, SET_PORTS);
	nftnl_set_nlmsg_build_payload(batch_add(b, NFT_MSG_DELSET, 0, "old set"), s);
	mnl_nlmsg_batch_next(b->msgs);
	return 0;
}

static int queue_priority(const struct nft_installed *as)
{
	return as->around ? *as->around - 1 : PRIORITY_QUEUE;
}

/* Our table goes in, or, with replace, new contents into a table that is there without an owner. */
static int add_all(struct batch *b, const char *table, const struct policy *policy,
		   const struct nft_installed *as, bool replace, bool hook)
{
	int ret = add_table(b, table, NFT_MSG_NEWTABLE, NLM_F_CREATE | (replace ? 0 : NLM_F_EXCL),
			    as->owner ? NFT_TABLE_F_OWNER : 0);

	if (ret == 0 && replace)
		ret = add_delete_rules(b, table, NULL);
	if (ret == 0 && replace)
		ret = add_delete_set(b, table);
	if (ret == 0)
		ret = add_set(b, table, &policy->df);
	if (ret == 0)
		ret = add_chain(b, table, CHAIN_LEAK, as->around ? *as->around + 1 : PRIORITY_LEAK,
				hook);
	for (enum rule which = 0; which < RULE_COUNT && ret == 0; which++)
		if (which < RULE_SAMPLE || as->sample)
			ret = add_rule(b, table, policy, which);
	if (ret == 0)
		ret = add_chain(b, table, CHAIN_QUEUE, queue_priority(as), hook);
	if (ret == 0)
		ret = add_rule(b, table, policy,
			       as->around   ? RULE_COUNT
			       : as->compat ? RULE_QUEUE_COMPAT
					    : RULE_QUEUE);
	return ret;
}

/*
 * Does this kernel take the table in this form? Everything is added and deleted in one batch, in
 * chains without a hook: a batch that fails takes its hooks back, and with any hook that goes the
 * kernel drops what waits in every queue of the namespace (nf_queue_nf_hook_drop).
 */
static int probe(struct nft *nft, const struct policy *policy, const struct nft_installed *as,
		 bool commit, const char **what)
{
	_cleanup_(batch_freep) struct batch *b = batch_new(nft);
	int ret = b ? add_all(b, TABLE_PROBE, policy, as, false, false) : -ENOMEM;

	*what = "memory";
	if (ret == 0)
		ret = add_table(b, TABLE_PROBE, NFT_MSG_DELTABLE, 0, 0);
	return ret < 0 ? ret : batch_send(nft, b, commit, what);
}

int nft_open(struct nft **out, struct err *err)
{
	struct nft *nft = calloc(1, sizeof(*nft));

	if (!nft)
		return err_set(err, N2X_SYSTEM, "nftables: out of memory");
	nft->seq = (uint32_t)time(NULL);
	nft->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!nft->nl || mnl_socket_bind(nft->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		int ret = err_set(err, N2X_SYSTEM, "nftables: cannot open netlink: %s",
				  strerror(errno));

		nft_close(nft);
		return ret;
	}
	*out = nft;
	return 0;
}

void nft_close(struct nft *nft)
{
	if (!nft)
		return;
	if (nft->nl)
		mnl_socket_close(nft->nl);
	free(nft);
}

static void nft_closep(struct nft **nft)
{
	nft_close(*nft);
}

/* Finds the best form that this kernel takes: what it refuses is taken out, and asked again. */
static int find_form(struct nft *nft, const struct policy *policy, struct nft_installed *as,
		     bool commit, const char **what)
{
	for (;;) {
		int ret = probe(nft, policy, as, commit, what);

		if (as->owner && !strcmp(*what, "table") && (ret == -EOPNOTSUPP || ret == -EINVAL))
			as->owner = false; /* before 5.12 */
		else if (!as->compat && !strcmp(*what, "queue rule") && ret == -ENOENT)
			as->compat = true; /* no nft_queue */
		else if (as->sample && !strcmp(*what, "sample rule"))
			as->sample = false; /* no nft_log, no nft_hash */
		else
			return ret;
	}
}

/* Why the kernel does not take our table, as err. */
static int refused(int ret, const struct nft_installed *as, const char *table, const char *what,
		   struct err *err)
{
	if (ret == -EPERM)
		return err_set(err, N2X_SYSTEM,
			       "nftables: not permitted: run as root or with CAP_NET_ADMIN");
	if (ret == -ENOENT && as->compat)
		return err_set(err, N2X_SYSTEM,
			       "nftables: this kernel has neither nft_queue nor nft_compat with "
			       "xt_NFQUEUE: load one (modprobe nft_queue)");
	return err_set(err, N2X_SYSTEM, "nftables: table ip %s: %s: %s", table, what,
		       strerror(-ret));
}

int nft_install(struct nft *nft, const struct policy *policy, const int *around,
		struct nft_installed *out, struct err *err)
{
	_cleanup_(batch_freep) struct batch *b = NULL;
	struct nft_installed as = { .owner = !around,
				    .around = around,
				    .sample = policy->parity.sample };
	struct nft_counters there;
	char table[NFT_TABLE_MAX];
	const char *what = "memory";
	int ret = nft_read(policy->interface, &there, err);
	bool replace;

	if (ret < 0)
		return ret;
	nft_table_name(policy->interface, table);
	if (there.owner && there.owner != mnl_socket_get_portid(nft->nl))
		return err_set(
			err, N2X_FOREIGN,
			"nftables: table ip %s is owned by another process (netlink port %u): "
			"stop it first",
			table, there.owner);
	if (there.foreign)
		return err_set(
			err, N2X_FOREIGN,
			"nftables: table ip %s has other chains than ours: rename or delete it",
			table);
	ret = find_form(nft, policy, &as, true, &what);
	/* The kernel moves no hook. */
	replace = there.present && there.priority == queue_priority(&as);
	/* The flag cannot be given to a table that is there. */
	as.owner = as.owner && (!replace || there.owner);
	if (ret == 0) {
		b = batch_new(nft);
		ret = b ? 0 : -ENOMEM;
	}
	if (ret == 0 && there.present && !replace)
		ret = add_table(b, table, NFT_MSG_DELTABLE, 0, 0);
	if (ret == 0)
		ret = add_all(b, table, policy, &as, replace, true);
	if (ret == 0)
		ret = batch_send(nft, b, true, &what);
	if (ret < 0)
		return refused(ret, &as, table, what, err);
	*out = as;
	return 0;
}

int nft_probe(const struct policy *policy, struct nft_installed *out, struct err *err)
{
	_cleanup_(nft_closep) struct nft *nft = NULL;
	struct nft_installed as = { .owner = true };
	const char *what = "memory";
	int ret = nft_open(&nft, err);

	if (ret < 0)
		return ret;
	ret = find_form(nft, policy, &as, false, &what);
	if (ret < 0)
		return refused(ret, &as, TABLE_PROBE, what, err);
	*out = as;
	return 0;
}

/*
 * A drop says nothing. But the change that has nfqnl_mangle() refuse there (968cc2c96390, "netfilter:
 * disable payload mangling in userns", after 7.1-rc5) has nft_payload_set_init() refuse, too, by the same
 * test and with EPERM: so the kernel is asked for such a rule, in a batch that is never committed. That
 * holds for whatever kernel has the change, and needs no way to know the first user namespace.
 */
int nft_may_rewrite(struct err *err)
{
	_cleanup_(nft_closep) struct nft *nft = NULL;
	_cleanup_(batch_freep) struct batch *b = NULL;
	const char *what = "memory";
	int ret = nft_open(&nft, err);

	if (ret < 0)
		return ret;
	b = batch_new(nft);
	if (!b || add_table(b, TABLE_PROBE, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, 0) < 0 ||
	    add_chain(b, TABLE_PROBE, CHAIN_QUEUE, 0, false) < 0 ||
	    add_rule(b, TABLE_PROBE, NULL, RULE_REWRITE) < 0)
		return err_set(err, N2X_SYSTEM, "nftables: out of memory");
	ret = batch_send(nft, b, false, &what);
	if (ret != -EPERM || strcmp(what, rule_what[RULE_REWRITE]) != 0)
		return 0;
	return err_set(
		err, N2X_SYSTEM,
		"this kernel drops what a verdict of NFQUEUE rewrites in this network namespace, because it "
		"belongs to a user namespace (a rootless container's): have the host's root make it, or "
		"use XDP alone (nfq2xdp run xdp)");
}

static int add_tap_rule(struct batch *b, const struct policy *queue, bool compat)
{
	_cleanup_(rule_freep) struct nftnl_rule *r = nftnl_rule_alloc();
	int ret;

	if (!r)
		return -ENOMEM;
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, TABLE_TAP);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, CHAIN_TAP);
	ret = nft_rule_queue(r, queue, compat);
	if (ret < 0)
		return ret;
	nftnl_rule_nlmsg_build_payload(
		batch_add(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "tap rule"), r);
	mnl_nlmsg_batch_next(b->msgs);
	return 0;
}

static int try_tap(struct nft *nft, uint16_t family, int32_t priority, uint16_t queue, bool compat)
{
	const struct policy to = {
		.nfqueue = { .queue = queue, .threads = 1, .fail = NFQ_FAIL_CLOSED }
	};
	_cleanup_(batch_freep) struct batch *b = batch_new(nft);
	const char *what;
	int ret;

	if (!b)
		return -ENOMEM;
	b->family = family;
	ret = add_table(b, TABLE_TAP, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, 0);
	if (ret == 0)
		ret = add_chain(b, TABLE_TAP, CHAIN_TAP, priority, true);
	if (ret == 0)
		ret = add_tap_rule(b, &to, compat);
	return ret < 0 ? ret : batch_send(nft, b, true, &what);
}

int nft_tap(struct nft *nft, uint16_t family, int32_t priority, uint16_t queue)
{
	int ret = try_tap(nft, family, priority, queue, false);

	return ret == -ENOENT ? try_tap(nft, family, priority, queue, true) : ret;
}

/* Sends a batch that takes something away; what is gone already is fine. */
static int remove_send(struct nft *nft, struct batch *b, const char *table, struct err *err)
{
	const char *what = "";
	int ret = batch_send(nft, b, true, &what);

	if (ret < 0 && ret != -ENOENT)
		return err_set(err, N2X_SYSTEM, "nftables: cannot remove %s of table ip %s: %s",
			       what, table, strerror(-ret));
	return 0;
}

int nft_remove_queue(struct nft *nft, const char *interface, struct err *err)
{
	_cleanup_(batch_freep) struct batch *b = batch_new(nft);
	char table[NFT_TABLE_MAX];

	nft_table_name(interface, table);
	if (!b || add_delete_rules(b, table, CHAIN_QUEUE) < 0)
		return err_set(err, N2X_SYSTEM, "nftables: out of memory");
	return remove_send(nft, b, table, err);
}

int nft_remove(struct nft *nft, const char *interface, struct err *err)
{
	_cleanup_(batch_freep) struct batch *b = batch_new(nft);
	char table[NFT_TABLE_MAX];

	nft_table_name(interface, table);
	if (!b || add_table(b, table, NFT_MSG_DELTABLE, 0, 0) < 0)
		return err_set(err, N2X_SYSTEM, "nftables: out of memory");
	return remove_send(nft, b, table, err);
}

static int read_expr(struct nftnl_expr *e, void *data)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	uint64_t *packets = data;

	if (!strcmp(name, "counter"))
		*packets = nftnl_expr_get_u64(e, NFTNL_EXPR_CTR_PACKETS);
	return 0;
}

/* In their order: all that arrives; and of that, the leaks. */
static int read_behind(struct nftnl_expr *e, void *data)
{
	struct nft_counters *out = data;

	if (strcmp(nftnl_expr_get_str(e, NFTNL_EXPR_NAME), "counter") != 0)
		return 0;
	read_expr(e, out->has_leak ? &out->leaked : &out->arrived);
	out->has_leak = true;
	return 0;
}

static int read_sample(struct nftnl_expr *e, void *data)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	struct nft_counters *out = data;

	if (!strcmp(name, "hash"))
		out->sample = nftnl_expr_get_u32(e, NFTNL_EXPR_HASH_MODULUS);
	if (!strcmp(name, "log")) {
		out->sample = out->sample ? out->sample : 1;
		out->sample_group = nftnl_expr_get_u16(e, NFTNL_EXPR_LOG_GROUP);
	}
	return 0;
}

static int read_queue(struct nftnl_expr *e, void *data)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	struct nft_counters *out = data;

	if (!strcmp(name, "target"))
		out->compat = true;
	if (!strcmp(name, "target") || !strcmp(name, "queue"))
		out->external = false;
	return 0;
}

static int read_rule(const struct nlmsghdr *nlh, void *data)
{
	_cleanup_(rule_freep) struct nftnl_rule *r = nftnl_rule_alloc();
	struct nft_counters *out = data;
	const char *chain;

	if (!r || nftnl_rule_nlmsg_parse(nlh, r) < 0)
		return MNL_CB_ERROR;
	chain = nftnl_rule_get_str(r, NFTNL_RULE_CHAIN);
	if (!strcmp(chain, CHAIN_QUEUE)) {
		out->has_queue = true;
		out->external = true;
		nftnl_expr_foreach(r, read_expr, &out->queued);
		nftnl_expr_foreach(r, read_queue, out);
	} else if (!strcmp(chain, CHAIN_LEAK)) {
		nftnl_expr_foreach(r, read_behind, out);
		nftnl_expr_foreach(r, read_sample, out);
	}
	return MNL_CB_OK;
}

struct chains {
	const char *table;
	unsigned int ours, others;
	int priority; /* of to_queue */
};

/* The kernel dumps the chains of every table of the family. */
static int read_chain(const struct nlmsghdr *nlh, void *data)
{
	_cleanup_(chain_freep) struct nftnl_chain *c = nftnl_chain_alloc();
	struct chains *chains = data;
	const char *name;

	if (!c || nftnl_chain_nlmsg_parse(nlh, c) < 0)
		return MNL_CB_ERROR;
	name = nftnl_chain_get_str(c, NFTNL_CHAIN_NAME);
	if (strcmp(nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE), chains->table) != 0)
		return MNL_CB_OK;
	if (!strcmp(name, CHAIN_QUEUE))
		chains->priority = nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO);
	if (!strcmp(name, CHAIN_QUEUE) || !strcmp(name, CHAIN_LEAK))
		chains->ours++;
	else
		chains->others++;
	return MNL_CB_OK;
}

static int read_table_head(const struct nlmsghdr *nlh, void *data)
{
	_cleanup_(table_freep) struct nftnl_table *t = nftnl_table_alloc();
	struct nft_counters *out = data;

	if (!t || nftnl_table_nlmsg_parse(nlh, t) < 0)
		return MNL_CB_ERROR;
	out->present = true;
	out->owner = nftnl_table_get_u32(t, NFTNL_TABLE_OWNER);
	return MNL_CB_OK;
}

/* Sends one request and runs cb over the replies. Returns 0 or -errno. */
static int query(struct nft *nft, struct nlmsghdr *nlh, mnl_cb_t cb, void *data)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	int ret = 1;

	if (mnl_socket_sendto(nft->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (ret > 0) {
		ssize_t got = mnl_socket_recvfrom(nft->nl, buf, sizeof(buf));

		if (got < 0)
			return -errno;
		ret = mnl_cb_run(buf, (size_t)got, nlh->nlmsg_seq, mnl_socket_get_portid(nft->nl),
				 cb, data);
	}
	return ret < 0 ? -errno : 0;
}

static int read_table(struct nft *nft, const char *table, struct nft_counters *out)
{
	_cleanup_(table_freep) struct nftnl_table *t = nftnl_table_alloc();
	_cleanup_(rule_freep) struct nftnl_rule *r = nftnl_rule_alloc();
	struct chains chains = { .table = table };
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh;
	int ret;

	if (!t || !r)
		return -ENOMEM;
	nlh = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETTABLE, NFPROTO_IPV4, NLM_F_ACK, nft->seq++);
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, table);
	nftnl_table_nlmsg_build_payload(nlh, t);
	ret = query(nft, nlh, read_table_head, out);
	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	nlh = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETCHAIN, NFPROTO_IPV4, NLM_F_DUMP, nft->seq++);
	ret = query(nft, nlh, read_chain, &chains);
	if (ret < 0)
		return ret;
	out->foreign = chains.ours != 2 || chains.others;
	out->priority = chains.priority;
	nlh = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETRULE, NFPROTO_IPV4, NLM_F_DUMP, nft->seq++);
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, table);
	nftnl_rule_nlmsg_build_payload(nlh, r);
	return query(nft, nlh, read_rule, out);
}

/* One try, on a socket of its own: what a broken dump leaves unread goes with it. 1: again. */
static int try_read(const char *table, struct nft_counters *out, struct err *err)
{
	_cleanup_(nft_closep) struct nft *nft = NULL;
	struct nft_counters read = { 0 };
	int ret = nft_open(&nft, err);

	if (ret < 0)
		return ret;
	ret = read_table(nft, table, &read);
	if (ret == -EINTR)
		return 1;
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "nftables: cannot read table ip %s: %s", table,
			       strerror(-ret));
	*out = read;
	return 0;
}

int nft_read(const char *interface, struct nft_counters *out, struct err *err)
{
	char table[NFT_TABLE_MAX];
	int ret = 1;

	nft_table_name(interface, table);
	/* EINTR: somebody changed some rules meanwhile, and the dump may be of neither state. */
	for (int i = 0; i < READ_TRIES && ret == 1; i++)
		ret = try_read(table, out, err);
	if (ret == 1)
		return err_set(err, N2X_SYSTEM,
			       "nftables: rules change too fast to read table ip %s", table);
	return ret;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* What the checks share. Used by migrate/finding*.c alone. */
#pragma once

#include <stdbool.h>

#include "migrate/finding.h"

struct check {
	const struct facts *facts;
	const struct choice *choice;
	const struct policy *policy; /* NULL: there is none */
	const struct legacy_rule *rule; /* that feeds the policy's queue; NULL: none */
	bool external; /* the operator's daemon is the way back */
	struct sample_count seen; /* summed over the attach points; rate: of what matches */
	bool sampled;
	struct finding *out;
};

/* The cause; returns the verdict. */
enum finding_verdict finding_say(struct check *c, enum finding_verdict verdict, const char *format,
				 ...) __attribute__((format(printf, 3, 4)));

#define ok(c, ...)      finding_say(c, FINDING_OK, __VA_ARGS__)
#define unknown(c, ...) finding_say(c, FINDING_UNKNOWN, __VA_ARGS__)
#define warn(c, ...)    finding_say(c, FINDING_WARN, __VA_ARGS__)
#define fail(c, ...)    finding_say(c, FINDING_FAIL, __VA_ARGS__)

/* A fail that is not N2X_NO. */
#define fail_as(c, code, ...) ((c)->out->exit = (code), fail(c, __VA_ARGS__))

/* The command. */
void mend(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The attach points that are there, one after the other from *i on; NULL at the end. */
const struct facts_device *check_next(const struct check *c, unsigned int *i);
bool check_is_point(const struct check *c, const struct facts_device *device);

/* Is the program on it ours? */
bool check_is_ours(const struct check *c, const struct facts_device *device);

const char *check_name(const struct facts_device *device);

/* How long the traffic was looked at. */
double check_seconds(const struct check *c);

/* What makes the sample say nothing; NULL: it says something. */
const char *check_no_sample(const struct check *c);

#define CHECKS(X)                           \
	X("rights", check_rights)           \
	X("bpffs", check_bpffs)             \
	X("program", check_program)         \
	X("xdp-frags", check_frags)         \
	X("bpf-jit", check_jit)             \
	X("lockdown", check_lockdown)       \
	X("nft", check_nft)                 \
	X("user-namespace", check_userns)   \
	X("nft-table", check_table)         \
	X("instance", check_instance)       \
	X("journal", check_journal)         \
	X("interface", check_interface)     \
	X("attach-point", check_point)      \
	X("carrier", check_carrier)         \
	X("native", check_native)           \
	X("mtu", check_mtu)                 \
	X("queues", check_queues)           \
	X("gro", check_gro)                 \
	X("vlan", check_vlan)               \
	X("foreign-xdp", check_foreign)     \
	X("bridge-netfilter", check_bridge) \
	X("rule", check_rule)               \
	X("rule-bypass", check_bypass)      \
	X("conntrack", check_conntrack)     \
	X("mark", check_mark)               \
	X("iptables-mixed", check_mixed)    \
	X("flushers", check_flushers)       \
	X("fallback", check_fallback)       \
	X("fail-open", check_fail_open)     \
	X("queue-overflow", check_overflow) \
	X("queue-depth", check_depth)       \
	X("receive-buffer", check_buffer)   \
	X("capacity", check_capacity)       \
	X("daemon-changes", check_changes)  \
	X("traffic", check_traffic)         \
	X("flows", check_flows)             \
	X("rss", check_rss)                 \
	X("ip-id", check_id)                \
	X("fragments", check_fragments)

#define CHECK_DECLARE(id, function) enum finding_verdict function(struct check *c);
CHECKS(CHECK_DECLARE)
#undef CHECK_DECLARE

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where XDP attaches, and the policy that says so: decided from what was read. Pure.
 *
 * XDP has to see every packet that the rule sees, and no other:
 *	a bridge        its ports: XDP on the bridge does not see what is bridged from port to port
 *	a VXLAN         the device that carries it, where that can do native XDP: the packets are looked at
 *	                inside, and their VNI says which are meant
 *	a VLAN          the VLAN itself: a policy has no VLAN, so below it others' packets match, too
 *	anything else   itself
 */
#pragma once

#include <stdbool.h>

#include "core/policy.h"
#include "migrate/facts.h"

struct choice_note {
	char interface[IFNAMSIZ];
	char text[224];
};

struct choice {
	bool valid; /* there is a policy */
	struct err why; /* not valid */
	struct policy policy;
	struct choice_note
		note[TOPOLOGY_NODES]; /* devices that XDP does not attach to, and why not */
	unsigned int n_notes;
};

/* The rule that it is about: understood, and of facts->interface where that is known. NULL and *why: there
 * is none, or several that are about different interfaces. */
const struct legacy_rule *choose_rule(const struct facts *facts, struct err *why);

/* What XDP has to match, before it is known where: interface, ports, queues. */
int choose_match(const struct facts *facts, struct policy *out, struct err *why);

/* The whole, with the traffic seen. With facts->given it is that policy, and the notes are about it. */
void choose(const struct facts *facts, const struct policy *given, struct choice *out);

/* As the text of a policy file. Returns a string to free(), or NULL. */
char *choose_format(const struct policy *policy);

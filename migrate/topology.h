/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The devices of this network namespace, and what stands below what: ports below a bridge, slaves below
 * a bond, the carrier below a VLAN, a VXLAN or a macvlan, down to the NIC. As rtnetlink has them: sysfs
 * may be another namespace's.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct topology_dev {
	int ifindex;
	int master; /* ifindex of the bridge or bond that it is a port of; 0: none */
	int lower; /* ifindex of what carries it; 0: nothing, or it is in another namespace */
	char name[IFNAMSIZ];
	char kind[16]; /* "bridge", "vxlan", "vlan", "veth", …; "": its own, such as a NIC */
	unsigned int mtu;
	uint32_t prog_id; /* of the XDP program on it; 0: none */
	uint16_t vlan; /* kind vlan */
	bool running; /* up, with carrier */
	bool nf_call; /* kind bridge: nf_call_iptables of its own */
	struct {
		uint32_t vni;
		uint16_t port; /* UDP, host order */
		bool external; /* its VNIs come with each packet */
		uint32_t local_be; /* IPv4 address of the tunnel's near end; 0: any, or IPv6 */
		bool routed; /* `lower` is by that address: the kernel does not know it */
	} vxlan;
};

struct topology {
	struct topology_dev *dev;
	unsigned int n;
};

/* Returns 0 with *out to be released by topology_release(), or -N2X_SYSTEM. */
int topology_read(struct topology *out, struct err *err);
void topology_release(struct topology *t);

/* NULL when there is none of that name, or index. */
const struct topology_dev *topology_find(const struct topology *t, const char *name);
const struct topology_dev *topology_by_index(const struct topology *t, int ifindex);

#define TOPOLOGY_NODES 32

struct topology_node {
	const struct topology_dev *dev;
	int parent; /* index of what stands on it; -1: the root */
	unsigned int depth;
};

/*
 * The tree from a device down, each device before what is below it, no device twice. Returns how many
 * nodes; *left_out counts those that did not fit.
 */
unsigned int topology_walk(const struct topology *t, const struct topology_dev *root,
			   struct topology_node out[TOPOLOGY_NODES], unsigned int *left_out);

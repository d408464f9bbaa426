/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel says of an interface of this network namespace. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

unsigned int netdev_mtu(const char *interface); /* 0 when there is none of that name */
bool netdev_is_bridge(const char *interface);
/* Name and version of the driver, "veth 1.0"; empty when the kernel does not say. */
void netdev_driver(const char *interface, char *out, size_t size);
bool netdev_running(const char *interface); /* it is up and has carrier */

/* Frames that are bridged from port to port do not reach the ip tables (br_netfilter off or not there). */
bool netdev_bridge_hidden(void);

/* Offloads that matter here, as bits. */
enum netdev_offload {
	NETDEV_LRO = 1 << 0,
	NETDEV_GRO_HW = 1 << 1,
	NETDEV_GRO_LIST = 1 << 2,
	NETDEV_GRO_UDP = 1 << 3, /* rx-udp-gro-forwarding */
	NETDEV_RX_VLAN = 1 << 4, /* the tag is taken off before XDP sees the frame */
};

struct netdev_hw {
	char driver[32];
	bool bus; /* it sits on one: not made by software */
	unsigned int rx, rx_max; /* queues; 0: the driver does not say */
	uint32_t on, fixed; /* enum netdev_offload: active, and of these what cannot be changed */
};

/* What the driver says (ethtool). Returns 0, or -errno with *out untouched. */
int netdev_hw(const char *interface, struct netdev_hw *out);

/* Bits of uapi/linux/netdev.h, enum netdev_xdp_act. */
#define NETDEV_XDP_BASIC (1 << 0) /* native XDP with pass and drop */
#define NETDEV_XDP_FRAGS (1 << 5) /* RX_SG: native XDP on packets of several pages */

/* The driver's XDP features, without attaching anything. Returns 0, or -errno: -ENOENT before kernel 6.3. */
int netdev_xdp_features(int ifindex, uint64_t *out);

/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel says of an interface of this network namespace. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

unsigned int netdev_mtu(const char *interface); /* 0 when there is none of that name */
bool netdev_is_bridge(const char *interface);
/* Name and version of the driver, "veth 1.0"; empty when the kernel does not say. */
void netdev_driver(const char *interface, char *out, size_t size);
bool netdev_running(const char *interface); /* it is up and has carrier */

/* Frames that are bridged from port to port do not reach the ip tables (br_netfilter off or not there). */
bool netdev_bridge_hidden(void);

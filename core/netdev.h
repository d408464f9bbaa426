/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel says of an interface of this network namespace. */
#pragma once

#include <stdbool.h>

unsigned int netdev_mtu(const char *interface); /* 0 when there is none of that name */
bool netdev_is_bridge(const char *interface);
bool netdev_running(const char *interface); /* it is up and has carrier */

/* Frames that are bridged from port to port do not reach the ip tables (br_netfilter off or not there). */
bool netdev_bridge_hidden(void);

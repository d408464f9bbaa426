/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "core/err.h"

enum cap_need {
	CAP_NEED_NFQUEUE, /* CAP_NET_ADMIN */
	CAP_NEED_XDP, /* CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON (or CAP_SYS_ADMIN) */
	CAP_NEED_MAPS, /* CAP_BPF (or CAP_SYS_ADMIN): pinned maps only */
};

/* For the first two, netlink sockets too. Returns 0, or -N2X_SYSTEM with one line that names what is missing. */
int cap_require(enum cap_need need, struct err *err);

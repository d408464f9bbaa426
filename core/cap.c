// SPDX-License-Identifier: GPL-2.0-only
#include "core/cap.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cap-ng.h>
#include <linux/capability.h>
#include <linux/netlink.h>

#include "core/util.h"

static bool have(unsigned int cap)
{
	return capng_have_capability(CAPNG_EFFECTIVE, cap);
}

static const char *missing(enum cap_need need)
{
	/* What CAP_BPF and CAP_PERFMON allow, CAP_SYS_ADMIN allowed before 5.8, and still does. */
	bool admin = have(CAP_SYS_ADMIN);

	if (need != CAP_NEED_MAPS && !have(CAP_NET_ADMIN))
		return "CAP_NET_ADMIN";
	if (need != CAP_NEED_NFQUEUE && !admin && !have(CAP_BPF))
		return "CAP_BPF";
	if (need == CAP_NEED_XDP && !admin && !have(CAP_PERFMON))
		return "CAP_PERFMON";
	return NULL;
}

/* Without, libbpf says of an interface that it does not exist, and nft that nothing is there. */
static int check_netlink(struct err *err)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd >= 0)
		return 0;
	return err_set(err, N2X_SYSTEM,
		       "no netlink socket may be made (%s): a service needs AF_NETLINK in "
		       "RestrictAddressFamilies",
		       strerror(errno));
}

int cap_require(enum cap_need need, struct err *err)
{
	const char *name;

	if (capng_get_caps_process() < 0)
		return err_set(err, N2X_SYSTEM, "cannot read this process's capabilities");
	name = missing(need);
	if (name)
		return err_set(err, N2X_SYSTEM,
			       "%s is missing: run as root, or give the process %s", name, name);
	return need == CAP_NEED_MAPS ? 0 : check_netlink(err);
}

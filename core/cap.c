// SPDX-License-Identifier: GPL-2.0-only
#include "core/cap.h"

#include <stdbool.h>
#include <stddef.h>

#include <cap-ng.h>
#include <linux/capability.h>

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

int cap_require(enum cap_need need, struct err *err)
{
	const char *name;

	if (capng_get_caps_process() < 0)
		return err_set(err, N2X_SYSTEM, "cannot read this process's capabilities");
	name = missing(need);
	if (name)
		return err_set(err, N2X_SYSTEM,
			       "%s is missing: run as root, or give the process %s", name, name);
	return 0;
}

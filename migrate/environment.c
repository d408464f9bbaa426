// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/environment.h"

#include <stdio.h>
#include <sys/utsname.h>

#include "core/netdev.h"
#include "core/util.h"

#define POLICY_TEXT_MAX 16384 /* one line of the journal holds it */

static json_t *policy_text(const char *path)
{
	_cleanup_file_ FILE *file = path ? fopen(path, "re") : NULL;
	char text[POLICY_TEXT_MAX];
	size_t len = file ? fread(text, 1, sizeof(text), file) : 0;
	json_t *json = len < sizeof(text) ? json_stringn(text, len) : NULL;

	return file && json ? json : json_null();
}

static json_t *points_json(const struct xdp_state *xdp)
{
	json_t *points = json_array();
	char driver[80];

	for (unsigned int i = 0; i < xdp->n_points; i++) {
		const struct xdp_point *point = &xdp->point[i];

		netdev_driver(point->interface, driver, sizeof(driver));
		json_array_append_new(points,
				      json_pack("{s:s, s:s, s:s, s:s, s:i}", "interface",
						point->interface, "driver", driver, "mode",
						point->native ? "native" : "generic", "program",
						point->frags ? "xdp.frags" : "xdp", "mtu",
						(int)netdev_mtu(point->interface)));
	}
	return points;
}

json_t *environment_json(const struct policy *policy, const struct xdp_state *xdp)
{
	struct utsname kernel = { 0 };
	char text[160];

	uname(&kernel);
	snprintf(text, sizeof(text), "%s %s", kernel.release, kernel.machine);
	return json_pack("{s:s, s:s, s:s, s:o, s:s, s:o}", "version", VERSION, "kernel", text,
			 "daemon",
			 policy->nfqueue.daemon == NFQ_DAEMON_EXTERNAL ? "external" : "own",
			 "attached", points_json(xdp), "policy_file", policy->file ?: "", "policy",
			 policy_text(policy->file));
}

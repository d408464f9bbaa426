// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/metrics.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "core/instance.h"
#include "migrate/fallback.h"
#include "migrate/machine.h"
#include "migrate/parity_report.h"
#include "xdp/xdp_ctl.h"

static double left(const struct xdp_state *xdp, uint64_t until)
{
	return until ? (double)xdp_ctl_left_ns(&xdp->ctl, xdp->now, until) / 1e9 : -1;
}

static void fill_xdp(const struct policy *policy, struct metrics *m)
{
	struct xdp_state xdp;
	struct err ignored;
	int ret = xdp_read(policy->interface, &xdp, &ignored);

	if (ret < 0 && ret != -N2X_INACTIVE)
		return;
	m->xdp.known = true;
	m->xdp.pinned = ret == 0;
	m->states = machine_state_name;
	m->n_states = MACHINE_STATE_MAX;
	m->state = MACHINE_IDLE;
	if (ret < 0)
		return;
	m->state = machine_state_of(&xdp);
	m->xdp.up = xdp_check(&xdp, policy, &ignored) == 0;
	memcpy(m->xdp.reason, xdp.reason, sizeof(xdp.reason));
	m->xdp.share = machine_share_ratio(&xdp);
	m->xdp.generation = xdp.ctl.generation;
	m->xdp.lease = left(&xdp, xdp.ctl.deadline);
	m->xdp.confirm = left(&xdp, xdp.ctl.confirm_by);
}

static uint64_t count(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(object, key));

	return n > 0 ? (uint64_t)n : 0;
}

static void fill_parity(const struct policy *policy, struct metrics *m)
{
	char path[PATH_MAX];
	const json_t *classes;
	json_t *report;

	instance_run_path(policy->interface, "parity", path);
	report = json_load_file(path, 0, NULL);
	if (!report)
		return;
	m->parity.known = true;
	m->parity.result[METRICS_EQUAL] = count(report, "equal");
	m->parity.result[METRICS_ACCEPTED] = count(report, "accepted");
	m->parity.result[METRICS_DIFFERENT] = count(report, "different");
	classes = json_object_get(report, "classes");
	for (int i = 0; i < PARITY_CLASS_MAX; i++) {
		const json_t *by = json_object_get(classes, parity_class_name[i]);

		m->parity.class[i][METRICS_XDP] = count(by, parity_side_name[PARITY_XDP]);
		m->parity.class[i][METRICS_BEHIND] = count(by, parity_side_name[PARITY_BEHIND]);
	}
	json_decref(report);
}

void metrics_fill(const struct policy *policy, struct metrics *m)
{
	struct nfq_path_info nfq;
	struct err ignored;

	fill_xdp(policy, m);
	if (!m->nfqueue.own && fallback_read(policy, &nfq, &ignored) == 0)
		nfq_path_metrics(&nfq, m);
	fill_parity(policy, m);
}

void metrics_publish(const char *instance, const struct live_report *report)
{
	char path[PATH_MAX], part[PATH_MAX];
	json_t *object = live_report_json(report);

	instance_run_path(instance, "parity", path);
	instance_run_path(instance, "parity.part", part);
	if (json_dump_file(object, part, JSON_COMPACT) == 0)
		(void)rename(part, path);
	json_decref(object);
}

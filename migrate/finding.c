// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "migrate/finding_check.h"

const char *const finding_verdict_name[FINDING_VERDICT_MAX] = {
	[FINDING_OK] = "ok",
	[FINDING_UNKNOWN] = "unknown",
	[FINDING_WARN] = "warn",
	[FINDING_FAIL] = "fail",
};

enum finding_verdict finding_say(struct check *c, enum finding_verdict verdict, const char *format,
				 ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->out->cause, sizeof(c->out->cause), format, args);
	va_end(args);
	return verdict;
}

void mend(struct check *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->out->command, sizeof(c->out->command), format, args);
	va_end(args);
}

const struct facts_device *check_next(const struct check *c, unsigned int *i)
{
	while (c->policy && *i < c->policy->xdp.n_attach) {
		const struct facts_device *device = facts_device(c->facts,
								 c->policy->xdp.attach[(*i)++]);

		if (device)
			return device;
	}
	return NULL;
}

bool check_is_point(const struct check *c, const struct facts_device *device)
{
	for (unsigned int i = 0; c->policy && i < c->policy->xdp.n_attach; i++)
		if (!strcmp(c->policy->xdp.attach[i], check_name(device)))
			return true;
	return false;
}

bool check_is_ours(const struct check *c, const struct facts_device *device)
{
	for (unsigned int i = 0; i < c->facts->xdp.n_points; i++)
		if (c->facts->xdp.point[i].ours &&
		    !strcmp(c->facts->xdp.point[i].interface, check_name(device)))
			return true;
	return false;
}

const char *check_name(const struct facts_device *device)
{
	return device->node.dev->name;
}

double check_seconds(const struct check *c)
{
	return (double)(c->facts->end.at_ns - c->facts->begin.at_ns) / 1e9;
}

const char *check_no_sample(const struct check *c)
{
	if (!c->sampled)
		return "the traffic was not looked at";
	return c->seen.matching ? NULL : "no packet of the policy came while it was looked at";
}

static const struct {
	const char *id;
	enum finding_verdict (*check)(struct check *c);
} checks[] = {
#define CHECK_ROW(id, function) { id, function },
	CHECKS(CHECK_ROW)
#undef CHECK_ROW
};
_Static_assert(ARRAY_SIZE(checks) <= FINDINGS_MAX, "room for every check");

static void sum_samples(struct check *c)
{
	const struct facts_device *device;
	struct sample_count *s = &c->seen; /* with the rate of what matches */

	for (unsigned int i = 0; (device = check_next(c, &i));) {
		const struct sample_count *one = &device->sample;

		c->sampled = c->facts->sampled;
		s->rate += one->looked ? one->rate * (double)one->matching / (double)one->looked
				       : 0;
		s->looked += one->looked;
		s->matching += one->matching;
		s->id0 += one->id0;
		s->tagged += one->tagged;
		s->fragments += one->fragments;
		s->flows += one->flows;
		s->largest_flow += one->largest_flow;
		s->largest_outer_flow += one->largest_outer_flow;
	}
}

unsigned int findings_make(const struct facts *facts, const struct choice *choice,
			   struct finding out[FINDINGS_MAX])
{
	struct check c = { .facts = facts, .choice = choice };

	c.policy = choice->valid ? &choice->policy : NULL;
	c.external = c.policy && c.policy->nfqueue.daemon == NFQ_DAEMON_EXTERNAL;
	for (unsigned int i = 0; c.policy && i < facts->n_rules && !c.rule; i++)
		if (facts->rule[i].understood &&
		    (!c.external || facts->rule[i].queue == c.policy->nfqueue.queue))
			c.rule = &facts->rule[i];
	sum_samples(&c);
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		out[i] = (struct finding){ .id = checks[i].id, .exit = N2X_NO };
		c.out = &out[i];
		out[i].verdict = checks[i].check(&c);
	}
	return ARRAY_SIZE(checks);
}

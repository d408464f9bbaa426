// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/plan.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"

void plan_free(struct plan *plan)
{
	if (plan)
		facts_release(&plan->facts);
	free(plan);
}

void plan_freep(struct plan **plan)
{
	plan_free(*plan);
}

/* What the rules say, or the operator; then the devices that this is about. Returns whether it is known. */
static bool find_match(struct facts *facts, const struct policy *given, struct policy *match)
{
	struct err ignored;
	int ret = 0;

	if (given)
		*match = *given;
	else
		ret = choose_match(facts, match, &ignored);
	if (ret == 0)
		snprintf(facts->interface, sizeof(facts->interface), "%s", match->interface);
	facts_read_devices(facts, given);
	return ret == 0;
}

struct plan *plan_make(const struct plan_request *request)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	const struct policy *given = request->policy;
	struct facts *facts = &plan->facts;
	struct policy match;

	if (!plan)
		return NULL;
	facts->given = given;
	facts->local_only = request->local_only;
	snprintf(facts->interface, sizeof(facts->interface), "%s",
		 given		      ? given->interface
		 : request->interface ? request->interface
				      : "");
	facts_read_rules(facts, given);
	if (find_match(facts, given, &match)) {
		facts_read_listener(facts, match.nfqueue.queue, match.nfqueue.threads);
		if (request->traffic)
			facts_look_at_traffic(facts, &match, PLAN_LOOK_MS);
	}
	choose(facts, given, &plan->choice);
	if (plan->choice.valid)
		facts_read_system(facts, &plan->choice.policy);
	plan->n_findings = findings_make(facts, &plan->choice, plan->finding);
	return plan;
}

unsigned int plan_count(const struct plan *plan, enum finding_verdict verdict)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < plan->n_findings; i++)
		n += plan->finding[i].verdict == verdict;
	return n;
}

int plan_preflight(const struct policy *policy, bool local_only, struct err *err)
{
	const struct plan_request request = { .policy = policy, .local_only = local_only };
	struct plan *plan = plan_make(&request);
	int ret = plan ? 0 : err_set(err, N2X_SYSTEM, "out of memory");

	for (unsigned int i = 0; ret == 0 && i < plan->n_findings; i++) {
		const struct finding *f = &plan->finding[i];

		if (f->verdict == FINDING_FAIL)
			ret = err_set(err, f->exit, "%s: %s: %.380s (nfq2xdp plan -c FILE)",
				      policy->interface, f->id, f->cause);
	}
	plan_free(plan);
	return ret;
}

/* Returns 0 or -errno. */
static int write_whole(int fd, const char *text)
{
	const size_t len = strlen(text);
	const ssize_t done = write(fd, text, len);

	if (done < 0 || fsync(fd) < 0 || fchmod(fd, 0644) < 0)
		return -errno;
	return (size_t)done == len ? 0 : -ENOSPC;
}

int plan_write(const char *path, const char *text, struct err *err)
{
	char temporary[PATH_MAX];
	_cleanup_close_ int fd = -1;
	int ret;

	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	fd = mkstemp(temporary);
	if (fd < 0)
		return err_set(err, N2X_SYSTEM, "%s: %s", path, strerror(errno));
	ret = write_whole(fd, text);
	/* A link, unlike a rename, replaces nothing. */
	if (ret == 0 && link(temporary, path) < 0)
		ret = -errno;
	unlink(temporary);
	if (ret == -EEXIST)
		return err_set(err, N2X_NO, "%s is there already, and is not written over", path);
	return ret < 0 ? err_set(err, N2X_SYSTEM, "%s: %s", path, strerror(-ret)) : 0;
}

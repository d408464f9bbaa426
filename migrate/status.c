// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/status.h"

#include <math.h>
#include <net/if.h>
#include <stdarg.h>
#include <string.h>

#include "core/instance.h"
#include "core/util.h"

#define USELESS_TIMES 100 /* of 100 packets that it gave back, it cleared less than one */

const char *const status_health_name[STATUS_HEALTH_MAX] = {
	[STATUS_OK] = "ok",
	[STATUS_REMOVED] = "removed",
	[STATUS_UNTOUCHED] = "untouched",
	[STATUS_DOWN] = "down",
	[STATUS_UNSEEN] = "unseen",
	[STATUS_UNFED] = "unfed",
	[STATUS_UNCOUNTED] = "uncounted",
	[STATUS_FULL] = "full",
	[STATUS_USELESS] = "useless",
};

static __attribute__((format(printf, 2, 3))) void problem(struct status *s, const char *format, ...)
{
	struct machine_status *m = &s->machine;
	va_list args;

	if (m->n_problems == MACHINE_PROBLEMS_MAX)
		return;
	va_start(args, format);
	vsnprintf(m->problem[m->n_problems++], sizeof(m->problem[0]), format, args);
	va_end(args);
}

/* The queue of an external daemon: that of the rule which was guarded for it. */
static bool find_queue(struct policy *policy)
{
	struct legacy_rule rules[LEGACY_RULES_MAX];
	struct err ignored;
	int n = legacy_find(policy, rules, &ignored);

	for (int i = 0; i < n; i++) {
		if (!rules[i].guarded)
			continue;
		policy->nfqueue.queue = rules[i].queue;
		policy->nfqueue.threads = rules[i].queues;
		return true;
	}
	return false;
}

/* What the kernel has of the instance, as a policy. *known: the queue's number is. */
static int guess(const char *instance, struct policy *out, bool *known, struct err *err)
{
	struct nfq_path_info own;
	struct policy policy;
	struct xdp_state xdp;
	int ret;

	policy_defaults(&policy);
	policy.rollout.n_steps = 0;
	snprintf(policy.interface, sizeof(policy.interface), "%s", instance);
	ret = xdp_read(instance, &xdp, err);
	if (ret == 0)
		policy.df = xdp.policy;
	else if (ret != -N2X_INACTIVE)
		return ret;
	ret = nfq_path_read(instance, &own, err);
	if (ret < 0)
		return ret;
	*known = own.threads;
	if (!own.pid && (own.nft.external || !own.nft.present)) {
		const bool fed = find_queue(&policy);

		if (fed || own.nft.external) {
			policy.nfqueue.daemon = NFQ_DAEMON_EXTERNAL;
			*known = fed;
		}
	}
	*out = policy;
	return 0;
}

static enum status_health health(const struct policy *policy, const struct machine_status *m)
{
	const struct nfq_path_info *nfq = &m->nfq;
	struct err ignored;

	if (machine_nfq_unseen(nfq))
		return STATUS_UNSEEN;
	if (!nfq->running && m->state == MACHINE_DONE)
		return STATUS_REMOVED;
	if (!nfq->running && m->state == MACHINE_IDLE && nfq->external && nfq->pid)
		return STATUS_UNTOUCHED;
	if (nfq->external && (nfq->running || nfq->pid) && fallback_fed(policy, &ignored) == 0)
		return STATUS_UNFED;
	if (!nfq->running)
		return STATUS_DOWN;
	if (nfq->external && !nfq->nft.external)
		return STATUS_UNCOUNTED;
	if (nfq->depth >= fallback_depth_limit(nfq))
		return STATUS_FULL;
	/* While packets move, some are between its counters. */
	return nfq->external && nfq->unmodified > nfq->handled * USELESS_TIMES ? STATUS_USELESS
									       : STATUS_OK;
}

/* What machine_status() does not ask for, as it costs more or stops no move. */
static void find_problems(struct status *s, const struct policy *given)
{
	const struct nfq_path_info *nfq = &s->machine.nfq;
	const bool idle = s->machine.state == MACHINE_IDLE;
	char table[NFT_TABLE_MAX];
	struct err why;

	nft_table_name(s->instance, table);
	if (!idle && !s->machine.n_problems && given && xdp_check(&s->machine.xdp, given, &why) < 0)
		problem(s, "%s", why.text);
	if (!if_nametoindex(s->instance))
		problem(s, "%s: there is no such interface here", s->instance);
	if (s->other_build)
		problem(s, "another build of nfq2xdp attached it, with pins of its own: "
			   "nfq2xdp migrate start -c FILE takes it over");
	if (!idle && s->health == STATUS_UNFED && nfq->running)
		problem(s, "no rule sends to the daemon's queue any more: what XDP does not take "
			   "passes with DF set");
	if (!idle && s->health == STATUS_FULL)
		problem(s,
			"%llu packets wait for the NFQUEUE path: it hangs, or is too slow: "
			"what finds no room passes with DF set",
			(unsigned long long)nfq->depth);
	if (!idle && s->health == STATUS_USELESS)
		problem(s, "the daemon does nothing: %llu packets that it gave back had DF set",
			(unsigned long long)nfq->unmodified);
	if (nfq->nft.foreign)
		problem(s, "our nftables table has somebody else's contents: nft list table ip %s",
			table);
}

static pid_t controller(const char *instance)
{
	_cleanup_close_ int fd = instance_peek(instance, "auto");

	return fd < 0 ? 0 : instance_holder(fd);
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "";
}

/* "share, from 0, to 1/10" */
static void event_text(const json_t *line, char *out, size_t size)
{
	static const char *const part[][2] = {
		{ "do", "" },     { "from", "from " }, { "to", "to " },
		{ "reason", "" }, { "result", "" },    { "why", "" },
	};
	size_t used = 0;

	out[0] = '\0';
	for (unsigned int i = 0; i < ARRAY_SIZE(part); i++) {
		const char *text = text_of(line, part[i][0]);

		if (*text && used < size)
			used += (size_t)snprintf(out + used, size - used, "%s%s%s",
						 used ? ", " : "", part[i][1], text);
	}
}

void status_event(json_t *events, const json_t *line)
{
	static const char *const each_second[] = { "gates", "parity", "environment" };
	const size_t n = json_array_size(events);
	json_t *last = json_array_get(events, n - 1);
	const char *event = text_of(line, "event");
	char text[400];

	for (unsigned int i = 0; i < ARRAY_SIZE(each_second); i++)
		if (!strcmp(event, each_second[i]))
			return;
	event_text(line, text, sizeof(text));
	/* What became of an intent stands in its place, and keeps what was intended. */
	if (last && !strcmp(text_of(last, "event"), "intent") &&
	    (!strcmp(event, "did") || !strcmp(event, "failed"))) {
		snprintf(text, sizeof(text), "%.200s%s%.190s", text_of(last, "text"),
			 *text_of(line, "why") ? ", " : "", text_of(line, "why"));
		json_array_remove(events, n - 1);
	} else if (n == STATUS_EVENTS) {
		json_array_remove(events, 0);
	}
	json_array_append_new(events, json_pack("{s:s, s:s, s:s}", "time", text_of(line, "time"),
						"event", event, "text", text));
}

static void take_line(void *ctx, json_t *line)
{
	struct status *s = ctx;

	if (!strcmp(text_of(line, "event"), "gates")) {
		json_decref(s->gates);
		s->gates = json_incref(json_object_get(line, "gates"));
	}
	status_event(s->events, line);
}

static void read_journal(struct status *s)
{
	s->events = json_array();
	journal_tail(s->instance, take_line, s);
	/* Of a rollout that is over they say nothing about now. */
	if (!s->controller) {
		json_decref(s->gates);
		s->gates = NULL;
	}
}

int status_read(const char *instance, const struct policy *policy, struct status *out,
		struct err *err)
{
	struct status s = { .netns = instance_netns(), .queue_known = true };
	struct policy guessed;
	int ret = policy ? 0 : guess(instance, &guessed, &s.queue_known, err);

	if (ret < 0)
		return ret;
	snprintf(s.instance, sizeof(s.instance), "%s", instance);
	journal_now(s.time);
	s.at_ns = machine_now_ns();
	ret = machine_status(policy ?: &guessed, &s.machine, err);
	if (ret < 0)
		return ret;
	s.steps = (policy ?: &guessed)->rollout.n_steps;
	s.health = health(policy ?: &guessed, &s.machine);
	s.other_build = machine_other_layout(instance);
	s.controller = controller(instance);
	find_problems(&s, policy);
	read_journal(&s);
	*out = s;
	return 0;
}

void status_release(struct status *status)
{
	json_decref(status->gates);
	json_decref(status->events);
}

static double rate(uint64_t before, uint64_t now, double seconds)
{
	return now < before ? NAN : (double)(now - before) / seconds;
}

void status_rate(const struct status *before, struct status *now)
{
	const struct machine_status *a = &before->machine, *b = &now->machine;
	const bool anew = a->nfq.pid != b->nfq.pid; /* its counters are of the process */
	struct status_rates *r = &now->rates;

	*r = (struct status_rates){ .seconds = (double)(now->at_ns - before->at_ns) / 1e9 };
	r->matched = rate(a->matched, b->matched, r->seconds);
	r->cleared = rate(a->cleared, b->cleared, r->seconds);
	r->queued = rate(a->nfq.nft.queued, b->nfq.nft.queued, r->seconds);
	r->handled = rate(anew ? UINT64_MAX : a->nfq.handled, b->nfq.handled, r->seconds);
	r->leaked = rate(a->nfq.nft.leaked, b->nfq.nft.leaked, r->seconds);
	if (r->leaked > 0 && b->state != MACHINE_IDLE)
		problem(now, "packets leave both paths with DF set: %.0f/s", r->leaked);
	for (unsigned int i = 0; i < DF_REASON_MAX; i++) {
		r->xdp[i] = rate(a->xdp.reason[i], b->xdp.reason[i], r->seconds);
		r->nfqueue[i] = rate(anew ? UINT64_MAX : a->nfq.reason[i], b->nfq.reason[i],
				     r->seconds);
	}
}

int status_exit(const struct status *status)
{
	if (status->machine.state == MACHINE_IDLE && !status->other_build)
		return N2X_INACTIVE;
	return status->machine.n_problems ? N2X_DEGRADED : N2X_OK;
}

void status_history_add(struct status_history *history, const struct status *status)
{
	const bool known = status->rates.seconds > 0;
	const size_t older = sizeof(history->xdp) - sizeof(history->xdp[0]);

	memmove(history->xdp, history->xdp + 1, older);
	memmove(history->nfqueue, history->nfqueue + 1, older);
	history->xdp[STATUS_HISTORY - 1] = known ? status->rates.cleared : NAN;
	history->nfqueue[STATUS_HISTORY - 1] = known ? status->rates.handled : NAN;
}

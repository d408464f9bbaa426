// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/fallback.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "core/instance.h"
#include "core/util.h"
#include "nfq-fallback/nfq_queue.h"

#define STOP_LIMIT_MS      15000 /* our NFQUEUE path drains for at most 5 s */
#define QUIET_LIMIT_MS     3000
#define NFQ_DEFAULT_LENGTH 1024 /* net/netfilter/nfnetlink_queue.c, NFQNL_QMAX_DEFAULT */

static void nft_closep(struct nft **nft)
{
	nft_close(*nft);
}

uint64_t fallback_depth(const struct policy *policy)
{
	struct nfq_queue_info queue;
	uint64_t depth = 0;

	for (unsigned int i = 0; i < policy->nfqueue.threads; i++)
		if (nfq_queue_read((uint16_t)(policy->nfqueue.queue + i), &queue) == 0)
			depth += queue.depth;
	return depth;
}

uint64_t fallback_depth_limit(const struct nfq_path_info *info)
{
	const uint64_t threads = info->threads ? info->threads : 1;

	/* An external daemon's is the kernel's default, or what it asked for: that cannot be read. */
	return (info->external ? NFQ_DEFAULT_LENGTH : NFQ_QUEUE_LENGTH) / 2 * threads;
}

int fallback_fed(const struct policy *policy, struct err *err)
{
	struct legacy_rule rules[LEGACY_RULES_MAX];
	int n = legacy_find(policy, rules, err);

	for (int i = 0; i < n; i++)
		if (rules[i].guarded && rules[i].queue == policy->nfqueue.queue)
			return 1;
	return n < 0 ? n : 0;
}

static int read_external(const struct policy *policy, struct nfq_path_info *out, struct err *err)
{
	struct nfq_path_info info = { .queue = policy->nfqueue.queue, .external = true };
	struct nfq_queue_info queue = { 0 };
	struct legacy_listener listener;
	struct err ignored;
	int ret = legacy_listener(info.queue, &listener, err);

	if (ret < 0)
		return ret;
	info.threads = policy->nfqueue.threads;
	for (unsigned int i = 0; i < info.threads; i++) {
		if (nfq_queue_read((uint16_t)(info.queue + i), &queue) < 0)
			continue;
		info.depth += queue.depth;
		info.dropped += queue.dropped + queue.user_dropped;
	}
	/* After the depth: what is counted in front and neither waits nor arrived was handled. */
	ret = nft_read(policy->interface, &info.nft, err);
	if (ret < 0)
		return ret;
	info.pid = listener.pid;
	/* Its rule is asked for only while our table is not there: on the way in and on the way out. */
	info.running = listener.bound && (info.nft.external || fallback_fed(policy, &ignored) > 0);
	info.unmodified = info.nft.leaked;
	if (info.nft.queued > info.nft.leaked + info.depth)
		info.handled = info.nft.queued - info.nft.leaked - info.depth;
	*out = info;
	return 0;
}

int fallback_read(const struct policy *policy, struct nfq_path_info *out, struct err *err)
{
	return policy->nfqueue.daemon == NFQ_DAEMON_EXTERNAL
		       ? read_external(policy, out, err)
		       : nfq_path_read(policy->interface, out, err);
}

static json_t *rule_to_json(const struct legacy_rule *rule)
{
	return json_pack("{s:i, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:b, s:s}", "kind",
			 (int)rule->kind, "family", rule->family, "table", rule->table, "chain",
			 rule->chain, "priority", rule->priority, "position", (int)rule->position,
			 "copy", (int)rule->copy, "queue", (int)rule->queue, "queues",
			 (int)rule->queues, "bypass", (int)rule->bypass, "text", rule->text);
}

static int rule_from_json(json_t *object, struct legacy_rule *out)
{
	struct legacy_rule rule = { .understood = true };
	const char *family, *table, *chain, *text;
	int kind, position, copy, queue, queues, bypass;

	if (json_unpack(object, "{s:i, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:b, s:s}", "kind",
			&kind, "family", &family, "table", &table, "chain", &chain, "priority",
			&rule.priority, "position", &position, "copy", &copy, "queue", &queue,
			"queues", &queues, "bypass", &bypass, "text", &text) < 0)
		return -EINVAL;
	rule.kind = (enum legacy_kind)kind;
	rule.position = (unsigned int)position;
	rule.copy = (unsigned int)copy;
	rule.queue = (uint16_t)queue;
	rule.queues = (uint16_t)queues;
	rule.bypass = bypass;
	snprintf(rule.family, sizeof(rule.family), "%s", family);
	snprintf(rule.table, sizeof(rule.table), "%s", table);
	snprintf(rule.chain, sizeof(rule.chain), "%s", chain);
	snprintf(rule.text, sizeof(rule.text), "%s", text);
	*out = rule;
	return 0;
}

/* The rules as they were before the first change; a later save keeps what is there. */
static int save(const struct policy *policy, const struct legacy_rule *rules, int n,
		struct err *err)
{
	char path[PATH_MAX], temporary[PATH_MAX + 8];
	json_t *array = json_array();
	int ret = 0;

	instance_run_path(policy->interface, "rules", path);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	for (int i = 0; i < n; i++)
		if (rules[i].understood)
			json_array_append_new(array, rule_to_json(&rules[i]));
	if (access(path, F_OK) < 0 &&
	    (json_dump_file(array, temporary, JSON_INDENT(1)) < 0 || rename(temporary, path) < 0))
		ret = err_set(err, N2X_SYSTEM, "%s: cannot save the rules that are there: %s", path,
			      strerror(errno));
	json_decref(array);
	return ret;
}

/* Returns how many were saved; 0 when none. */
static int saved(const struct policy *policy, struct legacy_rule rules[LEGACY_RULES_MAX])
{
	char path[PATH_MAX];
	json_t *array, *object;
	size_t i;
	int n = 0;

	instance_run_path(policy->interface, "rules", path);
	array = json_load_file(path, 0, NULL);
	json_array_foreach(array, i, object) if (n < LEGACY_RULES_MAX &&
						 rule_from_json(object, &rules[n]) == 0) n++;
	json_decref(array);
	return n;
}

/* A hook that goes drops what waits: for a moment when nothing does. */
static void wait_for_quiet(void)
{
	for (int ms = 0; nfq_queues_waiting() && ms < QUIET_LIMIT_MS; ms++)
		poll(NULL, 0, 1);
}

/* The table that counts around the operator's rule. */
static int add_around(const struct policy *policy, int priority, bool started, struct err *err)
{
	_cleanup_(nft_closep) struct nft *nft = NULL;
	struct nft_installed installed;
	struct nft_counters there;
	int ret = nft_read(policy->interface, &there, err);

	/* One that an earlier start left may have other ports, or be around a rule that has moved. */
	if (ret < 0 || (there.external && started))
		return ret;
	ret = nft_open(&nft, err);
	if (ret < 0)
		return ret;
	if (there.present)
		wait_for_quiet();
	return nft_install(nft, policy, &priority, &installed, err);
}

static int check_external(const struct policy *policy, const struct legacy_rule *rules, int n,
			  const struct legacy_rule **feeds, struct err *err)
{
	const struct legacy_rule *odd = NULL;
	struct legacy_listener listener;
	int ret;

	*feeds = NULL;
	for (int i = 0; i < n; i++) {
		if (!rules[i].understood)
			odd = &rules[i];
		else if (rules[i].queue == policy->nfqueue.queue)
			*feeds = &rules[i];
	}
	if (!*feeds && odd)
		return err_set(err, N2X_NO,
			       "a rule that is not understood is left alone (%s): %.200s", odd->why,
			       odd->text);
	if (!*feeds)
		return err_set(
			err, N2X_NO,
			"%s: nfqueue.daemon is external, but no rule feeds queue %u: check nfqueue.queue",
			policy->interface, policy->nfqueue.queue);
	ret = legacy_listener(policy->nfqueue.queue, &listener, err);
	if (ret == 0 && !listener.bound)
		ret = err_set(err, N2X_NO, "%s: nobody listens on queue %u: start the daemon",
			      policy->interface, policy->nfqueue.queue);
	return ret;
}

int fallback_adopt(const struct policy *policy, bool started, struct err *err)
{
	bool external = policy->nfqueue.daemon == NFQ_DAEMON_EXTERNAL;
	struct legacy_rule rules[LEGACY_RULES_MAX];
	const struct legacy_rule *feeds = NULL;
	int n = legacy_find(policy, rules, err);
	int ret = n < 0 ? n : 0;

	if (ret == 0 && external)
		ret = check_external(policy, rules, n, &feeds, err);
	if (ret == 0 && n)
		ret = save(policy, rules, n, err);
	for (int i = 0; i < n && ret == 0; i++)
		if (rules[i].understood && !rules[i].guarded)
			ret = legacy_guard(&rules[i], err);
	if (ret == 0 && feeds)
		ret = add_around(policy, feeds->priority, started, err);
	return ret;
}

/* F2: nothing of ours matches while XDP takes all; else a moment when nothing waits. */
static int remove_around(const struct policy *policy, struct err *err)
{
	_cleanup_(nft_closep) struct nft *nft = NULL;
	struct nft_counters there;
	int ret = nft_read(policy->interface, &there, err);

	if (ret < 0 || !there.present || !there.external)
		return ret;
	ret = nft_open(&nft, err);
	if (ret < 0)
		return ret;
	wait_for_quiet();
	return nft_remove(nft, policy->interface, err);
}

static const struct legacy_rule *find_text(const struct legacy_rule *rules, int n,
					   const struct legacy_rule *like)
{
	for (int i = 0; i < n; i++)
		if (rules[i].kind == like->kind && !strcmp(rules[i].table, like->table) &&
		    !strcmp(rules[i].chain, like->chain) && !strcmp(rules[i].text, like->text) &&
		    rules[i].copy == like->copy)
			return &rules[i];
	return NULL;
}

int fallback_reinstate(const struct policy *policy, struct err *err)
{
	struct legacy_rule now[LEGACY_RULES_MAX], was[LEGACY_RULES_MAX];
	struct legacy_listener listener;
	int n_was = saved(policy, was);
	int n = legacy_find(policy, now, err);
	int ret = n < 0 ? n : 0;
	int guarded = 0;

	for (int i = 0; i < n; i++)
		guarded += now[i].guarded;
	if (ret == 0 && !n_was && !guarded)
		return err_set(err, N2X_INACTIVE,
			       "%s: no rule that was there before was changed: nothing to restore",
			       policy->interface);
	for (int i = 0; i < n_was && ret == 0; i++) {
		ret = legacy_listener(was[i].queue, &listener, err);
		if (ret == 0 && !listener.bound)
			ret = err_set(
				err, N2X_NO,
				"nobody listens on queue %u: start the daemon that was there first",
				was[i].queue);
		if (ret == 0 && !find_text(now, n, &was[i]))
			ret = legacy_insert(&was[i], true, err);
	}
	return ret;
}

int fallback_leave(const struct policy *policy, struct err *err)
{
	if (policy->nfqueue.daemon == NFQ_DAEMON_OWN)
		return nfq_path_stop(policy->interface, STOP_LIMIT_MS, err);
	return remove_around(policy, err);
}

int fallback_unguard(const struct policy *policy, struct err *err)
{
	struct legacy_rule now[LEGACY_RULES_MAX];
	int n = legacy_find(policy, now, err);
	int ret = n < 0 ? n : 0;
	char path[PATH_MAX];

	for (int i = 0; i < n && ret == 0; i++)
		if (now[i].guarded)
			ret = legacy_unguard(&now[i], err);
	instance_run_path(policy->interface, "rules", path);
	if (ret == 0 && unlink(path) < 0 && errno != ENOENT)
		ret = err_set(err, N2X_SYSTEM, "%s: %s", path, strerror(errno));
	return ret;
}

int fallback_remove(const struct policy *policy, struct err *err)
{
	struct legacy_rule now[LEGACY_RULES_MAX];
	int n = legacy_find(policy, now, err);
	int ret = n < 0 ? n : fallback_leave(policy, err);

	for (int i = 0; i < n && ret == 0; i++)
		if (now[i].guarded)
			ret = legacy_remove(&now[i], err);
	return ret;
}

/* /proc/<pid>/task/<tid>/schedstat: time on a CPU, time waiting for one, in ns (kernel/sched/stats.c). */
int fallback_busy(pid_t pid, struct fallback_busy *out)
{
	_cleanup_dir_ DIR *dir = NULL;
	struct fallback_busy busy = { 0 };
	char path[64 + NAME_MAX];
	struct dirent *e;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir)) && busy.n < FALLBACK_TASKS_MAX) {
		_cleanup_file_ FILE *f = NULL;
		uint64_t ran, waited;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, e->d_name);
		f = fopen(path, "re");
		if (!f || fscanf(f, "%" SCNu64 " %" SCNu64, &ran, &waited) != 2)
			continue;
		busy.tid[busy.n] = atoi(e->d_name);
		busy.ns[busy.n++] = ran + waited;
	}
	*out = busy;
	return busy.n ? 0 : -N2X_SYSTEM;
}

uint64_t fallback_busiest_ns(const struct fallback_busy *before, const struct fallback_busy *after)
{
	uint64_t busiest = 0;

	for (unsigned int i = 0; i < after->n; i++) {
		uint64_t ns = after->ns[i];

		for (unsigned int j = 0; j < before->n; j++)
			if (before->tid[j] == after->tid[i] && before->ns[j] <= ns)
				ns -= before->ns[j];
		busiest = ns > busiest ? ns : busiest;
	}
	return busiest;
}

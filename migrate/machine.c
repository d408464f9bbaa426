// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/machine.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/instance.h"
#include "core/util.h"
#include "migrate/environment.h"

#define LOCK_LIMIT_MS    1000 /* a move of the share takes milliseconds */
#define EFFECT_LIMIT_NS  100000000U
#define EMPTY_LIMIT_MS   5000 /* what waits when XDP takes all is soon handled */
#define QUIET_MS         50
#define RESTORE_LEASE_NS 20000000000ULL /* as long as all of restore may take */

const char *const machine_state_name[MACHINE_STATE_MAX] = {
	[MACHINE_IDLE] = "IDLE", [MACHINE_SHADOW] = "SHADOW",           [MACHINE_SPLIT] = "SPLIT",
	[MACHINE_FULL] = "FULL", [MACHINE_CONFIRMED] = "CONFIRMED",     [MACHINE_DONE] = "DONE",
	[MACHINE_HOLD] = "HOLD", [MACHINE_ROLLED_BACK] = "ROLLED_BACK",
};

uint64_t machine_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static uint64_t cleared(const uint64_t reason[DF_REASON_MAX])
{
	return reason[DF_CLEARED] + reason[DF_CLEARED_ID0] + reason[DF_CLEARED_ASSIGNED];
}

enum machine_state machine_state_of(const struct xdp_state *xdp)
{
	const struct df_ctl *ctl = &xdp->ctl;

	if (ctl->share_kind == DF_SHARE_NONE && ctl->writes)
		return MACHINE_ROLLED_BACK;
	if (xdp->expired)
		return MACHINE_ROLLED_BACK;
	if (ctl->share_kind == DF_SHARE_ALL && ctl->flags & DF_CTL_DONE)
		return MACHINE_DONE;
	if (ctl->share_kind == DF_SHARE_ALL && !ctl->deadline)
		return MACHINE_CONFIRMED;
	/* After these, which have no step up to be held back from. */
	if (ctl->flags & (DF_CTL_HELD | DF_CTL_UNSURE))
		return MACHINE_HOLD;
	if (ctl->share_kind == DF_SHARE_NONE)
		return MACHINE_SHADOW;
	return ctl->share_kind == DF_SHARE_ALL ? MACHINE_FULL : MACHINE_SPLIT;
}

double machine_share_ratio(const struct xdp_state *xdp)
{
	if (xdp->expired)
		return 0;
	switch (xdp->ctl.share_kind) {
	case DF_SHARE_NTH:
		return xdp->ctl.share_n ? 1.0 / xdp->ctl.share_n : 0;
	case DF_SHARE_FLOW:
		return xdp->ctl.share_n / 4294967296.0;
	default:
		return xdp->ctl.share_kind == DF_SHARE_ALL;
	}
}

static __attribute__((format(printf, 2, 3))) void problem(struct machine_status *status,
							  const char *format, ...)
{
	va_list args;

	if (status->n_problems == MACHINE_PROBLEMS_MAX)
		return;
	va_start(args, format);
	vsnprintf(status->problem[status->n_problems++], sizeof(status->problem[0]), format, args);
	va_end(args);
}

/* nft N4: its table says that its process lives. */
bool machine_nfq_unseen(const struct nfq_path_info *nfq)
{
	return !nfq->external && !nfq->pid && nfq->nft.has_queue && nfq->nft.owner;
}

static void find_problems(struct machine_status *status)
{
	const struct xdp_state *xdp = &status->xdp;

	if (status->state == MACHINE_IDLE)
		return;
	if (!xdp->n_points)
		problem(status, "no attach point is left: roll back with --detach and start again");
	for (unsigned int i = 0; i < xdp->n_points; i++) {
		if (!xdp->point[i].ours)
			problem(status, "%s: our XDP program is not attached there any more%s",
				xdp->point[i].interface,
				xdp->point[i].gone    ? ": the interface is gone"
				: xdp->point[i].taken ? ": another program is"
						      : "");
		else if (xdp->point[i].stub)
			problem(status,
				"%s: the program was replaced by one that does nothing: nfq2xdp migrate "
				"start puts it back",
				xdp->point[i].interface);
	}
	if (machine_nfq_unseen(&status->nfq))
		problem(status,
			"the NFQUEUE path runs, and its counters are not to be seen: its file in "
			"/run/nfq2xdp is gone: start it anew");
	else if (!status->nfq.running && status->state != MACHINE_DONE)
		problem(status,
			"the NFQUEUE path does not run: what XDP does not take passes with DF set");
	if (status->nfq.running && status->nfq.external && !status->nfq.nft.external)
		problem(status,
			"our table around the operator's rule is not there: nfq2xdp migrate "
			"restore goes on with taking it away, migrate start puts it back");
	if (status->nfq.running && status->state == MACHINE_DONE)
		problem(status, "done was not finished: nfq2xdp migrate done -c FILE");
	if (xdp->reason[DF_ERROR])
		problem(status, "XDP errors: %llu", (unsigned long long)xdp->reason[DF_ERROR]);
	if (xdp->ctl.share_kind >= DF_SHARE_KIND_MAX)
		problem(status, "the share in the map is of no known kind: XDP takes nothing");
	if (xdp->expired)
		problem(status, "the lease ran out: XDP takes nothing since");
	if (xdp->ctl.deadline && !xdp->now)
		problem(status, "the kernel's clock cannot be read: whether the lease holds is not "
				"known");
}

void machine_count(struct machine_status *status)
{
	const uint64_t *reason = status->xdp.reason;

	status->cleared = cleared(reason);
	status->matched = status->cleared + reason[DF_NOT_SELECTED] + reason[DF_LEASE_EXPIRED];
	status->arriving = status->matched + reason[DF_NO_DF] + reason[DF_BELOW_MIN];
}

static const char *text_of(const json_t *line, const char *key)
{
	return json_string_value(json_object_get(line, key)) ?: "";
}

static void see_done(void *ctx, json_t *line)
{
	const char *event = text_of(line, "event");
	bool *done = ctx;

	if (!strcmp(event, "did"))
		*done = !strcmp(text_of(line, "do"), "done");
	else if (!strcmp(event, "rollback"))
		*done = false;
}

/* Does a rule, as it was or guarded, send to the daemon's queue? */
static bool has_rule(const struct policy *policy)
{
	struct legacy_rule rules[LEGACY_RULES_MAX];
	struct err ignored;
	int n = legacy_find(policy, rules, &ignored);

	for (int i = 0; i < n; i++)
		if (rules[i].queue == policy->nfqueue.queue)
			return true;
	return n < 0;
}

/*
 * XDP alone (nfq2xdp run xdp), and nothing runs behind it. That is meant where done was said last, also
 * before a reboot; and where no NFQUEUE path was begun since: then nothing of one is in /run.
 */
static bool is_alone(const struct policy *policy, const struct machine_status *status)
{
	const struct nfq_path_info *nfq = &status->nfq;
	const struct df_ctl *ctl = &status->xdp.ctl;
	bool done = false;

	if (status->state != MACHINE_CONFIRMED || ctl->confirmed == ctl->generation ||
	    nfq->running || nfq->nft.present || (nfq->external && has_rule(policy)))
		return false;
	journal_tail(policy->interface, see_done, &done);
	return done || !(nfq->external ? nfq->pid : nfq->threads);
}

int machine_status(const struct policy *policy, struct machine_status *out, struct err *err)
{
	struct machine_status status = { .state = MACHINE_IDLE };
	int ret = xdp_read(policy->interface, &status.xdp, err);

	if (ret == 0) {
		status.state = machine_state_of(&status.xdp);
		machine_count(&status);
	} else if (ret != -N2X_INACTIVE) {
		return ret;
	}
	ret = fallback_read(policy, &status.nfq, err);
	if (ret < 0)
		return ret;
	if (is_alone(policy, &status))
		status.state = MACHINE_DONE;
	find_problems(&status);
	*out = status;
	return 0;
}

struct other {
	const char *instance;
	bool found;
};

static void find_other(const char *instance, unsigned int version, void *ctx)
{
	struct other *other = ctx;

	other->found |= version != ABI_VERSION && !strcmp(instance, other->instance);
}

bool machine_other_layout(const char *instance)
{
	struct other other = { .instance = instance };
	struct err ignored;

	xdp_instances(find_other, &other, &ignored);
	return other.found;
}

int machine_started(const struct policy *policy, bool *already, struct err *err)
{
	struct xdp_state there;
	int ret = xdp_read(policy->interface, &there, err);

	if (ret == -N2X_SYSTEM)
		return ret;
	*already = ret == 0 && there.n_points && !xdp_half(&there, policy) &&
		   !machine_other_layout(policy->interface);
	return *already ? xdp_check(&there, policy, err) : 0;
}

/* The next rollout on an attachment that is there: counted anew, from share 0. */
static int start_anew(const struct policy *policy, int lock, struct err *err)
{
	_cleanup_(xdp_ctl_close) struct xdp_ctl ctl = { .clock_fd = -1 };
	int ret = xdp_ctl_open(policy->interface, &ctl, err);
	int generation = ret < 0 ? ret : instance_next_generation(lock, err);

	if (generation < 0)
		return generation;
	xdp_ctl_zero(&ctl);
	__atomic_store_n(&ctl.map->generation, (uint32_t)generation, __ATOMIC_SEQ_CST);
	__atomic_store_n(&ctl.map->writes, 0, __ATOMIC_SEQ_CST);
	return 0;
}

json_t *machine_counters(const struct machine_status *status)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "matched", (json_int_t)status->matched, "cleared",
			 (json_int_t)status->cleared, "handled", (json_int_t)status->nfq.handled,
			 "leaked", (json_int_t)status->nfq.nft.leaked);
}

int machine_intend(struct journal *journal, const char *what, json_t *more, struct err *err)
{
	json_t *line = json_pack("{s:s}", "do", what);

	if (more)
		json_object_update(line, more);
	json_decref(more);
	return journal_write(journal, "intent", line, true, err);
}

/* What became of an intent. The change is made by now: a journal that is full does not unmake it. */
int machine_did(struct journal *journal, const char *what, int ret, const struct err *why)
{
	struct err ignored;

	journal_write(journal, ret < 0 ? "failed" : "did",
		      ret < 0 ? json_pack("{s:s, s:s}", "do", what, "why", why->text)
			      : json_pack("{s:s}", "do", what),
		      true, &ignored);
	return ret;
}

static int attach(const struct policy *policy, struct machine_start *start, int lock,
		  struct err *err)
{
	struct machine_status there = { 0 };
	int ret = machine_status(policy, &there, err);
	int generation;

	/* Also what another build left, of another layout. */
	if (ret == 0 && xdp_half(&there.xdp, policy))
		ret = -N2X_INACTIVE;
	if (ret == 0)
		ret = xdp_upgrade(policy, there.xdp.ctl.generation + 1, &start->upgraded, err);
	start->already = ret == 0;
	if (ret == 0 && there.state == MACHINE_ROLLED_BACK)
		ret = start_anew(policy, lock, err);
	if (ret != -N2X_INACTIVE)
		return ret;
	generation = instance_next_generation(lock, err);
	return generation < 0 ? generation
			      : xdp_attach(policy, start->local_only, (uint32_t)generation, err);
}

/* A rollout that begins, for its report: what it runs on. Its lines have its generation from here on. */
static void record_begin(const struct policy *policy, struct journal *journal)
{
	struct machine_status now;
	struct err ignored;

	if (machine_status(policy, &now, &ignored) < 0 ||
	    now.xdp.ctl.generation == journal->generation)
		return;
	journal->generation = now.xdp.ctl.generation;
	journal_write(journal, "environment",
		      json_pack("{s:o, s:o}", "environment", environment_json(policy, &now.xdp),
				"counters", machine_counters(&now)),
		      true, &ignored);
}

/* The guard is not taken away with that: a hook that goes under traffic drops what waits (nft N3). */
static int refused(const struct policy *policy, int ret, struct err *err)
{
	const struct err why = *err;
	struct err ignored;

	if (fallback_fed(policy, &ignored) <= 0)
		return ret;
	return err_set(
		err, -ret,
		"%.300s; the rule that was there is guarded now, and works: nfq2xdp migrate restore -c "
		"FILE puts it back",
		why.text);
}

int machine_start(const struct policy *policy, struct machine_start *start, struct journal *journal,
		  struct err *err)
{
	_cleanup_close_ int lock = -1;
	struct xdp_plan plan[POLICY_ATTACH_MAX];
	bool already = false;
	int ret = lock = instance_lock(policy->interface, "lock", err);

	if (ret >= 0)
		ret = machine_started(policy, &already, err);
	/* Before the first change: whatever can be known to fail. */
	if (ret == 0)
		ret = nft_may_rewrite(err); /* else the way back loses every packet */
	if (ret == 0 && !already && !xdp_pinned(policy->interface))
		ret = xdp_plan(policy, start->local_only, plan, err);
	if (ret == 0)
		ret = machine_intend(journal, "start", NULL, err);
	if (ret < 0)
		return ret;
	ret = fallback_adopt(policy, already, err);
	if (ret == 0) {
		ret = attach(policy, start, lock, err);
		if (ret < 0)
			ret = refused(policy, ret, err);
	}
	if (ret == 0)
		record_begin(policy, journal);
	return machine_did(journal, "start", ret, err);
}

/* M1: why the share may not rise, as err. */
static int check_may_rise(const struct policy *policy, const struct machine_status *status,
			  struct err *err)
{
	if (status->state == MACHINE_IDLE)
		return err_set(err, N2X_INACTIVE, "%s: not started: nfq2xdp migrate start -c FILE",
			       policy->interface);
	if (xdp_check(&status->xdp, policy, err) < 0)
		return -N2X_NO;
	if (status->state == MACHINE_DONE)
		return err_set(err, N2X_NO, "%s: done already", policy->interface);
	if (status->n_problems && !status->xdp.expired)
		return err_set(err, N2X_NO, "%s: refused: %s", policy->interface,
			       status->problem[0]);
	if (status->xdp.expired)
		return err_set(
			err, N2X_NO,
			"%s: refused: the lease ran out: nfq2xdp migrate start -c FILE begins "
			"the next rollout",
			policy->interface);
	return 0;
}

/* The time from the store until the program was seen to act on it. */
static uint64_t watch_effect(const struct policy *policy, uint64_t before, uint64_t start)
{
	struct xdp_state now;
	struct err ignored;

	while (machine_now_ns() - start < EFFECT_LIMIT_NS)
		if (xdp_read(policy->interface, &now, &ignored) < 0 ||
		    cleared(now.reason) != before)
			return machine_now_ns() - start;
	return 0;
}

/* The confirm lease of a generation begins with its first step up and goes on through the others. */
static uint64_t confirm_by(const struct policy *policy, const struct xdp_ctl *ctl)
{
	const struct df_ctl *map = ctl->map;

	return map->confirm_by
		       ? map->confirm_by
		       : xdp_ctl_after(map, xdp_ctl_now(ctl), policy->rollout.confirm_within_ns);
}

static int move(const struct policy *policy, const struct machine_status *now,
		struct xdp_raise *raise, struct machine_move *out, struct err *err)
{
	_cleanup_(xdp_ctl_close) struct xdp_ctl ctl = { .clock_fd = -1 };
	int ret = xdp_ctl_open(policy->interface, &ctl, err);
	uint64_t start;

	if (ret < 0)
		return ret;
	raise->confirm_by = confirm_by(policy, &ctl);
	start = machine_now_ns();
	ret = xdp_ctl_raise(&ctl, raise, err);
	*out = (struct machine_move){
		.before = raise->from,
		.after = raise->to,
		.generation = ctl.map->generation,
		.confirm_ns = xdp_ctl_left_ns(ctl.map, xdp_ctl_now(&ctl), raise->confirm_by),
		.write_ns = machine_now_ns() - start,
	};
	if (ret == 0)
		out->effect_ns = watch_effect(policy, now->cleared, start);
	return ret;
}

static json_t *move_json(const struct xdp_raise *raise, const struct machine_status *now)
{
	char from[32], to[32];

	return json_pack("{s:s, s:s, s:i, s:i, s:o}", "from",
			 share_format(&raise->from, from, sizeof(from)), "to",
			 share_format(&raise->to, to, sizeof(to)), "step", (int)raise->step,
			 "generation", (int)now->xdp.ctl.generation, "counters",
			 machine_counters(now));
}

int machine_raise(const struct policy *policy, const struct machine_raise *how,
		  struct journal *journal, struct machine_move *out, struct err *err)
{
	struct xdp_raise raise = { .to = how->to, .lease_ns = how->lease_ns, .step = how->step };
	struct machine_status status;
	_cleanup_close_ int lock = -1;
	int ret = lock = instance_lock(policy->interface, "lock", err);

	if (ret >= 0)
		ret = machine_status(policy, &status, err);
	if (ret == 0)
		ret = check_may_rise(policy, &status, err);
	if (ret == 0 && how->writes && *how->writes != status.xdp.ctl.writes)
		ret = err_set(err, N2X_NO, "somebody else wrote the share meanwhile");
	if (ret < 0)
		return ret;
	raise.from = (struct share){ status.xdp.ctl.share_kind, status.xdp.ctl.share_n };
	ret = machine_intend(journal, "share", move_json(&raise, &status), err);
	return ret < 0 ? ret
		       : machine_did(journal, "share", move(policy, &status, &raise, out, err),
				     err);
}

int machine_settle(const char *instance, struct err *err)
{
	_cleanup_(xdp_ctl_close) struct xdp_ctl ctl = { .clock_fd = -1 };
	_cleanup_close_ int fd = instance_peek(instance, "lock");
	int ret;

	/* Not for ever: a command that hangs must not hold this one. */
	for (int ms = 0; fd >= 0 && instance_holder(fd) && ms < LOCK_LIMIT_MS; ms++)
		poll(NULL, 0, 1);
	ret = xdp_ctl_open(instance, &ctl, err);
	if (ret == 0 && ctl.map->share_kind != DF_SHARE_NONE)
		xdp_ctl_zero(&ctl);
	return ret;
}

int machine_may_detach(const struct xdp_state *state, bool allow_link_reset, struct err *err)
{
	for (unsigned int i = 0; i < state->n_points; i++)
		if (state->point[i].ours && state->point[i].native && !allow_link_reset)
			return err_set(
				err, N2X_NO,
				"%s: a native detach resets the link of many drivers (seconds without traffic): "
				"say --allow-link-reset",
				state->point[i].interface);
	return 0;
}

int machine_detach(const struct policy *policy, bool allow_link_reset, struct err *err)
{
	const char *instance = policy->interface;
	struct xdp_state state;
	_cleanup_close_ int lock = -1;
	int ret = lock = instance_lock(instance, "lock", err);

	if (ret < 0)
		return ret;
	ret = xdp_read(instance, &state, err);
	if (ret == -N2X_SYSTEM)
		return ret;
	if (ret == 0 && state.ctl.share_kind != DF_SHARE_NONE)
		return err_set(err, N2X_NO, "%s: the share is not 0: roll back first", instance);
	if (ret == 0 && machine_may_detach(&state, allow_link_reset, err) < 0)
		return -N2X_NO;
	return xdp_detach(instance, err);
}

int machine_done(const struct policy *policy, struct journal *journal, struct err *err)
{
	_cleanup_(xdp_ctl_close) struct xdp_ctl ctl = { .clock_fd = -1 };
	const char *instance = policy->interface;
	struct machine_status status;
	_cleanup_close_ int lock = -1;
	int ret = lock = instance_lock(instance, "lock", err);

	if (ret >= 0)
		ret = machine_status(policy, &status, err);
	if (ret < 0)
		return ret;
	/* Done already, too: it may have been killed on the way. */
	if (status.state != MACHINE_CONFIRMED && status.state != MACHINE_DONE)
		return err_set(err, status.state == MACHINE_IDLE ? N2X_INACTIVE : N2X_NO,
			       "%s: done comes after confirm; the state is %s", instance,
			       machine_state_name[status.state]);
	ret = xdp_check(&status.xdp, policy, err);
	if (ret == 0)
		ret = xdp_ctl_open(instance, &ctl, err);
	if (ret == 0)
		ret = machine_intend(journal, "done", NULL, err);
	if (ret < 0)
		return ret;
	/* Before: if this is killed on the way, no state says that there is a way back. */
	xdp_ctl_flag(&ctl, DF_CTL_DONE, 1);
	ret = fallback_remove(policy, err);
	if (ret < 0)
		xdp_ctl_flag(&ctl, DF_CTL_DONE, 0);
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): open since xdp_ctl_open() said 0 */
	if (ret == 0 && ctl.map->share_kind != DF_SHARE_ALL)
		ret = err_set(err, N2X_DEGRADED,
			      "%s: the NFQUEUE path is gone, and somebody took the share down "
			      "meanwhile: packets pass with DF set; start it again",
			      instance);
	return machine_did(journal, "done", ret, err);
}

/*
 * XDP takes all, so that nothing waits as a hook goes; by a lease, so that this can die. What passed XDP
 * before that is on its way to the queue for a while: until none came for QUIET_MS.
 */
static int empty_queue(const struct policy *policy, struct err *err)
{
	_cleanup_(xdp_ctl_close) struct xdp_ctl ctl = { .clock_fd = -1 };
	struct xdp_raise raise = { .to.kind = DF_SHARE_ALL, .lease_ns = RESTORE_LEASE_NS };
	struct nfq_path_info info;
	uint64_t queued = UINT64_MAX;
	int quiet_ms = 0;
	int ret = xdp_ctl_open(policy->interface, &ctl, err);

	if (ret < 0)
		return ret;
	raise.from = (struct share){ ctl.map->share_kind, ctl.map->share_n };
	ret = xdp_ctl_raise(&ctl, &raise, err);
	for (int ms = 0; ret == 0 && ms < EMPTY_LIMIT_MS && quiet_ms < QUIET_MS; ms++) {
		ret = fallback_read(policy, &info, err);
		quiet_ms = info.depth || info.nft.queued != queued ? 0 : quiet_ms + 1;
		queued = info.nft.queued;
		poll(NULL, 0, 1);
	}
	return ret;
}

static void see_reason(void *ctx, json_t *line)
{
	bool *by_gate = ctx;

	if (!strcmp(text_of(line, "event"), "did") && !strcmp(text_of(line, "do"), "start"))
		*by_gate = false;
	*by_gate |= !strncmp(text_of(line, "reason"), "gate ", 5);
}

/* Our hooks go, and the operator's daemon is there or about to be: XDP can empty the queues for that moment,
 * unless a gate has taken it out since start. */
static bool may_shield(const struct policy *policy, const struct machine_status *status)
{
	bool by_gate = false;
	struct err ignored;

	journal_tail(policy->interface, see_reason, &by_gate);
	return !by_gate && status->nfq.nft.present &&
	       xdp_check(&status->xdp, policy, &ignored) == 0;
}

static int restore(const struct policy *policy, struct err *err)
{
	struct machine_status status;
	struct err ignored;
	int ret = machine_status(policy, &status, err);

	if (ret == 0)
		ret = fallback_reinstate(policy, err);
	if (ret == 0)
		ret = machine_status(policy, &status, err);
	if (ret < 0)
		return ret;
	if (may_shield(policy, &status))
		ret = empty_queue(policy, err);
	if (ret == 0)
		ret = fallback_leave(policy, err);
	/* Whatever happened: the operator's rule, guarded, carries all. */
	if (status.state != MACHINE_IDLE) {
		int zero = xdp_zero(policy->interface, ABI_VERSION, ret < 0 ? &ignored : err);

		ret = ret < 0 ? ret : zero;
	}
	return ret < 0 ? ret : fallback_unguard(policy, err);
}

int machine_restore(const struct policy *policy, struct journal *journal, struct err *err)
{
	_cleanup_close_ int lock = -1;
	int ret = lock = instance_lock(policy->interface, "lock", err);

	if (ret >= 0)
		ret = machine_intend(journal, "restore", NULL, err);
	return ret < 0 ? ret : machine_did(journal, "restore", restore(policy, err), err);
}

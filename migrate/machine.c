// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/machine.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/instance.h"
#include "core/util.h"

#define VERIFY_PERIOD_MS 2 /* between two readings of XDP's counter */
#define VERIFY_STILL     5 /* readings in a row without a change: it stands still */
#define VERIFY_LIMIT_MS  1000
#define LOCK_LIMIT_MS    1000 /* a move of the share takes milliseconds */
#define STOP_LIMIT_MS    15000 /* the NFQUEUE path drains for at most 5 s */

const char *const machine_state_name[MACHINE_STATE_MAX] = {
	[MACHINE_IDLE] = "IDLE", [MACHINE_SHADOW] = "SHADOW", [MACHINE_SPLIT] = "SPLIT",
	[MACHINE_FULL] = "FULL", [MACHINE_DONE] = "DONE",     [MACHINE_ROLLED_BACK] = "ROLLED_BACK",
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static uint64_t cleared(const uint64_t reason[DF_REASON_MAX])
{
	return reason[DF_CLEARED] + reason[DF_CLEARED_ID0] + reason[DF_CLEARED_ASSIGNED];
}

static enum machine_state state_of(const struct df_ctl *ctl)
{
	switch (ctl->share_kind) {
	case DF_SHARE_NONE:
		return ctl->writes ? MACHINE_ROLLED_BACK : MACHINE_SHADOW;
	case DF_SHARE_ALL:
		return ctl->done ? MACHINE_DONE : MACHINE_FULL;
	default:
		return MACHINE_SPLIT;
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

static void find_problems(struct machine_status *status)
{
	const struct xdp_state *xdp = &status->xdp;

	if (status->state == MACHINE_IDLE)
		return;
	if (!xdp->n_points)
		problem(status, "no attach point is left: roll back with --detach and start again");
	for (unsigned int i = 0; i < xdp->n_points; i++)
		if (!xdp->point[i].ours)
			problem(status, "%s: our XDP program is not attached there any more",
				xdp->point[i].interface);
	if (!status->nfq.running && status->state != MACHINE_DONE)
		problem(status,
			"the NFQUEUE path does not run: what XDP does not take passes with DF set");
	if (xdp->reason[DF_ERROR])
		problem(status, "XDP errors: %llu", (unsigned long long)xdp->reason[DF_ERROR]);
	if (xdp->ctl.share_kind >= DF_SHARE_KIND_MAX)
		problem(status, "the share in the map is of no known kind: XDP takes nothing");
}

int machine_status(const char *instance, struct machine_status *out, struct err *err)
{
	struct machine_status status = { .state = MACHINE_IDLE };
	int ret = xdp_read(instance, &status.xdp, err);

	if (ret == 0) {
		const uint64_t *reason = status.xdp.reason;

		status.state = state_of(&status.xdp.ctl);
		status.cleared = cleared(reason);
		status.matched = status.cleared + reason[DF_NOT_SELECTED] +
				 reason[DF_LEASE_EXPIRED];
	} else if (ret != -N2X_INACTIVE) {
		return ret;
	}
	ret = nfq_path_read(instance, &status.nfq, err);
	if (ret < 0)
		return ret;
	find_problems(&status);
	*out = status;
	return 0;
}

int machine_started(const struct policy *policy, bool *already, struct err *err)
{
	struct xdp_state there;
	int ret = xdp_read(policy->interface, &there, err);

	if (ret == -N2X_SYSTEM)
		return ret;
	*already = ret == 0 && there.n_points;
	return *already ? xdp_check(&there, policy, err) : 0;
}

int machine_start(const struct policy *policy, bool local_only, bool *already, struct err *err)
{
	_cleanup_close_ int lock = -1;
	int ret = lock = instance_lock(policy->interface, "lock", err);

	if (ret >= 0)
		ret = machine_started(policy, already, err);
	if (ret < 0 || *already)
		return ret;
	ret = instance_next_generation(lock, err);
	return ret < 0 ? ret : xdp_attach(policy, local_only, (uint32_t)ret, err);
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
	if (status->n_problems)
		return err_set(err, N2X_NO, "%s: refused: %s", policy->interface,
			       status->problem[0]);
	return 0;
}

static int move(const char *instance, const struct df_ctl *ctl, const struct share *share,
		struct machine_move *out, struct err *err)
{
	uint64_t start = now_ns();
	int ret = xdp_share_set(instance, share, err);

	*out = (struct machine_move){
		.before = { .kind = ctl->share_kind, .n = ctl->share_n },
		.after = *share,
		.write_ns = now_ns() - start,
	};
	return ret;
}

int machine_split(const struct policy *policy, const struct share *share, struct machine_move *out,
		  struct err *err)
{
	struct machine_status status;
	_cleanup_close_ int lock = -1;
	int ret = lock = instance_lock(policy->interface, "lock", err);

	if (ret >= 0)
		ret = machine_status(policy->interface, &status, err);
	if (ret == 0)
		ret = check_may_rise(policy, &status, err);
	if (ret == 0 && status.state == MACHINE_DONE)
		ret = err_set(err, N2X_NO, "%s: done already", policy->interface);
	return ret < 0 ? ret : move(policy->interface, &status.xdp.ctl, share, out, err);
}

/* Waits until XDP's counter stands still. A packet in flight at the write may still be cleared. */
static int watch_stop(const char *instance, struct err *err)
{
	struct xdp_state now;
	uint64_t last = 0;
	int still = -1; /* the first reading is no comparison */

	for (int ms = 0; still < VERIFY_STILL && ms < VERIFY_LIMIT_MS; ms += VERIFY_PERIOD_MS) {
		int ret = xdp_read(instance, &now, err);

		if (ret < 0)
			return ret;
		still = still >= 0 && cleared(now.reason) == last ? still + 1 : 0;
		last = cleared(now.reason);
		poll(NULL, 0, VERIFY_PERIOD_MS);
	}
	if (still < VERIFY_STILL)
		return err_set(err, N2X_SYSTEM,
			       "%s: share 0 is written, but XDP still clears packets", instance);
	return 0;
}

int machine_settle(const char *instance, struct err *err)
{
	const struct share none = { .kind = DF_SHARE_NONE };
	_cleanup_close_ int fd = instance_peek(instance, "lock");
	struct xdp_state now;
	int ret;

	/* Not for ever: a command that hangs must not hold this one. */
	for (int ms = 0; fd >= 0 && instance_holder(fd) && ms < LOCK_LIMIT_MS; ms++)
		poll(NULL, 0, 1);
	ret = xdp_read(instance, &now, err);
	if (ret == 0 && now.ctl.share_kind != DF_SHARE_NONE)
		ret = xdp_share_set(instance, &none, err);
	return ret;
}

/* What a rollback did is true only if somebody carries the packets now. */
static int check_carried(const char *instance, const struct machine_status *before,
			 struct machine_move *move, struct err *err)
{
	struct machine_status after;

	for (int ms = 0; ms < VERIFY_LIMIT_MS; ms += VERIFY_PERIOD_MS) {
		int ret = machine_status(instance, &after, err);

		if (ret < 0)
			return ret;
		if (!after.nfq.running || after.nfq.pid != before->nfq.pid)
			return err_set(
				err, N2X_DEGRADED,
				"%s: share 0, but the NFQUEUE path went away meanwhile: packets "
				"pass with DF set; start it: nfq2xdp run nfqueue -c FILE",
				instance);
		move->matched = after.matched - before->matched;
		move->nfq_handled = after.nfq.handled - before->nfq.handled;
		move->leaked = after.nfq.nft.leaked - before->nfq.nft.leaked;
		/* And by its rule: what it handled alone may have waited there since before. */
		if (!move->matched ||
		    (move->nfq_handled && after.nfq.nft.queued != before->nfq.nft.queued))
			return 0;
		poll(NULL, 0, VERIFY_PERIOD_MS);
	}
	return err_set(
		err, N2X_DEGRADED,
		"%s: share 0, but of %llu packets that XDP left the NFQUEUE path saw none: they pass "
		"with DF set; bridged frames need net.bridge.bridge-nf-call-iptables=1",
		instance, (unsigned long long)move->matched);
}

int machine_rollback(const char *instance, struct machine_move *out, struct err *err)
{
	const struct share none = { .kind = DF_SHARE_NONE };
	struct machine_move result = { .after = none };
	struct machine_status before;
	uint64_t start;
	int ret = machine_status(instance, &before, err);

	if (ret < 0)
		return ret;
	result.before = (struct share){ before.xdp.ctl.share_kind, before.xdp.ctl.share_n };
	if (before.xdp.ctl.share_kind == DF_SHARE_NONE) {
		*out = result;
		return 0;
	}
	if (!before.nfq.running)
		return err_set(
			err, N2X_NO,
			"%s: nothing to go back to: start the NFQUEUE path (nfq2xdp run nfqueue -c FILE), or take "
			"XDP out at once: nfq2xdp panic %s",
			instance, instance);
	start = now_ns();
	ret = xdp_share_set(instance, &none, err);
	result.write_ns = now_ns() - start;
	if (ret == 0)
		ret = machine_settle(instance, err);
	if (ret == 0)
		ret = watch_stop(instance, err);
	result.verify_ns = now_ns() - start;
	if (ret == 0)
		ret = check_carried(instance, &before, &result, err);
	if (ret < 0)
		return ret;
	*out = result;
	return 0;
}

int machine_detach(const char *instance, bool allow_link_reset, struct err *err)
{
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
	for (unsigned int i = 0; ret == 0 && i < state.n_points; i++)
		if (state.point[i].ours && state.point[i].native && !allow_link_reset)
			return err_set(
				err, N2X_NO,
				"%s: a native detach resets the link of many drivers (seconds without traffic): "
				"say --allow-link-reset",
				state.point[i].interface);
	return xdp_detach(instance, err);
}

int machine_done(const char *instance, struct err *err)
{
	struct machine_status status;
	_cleanup_close_ int lock = -1;
	int ret = lock = instance_lock(instance, "lock", err);

	if (ret >= 0)
		ret = machine_status(instance, &status, err);
	if (ret < 0)
		return ret;
	if (status.state == MACHINE_DONE)
		return 0;
	if (status.state != MACHINE_FULL)
		return err_set(err, status.state == MACHINE_IDLE ? N2X_INACTIVE : N2X_NO,
			       "%s: done comes after full; the state is %s", instance,
			       machine_state_name[status.state]);
	for (unsigned int i = 0; i < status.xdp.n_points; i++)
		if (!status.xdp.point[i].ours)
			return err_set(err, N2X_NO,
				       "%s: our XDP program is not attached there any more",
				       status.xdp.point[i].interface);
	ret = nfq_path_stop(instance, STOP_LIMIT_MS, err);
	return ret < 0 ? ret : xdp_done_set(instance, err);
}

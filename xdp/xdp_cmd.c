// SPDX-License-Identifier: GPL-2.0-only
#include "xdp/xdp_cmd.h"

#include <inttypes.h>
#include <string.h>

#include "core/args.h"
#include "core/instance.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/notify.h"
#include "core/output.h"
#include "core/util.h"
#include "xdp/xdp_ctl.h"
#include "xdp/xdp_path.h"

struct run {
	const struct policy *policy;
	metrics_fill_fn *fill;
	bool lost; /* an interface no longer runs our program, or what is pinned cannot be read */
	struct err why; /* lost */
	struct xdp_state state;
};

static void tell(const struct run *run)
{
	const uint64_t *reason = run->state.reason;
	char text[96];

	snprintf(text, sizeof(text), "STATUS=share %s, %" PRIu64 " packets cleared\nWATCHDOG=1",
		 run->state.ctl.share_kind == DF_SHARE_ALL ? "all" : "lowered by a command",
		 reason[DF_CLEARED] + reason[DF_CLEARED_ID0] + reason[DF_CLEARED_ASSIGNED]);
	notify(text);
}

/* Promise 4: when somebody took the interface, say so and stop; never take it back. */
static int watch(void *ctx)
{
	struct run *run = ctx;

	run->lost = xdp_read(run->policy->interface, &run->state, &run->why) < 0;
	for (unsigned int i = 0; i < run->state.n_points && !run->lost; i++)
		if (!run->state.point[i].ours) {
			run->lost = true;
			err_format(&run->why, "%s: our XDP program is no longer attached there",
				   run->state.point[i].interface);
		}
	if (!run->lost)
		tell(run);
	return run->lost;
}

static void ready(void *ctx)
{
	const struct run *run = ctx;

	for (unsigned int i = 0; i < run->state.n_points; i++)
		log_info("%s: XDP path ready: %s, %s, %s", run->policy->interface,
			 run->state.point[i].interface,
			 run->state.point[i].native ? "native" : "generic",
			 run->state.point[i].frags ? "xdp.frags" : "xdp");
}

static void render(void *ctx, FILE *out)
{
	const struct run *run = ctx;
	struct metrics metrics = { .interface = run->policy->interface };

	if (run->fill)
		run->fill(run->policy, &metrics);
	metrics_render(&metrics, out);
}

static int supervise(struct run *run, struct err *err)
{
	const struct loop loop = {
		.fd = -1,
		.tick = watch,
		.ready = ready,
		.ctx = run,
		.http = { .listen = run->policy->metrics.listen, .render = render, .ctx = run },
	};
	_cleanup_(xdp_ctl_close) struct xdp_ctl ctl = { .clock_fd = -1 };
	struct xdp_raise raise = { .to.kind = DF_SHARE_ALL };
	int ret = xdp_ctl_open(run->policy->interface, &ctl, err);

	if (ret < 0)
		return ret;
	/* No lease: there is nothing behind it to go back to. */
	raise.from = (struct share){ run->state.ctl.share_kind, run->state.ctl.share_n };
	ret = xdp_ctl_raise(&ctl, &raise, err);
	if (ret < 0)
		return ret;
	ret = loop_wait(&loop);
	/* In the map that is open, whatever became of its pin. Share 0, but attached: a detach resets the link
	 * of many drivers, and the next start needs it again. */
	xdp_ctl_zero(&ctl);
	log_info(
		"%s: share 0; the program stays attached: nfq2xdp migrate rollback --detach -c FILE takes it away",
		run->policy->interface);
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "cannot set up the event loop");
	return run->lost ? err_set(err, N2X_DEGRADED, "%s", run->why.text) : 0;
}

/* A program that is attached already is taken over, unless a rollout is under way. Returns 1 when
 * one is there to take over, 0 when none is. */
static int check_adopt(const struct policy *policy, struct xdp_state *state, struct err *err)
{
	int ret = xdp_read(policy->interface, state, err);

	if (ret == -N2X_SYSTEM)
		return ret;
	if (ret < 0 || !state->n_points)
		return 0;
	ret = xdp_check(state, policy, err);
	if (ret < 0)
		return ret;
	/* All with a lease waits for a confirm, which this is not. */
	if (state->ctl.share_kind != DF_SHARE_NONE &&
	    (state->ctl.share_kind != DF_SHARE_ALL || state->ctl.deadline))
		return err_set(err, N2X_NO,
			       "%s: a rollout is under way: finish it or roll it back first",
			       policy->interface);
	return 1;
}

static int attach_or_adopt(const struct policy *policy, bool local_only, struct xdp_state *state,
			   int lock, struct err *err)
{
	int ret = check_adopt(policy, state, err);

	if (ret != 0)
		return ret;
	ret = instance_next_generation(lock, err);
	if (ret >= 0)
		ret = xdp_attach(policy, local_only, (uint32_t)ret, err);
	return ret < 0 ? ret : xdp_read(policy->interface, state, err);
}

static int run(const struct policy *policy, bool local_only, metrics_fill_fn *fill, struct err *err)
{
	struct run run = { .policy = policy, .fill = fill };
	_cleanup_close_ int lock = -1;
	int ret;

	loop_hold_signals();
	ret = lock = instance_lock(policy->interface, "lock", err);
	if (ret >= 0)
		ret = attach_or_adopt(policy, local_only, &run.state, lock, err);
	return ret < 0 ? ret : supervise(&run, err);
}

static int dry_run(const struct policy *policy, bool local_only, bool json, struct err *err)
{
	struct xdp_plan plan[POLICY_ATTACH_MAX];
	struct xdp_state state;
	json_t *changes;
	int there = check_adopt(policy, &state, err);
	int ret = there ? there : xdp_plan(policy, local_only, plan, err);

	if (ret < 0)
		return ret;
	changes = json_array();
	for (unsigned int i = 0; i < policy->xdp.n_attach && !there; i++)
		output_change(changes, "nfq2xdp migrate rollback --detach -c FILE",
			      "attach %s to %s (MTU %u)", plan[i].frags ? "xdp.frags" : "xdp",
			      plan[i].interface, plan[i].mtu);
	output_change(changes, "nfq2xdp panic", "share all");
	return output_changes(changes, json) < 0 ? -N2X_SYSTEM : 0;
}

int xdp_cmd_run(int argc, char **argv, metrics_fill_fn *fill)
{
	struct policy policy;
	struct args args;
	struct err err;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_DRY_RUN | ARGS_LOCAL_ONLY, &args,
			     &policy, &err);

	if (ret == 0)
		ret = args.dry_run ? dry_run(&policy, args.local_only, args.json, &err)
				   : run(&policy, args.local_only, fill, &err);
	if (ret < 0)
		log_info("%s", err.text);
	return -ret;
}

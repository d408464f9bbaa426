// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/args.h"
#include "core/instance.h"
#include "core/names.h"
#include "core/util.h"
#include "migrate/cmd.h"
#include "migrate/machine.h"
#include "migrate/migrate_cmd.h"

static json_t *reasons_json(const uint64_t reason[DF_REASON_MAX])
{
	json_t *object = json_object();

	for (unsigned int r = 0; r < DF_REASON_MAX; r++)
		json_object_set_new(object, df_reason_name[r], json_integer((json_int_t)reason[r]));
	return object;
}

/* The bpftool command that does what panic does, with nothing of ours needed. */
static void panic_line(const char *instance, const struct df_ctl *now, char *out, size_t size)
{
	struct df_ctl ctl = *now;
	const uint8_t *byte = (const uint8_t *)&ctl;
	char dir[PATH_MAX];
	size_t used;

	ctl.share_kind = DF_SHARE_NONE;
	ctl.share_n = 0;
	ctl.deadline = 0;
	ctl.confirm_by = 0;
	ctl.confirmed = 0;
	ctl.step = 0;
	ctl.flags &= DF_CTL_WHOLE;
	ctl.writes++;
	instance_pin_dir(ABI_VERSION, instance, dir);
	used = (size_t)snprintf(out, size, "bpftool map update pinned %s/ctl key 0 0 0 0 value",
				dir);
	for (size_t i = 0; i < sizeof(ctl) && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, " %u", byte[i]);
}

/* Who runs the rollout: 0 nobody, -1 somebody in another pid namespace. */
static pid_t controller(const char *instance)
{
	_cleanup_close_ int fd = instance_peek(instance, "auto");

	return fd < 0 ? 0 : instance_holder(fd);
}

static double seconds_left(const struct xdp_state *xdp, uint64_t until)
{
	return (double)xdp_ctl_left_ns(&xdp->ctl, xdp->now, until) / 1e9;
}

static json_t *lease_json(const struct xdp_state *xdp, uint64_t until)
{
	return until ? json_real(seconds_left(xdp, until)) : json_null();
}

static json_t *points_json(const struct xdp_state *xdp)
{
	json_t *points = json_array();

	for (unsigned int i = 0; i < xdp->n_points; i++)
		json_array_append_new(points,
				      json_pack("{s:s, s:b, s:s, s:b, s:s, s:b, s:i}", "interface",
						xdp->point[i].interface, "ours", xdp->point[i].ours,
						"mode", xdp->point[i].native ? "native" : "generic",
						"frags", xdp->point[i].frags, "by",
						xdp->point[i].link ? "link" : "netlink", "stub",
						xdp->point[i].stub, "prog_id",
						(int)xdp->point[i].prog_id));
	return points;
}

static json_t *nfqueue_json(const struct nfq_path_info *nfq)
{
	return json_pack("{s:b, s:b, s:i, s:i, s:i, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:o}",
			 "running", nfq->running, "external", nfq->external, "pid", (int)nfq->pid,
			 "queue", (int)nfq->queue, "threads", (int)nfq->threads, "compat",
			 nfq->nft.compat, "owner", nfq->owner, "queued",
			 (json_int_t)nfq->nft.queued, "handled", (json_int_t)nfq->handled,
			 "unmodified", (json_int_t)nfq->unmodified, "depth", (json_int_t)nfq->depth,
			 "dropped", (json_int_t)nfq->dropped, "reasons", reasons_json(nfq->reason));
}

static json_t *status_json(const char *instance, const struct machine_status *s)
{
	const struct xdp_state *xdp = &s->xdp;
	char share[SHARE_TEXT], panic[PATH_MAX];
	json_t *problems = json_array();

	for (unsigned int i = 0; i < s->n_problems; i++)
		json_array_append_new(problems, json_string(s->problem[i]));
	panic_line(instance, &xdp->ctl, panic, sizeof(panic));
	return json_pack(
		"{s:s, s:I, s:s, s:s, s:I, s:i, s:b, s:i, s:o, s:o, s:o, s:{s:o, s:I, s:I, s:o},"
		" s:o, s:o, s:o, s:s}",
		"instance", instance, "netns", (json_int_t)instance_netns(), "state",
		machine_state_name[s->state], "share", cmd_share(&xdp->ctl, share), "generation",
		(json_int_t)xdp->ctl.generation, "step", (int)xdp->ctl.step, "held",
		(xdp->ctl.flags & DF_CTL_HELD) != 0, "controller", (int)controller(instance),
		"lease_seconds", lease_json(xdp, xdp->ctl.deadline), "confirm_seconds",
		lease_json(xdp, xdp->ctl.confirm_by), "problems", problems, "xdp", "attached",
		points_json(xdp), "matched", (json_int_t)s->matched, "cleared",
		(json_int_t)s->cleared, "reasons", reasons_json(xdp->reason), "nfqueue",
		nfqueue_json(&s->nfq), "leaks",
		s->nfq.nft.present ? json_integer((json_int_t)s->nfq.nft.leaked) : json_null(),
		"arrived",
		s->nfq.nft.present ? json_integer((json_int_t)s->nfq.nft.arrived) : json_null(),
		"panic", s->state == MACHINE_IDLE ? "" : panic);
}

static void print_reasons(const char *path, const uint64_t reason[DF_REASON_MAX])
{
	for (unsigned int r = 0; r < DF_REASON_MAX; r++)
		if (reason[r])
			printf("    %-8s %-18s %" PRIu64 "\n", path, df_reason_name[r], reason[r]);
}

static void print_lease(const struct xdp_state *xdp)
{
	if (!xdp->ctl.deadline)
		printf(", no lease\n");
	else if (xdp->expired)
		printf(", the lease ran out\n");
	else
		printf(", lease %.1f s, to be confirmed within %.0f s\n",
		       seconds_left(xdp, xdp->ctl.deadline),
		       seconds_left(xdp, xdp->ctl.confirm_by));
}

static void print_xdp(const struct machine_status *s)
{
	const struct xdp_state *xdp = &s->xdp;

	for (unsigned int i = 0; i < xdp->n_points; i++)
		printf("  xdp      %s: %s, %s, program id %u%s%s\n", xdp->point[i].interface,
		       xdp->point[i].native ? "native" : "generic",
		       xdp->point[i].frags ? "xdp.frags" : "xdp", xdp->point[i].prog_id,
		       xdp->point[i].stub ? ", does nothing" : "",
		       xdp->point[i].ours ? "" : ": NOT ATTACHED");
	if (s->state != MACHINE_IDLE)
		printf("  xdp      matched %" PRIu64 ", cleared %" PRIu64 "\n", s->matched,
		       s->cleared);
}

static void print_nfqueue(const struct nfq_path_info *nfq)
{
	if (!nfq->running) {
		printf("  nfqueue  not running\n");
		return;
	}
	printf("  nfqueue  queue %u, %u thread(s), %spid %d: queued %" PRIu64 ", handled %" PRIu64
	       ", unmodified %" PRIu64 ", waiting %" PRIu64 ", dropped %" PRIu64 "\n",
	       nfq->queue, nfq->threads, nfq->external ? "external, " : "", nfq->pid,
	       nfq->nft.queued, nfq->handled, nfq->unmodified, nfq->depth, nfq->dropped);
}

/* Of a rollout that runs by itself: who runs it, or that nobody does any more. */
static void print_rollout(const char *instance, const struct machine_status *s)
{
	pid_t pid = controller(instance);

	if (s->state == MACHINE_HOLD)
		printf("  hold     %s\n", s->xdp.ctl.flags & DF_CTL_HELD
						  ? "by an operator: nfq2xdp migrate resume -c FILE"
						  : "by a gate: see the journal");
	if (pid)
		printf("  rollout  step %u, run by pid %d\n", s->xdp.ctl.step, pid);
	else if (s->xdp.ctl.step && s->xdp.ctl.confirm_by)
		printf("  rollout  nobody runs it any more: on with nfq2xdp migrate auto -c FILE, "
		       "back with nfq2xdp migrate rollback -c FILE\n");
}

static void print_status(const char *instance, const struct machine_status *s)
{
	char share[SHARE_TEXT], panic[PATH_MAX];

	printf("%s: %s, share %s, generation %u", instance, machine_state_name[s->state],
	       cmd_share(&s->xdp.ctl, share), s->xdp.ctl.generation);
	print_lease(&s->xdp);
	print_rollout(instance, s);
	print_xdp(s);
	print_nfqueue(&s->nfq);
	if (s->nfq.nft.present)
		printf("  leaks    %" PRIu64 "\n", s->nfq.nft.leaked);
	print_reasons("xdp", s->xdp.reason);
	print_reasons("nfqueue", s->nfq.reason);
	for (unsigned int i = 0; i < s->n_problems; i++)
		printf("  PROBLEM  %s\n", s->problem[i]);
	if (s->state == MACHINE_IDLE)
		return;
	panic_line(instance, &s->xdp.ctl, panic, sizeof(panic));
	printf("  out at once: nfq2xdp panic %s, or\n    %s\n", instance, panic);
}

int migrate_cmd_status(int argc, char **argv)
{
	struct machine_status status;
	struct policy policy;
	struct args args;
	struct err err;
	int ret = args_parse(argc, argv, ARGS_CONFIG, &args, &policy, &err);

	if (ret == 0)
		ret = machine_status(&policy, &status, &err);
	if (ret < 0)
		return cmd_finish(ret, &err);
	if (status.state != MACHINE_IDLE && !status.n_problems &&
	    xdp_check(&status.xdp, &policy, &err) < 0)
		snprintf(status.problem[status.n_problems++], sizeof(status.problem[0]), "%s",
			 err.text);
	if (!args.json)
		print_status(policy.interface, &status);
	else if (cmd_print(status_json(policy.interface, &status)) != N2X_OK)
		return N2X_SYSTEM;
	if (status.state == MACHINE_IDLE)
		return N2X_INACTIVE;
	return status.n_problems ? N2X_DEGRADED : N2X_OK;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/migrate_cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/args.h"
#include "core/instance.h"
#include "core/log.h"
#include "core/names.h"
#include "core/output.h"
#include "core/util.h"
#include "migrate/machine.h"

#define SHARE_TEXT 32

/* Says why on standard error; turns a -enum n2x_exit into the exit code. */
static int finish(int ret, const struct err *err)
{
	if (ret < 0)
		log_info("%s", err->text);
	return -ret;
}

static int print(json_t *object)
{
	return output_json(object) < 0 ? N2X_SYSTEM : N2X_OK;
}

static const char *share_text(const struct df_ctl *ctl, char buf[SHARE_TEXT])
{
	const struct share share = { .kind = ctl->share_kind, .n = ctl->share_n };

	return share_format(&share, buf, SHARE_TEXT);
}

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
	ctl.done = 0;
	ctl.writes++;
	instance_pin_dir(instance, dir);
	used = (size_t)snprintf(out, size, "bpftool map update pinned %s/ctl key 0 0 0 0 value",
				dir);
	for (size_t i = 0; i < sizeof(ctl) && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, " %u", byte[i]);
}

static json_t *status_json(const char *instance, const struct machine_status *s)
{
	const struct xdp_state *xdp = &s->xdp;
	char share[SHARE_TEXT], panic[PATH_MAX];
	json_t *points = json_array();
	json_t *problems = json_array();

	for (unsigned int i = 0; i < xdp->n_points; i++)
		json_array_append_new(points,
				      json_pack("{s:s, s:b, s:s, s:b, s:s, s:i}", "interface",
						xdp->point[i].interface, "ours", xdp->point[i].ours,
						"mode", xdp->point[i].native ? "native" : "generic",
						"frags", xdp->point[i].frags, "by",
						xdp->point[i].link ? "link" : "netlink", "prog_id",
						(int)xdp->point[i].prog_id));
	for (unsigned int i = 0; i < s->n_problems; i++)
		json_array_append_new(problems, json_string(s->problem[i]));
	panic_line(instance, &xdp->ctl, panic, sizeof(panic));
	return json_pack(
		"{s:s, s:I, s:s, s:s, s:I, s:I, s:o, s:{s:o, s:I, s:I, s:o},"
		" s:{s:b, s:i, s:i, s:i, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:o}, s:o, s:s}",
		"instance", instance, "netns", (json_int_t)instance_netns(), "state",
		machine_state_name[s->state], "share", share_text(&xdp->ctl, share), "generation",
		(json_int_t)xdp->ctl.generation, "deadline_jiffies", (json_int_t)xdp->ctl.deadline,
		"problems", problems, "xdp", "attached", points, "matched", (json_int_t)s->matched,
		"cleared", (json_int_t)s->cleared, "reasons", reasons_json(xdp->reason), "nfqueue",
		"running", s->nfq.running, "pid", (int)s->nfq.pid, "queue", (int)s->nfq.queue,
		"threads", (int)s->nfq.threads, "compat", s->nfq.nft.compat, "owner", s->nfq.owner,
		"queued", (json_int_t)s->nfq.nft.queued, "handled", (json_int_t)s->nfq.handled,
		"unmodified", (json_int_t)s->nfq.unmodified, "depth", (json_int_t)s->nfq.depth,
		"dropped", (json_int_t)s->nfq.dropped, "reasons", reasons_json(s->nfq.reason),
		"leaks",
		s->nfq.nft.present ? json_integer((json_int_t)s->nfq.nft.leaked) : json_null(),
		"panic", s->state == MACHINE_IDLE ? "" : panic);
}

static void print_reasons(const char *path, const uint64_t reason[DF_REASON_MAX])
{
	for (unsigned int r = 0; r < DF_REASON_MAX; r++)
		if (reason[r])
			printf("    %-8s %-18s %" PRIu64 "\n", path, df_reason_name[r], reason[r]);
}

static void print_status(const char *instance, const struct machine_status *s)
{
	char share[SHARE_TEXT], panic[PATH_MAX];

	printf("%s: %s, share %s, generation %u, lease %s\n", instance,
	       machine_state_name[s->state], share_text(&s->xdp.ctl, share), s->xdp.ctl.generation,
	       s->xdp.ctl.deadline ? "set" : "none");
	for (unsigned int i = 0; i < s->xdp.n_points; i++)
		printf("  xdp      %s: %s, %s, program id %u%s\n", s->xdp.point[i].interface,
		       s->xdp.point[i].native ? "native" : "generic",
		       s->xdp.point[i].frags ? "xdp.frags" : "xdp", s->xdp.point[i].prog_id,
		       s->xdp.point[i].ours ? "" : ": NOT ATTACHED");
	if (s->state != MACHINE_IDLE)
		printf("  xdp      matched %" PRIu64 ", cleared %" PRIu64 "\n", s->matched,
		       s->cleared);
	if (s->nfq.running)
		printf("  nfqueue  queue %u, %u thread(s), pid %d: queued %" PRIu64
		       ", handled %" PRIu64 ", unmodified %" PRIu64 ", waiting %" PRIu64
		       ", dropped %" PRIu64 "\n",
		       s->nfq.queue, s->nfq.threads, s->nfq.pid, s->nfq.nft.queued, s->nfq.handled,
		       s->nfq.unmodified, s->nfq.depth, s->nfq.dropped);
	else
		printf("  nfqueue  not running\n");
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
		ret = machine_status(policy.interface, &status, &err);
	if (ret < 0)
		return finish(ret, &err);
	if (status.state != MACHINE_IDLE && !status.n_problems &&
	    xdp_check(&status.xdp, &policy, &err) < 0)
		snprintf(status.problem[status.n_problems++], sizeof(status.problem[0]), "%s",
			 err.text);
	if (!args.json)
		print_status(policy.interface, &status);
	else if (print(status_json(policy.interface, &status)) != N2X_OK)
		return N2X_SYSTEM;
	if (status.state == MACHINE_IDLE)
		return N2X_INACTIVE;
	return status.n_problems ? N2X_DEGRADED : N2X_OK;
}

static int start_dry_run(const struct policy *policy, const struct args *args, struct err *err)
{
	const char *undo = "nfq2xdp migrate rollback --detach -c FILE";
	struct xdp_plan plan[POLICY_ATTACH_MAX];
	bool already = false;
	char dir[PATH_MAX];
	json_t *changes;
	int ret = machine_started(policy, &already, err);

	if (ret == 0 && !already)
		ret = xdp_plan(policy, args->local_only, plan, err);
	if (ret < 0)
		return ret;
	changes = json_array();
	if (already)
		return output_changes(changes, args->json) < 0 ? -N2X_SYSTEM : 0;
	instance_pin_dir(policy->interface, dir);
	output_change(changes, undo, "pin the maps ctl, stats and policy in %s", dir);
	for (unsigned int i = 0; i < policy->xdp.n_attach; i++)
		output_change(changes, undo,
			      "attach %s to %s (MTU %u) at share 0, pinned as %s/link-%s",
			      plan[i].frags ? "xdp.frags" : "xdp", plan[i].interface, plan[i].mtu,
			      dir, plan[i].interface);
	return output_changes(changes, args->json) < 0 ? -N2X_SYSTEM : 0;
}

int migrate_cmd_start(int argc, char **argv)
{
	struct xdp_state state;
	struct policy policy;
	bool already = false;
	struct args args;
	struct err err;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_DRY_RUN | ARGS_LOCAL_ONLY, &args,
			     &policy, &err);

	if (ret == 0 && args.dry_run)
		return finish(start_dry_run(&policy, &args, &err), &err);
	if (ret == 0)
		ret = machine_start(&policy, args.local_only, &already, &err);
	if (ret == 0)
		ret = xdp_read(policy.interface, &state, &err);
	if (ret < 0)
		return finish(ret, &err);
	if (args.json)
		return print(json_pack("{s:s, s:b, s:i}", "instance", policy.interface, "already",
				       already, "generation", (int)state.ctl.generation));
	for (unsigned int i = 0; i < state.n_points; i++)
		printf("%s: attached to %s%s: %s, %s, program id %u, generation %u\n",
		       policy.interface, state.point[i].interface, already ? " already" : "",
		       state.point[i].native ? "native" : "generic",
		       state.point[i].frags ? "xdp.frags" : "xdp", state.point[i].prog_id,
		       state.ctl.generation);
	return N2X_OK;
}

/* A move of the share that would be made: one line, and the one that undoes it. */
static int move_dry_run(const char *instance, const struct share *to, const struct args *args,
			struct err *err)
{
	char before[SHARE_TEXT], after[SHARE_TEXT], undo[96];
	struct xdp_state state;
	json_t *changes;
	int ret = xdp_read(instance, &state, err);

	if (ret < 0)
		return ret;
	changes = json_array();
	snprintf(undo, sizeof(undo), "set share %s again", share_text(&state.ctl, before));
	output_change(changes, undo, "%s: write share %s to the pinned map ctl (now %s)", instance,
		      share_format(to, after, sizeof(after)), before);
	return output_changes(changes, args->json) < 0 ? -N2X_SYSTEM : 0;
}

static void print_verified(const char *instance, const struct machine_move *move)
{
	if (!move->verify_ns)
		printf("%s: it was 0 already: nothing to do\n", instance);
	else if (!move->matched)
		printf("%s: XDP clears nothing more (%.0f ms); no traffic came, so NFQUEUE was not seen "
		       "to carry it\n",
		       instance, (double)move->verify_ns / 1e6);
	else
		printf("%s: verified in %.0f ms: XDP clears nothing more; NFQUEUE handled %" PRIu64
		       ", leaked %" PRIu64 " meanwhile\n",
		       instance, (double)move->verify_ns / 1e6, move->nfq_handled, move->leaked);
}

static int print_move(const char *instance, const struct machine_move *move, bool verified,
		      bool json)
{
	char before[SHARE_TEXT], after[SHARE_TEXT];
	json_t *object;

	share_format(&move->before, before, sizeof(before));
	share_format(&move->after, after, sizeof(after));
	if (!json) {
		printf("%s: share %s (was %s), written in %.3f ms\n", instance, after, before,
		       (double)move->write_ns / 1e6);
		if (verified)
			print_verified(instance, move);
		return fflush(stdout) == 0 ? N2X_OK : N2X_SYSTEM;
	}
	object = json_pack("{s:s, s:s, s:s, s:I}", "instance", instance, "share", after, "before",
			   before, "write_ns", (json_int_t)move->write_ns);
	if (verified) {
		json_object_set_new(object, "matched", json_integer((json_int_t)move->matched));
		json_object_set_new(object, "verify_ns", json_integer((json_int_t)move->verify_ns));
		json_object_set_new(object, "nfqueue_handled",
				    json_integer((json_int_t)move->nfq_handled));
		json_object_set_new(object, "leaked", json_integer((json_int_t)move->leaked));
	}
	return print(object);
}

static int raise_share(int argc, char **argv, unsigned int want)
{
	struct share share = { .kind = DF_SHARE_ALL };
	struct machine_move move;
	struct policy policy;
	struct args args;
	struct err err;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_DRY_RUN | want, &args, &policy, &err);

	if (ret == 0 && want & ARGS_SPLIT)
		share = args.share;
	if (ret == 0 && args.dry_run)
		return finish(move_dry_run(policy.interface, &share, &args, &err), &err);
	if (ret == 0)
		ret = machine_split(&policy, &share, &move, &err);
	if (ret < 0)
		return finish(ret, &err);
	if (share.kind == DF_SHARE_NTH)
		log_info(
			"%s: every N-th packet: while both paths carry a flow its packets can overtake each other; "
			"--percent P --by flow keeps their order",
			policy.interface);
	return print_move(policy.interface, &move, false, args.json);
}

int migrate_cmd_split(int argc, char **argv)
{
	return raise_share(argc, argv, ARGS_SPLIT);
}

int migrate_cmd_full(int argc, char **argv)
{
	return raise_share(argc, argv, 0);
}

static int rollback_dry_run(const char *instance, const struct args *args, struct err *err)
{
	const struct share none = { .kind = DF_SHARE_NONE };
	struct xdp_state state;
	json_t *changes;
	int ret = xdp_read(instance, &state, err);

	if (ret < 0 || !args->detach)
		return ret < 0 ? ret : move_dry_run(instance, &none, args, err);
	changes = json_array();
	output_change(changes, "nfq2xdp migrate full -c FILE",
		      "%s: write share 0 to the pinned map ctl", instance);
	for (unsigned int i = 0; i < state.n_points; i++)
		output_change(changes, "nfq2xdp migrate start -c FILE",
			      "detach program id %u from %s (%s)", state.point[i].prog_id,
			      state.point[i].interface,
			      state.point[i].native ? "native: the link may reset" : "generic");
	return output_changes(changes, args->json) < 0 ? -N2X_SYSTEM : 0;
}

int migrate_cmd_rollback(int argc, char **argv)
{
	struct machine_move move;
	struct policy policy;
	struct args args;
	struct err err;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_DRY_RUN | ARGS_DETACH, &args, &policy,
			     &err);

	if (ret == 0 && args.dry_run)
		return finish(rollback_dry_run(policy.interface, &args, &err), &err);
	if (ret == 0)
		ret = machine_rollback(policy.interface, &move, &err);
	if (ret == 0 && args.detach)
		ret = machine_detach(policy.interface, args.allow_link_reset, &err);
	if (ret < 0)
		return finish(ret, &err);
	return print_move(policy.interface, &move, true, args.json);
}

int migrate_cmd_done(int argc, char **argv)
{
	struct policy policy;
	struct args args;
	struct err err;
	json_t *changes;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_DRY_RUN, &args, &policy, &err);

	if (ret == 0 && args.dry_run) {
		changes = json_array();
		output_change(
			changes, "nfq2xdp run nfqueue -c FILE",
			"%s: stop the NFQUEUE path: remove its rule, drain its queue, remove its table",
			policy.interface);
		return output_changes(changes, args.json) < 0 ? N2X_SYSTEM : N2X_OK;
	}
	if (ret == 0)
		ret = machine_done(policy.interface, &err);
	if (ret < 0)
		return finish(ret, &err);
	if (args.json)
		return print(
			json_pack("{s:s, s:s}", "instance", policy.interface, "state", "DONE"));
	printf("%s: done: XDP takes all, the NFQUEUE path is stopped and its rule removed\n",
	       policy.interface);
	return N2X_OK;
}

struct panic {
	const struct args *args;
	json_t *results;
	unsigned int tried;
	int ret;
	struct err err;
};

static void panic_one(const char *instance, void *ctx)
{
	const struct share none = { .kind = DF_SHARE_NONE };
	struct panic *panic = ctx;
	int ret;

	if (panic->args->instance && strcmp(panic->args->instance, instance) != 0)
		return;
	panic->tried++;
	if (panic->args->dry_run) {
		output_change(panic->results, "nfq2xdp migrate full -c FILE",
			      "%s: write share 0 to the pinned map ctl", instance);
		return;
	}
	ret = xdp_share_set(instance, &none, &panic->err);
	if (ret < 0) {
		log_info("%s", panic->err.text);
		panic->ret = ret; /* and on: one instance must not keep the others in */
		return;
	}
	json_array_append_new(panic->results, json_string(instance));
	if (!panic->args->json)
		printf("%s: share 0: XDP takes nothing any more\n", instance);
}

/* When all are at 0: none may be raised by a command that was under way. */
static void panic_settle(const char *instance, void *ctx)
{
	struct panic *panic = ctx;

	if (panic->args->instance && strcmp(panic->args->instance, instance) != 0)
		return;
	if (machine_settle(instance, &panic->err) < 0)
		log_info("%s", panic->err.text);
}

/* Needs the pinned map and nothing else: no configuration, no lock, no state directory, no other
 * path. */
int migrate_cmd_panic(int argc, char **argv)
{
	struct args args;
	struct panic panic = { .args = &args };
	int ret = args_parse(argc, argv, ARGS_DRY_RUN | ARGS_INSTANCE, &args, NULL, &panic.err);

	if (ret < 0)
		return finish(ret, &panic.err);
	panic.results = json_array();
	ret = xdp_instances(panic_one, &panic, &panic.err);
	fflush(stdout);
	if (ret >= 0 && panic.tried && !args.dry_run)
		ret = xdp_instances(panic_settle, &panic, &panic.err);
	if (ret >= 0 && !panic.tried)
		ret = err_set(&panic.err, N2X_INACTIVE,
			      "panic: no XDP path %s%s in this network namespace: nothing to stop",
			      args.instance ? "for " : "", args.instance ? args.instance : "");
	if (ret < 0) {
		json_decref(panic.results);
		return finish(ret, &panic.err);
	}
	if (args.dry_run)
		return output_changes(panic.results, args.json) < 0 ? N2X_SYSTEM : N2X_OK;
	if (args.json && print(json_pack("{s:O}", "share0", panic.results)) != N2X_OK)
		panic.ret = -N2X_SYSTEM;
	json_decref(panic.results);
	return -panic.ret;
}

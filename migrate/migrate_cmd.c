// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/migrate_cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/args.h"
#include "core/instance.h"
#include "core/log.h"
#include "core/output.h"
#include "core/util.h"
#include "migrate/changes.h"
#include "migrate/cmd.h"
#include "migrate/machine.h"
#include "migrate/rollback.h"

/* What a command needs that changes the instance by hand. */
struct session {
	struct policy policy;
	struct args args;
	struct journal journal;
	int lock; /* that no migrate auto runs */
	struct err err;
};

static void session_end(struct session *s)
{
	journal_close(&s->journal);
	util_closep(&s->lock);
}

#define SESSION_INIT                                 \
	{                                            \
		.journal = { .fd = -1 }, .lock = -1, \
	}

static uint32_t generation_now(const struct policy *policy)
{
	struct xdp_state state;
	struct err ignored;

	return xdp_read(policy->interface, &state, &ignored) == 0 ? state.ctl.generation : 0;
}

/* Refused by name while migrate auto runs the instance, and when the journal cannot be written. */
static int session_begin(struct session *s)
{
	int ret = s->lock = instance_lock(s->policy.interface, "auto", &s->err);

	if (ret >= 0)
		ret = journal_open(s->policy.interface, &s->journal, &s->err);
	s->journal.generation = generation_now(&s->policy);
	return ret;
}

static int print_changes(json_t *changes, const struct args *args)
{
	return output_changes(changes, args->json) < 0 ? -N2X_SYSTEM : 0;
}

static int start_dry_run(const struct session *s, struct err *err)
{
	json_t *changes = json_array();
	int ret = changes_start(&s->policy, s->args.local_only, changes, err);

	if (ret == 0)
		return print_changes(changes, &s->args);
	json_decref(changes);
	return ret;
}

/* What was done to the operator's rules, and what was not. */
static void print_rules(const struct policy *policy)
{
	struct legacy_rule rules[LEGACY_RULES_MAX];
	struct err ignored;
	int n = legacy_find(policy, rules, &ignored);

	for (int i = 0; i < n; i++)
		if (rules[i].understood)
			printf("%s: queues only what has DF set: %s\n", policy->interface,
			       rules[i].text);
		else
			log_info("left alone (%s): %s", rules[i].why, rules[i].text);
}

static int print_start(const struct policy *policy, const struct machine_start *start, bool json)
{
	const char *how = start->upgraded  ? " already, programs exchanged"
			  : start->already ? " already"
					   : "";
	struct xdp_state state;
	struct err err;
	int ret = xdp_read(policy->interface, &state, &err);

	if (ret < 0)
		return cmd_finish(ret, &err);
	if (json)
		return cmd_print(json_pack("{s:s, s:b, s:b, s:i}", "instance", policy->interface,
					   "already", start->already, "upgraded", start->upgraded,
					   "generation", (int)state.ctl.generation));
	print_rules(policy);
	for (unsigned int i = 0; i < state.n_points; i++)
		printf("%s: attached to %s%s: %s, %s, program id %u, generation %u\n",
		       policy->interface, state.point[i].interface, how,
		       state.point[i].native ? "native" : "generic",
		       state.point[i].frags ? "xdp.frags" : "xdp", state.point[i].prog_id,
		       state.ctl.generation);
	return N2X_OK;
}

int migrate_cmd_start(int argc, char **argv)
{
	_cleanup_(session_end) struct session s = SESSION_INIT;
	struct machine_start start = { 0 };
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_DRY_RUN | ARGS_LOCAL_ONLY, &s.args,
			     &s.policy, &s.err);

	if (ret == 0 && s.args.dry_run)
		return cmd_finish(start_dry_run(&s, &s.err), &s.err);
	if (ret == 0)
		ret = session_begin(&s);
	start.local_only = s.args.local_only;
	if (ret >= 0)
		ret = machine_start(&s.policy, &start, &s.journal, &s.err);
	if (ret < 0)
		return cmd_finish(ret, &s.err);
	return print_start(&s.policy, &start, s.args.json);
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
	snprintf(undo, sizeof(undo), "set share %s again", cmd_share(&state.ctl, before));
	output_change(changes, undo, "%s: write share %s to the pinned map ctl (now %s)", instance,
		      share_format(to, after, sizeof(after)), before);
	return print_changes(changes, args);
}

static int print_move(const struct policy *policy, const struct machine_move *move, bool json)
{
	char before[SHARE_TEXT], after[SHARE_TEXT];

	share_format(&move->before, before, sizeof(before));
	share_format(&move->after, after, sizeof(after));
	if (json)
		return cmd_print(json_pack("{s:s, s:s, s:s, s:I, s:I, s:i}", "instance",
					   policy->interface, "share", after, "before", before,
					   "write_ns", (json_int_t)move->write_ns, "effect_ns",
					   (json_int_t)move->effect_ns, "generation",
					   (int)move->generation));
	printf("%s: share %s (was %s), written in %.3f ms", policy->interface, after, before,
	       (double)move->write_ns / 1e6);
	if (move->effect_ns)
		printf(", the first packet after %.3f ms\n", (double)move->effect_ns / 1e6);
	else
		printf(", no packet seen yet\n");
	printf("%s: it goes back by itself unless within %.0f s: nfq2xdp migrate confirm %u -c FILE\n",
	       policy->interface, (double)move->confirm_ns / 1e9, move->generation);
	return N2X_OK;
}

static int raise_share(int argc, char **argv, unsigned int want)
{
	_cleanup_(session_end) struct session s = SESSION_INIT;
	struct machine_raise how = { .to.kind = DF_SHARE_ALL };
	struct machine_move move;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_DRY_RUN | want, &s.args, &s.policy,
			     &s.err);

	if (ret == 0 && want & ARGS_SPLIT)
		how.to = s.args.share;
	if (ret == 0 && s.args.dry_run)
		return cmd_finish(move_dry_run(s.policy.interface, &how.to, &s.args, &s.err),
				  &s.err);
	if (ret == 0)
		ret = session_begin(&s);
	if (ret >= 0)
		ret = machine_raise(&s.policy, &how, &s.journal, &move, &s.err);
	if (ret < 0)
		return cmd_finish(ret, &s.err);
	if (how.to.kind == DF_SHARE_NTH)
		log_info(
			"%s: every N-th packet: while both paths carry a flow its packets can overtake each other; "
			"--percent P --by flow keeps their order",
			s.policy.interface);
	return print_move(&s.policy, &move, s.args.json);
}

int migrate_cmd_split(int argc, char **argv)
{
	return raise_share(argc, argv, ARGS_SPLIT);
}

int migrate_cmd_full(int argc, char **argv)
{
	return raise_share(argc, argv, 0);
}

static int confirm(struct session *s, const struct xdp_ctl *ctl)
{
	const unsigned int step = ctl->map->step, steps = s->policy.rollout.n_steps;
	int ret;

	if (step && step < steps)
		return err_set(
			&s->err, N2X_NO,
			"generation %u is at step %u of %u: it is confirmed at the end; hold keeps a "
			"step",
			ctl->map->generation, step, steps);
	ret = machine_intend(&s->journal, "confirm",
			     json_pack("{s:i}", "confirms", (int)s->args.generation), &s->err);

	return ret < 0 ? ret
		       : machine_did(&s->journal, "confirm",
				     xdp_ctl_confirm(ctl, s->args.generation, &s->err), &s->err);
}

static int hold(struct session *s, const struct xdp_ctl *ctl)
{
	(void)s;
	xdp_ctl_flag(ctl, DF_CTL_HELD, 1);
	return 0;
}

static int resume(struct session *s, const struct xdp_ctl *ctl)
{
	(void)s;
	xdp_ctl_flag(ctl, DF_CTL_HELD, 0);
	return 0;
}

static int extend(struct session *s, const struct xdp_ctl *ctl)
{
	return xdp_ctl_confirm_within(ctl, s->policy.rollout.confirm_within_ns, &s->err);
}

/* A word to whoever runs the rollout: in the control map, so that it is heard by the next, too. */
static int say(int argc, char **argv, unsigned int want,
	       int (*act)(struct session *s, const struct xdp_ctl *ctl))
{
	_cleanup_(xdp_ctl_close) struct xdp_ctl ctl = { .clock_fd = -1 };
	_cleanup_(session_end) struct session s = SESSION_INIT;
	struct machine_status status;
	struct err ignored;
	int ret = args_parse(argc, argv, ARGS_CONFIG | want, &s.args, &s.policy, &s.err);

	if (ret == 0)
		ret = xdp_ctl_open(s.policy.interface, &ctl, &s.err);
	if (ret == 0)
		ret = journal_open(s.policy.interface, &s.journal,
				   act == confirm ? &s.err : &ignored);
	if (ret < 0 && act != confirm && ctl.map)
		ret = 0;
	if (ret == 0) {
		s.journal.generation = ctl.map->generation;
		ret = act(&s, &ctl);
	}
	if (ret < 0)
		return cmd_finish(ret, &s.err);
	if (act != confirm)
		journal_write(&s.journal, argv[0], NULL, true, &ignored);
	ret = machine_status(&s.policy, &status, &s.err);
	if (ret < 0)
		return cmd_finish(ret, &s.err);
	if (s.args.json)
		return cmd_print(json_pack("{s:s, s:s, s:i}", "instance", s.policy.interface,
					   "state", machine_state_name[status.state], "generation",
					   (int)status.xdp.ctl.generation));
	printf("%s: %s, generation %u\n", s.policy.interface, machine_state_name[status.state],
	       status.xdp.ctl.generation);
	return N2X_OK;
}

int migrate_cmd_confirm(int argc, char **argv)
{
	return say(argc, argv, ARGS_GENERATION, confirm);
}

int migrate_cmd_hold(int argc, char **argv)
{
	return say(argc, argv, 0, hold);
}

int migrate_cmd_resume(int argc, char **argv)
{
	return say(argc, argv, 0, resume);
}

int migrate_cmd_extend(int argc, char **argv)
{
	return say(argc, argv, 0, extend);
}

static int rollback_dry_run(const char *instance, const struct args *args, struct err *err)
{
	const struct share none = { .kind = DF_SHARE_NONE };
	struct xdp_state state;
	json_t *changes;
	int ret = xdp_read(instance, &state, err);

	if (ret < 0 || !args->detach)
		return ret < 0 ? ret : move_dry_run(instance, &none, args, err);
	ret = machine_may_detach(&state, args->allow_link_reset, err);
	if (ret < 0)
		return ret;
	changes = json_array();
	output_change(changes, "nfq2xdp migrate full -c FILE",
		      "%s: write share 0 to the pinned map ctl", instance);
	for (unsigned int i = 0; i < state.n_points; i++)
		output_change(changes, "nfq2xdp migrate start -c FILE",
			      "detach program id %u from %s (%s)", state.point[i].prog_id,
			      state.point[i].interface,
			      state.point[i].native ? "native: the link may reset" : "generic");
	return print_changes(changes, args);
}

static void print_verified(const char *instance, const struct rollback *did)
{
	if (!did->verify_ns)
		printf("%s: it was 0 already: nothing to do\n", instance);
	else if (!did->matched)
		printf("%s: XDP clears nothing more (%.0f ms); no traffic came, so NFQUEUE was not seen "
		       "to carry it\n",
		       instance, (double)did->verify_ns / 1e6);
	else
		printf("%s: verified in %.0f ms: XDP clears nothing more; NFQUEUE handled %" PRIu64
		       ", leaked %" PRIu64 " meanwhile\n",
		       instance, (double)did->verify_ns / 1e6, did->nfq_handled, did->leaked);
}

static json_t *rungs_json(const struct rollback *did)
{
	json_t *rungs = json_object();

	for (int rung = 0; rung < RUNG_MAX; rung++)
		if (did->rung_ns[rung])
			json_object_set_new(rungs, rollback_rung_name[rung],
					    json_integer((json_int_t)did->rung_ns[rung]));
	return rungs;
}

static int print_rollback(const char *instance, const struct rollback *did, bool json)
{
	char before[SHARE_TEXT];

	share_format(&did->before, before, sizeof(before));
	if (json)
		return cmd_print(
			json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I}",
				  "instance", instance, "share", "0", "before", before, "rung",
				  rollback_rung_name[did->rung], "rungs_ns", rungs_json(did),
				  "write_ns", (json_int_t)did->write_ns, "effect_ns",
				  (json_int_t)did->effect_ns, "matched", (json_int_t)did->matched,
				  "verify_ns", (json_int_t)did->verify_ns, "nfqueue_handled",
				  (json_int_t)did->nfq_handled, "leaked", (json_int_t)did->leaked));
	printf("%s: share 0 (was %s), written in %.3f ms\n", instance, before,
	       (double)did->write_ns / 1e6);
	for (int rung = RUNG_STUB; rung < RUNG_MAX; rung++)
		if (did->rung_ns[rung])
			printf("%s: the program did not obey; next rung: %s, %.1f ms\n", instance,
			       rollback_rung_name[rung], (double)did->rung_ns[rung] / 1e6);
	print_verified(instance, did);
	return fflush(stdout) == 0 ? N2X_OK : N2X_SYSTEM;
}

/* Is a rollout or a command under way? Both have this lock. */
static bool is_under_way(const char *instance)
{
	_cleanup_close_ int fd = instance_peek(instance, "auto");

	return fd >= 0 && instance_holder(fd);
}

int migrate_cmd_rollback(int argc, char **argv)
{
	_cleanup_(session_end) struct session s = SESSION_INIT;
	struct rollback_how how = { .reason = "an operator said so" };
	struct rollback did;
	struct err ignored;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_DRY_RUN | ARGS_DETACH, &s.args,
			     &s.policy, &s.err);
	int detached = 0;

	if (ret == 0 && s.args.dry_run)
		return cmd_finish(rollback_dry_run(s.policy.interface, &s.args, &s.err), &s.err);
	if (ret < 0)
		return cmd_finish(ret, &s.err);
	/* No lock, and a journal only if there is one: nothing stands in the way of this. */
	journal_open(s.policy.interface, &s.journal, &ignored);
	s.journal.generation = generation_now(&s.policy);
	how.allow_link_reset = s.args.allow_link_reset;
	how.write = is_under_way(s.policy.interface);
	ret = rollback(&s.policy, &how, &s.journal, &did, &s.err);
	if (ret < 0)
		return cmd_finish(ret, &s.err);
	/* Also where the detach is refused: the share is 0. */
	if (s.args.detach)
		detached = machine_detach(&s.policy, s.args.allow_link_reset, &s.err);
	ret = print_rollback(s.policy.interface, &did, s.args.json);
	return detached < 0 ? cmd_finish(detached, &s.err) : ret;
}

static int away_dry_run(const struct session *s, const char *undo, const char *rules,
			struct err *err)
{
	json_t *changes = json_array();
	int ret;

	if (s->policy.nfqueue.daemon == NFQ_DAEMON_OWN)
		output_change(
			changes, "nfq2xdp run nfqueue -c FILE",
			"%s: stop the NFQUEUE path: remove its rule, drain its queue, remove its table",
			s->policy.interface);
	else
		output_change(changes, "nfq2xdp migrate start -c FILE",
			      "%s: remove our table around the operator's rule",
			      s->policy.interface);
	ret = changes_rules(&s->policy, rules, undo, changes, err);
	if (ret < 0) {
		json_decref(changes);
		return ret;
	}
	return print_changes(changes, &s->args);
}

static int print_state(const struct session *s, const char *state, const char *line)
{
	if (s->args.json)
		return cmd_print(
			json_pack("{s:s, s:s}", "instance", s->policy.interface, "state", state));
	printf("%s: %s\n", s->policy.interface, line);
	return N2X_OK;
}

/* What ends a migration, and the words for it. */
struct ending {
	int (*run)(const struct policy *policy, struct journal *journal, struct err *err);
	const char *rules, *undo; /* what becomes of the operator's rules */
	const char *state, *line;
};

static int end_migration(int argc, char **argv, const struct ending *ending)
{
	_cleanup_(session_end) struct session s = SESSION_INIT;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_DRY_RUN, &s.args, &s.policy, &s.err);

	if (ret == 0 && s.args.dry_run)
		return cmd_finish(away_dry_run(&s, ending->undo, ending->rules, &s.err), &s.err);
	if (ret == 0)
		ret = session_begin(&s);
	if (ret >= 0)
		ret = ending->run(&s.policy, &s.journal, &s.err);
	if (ret < 0)
		return cmd_finish(ret, &s.err);
	return print_state(&s, ending->state, ending->line);
}

int migrate_cmd_done(int argc, char **argv)
{
	static const struct ending ending = {
		.run = machine_done,
		.rules = "remove",
		.undo = "nfq2xdp migrate restore -c FILE",
		.state = "DONE",
		.line = "done: XDP takes all, the NFQUEUE path and its rules are gone",
	};

	return end_migration(argc, argv, &ending);
}

int migrate_cmd_restore(int argc, char **argv)
{
	static const struct ending ending = {
		.run = machine_restore,
		.rules = "as it was",
		.undo = "nfq2xdp migrate start -c FILE",
		.state = "ROLLED_BACK",
		.line = "restored: share 0, the rules that were there are as they were",
	};

	return end_migration(argc, argv, &ending);
}

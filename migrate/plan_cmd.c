// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/args.h"
#include "core/output.h"
#include "core/util.h"
#include "migrate/changes.h"
#include "migrate/cmd.h"
#include "migrate/migrate_cmd.h"
#include "migrate/plan.h"

static const char *const kind_name[LEGACY_KIND_MAX] = {
	[LEGACY_IPTABLES_NFT] = "iptables-nft",
	[LEGACY_IPTABLES_LEGACY] = "iptables-legacy",
	[LEGACY_NFT] = "nft",
};

/* What is printed: a plan, and what is made of it. */
struct view {
	const struct plan *plan;
	char *policy; /* as a file; NULL: there is none, or it is the operator's own */
	json_t *changes;
	struct err refused; /* why nothing would be changed; "": it would */
	bool colour;
};

static void view_release(struct view *v)
{
	free(v->policy);
	json_decref(v->changes);
}

static bool is_attached(const struct view *v, const struct facts_device *device)
{
	const struct policy *policy = &v->plan->choice.policy;

	for (unsigned int i = 0; v->plan->choice.valid && i < policy->xdp.n_attach; i++)
		if (!strcmp(policy->xdp.attach[i], device->node.dev->name))
			return true;
	return false;
}

static json_t *rules_json(const struct facts *facts)
{
	json_t *rules = json_array();

	for (unsigned int i = 0; i < facts->n_rules; i++) {
		const struct legacy_rule *rule = &facts->rule[i];

		json_array_append_new(
			rules,
			json_pack(
				"{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:b, s:b, s:b, s:s, s:s}",
				"kind", kind_name[rule->kind], "family", rule->family, "table",
				rule->table, "chain", rule->chain, "position", (int)rule->position,
				"priority", rule->priority, "queue", (int)rule->queue, "queues",
				(int)rule->queues, "bypass", (int)rule->bypass, "guarded",
				(int)rule->guarded, "understood", (int)rule->understood, "why",
				rule->why, "text", rule->text));
	}
	return rules;
}

static json_t *daemon_json(const struct facts *facts)
{
	const struct nfq_queue_info *q = &facts->waiting;

	if (!facts->listener.bound)
		return json_null();
	return json_pack("{s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:i}", "name", facts->listener.comm,
			 "pid", (int)facts->listener.pid, "queue", (int)facts->queue, "queues",
			 (int)facts->queues, "depth", (json_int_t)q->depth, "dropped",
			 (json_int_t)q->dropped, "user_dropped", (json_int_t)q->user_dropped,
			 "receive_buffer", facts->receive_buffer);
}

static json_t *sample_json(const struct facts_device *device)
{
	const struct sample_count *s = &device->sample;

	return json_pack("{s:f, s:I, s:I, s:I, s:I, s:I, s:i}", "rate", s->rate, "looked",
			 (json_int_t)s->looked, "matching", (json_int_t)s->matching, "id0",
			 (json_int_t)s->id0, "tagged", (json_int_t)s->tagged, "fragments",
			 (json_int_t)s->fragments, "flows", (int)s->flows);
}

static json_t *bit_json(const struct facts_device *device, uint64_t bit)
{
	return device->features_known ? json_boolean(device->features & bit) : json_null();
}

static json_t *devices_json(const struct view *v)
{
	const struct facts *facts = &v->plan->facts;
	json_t *devices = json_array();

	for (unsigned int i = 0; i < facts->n_devices; i++) {
		const struct facts_device *device = &facts->device[i];
		const struct topology_dev *dev = device->node.dev;

		json_array_append_new(
			devices,
			json_pack(
				"{s:s, s:s, s:s, s:i, s:i, s:b, s:b, s:o, s:o, s:i, s:i, s:I, s:o}",
				"interface", dev->name, "kind", dev->kind, "driver",
				device->hw.driver, "depth", (int)device->node.depth, "mtu",
				(int)dev->mtu, "running", (int)dev->running, "attach",
				(int)is_attached(v, device), "native",
				bit_json(device, NETDEV_XDP_BASIC), "frags",
				bit_json(device, NETDEV_XDP_FRAGS), "queues", (int)device->hw.rx,
				"queues_max", (int)device->hw.rx_max, "prog_id",
				(json_int_t)dev->prog_id, "sample",
				v->plan->facts.sampled ? sample_json(device) : json_null()));
	}
	return devices;
}

static json_t *notes_json(const struct choice *choice)
{
	json_t *notes = json_array();

	for (unsigned int i = 0; i < choice->n_notes; i++)
		json_array_append_new(notes, json_pack("{s:s, s:s}", "interface",
						       choice->note[i].interface, "why",
						       choice->note[i].text));
	return notes;
}

static json_t *checks_json(const struct plan *plan)
{
	json_t *checks = json_array();

	for (unsigned int i = 0; i < plan->n_findings; i++) {
		const struct finding *f = &plan->finding[i];

		json_array_append_new(checks, json_pack("{s:s, s:s, s:s, s:s}", "id", f->id,
							"verdict", finding_verdict_name[f->verdict],
							"cause", f->cause, "command", f->command));
	}
	return checks;
}

static json_t *view_json(const struct view *v)
{
	const struct plan *plan = v->plan;
	json_t *count = json_object();

	for (int i = 0; i < FINDING_VERDICT_MAX; i++)
		json_object_set_new(count, finding_verdict_name[i],
				    json_integer(plan_count(plan, (enum finding_verdict)i)));
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:s?, s:O, s:s, s:o, s:o}", "instance",
			 plan->facts.interface, "rules", rules_json(&plan->facts), "daemon",
			 daemon_json(&plan->facts), "devices", devices_json(v), "not_attached",
			 notes_json(&plan->choice), "policy", v->policy, "changes", v->changes,
			 "refused", v->refused.text, "checks", checks_json(plan), "count", count);
}

static void print_rules(const struct facts *facts)
{
	for (unsigned int i = 0; i < facts->n_rules; i++) {
		const struct legacy_rule *rule = &facts->rule[i];

		printf("rule      %s, table %s, chain %s, number %u, priority %d%s\n          %s\n",
		       kind_name[rule->kind], rule->table, rule->chain, rule->position,
		       rule->priority, rule->guarded ? ", guarded by us" : "", rule->text);
	}
	if (!facts->n_rules)
		printf("rule      none that sends to an NFQUEUE\n");
}

static void print_daemon(const struct facts *facts)
{
	const struct nfq_queue_info *q = &facts->waiting;

	if (!facts->queues)
		return;
	if (facts->listener.bound)
		printf("daemon    %s, pid %d, queue %u: %u wait, %u lost\n", facts->listener.comm,
		       facts->listener.pid, facts->queue, q->depth, q->dropped + q->user_dropped);
	else
		printf("daemon    nobody listens on queue %u\n", facts->queue);
}

static void print_device(const struct view *v, const struct facts_device *device)
{
	const struct topology_dev *dev = device->node.dev;
	const int indent = 2 + 2 * (int)device->node.depth;

	printf("%*s%-*s %s, MTU %u", indent, "", 22 - indent, dev->name,
	       dev->kind[0]       ? dev->kind
	       : device->hw_known ? device->hw.driver
				  : "device",
	       dev->mtu);
	if (!strcmp(dev->kind, "vxlan"))
		printf(", VNI %u, port %u", dev->vxlan.vni, dev->vxlan.port);
	if (!strcmp(dev->kind, "vlan"))
		printf(", VLAN %u", dev->vlan);
	if (device->features_known)
		printf(", %s", device->features & NETDEV_XDP_BASIC ? "native" : "generic only");
	if (dev->prog_id)
		printf(", XDP program id %u", dev->prog_id);
	printf("%s%s\n", dev->running ? "" : ", DOWN", is_attached(v, device) ? "   <- XDP" : "");
}

static void print_devices(const struct view *v)
{
	const struct plan *plan = v->plan;

	if (plan->facts.n_devices)
		printf("\ndevices\n");
	for (unsigned int i = 0; i < plan->facts.n_devices; i++)
		print_device(v, &plan->facts.device[i]);
	if (plan->choice.n_notes)
		printf("\nXDP is not attached to\n");
	for (unsigned int i = 0; i < plan->choice.n_notes; i++)
		printf("  %-19s %s\n", plan->choice.note[i].interface, plan->choice.note[i].text);
}

/* A rule in nft's syntax has several lines. */
static void print_lines(const char *indent, const char *text)
{
	for (; *text; text += *text == '\n') {
		const int len = (int)strcspn(text, "\n");

		printf("%s%.*s\n", indent, len, text);
		text += len;
	}
}

static void print_changes(const struct view *v)
{
	json_t *change;
	size_t i;

	printf("\nchanges, in this order; this command makes none\n");
	json_array_foreach(v->changes, i, change)
	{
		print_lines("  ", json_string_value(json_object_get(change, "do")));
		printf("      undo: %s\n", json_string_value(json_object_get(change, "undo")));
	}
	if (v->refused.text[0])
		printf("  none: migrate start would refuse: %s\n", v->refused.text);
}

static const char *paint(const struct view *v, enum finding_verdict verdict)
{
	static const char *const colour[FINDING_VERDICT_MAX] = {
		[FINDING_OK] = "\033[32m",
		[FINDING_UNKNOWN] = "",
		[FINDING_WARN] = "\033[33m",
		[FINDING_FAIL] = "\033[31m",
	};

	return v->colour ? colour[verdict] : "";
}

/* The worst last: that is what is still on the screen. */
static void print_findings(const struct view *v)
{
	printf("\nchecks\n");
	for (int verdict = 0; verdict < FINDING_VERDICT_MAX; verdict++)
		for (unsigned int i = 0; i < v->plan->n_findings; i++) {
			const struct finding *f = &v->plan->finding[i];

			if (f->verdict != (enum finding_verdict)verdict)
				continue;
			printf("%s%-8s%s %-17s %s\n", paint(v, f->verdict),
			       finding_verdict_name[verdict], v->colour ? "\033[0m" : "", f->id,
			       f->cause);
			if (f->command[0])
				printf("%26s > %s\n", "", f->command);
		}
}

static void print_view(const struct view *v)
{
	const struct plan *plan = v->plan;
	const unsigned int fails = plan_count(plan, FINDING_FAIL);

	print_rules(&plan->facts);
	print_daemon(&plan->facts);
	print_devices(v);
	if (plan->choice.valid)
		print_changes(v);
	if (v->policy) {
		printf("\npolicy; --write FILE writes it\n");
		print_lines("  ", v->policy);
	}
	print_findings(v);
	printf("\n%s: %s%s%s: %u fail, %u warn, %u unknown, %u ok\n",
	       plan->facts.interface[0] ? plan->facts.interface : "plan",
	       paint(v, fails ? FINDING_FAIL : FINDING_OK),
	       fails ? "something is in the way" : "nothing is in the way",
	       v->colour ? "\033[0m" : "", fails, plan_count(plan, FINDING_WARN),
	       plan_count(plan, FINDING_UNKNOWN), plan_count(plan, FINDING_OK));
}

/* What follows from the plan. */
static void view_make(struct view *v, const struct args *args)
{
	const struct choice *choice = &v->plan->choice;

	v->colour = cmd_colour();
	v->changes = json_array();
	if (choice->valid && !args->config)
		v->policy = choose_format(&choice->policy);
	if (choice->valid &&
	    changes_all(&v->plan->facts, &choice->policy, v->changes, &v->refused) < 0)
		json_array_clear(v->changes);
	else
		v->refused.text[0] = '\0';
}

static int check_args(const struct args *args, struct err *err)
{
	if (args->instance && args->config)
		return err_set(err, N2X_USAGE, "plan: say IFACE or -c FILE, not both");
	if (args->write && args->config)
		return err_set(err, N2X_USAGE,
			       "plan: --write makes a file: it does not go with -c");
	return 0;
}

int migrate_cmd_plan(int argc, char **argv)
{
	_cleanup_(plan_freep) struct plan *plan = NULL;
	_cleanup_(view_release) struct view v = { 0 };
	struct plan_request request = { .traffic = true };
	struct policy policy;
	struct args args;
	struct err err;
	int ret = args_parse(argc, argv,
			     ARGS_INSTANCE | ARGS_MAY_CONFIG | ARGS_WRITE | ARGS_LOCAL_ONLY, &args,
			     &policy, &err);

	if (ret == 0)
		ret = check_args(&args, &err);
	if (ret < 0)
		return cmd_finish(ret, &err);
	request.interface = args.instance;
	request.policy = args.config ? &policy : NULL;
	request.local_only = args.local_only;
	v.plan = plan = plan_make(&request);
	if (!plan)
		return cmd_finish(err_set(&err, N2X_SYSTEM, "out of memory"), &err);
	view_make(&v, &args);
	if (args.write && !v.policy)
		ret = err_set(&err, N2X_NO, "nothing to write: %.400s", plan->choice.why.text);
	else if (args.write)
		ret = plan_write(args.write, v.policy, &err);
	if (!args.json)
		print_view(&v);
	else if (cmd_print(view_json(&v)) != N2X_OK)
		return N2X_SYSTEM;
	if (ret < 0)
		return cmd_finish(ret, &err);
	return plan_count(plan, FINDING_FAIL) ? N2X_NO : N2X_OK;
}

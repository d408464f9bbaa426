// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/changes.h"

#include <stdio.h>

#include "core/instance.h"
#include "core/output.h"
#include "migrate/machine.h"
#include "nfq-fallback/nfq_cmd.h"

#define UNDO_START   "nfq2xdp migrate rollback --detach -c FILE"
#define UNDO_RULES   "nfq2xdp migrate restore -c FILE"
#define UNDO_SHARE   "nfq2xdp panic"
#define UNDO_CONFIRM "nfq2xdp migrate rollback -c FILE"

int changes_rules(const struct policy *policy, const char *what, const char *undo, json_t *changes,
		  struct err *err)
{
	struct legacy_rule rules[LEGACY_RULES_MAX];
	int n = legacy_find(policy, rules, err);

	for (int i = 0; i < n; i++)
		if (rules[i].understood)
			output_change(changes, undo, "%s: %s", what, rules[i].text);
		else
			output_change(changes, "nothing to undo", "leave alone (%s): %s",
				      rules[i].why, rules[i].text);
	return n < 0 ? n : 0;
}

static void attach(const struct policy *policy, const struct xdp_plan *plan, json_t *changes)
{
	char dir[PATH_MAX];

	instance_pin_dir(ABI_VERSION, policy->interface, dir);
	output_change(changes, UNDO_START, "pin maps, clock and stub in %s", dir);
	for (unsigned int i = 0; i < policy->xdp.n_attach; i++)
		output_change(changes, UNDO_START,
			      "attach %s to %s (MTU %u) at share 0, pinned as %s/link-%s",
			      plan[i].frags ? "xdp.frags" : "xdp", plan[i].interface, plan[i].mtu,
			      dir, plan[i].interface);
}

int changes_start(const struct policy *policy, bool local_only, json_t *changes, struct err *err)
{
	struct xdp_plan plan[POLICY_ATTACH_MAX];
	char table[NFT_TABLE_MAX];
	bool already = false;
	int ret = machine_started(policy, &already, err);

	if (ret < 0 || already)
		return ret;
	ret = xdp_plan(policy, local_only, plan, err);
	if (ret == 0)
		ret = changes_rules(policy, "queue only what has DF set", UNDO_RULES, changes, err);
	if (ret < 0)
		return ret;
	nft_table_name(policy->interface, table);
	if (policy->nfqueue.daemon == NFQ_DAEMON_EXTERNAL)
		output_change(changes, UNDO_RULES,
			      "add table ip %s: counters in front of the rule and behind it",
			      table);
	attach(policy, plan, changes);
	return 0;
}

/* What an attach does besides (dev_disable_lro(), and the drivers). */
static void offloads(const struct facts *facts, const struct policy *policy, json_t *changes)
{
	for (unsigned int i = 0; i < policy->xdp.n_attach; i++) {
		const struct facts_device *device = facts_device(facts, policy->xdp.attach[i]);
		const uint32_t on = device ? device->hw.on & ~device->hw.fixed : 0;
		char undo[64];

		if (!(on & (NETDEV_LRO | NETDEV_GRO_HW)))
			continue;
		snprintf(undo, sizeof(undo), "ethtool -K %s %s on", policy->xdp.attach[i],
			 on & NETDEV_LRO ? "lro" : "rx-gro-hw");
		output_change(changes, undo, "the kernel switches %s off on %s",
			      on & NETDEV_LRO ? "lro" : "rx-gro-hw", policy->xdp.attach[i]);
	}
}

int changes_all(const struct facts *facts, const struct policy *policy, json_t *changes,
		struct err *err)
{
	const bool own = policy->nfqueue.daemon == NFQ_DAEMON_OWN;
	char share[32];
	int ret;

	if (own && !facts->fallback.running)
		nfq_cmd_changes(policy, changes);
	ret = changes_start(policy, facts->local_only, changes, err);
	if (ret < 0)
		return ret;
	offloads(facts, policy, changes);
	for (unsigned int i = 0; i < policy->rollout.n_steps; i++)
		output_change(changes, UNDO_SHARE,
			      "write share %s to the pinned map ctl, with a lease",
			      share_format(&policy->rollout.steps[i], share, sizeof(share)));
	output_change(changes, UNDO_CONFIRM, "take the lease away: migrate confirm, by hand");
	output_change(changes, own ? "nfq2xdp run nfqueue -c FILE" : UNDO_RULES,
		      "take %s away: migrate done, by hand",
		      own ? "our NFQUEUE path, its rule and table"
			  : "the rule and our table around it");
	return 0;
}

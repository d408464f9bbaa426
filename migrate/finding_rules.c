// SPDX-License-Identifier: GPL-2.0-only
/* Checks of the rules that are there. */
#include "migrate/finding_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PRIORITY_DEFRAG (-400) /* NF_IP_PRI_CONNTRACK_DEFRAG */

enum finding_verdict check_rule(struct check *c)
{
	const struct facts *f = c->facts;

	if (fact_missing(&f->rules))
		return unknown(c, "%s", fact_missing(&f->rules));
	if (!c->choice->valid) {
		fail(c, "%s", c->choice->why.text);
		mend(c, "iptables-save -t mangle; nft list ruleset");
		return FINDING_FAIL;
	}
	for (unsigned int i = 0; i < f->n_rules; i++) {
		if (f->rule[i].understood)
			continue;
		mend(c, "iptables-save -t mangle; nft list ruleset");
		return c->external && !c->rule
			       ? fail(c, "a rule is not understood (%s), and is left alone: %.200s",
				      f->rule[i].why, f->rule[i].text)
			       : warn(c,
				      "a rule is not understood (%s), and goes on queueing what is "
				      "handled already: %.200s",
				      f->rule[i].why, f->rule[i].text);
	}
	if (c->rule || !c->external)
		return ok(c, "%u rule(s) that send to a queue, understood", f->n_rules);
	fail(c, "no rule feeds queue %u, and nfqueue.daemon is external", c->policy->nfqueue.queue);
	mend(c, "iptables-save -t mangle; nft list ruleset   # then nfqueue.queue of the file");
	return FINDING_FAIL;
}

/* The rule with --queue-bypass, as the command that replaces it. */
static void mend_bypass(struct check *c)
{
	const struct legacy_rule *rule = c->rule;
	const char *rest = strstr(rule->text, rule->chain);

	if (rule->kind == LEGACY_NFT || rule->guarded || !rest)
		mend(c,
		     "nft -a list chain %s %s %s   # then nft replace rule … queue flags bypass to %u",
		     rule->family, rule->table, rule->chain, rule->queue);
	else
		mend(c, "%s -t %s -R %s %u%.300s --queue-bypass",
		     rule->kind == LEGACY_IPTABLES_NFT ? "iptables-nft" : "iptables-legacy",
		     rule->table, rule->chain, rule->position, rest + strlen(rule->chain));
}

enum finding_verdict check_bypass(struct check *c)
{
	if (fact_missing(&c->facts->rules) || !c->policy)
		return unknown(c, "%s", fact_missing(&c->facts->rules) ?: "there is no policy");
	if (!c->rule)
		return ok(c, "no rule of somebody else's is part of it");
	if (c->rule->bypass)
		return ok(c, "the rule has bypass: without its daemon, packets pass");
	mend_bypass(c);
	return warn(c, "the rule has no bypass: when the daemon ends, every packet is dropped");
}

enum finding_verdict check_conntrack(struct check *c)
{
	const struct facts *f = c->facts;

	if (c->policy && !c->external)
		return ok(c, "our NFQUEUE path is at priority -450, before it");
	if (f->conntrack < 0)
		return ok(c, "connection tracking is not loaded");
	if (!c->rule)
		return unknown(c, "there is no rule to compare with");
	if (c->rule->priority < PRIORITY_DEFRAG)
		return ok(c, "the rule is at priority %d, before it", c->rule->priority);
	if (f->conntrack == 0)
		return check_no_sample(c)
			       ? unknown(c, "no connection is tracked, and %s", check_no_sample(c))
			       : ok(c, "packets come, and no connection is tracked");
	mend(c,
	     "nfqueue: { daemon: own } in the file: our NFQUEUE path is before it (priority -450)");
	return warn(
		c,
		"connections are tracked (%ld) before the rule (priority %d): it sees fragments put "
		"together, XDP sees them apart",
		f->conntrack, c->rule->priority);
}

enum finding_verdict check_mark(struct check *c)
{
	if (fact_missing(&c->facts->rules))
		return unknown(c, "%s", fact_missing(&c->facts->rules));
	if (!c->facts->mark[0])
		return ok(c, "no iptables rule marks the policy's packets");
	mend(c, "rollout: { steps: [1/100, 1/10, 1/2, all] } in the file   # is the share");
	return warn(
		c,
		"a rule marks these packets: XDP runs before netfilter and never sees a mark: %s",
		c->facts->mark);
}

enum finding_verdict check_mixed(struct check *c)
{
	if (fact_missing(&c->facts->rules))
		return unknown(c, "%s", fact_missing(&c->facts->rules));
	if (!c->facts->nft_rules || !c->facts->legacy_rules)
		return ok(c, "one kind of iptables has rules, or none");
	mend(c, "iptables-legacy-save; iptables-nft-save   # move the rules of one to the other");
	return warn(
		c, "iptables-nft and iptables-legacy both have rules: both run on each packet, and "
		   "each lists its own only");
}

enum finding_verdict check_flushers(struct check *c)
{
	const struct facts *f = c->facts;
	char who[256] = "";

	for (unsigned int i = 0; i < f->n_flushers; i++)
		snprintf(who + strlen(who), sizeof(who) - strlen(who), "%s%s (%s)", i ? ", " : "",
			 f->flusher[i].name, f->flusher[i].how);
	if (!f->n_flushers && fact_missing(&f->rules))
		return unknown(c, "%s", fact_missing(&f->rules));
	if (!f->n_flushers)
		return ok(c, "no firewalld, ufw, docker, nftables.service or netfilter-persistent "
			     "seen");
	mend(c, "no reload or restart of it while packets wait: nfq2xdp migrate status -c FILE");
	return warn(
		c,
		"%s: its reload replaces rules, %s, and a hook that goes drops what waits in every "
		"queue",
		who,
		c->external     ? "the guarded one included"
		: f->form.owner ? "not our table (owner flag)"
				: "our table included (no owner flag)");
}

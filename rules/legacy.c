// SPDX-License-Identifier: GPL-2.0-only
#include "rules/legacy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/module.h"
#include "core/tool.h"
#include "core/util.h"
#include "rules/legacy_edit.h"
#include "rules/legacy_nft.h"
#include "rules/legacy_xt.h"

#define WAIT_LOCK "--wait=5" /* seconds, half of TOOL_SECONDS */

static const struct {
	const char *list[7];
	const char *apply[5];
	int (*batch)(const struct legacy_rule *rule, enum legacy_edit edit, const char *listing,
		     FILE *f, struct legacy_tally *t);
} tools[LEGACY_KIND_MAX] = {
	[LEGACY_IPTABLES_NFT] = {
		.list = { "iptables-nft-save", "-c" },
		.apply = { "iptables-nft-restore", "--noflush", "--counters", WAIT_LOCK },
		.batch = legacy_xt_batch,
	},
	[LEGACY_IPTABLES_LEGACY] = {
		.list = { "iptables-legacy-save", "-c" },
		.apply = { "iptables-legacy-restore", "--noflush", "--counters", WAIT_LOCK },
		.batch = legacy_xt_batch,
	},
	[LEGACY_NFT] = {
		.list = { "nft", "-j", "-a", "list", "ruleset" },
		.apply = { "nft", "-j", "-f", "/proc/self/fd/0" },
		.batch = legacy_nft_batch,
	},
};

/*
 * L1: iptables-legacy is not even asked in a namespace without its tables, and the others not where the
 * question alone would load nf_tables. *out is NULL when there cannot be a rule of this kind, or no tool
 * that could know.
 */
static int list(enum legacy_kind kind, char **out, struct err *err)
{
	*out = NULL;
	if (kind == LEGACY_IPTABLES_LEGACY) {
		_cleanup_file_ FILE *f = fopen("/proc/thread-self/net/ip_tables_names", "re");

		if (!f && errno != ENOENT)
			return err_set(err, N2X_SYSTEM, "ip_tables_names: %m");
		if (!f || fgetc(f) == EOF)
			return 0;
	} else if (!tool_exists(tools[kind].list[0]) || module_state("nf_tables") != MODULE_THERE) {
		return 0;
	}
	return tool_run(tools[kind].list, "", out, err);
}

int legacy_find_in(enum legacy_kind kind, const char *listing, const struct policy *policy,
		   struct legacy_rule rules[LEGACY_RULES_MAX], int n, struct err *err)
{
	if (kind == LEGACY_NFT)
		return legacy_nft_find(listing, true, policy, rules, n, err);
	return legacy_xt_find(kind, listing, policy, rules, n, err);
}

void legacy_listing_release(struct legacy_listing *listing)
{
	for (int kind = 0; kind < LEGACY_KIND_MAX; kind++)
		free(listing->text[kind]);
}

int legacy_list(struct legacy_listing *out, struct err *err)
{
	_cleanup_(legacy_listing_release) struct legacy_listing l = { 0 };

	for (int kind = 0; kind < LEGACY_KIND_MAX; kind++) {
		int ret = list((enum legacy_kind)kind, &l.text[kind], err);

		if (ret < 0)
			return ret;
	}
	*out = l;
	l = (struct legacy_listing){ 0 };
	return 0;
}

int legacy_find_listed(const struct legacy_listing *listing, const struct policy *policy,
		       struct legacy_rule rules[LEGACY_RULES_MAX], struct err *err)
{
	const char *nft_save = listing->text[LEGACY_IPTABLES_NFT];
	const char *legacy_save = listing->text[LEGACY_IPTABLES_LEGACY];
	const char *ruleset = listing->text[LEGACY_NFT];
	/* A table that is not all its own iptables-nft names in a comment, and leaves out. */
	bool listed = nft_save && !strstr(nft_save, "# Table `");
	int n = 0;

	if (nft_save)
		n = legacy_find_in(LEGACY_IPTABLES_NFT, nft_save, policy, rules, n, err);
	if (n >= 0 && legacy_save)
		n = legacy_find_in(LEGACY_IPTABLES_LEGACY, legacy_save, policy, rules, n, err);
	if (n >= 0 && ruleset)
		n = legacy_nft_find(ruleset, listed, policy, rules, n, err);
	return n;
}

int legacy_find(const struct policy *policy, struct legacy_rule rules[LEGACY_RULES_MAX],
		struct err *err)
{
	_cleanup_(legacy_listing_release) struct legacy_listing listing = { 0 };
	int ret = legacy_list(&listing, err);

	return ret < 0 ? ret : legacy_find_listed(&listing, policy, rules, err);
}

static int plan(const struct legacy_rule *rule, enum legacy_edit edit, const char *listing,
		char **batch, struct legacy_tally *t, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	int ret;

	*t = (struct legacy_tally){ 0 };
	if (!f)
		return err_set(err, N2X_SYSTEM, "out of memory");
	ret = tools[rule->kind].batch(rule, edit, listing, f, t);
	if (fclose(f) != 0 || ret < 0)
		return err_set(err, N2X_SYSTEM, "the rule cannot be written: %.200s", rule->text);
	if (legacy_copies(t) == 0 && (edit == LEGACY_GUARD || edit == LEGACY_UNGUARD))
		return err_set(err, N2X_INACTIVE, "table %s chain %s: the rule is gone: %.200s",
			       rule->table, rule->chain, rule->text);
	*batch = t->edits ? TAKE_PTR(text) : NULL;
	return 0;
}

int legacy_batch(const struct legacy_rule *rule, enum legacy_edit edit, const char *listing,
		 char **batch, struct err *err)
{
	struct legacy_tally t;

	return plan(rule, edit, listing, batch, &t, err);
}

/* Looks, plans and applies. Returns 0 with *t as it was before. */
static int apply(const struct legacy_rule *rule, enum legacy_edit edit, struct legacy_tally *t,
		 struct err *err)
{
	_cleanup_free_ char *listing = NULL;
	_cleanup_free_ char *batch = NULL;
	int ret = list(rule->kind, &listing, err);

	if (ret == 0)
		ret = plan(rule, edit, listing ?: "", &batch, t, err);
	if (ret == 0 && batch)
		ret = tool_run(tools[rule->kind].apply, batch, NULL, err);
	return ret;
}

/* Is every copy as wanted, and none too few or too many? */
static bool reads_back(const struct legacy_rule *rule, enum legacy_edit edit,
		       const struct legacy_tally *before)
{
	_cleanup_free_ char *listing = NULL;
	_cleanup_free_ char *batch = NULL;
	unsigned int want = legacy_copies(before) + legacy_is_missing(before, rule, edit);
	struct legacy_tally now;
	struct err ignored;

	if (list(rule->kind, &listing, &ignored) < 0 ||
	    plan(rule, edit, listing ?: "", &batch, &now, &ignored) < 0)
		return false;
	if (edit == LEGACY_REMOVE)
		return legacy_copies(&now) == 0;
	return now.edits == 0 && now.copies[legacy_wants_guard(edit)] == want;
}

/* Only what cannot hit more than the change did. */
static bool take_back(const struct legacy_rule *rule, enum legacy_edit edit,
		      const struct legacy_tally *before)
{
	struct legacy_tally ignored_tally;
	struct err ignored;

	if (edit == LEGACY_GUARD)
		return apply(rule, LEGACY_UNGUARD, &ignored_tally, &ignored) == 0;
	if (edit == LEGACY_UNGUARD)
		return apply(rule, LEGACY_GUARD, &ignored_tally, &ignored) == 0;
	return legacy_is_insert(edit) && legacy_copies(before) == 0 &&
	       apply(rule, LEGACY_REMOVE, &ignored_tally, &ignored) == 0;
}

static int change(const struct legacy_rule *rule, enum legacy_edit edit, struct err *err)
{
	struct legacy_tally before;
	int ret;

	if (!rule->understood)
		return err_set(err, N2X_FOREIGN, "not understood (%s), not changed: %.200s",
			       rule->why, rule->text);
	ret = apply(rule, edit, &before, err);
	if (ret < 0 || before.edits == 0 || reads_back(rule, edit, &before))
		return ret;
	return err_set(err, N2X_SYSTEM, "table %s chain %s: not as wanted afterwards, %s: %.200s",
		       rule->table, rule->chain,
		       take_back(rule, edit, &before) ? "taken back" : "look at it", rule->text);
}

int legacy_guard(const struct legacy_rule *rule, struct err *err)
{
	return change(rule, LEGACY_GUARD, err);
}

int legacy_unguard(const struct legacy_rule *rule, struct err *err)
{
	return change(rule, LEGACY_UNGUARD, err);
}

int legacy_remove(const struct legacy_rule *rule, struct err *err)
{
	return change(rule, LEGACY_REMOVE, err);
}

int legacy_insert(const struct legacy_rule *rule, bool guarded, struct err *err)
{
	return change(rule, guarded ? LEGACY_INSERT_GUARDED : LEGACY_INSERT, err);
}

// SPDX-License-Identifier: GPL-2.0-only
#include "rules/legacy_nft.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <jansson.h>

#include "core/util.h"
#include "rules/legacy_sight.h"

#define GUARD                                                                           \
	"{\"match\":{\"op\":\"==\",\"left\":{\"&\":[{\"payload\":{\"protocol\":\"ip\"," \
	"\"field\":\"frag-off\"}},24575]},\"right\":16384}}" /* 0x5fff, 0x4000 */

static void json_freep(json_t **j)
{
	json_decref(*j);
}

static const char *str(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "";
}

static bool same(const json_t *object, const char *key, const char *value)
{
	return strcmp(str(object, key), value) == 0;
}

/* Is o, a rule or another object, or NULL, in that table? */
static bool in_table(const json_t *o, const char *family, const char *table)
{
	return o && same(o, "family", family) && same(o, "table", table);
}

static bool in_chain(const json_t *o, const char *family, const char *table, const char *chain)
{
	return in_table(o, family, table) && same(o, "chain", chain);
}

/* The object of that type and name in the rule's table, or NULL. */
static const json_t *lookup(const json_t *all, const char *type, const json_t *rule,
			    const char *name)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(all, i, entry)
	{
		const json_t *o = json_object_get(entry, type);

		if (in_table(o, str(rule, "family"), str(rule, "table")) && same(o, "name", name))
			return o;
	}
	return NULL;
}

/*
 * What a rule is known by: {"comment", "expr"} without counts and without our match. A new string,
 * or NULL when memory is out.
 */
static char *known_by(const json_t *rule, bool *guarded)
{
	_cleanup_(json_freep) json_t *guard = json_loads(GUARD, 0, NULL);
	_cleanup_(json_freep) json_t *known = json_object();
	json_t *expr = json_deep_copy(json_object_get(rule, "expr")), *e;
	size_t i;

	*guarded = json_equal(json_array_get(expr, 0), guard);
	if (*guarded)
		json_array_remove(expr, 0);
	json_array_foreach(expr, i, e)
	{
		if (json_object_get(e, "counter"))
			json_object_set_new(e, "counter", json_null());
	}
	if (json_object_get(rule, "comment"))
		json_object_set(known, "comment", json_object_get(rule, "comment"));
	json_object_set_new(known, "expr", expr);
	return json_dumps(known, JSON_COMPACT);
}

static bool is_ours(const json_t *rule)
{
	return strncmp(str(rule, "table"), "nfq2xdp_", strlen("nfq2xdp_")) == 0;
}

/* Does it queue IPv4, by nft's own statement or by iptables' target? */
static bool has_queue(const json_t *rule, bool *xt)
{
	const json_t *e;
	size_t i;

	*xt = false;
	if (is_ours(rule) || same(rule, "family", "ip6") || same(rule, "family", "arp"))
		return false;
	json_array_foreach(json_object_get(rule, "expr"), i, e)
	{
		*xt = same(json_object_get(e, "xt"), "name", "NFQUEUE");
		if (*xt || json_object_get(e, "queue"))
			return true;
	}
	return false;
}

/* A number or a range. */
static bool range(const json_t *value, unsigned int *low, unsigned int *high)
{
	if (json_unpack((json_t *)value, "{s:[i,i]}", "range", low, high) == 0)
		return true;
	*low = *high = (unsigned int)json_integer_value(value);
	return json_is_integer(value);
}

static void see_ports(struct legacy_sight *s, const json_t *all, const json_t *rule,
		      const json_t *right)
{
	const char *name = json_string_value(right);
	const json_t *set = json_object_get(right, "set"), *port;
	_cleanup_(json_freep) json_t *one = json_array();
	unsigned int low, high;
	bool any = false;
	size_t i;

	if (name && *name == '@')
		set = json_object_get(lookup(all, "set", rule, name + 1), "elem");
	if (!json_is_array(set)) {
		json_array_append(one, (json_t *)right);
		set = one;
	}
	json_array_foreach(set, i, port)
	{
		if (!range(port, &low, &high)) {
			legacy_not_understood(s, "ports that are not numbers");
			return;
		}
		any |= legacy_see_port(s, low, high);
	}
	legacy_see_others(s, !any);
}

/* Where there is no /etc/protocols, nft prints the number. */
static bool is_protocol(const json_t *right)
{
	return json_is_string(right) || json_is_integer(right);
}

static bool is_udp(const json_t *right)
{
	return json_is_integer(right) ? json_integer_value(right) == IPPROTO_UDP
				      : !strcmp(json_string_value(right), "udp");
}

static void see_match(struct legacy_sight *s, const json_t *all, const json_t *rule, json_t *match)
{
	const char *key = "", *protocol = "", *field = "";
	const json_t *right = json_object_get(match, "right");
	json_t *left = json_object_get(match, "left");

	json_unpack(left, "{s:{s:s}}", "meta", "key", &key);
	json_unpack(left, "{s:{s:s,s:s}}", "payload", "protocol", &protocol, "field", &field);
	if (!same(match, "op", "=="))
		legacy_not_understood(s, "match with %s", str(match, "op"));
	else if (strcmp(key, "iifname") == 0 && json_is_string(right))
		legacy_see_interface(s, json_string_value(right), '*');
	else if (is_protocol(right) &&
		 (strcmp(key, "l4proto") == 0 ||
		  (strcmp(protocol, "ip") == 0 && strcmp(field, "protocol") == 0)))
		legacy_see_others(s, !is_udp(right));
	else if (strcmp(protocol, "udp") == 0 && strcmp(field, "dport") == 0)
		see_ports(s, all, rule, right);
	else
		legacy_not_understood(s, "match of %s%s %s", key, protocol, field);
}

static void see_queue(struct legacy_sight *s, const json_t *queue)
{
	const json_t *num = json_object_get(queue, "num"), *flags = json_object_get(queue, "flags"),
		     *f;
	unsigned int low = 0, high = 0;
	size_t i;

	if (num && !range(num, &low, &high))
		legacy_not_understood(s, "queue that is not a number");
	else
		legacy_see_queues(s, low, high);
	s->rule->bypass = same(queue, "flags", "bypass");
	json_array_foreach(flags, i, f)
		s->rule->bypass |= strcmp(json_string_value(f) ?: "", "bypass") == 0;
}

static void see(struct legacy_sight *s, const json_t *all, const json_t *rule)
{
	const json_t *expr = json_object_get(rule, "expr"), *e, *value;
	const json_t *chain = lookup(all, "chain", rule, str(rule, "chain"));
	size_t i;

	s->rule->priority = (int)json_integer_value(json_object_get(chain, "prio"));
	s->other = same(chain, "hook", "output");
	if (!same(chain, "hook", "prerouting"))
		legacy_not_understood(s, "chain %.40s: its hook is not prerouting",
				      str(rule, "chain"));
	if (!same(rule, "family", "ip") && !same(rule, "family", "inet"))
		legacy_not_understood(s, "table of family %s", str(rule, "family"));
	json_array_foreach(expr, i, e)
	{
		const char *name = json_object_iter_key(json_object_iter((json_t *)e));

		value = json_object_get(e, name);
		if (strcmp(name, "queue") == 0)
			see_queue(s, value);
		else if (strcmp(name, "match") == 0 && (i > 0 || !s->rule->guarded))
			see_match(s, all, rule, (json_t *)value);
		else if (strcmp(name, "xt") == 0)
			legacy_not_understood(
				s, "made by iptables, and not listed by iptables-nft-save");
		else if (strcmp(name, "match") != 0 && strcmp(name, "counter") != 0)
			legacy_not_understood(s, "%s", name);
	}
}

static unsigned int find_position(const json_t *all, const json_t *rule)
{
	unsigned int position = 0;
	const json_t *entry;
	size_t i;

	json_array_foreach(all, i, entry)
	{
		const json_t *o = json_object_get(entry, "rule");

		position += in_chain(o, str(rule, "family"), str(rule, "table"),
				     str(rule, "chain"));
		if (o == rule)
			break;
	}
	return position;
}

static bool is_xt_table(const json_t *rule)
{
	static const char *const names[] = { "raw", "mangle", "nat", "filter", "security" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (same(rule, "family", "ip") && same(rule, "table", names[i]))
			return true;
	return false;
}

int legacy_nft_find(const char *listing, bool xt_listed, const struct policy *policy,
		    struct legacy_rule *rules, int n, struct err *err)
{
	_cleanup_(json_freep) json_t *root = json_loads(listing, 0, NULL);
	const json_t *all = json_object_get(root, "nftables"), *entry;
	size_t i;

	if (!json_is_array(all))
		return err_set(err, N2X_SYSTEM, "nft: its JSON output cannot be read");
	json_array_foreach(all, i, entry)
	{
		const json_t *o = json_object_get(entry, "rule");
		struct legacy_rule rule = { .kind = LEGACY_NFT, .understood = true };
		struct legacy_sight s = { .policy = policy, .rule = &rule };
		_cleanup_free_ char *text = NULL;
		bool xt;

		if (!has_queue(o, &xt) || (xt && xt_listed && is_xt_table(o)))
			continue;
		if (!(text = known_by(o, &rule.guarded)))
			return err_set(err, N2X_SYSTEM, "out of memory");
		s.queue = true;
		rule.position = find_position(all, o);
		legacy_see_text(&s, str(o, "family"), str(o, "table"), str(o, "chain"), text);
		see(&s, all, o);
		n = legacy_take(&s, rules, n, err);
		if (n < 0)
			return n;
	}
	return n;
}

/* Appends {VERB: {"rule": {family, table, chain, handle}}}. Returns the rule in it. */
static json_t *add_command(json_t *commands, const char *verb, const struct legacy_rule *rule,
			   const json_t *handle)
{
	json_t *command = json_pack("{s:{s:{s:s,s:s,s:s}}}", verb, "rule", "family", rule->family,
				    "table", rule->table, "chain", rule->chain);
	json_t *o = json_object_get(json_object_get(command, verb), "rule");

	if (handle)
		json_object_set(o, "handle", (json_t *)handle);
	json_array_append_new(commands, command);
	return o;
}

/*
 * Puts a rule with the expressions and the comment of `from` in front of the one with that handle,
 * or at the end of the chain. Not by "replace": nft 1.0.6 aborts when the rule has a set with a
 * range.
 */
static void put(json_t *commands, const struct legacy_rule *rule, const json_t *handle,
		const json_t *from, bool strip, bool guard)
{
	json_t *o = add_command(commands, handle ? "insert" : "add", rule, handle);
	json_t *expr = json_deep_copy(json_object_get(from, "expr"));

	if (strip)
		json_array_remove(expr, 0);
	if (guard)
		json_array_insert_new(expr, 0, json_loads(GUARD, 0, NULL));
	json_object_set_new(o, "expr", expr);
	if (json_object_get(from, "comment"))
		json_object_set(o, "comment", json_object_get(from, "comment"));
}

int legacy_nft_batch(const struct legacy_rule *rule, enum legacy_edit edit, const char *listing,
		     FILE *f, struct legacy_tally *t)
{
	_cleanup_(json_freep) json_t *root = json_loads(listing, 0, NULL);
	const json_t *all = json_object_get(root, "nftables"), *entry, *place = NULL;
	_cleanup_(json_freep) json_t *known = json_loads(rule->text, 0, NULL);
	_cleanup_(json_freep) json_t *commands = json_array();
	_cleanup_(json_freep) json_t *batch = json_pack("{s:O}", "nftables", commands);
	size_t i;

	if (!json_is_array(all) || !known || !batch)
		return -EINVAL;
	json_array_foreach(all, i, entry)
	{
		const json_t *o = json_object_get(entry, "rule");
		const json_t *handle = json_object_get(o, "handle");
		_cleanup_free_ char *text = NULL;
		bool guarded;

		if (!in_chain(o, rule->family, rule->table, rule->chain))
			continue;
		if (++t->rules == rule->position)
			place = handle;
		if (!(text = known_by(o, &guarded)))
			return -ENOMEM;
		if (strcmp(text, rule->text) != 0 || !legacy_tally_copy(t, edit, guarded))
			continue;
		if (edit != LEGACY_REMOVE)
			put(commands, rule, handle, o, guarded, !guarded);
		add_command(commands, "delete", rule, handle);
	}
	if (legacy_is_missing(t, rule, edit)) {
		t->edits++;
		put(commands, rule, place, known, false, legacy_wants_guard(edit));
	}
	return json_dumpf(batch, f, JSON_COMPACT) < 0 ? -ENOMEM : 0;
}

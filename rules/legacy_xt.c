// SPDX-License-Identifier: GPL-2.0-only
#include "rules/legacy_xt.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "rules/legacy_sight.h"

#define TARGET " -j NFQUEUE"
#define GUARD  " -m u32 --u32 \"0x4&0x5fff=0x4000\""

/* Goes through the "-A" lines of a listing, which it cuts up. */
struct lines {
	char *at;
	const char *table;
	char chain[64];
	unsigned int position;
	const char *counters; /* "[packets:bytes]" */
	char *text; /* from "-A" on */
};

static bool next_rule(struct lines *l)
{
	char *line, chain[sizeof(l->chain)];

	while ((line = strsep(&l->at, "\n"))) {
		if (*line == '*') {
			l->table = line + 1;
			l->chain[0] = '\0';
		}
		l->text = strstr(line, "] -A ");
		if (*line != '[' || !l->text)
			continue;
		l->counters = line;
		l->text[1] = '\0';
		l->text += 2;
		if (sscanf(l->text, "-A %63s", chain) != 1)
			continue;
		if (strcmp(chain, l->chain) != 0)
			l->position = 0;
		memcpy(l->chain, chain, sizeof(chain));
		l->position++;
		return l->table;
	}
	return false;
}

/* The target is the last of its name: only numbers follow it, and a comment may quote it. */
static char *find_target(const char *text)
{
	char *last = NULL;

	for (char *at = strstr(text, TARGET); at; at = strstr(at + 1, TARGET))
		last = at;
	return last;
}

/* Takes our match out. Returns whether it was there. */
static bool strip(char *text)
{
	const size_t len = strlen(GUARD);
	const char *target = find_target(text);
	size_t at = target ? (size_t)(target - text) : 0;

	if (at < len || memcmp(text + at - len, GUARD, len) != 0)
		return false;
	memmove(text + at - len, text + at, strlen(text + at) + 1);
	return true;
}

/* The next word, its quotes and backslashes taken off in place; NULL at the end. */
static char *next_word(char **at)
{
	char *in = *at + strspn(*at, " "), *out = in, *word = in;
	bool quoted = false;

	if (!*in)
		return NULL;
	for (; *in && (quoted || *in != ' '); in++) {
		if (*in == '"') {
			quoted = !quoted;
			continue;
		}
		if (*in == '\\' && in[1])
			in++;
		*out++ = *in;
	}
	*at = *in ? in + 1 : in;
	*out = '\0';
	return word;
}

static void on_interface(struct legacy_sight *s, const char *arg)
{
	legacy_see_interface(s, arg, '+');
}

static void on_protocol(struct legacy_sight *s, const char *arg)
{
	legacy_see_others(s, strcmp(arg, "udp") != 0);
}

static void on_match(struct legacy_sight *s, const char *arg)
{
	if (strcmp(arg, "udp") == 0 || strcmp(arg, "multiport") == 0 || strcmp(arg, "comment") == 0)
		return;
	legacy_not_understood(s, "match %s", arg);
	s->lost = true;
}

static void on_ports(struct legacy_sight *s, const char *arg)
{
	bool any = false;

	for (int used = 0; *arg; arg += used + (arg[used] == ',')) {
		unsigned int low, high;
		int n = sscanf(arg, "%u%n:%u%n", &low, &used, &high, &used);

		if (n < 1) {
			legacy_not_understood(s, "ports %s", arg);
			return;
		}
		any |= legacy_see_port(s, low, n == 2 ? high : low);
	}
	legacy_see_others(s, !any);
}

static void on_jump(struct legacy_sight *s, const char *arg)
{
	s->queue = strcmp(arg, "NFQUEUE") == 0;
}

static void on_queue(struct legacy_sight *s, const char *arg)
{
	unsigned int low, high;
	int n = sscanf(arg, "%u:%u", &low, &high);

	if (n < 1)
		legacy_not_understood(s, "queue %s", arg);
	else
		legacy_see_queues(s, low, n == 2 ? high : low);
}

static void on_comment(struct legacy_sight *s, const char *arg)
{
	(void)s;
	(void)arg;
}

static void on_address(struct legacy_sight *s, const char *arg)
{
	legacy_not_understood(s, "address %s", arg);
}

static void see_word(struct legacy_sight *s, const char *word, char **at)
{
	static const struct {
		const char *name;
		void (*see)(struct legacy_sight *s, const char *arg);
	} options[] = {
		{ "-i", on_interface },
		{ "-p", on_protocol },
		{ "-m", on_match },
		{ "-s", on_address },
		{ "-d", on_address },
		{ "--dport", on_ports },
		{ "--dports", on_ports },
		{ "--comment", on_comment },
		{ "-j", on_jump },
		{ "--queue-num", on_queue },
		{ "--queue-balance", on_queue },
	};

	if (strcmp(word, "!") == 0) {
		legacy_not_understood(s, "negation of %.*s", (int)strcspn(*at, " "), *at);
		s->negated = true;
		return;
	}
	if (strcmp(word, "--queue-bypass") == 0) {
		s->rule->bypass = true;
		return;
	}
	if (strcmp(word, "--queue-cpu-fanout") == 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const char *arg;

		if (strcmp(word, options[i].name) != 0)
			continue;
		arg = next_word(at);
		options[i].see(s, arg ?: "");
		s->negated = false;
		return;
	}
	legacy_not_understood(s, "option %s", word);
	s->lost = true;
}

static void see(struct legacy_sight *s, const struct lines *l)
{
	struct legacy_rule *rule = s->rule;
	char words[sizeof(rule->text)], *at = words, *word;
	bool raw = strcmp(l->table, "raw") == 0;

	rule->guarded = strip(l->text);
	rule->position = l->position;
	rule->priority = raw ? -300 : -150;
	legacy_see_text(s, "ip", l->table, l->chain, l->text);
	if (!rule->understood) { /* cut off: the target may be missing */
		s->queue = find_target(l->text);
		return;
	}
	s->other = strcmp(l->chain, "OUTPUT") == 0;
	if (strcmp(l->chain, "PREROUTING") != 0 || (!raw && strcmp(l->table, "mangle") != 0))
		legacy_not_understood(s, "chain %s of table %s", l->chain, l->table);
	memcpy(words, rule->text, sizeof(words));
	next_word(&at); /* -A */
	next_word(&at); /* the chain */
	while ((word = next_word(&at)))
		see_word(s, word, &at);
}

int legacy_xt_find(enum legacy_kind kind, const char *listing, const struct policy *policy,
		   struct legacy_rule *rules, int n, struct err *err)
{
	_cleanup_free_ char *text = strdup(listing);
	struct lines l = { .at = text };

	if (!text)
		return err_set(err, N2X_SYSTEM, "out of memory");
	while (n >= 0 && next_rule(&l)) {
		struct legacy_rule rule = { .kind = kind, .understood = true };
		struct legacy_sight s = { .policy = policy, .rule = &rule };

		if (!find_target(l.text))
			continue;
		see(&s, &l);
		n = legacy_take(&s, rules, n, err);
	}
	return n;
}

static void put(FILE *f, const char *text, bool guarded)
{
	const char *target = find_target(text);

	fprintf(f, "%.*s%s%s\n", (int)(target - text), text, guarded ? GUARD : "", target);
}

/*
 * "-D" by the whole text and "-I" at the same place, in one transaction: as much in place as "-R",
 * which would take whatever has moved there meanwhile (L3). Of several copies "-D" takes the first,
 * which is the one whose turn it is.
 */
int legacy_xt_batch(const struct legacy_rule *rule, enum legacy_edit edit, const char *listing,
		    FILE *f, struct legacy_tally *t)
{
	_cleanup_free_ char *copy = strdup(listing);
	const char *rest = rule->text + strlen("-A ") + strlen(rule->chain);
	struct lines l = { .at = copy };

	if (!copy || !find_target(rule->text))
		return -EINVAL;
	fprintf(f, "*%s\n", rule->table);
	while (next_rule(&l)) {
		bool guarded;

		if (strcmp(l.table, rule->table) != 0 || strcmp(l.chain, rule->chain) != 0)
			continue;
		t->rules++;
		guarded = strip(l.text);
		if (strcmp(l.text, rule->text) != 0 || !legacy_tally_copy(t, edit, guarded))
			continue;
		fprintf(f, "-D %s", rule->chain);
		put(f, rest, guarded);
		if (edit == LEGACY_REMOVE)
			continue;
		fprintf(f, "%s -I %s %u", l.counters, rule->chain, l.position);
		put(f, rest, !guarded);
	}
	if (legacy_is_missing(t, rule, edit)) {
		t->edits++;
		fprintf(f, "[0:0] -I %s %u", rule->chain,
			rule->position <= t->rules ? rule->position : t->rules + 1);
		put(f, rest, legacy_wants_guard(edit));
	}
	fputs("COMMIT\n", f);
	return 0;
}

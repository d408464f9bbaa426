// SPDX-License-Identifier: GPL-2.0-only
#include "rules/legacy_sight.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void legacy_not_understood(struct legacy_sight *s, const char *format, ...)
{
	va_list args;

	if (!s->rule->understood)
		return;
	s->rule->understood = false;
	va_start(args, format);
	vsnprintf(s->rule->why, sizeof(s->rule->why), format, args);
	va_end(args);
}

static void copy_text(struct legacy_sight *s, char *to, size_t size, const char *from)
{
	if ((size_t)snprintf(to, size, "%s", from) >= size)
		legacy_not_understood(s, "longer than %zu bytes: %.60s", size - 1, from);
}

void legacy_see_text(struct legacy_sight *s, const char *family, const char *table,
		     const char *chain, const char *text)
{
	struct legacy_rule *rule = s->rule;

	copy_text(s, rule->family, sizeof(rule->family), family);
	copy_text(s, rule->table, sizeof(rule->table), table);
	copy_text(s, rule->chain, sizeof(rule->chain), chain);
	copy_text(s, rule->text, sizeof(rule->text), text);
}

void legacy_see_others(struct legacy_sight *s, bool others)
{
	if (others && !s->negated && !s->lost)
		s->other = true;
}

void legacy_see_interface(struct legacy_sight *s, const char *name, char any)
{
	size_t len = strlen(name);

	if (len && name[len - 1] == any)
		legacy_see_others(s, strncmp(name, s->policy->interface, len - 1) != 0);
	else
		legacy_see_others(s, strcmp(name, s->policy->interface) != 0);
}

bool legacy_has_port(const struct policy *policy, unsigned int low, unsigned int high)
{
	for (unsigned int i = 0; i < policy->df.n_dport; i++) {
		unsigned int port = ntohs(policy->df.dport_be[i]);

		if (port >= low && port <= high)
			return true;
	}
	return false;
}

void legacy_see_queues(struct legacy_sight *s, unsigned int low, unsigned int high)
{
	if (low > high || high > UINT16_MAX || (low == 0 && high == UINT16_MAX)) {
		legacy_not_understood(s, "queue %u:%u", low, high);
		return;
	}
	s->rule->queue = (uint16_t)low;
	s->rule->queues = (uint16_t)(high - low + 1);
}

int legacy_take(const struct legacy_sight *s, struct legacy_rule *rules, int n, struct err *err)
{
	struct legacy_rule *rule = s->rule;

	if (!s->queue || s->other)
		return n;
	if (n == LEGACY_RULES_MAX)
		return err_set(err, N2X_SYSTEM, "more than %d rules with a queue, such as %.200s",
			       LEGACY_RULES_MAX, rule->text);
	for (int i = 0; i < n; i++)
		rule->copy += rules[i].kind == rule->kind &&
			      strcmp(rules[i].family, rule->family) == 0 &&
			      strcmp(rules[i].table, rule->table) == 0 &&
			      strcmp(rules[i].chain, rule->chain) == 0 &&
			      strcmp(rules[i].text, rule->text) == 0;
	rules[n] = *rule;
	return n + 1;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "rules/legacy_sight.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"

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
	const char *wanted = s->policy->interface;
	size_t len = strlen(name);

	if (len && name[len - 1] == any) {
		legacy_see_others(s, *wanted && strncmp(name, wanted, len - 1) != 0);
		return;
	}
	if (!s->negated && len < sizeof(s->rule->interface))
		memcpy(s->rule->interface, name, len + 1);
	legacy_see_others(s, *wanted && strcmp(name, wanted) != 0);
}

bool legacy_see_port(struct legacy_sight *s, unsigned int low, unsigned int high)
{
	const struct df_policy *df = &s->policy->df;
	struct legacy_rule *rule = s->rule;

	s->many |= high < low || high > UINT16_MAX ||
		   high - low >= ARRAY_SIZE(rule->port) - rule->n_ports;
	for (unsigned int port = low; port <= high && !s->many && !s->negated; port++)
		rule->port[rule->n_ports++] = (uint16_t)port;
	if (s->many)
		rule->n_ports = 0;
	for (unsigned int i = 0; i < df->n_dport; i++) {
		unsigned int port = ntohs(df->dport_be[i]);

		if (port >= low && port <= high)
			return true;
	}
	return !df->n_dport;
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

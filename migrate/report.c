// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/report.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "core/policy.h"
#include "core/util.h"
#include "migrate/parity.h"

#define PHASE_MS 100

/* Of machine_counters(), what a report counts; "handled" is the NFQUEUE path. */
enum count { COUNT_XDP, COUNT_NFQUEUE, COUNT_LEAKED, COUNT_MAX };
static const char *const count_key[COUNT_MAX] = { "cleared", "handled", "leaked" };
static const char *const count_name[COUNT_MAX] = { "xdp", "nfqueue", "leaked" };

/* Packets between readings. unknown: a reading on the way did not have the counter. */
struct counted {
	json_int_t n[COUNT_MAX];
	bool unknown[COUNT_MAX];
	int64_t ms; /* between the first reading and the last; 0: fewer than two */
};

struct report {
	json_t *document;
	json_t *rollout; /* the last of document.rollouts, or NULL */
	json_int_t lines, generation;
	int64_t begun_ms, now_ms;
	json_t *intent; /* that nothing is known to have become of yet */
	char share[32];
	int64_t phase_ms;
	struct counted phase, all;
	bool read; /* there is a reading before */
	json_int_t before[COUNT_MAX]; /* -1: not in it */
	int64_t before_ms;
	json_int_t looks, verdicts[3];
};

static const char *const verdict_name[] = { "pass", "inconclusive", "fail" };

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "";
}

/* object may be NULL. */
static bool is(const json_t *object, const char *key, const char *value)
{
	return !strcmp(text_of(object, key), value);
}

/* RFC 3339 in UTC, as the journal writes it; a line without a time is as late as the one before. */
static int64_t line_ms(const json_t *line, int64_t before)
{
	const char *rest;
	struct tm tm = { 0 };
	double part = 0;

	rest = strptime(text_of(line, "time"), "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return before;
	if (*rest == '.' && sscanf(rest, "%lf", &part) != 1)
		part = 0;
	return (int64_t)timegm(&tm) * 1000 + (int64_t)(part * 1000 + 0.5);
}

static json_t *seconds(int64_t ms)
{
	return json_real((double)ms / 1000);
}

/* A new object of the list, with the time that the line is of. */
static json_t *append(struct report *r, const char *list)
{
	json_t *entry = json_object();

	json_object_set_new(entry, "at", seconds(r->now_ms - r->begun_ms));
	json_array_append_new(json_object_get(r->rollout, list), entry);
	return entry;
}

/* The same, with all that the line says. */
static json_t *append_line(struct report *r, const char *list, json_t *line)
{
	json_t *entry = append(r, list), *value;
	const char *key;

	json_object_foreach(line, key, value)
	{
		if (strcmp(key, "time") != 0 && strcmp(key, "generation") != 0 &&
		    strcmp(key, "counters") != 0 && strcmp(key, "at") != 0)
			json_object_set(entry, key, value);
	}
	return entry;
}

static void add_event(struct report *r, json_t *line)
{
	append_line(r, "events", line);
}

static void outcome(struct report *r, const char *what, const char *why)
{
	json_object_set_new(r->rollout, "outcome", json_string(what));
	json_object_set_new(r->rollout, "reason", *why ? json_string(why) : json_null());
}

/* Counters that fell began anew: with another process, or another table. */
static void count(struct counted *c, enum count i, json_int_t before, json_int_t now)
{
	if (before < 0 || now < 0)
		c->unknown[i] = true;
	else
		c->n[i] += now >= before ? now - before : now;
}

static void add_reading(struct report *r, const json_t *line)
{
	const json_t *counters = json_object_get(line, "counters");

	if (!json_is_object(counters))
		return;
	for (int i = 0; i < COUNT_MAX; i++) {
		const json_t *n = json_object_get(counters, count_key[i]);
		json_int_t now = json_is_integer(n) ? json_integer_value(n) : -1;

		if (r->read) {
			count(&r->phase, i, r->before[i], now);
			count(&r->all, i, r->before[i], now);
		}
		r->before[i] = now;
	}
	if (r->read) {
		r->phase.ms += r->now_ms - r->before_ms;
		r->all.ms += r->now_ms - r->before_ms;
	}
	r->read = true;
	r->before_ms = r->now_ms;
}

static json_t *counted_json(const struct counted *c, enum count i)
{
	return c->ms <= 0 || c->unknown[i] ? json_null() : json_integer(c->n[i]);
}

static json_t *rate_json(const struct counted *c, enum count i)
{
	return c->ms <= 0 || c->unknown[i] ? json_null()
					   : json_real((double)c->n[i] * 1000 / (double)c->ms);
}

/* One that did not last, and in which nothing was counted, is none. */
static void end_phase(struct report *r)
{
	if (r->now_ms - r->phase_ms < PHASE_MS && r->phase.ms <= 0)
		return;
	json_array_append_new(json_object_get(r->rollout, "phases"),
			      json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "at",
					seconds(r->phase_ms - r->begun_ms), "duration",
					seconds(r->now_ms - r->phase_ms), "share", r->share, "xdp",
					counted_json(&r->phase, COUNT_XDP), "nfqueue",
					counted_json(&r->phase, COUNT_NFQUEUE), "leaked",
					counted_json(&r->phase, COUNT_LEAKED), "xdp_rate",
					rate_json(&r->phase, COUNT_XDP), "nfqueue_rate",
					rate_json(&r->phase, COUNT_NFQUEUE)));
	r->phase = (struct counted){ 0 };
	r->phase_ms = r->now_ms;
}

static json_t *share_json(const char *text)
{
	struct share share;

	if (share_parse(text, &share) < 0)
		return json_null();
	switch (share.kind) {
	case DF_SHARE_NTH:
		return json_real(1.0 / share.n);
	case DF_SHARE_FLOW:
		return json_real((double)share.n / 4294967296.0);
	default:
		return json_real(share.kind == DF_SHARE_ALL);
	}
}

static void move(struct report *r, const char *from, const char *to, const char *by)
{
	json_t *entry;

	end_phase(r);
	entry = append(r, "moves");
	json_object_set_new(entry, "from", json_string(from));
	json_object_set_new(entry, "to", json_string(to));
	json_object_set_new(entry, "share", share_json(to));
	json_object_set_new(entry, "by", json_string(by));
	snprintf(r->share, sizeof(r->share), "%s", strlen(to) < sizeof(r->share) ? to : "?");
}

/* Killed between an intent and what became of it: what did, is in the kernel and not here. */
static void drop_intent(struct report *r)
{
	int64_t now = r->now_ms;

	if (r->intent && r->rollout) {
		r->now_ms = line_ms(r->intent, now);
		add_event(r, r->intent);
		r->now_ms = now;
	}
	json_decref(r->intent);
	r->intent = NULL;
}

static void add_share(struct report *r, json_t *line)
{
	json_int_t step = json_integer_value(json_object_get(r->intent, "step"));
	char by[32] = "by hand";

	if (!is(line, "event", "did") || !r->intent) {
		add_event(r, line);
		return;
	}
	if (step > 0)
		snprintf(by, sizeof(by), "step %" JSON_INTEGER_FORMAT, step);
	move(r, text_of(r->intent, "from"), text_of(r->intent, "to"), by);
	outcome(r, "open", "");
}

static void add_did(struct report *r, json_t *line)
{
	bool failed = is(line, "event", "failed");

	if (is(line, "do", "share"))
		add_share(r, line);
	else
		add_event(r, line);
	if (is(r->intent, "do", text_of(line, "do"))) {
		json_decref(r->intent);
		r->intent = NULL;
	}
	if (failed && is(line, "do", "start") &&
	    !json_array_size(json_object_get(r->rollout, "moves")))
		outcome(r, "not begun", text_of(line, "why"));
	else if (!failed && is(line, "do", "confirm"))
		outcome(r, "confirmed", "");
	else if (!failed && is(line, "do", "done"))
		outcome(r, "done", "");
	else if (!failed && is(line, "do", "restore"))
		outcome(r, "restored", "");
}

static void add_back(struct report *r, json_t *line)
{
	bool panic = is(line, "event", "panic");

	append_line(r, "rollbacks", line);
	move(r, panic ? r->share : text_of(line, "from"), "0", panic ? "panic" : "rollback");
	outcome(r, "rolled back", panic ? "panic" : text_of(line, "reason"));
}

static void add_end(struct report *r, json_t *line)
{
	bool back = json_is_true(json_object_get(line, "rolled_back"));

	add_event(r, line);
	if (json_is_true(json_object_get(line, "confirmed")))
		outcome(r, "confirmed", "");
	else if (!back || !is(r->rollout, "outcome", "rolled back"))
		outcome(r, back ? "rolled back" : "open", text_of(line, "reason"));
}

/* The gates' counts, in the order in which they came first. */
static json_t *gate_of(struct report *r, const char *name)
{
	json_t *gates = json_object_get(r->rollout, "gates"), *gate;
	size_t i;

	json_array_foreach(gates, i, gate)
	{
		if (is(gate, "name", name))
			return gate;
	}
	gate = json_pack("{s:s, s:i, s:i, s:i}", "name", name, "pass", 0, "inconclusive", 0, "fail",
			 0);
	json_array_append_new(gates, gate);
	return gate;
}

static void add_look(struct report *r, json_t *line)
{
	json_t *gates = json_object_get(line, "gates"), *reading, *gate;
	size_t i;

	append_line(r, "looks", line);
	r->looks++;
	json_array_foreach(gates, i, reading)
	{
		const char *name = json_string_value(json_array_get(reading, 0));
		const char *verdict = json_string_value(json_array_get(reading, 1)) ?: "";

		gate = name ? gate_of(r, name) : NULL;
		for (size_t v = 0; gate && v < ARRAY_SIZE(verdict_name); v++) {
			if (strcmp(verdict, verdict_name[v]) != 0)
				continue;
			r->verdicts[v]++;
			json_object_set_new(
				gate, verdict,
				json_integer(json_integer_value(json_object_get(gate, verdict)) +
					     1));
		}
	}
}

static const struct {
	const char *event;
	void (*add)(struct report *r, json_t *line);
} kinds[] = {
	{ "did", add_did },    { "failed", add_did }, { "rollback", add_back },
	{ "panic", add_back }, { "end", add_end },    { "gates", add_look },
};

const char *report_grouped(json_int_t n, char out[REPORT_NUMBER])
{
	char digits[REPORT_NUMBER];
	int len = snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, n), used = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0 && digits[i - 1] != '-')
			out[used++] = ',';
		out[used++] = digits[i];
	}
	out[used] = '\0';
	return out;
}

static void claim_counted(const struct report *r, json_t *text)
{
	const struct counted *all = &r->all;
	char n[COUNT_MAX][REPORT_NUMBER];

	if (all->ms <= 0) {
		json_array_append_new(text, json_string("No packet was counted."));
		return;
	}
	for (int i = 0; i < COUNT_MAX; i++)
		if (all->unknown[i])
			strcpy(n[i], "an unknown number");
		else
			report_grouped(all->n[i], n[i]);
	json_array_append_new(text,
			      json_sprintf("XDP handled %s, the NFQUEUE path %s; packets that "
					   "left both with DF set: %s.",
					   n[COUNT_XDP], n[COUNT_NFQUEUE], n[COUNT_LEAKED]));
}

static void claim_gates(const struct report *r, json_t *text)
{
	char all[REPORT_NUMBER], looks[REPORT_NUMBER];
	char failed[REPORT_NUMBER], unsure[REPORT_NUMBER];

	if (!r->looks) {
		json_array_append_new(
			text, json_string("No gate was read: the share was moved by hand."));
		return;
	}
	json_array_append_new(
		text,
		json_sprintf("%s gate readings in %s looks: failed %s, inconclusive %s.",
			     report_grouped(r->verdicts[0] + r->verdicts[1] + r->verdicts[2], all),
			     report_grouped(r->looks, looks),
			     report_grouped(r->verdicts[2], failed),
			     report_grouped(r->verdicts[1], unsure)));
}

/* Of the last comparison. Returns the claim, or null. */
static json_t *claim_parity(const struct report *r, json_t *text)
{
	const json_t *all = json_object_get(r->rollout, "parity");
	const json_t *last = json_array_get(all, json_array_size(all) - 1);
	json_int_t of = json_integer_value(json_object_get(last, "compared"));
	json_int_t different = json_integer_value(json_object_get(last, "different"));
	char n[REPORT_NUMBER], k[REPORT_NUMBER];
	double most;

	if (of <= 0 || different < 0 || different > of) {
		json_array_append_new(text, json_string("No packets were compared byte for byte: "
							"nothing is claimed about that."));
		return json_null();
	}
	most = parity_at_most((uint64_t)different, (uint64_t)of);
	json_array_append_new(
		text,
		json_sprintf("Of %s packets compared %s differ: with 95 %% confidence "
			     "at most %.3g %% of such traffic does.",
			     report_grouped(of, n), report_grouped(different, k), most * 100));
	return json_pack("{s:I, s:I, s:f, s:i}", "different", different, "of", of, "at_most", most,
			 "confidence_percent", 95);
}

static void end_rollout(struct report *r, bool last)
{
	json_t *text, *claim;

	if (!r->rollout)
		return;
	end_phase(r);
	text = json_array();
	claim = json_object();
	if (!last && is(r->rollout, "outcome", "open"))
		outcome(r, "cut off", "");
	for (int i = 0; i < COUNT_MAX; i++)
		json_object_set_new(claim, count_name[i], counted_json(&r->all, i));
	claim_counted(r, text);
	claim_gates(r, text);
	json_object_set_new(claim, "gates",
			    json_pack("{s:I, s:I, s:I}", "pass", r->verdicts[0], "inconclusive",
				      r->verdicts[1], "fail", r->verdicts[2]));
	json_object_set_new(claim, "parity", claim_parity(r, text));
	json_object_set_new(claim, "text", text);
	json_object_set_new(r->rollout, "claim", claim);
	json_object_set_new(r->rollout, "duration", seconds(r->now_ms - r->begun_ms));
}

/* With this line, or with the one that intended it. */
static void begin_rollout(struct report *r, json_t *line, int64_t now)
{
	bool starts = is(r->intent, "do", "start");
	const json_t *first = starts ? r->intent : line;

	if (!starts && r->intent != line)
		drop_intent(r);
	end_rollout(r, false);
	r->rollout = json_pack(
		"{s:I, s:s, s:s, s:s, s:n, s:n, s:[], s:[], s:[], s:[], s:[], s:[], s:[], "
		"s:[]}",
		"generation", r->generation, "begun", text_of(first, "time"), "ended", "",
		"outcome", "open", "reason", "environment", "moves", "phases", "looks", "gates",
		"trials", "rollbacks", "parity", "events");
	json_array_append_new(json_object_get(r->document, "rollouts"), r->rollout);
	r->begun_ms = r->phase_ms = r->now_ms = line_ms(first, now);
	r->phase = r->all = (struct counted){ 0 };
	r->read = false;
	r->looks = 0;
	memset(r->verdicts, 0, sizeof(r->verdicts));
	snprintf(r->share, sizeof(r->share), "0");
}

struct report *report_new(const char *instance)
{
	struct report *r = calloc(1, sizeof(*r));

	if (r)
		r->document = json_pack("{s:s, s:[]}", "instance", instance, "rollouts");
	return r;
}

void report_freep(struct report **report)
{
	struct report *r = *report;

	if (!r)
		return;
	json_decref(r->document);
	json_decref(r->intent);
	free(r);
}

/* A rollout is a generation. They begin again with a reboot, and a start says so. */
static bool begins(const struct report *r, const json_t *line)
{
	json_int_t generation = json_integer_value(json_object_get(line, "generation"));

	return !r->rollout || is(line, "event", "environment") ||
	       (generation && generation != r->generation);
}

static void take(struct report *r, json_t *line)
{
	const char *event = text_of(line, "event");

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(event, kinds[i].event)) {
			kinds[i].add(r, line);
			return;
		}
	if (!strcmp(event, "environment"))
		json_object_set(r->rollout, event, json_object_get(line, event));
	else if (!strcmp(event, "trial"))
		append_line(r, "trials", line);
	else if (!strcmp(event, "parity"))
		append_line(r, "parity", line);
	else
		add_event(r, line);
}

void report_add(struct report *r, json_t *line)
{
	int64_t now = line_ms(line, r->now_ms);
	bool intent = is(line, "event", "intent");

	r->lines++;
	if (intent) {
		drop_intent(r);
		r->intent = json_incref(line);
		/* Whose it is, the next line says. */
		if (is(line, "do", "start"))
			return;
	}
	if (begins(r, line)) {
		r->generation = json_integer_value(json_object_get(line, "generation"));
		begin_rollout(r, line, now);
	}
	r->now_ms = now;
	json_object_set_new(r->rollout, "ended", json_string(text_of(line, "time")));
	add_reading(r, line);
	if (!intent)
		take(r, line);
}

json_t *report_finish(struct report *r, uint64_t unreadable)
{
	if (r->intent && !r->rollout)
		begin_rollout(r, r->intent, 0);
	drop_intent(r);
	end_rollout(r, true);
	json_object_set_new(r->document, "lines", json_integer(r->lines));
	json_object_set_new(r->document, "unreadable", json_integer((json_int_t)unreadable));
	return TAKE_PTR(r->document);
}

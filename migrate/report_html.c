// SPDX-License-Identifier: GPL-2.0-only
/* The page: everything in one file, no script, nothing fetched. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/util.h"
#include "migrate/report.h"
#include "migrate/report_svg.h"

#define WIDE   700 /* of a chart, in CSS pixels: on a screen and on A4 */
#define NARROW 312 /* on a phone */

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
	"<style>\n"
	":root{color-scheme:light;--bg:#fff;--fg:#1c2126;--dim:#5b6670;--line:#d7dce1;--card:#f5f7f9;"
	"--xdp:#0b62c4;--nfq:#b25300;--share:#c4dcf6;--ok:#23752b;--wait:#9a6b00;--bad:#bb1f1f}\n"
	"@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;--bg:#15191d;--fg:#e4e8ec;"
	"--dim:#9aa6b1;--line:#343c44;--card:#1d2329;--xdp:#69b1ff;--nfq:#ffa657;--share:#1d3f66;"
	"--ok:#6cc474;--wait:#e0b040;--bad:#ff7b72}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0 auto;max-width:760px;padding:16px;background:var(--bg);color:var(--fg);"
	"font:15px/1.45 system-ui,'DejaVu Sans',sans-serif;overflow-wrap:anywhere}\n"
	"h1{font-size:1.6em;margin:.2em 0}h2{font-size:1.2em;margin:1.6em 0 .5em}h3{font-size:1em;margin:1.2em 0 .3em}\n"
	"p,ul{margin:.4em 0}ul{padding-left:1.3em}.dim{color:var(--dim)}\n"
	".pill{display:inline-block;font-size:.6em;font-weight:600;padding:.2em .7em;border-radius:1em;"
	"border:2px solid currentColor;vertical-align:middle;color:var(--wait)}\n"
	".pill.ok,.pass{color:var(--ok)}.pill.bad,.fail{color:var(--bad)}.inconclusive{color:var(--wait)}\n"
	".fail,.inconclusive{font-weight:600}\n"
	".claim{background:var(--card);border-left:4px solid var(--xdp);padding:.5em 1em;margin:1em 0}\n"
	"table{border-collapse:collapse;width:100%;font-size:.9em}\n"
	"th,td{text-align:left;padding:.3em 1em .3em 0;border-bottom:1px solid var(--line);vertical-align:top}\n"
	"th{color:var(--dim);font-weight:600}.num{text-align:right;font-variant-numeric:tabular-nums}\n"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:.2em 1em;margin:.5em 0}dt{color:var(--dim)}dd{margin:0}\n"
	"pre{background:var(--card);padding:.8em;white-space:pre-wrap;font:.85em/1.4 ui-monospace,'DejaVu Sans Mono',monospace;margin:.5em 0}\n"
	"figure{margin:1em 0;break-inside:avoid}figcaption{color:var(--dim);font-size:.9em;margin-bottom:.4em}\n"
	"svg{display:block;max-width:100%;height:auto}svg.narrow{display:none}\n"
	"svg text{font:11px system-ui,'DejaVu Sans',sans-serif;fill:var(--fg)}\n"
	".grid{stroke:var(--line)}polyline{fill:none;stroke-width:2;stroke-linejoin:round}.share{fill:var(--share)}\n"
	"polyline.xdp{stroke:var(--xdp)}polyline.nfqueue{stroke:var(--nfq);stroke-dasharray:6 3}\n"
	"line.back{stroke:var(--bad);stroke-width:2}line.confirmed{stroke:var(--ok);stroke-width:2}\n"
	"rect.pass{fill:var(--ok)}rect.inconclusive{fill:var(--wait)}rect.fail{fill:var(--bad)}\n"
	".key{display:inline-block;width:1.8em;border-top:3px solid var(--xdp);vertical-align:middle}\n"
	".key.nfqueue{border-top:3px dashed var(--nfq)}.key.share{border-top:.7em solid var(--share)}\n"
	"summary{cursor:pointer;font-weight:600;padding:.3em 0}details.readings p{margin:.15em 0;font-size:.85em}\n"
	"tr,dl,pre{break-inside:avoid}h2,h3{break-after:avoid}\n"
	"@media (max-width:600px){svg.wide{display:none}svg.narrow{display:block}\n"
	".few td{padding-right:.5em}table:not(.few) thead{display:none}table:not(.few) tr{display:block;padding:.5em 0;border-bottom:1px solid var(--line)}\n"
	"table:not(.few) td{display:flex;justify-content:space-between;gap:1em;border:0;padding:.1em 0;text-align:right}\n"
	"table:not(.few) td::before{content:attr(data-label);color:var(--dim);text-align:left;flex:none}\n"
	"dl{grid-template-columns:1fr}dd{margin-bottom:.4em}}\n"
	"@media print{body{max-width:none;padding:0;font-size:12px}details.readings{display:none}}\n"
	"</style>\n";

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "";
}

static double number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static bool is(const json_t *object, const char *key, const char *value)
{
	return !strcmp(text_of(object, key), value);
}

/* <p>text</p> and the like; `tag` with its attributes is ours. */
static void element(const char *tag, const char *text, FILE *out)
{
	fprintf(out, "<%s>", tag);
	report_text(text, out);
	fprintf(out, "</%.*s>\n", (int)strcspn(tag, " "), tag);
}

static void duration_text(double seconds, char *out, size_t size)
{
	if (seconds < 120)
		snprintf(out, size, "%.1f s", seconds);
	else if (seconds < 7200)
		snprintf(out, size, "%.0f min %.0f s", floor(seconds / 60), fmod(seconds, 60));
	else
		snprintf(out, size, "%.0f h %.0f min", floor(seconds / 3600),
			 floor(fmod(seconds, 3600) / 60));
}

static void ns_text(double ns, char *out, size_t size)
{
	if (ns <= 0)
		snprintf(out, size, "–");
	else if (ns < 1e6)
		snprintf(out, size, "%.0f µs", ns / 1e3);
	else
		snprintf(out, size, "%.1f ms", ns / 1e6);
}

/* A table; on a phone the rows of one with more than four columns become cards: each cell says its column. */
struct table {
	FILE *out;
	const char *const *title; /* "#…": a number */
	unsigned int columns, at;
};

static void table_begin(struct table *t)
{
	fprintf(t->out, "<table%s><thead><tr>", t->columns <= 4 ? " class=\"few\"" : "");
	for (unsigned int i = 0; i < t->columns; i++)
		fprintf(t->out, "<th%s>%s</th>", t->title[i][0] == '#' ? " class=\"num\"" : "",
			t->title[i] + (t->title[i][0] == '#'));
	fputs("</tr></thead><tbody>\n", t->out);
}

static void table_end(struct table *t)
{
	fputs("</tbody></table>\n", t->out);
}

#define TABLE(out_, ...)                                                                        \
	{                                                                                       \
		.out = (out_), .title = (const char *const[]){ __VA_ARGS__ },                   \
		.columns = sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *), \
	}

/* The next cell. class: NULL, or what colours the text. */
static void cell_as(struct table *t, const char *class, const char *text)
{
	const char *title = t->title[t->at];

	if (t->at == 0)
		fputs("<tr>", t->out);
	fprintf(t->out, "<td%s data-label=\"%s\"><span%s%s%s>",
		*title == '#' ? " class=\"num\"" : "", title + (*title == '#'),
		class ? " class=\"" : "", class ?: "", class ? "\"" : "");
	report_text(text, t->out);
	fputs("</span></td>", t->out);
	if (++t->at == t->columns) {
		fputs("</tr>\n", t->out);
		t->at = 0;
	}
}

static void cell(struct table *t, const char *text)
{
	cell_as(t, NULL, text);
}

/* A count or a rate; what was not counted is a dash. class: of what is not 0. */
static void cell_number(struct table *t, const char *class, const json_t *n)
{
	char text[REPORT_NUMBER];

	if (json_is_number(n))
		cell_as(t, json_number_value(n) > 0 ? class : NULL,
			report_grouped((json_int_t)round(json_number_value(n)), text));
	else
		cell(t, "–");
}

static void cell_at(struct table *t, const json_t *entry, const char *key)
{
	char text[48];

	duration_text(number(entry, key), text, sizeof(text));
	cell(t, text);
}

static void cell_ns(struct table *t, const json_t *entry, const char *key)
{
	char text[48];

	ns_text(number(entry, key), text, sizeof(text));
	cell(t, text);
}

static const char *pill(const char *outcome)
{
	static const struct {
		const char *outcome, *class;
	} known[] = { { "confirmed", "span class=\"pill ok\"" },
		      { "done", "span class=\"pill ok\"" },
		      { "rolled back", "span class=\"pill bad\"" },
		      { "not begun", "span class=\"pill bad\"" },
		      { "cut off", "span class=\"pill bad\"" } };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(outcome, known[i].outcome))
			return known[i].class;
	return "span class=\"pill\"";
}

/* 2026-11-21T13:01:49.056Z to the second, and without what people do not write. */
static void time_text(const char *rfc3339, FILE *out)
{
	char text[20];

	snprintf(text, sizeof(text), "%s", rfc3339);
	if (strlen(text) == 19 && text[10] == 'T')
		text[10] = ' ';
	report_text(text, out);
}

static void summary_text(const json_t *rollout, FILE *out)
{
	char lasted[48], text[64];

	duration_text(number(rollout, "duration"), lasted, sizeof(lasted));
	snprintf(text, sizeof(text), "Generation %.0f, ", number(rollout, "generation"));
	report_text(text, out);
	time_text(text_of(rollout, "begun"), out);
	fputs(" to ", out);
	time_text(text_of(rollout, "ended"), out);
	fprintf(out, " (%s).", lasted);
	if (*text_of(rollout, "reason")) {
		fputs(" Reason: <strong>", out);
		report_text(text_of(rollout, "reason"), out);
		fputs("</strong>", out);
	}
}

static void claim(const json_t *rollout, FILE *out)
{
	const json_t *text = json_object_get(json_object_get(rollout, "claim"), "text"), *line;
	size_t i;

	fputs("<section class=\"claim\"><ul>\n", out);
	json_array_foreach(text, i, line) element("li", json_string_value(line), out);
	fputs("</ul></section>\n", out);
}

static void point_text(const json_t *point, FILE *out)
{
	char mtu[32];

	snprintf(mtu, sizeof(mtu), ", MTU %.0f", number(point, "mtu"));
	report_text(text_of(point, "interface"), out);
	fputs(": driver ", out);
	report_text(text_of(point, "driver"), out);
	fputs(", ", out);
	report_text(text_of(point, "mode"), out);
	fputs(", ", out);
	report_text(text_of(point, "program"), out);
	report_text(mtu, out);
	fputs("<br>", out);
}

static void environment(const json_t *rollout, FILE *out)
{
	const json_t *env = json_object_get(rollout, "environment"), *point;
	size_t i;

	element("h3", "Environment", out);
	if (!json_is_object(env)) {
		element("p class=\"dim\"", "The journal has none.", out);
		return;
	}
	fputs("<dl>", out);
	element("dt", "nfq2xdp", out);
	element("dd", text_of(env, "version"), out);
	element("dt", "kernel", out);
	element("dd", text_of(env, "kernel"), out);
	element("dt", "attached to", out);
	fputs("<dd>", out);
	json_array_foreach(json_object_get(env, "attached"), i, point) point_text(point, out);
	fputs("</dd>", out);
	element("dt", "NFQUEUE daemon", out);
	element("dd", text_of(env, "daemon"), out);
	element("dt", "policy", out);
	element("dd", text_of(env, "policy_file"), out);
	fputs("</dl>\n", out);
	if (*text_of(env, "policy"))
		element("pre", text_of(env, "policy"), out);
}

static void timeline(const json_t *rollout, FILE *out)
{
	fputs("<figure><figcaption><span class=\"key share\"></span> share that XDP takes; packets/s: "
	      "<span class=\"key\"></span> XDP, <span class=\"key nfqueue\"></span> NFQUEUE. "
	      "R rolled back, P panic, C confirmed.</figcaption>\n",
	      out);
	report_timeline(rollout, WIDE, out);
	report_timeline(rollout, NARROW, out);
	fputs("</figure>\n", out);
}

static void phases(const json_t *rollout, FILE *out)
{
	struct table t = TABLE(out, "from", "share", "for", "#XDP packets", "#NFQUEUE packets",
			       "#XDP/s", "#NFQUEUE/s", "#leaked");
	const json_t *phase;
	size_t i;

	element("h3", "Shares", out);
	table_begin(&t);
	json_array_foreach(json_object_get(rollout, "phases"), i, phase)
	{
		cell_at(&t, phase, "at");
		cell(&t, text_of(phase, "share"));
		cell_at(&t, phase, "duration");
		cell_number(&t, NULL, json_object_get(phase, "xdp"));
		cell_number(&t, NULL, json_object_get(phase, "nfqueue"));
		cell_number(&t, NULL, json_object_get(phase, "xdp_rate"));
		cell_number(&t, NULL, json_object_get(phase, "nfqueue_rate"));
		cell_number(&t, NULL, json_object_get(phase, "leaked"));
	}
	table_end(&t);
}

static void trials(const json_t *rollout, FILE *out)
{
	const json_t *all = json_object_get(rollout, "trials"), *trial;
	struct table t = TABLE(out, "at", "#carried/s", "#could carry/s", "#waited at most",
			       "result");
	size_t i;

	if (!json_array_size(all))
		return;
	element("h3", "The NFQUEUE path carries all, before a step up", out);
	table_begin(&t);
	json_array_foreach(all, i, trial)
	{
		bool ok = json_is_true(json_object_get(trial, "ok"));

		cell_at(&t, trial, "at");
		cell_number(&t, NULL, json_object_get(trial, "rate"));
		cell_number(&t, NULL, json_object_get(trial, "capacity"));
		cell_number(&t, NULL, json_object_get(trial, "deepest"));
		cell_as(&t, ok ? "pass" : "fail", ok ? "ok" : text_of(trial, "why"));
	}
	table_end(&t);
}

static void rollbacks(const json_t *rollout, FILE *out)
{
	const json_t *all = json_object_get(rollout, "rollbacks"), *back;
	struct table t = TABLE(out, "at", "reason", "by", "written", "NFQUEUE carried after",
			       "verified in", "result");
	size_t i;

	if (!json_array_size(all))
		return;
	element("h3", "Back to NFQUEUE", out);
	table_begin(&t);
	json_array_foreach(all, i, back)
	{
		bool panic = is(back, "event", "panic"), verified = is(back, "result", "verified");

		cell_at(&t, back, "at");
		cell(&t, panic ? "panic" : text_of(back, "reason"));
		cell(&t, panic ? "share" : text_of(back, "rung"));
		cell_ns(&t, back, "write_ns");
		cell_ns(&t, back, "effect_ns");
		cell_ns(&t, back, "verify_ns");
		cell_as(&t,
			verified ? "pass"
			: panic  ? NULL
				 : "fail",
			panic ? "not verified: panic does not wait" : text_of(back, "result"));
	}
	table_end(&t);
}

/* {"class": n} or {"class": {"side": n}}; what is 0 is left out. */
static void classes(const json_t *all, FILE *out)
{
	struct table t = TABLE(out, "difference", "side", "#packets");
	const char *class, *side;
	json_t *n, *by;

	table_begin(&t);
	json_object_foreach((json_t *)all, class, n)
	{
		if (json_is_integer(n) && json_integer_value(n)) {
			cell(&t, class);
			cell(&t, "");
			cell_number(&t, NULL, n);
		}
		json_object_foreach(n, side, by)
		{
			if (!json_integer_value(by))
				continue;
			cell(&t, class);
			cell(&t, side);
			cell_number(&t, NULL, by);
		}
	}
	table_end(&t);
}

/* Is any of them not 0? */
static bool any_class(const json_t *all)
{
	const char *class, *side;
	json_t *n, *by;

	json_object_foreach((json_t *)all, class, n)
	{
		if (json_integer_value(n))
			return true;
		json_object_foreach(n, side, by) if (json_integer_value(by)) return true;
	}
	return false;
}

static void parity(const json_t *rollout, FILE *out)
{
	const json_t *all = json_object_get(rollout, "parity"), *p;
	struct table t = TABLE(out, "at", "#compared", "#equal", "#accepted", "#different");
	size_t i;

	if (!json_array_size(all))
		return;
	element("h3", "Packets compared byte for byte", out);
	table_begin(&t);
	json_array_foreach(all, i, p)
	{
		cell_at(&t, p, "at");
		cell_number(&t, NULL, json_object_get(p, "compared"));
		cell_number(&t, NULL, json_object_get(p, "equal"));
		cell_number(&t, NULL, json_object_get(p, "accepted"));
		cell_number(&t, NULL, json_object_get(p, "different"));
	}
	table_end(&t);
	p = json_array_get(all, json_array_size(all) - 1);
	if (any_class(json_object_get(p, "classes")))
		classes(json_object_get(p, "classes"), out);
}

static void gates(const json_t *rollout, FILE *out)
{
	const json_t *all = json_object_get(rollout, "gates"), *gate;
	struct table t = TABLE(out, "gate", "#pass", "#inconclusive", "#fail");
	size_t i;

	if (!json_array_size(all))
		return;
	element("h3", "Gates", out);
	fputs("<figure><figcaption>low <span class=\"pass\">pass</span>, middle "
	      "<span class=\"inconclusive\">inconclusive</span>, high <span class=\"fail\">fail</span>"
	      "</figcaption>\n",
	      out);
	report_strips(rollout, WIDE, out);
	report_strips(rollout, NARROW, out);
	fputs("</figure>\n", out);
	table_begin(&t);
	json_array_foreach(all, i, gate)
	{
		cell(&t, text_of(gate, "name"));
		cell_number(&t, NULL, json_object_get(gate, "pass"));
		cell_number(&t, "inconclusive", json_object_get(gate, "inconclusive"));
		cell_number(&t, "fail", json_object_get(gate, "fail"));
	}
	table_end(&t);
}

/* One reading: its verdict only where it is not pass. */
static void reading(const json_t *r, FILE *out)
{
	const char *verdict = json_string_value(json_array_get(r, 1)) ?: "";
	const char *limit = json_string_value(json_array_get(r, 3));
	bool pass = !strcmp(verdict, "pass");

	fputs(" · ", out);
	if (!pass)
		fprintf(out, "<span class=\"%s\">",
			strcmp(verdict, "fail") != 0 ? "inconclusive" : "fail");
	report_text(json_string_value(json_array_get(r, 0)), out);
	fputs(pass ? ": " : " ", out);
	if (!pass) {
		report_text(verdict, out);
		fputs(": ", out);
	}
	report_text(json_string_value(json_array_get(r, 2)), out);
	if (limit && *limit) {
		fputs(" (limit: ", out);
		report_text(limit, out);
		fputc(')', out);
	}
	if (!pass)
		fputs("</span>", out);
}

static void look(const json_t *look_at, bool bad_only, FILE *out)
{
	const json_t *r;
	size_t i;

	fprintf(out, "<p><strong>%.1f s</strong> ", number(look_at, "at"));
	report_text(text_of(look_at, "state"), out);
	fputs(", share ", out);
	report_text(text_of(look_at, "share"), out);
	if (json_object_get(look_at, "nfqueue_rate"))
		fprintf(out, ", XDP %.0f/s, NFQUEUE %.0f/s", number(look_at, "xdp_rate"),
			number(look_at, "nfqueue_rate"));
	json_array_foreach(json_object_get(look_at, "gates"), i, r)
	{
		const char *verdict = json_string_value(json_array_get(r, 1));

		if (!bad_only || !verdict || !strcmp(verdict, "fail"))
			reading(r, out);
	}
	fputs("</p>\n", out);
}

static bool failed(const json_t *look_at)
{
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(look_at, "gates"), i, r)
	{
		const char *verdict = json_string_value(json_array_get(r, 1));

		if (verdict && !strcmp(verdict, "fail"))
			return true;
	}
	return false;
}

static void readings(const json_t *rollout, FILE *out)
{
	const json_t *looks = json_object_get(rollout, "looks"), *entry;
	bool titled = false;
	size_t i;

	if (!json_array_size(looks))
		return;
	json_array_foreach(looks, i, entry)
	{
		if (!failed(entry))
			continue;
		if (!titled)
			element("h3", "Failed readings", out);
		titled = true;
		look(entry, true, out);
	}
	fprintf(out,
		"<details class=\"readings\"><summary>Every reading of every gate: %zu looks</summary>\n",
		json_array_size(looks));
	json_array_foreach(looks, i, entry) look(entry, false, out);
	fputs("</details>\n", out);
}

/* "confirm, confirms 3": what an event says, whatever it is. */
static void event_text(const json_t *event, char *text, size_t size)
{
	const char *key;
	json_t *value;
	size_t used;

	snprintf(text, size, "%s", text_of(event, "event"));
	json_object_foreach((json_t *)event, key, value)
	{
		_cleanup_free_ char *dump = NULL;
		const char *said = json_string_value(value);

		if (!strcmp(key, "at") || !strcmp(key, "event") || json_is_false(value))
			continue;
		if (!said)
			said = dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		used = strlen(text);
		if (!strcmp(key, "do"))
			snprintf(text + used, size - used, " %s", said ?: "");
		else if (json_is_true(value))
			snprintf(text + used, size - used, ", %s", key);
		else
			snprintf(text + used, size - used, ", %s %s", key, said ?: "");
	}
}

static void events(const json_t *rollout, FILE *out)
{
	const json_t *all = json_object_get(rollout, "events"), *event;
	struct table t = TABLE(out, "at", "what");
	char text[512];
	size_t i;

	if (!json_array_size(all))
		return;
	element("h3", "Events", out);
	table_begin(&t);
	json_array_foreach(all, i, event)
	{
		event_text(event, text, sizeof(text));
		cell_at(&t, event, "at");
		cell_as(&t, is(event, "event", "failed") ? "fail" : NULL, text);
	}
	table_end(&t);
}

/* all: with each reading of each gate. */
static void rollout_html(const json_t *rollout, bool all, FILE *out)
{
	claim(rollout, out);
	timeline(rollout, out);
	phases(rollout, out);
	rollbacks(rollout, out);
	parity(rollout, out);
	gates(rollout, out);
	trials(rollout, out);
	events(rollout, out);
	if (all)
		readings(rollout, out);
	environment(rollout, out);
}

static void earlier(const json_t *rollouts, FILE *out)
{
	size_t n = json_array_size(rollouts);

	if (n < 2)
		return;
	element("h2", "Rollouts before", out);
	element("p class=\"dim\"", "Every reading of their gates is in the JSON form (--json).",
		out);
	for (size_t i = n - 1; i-- > 0;) {
		const json_t *rollout = json_array_get(rollouts, i);

		fprintf(out, "<details><summary>Generation %.0f: ", number(rollout, "generation"));
		report_text(text_of(rollout, "outcome"), out);
		fputs("</summary><p>", out);
		summary_text(rollout, out);
		fputs("</p>\n", out);
		rollout_html(rollout, false, out);
		fputs("</details>\n", out);
	}
}

void report_html(const json_t *document, FILE *out)
{
	const json_t *rollouts = json_object_get(document, "rollouts");
	const json_t *last = json_array_get(rollouts, json_array_size(rollouts) - 1);
	double unreadable = number(document, "unreadable");

	fputs(head, out);
	fputs("<title>nfq2xdp report: ", out);
	report_text(text_of(document, "instance"), out);
	fputs("</title></head>\n<body><h1>", out);
	report_text(text_of(document, "instance"), out);
	fputc(' ', out);
	if (last)
		element(pill(text_of(last, "outcome")), text_of(last, "outcome"), out);
	fputs("</h1>\n", out);
	if (last) {
		fputs("<p>", out);
		summary_text(last, out);
		fputs("</p>\n", out);
		rollout_html(last, true, out);
	} else {
		element("p", "The journal has no rollout.", out);
	}
	earlier(rollouts, out);
	fprintf(out, "<p class=\"dim\">nfq2xdp %s, from %.0f lines of the journal", VERSION,
		number(document, "lines"));
	if (unreadable > 0)
		fprintf(out,
			"; <strong>%.0f could not be read</strong>: cut off by a crash or a full disk",
			unreadable);
	fputs(". Times are UTC.</p>\n</body></html>\n", out);
}

// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/report_svg.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/util.h"

#define LEFT    88.0 /* of the plot: labels stand before it, of gates too */
#define RIGHT   14.0
#define CHAR    7.0 /* a character of a label is at most so wide */
#define SHARE_Y 22.0
#define SHARE_H 70.0
#define RATE_Y  112.0
#define RATE_H  110.0
#define ROW     18.0
#define GAP_S   5.0 /* looks further apart than this are not joined by a line */
#define NAME    12 /* characters of a gate's name */

/* Where a time is on the paper. */
struct axis {
	double end; /* seconds that the plot shows, above 0 */
	double width; /* of the plot */
};

void report_text(const char *text, FILE *out)
{
	for (const char *c = text ?: ""; *c; c++)
		switch (*c) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			fputc((unsigned char)*c < ' ' && *c != '\n' ? ' ' : *c, out);
		}
}

static double number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static double x_of(const struct axis *a, double at)
{
	return LEFT + a->width * fmin(fmax(at / a->end, 0), 1);
}

/* The last thing that a chart shows of the list; -1: nothing. */
static double last_at(const json_t *rollout, const char *list)
{
	const json_t *all = json_object_get(rollout, list), *entry;
	double last = -1;
	size_t i;

	json_array_foreach(all, i, entry) last = fmax(last, number(entry, "at"));
	return last;
}

/* Days of waiting for a last command do not press the rest together. */
static struct axis axis_of(const json_t *rollout, unsigned int width)
{
	double whole = number(rollout, "duration");
	double end = fmax(last_at(rollout, "looks"), last_at(rollout, "moves"));

	end = end > 0 ? fmin(whole, end * 1.05 + 1) : whole;
	return (struct axis){ .end = fmax(end, 1), .width = width - LEFT - RIGHT };
}

static void svg_begin(const char *name, unsigned int width, double height, FILE *out)
{
	fprintf(out,
		"<svg class=\"%s\" viewBox=\"0 0 %u %.0f\" width=\"%u\" height=\"%.0f\" role=\"img\" "
		"aria-label=\"%s\">\n",
		width < 500 ? "narrow" : "wide", width, height, width, height, name);
}

static void label(double x, double y, const char *anchor, const char *text, FILE *out)
{
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
	report_text(text, out);
	fputs("</text>\n", out);
}

static void line(const char *name, double x1, double y1, double x2, double y2, FILE *out)
{
	fprintf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", name,
		x1, y1, x2, y2);
}

/* The step between two times that are written: as small as their labels leave room for. */
static double time_step(const struct axis *a)
{
	static const double nice[] = { 1,   2,   5,    10,   15,   30,    60,    120,  300,
				       600, 900, 1800, 3600, 7200, 14400, 28800, 86400 };
	const double room = 8 * CHAR;
	double step = nice[ARRAY_SIZE(nice) - 1];

	for (size_t i = 0; i < ARRAY_SIZE(nice); i++)
		if (a->width * nice[i] / a->end >= room)
			return nice[i];
	while (a->width * step / a->end < room)
		step *= 2;
	return step;
}

static void time_axis(const struct axis *a, double top, double bottom, FILE *out)
{
	double step = time_step(a);
	char text[32];

	for (unsigned int i = 0; i * step <= a->end; i++) {
		double at = i * step, x = x_of(a, at);

		line("grid", x, top, x, bottom, out);
		if (a->end < 120)
			snprintf(text, sizeof(text), "%.0f s", at);
		else if (a->end < 7200)
			snprintf(text, sizeof(text), "%.0f:%02.0f", floor(at / 60), fmod(at, 60));
		else
			snprintf(text, sizeof(text), "%.0f h %02.0f", floor(at / 3600),
				 floor(fmod(at, 3600) / 60));
		/* Half of a label may stand out. */
		if (x + (double)strlen(text) * CHAR / 2 <= LEFT + a->width + RIGHT)
			label(x, bottom + 15, "middle", text, out);
	}
}

static void share_at(const struct axis *a, double at, double share, FILE *out)
{
	fprintf(out, " %.1f,%.1f", x_of(a, at), SHARE_Y + SHARE_H * (1 - fmin(fmax(share, 0), 1)));
}

static void share_area(const struct axis *a, const json_t *moves, FILE *out)
{
	const json_t *move;
	double share = 0;
	size_t i;

	fputs("<polygon class=\"share\" points=\"", out);
	share_at(a, 0, 0, out);
	json_array_foreach(moves, i, move)
	{
		share_at(a, number(move, "at"), share, out);
		share = number(move, "share");
		share_at(a, number(move, "at"), share, out);
	}
	share_at(a, a->end, share, out);
	share_at(a, a->end, 0, out);
	fputs("\"/>\n", out);
}

static bool is_confirm(const json_t *entry)
{
	const char *event = json_string_value(json_object_get(entry, "event")) ?: "";
	const char *what = json_string_value(json_object_get(entry, "do")) ?: "";

	return !strcmp(event, "did") && !strcmp(what, "confirm");
}

/* When something that begins at `at` ends for who writes beside it: a confirm's line is in the way. */
static double until_confirm(const json_t *events, double at, double end)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(events, i, entry)
	{
		if (is_confirm(entry) && number(entry, "at") >= at)
			end = fmin(end, number(entry, "at"));
	}
	return end;
}

/* Each share by name, where it lasts long enough for that. */
static void share_names(const struct axis *a, const json_t *rollout, FILE *out)
{
	const json_t *moves = json_object_get(rollout, "moves"), *move, *next;
	size_t i;

	json_array_foreach(moves, i, move)
	{
		const char *name = json_string_value(json_object_get(move, "to")) ?: "";
		double x = x_of(a, number(move, "at")), share = number(move, "share"), end = a->end;
		double y = SHARE_Y + SHARE_H * (1 - fmin(fmax(share, 0), 1));

		next = json_array_get(moves, i + 1);
		if (next)
			end = number(next, "at");
		end = until_confirm(json_object_get(rollout, "events"), number(move, "at"), end);
		if (share > 0 && x_of(a, end) - x >= (double)strlen(name) * CHAR + 6)
			label(x + 4, share > 0.7 ? y + 14 : y - 4, "start", name, out);
	}
}

/* A line through the plots, with a letter above unless that would stand on another. */
static void mark(double x, const char *kind, const char *letter, double *free_from, FILE *out)
{
	line(kind, x, SHARE_Y, x, RATE_Y + RATE_H, out);
	if (x - CHAR / 2 < *free_from)
		return;
	label(x, SHARE_Y - 6, "middle", letter, out);
	*free_from = x + CHAR;
}

static void marks(const struct axis *a, const json_t *rollout, FILE *out)
{
	const json_t *moves = json_object_get(rollout, "moves"), *entry;
	const json_t *events = json_object_get(rollout, "events");
	double free_from = 0;
	size_t i;

	json_array_foreach(moves, i, entry)
	{
		const char *by = json_string_value(json_object_get(entry, "by")) ?: "";

		if (!strcmp(by, "rollback") || !strcmp(by, "panic"))
			mark(x_of(a, number(entry, "at")), "back", *by == 'p' ? "P" : "R",
			     &free_from, out);
	}
	free_from = 0;
	json_array_foreach(events, i, entry)
	{
		if (is_confirm(entry) && number(entry, "at") <= a->end)
			mark(x_of(a, number(entry, "at")), "confirmed", "C", &free_from, out);
	}
}

/* A little above, of few digits also when halved. */
static double nice_above(double value)
{
	static const double nice[] = { 1, 1.5, 2, 3, 4, 5, 6, 8 };
	double power = 1;

	while (power * 10 < value && power < 1e15)
		power *= 10;
	for (size_t i = 0; i < ARRAY_SIZE(nice); i++)
		if (value <= nice[i] * power)
			return nice[i] * power;
	return 10 * power;
}

static void rate_name(double rate, char *out, size_t size)
{
	if (rate >= 1e6)
		snprintf(out, size, "%.4g M/s", rate / 1e6);
	else if (rate >= 1e3)
		snprintf(out, size, "%.4g k/s", rate / 1e3);
	else
		snprintf(out, size, "%.4g/s", rate);
}

static double most(const json_t *list, const char *key, double so_far)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry) so_far = fmax(so_far, number(entry, key));
	return so_far;
}

struct plot {
	const struct axis *axis;
	double top; /* the rate at the plot's top */
	FILE *out;
};

static void rate_at(const struct plot *p, double at, double rate)
{
	fprintf(p->out, " %.1f,%.1f", x_of(p->axis, at),
		RATE_Y + RATE_H * (1 - fmin(fmax(rate / p->top, 0), 1)));
}

static void line_begin(const char *name, bool *open, FILE *out)
{
	if (*open)
		fputs("\"/>\n", out);
	if (name)
		fprintf(out, "<polyline class=\"%s\" points=\"", name);
	*open = name != NULL;
}

/* A point for every two pixels at most: the mean of the looks there. Broken where nobody looked. */
static void looks_line(const struct plot *p, const json_t *looks, const char *key, const char *name)
{
	size_t i, n = json_array_size(looks), each = (size_t)((double)n / (p->axis->width / 2)) + 1;
	double last = -1, at = 0, sum = 0;
	const json_t *look;
	bool open = false;
	size_t in = 0;

	json_array_foreach(looks, i, look)
	{
		double now = number(look, "at");

		if (!json_object_get(look, key)) /* the first: a rate is between two */
			continue;
		if (last < 0 || now - last > GAP_S || now < last) {
			line_begin(name, &open, p->out);
			in = 0;
		}
		sum = in ? sum + number(look, key) : number(look, key);
		at = now;
		last = now;
		if (++in < each && i + 1 < n)
			continue;
		rate_at(p, at, sum / (double)in);
		in = 0;
	}
	line_begin(NULL, &open, p->out);
}

/* Where nobody looked each second: the mean rate of each share. */
static void phases_line(const struct plot *p, const json_t *phases, const char *key,
			const char *name)
{
	const json_t *phase;
	bool open = false;
	size_t i;

	json_array_foreach(phases, i, phase)
	{
		double at = number(phase, "at");

		if (!json_is_number(json_object_get(phase, key))) {
			line_begin(NULL, &open, p->out);
			continue;
		}
		if (!open)
			line_begin(name, &open, p->out);
		rate_at(p, at, number(phase, key));
		rate_at(p, at + number(phase, "duration"), number(phase, key));
	}
	line_begin(NULL, &open, p->out);
}

static void rates(const struct axis *a, const json_t *rollout, FILE *out)
{
	const json_t *looks = json_object_get(rollout, "looks");
	const json_t *phases = json_object_get(rollout, "phases");
	bool looked = json_array_size(looks) > 0;
	const json_t *list = looked ? looks : phases;
	struct plot p = { .axis = a, .out = out };
	char text[32];

	p.top = nice_above(most(list, "nfqueue_rate", most(list, "xdp_rate", 1)));
	for (int i = 0; i <= 2; i++) {
		double y = RATE_Y + RATE_H * (1 - i / 2.0);

		line("grid", LEFT, y, LEFT + a->width, y, out);
		rate_name(p.top * i / 2, text, sizeof(text));
		label(LEFT - 6, y + 4, "end", i ? text : "0", out);
	}
	if (looked) {
		looks_line(&p, looks, "nfqueue_rate", "nfqueue");
		looks_line(&p, looks, "xdp_rate", "xdp");
	} else {
		phases_line(&p, phases, "nfqueue_rate", "nfqueue");
		phases_line(&p, phases, "xdp_rate", "xdp");
	}
}

void report_timeline(const json_t *rollout, unsigned int width, FILE *out)
{
	const json_t *moves = json_object_get(rollout, "moves");
	const struct axis a = axis_of(rollout, width);
	static const char *const part[] = { "0", "50 %", "100 %" };

	svg_begin("share and rates over time", width, RATE_Y + RATE_H + 24, out);
	for (int i = 0; i <= 2; i++) {
		double y = SHARE_Y + SHARE_H * (1 - i / 2.0);

		line("grid", LEFT, y, LEFT + a.width, y, out);
		label(LEFT - 6, y + 4, "end", part[i], out);
	}
	time_axis(&a, SHARE_Y, RATE_Y + RATE_H, out);
	share_area(&a, moves, out);
	rates(&a, rollout, out);
	marks(&a, rollout, out);
	share_names(&a, rollout, out);
	fputs("</svg>\n", out);
}

/* A name from a journal: what has no known width becomes a question mark. */
static void gate_name(const char *name, char out[NAME + 1])
{
	size_t i;

	for (i = 0; i < NAME && name[i]; i++) {
		out[i] = name[i];
		if ((unsigned char)name[i] < ' ' || (unsigned char)name[i] >= 0x7f)
			out[i] = '?';
	}
	out[i] = '\0';
	if (i == NAME && name[i])
		out[NAME - 1] = '~';
}

static const json_t *verdict_of(const json_t *look, const char *gate)
{
	const json_t *gates = json_object_get(look, "gates"), *reading;
	size_t i;

	json_array_foreach(gates, i, reading)
	{
		const char *name = json_string_value(json_array_get(reading, 0));

		if (name && !strcmp(name, gate))
			return json_array_get(reading, 1);
	}
	return NULL;
}

/* Told apart by height, too: printed, and by who does not see colours. */
static void strip_part(const struct axis *a, double y, double from, double to, const char *verdict,
		       FILE *out)
{
	double height = !strcmp(verdict, "pass") ? 4 : !strcmp(verdict, "inconclusive") ? 9 : 14;
	const char *name = height < 5 ? "pass" : height < 10 ? "inconclusive" : "fail";
	double x = x_of(a, from), width = fmax(x_of(a, to) - x, height < 5 ? 1 : 2.5);

	fprintf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.0f\"/>\n",
		name, x, y + (ROW - height) / 2, width, height);
}

static void strip(const struct axis *a, double y, const json_t *looks, const char *gate, FILE *out)
{
	const char *verdict = NULL;
	double from = 0, to = 0;
	const json_t *look;
	size_t i;

	json_array_foreach(looks, i, look)
	{
		const char *now = json_string_value(verdict_of(look, gate));
		double at = number(look, "at");

		if (verdict && (!now || strcmp(now, verdict) != 0 || at - to > GAP_S)) {
			strip_part(a, y, from, at - to > GAP_S ? to : at, verdict, out);
			verdict = NULL;
		}
		if (now && !verdict) {
			verdict = now;
			from = at;
		}
		to = at;
	}
	if (verdict)
		strip_part(a, y, from, to + 1, verdict, out);
}

void report_strips(const json_t *rollout, unsigned int width, FILE *out)
{
	const json_t *looks = json_object_get(rollout, "looks");
	const json_t *gates = json_object_get(rollout, "gates"), *gate;
	const struct axis a = axis_of(rollout, width);
	double bottom = 6 + ROW * (double)json_array_size(gates);
	char text[NAME + 1];
	size_t i;

	if (!json_array_size(gates))
		return;
	svg_begin("verdict of each gate over time", width, bottom + 24, out);
	time_axis(&a, 4, bottom, out);
	json_array_foreach(gates, i, gate)
	{
		const char *name = json_string_value(json_object_get(gate, "name")) ?: "";
		double y = 4 + ROW * (double)i;

		gate_name(name, text);
		label(LEFT - 6, y + 13, "end", text, out);
		strip(&a, y, looks, name, out);
	}
	fputs("</svg>\n", out);
}

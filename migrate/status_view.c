// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "core/instance.h"
#include "core/names.h"
#include "core/util.h"
#include "migrate/cmd.h"
#include "migrate/gate.h"
#include "migrate/status.h"

#define INDENT 11 /* of what a line says, behind its name */
#define RED    "\033[31m"
#define YELLOW "\033[33m"
#define GREEN  "\033[32m"

static double seconds_left(const struct xdp_state *xdp, uint64_t until)
{
	return (double)xdp_ctl_left_ns(&xdp->ctl, xdp->now, until) / 1e9;
}

/* The bpftool command that does what panic does, with nothing of ours needed. */
static void panic_line(const struct status *s, char *out, size_t size)
{
	struct df_ctl ctl = s->machine.xdp.ctl;
	const uint8_t *byte = (const uint8_t *)&ctl;
	char escaped[64];
	size_t used;

	ctl.share_kind = DF_SHARE_NONE;
	ctl.share_n = 0;
	ctl.deadline = 0;
	ctl.confirm_by = 0;
	ctl.confirmed = 0;
	ctl.step = 0;
	ctl.flags &= DF_CTL_WHOLE;
	ctl.writes++;
	instance_escape(s->instance, escaped, sizeof(escaped));
	used = (size_t)snprintf(out, size,
				"bpftool map update pinned %s/nfq2xdp/v%u/%" PRIu64
				"/%s/ctl key 0 0 0 0 value",
				INSTANCE_BPFFS, ABI_VERSION, s->netns, escaped);
	for (size_t i = 0; i < sizeof(ctl) && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, " %u", byte[i]);
}

static const char *panic_does(const struct status *s)
{
	if (s->machine.state == MACHINE_IDLE)
		return s->other_build ? "the other build's share becomes 0"
				      : "nothing: no XDP path is here";
	if (machine_share_ratio(&s->machine.xdp) == 0)
		return "nothing changes: XDP takes nothing already";
	switch (s->health) {
	case STATUS_OK:
	case STATUS_UNSEEN:
	case STATUS_UNCOUNTED:
		return "XDP takes nothing, the NFQUEUE path carries all";
	case STATUS_FULL:
		return "XDP takes nothing; the NFQUEUE path, already behind, gets all";
	default:
		return "XDP takes nothing, and packets pass with DF set: nothing is behind it";
	}
}

static void health_words(const struct status *s, char *out, size_t size)
{
	static const char *const words[STATUS_HEALTH_MAX] = {
		[STATUS_OK] = "runs",
		[STATUS_REMOVED] = "not here, on purpose: there is no way back but to start it",
		[STATUS_UNTOUCHED] = "the daemon listens; its rule is as it was",
		[STATUS_DOWN] = "does not run",
		[STATUS_UNSEEN] = "runs, and its counters cannot be seen",
		[STATUS_UNFED] = "the daemon listens, and no rule sends to it",
		[STATUS_UNCOUNTED] = "runs, and our table around it is not there",
		[STATUS_FULL] = "hangs, or is too slow: half of its queue or more waits",
		[STATUS_USELESS] = "runs, and does nothing",
	};
	const struct nfq_path_info *nfq = &s->machine.nfq;
	const char *more = "";

	/* Since it started: no fault of now, but who goes back should know. */
	if (s->health == STATUS_OK)
		more = nfq->dropped      ? ", and has lost packets"
		       : nfq->unmodified ? ", and has let packets pass unmodified"
		       : machine_share_ratio(&s->machine.xdp) == 1 ? ", idle and warm"
								   : ", carries what XDP leaves";
	snprintf(out, size, "%s%s", words[s->health], more);
}

static const char *holder(const struct xdp_point *point)
{
	return point->ours ? "ours" : point->gone ? "gone" : point->taken ? "foreign" : "nobody";
}

static const char *table(const struct nft_counters *nft)
{
	return !nft->present ? "none" : nft->foreign ? "foreign" : "ours";
}

/* JSON */

static json_t *reasons_json(const uint64_t reason[DF_REASON_MAX])
{
	json_t *object = json_object();

	for (unsigned int r = 0; r < DF_REASON_MAX; r++)
		json_object_set_new(object, df_reason_name[r], json_integer((json_int_t)reason[r]));
	return object;
}

static json_t *rate_json(double rate)
{
	return isnan(rate) ? json_null() : json_real(rate);
}

static json_t *reason_rates_json(const double rate[DF_REASON_MAX])
{
	json_t *object = json_object();

	for (unsigned int r = 0; r < DF_REASON_MAX; r++)
		json_object_set_new(object, df_reason_name[r], rate_json(rate[r]));
	return object;
}

static json_t *rates_json(const struct status *s)
{
	const struct status_rates *r = &s->rates;

	if (!r->seconds)
		return json_null();
	return json_pack("{s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "seconds", r->seconds,
			 "matched", rate_json(r->matched), "cleared", rate_json(r->cleared),
			 "queued", rate_json(r->queued), "handled", rate_json(r->handled), "leaks",
			 rate_json(r->leaked), "xdp", reason_rates_json(r->xdp), "nfqueue",
			 s->machine.nfq.external ? json_null() : reason_rates_json(r->nfqueue));
}

static json_t *lease_json(const struct xdp_state *xdp, uint64_t until)
{
	return until ? json_real(seconds_left(xdp, until)) : json_null();
}

static json_t *points_json(const struct xdp_state *xdp)
{
	json_t *points = json_array();

	for (unsigned int i = 0; i < xdp->n_points; i++) {
		const struct xdp_point *p = &xdp->point[i];

		json_array_append_new(
			points, json_pack("{s:s, s:b, s:s, s:s, s:b, s:s, s:b, s:I}", "interface",
					  p->interface, "ours", (int)p->ours, "holder", holder(p),
					  "mode", p->native ? "native" : "generic", "frags",
					  (int)p->frags, "by", p->link ? "link" : "netlink", "stub",
					  (int)p->stub, "prog_id", (json_int_t)p->prog_id));
	}
	return points;
}

static json_t *nfqueue_json(const struct status *s)
{
	const struct nfq_path_info *nfq = &s->machine.nfq;
	char words[160];

	health_words(s, words, sizeof(words));
	return json_pack(
		"{s:b, s:b, s:i, s:o, s:i, s:b, s:b, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}",
		"running", (int)nfq->running, "external", (int)nfq->external, "pid", (int)nfq->pid,
		"queue", s->queue_known ? json_integer(nfq->queue) : json_null(), "threads",
		(int)nfq->threads, "compat", (int)nfq->nft.compat, "owner", (int)nfq->owner,
		"table", table(&nfq->nft), "health", status_health_name[s->health], "words", words,
		"queued", (json_int_t)nfq->nft.queued, "handled", (json_int_t)nfq->handled,
		"unmodified", (json_int_t)nfq->unmodified, "depth", (json_int_t)nfq->depth,
		"dropped", (json_int_t)nfq->dropped, "reasons",
		nfq->external ? json_null() : reasons_json(nfq->reason));
}

static json_t *gates_json(const struct status *s)
{
	json_t *gates = json_array(), *gate;
	const char *text[4];
	size_t i;

	if (!s->gates)
		return json_decref(gates), json_null();
	json_array_foreach(s->gates, i, gate) if (json_unpack(gate, "[s, s, s, s]", &text[0],
							      &text[1], &text[2], &text[3]) == 0)
		json_array_append_new(gates,
				      json_pack("{s:s, s:s, s:s, s:s}", "name", text[0], "verdict",
						text[1], "reading", text[2], "limit", text[3]));
	return gates;
}

json_t *status_json(const struct status *s)
{
	const struct machine_status *m = &s->machine;
	const struct xdp_state *xdp = &m->xdp;
	char share[SHARE_TEXT], panic[PATH_MAX];
	json_t *problems = json_array();

	for (unsigned int i = 0; i < m->n_problems; i++)
		json_array_append_new(problems, json_string(m->problem[i]));
	panic_line(s, panic, sizeof(panic));
	return json_pack(
		"{s:s, s:s, s:I, s:s, s:s, s:f, s:I, s:i, s:b, s:i, s:o, s:o, s:b, s:o,"
		" s:{s:o, s:I, s:I, s:o}, s:o, s:o, s:o, s:o, s:o, s:O, s:s, s:s}",
		"instance", s->instance, "time", s->time, "netns", (json_int_t)s->netns, "state",
		machine_state_name[m->state], "share", cmd_share(&xdp->ctl, share), "share_ratio",
		machine_share_ratio(xdp), "generation", (json_int_t)xdp->ctl.generation, "step",
		(int)xdp->ctl.step, "held", (xdp->ctl.flags & DF_CTL_HELD) != 0, "controller",
		(int)s->controller, "lease_seconds", lease_json(xdp, xdp->ctl.deadline),
		"confirm_seconds", lease_json(xdp, xdp->ctl.confirm_by), "other_build",
		(int)s->other_build, "problems", problems, "xdp", "attached", points_json(xdp),
		"matched", (json_int_t)m->matched, "cleared", (json_int_t)m->cleared, "reasons",
		reasons_json(xdp->reason), "nfqueue", nfqueue_json(s), "leaks",
		m->nfq.nft.present ? json_integer((json_int_t)m->nfq.nft.leaked) : json_null(),
		"arrived",
		m->nfq.nft.present ? json_integer((json_int_t)m->nfq.nft.arrived) : json_null(),
		"rates", rates_json(s), "gates", gates_json(s), "events", s->events, "panic",
		m->state == MACHINE_IDLE ? "" : panic, "panic_does", panic_does(s));
}

/* Text */

/* One line on the screen. What others wrote, as in the journal, moves no cursor. */
static void put_row(struct status_view *v, const char *paint, int indent, const char *text,
		    size_t len)
{
	if (v->rows && v->used >= v->rows)
		return;
	fprintf(v->out, "%s%*s", v->colour ? paint : "", indent, "");
	for (size_t i = 0; i < len; i++)
		fputc(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?', v->out);
	fprintf(v->out, "%s%s\n", v->colour && *paint ? "\033[0m" : "", v->clear ? "\033[K" : "");
	v->used++;
}

/* Wrapped between words, the rest indented. */
static __attribute__((format(printf, 3, 4))) void row(struct status_view *v, const char *paint,
						      const char *format, ...)
{
	char line[PATH_MAX + 1024];
	const char *text = line;
	int indent = 0;
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (;;) {
		const size_t room = v->cols ? v->cols - (size_t)indent : sizeof(line);
		size_t len = strlen(text), end = room;

		if (len <= room)
			return put_row(v, paint, indent, text, len);
		while (end > room / 2 && text[end] != ' ')
			end--;
		end = text[end] == ' ' ? end : room;
		put_row(v, paint, indent, text, end);
		text += end + strspn(text + end, " ");
		indent = INDENT;
	}
}

/* hh:mm:ss, and more behind it. */
static const char *clock_of(const struct status *s)
{
	const char *t = strchr(s->time, 'T');

	return t ? t + 1 : s->time;
}

#define RATE_TEXT 32
static const char *rate_text(double rate, char out[RATE_TEXT])
{
	if (isnan(rate))
		snprintf(out, RATE_TEXT, "-");
	else
		snprintf(out, RATE_TEXT, "%.0f", rate);
	return out;
}

static const char *mood(const struct status *s)
{
	if (s->machine.n_problems)
		return RED;
	return s->machine.state == MACHINE_IDLE || s->machine.state == MACHINE_HOLD ||
			       s->machine.state == MACHINE_ROLLED_BACK
		       ? YELLOW
		       : GREEN;
}

static void show_head(const struct status *s, struct status_view *v)
{
	const struct xdp_state *xdp = &s->machine.xdp;
	char share[SHARE_TEXT], lease[96] = "no lease";
	size_t used = 0;

	if (s->machine.state == MACHINE_IDLE)
		return row(v, mood(s), "%s: IDLE: XDP is not attached", s->instance);
	if (xdp->ctl.deadline && xdp->expired)
		snprintf(lease, sizeof(lease), "the lease ran out");
	else if (xdp->ctl.deadline && xdp->ctl.deadline != xdp->ctl.confirm_by)
		used = (size_t)snprintf(lease, sizeof(lease), "lease %.1f s",
					seconds_left(xdp, xdp->ctl.deadline));
	if (xdp->ctl.deadline && xdp->ctl.confirm_by && !xdp->expired)
		snprintf(lease + used, sizeof(lease) - used, "%sconfirm within %.0f s",
			 used ? ", " : "", seconds_left(xdp, xdp->ctl.confirm_by));
	row(v, mood(s), "%s: %s, share %s, generation %u, %s", s->instance,
	    machine_state_name[s->machine.state], cmd_share(&xdp->ctl, share), xdp->ctl.generation,
	    lease);
}

/* Of a rollout that runs by itself: who runs it, or that nobody does any more. */
static void show_rollout(const struct status *s, struct status_view *v)
{
	const struct df_ctl *ctl = &s->machine.xdp.ctl;
	char steps[16] = "", who[48] = "in another pid namespace";

	if (s->machine.state == MACHINE_HOLD)
		row(v, YELLOW, "  hold     %s",
		    ctl->flags & DF_CTL_HELD ? "by an operator: nfq2xdp migrate resume -c FILE"
					     : "by a gate");
	if (s->steps)
		snprintf(steps, sizeof(steps), " of %u", s->steps);
	if (s->controller > 0)
		snprintf(who, sizeof(who), "by pid %d", s->controller);
	if (s->controller)
		row(v, "", "  rollout  step %u%s, run %s", ctl->step, steps, who);
	else if (ctl->step && ctl->confirm_by)
		row(v, YELLOW,
		    "  rollout  nobody runs it any more: on with nfq2xdp migrate auto -c FILE, back with "
		    "nfq2xdp migrate rollback -c FILE");
}

/* Those that do not pass, or that all do. */
static void show_gates(const struct status *s, struct status_view *v)
{
	const char *name, *verdict, *reading, *limit;
	size_t i, passed = 0;
	json_t *gate;

	json_array_foreach(s->gates, i, gate)
	{
		if (json_unpack(gate, "[s, s, s, s]", &name, &verdict, &reading, &limit) < 0)
			continue;
		if (!strcmp(verdict, gate_verdict_name[GATE_PASS]))
			passed++;
		else
			row(v, !strcmp(verdict, gate_verdict_name[GATE_FAIL]) ? RED : YELLOW,
			    "  gate     %s: %s: %s (limit: %s)", name, verdict, reading, limit);
	}
	if (s->gates)
		row(v, "", "  gates    %zu of %zu pass", passed, json_array_size(s->gates));
}

/* The highest of the last minute is the full height; _ is 0, a blank is not known. ASCII, for any console. */
static void spark(const double rate[STATUS_HISTORY], unsigned int width, char *out)
{
	static const char level[] = "_.:-=+*#";
	const double *from = rate + STATUS_HISTORY - width;
	double most = 0;

	for (unsigned int i = 0; i < width; i++)
		if (from[i] > most) /* NAN is not */
			most = from[i];
	for (unsigned int i = 0; i < width; i++)
		out[i] = isnan(from[i]) ? ' '
			 : from[i] == 0 ? level[0]
					: level[1 + (int)(from[i] / most * 6)];
	out[width] = '\0';
}

static void show_spark(struct status_view *v, const char *name, const double rate[STATUS_HISTORY])
{
	char line[STATUS_HISTORY + 1], text[RATE_TEXT];
	unsigned int width = v->cols ? v->cols - INDENT - 10 : STATUS_HISTORY;

	if (width > STATUS_HISTORY)
		width = STATUS_HISTORY;
	spark(rate, width, line);
	rate_text(rate[STATUS_HISTORY - 1], text);
	row(v, "", "  %-8s %s %s/s", name, line, text);
}

static void show_xdp(const struct status *s, struct status_view *v)
{
	const struct machine_status *m = &s->machine;

	for (unsigned int i = 0; i < m->xdp.n_points; i++) {
		const struct xdp_point *p = &m->xdp.point[i];

		row(v, p->ours ? "" : RED, "  xdp      %s: %s, %s, program id %u%s%s%s",
		    p->interface, p->native ? "native" : "generic", p->frags ? "xdp.frags" : "xdp",
		    p->prog_id, p->stub ? ", does nothing" : "",
		    p->ours ? ", ours" : ": NOT ATTACHED",
		    p->gone    ? ", the interface is gone"
		    : p->taken ? ", another program is"
			       : "");
	}
	if (m->state != MACHINE_IDLE)
		row(v, "", "  xdp      matched %" PRIu64 ", cleared %" PRIu64, m->matched,
		    m->cleared);
}

static void show_nfqueue(const struct status *s, struct status_view *v)
{
	const struct nfq_path_info *nfq = &s->machine.nfq;
	const bool well = s->health <= STATUS_UNTOUCHED;
	char words[160], queue[64] = "", pid[32] = "";

	health_words(s, words, sizeof(words));
	if (s->queue_known && nfq->threads > 1)
		snprintf(queue, sizeof(queue), "queues %u-%u, ", nfq->queue,
			 nfq->queue + nfq->threads - 1);
	else if (s->queue_known && nfq->threads)
		snprintf(queue, sizeof(queue), "queue %u, ", nfq->queue);
	if (nfq->pid > 0)
		snprintf(pid, sizeof(pid), "%spid %d, ", nfq->external ? "external " : "",
			 nfq->pid);
	row(v, well ? "" : RED, "  nfqueue  %s%s%s%s", queue, pid,
	    nfq->running && nfq->owner ? "own table, " : "", words);
	if (nfq->running)
		row(v, "",
		    "  nfqueue  queued %" PRIu64 ", handled %" PRIu64 ", unmodified %" PRIu64
		    ", waiting %" PRIu64 ", dropped %" PRIu64,
		    nfq->nft.queued, nfq->handled, nfq->unmodified, nfq->depth, nfq->dropped);
	if (nfq->nft.present)
		row(v, nfq->nft.leaked ? YELLOW : "",
		    "  leaks    %" PRIu64 " of %" PRIu64 " packets behind both paths",
		    nfq->nft.leaked, nfq->nft.arrived);
}

/* What was seen at least once. */
static void show_reasons(const struct status *s, struct status_view *v)
{
	const struct machine_status *m = &s->machine;
	char xdp[RATE_TEXT], nfqueue[RATE_TEXT], count[RATE_TEXT];
	bool head = false;

	for (unsigned int r = 0; r < DF_REASON_MAX; r++) {
		if (!m->xdp.reason[r] && !m->nfq.reason[r])
			continue;
		if (!head)
			row(v, "", "  %-18s %14s %10s %14s %10s", "", "xdp", "/s", "nfqueue", "/s");
		head = true;
		snprintf(count, sizeof(count), "%" PRIu64, m->nfq.reason[r]);
		row(v, r == DF_ERROR ? RED : "", "  %-18s %14" PRIu64 " %10s %14s %10s",
		    df_reason_name[r], m->xdp.reason[r],
		    rate_text(s->rates.seconds ? s->rates.xdp[r] : NAN, xdp),
		    m->nfq.external ? "-" : count,
		    rate_text(s->rates.seconds && !m->nfq.external ? s->rates.nfqueue[r] : NAN,
			      nfqueue));
	}
}

static void show_events(const struct status *s, struct status_view *v, size_t most)
{
	size_t i, n = json_array_size(s->events);
	const char *time, *event, *text;
	json_t *object;

	json_array_foreach(s->events, i,
			   object) if (i + most >= n &&
				       json_unpack(object, "{s:s, s:s, s:s}", "time", &time,
						   "event", &event, "text", &text) == 0)
		row(v, "", "  %-8s %.10s %.8s %s%s%s", i + most == n || !i ? "journal" : "", time,
		    strlen(time) > 11 ? time + 11 : "", event, *text ? ": " : "", text);
}

void status_show(const struct status *s, struct status_view *v)
{
	char panic[PATH_MAX], rates[4][RATE_TEXT];
	/* The last row, whatever is cut: it says that this is live. */
	const bool clock = v->history && v->rows > 1;

	v->rows -= clock;
	show_head(s, v);
	for (unsigned int i = 0; i < s->machine.n_problems; i++)
		row(v, RED, "  PROBLEM  %s", s->machine.problem[i]);
	show_rollout(s, v);
	show_xdp(s, v);
	show_nfqueue(s, v);
	if (v->history) {
		show_spark(v, "xdp", v->history->xdp);
		show_spark(v, "nfqueue", v->history->nfqueue);
	} else if (s->rates.seconds) {
		row(v, "", "  rates    xdp %s/s, nfqueue %s/s, leaks %s/s, over %.1f s",
		    rate_text(s->rates.cleared, rates[0]), rate_text(s->rates.handled, rates[1]),
		    rate_text(s->rates.leaked, rates[2]), s->rates.seconds);
	}
	show_gates(s, v);
	if (s->machine.state != MACHINE_IDLE)
		row(v, "", "  panic    nfq2xdp panic %s: %s", s->instance, panic_does(s));
	show_reasons(s, v);
	show_events(s, v, v->rows ? STATUS_EVENTS : 3);
	v->rows += clock;
	if (v->history)
		row(v, "", "%.8s UTC; ^C ends", clock_of(s));
	if (s->machine.state == MACHINE_IDLE || v->rows)
		return;
	panic_line(s, panic, sizeof(panic));
	row(v, "", "the same as nfq2xdp panic %s, without nfq2xdp:", s->instance);
	row(v, "", "%s", panic);
}

static bool has_problem(const struct status *s, const char *text)
{
	for (unsigned int i = 0; s && i < s->machine.n_problems; i++)
		if (!strcmp(s->machine.problem[i], text))
			return true;
	return false;
}

static bool has_event(const struct status *s, const json_t *event)
{
	json_t *other;
	size_t i;

	if (s)
		json_array_foreach(s->events, i, other) if (json_equal(other, event)) return true;
	return false;
}

void status_line(const struct status *s, const struct status *before, FILE *out)
{
	struct status_view v = { .out = out };
	char share[SHARE_TEXT], xdp[RATE_TEXT], nfqueue[RATE_TEXT];
	const char *time = clock_of(s);
	json_t *event;
	size_t i;

	for (unsigned int n = 0; n < s->machine.n_problems; n++)
		if (!has_problem(before, s->machine.problem[n]))
			row(&v, "", "%.8s %s PROBLEM %s", time, s->instance, s->machine.problem[n]);
	if (before)
		json_array_foreach(s->events, i, event) if (!has_event(before, event))
			row(&v, "", "%.8s %s %s: %s", time, s->instance,
			    json_string_value(json_object_get(event, "event")) ?: "",
			    json_string_value(json_object_get(event, "text")) ?: "");
	row(&v, "",
	    "%.8s %s %s %s, xdp %s/s, nfqueue %s/s, waiting %" PRIu64 ", leaks %" PRIu64
	    ", problems %u",
	    time, s->instance, machine_state_name[s->machine.state],
	    cmd_share(&s->machine.xdp.ctl, share),
	    rate_text(s->rates.seconds ? s->rates.cleared : NAN, xdp),
	    rate_text(s->rates.seconds ? s->rates.handled : NAN, nfqueue), s->machine.nfq.depth,
	    s->machine.nfq.nft.leaked, s->machine.n_problems);
}

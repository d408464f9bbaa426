// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/args.h"
#include "core/log.h"
#include "core/notify.h"
#include "core/output.h"
#include "migrate/auto.h"
#include "migrate/cmd.h"
#include "migrate/migrate_cmd.h"

#define PLAIN_EVERY 10 /* seconds between two lines that say the same, where no terminal is */

struct printer {
	const struct policy *policy;
	bool json, terminal;
	bool on_line; /* the cursor stands behind a progress line */
	unsigned int since; /* plain lines that were left out */
	char last[256]; /* what does not change from second to second of the last plain line */
};

/* Whoever read this may be gone: that ends nothing. */
static void put(json_t *object)
{
	(void)output_json(object);
	fflush(stdout);
}

static json_t *gates_json(const struct auto_second *s)
{
	json_t *gates = json_array();

	for (unsigned int i = 0; i < s->n_gates; i++)
		json_array_append_new(
			gates, json_pack("{s:s, s:s, s:s, s:s}", "name", s->gate[i].name, "verdict",
					 gate_verdict_name[s->gate[i].verdict], "reading",
					 s->gate[i].reading, "limit", s->gate[i].limit));
	return gates;
}

static json_t *rate_json(const struct auto_second *s, double rate)
{
	return s->rates_known ? json_real(rate) : json_null();
}

static json_t *second_json(const struct printer *p, const struct auto_second *s, const char *share)
{
	return json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:i, s:o, s:o, s:I, s:I, s:f, s:f, s:f, "
			 "s:s, s:o}",
			 "event", "second", "instance", p->policy->interface, "state",
			 machine_state_name[s->state], "step", (int)s->step, "steps",
			 (int)p->policy->rollout.n_steps, "share", share, "generation",
			 (int)s->generation, "xdp_rate", rate_json(s, s->xdp_rate), "nfqueue_rate",
			 rate_json(s, s->nfqueue_rate), "samples", (json_int_t)s->samples,
			 "samples_needed", (json_int_t)p->policy->rollout.samples,
			 "in_step_seconds", (double)s->in_step_ns / 1e9, "lease_seconds",
			 (double)s->lease_left_ns / 1e9, "confirm_seconds",
			 (double)s->confirm_left_ns / 1e9, "worst", gate_verdict_name[s->worst],
			 "gates", gates_json(s));
}

/* The gates in words: the first that is not well, or that all are. */
static void gates_text(const struct auto_second *s, char *out, size_t size)
{
	snprintf(out, size, "gates pass");
	for (unsigned int i = 0; i < s->n_gates; i++) {
		if (s->gate[i].verdict != s->worst || s->worst == GATE_PASS)
			continue;
		snprintf(out, size, "%s: %s (%s)", s->gate[i].name,
			 gate_verdict_name[s->gate[i].verdict], s->gate[i].reading);
		return;
	}
}

static void line_begin(struct printer *p)
{
	if (p->on_line)
		putchar('\n');
	p->on_line = false;
}

static void second_line(struct printer *p, const struct auto_second *s, const char *share)
{
	const struct policy *policy = p->policy;
	char gates[160], same[sizeof(p->last)], rates[80] = "rates at the next look";

	gates_text(s, gates, sizeof(gates));
	snprintf(same, sizeof(same), "%s step %u %d %.100s", machine_state_name[s->state], s->step,
		 (int)s->worst, s->worst == GATE_FAIL ? gates : "");
	if (!p->terminal && !strcmp(same, p->last) && ++p->since < PLAIN_EVERY)
		return;
	p->since = 0;
	snprintf(p->last, sizeof(p->last), "%s", same);
	if (p->terminal)
		fputs("\r\033[K", stdout);
	if (s->rates_known)
		snprintf(rates, sizeof(rates), "xdp %.0f/s, nfqueue %.0f/s", s->xdp_rate,
			 s->nfqueue_rate);
	printf("%s: %s, step %u/%u, share %s | %s | samples %" PRIu64 "/%u, %.0f/%.0f s | %s",
	       policy->interface, machine_state_name[s->state], s->step, policy->rollout.n_steps,
	       share, rates, s->samples, policy->rollout.samples, (double)s->in_step_ns / 1e9,
	       (double)policy->rollout.hold_ns / 1e9, gates);
	if (s->lease_left_ns)
		printf(" | lease %.1f s, confirm %.0f s", (double)s->lease_left_ns / 1e9,
		       (double)s->confirm_left_ns / 1e9);
	if (p->terminal)
		p->on_line = true;
	else
		putchar('\n');
	fflush(stdout);
}

static void on_second(void *ctx, const struct auto_second *s)
{
	struct printer *p = ctx;
	char share[SHARE_TEXT], status[160];

	share_format(&s->share, share, sizeof(share));
	snprintf(status, sizeof(status), "STATUS=%s, step %u of %u, share %s\nWATCHDOG=1",
		 machine_state_name[s->state], s->step, p->policy->rollout.n_steps, share);
	notify(status);
	if (p->json)
		put(second_json(p, s, share));
	else
		second_line(p, s, share);
}

static void on_step(void *ctx, unsigned int step, const struct machine_move *move)
{
	struct printer *p = ctx;
	char before[SHARE_TEXT], after[SHARE_TEXT];

	share_format(&move->before, before, sizeof(before));
	share_format(&move->after, after, sizeof(after));
	if (p->json) {
		put(json_pack("{s:s, s:i, s:s, s:s, s:I, s:I, s:i}", "event", "step", "step",
			      (int)step, "before", before, "share", after, "write_ns",
			      (json_int_t)move->write_ns, "effect_ns", (json_int_t)move->effect_ns,
			      "generation", (int)move->generation));
		return;
	}
	line_begin(p);
	printf("%s: step %u of %u: share %s (was %s), the first packet after %.3f ms\n",
	       p->policy->interface, step, p->policy->rollout.n_steps, after, before,
	       (double)move->effect_ns / 1e6);
	if (step == p->policy->rollout.n_steps)
		printf("%s: XDP takes all; it goes back by itself unless: nfq2xdp migrate confirm %u -c FILE\n",
		       p->policy->interface, move->generation);
	fflush(stdout);
}

static void on_trial(void *ctx, const struct auto_trial *trial)
{
	struct printer *p = ctx;

	if (p->json) {
		put(json_pack("{s:s, s:f, s:f, s:I, s:b, s:s}", "event", "trial", "rate",
			      trial->rate, "capacity", trial->capacity, "deepest",
			      (json_int_t)trial->deepest, "ok", (int)trial->ok, "why", trial->why));
		return;
	}
	line_begin(p);
	if (trial->ok)
		printf("%s: the NFQUEUE path carried all %.0f/s, and could carry %.0f/s\n",
		       p->policy->interface, trial->rate, trial->capacity);
	else
		printf("%s: no step up: the NFQUEUE path could not carry all: %s\n",
		       p->policy->interface, trial->why);
	fflush(stdout);
}

static void print_end(struct printer *p, const struct auto_end *end)
{
	if (p->json) {
		put(json_pack("{s:s, s:b, s:b, s:s, s:s, s:I}", "event", "end", "confirmed",
			      (int)end->confirmed, "rolled_back", (int)end->rolled_back, "reason",
			      end->reason, "rung", rollback_rung_name[end->rollback.rung],
			      "verify_ns", (json_int_t)end->rollback.verify_ns));
		return;
	}
	line_begin(p);
	if (end->confirmed)
		printf("%s: CONFIRMED\n", p->policy->interface);
	fflush(stdout);
}

int migrate_cmd_auto(int argc, char **argv)
{
	struct auto_end end = { 0 };
	struct policy policy;
	struct printer p = { .policy = &policy };
	const struct auto_observer observer = {
		.second = on_second, .step = on_step, .trial = on_trial, .ctx = &p
	};
	struct args args;
	struct err err;
	int ret = args_parse(argc, argv, ARGS_CONFIG | ARGS_LOCAL_ONLY, &args, &policy, &err);

	if (ret < 0)
		return cmd_finish(ret, &err);
	p.json = args.json;
	p.terminal = !args.json && isatty(STDOUT_FILENO);
	ret = auto_run(&policy, args.local_only, &observer, &end, &err);
	if (end.confirmed || end.rolled_back || end.reason[0])
		print_end(&p, &end);
	return cmd_finish(ret, &err);
}

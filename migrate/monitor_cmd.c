// SPDX-License-Identifier: GPL-2.0-only
#include <math.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "core/args.h"
#include "core/loop.h"
#include "core/util.h"
#include "migrate/cmd.h"
#include "migrate/migrate_cmd.h"
#include "migrate/status.h"

/* A serial console does not say how large it is. */
#define COLS 80
#define ROWS 24

struct monitor {
	const char *instance;
	const struct policy *policy; /* NULL: none was given */
	bool json, terminal, colour;
	struct status now;
	bool have; /* now is filled */
	struct status_history history;
	unsigned int drawn; /* rows of the last screen, above the cursor */
	struct err err;
	int ret;
};

static unsigned int fits(unsigned int has, unsigned int least, unsigned int most)
{
	return !has || has > most ? most : has < least ? least : has;
}

/* Over the last screen, in place: nothing is asked of the terminal but to go up and to clear to the right
 * and below. It is as it was at the end, with the last screen on it. */
static void draw(struct monitor *m)
{
	struct status_view view = {
		.out = stdout, .colour = m->colour, .clear = true, .history = &m->history
	};
	struct winsize size = { 0 };

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	view.cols = fits(size.ws_col, COLS / 2, COLS);
	view.rows = fits(size.ws_row, 2, ROWS) - 1; /* the cursor's own */
	if (m->drawn > view.rows)
		m->drawn = view.rows;
	if (m->drawn)
		printf("\033[%uA\r", m->drawn);
	status_show(&m->now, &view);
	fputs("\033[J", stdout);
	m->drawn = view.used;
}

static void show(struct monitor *m, const struct status *before)
{
	if (m->json)
		(void)cmd_print(status_json(&m->now));
	else if (m->terminal)
		draw(m);
	else
		status_line(&m->now, before, stdout);
	if (fflush(stdout) != 0 || ferror(stdout))
		m->ret = err_set(&m->err, N2X_SYSTEM, "standard output: cannot write");
}

/* The first time it is the end; later it may be a moment, such as another command at work. */
static int unreadable(struct monitor *m, int ret)
{
	if (!m->have)
		return m->ret = ret;
	snprintf(m->now.machine.problem[0], sizeof(m->err.text), "%s", m->err.text);
	m->now.machine.n_problems = 1;
	m->now.rates = (struct status_rates){ 0 };
	status_history_add(&m->history, &m->now);
	show(m, NULL);
	return m->ret;
}

static int look(void *ctx)
{
	_cleanup_(status_release) struct status before = { 0 };
	struct monitor *m = ctx;
	struct status now = { 0 };
	int ret = status_read(m->instance, m->policy, &now, &m->err);

	if (ret < 0)
		return unreadable(m, ret);
	if (m->have)
		status_rate(&m->now, &now);
	before = m->now;
	m->now = now;
	status_history_add(&m->history, &m->now);
	show(m, m->have ? &before : NULL);
	m->have = true;
	return m->ret;
}

static void down(struct monitor *m)
{
	status_release(&m->now);
}

int migrate_cmd_monitor(int argc, char **argv)
{
	_cleanup_(down) struct monitor m = { .terminal = cmd_terminal(), .colour = cmd_colour() };
	const struct loop loop = { .fd = -1, .tick = look, .ctx = &m };
	char instance[IFNAMSIZ];
	struct policy policy;
	struct args args;
	int ret = args_parse(argc, argv, ARGS_INSTANCE | ARGS_MAY_CONFIG, &args, &policy, &m.err);

	if (ret == 0)
		ret = cmd_instance(argv[0], &args, &policy, instance, &m.err);
	if (ret < 0)
		return cmd_finish(ret, &m.err);
	m.instance = instance;
	m.policy = args.config ? &policy : NULL;
	m.json = args.json;
	for (unsigned int i = 0; i < STATUS_HISTORY; i++)
		m.history.xdp[i] = m.history.nfqueue[i] = NAN;
	loop_hold_signals();
	if (look(&m) == 0 && loop_wait(&loop) < 0)
		m.ret = err_set(&m.err, N2X_SYSTEM, "cannot set up the event loop");
	return cmd_finish(m.ret, &m.err);
}

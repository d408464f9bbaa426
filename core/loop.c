// SPDX-License-Identifier: GPL-2.0-only
#include "core/loop.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include <event2/event.h>

#include "core/notify.h"
#include "core/util.h"

static const int signals[] = { SIGTERM, SIGINT, SIGHUP };

struct running {
	const struct loop *loop;
	struct event_base *base;
	struct event *signal[ARRAY_SIZE(signals)];
	struct event *fd;
	struct event *tick;
	struct http *http;
	enum loop_end end;
};

static void mask(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (unsigned int i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(how, &set, NULL);
}

void loop_hold_signals(void)
{
	mask(SIG_BLOCK);
}

static void end(struct running *run, enum loop_end why)
{
	run->end = why;
	event_base_loopbreak(run->base);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end(arg, LOOP_STOPPED);
}

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end(arg, LOOP_FD);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct running *run = arg;

	(void)fd;
	(void)what;
	if (run->loop->tick(run->loop->ctx))
		end(run, LOOP_TICK);
}

static void down(struct running *run)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(signals); i++)
		if (run->signal[i])
			event_free(run->signal[i]);
	if (run->fd)
		event_free(run->fd);
	if (run->tick)
		event_free(run->tick);
	http_close(run->http);
	if (run->base)
		event_base_free(run->base);
}

static int add(struct event **out, struct event *ev, const struct timeval *period)
{
	*out = ev;
	return ev && event_add(ev, period) == 0 ? 0 : -ENOMEM;
}

int loop_wait(const struct loop *loop)
{
	_cleanup_(down) struct running run = { .loop = loop, .base = event_base_new() };
	const long ms = loop->period_ms ? loop->period_ms : 1000;
	const struct timeval period = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	int ret = run.base ? 0 : -ENOMEM;

	for (unsigned int i = 0; i < ARRAY_SIZE(signals) && ret == 0; i++)
		ret = add(&run.signal[i], evsignal_new(run.base, signals[i], on_signal, &run),
			  NULL);
	if (ret == 0 && loop->fd >= 0)
		ret = add(&run.fd, event_new(run.base, loop->fd, EV_READ, on_fd, &run), NULL);
	if (ret == 0 && loop->tick)
		ret = add(&run.tick, event_new(run.base, -1, EV_PERSIST, on_tick, &run), &period);
	if (ret == 0 && loop->http.listen && *loop->http.listen) {
		run.http = http_open(run.base, &loop->http);
		ret = run.http ? 0 : -ENOMEM;
	}
	if (ret < 0)
		return ret;
	mask(SIG_UNBLOCK);
	if (loop->ready)
		loop->ready(loop->ctx);
	notify("READY=1");
	event_base_dispatch(run.base);
	loop_hold_signals(); /* a second one must not end the way down */
	/* What ended by itself may have come to a good end: the service manager sees by its exit status. */
	if (run.end == LOOP_STOPPED)
		notify("STOPPING=1");
	return (int)run.end;
}

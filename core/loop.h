/* SPDX-License-Identifier: GPL-2.0-only */
/* The main loop of `run`: wait for the word to stop, and look after things meanwhile. */
#pragma once

#include "core/http.h"

enum loop_end {
	LOOP_STOPPED, /* SIGTERM, SIGINT or SIGHUP */
	LOOP_FD, /* the descriptor became readable */
	LOOP_TICK, /* tick() said so */
};

struct loop {
	int fd; /* -1: none */
	int (*tick)(void *ctx); /* every period; non-zero ends the loop. NULL: none */
	unsigned int period_ms; /* 0: a second */
	/* Called once, when a signal to stop is answered in order from now on. NULL: none. */
	void (*ready)(void *ctx);
	void *ctx;
	struct http_source http; /* listen NULL or "": none */
};

/* Holds back the signals that stop the loop: one that comes while things go up is answered when
 * they are up. */
void loop_hold_signals(void);

/* Returns an enum loop_end, or -ENOMEM. Tells the service manager READY=1 after ready(), and
 * STOPPING=1 when a signal ended it. */
int loop_wait(const struct loop *loop);

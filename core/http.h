/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * GET /metrics, for a Prometheus, in the main loop of `run`. It never stands in the way of that: an
 * address that is taken is tried again, and whoever connects is bounded in number, size and time.
 */
#pragma once

#include <stdio.h>

#include <event2/event.h>

#define HTTP_CONNECTIONS 16 /* one more ends the oldest */
#define HTTP_HEADER_MAX  4096 /* bytes */
#define HTTP_TIMEOUT_S   5
#define HTTP_AGAIN_S     5 /* an address that is taken is tried again so often */

struct http;

struct http_source {
	const char *listen; /* "127.0.0.1:9465", "[::1]:9465"; as checked by http_check() */
	void (*render)(void *ctx, FILE *out);
	void *ctx;
};

/* Is it an address with a port that can be listened on? Returns 0 or -EINVAL. */
int http_check(const char *listen);

/* NULL without memory. Says on standard error where it listens, once, or why it does not yet. */
struct http *http_open(struct event_base *base, const struct http_source *source);

/* Before the base goes. NULL is allowed. */
void http_close(struct http *http);

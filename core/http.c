// SPDX-License-Identifier: GPL-2.0-only
#include "core/http.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <event2/util.h>

#include "core/log.h"
#include "core/util.h"

#define BACKLOG 32

struct http {
	struct http_source source;
	struct event_base *base;
	struct evhttp *server;
	struct event *again;
	struct event *sweeper;
	int told; /* errno that was said; 0: none */
	/* With a reference of ours each: libevent has no limit of its own. The oldest first. */
	struct bufferevent *connection[HTTP_CONNECTIONS];
	unsigned int n;
};

/* Has the server let go of it? It takes its callbacks away then. */
static bool is_gone(struct bufferevent *bev)
{
	bufferevent_event_cb event = NULL;

	bufferevent_getcb(bev, NULL, NULL, &event, NULL);
	return !event;
}

static void forget(struct http *http, unsigned int i)
{
	bufferevent_decref(http->connection[i]);
	for (http->n--; i < http->n; i++)
		http->connection[i] = http->connection[i + 1];
}

/* What the server has let go of still waits, with a timeout, on a descriptor that is closed. */
static void sweep(struct http *http)
{
	for (unsigned int i = http->n; i-- > 0;)
		if (is_gone(http->connection[i]))
			forget(http, i);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	sweep(arg);
}

/* What the server makes of a connection. It reads the end of one that is shut down, and lets go. */
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
	struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);
	struct http *http = arg;

	sweep(http);
	if (http->n == HTTP_CONNECTIONS) {
		shutdown(bufferevent_getfd(http->connection[0]), SHUT_RDWR);
		forget(http, 0);
	}
	if (bev) {
		bufferevent_incref(bev);
		http->connection[http->n++] = bev;
	}
	return bev;
}

static char *rendered(const struct http *http, size_t *size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, size);

	if (!out)
		return NULL;
	http->source.render(http->source.ctx, out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static void on_metrics(struct evhttp_request *request, void *arg)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *body = evhttp_request_get_output_buffer(request);
	_cleanup_free_ char *text = NULL;
	size_t size = 0;

	text = rendered(arg, &size);
	evhttp_add_header(headers, "Connection", "close");
	evhttp_add_header(headers, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
	if (text && evbuffer_add(body, text, size) == 0)
		evhttp_send_reply(request, HTTP_OK, "OK", NULL);
	else
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
}

static struct evhttp *new_server(struct http *http)
{
	struct evhttp *server = evhttp_new(http->base);

	if (!server)
		return NULL;
	evhttp_set_allowed_methods(server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(server, HTTP_HEADER_MAX);
	evhttp_set_max_body_size(server, 0);
	evhttp_set_timeout(server, HTTP_TIMEOUT_S);
	evhttp_set_bevcb(server, on_connection, http);
	if (evhttp_set_cb(server, "/metrics", on_metrics, http) == 0)
		return server;
	evhttp_free(server);
	return NULL;
}

static int address(const char *listen, struct sockaddr_storage *out, int *len)
{
	const char *port = strrchr(listen, ':');

	/* evutil reads what a number begins with. */
	if (!port || port[1 + strspn(port + 1, "0123456789")])
		return -EINVAL;
	*len = sizeof(*out);
	if (evutil_parse_sockaddr_port(listen, (struct sockaddr *)out, len) < 0)
		return -EINVAL;
	if (out->ss_family == AF_INET)
		return ((struct sockaddr_in *)out)->sin_port ? 0 : -EINVAL;
	return ((struct sockaddr_in6 *)out)->sin6_port ? 0 : -EINVAL;
}

int http_check(const char *listen)
{
	struct sockaddr_storage ss;
	int len;

	return address(listen, &ss, &len);
}

/* NULL with errno. */
static struct evconnlistener *listen_at(const struct http *http)
{
	const unsigned int flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC |
				   LEV_OPT_REUSEABLE;
	struct sockaddr_storage ss;
	int len;

	if (address(http->source.listen, &ss, &len) < 0) {
		errno = EINVAL;
		return NULL;
	}
	return evconnlistener_new_bind(http->base, NULL, NULL, flags, BACKLOG,
				       (struct sockaddr *)&ss, len);
}

static void try_listen(struct http *http)
{
	static const struct timeval soon = { .tv_sec = HTTP_AGAIN_S };
	struct evconnlistener *listener = listen_at(http);
	int error = errno;

	if (listener && evhttp_bind_listener(http->server, listener)) {
		log_info("metrics: http://%s/metrics", http->source.listen);
		return;
	}
	if (listener) {
		evconnlistener_free(listener);
		error = ENOMEM;
	}
	if (error != http->told)
		log_info("metrics: %s: %s: tried again every %d s; metrics.listen names another "
			 "address, or off",
			 http->source.listen, strerror(error), HTTP_AGAIN_S);
	http->told = error;
	event_add(http->again, &soon);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	try_listen(arg);
}

struct http *http_open(struct event_base *base, const struct http_source *source)
{
	static const struct timeval often = { .tv_sec = HTTP_TIMEOUT_S / 2 };
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	http->source = *source;
	http->base = base;
	http->again = evtimer_new(base, on_again, http);
	http->sweeper = event_new(base, -1, EV_PERSIST, on_sweep, http);
	http->server = new_server(http);
	if (!http->again || !http->server || !http->sweeper ||
	    event_add(http->sweeper, &often) < 0) {
		http_close(http);
		return NULL;
	}
	try_listen(http);
	return http;
}

void http_close(struct http *http)
{
	if (!http)
		return;
	if (http->server)
		evhttp_free(http->server);
	while (http->n)
		forget(http, http->n - 1);
	if (http->again)
		event_free(http->again);
	if (http->sweeper)
		event_free(http->sweeper);
	free(http);
}

// SPDX-License-Identifier: GPL-2.0-only
/* core/http.c: what it answers, and that nobody who connects keeps it from answering. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/http.h"
#include "core/util.h"

#define SLOW    100
#define WAIT_MS 20000

static char where[32];
static struct sockaddr_in address;
static pid_t server;
static int taken = -1; /* not the server's */
static int errors = -1; /* what the server says from now on */

static void render(void *ctx, FILE *out)
{
	fprintf(out, "%s %d\n", (const char *)ctx, 1);
}

/* A socket that is bound to a port that was free. */
static int bind_any(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t len = sizeof(address);

	address = (struct sockaddr_in){ .sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	snprintf(where, sizeof(where), "127.0.0.1:%d", ntohs(address.sin_port));
	return fd;
}

static _Noreturn void serve(int out)
{
	struct event_base *base = event_base_new();
	struct http_source source = { .listen = where, .render = render, .ctx = "metric" };
	struct http *http;

	close(taken);
	dup2(out, STDERR_FILENO);
	http = http_open(base, &source);
	event_base_dispatch(base);
	http_close(http);
	_exit(1);
}

/* Returns what it says. */
static int start(void)
{
	int out[2];

	assert_int_equal(pipe(out), 0);
	server = fork();
	assert_true(server >= 0);
	if (!server)
		serve(out[1]);
	close(out[1]);
	return out[0];
}

static void said(int fd, const char *want)
{
	char text[512] = "";
	size_t used = 0;

	while (!strchr(text, '\n')) {
		ssize_t n = read(fd, text + used, sizeof(text) - used - 1);

		assert_true(n > 0);
		used += (size_t)n;
		text[used] = '\0';
	}
	assert_non_null(strstr(text, want));
}

static int setup(void **state)
{
	int bound = bind_any();

	(void)state;
	close(bound);
	errors = start();
	said(errors, "metrics: http://127.0.0.1:");
	return 0;
}

static int teardown(void **state)
{
	int status;

	(void)state;
	/* It is still there. */
	assert_int_equal(waitpid(server, &status, WNOHANG), 0);
	close(errors);
	kill(server, SIGKILL);
	return waitpid(server, &status, 0) == server ? 0 : -1;
}

static int connect_to(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Until it ends; a reset is an end, too. */
static void read_all(int fd, char *out, size_t size)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	size_t used = 0;
	ssize_t n;

	do {
		assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
		n = recv(fd, out + used, size - 1 - used, 0);
		used += n > 0 ? (size_t)n : 0;
	} while (n > 0 && used < size - 1);
	out[used] = '\0';
}

static void answer(const char *request, char *out, size_t size)
{
	int fd = connect_to();

	send(fd, request, strlen(request), MSG_NOSIGNAL);
	read_all(fd, out, size);
	close(fd);
}

#define GET "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"

static void assert_served(void)
{
	char text[4096];

	answer(GET, text, sizeof(text));
	assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(text, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
	assert_non_null(strstr(text, "\r\n\r\nmetric 1\n"));
}

static void test_answers(void **state)
{
	static const struct {
		const char *request, *status;
	} cases[] = {
		{ "GET / HTTP/1.0\r\n\r\n", " 404 " },
		{ "GET /metrics/ HTTP/1.0\r\n\r\n", " 404 " },
		{ "GET /../etc/passwd HTTP/1.0\r\n\r\n", " 404 " },
		{ "POST /metrics HTTP/1.0\r\nContent-Length: 0\r\n\r\n", " 501 " },
		{ "DELETE /metrics HTTP/1.0\r\n\r\n", " 501 " },
		{ "nonsense\r\n\r\n", " 400 " },
		{ "HEAD /metrics HTTP/1.0\r\n\r\n", " 200 " },
		{ "GET /metrics?x=1 HTTP/1.0\r\n\r\n", " 200 " },
	};
	char text[4096];

	(void)state;
	assert_served();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		answer(cases[i].request, text, sizeof(text));
		print_message("%s", cases[i].request);
		text[strcspn(text, "\r")] = '\0';
		assert_non_null(strstr(text, cases[i].status));
	}
	assert_served();
}

/* Half a request each, and left open: the oldest are let go. Nothing is left of who was served before, when
 * the time of these is over, and so his would be. */
static void test_slow(void **state)
{
	struct pollfd more = { .fd = errors, .events = POLLIN };
	char text[64];
	int fd[SLOW], open = 0;

	(void)state;
	assert_served();
	for (int i = 0; i < SLOW; i++) {
		fd[i] = connect_to();
		send(fd[i], "GET /met", 8, MSG_NOSIGNAL);
	}
	assert_served();
	for (int i = 0; i < SLOW; i++)
		open += recv(fd[i], text, sizeof(text), MSG_DONTWAIT) < 0 && errno == EAGAIN;
	assert_in_range(open, 1, HTTP_CONNECTIONS);
	/* And the others when their time is over. */
	for (int i = 0; i < SLOW; i++) {
		read_all(fd[i], text, sizeof(text));
		close(fd[i]);
	}
	assert_served();
	assert_int_equal(poll(&more, 1, 0), 0);
}

static void test_oversized(void **state)
{
	static char header[1 << 20];
	char text[4096];

	(void)state;
	memset(header, 'a', sizeof(header) - 1);
	memcpy(header, "GET /metrics HTTP/1.1\r\nX: ", 26);
	for (int i = 0; i < SLOW; i++) {
		answer(header, text, sizeof(text));
		assert_null(strstr(text, "metric"));
	}
	memset(header, 'a', sizeof(header) - 1);
	for (int i = 0; i < SLOW; i++)
		answer(header, text, sizeof(text));
	/* A body that is announced. */
	answer("GET /metrics HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n", text, sizeof(text));
	assert_null(strstr(text, "metric"));
	assert_served();
}

/* Ends that do not wait for an answer. */
static void test_gone(void **state)
{
	static const struct linger now = { .l_onoff = 1 };

	(void)state;
	for (int i = 0; i < SLOW; i++) {
		int fd = connect_to();

		send(fd, GET, strlen(GET), MSG_NOSIGNAL);
		if (i % 2)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd);
	}
	assert_served();
}

/* Whoever comes second says so once, and serves when the first is gone. */
static void test_taken(void **state)
{
	int out, status;

	(void)state;
	taken = bind_any();
	assert_int_equal(listen(taken, 1), 0);
	out = start();
	said(out,
	     "Address already in use: tried again every 5 s; metrics.listen names another address, or off");
	close(taken);
	taken = -1;
	said(out, "metrics: http://");
	assert_served();
	close(out);
	kill(server, SIGKILL);
	assert_int_equal(waitpid(server, &status, 0), server);
}

static void test_check(void **state)
{
	static const char *const good[] = { "127.0.0.1:9465", "[::1]:9465", "0.0.0.0:1" };
	static const char *const bad[] = { "",
					   "off",
					   "9465",
					   ":9465",
					   "localhost:9465",
					   "127.0.0.1",
					   "127.0.0.1:0",
					   "127.0.0.1:65536",
					   "::1:x",
					   "127.0.0.1:9465 " };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(http_check(good[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		print_message("'%s'\n", bad[i]);
		assert_int_equal(http_check(bad[i]), -EINVAL);
	}
}

#define served(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check), served(test_answers), served(test_slow),
		served(test_oversized),       served(test_gone),    cmocka_unit_test(test_taken),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}

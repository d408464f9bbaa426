// SPDX-License-Identifier: GPL-2.0-only
/* core/metrics.c: the text, byte for byte: tests/monitoring/all.prom is what promtool looks at, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/metrics.h"
#include "core/util.h"

#define GOLDEN "tests/monitoring/all.prom"

static const char *const states[] = { "IDLE", "SHADOW", "SPLIT" };

static char *text_of(const struct metrics *metrics)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	metrics_render(metrics, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static struct metrics everything(void)
{
	struct metrics m = { .interface = "br\"0\\", .states = states, .n_states = 3, .state = 2 };

	m.xdp.known = m.xdp.up = m.xdp.pinned = true;
	m.nfqueue.known = m.nfqueue.up = m.nfqueue.reasons = m.nfqueue.behind = true;
	m.parity.known = true;
	for (int i = 0; i < DF_REASON_MAX; i++) {
		m.xdp.reason[i] = 1000 + (uint64_t)i;
		m.nfqueue.reason[i] = 2000 + (uint64_t)i;
	}
	m.xdp.reason[DF_CLEARED] = UINT64_MAX;
	m.xdp.share = 1.0 / 3;
	m.xdp.generation = 7;
	m.xdp.lease = 4.25;
	m.xdp.confirm = 0;
	m.nfqueue.depth = 3;
	m.nfqueue.dropped = 4;
	m.nfqueue.unmodified = 5;
	m.nfqueue.leaked = 6;
	for (int i = 0; i < METRICS_PARITY_MAX; i++)
		m.parity.result[i] = 100 + (uint64_t)i;
	for (int i = 0; i < PARITY_CLASS_MAX; i++)
		for (int side = 0; side < METRICS_SIDE_MAX; side++)
			m.parity.class[i][side] = 10 * (uint64_t)i + (uint64_t)side;
	return m;
}

static void test_everything(void **state)
{
	const struct metrics m = everything();
	_cleanup_free_ char *text = text_of(&m);
	_cleanup_file_ FILE *file = fopen(GOLDEN, "re");
	static char golden[65536];
	char *version;

	(void)state;
	assert_non_null(file);
	golden[fread(golden, 1, sizeof(golden) - 1, file)] = '\0';
	/* The build's own. */
	version = strstr(golden, "version=\"0.0.0\"");
	assert_non_null(version);
	memcpy(version, "version=\"" VERSION "\"", strlen("version=\"" VERSION "\""));
	assert_string_equal(text, golden);
}

/* What is not known is not there, and never 0. */
static void test_nothing(void **state)
{
	const struct metrics m = { .interface = "br0" };
	_cleanup_free_ char *text = text_of(&m);

	(void)state;
	assert_string_equal(text,
			    "# HELP nfq2xdp_build_info 1; the labels say which build serves this.\n"
			    "# TYPE nfq2xdp_build_info gauge\n"
			    "nfq2xdp_build_info{interface=\"br0\",version=\"" VERSION "\"} 1\n");
}

static void test_no_lease(void **state)
{
	struct metrics m = everything();
	_cleanup_free_ char *text = NULL;

	(void)state;
	m.xdp.lease = m.xdp.confirm = -1;
	m.nfqueue.up = m.nfqueue.behind = false;
	text = text_of(&m);
	assert_null(strstr(text, "remaining_seconds"));
	assert_null(strstr(text, "queue_depth"));
	assert_null(strstr(text, "leaked"));
	assert_non_null(strstr(text, "path=\"nfqueue\"} 0\n"));
	assert_non_null(strstr(text, "path=\"nfqueue\",reason=\"cleared\"} 2000\n"));
}

static void test_external(void **state)
{
	struct metrics m = everything();
	_cleanup_free_ char *text = NULL;

	(void)state;
	m.nfqueue.reasons = false;
	m.nfqueue.handled = 77;
	text = text_of(&m);
	assert_non_null(strstr(text, "path=\"nfqueue\",reason=\"external\"} 77\n"));
	assert_null(strstr(text, "path=\"nfqueue\",reason=\"cleared\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_no_lease),
		cmocka_unit_test(test_external),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}

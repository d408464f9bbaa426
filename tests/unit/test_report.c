// SPDX-License-Identifier: GPL-2.0-only
/* migrate/report.c and its page: a journal written by hand, the document and what the page shows of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/util.h"
#include "migrate/report.h"

/* The document of these lines; a line that is no JSON is one that was cut off. */
static json_t *document_of(const char *lines)
{
	_cleanup_(report_freep) struct report *report = report_new("br0");
	_cleanup_free_ char *text = strdup(lines);
	uint64_t unreadable = 0;

	assert_non_null(report);
	for (char *save, *at = strtok_r(text, "\n", &save); at; at = strtok_r(NULL, "\n", &save)) {
		json_t *line = json_loads(at, 0, NULL);

		if (json_is_object(line))
			report_add(report, line);
		else
			unreadable++;
		json_decref(line);
	}
	return report_finish(report, unreadable);
}

static char *page_of(const json_t *document)
{
	char *page = NULL;
	size_t size;
	FILE *out = open_memstream(&page, &size);

	assert_non_null(out);
	report_html(document, out);
	assert_int_equal(fclose(out), 0);
	return page;
}

static void assert_document(const char *lines, const char *expected)
{
	json_t *document = document_of(lines), *want = json_loads(expected, 0, NULL);
	_cleanup_free_ char *text = json_dumps(document, JSON_SORT_KEYS | JSON_INDENT(1));
	_cleanup_free_ char *wanted = json_dumps(want, JSON_SORT_KEYS | JSON_INDENT(1));

	assert_non_null(want);
	assert_string_equal(text, wanted);
	json_decref(document);
	json_decref(want);
}

#define T(s) "\"time\":\"2026-11-21T13:00:" s "Z\","

/* The first look has no rate: it is not drawn as 0. */
static void test_first_look(void **state)
{
	json_t *document = document_of("{" T(
		"00.000") "\"generation\":1,\"event\":\"environment\",\"environment\":{}}\n"
			  "{" T("01.000") "\"generation\":1,\"event\":\"gates\",\"share\":\"0\",\"gates\":[]}\n"
					  "{" T("02.000") "\"generation\":1,\"event\":\"gates\",\"share\":\"0\",\"gates\":[],"
							  "\"xdp_rate\":0.0,\"nfqueue_rate\":1000.0}\n"
							  "{" T("03.000") "\"generation\":1,\"event\":\"gates\",\"share\":\"0\",\"gates\":[],"
									  "\"xdp_rate\":0.0,\"nfqueue_rate\":1000.0}\n");
	_cleanup_free_ char *page = page_of(document);
	const char *line = strstr(page, "<polyline class=\"nfqueue\"");
	unsigned int points = 0;

	(void)state;
	assert_non_null(line);
	for (const char *c = line; *c != '>'; c++)
		points += *c == ',';
	assert_int_equal(points, 2);
	assert_null(strstr(line, "NFQUEUE 0/s"));
	json_decref(document);
}

/* clang-format off */
static const char rollout[] =
	"{" T("00.000") "\"generation\":0,\"event\":\"intent\",\"do\":\"start\"}\n"
	"{" T("00.500") "\"generation\":1,\"event\":\"environment\",\"environment\":{\"version\":\"0.1.0\"},"
		"\"counters\":{\"matched\":100,\"cleared\":0,\"handled\":100,\"leaked\":0}}\n"
	"{" T("00.510") "\"generation\":1,\"event\":\"did\",\"do\":\"start\"}\n"
	"{" T("01.500") "\"generation\":1,\"event\":\"gates\",\"state\":\"SHADOW\",\"step\":0,\"share\":\"0\",\"xdp_rate\":0.0,"
		"\"nfqueue_rate\":1000.0,\"samples\":1000,\"gates\":[[\"leaks\",\"pass\",\"0\",\"0\"],"
		"[\"samples\",\"inconclusive\",\"7\",\"1000 packets\"]],"
		"\"counters\":{\"matched\":1100,\"cleared\":0,\"handled\":1100,\"leaked\":0}}\n"
	"{" T("02.000") "\"generation\":1,\"event\":\"trial\",\"rate\":1000.0,\"capacity\":4000.0,\"deepest\":3,\"ok\":true,\"why\":\"\"}\n"
	"{" T("02.500") "\"generation\":1,\"event\":\"intent\",\"do\":\"share\",\"from\":\"0\",\"to\":\"1/2\",\"step\":1,"
		"\"counters\":{\"matched\":2100,\"cleared\":0,\"handled\":2100,\"leaked\":0}}\n"
	"{" T("02.500") "\"generation\":1,\"event\":\"did\",\"do\":\"share\"}\n"
	"{\"time\":\"2026-11-21T13:00:0\n"
	"{" T("03.500") "\"generation\":1,\"event\":\"gates\",\"state\":\"SPLIT\",\"step\":1,\"share\":\"1/2\",\"xdp_rate\":500.0,"
		"\"nfqueue_rate\":500.0,\"samples\":1000,\"gates\":[[\"leaks\",\"fail\",\"2\",\"0\"],"
		"[\"samples\",\"pass\",\"1000\",\"1000 packets\"]],"
		"\"counters\":{\"matched\":3100,\"cleared\":500,\"handled\":2598,\"leaked\":2}}\n"
	"{" T("03.500") "\"generation\":1,\"event\":\"rollback\",\"reason\":\"gate leaks: 2 (limit: 0)\",\"from\":\"1/2\",\"rung\":\"share\","
		"\"write_ns\":5000,\"effect_ns\":1000000,\"verify_ns\":200000000,\"matched\":200,\"nfqueue_handled\":200,"
		"\"leaked\":0,\"result\":\"verified\",\"counters\":{\"matched\":3100,\"cleared\":500,\"handled\":2598,\"leaked\":2}}\n"
	"{" T("03.510") "\"generation\":1,\"event\":\"end\",\"confirmed\":false,\"rolled_back\":true,\"reason\":\"gate leaks: 2 (limit: 0)\"}\n"
	"{" T("03.520") "\"generation\":1,\"event\":\"parity\",\"compared\":3000,\"equal\":2990,\"accepted\":10,\"different\":0,"
		"\"classes\":{\"udp-csum-zeroed\":{\"xdp\":0,\"behind\":10}}}\n";

static void test_rollout(void **state)
{
	(void)state;
	assert_document(rollout,
	"{\"instance\":\"br0\",\"lines\":11,\"unreadable\":1,\"rollouts\":[{"
	"\"generation\":1,\"begun\":\"2026-11-21T13:00:00.000Z\",\"ended\":\"2026-11-21T13:00:03.520Z\",\"duration\":3.52,"
	"\"outcome\":\"rolled back\",\"reason\":\"gate leaks: 2 (limit: 0)\",\"environment\":{\"version\":\"0.1.0\"},"
	"\"claim\":{\"xdp\":500,\"nfqueue\":2498,\"leaked\":2,\"gates\":{\"pass\":2,\"inconclusive\":1,\"fail\":1},"
	"\"parity\":{\"different\":0,\"of\":3000,\"at_most\":0.001,\"confidence_percent\":95},\"text\":["
	"\"XDP handled 500, the NFQUEUE path 2,498; packets that left both with DF set: 2.\","
	"\"4 gate readings in 2 looks: failed 1, inconclusive 1.\","
	"\"Of 3,000 packets compared 0 differ: with 95 % confidence at most 0.1 % of such traffic does.\"]},"
	"\"moves\":[{\"at\":2.5,\"from\":\"0\",\"to\":\"1/2\",\"share\":0.5,\"by\":\"step 1\"},"
	"{\"at\":3.5,\"from\":\"1/2\",\"to\":\"0\",\"share\":0.0,\"by\":\"rollback\"}],"
	"\"phases\":[{\"at\":0.0,\"duration\":2.5,\"share\":\"0\",\"xdp\":0,\"nfqueue\":2000,\"leaked\":0,\"xdp_rate\":0.0,\"nfqueue_rate\":1000.0},"
	"{\"at\":2.5,\"duration\":1.0,\"share\":\"1/2\",\"xdp\":500,\"nfqueue\":498,\"leaked\":2,\"xdp_rate\":500.0,\"nfqueue_rate\":498.0}],"
	"\"looks\":[{\"at\":1.5,\"event\":\"gates\",\"state\":\"SHADOW\",\"step\":0,\"share\":\"0\",\"xdp_rate\":0.0,\"nfqueue_rate\":1000.0,"
	"\"samples\":1000,\"gates\":[[\"leaks\",\"pass\",\"0\",\"0\"],[\"samples\",\"inconclusive\",\"7\",\"1000 packets\"]]},"
	"{\"at\":3.5,\"event\":\"gates\",\"state\":\"SPLIT\",\"step\":1,\"share\":\"1/2\",\"xdp_rate\":500.0,\"nfqueue_rate\":500.0,"
	"\"samples\":1000,\"gates\":[[\"leaks\",\"fail\",\"2\",\"0\"],[\"samples\",\"pass\",\"1000\",\"1000 packets\"]]}],"
	"\"gates\":[{\"name\":\"leaks\",\"pass\":1,\"inconclusive\":0,\"fail\":1},{\"name\":\"samples\",\"pass\":1,\"inconclusive\":1,\"fail\":0}],"
	"\"trials\":[{\"at\":2.0,\"event\":\"trial\",\"rate\":1000.0,\"capacity\":4000.0,\"deepest\":3,\"ok\":true,\"why\":\"\"}],"
	"\"rollbacks\":[{\"at\":3.5,\"event\":\"rollback\",\"reason\":\"gate leaks: 2 (limit: 0)\",\"from\":\"1/2\",\"rung\":\"share\","
	"\"write_ns\":5000,\"effect_ns\":1000000,\"verify_ns\":200000000,\"matched\":200,\"nfqueue_handled\":200,\"leaked\":0,"
	"\"result\":\"verified\"}],"
	"\"parity\":[{\"at\":3.52,\"event\":\"parity\",\"compared\":3000,\"equal\":2990,\"accepted\":10,\"different\":0,"
	"\"classes\":{\"udp-csum-zeroed\":{\"xdp\":0,\"behind\":10}}}],"
	"\"events\":[{\"at\":0.51,\"event\":\"did\",\"do\":\"start\"},"
	"{\"at\":3.51,\"event\":\"end\",\"confirmed\":false,\"rolled_back\":true,\"reason\":\"gate leaks: 2 (limit: 0)\"}]}]}");
}
/* clang-format on */

#define LINE(s, g, rest) "{" T(s) "\"generation\":" #g "," rest "}\n"
#define START(s, g)      LINE(s, g, "\"event\":\"intent\",\"do\":\"start\"")
#define ENV(s, g)        LINE(s, g, "\"event\":\"environment\",\"environment\":{}")
#define DID(s, g, what)  LINE(s, g, "\"event\":\"did\",\"do\":\"" what "\"")
#define SHARE(s, g, to, numbers)                                                 \
	LINE(s, g,                                                               \
	     "\"event\":\"intent\",\"do\":\"share\",\"from\":\"0\",\"to\":\"" to \
	     "\",\"step\":0,\"counters\":{" numbers "}")

static const json_t *rollout_at(const json_t *document, size_t i)
{
	return json_array_get(json_object_get(document, "rollouts"), i);
}

static void assert_text(const json_t *object, const char *key, const char *want)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (!want)
		assert_true(json_is_null(json_object_get(object, key)));
	else
		assert_string_equal(text ?: "(none)", want);
}

/* What became of it, in every way that a journal can end. */
static void test_outcomes(void **state)
{
	static const struct {
		const char *lines, *outcome, *reason;
	} cases[] = {
		{ START("00", 0) ENV("01", 1), "open", NULL },
		{ START("00", 0), "open", NULL },
		{ START("00", 0)
			  LINE("01", 0, "\"event\":\"failed\",\"do\":\"start\",\"why\":\"no\""),
		  "not begun", "no" },
		{ ENV("01", 1) SHARE("02", 1, "all", "") DID("03", 1, "share"), "open", NULL },
		{ ENV("01", 1) DID("03", 1, "confirm"), "confirmed", NULL },
		{ ENV("01", 1) DID("03", 1, "confirm") DID("04", 1, "done"), "done", NULL },
		{ ENV("01", 1) DID("04", 0, "restore"), "restored", NULL },
		{ ENV("01", 1) LINE("02", 1, "\"event\":\"panic\""), "rolled back", "panic" },
		{ ENV("01", 1) LINE("02", 1, "\"event\":\"panic\"")
			  LINE("03", 1, "\"event\":\"end\",\"rolled_back\":true,\"reason\":\"x\""),
		  "rolled back", "panic" },
		{ ENV("01", 1) LINE("02", 1, "\"event\":\"panic\"") SHARE("03", 1, "1/2", "")
			  DID("04", 1, "share"),
		  "open", NULL },
		{ ENV("01", 1) LINE("03", 1, "\"event\":\"end\",\"confirmed\":true"), "confirmed",
		  NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *document = document_of(cases[i].lines);

		print_message("%zu\n", i);
		assert_int_equal(json_array_size(json_object_get(document, "rollouts")), 1);
		assert_text(rollout_at(document, 0), "outcome", cases[i].outcome);
		assert_text(rollout_at(document, 0), "reason", cases[i].reason);
		json_decref(document);
	}
}

/* Killed between intent and deed, and begun anew: two rollouts, and the first says what nobody knows. */
static void test_cut_off(void **state)
{
	json_t *document = document_of(ENV("01", 1) SHARE("02", 1, "all", "") START("10", 1)
					       ENV("11", 2) DID("11", 2, "start"));
	const json_t *event = json_array_get(json_object_get(rollout_at(document, 0), "events"), 0);

	(void)state;
	assert_int_equal(json_array_size(json_object_get(document, "rollouts")), 2);
	assert_text(rollout_at(document, 0), "outcome", "cut off");
	assert_text(event, "event", "intent");
	assert_text(event, "to", "all");
	assert_true(json_number_value(json_object_get(event, "at")) == 1);
	assert_int_equal(json_array_size(json_object_get(rollout_at(document, 0), "moves")), 0);
	assert_text(rollout_at(document, 1), "outcome", "open");
	assert_text(rollout_at(document, 1), "begun", "2026-11-21T13:00:10Z");
	json_decref(document);
}

/* Generations begin again after a reboot. */
static void test_same_generation(void **state)
{
	json_t *document = document_of(ENV("01", 1) DID("02", 1, "start") ENV("11", 1));

	(void)state;
	assert_int_equal(json_array_size(json_object_get(document, "rollouts")), 2);
	json_decref(document);
}

static const json_t *phase_at(const json_t *document, size_t i)
{
	return json_array_get(json_object_get(rollout_at(document, 0), "phases"), i);
}

/* A counter that fell began anew; one that a reading does not have is not known on both its sides. */
static void test_counters(void **state)
{
	json_t *document = document_of(
		SHARE("00", 1, "1/2", "\"cleared\":10,\"handled\":50,\"leaked\":0")
			DID("00", 1, "share") SHARE("10", 1, "all",
						    "\"cleared\":30,\"handled\":7,\"leaked\":0")
				DID("10", 1, "share") LINE("20", 1,
							   "\"event\":\"panic\","
							   "\"counters\":{\"cleared\":90}"));
	const json_t *claim = json_object_get(rollout_at(document, 0), "claim");

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(phase_at(document, 0), "xdp")), 20);
	assert_int_equal(json_integer_value(json_object_get(phase_at(document, 0), "nfqueue")), 7);
	assert_int_equal(json_integer_value(json_object_get(phase_at(document, 1), "xdp")), 60);
	assert_text(phase_at(document, 1), "nfqueue", NULL);
	assert_int_equal(json_integer_value(json_object_get(claim, "xdp")), 80);
	assert_text(claim, "nfqueue", NULL);
	json_decref(document);
}

static void test_grouped(void **state)
{
	char text[REPORT_NUMBER];

	(void)state;
	assert_string_equal(report_grouped(0, text), "0");
	assert_string_equal(report_grouped(999, text), "999");
	assert_string_equal(report_grouped(1000, text), "1,000");
	assert_string_equal(report_grouped(-1234567, text), "-1,234,567");
	assert_string_equal(report_grouped(INT64_MIN, text), "-9,223,372,036,854,775,808");
}

static void test_page(void **state)
{
	json_t *document = document_of(rollout);
	_cleanup_free_ char *page = page_of(document);

	(void)state;
	assert_non_null(strstr(page, "<h1>br0 <span class=\"pill bad\">rolled back</span>"));
	assert_non_null(strstr(page, "packets that left both with DF set: 2."));
	assert_non_null(strstr(page, "gate leaks: 2 (limit: 0)"));
	assert_non_null(strstr(page, "udp-csum-zeroed"));
	assert_non_null(strstr(page, "samples inconclusive: 7 (limit: 1000 packets)"));
	assert_non_null(strstr(page, "1 could not be read"));
	assert_non_null(strstr(page, "from 11 lines of the journal"));
	json_decref(document);
}

/* Whatever a journal says is text on the page, in each place where it is shown. */
static void test_escaped(void **state)
{
	static const char bad[] = "<q a='\\\"'>&\\u0007";
	_cleanup_free_ char *lines = NULL;
	json_t *document;
	_cleanup_free_ char *page = NULL;

	(void)state;
	assert_true(
		asprintf(
			&lines,
			ENV("00",
			    1) "{\"time\":\"%1$s\",\"event\":\"environment\",\"environment\":{\"version\":"
			       "\"%1$s\",\"kernel\":\"%1$s\",\"attached\":[{\"interface\":\"%1$s\",\"driver\":"
			       "\"%1$s\",\"mode\":\"%1$s\",\"program\":\"%1$s\"}],\"daemon\":\"%1$s\","
			       "\"policy_file\":\"%1$s\",\"policy\":\"%1$s\"}}\n"
			       "{\"event\":\"gates\",\"state\":\"%1$s\",\"share\":\"%1$s\",\"gates\":"
			       "[[\"%1$s\",\"%1$s\",\"%1$s\",\"%1$s\"],[\"%1$s\",\"fail\",\"%1$s\",\"%1$s\"]]}\n"
			       "{\"event\":\"intent\",\"do\":\"share\",\"to\":\"%1$s\"}\n"
			       "{\"event\":\"did\",\"do\":\"share\"}\n"
			       "{\"event\":\"trial\",\"why\":\"%1$s\"}\n"
			       "{\"event\":\"rollback\",\"reason\":\"%1$s\",\"rung\":\"%1$s\",\"result\":\"%1$s\"}\n"
			       "{\"event\":\"parity\",\"classes\":{\"%1$s\":3,\"x\":{\"%1$s\":3}}}\n"
			       "{\"event\":\"%1$s\",\"%1$s\":\"%1$s\"}\n" ENV("01", 2),
			bad) > 0);
	document = document_of(lines);
	assert_int_equal(json_integer_value(json_object_get(document, "unreadable")), 0);
	assert_int_equal(json_integer_value(json_object_get(document, "lines")), 10);
	page = page_of(document);
	assert_null(strstr(page, "<q"));
	assert_null(strchr(page, '\a'));
	assert_non_null(strstr(page, "&lt;q a=&#39;&quot;&#39;&gt;&amp; "));
	json_decref(document);
}

/* Lines of any shape: nothing but the memory that is there is read. */
static void test_any_shape(void **state)
{
	static const char *const value[] = { "null",    "1",  "-1.5e300",
					     "\"x\"",   "[]", "[[]]",
					     "[[1,2]]", "{}", "{\"a\":{\"b\":1}}",
					     "true" };
	static const char *const key[] = { "time",      "generation",  "do", "gates",   "counters",
					   "share",     "from",        "to", "classes", "compared",
					   "different", "environment", "at", "event",   "why" };
	static const char *const event[] = {
		"gates",  "rollback", "panic", "end",         "did",
		"failed", "intent",   "trial", "environment", "parity"
	};
	json_t *document;

	(void)state;
	for (size_t e = 0; e < ARRAY_SIZE(event); e++) {
		_cleanup_(report_freep) struct report *report = report_new("br0");
		_cleanup_free_ char *page = NULL;

		for (size_t i = 0; i < ARRAY_SIZE(key) * ARRAY_SIZE(value); i++) {
			json_t *line = json_pack("{s:s, s:s}", "event", event[e], "do", "share");

			json_object_set_new(line, key[i / ARRAY_SIZE(value)],
					    json_loads(value[i % ARRAY_SIZE(value)],
						       JSON_DECODE_ANY, NULL));
			report_add(report, line);
			json_decref(line);
		}
		document = report_finish(report, 0);
		page = page_of(document);
		assert_non_null(strstr(page, "</html>"));
		json_decref(document);
	}
	document = document_of("");
	assert_int_equal(json_array_size(json_object_get(document, "rollouts")), 0);
	json_decref(document);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_look),      cmocka_unit_test(test_rollout),
		cmocka_unit_test(test_outcomes),        cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_same_generation), cmocka_unit_test(test_counters),
		cmocka_unit_test(test_grouped),         cmocka_unit_test(test_page),
		cmocka_unit_test(test_escaped),         cmocka_unit_test(test_any_shape),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * migrate/status.c and status_view.c on readings made by hand: what is said of them, and how much room it takes.
 * `test_status json` prints every one of them as JSON, for the schema.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/util.h"
#include "migrate/status.h"

#define SEC 1000000000ULL
#define HZ  250

/* SPLIT 1/10, a lease of 5 s, 30 min to confirm, step 1 of 4 by pid 42; all is well. */
static struct status scene(void)
{
	struct status s = {
		.instance = "br0",
		.time = "2026-03-01T03:12:04.500Z",
		.at_ns = 100 * SEC,
		.netns = 4026531840,
		.queue_known = true,
		.steps = 4,
		.controller = 42,
		.events = json_array(),
		.machine = {
			.state = MACHINE_SPLIT,
			.xdp = { .n_points = 1,
				 .point[0] = { .interface = "vxlan1",
					       .ours = true,
					       .native = true,
					       .frags = true,
					       .link = true,
					       .prog_id = 77 },
				 .ctl = { .share_kind = DF_SHARE_NTH,
					  .share_n = 10,
					  .generation = 3,
					  .writes = 1,
					  .step = 1,
					  .deadline = 1000 + 5 * HZ,
					  .confirm_by = 1000 + 1800 * HZ,
					  .hz = HZ },
				 .now = 1000,
				 .reason = { [DF_CLEARED] = 1000, [DF_NOT_SELECTED] = 9000 } },
			.nfq = { .running = true,
				 .pid = 43,
				 .queue = 1,
				 .threads = 1,
				 .owner = true,
				 .reason = { [DF_CLEARED] = 9000 },
				 .handled = 9000,
				 .nft = { .present = true,
					  .has_queue = true,
					  .has_leak = true,
					  .owner = 5,
					  .queued = 9000,
					  .arrived = 10000 } },
		},
	};

	machine_count(&s.machine);
	return s;
}

/* The same a second later: 100 by XDP, 900 by the NFQUEUE path. */
static struct status later(void)
{
	struct status s = scene();

	s.at_ns += SEC;
	s.machine.xdp.reason[DF_CLEARED] += 100;
	s.machine.xdp.reason[DF_NOT_SELECTED] += 900;
	s.machine.nfq.reason[DF_CLEARED] += 900;
	s.machine.nfq.handled += 900;
	s.machine.nfq.nft.queued += 900;
	machine_count(&s.machine);
	return s;
}

static void add_event(struct status *s, const char *line)
{
	json_t *object = json_loads(line, 0, NULL);

	assert_non_null(object);
	status_event(s->events, object);
	json_decref(object);
}

/* All that there can be to say, of what there are several of: as much as possible. */
static struct status crowded(void)
{
	struct status s = later();
	struct machine_status *m = &s.machine;

	m->state = MACHINE_HOLD;
	m->xdp.n_points = POLICY_ATTACH_MAX;
	for (unsigned int i = 0; i < POLICY_ATTACH_MAX; i++)
		m->xdp.point[i] = (struct xdp_point){ .interface = "very-long-name0",
						      .prog_id = UINT32_MAX,
						      .stub = true,
						      .taken = true };
	for (unsigned int i = 0; i < MACHINE_PROBLEMS_MAX; i++)
		memset(m->problem[i], i % 2 ? 'x' : 'y', sizeof(m->problem[i]) - 1);
	m->n_problems = MACHINE_PROBLEMS_MAX;
	for (unsigned int r = 0; r < DF_REASON_MAX; r++)
		m->xdp.reason[r] = m->nfq.reason[r] = INT64_MAX;
	s.gates = json_loads(
		"[[\"queue\", \"fail\", \"600 wait\", \"512\"], [\"samples\", \"inconclusive\", \"4\", \"1000\"],"
		" [\"program\", \"pass\", \"ours\", \"ours\"]]",
		0, NULL);
	for (unsigned int i = 0; i < STATUS_EVENTS; i++)
		add_event(
			&s,
			"{\"time\": \"2026-03-01T03:12:04.500Z\", \"event\": \"rollback\", \"from\": \"1/10\","
			" \"reason\": \"gate queue: 600 wait \\u001b[31m\\n\", \"result\": \"verified\"}");
	return s;
}

static char *shown(const struct status *s, struct status_view view)
{
	char *text = NULL;
	size_t size;

	view.out = open_memstream(&text, &size);
	assert_non_null(view.out);
	status_show(s, &view);
	fclose(view.out);
	return text;
}

/* What is between two letters of the text: the longest line, and how many. */
static size_t widest(const char *text, unsigned int *lines)
{
	size_t most = 0;

	for (*lines = 0; *text; text += strcspn(text, "\n") + 1, ++*lines)
		if (strcspn(text, "\n") > most)
			most = strcspn(text, "\n");
	return most;
}

#define assert_says(text, part)                                           \
	do {                                                              \
		if (!strstr(text, part))                                  \
			fail_msg("\"%s\" is not in\n%s", (part), (text)); \
	} while (0)

static void test_screen(void **state)
{
	_cleanup_(status_release) struct status before = scene();
	_cleanup_(status_release) struct status now = later();
	_cleanup_free_ char *text = NULL;
	unsigned int lines;

	(void)state;
	status_rate(&before, &now);
	add_event(
		&now,
		"{\"time\": \"2026-03-01T03:10:00.000Z\", \"event\": \"intent\", \"do\": \"share\","
		" \"from\": \"0\", \"to\": \"1/10\", \"step\": 1}");
	text = shown(&now, (struct status_view){ .cols = 80, .rows = 23 });
	assert_string_equal(
		text,
		"br0: SPLIT, share 1/10, generation 3, lease 5.0 s, confirm within 1800 s\n"
		"  rollout  step 1 of 4, run by pid 42\n"
		"  xdp      vxlan1: native, xdp.frags, program id 77, ours\n"
		"  xdp      matched 11000, cleared 1100\n"
		"  nfqueue  queue 1, pid 43, own table, runs, carries what XDP leaves\n"
		"  nfqueue  queued 9900, handled 9900, unmodified 0, waiting 0, dropped 0\n"
		"  leaks    0 of 10000 packets behind both paths\n"
		"  rates    xdp 100/s, nfqueue 900/s, leaks 0/s, over 1.0 s\n"
		"  panic    nfq2xdp panic br0: XDP takes nothing, the NFQUEUE path carries all\n"
		"                                xdp         /s        nfqueue         /s\n"
		"  cleared                      1100        100           9900        900\n"
		"  not-selected                 9900        900              0          0\n"
		"  journal  2026-03-01 03:10:00 intent: share, from 0, to 1/10\n");
	assert_true(widest(text, &lines) <= 80);
	free(text);
	text = shown(&now, (struct status_view){ .cols = 0 });
	assert_says(
		text,
		"\nbpftool map update pinned /sys/fs/bpf/nfq2xdp/v4/4026531840/br0/ctl key 0 0 0 0 value "
		"0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 3 0 0 0 0 0 0 0 2 0 0 0 ");
}

/* Whatever there is to say: never more than the room there is, and no cursor moved by a journal. */
static void test_room(void **state)
{
	struct status_history history;
	_cleanup_(status_release) struct status s = crowded();

	(void)state;
	for (unsigned int i = 0; i < STATUS_HISTORY; i++)
		history.xdp[i] = history.nfqueue[i] = i % 3 ? i * 1e9 : NAN;
	for (unsigned int cols = 40; cols <= 80; cols++)
		for (unsigned int rows = 1; rows <= 23; rows++) {
			_cleanup_free_ char *text = shown(
				&s, (struct status_view){
					    .cols = cols, .rows = rows, .history = &history });
			unsigned int lines;

			assert_true(widest(text, &lines) <= cols);
			assert_int_equal(lines, rows);
			assert_null(strchr(text, '\033'));
			assert_true(rows == 1 || strstr(text, "03:12:04 UTC; ^C ends"));
		}
	/* And none is lost where there is room for all. */
	for (int colour = 0; colour < 2; colour++) {
		_cleanup_free_ char *text = shown(&s, (struct status_view){ .colour = colour });

		assert_says(
			text,
			"journal  2026-03-01 03:12:04 rollback: from 1/10, gate queue: 600 wait ?[31m?, verified");
		assert_int_equal(strstr(text, "\033[31m") != NULL, colour);
		assert_says(text, "gate     queue: fail: 600 wait (limit: 512)");
		assert_says(text, "gates    1 of 3 pass");
	}
}

static void test_spark(void **state)
{
	struct status_history history;
	_cleanup_(status_release) struct status before = scene();
	_cleanup_(status_release) struct status now = later();
	_cleanup_free_ char *text = NULL;

	(void)state;
	for (unsigned int i = 0; i < STATUS_HISTORY; i++)
		history.xdp[i] = history.nfqueue[i] = NAN;
	for (unsigned int i = 0; i <= 6; i++)
		history.nfqueue[STATUS_HISTORY - 7 + i] = i * 100.0;
	status_history_add(&history, &before); /* one reading: not known */
	status_rate(&before, &now);
	status_history_add(&history, &now);
	text = shown(&now, (struct status_view){ .cols = 80, .history = &history });
	assert_says(text, "  xdp      "
			  "                                                          # 100/s\n");
	assert_says(text, "  nfqueue  "
			  "                                                  _.:--=+ # 900/s\n");
}

static void test_rates(void **state)
{
	_cleanup_(status_release) struct status before = scene();
	_cleanup_(status_release) struct status now = later();

	(void)state;
	status_rate(&before, &now);
	assert_true(now.rates.seconds == 1 && now.rates.matched == 1000 &&
		    now.rates.cleared == 100);
	assert_true(now.rates.queued == 900 && now.rates.handled == 900 && now.rates.leaked == 0);
	assert_true(now.rates.xdp[DF_NOT_SELECTED] == 900 && now.rates.nfqueue[DF_CLEARED] == 900);
	/* Another process counts anew, even if it is ahead already; a table that was made anew is behind. */
	now.machine.nfq.pid++;
	now.machine.nfq.nft.queued = 10;
	status_rate(&before, &now);
	assert_true(isnan(now.rates.handled) && isnan(now.rates.nfqueue[DF_CLEARED]) &&
		    isnan(now.rates.queued));
	assert_true(now.rates.cleared == 100);
	assert_int_equal(now.machine.n_problems, 0);
	now.machine.nfq.nft.leaked += 7;
	status_rate(&before, &now);
	assert_int_equal(now.machine.n_problems, 1);
	assert_string_equal(now.machine.problem[0], "packets leave both paths with DF set: 7/s");
}

static void test_exit(void **state)
{
	_cleanup_(status_release) struct status s = scene();

	(void)state;
	assert_int_equal(status_exit(&s), N2X_OK);
	s.machine.n_problems = 1;
	assert_int_equal(status_exit(&s), N2X_DEGRADED);
	s.machine.state = MACHINE_IDLE;
	assert_int_equal(status_exit(&s), N2X_INACTIVE);
	s.other_build = true;
	assert_int_equal(status_exit(&s), N2X_DEGRADED);
}

/* What panic would do depends on what is behind. */
static void test_panic(void **state)
{
	static const char *const does[STATUS_HEALTH_MAX] = {
		[STATUS_OK] = "XDP takes nothing, the NFQUEUE path carries all",
		[STATUS_REMOVED] = "packets pass with DF set",
		[STATUS_DOWN] = "packets pass with DF set",
		[STATUS_UNFED] = "packets pass with DF set",
		[STATUS_FULL] = "already behind, gets all",
		[STATUS_USELESS] = "packets pass with DF set",
	};
	_cleanup_(status_release) struct status s = scene();

	(void)state;
	for (int health = 0; health < STATUS_HEALTH_MAX; health++) {
		_cleanup_free_ char *text = NULL;

		s.health = (enum status_health)health;
		text = shown(&s, (struct status_view){ .cols = 0 });
		if (does[health])
			assert_says(text, does[health]);
	}
	s.health = STATUS_OK;
	s.machine.xdp.expired = true;
	{
		_cleanup_free_ char *text = shown(&s, (struct status_view){ .cols = 0 });

		assert_says(text, "nothing changes: XDP takes nothing already");
		assert_says(text, "the lease ran out");
	}
}

static void test_events(void **state)
{
	_cleanup_(status_release) struct status s = scene();
	static const char *const lines[] = {
		"{\"time\": \"t1\", \"event\": \"intent\", \"do\": \"share\", \"from\": \"0\", \"to\": \"all\"}",
		"{\"time\": \"t2\", \"event\": \"gates\", \"gates\": []}",
		"{\"time\": \"t3\", \"event\": \"did\", \"do\": \"share\"}",
		"{\"time\": \"t4\", \"event\": \"intent\", \"do\": \"done\"}",
		"{\"time\": \"t5\", \"event\": \"failed\", \"do\": \"done\", \"why\": \"no right\"}",
		"{\"time\": \"t6\", \"event\": \"panic\", \"counters\": {}}",
		"{\"event\": 5}",
		"{\"time\": \"t8\", \"event\": \"end\", \"reason\": \"told to stop\"}",
		"{\"time\": \"t9\", \"event\": \"hold\"}",
	};
	_cleanup_free_ char *text = NULL;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(lines); i++)
		add_event(&s, lines[i]);
	text = json_dumps(s.events, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text,
			    "[{\"event\":\"failed\",\"text\":\"done, no right\",\"time\":\"t5\"},"
			    "{\"event\":\"panic\",\"text\":\"\",\"time\":\"t6\"},"
			    "{\"event\":\"\",\"text\":\"\",\"time\":\"\"},"
			    "{\"event\":\"end\",\"text\":\"told to stop\",\"time\":\"t8\"},"
			    "{\"event\":\"hold\",\"text\":\"\",\"time\":\"t9\"}]");
}

/* Into a pipe: a line a second, and what is new in front of it. */
static void test_line(void **state)
{
	_cleanup_(status_release) struct status before = scene();
	_cleanup_(status_release) struct status now = later();
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	add_event(&before, "{\"time\": \"t1\", \"event\": \"hold\"}");
	status_line(&before, NULL, out);
	status_rate(&before, &now);
	add_event(&now, "{\"time\": \"t1\", \"event\": \"hold\"}");
	add_event(&now, "{\"time\": \"t2\", \"event\": \"end\", \"reason\": \"told to stop\"}");
	snprintf(now.machine.problem[now.machine.n_problems++], sizeof(struct err), "it is broken");
	status_line(&now, &before, out);
	status_line(&now, &now, out);
	fclose(out);
	assert_string_equal(
		text,
		"03:12:04 br0 SPLIT 1/10, xdp -/s, nfqueue -/s, waiting 0, leaks 0, problems 0\n"
		"03:12:04 br0 PROBLEM it is broken\n"
		"03:12:04 br0 end: told to stop\n"
		"03:12:04 br0 SPLIT 1/10, xdp 100/s, nfqueue 900/s, waiting 0, leaks 0, problems 1\n"
		"03:12:04 br0 SPLIT 1/10, xdp 100/s, nfqueue 900/s, waiting 0, leaks 0, problems 1\n");
}

static void put(struct status *s)
{
	json_t *object = status_json(s);

	assert_non_null(object);
	json_object_set_new(object, "schema", json_integer(1));
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

/* Every value of every word that there is. */
static int print_json(void)
{
	_cleanup_(status_release) struct status before = scene();
	_cleanup_(status_release) struct status many = crowded();
	_cleanup_(status_release) struct status s = later();

	put(&s);
	status_rate(&before, &many);
	put(&many);
	for (int state = 0; state < MACHINE_STATE_MAX; state++)
		for (int health = 0; health < STATUS_HEALTH_MAX; health++)
			for (uint32_t kind = 0; kind <= DF_SHARE_KIND_MAX; kind++) {
				s.machine.state = (enum machine_state)state;
				s.health = (enum status_health)health;
				s.machine.xdp.ctl.share_kind = kind;
				s.machine.nfq.external = health == STATUS_UNFED;
				s.queue_known = health != STATUS_UNFED;
				s.machine.xdp.point[0].gone = health == STATUS_FULL;
				s.machine.xdp.point[0].ours = kind & 1;
				s.machine.nfq.nft.foreign = kind & 1;
				s.machine.xdp.ctl.deadline = kind & 1 ? 2000 : 0;
				status_rate(kind & 1 ? &before : &many, &s);
				s.rates.seconds = 1;
				put(&s);
			}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_screen), cmocka_unit_test(test_room),
		cmocka_unit_test(test_spark),  cmocka_unit_test(test_rates),
		cmocka_unit_test(test_exit),   cmocka_unit_test(test_panic),
		cmocka_unit_test(test_events), cmocka_unit_test(test_line),
	};

	return argc > 1 && !strcmp(argv[1], "json") ? print_json()
						    : cmocka_run_group_tests(tests, NULL, NULL);
}

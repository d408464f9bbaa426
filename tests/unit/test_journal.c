// SPDX-License-Identifier: GPL-2.0-only
/* migrate/journal.c on a file system of its own: lines, cut-off ones, a full disk, two writers. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/instance.h"
#include "core/util.h"
#include "migrate/journal.h"

#define SKIP    77
#define DIR     INSTANCE_LIB_DIR "/br0"
#define FILE_AT DIR "/journal.jsonl"
#define TMPFS   "size=128k,mode=0755" /* above the 64 KiB that journal_last() looks through */

#define WRITERS 4
#define LINES   500 /* of each */

/* The file as it is, read whole. */
static char text[256 * 1024];
static size_t text_size;

static void read_file(void)
{
	_cleanup_file_ FILE *file = fopen(FILE_AT, "re");

	assert_non_null(file);
	text_size = fread(text, 1, sizeof(text) - 1, file);
	text[text_size] = '\0';
}

/* The next line of text, cut out of it; NULL: none. */
static char *next_line(char **at)
{
	char *line = *at, *end = strchr(line, '\n');

	if (!*line)
		return NULL;
	assert_non_null(end); /* every line ends */
	*end = '\0';
	*at = end + 1;
	return line;
}

static void write_file(const char *content, size_t size)
{
	_cleanup_close_ int fd = -1;

	assert_true(mkdir(INSTANCE_LIB_DIR, 0755) == 0 || errno == EEXIST);
	assert_true(mkdir(DIR, 0755) == 0 || errno == EEXIST);
	fd = open(FILE_AT, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, size), size);
}

#define write_text(content) write_file(content, strlen(content))

static void open_good(struct journal *journal)
{
	struct err err = { "" };

	if (journal_open("br0", journal, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(err.text, "");
	journal->generation = 7;
}

static void write_good(struct journal *journal, const char *event, json_t *more)
{
	struct err err = { "" };

	if (journal_write(journal, event, more, false, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(err.text, "");
}

static void assert_last(const char *key, const char *value)
{
	json_t *line = journal_last("br0");

	assert_non_null(line);
	assert_string_equal(json_string_value(json_object_get(line, key)), value);
	json_decref(line);
}

static int mount_fresh(const char *options)
{
	return mount("journal", "/var/lib", "tmpfs", 0, options);
}

static int begin(void **state)
{
	(void)state;
	return mount_fresh(TMPFS);
}

static int end(void **state)
{
	(void)state;
	return umount2("/var/lib", MNT_DETACH);
}

static void test_made_where_nothing_is(void **state)
{
	struct journal journal = { .fd = -1 };
	struct stat st;

	(void)state;
	assert_null(journal_last("br0"));
	assert_int_equal(access(INSTANCE_LIB_DIR, F_OK), -1); /* looking makes nothing */
	open_good(&journal);
	assert_true(fcntl(journal.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(stat(DIR, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(stat(FILE_AT, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_size, 0);
	assert_null(journal_last("br0"));
	journal_close(&journal);
	assert_int_equal(journal.fd, -1);
	journal_close(&journal);
}

struct tail {
	json_int_t first, last, lines;
};

static void take(void *ctx, json_t *line)
{
	struct tail *tail = ctx;
	json_int_t n = json_integer_value(json_object_get(line, "n"));

	tail->first = tail->lines ? tail->first : n;
	assert_true(!tail->lines || n == tail->last + 1);
	tail->last = n;
	tail->lines++;
}

/* The last 256 KiB, in whole lines, in order; what is cut off at either end is none. */
static void test_tail(void **state)
{
	static char pad[1024];
	struct tail tail = { 0 };
	struct journal journal;
	struct err err;

	(void)state;
	journal_tail("br0", take, &tail);
	assert_int_equal(tail.lines, 0);
	assert_int_equal(mount_fresh("size=1m,mode=0755"), 0);
	memset(pad, 'x', sizeof(pad) - 1);
	open_good(&journal);
	for (json_int_t n = 0; n < 10; n++)
		journal_write(&journal, "a", json_pack("{s:I}", "n", n), false, &err);
	journal_tail("br0", take, &tail);
	assert_true(tail.lines == 10 && tail.first == 0);
	for (json_int_t n = 10; n < 400; n++)
		journal_write(&journal, "a", json_pack("{s:I, s:s}", "n", n, "pad", pad), false,
			      &err);
	assert_int_equal(write(journal.fd, "{\"n\": 7", 7), 7);
	tail = (struct tail){ 0 };
	journal_tail("br0", take, &tail);
	assert_int_equal(tail.last, 399);
	assert_true(tail.lines > 200 && tail.lines < 256);
	journal_close(&journal);
	assert_int_equal(umount2("/var/lib", MNT_DETACH), 0);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* RFC 3339 with milliseconds and Z, as milliseconds; -1 when it is anything else. */
static int64_t time_ms(const char *rfc3339)
{
	static const char shape[] = "0000-00-00T00:00:00.000Z";
	struct tm tm = { 0 };

	if (strlen(rfc3339) != strlen(shape))
		return -1;
	for (size_t i = 0; shape[i]; i++)
		if (shape[i] == '0' ? strspn(rfc3339 + i, "0123456789") == 0
				    : rfc3339[i] != shape[i])
			return -1;
	if (strcmp(strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm) ?: "", rfc3339 + 19) != 0)
		return -1;
	return (int64_t)timegm(&tm) * 1000 + strtol(rfc3339 + 20, NULL, 10);
}

/* The line without its time, which lies between these two. */
static const char *behind_time(const char *line, int64_t from, int64_t to)
{
	static const char key[] = "{\"time\":\"";
	char stamp[25] = "";

	assert_memory_equal(line, key, strlen(key));
	line += strlen(key);
	memcpy(stamp, line, sizeof(stamp) - 1);
	assert_in_range(time_ms(stamp), from, to);
	return line + strlen(stamp);
}

static void test_line(void **state)
{
	json_t *more = json_pack("{s:s, s:i, s:[b, n]}", "do", "a \"share\"\n\x01", "step", -3,
				 "list", 1);
	struct journal journal = { .fd = -1 };
	int64_t from = now_ms(), to;
	char *at = text;

	(void)state;
	assert_non_null(more);
	open_good(&journal);
	write_good(&journal, "intent", json_incref(more));
	assert_int_equal(more->refcount, 1);
	json_decref(more);
	journal.generation = UINT32_MAX;
	write_good(&journal, "hold", NULL);
	to = now_ms();
	journal_close(&journal);
	read_file();
	assert_string_equal(
		behind_time(next_line(&at), from, to),
		"\",\"generation\":7,\"event\":\"intent\","
		"\"do\":\"a \\\"share\\\"\\n\\u0001\",\"step\":-3,\"list\":[true,null]}");
	assert_string_equal(behind_time(next_line(&at), from, to),
			    "\",\"generation\":4294967295,\"event\":\"hold\"}");
	assert_null(next_line(&at));
}

/* J1: sync asks the disk, and says what it answers. Of a pipe it is that there is none. */
static void test_sync(void **state)
{
	struct err err = { "" };
	struct journal journal;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	journal = (struct journal){ .fd = fds[1] };
	assert_int_equal(journal_write(&journal, "a", NULL, false, &err), 0);
	assert_string_equal(err.text, "");
	assert_int_equal(journal_write(&journal, "a", NULL, true, &err), -N2X_SYSTEM);
	assert_string_equal(err.text, "journal: cannot sync: Invalid argument");
	journal_close(&journal);
	close(fds[0]);
	open_good(&journal);
	assert_int_equal(journal_write(&journal, "b", NULL, true, &err), 0);
	journal_close(&journal);
	assert_last("event", "b");
}

/* J3: what was cut off is a line of its own; the others are as they were. */
static void test_cut_off(void **state)
{
	static const char whole[] = "{\"event\":\"before\"}\n";
	static const char torn[] = "{\"time\":\"2024-01-01T00:00:00.000Z\",\"gener";
	struct journal journal = { .fd = -1 };
	char content[128], *at = text;

	(void)state;
	snprintf(content, sizeof(content), "%s%s", whole, torn);
	write_text(content);
	assert_last("event", "before");
	open_good(&journal);
	assert_last("event", "before");
	write_good(&journal, "after", NULL);
	journal_close(&journal);
	assert_last("event", "after");
	read_file();
	assert_memory_equal(text, whole, strlen(whole));
	next_line(&at);
	assert_string_equal(next_line(&at), torn);
	assert_non_null(strstr(next_line(&at), "\"event\":\"after\"}"));
	assert_null(next_line(&at));
}

/* Some file systems leave zeros where a crash cut off. */
static void test_cut_off_zeros(void **state)
{
	static const char torn[] = "{\"event\":\"before\"}\n{\"ti\0\0\0\0";
	struct journal journal = { .fd = -1 };

	(void)state;
	write_file(torn, sizeof(torn) - 1);
	assert_last("event", "before");
	open_good(&journal);
	assert_last("event", "before");
	write_good(&journal, "after", NULL);
	journal_close(&journal);
	assert_last("event", "after");
}

/* Nothing is added to what ends as it should. */
static void test_open_again(void **state)
{
	static const char *const contents[] = { "", "{}\n", "{\"event\":\"a\"}\n\n" };
	struct journal journal = { .fd = -1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		write_text(contents[i]);
		open_good(&journal);
		journal_close(&journal);
		read_file();
		assert_string_equal(text, contents[i]);
	}
}

static void test_last(void **state)
{
	static const struct {
		const char *content, *last;
	} of[] = {
		{ "", NULL },
		{ "\n\n", NULL },
		{ "{\"event\":\"torn\"}", NULL }, /* whole, but nobody knows */
		{ "{\"event\":\"a\"}\n", "a" },
		{ "{\"event\":\"a\"}\n{\"event\":\"b\"}\n", "b" },
		{ "{\"event\":\"a\"}\n{\"event\":\"b\"}\n{\"event\":", "b" },
		{ "{\"event\":\"a\"}\n{\"event\":\"b\"}\n{\"event\":\n", "b" },
		{ "{\"event\":\"a\"}\n{\"ev\n{\"event\n\n\n", "a" },
		{ "\xff\xfe\n{\"event\":\"a\"}\n\x80\n", "a" },
		{ "{\"ev\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		write_text(of[i].content);
		if (of[i].last)
			assert_last("event", of[i].last);
		else
			assert_null(journal_last("br0"));
	}
}

/* Longer than what is looked through: the line that is cut off at its begin is no line. */
static void test_last_of_many(void **state)
{
	struct journal journal = { .fd = -1 };
	char event[32];

	(void)state;
	open_good(&journal);
	for (int i = 0; i < 1000; i++) {
		snprintf(event, sizeof(event), "line %d", i);
		write_good(&journal, event, json_pack("{s:s}", "reason", "a gate that fails"));
	}
	journal_close(&journal);
	read_file();
	assert_true(text_size > 65536);
	assert_last("event", "line 999");
}

/* Fills the disk; returns how many lines are whole. */
static int fill(struct journal *journal)
{
	struct err err = { "" };
	int n = 0;

	while (journal_write(journal, "gates", json_pack("{s:i}", "n", n), false, &err) == 0)
		assert_in_range(n++, 0, 1000);
	assert_string_equal(err.text, "journal: cannot write: No space left on device");
	/* And again, and with sync. */
	err.text[0] = '\0';
	assert_int_equal(journal_write(journal, "gates", NULL, true, &err), -N2X_SYSTEM);
	assert_string_equal(err.text, "journal: cannot write: No space left on device");
	return n;
}

static void test_full(void **state)
{
	struct journal journal = { .fd = -1 }, second = { .fd = -1 };
	struct err err = { "" };
	char *at = text;
	int lines;

	(void)state;
	assert_int_equal(umount2("/var/lib", MNT_DETACH), 0);
	assert_int_equal(mount_fresh("size=8k"), 0);
	open_good(&journal);
	lines = fill(&journal);
	assert_true(lines > 10);
	read_file();
	for (int i = 0; i < lines; i++) {
		json_t *line = json_loads(next_line(&at), 0, NULL);

		assert_non_null(line);
		assert_int_equal(json_integer_value(json_object_get(line, "n")), i);
		json_decref(line);
	}
	assert_null(strchr(at, '\n')); /* what had room of the last one */
	assert_true(*at);
	/* That cannot be ended either: no journal is opened that would spoil the next line. */
	assert_int_equal(journal_open("br0", &second, &err), -N2X_SYSTEM);
	assert_string_equal(err.text, "journal: " FILE_AT ": No space left on device");
	assert_int_equal(second.fd, -1);
	/* With room again it goes on: this one, and a new one. */
	assert_int_equal(mount("journal", "/var/lib", "tmpfs", MS_REMOUNT, "size=16k"), 0);
	write_good(&journal, "room", NULL);
	assert_last("event", "room");
	open_good(&second);
	write_good(&second, "second", NULL);
	assert_last("event", "second");
	journal_close(&second);
	journal_close(&journal);
}

static void assert_refused(const char *path, const char *what)
{
	struct journal journal = { .fd = -77, .generation = 78 };
	struct err err = { "" };
	char want[sizeof(err.text)];

	snprintf(want, sizeof(want), "journal: %s: %s", path, what);
	assert_int_equal(journal_open("br0", &journal, &err), -N2X_SYSTEM);
	assert_string_equal(err.text, want);
	assert_int_equal(journal.fd, -77);
	assert_int_equal(journal.generation, 78);
}

/* Root writes through no link that somebody put there. */
static void test_symlink(void **state)
{
	static const char target[] = "/var/lib/target", content[] = "{\"event\":\"a\"}\nno end";
	struct stat st;

	(void)state;
	write_text(content);
	assert_int_equal(rename(FILE_AT, target), 0);
	assert_int_equal(symlink(target, FILE_AT), 0);
	assert_refused(FILE_AT, "Too many levels of symbolic links");
	assert_null(journal_last("br0"));
	assert_int_equal(stat(target, &st), 0);
	assert_int_equal(st.st_size, strlen(content));
	/* One that leads nowhere makes nothing there. */
	assert_int_equal(unlink(target), 0);
	assert_refused(FILE_AT, "Too many levels of symbolic links");
	assert_int_equal(access(target, F_OK), -1);
}

static void test_in_the_way(void **state)
{
	int fd;

	(void)state;
	write_text("");
	assert_int_equal(unlink(FILE_AT), 0);
	assert_int_equal(mkdir(FILE_AT, 0755), 0);
	assert_refused(FILE_AT, "Is a directory");
	assert_int_equal(rmdir(FILE_AT), 0);
	assert_int_equal(rmdir(DIR), 0);
	fd = open(DIR, O_WRONLY | O_CREAT, 0644);
	assert_true(fd >= 0);
	close(fd);
	assert_refused(FILE_AT, "Not a directory");
	assert_null(journal_last("br0"));
	assert_int_equal(unlink(DIR), 0);
	assert_int_equal(mount(NULL, "/var/lib", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_refused(DIR, "Read-only file system");
}

static void test_closed(void **state)
{
	struct journal journal = { .fd = -1 };
	struct err err = { "" };

	(void)state;
	assert_int_equal(journal_write(&journal, "a", json_object(), true, &err), -N2X_SYSTEM);
	assert_memory_equal(err.text, "journal: ", strlen("journal: "));
}

/* In a process of its own: lines of every length up to some 4 KiB. */
static _Noreturn void write_lines(struct journal *journal, int writer)
{
	static char fill_with[4096];
	struct err err;
	int failed = 0;

	journal->generation = (uint32_t)writer;
	for (int i = 0; i < LINES && !failed; i++) {
		size_t len = (size_t)(i * 37 + writer * 411) % sizeof(fill_with);

		memset(fill_with, 'a' + writer, len);
		fill_with[len] = '\0';
		failed = journal_write(journal, "line",
				       json_pack("{s:i, s:s}", "n", i, "fill", fill_with), false,
				       &err) < 0;
	}
	_exit(failed);
}

static void check_line(const char *line, int next[WRITERS])
{
	json_t *json = json_loads(line, 0, NULL);
	int writer, n;

	assert_non_null(json);
	writer = (int)json_integer_value(json_object_get(json, "generation"));
	n = (int)json_integer_value(json_object_get(json, "n"));
	assert_in_range(writer, 0, WRITERS - 1);
	assert_int_equal(n, next[writer]++);
	assert_int_equal(json_string_length(json_object_get(json, "fill")),
			 (n * 37 + writer * 411) % 4096);
	json_decref(json);
}

static void test_writers(void **state)
{
	int next[WRITERS] = { 0 }, status, ended = 0;
	_cleanup_file_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	struct journal journal[WRITERS];
	pid_t pid[WRITERS];
	size_t size = 0;

	(void)state;
	assert_int_equal(mount("journal", "/var/lib", "tmpfs", MS_REMOUNT, "size=8m"), 0);
	for (int i = 0; i < WRITERS; i++)
		open_good(&journal[i]);
	for (int i = 0; i < WRITERS; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (!pid[i])
			write_lines(&journal[i], i);
	}
	for (int i = 0; i < WRITERS; i++)
		ended += waitpid(pid[i], &status, 0) == pid[i] && status == 0;
	for (int i = 0; i < WRITERS; i++)
		journal_close(&journal[i]);
	assert_int_equal(ended, WRITERS);
	file = fopen(FILE_AT, "re");
	assert_non_null(file);
	while (getline(&line, &size, file) > 0)
		check_line(line, next);
	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(next[i], LINES);
}

struct seen {
	unsigned int n;
	char events[64];
};

static void see(void *ctx, json_t *line)
{
	struct seen *seen = ctx;

	seen->n++;
	snprintf(seen->events + strlen(seen->events), sizeof(seen->events) - strlen(seen->events),
		 "%s ", json_string_value(json_object_get(line, "event")) ?: "-");
}

static void test_read(void **state)
{
	static const char content[] = "{\"event\":\"a\"}\n{\"event\":\"cut\n\0\0\0\0\n[1]\n\n"
				      "{\"event\":\"b\"}\n\0\0{}\n{\"event\":\"c\"}\n{\"event\":";
	struct seen seen = { 0 };
	uint64_t unreadable = 77;
	struct err err = { "" };

	(void)state;
	assert_int_equal(journal_read("br0", see, &seen, &unreadable, &err), -N2X_INACTIVE);
	assert_string_equal(err.text, "br0: no journal (" FILE_AT "): nothing was migrated here");
	assert_int_equal(unreadable, 77);
	write_file(content, sizeof(content) - 1);
	assert_int_equal(journal_read("br0", see, &seen, &unreadable, &err), 0);
	assert_string_equal(seen.events, "a b - c ");
	assert_int_equal(seen.n, 4);
	assert_int_equal(unreadable, 5);
	assert_int_equal(unlink(FILE_AT), 0);
	assert_int_equal(mkdir(FILE_AT, 0755), 0);
	assert_int_equal(journal_read("br0", see, &seen, &unreadable, &err), -N2X_SYSTEM);
	assert_int_equal(seen.n, 4);
}

#define journal_test(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		journal_test(test_made_where_nothing_is),
		journal_test(test_tail),
		journal_test(test_line),
		journal_test(test_sync),
		journal_test(test_cut_off),
		journal_test(test_cut_off_zeros),
		journal_test(test_open_again),
		journal_test(test_last),
		journal_test(test_last_of_many),
		journal_test(test_full),
		journal_test(test_symlink),
		journal_test(test_in_the_way),
		journal_test(test_closed),
		journal_test(test_writers),
		journal_test(test_read),
	};

	umask(022);
	if (geteuid() != 0) {
		puts("not root: /var/lib is hidden behind a file system of the test's own");
		return SKIP;
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount_fresh(TMPFS) < 0) {
		printf("no mount namespace, or no tmpfs on /var/lib: %s\n", strerror(errno));
		return SKIP;
	}
	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}

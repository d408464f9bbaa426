// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/instance.h"
#include "core/util.h"

#define LINE_MAX_BYTES 65536 /* what the last line is looked for in */
#define TAIL_BYTES     262144

static void journal_path(const char *instance, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s/journal.jsonl", INSTANCE_LIB_DIR, instance);
}

static int make_dirs(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) == 0)
			instance_give(path);
		else if (errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

/* J3: what a crash or a full disk cut off ends here. */
static int end_line(int fd)
{
	struct stat st;
	char last;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!st.st_size || (pread(fd, &last, 1, st.st_size - 1) == 1 && last == '\n'))
		return 0;
	return write(fd, "\n", 1) == 1 ? 0 : -errno;
}

int journal_open(const char *instance, struct journal *out, struct err *err)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int ret;

	journal_path(instance, path);
	ret = make_dirs(path);
	if (ret == 0) {
		fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		ret = fd < 0 ? -errno : end_line(fd);
	}
	if (ret == 0)
		instance_give(path);
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "journal: %s: %s", path, strerror(-ret));
	*out = (struct journal){ .fd = TAKE_FD(fd) };
	return 0;
}

void journal_close(struct journal *journal)
{
	util_closep(&journal->fd);
	journal->fd = -1;
}

void journal_now(char out[JOURNAL_TIME])
{
	char day[24];
	struct timespec ts;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, JOURNAL_TIME, "%s.%03ldZ", day, ts.tv_nsec / 1000000);
}

int journal_write(struct journal *journal, const char *event, json_t *more, bool sync,
		  struct err *err)
{
	_cleanup_free_ char *text = NULL;
	char now[JOURNAL_TIME];
	json_t *line;
	char *end;
	size_t len;
	int ret = 0;

	journal_now(now);
	line = json_pack("{s:s, s:I, s:s}", "time", now, "generation",
			 (json_int_t)journal->generation, "event", event);
	if (more)
		json_object_update(line, more);
	json_decref(more);
	text = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	len = text ? strlen(text) : 0;
	end = text ? realloc(text, len + 2) : NULL;
	if (!end)
		return err_set(err, N2X_SYSTEM, "journal: out of memory");
	text = end;
	text[len++] = '\n';
	/* One write: O_APPEND keeps the lines of two processes apart. */
	errno = journal->fd < 0 ? EBADF : ENOSPC; /* what a short write means */
	if (journal->fd < 0 || (journal->torn && end_line(journal->fd) < 0) ||
	    write(journal->fd, text, len) != (ssize_t)len)
		ret = err_set(err, N2X_SYSTEM, "journal: cannot write: %s", strerror(errno));
	else if (sync && fdatasync(journal->fd) < 0)
		ret = err_set(err, N2X_SYSTEM, "journal: cannot sync: %s", strerror(errno));
	journal->torn = ret < 0;
	return ret;
}

/* What some file systems leave of a line that a crash cut off. */
static void blank_nuls(char *text, size_t len)
{
	for (char *nul = memchr(text, '\0', len); nul; nul = memchr(nul, '\0', text + len - nul))
		*nul = ' ';
}

int journal_read(const char *instance, void (*line)(void *ctx, json_t *line), void *ctx,
		 uint64_t *unreadable, struct err *err)
{
	_cleanup_file_ FILE *file = NULL;
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	uint64_t bad = 0;
	size_t size = 0;
	ssize_t len;

	journal_path(instance, path);
	file = fopen(path, "re");
	if (!file && errno == ENOENT)
		return err_set(err, N2X_INACTIVE, "%s: no journal (%s): nothing was migrated here",
			       instance, path);
	if (!file)
		return err_set(err, N2X_SYSTEM, "journal: %s: %s", path, strerror(errno));
	while ((len = getline(&text, &size, file)) > 0) {
		json_t *object;

		blank_nuls(text, (size_t)len);
		object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		if (json_is_object(object))
			line(ctx, object);
		else
			bad++;
		json_decref(object);
	}
	if (ferror(file))
		return err_set(err, N2X_SYSTEM, "journal: %s: cannot read", path);
	*unreadable = bad;
	return 0;
}

/* The last bytes of it, to be released by free(), or NULL. *whole: from its begin. */
static char *read_tail(const char *instance, size_t bytes, bool *whole)
{
	_cleanup_free_ char *text = malloc(bytes + 1);
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	struct stat st;
	ssize_t got;

	journal_path(instance, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (!text || fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	*whole = st.st_size <= (off_t)bytes;
	got = pread(fd, text, bytes, *whole ? 0 : st.st_size - (off_t)bytes);
	if (got <= 0)
		return NULL;
	text[got] = '\0';
	blank_nuls(text, (size_t)got);
	return TAKE_PTR(text);
}

void journal_tail(const char *instance, void (*line)(void *ctx, json_t *line), void *ctx)
{
	bool whole;
	_cleanup_free_ char *text = read_tail(instance, TAIL_BYTES, &whole);
	char *at = text, *end;

	if (text && !whole)
		at = strchr(text, '\n');
	for (; at && (end = strchr(at, '\n')); at = end + 1) {
		json_t *object;

		*end = '\0';
		object = json_loads(at, JSON_REJECT_DUPLICATES, NULL);
		if (json_is_object(object))
			line(ctx, object);
		json_decref(object);
	}
}

json_t *journal_last(const char *instance)
{
	bool whole;
	_cleanup_free_ char *text = read_tail(instance, LINE_MAX_BYTES, &whole);
	char *start, *end;

	if (!text)
		return NULL;
	/* From the back: the first that ends, and is JSON. */
	while ((end = strrchr(text, '\n'))) {
		json_t *line;

		*end = '\0';
		start = strrchr(text, '\n');
		start = start ? start + 1 : text;
		line = json_loads(start, 0, NULL);
		if (line)
			return line;
	}
	return NULL;
}

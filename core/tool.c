// SPDX-License-Identifier: GPL-2.0-only
#include "core/tool.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/util.h"

#define OUTPUT_BYTES (1L << 26) /* 64 MiB: what a tool may print */

static bool find_path(const char *name, char path[PATH_MAX])
{
	static const char *const dirs[] = { "/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, PATH_MAX, "%s/%s", dirs[i], name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

bool tool_exists(const char *name)
{
	char path[PATH_MAX];

	return find_path(name, path);
}

/* All that is in the file, to be released by free(). */
static char *fd_text(int fd)
{
	struct stat st;
	char *text;

	if (fstat(fd, &st) < 0 || st.st_size > OUTPUT_BYTES)
		return NULL;
	text = calloc(1, (size_t)st.st_size + 1);
	if (text && pread(fd, text, (size_t)st.st_size, 0) != st.st_size) {
		free(text);
		return NULL;
	}
	return text;
}

/* With files for its three streams the tool never waits for us. Returns 0 or -errno. */
static int spawn(const char *path, const char *const argv[], const int fds[3], pid_t *pid)
{
	static char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, defaults;
	int ret;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawn_file_actions_init(&files);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&files, fds[i], i);
	ret = posix_spawn(pid, path, &files, &attr, (char *const *)argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return -ret;
}

/* The exit status as of wait(2), or -errno. A tool that takes too long is killed. */
static int reap(pid_t pid)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct timespec limit = { .tv_sec = TOOL_SECONDS };
	struct pollfd ended = { .fd = fd, .events = POLLIN };
	int status, ret = 1;
	sigset_t all;

	sigfillset(&all);
	if (fd < 0 || ppoll(&ended, 1, &limit, &all) != 1) {
		ret = fd < 0 ? -errno : -ETIMEDOUT;
		kill(pid, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return ret < 0 ? ret : status;
}

int tool_run(const char *const argv[], const char *input, char **out, struct err *err)
{
	_cleanup_close_ int in = memfd_create("in", MFD_CLOEXEC);
	_cleanup_close_ int printed = memfd_create("printed", MFD_CLOEXEC);
	_cleanup_close_ int complaints = memfd_create("complaints", MFD_CLOEXEC);
	const int fds[3] = { in, printed, complaints };
	_cleanup_free_ char *why = NULL;
	char *text;
	char path[PATH_MAX];
	int status;
	pid_t pid;

	if (in < 0 || printed < 0 || complaints < 0)
		return err_set(err, N2X_SYSTEM, "memfd: %m");
	if (pwrite(in, input, strlen(input), 0) != (ssize_t)strlen(input))
		return err_set(err, N2X_SYSTEM, "memfd: %m");
	if (!find_path(argv[0], path))
		return err_set(err, N2X_SYSTEM, "%s: not installed", argv[0]);
	status = spawn(path, argv, fds, &pid);
	if (status == 0)
		status = reap(pid);
	if (status < 0)
		return err_set(err, N2X_SYSTEM, "%s: %s", argv[0], strerror(-status));
	why = fd_text(complaints);
	if (status != 0)
		return err_set(err, N2X_SYSTEM, "%s: status %#x: %.*s", argv[0],
			       (unsigned int)status, why ? (int)strcspn(why, "\n") : 0, why ?: "");
	if (!out)
		return 0;
	text = fd_text(printed);
	if (!text)
		return err_set(err, N2X_SYSTEM, "%s: its output cannot be read", argv[0]);
	*out = text;
	return 0;
}

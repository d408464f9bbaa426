// SPDX-License-Identifier: GPL-2.0-only
#include "core/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/util.h"

uint64_t instance_netns(void)
{
	struct stat st;

	return stat("/proc/thread-self/ns/net", &st) == 0 ? st.st_ino : 0;
}

void instance_escape(const char *name, char *out, size_t size)
{
	size_t used = 0;

	for (; *name && used + 4 <= size; name++) {
		if (*name == '.' || *name == '%')
			used += (size_t)snprintf(out + used, size - used, "%%%02x", *name);
		else
			out[used++] = *name;
	}
	out[used] = '\0';
}

void instance_unescape(const char *name, char *out, size_t size)
{
	size_t used = 0;

	while (*name && used + 1 < size) {
		unsigned int c;

		if (*name == '%' && sscanf(name + 1, "%2x", &c) == 1) {
			out[used++] = (char)c;
			name += 3;
		} else {
			out[used++] = *name++;
		}
	}
	out[used] = '\0';
}

void instance_pin_dir(unsigned int version, const char *name, char out[PATH_MAX])
{
	char escaped[64] = "";

	if (name)
		instance_escape(name, escaped, sizeof(escaped));
	snprintf(out, PATH_MAX, "%s/nfq2xdp/v%u/%" PRIu64 "%s%s", INSTANCE_BPFFS, version,
		 instance_netns(), name ? "/" : "", escaped);
}

void instance_run_path(const char *name, const char *suffix, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%" PRIu64 "-%s.%s", INSTANCE_RUN_DIR, instance_netns(), name,
		 suffix);
}

void instance_give(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	struct stat st;

	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	if (geteuid() == 0 && stat(dir, &st) == 0)
		(void)!lchown(path, st.st_uid, st.st_gid);
}

int instance_lock(const char *name, const char *suffix, struct err *err)
{
	struct flock lock = { .l_type = F_WRLCK };
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];

	if (mkdir(INSTANCE_RUN_DIR, 0755) < 0 && errno != EEXIST)
		return err_set(err, N2X_SYSTEM, "%s: %s: create it for this user", INSTANCE_RUN_DIR,
			       strerror(errno));
	instance_run_path(name, suffix, path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return err_set(err, N2X_SYSTEM, "%s: %s", path, strerror(errno));
	instance_give(path);
	if (fcntl(fd, F_SETLK, &lock) == 0)
		return TAKE_FD(fd);
	return err_set(err, N2X_FOREIGN, "%s: %s (pid %d): wait for it, or end it", name,
		       !strcmp(suffix, "lock")   ? "another nfq2xdp command is changing it"
		       : !strcmp(suffix, "auto") ? "migrate auto runs its rollout"
						 : "the NFQUEUE path runs already",
		       instance_holder(fd));
}

int instance_peek(const char *name, const char *suffix)
{
	char path[PATH_MAX];

	instance_run_path(name, suffix, path);
	return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

pid_t instance_holder(int fd)
{
	struct flock lock = { .l_type = F_WRLCK };

	if (fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid > 0 ? lock.l_pid : -1;
}

int instance_next_generation(int lock, struct err *err)
{
	uint32_t generation = 0;

	if (pread(lock, &generation, sizeof(generation), 0) < 0)
		return err_set(err, N2X_SYSTEM, "cannot read the lock file: %s", strerror(errno));
	generation = generation < INT32_MAX ? generation + 1 : 1;
	if (pwrite(lock, &generation, sizeof(generation), 0) != sizeof(generation))
		return err_set(err, N2X_SYSTEM, "cannot write the lock file: %s", strerror(errno));
	return (int)generation;
}

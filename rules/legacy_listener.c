// SPDX-License-Identifier: GPL-2.0-only
/* Who listens to a queue, as /proc tells: the queue's port id, its socket, the process. */
#include "rules/legacy.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/netlink.h>

#include "core/util.h"

/* A file of /proc/thread-self/net, or NULL: one that nothing has made yet is not there. */
static int open_net(const char *name, FILE **out, struct err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/thread-self/net/%s", name);
	*out = fopen(path, "re");
	if (!*out && errno != ENOENT)
		return err_set(err, N2X_SYSTEM, "%s: %m", path);
	return 0;
}

static int find_portid(uint16_t queue, struct legacy_listener *out, struct err *err)
{
	_cleanup_file_ FILE *f = NULL;
	int ret = open_net("netfilter/nfnetlink_queue", &f, err);
	char line[256];
	uint16_t num;

	while (f && !out->bound && fgets(line, sizeof(line), f))
		out->bound = sscanf(line, "%hu %u", &num, &out->portid) == 2 && num == queue;
	return ret;
}

static int find_inode(uint32_t portid, unsigned long *inode, struct err *err)
{
	_cleanup_file_ FILE *f = NULL;
	int protocol, ret = open_net("netlink", &f, err);
	char line[256];
	uint32_t port;

	*inode = 0;
	while (f && *inode == 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %d %u %*s %*s %*s %*s %*s %*s %lu", &protocol, &port,
			   inode) != 3 ||
		    protocol != NETLINK_NETFILTER || port != portid)
			*inode = 0;
	return ret;
}

/* The number of that socket in the process, or -1. */
static int find_socket(pid_t pid, unsigned long inode)
{
	char path[PATH_MAX], want[64], link[64];
	_cleanup_dir_ DIR *dir = NULL;
	const struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);

		link[len < 0 ? 0 : len] = '\0';
		if (strcmp(link, want) == 0)
			return (int)strtol(entry->d_name, NULL, 10);
	}
	return -1;
}

static bool is_owner(struct legacy_listener *l, pid_t pid, unsigned long inode)
{
	l->fd = find_socket(pid, inode);
	l->pid = l->fd < 0 ? 0 : pid;
	return l->pid;
}

/* The port id is most often the pid: that one first. */
static void find_owner(struct legacy_listener *l, unsigned long inode)
{
	_cleanup_dir_ DIR *dir = NULL;
	const struct dirent *entry;

	if (is_owner(l, (pid_t)l->portid, inode))
		return;
	dir = opendir("/proc");
	while (dir && (entry = readdir(dir))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 0 && is_owner(l, pid, inode))
			return;
	}
}

static void read_comm(struct legacy_listener *l)
{
	_cleanup_file_ FILE *f = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", l->pid);
	f = fopen(path, "re");
	if (f && fgets(l->comm, sizeof(l->comm), f))
		l->comm[strcspn(l->comm, "\n")] = '\0';
}

int legacy_listener(uint16_t queue, struct legacy_listener *out, struct err *err)
{
	struct legacy_listener found = { 0 };
	unsigned long inode = 0;
	int ret = find_portid(queue, &found, err);

	if (ret == 0 && found.bound)
		ret = find_inode(found.portid, &inode, err);
	if (ret < 0)
		return ret;
	if (!found.bound)
		found.portid = 0;
	if (inode)
		find_owner(&found, inode);
	if (found.pid)
		read_comm(&found);
	*out = found;
	return 0;
}

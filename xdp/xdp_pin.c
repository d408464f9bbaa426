// SPDX-License-Identifier: GPL-2.0-only
#include "xdp/xdp_pin.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/abi.h"
#include "core/instance.h"
#include "core/log.h"
#include "core/util.h"

static _Thread_local char said[256];

static int libbpf_log(enum libbpf_print_level level, const char *format, va_list args)
{
	static const char extack[] = "libbpf: Kernel error message: ";
	char text[256];

	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	if (level == LIBBPF_WARN)
		xdp_libbpf_say(strncmp(text, extack, strlen(extack)) ? text
								     : text + strlen(extack));
	log_debug("%s", text);
	return 0;
}

void xdp_libbpf_init(void)
{
	libbpf_set_print(libbpf_log);
}

const char *xdp_libbpf_said(void)
{
	return said;
}

void xdp_libbpf_say(const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
}

int xdp_pin_check_bpffs(struct err *err)
{
	struct statfs fs;

	/* A service sees its directory alone. */
	if ((statfs(INSTANCE_BPFFS "/nfq2xdp", &fs) == 0 || statfs(INSTANCE_BPFFS, &fs) == 0) &&
	    fs.f_type == BPF_FS_MAGIC)
		return 0;
	return err_set(
		err, N2X_SYSTEM,
		"%s is not a BPF file system: mount -t bpf bpf %s (inside `ip netns exec` it is hidden: "
		"use nsenter --net=/run/netns/NAME)",
		INSTANCE_BPFFS, INSTANCE_BPFFS);
}

void xdp_pin_path(const char *instance, const char *kind, const char *name, char out[PATH_MAX + 64])
{
	char dir[PATH_MAX];
	char escaped[48]; /* 15 characters, each as %xx at most */

	instance_pin_dir(ABI_VERSION, instance, dir);
	instance_escape(name, escaped, sizeof(escaped));
	snprintf(out, PATH_MAX + 64, "%s/%s%s", dir, kind, escaped);
}

int xdp_pin_at(const char *path, int fd)
{
	if (bpf_obj_pin(fd, path) < 0)
		return -errno;
	instance_give(path);
	return 0;
}

int xdp_pin(const char *instance, const char *kind, const char *name, int fd, struct err *err)
{
	char path[PATH_MAX + 64];
	int ret;

	xdp_pin_path(instance, kind, name, path);
	ret = xdp_pin_at(path, fd);
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "cannot pin %s: %s", path, strerror(-ret));
	return 0;
}

int xdp_pin_open(const char *instance, const char *name, struct err *err)
{
	char path[PATH_MAX + 64];
	int fd;

	xdp_pin_path(instance, "", name, path);
	fd = bpf_obj_get(path);
	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		return err_set(err, N2X_SYSTEM, "%s: %s", path, strerror(errno));
	/* Not there, or not to be seen? */
	if (xdp_pin_check_bpffs(err) < 0)
		return -N2X_SYSTEM;
	return err_set(err, N2X_INACTIVE,
		       "%s: no XDP path here: start it with nfq2xdp migrate start -c FILE",
		       instance);
}

int xdp_prog_info(uint32_t id, struct bpf_prog_info *info)
{
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);
	uint32_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	if (fd < 0)
		return -errno;
	return bpf_obj_get_info_by_fd(fd, info, &len) < 0 ? -errno : 0;
}

/* …/link-NAME is …/of-NAME for its program. */
static void link_prog_path(const char *link, char out[PATH_MAX + 256])
{
	const char *slash = strrchr(link, '/');

	snprintf(out, PATH_MAX + 256, "%.*s" PIN_OF "%s", (int)(slash + 1 - link), link,
		 slash + 1 + strlen(PIN_LINK));
}

void xdp_pin_link_prog(const char *link, int prog_fd)
{
	char path[PATH_MAX + 256];

	link_prog_path(link, path);
	unlink(path);
	(void)xdp_pin_at(path, prog_fd);
}

int xdp_link_prog_info(const char *link, uint32_t id, struct bpf_prog_info *info)
{
	char path[PATH_MAX + 256];
	uint32_t len = sizeof(*info);
	_cleanup_close_ int fd = -1;

	link_prog_path(link, path);
	fd = bpf_obj_get(path);
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, info, &len) == 0 && info->id == id)
		return 0;
	return xdp_prog_info(id, info);
}

// SPDX-License-Identifier: GPL-2.0-only
/* Programs that are exchanged while they run: by those of this build, or by one that does nothing. */
#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/cap.h"
#include "core/instance.h"
#include "core/util.h"
#include "xdp/xdp_ctl.h"
#include "xdp/xdp_load.h"
#include "xdp/xdp_path.h"
#include "xdp/xdp_pin.h"

/* One pin of an attach point, opened. */
struct pinned {
	char path[PATH_MAX + 256];
	char interface[64];
	bool link;
	int fd; /* the link's, or the program's */
};

static void pinned_close(struct pinned *p)
{
	util_closep(&p->fd);
}

static int open_pinned(const char *dir, const char *file, struct pinned *out)
{
	bool link = !strncmp(file, PIN_LINK, strlen(PIN_LINK));
	struct pinned p = { .link = link };

	if (!link && strncmp(file, PIN_PROG, strlen(PIN_PROG)) != 0)
		return -ENOENT;
	snprintf(p.path, sizeof(p.path), "%s/%s", dir, file);
	instance_unescape(file + strlen(PIN_LINK), p.interface, sizeof(p.interface));
	p.fd = bpf_obj_get(p.path);
	if (p.fd < 0)
		return -errno;
	*out = p;
	return 0;
}

/* The program that is attached; all zeros when it is not known. */
static void attached_info(const struct pinned *p, struct bpf_prog_info *info)
{
	struct bpf_link_info link = { 0 };
	uint32_t len = p->link ? sizeof(link) : sizeof(*info);

	memset(info, 0, sizeof(*info));
	if (bpf_obj_get_info_by_fd(p->fd, p->link ? (void *)&link : (void *)info, &len) == 0 &&
	    p->link)
		xdp_link_prog_info(p->path, link.prog_id, info);
}

/* The kernel checks that what is replaced is what was pinned: never somebody else's. */
static int exchange_netlink(struct pinned *p, int prog_fd)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = p->fd);
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	int ifindex = (int)if_nametoindex(p->interface);
	uint32_t mode;
	int ret;

	if (!ifindex || bpf_xdp_query(ifindex, 0, &query) < 0)
		return -ENODEV;
	mode = query.attach_mode == XDP_ATTACHED_SKB ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	ret = bpf_xdp_attach(ifindex, prog_fd, mode | XDP_FLAGS_REPLACE, &opts);
	/* The pin follows: it is how the attachment is found. */
	if (ret == 0)
		ret = unlink(p->path) < 0 ? -errno : xdp_pin_at(p->path, prog_fd);
	return ret;
}

static int exchange_link(const struct pinned *p, int prog_fd)
{
	if (bpf_link_update(p->fd, prog_fd, NULL) < 0)
		return -errno;
	xdp_pin_link_prog(p->path, prog_fd);
	return 0;
}

static int exchange(struct pinned *p, int prog_fd)
{
	int ret = p->link ? exchange_link(p, prog_fd) : exchange_netlink(p, prog_fd);

	/* Dead: its interface is gone, and there is nothing to exchange. */
	return ret == -ENOLINK || ret == -ENODEV ? 0 : ret;
}

/* For each pin of an attach point in the directory; a failure ends it. Returns how many, or -errno. */
static int each_pinned(const char *dir_path, int (*fn)(struct pinned *p, void *ctx), void *ctx)
{
	_cleanup_dir_ DIR *dir = opendir(dir_path);
	struct dirent *e;
	int n = 0;

	while (dir && (e = readdir(dir))) {
		_cleanup_(pinned_close) struct pinned p = { .fd = -1 };
		int ret = open_pinned(dir_path, e->d_name, &p);

		if (ret == -ENOENT)
			continue;
		if (ret == 0)
			ret = fn(&p, ctx);
		if (ret < 0)
			return ret;
		n++;
	}
	return n;
}

static int stub_one(struct pinned *p, void *ctx)
{
	struct bpf_prog_info info;

	attached_info(p, &info);
	if (xdp_is_stub(info.name))
		return 0;
	return exchange(p, *(int *)ctx);
}

bool xdp_is_stub(const char *prog_name)
{
	return !strncmp(prog_name, "n2x_pass", strlen("n2x_pass"));
}

int xdp_stub(const char *instance, struct err *err)
{
	_cleanup_close_ int stub = -1;
	char dir[PATH_MAX];
	int ret = cap_require(CAP_NEED_XDP, err);

	xdp_libbpf_init();
	if (ret == 0)
		ret = stub = xdp_pin_open(instance, "pass", err);
	if (ret < 0)
		return ret;
	instance_pin_dir(ABI_VERSION, instance, dir);
	ret = each_pinned(dir, stub_one, &stub);
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "%s: cannot exchange the program: %s", instance,
			       strerror(-ret));
	return 0;
}

struct upgrade {
	const struct policy *policy;
	struct nfq2xdp *skel;
	bool linear, frags; /* the builds that are attached */
	bool changed;
};

static int find_builds(struct pinned *p, void *ctx)
{
	struct upgrade *up = ctx;
	struct bpf_prog_info info;

	attached_info(p, &info);
	if (strstr(info.name, "frags"))
		up->frags = true;
	else
		up->linear = true;
	return 0;
}

static int upgrade_one(struct pinned *p, void *ctx)
{
	struct upgrade *up = ctx;
	struct bpf_prog_info old, new = { 0 };
	char path[PATH_MAX + 64];
	uint32_t len = sizeof(new);
	int prog, ret = 0;

	attached_info(p, &old);
	prog = xdp_load_prog(up->skel, strstr(old.name, "frags"));
	if (bpf_obj_get_info_by_fd(prog, &new, &len) < 0)
		return -errno;
	xdp_pin_path(up->policy->interface, p->link ? PIN_LINK : PIN_PROG, p->interface, path);
	if (strcmp(path, p->path) == 0 && memcmp(old.tag, new.tag, sizeof(new.tag)) == 0)
		return 0;
	up->changed = true;
	ret = exchange(p, prog);
	if (ret < 0 || strcmp(path, p->path) == 0)
		return ret;
	ret = xdp_pin_at(path, p->link ? p->fd : prog);
	if (ret < 0 && ret != -EEXIST)
		return ret;
	if (p->link)
		xdp_pin_link_prog(path, prog);
	return unlink(p->path) < 0 ? -errno : 0;
}

struct versions {
	const char *instance;
	unsigned int version[16];
	unsigned int n;
};

static void collect(const char *instance, unsigned int version, void *ctx)
{
	struct versions *v = ctx;

	if (!strcmp(instance, v->instance) && v->n < ARRAY_SIZE(v->version))
		v->version[v->n++] = version;
}

static int each_version(const struct versions *v, int (*fn)(struct pinned *p, void *ctx), void *ctx)
{
	int sum = 0;

	for (unsigned int i = 0; i < v->n; i++) {
		char dir[PATH_MAX];
		int ret;

		instance_pin_dir(v->version[i], v->instance, dir);
		ret = each_pinned(dir, fn, ctx);
		if (ret < 0)
			return ret;
		sum += ret;
	}
	return sum;
}

/* What is left of other builds: maps, without any attachment by now. */
static void remove_others(const struct versions *v)
{
	for (unsigned int i = 0; i < v->n; i++) {
		_cleanup_dir_ DIR *dir = NULL;
		char path[PATH_MAX];
		struct dirent *e;

		instance_pin_dir(v->version[i], v->instance, path);
		dir = v->version[i] == ABI_VERSION ? NULL : opendir(path);
		while (dir && (e = readdir(dir)))
			if (e->d_name[0] != '.')
				unlinkat(dirfd(dir), e->d_name, 0);
		for (int level = 0; dir && level < 3 && rmdir(path) == 0; level++)
			*strrchr(path, '/') = '\0';
	}
}

/* Pins first: the attachments find their directory, and a reader always a whole instance. */
static int take_over(struct upgrade *up, const struct versions *v, struct err *err)
{
	int ret = xdp_load_pin(v->instance, up->skel, err);

	if (ret < 0)
		return ret;
	ret = each_version(v, upgrade_one, up);
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "%s: cannot exchange the program: %s", v->instance,
			       strerror(-ret));
	remove_others(v);
	return 0;
}

/* The control word of a map that is new: it was another layout that was attached. */
static int init_ctl(const struct nfq2xdp *skel, uint32_t generation, struct err *err)
{
	int fd = bpf_map__fd(skel->maps.data_ctl);
	const uint32_t zero = 0;
	struct df_ctl ctl;

	if (bpf_map_lookup_elem(fd, &zero, &ctl) == 0 && ctl.hz)
		return 0;
	ctl = (struct df_ctl){ .generation = generation, .flags = DF_CTL_WHOLE };
	ctl.hz = xdp_ctl_measure_hz(bpf_program__fd(skel->progs.n2x_clock));
	if (bpf_map_update_elem(fd, &zero, &ctl, BPF_ANY) < 0)
		return err_set(err, N2X_SYSTEM, "cannot write the control map: %s",
			       strerror(errno));
	return 0;
}

int xdp_upgrade(const struct policy *policy, uint32_t generation, bool *changed, struct err *err)
{
	struct versions v = { .instance = policy->interface };
	struct upgrade up = { .policy = policy };
	int ret = cap_require(CAP_NEED_XDP, err);

	xdp_libbpf_init();
	if (ret == 0)
		ret = xdp_instances(collect, &v, err);
	if (ret >= 0)
		ret = each_version(&v, find_builds, &up);
	if (ret == 0)
		return err_set(err, N2X_INACTIVE, "%s: nothing is attached", policy->interface);
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "%s: cannot read what is attached: %s",
			       policy->interface, strerror(-ret));
	/* Another layout: its control word means nothing to this build, so the NFQUEUE path carries all. */
	for (unsigned int i = 0; i < v.n; i++)
		if (v.version[i] != ABI_VERSION)
			xdp_zero(v.instance, v.version[i], err);
	ret = xdp_load(policy, up.linear, up.frags, &up.skel);
	if (ret < 0)
		return xdp_load_failed(ret, err);
	ret = init_ctl(up.skel, generation, err);
	if (ret == 0)
		ret = take_over(&up, &v, err);
	nfq2xdp__destroy(up.skel);
	*changed = up.changed;
	return ret;
}

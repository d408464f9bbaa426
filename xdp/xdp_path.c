// SPDX-License-Identifier: GPL-2.0-only
#include "xdp/xdp_path.h"

#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/cap.h"
#include "core/instance.h"
#include "core/log.h"
#include "core/netdev.h"
#include "core/util.h"
#include "xdp/nfq2xdp.skel.h"

/* The largest MTU that is sure to fit one page with headroom and tail on every driver; above it:
 * xdp.frags. */
#define MTU_LINEAR 1500

#define PIN_LINK "link-"
#define PIN_PROG "prog-"

static void skel_destroyp(struct nfq2xdp **skel)
{
	nfq2xdp__destroy(*skel);
}

/* The last warning of libbpf: the kernel's own words (extack) come this way. */
static _Thread_local char libbpf_said[256];

static int libbpf_log(enum libbpf_print_level level, const char *format, va_list args)
{
	char text[256];

	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	if (level == LIBBPF_WARN)
		snprintf(libbpf_said, sizeof(libbpf_said), "%s", text);
	log_debug("%s", text); /* one level down: what matters of it is in our own line */
	return 0;
}

static int prog_info(uint32_t id, struct bpf_prog_info *info)
{
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);
	uint32_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	if (fd < 0)
		return -errno;
	return bpf_obj_get_info_by_fd(fd, info, &len) < 0 ? -errno : 0;
}

static bool is_ours(const char *prog_name)
{
	return !strncmp(prog_name, "n2x_xdp", strlen("n2x_xdp"));
}

static int foreign(const char *interface, uint32_t id, struct err *err)
{
	struct bpf_prog_info info;

	if (prog_info(id, &info) < 0)
		snprintf(info.name, sizeof(info.name), "?");
	return err_set(
		err, N2X_FOREIGN,
		"%s: XDP program id %u (%s) is attached and is not ours: detach it first%s",
		interface, id, info.name,
		is_ours(info.name)
			? " (it is another instance's or namespace's: see nfq2xdp migrate status)"
			: "");
}

static int check_bpffs(struct err *err)
{
	struct statfs fs;

	if (statfs(INSTANCE_BPFFS, &fs) == 0 && fs.f_type == BPF_FS_MAGIC)
		return 0;
	return err_set(
		err, N2X_SYSTEM,
		"%s is not a BPF file system: mount -t bpf bpf %s (inside `ip netns exec` it is hidden: "
		"use nsenter --net=/run/netns/NAME)",
		INSTANCE_BPFFS, INSTANCE_BPFFS);
}

static int plan_point(const char *interface, bool local_only, struct xdp_plan *out, struct err *err)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	int ifindex = (int)if_nametoindex(interface);

	if (!ifindex)
		return err_set(
			err, N2X_USAGE,
			"interface %s does not exist here: check xdp.attach and the namespace",
			interface);
	if (netdev_is_bridge(interface) && !local_only)
		return err_set(
			err, N2X_NO,
			"%s is a bridge: XDP there does not see frames that are bridged from port to port; "
			"attach to its ports, or say --local-only",
			interface);
	if (bpf_xdp_query(ifindex, 0, &query) == 0 && query.prog_id)
		return foreign(interface, query.prog_id, err);
	snprintf(out->interface, sizeof(out->interface), "%s", interface);
	out->mtu = netdev_mtu(interface);
	out->frags = out->mtu > MTU_LINEAR;
	return 0;
}

int xdp_plan(const struct policy *policy, bool local_only, struct xdp_plan plan[POLICY_ATTACH_MAX],
	     struct err *err)
{
	int ret = cap_require(CAP_NEED_XDP, err);

	libbpf_set_print(libbpf_log);
	if (ret == 0)
		ret = check_bpffs(err);
	for (unsigned int i = 0; i < policy->xdp.n_attach && ret == 0; i++)
		ret = plan_point(policy->xdp.attach[i], local_only, &plan[i], err);
	return ret;
}

/* Opens and loads the builds that the plan needs. Returns 0 or -errno. */
static int load(const struct policy *policy, const struct xdp_plan *plan, uint32_t generation,
		struct nfq2xdp **out)
{
	_cleanup_(skel_destroyp) struct nfq2xdp *skel = nfq2xdp__open();
	const struct df_ctl ctl = { .generation = generation };
	const uint32_t zero = 0;
	bool linear = false, frags = false;
	int ret;

	if (!skel)
		return -errno;
	for (unsigned int i = 0; i < policy->xdp.n_attach; i++) {
		linear |= !plan[i].frags;
		frags |= plan[i].frags;
	}
	bpf_program__set_autoload(skel->progs.n2x_xdp, linear);
	bpf_program__set_autoload(skel->progs.n2x_xdp_frags, frags);
	bpf_program__set_autoload(skel->progs.n2x_clock, false);
	memcpy((void *)&skel->rodata->policy, &policy->df, sizeof(policy->df));
	ret = nfq2xdp__load(skel);
	if (ret == 0 && bpf_map_update_elem(bpf_map__fd(skel->maps.ctl), &zero, &ctl, BPF_ANY) < 0)
		ret = -errno;
	if (ret < 0)
		return ret;
	*out = TAKE_PTR(skel);
	return 0;
}

/* Before 5.18 the kernel has no xdp.frags: then the linear build, and the driver decides whether
 * its MTU allows it. */
static int load_any(const struct policy *policy, struct xdp_plan *plan, uint32_t generation,
		    struct nfq2xdp **out, struct err *err)
{
	int ret = load(policy, plan, generation, out);
	bool frags = false;

	for (unsigned int i = 0; i < policy->xdp.n_attach; i++) {
		frags |= plan[i].frags;
		if (ret < 0)
			plan[i].frags = false;
	}
	if (ret < 0 && frags)
		ret = load(policy, plan, generation, out);
	if (!*out)
		return err_set(err, N2X_SYSTEM,
			       "the kernel refused the XDP program: %s: %s (-v shows its log)",
			       strerror(-ret), libbpf_said);
	return 0;
}

static void pin_path(const char *instance, const char *kind, const char *name,
		     char out[PATH_MAX + 64])
{
	char dir[PATH_MAX];
	char escaped[48]; /* 15 characters, each as %xx at most */

	instance_pin_dir(instance, dir);
	instance_escape(name, escaped, sizeof(escaped));
	snprintf(out, PATH_MAX + 64, "%s/%s%s", dir, kind, escaped);
}

static int pin(const char *instance, const char *kind, const char *name, int fd, struct err *err)
{
	char path[PATH_MAX + 64];

	pin_path(instance, kind, name, path);
	if (bpf_obj_pin(fd, path) < 0)
		return err_set(err, N2X_SYSTEM, "cannot pin %s: %s", path, strerror(errno));
	return 0;
}

static int make_dirs(const char *instance, struct err *err)
{
	char path[PATH_MAX];

	instance_pin_dir(instance, path);
	for (char *slash = path + strlen(INSTANCE_BPFFS) + 1; slash; *slash = '/', slash++) {
		slash = strchr(slash, '/');
		if (slash)
			*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return err_set(err, N2X_SYSTEM, "%s: %s", path, strerror(errno));
		if (!slash)
			break;
	}
	return 0;
}

/*
 * One try in one mode. Returns a link's descriptor, 0 when attached by netlink (a kernel before 5.9),
 * or -errno with the kernel's words in libbpf_said: link creation has no extack, so the same try by
 * netlink is also how to learn why. Netlink leaves an attachment that lives by itself: its pin is
 * there first, so that whatever is attached can be found and taken away.
 */
static int attach_mode(const char *instance, const char *interface, int prog_fd, uint32_t mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = mode);
	int ifindex = (int)if_nametoindex(interface);
	int fd = bpf_link_create(prog_fd, ifindex, BPF_XDP, &opts);
	char path[PATH_MAX + 64];
	int ret;

	if (fd >= 0 || errno == EBUSY || errno == EEXIST)
		return fd >= 0 ? fd : -EBUSY;
	snprintf(libbpf_said, sizeof(libbpf_said), "%s", strerror(errno));
	pin_path(instance, PIN_PROG, interface, path);
	if (bpf_obj_pin(prog_fd, path) < 0)
		return -errno;
	ret = bpf_xdp_attach(ifindex, prog_fd, mode | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL);
	if (ret < 0)
		unlink(path);
	return ret;
}

static int attach_point(const struct policy *policy, const char *interface, int prog_fd,
			struct err *err)
{
	static const uint32_t modes[] = { XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE };
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	_cleanup_close_ int link = -1;
	int ret = -EINVAL;

	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		if (policy->xdp.mode == (i == 0 ? ATTACH_GENERIC : ATTACH_NATIVE))
			continue;
		ret = attach_mode(policy->interface, interface, prog_fd, modes[i]);
		if (ret >= 0 || ret == -EBUSY)
			break;
		if (policy->xdp.mode == ATTACH_AUTO && modes[i] == XDP_FLAGS_DRV_MODE)
			log_info("%s: native XDP is not possible: %s", interface, libbpf_said);
	}
	if (ret == -EBUSY) {
		bpf_xdp_query((int)if_nametoindex(interface), 0, &query);
		return foreign(interface, query.prog_id, err);
	}
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "%s: cannot attach XDP: %s", interface,
			       libbpf_said);
	if (ret == 0)
		return 0;
	link = ret;
	return pin(policy->interface, PIN_LINK, interface, link, err);
}

static int pin_and_attach(const struct policy *policy, const struct xdp_plan *plan,
			  const struct nfq2xdp *skel, struct err *err)
{
	const char *instance = policy->interface;
	int ret = make_dirs(instance, err);

	if (ret == 0)
		ret = pin(instance, "", "ctl", bpf_map__fd(skel->maps.ctl), err);
	if (ret == 0)
		ret = pin(instance, "", "stats", bpf_map__fd(skel->maps.stats), err);
	if (ret == 0)
		ret = pin(instance, "", "policy", bpf_map__fd(skel->maps.rodata), err);
	for (unsigned int i = 0; i < policy->xdp.n_attach && ret == 0; i++)
		ret = attach_point(policy, plan[i].interface,
				   bpf_program__fd(plan[i].frags ? skel->progs.n2x_xdp_frags
								 : skel->progs.n2x_xdp),
				   err);
	return ret;
}

int xdp_attach(const struct policy *policy, bool local_only, uint32_t generation, struct err *err)
{
	_cleanup_(skel_destroyp) struct nfq2xdp *skel = NULL;
	struct xdp_plan plan[POLICY_ATTACH_MAX];
	struct xdp_state there;
	struct err ignored;
	int ret = xdp_read(policy->interface, &there, err);

	if (ret == 0 && there.n_points)
		return err_set(err, N2X_NO, "%s is attached already", policy->interface);
	ret = xdp_plan(policy, local_only, plan, err);
	if (ret == 0)
		ret = load_any(policy, plan, generation, &skel, err);
	if (ret)
		return ret;
	/* What an attach that was killed before its first link left. */
	xdp_detach(policy->interface, &ignored);
	ret = pin_and_attach(policy, plan, skel, err);
	if (ret < 0)
		xdp_detach(policy->interface, &ignored); /* X3 */
	return ret;
}

static int open_pin(const char *instance, const char *name, struct err *err)
{
	char path[PATH_MAX + 64];
	int fd;

	pin_path(instance, "", name, path);
	fd = bpf_obj_get(path);
	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		return err_set(err, N2X_SYSTEM, "%s: %s", path, strerror(errno));
	/* Not there, or not to be seen? */
	if (check_bpffs(err) < 0)
		return -N2X_SYSTEM;
	return err_set(err, N2X_INACTIVE,
		       "%s: no XDP path here: start it with nfq2xdp migrate start -c FILE",
		       instance);
}

static int read_stats(int fd, uint64_t reason[DF_REASON_MAX])
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct df_stats *stats = NULL;
	const uint32_t zero = 0;

	if (cpus < 1)
		return cpus;
	stats = calloc((size_t)cpus, sizeof(*stats));
	if (!stats)
		return -ENOMEM;
	if (bpf_map_lookup_elem(fd, &zero, stats) < 0)
		return -errno;
	for (int cpu = 0; cpu < cpus; cpu++)
		for (unsigned int r = 0; r < DF_REASON_MAX; r++)
			reason[r] += stats[cpu].reason[r];
	return 0;
}

/* Reads one pin of an attach point. `file` is its name in the directory. */
static int read_point(int dir_fd, const char *file, bool link, struct xdp_point *out)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct xdp_point point = { .link = link };
	struct bpf_link_info link_info = { 0 };
	struct bpf_prog_info info = { 0 };
	uint32_t len = link ? sizeof(link_info) : sizeof(info);
	char name[64], now[IF_NAMESIZE], path[PATH_MAX];
	_cleanup_close_ int fd = -1;
	int ifindex;

	/* libbpf 1.1 has no bpf_obj_get() relative to a directory. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, file);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	instance_unescape(file + strlen(PIN_LINK), name, sizeof(name));
	if (bpf_obj_get_info_by_fd(fd, link ? (void *)&link_info : (void *)&info, &len) < 0)
		return -errno;
	point.prog_id = link ? link_info.prog_id : info.id;
	ifindex = link ? (int)link_info.xdp.ifindex : (int)if_nametoindex(name);
	if (link)
		prog_info(point.prog_id, &info);
	point.frags = strstr(info.name, "frags");
	if (ifindex && if_indextoname((unsigned int)ifindex, now))
		snprintf(name, sizeof(name), "%s", now);
	if (ifindex && bpf_xdp_query(ifindex, 0, &query) == 0) {
		point.ours = query.prog_id == point.prog_id;
		point.native = query.attach_mode == XDP_ATTACHED_DRV;
	}
	snprintf(point.interface, sizeof(point.interface), "%.15s", name);
	*out = point;
	return 0;
}

static int read_points(const char *instance, struct xdp_state *state)
{
	_cleanup_dir_ DIR *dir = NULL;
	char path[PATH_MAX];
	struct dirent *e;

	instance_pin_dir(instance, path);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((e = readdir(dir)) && state->n_points < POLICY_ATTACH_MAX) {
		bool link = !strncmp(e->d_name, PIN_LINK, strlen(PIN_LINK));

		if (!link && strncmp(e->d_name, PIN_PROG, strlen(PIN_PROG)) != 0)
			continue;
		if (read_point(dirfd(dir), e->d_name, link, &state->point[state->n_points]) == 0)
			state->n_points++;
	}
	return 0;
}

int xdp_read(const char *instance, struct xdp_state *out, struct err *err)
{
	struct xdp_state state = { 0 };
	_cleanup_close_ int ctl = -1, stats = -1, policy = -1;
	const uint32_t zero = 0;
	int ret = cap_require(CAP_NEED_MAPS, err);

	libbpf_set_print(libbpf_log);
	if (ret == 0)
		ret = ctl = open_pin(instance, "ctl", err);
	if (ret >= 0)
		ret = stats = open_pin(instance, "stats", err);
	if (ret >= 0)
		ret = policy = open_pin(instance, "policy", err);
	if (ret < 0)
		return ret;
	ret = bpf_map_lookup_elem(ctl, &zero, &state.ctl) < 0 ||
			      bpf_map_lookup_elem(policy, &zero, &state.policy) < 0
		      ? -errno
		      : read_stats(stats, state.reason);
	if (ret == 0)
		ret = read_points(instance, &state);
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "%s: cannot read the pinned maps: %s", instance,
			       strerror(-ret));
	*out = state;
	return 0;
}

int xdp_check(const struct xdp_state *state, const struct policy *policy, struct err *err)
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < state->n_points; i++)
		if (!state->point[i].ours)
			return err_set(
				err, N2X_DEGRADED,
				"%s: our XDP program is not attached to %s any more: nfq2xdp "
				"migrate rollback --detach -c FILE, then start",
				policy->interface, state->point[i].interface);
	for (unsigned int i = 0; i < policy->xdp.n_attach; i++)
		for (unsigned int j = 0; j < state->n_points; j++)
			found += !strcmp(policy->xdp.attach[i], state->point[j].interface);
	if (found == policy->xdp.n_attach && found == state->n_points &&
	    memcmp(&state->policy, &policy->df, sizeof(policy->df)) == 0)
		return 0;
	return err_set(
		err, N2X_NO,
		"%s: what is attached has another policy or other interfaces than this file: "
		"nfq2xdp migrate rollback --detach -c FILE, then start",
		policy->interface);
}

/* Writes the control map and reads it back. */
static int write_ctl(const char *instance, int fd, const struct df_ctl *ctl, struct err *err)
{
	struct df_ctl back = { 0 };
	const uint32_t zero = 0;

	if (bpf_map_update_elem(fd, &zero, ctl, BPF_ANY) < 0)
		return err_set(err, N2X_SYSTEM, "%s: cannot write the share: %s", instance,
			       strerror(errno));
	if (bpf_map_lookup_elem(fd, &zero, &back) < 0 || memcmp(ctl, &back, sizeof(back)) != 0)
		return err_set(err, N2X_SYSTEM,
			       "%s: the share reads back different from what was written",
			       instance);
	return 0;
}

int xdp_share_set(const char *instance, const struct share *share, struct err *err)
{
	_cleanup_close_ int fd = -1;
	struct df_ctl ctl = { 0 };
	const uint32_t zero = 0;
	int ret = cap_require(CAP_NEED_MAPS, err);

	libbpf_set_print(libbpf_log);
	if (ret == 0)
		ret = fd = open_pin(instance, "ctl", err);
	if (ret < 0)
		return ret;
	/* Not being able to read is no reason not to write: all zeros is share 0 (abi I1). */
	if (bpf_map_lookup_elem(fd, &zero, &ctl) < 0)
		log_info("%s: the control map cannot be read: %s", instance, strerror(errno));
	ctl.share_kind = share->kind;
	ctl.share_n = share->n;
	ctl.deadline = 0;
	ctl.writes++;
	ctl.done = 0;
	return write_ctl(instance, fd, &ctl, err);
}

int xdp_done_set(const char *instance, struct err *err)
{
	_cleanup_close_ int fd = -1;
	const uint32_t zero = 0;
	struct df_ctl ctl;
	int ret = fd = open_pin(instance, "ctl", err);

	if (ret < 0)
		return ret;
	if (bpf_map_lookup_elem(fd, &zero, &ctl) < 0)
		return err_set(err, N2X_SYSTEM, "%s: cannot read the control map: %s", instance,
			       strerror(errno));
	if (ctl.share_kind != DF_SHARE_ALL)
		return err_set(err, N2X_NO, "%s: somebody took the share down meanwhile", instance);
	ctl.done = 1;
	return write_ctl(instance, fd, &ctl, err);
}

/* Only what is ours, and in the mode it has: without one the kernel looks at the driver's alone. */
static int detach_netlink(const char *interface, int prog_fd)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = prog_fd);
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	int ifindex = (int)if_nametoindex(interface);
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info), mode;
	int ret;

	if (bpf_obj_get_info_by_fd(prog_fd, &info, &len) < 0)
		return -errno;
	if (!ifindex || bpf_xdp_query(ifindex, 0, &query) < 0 || query.prog_id != info.id)
		return 0;
	mode = query.attach_mode == XDP_ATTACHED_SKB ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	ret = bpf_xdp_detach(ifindex, mode | XDP_FLAGS_REPLACE, &opts);
	if (ret == -EINVAL) /* before 5.7 */
		ret = bpf_xdp_detach(ifindex, mode, NULL);
	return ret;
}

/* Detaches what one pin holds, and removes the pin. Returns 0 or -errno. */
static int detach_pin(const char *dir, const char *file)
{
	char path[PATH_MAX + 256], name[64];
	_cleanup_close_ int fd = -1;
	int ret = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = bpf_obj_get(path);
	if (fd >= 0 && !strncmp(file, PIN_LINK, strlen(PIN_LINK))) {
		/* Now, and not when the kernel's last reference goes. A dead link says so; it is gone. */
		bpf_link_detach(fd);
	} else if (fd >= 0 && !strncmp(file, PIN_PROG, strlen(PIN_PROG))) {
		instance_unescape(file + strlen(PIN_PROG), name, sizeof(name));
		ret = detach_netlink(name, fd);
	}
	return ret < 0 || unlink(path) == 0 ? ret : -errno;
}

int xdp_detach(const char *instance, struct err *err)
{
	_cleanup_dir_ DIR *dir = NULL;
	char path[PATH_MAX];
	struct dirent *e;
	int ret = cap_require(CAP_NEED_XDP, err);

	libbpf_set_print(libbpf_log);
	if (ret < 0)
		return ret;
	instance_pin_dir(instance, path);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((e = readdir(dir))) {
		int failed = e->d_name[0] == '.' ? 0 : detach_pin(path, e->d_name);

		if (failed < 0 && ret == 0)
			ret = err_set(err, N2X_SYSTEM, "cannot take away %s/%s: %s", path,
				      e->d_name, strerror(-failed));
	}
	if (ret < 0)
		return ret;
	if (rmdir(path) < 0)
		return err_set(err, N2X_SYSTEM, "cannot remove %s: %s", path, strerror(errno));
	/* And the levels above, as far as they are empty; not the first, which may be the system's. */
	for (int level = 0; level < 2; level++) {
		*strrchr(path, '/') = '\0';
		if (rmdir(path) < 0)
			break;
	}
	return 0;
}

int xdp_instances(void (*fn)(const char *instance, void *ctx), void *ctx, struct err *err)
{
	_cleanup_dir_ DIR *dir = NULL;
	char path[PATH_MAX], name[64];
	struct dirent *e;
	int n = 0;

	instance_pin_dir(NULL, path);
	dir = opendir(path);
	if (!dir && errno == ENOENT)
		return check_bpffs(err);
	if (!dir)
		return err_set(err, N2X_SYSTEM, "%s: %s", path, strerror(errno));
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		instance_unescape(e->d_name, name, sizeof(name));
		fn(name, ctx);
		n++;
	}
	return n;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "xdp/xdp_path.h"

#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/cap.h"
#include "core/instance.h"
#include "core/log.h"
#include "core/netdev.h"
#include "core/util.h"
#include "xdp/xdp_ctl.h"
#include "xdp/xdp_load.h"
#include "xdp/xdp_pin.h"

/* The largest MTU that is sure to fit one page with headroom and tail on every driver; above it:
 * xdp.frags. */
#define MTU_LINEAR 1500

static bool is_ours(const char *prog_name)
{
	return !strncmp(prog_name, "n2x_xdp", strlen("n2x_xdp")) || xdp_is_stub(prog_name);
}

static int foreign(const char *interface, uint32_t id, struct err *err)
{
	struct bpf_prog_info info;

	if (xdp_prog_info(id, &info) < 0)
		snprintf(info.name, sizeof(info.name), "?");
	return err_set(
		err, N2X_FOREIGN,
		"%s: XDP program id %u (%s) is attached and is not ours: detach it first%s",
		interface, id, info.name,
		is_ours(info.name)
			? " (it is another instance's or namespace's: see nfq2xdp migrate status)"
			: "");
}

static const struct xdp_point *find_point(const struct xdp_state *state, const char *interface)
{
	for (unsigned int i = 0; i < state->n_points; i++)
		if (!strcmp(state->point[i].interface, interface))
			return &state->point[i];
	return NULL;
}

static bool attached(const struct xdp_state *there, const char *interface)
{
	const struct xdp_point *point = find_point(there, interface);

	return point && point->ours;
}

bool xdp_half(const struct xdp_state *there, const struct policy *policy)
{
	unsigned int wanted = 0, all = 0;

	if (there->ctl.flags & DF_CTL_WHOLE || there->ctl.writes ||
	    memcmp(&there->policy, &policy->df, sizeof(policy->df)) != 0)
		return false;
	for (unsigned int i = 0; i < policy->xdp.n_attach; i++)
		wanted += attached(there, policy->xdp.attach[i]);
	for (unsigned int i = 0; i < there->n_points; i++) {
		const struct xdp_point *point = &there->point[i];

		/* A dead link was whole once. A program's pin comes before its attachment. */
		if (!point->ours && (point->link || point->taken))
			return false;
		all += point->ours;
	}
	return there->n_points && all == wanted && wanted < policy->xdp.n_attach;
}

static int plan_point(const char *interface, bool local_only, const struct xdp_state *there,
		      struct xdp_plan *out, struct err *err)
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
	if (bpf_xdp_query(ifindex, 0, &query) == 0 && query.prog_id && !attached(there, interface))
		return foreign(interface, query.prog_id, err);
	snprintf(out->interface, sizeof(out->interface), "%s", interface);
	out->mtu = netdev_mtu(interface);
	out->frags = out->mtu > MTU_LINEAR;
	return 0;
}

int xdp_plan(const struct policy *policy, bool local_only, struct xdp_plan plan[POLICY_ATTACH_MAX],
	     struct err *err)
{
	struct xdp_state there = { 0 };
	struct err ignored;
	int ret = cap_require(CAP_NEED_XDP, err);

	xdp_libbpf_init();
	if (ret == 0)
		ret = xdp_pin_check_bpffs(err);
	if (ret == 0 &&
	    (xdp_read(policy->interface, &there, &ignored) < 0 || !xdp_half(&there, policy)))
		there.n_points = 0;
	for (unsigned int i = 0; i < policy->xdp.n_attach && ret == 0; i++)
		ret = plan_point(policy->xdp.attach[i], local_only, &there, &plan[i], err);
	return ret;
}

/* Before 5.18 the kernel has no xdp.frags: then the linear build, and the driver decides whether
 * its MTU allows it. */
static int load(const struct policy *policy, struct xdp_plan *plan, struct nfq2xdp **out,
		struct err *err)
{
	bool linear = false, frags = false;
	int ret;

	for (unsigned int i = 0; i < policy->xdp.n_attach; i++) {
		linear |= !plan[i].frags;
		frags |= plan[i].frags;
	}
	ret = xdp_load(policy, linear, frags, out);
	if (ret < 0 && frags) {
		for (unsigned int i = 0; i < policy->xdp.n_attach; i++)
			plan[i].frags = false;
		ret = xdp_load(policy, true, false, out);
	}
	return ret < 0 ? xdp_load_failed(ret, err) : 0;
}

/* The program that is on it now; 0: none. */
static uint32_t attached_id(int ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	return bpf_xdp_query(ifindex, 0, &query) == 0 ? query.prog_id : 0;
}

/*
 * One try in one mode. Returns a link's descriptor, 0 when attached by netlink (a kernel before 5.9),
 * or -errno with the kernel's words in xdp_libbpf_said(), unless a program is there: link creation has no
 * extack, so the same try by netlink is also how to learn why. Netlink leaves an attachment that lives by
 * itself: its pin is there first, so that whatever is attached can be found and taken away.
 */
static int attach_mode(const char *instance, const char *interface, int prog_fd, uint32_t mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = mode);
	int ifindex = (int)if_nametoindex(interface);
	int fd = bpf_link_create(prog_fd, ifindex, BPF_XDP, &opts);
	char path[PATH_MAX + 64];
	int ret = -errno;

	if (fd >= 0)
		return fd;
	/* The kernel says EEXIST of a device above that has one, too. */
	if (attached_id(ifindex))
		return ret;
	xdp_libbpf_say(strerror(-ret));
	xdp_pin_path(instance, PIN_PROG, interface, path);
	ret = xdp_pin_at(path, prog_fd);
	if (ret < 0)
		return ret;
	ret = bpf_xdp_attach(ifindex, prog_fd, mode | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL);
	if (ret < 0)
		unlink(path);
	return ret;
}

static int attach_point(const struct policy *policy, const char *interface, int prog_fd,
			struct err *err)
{
	static const uint32_t modes[] = { XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE };
	_cleanup_close_ int link = -1;
	char path[PATH_MAX + 64];
	uint32_t id = 0;
	int ret = -EINVAL;

	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		if (policy->xdp.mode == (i == 0 ? ATTACH_GENERIC : ATTACH_NATIVE))
			continue;
		ret = attach_mode(policy->interface, interface, prog_fd, modes[i]);
		id = ret < 0 ? attached_id((int)if_nametoindex(interface)) : 0;
		if (ret >= 0 || ret == -EEXIST || id)
			break;
		if (policy->xdp.mode == ATTACH_AUTO && modes[i] == XDP_FLAGS_DRV_MODE)
			log_info("%s: native XDP is not possible: %s", interface,
				 xdp_libbpf_said());
	}
	if (ret < 0 && id)
		return foreign(interface, id, err);
	if (ret == -EEXIST)
		return err_set(
			err, N2X_FOREIGN,
			"%s: cannot attach XDP: %s: ip -d link shows which; detach that first",
			interface, xdp_libbpf_said());
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "%s: cannot attach XDP: %s%s", interface,
			       xdp_libbpf_said(),
			       policy->xdp.mode == ATTACH_NATIVE
				       ? ": see nfq2xdp plan, or set xdp.mode to generic"
				       : "");
	if (ret == 0)
		return 0;
	link = ret;
	ret = xdp_pin(policy->interface, PIN_LINK, interface, link, err);
	xdp_pin_path(policy->interface, PIN_LINK, interface, path);
	if (ret == 0)
		xdp_pin_link_prog(path, prog_fd);
	return ret;
}

static int pin_and_attach(const struct policy *policy, const struct xdp_plan *plan,
			  const struct xdp_state *there, const struct nfq2xdp *skel,
			  struct err *err)
{
	int ret = xdp_load_pin(policy->interface, skel, err);
	char path[PATH_MAX + 64];

	for (unsigned int i = 0; i < policy->xdp.n_attach && ret == 0; i++) {
		if (attached(there, plan[i].interface))
			continue;
		xdp_pin_path(policy->interface, PIN_PROG, plan[i].interface, path);
		unlink(path);
		ret = attach_point(policy, plan[i].interface, xdp_load_prog(skel, plan[i].frags),
				   err);
	}
	return ret;
}

static int init_ctl(const struct nfq2xdp *skel, uint32_t generation, struct err *err)
{
	struct df_ctl ctl = { .generation = generation };
	const uint32_t zero = 0;

	ctl.hz = xdp_ctl_measure_hz(bpf_program__fd(skel->progs.n2x_clock));
	if (bpf_map_update_elem(bpf_map__fd(skel->maps.data_ctl), &zero, &ctl, BPF_ANY) < 0)
		return err_set(err, N2X_SYSTEM, "cannot write the control map: %s",
			       strerror(errno));
	return 0;
}

static int set_whole(const char *instance, struct err *err)
{
	_cleanup_(xdp_ctl_close) struct xdp_ctl ctl = { .clock_fd = -1 };
	int ret = xdp_ctl_open(instance, &ctl, err);

	if (ret == 0)
		xdp_ctl_flag(&ctl, DF_CTL_WHOLE, 1);
	return ret;
}

int xdp_attach(const struct policy *policy, bool local_only, uint32_t generation, struct err *err)
{
	_cleanup_(xdp_skel_destroyp) struct nfq2xdp *skel = NULL;
	struct xdp_plan plan[POLICY_ATTACH_MAX];
	struct xdp_state there = { 0 };
	struct err ignored;
	int ret = xdp_read(policy->interface, &there, err);
	bool half = ret == 0 && xdp_half(&there, policy);

	if (ret == 0 && there.n_points && !half)
		return err_set(err, N2X_NO, "%s is attached already", policy->interface);
	ret = xdp_plan(policy, local_only, plan, err);
	if (ret < 0)
		return ret;
	/* What an attach that was killed before its first link left. */
	if (!half)
		xdp_detach(policy->interface, &ignored);
	ret = load(policy, plan, &skel, err);
	if (ret == 0 && !half)
		ret = init_ctl(skel, generation, err);
	if (ret < 0)
		return ret;
	ret = pin_and_attach(policy, plan, &there, skel, err);
	if (ret == 0)
		ret = set_whole(policy->interface, err);
	if (ret < 0)
		xdp_detach(policy->interface, &ignored); /* X3 */
	return ret;
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
	bool known;

	/* libbpf 1.1 has no bpf_obj_get() relative to a directory. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, file);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	instance_unescape(file + strlen(PIN_LINK), name, sizeof(name));
	if (bpf_obj_get_info_by_fd(fd, link ? (void *)&link_info : (void *)&info, &len) < 0)
		return -errno;
	point.prog_id = link ? link_info.prog_id : info.id;
	ifindex = link ? (int)link_info.xdp.ifindex : 0;
	known = ifindex && bpf_xdp_query(ifindex, 0, &query) == 0;
	/* A dead link names no interface, and one of another namespace an index of there: then what there is
	 * under its name. */
	if (!known || query.prog_id != point.prog_id) {
		ifindex = (int)if_nametoindex(name);
		known = ifindex && bpf_xdp_query(ifindex, 0, &query) == 0;
	}
	if (link)
		xdp_link_prog_info(path, point.prog_id, &info);
	point.frags = strstr(info.name, "frags");
	point.stub = xdp_is_stub(info.name);
	memcpy(point.tag, info.tag, sizeof(point.tag));
	point.gone = !ifindex || !if_indextoname((unsigned int)ifindex, now);
	if (!point.gone)
		snprintf(name, sizeof(name), "%s", now);
	if (known) {
		point.ours = query.prog_id == point.prog_id;
		point.taken = query.prog_id && !point.ours;
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

	instance_pin_dir(ABI_VERSION, instance, path);
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
	_cleanup_(xdp_ctl_close) struct xdp_ctl ctl = { .clock_fd = -1 };
	_cleanup_close_ int stats = -1, policy = -1;
	const uint32_t zero = 0;
	int ret = xdp_ctl_open(instance, &ctl, err);

	if (ret == 0)
		ret = stats = xdp_pin_open(instance, "stats", err);
	if (ret >= 0)
		ret = policy = xdp_pin_open(instance, "policy", err);
	if (ret < 0)
		return ret;
	state.ctl = *ctl.map;
	state.now = xdp_ctl_now(&ctl);
	state.expired = state.ctl.deadline && state.now >= state.ctl.deadline;
	ret = bpf_map_lookup_elem(policy, &zero, &state.policy) < 0
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

static bool is_attachment(const char *file)
{
	return !strncmp(file, PIN_LINK, strlen(PIN_LINK)) ||
	       !strncmp(file, PIN_PROG, strlen(PIN_PROG));
}

static int detach_pins(DIR *dir, const char *path, bool attachments, struct err *err)
{
	struct dirent *e;
	int ret = 0;

	rewinddir(dir);
	while ((e = readdir(dir))) {
		int failed = 0;

		if (e->d_name[0] != '.' && is_attachment(e->d_name) == attachments)
			failed = detach_pin(path, e->d_name);
		if (failed < 0 && ret == 0)
			ret = err_set(err, N2X_SYSTEM, "cannot take away %s/%s: %s", path,
				      e->d_name, strerror(-failed));
	}
	return ret;
}

/* Detaches what one build pinned. The maps last: without them nobody sees that something is attached. */
static int detach_version(const char *instance, unsigned int version, struct err *err)
{
	_cleanup_dir_ DIR *dir = NULL;
	char path[PATH_MAX];
	int ret;

	instance_pin_dir(version, instance, path);
	dir = opendir(path);
	if (!dir)
		return 0;
	ret = detach_pins(dir, path, true, err);
	if (ret == 0)
		ret = detach_pins(dir, path, false, err);
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

/* Calls fn for each build's version that pinned something, anywhere. Stops at what is below 0. */
static int each_version(int (*fn)(unsigned int version, void *ctx, struct err *err), void *ctx,
			struct err *err)
{
	_cleanup_dir_ DIR *dir = opendir(INSTANCE_BPFFS "/nfq2xdp");
	struct dirent *e;
	int ret = 0;

	if (!dir && errno == ENOENT)
		return xdp_pin_check_bpffs(err);
	if (!dir)
		return err_set(err, N2X_SYSTEM, "%s/nfq2xdp: %s", INSTANCE_BPFFS, strerror(errno));
	while (ret >= 0 && (e = readdir(dir))) {
		unsigned int version;

		if (sscanf(e->d_name, "v%u", &version) == 1)
			ret = fn(version, ctx, err);
	}
	return ret;
}

static int detach_each(unsigned int version, void *ctx, struct err *err)
{
	return detach_version(ctx, version, err);
}

int xdp_detach(const char *instance, struct err *err)
{
	int ret = cap_require(CAP_NEED_XDP, err);

	xdp_libbpf_init();
	return ret < 0 ? ret : each_version(detach_each, (void *)instance, err);
}

struct instances {
	void (*fn)(const char *instance, unsigned int version, void *ctx);
	void *ctx;
	int n;
};

static int instances_each(unsigned int version, void *ctx, struct err *err)
{
	struct instances *instances = ctx;
	_cleanup_dir_ DIR *dir = NULL;
	char path[PATH_MAX], name[64];
	struct dirent *e;

	instance_pin_dir(version, NULL, path);
	dir = opendir(path);
	if (!dir && errno != ENOENT)
		return err_set(err, N2X_SYSTEM, "%s: %s", path, strerror(errno));
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		instance_unescape(e->d_name, name, sizeof(name));
		instances->fn(name, version, instances->ctx);
		instances->n++;
	}
	return 0;
}

int xdp_instances(void (*fn)(const char *instance, unsigned int version, void *ctx), void *ctx,
		  struct err *err)
{
	struct instances instances = { .fn = fn, .ctx = ctx };
	int ret = each_version(instances_each, &instances, err);

	return ret < 0 ? ret : instances.n;
}

/* By what is the same in every build: abi I1. */
static int zero_map(const char *instance, unsigned int version, struct err *err)
{
	_cleanup_free_ uint8_t *value = NULL;
	struct bpf_map_info info = { 0 };
	char dir[PATH_MAX], path[PATH_MAX + 8];
	uint32_t len = sizeof(info);
	const uint32_t key = 0;
	_cleanup_close_ int fd = -1;

	instance_pin_dir(version, instance, dir);
	snprintf(path, sizeof(path), "%s/ctl", dir);
	fd = bpf_obj_get(path);
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0)
		value = calloc(1, info.value_size + sizeof(uint64_t));
	if (!value)
		return err_set(err, errno == ENOENT ? N2X_INACTIVE : N2X_SYSTEM, "%s: %s", path,
			       strerror(errno));
	/* Not being able to read is no reason not to write: all zeros is share 0. */
	if (bpf_map_lookup_elem(fd, &key, value) < 0)
		log_info("%s: cannot be read: %s", path, strerror(errno));
	memset(value, 0, 2 * sizeof(uint32_t));
	if (bpf_map_update_elem(fd, &key, value, BPF_ANY) < 0)
		return err_set(err, N2X_SYSTEM, "%s: cannot write the share: %s", path,
			       strerror(errno));
	return 0;
}

static void find_instance(const char *instance, unsigned int version, void *ctx)
{
	const char **name = ctx;

	(void)version;
	if (*name && !strcmp(instance, *name))
		*name = NULL;
}

bool xdp_pinned(const char *instance)
{
	struct err ignored;

	xdp_instances(find_instance, &instance, &ignored);
	return !instance;
}

int xdp_zero(const char *instance, unsigned int version, struct err *err)
{
	_cleanup_(xdp_ctl_close) struct xdp_ctl ctl = { .clock_fd = -1 };
	int ret = cap_require(CAP_NEED_MAPS, err);

	xdp_libbpf_init();
	if (ret < 0)
		return ret;
	if (version != ABI_VERSION || xdp_ctl_open(instance, &ctl, err) < 0)
		return zero_map(instance, version, err);
	xdp_ctl_zero(&ctl);
	return 0;
}

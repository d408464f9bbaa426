// SPDX-License-Identifier: GPL-2.0-only
#include "xdp/xdp_load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/instance.h"
#include "core/util.h"
#include "xdp/xdp_ctl.h"
#include "xdp/xdp_pin.h"

/* It is what the pinned map "policy" holds: a string in the program would be there, too. */
_Static_assert(sizeof(*((struct nfq2xdp *)0)->rodata) == sizeof(struct df_policy), "constants");

void xdp_skel_destroyp(struct nfq2xdp **skel)
{
	nfq2xdp__destroy(*skel);
}

/* The map that is pinned under this name, if one is. */
static int reuse(const char *instance, const char *name, struct bpf_map *map)
{
	struct err ignored;
	_cleanup_close_ int fd = xdp_pin_open(instance, name, &ignored);

	return fd < 0 ? 0 : bpf_map__reuse_fd(map, fd);
}

int xdp_load(const struct policy *policy, bool linear, bool frags, struct nfq2xdp **out)
{
	_cleanup_(xdp_skel_destroyp) struct nfq2xdp *skel = nfq2xdp__open();
	int ret;

	if (!skel)
		return -errno;
	bpf_program__set_autoload(skel->progs.n2x_xdp, linear);
	bpf_program__set_autoload(skel->progs.n2x_pass, linear && !frags);
	bpf_program__set_autoload(skel->progs.n2x_xdp_frags, frags);
	bpf_program__set_autoload(skel->progs.n2x_pass_frags, frags);
	memcpy((void *)&skel->rodata->policy, &policy->df, sizeof(policy->df));
	skel->rodata_kernel->kernel.load_bytes =
		libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_xdp_load_bytes, NULL) == 1;
	ret = reuse(policy->interface, "ctl", skel->maps.data_ctl);
	if (ret == 0)
		ret = reuse(policy->interface, "stats", skel->maps.stats);
	if (ret == 0)
		ret = reuse(policy->interface, "samples", skel->maps.samples);
	if (ret == 0)
		ret = nfq2xdp__load(skel);
	if (ret < 0)
		return ret;
	*out = TAKE_PTR(skel);
	return 0;
}

int xdp_load_failed(int ret, struct err *err)
{
	return err_set(err, N2X_SYSTEM,
		       "the kernel refused the XDP program: %s: %s (-v shows its log)",
		       strerror(-ret), xdp_libbpf_said());
}

int xdp_load_prog(const struct nfq2xdp *skel, bool frags)
{
	return bpf_program__fd(frags ? skel->progs.n2x_xdp_frags : skel->progs.n2x_xdp);
}

static int make_dirs(const char *instance, struct err *err)
{
	char path[PATH_MAX];

	instance_pin_dir(ABI_VERSION, instance, path);
	for (char *slash = path + strlen(INSTANCE_BPFFS) + 1; slash; *slash = '/', slash++) {
		slash = strchr(slash, '/');
		if (slash)
			*slash = '\0';
		if (mkdir(path, 0700) == 0)
			instance_give(path);
		else if (errno != EEXIST)
			return err_set(err, N2X_SYSTEM, "%s: %s", path, strerror(errno));
		if (!slash)
			break;
	}
	return 0;
}

static int replace(const char *instance, const char *name, int fd, struct err *err)
{
	char path[PATH_MAX + 64], temporary[PATH_MAX + 64];
	int ret;

	xdp_pin_path(instance, "", name, path);
	xdp_pin_path(instance, "new-", name, temporary);
	unlink(temporary); /* of one that was killed here */
	ret = xdp_pin(instance, "new-", name, fd, err);
	if (ret == 0 && rename(temporary, path) < 0)
		ret = err_set(err, N2X_SYSTEM, "%s: %s", path, strerror(errno));
	return ret;
}

int xdp_load_pin(const char *instance, const struct nfq2xdp *skel, struct err *err)
{
	int pass = bpf_program__fd(skel->progs.n2x_pass_frags);
	int ret = make_dirs(instance, err);

	if (pass < 0)
		pass = bpf_program__fd(skel->progs.n2x_pass);
	/* ctl last: without it there is no instance. */
	if (ret == 0)
		ret = replace(instance, "stats", bpf_map__fd(skel->maps.stats), err);
	if (ret == 0)
		ret = replace(instance, "samples", bpf_map__fd(skel->maps.samples), err);
	if (ret == 0)
		ret = replace(instance, "policy", bpf_map__fd(skel->maps.rodata), err);
	if (ret == 0)
		ret = replace(instance, "clock", bpf_program__fd(skel->progs.n2x_clock), err);
	if (ret == 0)
		ret = replace(instance, "pass", pass, err);
	if (ret == 0)
		ret = replace(instance, "ctl", bpf_map__fd(skel->maps.data_ctl), err);
	return ret;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "xdp/xdp_probe.h"

#include <stdio.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include <bpf/bpf.h>

#include "core/instance.h"
#include "core/util.h"
#include "xdp/xdp_load.h"
#include "xdp/xdp_pin.h"

/* Returns whether the builds load, and in *jited whether they are compiled; *why is untouched then. */
static bool loads(const struct policy *policy, bool linear, bool frags, bool *jited,
		  struct err *why)
{
	_cleanup_(xdp_skel_destroyp) struct nfq2xdp *skel = NULL;
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	int ret = xdp_load(policy, linear, frags, &skel);

	if (ret < 0) {
		xdp_load_failed(ret, why);
		return false;
	}
	*jited = bpf_obj_get_info_by_fd(xdp_load_prog(skel, frags), &info, &len) == 0 &&
		 info.jited_prog_len;
	return true;
}

void xdp_probe(const struct policy *policy, struct xdp_probed *out)
{
	struct policy alone = *policy;
	struct xdp_probed probed = { 0 };

	xdp_libbpf_init();
	alone.interface[0] = '\0'; /* no instance: maps of its own */
	probed.linear = probed.frags = loads(&alone, true, true, &probed.jited, &probed.why);
	if (!probed.frags)
		probed.linear = loads(&alone, true, false, &probed.jited, &probed.why);
	*out = probed;
}

int xdp_probe_bpffs(bool *read_only, struct err *err)
{
	struct statfs fs;
	int ret = xdp_pin_check_bpffs(err);

	*read_only = false;
	if (ret < 0 ||
	    (statfs(INSTANCE_BPFFS "/nfq2xdp", &fs) < 0 && statfs(INSTANCE_BPFFS, &fs) < 0) ||
	    !(fs.f_flags & ST_RDONLY))
		return ret;
	*read_only = true;
	return err_set(err, N2X_SYSTEM,
		       "%s is read-only: nothing can be pinned there (in a service: "
		       "ReadWritePaths=%s/nfq2xdp)",
		       INSTANCE_BPFFS, INSTANCE_BPFFS);
}

void xdp_probe_name(uint32_t id, char out[BPF_OBJ_NAME_LEN])
{
	struct bpf_prog_info info;

	if (xdp_prog_info(id, &info) < 0)
		snprintf(info.name, sizeof(info.name), "?");
	snprintf(out, BPF_OBJ_NAME_LEN, "%s", info.name);
}

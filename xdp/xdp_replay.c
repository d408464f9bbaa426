// SPDX-License-Identifier: GPL-2.0-only
#include "xdp/xdp_replay.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/util.h"
#include "xdp/xdp_load.h"
#include "xdp/xdp_pin.h"

struct xdp_replay {
	struct nfq2xdp *skel;
	int prog; /* the skeleton's */
	int cpus;
	struct df_stats *per_cpu; /* where the counters are read to */
	uint64_t before[DF_REASON_MAX];
};

static struct nfq2xdp *load(const struct df_policy *policy, bool frags)
{
	_cleanup_(xdp_skel_destroyp) struct nfq2xdp *skel = nfq2xdp__open();
	const struct df_ctl ctl = { .share_kind = DF_SHARE_ALL };
	const __u32 zero = 0;
	struct bpf_program *prog;
	int ret;

	if (!skel)
		return NULL;
	bpf_object__for_each_program(prog, skel->obj) bpf_program__set_autoload(
		prog, prog == (frags ? skel->progs.n2x_xdp_frags : skel->progs.n2x_xdp));
	memcpy((void *)&skel->rodata->policy, policy, sizeof(*policy));
	ret = nfq2xdp__load(skel);
	if (ret == 0)
		ret = bpf_map_update_elem(bpf_map__fd(skel->maps.data_ctl), &zero, &ctl, BPF_ANY);
	errno = -ret;
	return ret ? NULL : TAKE_PTR(skel);
}

static void closep(struct xdp_replay **replay)
{
	xdp_replay_close(*replay);
}

int xdp_replay_open(const struct df_policy *policy, struct xdp_replay **out, struct err *err)
{
	_cleanup_(closep) struct xdp_replay *replay = calloc(1, sizeof(*replay));
	bool frags = true;

	if (!replay)
		return err_set(err, N2X_SYSTEM, "out of memory");
	xdp_libbpf_init();
	replay->skel = load(policy, frags);
	if (!replay->skel && errno != EPERM) {
		frags = false; /* before 5.18 */
		replay->skel = load(policy, frags);
	}
	if (!replay->skel && errno == EPERM)
		return err_set(err, N2X_SYSTEM,
			       "no right to run an XDP program on the packets: be root, or have "
			       "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON");
	if (!replay->skel)
		return xdp_load_failed(-errno, err);
	replay->prog = xdp_load_prog(replay->skel, frags);
	replay->cpus = libbpf_num_possible_cpus();
	replay->per_cpu = replay->cpus > 0 ? calloc((size_t)replay->cpus, sizeof(*replay->per_cpu))
					   : NULL;
	if (!replay->per_cpu)
		return err_set(err, N2X_SYSTEM, "out of memory");
	*out = TAKE_PTR(replay);
	return 0;
}

/* Takes the counters over; *reason is what rose. */
static int read_reason(struct xdp_replay *replay, int *reason)
{
	uint64_t now[DF_REASON_MAX] = { 0 }, rises = 0;
	const __u32 zero = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(replay->skel->maps.stats), &zero, replay->per_cpu) < 0)
		return -errno;
	*reason = -1;
	for (int i = 0; i < DF_REASON_MAX; i++) {
		for (int cpu = 0; cpu < replay->cpus; cpu++)
			now[i] += replay->per_cpu[cpu].reason[i];
		rises += now[i] - replay->before[i];
		if (now[i] != replay->before[i])
			*reason = i;
	}
	if (rises != 1)
		*reason = -1;
	memcpy(replay->before, now, sizeof(now));
	return 0;
}

int xdp_replay_run(struct xdp_replay *replay, const void *in, size_t len, void *out,
		   struct xdp_ran *ran, struct err *err)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = (__u32)len,
		    .data_out = out, .data_size_out = (__u32)(len + XDP_REPLAY_ROOM), .repeat = 1);
	int reason = -1, ret;

	/* Older kernels run it on less, newer ones do not: the same answer everywhere. */
	if (len < ETH_HLEN)
		return err_set(err, N2X_NO, "shorter than an Ethernet header");
	ret = bpf_prog_test_run_opts(replay->prog, &opts);
	if (ret == -EINVAL || ret == -EMSGSIZE || ret == -E2BIG)
		return err_set(err, N2X_NO, "the kernel runs no XDP program on %zu bytes", len);
	if (ret == 0)
		ret = read_reason(replay, &reason);
	if (ret < 0)
		return err_set(err, N2X_SYSTEM, "cannot run the XDP program on a packet: %s",
			       strerror(-ret));
	*ran = (struct xdp_ran){ .len = opts.data_size_out,
				 .passed = opts.retval == XDP_PASS,
				 .reason = reason };
	return 0;
}

void xdp_replay_close(struct xdp_replay *replay)
{
	if (!replay)
		return;
	nfq2xdp__destroy(replay->skel);
	free(replay->per_cpu);
	free(replay);
}

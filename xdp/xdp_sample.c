// SPDX-License-Identifier: GPL-2.0-only
#include "xdp/xdp_sample.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/util.h"
#include "xdp/xdp_ctl.h"
#include "xdp/xdp_pin.h"

#define RING_MAX (16U * 1024 * 1024) /* 100 ms of 100,000 packets of 1,500 bytes a second */
#define RING_MIN (64U * 1024)

struct xdp_samples {
	struct xdp_samples_reader reader;
	struct xdp_ctl ctl;
	int samples_fd, stats_fd; /* the instance's maps */
	int ring_fd; /* ours, in it */
	uint32_t ring_id;
	struct ring_buffer *ring;
	uint32_t unshown; /* before ours */
};

static int take(void *ctx, void *data, size_t size)
{
	const struct xdp_samples *samples = ctx;
	const struct df_sample *sample = data;

	if (size < sizeof(*sample) || sample->len > size - sizeof(*sample) ||
	    sample->ip_at > sample->len)
		return 0;
	samples->reader.sample(samples->reader.ctx, (int)sample->cpu, sample,
			       (const uint8_t *)(sample + 1));
	return 0;
}

/* As large as may be. -errno. */
static int make_ring(void)
{
	int fd = -1;

	for (uint32_t bytes = RING_MAX; fd < 0 && bytes >= RING_MIN; bytes /= 2)
		fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "n2x_samples", 0, 0, bytes, NULL);
	return fd;
}

/* Modulo 2^32, as each CPU's. */
static uint32_t unshown(int stats_fd)
{
	const int cpus = libbpf_num_possible_cpus();
	const uint32_t zero = 0;
	uint32_t sum = 0;
	_cleanup_free_ struct df_stats *stats = NULL;

	if (cpus > 0)
		stats = calloc((size_t)cpus, sizeof(*stats));
	if (!stats || bpf_map_lookup_elem(stats_fd, &zero, stats) < 0)
		return 0;
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += stats[cpu].unshown;
	return sum;
}

/* Makes the ring, and puts it where the program finds it. */
static int open_ring(struct xdp_samples *samples)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	const uint32_t zero = 0;

	samples->ring_fd = make_ring();
	if (samples->ring_fd < 0)
		return -errno;
	samples->ring = ring_buffer__new(samples->ring_fd, take, samples, NULL);
	if (!samples->ring || bpf_obj_get_info_by_fd(samples->ring_fd, &info, &len) < 0)
		return -errno;
	samples->ring_id = info.id;
	samples->unshown = unshown(samples->stats_fd);
	if (bpf_map_update_elem(samples->samples_fd, &zero, &samples->ring_fd, BPF_ANY) < 0)
		return -errno;
	return 0;
}

/* Not that of a reader that came after us. */
static void remove_ring(const struct xdp_samples *samples)
{
	const uint32_t zero = 0;
	uint32_t id;

	if (bpf_map_lookup_elem(samples->samples_fd, &zero, &id) == 0 && id == samples->ring_id)
		bpf_map_delete_elem(samples->samples_fd, &zero);
}

static void closep(struct xdp_samples **samples)
{
	xdp_samples_close(*samples);
}

int xdp_samples_open(const char *instance, const struct xdp_samples_reader *reader,
		     struct xdp_samples **out, struct err *err)
{
	_cleanup_(closep) struct xdp_samples *samples = calloc(1, sizeof(*samples));
	int ret;

	if (!samples)
		return err_set(err, N2X_SYSTEM, "out of memory");
	samples->reader = *reader;
	samples->ctl.clock_fd = -1;
	samples->samples_fd = samples->stats_fd = samples->ring_fd = -1;
	ret = xdp_ctl_open(instance, &samples->ctl, err);
	if (ret == 0)
		ret = samples->samples_fd = xdp_pin_open(instance, "samples", err);
	if (ret >= 0)
		ret = samples->stats_fd = xdp_pin_open(instance, "stats", err);
	if (ret < 0)
		return ret;
	ret = open_ring(samples);
	if (ret < 0)
		return err_set(
			err, N2X_SYSTEM,
			"%s: cannot read what the program shows: %s: needs CAP_BPF, and memory",
			instance, strerror(-ret));
	*out = TAKE_PTR(samples);
	return 0;
}

int xdp_samples_ask(struct xdp_samples *samples, uint32_t one_in, uint64_t for_ns, struct err *err)
{
	return xdp_ctl_sample(&samples->ctl, one_in, for_ns, err);
}

int xdp_samples_read(struct xdp_samples *samples)
{
	int n = ring_buffer__consume(samples->ring);

	return n < 0 ? n : 0;
}

uint64_t xdp_samples_lost(const struct xdp_samples *samples)
{
	return (uint32_t)(unshown(samples->stats_fd) - samples->unshown);
}

void xdp_samples_close(struct xdp_samples *samples)
{
	struct err ignored;

	if (!samples)
		return;
	if (samples->ctl.map)
		xdp_ctl_sample(&samples->ctl, 0, 0, &ignored);
	if (samples->ring_id)
		remove_ring(samples);
	ring_buffer__free(samples->ring);
	util_closep(&samples->ring_fd);
	util_closep(&samples->stats_fd);
	util_closep(&samples->samples_fd);
	xdp_ctl_close(&samples->ctl);
	free(samples);
}

// SPDX-License-Identifier: GPL-2.0-only
#include "xdp/xdp_sample.h"

#include <errno.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <linux/perf_event.h>

#include "core/util.h"
#include "xdp/xdp_ctl.h"
#include "xdp/xdp_pin.h"

#define PAGES_ALL 8192 /* 32 MiB, over all CPUs */
#define PAGES_MAX 2048 /* of one: 50 ms of 100,000 packets of 1,500 bytes a second */
#define PAGES_MIN 16

struct xdp_samples {
	struct xdp_samples_reader reader;
	struct xdp_ctl ctl;
	int map_fd; /* what was put into the map goes with it (kernel/bpf/arraymap.c) */
	struct perf_buffer *buffer;
	uint64_t lost;
};

/* include/uapi/linux/perf_event.h, PERF_RECORD_SAMPLE with PERF_SAMPLE_RAW, and PERF_RECORD_LOST. */
struct record {
	struct perf_event_header header;
	union {
		struct {
			uint32_t size;
			uint8_t data[];
		} __attribute__((packed)) raw;
		struct {
			uint64_t id, lost;
		} lost;
	};
};

static enum bpf_perf_event_ret take(void *ctx, int cpu, struct perf_event_header *event)
{
	struct xdp_samples *samples = ctx;
	const struct record *record = (void *)event;
	struct df_sample sample;

	if (event->type == PERF_RECORD_LOST)
		samples->lost += record->lost.lost;
	if (event->type != PERF_RECORD_SAMPLE || record->raw.size < sizeof(sample))
		return LIBBPF_PERF_EVENT_CONT;
	memcpy(&sample, record->raw.data, sizeof(sample));
	if (sample.len > record->raw.size - sizeof(sample) || sample.ip_at > sample.len)
		return LIBBPF_PERF_EVENT_CONT;
	samples->reader.sample(samples->reader.ctx, cpu, &sample,
			       record->raw.data + sizeof(sample));
	return LIBBPF_PERF_EVENT_CONT;
}

/* As large as may be: what a process may lock depends on its rights. A power of 2. */
static struct perf_buffer *open_buffer(int map_fd, struct xdp_samples *samples)
{
	/* Nobody waits for it, so it need not wake: that costs the packet more than all the rest. */
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_BPF_OUTPUT,
		.sample_type = PERF_SAMPLE_RAW,
		.sample_period = 1,
		.watermark = 1,
		.wakeup_watermark = UINT32_MAX,
	};
	const int cpus = libbpf_num_possible_cpus();
	struct perf_buffer *buffer = NULL;
	size_t pages = PAGES_MAX;

	while (cpus > 0 && pages > PAGES_MIN && pages * (size_t)cpus > PAGES_ALL)
		pages /= 2;
	for (; !buffer && pages >= PAGES_MIN; pages /= 2)
		buffer = perf_buffer__new_raw(map_fd, pages, &attr, take, samples, NULL);
	return buffer;
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
	samples->map_fd = -1;
	ret = xdp_ctl_open(instance, &samples->ctl, err);
	if (ret == 0)
		ret = samples->map_fd = xdp_pin_open(instance, "samples", err);
	if (ret < 0)
		return ret;
	samples->buffer = open_buffer(samples->map_fd, samples);
	if (!samples->buffer)
		return err_set(
			err, N2X_SYSTEM,
			"%s: cannot read what the program shows: %s: needs CAP_PERFMON, and memory that may be locked",
			instance, strerror(errno));
	*out = TAKE_PTR(samples);
	return 0;
}

int xdp_samples_ask(struct xdp_samples *samples, uint32_t one_in, uint64_t for_ns, struct err *err)
{
	return xdp_ctl_sample(&samples->ctl, one_in, for_ns, err);
}

int xdp_samples_read(struct xdp_samples *samples)
{
	return perf_buffer__consume(samples->buffer);
}

uint64_t xdp_samples_lost(const struct xdp_samples *samples)
{
	return samples->lost;
}

void xdp_samples_close(struct xdp_samples *samples)
{
	struct err ignored;

	if (!samples)
		return;
	if (samples->ctl.map)
		xdp_ctl_sample(&samples->ctl, 0, 0, &ignored);
	perf_buffer__free(samples->buffer);
	util_closep(&samples->map_fd);
	xdp_ctl_close(&samples->ctl);
	free(samples);
}

// SPDX-License-Identifier: GPL-2.0-only
#include "xdp/xdp_ctl.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <bpf/bpf.h>

#include "core/cap.h"
#include "core/util.h"
#include "xdp/xdp_pin.h"

#define NS_PER_S       1000000000ULL
#define HZ_MEASURED_MS 100 /* the kernels' 250 and 300 are five ticks apart by then */
#define HZ_TRIES       20
#define HZ_SLOWEST     100 /* a lease that is counted in ticks of 10 ms is never longer than meant */

int xdp_ctl_open(const char *instance, struct xdp_ctl *out, struct err *err)
{
	struct xdp_ctl ctl = { .clock_fd = -1 };
	_cleanup_close_ int fd = -1;
	struct err ignored;
	int ret = cap_require(CAP_NEED_MAPS, err);

	xdp_libbpf_init();
	if (ret == 0)
		ret = fd = xdp_pin_open(instance, "ctl", err);
	if (ret < 0)
		return ret;
	ctl.map = mmap(NULL, sizeof(*ctl.map), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ctl.map == MAP_FAILED)
		return err_set(err, N2X_SYSTEM, "%s: cannot map the control map: %s", instance,
			       strerror(errno));
	/* Not there: no lease can be told, and everything else works. */
	ctl.clock_fd = xdp_pin_open(instance, "clock", &ignored);
	if (ctl.clock_fd < 0)
		ctl.clock_fd = -1;
	*out = ctl;
	return 0;
}

void xdp_ctl_close(struct xdp_ctl *ctl)
{
	if (ctl->map)
		munmap(ctl->map, sizeof(*ctl->map));
	if (ctl->clock_fd >= 0)
		close(ctl->clock_fd);
	*ctl = (struct xdp_ctl){ .clock_fd = -1 };
}

/* The program writes the clock into its packet. */
static uint64_t clock_run(int fd)
{
	union {
		char packet[64];
		uint64_t now;
	} data = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &data, .data_size_in = sizeof(data),
		    .data_out = &data, .data_size_out = sizeof(data));

	return fd >= 0 && bpf_prog_test_run_opts(fd, &opts) == 0 ? data.now : 0;
}

uint64_t xdp_ctl_now(const struct xdp_ctl *ctl)
{
	return clock_run(ctl->clock_fd);
}

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* What the ticks of 0.1 s look like, or 0 when nothing that kernels have. */
static uint32_t measure(int clock_fd)
{
	static const uint32_t known[] = { 100, 250, 300, 500,
					  1000 }; /* kernel/Kconfig.hz; patched: 500 */
	uint64_t start_ns = monotonic_ns(), start = clock_run(clock_fd);
	uint64_t ticks, ns;
	int64_t hz;

	poll(NULL, 0, HZ_MEASURED_MS);
	ticks = clock_run(clock_fd) - start;
	ns = monotonic_ns() - start_ns;
	hz = (int64_t)(ticks * NS_PER_S / ns);
	for (unsigned int i = 0; i < ARRAY_SIZE(known); i++)
		if (llabs(hz - known[i]) * 8 <= known[i])
			return known[i];
	return 0;
}

uint32_t xdp_ctl_measure_hz(int clock_fd)
{
	uint32_t last = 0, hz = measure(clock_fd);

	/* Whoever is not scheduled between two readings measures that: until two in a row agree. */
	for (int i = 0; i < HZ_TRIES && (!hz || hz != last); i++) {
		last = hz;
		hz = measure(clock_fd);
	}
	return hz ? hz : HZ_SLOWEST;
}

uint64_t xdp_ctl_after(const struct df_ctl *ctl, uint64_t now, uint64_t ns)
{
	return now + 1 + ns / NS_PER_S * ctl->hz + ns % NS_PER_S * ctl->hz / NS_PER_S;
}

uint64_t xdp_ctl_left_ns(const struct df_ctl *ctl, uint64_t now, uint64_t until)
{
	uint64_t ticks = until > now ? until - now : 0;

	return ctl->hz ? ticks / ctl->hz * NS_PER_S + ticks % ctl->hz * NS_PER_S / ctl->hz : 0;
}

/* Kind and n of a share, in one word. */
typedef uint64_t __attribute__((may_alias)) share_word;

static uint64_t word(const struct share *share)
{
	const struct df_ctl ctl = { .share_kind = share->kind, .share_n = share->n };

	return *(const share_word *)&ctl.share_kind;
}

static share_word *share_of(const struct xdp_ctl *ctl)
{
	return (share_word *)&ctl->map->share_kind;
}

static int moved(struct err *err)
{
	return err_set(err, N2X_NO, "somebody else moved the share meanwhile: it stays as it is");
}

static int swap(const struct xdp_ctl *ctl, const struct share *from, const struct share *to,
		struct err *err)
{
	share_word expected = word(from);

	if (__atomic_compare_exchange_n(share_of(ctl), &expected, word(to), false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST))
		return 0;
	return moved(err);
}

#define SET(word, value) __atomic_store_n(&(word), (value), __ATOMIC_SEQ_CST)

static uint64_t min_lease(uint64_t a, uint64_t b)
{
	return b && b < a ? b : a;
}

int xdp_ctl_raise(const struct xdp_ctl *ctl, const struct xdp_raise *raise, struct err *err)
{
	uint64_t now = xdp_ctl_now(ctl);
	struct df_ctl *map = ctl->map;
	int ret;

	if (!now && (raise->lease_ns || raise->confirm_by))
		return err_set(err, N2X_SYSTEM, "the kernel's clock cannot be read: no lease");
	/* Before the lease, too: it must not revive a share that is not ours. */
	if (*share_of(ctl) != word(&raise->from))
		return moved(err);
	SET(map->confirmed, 0);
	SET(map->confirm_by, raise->confirm_by);
	SET(map->deadline,
	    raise->lease_ns ? min_lease(xdp_ctl_after(map, now, raise->lease_ns), raise->confirm_by)
			    : raise->confirm_by);
	xdp_ctl_flag(ctl, DF_CTL_DONE, 0);
	ret = swap(ctl, &raise->from, &raise->to, err);
	if (ret < 0)
		return ret;
	SET(map->step, raise->step);
	__atomic_fetch_add(&map->writes, 1, __ATOMIC_SEQ_CST);
	return 0;
}

void xdp_ctl_zero(const struct xdp_ctl *ctl)
{
	struct df_ctl *map = ctl->map;

	__atomic_store_n(share_of(ctl), 0, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&map->writes, 1, __ATOMIC_SEQ_CST);
	SET(map->deadline, 0);
	SET(map->confirm_by, 0);
	SET(map->confirmed, 0);
	SET(map->step, 0);
	__atomic_and_fetch(&map->flags, DF_CTL_WHOLE, __ATOMIC_SEQ_CST);
}

static bool over(const struct df_ctl *map, uint64_t now)
{
	return !now || (map->deadline && now >= map->deadline);
}

int xdp_ctl_extend(const struct xdp_ctl *ctl, uint64_t lease_ns, struct err *err)
{
	uint64_t now = xdp_ctl_now(ctl);
	struct df_ctl *map = ctl->map;

	if (over(map, now))
		return err_set(err, N2X_NO, "the lease has run out");
	SET(map->deadline, min_lease(xdp_ctl_after(map, now, lease_ns), map->confirm_by));
	/* Confirmed just now: that took the lease away, for good. */
	if (__atomic_load_n(&map->confirmed, __ATOMIC_SEQ_CST) == map->generation)
		SET(map->deadline, 0);
	return 0;
}

static int check_waits(const struct xdp_ctl *ctl, uint64_t now, struct err *err)
{
	const struct df_ctl *map = ctl->map;

	if (!map->confirm_by || map->share_kind == DF_SHARE_NONE)
		return err_set(err, N2X_NO, "generation %u does not wait to be confirmed",
			       map->generation);
	if (over(map, now))
		return err_set(
			err, N2X_NO,
			"generation %u was not confirmed in time: XDP takes nothing any more",
			map->generation);
	return 0;
}

int xdp_ctl_confirm(const struct xdp_ctl *ctl, uint32_t generation, struct err *err)
{
	struct df_ctl *map = ctl->map;
	int ret;

	/* A confirm that was killed half way has left its lease: it is not done. */
	if (map->confirmed == generation && map->share_kind != DF_SHARE_NONE && !map->confirm_by &&
	    !map->deadline)
		return 0;
	if (map->generation != generation)
		return err_set(err, N2X_NO, "the generation is %u, not %u: nothing is confirmed",
			       map->generation, generation);
	ret = check_waits(ctl, xdp_ctl_now(ctl), err);
	if (ret < 0)
		return ret;
	SET(map->confirmed, generation);
	SET(map->confirm_by, 0);
	SET(map->deadline, 0);
	return 0;
}

int xdp_ctl_confirm_within(const struct xdp_ctl *ctl, uint64_t ns, struct err *err)
{
	uint64_t now = xdp_ctl_now(ctl);
	struct df_ctl *map = ctl->map;
	uint64_t until = xdp_ctl_after(map, now, ns);
	bool alone = map->deadline == map->confirm_by; /* nobody's heartbeat */
	int ret = check_waits(ctl, now, err);

	if (ret < 0)
		return ret;
	SET(map->confirm_by, until);
	if (alone || map->deadline > until) /* C4 */
		SET(map->deadline, until);
	return 0;
}

int xdp_ctl_sample(const struct xdp_ctl *ctl, uint32_t one_in, uint64_t ns, struct err *err)
{
	uint64_t now = one_in ? xdp_ctl_now(ctl) : 0;

	if (one_in && !now)
		return err_set(err, N2X_SYSTEM, "the kernel's clock cannot be read: no samples");
	/* nft_hash: hash * one_in >> 32 is 0 */
	if (one_in)
		SET(ctl->map->sample_max, UINT32_MAX / one_in);
	SET(ctl->map->sample_until, one_in ? xdp_ctl_after(ctl->map, now, ns) : 0);
	return 0;
}

void xdp_ctl_flag(const struct xdp_ctl *ctl, uint32_t flag, int on)
{
	if (on)
		__atomic_or_fetch(&ctl->map->flags, flag, __ATOMIC_SEQ_CST);
	else
		__atomic_and_fetch(&ctl->map->flags, ~flag, __ATOMIC_SEQ_CST);
}

static const struct share nothing = { .kind = DF_SHARE_TRIAL };

int xdp_ctl_trial(const struct xdp_ctl *ctl, const struct share *share, struct err *err)
{
	return swap(ctl, share, &nothing, err);
}

int xdp_ctl_trial_end(const struct xdp_ctl *ctl, const struct share *share, struct err *err)
{
	return swap(ctl, &nothing, share, err);
}

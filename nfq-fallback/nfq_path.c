// SPDX-License-Identifier: GPL-2.0-only
#include "nfq-fallback/nfq_path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

#include "core/cap.h"
#include "core/instance.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/netdev.h"
#include "core/notify.h"
#include "core/util.h"
#include "nfq-fallback/nfq_queue.h"

#define DRAIN_QUIET_MS \
	100 /* empty for this long with the rule gone: nothing is on its way any more */
#define DRAIN_LIMIT_MS  5000
#define OTHERS_LIMIT_MS 3000

#define STATE_VERSION 3 /* of struct nfq_state; not of the XDP path's layout */
#define CACHE_LINE    64

/* What one worker thread writes, in cache lines of its own. */
struct nfq_thread {
	struct df_stats stats;
} __attribute__((aligned(CACHE_LINE)));

/* The state file, mapped by the process that runs and by those who look. */
struct nfq_state {
	uint32_t version; /* STATE_VERSION */
	uint16_t queue;
	uint16_t threads;
	uint32_t ready; /* 1: queues bound and rule in place */
	uint32_t owner;
	uint64_t rule_base; /* verdicts given before the present rule was put in */
	struct nfq_thread thread[POLICY_THREADS_MAX];
};

struct worker {
	pthread_t thread;
	bool started;
	struct nfq_queue *queue;
	const bool *stop;
	int failed_fd; /* written when the queue cannot be read any more */
	uint64_t turns; /* of its loop; it alone writes them */
	uint64_t seen; /* of these, at the last look */
};

struct nfq_path {
	const struct policy *policy;
	metrics_fill_fn *fill;
	/* For the metrics: the most that was derived so far, because a counter never falls; and of it
	 * what was before the present rule. */
	uint64_t unmodified, unmodified_before;
	struct df_policy df; /* as it applies here: without the encapsulation */
	struct nfq_state *state;
	int lock_fd;
	bool stop; /* the workers end; they read it while they run */
	int failed_fd;
	struct nft *nft;
	struct nft_installed rules;
	bool installed; /* the table is ours to take away */
	struct worker worker[POLICY_THREADS_MAX];
};

static uint64_t handled(const struct nfq_state *state, uint64_t reason[DF_REASON_MAX])
{
	uint64_t sum = 0;

	for (unsigned int t = 0; t < state->threads; t++) {
		for (unsigned int r = 0; r < DF_REASON_MAX; r++) {
			uint64_t n = __atomic_load_n(&state->thread[t].stats.reason[r],
						     __ATOMIC_RELAXED);

			sum += n;
			if (reason)
				reason[r] += n;
		}
	}
	return sum;
}

static struct nfq_state *state_map(int fd, int prot)
{
	void *p = mmap(NULL, sizeof(struct nfq_state), prot, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Takes the state file of this instance (N2) and empties it. */
static int state_take(struct nfq_path *path, struct err *err)
{
	const struct policy *policy = path->policy;
	const char *name = policy->interface;
	int ret = path->lock_fd = instance_lock(name, "nfqueue", err);

	if (ret < 0)
		return ret;
	/* Never to 0 on the way: who looks has it mapped. */
	ret = ftruncate(path->lock_fd, sizeof(struct nfq_state)) < 0 ? errno : 0;
	/* A full disk says so now, and not with a SIGBUS when the map is written to. */
	if (ret == 0)
		ret = posix_fallocate(path->lock_fd, 0, sizeof(struct nfq_state));
	if (ret == 0) {
		path->state = state_map(path->lock_fd, PROT_READ | PROT_WRITE);
		ret = errno;
	}
	if (!path->state)
		return err_set(err, N2X_SYSTEM, "%s: state file in %s: %s", name, INSTANCE_RUN_DIR,
			       strerror(ret));
	*path->state = (struct nfq_state){ .version = STATE_VERSION };
	path->state->queue = policy->nfqueue.queue;
	path->state->threads = policy->nfqueue.threads;
	return 0;
}

static int open_queues(struct nfq_path *path, struct err *err)
{
	const struct policy *policy = path->policy;

	for (unsigned int i = 0; i < policy->nfqueue.threads; i++) {
		uint16_t num = (uint16_t)(policy->nfqueue.queue + i);
		struct nfq_queue_info info = { 0 };
		int ret = nfq_queue_open(&path->worker[i].queue, num,
					 policy->nfqueue.fail == NFQ_FAIL_OPEN, &path->df,
					 &path->state->thread[i].stats);

		if (ret == -EBUSY) {
			nfq_queue_read(num, &info);
			return err_set(
				err, N2X_FOREIGN,
				"queue %u is taken (netlink port %u): stop that program, or choose another "
				"nfqueue.queue",
				num, info.portid);
		}
		if (ret == -EOPNOTSUPP)
			return err_set(
				err, N2X_SYSTEM,
				"this kernel has no nfnetlink_queue: load it (modprobe nfnetlink_queue)");
		if (ret < 0)
			return err_set(err, N2X_SYSTEM, "queue %u: %s", num, strerror(-ret));
	}
	return 0;
}

/* The data path: nothing but the queue and the word to stop. */
static void *work(void *arg)
{
	struct worker *worker = arg;

	while (!__atomic_load_n(worker->stop, __ATOMIC_ACQUIRE)) {
		int ret = nfq_queue_service(worker->queue, true);

		if (ret < 0) {
			log_info("a queue cannot be read: %s", strerror(-ret));
			eventfd_write(worker->failed_fd, 1);
			break;
		}
		__atomic_store_n(&worker->turns, worker->turns + 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Signals are for the main thread: the workers start with all of them blocked. */
static int start_workers(struct nfq_path *path, struct err *err)
{
	sigset_t all, before;
	int ret = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (unsigned int i = 0; i < path->policy->nfqueue.threads && ret == 0; i++) {
		struct worker *worker = &path->worker[i];

		worker->stop = &path->stop;
		worker->failed_fd = path->failed_fd;
		ret = pthread_create(&worker->thread, NULL, work, worker);
		worker->started = ret == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret ? err_set(err, N2X_SYSTEM, "cannot start a thread: %s", strerror(ret)) : 0;
}

/*
 * Hooks that come make the kernel send what waits in other queues through its rule again, hooks that
 * go make it drop that (nft N3): look for a moment when nothing waits. A queue that is never empty
 * is overloaded, and not ours to wait for.
 */
static void wait_for_others(const struct nfq_path *path, const char *what)
{
	for (unsigned int ms = 0; nfq_queues_waiting(); ms++) {
		if (ms == OTHERS_LIMIT_MS) {
			log_info("%s: packets wait in other queues; %s", path->policy->interface,
				 what);
			return;
		}
		poll(NULL, 0, 1);
	}
}

static int install(struct nfq_path *path, struct err *err)
{
	/* Before: packets come as soon as the rule is in. */
	uint64_t base = handled(path->state, NULL);
	int ret;

	wait_for_others(path, "their daemons see them twice");
	ret = nft_install(path->nft, path->policy, NULL, &path->rules, err);
	path->installed = ret == 0;
	if (ret < 0)
		return ret;
	path->state->owner = path->rules.owner;
	path->state->rule_base = base;
	path->unmodified_before = path->unmodified;
	return 0;
}

/* Without the owner flag anybody's `nft flush ruleset` takes our table: look, put it back, say it. */
static void watch(struct nfq_path *path)
{
	struct nft_counters now;
	struct err err;

	if (nft_read(path->policy->interface, &now, &err) < 0 || now.has_queue)
		return;
	if (install(path, &err) == 0)
		log_info(
			"%s: somebody removed our nftables table: it is back; packets of the gap passed unmodified",
			path->policy->interface);
	else
		log_info("%s: our nftables table is gone: %s", path->policy->interface, err.text);
}

/* Has each worker taken a turn since the last look, or nothing to do? */
static bool progressed(struct nfq_path *path)
{
	struct nfq_queue_info info;
	bool all = true;

	for (unsigned int i = 0; i < path->state->threads; i++) {
		struct worker *worker = &path->worker[i];
		uint64_t turns = __atomic_load_n(&worker->turns, __ATOMIC_RELAXED);

		if (turns == worker->seen &&
		    (nfq_queue_read((uint16_t)(path->state->queue + i), &info) < 0 || info.depth))
			all = false;
		worker->seen = turns;
	}
	return all;
}

/* Every second. A queue that stands still starves the service manager's watchdog. */
static int every_second(void *ctx)
{
	struct nfq_path *path = ctx;
	char text[96];

	if (!path->rules.owner)
		watch(path);
	snprintf(text, sizeof(text), "STATUS=%" PRIu64 " packets handled%s",
		 handled(path->state, NULL),
		 progressed(path) ? "\nWATCHDOG=1" : ", a queue stands still");
	notify(text);
	return 0;
}

static void ready(void *ctx)
{
	struct nfq_path *path = ctx;

	path->state->ready = 1;
	if (netdev_is_bridge(path->policy->interface) && netdev_bridge_hidden())
		log_info("%s: net.bridge.bridge-nf-call-iptables is not 1: unless the bridge's own "
			 "nf_call_iptables is, this path does not see frames that are bridged from "
			 "port to port",
			 path->policy->interface);
	log_info("%s: NFQUEUE path ready: queue %u, %u thread(s), %s, table owner flag %s",
		 path->policy->interface, path->state->queue, path->state->threads,
		 path->rules.compat ? "xt NFQUEUE through nft_compat" : "nft queue",
		 path->rules.owner ? "on" : "off");
}

static uint64_t depth(const struct nfq_state *state, uint64_t *dropped)
{
	struct nfq_queue_info info;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < state->threads; i++) {
		if (nfq_queue_read((uint16_t)(state->queue + i), &info) < 0)
			continue;
		sum += info.depth;
		if (dropped)
			*dropped += info.dropped + info.user_dropped;
	}
	return sum;
}

static void look_once(const struct nfq_state *state, struct nfq_path_info *info)
{
	uint64_t given;

	info->dropped = 0;
	info->depth = depth(state, &info->dropped);
	info->handled = handled(state, memset(info->reason, 0, sizeof(info->reason)));
	given = info->handled - state->rule_base + info->depth + info->dropped;
	info->unmodified = info->nft.queued > given ? info->nft.queued - given : 0;
}

/* state->ready: a process of ours has it, and our table was read into info before. */
static void look(const struct nfq_state *state, struct nfq_path_info *info)
{
	info->queue = state->queue;
	info->threads = state->threads;
	info->owner = state->owner;
	info->running = state->ready && info->nft.has_queue;
	look_once(state, info);
	/* Each CPU may have one packet that the rule has counted and the queue not yet. */
	if (info->unmodified && info->unmodified <= (uint64_t)get_nprocs()) {
		poll(NULL, 0, 1);
		look_once(state, info);
	}
}

void nfq_path_metrics(const struct nfq_path_info *info, struct metrics *out)
{
	out->nfqueue.known = true;
	out->nfqueue.up = info->running;
	out->nfqueue.reasons = !info->external;
	memcpy(out->nfqueue.reason, info->reason, sizeof(info->reason));
	out->nfqueue.handled = info->handled;
	out->nfqueue.depth = info->depth;
	out->nfqueue.dropped = info->dropped;
	out->nfqueue.unmodified = info->unmodified;
	out->nfqueue.behind = info->nft.has_leak;
	out->nfqueue.leaked = info->nft.leaked;
}

/* Not by nfq_path_read(): who opens and closes the state file loses the lock on it. */
static void render(void *ctx, FILE *out)
{
	struct nfq_path *path = ctx;
	struct metrics metrics = { .interface = path->policy->interface, .nfqueue.own = true };
	struct nfq_path_info info = { 0 };
	struct err ignored;

	if (nft_read(path->policy->interface, &info.nft, &ignored) == 0) {
		look(path->state, &info);
		info.unmodified += path->unmodified_before;
		if (info.unmodified < path->unmodified)
			info.unmodified = path->unmodified;
		path->unmodified = info.unmodified;
		nfq_path_metrics(&info, &metrics);
	}
	if (path->fill)
		path->fill(path->policy, &metrics);
	metrics_render(&metrics, out);
}

static int wait_for_end(struct nfq_path *path, struct err *err)
{
	const struct loop loop = {
		.fd = path->failed_fd,
		.tick = every_second,
		.ready = ready,
		.ctx = path,
		.http = { .listen = path->policy->metrics.listen, .render = render, .ctx = path },
	};
	int ret = loop_wait(&loop);

	if (ret == LOOP_STOPPED)
		return 0;
	return err_set(err, N2X_SYSTEM,
		       ret < 0 ? "cannot set up the event loop"
			       : "a queue cannot be read any more");
}

/*
 * With the rule gone, waits until the workers have given every verdict. A packet that was between
 * rule and queue when the rule went is covered by the quiet time.
 */
static void drain(struct nfq_path *path)
{
	unsigned int quiet_ms = 0;

	for (unsigned int ms = 0; ms < DRAIN_LIMIT_MS && quiet_ms < DRAIN_QUIET_MS; ms++) {
		quiet_ms = depth(path->state, NULL) ? 0 : quiet_ms + 1;
		poll(NULL, 0, 1);
	}
	if (quiet_ms < DRAIN_QUIET_MS)
		log_info("%s: %" PRIu64 " packets still wait after %d ms: they pass unmodified",
			 path->policy->interface, depth(path->state, NULL), DRAIN_LIMIT_MS);
}

/* Undoes whatever of the path is up, last first (N1). Accepts half of it. */
static void path_down(struct nfq_path *path)
{
	struct err err;

	if (path->installed && nft_remove_queue(path->nft, path->policy->interface, &err) < 0)
		log_info("%s", err.text);
	if (path->state) {
		path->state->ready = 0;
		if (path->worker[0].started)
			drain(path);
	}
	__atomic_store_n(&path->stop, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < POLICY_THREADS_MAX; i++) {
		struct worker *worker = &path->worker[i];

		if (worker->started) {
			nfq_queue_wake(worker->queue);
			pthread_join(worker->thread, NULL);
		}
		nfq_queue_close(worker->queue);
	}
	if (path->installed) {
		wait_for_others(path, "the kernel drops them as our table goes");
		if (nft_remove(path->nft, path->policy->interface, &err) < 0)
			log_info("%s", err.text);
	}
	nft_close(path->nft);
	if (path->state)
		munmap(path->state, sizeof(*path->state));
	util_closep(&path->failed_fd);
	util_closep(&path->lock_fd); /* last: who waits for it finds nothing of this one */
}

int nfq_path_run(const struct policy *policy, metrics_fill_fn *fill, struct err *err)
{
	_cleanup_(path_down) struct nfq_path path = {
		.policy = policy,
		.fill = fill,
		.df = policy->df,
		.lock_fd = -1,
		.failed_fd = eventfd(0, EFD_CLOEXEC),
	};
	int ret = cap_require(CAP_NEED_NFQUEUE, err);

	if (ret < 0)
		return ret;
	if (!if_nametoindex(policy->interface))
		return err_set(
			err, N2X_USAGE,
			"interface %s does not exist here: check `interface` and the namespace",
			policy->interface);
	if (path.failed_fd < 0)
		return err_set(err, N2X_SYSTEM, "cannot make an eventfd");
	ret = nft_may_rewrite(err);
	if (ret < 0)
		return ret;
	path.df.encap = DF_ENCAP_NONE;
	loop_hold_signals();
	ret = state_take(&path, err);
	if (ret == 0)
		ret = open_queues(&path, err);
	if (ret == 0)
		ret = start_workers(&path, err);
	if (ret == 0)
		ret = nft_open(&path.nft, err);
	if (ret == 0)
		ret = install(&path, err);
	if (ret == 0)
		ret = wait_for_end(&path, err);
	return ret;
}

static void state_unmapp(struct nfq_state **state)
{
	if (*state)
		munmap(*state, sizeof(**state));
}

int nfq_path_read(const char *interface, struct nfq_path_info *out, struct err *err)
{
	_cleanup_(state_unmapp) struct nfq_state *state = NULL;
	struct nfq_path_info info = { 0 };
	_cleanup_close_ int fd = -1;
	struct stat st;
	int ret = nft_read(interface, &info.nft, err); /* before the verdicts: N3 */

	if (ret < 0)
		return ret;
	fd = instance_peek(interface, "nfqueue");
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size != sizeof(*state) ||
	    !(state = state_map(fd, PROT_READ)) || state->version != STATE_VERSION ||
	    state->threads > POLICY_THREADS_MAX) {
		*out = info;
		return 0;
	}
	info.pid = instance_holder(fd);
	info.queue = state->queue;
	info.threads = state->threads;
	info.owner = state->owner;
	info.handled = handled(state, info.reason);
	if (!info.pid) {
		*out = info;
		return 0;
	}
	look(state, &info);
	*out = info;
	return 0;
}

int nfq_path_stop(const char *interface, int timeout_ms, struct err *err)
{
	_cleanup_close_ int pidfd = -1;
	_cleanup_close_ int fd = instance_peek(interface, "nfqueue");
	struct pollfd wait = { .events = POLLIN };
	pid_t pid = fd < 0 ? 0 : instance_holder(fd);

	if (!pid)
		return 0;
	if (pid < 0)
		return err_set(err, N2X_SYSTEM,
			       "%s: the NFQUEUE path runs in another pid namespace: stop it there",
			       interface);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	/* The lock is asked again: now the pid cannot have become somebody else's. */
	if (pidfd < 0 || instance_holder(fd) != pid)
		return instance_holder(fd)
			       ? err_set(err, N2X_SYSTEM, "pid %d: %s", pid, strerror(errno))
			       : 0;
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0) < 0)
		return err_set(err, N2X_SYSTEM, "cannot stop the NFQUEUE path (pid %d): %s", pid,
			       strerror(errno));
	wait.fd = pidfd;
	if (poll(&wait, 1, timeout_ms) != 1)
		return err_set(err, N2X_SYSTEM,
			       "the NFQUEUE path (pid %d) did not stop within %d ms", pid,
			       timeout_ms);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/parity_live.h"

#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "core/cap.h"
#include "core/util.h"
#include "migrate/machine.h"
#include "migrate/parity_example.h"
#include "nfq-fallback/nflog.h"
#include "nfq-fallback/nfq_queue.h"
#include "rules/nft.h"
#include "xdp/xdp_sample.h"

#define POLL_MS 20
#define READ_NS (2000000ULL * NFLOG_DELAY_MS) /* what came out by now is read by then */
#define ASK_NS  3000000000U /* the program shows packets for so long, unless asked again */

const char *const live_unseen_name[] = {
	[LIVE_BAD_CHECKSUM] = "bad-checksum",
	[LIVE_REASSEMBLED] = "reassembled",
	[LIVE_QUEUE_FULL] = "queue-full",
	[LIVE_SAMPLE_LOST] = "sample-lost",
	[LIVE_LOST] = "lost",
};

static_assert(ARRAY_SIZE(live_unseen_name) == LIVE_UNSEEN_MAX, "every reason has a name");

/* A packet behind, until all that XDP showed before it was read. */
struct out {
	struct out *next;
	uint32_t port;
	size_t len;
	uint8_t data[];
};

struct parity_live {
	struct policy policy;
	uint32_t attached[POLICY_ATTACH_MAX];
	struct xdp_samples *samples;
	struct nflog *log;
	struct parity_examples *examples;
	struct out *first, **last;
	uint64_t start_ns, asked_ns, finish_ns, stop_ns, queue_dropped;
	uint32_t one_in;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* of all that follows */
	bool finish, quit;
	struct parity_join *join;
	struct err broken;
};

static uint64_t take(uint64_t *from, uint64_t most)
{
	uint64_t n = *from < most ? *from : most;

	*from -= n;
	return n;
}

/* n packets of the policy that one side alone has. */
static void fold_one_sided(struct parity_report *report, enum parity_side side, uint64_t n,
			   const struct parity_set *accept)
{
	const int cause = side == PARITY_XDP ? PARITY_ONLY_XDP : PARITY_ONLY_BEHIND;
	const bool accepted = accept->by[side] & PARITY_BIT(cause);

	report->compared += n;
	report->matching += n;
	report->one_sided[side] += n;
	report->class[cause][side] += n;
	report->accepted += accepted ? n : 0;
	report->different += accepted ? 0 : n;
	report->matching_different += accepted ? 0 : n;
}

void live_fold(const struct join_report *join, const struct live_losses *losses,
	       const struct parity_set *accept, struct live_report *out)
{
	const struct join_stream *left = &join->left, *taken = &join->taken;
	uint64_t lost_left = left->missing[JOIN_LOST], lost_taken = taken->missing[JOIN_LOST];
	uint64_t only_behind = join->bridged + join->unseen, unseen = join->unseen;
	uint64_t samples = losses->samples[PARITY_BEHIND], of_left, allowed = 0;
	struct live_report r = { .parity = join->parity,
				 .left = *left,
				 .taken = *taken,
				 .late = join->late,
				 .bridged = join->bridged,
				 .bridged_port = join->bridged_port };

	for (int side = 0; side < PARITY_SIDE_MAX; side++)
		r.samples_lost[side] = losses->samples[side];
	r.unseen[LIVE_BAD_CHECKSUM] = left->missing[JOIN_BAD_CHECKSUM] +
				      taken->missing[JOIN_BAD_CHECKSUM];
	r.unseen[LIVE_REASSEMBLED] = left->missing[JOIN_REASSEMBLED] +
				     taken->missing[JOIN_REASSEMBLED];
	r.unseen[LIVE_SAMPLE_LOST] = take(&lost_left, samples);
	r.unseen[LIVE_SAMPLE_LOST] += take(&lost_taken, samples - r.unseen[LIVE_SAMPLE_LOST]);
	r.unseen[LIVE_QUEUE_FULL] = take(&lost_left, losses->queue);
	/* J3: as often as the path behind loses packets by itself. */
	of_left = left->joined + lost_left;
	if (lost_left)
		allowed = (uint64_t)(parity_at_most(lost_left, of_left) *
				     (double)(taken->joined + lost_taken));
	r.unseen[LIVE_LOST] = lost_left;
	if (lost_taken <= allowed)
		r.unseen[LIVE_LOST] += take(&lost_taken, lost_taken);
	only_behind -= take(&unseen, losses->samples[PARITY_XDP]);
	fold_one_sided(&r.parity, PARITY_XDP, lost_taken, accept);
	fold_one_sided(&r.parity, PARITY_BEHIND, only_behind, accept);
	*out = r;
}

static uint64_t queue_dropped(const struct policy *policy)
{
	struct nfq_queue_info info;
	uint64_t dropped = 0;

	for (unsigned int i = 0; i < policy->nfqueue.threads; i++)
		if (nfq_queue_read((uint16_t)(policy->nfqueue.queue + i), &info) == 0)
			dropped += info.dropped + info.user_dropped;
	return dropped;
}

static void fail(struct parity_live *live, const char *what, int error)
{
	if (!*live->broken.text)
		err_format(&live->broken, "%s: the comparison stopped: %s: %s",
			   live->policy.interface, what, strerror(error));
}

static void on_sample(void *ctx, int cpu, const struct df_sample *sample, const uint8_t *frame)
{
	struct parity_live *live = ctx;

	if (join_came(live->join, cpu, sample, frame, machine_now_ns()) < 0)
		fail(live, "samples", ENOMEM);
}

static void on_out(void *ctx, const struct nflog_packet *packet)
{
	struct parity_live *live = ctx;
	struct out *out = malloc(sizeof(*out) + packet->len);

	if (!out) {
		fail(live, "packets behind", ENOMEM);
		return;
	}
	*out = (struct out){ .port = packet->port, .len = packet->len };
	memcpy(out->data, packet->data, packet->len);
	*live->last = out;
	live->last = &out->next;
}

static void join_all_out(struct parity_live *live)
{
	while (live->first) {
		struct out *out = live->first;

		live->first = out->next;
		if (join_out(live->join, out->data, out->len, out->port, machine_now_ns()) < 0)
			fail(live, "packets behind", ENOMEM);
		free(out);
	}
	live->last = &live->first;
}

/* Behind first, then in front: whatever came out was shown in front before. */
static void read_both(struct parity_live *live)
{
	int ret = nflog_read(live->log, on_out, live);

	if (ret == 0)
		ret = xdp_samples_read(live->samples);
	if (ret < 0)
		fail(live, "reading", -ret);
	join_all_out(live);
	join_age(live->join, machine_now_ns(), false);
}

static void ask(struct parity_live *live, uint64_t now)
{
	if (now - live->asked_ns < ASK_NS / 3)
		return;
	live->asked_ns = now;
	xdp_samples_ask(live->samples, live->one_in, ASK_NS, &live->broken);
}

static void stop_asking(struct parity_live *live, uint64_t now)
{
	struct err ignored;

	live->stop_ns = now;
	xdp_samples_ask(live->samples, 0, 0, &ignored);
	join_stop(live->join, now);
}

/* One turn. Returns whether there is another. */
static bool turn(struct parity_live *live)
{
	uint64_t now = machine_now_ns();

	if (live->quit)
		return false;
	if (live->finish && !live->finish_ns)
		live->finish_ns = now;
	/* What is behind already and not read yet was in front while samples were taken. */
	if (live->finish_ns && !live->stop_ns && now - live->finish_ns > READ_NS)
		stop_asking(live, now);
	if (!live->stop_ns)
		ask(live, now);
	read_both(live);
	if (*live->broken.text)
		return false;
	if (!live->stop_ns || now - live->stop_ns < READ_NS)
		return true;
	if (join_waiting(live->join) && now - live->stop_ns < JOIN_WAIT_NS)
		return true;
	join_age(live->join, now, true);
	return false;
}

static void *run(void *arg)
{
	struct parity_live *live = arg;
	bool more = true;

	while (more) {
		poll(NULL, 0, POLL_MS);
		pthread_mutex_lock(&live->lock);
		more = turn(live);
		pthread_mutex_unlock(&live->lock);
	}
	return NULL;
}

/* What stands in front of the packet, and one side's bytes. */
static size_t put_frame(uint8_t *to, const uint8_t *frame, size_t head,
			const struct parity_bytes *bytes)
{
	memcpy(to, frame, head);
	if (bytes->len)
		memcpy(to + head, bytes->data, bytes->len);
	return head + bytes->len;
}

static void on_found(void *ctx, const struct parity_set *found, const struct parity_case *c,
		     const uint8_t *frame, size_t head)
{
	struct parity_live *live = ctx;
	const struct parity_bytes *xdp = &c->side[PARITY_XDP], *behind = &c->side[PARITY_BEHIND];
	_cleanup_free_ uint8_t *copy = NULL;
	struct parity_example example = { .before = { frame, head + c->came.len } };

	if (!live->examples)
		return;
	copy = malloc(head + xdp->len);
	if (!copy)
		return;
	gettimeofday(&example.at, NULL);
	example.xdp = (struct parity_piece){ copy, put_frame(copy, frame, head, xdp) };
	example.behind[0] = (struct parity_piece){ frame, head };
	example.behind[1] = (struct parity_piece){ behind->data, behind->len };
	parity_examples_keep(live->examples, found, &example, &live->broken);
}

static int begin_join(struct parity_live *live)
{
	const struct policy *policy = &live->policy;
	struct join_how how = { .policy = policy->df,
				.accept.by[PARITY_BEHIND] = policy->parity.accept,
				.attached = live->attached,
				.found = on_found,
				.ctx = live };

	for (unsigned int i = 0; i < policy->xdp.n_attach; i++)
		live->attached[i] = if_nametoindex(policy->xdp.attach[i]);
	/* In front of a tunnel no bridge port is an attach point. */
	if (policy->df.encap == DF_ENCAP_NONE)
		how.n_attached = policy->xdp.n_attach;
	live->join = join_new(&how, live->start_ns);
	return live->join ? 0 : -ENOMEM;
}

/* The choice of packets is the rules', whatever the file says by now. */
static int read_rules(struct parity_live *live, uint16_t *group, struct err *err)
{
	const char *interface = live->policy.interface;
	struct nft_counters rules;
	int ret = nft_read(interface, &rules, err);

	if (ret < 0)
		return ret;
	if (!rules.present)
		return err_set(err, N2X_INACTIVE,
			       "%s: our rules are not there: start the NFQUEUE path first",
			       interface);
	if (!rules.sample)
		return err_set(
			err, N2X_NO,
			"%s: its rules show no packets: parity.sample was 0, or this kernel has no "
			"nft_log, nft_hash or nfnetlink_log, when the NFQUEUE path (daemon: external: "
			"migrate start) put them there; to roll out without: parity: { sample: 0 }",
			interface);
	live->one_in = rules.sample;
	*group = rules.sample_group;
	return 0;
}

static void closep(struct parity_live **live)
{
	live_close(*live);
}

int live_open(const struct policy *policy, const char *example_dir, struct parity_live **out,
	      struct err *err)
{
	_cleanup_(closep) struct parity_live *live = calloc(1, sizeof(*live));
	struct xdp_samples_reader reader = { .sample = on_sample, .ctx = live };
	uint16_t group;
	int ret;

	if (!live)
		return err_set(err, N2X_SYSTEM, "out of memory");
	live->policy = *policy;
	live->last = &live->first;
	live->start_ns = machine_now_ns();
	pthread_mutex_init(&live->lock, NULL);
	ret = cap_require(CAP_NEED_XDP, err);
	if (ret == 0)
		ret = read_rules(live, &group, err);
	/* The group first: who has it may ask for samples. */
	if (ret == 0)
		ret = nflog_open(group, &live->log, err);
	if (ret == 0)
		ret = xdp_samples_open(policy->interface, &reader, &live->samples, err);
	if (ret == 0 && example_dir)
		ret = parity_examples_open(example_dir, &live->examples, err);
	if (ret < 0)
		return ret;
	live->queue_dropped = queue_dropped(policy);
	if (begin_join(live) < 0 || pthread_create(&live->thread, NULL, run, live) != 0)
		return err_set(err, N2X_SYSTEM, "out of memory");
	live->running = true;
	*out = TAKE_PTR(live);
	return 0;
}

void live_read(struct parity_live *live, struct live_report *out)
{
	const struct parity_set accept = { .by[PARITY_BEHIND] = live->policy.parity.accept };
	struct live_losses losses;

	pthread_mutex_lock(&live->lock);
	losses.samples[PARITY_XDP] = xdp_samples_lost(live->samples);
	losses.samples[PARITY_BEHIND] = nflog_lost(live->log);
	losses.queue = queue_dropped(&live->policy) - live->queue_dropped;
	live_fold(join_report(live->join), &losses, &accept, out);
	out->one_in = live->one_in;
	out->took_ns = (live->finish_ns ? live->finish_ns : machine_now_ns()) - live->start_ns;
	out->broken = live->broken;
	pthread_mutex_unlock(&live->lock);
}

void live_forget(struct parity_live *live)
{
	pthread_mutex_lock(&live->lock);
	join_forget(live->join, machine_now_ns());
	pthread_mutex_unlock(&live->lock);
}

static void end_thread(struct parity_live *live, bool quit)
{
	if (!live->running)
		return;
	pthread_mutex_lock(&live->lock);
	live->finish = true;
	live->quit = quit;
	pthread_mutex_unlock(&live->lock);
	pthread_join(live->thread, NULL);
	live->running = false;
}

void live_finish(struct parity_live *live, struct live_report *out)
{
	end_thread(live, false);
	live_read(live, out);
}

void live_close(struct parity_live *live)
{
	struct err ignored;

	if (!live)
		return;
	end_thread(live, true);
	while (live->first) {
		struct out *out = live->first;

		live->first = out->next;
		free(out);
	}
	xdp_samples_close(live->samples);
	nflog_close(live->log);
	join_free(live->join);
	if (live->examples)
		parity_examples_close(live->examples, &ignored);
	pthread_mutex_destroy(&live->lock);
	free(live);
}

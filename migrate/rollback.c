// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/rollback.h"

#include <poll.h>
#include <string.h>

#include "core/util.h"

#define VERIFY_PERIOD_MS 2 /* between two readings of XDP's counter */
#define VERIFY_STILL     5 /* readings in a row without a change: it stands still */
#define VERIFY_LIMIT_NS  1000000000U
#define EFFECT_LIMIT_NS  100000000U
#define STUB_LIMIT_NS    100000000U /* before the next rung is tried */

const char *const rollback_rung_name[RUNG_MAX] = {
	[RUNG_LEASE] = "lease",
	[RUNG_SHARE] = "share",
	[RUNG_STUB] = "stub",
	[RUNG_DETACH] = "detach",
};

static uint64_t cleared(const struct xdp_state *xdp)
{
	return xdp->reason[DF_CLEARED] + xdp->reason[DF_CLEARED_ID0] +
	       xdp->reason[DF_CLEARED_ASSIGNED];
}

/*
 * Waits until XDP's counter stands still. A packet in flight at the write may still be cleared.
 * Returns 0, or -N2X_NO when it does not.
 */
static int watch_stop(const char *instance, uint64_t limit_ns, struct err *err)
{
	const uint64_t start = machine_now_ns();
	struct xdp_state now;
	uint64_t last = 0;
	int still = -1; /* the first reading is no comparison */

	/* The limit is for what still moves: readings may take longer than it. */
	while (still < VERIFY_STILL && (still > 0 || machine_now_ns() - start < limit_ns)) {
		int ret = xdp_read(instance, &now, err);

		if (ret == -N2X_INACTIVE) /* detached */
			return 0;
		if (ret < 0)
			return ret;
		still = still >= 0 && cleared(&now) == last ? still + 1 : 0;
		last = cleared(&now);
		poll(NULL, 0, VERIFY_PERIOD_MS);
	}
	if (still < VERIFY_STILL)
		return err_set(err, N2X_NO, "%s: share 0 is written, but XDP still clears packets",
			       instance);
	return 0;
}

/* What a rollback did is true only if somebody carries the packets now. */
static int check_carried(const struct policy *policy, const struct machine_status *before,
			 struct rollback *out, struct err *err)
{
	const char *instance = policy->interface;
	const uint64_t start = machine_now_ns();
	struct machine_status after;

	do {
		int ret = machine_status(policy, &after, err);

		if (ret < 0)
			return ret;
		if (!after.nfq.running || after.nfq.pid != before->nfq.pid)
			return err_set(
				err, N2X_DEGRADED,
				"%s: share 0, but the NFQUEUE path went away meanwhile: packets "
				"pass with DF set; start it: nfq2xdp run nfqueue -c FILE",
				instance);
		out->matched = after.matched - before->matched;
		out->nfq_handled = after.nfq.handled - before->nfq.handled;
		out->leaked = after.nfq.nft.leaked - before->nfq.nft.leaked;
		/* The stub counts nothing: then the rule's counter alone says that there is traffic. */
		if (out->rung > RUNG_SHARE)
			out->matched = after.nfq.nft.queued - before->nfq.nft.queued;
		/* Nothing of ours counts around the operator's rule: it is there, and that is all. */
		if (after.nfq.external && !after.nfq.nft.external)
			return 0;
		/* And by its rule: what it handled alone may have waited there since before. */
		if (!out->matched ||
		    (out->nfq_handled && after.nfq.nft.queued != before->nfq.nft.queued))
			return 0;
		poll(NULL, 0, VERIFY_PERIOD_MS);
	} while (machine_now_ns() - start < VERIFY_LIMIT_NS);
	return err_set(
		err, N2X_DEGRADED,
		"%s: share 0, but of %llu packets that XDP left the NFQUEUE path saw none: they pass "
		"with DF set; bridged frames need net.bridge.bridge-nf-call-iptables=1",
		instance, (unsigned long long)out->matched);
}

/* The time from the store until the NFQUEUE path was seen to carry more; 0: no packet came. */
static uint64_t watch_effect(const struct policy *policy, uint64_t before, uint64_t start)
{
	struct nfq_path_info now;
	struct err ignored;

	while (machine_now_ns() - start < EFFECT_LIMIT_NS)
		if (fallback_read(policy, &now, &ignored) < 0 || now.handled != before)
			return machine_now_ns() - start;
	return 0;
}

static int step(const struct policy *policy, enum rollback_rung rung, uint64_t handled,
		struct rollback *out, struct err *err)
{
	uint64_t start = machine_now_ns();
	int ret;

	switch (rung) {
	case RUNG_SHARE:
		ret = xdp_zero(policy->interface, ABI_VERSION, err);
		out->write_ns = machine_now_ns() - start;
		if (ret == 0)
			out->effect_ns = watch_effect(policy, handled, start);
		return ret < 0 ? ret : machine_settle(policy->interface, err);
	case RUNG_STUB:
		return xdp_stub(policy->interface, err);
	default:
		return xdp_detach(policy->interface, err);
	}
}

static int climb(const struct policy *policy, const struct rollback_how *how, uint64_t handled,
		 struct rollback *out, struct err *err)
{
	int ret = 0;

	for (int rung = RUNG_SHARE; rung < RUNG_MAX; rung++) {
		uint64_t start = machine_now_ns();

		if (rung == RUNG_DETACH && !how->allow_link_reset)
			break;
		out->rung = (enum rollback_rung)rung;
		ret = step(policy, out->rung, handled, out, err);
		if (ret == 0)
			ret = watch_stop(policy->interface,
					 rung == RUNG_SHARE ? STUB_LIMIT_NS : VERIFY_LIMIT_NS, err);
		out->rung_ns[rung] = machine_now_ns() - start;
		if (ret == 0)
			return 0;
	}
	return ret == -N2X_NO ? -N2X_DEGRADED : ret;
}

static int check_way_back(const struct policy *policy, const struct machine_status *now,
			  const struct rollback_how *how, struct err *err)
{
	const char *instance = policy->interface;

	if (now->nfq.running || how->always || now->xdp.ctl.share_kind == DF_SHARE_NONE)
		return 0;
	return err_set(
		err, N2X_NO,
		"%s: nothing to go back to: start the NFQUEUE path (nfq2xdp run nfqueue -c FILE), or take "
		"XDP out at once: nfq2xdp panic %s",
		instance, instance);
}

/* J2: the journal hears of it, if it can. */
static void record(struct journal *journal, const struct rollback_how *how,
		   const struct machine_status *was, const struct rollback *did, int ret,
		   const struct err *err)
{
	struct err ignored;
	char before[32];

	if (!journal)
		return;
	journal_write(
		journal, "rollback",
		json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o}", "reason",
			  how->reason, "from", share_format(&did->before, before, sizeof(before)),
			  "rung", rollback_rung_name[did->rung], "write_ns",
			  (json_int_t)did->write_ns, "effect_ns", (json_int_t)did->effect_ns,
			  "verify_ns", (json_int_t)did->verify_ns, "matched",
			  (json_int_t)did->matched, "nfqueue_handled", (json_int_t)did->nfq_handled,
			  "leaked", (json_int_t)did->leaked, "result",
			  ret < 0 ? err->text : "verified", "counters", machine_counters(was)),
		true, &ignored);
}

int rollback(const struct policy *policy, const struct rollback_how *how, struct journal *journal,
	     struct rollback *out, struct err *err)
{
	struct rollback did = { .rung = RUNG_LEASE };
	struct machine_status before;
	uint64_t start = machine_now_ns();
	int ret = machine_status(policy, &before, err);

	if (ret < 0)
		return ret;
	did.before = (struct share){ before.xdp.ctl.share_kind, before.xdp.ctl.share_n };
	/* Nothing to do, if the program obeys. */
	if (did.before.kind == DF_SHARE_NONE && !(how->write && before.state != MACHINE_IDLE) &&
	    watch_stop(policy->interface, STUB_LIMIT_NS, err) != -N2X_NO) {
		*out = did;
		return 0;
	}
	ret = check_way_back(policy, &before, how, err);
	if (ret < 0)
		return ret;
	ret = climb(policy, how, before.nfq.handled, &did, err);
	if (ret == 0 && before.nfq.running)
		ret = check_carried(policy, &before, &did, err);
	did.verify_ns = machine_now_ns() - start;
	record(journal, how, &before, &did, ret, err);
	*out = did;
	return ret;
}

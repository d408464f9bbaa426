// SPDX-License-Identifier: GPL-2.0-only
#include "core/metrics.h"

#include <inttypes.h>

#include "core/names.h"

static const char *const parity_name[METRICS_PARITY_MAX] = { "equal", "accepted", "different" };
static const char *const side_name[METRICS_SIDE_MAX] = { "xdp", "nfqueue" };

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP nfq2xdp_%s %s\n# TYPE nfq2xdp_%s %s\n", name, help, name, type);
}

/* A label's value: an interface's name may have any byte but a space and a slash. */
static void value(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			fputc('\\', out);
		fputc(*text, out);
	}
}

/* nfq2xdp_NAME{interface="br0", and what `labels` says. */
static void sample(const struct metrics *m, const char *name, const char *labels, FILE *out)
{
	fprintf(out, "nfq2xdp_%s{interface=\"", name);
	value(m->interface, out);
	fprintf(out, "\"%s} ", labels);
}

static void count(const struct metrics *m, const char *name, const char *labels, uint64_t n,
		  FILE *out)
{
	sample(m, name, labels, out);
	fprintf(out, "%" PRIu64 "\n", n);
}

static void measure(const struct metrics *m, const char *name, double n, FILE *out)
{
	sample(m, name, "", out);
	fprintf(out, "%.9g\n", n);
}

static void packets_of(const struct metrics *m, const char *path,
		       const uint64_t reason[DF_REASON_MAX], FILE *out)
{
	char labels[80];

	for (int i = 0; i < DF_REASON_MAX; i++) {
		snprintf(labels, sizeof(labels), ",path=\"%s\",reason=\"%s\"", path,
			 df_reason_name[i]);
		count(m, "packets_total", labels, reason[i], out);
	}
}

static void packets(const struct metrics *m, FILE *out)
{
	if (!m->xdp.pinned && !m->nfqueue.known)
		return;
	head(out, "packets_total", "counter", "Packets that a path saw, by what became of them.");
	if (m->xdp.pinned)
		packets_of(m, "xdp", m->xdp.reason, out);
	if (m->nfqueue.known && m->nfqueue.reasons)
		packets_of(m, "nfqueue", m->nfqueue.reason, out);
	else if (m->nfqueue.known)
		count(m, "packets_total", ",path=\"nfqueue\",reason=\"external\"",
		      m->nfqueue.handled, out);
}

static void up(const struct metrics *m, FILE *out)
{
	if (!m->xdp.known && !m->nfqueue.known)
		return;
	head(out, "path_up", "gauge",
	     "1: xdp is attached everywhere and ours; nfqueue is bound and its rule is there.");
	if (m->xdp.known)
		count(m, "path_up", ",path=\"xdp\"", m->xdp.up, out);
	if (m->nfqueue.known)
		count(m, "path_up", ",path=\"nfqueue\"", m->nfqueue.up, out);
}

static void state(const struct metrics *m, FILE *out)
{
	char labels[48];

	if (!m->states)
		return;
	head(out, "state", "gauge", "1 for the state that the migration is in.");
	for (unsigned int i = 0; i < m->n_states; i++) {
		snprintf(labels, sizeof(labels), ",state=\"%s\"", m->states[i]);
		count(m, "state", labels, i == m->state, out);
	}
}

static void xdp(const struct metrics *m, FILE *out)
{
	if (!m->xdp.pinned)
		return;
	head(out, "share_ratio", "gauge", "Part of the matching packets that XDP takes now.");
	measure(m, "share_ratio", m->xdp.share, out);
	head(out, "generation", "gauge", "Number of the rollout.");
	count(m, "generation", "", m->xdp.generation, out);
	if (m->xdp.lease >= 0) {
		head(out, "lease_remaining_seconds", "gauge",
		     "Until XDP takes nothing any more, unless extended. Absent without a lease.");
		measure(m, "lease_remaining_seconds", m->xdp.lease, out);
	}
	if (m->xdp.confirm >= 0) {
		head(out, "confirm_remaining_seconds", "gauge",
		     "Until the rollout goes back, unless confirmed. Absent when nothing waits.");
		measure(m, "confirm_remaining_seconds", m->xdp.confirm, out);
	}
}

static void nfqueue(const struct metrics *m, FILE *out)
{
	if (m->nfqueue.known && m->nfqueue.up) {
		head(out, "queue_depth_packets", "gauge", "Packets that wait in the queues now.");
		count(m, "queue_depth_packets", "", m->nfqueue.depth, out);
		head(out, "queue_dropped_total", "counter",
		     "Packets that the kernel did not queue: queue or receive buffer full.");
		count(m, "queue_dropped_total", "", m->nfqueue.dropped, out);
		head(out, "unmodified_total", "counter",
		     "Packets that the rule sent to the queue and that passed without a verdict.");
		count(m, "unmodified_total", "", m->nfqueue.unmodified, out);
	}
	if (m->nfqueue.known && m->nfqueue.behind) {
		head(out, "leaked_total", "counter",
		     "Matching packets that left both paths with DF set.");
		count(m, "leaked_total", "", m->nfqueue.leaked, out);
	}
}

static void parity(const struct metrics *m, FILE *out)
{
	char labels[80];

	if (!m->parity.known)
		return;
	head(out, "parity_compared_total", "counter",
	     "Packets compared byte for byte in this rollout, by result.");
	for (int i = 0; i < METRICS_PARITY_MAX; i++) {
		snprintf(labels, sizeof(labels), ",result=\"%s\"", parity_name[i]);
		count(m, "parity_compared_total", labels, m->parity.result[i], out);
	}
	head(out, "parity_mismatches_total", "counter",
	     "Differences found in this rollout, accepted ones too, by cause and by the side that deviates.");
	for (int i = 0; i < PARITY_CLASS_MAX; i++)
		for (int side = 0; side < METRICS_SIDE_MAX; side++) {
			snprintf(labels, sizeof(labels), ",class=\"%s\",side=\"%s\"",
				 parity_class_name[i], side_name[side]);
			count(m, "parity_mismatches_total", labels, m->parity.class[i][side], out);
		}
}

void metrics_render(const struct metrics *m, FILE *out)
{
	char labels[80];

	head(out, "build_info", "gauge", "1; the labels say which build serves this.");
	snprintf(labels, sizeof(labels), ",version=\"%s\"", VERSION);
	count(m, "build_info", labels, 1, out);
	up(m, out);
	state(m, out);
	packets(m, out);
	xdp(m, out);
	nfqueue(m, out);
	parity(m, out);
}

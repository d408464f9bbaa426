// SPDX-License-Identifier: GPL-2.0-only
/* Checks of the traffic that was looked at. */
#include "migrate/finding_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ENOUGH_PACKETS 100 /* of a sample, to say something about flows and CPUs */
#define MOST_PERCENT   80 /* this much in one flow, or on one CPU, is skew */

enum finding_verdict check_traffic(struct check *c)
{
	if (!c->sampled || !c->policy)
		return unknown(c, "the traffic was not looked at");
	if (c->seen.matching)
		return ok(c, "%.0f packets/s of the policy arrive at the attach points",
			  c->seen.rate);
	for (unsigned int i = 0; i < c->facts->n_devices; i++) {
		const struct facts_device *device = &c->facts->device[i];

		if (check_is_point(c, device) || !device->sample.matching)
			continue;
		mend(c, "nfq2xdp plan %s   # says where to attach", c->policy->interface);
		return warn(c, "packets of the policy arrive at %s, and none at an attach point",
			    check_name(device));
	}
	return unknown(c, "no packet of the policy came in %.1f s", check_seconds(c));
}

enum finding_verdict check_flows(struct check *c)
{
	const struct sample_count *s = &c->seen;

	if (check_no_sample(c))
		return unknown(c, "%s", check_no_sample(c));
	if (s->matching < ENOUGH_PACKETS)
		return unknown(c, "%" PRIu64 " packets of the policy came: too few", s->matching);
	if (s->largest_flow * 100 >= s->matching * MOST_PERCENT) {
		mend(c,
		     "nfq2xdp migrate split -c FILE --every N   # splits packets, and lets them overtake");
		return warn(c,
			    "one flow is %" PRIu64
			    " %% of the policy's packets: a share by flow takes all of "
			    "it or none, and one CPU carries it",
			    s->largest_flow * 100 / s->matching);
	}
	if (s->largest_outer_flow * 100 >= s->matching * MOST_PERCENT) {
		mend(c,
		     "ip -d link show   # at the tunnel's far end: its source ports (srcport) vary by flow");
		return warn(c,
			    "the tunnel's packets are one flow (%" PRIu64
			    " %%): one receive queue, and one CPU, carry all",
			    s->largest_outer_flow * 100 / s->matching);
	}
	return ok(c, "%u flows among %" PRIu64 " packets, the largest %" PRIu64 " %%", s->flows,
		  s->matching, s->largest_flow * 100 / s->matching);
}

static enum finding_verdict check_spread(struct check *c, const struct facts_device *device)
{
	const struct sample_count *s = &device->sample;
	const char *name = check_name(device);

	if (s->on_cpus < ENOUGH_PACKETS)
		return unknown(c, "%s: of %" PRIu64 " packets the CPU is known: too few", name,
			       s->on_cpus);
	if (s->largest_cpu * 100 < s->on_cpus * MOST_PERCENT)
		return ok(c, "%s: the busiest CPU received %" PRIu64 " %% of the policy's packets",
			  name, s->largest_cpu * 100 / s->on_cpus);
	mend(c, "ethtool -X %s equal %u; ethtool -N %s rx-flow-hash udp4 sdfn", name, device->hw.rx,
	     name);
	return warn(c,
		    "%s has %u receive queues, and CPU %u received %" PRIu64
		    " %% of the policy's packets",
		    name, device->hw.rx, s->cpu, s->largest_cpu * 100 / s->on_cpus);
}

/* Of the attach points alone: what else this machine receives says nothing about their queues. */
enum finding_verdict check_rss(struct check *c)
{
	enum finding_verdict verdict = FINDING_OK;
	const struct facts_device *device;

	if (!c->policy)
		return unknown(c, "there is no policy");
	ok(c, "one receive queue, or none to be seen, or one CPU: nothing to spread");
	for (unsigned int i = 0; verdict == FINDING_OK && (device = check_next(c, &i));) {
		if (device->hw.rx < 2 || c->facts->cpus == 1)
			continue;
		if (!c->sampled)
			return unknown(c, "%s", check_no_sample(c));
		verdict = check_spread(c, device);
	}
	return verdict;
}

enum finding_verdict check_id(struct check *c)
{
	if (check_no_sample(c))
		return unknown(c, "%s", check_no_sample(c));
	if (!c->seen.id0)
		return ok(c, "none of %" PRIu64 " packets has the IPv4 ID 0", c->seen.matching);
	if (c->policy->df.ip_id == DF_IP_ID_ASSIGN)
		return ok(c, "%" PRIu64 " of %" PRIu64 " packets have the IPv4 ID 0, and get one",
			  c->seen.id0, c->seen.matching);
	mend(c, "action: { ip-id: assign } in the file");
	return warn(
		c,
		"%" PRIu64 " of %" PRIu64
		" packets have the IPv4 ID 0: once DF is cleared, fragments of two of them can be put "
		"together to one (RFC 6864)",
		c->seen.id0, c->seen.matching);
}

enum finding_verdict check_fragments(struct check *c)
{
	if (!c->sampled || !c->seen.looked)
		return unknown(c, "no packet was looked at");
	if (!c->seen.fragments)
		return ok(c, "no fragment among %" PRIu64 " frames", c->seen.looked);
	mend(c, "tcpdump -ni %s 'ip[6:2] & 0x1fff != 0'", c->policy->xdp.attach[0]);
	return warn(
		c,
		"%" PRIu64 " of %" PRIu64
		" frames are later fragments of UDP: they have no port, so XDP and our NFQUEUE path "
		"pass them as they are",
		c->seen.fragments, c->seen.looked);
}

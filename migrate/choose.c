// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/choose.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

static __attribute__((format(printf, 3, 4))) void
note(struct choice *choice, const struct facts_device *device, const char *format, ...)
{
	struct choice_note *n = &choice->note[choice->n_notes];
	va_list args;

	if (choice->n_notes == ARRAY_SIZE(choice->note))
		return;
	choice->n_notes++;
	snprintf(n->interface, sizeof(n->interface), "%s", device->node.dev->name);
	va_start(args, format);
	vsnprintf(n->text, sizeof(n->text), format, args);
	va_end(args);
}

static bool is_kind(const struct facts_device *device, const char *kind)
{
	return !strcmp(device->node.dev->kind, kind);
}

/* Of the interface that is asked for, or of any: a rule may look at all. */
static bool is_about(const struct facts *facts, const struct legacy_rule *rule)
{
	return rule->understood && (!facts->interface[0] || !rule->interface[0] ||
				    !strcmp(rule->interface, facts->interface));
}

const struct legacy_rule *choose_rule(const struct facts *facts, struct err *why)
{
	const struct legacy_rule *found = NULL;

	for (unsigned int i = 0; i < facts->n_rules; i++) {
		const struct legacy_rule *rule = &facts->rule[i];

		if (!is_about(facts, rule))
			continue;
		if (found && !facts->interface[0] &&
		    strcmp(found->interface, rule->interface) != 0) {
			err_format(
				why,
				"rules of several interfaces send to a queue, such as %s and %s: say "
				"which: nfq2xdp plan IFACE",
				found->interface[0] ? found->interface : "any",
				rule->interface[0] ? rule->interface : "any");
			return NULL;
		}
		found = found ?: rule;
	}
	if (found)
		return found;
	if (facts->n_rules)
		err_format(why, "a rule is not understood (%s): %.200s", facts->rule[0].why,
			   facts->rule[0].text);
	else
		err_format(why, "no rule%s%s sends packets to an NFQUEUE in this namespace",
			   facts->interface[0] ? " that looks at " : "", facts->interface);
	return NULL;
}

/* The ports of every rule that feeds the same queue. */
static void add_ports(const struct facts *facts, const struct legacy_rule *like,
		      struct df_policy *df)
{
	for (unsigned int i = 0; i < facts->n_rules; i++) {
		const struct legacy_rule *rule = &facts->rule[i];

		if (!is_about(facts, rule) || rule->queue != like->queue)
			continue;
		for (unsigned int p = 0; p < rule->n_ports; p++) {
			bool there = false;

			for (unsigned int k = 0; k < df->n_dport; k++)
				there |= ntohs(df->dport_be[k]) == rule->port[p];
			if (!there && df->n_dport < DF_PORTS_MAX)
				df->dport_be[df->n_dport++] = htons(rule->port[p]);
		}
	}
}

int choose_match(const struct facts *facts, struct policy *out, struct err *why)
{
	const struct legacy_rule *rule = choose_rule(facts, why);
	struct policy policy;

	if (!rule)
		return -N2X_NO;
	policy_defaults(&policy);
	snprintf(policy.interface, sizeof(policy.interface), "%s",
		 rule->interface[0] ? rule->interface : facts->interface);
	add_ports(facts, rule, &policy.df);
	policy.nfqueue.queue = rule->queue;
	policy.nfqueue.threads = rule->queues;
	policy.nfqueue.daemon = NFQ_DAEMON_EXTERNAL;
	if (!policy.interface[0])
		return err_set(
			why, N2X_NO,
			"the rule looks at every interface: say which one it is for: nfq2xdp "
			"plan IFACE");
	if (!policy.df.n_dport)
		return err_set(
			why, N2X_NO,
			"the rule looks at every port, or at more than %d: a policy names its "
			"ports: write it by hand",
			DF_PORTS_MAX);
	if (rule->queues > POLICY_THREADS_MAX)
		return err_set(why, N2X_NO, "the rule feeds %u queues: a policy has %d at most",
			       rule->queues, POLICY_THREADS_MAX);
	*out = policy;
	return 0;
}

/* The device that carries a VXLAN, if XDP can look for the VXLAN's packets there. */
static const struct facts_device *carrier_of(const struct facts *facts,
					     const struct facts_device *device)
{
	const struct topology_dev *dev = device->node.dev;
	const struct topology_dev *lower = topology_by_index(&facts->topology, dev->lower);
	const struct facts_device *carrier = lower ? facts_device(facts, lower->name) : NULL;

	if (!is_kind(device, "vxlan") || dev->vxlan.external || dev->vxlan.port != VXLAN_PORT ||
	    !carrier || is_kind(carrier, "bridge") || is_kind(carrier, "vlan"))
		return NULL;
	return carrier->features_known && !(carrier->features & NETDEV_XDP_BASIC) ? NULL : carrier;
}

/* Why it is attached to the VXLAN and not below. */
static const char *no_carrier(const struct facts *facts, const struct facts_device *device)
{
	const struct topology_dev *dev = device->node.dev;
	const struct topology_dev *lower = topology_by_index(&facts->topology, dev->lower);

	if (dev->vxlan.external)
		return "its VNIs come with each packet";
	if (dev->vxlan.port != VXLAN_PORT)
		return "it does not use port 4789";
	return lower ? "what carries it has no native XDP, or other traffic in a VLAN or bridge"
		     : "the device that carries it is not known";
}

struct points {
	const struct facts_device *at[TOPOLOGY_NODES];
	unsigned int n;
};

/* The ports of a bridge that matching packets come from; without any, its tunnels; without one, all. */
static void choose_ports(const struct facts *facts, struct points *out)
{
	const unsigned int seen = 0, tunnels = 1, all = 2;

	for (unsigned int pass = seen; pass <= all && !out->n; pass++)
		for (unsigned int i = 1; i < facts->n_devices; i++) {
			const struct facts_device *device = &facts->device[i];

			if (device->node.parent != 0 ||
			    device->node.dev->master != facts->device[0].node.dev->ifindex)
				continue;
			if (pass == all || (pass == seen && device->sample.matching) ||
			    (pass == tunnels && is_kind(device, "vxlan")))
				out->at[out->n++] = device;
		}
}

/* Where the packets of all those ports can be seen inside their tunnels. Returns whether it can. */
static bool go_below(const struct facts *facts, const struct points *ports, struct policy *policy,
		     struct points *out)
{
	struct points below = { .n = 0 };
	uint32_t vni[DF_VNIS_MAX];

	if (!ports->n || ports->n > DF_VNIS_MAX)
		return false;
	for (unsigned int i = 0; i < ports->n; i++) {
		const struct facts_device *carrier = carrier_of(facts, ports->at[i]);
		bool there = false;

		if (!carrier)
			return false;
		for (unsigned int k = 0; k < below.n; k++)
			there |= below.at[k] == carrier;
		if (!there)
			below.at[below.n++] = carrier;
		vni[i] = ports->at[i]->node.dev->vxlan.vni;
	}
	policy->df.encap = DF_ENCAP_VXLAN;
	policy->df.n_vni = (uint8_t)ports->n;
	memcpy(policy->df.vni, vni, ports->n * sizeof(vni[0]));
	*out = below;
	return true;
}

static bool is_point(const struct policy *policy, const struct facts_device *device)
{
	for (unsigned int i = 0; i < policy->xdp.n_attach; i++)
		if (!strcmp(policy->xdp.attach[i], device->node.dev->name))
			return true;
	return false;
}

/* Is XDP on something that it stands on? */
static bool is_above(const struct facts *facts, const struct policy *policy,
		     const struct facts_device *device)
{
	const int at = (int)(device - facts->device);

	for (unsigned int i = 0; i < facts->n_devices; i++)
		for (int up = facts->device[i].node.parent; up >= 0;
		     up = facts->device[up].node.parent)
			if (up == at && is_point(policy, &facts->device[i]))
				return true;
	return false;
}

static void note_device(const struct facts *facts, const struct facts_device *device,
			struct choice *out)
{
	const struct facts_device *root = &facts->device[0];
	const struct policy *policy = &out->policy;

	if (device == root && is_kind(device, "bridge"))
		note(out, device,
		     "a bridge: XDP there sees only what is for this host, not what is bridged from "
		     "port to port, and is generic, without a word");
	else if (is_kind(device, "vxlan") && policy->df.encap == DF_ENCAP_VXLAN)
		note(out, device,
		     "no native XDP on a tunnel; below it its packets are seen inside (VNI %u)",
		     device->node.dev->vxlan.vni);
	else if (is_above(facts, policy, device))
		note(out, device, "XDP is below it");
	else if (device->node.dev->master == root->node.dev->ifindex)
		note(out, device,
		     "no packet of the policy was seen to arrive there; one that does goes on to the "
		     "NFQUEUE path");
	else if (device->node.parent >= 0 && is_kind(&facts->device[device->node.parent], "vlan"))
		note(out, device, "carries others' packets, too, and a policy has no VLAN");
	else if (device->node.parent >= 0 && is_kind(&facts->device[device->node.parent], "vxlan"))
		note(out, device, "the packets are seen on %s: %s",
		     facts->device[device->node.parent].node.dev->name,
		     no_carrier(facts, &facts->device[device->node.parent]));
	else
		note(out, device, "the packets are seen above it");
}

static void note_all(const struct facts *facts, struct choice *out)
{
	for (unsigned int i = 0; i < facts->n_devices; i++)
		if (!is_point(&out->policy, &facts->device[i]))
			note_device(facts, &facts->device[i], out);
}

static int choose_attach(const struct facts *facts, struct policy *policy, struct err *why)
{
	const struct facts_device *root = &facts->device[0];
	struct points ports = { .n = 0 }, points;

	if (!facts->n_devices)
		return err_set(why, N2X_USAGE, "interface %s does not exist here",
			       policy->interface);
	if (is_kind(root, "bridge"))
		choose_ports(facts, &ports);
	else
		ports.at[ports.n++] = root;
	points = ports;
	go_below(facts, &ports, policy, &points);
	if (!points.n)
		return err_set(why, N2X_NO, "%s is a bridge without a port", policy->interface);
	if (points.n > POLICY_ATTACH_MAX)
		return err_set(why, N2X_NO,
			       "%u ports to attach to: a policy has %d at most: write it by hand",
			       points.n, POLICY_ATTACH_MAX);
	for (unsigned int i = 0; i < points.n; i++)
		snprintf(policy->xdp.attach[i], sizeof(policy->xdp.attach[i]), "%s",
			 points.at[i]->node.dev->name);
	policy->xdp.n_attach = points.n;
	return 0;
}

/* Nobody listens: then the way back is to be ours, on a queue that no rule feeds. */
static void choose_own(const struct facts *facts, struct policy *policy)
{
	unsigned int next = 0;

	for (unsigned int i = 0; i < facts->n_rules; i++)
		if (facts->rule[i].queue + facts->rule[i].queues > next)
			next = facts->rule[i].queue + facts->rule[i].queues;
	policy->nfqueue.daemon = NFQ_DAEMON_OWN;
	policy->nfqueue.queue = next <= UINT16_MAX ? (uint16_t)next : 0;
	policy->nfqueue.threads = 1;
}

void choose(const struct facts *facts, const struct policy *given, struct choice *out)
{
	struct choice choice = { .valid = given };

	if (given) {
		choice.policy = *given;
	} else if (choose_match(facts, &choice.policy, &choice.why) == 0 &&
		   choose_attach(facts, &choice.policy, &choice.why) == 0) {
		if (!facts->listener.bound)
			choose_own(facts, &choice.policy);
		choice.valid = true;
	}
	if (choice.valid)
		note_all(facts, &choice);
	*out = choice;
}

static void put_list(FILE *f, const char *key, const uint32_t *numbers, unsigned int n)
{
	fprintf(f, ", %s: [", key);
	for (unsigned int i = 0; i < n; i++)
		fprintf(f, "%s%u", i ? ", " : "", numbers[i]);
	fputc(']', f);
}

/* Plain where YAML takes it so, and quoted where a name has anything that it may not. */
static void put_name(FILE *f, const char *name)
{
	bool plain = true;

	for (const char *c = name; *c; c++)
		plain &= isalnum((unsigned char)*c) || (c > name && strchr("_.-@", *c));
	fputs(plain ? "" : "\"", f);
	for (const char *c = name; *c; c++)
		fprintf(f, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
	fputs(plain ? "" : "\"", f);
}

char *choose_format(const struct policy *policy)
{
	const struct df_policy *df = &policy->df;
	uint32_t ports[DF_PORTS_MAX];
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (unsigned int i = 0; i < df->n_dport; i++)
		ports[i] = ntohs(df->dport_be[i]);
	fputs("interface: ", f);
	put_name(f, policy->interface);
	fputs("\nmatch:    { protocol: udp", f);
	put_list(f, "dport", ports, df->n_dport);
	if (df->encap == DF_ENCAP_VXLAN)
		fprintf(f, ", encap: vxlan");
	if (df->n_vni)
		put_list(f, "vni", df->vni, df->n_vni);
	fprintf(f, " }\naction:   { clear-df: { min-length: %u }, ip-id: %s }\n", df->min_len,
		df->ip_id == DF_IP_ID_ASSIGN ? "assign" : "keep");
	fprintf(f, "xdp:      { attach: [");
	for (unsigned int i = 0; i < policy->xdp.n_attach; i++) {
		fputs(i ? ", " : "", f);
		put_name(f, policy->xdp.attach[i]);
	}
	fprintf(f,
		"], mode: auto }\nnfqueue:  { queue: %u, threads: %u, fail: open, daemon: %s }\n",
		policy->nfqueue.queue, policy->nfqueue.threads,
		policy->nfqueue.daemon == NFQ_DAEMON_EXTERNAL ? "external" : "own");
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

// SPDX-License-Identifier: GPL-2.0-only
/* Checks of the devices that XDP attaches to, and of those above and below. */
#include "migrate/finding_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MTU_PAGE 1500 /* fits one page with headroom and tail on every driver */

enum finding_verdict check_interface(struct check *c)
{
	const struct facts *f = c->facts;

	c->out->exit = N2X_USAGE;
	if (fact_missing(&f->devices))
		return unknown(c, "%s", fact_missing(&f->devices));
	if (f->interface[0] && !f->n_devices) {
		mend(c, "ip -br link");
		return fail(c, "interface %s does not exist here: check the name and the namespace",
			    f->interface);
	}
	if (f->missing[0]) {
		mend(c, "ip -br link");
		return fail(c,
			    "interface %s does not exist here: check xdp.attach and the namespace",
			    f->missing);
	}
	if (!f->interface[0])
		return unknown(c, "there is none to look at");
	if (f->left_out)
		return warn(c, "%s has more devices below it than are looked at: %u are left out",
			    f->interface, f->left_out);
	return ok(c, "%s is there, and what is below it was found: %u device(s)", f->interface,
		  f->n_devices);
}

enum finding_verdict check_point(struct check *c)
{
	const struct facts_device *device;

	if (!c->policy)
		return unknown(c, "there is no policy");
	for (unsigned int i = 0; (device = check_next(c, &i));) {
		if (strcmp(device->node.dev->kind, "bridge") != 0)
			continue;
		mend(c, "nfq2xdp plan %s   # says where to attach", c->policy->interface);
		return c->facts->local_only
			       ? warn(c,
				      "%s is a bridge: XDP there sees only what is for this host",
				      check_name(device))
			       : fail(c,
				      "%s is a bridge: XDP there does not see frames that are bridged from "
				      "port to port",
				      check_name(device));
	}
	return ok(c, "XDP sees what the rule sees");
}

enum finding_verdict check_carrier(struct check *c)
{
	const struct facts_device *device;

	if (!c->policy)
		return unknown(c, "there is no policy");
	for (unsigned int i = 0; (device = check_next(c, &i));) {
		if (device->node.dev->running)
			continue;
		mend(c, "ip link set %s up", check_name(device));
		return fail(c, "%s is down, or has no carrier", check_name(device));
	}
	return ok(c, "every attach point is up");
}

enum finding_verdict check_native(struct check *c)
{
	const struct facts_device *device, *silent = NULL;
	const char *driver;

	if (!c->policy)
		return unknown(c, "there is no policy");
	if (c->policy->xdp.mode == ATTACH_GENERIC)
		return ok(c, "mode is generic");
	for (unsigned int i = 0; (device = check_next(c, &i));) {
		driver = device->hw_known ? device->hw.driver : "?";
		if (!device->features_known)
			silent = device;
		else if (device->features & NETDEV_XDP_BASIC)
			continue;
		else if (c->policy->xdp.mode == ATTACH_NATIVE)
			return fail_as(c, N2X_SYSTEM, "%s (%s) cannot do native XDP",
				       check_name(device), driver);
		else
			return warn(
				c,
				"%s (%s) cannot do native XDP now: it will be generic, which is "
				"slower",
				check_name(device), driver);
	}
	if (silent)
		return unknown(
			c,
			"this kernel does not say whether %s can do native XDP (before 6.3): "
			"attaching will",
			check_name(silent));
	return ok(c, "every attach point can do native XDP");
}

/* The driver takes frames of one page, and those here may be longer. */
static bool is_too_long(const struct facts_device *device)
{
	return device->features & NETDEV_XDP_BASIC && !(device->features & NETDEV_XDP_FRAGS);
}

enum finding_verdict check_mtu(struct check *c)
{
	const struct facts_device *device, *silent = NULL;

	if (!c->policy)
		return unknown(c, "there is no policy");
	for (unsigned int i = 0; (device = check_next(c, &i));) {
		if (device->node.dev->mtu <= MTU_PAGE || c->policy->xdp.mode == ATTACH_GENERIC)
			continue;
		if (!device->features_known)
			silent = device;
		if (!device->features_known || !is_too_long(device))
			continue;
		mend(c, "ip link set %s mtu %u   # or mode: generic", check_name(device), MTU_PAGE);
		return warn(
			c,
			"%s has an MTU of %u, and its driver takes frames of one page only: it may "
			"refuse native XDP; its limit is not to be read without attaching",
			check_name(device), device->node.dev->mtu);
	}
	if (silent)
		return unknown(
			c,
			"%s has an MTU of %u: whether its driver takes that natively is not to be "
			"read without attaching",
			check_name(silent), silent->node.dev->mtu);
	return ok(c, "no MTU here is in the way");
}

enum finding_verdict check_queues(struct check *c)
{
	const struct facts_device *device, *silent = NULL;

	if (!c->policy)
		return unknown(c, "there is no policy");
	for (unsigned int i = 0; (device = check_next(c, &i));) {
		const struct netdev_hw *hw = &device->hw;

		/* What software makes has as many as it wants. */
		if (!device->hw_known || (hw->bus && !hw->rx_max))
			silent = device;
		/* virtio_net shares what it has between XDP and the rest. */
		if (!hw->bus || 2 * hw->rx <= hw->rx_max || !strcmp(hw->driver, "virtio_net"))
			continue;
		mend(c, "ethtool -L %s combined %u", check_name(device), hw->rx_max / 2);
		return warn(
			c,
			"%s uses %u of its %u queues: some drivers (ena before 2.17) want one more for "
			"each to attach natively",
			check_name(device), hw->rx, hw->rx_max);
	}
	if (silent)
		return unknown(c, "%s does not say how many queues it has", check_name(silent));
	return ok(c, "no number of queues is in the way");
}

/* What puts frames together in the device itself. */
static enum finding_verdict check_hard_gro(struct check *c, const struct facts_device *device)
{
	const uint32_t hard = device->hw.on & (NETDEV_LRO | NETDEV_GRO_HW);
	const char *which = hard & NETDEV_LRO ? "lro" : "rx-gro-hw";

	if (!hard)
		return FINDING_OK;
	if (!(hard & device->hw.fixed)) {
		mend(c, "ethtool -K %s %s off", check_name(device), which);
		return warn(c, "%s: %s is on: native XDP is refused, or switches it off",
			    check_name(device), which);
	}
	mend(c, "xdp: { mode: generic } in the file   # or off where the device is made");
	if (c->policy->xdp.mode == ATTACH_NATIVE)
		return fail_as(c, N2X_SYSTEM, "%s: %s is on and fixed: native XDP is refused",
			       check_name(device), which);
	return warn(c, "%s: %s is on and fixed: native XDP is refused, it will be generic",
		    check_name(device), which);
}

enum finding_verdict check_gro(struct check *c)
{
	const struct facts_device *device;
	enum finding_verdict verdict;

	if (!c->policy)
		return unknown(c, "there is no policy");
	for (unsigned int i = 0; (device = check_next(c, &i));) {
		if (!device->hw_known)
			return unknown(c, "%s does not say what it does", check_name(device));
		verdict = check_hard_gro(c, device);
		if (verdict != FINDING_OK)
			return verdict;
	}
	for (unsigned int i = 0; i < c->facts->n_devices; i++) {
		device = &c->facts->device[i];
		if (!(device->hw.on & (NETDEV_GRO_LIST | NETDEV_GRO_UDP)))
			continue;
		mend(c, "ethtool -K %s rx-gro-list off rx-udp-gro-forwarding off",
		     check_name(device));
		return warn(
			c,
			"%s: GRO of forwarded UDP is on: rule and XDP count several packets as one",
			check_name(device));
	}
	return ok(c, "nothing puts packets together in front of XDP");
}

enum finding_verdict check_vlan(struct check *c)
{
	const struct facts_device *device;

	for (unsigned int i = 0; (device = check_next(c, &i));) {
		if (!device->vlan)
			continue;
		mend(c, "xdp: { attach: [%s] } in the file   # the rule's interface",
		     c->facts->interface);
		return warn(
			c,
			"VLAN %u (%s) is on %s: XDP handles its packets to the port, too%s; the rule does "
			"not see them",
			device->vlan->vlan, device->vlan->name, check_name(device),
			device->hw.on & NETDEV_RX_VLAN
				? ", and does not see the tag, which the device takes off"
				: "");
	}
	if (check_no_sample(c))
		return unknown(c, "%s", check_no_sample(c));
	if (!c->seen.tagged)
		return ok(c, "no VLAN tag on %" PRIu64 " packets of the policy", c->seen.matching);
	mend(c,
	     "sysctl net.bridge.bridge-nf-filter-vlan-tagged   # the rule sees tagged frames with 1");
	return warn(
		c,
		"%" PRIu64 " of %" PRIu64
		" packets of the policy have a VLAN tag: XDP looks through it; the rule may not",
		c->seen.tagged, c->seen.matching);
}

/* Somebody else's program: on an attach point, or else on a device beside. NULL: there is none. */
static const struct facts_device *find_foreign(const struct check *c)
{
	const struct facts_device *beside = NULL;

	for (unsigned int i = 0; i < c->facts->n_devices; i++) {
		const struct facts_device *device = &c->facts->device[i];

		if (!device->node.dev->prog_id || check_is_ours(c, device))
			continue;
		if (check_is_point(c, device))
			return device;
		beside = device;
	}
	return beside;
}

/* An attach point that the device stands on, as the kernel has it, and where ours is not yet. NULL: none. */
static const struct facts_device *find_below(const struct check *c,
					     const struct facts_device *device)
{
	const struct topology_dev *above = device->node.dev;
	const struct facts_device *point;

	for (unsigned int i = 0; (point = check_next(c, &i));) {
		const struct topology_dev *dev = point->node.dev;

		if (!check_is_ours(c, point) &&
		    (dev->master == above->ifindex ||
		     (above->lower == dev->ifindex && !above->vxlan.routed)))
			return point;
	}
	return NULL;
}

enum finding_verdict check_foreign(struct check *c)
{
	const struct facts_device *device = find_foreign(c), *below;

	if (!c->facts->n_devices)
		return unknown(c, "the devices cannot be read");
	if (!device)
		return ok(c, "no XDP program of somebody else on %u device(s)",
			  c->facts->n_devices);
	if (c->facts->rights_xdp.ret)
		return unknown(c,
			       "%s has an XDP program: whose is not to be read without the rights",
			       check_name(device));
	mend(c, "bpftool prog show id %u; bpftool net   # and ask who attached it",
	     device->node.dev->prog_id);
	if (check_is_point(c, device))
		return fail_as(c, N2X_FOREIGN, "%s: XDP program id %u is attached and is not ours",
			       check_name(device), device->node.dev->prog_id);
	below = find_below(c, device);
	if (below)
		return fail_as(
			c, N2X_FOREIGN,
			"%s has XDP program id %u, which is not ours: the kernel attaches none to %s "
			"below it",
			check_name(device), device->node.dev->prog_id, check_name(below));
	return warn(
		c,
		"%s has XDP program id %u, which is not ours: it may take packets away in front of "
		"us, or behind",
		check_name(device), device->node.dev->prog_id);
}

static unsigned int count_ports(const struct facts *f)
{
	unsigned int ports = 0;

	for (unsigned int i = 1; i < f->n_devices; i++)
		ports += f->device[i].node.dev->master == f->device[0].node.dev->ifindex;
	return ports;
}

enum finding_verdict check_bridge(struct check *c)
{
	const struct facts *f = c->facts;

	if (!f->n_devices)
		return unknown(c, "the devices cannot be read");
	if (strcmp(f->device[0].node.dev->kind, "bridge") != 0)
		return ok(c, "%s is not a bridge", f->interface);
	if (!f->bridge_hidden || f->device[0].node.dev->nf_call)
		return ok(c, "bridged frames reach the rule");
	if (count_ports(f) < 2)
		return ok(
			c,
			"bridged frames do not reach the rule, and %s bridges none: it has one port",
			f->interface);
	mend(c, "modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1");
	return c->facts->local_only
		       ? warn(c, "frames that are bridged from port to port do not reach the rule")
		       : fail(c,
			      "frames that are bridged from port to port do not reach the rule: XDP would "
			      "handle them, and the way back would not");
}

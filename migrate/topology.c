// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/topology.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>

#include "core/util.h"

#define DUMP_BYTES 32768 /* the most that the kernel sends of a dump at once */
#define READ_TRIES 10

static void socket_closep(struct mnl_socket **nl)
{
	if (*nl)
		mnl_socket_close(*nl);
}

static bool has(const struct nlattr *attr, int type, enum mnl_attr_data_type data)
{
	return mnl_attr_get_type(attr) == type && mnl_attr_validate(attr, data) == 0;
}

static int on_vxlan(const struct nlattr *attr, void *data)
{
	struct topology_dev *dev = data;

	if (has(attr, IFLA_VXLAN_ID, MNL_TYPE_U32))
		dev->vxlan.vni = mnl_attr_get_u32(attr);
	else if (has(attr, IFLA_VXLAN_LINK, MNL_TYPE_U32))
		dev->lower = (int)mnl_attr_get_u32(attr);
	else if (has(attr, IFLA_VXLAN_LOCAL, MNL_TYPE_U32))
		dev->vxlan.local_be = mnl_attr_get_u32(attr);
	else if (has(attr, IFLA_VXLAN_PORT, MNL_TYPE_U16))
		dev->vxlan.port = ntohs(mnl_attr_get_u16(attr));
	else if (has(attr, IFLA_VXLAN_COLLECT_METADATA, MNL_TYPE_U8))
		dev->vxlan.external = mnl_attr_get_u8(attr);
	return MNL_CB_OK;
}

static int on_vlan(const struct nlattr *attr, void *data)
{
	if (has(attr, IFLA_VLAN_ID, MNL_TYPE_U16))
		((struct topology_dev *)data)->vlan = mnl_attr_get_u16(attr);
	return MNL_CB_OK;
}

static int on_bridge(const struct nlattr *attr, void *data)
{
	if (has(attr, IFLA_BR_NF_CALL_IPTABLES, MNL_TYPE_U8))
		((struct topology_dev *)data)->nf_call = mnl_attr_get_u8(attr);
	return MNL_CB_OK;
}

/* IFLA_INFO_KIND comes before IFLA_INFO_DATA (net/core/rtnetlink.c, rtnl_link_fill()). */
static int on_info(const struct nlattr *attr, void *data)
{
	static const struct {
		const char *kind;
		mnl_attr_cb_t see;
	} kinds[] = { { "vxlan", on_vxlan }, { "vlan", on_vlan }, { "bridge", on_bridge } };
	struct topology_dev *dev = data;

	if (has(attr, IFLA_INFO_KIND, MNL_TYPE_NUL_STRING))
		snprintf(dev->kind, sizeof(dev->kind), "%s", mnl_attr_get_str(attr));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (has(attr, IFLA_INFO_DATA, MNL_TYPE_NESTED) && !strcmp(dev->kind, kinds[i].kind))
			mnl_attr_parse_nested(attr, kinds[i].see, data);
	return MNL_CB_OK;
}

static int on_xdp(const struct nlattr *attr, void *data)
{
	struct topology_dev *dev = data;

	/* With several modes in use there is no IFLA_XDP_PROG_ID: any of them then. */
	for (int type = IFLA_XDP_PROG_ID; type <= IFLA_XDP_HW_PROG_ID; type++)
		if (has(attr, type, MNL_TYPE_U32))
			dev->prog_id = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

struct link {
	struct topology_dev dev;
	int link; /* IFLA_LINK */
	bool elsewhere; /* which is of another namespace */
};

static int on_attr(const struct nlattr *attr, void *data)
{
	struct link *link = data;

	if (has(attr, IFLA_IFNAME, MNL_TYPE_NUL_STRING))
		snprintf(link->dev.name, sizeof(link->dev.name), "%s", mnl_attr_get_str(attr));
	else if (has(attr, IFLA_MTU, MNL_TYPE_U32))
		link->dev.mtu = mnl_attr_get_u32(attr);
	else if (has(attr, IFLA_MASTER, MNL_TYPE_U32))
		link->dev.master = (int)mnl_attr_get_u32(attr);
	else if (has(attr, IFLA_LINK, MNL_TYPE_U32))
		link->link = (int)mnl_attr_get_u32(attr);
	else if (mnl_attr_get_type(attr) == IFLA_LINK_NETNSID)
		link->elsewhere = true;
	else if (has(attr, IFLA_LINKINFO, MNL_TYPE_NESTED))
		mnl_attr_parse_nested(attr, on_info, &link->dev);
	else if (has(attr, IFLA_XDP, MNL_TYPE_NESTED))
		mnl_attr_parse_nested(attr, on_xdp, &link->dev);
	return MNL_CB_OK;
}

static int on_link(const struct nlmsghdr *nlh, void *data)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	struct link link = { .dev = { .ifindex = info->ifi_index,
				      .running = info->ifi_flags & IFF_RUNNING } };
	struct topology *t = data;
	struct topology_dev *grown;

	mnl_attr_parse(nlh, sizeof(*info), on_attr, &link);
	/* A veth's link is its peer, beside it. */
	if (!link.dev.lower && !link.elsewhere && link.link != info->ifi_index &&
	    strcmp(link.dev.kind, "veth") != 0)
		link.dev.lower = link.link;
	grown = realloc(t->dev, (t->n + 1) * sizeof(*grown));
	if (!grown) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	t->dev = grown;
	t->dev[t->n++] = link.dev;
	return MNL_CB_OK;
}

/* A tunnel without a device of its own is carried by the one that has its near end's address. */
static int on_address(const struct nlmsghdr *nlh, void *data)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(nlh);
	const struct topology *t = data;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(*info))
	{
		if (!has(attr, IFA_LOCAL, MNL_TYPE_U32))
			continue;
		for (unsigned int i = 0; i < t->n; i++)
			if (!t->dev[i].lower && t->dev[i].vxlan.local_be &&
			    t->dev[i].vxlan.local_be == mnl_attr_get_u32(attr)) {
				t->dev[i].lower = (int)info->ifa_index;
				t->dev[i].vxlan.routed = true;
			}
	}
	return MNL_CB_OK;
}

/* Returns 0 or -errno. */
static int dump(struct mnl_socket *nl, uint16_t type, uint8_t family, mnl_cb_t cb, void *data)
{
	char buf[DUMP_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	int ret = 1;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = type;
	*(uint8_t *)mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg)) = family;
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (ret > 0) {
		ssize_t got = mnl_socket_recvfrom(nl, buf, sizeof(buf));

		if (got < 0)
			return -errno;
		ret = mnl_cb_run(buf, (size_t)got, type, mnl_socket_get_portid(nl), cb, data);
	}
	return ret < 0 ? -errno : 0;
}

/* Returns 0 or -errno: -EINTR when somebody changed devices meanwhile. */
static int try_read(struct topology *out)
{
	_cleanup_(socket_closep) struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE,
									  SOCK_CLOEXEC);
	_cleanup_(topology_release) struct topology t = { 0 };
	int ret;

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	ret = dump(nl, RTM_GETLINK, AF_UNSPEC, on_link, &t);
	if (ret == 0)
		ret = dump(nl, RTM_GETADDR, AF_INET, on_address, &t);
	if (ret < 0)
		return ret;
	*out = t;
	t = (struct topology){ 0 };
	return 0;
}

int topology_read(struct topology *out, struct err *err)
{
	int ret = -EINTR;

	for (int i = 0; i < READ_TRIES && ret == -EINTR; i++)
		ret = try_read(out);
	return ret < 0 ? err_set(err, N2X_SYSTEM, "rtnetlink: cannot list the interfaces: %s",
				 strerror(-ret))
		       : 0;
}

void topology_release(struct topology *t)
{
	free(t->dev);
}

const struct topology_dev *topology_find(const struct topology *t, const char *name)
{
	for (unsigned int i = 0; i < t->n; i++)
		if (!strcmp(t->dev[i].name, name))
			return &t->dev[i];
	return NULL;
}

const struct topology_dev *topology_by_index(const struct topology *t, int ifindex)
{
	for (unsigned int i = 0; i < t->n; i++)
		if (t->dev[i].ifindex == ifindex)
			return &t->dev[i];
	return NULL;
}

struct walk {
	const struct topology *t;
	struct topology_node *out;
	unsigned int n, left_out;
};

/* NOLINTNEXTLINE(misc-no-recursion): no device twice, so it ends after TOPOLOGY_NODES */
static void visit(struct walk *w, const struct topology_dev *dev, int parent)
{
	const int here = (int)w->n;

	for (unsigned int i = 0; i < w->n; i++)
		if (w->out[i].dev == dev)
			return;
	if (w->n == TOPOLOGY_NODES) {
		w->left_out++;
		return;
	}
	w->out[w->n++] = (struct topology_node){
		.dev = dev,
		.parent = parent,
		.depth = parent < 0 ? 0 : w->out[parent].depth + 1,
	};
	for (unsigned int i = 0; i < w->t->n; i++)
		if (w->t->dev[i].master == dev->ifindex || w->t->dev[i].ifindex == dev->lower)
			visit(w, &w->t->dev[i], here);
}

unsigned int topology_walk(const struct topology *t, const struct topology_dev *root,
			   struct topology_node out[TOPOLOGY_NODES], unsigned int *left_out)
{
	struct walk w = { .t = t, .out = out };

	visit(&w, root, -1);
	*left_out = w.left_out;
	return w.n;
}

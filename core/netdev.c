// SPDX-License-Identifier: GPL-2.0-only
#include "core/netdev.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>

#include "core/util.h"

unsigned int netdev_mtu(const char *interface)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", interface);
	return fd >= 0 && ioctl(fd, SIOCGIFMTU, &req) == 0 ? (unsigned int)req.ifr_mtu : 0;
}

void netdev_driver(const char *interface, char *out, size_t size)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq req = { .ifr_data = (void *)&info };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", interface);
	*out = '\0';
	if (fd >= 0 && ioctl(fd, SIOCETHTOOL, &req) == 0)
		snprintf(out, size, "%.31s%s%.31s", info.driver, *info.version ? " " : "",
			 info.version);
}

bool netdev_is_bridge(const char *interface)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq req = { .ifr_data = (void *)&info };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", interface);
	return fd >= 0 && ioctl(fd, SIOCETHTOOL, &req) == 0 && !strcmp(info.driver, "bridge");
}

bool netdev_running(const char *interface)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", interface);
	return fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &req) == 0 && req.ifr_flags & IFF_RUNNING;
}

bool netdev_bridge_hidden(void)
{
	_cleanup_file_ FILE *f = fopen("/proc/sys/net/bridge/bridge-nf-call-iptables", "re");

	return !f || fgetc(f) != '1';
}

static int ethtool(int fd, const char *interface, void *command)
{
	struct ifreq req = { .ifr_data = command };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", interface);
	return ioctl(fd, SIOCETHTOOL, &req) < 0 ? -errno : 0;
}

/* How many features this kernel knows. */
static uint32_t count_features(int fd, const char *interface)
{
	union {
		struct ethtool_sset_info info;
		char room[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)]; /* for one count */
	} sset = { .info = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_FEATURES } };

	return ethtool(fd, interface, &sset) == 0 && sset.info.sset_mask ? sset.info.data[0] : 0;
}

/* One feature's bit: bit i of the kernel's blocks of 32. */
static void see_feature(const struct ethtool_gfeatures *f, uint32_t i, const char *name,
			struct netdev_hw *out)
{
	static const struct {
		const char *name;
		uint32_t bit;
	} known[] = {
		{ "rx-lro", NETDEV_LRO },
		{ "rx-gro-hw", NETDEV_GRO_HW },
		{ "rx-gro-list", NETDEV_GRO_LIST },
		{ "rx-udp-gro-forwarding", NETDEV_GRO_UDP },
		{ "rx-vlan-hw-parse", NETDEV_RX_VLAN },
	};
	const struct ethtool_get_features_block *block = &f->features[i / 32];
	const uint32_t bit = 1U << i % 32;

	for (size_t k = 0; k < ARRAY_SIZE(known); k++) {
		if (strncmp(name, known[k].name, ETH_GSTRING_LEN) != 0 || !(block->active & bit))
			continue;
		out->on |= known[k].bit;
		if (!(block->available & bit) || block->never_changed & bit)
			out->fixed |= known[k].bit;
	}
}

static void read_features(int fd, const char *interface, struct netdev_hw *out)
{
	const uint32_t n = count_features(fd, interface), blocks = (n + 31) / 32;
	_cleanup_free_ struct ethtool_gfeatures *features =
		calloc(1, sizeof(*features) + blocks * sizeof(features->features[0]));
	_cleanup_free_ struct ethtool_gstrings *names =
		calloc(1, sizeof(*names) + (size_t)n * ETH_GSTRING_LEN);

	if (!n || !features || !names)
		return;
	*features = (struct ethtool_gfeatures){ .cmd = ETHTOOL_GFEATURES, .size = blocks };
	*names = (struct ethtool_gstrings){ .cmd = ETHTOOL_GSTRINGS,
					    .string_set = ETH_SS_FEATURES,
					    .len = n };
	if (ethtool(fd, interface, features) < 0 || ethtool(fd, interface, names) < 0)
		return;
	for (uint32_t i = 0; i < n && i < names->len; i++)
		see_feature(features, i, (const char *)names->data + (size_t)i * ETH_GSTRING_LEN,
			    out);
}

int netdev_hw(const char *interface, struct netdev_hw *out)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct netdev_hw hw = { 0 };
	int ret = fd < 0 ? -errno : ethtool(fd, interface, &info);

	if (ret < 0)
		return ret;
	snprintf(hw.driver, sizeof(hw.driver), "%.31s", info.driver);
	hw.bus = info.bus_info[0] && strcmp(info.bus_info, "N/A") != 0;
	if (ethtool(fd, interface, &channels) == 0) {
		hw.rx = channels.rx_count + channels.combined_count;
		hw.rx_max = channels.max_rx + channels.max_combined;
	}
	read_features(fd, interface, &hw);
	*out = hw;
	return 0;
}

/* uapi/linux/netdev.h, which Debian 12 does not have. */
#define NETDEV_FAMILY        "netdev"
#define CMD_DEV_GET          1
#define ATTR_DEV_IFINDEX     1
#define ATTR_DEV_XDP_FEATURE 3

static int family_attr(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID &&
	    mnl_attr_validate(attr, MNL_TYPE_U16) == 0)
		*(uint64_t *)data = mnl_attr_get_u16(attr);
	return MNL_CB_OK;
}

static int feature_attr(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == ATTR_DEV_XDP_FEATURE &&
	    mnl_attr_validate(attr, MNL_TYPE_U64) == 0)
		*(uint64_t *)data = mnl_attr_get_u64(attr);
	return MNL_CB_OK;
}

struct reply {
	mnl_attr_cb_t attr;
	uint64_t value;
};

static int on_reply(const struct nlmsghdr *nlh, void *data)
{
	struct reply *reply = data;

	return mnl_attr_parse(nlh, sizeof(struct genlmsghdr), reply->attr, &reply->value);
}

/* Sends a generic netlink request; what the reply's attributes said is in reply->value. */
static int request(struct mnl_socket *nl, struct nlmsghdr *nlh, struct reply *reply)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	int ret = 1;

	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (ret > 0) {
		ssize_t got = mnl_socket_recvfrom(nl, buf, sizeof(buf));

		if (got < 0)
			return -errno;
		ret = mnl_cb_run(buf, (size_t)got, 0, mnl_socket_get_portid(nl), on_reply, reply);
	}
	return ret < 0 ? -errno : 0;
}

static struct nlmsghdr *put_header(char *buf, uint16_t family, uint8_t command)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));

	nlh->nlmsg_type = family;
	*genl = (struct genlmsghdr){ .cmd = command, .version = 1 };
	return nlh;
}

static void socket_closep(struct mnl_socket **nl)
{
	if (*nl)
		mnl_socket_close(*nl);
}

int netdev_xdp_features(int ifindex, uint64_t *out)
{
	_cleanup_(socket_closep) struct mnl_socket *nl = mnl_socket_open2(NETLINK_GENERIC,
									  SOCK_CLOEXEC);
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct reply family = { .attr = family_attr }, features = { .attr = feature_attr };
	struct nlmsghdr *nlh;
	int ret;

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	nlh = put_header(buf, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, NETDEV_FAMILY);
	ret = request(nl, nlh, &family);
	if (ret < 0)
		return ret;
	nlh = put_header(buf, (uint16_t)family.value, CMD_DEV_GET);
	mnl_attr_put_u32(nlh, ATTR_DEV_IFINDEX, (uint32_t)ifindex);
	ret = request(nl, nlh, &features);
	if (ret == 0)
		*out = features.value;
	return ret;
}

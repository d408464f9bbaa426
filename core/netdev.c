// SPDX-License-Identifier: GPL-2.0-only
#include "core/netdev.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/util.h"

unsigned int netdev_mtu(const char *interface)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", interface);
	return fd >= 0 && ioctl(fd, SIOCGIFMTU, &req) == 0 ? (unsigned int)req.ifr_mtu : 0;
}

void netdev_driver(const char *interface, char *out, size_t size)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
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
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq req = { .ifr_data = (void *)&info };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", interface);
	return fd >= 0 && ioctl(fd, SIOCETHTOOL, &req) == 0 && !strcmp(info.driver, "bridge");
}

bool netdev_running(const char *interface)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", interface);
	return fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &req) == 0 && req.ifr_flags & IFF_RUNNING;
}

bool netdev_bridge_hidden(void)
{
	_cleanup_file_ FILE *f = fopen("/proc/sys/net/bridge/bridge-nf-call-iptables", "re");

	return !f || fgetc(f) != '1';
}

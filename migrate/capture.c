// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/capture.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define SLL_LEN    16
#define SLL_PROTO  14
#define SLL2_LEN   20
#define SLL2_PROTO 0

struct capture {
	const char *path;
	pcap_t *pcap;
	const struct link *link;
	uint8_t *frame; /* room for frame_size bytes */
	size_t frame_size;
};

/* Ethertypes by link type: proto_at in the link header, or by the IP version where there is none. */
static const struct link {
	int type;
	int header; /* bytes in front of the packet; -1: all is as XDP has it */
	int proto_at;
} links[] = {
	{ DLT_EN10MB, -1, 0 },
	{ DLT_LINUX_SLL, SLL_LEN, SLL_PROTO },
	{ DLT_LINUX_SLL2, SLL2_LEN, SLL2_PROTO },
	{ DLT_RAW, 0, 0 },
	{ DLT_IPV4, 0, 0 },
	{ DLT_IPV6, 0, 0 },
};

static const char *link_name(int type)
{
	const char *name = pcap_datalink_val_to_name(type);

	return name ? name : "unknown";
}

static const struct link *find_link(int type)
{
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (links[i].type == type)
			return &links[i];
	return NULL;
}

int capture_open(const char *path, struct capture **out, struct err *err)
{
	_cleanup_(capture_closep) struct capture *capture = calloc(1, sizeof(*capture));
	_cleanup_file_ FILE *file = fopen(path, "re");
	char why[PCAP_ERRBUF_SIZE];

	if (!capture)
		return err_set(err, N2X_SYSTEM, "out of memory");
	if (!file)
		return err_set(err, N2X_USAGE, "%s: %s", path, strerror(errno));
	capture->path = path;
	capture->pcap = pcap_fopen_offline(file, why);
	if (!capture->pcap)
		return err_set(err, N2X_USAGE, "%s: not a capture: %.200s", path, why);
	file = NULL; /* libpcap's from here on */
	capture->link = find_link(pcap_datalink(capture->pcap));
	if (!capture->link)
		return err_set(
			err, N2X_USAGE,
			"%s: link type %s (%d): give a capture of Ethernet, Linux cooked or raw IP",
			path, link_name(pcap_datalink(capture->pcap)),
			pcap_datalink(capture->pcap));
	*out = TAKE_PTR(capture);
	return 0;
}

const char *capture_link(const struct capture *capture)
{
	return link_name(capture->link->type);
}

static int make_room(struct capture *capture, size_t len)
{
	uint8_t *frame;

	if (len <= capture->frame_size)
		return 0;
	frame = realloc(capture->frame, len);
	if (!frame)
		return -ENOMEM;
	capture->frame = frame;
	capture->frame_size = len;
	return 0;
}

static void set_ethertype(uint8_t *frame, const struct link *link, const uint8_t *packet)
{
	static const uint16_t by_version[16] = { [4] = ETH_P_IP, [6] = ETH_P_IPV6 };
	uint16_t proto = by_version[packet[0] >> 4];

	memset(frame, 0, ETH_HLEN);
	if (link->header > 0)
		proto = (uint16_t)(packet[link->proto_at] << 8 | packet[link->proto_at + 1]);
	frame[12] = (uint8_t)(proto >> 8);
	frame[13] = (uint8_t)proto;
}

/* The frame's length; 0 when nothing stands behind the link header. */
static size_t make_frame(struct capture *capture, const uint8_t *packet, size_t len)
{
	const struct link *link = capture->link;
	size_t header = link->header > 0 ? (size_t)link->header : 0;

	if (link->header < 0) {
		memcpy(capture->frame, packet, len);
		return len;
	}
	if (len <= header)
		return 0;
	set_ethertype(capture->frame, link, packet);
	memcpy(capture->frame + ETH_HLEN, packet + header, len - header);
	return ETH_HLEN + len - header;
}

int capture_next(struct capture *capture, struct capture_frame *out, struct err *err)
{
	struct pcap_pkthdr *header;
	const uint8_t *packet;
	int ret = pcap_next_ex(capture->pcap, &header, &packet);

	if (ret == PCAP_ERROR_BREAK)
		return 0;
	if (ret != 1)
		return err_set(err, N2X_USAGE, "%s: broken from here on: %.200s", capture->path,
			       pcap_geterr(capture->pcap));
	if (make_room(capture, ETH_HLEN + (size_t)header->caplen) < 0)
		return err_set(err, N2X_SYSTEM, "out of memory");
	*out = (struct capture_frame){ .data = capture->frame,
				       .len = make_frame(capture, packet, header->caplen),
				       .cut = header->caplen < header->len,
				       .at = header->ts };
	return 1;
}

void capture_close(struct capture *capture)
{
	if (!capture)
		return;
	if (capture->pcap)
		pcap_close(capture->pcap);
	free(capture->frame);
	free(capture);
}

void capture_closep(struct capture **capture)
{
	capture_close(*capture);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A capture file, pcap or pcapng as libpcap reads them, as the frames that XDP would have been given.
 * Link types: Ethernet; Linux cooked (SLL, SLL2) and raw IP, which get an Ethernet header of zero
 * addresses and the ethertype that they say. One packet at a time is in memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#include "core/err.h"

struct capture;

struct capture_frame {
	uint8_t *data; /* the capture's memory, until the next one; may be written to */
	size_t len; /* 0: nothing stands behind the link header */
	bool cut; /* the capture does not have all of the packet */
	struct timeval at;
};

/* Returns 0, or -N2X_USAGE for a file that is none, or of another link type. */
int capture_open(const char *path, struct capture **out, struct err *err);

/* "EN10MB", "LINUX_SLL", … */
const char *capture_link(const struct capture *capture);

/* Returns 1 with a frame, 0 at the end, or -N2X_USAGE when the file is broken from here on. */
int capture_next(struct capture *capture, struct capture_frame *out, struct err *err);

void capture_close(struct capture *capture);
void capture_closep(struct capture **capture);

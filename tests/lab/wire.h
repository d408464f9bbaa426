/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What source sends and sink expects. The checksum here is the lab's own on purpose: the judge
 * shares no code with what is judged.
 */
#pragma once

#include <arpa/inet.h>
#include <err.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/types.h>
#include <linux/udp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WIRE_MAGIC     0x6e327864u
#define WIRE_DPORT     31765
#define WIRE_FLOWS_MAX 65536
#define WIRE_LEN_MAX   9001 /* IPv4 total length */

struct wire {
	__be32 magic_be;
	__be32 flow_be;
	__be64 seq_be; /* over all flows, from 0; a sink counts one run of one source */
	__be64 flow_seq_be; /* within the flow, from 0 */
} __attribute__((packed));

/* Everything in front of the pattern. */
struct wire_frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	struct wire wire;
} __attribute__((packed));

#define WIRE_LEN_MIN     (sizeof(struct wire_frame) - sizeof(struct ethhdr))
#define WIRE_PATTERN_MAX (WIRE_LEN_MAX - WIRE_LEN_MIN)

static inline void wire_pattern(uint8_t out[WIRE_PATTERN_MAX])
{
	for (size_t i = 0; i < WIRE_PATTERN_MAX; i++)
		out[i] = (uint8_t)(i * 31 + (i >> 8) + 7);
}

/* Adds the 16-bit words of data to an unfolded sum. Only the last part may be of odd length. */
static inline uint64_t wire_sum(const void *data, size_t len, uint64_t sum)
{
	const uint8_t *p = data;
	uint32_t word;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	word = 0;
	memcpy(&word, p, len);
	return sum + word;
}

static inline uint16_t wire_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* The unfolded sum of the pseudo-header, the UDP header and struct wire. */
static inline uint64_t wire_udp_sum(const struct wire_frame *frame)
{
	uint64_t sum = (uint64_t)htons(IPPROTO_UDP) + frame->udp.len;

	sum = wire_sum((const uint8_t *)frame + offsetof(struct wire_frame, ip.saddr), 8, sum);
	return wire_sum((const uint8_t *)frame + offsetof(struct wire_frame, udp),
			sizeof(frame->udp) + sizeof(frame->wire), sum);
}

static inline uint64_t wire_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* A decimal option argument in [min, max]. */
static inline uint64_t wire_number(const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < min || value > max)
		errx(2, "%s: not a number from %llu to %llu", text, (unsigned long long)min,
		     (unsigned long long)max);
	return value;
}

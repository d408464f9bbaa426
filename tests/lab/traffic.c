// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes a capture of packets that differ in everything that either path looks at, to standard output:
 *	traffic PACKETS [SEED [LENGTH]]
 *
 * Tags, options, fragments, VXLAN, other protocols and ports, DF and ID both ways, lengths about 1400,
 * padding, wrong checksums, what the capture cut off. With LENGTH every packet is that long instead, as IPv4 goes,
 * and nothing else: for large files. The same arguments make the same bytes.
 */
#include <arpa/inet.h>
#include <err.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT      31765 /* the policies' of tests/vectors */
#define FRAME_MAX 65536
#define SNAPLEN   65535

struct frame {
	uint8_t bytes[FRAME_MAX];
	size_t len;
};

static uint64_t state;

static uint64_t any(void) /* splitmix64 */
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static unsigned int below(unsigned int n)
{
	return (unsigned int)(any() % n);
}

static bool percent(unsigned int n)
{
	return below(100) < n;
}

#define ONE_OF(...) \
	((const unsigned int[]){ __VA_ARGS__ })[below(sizeof((unsigned int[]){ __VA_ARGS__ }) / 4)]

static void put(struct frame *f, uint64_t value, int size)
{
	while (size--)
		f->bytes[f->len++] = (uint8_t)(value >> 8 * size);
}

static void put_any(struct frame *f, size_t n)
{
	while (n--)
		put(f, any(), 1);
}

static void set16(struct frame *f, size_t at, unsigned int value)
{
	f->bytes[at] = (uint8_t)(value >> 8);
	f->bytes[at + 1] = (uint8_t)value;
}

/* RFC 1071, over a header whose checksum is 0. */
static unsigned int checksum(const uint8_t *header, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)header[i] << 8 | header[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static void put_ethernet(struct frame *f)
{
	unsigned int tags = percent(70) ? 0 : ONE_OF(1, 1, 2, 2, 3);

	put_any(f, 12);
	while (tags--) {
		put(f, ONE_OF(ETH_P_8021Q, ETH_P_8021AD), 2);
		put(f, any(), 2);
	}
	put(f, percent(95) ? ETH_P_IP : ONE_OF(ETH_P_IPV6, ETH_P_ARP, 0x88b5, ETH_P_IP + 1), 2);
}

/* Lengths are filled in by finish(). */
static size_t put_ipv4(struct frame *f, unsigned int options, unsigned int proto)
{
	size_t at = f->len;

	put(f, 0x45 + options, 1);
	put(f, any(), 1);
	put(f, 0, 2);
	put(f, percent(50) ? 0 : any(), 2);
	put(f, ONE_OF(0x4000, 0x4000, 0x4000, 0x4000, 0, 0x6000, 0x2000, 0xc000), 2);
	put(f, any(), 1);
	put(f, proto, 1);
	put(f, 0, 2);
	put_any(f, 8 + options * (size_t)4);
	if (percent(4))
		f->bytes[at + 7] = (uint8_t)any(); /* an offset */
	return at;
}

/* The total length, now and then another one; and the checksum, now and then another one. */
static void finish(struct frame *f, size_t at, bool wrong)
{
	size_t header = (size_t)(f->bytes[at] & 15) * 4, len = f->len - at;

	if (wrong && percent(2))
		len = ONE_OF(0, 19, 20, (unsigned int)header + 7, (unsigned int)len - 1, 65535);
	set16(f, at + 2, (unsigned int)len);
	set16(f, at + 10, checksum(f->bytes + at, header));
	if (wrong && percent(3))
		set16(f, at + 10, ONE_OF(0, 0xffff, (unsigned int)any() & 0xffff));
}

static unsigned int some_payload(size_t header)
{
	switch (below(4)) {
	case 0:
		return below(24);
	case 1: /* about min-length 1400 */
		return (unsigned int)(1400 - header - 9 + below(3));
	default:
		return below(1600);
	}
}

/* An IPv4 packet with a payload of n bytes, or of some. */
static void put_packet(struct frame *f, bool plain, unsigned int n)
{
	unsigned int options = plain || percent(80) ? 0 : below(11);
	unsigned int proto = plain || percent(90) ? 17 : ONE_OF(6, 1, 136);
	size_t at = put_ipv4(f, options, proto), udp = f->len;

	if (!plain)
		n = some_payload(udp - at);
	put(f, any(), 2);
	put(f, plain || percent(80) ? PORT : ONE_OF(PORT + 1, 4789, 2, 0x157c, 65535), 2);
	put(f, 8 + n, 2);
	put(f, percent(10) ? 0 : any(), 2);
	if (plain) /* for speed */
		f->len += n;
	else
		put_any(f, n);
	finish(f, at, !plain);
}

static void put_vxlan(struct frame *f)
{
	size_t at = put_ipv4(f, percent(90) ? 0 : below(11), 17), udp = f->len;

	put(f, any(), 2);
	put(f, percent(97) ? 4789 : PORT, 2);
	put(f, 0, 4); /* length; no checksum */
	put(f, percent(97) ? 0x08 : 0, 1);
	put(f, 0, 3);
	put(f, ONE_OF(7, 7, 0x123456, 0xabcdef, 1, 16, 8), 3);
	put(f, 0, 1);
	put_ethernet(f);
	put_packet(f, false, 0);
	set16(f, udp + 4, (unsigned int)(f->len - udp));
	finish(f, at, false);
}

static void write_packet(const struct frame *f, uint32_t number)
{
	const uint32_t len = (uint32_t)f->len;
	const uint32_t cut = percent(98) || f->len > 9000 ? len : len - below(len / 2);
	const uint32_t header[] = { number / 1000000, number % 1000000, cut, len };

	if (fwrite(header, sizeof(header), 1, stdout) != 1 || fwrite(f->bytes, cut, 1, stdout) != 1)
		err(1, "cannot write");
}

static unsigned long number(const char *text, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || end == text || n > max)
		errx(2, "%s: not a number up to %lu", text, max);
	return n;
}

int main(int argc, char **argv)
{
	static const struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, digits, snaplen, link;
	} file = { 0xa1b2c3d4, 2, 4, 0, 0, SNAPLEN, 1 };
	static struct frame f;
	unsigned long packets, length;

	if (argc < 2 || argc > 4)
		errx(2, "usage: traffic PACKETS [SEED [LENGTH]]");
	packets = number(argv[1], UINT32_MAX);
	state = argc > 2 ? number(argv[2], UINT32_MAX) : 1;
	length = argc > 3 ? number(argv[3], 65000) : 0;
	if (fwrite(&file, sizeof(file), 1, stdout) != 1)
		err(1, "cannot write");
	for (unsigned long i = 0; i < packets; i++) {
		f.len = 0;
		if (length) {
			put_any(&f, 12);
			put(&f, ETH_P_IP, 2);
			put_packet(&f, true, (unsigned int)length - 28);
		} else {
			put_ethernet(&f);
			if (percent(50))
				put_vxlan(&f);
			else
				put_packet(&f, false, 0);
			if (percent(10)) /* padding */
				put_any(&f, below(50));
		}
		write_packet(&f, (uint32_t)i);
	}
	return fflush(stdout) ? 1 : 0;
}

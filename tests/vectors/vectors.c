// SPDX-License-Identifier: GPL-2.0-only
#include "tests/vectors/vectors.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/packet.h"

#define PORT DF_BE16(31765)

#define CAPACITY 1024
#define IPV4_AT  14 /* IPv4 header of a frame without tags */

const struct df_policy vector_policies[VECTOR_POLICY_MAX] = {
	[KEEP] = { .dport_be = { PORT }, .n_dport = 1 },
	[ASSIGN] = { .dport_be = { PORT }, .n_dport = 1, .ip_id = DF_IP_ID_ASSIGN },
	[LIST] = { .dport_be = { PORT, DF_BE16(2), DF_BE16(3), DF_BE16(4), DF_BE16(5), DF_BE16(6),
				 DF_BE16(7), DF_BE16(8), DF_BE16(9), DF_BE16(10), DF_BE16(11),
				 DF_BE16(12), DF_BE16(13), DF_BE16(14), DF_BE16(VXLAN_PORT),
				 DF_BE16(65535) },
		   .n_dport = 16 },
	[MIN] = { .dport_be = { PORT }, .n_dport = 1, .min_len = 1400 },
	[VXLAN] = { .dport_be = { PORT },
		    .n_dport = 1,
		    .encap = DF_ENCAP_VXLAN,
		    .vni = { 7, 0x123456, 0xabcdef },
		    .n_vni = 3 },
	[VXLAN_ANY] = { .dport_be = { PORT }, .n_dport = 1, .encap = DF_ENCAP_VXLAN },
	[VXLAN_16] = { .dport_be = { PORT },
		       .n_dport = 1,
		       .encap = DF_ENCAP_VXLAN,
		       .vni = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
		       .n_vni = 16 },
	[VXLAN_ASSIGN] = { .dport_be = { PORT },
			   .n_dport = 1,
			   .encap = DF_ENCAP_VXLAN,
			   .ip_id = DF_IP_ID_ASSIGN },
	[VXLAN_MIN] = { .dport_be = { PORT },
			.n_dport = 1,
			.encap = DF_ENCAP_VXLAN,
			.min_len = 1400 },
};

struct table {
	struct vector *rows;
	size_t n;
};

static __attribute__((format(printf, 1, 2), noreturn)) void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

static void *copy(const void *bytes, size_t len)
{
	void *to = malloc(len ? len : 1);

	if (!to)
		die("out of memory");
	return memcpy(to, bytes, len);
}

static unsigned int nibble(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	if (!at)
		die("not a hex digit: %c", c);
	return (unsigned int)(at - digits);
}

/* Decodes into a buffer on the heap of exactly *len bytes. */
static uint8_t *decode(const char *hex, size_t fill, size_t *len)
{
	uint8_t bytes[16384];
	size_t n = 0;

	while (*hex) {
		if (isspace((unsigned char)*hex)) {
			hex++;
			continue;
		}
		bytes[n++] = (uint8_t)(nibble(hex[0]) << 4 | nibble(hex[1]));
		hex += 2;
	}
	for (; n < fill; n++)
		bytes[n] = (uint8_t)n;
	*len = n;
	return copy(bytes, n);
}

/* A new row that is the first len bytes of `of`, unchanged by the path. */
static struct vector *append(struct table *table, const struct vector *of, size_t len,
			     enum df_reason reason, const char *label, size_t number)
{
	struct vector *row = &table->rows[table->n++];

	if (table->n > CAPACITY)
		die("CAPACITY is too small");
	*row = *of;
	if (asprintf(&row->name, "%s, %s %zu", of->name, label, number) < 0)
		die("out of memory");
	row->reason = reason;
	row->len = len;
	row->in = copy(of->in, len);
	row->out = copy(of->in, len);
	row->not_live = len < ETH_HLEN ? NO_LIVE_SHORT : NULL;
	return row;
}

static void decode_all(struct table *table, const struct golden *golden, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct golden *from = &golden[i];
		struct vector *row = &table->rows[table->n++];
		size_t out_len;

		row->name = strdup(from->name);
		row->policy = from->policy;
		row->reason = from->reason;
		row->not_live = from->not_live;
		row->in = decode(from->in, from->fill, &row->len);
		row->out = decode(from->out ? from->out : from->in, from->fill, &out_len);
		if (out_len != row->len)
			die("%s: %zu bytes in, %zu out", from->name, row->len, out_len);
		if (!from->out != (from->reason > DF_CLEARED_ASSIGNED))
			die("%s: reason and bytes contradict each other", from->name);
	}
}

static const struct vector *find(const struct table *table, const char *name)
{
	for (size_t i = 0; i < table->n; i++)
		if (!strcmp(table->rows[i].name, name))
			return &table->rows[i];
	die("no vector \"%s\"", name);
}

/* Every prefix: truncated below `need` bytes, handled from there on whatever is missing behind. */
static void truncations(struct table *table, const char *name, size_t need)
{
	const struct vector *of = find(table, name);
	int tagged = of->len > ETH_HLEN && of->in[12] != 0x08;

	for (size_t len = 0; len < of->len; len++) {
		struct vector *row = append(table, of, len, DF_TRUNCATED, "cut at", len);

		if (len >= need) {
			row->reason = of->reason;
			memcpy(row->out, of->out, len);
		}
		if (tagged && len >= ETH_HLEN && len < ETH_HLEN + 8)
			row->not_live = NO_LIVE_VLAN;
	}
}

static void set_byte(struct vector *row, size_t at, unsigned int value)
{
	row->in[at] = (uint8_t)value;
	row->out[at] = (uint8_t)value;
}

/* One field of a good frame over a range. The header checksum is not repaired: a rewrite keeps it
 * as wrong as it is, by the same difference. */
static void fields(struct table *table, const char *name)
{
	const struct vector *of = find(table, name);

	for (unsigned int ihl = 0; ihl < 5; ihl++)
		set_byte(append(table, of, of->len, DF_MALFORMED, "ihl", ihl), IPV4_AT, 0x40 | ihl);
	for (unsigned int version = 0; version < 16; version++)
		if (version != 4)
			set_byte(append(table, of, of->len, DF_MALFORMED, "version", version),
				 IPV4_AT, version << 4 | 5);
	for (unsigned int bit = 0; bit < 13; bit++) {
		struct vector *row = append(table, of, of->len, DF_FRAGMENT, "offset bit", bit);

		set_byte(row, IPV4_AT + 6, 0x40 | (1u << bit) >> 8);
		set_byte(row, IPV4_AT + 7, (1u << bit) & 0xff);
	}
	for (unsigned int tot_len = 0; tot_len <= 48; tot_len++) {
		struct vector *row = append(table, of, of->len, DF_MALFORMED,
					    "tot_len not repaired", tot_len);

		if (tot_len >= 28) {
			row->reason = DF_CLEARED;
			memcpy(row->out, of->out, of->len);
		}
		set_byte(row, IPV4_AT + 3, tot_len);
	}
}

struct vector *vectors_load(size_t *n)
{
	struct table table = { .rows = calloc(CAPACITY, sizeof(struct vector)) };

	if (!table.rows || golden_ipv4_n + golden_vxlan_n > CAPACITY)
		die("out of memory");
	decode_all(&table, golden_ipv4, golden_ipv4_n);
	decode_all(&table, golden_vxlan, golden_vxlan_n);
	truncations(&table, "plain", 14 + 20 + 8);
	truncations(&table, "QinQ", 14 + 8 + 20 + 8);
	truncations(&table, "vxlan: first VNI of the set", 14 + 20 + 8 + 8 + 14 + 20 + 8);
	fields(&table, "plain");
	*n = table.n;
	return table.rows;
}

void vectors_free(struct vector *vectors, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(vectors[i].name);
		free(vectors[i].in);
		free(vectors[i].out);
	}
	free(vectors);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one table of packets that every implementation is held to: packet.h in plain C, both BPF
 * programs, and the NFQUEUE handler on live frames must give the same bytes and the same reason.
 *
 * golden_*.c are literal bytes, computed by a second implementation. vectors.c derives families
 * from them by rules that are literal too ("cut at n below 42: as it came, truncated").
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/abi.h"

enum vector_policy {
	KEEP, /* port 31765 */
	ASSIGN, /* and ip-id: assign */
	LIST, /* 16 ports */
	MIN, /* min-length 1400 */
	VXLAN, /* encap: vxlan, VNIs 7, 0x123456, 0xabcdef */
	VXLAN_ANY, /* any VNI */
	VXLAN_16, /* VNIs 1..16 */
	VXLAN_ASSIGN,
	VXLAN_MIN,
	VECTOR_POLICY_MAX
};

extern const struct df_policy vector_policies[VECTOR_POLICY_MAX];

struct vector {
	char *name;
	enum vector_policy policy;
	enum df_reason reason;
	const char *
		not_live; /* why no stack can be given this frame and hand it to a queue, or NULL */
	size_t len;
	uint8_t *in; /* exactly len bytes on the heap */
	uint8_t *out;
};

/* Not sent live, because: */
#define NO_LIVE_SHORT "under 14 bytes: AF_PACKET refuses what has no Ethernet header"
#define NO_LIVE_VLAN  "cut inside a tag: the kernel drops it where it strips or skips tags"
#define NO_LIVE_TAGS  "three tags: the kernel strips the first, the queue is shown the other two"
/* The frame is passed on unmodified either way; XDP and the queue only differ in why. */
#define NO_LIVE_TRIM  "the deciding header lies behind outer tot_len, where netfilter has trimmed"

/* How many of all vectors: changing the table means changing these. */
#define VECTORS         559
#define VECTORS_SHORT   42 /* NO_LIVE_SHORT; newer kernels refuse them to BPF_PROG_RUN too */
#define VECTORS_NO_LIVE 57 /* not_live is set */

/* All vectors, golden and derived. Aborts on a table that makes no sense. */
struct vector *vectors_load(size_t *n);
void vectors_free(struct vector *vectors, size_t n);

/* A row of golden_*.c. */
struct golden {
	const char *name;
	enum vector_policy policy;
	enum df_reason reason;
	const char *not_live;
	const char *in; /* hex, blanks ignored */
	const char *out; /* NULL: as it came */
	size_t fill; /* not 0: the frame is this long, and byte i behind the hex is i & 0xff */
};

extern const struct golden golden_ipv4[], golden_vxlan[];
extern const size_t golden_ipv4_n, golden_vxlan_n;

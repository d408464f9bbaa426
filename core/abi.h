/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the BPF programs and user space share: plain data, no code.
 *
 * Compiled for the BPF target and for the host, so: UAPI types only, every size and offset asserted
 * below. A change of any layout here must raise ABI_VERSION: it is part of the pin path, so that
 * two builds with different layouts never read each other's maps.
 *
 * Invariants (cited as "abi I1" and so on in code and tests):
 *  I1  The first two words of a struct df_ctl are the share, and zero is share 0: in this and every other
 *      ABI_VERSION, so that any build can take down what another put up. A reader that sees any mix of
 *      a valid old value and zeros selects according to the old value or selects nothing.
 *  I2  Every packet raises exactly one counter of enum df_reason, in exactly one path's df_stats,
 *      for each time that path sees it.
 *  I3  New reasons are appended before DF_REASON_MAX and raise ABI_VERSION.
 */
#pragma once

#include <linux/types.h>

#ifndef ABI_VERSION /* the tests build the version after this one, too */
#define ABI_VERSION 4
#endif

#define DF_PORTS_MAX 16 /* match.dport */
#define DF_VNIS_MAX  16 /* match.vni */
#define VXLAN_PORT   4789 /* RFC 7348, section 8 */

/* What became of a packet. The names in df_reason_name (core/names.h) are the metric names. */
enum df_reason {
	/* Handled: the packet matched the policy, was selected, and left with DF clear. */
	DF_CLEARED, /* DF cleared; the IPv4 ID was not zero, or the packet is a first fragment */
	DF_CLEARED_ID0, /* DF cleared, ip-id: keep, and the IPv4 ID is zero */
	DF_CLEARED_ASSIGNED, /* DF cleared and an IPv4 ID assigned, ip-id: assign */
	/* Matched and still to be handled: left as it is for the other path. */
	DF_NOT_SELECTED, /* the share did not take it (also: share 0) */
	DF_LEASE_EXPIRED, /* the share would have been asked, but the lease is over */
	/* Not for us: passed as it is. */
	DF_NO_DF, /* UDP to a port of the policy, but DF is clear already */
	DF_BELOW_MIN, /* UDP to a port of the policy with DF, but tot_len is below min-length */
	DF_OTHER_PORT, /* UDP, but to no port of the policy */
	DF_NOT_UDP, /* IPv4, not UDP */
	DF_FRAGMENT, /* IPv4 UDP fragment with an offset: it has no UDP header (RFC 791) */
	DF_NOT_IPV4, /* an ethertype that is not IPv4 behind at most two VLAN tags */
	DF_NOT_VXLAN, /* encap: vxlan, and the outer packet is not VXLAN: other protocol, port or I
			 flag clear */
	DF_OTHER_VNI, /* encap: vxlan, and the VNI is not of the policy's set */
	DF_TRUNCATED, /* the frame ends before the header that would have decided */
	DF_MALFORMED, /* version is not 4, ihl below 5, or tot_len too small for the IP and UDP
			 headers */
	DF_ERROR, /* something of ours failed; passed unmodified */
	DF_REASON_MAX
};

enum df_encap { DF_ENCAP_NONE, DF_ENCAP_VXLAN, DF_ENCAP_MAX };
enum df_ip_id { DF_IP_ID_KEEP, DF_IP_ID_ASSIGN, DF_IP_ID_MAX };

/* Load-time policy: what matches and what is done. In .rodata of the BPF object; a plain struct
 * elsewhere. */
struct df_policy {
	__be16 dport_be[DF_PORTS_MAX];
	__u32 vni[DF_VNIS_MAX]; /* host order, 24 bits used; with n_vni 0 every VNI matches */
	__u8 n_dport; /* 1..DF_PORTS_MAX */
	__u8 n_vni; /* 0..DF_VNIS_MAX */
	__u8 encap; /* enum df_encap */
	__u8 ip_id; /* enum df_ip_id */
	__u16 min_len; /* smallest tot_len of the matched IPv4 header that is handled; host order */
	__u16 pad;
};

enum df_share_kind {
	DF_SHARE_NONE, /* nothing */
	DF_SHARE_NTH, /* every n-th matching packet, counted per CPU: n in 1.. */
	DF_SHARE_FLOW, /* flows whose 32-bit hash is below n: n = percent * 2^32 / 100 */
	DF_SHARE_ALL, /* everything */
	DF_SHARE_TRIAL, /* nothing, for a moment: the NFQUEUE path shows that it can carry all */
	DF_SHARE_KIND_MAX
};

/*
 * Run-time control, the one entry of the pinned array "ctl", which user space maps into its memory:
 * every word is written by itself, so that who extends a lease cannot undo a share that somebody else
 * took down meanwhile. kind and n of the share are one aligned 64-bit word.
 *
 * deadline is the lease: a jiffies64 value from which on the program acts as if the share were 0; 0
 * is "no lease". What follows it is for the readers of the map; the program looks at sample_* alone.
 */
struct df_ctl {
	__u32 share_kind; /* enum df_share_kind */
	__u32 share_n;
	__u64 deadline;
	__u64 confirm_by; /* jiffies64; the rollout is confirmed by then, or goes back. 0: none */
	__u32 generation; /* number of the rollout, from 1 */
	__u32 confirmed; /* the generation that was confirmed; 0: none */
	__u32 writes; /* share writes since this rollout's start */
	__u32 step; /* of a rollout by itself, from 1; 0: none */
	__u32 flags; /* enum df_ctl_flags */
	__u32 hz; /* jiffies a second */
	__u64 sample_until; /* jiffies64; until then packets are shown to user space. 0: none are */
	__u32 sample_max; /* those whose df_sample_hash() is not above this */
	__u32 pad;
};

enum df_ctl_flags {
	DF_CTL_DONE = 1 << 0, /* the NFQUEUE path was taken away on purpose */
	DF_CTL_HELD = 1 << 1, /* an operator said: no step up */
	DF_CTL_UNSURE = 1 << 2, /* a gate is inconclusive: no step up */
	DF_CTL_WHOLE = 1 << 3, /* every attach point is there: the attach was not killed half way */
};

/* One per CPU in the pinned map "stats"; one per worker thread in the NFQUEUE path. */
struct df_stats {
	__u64 reason[DF_REASON_MAX];
	__u32 nth; /* matching packets since the last one that "every n-th" took */
	__u32 unshown; /* samples that there was no room for, modulo 2^32 */
};

/*
 * What the program writes into the ring buffer in "samples" for a UDP packet that was chosen: this, and
 * then the frame as it came, from its first byte to the end of the packet's IPv4 total length. What the
 * record has behind that is undefined.
 */
struct df_sample {
	__u32 len; /* bytes of the frame */
	__u32 cpu;
	__u16 ip_at; /* where in it the IPv4 header of the packet that was matched is */
	__u8 reason; /* enum df_reason; DF_CLEARED: it matched and XDP takes it */
	__u8 pad;
};

#define DF_SAMPLE_MAX 60000 /* bytes: a longer packet is not shown */

_Static_assert(sizeof(struct df_sample) == 12, "layout");
_Static_assert(sizeof(struct df_policy) == 104, "layout");
_Static_assert(__builtin_offsetof(struct df_policy, vni) == 32, "layout");
_Static_assert(__builtin_offsetof(struct df_policy, n_dport) == 96, "layout");
_Static_assert(__builtin_offsetof(struct df_policy, min_len) == 100, "layout");
_Static_assert(sizeof(struct df_ctl) == 64, "layout");
_Static_assert(__builtin_offsetof(struct df_ctl, share_kind) == 0, "I1");
_Static_assert(__builtin_offsetof(struct df_ctl, deadline) == 8, "layout");
_Static_assert(__builtin_offsetof(struct df_ctl, generation) == 24, "layout");
_Static_assert(__builtin_offsetof(struct df_ctl, hz) == 44, "layout");
_Static_assert(__builtin_offsetof(struct df_ctl, sample_until) == 48, "layout");
_Static_assert(sizeof(struct df_stats) == 8 * DF_REASON_MAX + 8, "layout");
_Static_assert(DF_REASON_MAX == 16, "a new reason: raise ABI_VERSION and name it in core/names.h");

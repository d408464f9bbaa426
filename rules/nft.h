/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Our nftables table: what feeds the NFQUEUE path, and the leak detector behind it.
 *
 *	table ip nfq2xdp_br0 {		# flags owner, from kernel 5.12
 *		set ports { type inet_service; flags constant; elements = { 31765 } }
 *		chain to_queue {
 *			type filter hook prerouting priority -450;
 *			ip protocol udp ip frag-off & 0x5fff == 0x4000 udp dport @ports udp checksum >= 0
 *				iifname "br0" counter queue flags bypass to 0
 *		}
 *		chain leak {
 *			type filter hook prerouting priority -449;
 *			iifname != "br0" return
 *			ip frag-off & 0x1fff != 0x0 return
 *			ip protocol udp udp dport @ports udp checksum >= 0 counter	# all that arrives
 *				ip frag-off & 0x4000 == 0x4000 counter			# and leaks
 *			ip protocol udp udp length >= 16
 *				jhash @nh,16,32 . @th,64,64 mod 16 seed 0x0 == 0 log group 20000
 *			ip protocol udp udp length < 16 udp checksum >= 0
 *				jhash @nh,16,32 . @nh,96,32 . @th,0,32 mod 16 seed 0x0 == 0 log group 20000
 *		}
 *	}
 *
 * With an external daemon there is no queue statement: to_queue counts, in front of the operator's rule,
 * and leak is behind it. The table has no owner then, because no process of ours stays.
 *
 * The last two rules show one UDP packet in 16 to whoever compares both paths, and to nobody when nobody
 * listens (NFLOG): the choice is df_sampled() of core/packet.h. They are there from the beginning and
 * for as long as the chain is, because a hook must not come or go later (N3).
 *
 * DF is the hand-off token: what the XDP path cleared does not match. frag-off & 0x5fff == 0x4000
 * is "DF set, offset 0": a later fragment has no UDP header. Priority -450 is before conntrack's
 * defragmentation (-400), so that this path sees the same fragments as XDP. min-length adds
 * `ip length >= N`. The checksum is compared so that the whole UDP header must be there, as df_match()
 * of core/packet.h asks.
 *
 * Every packet of the interface runs through leak, and both paths pay for that: what several rules ask is
 * asked once, in front of them.
 *
 * Invariants (cited as "nft N1" and so on):
 *  N1  Every change is one batch: the kernel applies all of it or nothing.
 *  N2  A table whose name is ours but whose chains are not is foreign: named and left.
 *  N3  A chain with a hook is deleted only when no queue of the namespace holds a packet, as far as
 *      that can be seen: with any hook that goes, the kernel drops what waits in every queue
 *      (net/netfilter/nf_queue.c, nf_queue_nf_hook_drop). Rules come and go without that.
 *  N4  With the owner flag the table lives exactly as long as the struct nft that installed it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/policy.h"

#define NFT_TABLE_MAX 32

struct nft; /* the netlink socket that owns the table */

struct nft_installed {
	bool sample; /* the kernel has NFLOG and jhash, and the policy wants samples */
	bool compat; /* xt NFQUEUE through nft_compat: the kernel has no nft_queue */
	bool owner; /* the owner flag is set */
	const int *around; /* see nft_install() */
};

struct nft_counters {
	bool present; /* the table is there */
	bool external; /* it counts around an external daemon's rule */
	uint16_t sample_group; /* the NFLOG group that packets are shown to, see `sample` */
	uint32_t owner; /* netlink port of the process that owns it; 0: nobody */
	bool foreign; /* its chains are not ours */
	int priority; /* of the hook of to_queue */
	bool has_queue; /* the queue rule is there */
	bool has_leak; /* the leak detector is there */
	bool compat; /* it is built from the xt target */
	uint32_t sample; /* one packet in so many is shown behind both paths; 0: none */
	uint64_t queued; /* packets that rule sent to the queue */
	uint64_t leaked; /* packets behind both paths that still have DF */
	uint64_t
		arrived; /* packets behind both paths, DF or not: UDP, a port of the policy, offset 0 */
};

/* "nfq2xdp_" and the interface name, with what nft's grammar does not take in a name replaced by
 * "_". */
void nft_table_name(const char *interface, char out[NFT_TABLE_MAX]);

/* The NFLOG group that the policy's samples go to: made of its first queue number, so that every
 * instance of a host has its own. */
uint16_t nft_sample_group(const struct policy *policy);

/* Returns 0 with *out set, or -N2X_SYSTEM. */
int nft_open(struct nft **out, struct err *err);

/*
 * around: NULL, or the priority of the hook with an external daemon's rule, to be counted around.
 * Installs the table, or puts new contents into one that an earlier process of ours left. One whose hooks
 * are elsewhere is exchanged for a new one: where one is there, look for a moment when nothing waits (N3).
 * Bind the queue first. Returns 0, -N2X_FOREIGN (N2), or -N2X_SYSTEM; nothing is changed on failure (N1).
 */
int nft_install(struct nft *nft, const struct policy *policy, const int *around,
		struct nft_installed *out, struct err *err);

/*
 * In a namespace that is the caller's alone: every packet of this family (NFPROTO_IPV4, NFPROTO_BRIDGE) to
 * the queue, in prerouting at this priority; without a listener it is dropped. Returns 0 or -errno:
 * -ENOENT or -EOPNOTSUPP when this kernel cannot queue there.
 */
int nft_tap(struct nft *nft, uint16_t family, int32_t priority, uint16_t queue);

/*
 * The form that nft_install() would give the table, asked in batches that are never committed: nothing is
 * changed, as `nft -c` does it. A kernel loads the modules that it needs for it. Returns 0, or
 * -N2X_SYSTEM when this kernel takes it in no form.
 */
int nft_probe(const struct policy *policy, struct nft_installed *out, struct err *err);

/*
 * Do packets that a verdict of NFQUEUE rewrites get through? Newer kernels drop them in a network namespace
 * whose owner is not the first user namespace. Nothing is changed. Returns 0, also when the kernel does not
 * say it (without the rights, or without nftables); or -N2X_SYSTEM.
 */
int nft_may_rewrite(struct err *err);

/* Takes the queue rule away, keeps its chain (N3) and the leak detector. Returns 0 or -N2X_SYSTEM. */
int nft_remove_queue(struct nft *nft, const char *interface, struct err *err);

/* Takes the table away. A table that is gone already is fine. Returns 0 or -N2X_SYSTEM. */
int nft_remove(struct nft *nft, const char *interface, struct err *err);

/* Reads the counters of anybody's table of ours. Returns 0 or -N2X_SYSTEM. */
int nft_read(const char *interface, struct nft_counters *out, struct err *err);

/* NULL is allowed. With the owner flag this takes the table away. */
void nft_close(struct nft *nft);

/* The rules in nft's syntax, as `run nfqueue --dry-run` prints them. Returns a string to free(), or
 * NULL. */
char *nft_format(const struct policy *policy);

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What netfilter on the policy's interface is shown of a frame that arrives where XDP is. Pure; a walk
 * of its own, so that a mistake in the program's parser is not made here too.
 *
 *  - The packet from its IPv4 header on: the Ethernet header and up to two VLAN tags are gone.
 *  - With encap: vxlan the inner packet, decapsulated; of a tunnel whose VNI is not the policy's, or of
 *    a frame that is none, nothing.
 *  - Cut to total length (and inside a tunnel to the outer lengths): no padding.
 *  - Also what the stack would have dropped on the way, a wrong header checksum for one: both paths must
 *    treat it alike.
 *  - Fragments as they are, as in a chain in front of conntrack. An outer first fragment counts as if its
 *    tunnel could be read without the others.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/abi.h"
#include "migrate/parity.h"

struct parity_view {
	size_t at; /* where the packet begins in the frame */
	size_t len; /* at + len <= length of the frame */
};

/* *out is where the walk came to, whatever it returns; only with PARITY_SHOWN is it what is shown. */
enum parity_unseen parity_view(const struct df_policy *policy, const uint8_t *frame, size_t len,
			       struct parity_view *out);

/*
 * What Linux has against a packet before any rule sees it (net/ipv4/ip_input.c, ip_rcv_core(); a bridge's
 * br_validate_ipv4() asks the same): PARITY_BAD_*, or PARITY_SHOWN for nothing. Any bytes will do.
 */
enum parity_unseen parity_stack(const struct parity_bytes *packet);

/* SPDX-License-Identifier: GPL-2.0-only */
/* The causes of a difference that parity names: what is printed, the key in JSON, the word in a policy. */
#pragma once

#include <stdint.h>

/* One packet can have several. */
enum parity_class {
	PARITY_DF_NOT_CLEARED, /* the policy matches, DF is still set */
	PARITY_DF_CLEARED_WRONGLY, /* the policy does not match, DF is gone */
	PARITY_IP_CSUM_WRONG, /* of the header: was right and is wrong, or is differently wrong */
	PARITY_IP_CSUM_ZEROED, /* the same, and it is 0 */
	PARITY_IP_CSUM_NOT_UPDATED, /* the same, and it is that of the packet that came */
	PARITY_UDP_CSUM_ZEROED,
	PARITY_UDP_CSUM_CHANGED,
	PARITY_IP_ID_CHANGED, /* the policy gives no ID, or the two sides gave different ones */
	PARITY_IP_ID_NOT_ASSIGNED, /* the policy gives one */
	PARITY_LENGTH,
	PARITY_PAYLOAD,
	PARITY_OTHER_FIELD, /* any other bit of the IPv4 or UDP header */
	PARITY_AROUND, /* bytes around the packet: link or tunnel headers, padding */
	PARITY_DROPPED, /* the side's verdict was not to pass it */
	PARITY_COUNTER, /* not counted exactly once, or not as what was done */
	PARITY_ONLY_XDP, /* nothing to compare with: XDP saw it, the path behind did not */
	PARITY_ONLY_BEHIND,
	PARITY_CLASS_MAX
};

#define PARITY_BIT(cause) (UINT32_C(1) << (cause))

static const char *const parity_class_name[] = {
	[PARITY_DF_NOT_CLEARED] = "df-not-cleared",
	[PARITY_DF_CLEARED_WRONGLY] = "df-cleared-wrongly",
	[PARITY_IP_CSUM_WRONG] = "ip-checksum-wrong",
	[PARITY_IP_CSUM_ZEROED] = "ip-checksum-zeroed",
	[PARITY_IP_CSUM_NOT_UPDATED] = "ip-checksum-not-updated",
	[PARITY_UDP_CSUM_ZEROED] = "udp-checksum-zeroed",
	[PARITY_UDP_CSUM_CHANGED] = "udp-checksum-changed",
	[PARITY_IP_ID_CHANGED] = "ip-id-changed",
	[PARITY_IP_ID_NOT_ASSIGNED] = "ip-id-not-assigned",
	[PARITY_LENGTH] = "length",
	[PARITY_PAYLOAD] = "payload",
	[PARITY_OTHER_FIELD] = "other-header-field",
	[PARITY_AROUND] = "around",
	[PARITY_DROPPED] = "dropped",
	[PARITY_COUNTER] = "counter",
	[PARITY_ONLY_XDP] = "seen-only-by-xdp",
	[PARITY_ONLY_BEHIND] = "seen-only-behind",
};

_Static_assert(sizeof(parity_class_name) / sizeof(parity_class_name[0]) == PARITY_CLASS_MAX,
	       "every class has a name");
_Static_assert(PARITY_CLASS_MAX <= 32, "the classes are bits of a word");

/* SPDX-License-Identifier: GPL-2.0-only */
/* Names of the enums of abi.h: what is printed, and the key in every JSON output. */
#pragma once

#include "core/abi.h"

static const char *const df_reason_name[] = {
	[DF_CLEARED] = "cleared",
	[DF_CLEARED_ID0] = "cleared-id0",
	[DF_CLEARED_ASSIGNED] = "cleared-assigned",
	[DF_NOT_SELECTED] = "not-selected",
	[DF_LEASE_EXPIRED] = "lease-expired",
	[DF_NO_DF] = "no-df",
	[DF_BELOW_MIN] = "below-min",
	[DF_OTHER_PORT] = "other-port",
	[DF_NOT_UDP] = "not-udp",
	[DF_FRAGMENT] = "fragment",
	[DF_NOT_IPV4] = "not-ipv4",
	[DF_NOT_VXLAN] = "not-vxlan",
	[DF_OTHER_VNI] = "other-vni",
	[DF_TRUNCATED] = "truncated",
	[DF_MALFORMED] = "malformed",
	[DF_ERROR] = "error",
};

_Static_assert(sizeof(df_reason_name) / sizeof(df_reason_name[0]) == DF_REASON_MAX,
	       "every reason has a name");

static const char *const df_share_kind_name[] = {
	[DF_SHARE_NONE] = "0",  [DF_SHARE_NTH] = "nth",     [DF_SHARE_FLOW] = "flow",
	[DF_SHARE_ALL] = "all", [DF_SHARE_TRIAL] = "trial",
};

_Static_assert(sizeof(df_share_kind_name) / sizeof(df_share_kind_name[0]) == DF_SHARE_KIND_MAX,
	       "every kind has a name");

/* SPDX-License-Identifier: GPL-2.0-only */
/* Where a rollout happens, as its report needs it. */
#pragma once

#include <jansson.h>

#include "core/policy.h"
#include "xdp/xdp_path.h"

/*
 * {"version", "kernel", "daemon", "attached": [{"interface", "driver", "mode", "program", "mtu"}],
 * "policy_file", "policy"}. policy is the file's text as it is now, null when it cannot be read. To be
 * released; NULL without memory.
 */
json_t *environment_json(const struct policy *policy, const struct xdp_state *xdp);

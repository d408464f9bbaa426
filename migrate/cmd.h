/* SPDX-License-Identifier: GPL-2.0-only */
/* What the commands of migrate/ print in common. */
#pragma once

#include <jansson.h>

#include "core/abi.h"
#include "core/err.h"

#define SHARE_TEXT 32

/* Says why on standard error; turns a -enum n2x_exit into the exit code. */
int cmd_finish(int ret, const struct err *err);

/* Prints and releases the object. Returns an enum n2x_exit. */
int cmd_print(json_t *object);

const char *cmd_share(const struct df_ctl *ctl, char buf[SHARE_TEXT]);

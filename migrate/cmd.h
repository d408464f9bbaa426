/* SPDX-License-Identifier: GPL-2.0-only */
/* What the commands of migrate/ print in common. */
#pragma once

#include <stdio.h>

#include <jansson.h>

#include "core/abi.h"
#include "core/err.h"

#define SHARE_TEXT 32

/* Says why on standard error; turns a -enum n2x_exit into the exit code. */
int cmd_finish(int ret, const struct err *err);

/* Prints and releases the object. Returns an enum n2x_exit. */
int cmd_print(json_t *object);

/* What fn() writes, to the file, whole under its name or not at all; NULL: to standard output. Returns 0,
 * -N2X_USAGE or -N2X_SYSTEM. */
int cmd_write(const char *path, void (*fn)(const void *ctx, FILE *out), const void *ctx,
	      struct err *err);

const char *cmd_share(const struct df_ctl *ctl, char buf[SHARE_TEXT]);

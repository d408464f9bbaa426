/* SPDX-License-Identifier: GPL-2.0-only */
/* What the commands of migrate/ print in common. */
#pragma once

#include <stdio.h>

#include <jansson.h>

#include "core/abi.h"
#include "core/args.h"
#include "core/err.h"

#define SHARE_TEXT 32

/* Says why on standard error; turns a -enum n2x_exit into the exit code. */
int cmd_finish(int ret, const struct err *err);

/*
 * The instance that a command which only looks is about: IFACE, that of -c FILE, or else the only one here.
 * Returns 0, -N2X_USAGE or -N2X_INACTIVE.
 */
int cmd_instance(const char *command, const struct args *args, const struct policy *policy,
		 char out[IFNAMSIZ], struct err *err);

/* Is standard output a terminal that moves its cursor, and may it be coloured (NO_COLOR)? */
bool cmd_terminal(void);
bool cmd_colour(void);

/* Prints and releases the object. Returns an enum n2x_exit. */
int cmd_print(json_t *object);

/* What fn() writes, to the file, whole under its name or not at all; NULL: to standard output. Returns 0,
 * -N2X_USAGE or -N2X_SYSTEM. */
int cmd_write(const char *path, void (*fn)(const void *ctx, FILE *out), const void *ctx,
	      struct err *err);

const char *cmd_share(const struct df_ctl *ctl, char buf[SHARE_TEXT]);

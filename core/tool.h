/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The system's own tools, such as nft, run to their end: text in, text out. They are looked for
 * where the system keeps them, never along our PATH, and get an environment with nothing of ours.
 */
#pragma once

#include <stdbool.h>

#include "core/err.h"

#define TOOL_SECONDS 10 /* the longest that one run may take */

bool tool_exists(const char *name);

/*
 * Runs argv (argv[0] is a name, the last is NULL) with `input` as its standard input. Waits at most
 * TOOL_SECONDS, then kills it; signals to us stay pending meanwhile. Returns 0 when its exit status
 * is 0, and in *out what it printed, at most 64 MiB, to be released by free(); out may be NULL.
 * Otherwise -N2X_SYSTEM, with the first line of its complaint if it failed itself, and *out
 * untouched. What the tool did before it failed stays done.
 */
int tool_run(const char *const argv[], const char *input, char **out, struct err *err);

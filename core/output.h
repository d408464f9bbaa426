/* SPDX-License-Identifier: GPL-2.0-only */
/* What commands print: JSON with a schema number, and the list of changes of --dry-run. */
#pragma once

#include <stdbool.h>

#include <jansson.h>

#define OUTPUT_SCHEMA 1

/* Appends {"do": …, "undo": …} to the array `changes`. */
void output_change(json_t *changes, const char *undo, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Prints the changes as JSON or as lines, and releases them. Returns 0 or -1 when standard output
 * failed. */
int output_changes(json_t *changes, bool json);

/* Prints `object` with its "schema" key on one line, and releases it. Returns 0 or -1. */
int output_json(json_t *object);

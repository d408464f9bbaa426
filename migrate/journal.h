/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What was intended and what happened: /var/lib/nfq2xdp/<instance>/journal.jsonl, one JSON object a
 * line, appended. The state of the data path is in the kernel and is read there; the journal is for who
 * wants to know why.
 *
 * Invariants (cited as "journal J1" and so on):
 *  J1  An intent is on the disk before the first change that it names.
 *  J2  A way back never waits for the journal: it is written when it can be.
 *  J3  A line that was cut off by a crash spoils no other.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "core/err.h"

struct journal {
	int fd; /* -1: closed */
	uint32_t generation; /* in every line from now on */
	bool torn; /* the last write failed: there may be a part of a line (J3) */
};

/* Returns 0, or -N2X_SYSTEM with the path. */
int journal_open(const char *instance, struct journal *out, struct err *err);
void journal_close(struct journal *journal);

/*
 * Appends {"time": …, "generation": …, "event": event} and the keys of `more` (NULL: none), which is
 * released. sync: returns when it is on the disk. Returns 0 or -N2X_SYSTEM.
 */
int journal_write(struct journal *journal, const char *event, json_t *more, bool sync,
		  struct err *err);

/*
 * Calls line() for each line in order; the object is released after. What a crash or a full disk cut off
 * is counted in *unreadable. Returns 0, -N2X_INACTIVE when there is no journal, or -N2X_SYSTEM.
 */
int journal_read(const char *instance, void (*line)(void *ctx, json_t *line), void *ctx,
		 uint64_t *unreadable, struct err *err);

#define JOURNAL_TIME 40
/* Now, as a line has it: RFC 3339 in UTC. */
void journal_now(char out[JOURNAL_TIME]);

/* Calls line() for each whole line among the last 256 KiB. No journal is none. */
void journal_tail(const char *instance, void (*line)(void *ctx, json_t *line), void *ctx);

/* The last whole line of the instance's journal, to be released; NULL when there is none. */
json_t *journal_last(const char *instance);

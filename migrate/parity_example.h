/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Examples of each class of difference: CLASS.before.pcap, CLASS.xdp.pcap and CLASS.behind.pcap in one
 * directory, whose n-th packets belong together. A side that does not have the packet has no bytes of it
 * there, and the n-th packet is empty.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#include "core/err.h"
#include "migrate/parity.h"

#define PARITY_EXAMPLES_MAX 10 /* of each class */

struct parity_examples;

/* A frame that came out in up to three pieces: with what was around it as it came. */
struct parity_piece {
	const uint8_t *data;
	size_t len;
};

struct parity_example {
	struct timeval at;
	struct parity_piece before, xdp;
	struct parity_piece behind[3]; /* one after the other */
};

/* Makes the directory; one that is there must be empty. Returns 0, -N2X_USAGE or -N2X_SYSTEM. */
int parity_examples_open(const char *dir, struct parity_examples **out, struct err *err);

/* Keeps it under each class that was found, while there is room. */
int parity_examples_keep(struct parity_examples *examples, const struct parity_set *found,
			 const struct parity_example *example, struct err *err);

/* Returns 0 or -N2X_SYSTEM when something was not written. Frees in any case. */
int parity_examples_close(struct parity_examples *examples, struct err *err);

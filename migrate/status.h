/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the operator sees of an instance: read once into a plain struct, and from there on pure. The
 * truth is the kernel's: pins, rules, queues. Neither configuration nor state directory is needed;
 * without them less is known, and nothing is guessed.
 *
 * The JSON is described by monitoring/status.schema.json.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "migrate/journal.h"
#include "migrate/machine.h"

/* The way back: whether it would carry what XDP leaves. */
enum status_health {
	STATUS_OK,
	STATUS_REMOVED, /* there is none, on purpose: migrate done, or run xdp alone */
	STATUS_UNTOUCHED, /* the operator's daemon, before migrate start */
	STATUS_DOWN, /* nobody is there */
	STATUS_UNSEEN, /* it runs, and its counters are gone */
	STATUS_UNFED, /* the daemon is there, and no rule sends to it */
	STATUS_UNCOUNTED, /* daemon and rule are there, our table around them is not */
	STATUS_FULL, /* half of its queue waits: it hangs, or is too slow */
	STATUS_USELESS, /* the operator's daemon gives packets back with DF */
	STATUS_HEALTH_MAX
};

extern const char *const status_health_name[STATUS_HEALTH_MAX];

/* Packets a second; NAN: not known, as of a counter that began anew. */
struct status_rates {
	double seconds; /* between the readings; 0: there is one reading, and no rate */
	double matched, cleared, queued, handled, leaked;
	double xdp[DF_REASON_MAX], nfqueue[DF_REASON_MAX];
};

struct status {
	char instance[IFNAMSIZ];
	char time[JOURNAL_TIME];
	uint64_t at_ns; /* machine_now_ns() */
	uint64_t netns;
	struct machine_status machine;
	enum status_health health;
	bool queue_known; /* machine.nfq.queue is its number */
	bool other_build; /* another build has pinned something of it, in a layout of its own */
	unsigned int steps; /* of the policy's rollout; 0: not known */
	pid_t controller; /* who runs the rollout: 0 nobody, -1 somebody in another pid namespace */
	json_t *gates; /* of the last second of a rollout that runs, as the journal has them; or NULL */
	json_t *events; /* the journal's last: [{"time", "event", "text"}] */
	struct status_rates rates;
};

#define STATUS_EVENTS 5

/*
 * Reads everything. policy NULL: it is put together from what the kernel has of the instance.
 * Returns 0 with *out to be released, or -N2X_SYSTEM.
 */
int status_read(const char *instance, const struct policy *policy, struct status *out,
		struct err *err);
void status_release(struct status *status);

/* Only from here on: no system call. */

/* now->rates, from a reading before; that packets leave both paths with DF is a problem, too. */
void status_rate(const struct status *before, struct status *now);

/* N2X_OK active, N2X_INACTIVE, N2X_DEGRADED. */
int status_exit(const struct status *status);

/* To be released. */
json_t *status_json(const struct status *status);

/* A journal's line as an event, appended to the array; what is no event is left out. */
void status_event(json_t *events, const json_t *line);

/* Rates of a path over the last minute, the newest last; NAN: not known. */
#define STATUS_HISTORY 60
struct status_history {
	double xdp[STATUS_HISTORY], nfqueue[STATUS_HISTORY];
};

void status_history_add(struct status_history *history, const struct status *status);

/* How it is shown. */
struct status_view {
	FILE *out;
	unsigned int cols, rows; /* wrapped at (from 40), cut after so many; 0: neither */
	bool colour;
	bool clear; /* each line ends with an escape that clears what was behind it */
	const struct status_history *history; /* NULL: none is shown */
	unsigned int used; /* out: rows that were written */
};

/* One screen; without rows also the line for bpftool, as one line. */
void status_show(const struct status *status, struct status_view *view);

/* One line; and before it one for each problem and event that `before` (NULL: nothing) did not have. */
void status_line(const struct status *status, const struct status *before, FILE *out);

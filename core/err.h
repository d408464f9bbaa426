/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exit codes, and how a failure travels up: the function that knows fills a struct err with one
 * line (what, where, what to do) and returns the negative exit code; the command prints the line
 * once and returns the code.
 */
#pragma once

enum n2x_exit {
	N2X_OK = 0,
	N2X_NO = 1, /* a check said no: mismatch, refused step, gate failed */
	N2X_USAGE = 2, /* command line or configuration */
	N2X_INACTIVE = 3, /* there is nothing to act on */
	N2X_DEGRADED = 4, /* active, but something is missing */
	N2X_FOREIGN = 5, /* somebody else's object is in the way */
	N2X_SYSTEM = 6, /* kernel, driver or permission */
	N2X_ROLLED_BACK = 7,
};

struct err {
	char text[512];
};

void err_format(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Fills err and is -code. A macro: compiler and analyzer see in every caller that it is not 0. */
#define err_set(err, code, ...) (err_format(err, __VA_ARGS__), -(int)(code))

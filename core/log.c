// SPDX-License-Identifier: GPL-2.0-only
#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/err.h"

static bool verbose;

/* One write, so that lines of several threads do not mix. */
static void log_line(const char *format, va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof(text), format, args);
	fprintf(stderr, "nfq2xdp: %s\n", text);
}

void log_verbose(bool on)
{
	verbose = on;
}

void log_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(format, args);
	va_end(args);
}

void log_debug(const char *format, ...)
{
	va_list args;

	if (!verbose)
		return;
	va_start(args, format);
	log_line(format, args);
	va_end(args);
}

void err_format(struct err *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
}

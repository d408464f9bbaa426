/* SPDX-License-Identifier: GPL-2.0-only */
/* One line to standard error, "nfq2xdp: text". Only commands and the loops of `run` call these. */
#pragma once

#include <stdbool.h>

void log_verbose(bool on); /* also what log_debug() says, and libbpf's messages */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

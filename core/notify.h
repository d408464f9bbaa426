/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* Tells the service manager, sd_notify(3) protocol: "READY=1", "STATUS=…", "WATCHDOG=1". Without
 * one: nothing. */
void notify(const char *state);

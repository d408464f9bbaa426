/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel modules, asked after without loading one. */
#pragma once

enum module_state {
	MODULE_NONE, /* neither in the kernel nor on the disk */
	MODULE_LOADABLE, /* on the disk: the kernel loads it when it is needed */
	MODULE_THERE, /* loaded, built in, or it cannot be told: asking the kernel loads nothing else */
};

enum module_state module_state(const char *name);

// SPDX-License-Identifier: GPL-2.0-only
#include "core/module.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "core/util.h"

/* Is it the module of this path or name? "-" and "_" are the same in a name of a module. */
static bool is_module(const char *path, const char *name)
{
	const char *base = path;

	for (const char *c = path; *c && *c != ':' && *c != ' '; c++)
		if (*c == '/')
			base = c + 1;
	for (; *name; name++, base++)
		if (*base != *name && !(*base == '-' && *name == '_'))
			return false;
	return !*base || strchr(". \n", *base);
}

/* 1 when a line of the file is about it, 0 when none is, -1 when there is no such file. */
static int listed(const char *path, const char *name)
{
	_cleanup_file_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int found = 0;

	while (f && !found && getline(&line, &size, f) > 0)
		found = is_module(line, name);
	return f ? found : -1;
}

enum module_state module_state(const char *name)
{
	char builtin[128], on_disk[128];
	struct utsname kernel;
	int ret = listed("/proc/modules", name);

	/* A kernel without modules loads none. */
	if (ret != 0 || uname(&kernel) < 0)
		return MODULE_THERE;
	snprintf(builtin, sizeof(builtin), "/lib/modules/%s/modules.builtin", kernel.release);
	snprintf(on_disk, sizeof(on_disk), "/lib/modules/%s/modules.dep", kernel.release);
	if (listed(builtin, name) != 0)
		return MODULE_THERE;
	return listed(on_disk, name) == 1 ? MODULE_LOADABLE : MODULE_NONE;
}

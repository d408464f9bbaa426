// SPDX-License-Identifier: GPL-2.0-only
#include "core/output.h"

#include <stdarg.h>
#include <stdio.h>

void output_change(json_t *changes, const char *undo, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_array_append_new(changes, json_pack("{s:s, s:s}", "do", text, "undo", undo));
}

int output_json(json_t *object)
{
	int ret;

	json_object_set_new(object, "schema", json_integer(OUTPUT_SCHEMA));
	ret = json_dumpf(object, stdout, JSON_COMPACT | JSON_SORT_KEYS);
	putchar('\n');
	json_decref(object);
	return ret == 0 && fflush(stdout) == 0 ? 0 : -1;
}

int output_changes(json_t *changes, bool json)
{
	json_t *change;
	size_t i;

	if (json)
		return output_json(json_pack("{s:o}", "changes", changes));
	json_array_foreach(changes, i, change)
	{
		printf("%s\n", json_string_value(json_object_get(change, "do")));
		printf("    undo: %s\n", json_string_value(json_object_get(change, "undo")));
	}
	if (!json_array_size(changes))
		printf("nothing to change\n");
	json_decref(changes);
	return fflush(stdout) == 0 ? 0 : -1;
}

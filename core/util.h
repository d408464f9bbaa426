/* SPDX-License-Identifier: GPL-2.0-only */
/* Cleanup attributes, and the one error type. */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define _cleanup_(f)    __attribute__((cleanup(f)))
#define _cleanup_free_  _cleanup_(util_freep)
#define _cleanup_close_ _cleanup_(util_closep)
#define _cleanup_file_  _cleanup_(util_fclosep)
#define _cleanup_dir_   _cleanup_(util_closedirp)

/* Hands a resource over: the variable no longer cleans it up. */
#define TAKE_PTR(p)                       \
	({                                \
		__typeof__(p) taken_ = p; \
		(p) = NULL;               \
		taken_;                   \
	})
#define TAKE_FD(fd)              \
	({                       \
		int taken_ = fd; \
		(fd) = -1;       \
		taken_;          \
	})

static inline void util_freep(void *p)
{
	free(*(void **)p);
}

static inline void util_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void util_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void util_closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

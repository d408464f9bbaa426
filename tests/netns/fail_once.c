// SPDX-License-Identifier: GPL-2.0-only
/*
 * To be preloaded: the next netlink request of the process fails, once for each time that the file $FAIL_ONCE
 * is made.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <libmnl/libmnl.h>

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *req, size_t siz)
{
	ssize_t (*next)(const struct mnl_socket *, const void *, size_t);
	const char *file = getenv("FAIL_ONCE");

	if (file && unlink(file) == 0) {
		errno = ENOBUFS;
		return -1;
	}
	*(void **)&next = dlsym(RTLD_NEXT, "mnl_socket_sendto");
	return next(nl, req, siz);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where an instance keeps things. Everything is below a name that has the network namespace in it
 * (its inode number): interface names and indexes repeat across namespaces.
 *
 *	/sys/fs/bpf/nfq2xdp/v<ABI>/<netns>/<instance>/	pinned maps and links
 *	/run/nfq2xdp/<netns>-<instance>.nfqueue	the NFQUEUE path's counters; locked while it runs
 *	/run/nfq2xdp/<netns>-<instance>.lock	locked by a command that changes the instance
 *	/run/nfq2xdp/<netns>-<instance>.auto	locked by the process that runs a rollout
 *	/run/nfq2xdp/<netns>-<instance>.parity	what a rollout has compared so far, for the metrics
 *	/run/nfq2xdp/<netns>-<instance>.rules	the operator's rules as they were
 *	/var/lib/nfq2xdp/<instance>/journal.jsonl	what was intended, and what happened
 */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/err.h"

#define INSTANCE_BPFFS   "/sys/fs/bpf"
#define INSTANCE_RUN_DIR "/run/nfq2xdp"
#define INSTANCE_LIB_DIR "/var/lib/nfq2xdp"

/* Inode number of the calling thread's network namespace, 0 when /proc is not there. */
uint64_t instance_netns(void);

/* bpffs refuses names with a dot: "ens6.100" is "ens6%2e100" there, and "%" is "%25". */
void instance_escape(const char *name, char *out, size_t size);
void instance_unescape(const char *name, char *out, size_t size);

/*
 * The directory of pins; of all instances of this namespace when name is NULL. The version is
 * ABI_VERSION, or that of another build.
 */
void instance_pin_dir(unsigned int version, const char *name, char out[PATH_MAX]);

/*
 * Gives what was just made to the owner of the directory that it is in: what root makes with a command is for the
 * service's user, too. Nothing where that is not allowed: then it is this user's, as it was made.
 */
void instance_give(const char *path);

/*
 * Opens a file of the instance in /run, making it and the directory, and locks it for this process.
 * suffix: "lock" (held by a command that changes the instance, one at a time), "auto" or "nfqueue".
 * Returns a descriptor to close, -N2X_FOREIGN naming the process that has it, or -N2X_SYSTEM.
 */
int instance_lock(const char *name, const char *suffix, struct err *err);

void instance_run_path(const char *name, const char *suffix, char out[PATH_MAX]);

/* Opens such a file for reading, if it is there. Returns a descriptor, or -1. */
int instance_peek(const char *name, const char *suffix);

/* The process that has the file locked: 0 when none has, -1 when it is in another pid namespace. */
pid_t instance_holder(int fd);

/*
 * The number of the next rollout, kept in the lock file. `lock` is what instance_lock() returned.
 * Returns it, from 1, or -N2X_SYSTEM.
 */
int instance_next_generation(int lock, struct err *err);

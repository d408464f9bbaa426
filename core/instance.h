/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where an instance keeps things. Everything is below a name that has the network namespace in it
 * (its inode number): interface names and indexes repeat across namespaces.
 *
 *	/sys/fs/bpf/nfq2xdp/v<ABI>/<netns>/<instance>/	pinned maps and links
 *	/run/nfq2xdp/<netns>-<instance>.nfqueue	the NFQUEUE path's counters; locked while it runs
 *	/run/nfq2xdp/<netns>-<instance>.lock	locked by a command that changes the instance
 */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define INSTANCE_BPFFS   "/sys/fs/bpf"
#define INSTANCE_RUN_DIR "/run/nfq2xdp"

/* Inode number of the calling thread's network namespace, 0 when /proc is not there. */
uint64_t instance_netns(void);

/* bpffs refuses names with a dot: "ens6.100" is "ens6%2e100" there, and "%" is "%25". */
void instance_escape(const char *name, char *out, size_t size);
void instance_unescape(const char *name, char *out, size_t size);

/* The directory of pins; of all instances of this namespace when name is NULL. */
void instance_pin_dir(const char *name, char out[PATH_MAX]);

/* The file in /run with this suffix ("nfqueue", "lock"); makes the directory. Returns 0 or
 * -N2X_SYSTEM. */
int instance_run_path(const char *name, const char *suffix, char out[PATH_MAX], struct err *err);

/*
 * Takes the instance's lock; one command at a time changes an instance. Returns a descriptor to
 * close, or -N2X_FOREIGN naming the process that has it, or -N2X_SYSTEM.
 */
int instance_lock(const char *name, struct err *err);

/*
 * The number of the next rollout, kept in the lock file. `lock` is what instance_lock() returned.
 * Returns it, from 1, or -N2X_SYSTEM.
 */
int instance_next_generation(int lock, struct err *err);

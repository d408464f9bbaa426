/* SPDX-License-Identifier: GPL-2.0-only */
/* The pins of an instance, below the directory of core/instance.h. Used by xdp/ alone. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/bpf.h>

#include "core/err.h"

#define PIN_LINK "link-"
#define PIN_PROG "prog-" /* attached by netlink: where the kernel has no XDP links (before 5.9) */

/* libbpf's messages through our log, one level down: what matters of them is in our own line. */
void xdp_libbpf_init(void);

/* The last warning of libbpf, or what xdp_libbpf_say() put there; the kernel's own words (extack) come
 * this way. */
const char *xdp_libbpf_said(void);
void xdp_libbpf_say(const char *text);

/* -N2X_SYSTEM when /sys/fs/bpf is not a BPF file system. */
int xdp_pin_check_bpffs(struct err *err);

/* kind: PIN_LINK, PIN_PROG or "" */
void xdp_pin_path(const char *instance, const char *kind, const char *name,
		  char out[PATH_MAX + 64]);

int xdp_pin(const char *instance, const char *kind, const char *name, int fd, struct err *err);

/* Returns a descriptor, -N2X_INACTIVE when the instance has no such pin, or -N2X_SYSTEM. */
int xdp_pin_open(const char *instance, const char *name, struct err *err);

/* Returns 0 or -errno. */
int xdp_prog_info(uint32_t id, struct bpf_prog_info *info);

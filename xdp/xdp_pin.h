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
#define PIN_OF   "of-" /* the program of a link */

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

/* bpf_obj_pin(), and given to who the directory belongs to. Returns 0 or -errno. */
int xdp_pin_at(const char *path, int fd);

int xdp_pin(const char *instance, const char *kind, const char *name, int fd, struct err *err);

/* Returns a descriptor, -N2X_INACTIVE when the instance has no such pin, or -N2X_SYSTEM. */
int xdp_pin_open(const char *instance, const char *name, struct err *err);

/* Needs CAP_SYS_ADMIN. Returns 0, or -errno with *info all zeros. */
int xdp_prog_info(uint32_t id, struct bpf_prog_info *info);

/*
 * The program that is attached to an interface by the link that is pinned at `link`: without CAP_SYS_ADMIN no program
 * is known by its id, so each is pinned beside its link. Nobody depends on that: what is not known is all zeros.
 */
void xdp_pin_link_prog(const char *link, int prog_fd);
int xdp_link_prog_info(const char *link, uint32_t id, struct bpf_prog_info *info);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of a PCI device in sysfs. */
#ifndef VGPU_GUEST_SYSFS_H
#define VGPU_GUEST_SYSFS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "vgpu.h"

/* The roots of the two file systems, or their defaults. */
const char *paths_sysfs(const vgpu_paths *paths);
const char *paths_dev(const vgpu_paths *paths);

/* Open @file of the PCI device. Returns a descriptor, or a negative errno. */
int sysfs_open(const vgpu_paths *paths, const char *address, const char *file, int flags);

/* Read the number in @file ("0x1af4" or decimal). Returns 0, -EBADMSG when there is none, or
 * another negative errno. */
int sysfs_read_u32(const vgpu_paths *paths, const char *address, const char *file,
                   uint32_t *ret_value);

/* Write @text to an open sysfs file, and close it. @fd is what sysfs_open() has returned; where
 * that is an errno, it is returned. Returns 0 or a negative errno. */
int sysfs_write_close(int fd, const char *text);

/* Is this one of our devices, by what the kernel has read from its configuration space? */
bool sysfs_is_vgpu(const vgpu_paths *paths, const char *address);

/* Read what the symbolic link @file points to. Returns 0 or a negative errno. */
int sysfs_read_link(const vgpu_paths *paths, const char *address, const char *file,
                    char ret_target[static PATH_MAX]);

/* The part of @path behind its last slash. */
const char *sysfs_last_component(const char *path);

/* Is @driver (not NULL) the device's driver? Returns 1 or 0, or -ENODATA when it has none, or
 * another negative errno. */
int sysfs_has_driver(const vgpu_paths *paths, const char *address, const char *driver);

#endif

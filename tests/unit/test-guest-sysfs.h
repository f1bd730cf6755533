/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A directory that looks like the parts of /sys and /dev that libvgpu reads. */
#ifndef TEST_GUEST_SYSFS_H
#define TEST_GUEST_SYSFS_H

#include <stddef.h>

#include "vgpu.h"

#define FAKE_ADDRESS "0000:00:04.0"

typedef struct fake_sysfs fake_sysfs;

struct fake_sysfs {
    char root[64];
    char sys[80];
    char dev[80];
    vgpu_paths paths;
};

/* An empty tree, and its end. Both fail the test if they cannot do it. */
void fake_sysfs_create(fake_sysfs *f);
void fake_sysfs_remove(fake_sysfs *f);

/* The same for cmocka; the state is a fake_sysfs. */
int fake_sysfs_setup(void **state);
int fake_sysfs_teardown(void **state);

/* Add a PCI device with everything as libvgpu wants it: enabled, its registers all zero but
 * PROTOCOL_VER and what else never changes. */
void fake_sysfs_add(fake_sysfs *f, const char *address);

/* The path of a device's file; static, until the next call. */
const char *fake_sysfs_path(fake_sysfs *f, const char *address, const char *file);

/* Replace a file's content; read a small file as text (static, until the next call). */
void fake_sysfs_write(fake_sysfs *f, const char *address, const char *file, const char *content);
const char *fake_sysfs_read(fake_sysfs *f, const char *address, const char *file);

/* Add a driver, and bind a device to one. uio_pci_generic comes with uio/uio0, and with /dev/uio0,
 * a FIFO, for the device at FAKE_ADDRESS. */
void fake_sysfs_add_driver(fake_sysfs *f, const char *driver);
void fake_sysfs_bind(fake_sysfs *f, const char *address, const char *driver);

#endif

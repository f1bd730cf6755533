/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which QEMU is installed. */
#ifndef VGPU_HOOKS_QEMU_VERSION_H
#define VGPU_HOOKS_QEMU_VERSION_H

typedef struct QEMUVersion {
    unsigned major, minor;
} QEMUVersion;

/*
 * qemu_version_parse() - find the version in what QEMU prints with --version
 *
 * Returns 0, or -EBADMSG when there is none.
 */
int qemu_version_parse(const char *text, QEMUVersion *ret);

/*
 * qemu_version_ask() - run a QEMU with --version
 * @path: the program
 *
 * QEMU does not inherit this process's descriptors. Returns 0, -EBADMSG, or another negative
 * errno when the program cannot be run.
 */
int qemu_version_ask(const char *path, QEMUVersion *ret);

#endif

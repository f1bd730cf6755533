/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the emulator launcher makes of libvirt's QEMU command line. Nothing here does I/O. */
#ifndef VGPU_HOOKS_LAUNCHER_ARGUMENTS_H
#define VGPU_HOOKS_LAUNCHER_ARGUMENTS_H

#include <stdbool.h>

#include "record.h"
#include "uuid.h"

/*
 * arguments_get_uuid() - the domain that the command line is for
 * @argv: of QEMU, NULL-terminated
 * @ret: normalized
 *
 * Returns false where there is no -uuid with a proper one: libvirt probes for
 * what QEMU can, or it is not libvirt.
 */
bool arguments_get_uuid(char *const argv[], char ret[static UUID_TEXT_SIZE]);

/*
 * arguments_add_device() - the command line, and the device at its end
 * @argv: of QEMU, NULL-terminated
 * @uuid: normalized
 * @plugin: path of vgpu-stub.so
 * @ret: a new array with copies of the strings, freed with arguments_free()
 * @ret_reason: a static string, when the answer is positive
 *
 * Returns 0, a positive number when this machine cannot have the device, or -ENOMEM.
 */
int arguments_add_device(char *const argv[], const char *uuid, const Record *record,
                         const char *plugin, char ***ret, const char **ret_reason);

/* arguments_free() - takes NULL too. Returns NULL */
char **arguments_free(char **argv);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the emulator launcher changes libvirt's QEMU command line. No function here does I/O. */
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
 * Returns false when there is no -uuid with a proper UUID: libvirt only asks what QEMU can do,
 * or the caller is not libvirt.
 */
bool arguments_get_uuid(char *const argv[], char ret[static UUID_TEXT_SIZE]);

/*
 * arguments_have_state() - does QEMU begin with the state of a machine that ran before?
 * @argv: of QEMU, NULL-terminated
 */
bool arguments_have_state(char *const argv[]);

/*
 * arguments_find_device() - our device on a command line
 * @argv: of QEMU, NULL-terminated
 * @ret_slot: its slot on the root bus, or SLOT_NONE where there is no such device
 *
 * Returns 0 or -ENOMEM.
 */
int arguments_find_device(char *const argv[], int *ret_slot);

/*
 * arguments_add_device() - the command line with the device at its end
 * @argv: of QEMU, NULL-terminated
 * @uuid: normalized
 * @record: registered. Its slot is taken where it is free, and otherwise another one, unless the
 *          machine's state needs the device there
 * @plugin: path of vgpu-stub.so
 * @ret: a new array with copies of the strings, freed with arguments_free()
 * @ret_reason: with a positive result: a static string
 *
 * Returns 0, a positive number when this machine cannot have the device, or -ENOMEM.
 */
int arguments_add_device(char *const argv[], const char *uuid, const Record *record,
                         const char *plugin, char ***ret, const char **ret_reason);

/* arguments_free() - takes NULL too. Returns NULL */
char **arguments_free(char **argv);

#endif

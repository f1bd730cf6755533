/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device as a plugin of QEMU: there is one for each version that it was built for. */
#ifndef VGPU_HOOKS_QEMU_PLUGIN_H
#define VGPU_HOOKS_QEMU_PLUGIN_H

#include <limits.h>

enum {
    QEMU_PLUGIN_MISSING = 1,
};

/*
 * qemu_plugin_find() - the plugin for an emulator, which is run to ask for its version
 * @directory: holds qemu-VERSION/vgpu-stub.so
 * @emulator: a path
 * @ret: with 0: the plugin's path
 * @ret_problem: with QEMU_PLUGIN_MISSING: one line that says why, to be freed
 *
 * Returns 0, QEMU_PLUGIN_MISSING or -ENOMEM.
 */
int qemu_plugin_find(const char *directory, const char *emulator, char ret[static PATH_MAX],
                     char **ret_problem);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "qemu-plugin.h"
#include "qemu-version.h"

int qemu_plugin_find(const char *directory, const char *emulator, char ret[static PATH_MAX],
                     char **ret_problem)
{
    char path[PATH_MAX];
    QEMUVersion version;
    int r;

    r = qemu_version_ask(emulator, &version);
    if (r < 0)
        return fail_with(QEMU_PLUGIN_MISSING, ret_problem, "cannot tell the version of %s: %s",
                         emulator, strerror(-r));

    r = snprintf(path, sizeof(path), "%s/qemu-%u.%u/vgpu-stub.so", directory, version.major,
                 version.minor);
    if (r < 0 || (size_t) r >= sizeof(path) || access(path, R_OK) < 0)
        return fail_with(QEMU_PLUGIN_MISSING, ret_problem, "no plugin for QEMU %u.%u: %s: %s",
                         version.major, version.minor, path, strerror(errno));
    strcpy(ret, path);
    return 0;
}

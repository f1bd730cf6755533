/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The emulator launcher, which a domain's <emulator> names. It runs the distribution's QEMU
 * with the arguments that libvirt gave. If the hook has left an attach record for the domain,
 * it adds our device.
 *
 * libvirt runs it as QEMU's user, with descriptors for QEMU open. It also runs it to ask what
 * QEMU can do, and then the launcher changes nothing. Whatever goes wrong here costs the device
 * and never the start.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "hooks-config.h"
#include "launcher-arguments.h"
#include "qemu-version.h"
#include "record.h"

/* The hook runs as this user. */
#define RECORD_OWNER 0

/* On stderr, which libvirt has connected to the domain's log. */
__attribute__((format(printf, 1, 2))) static void say_without(const char *format, ...)
{
    va_list list;

    fputs("vgpu-mediator: the domain starts without its vgpu device: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

/* Finds the plugin for the QEMU that is installed. If there is none, says so and returns false. */
static bool launcher_find_plugin(char path[static PATH_MAX])
{
    QEMUVersion version;
    int r;

    r = qemu_version_ask(QEMU_PATH, &version);
    if (r < 0) {
        say_without("cannot tell the version of %s: %s", QEMU_PATH, strerror(-r));
        return false;
    }

    snprintf(path, PATH_MAX, "%s/qemu-%u.%u/vgpu-stub.so", PLUGIN_DIR, version.major,
             version.minor);
    if (access(path, R_OK) < 0) {
        say_without("no plugin for QEMU %u.%u: %s: %s", version.major, version.minor, path,
                    strerror(errno));
        return false;
    }
    return true;
}

/* The arguments with the device, or NULL when it is to be left out. */
static char **launcher_add_device(char **argv)
{
    char uuid[UUID_TEXT_SIZE], plugin[PATH_MAX];
    const char *reason;
    char **arguments;
    Record record;
    int r;

    if (!arguments_get_uuid(argv, uuid))
        return NULL;
    r = record_read(DOMAINS_DIR, uuid, RECORD_OWNER, &record);
    if (r == -ENOENT)
        return NULL;
    if (r < 0) {
        say_without("cannot use %s/%s: %s", DOMAINS_DIR, uuid, strerror(-r));
        return NULL;
    }
    if (!launcher_find_plugin(plugin))
        return NULL;

    r = arguments_add_device(argv, uuid, &record, plugin, &arguments, &reason);
    if (r != 0) {
        say_without("%s", r < 0 ? strerror(-r) : reason);
        return NULL;
    }
    return arguments;
}

int main(int argc, char **argv)
{
    char qemu[] = QEMU_PATH;
    char **arguments;

    if (argc < 1)
        return EXIT_FAILURE;
    arguments = launcher_add_device(argv);
    if (!arguments)
        arguments = argv;

    /* QEMU sees the name that it would have if libvirt had run it. */
    arguments[0] = qemu;
    execv(QEMU_PATH, arguments);
    fprintf(stderr, "vgpu-mediator: cannot run %s: %s\n", QEMU_PATH, strerror(errno));
    return 127;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The emulator launcher, which a domain's <emulator> names. It runs the distribution's QEMU, or
 * the emulator that the domain had before, with the arguments that libvirt gave. If the hook has
 * left an attach record for the domain, it adds our device.
 *
 * libvirt runs it as QEMU's user, with descriptors for QEMU open. It also runs it to ask what
 * QEMU can do, and then the launcher changes nothing. Whatever goes wrong here costs the device
 * and never the start. QEMU's environment then says why, for the hook to read.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-login.h>

#include "cleanup.h"
#include "hooks-config.h"
#include "launcher-arguments.h"
#include "process.h"
#include "qemu-plugin.h"
#include "record.h"
#include "slot.h"
#include "vgpu-protocol.h"

/* The hook runs as this user. */
#define RECORD_OWNER 0

/* On stderr, which libvirt has connected to the domain's log, and in QEMU's environment. */
__attribute__((format(printf, 1, 2))) static void say_without(const char *format, ...)
{
    char reason[RECORD_TEXT_SIZE];
    va_list list;

    va_start(list, format);
    vsnprintf(reason, sizeof(reason), format, list);
    va_end(list);
    fprintf(stderr, "vgpu-mediator: the domain starts without its vgpu device: %s\n", reason);
    (void) setenv(PROCESS_PROBLEM, reason, 1);
}

static void say_with(const Record *record, char *const arguments[])
{
    char text[SLOT_TEXT_SIZE];
    int slot;

    if (arguments_find_device(arguments, &slot) < 0 || slot < 0)
        return;
    fprintf(stderr,
            "vgpu-mediator: the domain starts with a vgpu device in PCI slot %s: number %u, pool "
            "%c, priority %s\n",
            slot_print(slot, text), record->vm_id, record->pool,
            vgpu_priority_to_string((uint32_t) record->priority));
}

/* Does this process belong to a machine? It does where libvirt's system daemon started it. A
 * process of a user's session is in a unit of that user. */
static bool launcher_is_in_machine(void)
{
    CLEANUP_FREE char *unit = NULL;

    return sd_pid_get_unit(0, &unit) >= 0 && strncmp(unit, "machine-", strlen("machine-")) == 0;
}

/* The arguments with the device, or NULL when it is to be left out. */
static char **launcher_add_device(char **argv, const char *uuid, const Record *record,
                                  const char *emulator)
{
    CLEANUP_FREE char *problem = NULL;
    char plugin[PATH_MAX];
    const char *reason;
    char **arguments;
    int r;

    if (record->slot == SLOT_NONE && arguments_have_state(argv)) {
        say_without("its state was saved without the device");
        return NULL;
    }
    r = qemu_plugin_find(PLUGIN_DIR, emulator, plugin, &problem);
    if (r != 0) {
        say_without("%s", problem ? problem : strerror(-r));
        return NULL;
    }
    r = arguments_add_device(argv, uuid, record, plugin, &arguments, &reason);
    if (r != 0) {
        say_without("%s", r < 0 ? strerror(-r) : reason);
        return NULL;
    }
    say_with(record, arguments);
    return arguments;
}

/* Reads the record that is for this domain. Without one that can be used, returns false. */
static bool launcher_read_record(const char *uuid, Record *ret)
{
    int r = record_read(DOMAINS_DIR, uuid, RECORD_OWNER, ret);

    if (r == -ENOENT)
        return false;
    if (r < 0) {
        say_without("cannot use %s/%s: %s", DOMAINS_DIR, uuid, strerror(-r));
        return false;
    }
    if (ret->needs_machine && !launcher_is_in_machine()) {
        say_without("another domain with its UUID has it; domains of a session have no GPU");
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    char qemu[RECORD_TEXT_SIZE] = QEMU_PATH, uuid[UUID_TEXT_SIZE];
    char **arguments = NULL;
    Record record;

    if (argc < 1)
        return EXIT_FAILURE;
    (void) unsetenv(PROCESS_PROBLEM);
    if (arguments_get_uuid(argv, uuid) && launcher_read_record(uuid, &record)) {
        if (record.emulator[0] != '\0')
            strcpy(qemu, record.emulator);
        if (record.problem[0] != '\0')
            say_without("%s", record.problem);
        else
            arguments = launcher_add_device(argv, uuid, &record, qemu);
    }
    if (!arguments)
        arguments = argv;

    /* QEMU sees the name that it would have if libvirt had run it. */
    arguments[0] = qemu;
    execv(qemu, arguments);
    fprintf(stderr, "vgpu-mediator: cannot run %s: %s\n", qemu, strerror(errno));
    return 127;
}

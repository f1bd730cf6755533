/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "fake-machined.h"

typedef struct Machine {
    uint32_t leader;
    uint8_t uuid[16];
    const char *error; /* NULL: it answers */
} Machine;

static int get_machine_by_pid(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    Machine *machine = userdata;
    uint32_t pid;
    int r = sd_bus_message_read(call, "u", &pid);

    if (r < 0)
        return r;
    if (machine->error)
        return sd_bus_error_set(error, machine->error, "no answer");
    if (pid != machine->leader)
        return sd_bus_error_set(error, "org.freedesktop.machine1.NoMachineForPID", "none");
    return sd_bus_reply_method_return(call, "o", "/org/freedesktop/machine1/machine/x");
}

static int list_machines(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    static const char root[] = "/org/freedesktop/machine1/machine/";
    Machine *machine = userdata;
    sd_bus_message *reply = NULL;
    int r;

    if (machine->error)
        return sd_bus_error_set(error, machine->error, "no answer");
    r = sd_bus_message_new_method_return(call, &reply);
    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'a', "(ssso)");
    /* The host, a VM that has just ended, and the one that there is. */
    for (unsigned i = 0; r >= 0 && i < 2 + (machine->leader != 0); i++) {
        const char *names[] = {".host", "ended", "x"}, *paths[] = {"_2ehost", "ended", "x"};
        char path[64];

        (void) snprintf(path, sizeof(path), "%s%s", root, paths[i]);
        r = sd_bus_message_append(reply, "(ssso)", names[i], i == 0 ? "host" : "vm", "", path);
    }
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    if (r >= 0)
        r = sd_bus_send(NULL, reply, NULL);
    sd_bus_message_unref(reply);
    return r;
}

static int get_id(sd_bus *bus, const char *path, const char *interface, const char *property,
                  sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    Machine *machine = userdata;

    (void) bus, (void) path, (void) interface, (void) property, (void) error;

    return sd_bus_message_append_array(reply, 'y', machine->uuid, sizeof(machine->uuid));
}

static const sd_bus_vtable manager_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("ListMachines", "", "a(ssso)", list_machines, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("GetMachineByPID", "u", "o", get_machine_by_pid, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static const sd_bus_vtable machine_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Id", "ay", get_id, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_VTABLE_END,
};

static void serve(Machine *machine, int ready)
{
    sd_bus *bus = NULL;

    if (sd_bus_open_system(&bus) < 0 ||
        sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/machine1",
                                 "org.freedesktop.machine1.Manager", manager_vtable, machine) < 0 ||
        sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/machine1/machine/x",
                                 "org.freedesktop.machine1.Machine", machine_vtable, machine) < 0 ||
        sd_bus_request_name(bus, "org.freedesktop.machine1", 0) < 0)
        _exit(EXIT_FAILURE);
    if (write(ready, "", 1) != 1)
        _exit(EXIT_FAILURE);

    for (;;) {
        int r = sd_bus_process(bus, NULL);

        if (r < 0 || (r == 0 && sd_bus_wait(bus, UINT64_MAX) < 0))
            _exit(EXIT_FAILURE);
    }
}

static void fake_machined_run(FakeMachined *m, Machine *machine)
{
    int ready[2];
    char byte;

    if (pipe(ready) < 0)
        abort();
    m->pid = fork();
    if (m->pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(machine, ready[1]);
    }
    close(ready[1]);
    if (m->pid < 0 || read(ready[0], &byte, 1) != 1)
        abort();
    close(ready[0]);
}

void fake_machined_start(FakeMachined *m, pid_t leader, const uint8_t uuid[16])
{
    Machine machine = {.leader = (uint32_t) leader};

    memcpy(machine.uuid, uuid, sizeof(machine.uuid));
    fake_machined_run(m, &machine);
}

void fake_machined_start_failing(FakeMachined *m, const char *error)
{
    Machine machine = {.error = error};

    fake_machined_run(m, &machine);
}

void fake_machined_stop(FakeMachined *m)
{
    (void) kill(m->pid, SIGKILL);
    (void) waitpid(m->pid, NULL, 0);
}

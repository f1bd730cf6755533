/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "clock.h"
#include "fake-vms.h"
#include "names.h"

typedef struct Fake {
    const FakeObject *vms, *pools, *sessions;
    bool ended[8];    /* sessions */
    uint64_t started; /* µs */
} Fake;

/* What vgpuctl cannot do without. */
static const FakeProperty vm_texts[] = {
    {"UUID", 's', "01010101-0101-0101-0101-010101010101", 0},
    {"Pool", 's', "A", 0},
    {"ConfiguredPool", 's', "A", 0},
    {"Priority", 's', "high", 0},
    {"ConfiguredPriority", 's', "high", 0},
    {"Registered", 'b', NULL, 1},
    {NULL, 0, NULL, 0},
};
static const FakeProperty pool_texts[] = {
    {"Backend", 's', "cpu", 0},         {"Devices", 's', "a processor", 0},
    {"Policy", 's', "fifo", 0},         {"ExecutorState", 's', "ready", 0},
    {"StarvationLimitUSec", 't', 0, 5}, {NULL, 0, NULL, 0},
};

static int append_value(const Fake *f, sd_bus_message *m, const FakeProperty *p)
{
    const char *name = p->name;
    double elapsed = (double) (now_usec() - f->started);

    switch (p->type) {
    case 's':
        return sd_bus_message_append(m, "{sv}", name, "s", p->text);
    case 'o':
        return sd_bus_message_append(m, "{sv}", name, "o", p->text);
    case 'b':
        return sd_bus_message_append(m, "{sv}", name, "b", p->number != 0);
    case 'u':
        return sd_bus_message_append(m, "{sv}", name, "u", (uint32_t) p->number);
    case 't':
        return sd_bus_message_append(m, "{sv}", name, "t", (uint64_t) p->number);
    case 'd':
        return sd_bus_message_append(m, "{sv}", name, "d", p->number);
    case 'T':
        return sd_bus_message_append(m, "{sv}", name, "t", (uint64_t) (p->number * elapsed));
    default:
        abort();
    }
}

/* Appends a{sv}. What the test has made up comes last, and so it is what counts. */
static int append_properties(const Fake *f, sd_bus_message *m, const FakeObject *o,
                             const FakeProperty *texts)
{
    int r = sd_bus_message_open_container(m, 'a', "{sv}");

    if (r >= 0)
        r = sd_bus_message_append(m, "{sv}", "Name", "s", o->name);
    for (; texts->name && r >= 0; texts++)
        r = append_value(f, m, texts);
    for (size_t i = 0; i < FAKE_PROPERTIES_MAX && o->properties[i].name && r >= 0; i++)
        r = append_value(f, m, &o->properties[i]);
    return r < 0 ? r : sd_bus_message_close_container(m);
}

/* What vgpuctl cannot do without; the name of a session is its number. */
static const FakeProperty session_texts[] = {
    {"VM", 'o', VGPU_OBJECT_VM "/web1", 0},
    {"Pool", 's', "A", 0},
    {"Device", 's', "0", 0},
    {"Command", 's', "python3", 0},
    {"State", 's', "open", 0},
    {"GuestPID", 'u', NULL, 4242},
    {NULL, 0, NULL, 0},
};

static const FakeProperty *session_property(const FakeObject *session, const char *name)
{
    for (size_t i = 0; i < FAKE_PROPERTIES_MAX && session->properties[i].name; i++)
        if (strcmp(session->properties[i].name, name) == 0)
            return &session->properties[i];
    for (const FakeProperty *p = session_texts; p->name; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    abort();
}

/* Appends a(uoosus). */
static int append_sessions(const Fake *f, sd_bus_message *m)
{
    int r = sd_bus_message_open_container(m, 'a', "(uoosus)");

    for (size_t i = 0; f->sessions[i].name && r >= 0; i++) {
        const FakeObject *s = &f->sessions[i];
        char path[80];

        if (f->ended[i])
            continue;
        snprintf(path, sizeof(path), VGPU_OBJECT_SESSION "/%s", s->name);
        r = sd_bus_message_append(
            m, "(uoosus)", (uint32_t) atoi(s->name), path, session_property(s, "VM")->text,
            session_property(s, "Command")->text,
            (uint32_t) session_property(s, "GuestPID")->number, session_property(s, "State")->text);
    }
    return r < 0 ? r : sd_bus_message_close_container(m);
}

/* Appends all properties of the session that the call goes to. One that is named "gone" in its
 * command ends between the list and this. */
static int append_session(const Fake *f, sd_bus_message *call, sd_bus_message *m,
                          sd_bus_error *error)
{
    const char *number = strrchr(sd_bus_message_get_path(call), '/') + 1;
    int r = sd_bus_message_open_container(m, 'a', "{sv}");

    for (size_t i = 0; f->sessions[i].name && r >= 0; i++) {
        const FakeObject *s = &f->sessions[i];

        if (strcmp(s->name, number) != 0)
            continue;
        if (strcmp(session_property(s, "Command")->text, "gone") == 0)
            return sd_bus_error_set(error, SD_BUS_ERROR_UNKNOWN_OBJECT, "It is gone.");
        r = sd_bus_message_append(m, "{sv}", "ID", "u", (uint32_t) atoi(number));
        for (const FakeProperty *p = session_texts; p->name && r >= 0; p++)
            r = append_value(f, m, p);
        for (size_t j = 0; j < FAKE_PROPERTIES_MAX && s->properties[j].name && r >= 0; j++)
            r = append_value(f, m, &s->properties[j]);
    }
    return r < 0 ? r : sd_bus_message_close_container(m);
}

static int end_session(Fake *f, sd_bus_message *call, sd_bus_error *error)
{
    char path[80];
    uint32_t id;
    int r = sd_bus_message_read(call, "u", &id);

    if (r < 0)
        return r;
    snprintf(path, sizeof(path), VGPU_OBJECT_SESSION "/%u", id);
    for (size_t i = 0; f->sessions[i].name; i++)
        if ((uint32_t) atoi(f->sessions[i].name) == id && !f->ended[i]) {
            f->ended[i] = true;
            return sd_bus_emit_signal(sd_bus_message_get_bus(call), path,
                                      "org.freedesktop.DBus.Properties", "PropertiesChanged",
                                      "sa{sv}as", VGPU_INTERFACE_SESSION, 1, "State", "s", "ending",
                                      0);
        }
    return sd_bus_error_setf(error, VGPU_BUS_ERROR_NO_SUCH_SESSION, "There is no session %u.", id);
}

static int append_objects(const Fake *f, sd_bus_message *m, const FakeObject *objects,
                          const char *prefix, const char *interface, const FakeProperty *texts)
{
    int r = 0;

    for (const FakeObject *o = objects; o->name && r >= 0; o++) {
        char *path = NULL;

        r = sd_bus_path_encode(prefix, o->name, &path);
        if (r >= 0)
            r = sd_bus_message_open_container(m, 'e', "oa{sa{sv}}");
        if (r >= 0)
            r = sd_bus_message_append(m, "o", path);
        if (r >= 0)
            r = sd_bus_message_open_container(m, 'a', "{sa{sv}}");
        if (r >= 0)
            r = sd_bus_message_open_container(m, 'e', "sa{sv}");
        if (r >= 0)
            r = sd_bus_message_append(m, "s", interface);
        if (r >= 0)
            r = append_properties(f, m, o, texts);
        for (unsigned i = 0; i < 3 && r >= 0; i++)
            r = sd_bus_message_close_container(m);
        free(path);
    }
    return r;
}

static int append_managed(const Fake *f, sd_bus_message *m)
{
    int r = sd_bus_message_open_container(m, 'a', "{oa{sa{sv}}}");

    if (r >= 0)
        r = append_objects(f, m, f->vms, VGPU_OBJECT_VM, VGPU_INTERFACE_VM, vm_texts);
    if (r >= 0)
        r = append_objects(f, m, f->pools, VGPU_OBJECT_POOL, VGPU_INTERFACE_POOL, pool_texts);
    return r < 0 ? r : sd_bus_message_close_container(m);
}

/* Appends the path of the VM that the call names. */
static int append_path(const Fake *f, sd_bus_message *call, sd_bus_message *m)
{
    const char *name;
    char *path = NULL;
    int r = sd_bus_message_read(call, "s", &name);

    (void) f;

    if (r >= 0)
        r = sd_bus_path_encode(VGPU_OBJECT_VM, name, &path);
    if (r >= 0)
        r = sd_bus_message_append(m, "o", path);
    free(path);
    return r;
}

/* Appends all properties of the VM that the call goes to. */
static int append_vm(const Fake *f, sd_bus_message *call, sd_bus_message *m)
{
    char *name = NULL;
    int r = sd_bus_path_decode(sd_bus_message_get_path(call), VGPU_OBJECT_VM, &name);

    if (r <= 0)
        return -ENXIO;
    for (const FakeObject *o = f->vms; o->name; o++)
        if (strcmp(o->name, name) == 0)
            r = append_properties(f, m, o, vm_texts);
    free(name);
    return r;
}

static int append_property(sd_bus_message *call, sd_bus_message *m)
{
    const char *interface, *property;
    int r = sd_bus_message_read(call, "ss", &interface, &property);

    if (r < 0)
        return r;
    return strcmp(property, "Version") == 0 ? sd_bus_message_append(m, "v", "s", "0.0.1")
                                            : sd_bus_message_append(m, "v", "u", 0);
}

static int fake_on_call(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    Fake *f = userdata;
    sd_bus_message *m = NULL;
    int r = sd_bus_message_new_method_return(call, &m);

    if (r < 0)
        return r;
    if (sd_bus_message_is_method_call(call, NULL, "GetManagedObjects") > 0)
        r = append_managed(f, m);
    else if (sd_bus_message_is_method_call(call, NULL, "GetVM") > 0)
        r = append_path(f, call, m);
    else if (sd_bus_message_is_method_call(call, NULL, "ListSessions") > 0)
        r = f->sessions ? append_sessions(f, m)
                        : sd_bus_error_set(error, SD_BUS_ERROR_UNKNOWN_METHOD, "Unknown method.");
    else if (sd_bus_message_is_method_call(call, NULL, "EndSession") > 0)
        r = end_session(f, call, error);
    else if (sd_bus_message_is_method_call(call, NULL, "GetAll") > 0)
        r = strncmp(sd_bus_message_get_path(call), VGPU_OBJECT_SESSION "/",
                    strlen(VGPU_OBJECT_SESSION "/")) == 0
                ? append_session(f, call, m, error)
                : append_vm(f, call, m);
    else if (sd_bus_message_is_method_call(call, NULL, "Get") > 0)
        r = append_property(call, m);
    else if (sd_bus_message_is_method_call(call, NULL, "GetHistograms") > 0)
        r = sd_bus_message_append(m, "a(tt)a(tt)", 0, 0);
    else
        r = -ENOSYS;
    if (r >= 0)
        r = sd_bus_send(NULL, m, NULL);
    sd_bus_message_unref(m);
    return r < 0 ? r : 1;
}

static void serve(Fake *f, int ready)
{
    sd_bus *bus = NULL;

    f->started = now_usec();
    if (sd_bus_open_system(&bus) < 0 ||
        sd_bus_add_fallback(bus, NULL, VGPU_OBJECT_MANAGER, fake_on_call, f) < 0 ||
        sd_bus_request_name(bus, VGPU_BUS_NAME, 0) < 0)
        _exit(EXIT_FAILURE);
    if (write(ready, "", 1) != 1)
        _exit(EXIT_FAILURE);

    for (;;) {
        int r = sd_bus_process(bus, NULL);

        if (r < 0 || (r == 0 && sd_bus_wait(bus, UINT64_MAX) < 0))
            _exit(EXIT_FAILURE);
    }
}

void fake_vms_start(FakeVMs *m, const FakeObject *vms, const FakeObject *pools)
{
    Fake fake = {.vms = vms, .pools = pools, .sessions = m->sessions};
    int ready[2];
    char byte;

    if (pipe(ready) < 0)
        abort();
    m->pid = fork();
    if (m->pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(&fake, ready[1]);
    }
    close(ready[1]);
    if (m->pid < 0 || read(ready[0], &byte, 1) != 1)
        abort();
    close(ready[0]);
}

void fake_vms_stop(FakeVMs *m)
{
    (void) kill(m->pid, SIGKILL);
    (void) waitpid(m->pid, NULL, 0);
}

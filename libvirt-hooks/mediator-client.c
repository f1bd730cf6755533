/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-bus.h>

#include "cleanup-bus.h"
#include "clock.h"
#include "mediator-client.h"
#include "names.h"
#include "vgpu-protocol.h"

/* Errors of this kind are the mediator's own answer; all others come from the bus. */
#define MEDIATOR_ERROR_PREFIX VGPU_BUS_NAME ".Error."

#define RETRY_USEC 100000

/* How often the bus's socket may be found missing */
#define ABSENT_MAX 10u

struct MediatorClient {
    sd_bus *bus;
    uint64_t deadline_usec;
    char *error; /* of the last call that failed */
};

static uint64_t time_left(const MediatorClient *c)
{
    uint64_t usec = now_usec();

    return usec < c->deadline_usec ? c->deadline_usec - usec : 0;
}

/* While the bus is started anew, nobody listens for a moment, and for a shorter one its socket is
 * away. Where it stays away there is no bus. */
static int mediator_client_connect(MediatorClient *c)
{
    unsigned n_absent = 0;
    int r;

    while (((r = sd_bus_open_system(&c->bus)) == -ECONNREFUSED ||
            (r == -ENOENT && n_absent++ < ABSENT_MAX)) &&
           time_left(c) > RETRY_USEC)
        (void) usleep(RETRY_USEC);
    return r;
}

int mediator_client_new(uint64_t deadline_usec, MediatorClient **ret)
{
    MediatorClient *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->deadline_usec = deadline_usec;
    r = mediator_client_connect(c);
    if (r < 0) {
        mediator_client_free(c);
        return r;
    }

    *ret = c;
    return 0;
}

MediatorClient *mediator_client_free(MediatorClient *c)
{
    if (c) {
        /* No flush: it would wait while the bus does not read. */
        sd_bus_close_unref(c->bus);
        free(c->error);
    }
    free(c);
    return NULL;
}

/* ---- One call -------------------------------------------------------------------------- */

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    sd_bus_message **reply = userdata;

    (void) error;
    *reply = sd_bus_message_ref(m);
    return 0;
}

/*
 * sd_bus_call() has a timeout, but it starts when the bus has authenticated us: with a bus
 * that is stopped, the call would wait much longer. Here the deadline bounds every wait.
 */
static int mediator_client_call(MediatorClient *c, sd_bus_message *m, sd_bus_message **ret_reply)
{
    CLEANUP_MESSAGE sd_bus_message *reply = NULL;
    int r;

    r = sd_bus_call_async(c->bus, NULL, m, on_reply, &reply, time_left(c));
    if (r < 0)
        return r;

    while (!reply) {
        r = sd_bus_process(c->bus, NULL);
        if (r < 0)
            return r;
        if (r > 0)
            continue;
        if (time_left(c) == 0)
            return -ETIMEDOUT;
        r = sd_bus_wait(c->bus, time_left(c));
        if (r < 0 && r != -EINTR)
            return r;
    }

    *ret_reply = TAKE_PTR(reply);
    return 0;
}

static int mediator_client_fail(MediatorClient *c, int r, const char *message)
{
    free(c->error);
    c->error = strdup(message);
    return c->error ? r : -ENOMEM;
}

const char *mediator_client_error(const MediatorClient *c)
{
    return c->error ? c->error : "unknown";
}

/* Nobody has answered. Says whom the hook has waited for. */
static int mediator_client_fail_call(MediatorClient *c, int r)
{
    if (r != -ETIMEDOUT)
        return mediator_client_fail(c, r, strerror(-r));
    return mediator_client_fail(c, r,
                                sd_bus_is_ready(c->bus) > 0 ? "no answer from the mediator in time"
                                                            : "no answer from the bus in time");
}

/* Calls, and tells three kinds of answers apart: success, the mediator's refusal, and trouble. */
static int mediator_client_ask(MediatorClient *c, sd_bus_message *m, sd_bus_message **ret_reply)
{
    CLEANUP_MESSAGE sd_bus_message *reply = NULL;
    const sd_bus_error *error;
    const char *message;
    int r;

    r = mediator_client_call(c, m, &reply);
    if (r < 0)
        return mediator_client_fail_call(c, r);

    error = sd_bus_message_get_error(reply);
    if (!error) {
        *ret_reply = TAKE_PTR(reply);
        return 0;
    }
    message = error->message ? error->message : error->name;
    if (strncmp(error->name, MEDIATOR_ERROR_PREFIX, strlen(MEDIATOR_ERROR_PREFIX)) == 0)
        return mediator_client_fail(c, MEDIATOR_REFUSED, message);
    r = sd_bus_error_get_errno(error);
    return mediator_client_fail(c, r > 0 ? -r : -EIO, message);
}

static int mediator_client_new_call(MediatorClient *c, const char *path, const char *interface,
                                    const char *member, sd_bus_message **ret)
{
    return sd_bus_message_new_method_call(c->bus, ret, VGPU_BUS_NAME, path, interface, member);
}

/* ---- The methods ----------------------------------------------------------------------- */

/* The limits that the element has, and the rest that RegisterVM takes by name. */
static int append_options(sd_bus_message *m, const MediatorVM *vm)
{
    const VMSettings *settings = &vm->device.settings;
    int r;

    r = sd_bus_message_open_container(m, 'a', "{sv}");
    for (unsigned i = 0; i < VM_N_SETTINGS && r >= 0; i++) {
        const VMSetting *s = &vm_settings[i];

        if (!(s->flags & VM_SETTING_LIMIT) || !(vm->device.given & VM_SETTING_BIT(i)))
            continue;
        if (s->kind == VM_SETTING_IS_BYTES)
            r = sd_bus_message_append(m, "{sv}", s->name, "t", vm_setting_get(s, settings));
        else
            r = sd_bus_message_append(m, "{sv}", s->name, "u",
                                      (uint32_t) vm_setting_get(s, settings));
    }
    if (r >= 0 && vm->vm_id)
        r = sd_bus_message_append(m, "{sv}", "VMID", "u", *vm->vm_id);
    if (r >= 0)
        r = sd_bus_message_append(m, "{sv}{sv}", "WindowSize", "t", vm->window_size,
                                  "RequireMachine", "b", vm->needs_machine);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    return r;
}

int mediator_client_register(MediatorClient *c, const char *name, const char *uuid,
                             const MediatorVM *vm, uint32_t *ret_vm_id)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL, *reply = NULL;
    const VMSettings *settings = &vm->device.settings;
    char pool[VM_SETTING_TEXT_SIZE], priority[VM_SETTING_TEXT_SIZE];
    int r;

    assert(vgpu_pool_is_valid((unsigned char) settings->pool));

    r = mediator_client_new_call(c, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "RegisterVM", &m);
    if (r >= 0)
        r = sd_bus_message_append(
            m, "ssss", name, uuid, vm_setting_print(&vm_settings[VM_SETTING_POOL], settings, pool),
            vm_setting_print(&vm_settings[VM_SETTING_PRIORITY], settings, priority));
    if (r >= 0)
        r = append_options(m, vm);
    if (r < 0)
        return mediator_client_fail(c, r, strerror(-r));

    r = mediator_client_ask(c, m, &reply);
    if (r != 0)
        return r;
    r = sd_bus_message_read(reply, "uo", ret_vm_id, NULL);
    return r < 0 ? mediator_client_fail(c, r, "its answer makes no sense") : 0;
}

/* Returns as mediator_client_ask() does; the path is in the reply. */
static int mediator_client_get_vm(MediatorClient *c, const char *name, sd_bus_message **ret_reply,
                                  const char **ret_path)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL;
    int r;

    r = mediator_client_new_call(c, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "GetVM", &m);
    if (r >= 0)
        r = sd_bus_message_append(m, "s", name);
    if (r < 0)
        return mediator_client_fail(c, r, strerror(-r));

    r = mediator_client_ask(c, m, ret_reply);
    if (r != 0)
        return r;
    r = sd_bus_message_read(*ret_reply, "o", ret_path);
    return r < 0 ? mediator_client_fail(c, r, "its answer makes no sense") : 0;
}

/* The same for the VM's UUID. */
static int mediator_client_get_uuid(MediatorClient *c, const char *path, sd_bus_message **ret_reply,
                                    const char **ret_uuid)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL;
    int r;

    r = mediator_client_new_call(c, path, "org.freedesktop.DBus.Properties", "Get", &m);
    if (r >= 0)
        r = sd_bus_message_append(m, "ss", VGPU_INTERFACE_VM, "UUID");
    if (r < 0)
        return mediator_client_fail(c, r, strerror(-r));

    r = mediator_client_ask(c, m, ret_reply);
    if (r != 0)
        return r;
    r = sd_bus_message_read(*ret_reply, "v", "s", ret_uuid);
    return r < 0 ? mediator_client_fail(c, r, "its answer makes no sense") : 0;
}

int mediator_client_has(MediatorClient *c, const char *name, const char *uuid, bool *ret)
{
    CLEANUP_MESSAGE sd_bus_message *vm = NULL, *property = NULL;
    const char *path, *known = "";
    int r;

    r = mediator_client_get_vm(c, name, &vm, &path);
    if (r == 0)
        r = mediator_client_get_uuid(c, path, &property, &known);
    if (r < 0)
        return r;

    *ret = r == 0 && strcasecmp(known, uuid) == 0;
    return 0;
}

int mediator_client_unregister(MediatorClient *c, const char *name)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL, *reply = NULL;
    int r;

    r = mediator_client_new_call(c, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "UnregisterVM",
                                 &m);
    if (r >= 0)
        r = sd_bus_message_append(m, "s", name);
    if (r < 0)
        return mediator_client_fail(c, r, strerror(-r));
    return mediator_client_ask(c, m, &reply);
}

int mediator_client_set_started(MediatorClient *c, const char *name, pid_t pid, const char *problem)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL, *reply = NULL;
    int r;

    r = mediator_client_new_call(c, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "SetVMStarted",
                                 &m);
    if (r >= 0)
        r = sd_bus_message_append(m, "s", name);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "{sv}");
    if (r >= 0 && pid > 0)
        r = sd_bus_message_append(m, "{sv}", "Leader", "u", (uint32_t) pid);
    if (r >= 0)
        r = sd_bus_message_append(m, "{sv}", "DeviceProblem", "s", problem);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    if (r < 0)
        return mediator_client_fail(c, r, strerror(-r));
    return mediator_client_ask(c, m, &reply);
}

/* ---- Others on the bus ----------------------------------------------------------------- */

int mediator_client_has_machined(MediatorClient *c, bool *ret)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL, *reply = NULL;
    const char *name;
    bool found = false;
    int r;

    r = sd_bus_message_new_method_call(c->bus, &m, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                       "org.freedesktop.DBus", "ListActivatableNames");
    if (r < 0)
        return mediator_client_fail(c, r, strerror(-r));
    r = mediator_client_ask(c, m, &reply);
    if (r < 0)
        return r;

    r = sd_bus_message_enter_container(reply, 'a', "s");
    while (r >= 0 && (r = sd_bus_message_read(reply, "s", &name)) > 0)
        found = found || strcmp(name, "org.freedesktop.machine1") == 0;
    if (r < 0)
        return mediator_client_fail(c, r, "the bus's answer makes no sense");

    *ret = found;
    return 0;
}

int mediator_client_keep_slot(MediatorClient *c, const char *uuid)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL, *reply = NULL;
    char unit[sizeof("vgpu-keep-slot@.service") + UUID_TEXT_SIZE];
    int r;

    snprintf(unit, sizeof(unit), "vgpu-keep-slot@%s.service", uuid);
    r = sd_bus_message_new_method_call(c->bus, &m, "org.freedesktop.systemd1",
                                       "/org/freedesktop/systemd1",
                                       "org.freedesktop.systemd1.Manager", "StartUnit");
    if (r >= 0)
        r = sd_bus_message_append(m, "ss", unit, "replace");
    if (r < 0)
        return mediator_client_fail(c, r, strerror(-r));
    return mediator_client_ask(c, m, &reply);
}

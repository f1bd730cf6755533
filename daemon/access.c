/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access.h"
#include "names.h"

/* Calls that wait for a verdict at once; more are refused. */
#define ACCESSES_MAX 256

/* An administrator may have to type a password. */
#define POLKIT_TIMEOUT_USEC UINT64_C(120000000)

static const struct {
    const char *interface;
    const char *member;
    const char *action;
} table[] = {
    {VGPU_INTERFACE_MANAGER, "RegisterVM", VGPU_ACTION_REGISTER_VM},
    {VGPU_INTERFACE_MANAGER, "UnregisterVM", VGPU_ACTION_REGISTER_VM},
    {VGPU_INTERFACE_MANAGER, "SetVMStarted", VGPU_ACTION_REGISTER_VM},
    {VGPU_INTERFACE_MANAGER, "SetVMPriority", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_MANAGER, "SetVMPool", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_MANAGER, "SetVMLimits", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_MANAGER, "ConfigureVM", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_MANAGER, "RevertVM", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_MANAGER, "PauseVM", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_MANAGER, "ResumeVM", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_MANAGER, "QuarantineVM", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_MANAGER, "ReleaseVM", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_MANAGER, "Reload", VGPU_ACTION_RELOAD},
    {VGPU_INTERFACE_MANAGER, "ResetStatistics", VGPU_ACTION_MANAGE_POOLS},

    {VGPU_INTERFACE_VM, "SetPriority", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_VM, "SetPool", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_VM, "SetLimits", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_VM, "Configure", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_VM, "Revert", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_VM, "Pause", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_VM, "Resume", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_VM, "Quarantine", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_VM, "Release", VGPU_ACTION_MANAGE_VMS},
    {VGPU_INTERFACE_VM, "Unregister", VGPU_ACTION_REGISTER_VM},
    {VGPU_INTERFACE_VM, "ResetStatistics", VGPU_ACTION_MANAGE_VMS},

    {VGPU_INTERFACE_POOL, "Pause", VGPU_ACTION_MANAGE_POOLS},
    {VGPU_INTERFACE_POOL, "Resume", VGPU_ACTION_MANAGE_POOLS},
    {VGPU_INTERFACE_POOL, "ResetStatistics", VGPU_ACTION_MANAGE_POOLS},
};

typedef enum Verdict {
    VERDICT_PENDING,
    VERDICT_ALLOWED,
    VERDICT_DENIED,
    VERDICT_CHALLENGE, /* somebody would have to authenticate, and the call forbids to ask */
} Verdict;

struct Access {
    TAILQ_ENTRY(Access) link;
    AccessQueue *queue;
    sd_bus_message *call;
    sd_bus_slot *slot;
    const char *action;
    char *vm;
    Verdict verdict;
};

const char *access_action(const char *interface, const char *member)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].interface, interface) == 0 && strcmp(table[i].member, member) == 0)
            return table[i].action;
    return NULL;
}

static void access_free(Access *a)
{
    TAILQ_REMOVE(&a->queue->list, a, link);
    a->queue->n--;
    sd_bus_slot_unref(a->slot);
    sd_bus_message_unref(a->call);
    free(a->vm);
    free(a);
}

void access_queue_init(AccessQueue *queue)
{
    TAILQ_INIT(&queue->list);
}

void access_queue_clear(AccessQueue *queue)
{
    while (!TAILQ_EMPTY(&queue->list))
        access_free(TAILQ_FIRST(&queue->list));
}

/* Lets the handler run again, which finds the verdict. */
static int access_conclude(Access *a, Verdict verdict)
{
    a->verdict = verdict;
    a->slot = sd_bus_slot_unref(a->slot);
    if (sd_bus_message_rewind(a->call, true) < 0 ||
        sd_bus_enqueue_for_read(sd_bus_message_get_bus(a->call), a->call) < 0)
        access_free(a);
    return 0;
}

static int access_on_polkit(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    Access *a = userdata;
    int authorized = 0, challenge = 0;

    (void) error;

    /* Without polkit there is nobody to say yes. */
    if (sd_bus_message_is_method_error(reply, NULL) ||
        sd_bus_message_enter_container(reply, 'r', "bba{ss}") < 0 ||
        sd_bus_message_read(reply, "bb", &authorized, &challenge) < 0)
        return access_conclude(a, VERDICT_DENIED);

    return access_conclude(a, authorized  ? VERDICT_ALLOWED
                              : challenge ? VERDICT_CHALLENGE
                                          : VERDICT_DENIED);
}

static int access_append_details(sd_bus_message *m, const Access *a)
{
    int r = sd_bus_message_open_container(m, 'a', "{ss}");

    if (r >= 0)
        r = sd_bus_message_append(m, "{ss}", "method", sd_bus_message_get_member(a->call));
    if (r >= 0 && a->vm)
        r = sd_bus_message_append(m, "{ss}", "vm", a->vm);
    return r < 0 ? r : sd_bus_message_close_container(m);
}

static int access_ask_polkit(Access *a)
{
    sd_bus *bus = sd_bus_message_get_bus(a->call);
    bool interactive = sd_bus_message_get_allow_interactive_authorization(a->call) > 0;
    sd_bus_message *m = NULL;
    int r;

    r = sd_bus_message_new_method_call(bus, &m, VGPU_POLKIT_NAME,
                                       "/org/freedesktop/PolicyKit1/Authority",
                                       VGPU_POLKIT_NAME ".Authority", "CheckAuthorization");
    if (r >= 0)
        r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s",
                                  sd_bus_message_get_sender(a->call), a->action);
    if (r >= 0)
        r = access_append_details(m, a);
    if (r >= 0)
        r = sd_bus_message_append(m, "us", (uint32_t) interactive, "");
    a->slot = sd_bus_slot_unref(a->slot);
    if (r >= 0)
        r = sd_bus_call_async(bus, &a->slot, m, access_on_polkit, a, POLKIT_TIMEOUT_USEC);

    sd_bus_message_unref(m);
    return r;
}

static int access_on_user(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    Access *a = userdata;
    uint32_t uid;

    (void) error;

    /* A caller that is gone needs no answer, but the call must not stay. */
    if (sd_bus_message_is_method_error(reply, NULL) || sd_bus_message_read(reply, "u", &uid) < 0)
        return access_conclude(a, VERDICT_DENIED);
    if (uid == 0 || uid == getuid())
        return access_conclude(a, VERDICT_ALLOWED);

    return access_ask_polkit(a) < 0 ? access_conclude(a, VERDICT_DENIED) : 0;
}

static int access_ask_user(Access *a)
{
    return sd_bus_call_method_async(sd_bus_message_get_bus(a->call), &a->slot,
                                    "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                    "org.freedesktop.DBus", "GetConnectionUnixUser", access_on_user,
                                    a, "s", sd_bus_message_get_sender(a->call));
}

/* A call whose handler fails before it asks again leaves its verdict behind. Where nothing waits
 * to be read, no such call will ask any more. */
static void access_forget_stale(AccessQueue *queue, sd_bus *bus)
{
    uint64_t n_queued = 0;
    Access *a, *next;

    if (sd_bus_get_n_queued_read(bus, &n_queued) < 0 || n_queued > 0)
        return;
    for (a = TAILQ_FIRST(&queue->list); a; a = next) {
        next = TAILQ_NEXT(a, link);
        if (a->verdict != VERDICT_PENDING)
            access_free(a);
    }
}

static int access_start(AccessQueue *queue, sd_bus_message *call, const char *action,
                        const char *vm, sd_bus_error *error)
{
    Access *a;
    int r;

    access_forget_stale(queue, sd_bus_message_get_bus(call));
    if (queue->n >= ACCESSES_MAX)
        return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many calls wait for authorization.");

    a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->queue = queue;
    a->call = sd_bus_message_ref(call);
    a->action = action;
    a->vm = vm ? strdup(vm) : NULL;
    TAILQ_INSERT_TAIL(&queue->list, a, link);
    queue->n++;

    r = vm && !a->vm ? -ENOMEM : access_ask_user(a);
    if (r < 0) {
        access_free(a);
        return r;
    }
    return 0;
}

static int access_deliver(Access *a, sd_bus_error *error)
{
    Verdict verdict = a->verdict;
    const char *action = a->action;

    access_free(a);
    if (verdict == VERDICT_ALLOWED)
        return 1;
    if (verdict == VERDICT_CHALLENGE)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                 "Interactive authentication required for %s.", action);
    return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED, "Not authorized for %s.", action);
}

int access_check(AccessQueue *queue, sd_bus_message *call, const char *vm, sd_bus_error *error)
{
    const char *member = sd_bus_message_get_member(call);
    const char *action = access_action(sd_bus_message_get_interface(call), member);
    Access *a;

    TAILQ_FOREACH(a, &queue->list, link)
    {
        if (a->call == call)
            return a->verdict == VERDICT_PENDING ? 0 : access_deliver(a, error);
    }

    if (!action)
        return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED, "%s may not be called.",
                                 member);
    return access_start(queue, call, action, vm, error);
}

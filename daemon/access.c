/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access.h"
#include "names.h"

/* Calls of one connection whose user is not known yet. The bus answers that at once, so that more
 * than a few are rare, and each of these has its place however many others there are: the bus gives
 * no user more than 256 connections. */
#define UNKNOWN_PER_SENDER_MAX 32
#define UNKNOWN_MAX (256 * UNKNOWN_PER_SENDER_MAX)

/* Calls that polkit has to decide on, of one connection, of one user, and of all. The bus takes
 * 128 calls of ours that wait for a reply. */
#define ASKED_PER_SENDER_MAX 4
#define ASKED_PER_USER_MAX 4
#define ASKED_MAX 64

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
    {VGPU_INTERFACE_MANAGER, "EndSession", VGPU_ACTION_MANAGE_VMS},
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

    {VGPU_INTERFACE_SESSION, "End", VGPU_ACTION_MANAGE_VMS},
};

typedef enum Verdict {
    VERDICT_DENIED,
    VERDICT_ALLOWED,
    VERDICT_CHALLENGE, /* somebody would have to authenticate, and the call forbids to ask */
    VERDICT_FAILED,    /* our own trouble: nobody could be asked */
    VERDICT_TOO_MANY,  /* polkit has not been asked: others of the caller's calls wait already */
} Verdict;

/* How far a call has come. */
typedef enum Stage {
    STAGE_UNKNOWN, /* the bus has been asked whose call it is */
    STAGE_ASKED,   /* polkit has been asked */
    STAGE_DECIDED,
} Stage;

struct Access {
    TAILQ_ENTRY(Access) link;
    AccessQueue *queue;
    sd_bus_message *call;
    sd_bus_slot *slot;
    const char *action;
    char *vm;
    AccessCaller caller;
    Stage stage;
    Verdict verdict;
    int error; /* with VERDICT_FAILED */
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
    a->stage = STAGE_DECIDED;
    a->verdict = verdict;
    a->slot = sd_bus_slot_unref(a->slot);
    if (sd_bus_message_rewind(a->call, true) < 0 ||
        sd_bus_enqueue_for_read(sd_bus_message_get_bus(a->call), a->call) < 0)
        access_free(a);
    return 0;
}

static int access_fail(Access *a, int error)
{
    a->error = error;
    return access_conclude(a, VERDICT_FAILED);
}

/* ---- polkit ----------------------------------------------------------------------------- */

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
    bool interactive = sd_bus_message_get_allow_interactive_authorization(a->call) > 0;
    sd_bus *questions = a->queue->questions;
    sd_bus_message *m = NULL;
    int r;

    r = sd_bus_message_new_method_call(questions, &m, VGPU_POLKIT_NAME,
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
        r = sd_bus_call_async(questions, &a->slot, m, access_on_polkit, a, POLKIT_TIMEOUT_USEC);

    sd_bus_message_unref(m);
    return r;
}

/* Is there a place for one more call of this caller? */
static bool access_has_place(const Access *wanted)
{
    const char *sender = sd_bus_message_get_sender(wanted->call);
    unsigned of_sender = 0, of_user = 0, n = 0;
    const Access *a;

    TAILQ_FOREACH(a, &wanted->queue->list, link)
    {
        if (a->stage != STAGE_ASKED)
            continue;
        n++;
        of_user += a->caller.uid == wanted->caller.uid;
        of_sender += strcmp(sd_bus_message_get_sender(a->call), sender) == 0;
    }
    return n < ASKED_MAX && of_user < ASKED_PER_USER_MAX && of_sender < ASKED_PER_SENDER_MAX;
}

/* ---- Whose call it is ------------------------------------------------------------------- */

/* Reads a{sv}, and takes what it knows. */
static int access_read_credentials(sd_bus_message *m, AccessCaller *ret)
{
    AccessCaller caller = {.uid = (uid_t) -1};
    const char *key;
    uint32_t value;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "{sv}");
    while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        r = sd_bus_message_read(m, "s", &key);
        if (r >= 0 && strcmp(key, "UnixUserID") == 0) {
            r = sd_bus_message_read(m, "v", "u", &value);
            caller.uid = value;
        } else if (r >= 0 && strcmp(key, "ProcessID") == 0) {
            r = sd_bus_message_read(m, "v", "u", &value);
            caller.pid = (pid_t) value;
        } else if (r >= 0) {
            r = sd_bus_message_skip(m, "v");
        }
        if (r >= 0)
            r = sd_bus_message_exit_container(m);
    }
    if (r < 0)
        return r;
    if (caller.uid == (uid_t) -1)
        return -ENODATA;

    *ret = caller;
    return 0;
}

static int access_on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    Access *a = userdata;
    int r;

    (void) error;

    /* A caller that is gone needs no answer, but the call must not stay. */
    if (sd_bus_message_is_method_error(reply, NULL))
        return access_conclude(a, VERDICT_DENIED);
    r = access_read_credentials(reply, &a->caller);
    if (r < 0)
        return access_fail(a, r);
    if (a->caller.uid == 0 || a->caller.uid == getuid())
        return access_conclude(a, VERDICT_ALLOWED);
    if (!access_has_place(a))
        return access_conclude(a, VERDICT_TOO_MANY);

    a->stage = STAGE_ASKED;
    r = access_ask_polkit(a);
    return r < 0 ? access_fail(a, r) : 0;
}

static int access_ask_credentials(Access *a)
{
    return sd_bus_call_method_async(a->queue->questions, &a->slot, "org.freedesktop.DBus",
                                    "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                    "GetConnectionCredentials", access_on_credentials, a, "s",
                                    sd_bus_message_get_sender(a->call));
}

/* ---- A call ----------------------------------------------------------------------------- */

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
        if (a->stage == STAGE_DECIDED)
            access_free(a);
    }
}

static bool access_queue_is_full(const AccessQueue *queue, const char *sender)
{
    unsigned of_sender = 0, n = 0;
    const Access *a;

    TAILQ_FOREACH(a, &queue->list, link)
    {
        if (a->stage == STAGE_ASKED)
            continue;
        n++;
        of_sender += strcmp(sd_bus_message_get_sender(a->call), sender) == 0;
    }
    return n >= UNKNOWN_MAX || of_sender >= UNKNOWN_PER_SENDER_MAX;
}

static int access_too_many(sd_bus_error *error)
{
    return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                            "Too many calls of yours wait for authorization; answer or cancel "
                            "those first.");
}

static int access_start(AccessQueue *queue, sd_bus_message *call, const char *action,
                        const char *vm, sd_bus_error *error)
{
    Access *a;
    int r;

    access_forget_stale(queue, sd_bus_message_get_bus(call));
    if (access_queue_is_full(queue, sd_bus_message_get_sender(call)))
        return access_too_many(error);

    a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->queue = queue;
    a->call = sd_bus_message_ref(call);
    a->action = action;
    a->vm = vm ? strdup(vm) : NULL;
    TAILQ_INSERT_TAIL(&queue->list, a, link);

    r = vm && !a->vm ? -ENOMEM : access_ask_credentials(a);
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
    int failed = a->error;

    a->queue->caller = a->caller;
    access_free(a);
    switch (verdict) {
    case VERDICT_ALLOWED:
        return 1;
    case VERDICT_FAILED:
        return failed;
    case VERDICT_TOO_MANY:
        return access_too_many(error);
    case VERDICT_CHALLENGE:
        return sd_bus_error_setf(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                 "Interactive authentication required for %s.", action);
    case VERDICT_DENIED:
        break;
    }
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
            return a->stage == STAGE_DECIDED ? access_deliver(a, error) : 0;
    }

    if (!action)
        return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED, "%s may not be called.",
                                 member);
    return access_start(queue, call, action, vm, error);
}

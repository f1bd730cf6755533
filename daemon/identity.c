/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "identity.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "names.h"

/* A bus lets a connection have some more than a hundred calls unanswered. */
#define QUESTIONS_MAX 32

#define ANSWER_TIMEOUT_USEC UINT64_C(10000000)

typedef enum IdentityCheckState {
    IDENTITY_CHECK_WAITING,
    IDENTITY_CHECK_ASKED,
    IDENTITY_CHECK_OVER,
} IdentityCheckState;

struct IdentityCheck {
    TAILQ_ENTRY(IdentityCheck) link; /* unless it is over */
    Identity *identity;
    IdentityCheckState state;
    sd_bus_slot *slot; /* while it is asked */
    pid_t pid;         /* 0: is there a machine with this UUID, whatever process is in it? */
    uint8_t uuid[16];
    VMPlaceKind asked_place;  /* NONE: it is about a UUID */
    VMPlace place;            /* the answer */
    sd_bus_message *machines; /* of that: the answer, read up to the machine that is asked about */
    IdentityHandler handler;  /* NULL: freed while it is asked, and there until the answer */
    void *userdata;
};

static void identity_check_end(IdentityCheck *check)
{
    Identity *identity = check->identity;

    if (check->state == IDENTITY_CHECK_WAITING) {
        TAILQ_REMOVE(&identity->waiting, check, link);
    } else if (check->state == IDENTITY_CHECK_ASKED) {
        TAILQ_REMOVE(&identity->asked, check, link);
        identity->n_asked--;
    }
    check->state = IDENTITY_CHECK_OVER;
    check->slot = sd_bus_slot_unref(check->slot);
    check->machines = sd_bus_message_unref(check->machines);
}

/* The bus counts a question until it is answered, so it must count here too. */
IdentityCheck *identity_check_free(IdentityCheck *check)
{
    if (!check)
        return NULL;

    if (check->state == IDENTITY_CHECK_ASKED) {
        check->handler = NULL;
        return NULL;
    }
    identity_check_end(check);
    free(check);
    return NULL;
}

/* ---- Answers -------------------------------------------------------------------------------- */

static void identity_ask_waiting(Identity *identity);

static void identity_check_deliver(IdentityCheck *check, IdentityVerdict verdict)
{
    identity_check_end(check);
    if (check->handler)
        check->handler(check->userdata, verdict);
    else
        free(check);
}

static int identity_check_conclude(IdentityCheck *check, IdentityVerdict verdict)
{
    Identity *identity = check->identity;

    identity_check_deliver(check, verdict);
    identity_ask_waiting(identity);
    return 0;
}

static IdentityVerdict identity_read_id(sd_bus_message *reply, const uint8_t uuid[16])
{
    const void *id;
    size_t size;

    if (sd_bus_message_enter_container(reply, 'v', "ay") < 0 ||
        sd_bus_message_read_array(reply, 'y', &id, &size) < 0)
        return IDENTITY_CANNOT_ASK;
    return size == 16 && memcmp(id, uuid, size) == 0 ? IDENTITY_SAME : IDENTITY_OTHER;
}

static int identity_check_on_id(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    IdentityCheck *check = userdata;

    (void) error;

    /* The machine may have ended meanwhile. */
    if (sd_bus_message_is_method_error(reply, NULL))
        return identity_check_conclude(check, IDENTITY_CANNOT_ASK);
    return identity_check_conclude(check, identity_read_id(reply, check->uuid));
}

/* Asks for the UUID of a machine. */
static int identity_check_ask_id(IdentityCheck *check, const char *path,
                                 sd_bus_message_handler_t handler)
{
    check->slot = sd_bus_slot_unref(check->slot);
    return sd_bus_call_method_async(check->identity->bus, &check->slot, VGPU_MACHINED_NAME, path,
                                    "org.freedesktop.DBus.Properties", "Get", handler, check, "ss",
                                    VGPU_MACHINED_NAME ".Machine", "Id");
}

static IdentityVerdict identity_judge_error(const sd_bus_error *e)
{
    static const char *const absent[] = {
        SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
        "org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.systemd1.UnitMasked"};

    if (sd_bus_error_has_name(e, "org.freedesktop.machine1.NoMachineForPID") ||
        sd_bus_error_has_name(e, "org.freedesktop.systemd1.NoUnitForPID"))
        return IDENTITY_NONE;
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        if (sd_bus_error_has_name(e, absent[i]))
            return IDENTITY_NOBODY_TO_ASK;
    return IDENTITY_CANNOT_ASK;
}

static int identity_check_on_machine(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    IdentityCheck *check = userdata;
    const char *path;

    (void) error;

    if (sd_bus_message_is_method_error(reply, NULL))
        return identity_check_conclude(check,
                                       identity_judge_error(sd_bus_message_get_error(reply)));

    if (sd_bus_message_read(reply, "o", &path) < 0 ||
        identity_check_ask_id(check, path, identity_check_on_id) < 0)
        return identity_check_conclude(check, IDENTITY_CANNOT_ASK);
    return 0;
}

/* ---- Where a process is -----------------------------------------------------------------------
 */

static IdentityVerdict identity_read_place(IdentityCheck *check, sd_bus_message *reply)
{
    const char *prefix = check->asked_place == VM_PLACE_UNIT ? VGPU_SYSTEMD_OBJECT "/unit"
                                                             : "/org/freedesktop/machine1/machine";
    CLEANUP_FREE char *name = NULL;
    const char *path;

    if (sd_bus_message_read(reply, "o", &path) < 0 || sd_bus_path_decode(path, prefix, &name) <= 0)
        return IDENTITY_CANNOT_ASK;
    /* One whose name nobody can register is none that anybody looks for. */
    return vm_place_set(&check->place, check->asked_place, name) ? IDENTITY_SAME : IDENTITY_NONE;
}

static int identity_check_on_place(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    IdentityCheck *check = userdata;
    const sd_bus_error *e = sd_bus_message_get_error(reply);

    (void) error;

    return identity_check_conclude(check,
                                   e ? identity_judge_error(e) : identity_read_place(check, reply));
}

static int identity_check_ask_place(IdentityCheck *check)
{
    sd_bus *bus = check->identity->bus;

    if (check->asked_place == VM_PLACE_UNIT)
        return sd_bus_call_method_async(bus, &check->slot, VGPU_SYSTEMD_NAME, VGPU_SYSTEMD_OBJECT,
                                        VGPU_SYSTEMD_NAME ".Manager", "GetUnitByPID",
                                        identity_check_on_place, check, "u", (uint32_t) check->pid);
    return sd_bus_call_method_async(bus, &check->slot, VGPU_MACHINED_NAME,
                                    "/org/freedesktop/machine1", VGPU_MACHINED_NAME ".Manager",
                                    "GetMachineByPID", identity_check_on_place, check, "u",
                                    (uint32_t) check->pid);
}

const VMPlace *identity_check_place(const IdentityCheck *check)
{
    return &check->place;
}

/* ---- Is there a machine? -------------------------------------------------------------------- */

static int identity_search_next(IdentityCheck *check);

static int identity_search_on_id(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    IdentityCheck *check = userdata;
    const sd_bus_error *e = sd_bus_message_get_error(reply);
    IdentityVerdict verdict;

    (void) error;

    /* One that has ended meanwhile is not the one. */
    if (sd_bus_error_has_name(e, SD_BUS_ERROR_UNKNOWN_OBJECT) ||
        sd_bus_error_has_name(e, "org.freedesktop.machine1.NoSuchMachine"))
        return identity_search_next(check);
    verdict = e ? IDENTITY_CANNOT_ASK : identity_read_id(reply, check->uuid);
    return verdict == IDENTITY_OTHER ? identity_search_next(check)
                                     : identity_check_conclude(check, verdict);
}

/* One after the other: a host has up to some hundred machines, and the question is rare. */
static int identity_search_next(IdentityCheck *check)
{
    const char *class, *path;
    int r;

    while ((r = sd_bus_message_read(check->machines, "(ssso)", NULL, &class, NULL, &path)) > 0) {
        if (strcmp(class, "vm") != 0)
            continue;
        r = identity_check_ask_id(check, path, identity_search_on_id);
        if (r >= 0)
            return 0;
        break;
    }
    return identity_check_conclude(check, r < 0 ? IDENTITY_CANNOT_ASK : IDENTITY_NONE);
}

static int identity_search_on_list(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    IdentityCheck *check = userdata;

    (void) error;

    if (sd_bus_message_is_method_error(reply, NULL))
        return identity_check_conclude(check,
                                       identity_judge_error(sd_bus_message_get_error(reply)));
    if (sd_bus_message_enter_container(reply, 'a', "(ssso)") < 0)
        return identity_check_conclude(check, IDENTITY_CANNOT_ASK);
    check->machines = sd_bus_message_ref(reply);
    return identity_search_next(check);
}

/* ---- The bus --------------------------------------------------------------------------------- */

/* What is asked over a connection that is lost gets no answer any more. */
static void identity_disconnect(Identity *identity)
{
    sd_bus *bus = identity->bus;
    IdentityCheck *check;

    identity->bus = NULL;
    while ((check = TAILQ_FIRST(&identity->asked)))
        identity_check_deliver(check, IDENTITY_CANNOT_ASK);
    sd_bus_close_unref(bus);
}

static int identity_on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    (void) message, (void) error;

    identity_disconnect(userdata);
    identity_ask_waiting(userdata);
    return 0;
}

static int identity_connect(Identity *identity)
{
    sd_bus *bus = NULL;
    int r;

    if (identity->bus && sd_bus_is_open(identity->bus) > 0)
        return 0;

    identity_disconnect(identity);
    r = identity->open_bus(&bus);
    if (r < 0)
        return r;
    r = sd_bus_set_method_call_timeout(bus, ANSWER_TIMEOUT_USEC);
    if (r >= 0)
        r = sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                      "org.freedesktop.DBus.Local", "Disconnected",
                                      identity_on_disconnected, NULL, identity);
    if (r >= 0)
        r = sd_bus_attach_event(bus, identity->event, SD_EVENT_PRIORITY_NORMAL);
    if (r < 0) {
        sd_bus_close_unref(bus);
        return r;
    }

    identity->bus = bus;
    return 0;
}

void identity_init(Identity *identity, sd_event *event)
{
    *identity = (Identity){.event = event};
    TAILQ_INIT(&identity->asked);
    TAILQ_INIT(&identity->waiting);
}

void identity_clear(Identity *identity)
{
    IdentityCheck *check;

    while ((check = TAILQ_FIRST(&identity->asked)))
        identity_check_deliver(check, IDENTITY_CANNOT_ASK);
    while ((check = TAILQ_FIRST(&identity->waiting)))
        identity_check_deliver(check, IDENTITY_CANNOT_ASK);
    identity->bus = sd_bus_close_unref(identity->bus);
}

/* ---- Questions --------------------------------------------------------------------------------
 */

static int identity_check_ask(IdentityCheck *check)
{
    Identity *identity = check->identity;
    int r = identity_connect(identity);

    if (r >= 0 && check->asked_place != VM_PLACE_NONE)
        r = identity_check_ask_place(check);
    else if (r >= 0 && check->pid != 0)
        r = sd_bus_call_method_async(identity->bus, &check->slot, VGPU_MACHINED_NAME,
                                     "/org/freedesktop/machine1", VGPU_MACHINED_NAME ".Manager",
                                     "GetMachineByPID", identity_check_on_machine, check, "u",
                                     (uint32_t) check->pid);
    else if (r >= 0)
        r = sd_bus_call_method_async(identity->bus, &check->slot, VGPU_MACHINED_NAME,
                                     "/org/freedesktop/machine1", VGPU_MACHINED_NAME ".Manager",
                                     "ListMachines", identity_search_on_list, check, NULL);
    if (r < 0)
        return r;

    TAILQ_REMOVE(&identity->waiting, check, link);
    TAILQ_INSERT_TAIL(&identity->asked, check, link);
    identity->n_asked++;
    check->state = IDENTITY_CHECK_ASKED;
    return 0;
}

static void identity_ask_waiting(Identity *identity)
{
    IdentityCheck *check;

    while (identity->n_asked < QUESTIONS_MAX && (check = TAILQ_FIRST(&identity->waiting)))
        if (identity_check_ask(check) < 0)
            identity_check_deliver(check, IDENTITY_CANNOT_ASK);
}

/* Takes the check over. */
static int identity_check_begin(Identity *identity, IdentityCheck *check, IdentityCheck **ret)
{
    int r;

    TAILQ_INSERT_TAIL(&identity->waiting, check, link);
    r = identity->n_asked < QUESTIONS_MAX ? identity_check_ask(check) : 0;
    if (r < 0) {
        identity_check_free(check);
        identity_ask_waiting(
            identity); /* the connection may be lost, and with it all that was asked */
        return r;
    }

    *ret = check;
    return 0;
}

static IdentityCheck *identity_check_make(Identity *identity, pid_t pid, IdentityHandler handler,
                                          void *userdata)
{
    IdentityCheck *check = calloc(1, sizeof(*check));

    if (check)
        *check = (IdentityCheck){
            .identity = identity,
            .state = IDENTITY_CHECK_WAITING,
            .pid = pid,
            .handler = handler,
            .userdata = userdata,
        };
    return check;
}

int identity_check_new(Identity *identity, pid_t pid, const uint8_t uuid[16],
                       IdentityHandler handler, void *userdata, IdentityCheck **ret)
{
    IdentityCheck *check = identity_check_make(identity, pid, handler, userdata);

    if (!check)
        return -ENOMEM;
    memcpy(check->uuid, uuid, sizeof(check->uuid));
    return identity_check_begin(identity, check, ret);
}

int identity_place_new(Identity *identity, pid_t pid, VMPlaceKind kind, IdentityHandler handler,
                       void *userdata, IdentityCheck **ret)
{
    IdentityCheck *check = identity_check_make(identity, pid, handler, userdata);

    if (!check)
        return -ENOMEM;
    check->asked_place = kind;
    return identity_check_begin(identity, check, ret);
}

int identity_search_new(Identity *identity, const uint8_t uuid[16], IdentityHandler handler,
                        void *userdata, IdentityCheck **ret)
{
    return identity_check_new(identity, 0, uuid, handler, userdata, ret);
}

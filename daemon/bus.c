/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bus-context.h"
#include "bus-util.h"
#include "cleanup.h"
#include "manager-bus.h"
#include "names.h"
#include "pool-bus.h"
#include "session-bus.h"
#include "status-line.h"
#include "vm-bus.h"
#include "vm-methods.h"

/* The first try after a failure follows at once, and then a few seconds of quick ones: a bus that
 * restarts is there again in a moment, and callers wait for seconds only. */
#define RETRY_QUICK_USEC UINT64_C(100000)
#define RETRY_QUICK_MAX 50
#define RETRY_SLOW_USEC UINT64_C(5000000)
#define RETRY_ACCURACY_USEC UINT64_C(10000)

/* Behind the sockets: a reader of statistics never delays a request. */
#define BUS_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 20)

/* Bytes of the socket's buffer. The kernel doubles it. */
#define WRITE_SIZE (32 * 1024)

/* Before the calls, so that those who may are not behind those of whom it is not known yet. */
#define QUESTIONS_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

/* Bytes of the longest path of an object, and of a text that a call begins with: of names, each up
 * to VM_NAME_MAX, escaped in the path. */
#define PATH_LENGTH_MAX 1024
#define TEXT_MAX 4096

struct Bus {
    BusContext context;
    StatusLine status;
    BusKind kind;
    sd_event *event;
    sd_event_source *retry;
    unsigned n_retries; /* since there was one */
    bool warned;        /* that there is none, said once until there is */
};

/* Without a bus, nobody can ask systemd-machined either. */
static void bus_close(Bus *b)
{
    AccessQueue *access = &b->context.access;

    access_queue_clear(access);
    access->questions = sd_bus_close_unref(access->questions);
    bus_replies_clear(&b->context.replies);
    rivals_clear(&b->context.rivals);
    b->context.signals.bus = NULL;
    b->context.session_signals.bus = NULL;
    b->context.bus = sd_bus_flush_close_unref(b->context.bus);
}

static uint64_t bus_retry_delay(unsigned n_before)
{
    return n_before == 0 ? 0 : n_before <= RETRY_QUICK_MAX ? RETRY_QUICK_USEC : RETRY_SLOW_USEC;
}

static int bus_retry(Bus *b, int reason)
{
    if (!b->warned)
        log_warning("no D-Bus, trying again until there is: %s", strerror(-reason));
    b->warned = true;

    bus_close(b);
    (void) sd_event_source_set_time_relative(b->retry, bus_retry_delay(b->n_retries));
    b->n_retries++;
    return sd_event_source_set_enabled(b->retry, SD_EVENT_ONESHOT);
}

static int bus_on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    (void) message, (void) error;

    return bus_retry(userdata, -ECONNRESET);
}

static int bus_on_name(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    Bus *b = userdata;
    uint32_t outcome = 0;
    int r;

    (void) error;

    if (sd_bus_message_is_method_error(message, NULL)) {
        r = log_errno(-sd_bus_message_get_errno(message), "cannot own %s", VGPU_BUS_NAME);
        return sd_event_exit(b->event, r);
    }

    r = sd_bus_message_read(message, "u", &outcome);
    if (r < 0)
        return bus_retry(b, r);
    /* 1: primary owner, 4: already owner; the rest means that another process is. */
    if (outcome != 1 && outcome != 4) {
        log_error("another process owns %s", VGPU_BUS_NAME);
        return sd_event_exit(b->event, -EEXIST);
    }

    b->warned = false;
    b->n_retries = 0;
    return 0;
}

static int bus_add_objects(Bus *b, sd_bus *bus)
{
    int r = manager_bus_add_objects(&b->context, bus);

    if (r >= 0)
        r = pool_bus_add_objects(&b->context, bus);
    if (r >= 0)
        r = session_bus_add_objects(&b->context, bus);
    return r < 0 ? r : vm_bus_add_objects(&b->context, bus);
}

static int bus_open(Bus *b, int priority, sd_bus **ret)
{
    sd_bus *bus = NULL;
    int r;

    r = b->kind == BUS_USER ? bus_open_user(&bus) : bus_open_system(&bus);
    if (r >= 0)
        r = sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                      "org.freedesktop.DBus.Local", "Disconnected",
                                      bus_on_disconnected, NULL, b);
    if (r >= 0)
        r = sd_bus_attach_event(bus, b->event, priority);
    if (r < 0) {
        sd_bus_close_unref(bus);
        return r;
    }
    *ret = bus;
    return 0;
}

/* A write of all that the socket takes is a copy that requests wait for. Where the size cannot be
 * set, a write is a larger copy. */
static void bus_limit_writes(sd_bus *bus)
{
    int size = WRITE_SIZE;

    (void) setsockopt(sd_bus_get_fd(bus), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

/* Does the call begin with a text that is longer than any that means something? */
static bool has_long_text(sd_bus_message *call)
{
    const char *text;
    char type;
    bool is_long = false;

    while (!is_long && sd_bus_message_peek_type(call, &type, NULL) > 0 &&
           type == SD_BUS_TYPE_STRING && sd_bus_message_read_basic(call, type, &text) > 0)
        is_long = strlen(text) > TEXT_MAX;
    (void) sd_bus_message_rewind(call, true);
    return is_long;
}

/* Stands before all that looks for objects. sd-bus's own work for a path grows with the square of
 * its length, to seconds, and every text would go back to the caller in an error. */
static int bus_on_message(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    const char *path = sd_bus_message_get_path(message);
    uint8_t type;

    (void) userdata;

    if (sd_bus_message_get_type(message, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL)
        return 0;
    if (path && strlen(path) > PATH_LENGTH_MAX)
        return sd_bus_error_set(error, SD_BUS_ERROR_UNKNOWN_OBJECT,
                                "No object has a path of this length.");
    if (has_long_text(message))
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "An argument is too long.");
    return 0;
}

/* Who calls is asked on a connection of its own: there the bus counts no reply that calls of
 * others wait for, and an answer is not behind them. */
static int bus_connect(Bus *b)
{
    sd_bus *bus = NULL;
    int r;

    r = bus_open(b, BUS_PRIORITY, &bus);
    if (r < 0)
        return bus_retry(b, r);
    b->context.bus = bus;
    b->context.signals.bus = bus;
    b->context.session_signals.bus = bus;
    bus_limit_writes(bus);
    r = sd_bus_add_filter(bus, NULL, bus_on_message, b);
    if (r < 0)
        return bus_retry(b, r);
    r = bus_open(b, QUESTIONS_PRIORITY, &b->context.access.questions);
    if (r < 0)
        return bus_retry(b, r);

    r = bus_add_objects(b, bus);
    if (r >= 0)
        r = sd_bus_request_name_async(bus, NULL, VGPU_BUS_NAME, 0, bus_on_name, b);
    return r;
}

static int bus_on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
    Bus *b = userdata;
    int r = bus_connect(b);

    (void) source, (void) usec;

    /* Without memory for it now, there may be some later. */
    return r < 0 ? bus_retry(b, r) : 0;
}

static void bus_on_announce(VM *vm, bool added, void *userdata)
{
    Bus *b = userdata;

    vm_signals_announce(&b->context.signals, vm, added);
    status_line_changed(&b->status);
}

static void bus_on_vm_changed(VM *vm, const char *const *properties, void *userdata)
{
    Bus *b = userdata;

    vm_signals_changed(&b->context.signals, vm, properties);
    status_line_changed(&b->status);
}

static void bus_on_session_announce(Session *s, bool added, void *userdata)
{
    Bus *b = userdata;

    session_signals_announce(&b->context.session_signals, s, added);
}

static void bus_on_session_changed(Session *s, void *userdata)
{
    Bus *b = userdata;

    session_signals_changed(&b->context.session_signals, s);
}

static void bus_on_pool_changed(Pool *p, const char *const *properties, void *userdata)
{
    Bus *b = userdata;

    pool_bus_properties_changed(&b->context, p, properties);
    status_line_changed(&b->status);
}

static void bus_on_reply_done(void *userdata)
{
    Bus *b = userdata;

    vm_signals_reply_done(&b->context.signals);
    session_signals_reply_done(&b->context.session_signals);
}

/* From now on pools and VMs announce their changes on the bus. */
static int bus_observe(Bus *b)
{
    BusContext *c = &b->context;
    PoolContext *pools = &c->pools->context;
    int r;

    r = bus_replies_init(&c->replies, b->event, c->vms, BUS_PRIORITY, bus_on_reply_done, b);
    if (r >= 0)
        r = status_line_init(&b->status, c->manager);
    if (r >= 0)
        r = vm_signals_init(&c->signals, b->event, c->vms, &c->replies, BUS_PRIORITY);
    if (r >= 0)
        r = session_signals_init(&c->session_signals, b->event, &c->replies, BUS_PRIORITY);
    if (r < 0)
        return r;

    manager_peers(c->manager)->can_register = true;
    manager_peers(c->manager)->identity.open_bus =
        b->kind == BUS_USER ? bus_open_user : bus_open_system;
    c->sessions->killer.open_bus = manager_peers(c->manager)->identity.open_bus;
    c->vms->observer = (VMObserver){
        .announce = bus_on_announce,
        .changed = bus_on_vm_changed,
        .userdata = b,
    };
    c->sessions->observer = (SessionsObserver){
        .announce = bus_on_session_announce,
        .changed = bus_on_session_changed,
        .userdata = b,
    };
    pools->changed = bus_on_pool_changed;
    pools->changed_userdata = b;
    status_line_changed(&b->status);
    return 0;
}

static void bus_freep(Bus **b)
{
    bus_free(*b);
}

int bus_new(Manager *m, BusKind kind, Bus **ret)
{
    CLEANUP(bus_freep) Bus *b = NULL;
    int r;

    if (kind == BUS_NONE)
        return 0;

    b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->context.manager = m;
    b->context.pools = manager_pools(m);
    b->context.vms = manager_vms(m);
    b->context.sessions = manager_sessions(m);
    access_queue_init(&b->context.access);
    rivals_init(&b->context.rivals, &manager_peers(m)->identity, manager_vms(m),
                vm_method_refuse_registration);
    b->kind = kind;
    b->event = sd_event_ref(manager_event(m));
    r = bus_observe(b);
    if (r >= 0)
        r = bus_add_errors();
    if (r < 0)
        return r;
    r = sd_event_add_time_relative(b->event, &b->retry, CLOCK_MONOTONIC, UINT64_MAX / 2,
                                   RETRY_ACCURACY_USEC, bus_on_retry, b);
    if (r >= 0)
        r = sd_event_source_set_enabled(b->retry, SD_EVENT_OFF);
    if (r >= 0)
        r = bus_connect(b);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(b);
    return 0;
}

Bus *bus_free(Bus *b)
{
    if (!b)
        return NULL;

    access_queue_clear(&b->context.access);
    rivals_clear(&b->context.rivals);
    sd_bus_close_unref(b->context.access.questions);
    bus_context_drop_tree(&b->context);
    status_line_free(&b->status);
    vm_signals_free(&b->context.signals);
    session_signals_free(&b->context.session_signals);
    bus_replies_free(&b->context.replies);
    sd_event_source_disable_unref(b->retry);
    sd_bus_flush_close_unref(b->context.bus);
    sd_event_unref(b->event);
    free(b);
    return NULL;
}

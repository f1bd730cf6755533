/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-signals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bus-util.h"
#include "cleanup.h"
#include "clock.h"
#include "names.h"

/* How often a guest can have its VM's properties announced. */
#define GUEST_USEC UINT64_C(1000000)

/* How often a VM that nobody registered can be announced: any guest makes these come and go. */
#define UNREGISTERED_USEC UINT64_C(100000)

/* What a guest changes. */
typedef struct GuestState {
    bool connected;
    pid_t leader;
    uint32_t ring_entries;
    uint64_t window_size;
} GuestState;

static const char *const guest_properties[] = {"Connected", "LeaderPID", "RingEntries",
                                               "WindowSize"};

/* What was announced of a VM, and what is to be. */
struct VMSignal {
    TAILQ_ENTRY(VMSignal) link;
    TAILQ_ENTRY(VMSignal) pending_link;
    VM *vm;
    bool is_pending;
    bool announced;
    bool stale; /* an administrator changed it behind the answer at hand */
    GuestState told;
    uint64_t next_usec; /* when what the guest did may be announced again */
    uint64_t reply;     /* the last answer that it is in */
};

/* A VM that is in the answer at hand, and is gone. */
typedef struct GoneVM {
    TAILQ_ENTRY(GoneVM) link;
    char name[];
} GoneVM;

static sd_bus *vm_signals_bus(const VMSignals *signals)
{
    return signals->bus && sd_bus_is_ready(signals->bus) > 0 ? signals->bus : NULL;
}

static GuestState guest_state(const VM *vm)
{
    return (GuestState){
        .connected = vm_is_connected(vm),
        .leader = vm->leader.pid,
        .ring_entries = vm->ring_entries,
        .window_size = vm->window_size,
    };
}

/* ---- Sending ------------------------------------------------------------------------- */

static void vm_signals_send_existence(const VMSignals *signals, const char *name, bool added)
{
    CLEANUP_FREE char *path = bus_object_path(VGPU_OBJECT_VM, name);
    sd_bus *bus = vm_signals_bus(signals);

    if (!bus || !path)
        return;
    if (added)
        (void) sd_bus_emit_object_added(bus, path);
    (void) sd_bus_emit_signal(bus, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                              added ? "VMAdded" : "VMRemoved", "so", name, path);
    /* By name: the object may be no more. */
    if (!added)
        (void) sd_bus_emit_interfaces_removed(
            bus, path, VGPU_INTERFACE_VM, "org.freedesktop.DBus.Properties",
            "org.freedesktop.DBus.Introspectable", "org.freedesktop.DBus.Peer", NULL);
}

/* @properties: NULL: all that have a signal. */
static void vm_signals_send_properties(const VMSignals *signals, const VM *vm,
                                       const char *const *properties)
{
    CLEANUP_FREE char *path = bus_object_path(VGPU_OBJECT_VM, vm->name);
    sd_bus *bus = vm_signals_bus(signals);

    if (bus && path)
        (void) sd_bus_emit_properties_changed_strv(bus, path, VGPU_INTERFACE_VM,
                                                   (char **) properties);
}

/* What differs from what was told last. */
static void vm_signals_send_guest_state(VMSignals *signals, VMSignal *s, uint64_t now)
{
    const GuestState state = guest_state(s->vm), *told = &s->told;
    const char *names[ELEMENTSOF(guest_properties) + 1];
    unsigned n = 0;

    if (state.connected != told->connected)
        names[n++] = "Connected";
    if (state.leader != told->leader)
        names[n++] = "LeaderPID";
    if (state.ring_entries != told->ring_entries)
        names[n++] = "RingEntries";
    if (state.window_size != told->window_size)
        names[n++] = "WindowSize";
    if (n == 0)
        return;

    names[n] = NULL;
    s->told = state;
    s->next_usec = now + GUEST_USEC;
    vm_signals_send_properties(signals, s->vm, names);
}

static void vm_signals_send_added(VMSignals *signals, VMSignal *s, uint64_t now)
{
    if (!s->vm->registered)
        signals->next_unregistered_usec = now + UNREGISTERED_USEC;
    s->announced = true;
    s->told = guest_state(s->vm);
    vm_signals_send_existence(signals, s->vm->name, true);
}

/* ---- What is announced later --------------------------------------------------------- */

static bool vm_signals_is_in_reply(const VMSignals *signals, const VMSignal *s)
{
    uint64_t current = bus_replies_current(signals->replies);

    return current != 0 && s->reply == current;
}

/* UINT64_MAX: not before the answer at hand is complete. */
static uint64_t vm_signals_due(const VMSignals *signals, const VMSignal *s)
{
    if (!s->announced)
        return s->vm->registered ? 0 : signals->next_unregistered_usec;
    if (vm_signals_is_in_reply(signals, s))
        return UINT64_MAX;
    return s->stale ? 0 : s->next_usec;
}

static void vm_signals_remove_pending(VMSignals *signals, VMSignal *s)
{
    if (s->is_pending)
        TAILQ_REMOVE(&signals->pending, s, pending_link);
    s->is_pending = false;
}

/* Sets the timer for what is due first. */
static void vm_signals_arm(VMSignals *signals)
{
    uint64_t first = UINT64_MAX;
    VMSignal *s;

    if (!TAILQ_EMPTY(&signals->gone) && bus_replies_current(signals->replies) == 0)
        first = 0;
    TAILQ_FOREACH(s, &signals->pending, pending_link)
    {
        uint64_t due = vm_signals_due(signals, s);

        if (due < first)
            first = due;
    }
    if (first == UINT64_MAX)
        return;
    (void) sd_event_source_set_time(signals->timer, first);
    (void) sd_event_source_set_enabled(signals->timer, SD_EVENT_ONESHOT);
}

static void vm_signals_add_pending(VMSignals *signals, VMSignal *s)
{
    if (!s->is_pending)
        TAILQ_INSERT_TAIL(&signals->pending, s, pending_link);
    s->is_pending = true;
    vm_signals_arm(signals);
}

static void vm_signals_send_pending(VMSignals *signals, VMSignal *s, uint64_t now)
{
    vm_signals_remove_pending(signals, s);
    if (!s->announced) {
        vm_signals_send_added(signals, s, now);
    } else if (s->stale) {
        s->stale = false;
        s->told = guest_state(s->vm);
        vm_signals_send_properties(signals, s->vm, NULL);
    } else {
        vm_signals_send_guest_state(signals, s, now);
    }
}

/* Behind an answer that still has it: that it is gone, or another of its name. */
static void vm_signals_send_gone(VMSignals *signals, GoneVM *gone)
{
    vm_signals_send_existence(signals, gone->name, false);
    if (vm_registry_find(signals->vms, gone->name))
        vm_signals_send_existence(signals, gone->name, true);
    TAILQ_REMOVE(&signals->gone, gone, link);
    free(gone);
}

/* One VM at a time, so that requests do not wait for many. */
static int vm_signals_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    VMSignals *signals = userdata;
    uint64_t now = now_usec();
    VMSignal *s;

    (void) source, (void) usec;

    if (!TAILQ_EMPTY(&signals->gone) && bus_replies_current(signals->replies) == 0) {
        vm_signals_send_gone(signals, TAILQ_FIRST(&signals->gone));
    } else {
        TAILQ_FOREACH(s, &signals->pending, pending_link)
        {
            if (vm_signals_due(signals, s) <= now)
                break;
        }
        if (s)
            vm_signals_send_pending(signals, s, now);
    }
    vm_signals_arm(signals);
    return 0;
}

/* ---- What VMs tell --------------------------------------------------------------------- */

static VMSignal *vm_signals_add(VMSignals *signals, VM *vm)
{
    VMSignal *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->vm = vm;
    vm->observed = s;
    TAILQ_INSERT_TAIL(&signals->list, s, link);
    return s;
}

static void vm_signals_remove(VMSignals *signals, VMSignal *s)
{
    vm_signals_remove_pending(signals, s);
    s->vm->observed = NULL;
    TAILQ_REMOVE(&signals->list, s, link);
    free(s);
}

/* Those that were there before the bus are announced already, as far as anybody cares. */
static VMSignal *vm_signals_find(VMSignals *signals, VM *vm)
{
    VMSignal *s = vm->observed;

    if (s)
        return s;
    s = vm_signals_add(signals, vm);
    if (s)
        s->announced = true;
    return s;
}

static void vm_signals_added(VMSignals *signals, VM *vm)
{
    VMSignal *s = vm_signals_add(signals, vm);
    uint64_t now = now_usec();

    if (!s)
        vm_signals_send_existence(signals, vm->name, true);
    else if (vm_signals_due(signals, s) <= now)
        vm_signals_send_added(signals, s, now);
    else
        vm_signals_add_pending(signals, s);
}

static void vm_signals_removed(VMSignals *signals, VM *vm)
{
    VMSignal *s = vm->observed;
    GoneVM *gone;

    bus_replies_forget(signals->replies, vm);
    if (!s || s->announced)
        vm_signals_send_existence(signals, vm->name, false);
    if (!s)
        return;

    if (vm_signals_is_in_reply(signals, s)) {
        gone = malloc(sizeof(*gone) + strlen(vm->name) + 1);
        if (gone) {
            memcpy(gone->name, vm->name, strlen(vm->name) + 1);
            TAILQ_INSERT_TAIL(&signals->gone, gone, link);
        }
    }
    vm_signals_remove(signals, s);
}

void vm_signals_announce(VMSignals *signals, VM *vm, bool added)
{
    if (added)
        vm_signals_added(signals, vm);
    else
        vm_signals_removed(signals, vm);
}

static bool is_guest_property(const char *name)
{
    for (unsigned i = 0; i < ELEMENTSOF(guest_properties); i++)
        if (strcmp(guest_properties[i], name) == 0)
            return true;
    return false;
}

void vm_signals_changed(VMSignals *signals, VM *vm, const char *const *properties)
{
    VMSignal *s = vm_signals_find(signals, vm);

    if (s && !s->announced)
        return;
    if (!s || !is_guest_property(properties[0])) {
        vm_signals_send_properties(signals, vm, properties);
        if (s && vm_signals_is_in_reply(signals, s)) {
            s->stale = true;
            vm_signals_add_pending(signals, s);
        }
        return;
    }

    if (vm_signals_due(signals, s) <= now_usec())
        vm_signals_send_guest_state(signals, s, now_usec());
    else
        vm_signals_add_pending(signals, s);
}

void vm_signals_in_reply(VMSignals *signals, VM *vm)
{
    VMSignal *s = vm_signals_find(signals, vm);

    if (s)
        s->reply = bus_replies_current(signals->replies);
}

void vm_signals_reply_done(VMSignals *signals)
{
    vm_signals_arm(signals);
}

/* ---- All of them ------------------------------------------------------------------------ */

int vm_signals_init(VMSignals *signals, sd_event *event, const VMRegistry *vms, BusReplies *replies,
                    int priority)
{
    signals->vms = vms;
    signals->replies = replies;
    TAILQ_INIT(&signals->list);
    TAILQ_INIT(&signals->pending);
    TAILQ_INIT(&signals->gone);
    return bus_add_timer(event, priority, vm_signals_on_timer, signals, &signals->timer);
}

void vm_signals_free(VMSignals *signals)
{
    VMSignal *s;
    GoneVM *gone;

    if (!signals->timer)
        return;
    while ((s = TAILQ_FIRST(&signals->list))) {
        TAILQ_REMOVE(&signals->list, s, link);
        free(s);
    }
    while ((gone = TAILQ_FIRST(&signals->gone))) {
        TAILQ_REMOVE(&signals->gone, gone, link);
        free(gone);
    }
    signals->timer = sd_event_source_disable_unref(signals->timer);
}

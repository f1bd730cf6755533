/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "bus-util.h"
#include "bus.h"
#include "manager-bus.h"
#include "manager.h"
#include "names.h"
#include "pool-bus.h"
#include "vm-bus.h"

#define RETRY_USEC UINT64_C(5000000)

/* Behind the sockets: a reader of statistics never delays a request. */
#define BUS_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 20)

static int retry_later(Manager *m, int reason)
{
    if (!m->bus_warned)
        log_warning("no D-Bus, trying again every few seconds: %s", strerror(-reason));
    m->bus_warned = true;

    manager_bus_close(m);
    (void) sd_event_source_set_time_relative(m->bus_retry, RETRY_USEC);
    return sd_event_source_set_enabled(m->bus_retry, SD_EVENT_ONESHOT);
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    (void) message, (void) error;

    return retry_later(userdata, -ECONNRESET);
}

static int on_name(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    Manager *m = userdata;
    uint32_t outcome = 0;
    int r;

    (void) error;

    if (sd_bus_message_is_method_error(message, NULL)) {
        r = log_errno(-sd_bus_message_get_errno(message), "cannot own %s", VGPU_BUS_NAME);
        return sd_event_exit(m->event, r);
    }

    r = sd_bus_message_read(message, "u", &outcome);
    if (r < 0)
        return retry_later(m, r);
    /* 1: primary owner, 4: already owner; the rest means that another process is. */
    if (outcome != 1 && outcome != 4) {
        log_error("another process owns %s", VGPU_BUS_NAME);
        return sd_event_exit(m->event, -EEXIST);
    }

    m->bus_warned = false;
    return 0;
}

static int connect_bus(Manager *m)
{
    sd_bus *bus = NULL;
    int r;

    r = m->bus_kind == BUS_USER ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus);
    if (r < 0)
        return retry_later(m, r);
    m->bus = bus;

    r = manager_bus_add_objects(m, bus);
    if (r >= 0)
        r = pool_bus_add_objects(m, bus);
    if (r >= 0)
        r = vm_bus_add_objects(m, bus);
    if (r >= 0)
        r = sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                      "org.freedesktop.DBus.Local", "Disconnected", on_disconnected,
                                      NULL, m);
    if (r >= 0)
        r = sd_bus_request_name_async(bus, NULL, VGPU_BUS_NAME, 0, on_name, m);
    if (r >= 0)
        r = sd_bus_attach_event(bus, m->event, BUS_PRIORITY);
    return r;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void) source, (void) usec;

    return connect_bus(userdata);
}

int manager_bus_open(Manager *m, BusKind kind)
{
    int r;

    if (kind == BUS_NONE)
        return 0;

    m->bus_kind = kind;
    r = bus_add_errors();
    if (r < 0)
        return r;
    r = sd_event_add_time_relative(m->event, &m->bus_retry, CLOCK_MONOTONIC, UINT64_MAX / 2, 0,
                                   on_retry, m);
    if (r >= 0)
        r = sd_event_source_set_enabled(m->bus_retry, SD_EVENT_OFF);
    return r < 0 ? r : connect_bus(m);
}

void manager_bus_close(Manager *m)
{
    m->bus = sd_bus_flush_close_unref(m->bus);
}

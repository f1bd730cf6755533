/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit-killer.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "cleanup-bus.h"
#include "log.h"
#include "names.h"

#define ANSWER_TIMEOUT_USEC UINT64_C(10000000)

/* How systemd writes vgpu-executor@ at the beginning of a unit's path. */
#define EXECUTOR_UNITS VGPU_SYSTEMD_OBJECT "/unit/vgpu_2dexecutor_40"

void unit_killer_init(UnitKiller *k, sd_event *event)
{
    *k = (UnitKiller){.event = event};
}

static void unit_killer_disconnect(UnitKiller *k)
{
    if (!k->bus)
        return;
    (void) sd_bus_detach_event(k->bus);
    k->bus = sd_bus_close_unref(k->bus);
}

void unit_killer_clear(UnitKiller *k)
{
    unit_killer_disconnect(k);
}

static int unit_killer_connect(UnitKiller *k)
{
    sd_bus *bus = NULL;
    int r;

    if (!k->open_bus)
        return -ENOTCONN;
    if (k->bus && sd_bus_is_open(k->bus) > 0)
        return 0;

    unit_killer_disconnect(k);
    r = k->open_bus(&bus);
    if (r < 0)
        return r;
    r = sd_bus_set_method_call_timeout(bus, ANSWER_TIMEOUT_USEC);
    if (r >= 0)
        r = sd_bus_attach_event(bus, k->event, SD_EVENT_PRIORITY_NORMAL);
    if (r < 0) {
        sd_bus_close_unref(bus);
        return r;
    }

    k->bus = bus;
    return 0;
}

static void unit_killer_log(const char *reason)
{
    log_warning("an executor of a session does not end, and systemd does not kill it: %s", reason);
}

static int unit_killer_on_killed(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    const sd_bus_error *e = sd_bus_message_get_error(reply);

    (void) userdata, (void) error;

    if (e)
        unit_killer_log(e->message ? e->message : e->name);
    return 0;
}

/* The process may have ended since, and its number be another's. */
static int unit_killer_on_unit(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    const sd_bus_error *e = sd_bus_message_get_error(reply);
    UnitKiller *k = userdata;
    const char *path;
    int r;

    (void) error;

    if (e) {
        unit_killer_log(e->message ? e->message : e->name);
        return 0;
    }
    r = sd_bus_message_read(reply, "o", &path);
    if (r >= 0 && strncmp(path, EXECUTOR_UNITS, strlen(EXECUTOR_UNITS)) != 0) {
        unit_killer_log("its process is in another unit");
        return 0;
    }
    if (r >= 0)
        r = sd_bus_call_method_async(k->bus, NULL, VGPU_SYSTEMD_NAME, path,
                                     VGPU_SYSTEMD_NAME ".Unit", "Kill", unit_killer_on_killed, k,
                                     "si", "all", (int32_t) SIGKILL);
    if (r < 0)
        unit_killer_log(strerror(-r));
    return 0;
}

void unit_killer_kill(UnitKiller *k, pid_t pid)
{
    int r = unit_killer_connect(k);

    if (r >= 0)
        r = sd_bus_call_method_async(k->bus, NULL, VGPU_SYSTEMD_NAME, VGPU_SYSTEMD_OBJECT,
                                     VGPU_SYSTEMD_NAME ".Manager", "GetUnitByPID",
                                     unit_killer_on_unit, k, "u", (uint32_t) pid);
    if (r < 0)
        unit_killer_log(strerror(-r));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus-property.h"
#include "bus-util.h"
#include "cleanup.h"
#include "clock.h"
#include "names.h"
#include "pool-bus.h"
#include "statistics-bus.h"

static const char *pool_state(const Pool *p)
{
    static const char *const names[] = {
        [EXECUTOR_STARTING] = "starting",
        [EXECUTOR_READY] = "ready",
        [EXECUTOR_ENDING] = "ending",
        [EXECUTOR_WAITING] = "waiting",
    };

    return names[executor_state(pool_executor(p))];
}

static BUS_PROPERTY_GET(get_name, "s", Pool, p, (const char[]){p->name, '\0'});
static BUS_PROPERTY_GET(get_backend, "s", Pool, p, executor_device(pool_executor(p))->backend);
static BUS_PROPERTY_GET(get_devices, "as", Pool, p,
                        executor_device(pool_executor(p))->name[0] ? 1 : 0,
                        executor_device(pool_executor(p))->name);
static BUS_PROPERTY_GET(get_device_memory_total, "t", Pool, p,
                        executor_device(pool_executor(p))->memory_total);

static int get_session_devices(sd_bus *bus, const char *path, const char *interface,
                               const char *property, sd_bus_message *reply, void *userdata,
                               sd_bus_error *error)
{
    const PoolDevices *devices = &((const Pool *) userdata)->config.devices;
    int r = sd_bus_message_open_container(reply, 'a', "s");

    (void) bus, (void) path, (void) interface, (void) property, (void) error;

    for (unsigned i = 0; i < devices->n && r >= 0; i++)
        r = sd_bus_message_append(reply, "s", devices->name[i]);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static BUS_PROPERTY_GET(get_policy, "s", Pool, p,
                        sched_policy_to_string(p->queue.scheduler.policy));
static BUS_PROPERTY_GET(get_state, "s", Pool, p, pool_state(p));
static BUS_PROPERTY_GET(get_executor_pid, "u", Pool, p, executor_pid(pool_executor(p)));
static BUS_PROPERTY_GET(get_executor_restarts, "t", Pool, p, executor_restarts(pool_executor(p)));
static BUS_PROPERTY_GET(get_paused, "b", Pool, p, p->queue.scheduler.held);

static BUS_PROPERTY_GET(get_utilization, "d", BusyTime, b, busy_share(b, now_usec()));
static BUS_PROPERTY_GET(get_busy_time, "t", BusyTime, b, busy_total(b, now_usec()));

static const char *pool_pause_to_string(bool paused)
{
    return paused ? "paused" : "running";
}

static int pool_turn(sd_bus_message *call, Pool *p, sd_bus_error *error, bool paused)
{
    BusContext *context = bus_context(call);
    bool before = p->queue.scheduler.held;
    LogContext about = {.pool = p->name};
    LogChange change;
    int r;

    r = access_check(&context->access, call, NULL, error);
    if (r <= 0)
        return r < 0 ? r : 1;

    pool_set_paused(p, paused);
    change =
        bus_change(context, "Paused", pool_pause_to_string(before), pool_pause_to_string(paused));
    if (before != paused)
        log_event(VGPU_MESSAGE_POOL_CHANGED, &about, &change, "pool %c: %s", p->name,
                  paused ? "paused" : "resumed");
    return sd_bus_reply_method_return(call, NULL);
}

static int method_pause(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    return pool_turn(call, userdata, error, true);
}

static int method_resume(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    return pool_turn(call, userdata, error, false);
}

static int method_reset_statistics(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    BusContext *context = bus_context(call);
    LogContext about;
    LogChange change;
    Pool *p = userdata;
    int r;

    r = access_check(&context->access, call, NULL, error);
    if (r <= 0)
        return r < 0 ? r : 1;

    p->queue.statistics = (Statistics){0};
    busy_reset(&p->queue.busy, now_usec());
    about = (LogContext){.pool = p->name};
    change = bus_change(context, NULL, NULL, NULL);
    log_event(VGPU_MESSAGE_POOL_CHANGED, &about, &change, "pool %c: statistics reset", p->name);
    return sd_bus_reply_method_return(call, NULL);
}

static int method_get_histograms(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    Pool *p = userdata;

    (void) error;

    return statistics_bus_reply_histograms(call, &p->queue.statistics);
}

#define METHOD(name, handler) SD_BUS_METHOD(name, "", "", handler, SD_BUS_VTABLE_UNPRIVILEGED)
#define CHANGING(name, type, getter, offset) \
    SD_BUS_PROPERTY(name, type, getter, offset, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

static const sd_bus_vtable pool_vtable[] = {
    SD_BUS_VTABLE_START(0),
    METHOD("Pause", method_pause),
    METHOD("Resume", method_resume),
    METHOD("ResetStatistics", method_reset_statistics),
    SD_BUS_METHOD_WITH_ARGS("GetHistograms", SD_BUS_NO_ARGS,
                            SD_BUS_RESULT("a(tt)", wait, "a(tt)", execution), method_get_histograms,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Name", "s", get_name, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    CHANGING("Backend", "s", get_backend, 0),
    CHANGING("Devices", "as", get_devices, 0),
    CHANGING("SessionDevices", "as", get_session_devices, 0),
    CHANGING("DeviceMemoryTotal", "t", get_device_memory_total, 0),
    CHANGING("Policy", "s", get_policy, 0),
    CHANGING("StarvationLimitUSec", "t", NULL,
             offsetof(Pool, queue.scheduler.starvation_limit_usec)),
    CHANGING("Paused", "b", get_paused, 0),
    SD_BUS_PROPERTY("QueueDepthHigh", "u", NULL,
                    offsetof(Pool, queue.scheduler.depth[VGPU_PRIORITY_HIGH]), 0),
    SD_BUS_PROPERTY("QueueDepthMedium", "u", NULL,
                    offsetof(Pool, queue.scheduler.depth[VGPU_PRIORITY_MEDIUM]), 0),
    SD_BUS_PROPERTY("QueueDepthLow", "u", NULL,
                    offsetof(Pool, queue.scheduler.depth[VGPU_PRIORITY_LOW]), 0),
    CHANGING("QueueLimit", "u", NULL, offsetof(Pool, queue.scheduler.limit)),
    SD_BUS_PROPERTY("InFlight", "u", NULL, offsetof(Pool, queue.scheduler.n_running), 0),
    CHANGING("InFlightLimit", "u", NULL, offsetof(Pool, queue.scheduler.max_running)),
    CHANGING("ExecutorState", "s", get_state, 0),
    CHANGING("ExecutorPID", "u", get_executor_pid, 0),
    CHANGING("ExecutorRestarts", "t", get_executor_restarts, 0),
    SD_BUS_PROPERTY("Utilization", "d", get_utilization, offsetof(Pool, queue.busy), 0),
    SD_BUS_PROPERTY("BusyTimeUSec", "t", get_busy_time, offsetof(Pool, queue.busy), 0),
    STATISTICS_PROPERTIES(Pool, queue.statistics),
    SD_BUS_VTABLE_END,
};

static int find_pool(sd_bus *bus, const char *path, const char *interface, void *userdata,
                     void **ret_found, sd_bus_error *error)
{
    CLEANUP_FREE char *name = NULL;
    int r;

    (void) bus, (void) interface, (void) error;

    r = sd_bus_path_decode(path, VGPU_OBJECT_POOL, &name);
    if (r <= 0)
        return r;

    *ret_found = strlen(name) == 1
                     ? pools_find(((BusContext *) userdata)->pools, (unsigned char) name[0])
                     : NULL;
    return *ret_found != NULL;
}

static int enumerate_pools(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                           sd_bus_error *error)
{
    const BusContext *context = userdata;
    char **nodes = calloc(CONFIG_N_POOLS + 1, sizeof(*nodes));
    unsigned n = 0;

    (void) bus, (void) prefix, (void) error;

    if (!nodes)
        return -ENOMEM;
    POOLS_FOREACH(p, context->pools)
    {
        nodes[n] = bus_object_path(VGPU_OBJECT_POOL, (const char[]){p->name, '\0'});
        if (!nodes[n])
            break;
        n++;
    }

    *ret_nodes = nodes;
    return 1;
}

int pool_bus_add_objects(BusContext *context, sd_bus *bus)
{
    int r = sd_bus_add_fallback_vtable(bus, NULL, VGPU_OBJECT_POOL, VGPU_INTERFACE_POOL,
                                       pool_vtable, find_pool, context);

    return r < 0
               ? r
               : sd_bus_add_node_enumerator(bus, NULL, VGPU_OBJECT_POOL, enumerate_pools, context);
}

int pool_bus_append(sd_bus_message *m, Pool *p)
{
    const sd_bus_vtable *const table = pool_vtable;
    char path[sizeof(VGPU_OBJECT_POOL) + 2];

    snprintf(path, sizeof(path), VGPU_OBJECT_POOL "/%c", p->name);
    return bus_append_object(m, path, VGPU_INTERFACE_POOL, &table, 1, p);
}

void pool_bus_properties_changed(const BusContext *context, const Pool *p,
                                 const char *const *properties)
{
    sd_bus *bus = bus_context_ready(context);
    char path[sizeof(VGPU_OBJECT_POOL) + 2];

    if (!bus)
        return;

    snprintf(path, sizeof(path), VGPU_OBJECT_POOL "/%c", p->name);
    (void) sd_bus_emit_properties_changed_strv(bus, path, VGPU_INTERFACE_POOL,
                                               (char **) properties);
}

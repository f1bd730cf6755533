/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup-bus.h"
#include "clock.h"
#include "names.h"
#include "properties.h"
#include "snapshot.h"
#include "vm-limits.h"

/* ---- What there is to know --------------------------------------------------------------- */

/* A table for each object: where a property goes, and what it is in JSON. */
#define ROW(info, property, key, type, member)            \
    {                                                     \
        NULL, key, type, offsetof(info, member), property \
    }
#define OPTIONAL(info, property, key, type, member)             \
    {                                                           \
        NULL, key, type, offsetof(info, member), property, true \
    }
#define VM(property, key, type, member) ROW(VMInfo, property, key, type, member)
#define POOL(property, type, member) ROW(PoolInfo, property, NULL, type, member)
#define COUNTER(info, property, key, member) \
    ROW(info, property, key, COLUMN_COUNT, object.counters.member)

#define COUNTERS(info)                                                              \
    ROW(info, "InFlight", "in_flight", COLUMN_UINT, object.counters.in_flight),     \
        COUNTER(info, "RequestsSubmitted", "requests_submitted", submitted),        \
        COUNTER(info, "RequestsCompleted", "requests_completed", completed),        \
        COUNTER(info, "RequestsFailed", "requests_failed", failed),                 \
        COUNTER(info, "RequestsRejected", "requests_rejected", rejected),           \
        COUNTER(info, "BytesIn", "bytes_in", bytes_in),                             \
        COUNTER(info, "BytesOut", "bytes_out", bytes_out),                          \
        COUNTER(info, "WaitTimeUSec", "wait_usec", wait),                           \
        COUNTER(info, "WaitTimeP50USec", "wait_p50_usec", wait_p50),                \
        COUNTER(info, "WaitTimeP95USec", "wait_p95_usec", wait_p95),                \
        COUNTER(info, "WaitTimeP99USec", "wait_p99_usec", wait_p99),                \
        COUNTER(info, "WaitTimeMaxUSec", "wait_max_usec", wait_max),                \
        COUNTER(info, "ExecutionTimeUSec", "execution_usec", execution),            \
        COUNTER(info, "ExecutionTimeP50USec", "execution_p50_usec", execution_p50), \
        COUNTER(info, "ExecutionTimeP95USec", "execution_p95_usec", execution_p95), \
        COUNTER(info, "ExecutionTimeP99USec", "execution_p99_usec", execution_p99), \
        COUNTER(info, "ExecutionTimeMaxUSec", "execution_max_usec", execution_max), \
        COUNTER(info, "LastRequestTimestamp", "last_request_usec", last_request)

/* Between the two stand the limits, which come from the table of settings. */
static const Column vm_columns_first[] = {
    VM("Name", "name", COLUMN_STRING, object.name),
    VM("UUID", "uuid", COLUMN_STRING, uuid),
    VM("VMID", "id", COLUMN_UINT, id),
    VM("Registered", "registered", COLUMN_BOOL, registered),
    VM(NULL, "state", COLUMN_STRING, object.state),
    VM("Connected", "connected", COLUMN_BOOL, connected),
    VM("Paused", "paused", COLUMN_BOOL, paused),
    VM("Quarantined", "quarantined", COLUMN_BOOL, quarantined),
    VM("LeaderPID", "leader_pid", COLUMN_UINT, leader_pid),
    VM("Pool", "pool", COLUMN_STRING, pool),
    VM("ConfiguredPool", "configured_pool", COLUMN_STRING, configured_pool),
    VM("Priority", "priority", COLUMN_STRING, priority),
    VM("ConfiguredPriority", "configured_priority", COLUMN_STRING, configured_priority),
    OPTIONAL(VMInfo, "Unit", "unit", COLUMN_STRING, unit),
    OPTIONAL(VMInfo, "Machine", "machine", COLUMN_STRING, machine),
    OPTIONAL(VMInfo, "DeviceProblem", "device_problem", COLUMN_STRING, device_problem),
    OPTIONAL(VMInfo, "QuarantineReason", "quarantine_reason", COLUMN_STRING, quarantine_reason),
    OPTIONAL(VMInfo, "QuarantinedUntilUSec", "quarantined_until_usec", COLUMN_COUNT,
             quarantined_until),
    OPTIONAL(VMInfo, "Share", "share", COLUMN_RATIO, object.counters.share),
    VM("WindowSize", "window_size", COLUMN_COUNT, window_size),
};

static const Column vm_columns_last[] = {
    VM("QueueDepth", "queue_depth", COLUMN_UINT, queue_depth),
    COUNTERS(VMInfo),
    VM("Sessions", "sessions", COLUMN_UINT, sessions),
    VM("SessionMemoryBytes", "session_memory_bytes", COLUMN_BYTES, session_memory),
    VM("SessionDeviceTimeUSec", "session_device_usec", COLUMN_COUNT, session_device_time),
    VM("SessionLaunches", "session_launches", COLUMN_COUNT, session_launches),
    VM("SessionBytesToDevice", "session_bytes_to_device", COLUMN_COUNT, session_to_device),
    VM("SessionBytesFromDevice", "session_bytes_from_device", COLUMN_COUNT, session_from_device),
    VM("SessionFaults", "session_faults", COLUMN_COUNT, session_faults),
};

static const Column pool_columns[] = {
    POOL("Name", COLUMN_STRING, object.name),
    POOL("Backend", COLUMN_STRING, backend),
    POOL("Devices", COLUMN_STRING, devices),
    POOL("DeviceMemoryTotal", COLUMN_COUNT, memory_total),
    POOL("Policy", COLUMN_STRING, policy),
    POOL("StarvationLimitUSec", COLUMN_COUNT, starvation_limit),
    POOL("Paused", COLUMN_BOOL, paused),
    POOL("QueueDepthHigh", COLUMN_UINT, queue_high),
    POOL("QueueDepthMedium", COLUMN_UINT, queue_medium),
    POOL("QueueDepthLow", COLUMN_UINT, queue_low),
    POOL("QueueLimit", COLUMN_UINT, queue_limit),
    POOL("InFlightLimit", COLUMN_UINT, in_flight_limit),
    POOL("ExecutorState", COLUMN_STRING, executor_state),
    POOL("ExecutorPID", COLUMN_UINT, executor_pid),
    POOL("ExecutorRestarts", COLUMN_COUNT, executor_restarts),
    OPTIONAL(PoolInfo, "SessionDevices", NULL, COLUMN_STRING, session_devices),
    OPTIONAL(PoolInfo, "Utilization", NULL, COLUMN_RATIO, object.counters.share),
    OPTIONAL(PoolInfo, "BusyTimeUSec", NULL, COLUMN_COUNT, busy),
    COUNTERS(PoolInfo),
};

static void vm_columns_add(VMColumns *columns, const Column *column)
{
    assert(columns->n < ELEMENTSOF(columns->column));
    columns->column[columns->n++] = *column;
}

VMColumns vm_info_columns(void)
{
    VMColumns columns = {.n = 0};

    for (size_t i = 0; i < ELEMENTSOF(vm_columns_first); i++)
        vm_columns_add(&columns, &vm_columns_first[i]);
    for (unsigned i = vm_limits_next(0); i < VM_N_SETTINGS; i = vm_limits_next(i + 1))
        vm_columns_add(&columns,
                       &(Column){.property = vm_settings[i].name,
                                 .key = vm_settings[i].key,
                                 .type = vm_settings[i].kind == VM_SETTING_IS_BYTES ? COLUMN_BYTES
                                                                                    : COLUMN_UINT,
                                 .offset = offsetof(VMInfo, limits) + vm_settings[i].offset});
    for (size_t i = 0; i < ELEMENTSOF(vm_columns_last); i++)
        vm_columns_add(&columns, &vm_columns_last[i]);
    return columns;
}

/* ---- Reading ------------------------------------------------------------------------------ */

/*
 * Reads an object, of zeros until now. Without one of its strings it is of no use, unless only
 * newer mediators have that. On failure it holds what it has got, and is to be released all the
 * same.
 */
static int read_object(sd_bus_message *m, const char *path, const Column *columns, size_t n,
                       Object *object)
{
    int r;

    object->counters.rate = NAN;
    object->counters.share = NAN;
    object->path = strdup(path);
    if (!object->path)
        return -ENOMEM;
    r = properties_read(m, columns, n, object);
    if (r < 0)
        return r;
    return properties_are_all_there(columns, n, object) ? 0 : -EBADMSG;
}

static int read_vm(sd_bus_message *m, const char *path, VMInfo *vm)
{
    const VMColumns columns = vm_info_columns();
    int r = read_object(m, path, columns.column, columns.n, &vm->object);

    vm->without_device = !vm->connected && vm->device_problem && *vm->device_problem;
    vm->object.state = vm->quarantined      ? "quarantined"
                       : vm->paused         ? "paused"
                       : vm->connected      ? "connected"
                       : vm->without_device ? "no device"
                                            : "waiting";
    return r;
}

static int read_pool(sd_bus_message *m, const char *path, PoolInfo *pool)
{
    int r;

    pool->busy = UINT64_MAX;
    r = read_object(m, path, pool_columns, ELEMENTSOF(pool_columns), &pool->object);
    pool->object.state = pool->paused ? "paused" : pool->executor_state;
    return r;
}

/* Space for one more, zeroed. The caller counts it. */
static void *grow(void *array, size_t n, size_t size)
{
    void *grown = n & (n - 1) ? array : reallocarray(array, n ? n * 2 : 1, size);

    if (grown)
        memset((char *) grown + n * size, 0, size);
    return grown;
}

static int add_vm(Snapshot *s, sd_bus_message *m, const char *path)
{
    VMInfo *vms = grow(s->vms, s->n_vms, sizeof(*vms));

    if (!vms)
        return -ENOMEM;
    s->vms = vms;
    return read_vm(m, path, &vms[s->n_vms++]);
}

static int add_pool(Snapshot *s, sd_bus_message *m, const char *path)
{
    PoolInfo *pools = grow(s->pools, s->n_pools, sizeof(*pools));

    if (!pools)
        return -ENOMEM;
    s->pools = pools;
    return read_pool(m, path, &pools[s->n_pools++]);
}

/* Reads a{sa{sv}}: the interfaces of one object. */
static int read_interfaces(Snapshot *s, sd_bus_message *m, const char *path)
{
    const char *interface;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "{sa{sv}}");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(m, 'e', "sa{sv}")) > 0) {
        r = sd_bus_message_read(m, "s", &interface);
        if (r < 0)
            return r;
        if (strcmp(interface, VGPU_INTERFACE_VM) == 0)
            r = add_vm(s, m, path);
        else if (strcmp(interface, VGPU_INTERFACE_POOL) == 0)
            r = add_pool(s, m, path);
        else
            r = sd_bus_message_skip(m, "a{sv}");
        if (r >= 0)
            r = sd_bus_message_exit_container(m);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* ---- Snapshots ---------------------------------------------------------------------------- */

size_t snapshot_size(const Snapshot *s, ObjectKind kind)
{
    return kind == OBJECT_VM ? s->n_vms : s->n_pools;
}

Object *snapshot_object(const Snapshot *s, ObjectKind kind, size_t i)
{
    assert(i < snapshot_size(s, kind));

    return kind == OBJECT_VM ? &s->vms[i].object : &s->pools[i].object;
}

int snapshot_compare(const void *a, const void *b)
{
    return strverscmp(((const Object *) a)->name, ((const Object *) b)->name);
}

int snapshot_call(sd_bus *bus, sd_bus_message **ret)
{
    return sd_bus_message_new_method_call(bus, ret, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                          "org.freedesktop.DBus.ObjectManager",
                                          "GetManagedObjects");
}

int snapshot_parse(sd_bus_message *reply, Snapshot **ret)
{
    CLEANUP(cleanup_snapshot) Snapshot *s = calloc(1, sizeof(*s));
    const char *path;
    int r;

    if (!s)
        return -ENOMEM;
    s->usec = now_usec();

    r = sd_bus_message_enter_container(reply, 'a', "{oa{sa{sv}}}");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(reply, 'e', "oa{sa{sv}}")) > 0) {
        r = sd_bus_message_read(reply, "o", &path);
        if (r >= 0)
            r = read_interfaces(s, reply, path);
        if (r >= 0)
            r = sd_bus_message_exit_container(reply);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;

    if (s->n_vms > 0)
        qsort(s->vms, s->n_vms, sizeof(*s->vms), snapshot_compare);
    if (s->n_pools > 0)
        qsort(s->pools, s->n_pools, sizeof(*s->pools), snapshot_compare);
    *ret = TAKE_PTR(s);
    return 0;
}

int snapshot_get(sd_bus *bus, sd_bus_error *error, Snapshot **ret)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL, *reply = NULL;
    int r;

    r = snapshot_call(bus, &m);
    if (r >= 0)
        r = sd_bus_call(bus, m, 0, error, &reply);
    return r < 0 ? r : snapshot_parse(reply, ret);
}

static void release_object(const Column *columns, size_t n, Object *object)
{
    free(object->path);
    properties_release(columns, n, object);
}

void vm_info_release(VMInfo *vm)
{
    const VMColumns columns = vm_info_columns();

    release_object(columns.column, columns.n, &vm->object);
}

Snapshot *snapshot_free(Snapshot *s)
{
    if (!s)
        return NULL;
    for (size_t i = 0; i < s->n_vms; i++)
        vm_info_release(&s->vms[i]);
    for (size_t i = 0; i < s->n_pools; i++)
        release_object(pool_columns, ELEMENTSOF(pool_columns), &s->pools[i].object);
    free(s->vms);
    free(s->pools);
    free(s);
    return NULL;
}

/* ---- One VM ------------------------------------------------------------------------------- */

int vm_info_get(sd_bus *bus, const char *name, sd_bus_error *error, VMInfo *ret)
{
    CLEANUP_MESSAGE sd_bus_message *found = NULL, *reply = NULL;
    VMInfo vm = {0};
    const char *path;
    int r;

    r = sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "GetVM",
                           error, &found, "s", name);
    if (r >= 0)
        r = sd_bus_message_read(found, "o", &path);
    if (r >= 0)
        r = sd_bus_call_method(bus, VGPU_BUS_NAME, path, "org.freedesktop.DBus.Properties",
                               "GetAll", error, &reply, "s", VGPU_INTERFACE_VM);
    if (r < 0)
        return r;

    r = read_vm(reply, path, &vm);
    if (r < 0) {
        vm_info_release(&vm);
        return r;
    }
    *ret = vm;
    return 0;
}

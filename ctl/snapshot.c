/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup-bus.h"
#include "clock.h"
#include "names.h"
#include "snapshot.h"

/* Where a property goes, by its D-Bus type; 'a': an array of strings, joined. */
typedef struct Field {
    const char *property;
    char type;
    size_t offset;
} Field;

#define COUNTER(property, member)                 \
    {                                             \
        property, 't', offsetof(Counters, member) \
    }
#define VM(property, type, member)               \
    {                                            \
        property, type, offsetof(VMInfo, member) \
    }
#define POOL(property, type, member)               \
    {                                              \
        property, type, offsetof(PoolInfo, member) \
    }

static const Field counter_fields[] = {
    {"InFlight", 'u', offsetof(Counters, in_flight)},
    COUNTER("RequestsSubmitted", submitted),
    COUNTER("RequestsCompleted", completed),
    COUNTER("RequestsFailed", failed),
    COUNTER("RequestsRejected", rejected),
    COUNTER("BytesIn", bytes_in),
    COUNTER("BytesOut", bytes_out),
    COUNTER("WaitTimeUSec", wait),
    COUNTER("WaitTimeP50USec", wait_p50),
    COUNTER("WaitTimeP95USec", wait_p95),
    COUNTER("WaitTimeP99USec", wait_p99),
    COUNTER("WaitTimeMaxUSec", wait_max),
    COUNTER("ExecutionTimeUSec", execution),
    COUNTER("ExecutionTimeP50USec", execution_p50),
    COUNTER("ExecutionTimeP95USec", execution_p95),
    COUNTER("ExecutionTimeP99USec", execution_p99),
    COUNTER("ExecutionTimeMaxUSec", execution_max),
    COUNTER("LastRequestTimestamp", last_request),
    {0},
};

static const Field vm_fields[] = {
    VM("Name", 's', name),
    VM("UUID", 's', uuid),
    VM("VMID", 'u', id),
    VM("Registered", 'b', registered),
    VM("Pool", 's', pool),
    VM("ConfiguredPool", 's', configured_pool),
    VM("Priority", 's', priority),
    VM("ConfiguredPriority", 's', configured_priority),
    VM("Connected", 'b', connected),
    VM("LeaderPID", 'u', leader_pid),
    VM("Paused", 'b', paused),
    VM("Quarantined", 'b', quarantined),
    VM("QueueLimit", 'u', queue_limit),
    VM("RequestRateLimit", 'u', rate_limit),
    VM("Weight", 'u', weight),
    VM("QueueDepth", 'u', queue_depth),
    {0},
};

static const Field pool_fields[] = {
    POOL("Name", 's', name),
    POOL("Backend", 's', backend),
    POOL("Devices", 'a', devices),
    POOL("DeviceMemoryTotal", 't', memory_total),
    POOL("Policy", 's', policy),
    POOL("StarvationLimitUSec", 't', starvation_limit),
    POOL("Paused", 'b', paused),
    POOL("QueueDepthHigh", 'u', queue_high),
    POOL("QueueDepthMedium", 'u', queue_medium),
    POOL("QueueDepthLow", 'u', queue_low),
    POOL("QueueLimit", 'u', queue_limit),
    POOL("InFlightLimit", 'u', in_flight_limit),
    POOL("ExecutorState", 's', executor_state),
    POOL("ExecutorPID", 'u', executor_pid),
    POOL("ExecutorRestarts", 't', executor_restarts),
    {0},
};

/* ---- Reading ------------------------------------------------------------------------------ */

static int read_string(sd_bus_message *m, char **target)
{
    const char *s;
    int r = sd_bus_message_read(m, "v", "s", &s);

    if (r < 0)
        return r;
    free(*target);
    *target = strdup(s);
    return *target ? 0 : -ENOMEM;
}

static int read_strings(sd_bus_message *m, char **target)
{
    char **words = NULL;
    size_t size = 0;
    FILE *f = NULL;
    int r;

    r = sd_bus_message_enter_container(m, 'v', "as");
    if (r >= 0)
        r = sd_bus_message_read_strv(m, &words);
    if (r >= 0)
        r = sd_bus_message_exit_container(m);
    if (r >= 0) {
        free(*target);
        *target = NULL;
        f = open_memstream(target, &size);
        r = f ? 0 : -ENOMEM;
    }
    for (size_t i = 0; words && words[i]; i++) {
        if (f)
            fprintf(f, "%s%s", i > 0 ? ", " : "", words[i]);
        free(words[i]);
    }
    free(words);
    if (f && fclose(f) != 0)
        r = -ENOMEM;
    return r;
}

static int read_bool(sd_bus_message *m, bool *target)
{
    int value, r = sd_bus_message_read(m, "v", "b", &value);

    if (r >= 0)
        *target = value;
    return r;
}

static int read_field(sd_bus_message *m, const Field *f, void *object)
{
    void *target = (char *) object + f->offset;

    switch (f->type) {
    case 's':
        return read_string(m, target);
    case 'a':
        return read_strings(m, target);
    case 'b':
        return read_bool(m, target);
    case 'u':
        return sd_bus_message_read(m, "v", "u", target);
    default:
        return sd_bus_message_read(m, "v", "t", target);
    }
}

static const Field *find_field(const Field *fields, const char *property)
{
    for (; fields->property; fields++)
        if (strcmp(fields->property, property) == 0)
            return fields;
    return NULL;
}

/* Reads a{sv}. A newer mediator's properties that are not known here are passed over. */
static int read_properties(sd_bus_message *m, const Field *fields, void *object, Counters *counters)
{
    const char *property;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "{sv}");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        const Field *f;

        r = sd_bus_message_read(m, "s", &property);
        if (r < 0)
            return r;
        if ((f = find_field(fields, property)))
            r = read_field(m, f, object);
        else if ((f = find_field(counter_fields, property)))
            r = read_field(m, f, counters);
        else
            r = sd_bus_message_skip(m, "v");
        if (r >= 0)
            r = sd_bus_message_exit_container(m);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* Without a string property the object is of no use. */
static int check_strings(const Field *fields, void *object)
{
    for (; fields->property; fields++)
        if ((fields->type == 's' || fields->type == 'a') &&
            !*(char **) ((char *) object + fields->offset))
            return -EBADMSG;
    return 0;
}

static int read_vm(sd_bus_message *m, VMInfo *vm)
{
    int r = read_properties(m, vm_fields, vm, &vm->counters);

    if (r >= 0)
        r = check_strings(vm_fields, vm);
    vm->state = vm->quarantined ? "quarantined"
                : vm->paused    ? "paused"
                : vm->connected ? "connected"
                                : "waiting";
    vm->counters.rate = NAN;
    return r;
}

static int read_pool(sd_bus_message *m, PoolInfo *pool)
{
    int r = read_properties(m, pool_fields, pool, &pool->counters);

    if (r >= 0)
        r = check_strings(pool_fields, pool);
    pool->state = pool->paused ? "paused" : pool->executor_state;
    pool->counters.rate = NAN;
    return r;
}

/* Space for one more, zeroed; the number is counted when it is filled. */
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
    vms[s->n_vms].path = strdup(path);
    return vms[s->n_vms].path ? read_vm(m, &vms[s->n_vms++]) : -ENOMEM;
}

static int add_pool(Snapshot *s, sd_bus_message *m, const char *path)
{
    PoolInfo *pools = grow(s->pools, s->n_pools, sizeof(*pools));

    if (!pools)
        return -ENOMEM;
    s->pools = pools;
    pools[s->n_pools].path = strdup(path);
    return pools[s->n_pools].path ? read_pool(m, &pools[s->n_pools++]) : -ENOMEM;
}

/* Reads a{sa{sv}} of one object. */
static int read_object(Snapshot *s, sd_bus_message *m, const char *path)
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

static int compare_vms(const void *a, const void *b)
{
    return strverscmp(((const VMInfo *) a)->name, ((const VMInfo *) b)->name);
}

static int compare_pools(const void *a, const void *b)
{
    return strcmp(((const PoolInfo *) a)->name, ((const PoolInfo *) b)->name);
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
            r = read_object(s, reply, path);
        if (r >= 0)
            r = sd_bus_message_exit_container(reply);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;

    if (s->n_vms > 0)
        qsort(s->vms, s->n_vms, sizeof(*s->vms), compare_vms);
    if (s->n_pools > 0)
        qsort(s->pools, s->n_pools, sizeof(*s->pools), compare_pools);
    *ret = s;
    s = NULL;
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

/* Frees the strings of @object; those at a fixed place are the caller's. */
static void release_strings(const Field *fields, void *object)
{
    for (; fields->property; fields++)
        if (fields->type == 's' || fields->type == 'a')
            free(*(char **) ((char *) object + fields->offset));
}

void vm_info_release(VMInfo *vm)
{
    free(vm->path);
    release_strings(vm_fields, vm);
}

Snapshot *snapshot_free(Snapshot *s)
{
    if (!s)
        return NULL;
    for (size_t i = 0; i < s->n_vms; i++)
        vm_info_release(&s->vms[i]);
    for (size_t i = 0; i < s->n_pools; i++) {
        free(s->pools[i].path);
        release_strings(pool_fields, &s->pools[i]);
    }
    free(s->vms);
    free(s->pools);
    free(s);
    return NULL;
}

/* ---- Rates -------------------------------------------------------------------------------- */

static void set_rate(Counters *now, const Counters *then, uint64_t usec)
{
    if (usec > 0 && now->completed >= then->completed)
        now->rate = (double) (now->completed - then->completed) * 1e6 / (double) usec;
}

void snapshot_set_rates(Snapshot *s, const Snapshot *earlier)
{
    uint64_t usec = s->usec - earlier->usec;

    for (size_t i = 0; i < s->n_vms && earlier->n_vms > 0; i++) {
        const VMInfo *then =
            bsearch(&s->vms[i], earlier->vms, earlier->n_vms, sizeof(*earlier->vms), compare_vms);

        if (then && then->id == s->vms[i].id)
            set_rate(&s->vms[i].counters, &then->counters, usec);
    }
    for (size_t i = 0; i < s->n_pools && earlier->n_pools > 0; i++) {
        const PoolInfo *then = bsearch(&s->pools[i], earlier->pools, earlier->n_pools,
                                       sizeof(*earlier->pools), compare_pools);

        if (then)
            set_rate(&s->pools[i].counters, &then->counters, usec);
    }
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

    vm.path = strdup(path);
    r = vm.path ? read_vm(reply, &vm) : -ENOMEM;
    if (r < 0) {
        vm_info_release(&vm);
        return r;
    }
    *ret = vm;
    return 0;
}

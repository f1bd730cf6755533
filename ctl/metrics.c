/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metrics: everything that the mediator counts, in the text format of OpenMetrics 1.0. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "names.h"
#include "snapshot.h"
#include "text.h"
#include "vm-limits.h"

/*
 * The bounds of histograms are 2^k - 1 µs, for every VM and at all times. The mediator's buckets
 * are finer, and one of them ends at each of these bounds, so none has to be divided.
 */
#define N_BOUNDS 27

typedef struct Distribution {
    uint64_t bucket[N_BOUNDS + 1]; /* up to 2^(i + 1) - 1 µs; the last is the rest */
} Distribution;

typedef enum ValueType {
    VALUE_UINT,   /* uint32_t */
    VALUE_COUNT,  /* uint64_t */
    VALUE_BOOL,   /* bool */
    VALUE_MOMENT, /* uint64_t, µs; 0: never */
    VALUE_SPAN,   /* uint64_t, µs; UINT64_MAX: infinite */
} ValueType;

/* A metric of every VM or pool. The offset is in VMInfo or PoolInfo. */
typedef struct Family {
    const char *name, *type, *unit, *help;
    ValueType value;
    size_t offset;
} Family;

/* All VMs, or all pools. */
typedef struct Things {
    const Snapshot *snapshot;
    ObjectKind kind;
    const char *label;                      /* "vm", "pool" */
    const Distribution *waits, *executions; /* one for each */
} Things;

static const Family counter_families[] = {
    {"requests_running", "gauge", NULL, "Requests on the device.", VALUE_UINT,
     offsetof(Object, counters.in_flight)},
    {"requests_submitted", "counter", NULL, "Requests queued.", VALUE_COUNT,
     offsetof(Object, counters.submitted)},
    {"requests_completed", "counter", NULL, "Requests answered without an error.", VALUE_COUNT,
     offsetof(Object, counters.completed)},
    {"requests_failed", "counter", NULL, "Requests that ended in an error.", VALUE_COUNT,
     offsetof(Object, counters.failed)},
    {"requests_rejected", "counter", NULL, "Requests that were never queued.", VALUE_COUNT,
     offsetof(Object, counters.rejected)},
    {"received_bytes", "counter", "bytes", "Data of the requests queued.", VALUE_COUNT,
     offsetof(Object, counters.bytes_in)},
    {"sent_bytes", "counter", "bytes", "Data of their responses.", VALUE_COUNT,
     offsetof(Object, counters.bytes_out)},
    {"last_request_timestamp_seconds", "gauge", "seconds", "When the last request was queued.",
     VALUE_MOMENT, offsetof(Object, counters.last_request)},
};

static const Family vm_families[] = {
    {"connected", "gauge", NULL, "Whether the VM's device is connected.", VALUE_BOOL,
     offsetof(VMInfo, connected)},
    {"paused", "gauge", NULL, "Whether the VM's queue is held.", VALUE_BOOL,
     offsetof(VMInfo, paused)},
    {"quarantined", "gauge", NULL, "Whether the VM may not submit.", VALUE_BOOL,
     offsetof(VMInfo, quarantined)},
    {"queue_depth", "gauge", NULL, "Requests waiting.", VALUE_UINT, offsetof(VMInfo, queue_depth)},
};

static const Family pool_families[] = {
    {"paused", "gauge", NULL, "Whether the pool's queue is held.", VALUE_BOOL,
     offsetof(PoolInfo, paused)},
    {"queue_limit", "gauge", NULL, "The most requests that may wait.", VALUE_UINT,
     offsetof(PoolInfo, queue_limit)},
    {"requests_running_limit", "gauge", NULL, "The most requests on the device at once.",
     VALUE_UINT, offsetof(PoolInfo, in_flight_limit)},
    {"starvation_limit_seconds", "gauge", "seconds",
     "How long a request may be passed over by those of higher priority.", VALUE_SPAN,
     offsetof(PoolInfo, starvation_limit)},
    {"device_memory_bytes", "gauge", "bytes", "Memory that the device has.", VALUE_COUNT,
     offsetof(PoolInfo, memory_total)},
    {"executor_restarts", "counter", NULL, "How often an executor was replaced.", VALUE_COUNT,
     offsetof(PoolInfo, executor_restarts)},
};

/* ---- Writing ------------------------------------------------------------------------------ */

static void write_label(const char *name, const char *value, bool first)
{
    printf("%s%s=\"", first ? "" : ",", name);
    for (; *value; value++)
        if (*value == '\n')
            fputs("\\n", stdout);
        else if (*value == '"' || *value == '\\')
            printf("\\%c", *value);
        else
            putchar(*value);
    putchar('"');
}

static void write_head(const char *kind, const char *name, const char *type, const char *unit,
                       const char *help)
{
    printf("# TYPE vgpu_%s%s %s\n", kind, name, type);
    if (unit)
        printf("# UNIT vgpu_%s%s %s\n", kind, name, unit);
    printf("# HELP vgpu_%s%s %s\n", kind, name, help);
}

static void write_seconds(uint64_t usec)
{
    printf("%" PRIu64 ".%06" PRIu64, usec / USEC_PER_SEC, usec % USEC_PER_SEC);
}

static void write_value(const Family *f, const void *object)
{
    const void *value = (const char *) object + f->offset;

    switch (f->value) {
    case VALUE_UINT:
        printf("%" PRIu32, *(const uint32_t *) value);
        break;
    case VALUE_BOOL:
        printf("%d", *(const bool *) value);
        break;
    case VALUE_COUNT:
        printf("%" PRIu64, *(const uint64_t *) value);
        break;
    case VALUE_SPAN:
        if (*(const uint64_t *) value == UINT64_MAX)
            fputs("+Inf", stdout);
        else
            write_seconds(*(const uint64_t *) value);
        break;
    case VALUE_MOMENT:
        write_seconds(*(const uint64_t *) value);
        break;
    }
}

static bool is_never(const Family *f, const void *object)
{
    return f->value == VALUE_MOMENT && *(const uint64_t *) ((const char *) object + f->offset) == 0;
}

static void write_family(const Things *t, const Family *f)
{
    const char *suffix = strcmp(f->type, "counter") == 0 ? "_total" : "";
    char kind[8];

    snprintf(kind, sizeof(kind), "%s_", t->label);
    write_head(kind, f->name, f->type, f->unit, f->help);
    for (size_t i = 0; i < snapshot_size(t->snapshot, t->kind); i++) {
        const Object *object = snapshot_object(t->snapshot, t->kind, i);

        if (is_never(f, object))
            continue;
        printf("vgpu_%s%s%s{", kind, f->name, suffix);
        write_label(t->label, object->name, true);
        fputs("} ", stdout);
        write_value(f, object);
        putchar('\n');
    }
}

/* The canonical form of a bound, in seconds: a whole number has a decimal point, too. */
static void write_bound(uint64_t usec)
{
    char text[32];

    snprintf(text, sizeof(text), "%.9g", (double) usec / (double) USEC_PER_SEC);
    printf("%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

/* One object's buckets, their count and their sum. */
static void write_distribution(const Things *t, const Object *object, const char *name,
                               const Distribution *d, uint64_t sum_usec)
{
    uint64_t count = 0;

    for (unsigned i = 0; i <= N_BOUNDS; i++) {
        count += d->bucket[i];
        printf("vgpu_%s_%s_bucket{", t->label, name);
        write_label(t->label, object->name, true);
        fputs(",le=\"", stdout);
        if (i < N_BOUNDS)
            write_bound((UINT64_C(2) << i) - 1);
        else
            fputs("+Inf", stdout);
        printf("\"} %" PRIu64 "\n", count);
    }

    printf("vgpu_%s_%s_count{", t->label, name);
    write_label(t->label, object->name, true);
    printf("} %" PRIu64 "\n", count);
    printf("vgpu_%s_%s_sum{", t->label, name);
    write_label(t->label, object->name, true);
    fputs("} ", stdout);
    write_seconds(sum_usec);
    putchar('\n');
}

static void write_distributions(const Things *t)
{
    size_t n = snapshot_size(t->snapshot, t->kind);
    const Object *object;
    char kind[8];

    snprintf(kind, sizeof(kind), "%s_", t->label);
    write_head(kind, "wait_seconds", "histogram", "seconds", "Time that requests waited.");
    for (size_t i = 0; i < n; i++) {
        object = snapshot_object(t->snapshot, t->kind, i);
        write_distribution(t, object, "wait_seconds", &t->waits[i], object->counters.wait);
    }
    write_head(kind, "execution_seconds", "histogram", "seconds",
               "Time that completed requests took on the device.");
    for (size_t i = 0; i < n; i++) {
        object = snapshot_object(t->snapshot, t->kind, i);
        write_distribution(t, object, "execution_seconds", &t->executions[i],
                           object->counters.execution);
    }
}

/* ---- VMs, pools, the mediator --------------------------------------------------------------- */

static void write_vm_info(const Snapshot *s)
{
    write_head("", "vm", "info", NULL, "What a VM is.");
    for (size_t i = 0; i < s->n_vms; i++) {
        const VMInfo *vm = &s->vms[i];
        char id[16];

        snprintf(id, sizeof(id), "%" PRIu32, vm->id);
        fputs("vgpu_vm_info{", stdout);
        write_label("vm", vm->object.name, true);
        write_label("id", id, false);
        write_label("uuid", vm->uuid, false);
        write_label("pool", vm->pool, false);
        write_label("priority", vm->priority, false);
        fputs("} 1\n", stdout);
    }
}

static void write_pool_info(const Snapshot *s)
{
    write_head("", "pool", "info", NULL, "What a pool is.");
    for (size_t i = 0; i < s->n_pools; i++) {
        const PoolInfo *pool = &s->pools[i];

        fputs("vgpu_pool_info{", stdout);
        write_label("pool", pool->object.name, true);
        write_label("backend", pool->backend, false);
        write_label("devices", pool->devices, false);
        write_label("policy", pool->policy, false);
        fputs("} 1\n", stdout);
    }
}

static void write_pool_queues(const Snapshot *s)
{
    write_head("pool_", "queue_depth", "gauge", NULL, "Requests waiting.");
    for (size_t i = 0; i < s->n_pools; i++) {
        const PoolInfo *pool = &s->pools[i];
        const struct {
            const char *priority;
            uint32_t depth;
        } queues[] = {
            {"high", pool->queue_high}, {"medium", pool->queue_medium}, {"low", pool->queue_low}};

        for (size_t j = 0; j < ELEMENTSOF(queues); j++) {
            fputs("vgpu_pool_queue_depth{", stdout);
            write_label("pool", pool->object.name, true);
            write_label("priority", queues[j].priority, false);
            printf("} %" PRIu32 "\n", queues[j].depth);
        }
    }
}

static void write_mediator(const char *version, uint32_t connections)
{
    write_head("", "mediator", "info", NULL, "The mediator.");
    fputs("vgpu_mediator_info{", stdout);
    write_label("version", version, true);
    fputs("} 1\n", stdout);
    write_head("mediator_", "connections", "gauge", NULL, "Peers that are connected.");
    printf("vgpu_mediator_connections %" PRIu32 "\n", connections);
}

/* The limits of VMs follow from the table of settings. */
static void write_limits(const Things *vms)
{
    for (unsigned i = vm_limits_next(0); i < VM_N_SETTINGS; i = vm_limits_next(i + 1))
        write_family(vms, &(Family){.name = vm_settings[i].key,
                                    .type = "gauge",
                                    .help = vm_settings[i].help,
                                    .value = VALUE_UINT,
                                    .offset = offsetof(VMInfo, limits) + vm_settings[i].offset});
}

static void write_families(const Things *t, const Family *families, size_t n)
{
    for (size_t i = 0; i < n; i++)
        write_family(t, &families[i]);
}

static void write_vms(const Things *t)
{
    write_vm_info(t->snapshot);
    write_families(t, vm_families, ELEMENTSOF(vm_families));
    write_limits(t);
    write_families(t, counter_families, ELEMENTSOF(counter_families));
    write_distributions(t);
}

static void write_pools(const Things *t)
{
    write_pool_info(t->snapshot);
    write_pool_queues(t->snapshot);
    write_families(t, pool_families, ELEMENTSOF(pool_families));
    write_families(t, counter_families, ELEMENTSOF(counter_families));
    write_distributions(t);
}

/* ---- Fetching ----------------------------------------------------------------------------- */

static int read_distribution(sd_bus_message *m, Distribution *ret)
{
    uint64_t limit, count;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "(tt)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(m, "(tt)", &limit, &count)) > 0) {
        unsigned i = 0;

        while (i < N_BOUNDS && limit > (UINT64_C(2) << i) - 1)
            i++;
        ret->bucket[i] += count;
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int fetch_histograms(sd_bus *bus, const char *path, const char *interface,
                            sd_bus_error *error, Distribution *wait, Distribution *execution)
{
    CLEANUP_MESSAGE sd_bus_message *reply = NULL;
    int r;

    r = sd_bus_call_method(bus, VGPU_BUS_NAME, path, interface, "GetHistograms", error, &reply,
                           NULL);
    if (r >= 0)
        r = read_distribution(reply, wait);
    return r < 0 ? r : read_distribution(reply, execution);
}

/* A VM may be gone since the snapshot was taken. Then it is taken out of the snapshot. */
static int fetch_vms(sd_bus *bus, Snapshot *s, sd_bus_error *error, Distribution *waits,
                     Distribution *executions)
{
    for (size_t i = 0; i < s->n_vms;) {
        int r = fetch_histograms(bus, s->vms[i].object.path, VGPU_INTERFACE_VM, error, &waits[i],
                                 &executions[i]);

        if (r >= 0) {
            i++;
            continue;
        }
        if (!sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_OBJECT))
            return r;
        sd_bus_error_free(error);
        vm_info_release(&s->vms[i]);
        memmove(&s->vms[i], &s->vms[i + 1], (--s->n_vms - i) * sizeof(s->vms[0]));
    }
    return 0;
}

static int fetch_mediator(sd_bus *bus, sd_bus_error *error, char **ret_version,
                          uint32_t *ret_connections)
{
    int r;

    r = sd_bus_get_property_string(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                                   "Version", error, ret_version);
    return r < 0 ? r
                 : sd_bus_get_property_trivial(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                               VGPU_INTERFACE_MANAGER, "NConnections", error, 'u',
                                               ret_connections);
}

static int metrics_write(sd_bus *bus, Snapshot *s, sd_bus_error *error)
{
    size_t n = s->n_vms + s->n_pools + 1;
    CLEANUP_FREE Distribution *waits = calloc(n, sizeof(*waits));
    CLEANUP_FREE Distribution *executions = calloc(n, sizeof(*executions));
    CLEANUP_FREE char *version = NULL;
    Distribution *pool_waits, *pool_executions;
    uint32_t connections;
    int r;

    if (!waits || !executions)
        return -ENOMEM;
    pool_waits = waits + s->n_vms;
    pool_executions = executions + s->n_vms;

    r = fetch_mediator(bus, error, &version, &connections);
    if (r >= 0)
        r = fetch_vms(bus, s, error, waits, executions);
    for (size_t i = 0; i < s->n_pools && r >= 0; i++)
        r = fetch_histograms(bus, s->pools[i].object.path, VGPU_INTERFACE_POOL, error,
                             &pool_waits[i], &pool_executions[i]);
    if (r < 0)
        return r;

    write_mediator(version, connections);
    write_vms(&(Things){s, OBJECT_VM, "vm", waits, executions});
    write_pools(&(Things){s, OBJECT_POOL, "pool", pool_waits, pool_executions});
    puts("# EOF");
    return 0;
}

int verb_metrics(Context *c, int argc, char **argv)
{
    CLEANUP(cleanup_snapshot) Snapshot *s = NULL;
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus *bus = bus_client_bus(c->client);
    int r;

    (void) argc, (void) argv;

    if (c->options.table.json != JSON_OFF) {
        print_error("'metrics' has a format of its own, and takes no --json=.");
        return -EINVAL;
    }

    r = snapshot_get(bus, &error, &s);
    if (r >= 0)
        r = metrics_write(bus, s, &error);
    if (r < 0)
        print_error("Failed to get metrics: %s", bus_client_strerror(&error, r));
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two formats differ in little. Prometheus' own has no type "info" and no units, gives the
 * type to a counter's sample and not to its family, and has no end.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "metrics-text.h"
#include "text.h"
#include "vm-limits.h"

typedef enum ValueType {
    VALUE_UINT,   /* uint32_t */
    VALUE_COUNT,  /* uint64_t */
    VALUE_BOOL,   /* bool */
    VALUE_MOMENT, /* uint64_t, µs; 0: never */
    VALUE_SPAN,   /* uint64_t, µs; UINT64_MAX: infinite */
    VALUE_TIME,   /* uint64_t, µs; UINT64_MAX: not known */
} ValueType;

/* A metric of every VM or pool. The offset is in VMInfo or PoolInfo. */
typedef struct Family {
    const char *name, *type, *unit, *help;
    ValueType value;
    size_t offset;
} Family;

typedef struct Writer {
    FILE *f;
    MetricsFormat format;
} Writer;

/* All VMs, or all pools. */
typedef struct Things {
    const Snapshot *snapshot;
    ObjectKind kind;
    const char *label;                             /* "vm", "pool" */
    const MetricsDistribution *waits, *executions; /* one for each */
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
    {"without_device", "gauge", NULL, "Whether the VM was started without its device.", VALUE_BOOL,
     offsetof(VMInfo, without_device)},
    {"paused", "gauge", NULL, "Whether the VM's queue is held.", VALUE_BOOL,
     offsetof(VMInfo, paused)},
    {"quarantined", "gauge", NULL, "Whether the VM may not submit.", VALUE_BOOL,
     offsetof(VMInfo, quarantined)},
    {"queue_depth", "gauge", NULL, "Requests waiting.", VALUE_UINT, offsetof(VMInfo, queue_depth)},
    {"sessions", "gauge", NULL, "CUDA sessions.", VALUE_UINT, offsetof(VMInfo, sessions)},
    {"session_memory_bytes", "gauge", "bytes", "Device memory of the sessions.", VALUE_COUNT,
     offsetof(VMInfo, session_memory)},
    {"session_device_seconds", "counter", "seconds",
     "Time in which the device had work of a session.", VALUE_TIME,
     offsetof(VMInfo, session_device_time)},
    {"session_launches", "counter", NULL, "Kernels and graphs that sessions launched.", VALUE_COUNT,
     offsetof(VMInfo, session_launches)},
    {"session_to_device_bytes", "counter", "bytes", "What sessions copied to the device.",
     VALUE_COUNT, offsetof(VMInfo, session_to_device)},
    {"session_from_device_bytes", "counter", "bytes", "What sessions copied from the device.",
     VALUE_COUNT, offsetof(VMInfo, session_from_device)},
    {"session_faults", "counter", NULL, "Sessions that ended for a fault of the guest.",
     VALUE_COUNT, offsetof(VMInfo, session_faults)},
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
    {"busy_seconds", "counter", "seconds", "Time in which at least one request ran.", VALUE_TIME,
     offsetof(PoolInfo, busy)},
};

void metrics_distribution_add(MetricsDistribution *d, uint64_t limit, uint64_t count)
{
    unsigned i = 0;

    while (i < METRICS_N_BOUNDS && limit > (UINT64_C(2) << i) - 1)
        i++;
    d->bucket[i] += count;
}

/* ---- Names and labels --------------------------------------------------------------------- */

/* Both formats want UTF-8, whatever the locale is. */
static void write_label(const Writer *w, const char *name, const char *value, bool first)
{
    CLEANUP_FREE char *escaped = text_escape_utf8(value);

    fprintf(w->f, "%s%s=\"", first ? "" : ",", name);
    for (const char *p = escaped ? escaped : ""; *p; p++)
        if (*p == '"' || *p == '\\')
            fprintf(w->f, "\\%c", *p);
        else
            fputc(*p, w->f);
    fputc('"', w->f);
}

static const char *counter_suffix(const char *type)
{
    return strcmp(type, "counter") == 0 ? "_total" : "";
}

static void write_head(const Writer *w, const char *kind, const char *name, const char *type,
                       const char *unit, const char *help)
{
    const char *suffix = "";

    if (w->format == METRICS_PROMETHEUS && strcmp(type, "info") == 0) {
        suffix = "_info";
        type = "gauge";
    } else if (w->format == METRICS_PROMETHEUS) {
        suffix = counter_suffix(type);
    }
    fprintf(w->f, "# HELP vgpu_%s%s%s %s\n", kind, name, suffix, help);
    fprintf(w->f, "# TYPE vgpu_%s%s%s %s\n", kind, name, suffix, type);
    if (unit && w->format == METRICS_OPENMETRICS)
        fprintf(w->f, "# UNIT vgpu_%s%s %s\n", kind, name, unit);
}

/* ---- Values ------------------------------------------------------------------------------- */

static void write_seconds(const Writer *w, uint64_t usec)
{
    fprintf(w->f, "%" PRIu64 ".%06" PRIu64, usec / USEC_PER_SEC, usec % USEC_PER_SEC);
}

static void write_value(const Writer *w, const Family *f, const void *object)
{
    const void *value = (const char *) object + f->offset;

    switch (f->value) {
    case VALUE_UINT:
        fprintf(w->f, "%" PRIu32, *(const uint32_t *) value);
        break;
    case VALUE_BOOL:
        fprintf(w->f, "%d", *(const bool *) value);
        break;
    case VALUE_COUNT:
        fprintf(w->f, "%" PRIu64, *(const uint64_t *) value);
        break;
    case VALUE_SPAN:
        if (*(const uint64_t *) value == UINT64_MAX)
            fputs("+Inf", w->f);
        else
            write_seconds(w, *(const uint64_t *) value);
        break;
    case VALUE_MOMENT:
    case VALUE_TIME:
        write_seconds(w, *(const uint64_t *) value);
        break;
    }
}

static bool has_value(const Family *f, const void *object)
{
    const void *value = (const char *) object + f->offset;

    if (f->value == VALUE_MOMENT)
        return *(const uint64_t *) value != 0;
    return f->value != VALUE_TIME || *(const uint64_t *) value != UINT64_MAX;
}

static void write_family(const Writer *w, const Things *t, const Family *f)
{
    char kind[8];

    snprintf(kind, sizeof(kind), "%s_", t->label);
    write_head(w, kind, f->name, f->type, f->unit, f->help);
    for (size_t i = 0; i < snapshot_size(t->snapshot, t->kind); i++) {
        const Object *object = snapshot_object(t->snapshot, t->kind, i);

        if (!has_value(f, object))
            continue;
        fprintf(w->f, "vgpu_%s%s%s{", kind, f->name, counter_suffix(f->type));
        write_label(w, t->label, object->name, true);
        fputs("} ", w->f);
        write_value(w, f, object);
        fputc('\n', w->f);
    }
}

static void write_families(const Writer *w, const Things *t, const Family *families, size_t n)
{
    for (size_t i = 0; i < n; i++)
        write_family(w, t, &families[i]);
}

/* ---- Distributions ------------------------------------------------------------------------ */

/* The canonical form of a bound, in seconds: a whole number has a decimal point, too. */
static void write_bound(const Writer *w, uint64_t usec)
{
    char text[32];

    snprintf(text, sizeof(text), "%.9g", (double) usec / (double) USEC_PER_SEC);
    fprintf(w->f, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

/* One object's buckets, their count and their sum. */
static void write_distribution(const Writer *w, const Things *t, const Object *object,
                               const char *name, const MetricsDistribution *d, uint64_t sum_usec)
{
    uint64_t count = 0;

    for (unsigned i = 0; i <= METRICS_N_BOUNDS; i++) {
        count += d->bucket[i];
        fprintf(w->f, "vgpu_%s_%s_bucket{", t->label, name);
        write_label(w, t->label, object->name, true);
        fputs(",le=\"", w->f);
        if (i < METRICS_N_BOUNDS)
            write_bound(w, (UINT64_C(2) << i) - 1);
        else
            fputs("+Inf", w->f);
        fprintf(w->f, "\"} %" PRIu64 "\n", count);
    }

    fprintf(w->f, "vgpu_%s_%s_sum{", t->label, name);
    write_label(w, t->label, object->name, true);
    fputs("} ", w->f);
    write_seconds(w, sum_usec);
    fprintf(w->f, "\nvgpu_%s_%s_count{", t->label, name);
    write_label(w, t->label, object->name, true);
    fprintf(w->f, "} %" PRIu64 "\n", count);
}

static void write_distributions(const Writer *w, const Things *t)
{
    size_t n = snapshot_size(t->snapshot, t->kind);
    const Object *object;
    char kind[8];

    snprintf(kind, sizeof(kind), "%s_", t->label);
    write_head(w, kind, "wait_seconds", "histogram", "seconds", "Time that requests waited.");
    for (size_t i = 0; i < n; i++) {
        object = snapshot_object(t->snapshot, t->kind, i);
        write_distribution(w, t, object, "wait_seconds", &t->waits[i], object->counters.wait);
    }
    write_head(w, kind, "execution_seconds", "histogram", "seconds",
               "Time that completed requests took on the device.");
    for (size_t i = 0; i < n; i++) {
        object = snapshot_object(t->snapshot, t->kind, i);
        write_distribution(w, t, object, "execution_seconds", &t->executions[i],
                           object->counters.execution);
    }
}

/* ---- VMs, pools, the mediator --------------------------------------------------------------- */

static void write_vm_info(const Writer *w, const Snapshot *s)
{
    write_head(w, "", "vm", "info", NULL, "What a VM is.");
    for (size_t i = 0; i < s->n_vms; i++) {
        const VMInfo *vm = &s->vms[i];
        char id[16];

        snprintf(id, sizeof(id), "%" PRIu32, vm->id);
        fputs("vgpu_vm_info{", w->f);
        write_label(w, "vm", vm->object.name, true);
        write_label(w, "id", id, false);
        write_label(w, "uuid", vm->uuid, false);
        write_label(w, "pool", vm->pool, false);
        write_label(w, "priority", vm->priority, false);
        fputs("} 1\n", w->f);
    }
}

static void write_pool_info(const Writer *w, const Snapshot *s)
{
    write_head(w, "", "pool", "info", NULL, "What a pool is.");
    for (size_t i = 0; i < s->n_pools; i++) {
        const PoolInfo *pool = &s->pools[i];

        fputs("vgpu_pool_info{", w->f);
        write_label(w, "pool", pool->object.name, true);
        write_label(w, "backend", pool->backend, false);
        write_label(w, "devices", pool->devices, false);
        write_label(w, "session_devices", pool->session_devices ? pool->session_devices : "",
                    false);
        write_label(w, "policy", pool->policy, false);
        fputs("} 1\n", w->f);
    }
}

static void write_pool_queues(const Writer *w, const Snapshot *s)
{
    write_head(w, "pool_", "queue_depth", "gauge", NULL, "Requests waiting.");
    for (size_t i = 0; i < s->n_pools; i++) {
        const PoolInfo *pool = &s->pools[i];
        const struct {
            const char *priority;
            uint32_t depth;
        } queues[] = {
            {"high", pool->queue_high}, {"medium", pool->queue_medium}, {"low", pool->queue_low}};

        for (size_t j = 0; j < ELEMENTSOF(queues); j++) {
            fputs("vgpu_pool_queue_depth{", w->f);
            write_label(w, "pool", pool->object.name, true);
            write_label(w, "priority", queues[j].priority, false);
            fprintf(w->f, "} %" PRIu32 "\n", queues[j].depth);
        }
    }
}

static void write_mediator(const Writer *w, const Metrics *m)
{
    write_head(w, "", "mediator", "info", NULL, "The mediator.");
    fputs("vgpu_mediator_info{", w->f);
    write_label(w, "version", m->version, true);
    fputs("} 1\n", w->f);
    write_head(w, "mediator_", "connections", "gauge", NULL, "Peers that are connected.");
    fprintf(w->f, "vgpu_mediator_connections %" PRIu32 "\n", m->connections);
}

/* The limits of VMs follow from the table of settings. */
static void write_limits(const Writer *w, const Things *vms)
{
    for (unsigned i = vm_limits_next(0); i < VM_N_SETTINGS; i = vm_limits_next(i + 1)) {
        bool bytes = vm_settings[i].kind == VM_SETTING_IS_BYTES;
        char name[64];

        snprintf(name, sizeof(name), "%s%s", vm_settings[i].key, bytes ? "_bytes" : "");
        write_family(w, vms,
                     &(Family){.name = name,
                               .type = "gauge",
                               .unit = bytes ? "bytes" : NULL,
                               .help = vm_settings[i].help,
                               .value = bytes ? VALUE_COUNT : VALUE_UINT,
                               .offset = offsetof(VMInfo, limits) + vm_settings[i].offset});
    }
}

static void write_vms(const Writer *w, const Things *t)
{
    write_vm_info(w, t->snapshot);
    write_families(w, t, vm_families, ELEMENTSOF(vm_families));
    write_limits(w, t);
    write_families(w, t, counter_families, ELEMENTSOF(counter_families));
    write_distributions(w, t);
}

static void write_pools(const Writer *w, const Things *t)
{
    write_pool_info(w, t->snapshot);
    write_pool_queues(w, t->snapshot);
    write_families(w, t, pool_families, ELEMENTSOF(pool_families));
    write_families(w, t, counter_families, ELEMENTSOF(counter_families));
    write_distributions(w, t);
}

void metrics_text_write(FILE *f, MetricsFormat format, const Metrics *m)
{
    const Writer w = {f, format};

    write_mediator(&w, m);
    write_vms(&w, &(Things){m->snapshot, OBJECT_VM, "vm", m->vm_waits, m->vm_executions});
    write_pools(&w, &(Things){m->snapshot, OBJECT_POOL, "pool", m->pool_waits, m->pool_executions});
    if (format == METRICS_OPENMETRICS)
        fputs("# EOF\n", f);
}

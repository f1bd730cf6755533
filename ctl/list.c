/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* list and pools: a line for each VM or pool. */
#include <errno.h>
#include <fnmatch.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "list.h"
#include "overrides.h"
#include "text.h"

/* Long enough to count some requests, short enough to wait for. */
#define RATE_INTERVAL_USEC (200 * USEC_PER_MSEC)

#define ROW(info, title, key, type, member, drop)                   \
    {                                                               \
        title, key, type, offsetof(info, member), NULL, false, drop \
    }
#define VM(title, key, type, member, drop) ROW(VMInfo, title, key, type, member, drop)
#define POOL(title, key, type, member, drop) ROW(PoolInfo, title, key, type, member, drop)
#define COUNTER(title, info, key, type, member, drop) \
    ROW(info, title, key, type, object.counters.member, drop)

#define COUNTERS(info, share_title, share_key)                                             \
    COUNTER("RUNNING", info, "in_flight", COLUMN_UINT, in_flight, 9),                      \
        COUNTER("REQUESTS", info, "requests_completed", COLUMN_COUNT, completed, 11),      \
        COUNTER("FAILED", info, "requests_failed", COLUMN_COUNT, failed, 8),               \
        COUNTER(share_title, info, share_key, COLUMN_RATIO, share, 3),                     \
        COUNTER("RATE", info, "requests_per_second", COLUMN_RATE, rate, 4),                \
        COUNTER("WAIT-P50/us", info, "wait_p50_usec", COLUMN_USEC, wait_p50, 12),          \
        COUNTER("WAIT-P99/us", info, "wait_p99_usec", COLUMN_USEC, wait_p99, 6),           \
        COUNTER("RUN-P50/us", info, "execution_p50_usec", COLUMN_USEC, execution_p50, 13), \
        COUNTER("RUN-P99/us", info, "execution_p99_usec", COLUMN_USEC, execution_p99, 14)

const Column list_vm_columns[LIST_VM_COLUMNS] = {
    VM("NAME", "name", COLUMN_STRING, object.name, 0),
    VM("ID", "id", COLUMN_UINT, id, 10),
    VM("POOL", "pool", COLUMN_STRING, pool, 5),
    VM("PRIORITY", "priority", COLUMN_STRING, priority, 2),
    VM("STATE", "state", COLUMN_STATE, object.state, 1),
    VM("QUEUE", "queue_depth", COLUMN_UINT, queue_depth, 7),
    COUNTERS(VMInfo, "SHARE", "share"),
    VM("SESS", "sessions", COLUMN_UINT, sessions, 11),
    VM("MEM", "session_memory_bytes", COLUMN_BYTES, session_memory, 12),
    VM(NULL, "requests_rejected", COLUMN_COUNT, object.counters.rejected, 0),
    VM(NULL, "weight", COLUMN_UINT, limits.weight, 0),
    VM(NULL, "device_problem", COLUMN_STRING, device_problem, 0),
};

const Column list_pool_columns[LIST_POOL_COLUMNS] = {
    POOL("POOL", "name", COLUMN_STRING, object.name, 0),
    POOL("BACKEND", "backend", COLUMN_STRING, backend, 10),
    POOL("STATE", "state", COLUMN_STATE, object.state, 1),
    POOL("HIGH", "queue_depth_high", COLUMN_UINT, queue_high, 7),
    POOL("MEDIUM", "queue_depth_medium", COLUMN_UINT, queue_medium, 7),
    POOL("LOW", "queue_depth_low", COLUMN_UINT, queue_low, 7),
    COUNTERS(PoolInfo, "UTIL", "utilization"),
    POOL("POLICY", "policy", COLUMN_STRING, policy, 16),
    POOL("STARVATION/ms", "starvation_limit_usec", COLUMN_MSEC, starvation_limit, 17),
    POOL("DEVICES", "devices", COLUMN_STRING, devices, 15),
    POOL("SESSIONS ON", "session_devices", COLUMN_STRING, session_devices, 14),
    POOL(NULL, "device_memory_bytes", COLUMN_BYTES, memory_total, 0),
    POOL(NULL, "executor_restarts", COLUMN_COUNT, executor_restarts, 0),
    POOL(NULL, "busy_usec", COLUMN_USEC, busy, 0),
};

static void hide_empty_times(Counters *c)
{
    if (c->completed > 0 || c->failed > 0)
        return;
    c->wait_p50 = c->wait_p95 = c->wait_p99 = c->wait_max = UINT64_MAX;
    c->execution_p50 = c->execution_p95 = c->execution_p99 = c->execution_max = UINT64_MAX;
}

void list_hide_empty_times(Snapshot *s)
{
    for (ObjectKind kind = OBJECT_VM; kind <= OBJECT_POOL; kind++)
        for (size_t i = 0; i < snapshot_size(s, kind); i++)
            hide_empty_times(&snapshot_object(s, kind, i)->counters);
}

/* Takes two snapshots, a moment apart. The result is the later one, with rates. */
static int list_measure(BusClient *client, uint64_t interval_usec, sd_bus_error *error,
                        Snapshot **ret)
{
    CLEANUP(cleanup_snapshot) Snapshot *first = NULL;
    int r;

    r = snapshot_get(bus_client_bus(client), error, &first);
    if (r < 0)
        return r;
    if (interval_usec == 0 || (first->n_vms == 0 && first->n_pools == 0)) {
        *ret = TAKE_PTR(first);
        return 0;
    }

    (void) usleep((useconds_t) interval_usec);
    r = snapshot_get(bus_client_bus(client), error, ret);
    if (r >= 0)
        snapshot_set_rates(*ret, first);
    return r;
}

static int list_take_snapshot(Context *c, Snapshot **ret)
{
    uint64_t interval = c->options.interval_usec;
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    int r;

    r = list_measure(c->client, interval == UINT64_MAX ? RATE_INTERVAL_USEC : interval, &error,
                     ret);
    if (r < 0)
        print_error("Failed to list VMs and pools: %s", bus_client_strerror(&error, r));
    else
        list_hide_empty_times(*ret);
    return r;
}

/* Rows of VMInfo or PoolInfo, as they stand in a snapshot. */
typedef struct Rows {
    const char *name, *noun; /* what they are, in the plural: in JSON, and in words */
    const char *one, *state; /* for the message that there is none of a name */
    const Column *columns;
    size_t n_columns;
    const void *rows;
    size_t n, size;
} Rows;

static const Object *row_object(const Rows *r, size_t i)
{
    return (const Object *) ((const char *) r->rows + i * r->size);
}

/* Is it one of those that the user has named? A name may be a pattern. */
static bool is_named(const Object *object, char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(object->name, names[i]) == 0 || fnmatch(names[i], object->name, 0) == 0)
            return true;
    return n == 0;
}

/* Says which names there are not. Returns 0, or -ENOENT when there was one. */
static int list_check_names(const Rows *rows, char **names, int n)
{
    int r = 0;

    for (int i = 0; i < n; i++) {
        bool found = false;

        for (size_t j = 0; j < rows->n && !found; j++)
            found = is_named(row_object(rows, j), &names[i], 1);
        if (found)
            continue;
        print_error("No %s '%s' is %s.", rows->one, names[i], rows->state);
        r = -ENOENT;
    }
    return r;
}

/* Prints the rows with these names, or all. Each name is tried. */
static int list_print(Context *c, const Rows *rows, int n_names, char **names)
{
    CLEANUP_FREE char *named = malloc(rows->n * rows->size + 1);
    size_t n = 0;
    int missing, r;

    if (!named)
        return -ENOMEM;
    for (size_t i = 0; i < rows->n; i++)
        if (is_named(row_object(rows, i), names, n_names))
            memcpy(named + n++ * rows->size, row_object(rows, i), rows->size);

    missing = list_check_names(rows, names, n_names);
    if (missing < 0 && n == 0)
        return missing;
    open_pager(c);
    r = table_print(&c->options.table, rows->name, rows->noun, rows->columns, rows->n_columns,
                    named, n, rows->size);
    return r < 0 ? r : missing;
}

int verb_list(Context *c, int argc, char **argv)
{
    CLEANUP(cleanup_snapshot) Snapshot *s = NULL;
    int r;

    if (c->options.all && argc > 1) {
        print_error("With --all, list takes no names.");
        return -EINVAL;
    }
    if (c->options.all)
        return overrides_list(c);
    r = list_take_snapshot(c, &s);
    if (r < 0)
        return r;
    return list_print(c,
                      &(Rows){"vms", "VMs", "VM", "known", list_vm_columns, LIST_VM_COLUMNS, s->vms,
                              s->n_vms, sizeof(*s->vms)},
                      argc - 1, argv + 1);
}

int verb_pools(Context *c, int argc, char **argv)
{
    CLEANUP(cleanup_snapshot) Snapshot *s = NULL;
    int r;

    r = list_take_snapshot(c, &s);
    if (r < 0)
        return r;
    return list_print(c,
                      &(Rows){"pools", "pools", "pool", "configured", list_pool_columns,
                              LIST_POOL_COLUMNS, s->pools, s->n_pools, sizeof(*s->pools)},
                      argc - 1, argv + 1);
}

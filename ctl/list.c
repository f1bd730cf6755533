/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* list and pools: a line for each VM or pool. */
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "list.h"
#include "overrides.h"
#include "text.h"

/* Long enough to count some requests, short enough to wait for. */
#define RATE_INTERVAL_USEC (200 * USEC_PER_MSEC)

#define ROW(info, title, key, type, member)            \
    {                                                  \
        title, key, type, offsetof(info, member), NULL \
    }
#define VM(title, key, type, member) ROW(VMInfo, title, key, type, member)
#define POOL(title, key, type, member) ROW(PoolInfo, title, key, type, member)
#define COUNTER(title, info, key, type, member) ROW(info, title, key, type, object.counters.member)

#define COUNTERS(info)                                                              \
    COUNTER("RUNNING", info, "in_flight", COLUMN_UINT, in_flight),                  \
        COUNTER("REQUESTS", info, "requests_completed", COLUMN_COUNT, completed),   \
        COUNTER("FAILED", info, "requests_failed", COLUMN_COUNT, failed),           \
        COUNTER("RATE", info, "requests_per_second", COLUMN_RATE, rate),            \
        COUNTER("WAIT-P50", info, "wait_p50_usec", COLUMN_USEC, wait_p50),          \
        COUNTER("WAIT-P99", info, "wait_p99_usec", COLUMN_USEC, wait_p99),          \
        COUNTER("RUN-P50", info, "execution_p50_usec", COLUMN_USEC, execution_p50), \
        COUNTER("RUN-P99", info, "execution_p99_usec", COLUMN_USEC, execution_p99)

const Column list_vm_columns[LIST_VM_COLUMNS] = {
    VM("NAME", "name", COLUMN_STRING, object.name),
    VM("ID", "id", COLUMN_UINT, id),
    VM("POOL", "pool", COLUMN_STRING, pool),
    VM("PRIORITY", "priority", COLUMN_STRING, priority),
    VM("STATE", "state", COLUMN_STATE, object.state),
    VM("QUEUE", "queue_depth", COLUMN_UINT, queue_depth),
    COUNTERS(VMInfo),
    VM(NULL, "requests_rejected", COLUMN_COUNT, object.counters.rejected),
    VM(NULL, "weight", COLUMN_UINT, limits.weight),
};

const Column list_pool_columns[LIST_POOL_COLUMNS] = {
    POOL("POOL", "name", COLUMN_STRING, object.name),
    POOL("BACKEND", "backend", COLUMN_STRING, backend),
    POOL("STATE", "state", COLUMN_STATE, object.state),
    POOL("HIGH", "queue_depth_high", COLUMN_UINT, queue_high),
    POOL("MEDIUM", "queue_depth_medium", COLUMN_UINT, queue_medium),
    POOL("LOW", "queue_depth_low", COLUMN_UINT, queue_low),
    COUNTERS(PoolInfo),
    POOL("POLICY", "policy", COLUMN_STRING, policy),
    POOL("STARVATION", "starvation_limit_usec", COLUMN_USEC, starvation_limit),
    POOL("DEVICES", "devices", COLUMN_STRING, devices),
    POOL(NULL, "device_memory_bytes", COLUMN_BYTES, memory_total),
    POOL(NULL, "executor_restarts", COLUMN_COUNT, executor_restarts),
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

int verb_list(Context *c, int argc, char **argv)
{
    CLEANUP(cleanup_snapshot) Snapshot *s = NULL;
    int r;

    (void) argc, (void) argv;

    if (c->options.all)
        return overrides_list(c);
    r = list_take_snapshot(c, &s);
    if (r < 0)
        return r;
    open_pager(c);
    return table_print(&c->options.table, "vms", "VMs", list_vm_columns, LIST_VM_COLUMNS, s->vms,
                       s->n_vms, sizeof(*s->vms));
}

int verb_pools(Context *c, int argc, char **argv)
{
    CLEANUP(cleanup_snapshot) Snapshot *s = NULL;
    int r;

    (void) argc, (void) argv;

    r = list_take_snapshot(c, &s);
    if (r < 0)
        return r;
    open_pager(c);
    return table_print(&c->options.table, "pools", "pools", list_pool_columns, LIST_POOL_COLUMNS,
                       s->pools, s->n_pools, sizeof(*s->pools));
}

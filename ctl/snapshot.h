/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that the mediator tells about its VMs and pools, as of one moment. */
#ifndef VGPU_CTL_SNAPSHOT_H
#define VGPU_CTL_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "table.h"
#include "vm-settings.h"

/*
 * What VMs and pools have in common; see org.vgpu.Mediator1(5). Times in µs. A mediator that is
 * older than a property does not have it: then a number is not known, and a text is NULL.
 */
typedef struct Counters {
    uint32_t in_flight;
    uint64_t submitted, completed, failed, rejected;
    uint64_t bytes_in, bytes_out;
    uint64_t wait, wait_p50, wait_p95, wait_p99, wait_max;
    uint64_t execution, execution_p50, execution_p95, execution_p99, execution_max;
    uint64_t last_request;
    double rate;  /* completed requests a second; NAN: not known */
    double share; /* of the time, in which it ran, 0 to 1; NAN: not known */
} Counters;

/* Each VMInfo and each PoolInfo begins with this. */
typedef struct Object {
    char *path;
    char *name;
    const char *state; /* a word; VMInfo and PoolInfo say which there are */
    Counters counters;
} Object;

typedef struct VMInfo {
    Object object; /* its state: "quarantined", "paused", "connected", "no device" or "waiting" */
    char *uuid;
    char *pool, *configured_pool;
    char *priority, *configured_priority;
    uint32_t id, leader_pid, queue_depth;
    char *unit, *machine; /* whose processes it is; empty or NULL: it has a device */
    char *device_problem; /* why it has no device; empty or NULL: it has one, or is not started */
    char *quarantine_reason;    /* "administrator", "fault-limit", or empty; NULL: not known */
    uint64_t quarantined_until; /* CLOCK_REALTIME in µs; 0, UINT64_MAX: no end */
    uint64_t window_size;       /* bytes; 0: there is no ring */
    bool without_device;        /* it was started so, and device_problem says why */
    bool registered, connected, paused, quarantined;
    uint32_t sessions;       /* now. A mediator without CUDA sessions has 0 of all these */
    uint64_t session_memory; /* bytes, now */
    uint64_t session_device_time, session_launches, session_to_device, session_from_device,
        session_faults; /* of all sessions, those that have ended too */
    VMSettings limits;  /* the numbers alone: pool and priority are the words above */
} VMInfo;

typedef struct PoolInfo {
    Object object; /* its state: "paused", or that of the executor */
    char *backend;
    char *devices;         /* their names, with commas between them */
    char *session_devices; /* likewise, those of sessions; NULL: not known */
    char *policy;
    char *executor_state;
    uint64_t memory_total, executor_restarts;
    uint64_t starvation_limit; /* µs; UINT64_MAX: none */
    uint64_t busy;             /* µs in which a request ran; UINT64_MAX: not known */
    uint32_t queue_high, queue_medium, queue_low, queue_limit, in_flight_limit, executor_pid;
    bool paused;
} PoolInfo;

typedef struct Snapshot {
    VMInfo *vms; /* by name */
    size_t n_vms;
    PoolInfo *pools; /* by name */
    size_t n_pools;
    uint64_t usec; /* CLOCK_MONOTONIC */
} Snapshot;

typedef enum ObjectKind {
    OBJECT_VM,
    OBJECT_POOL,
} ObjectKind;

/* snapshot_size() - how many VMs or pools there are */
size_t snapshot_size(const Snapshot *s, ObjectKind kind);

/* snapshot_object() - the common part of the @i-th VM or pool */
Object *snapshot_object(const Snapshot *s, ObjectKind kind, size_t i);

/*
 * snapshot_call() - make the call whose reply snapshot_parse() reads
 * @ret: to be sent, and unreferenced
 *
 * Returns 0 or a negative errno.
 */
int snapshot_call(sd_bus *bus, sd_bus_message **ret);
int snapshot_parse(sd_bus_message *reply, Snapshot **ret);

/*
 * snapshot_get() - make the call, wait for the reply, and read it
 * @ret: to be freed
 *
 * Returns 0, or a negative errno with @error set.
 */
int snapshot_get(sd_bus *bus, sd_bus_error *error, Snapshot **ret);

/* snapshot_free() - takes NULL. Returns NULL */
Snapshot *snapshot_free(Snapshot *s);

/* snapshot_compare() - the order of VMs and of pools in a snapshot, for bsearch(): by name */
int snapshot_compare(const void *a, const void *b);

/* snapshot_set_rates() - compute the rates in @s from an earlier snapshot. Where counters have
 * been reset in between, there is no rate */
void snapshot_set_rates(Snapshot *s, const Snapshot *earlier);

/* snapshot_set_shares() - the same for the shares. Where they cannot be computed, what the
 * mediator itself says stays */
void snapshot_set_shares(Snapshot *s, const Snapshot *earlier);

/*
 * vm_info_get() - one VM
 * @ret: to be released with vm_info_release()
 *
 * Returns 0, or a negative errno with @error set.
 */
int vm_info_get(sd_bus *bus, const char *name, sd_bus_error *error, VMInfo *ret);

/* vm_info_release() - free what @vm points to */
void vm_info_release(VMInfo *vm);

/* Everything about a VM, as columns of a table of VMInfo. */
typedef struct VMColumns {
    Column column[64];
    size_t n;
} VMColumns;

VMColumns vm_info_columns(void);

static inline void cleanup_snapshot(Snapshot **s)
{
    snapshot_free(*s);
}

#endif

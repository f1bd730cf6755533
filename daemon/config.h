/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mediator.conf and its drop-ins, read once into plain data. mediator.conf(5)
 * describes the keys.
 */
#ifndef VGPU_CONFIG_H
#define VGPU_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "device-name.h"
#include "fault-limit.h"
#include "scheduler.h"
#include "vgpu-protocol.h"

#define CONFIG_N_POOLS (VGPU_POOL_LAST - VGPU_POOL_FIRST + 1)

typedef enum PoolBackend {
    POOL_BACKEND_AUTO, /* cuda where it works, else cpu */
    POOL_BACKEND_CPU,
    POOL_BACKEND_CUDA,
} PoolBackend;

/* What a peer gets that is no registered VM. */
typedef enum UnregisteredPolicy {
    UNREGISTERED_DEFAULT, /* refuse; allow where there is no bus to register on */
    UNREGISTERED_ALLOW,
    UNREGISTERED_REFUSE,
} UnregisteredPolicy;

/* How the sessions of a pool share a device. */
typedef enum PoolSharing {
    POOL_SHARING_FREE,  /* each submits when it likes */
    POOL_SHARING_TURNS, /* one at a time does */
} PoolSharing;

#define TURN_DEFAULT_USEC 5000u
#define AHEAD_DEFAULT_USEC 1000u
#define PATIENCE_DEFAULT_USEC 5000u
#define TURN_MAX_USEC 1000000u

#define BUSY_POLL_DEFAULT_USEC 50u

/* Bytes of the path of a socket, with its 0. */
#define CONFIG_SOCKET_SIZE 108u

#define CONFIG_WARM_SPARES_MAX 16u
#define CONFIG_SESSIONS_MAX 1024u

#define POOL_DEVICES_MAX 16u

/* By their names (device-name.h), none twice */
typedef struct PoolDevices {
    unsigned n; /* at least 1 */
    char name[POOL_DEVICES_MAX][DEVICE_NAME_SIZE];
} PoolDevices;

typedef struct PoolConfig {
    bool configured;
    PoolBackend backend;
    PoolDevices devices;            /* the executor is on the first, sessions on all */
    unsigned in_flight;             /* requests on the device at once, 1..EXECUTOR_SLOTS_MAX */
    unsigned busy_poll_usec;        /* see busy-poll.h; 0..BUSY_POLL_MAX_USEC */
    unsigned queue_limit;           /* requests waiting in the pool, 1..1000000 */
    SchedPolicy policy;             /* among requests of one priority */
    uint64_t starvation_limit_usec; /* until one is due; UINT64_MAX: never */
    uint64_t request_cost_max;    /* of one request, by request-cost.h; 0: the backend's default */
    uint64_t kernel_timeout_usec; /* of a session's kernel; UINT64_MAX: none */
    unsigned warm_spares;         /* executors for sessions to come on each device,
                                   * 0..CONFIG_WARM_SPARES_MAX */
    PoolSharing sharing;
    unsigned turn_usec;     /* see turns.h; 100..TURN_MAX_USEC */
    unsigned ahead_usec;    /* a session's work on the device; 100..TURN_MAX_USEC */
    unsigned patience_usec; /* see turns.h; 0..TURN_MAX_USEC */
} PoolConfig;

typedef struct Config {
    PoolConfig pools[CONFIG_N_POOLS]; /* index 0 is pool A */

    UnregisteredPolicy unregistered;

    unsigned max_connections;             /* 1..65536 */
    unsigned max_connections_per_process; /* likewise */
    unsigned max_connections_per_user;    /* that are no registered VM's; likewise */
    uint64_t window_size_max;             /* bytes; of a VM that is registered without a size */
    unsigned vm_queue_limit;       /* requests one VM may have waiting, 1..VM_QUEUE_LIMIT_MAX */
    uint64_t hello_timeout_usec;   /* until a peer says who it is; UINT64_MAX: any time */
    FaultLimit fault_limit;        /* when a VM is quarantined */
    uint64_t queue_timeout_usec;   /* waiting; UINT64_MAX: never */
    uint64_t request_timeout_usec; /* on the device */
    uint64_t drain_timeout_usec;   /* at the end of the service */

    unsigned sessions_max; /* CUDA sessions of all VMs, 1..CONFIG_SESSIONS_MAX */
    /* Of vgpu-executor.socket; "": executors of sessions are started by this process. */
    char executor_socket[CONFIG_SOCKET_SIZE];
} Config;

/* pool_backend_to_string() - "auto", "cpu" or "cuda"; static */
const char *pool_backend_to_string(PoolBackend backend);

/* sched_policy_to_string() - "fifo" or "fair"; static */
const char *sched_policy_to_string(SchedPolicy policy);

/*
 * config_load() - the defaults, then @path, then @path.d/?*.conf by name
 * @path: a file; may be absent, and so may the directory
 * @ret: set on success; no memory to release
 * @ret_error: on failure: a sentence that names the file, to be freed, or NULL for want of memory;
 *     may be NULL
 *
 * A line, a section or a value that cannot be used is a warning with file and line, and leaves the
 * setting as it was. Without any [Pool] section there is pool A.
 *
 * Returns 0, or a negative errno, after a line in the log, when a file that exists can't be read.
 */
int config_load(const char *path, Config *ret, char **ret_error);

#endif

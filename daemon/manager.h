/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The whole: pools, VMs, connections, the loop they share, and the service's
 * beginning and end.
 */
#ifndef VGPU_MANAGER_H
#define VGPU_MANAGER_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "access.h"
#include "bus.h"
#include "config.h"
#include "connection.h"
#include "eventfd-signaller.h"
#include "lane.h"
#include "peers.h"
#include "pool.h"
#include "vm.h"
#include "window.h"

#define MANAGER_IN_SIZE (64 * 1024)

struct Manager {
    sd_event *event;
    sd_bus *bus; /* NULL while there is none */
    BusKind bus_kind;
    sd_event_source *bus_retry;
    bool bus_warned;     /* that there is none, said once until there is */
    AccessList accesses; /* calls that wait for polkit */
    unsigned n_accesses;
    Config config;
    const char *config_path;
    const char *executor_path;
    const char *runtime_directory; /* NULL: none */
    const char *state_directory;

    PoolContext pool_context;
    Pool *pools[CONFIG_N_POOLS]; /* NULL where none is configured */

    VMList vms;
    void *vms_by_name; /* tsearch(3) */
    unsigned n_vms;

    Windows windows;
    RequestCache request_cache;
    LaneList lanes_kicked;
    sd_event_source *lanes_source;
    EventfdSignaller *signaller; /* NULL where the host has none to give */

    ConnectionList connections;
    Peers *peers;
    unsigned n_connections;
    unsigned max_connections;
    bool accept_warned; /* over the limit, said once until one closes */

    sd_event_source *listen;
    sd_event_source *accept_pause;
    sd_event_source *drain; /* while draining: looks whether all is done */
    sd_event_source *drain_timeout;
    bool draining;

    /* Every connection reads into this one; what is left of a message moves to
     * the connection. */
    char in[MANAGER_IN_SIZE];
};

/*
 * manager_new() - pools with their executors on the way, no socket yet
 * @config: copied
 * @config_path: where it came from, for a reload
 * @executor_path: of vgpu-executor; both must outlive the manager
 *
 * VMs registered with an earlier mediator are known again. SIGCHLD, SIGTERM,
 * SIGINT and SIGHUP must be blocked: the loop takes them. Returns 0 or a negative
 * errno.
 */
int manager_new(const Config *config, const char *config_path, const char *executor_path,
                Manager **ret);

/* manager_free() - closes and ends everything. NULL is fine */
Manager *manager_free(Manager *m);

/*
 * manager_listen() - serve a listening socket
 * @fd: owned from here on, also on failure
 */
int manager_listen(Manager *m, int fd);

/* manager_pool() - by letter; NULL when none is configured */
Pool *manager_pool(Manager *m, uint32_t name);

/* manager_dispatch() - run what there is room for in every pool */
void manager_dispatch(Manager *m);

/* manager_counter() - the sum over the pools of the uint64_t at @offset in Statistics */
uint64_t manager_counter(const Manager *m, size_t offset);

/*
 * manager_reload() - read the configuration again; no request is dropped
 *
 * Returns 0, or a negative errno with the old configuration in force.
 */
int manager_reload(Manager *m);

#endif

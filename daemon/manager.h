/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The whole: pools, VMs, peers, the loop they share, and the service's
 * beginning and end.
 */
#ifndef VGPU_MANAGER_H
#define VGPU_MANAGER_H

#include <systemd/sd-event.h>

#include "config.h"
#include "peer.h"
#include "pools.h"
#include "vm-registry.h"
#include "vm-sessions.h"

typedef struct Manager Manager;

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

/*
 * manager_reload() - read the configuration again; no request is dropped
 * @ret_error: when a file cannot be read: a sentence that names it, to be freed; else left alone;
 *     may be NULL
 *
 * Returns 0, or a negative errno with the old configuration in force.
 */
int manager_reload(Manager *m, char **ret_error);

/* manager_is_draining() - has it been told to end, and finishes what is queued? */
bool manager_is_draining(const Manager *m);

/* Its parts, which are its own. */
sd_event *manager_event(Manager *m);
Pools *manager_pools(Manager *m);
VMRegistry *manager_vms(Manager *m);
Peers *manager_peers(Manager *m);
RingSources *manager_rings(Manager *m);
Sessions *manager_sessions(Manager *m);

#endif

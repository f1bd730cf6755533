/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The executor's loop: requests in, operations to the backend, answers out. */
#ifndef VGPU_EXECUTOR_SERVER_H
#define VGPU_EXECUTOR_SERVER_H

#include "backend.h"
#include "link.h"

typedef struct ServerOptions {
    unsigned n_slots;        /* as the backend was opened with */
    unsigned busy_poll_usec; /* see busy-poll.h */
} ServerOptions;

/*
 * server_run() - serve one mediator until it hangs up
 * @ops, @backend: an open backend; stays the caller's
 * @link: to the mediator; stays the caller's
 * @ret_idle: whether nothing was left in flight; if so, the backend can be closed without
 *            waiting for a device that may never answer
 *
 * Reports on standard error why it ended, unless the mediator hung up.
 *
 * Returns an exit status: EXECUTOR_EXIT_OK, _FAILURE or _STICKY.
 */
int server_run(const BackendOps *ops, Backend *backend, const ServerOptions *options,
               const Link *link, bool *ret_idle);

#endif

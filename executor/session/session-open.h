/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a session is made of, from START on. What was made stays until the process ends, so nothing
 * is undone after a failure. */
#ifndef VGPU_SESSION_OPEN_H
#define VGPU_SESSION_OPEN_H

#include "session-core.h"

/* session_new() - without START; @socket stays the caller's. NULL when there is no memory */
Session *session_new(int socket);

/*
 * session_open_driver() - load the driver, and find the device, unless that is done
 * @device: as in SessionStart
 *
 * Returns 0, -ENODEV, -EIO or -ENOMEM; then started.cuda_result is set, and the log has the
 * reason.
 */
int session_open_driver(Session *s, const char *device);

/* session_open_warm() - make the device's primary context; returns as session_open_driver() */
int session_open_warm(Session *s);

/*
 * session_open() - all but the threads, from start and fds
 *
 * Returns 0; -EINVAL for what the mediator sent; -EPROTO when the guest's area is not as it has to
 * be, -EEXIST when something of this process lies where the guest has the window; then the header
 * says REFUSED; as session_open_driver(); or another negative errno. The log has the reason.
 * Fills in started, but for its error.
 */
int session_open(Session *s);

#endif

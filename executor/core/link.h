/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an executor inherits from the mediator that started it: executor-protocol.h. */
#ifndef VGPU_EXECUTOR_LINK_H
#define VGPU_EXECUTOR_LINK_H

#include "executor-queue.h"

typedef struct Link {
    int socket;
    int requests_event;
    int answers_event;
    ExecutorMemory *memory;
} Link;

/*
 * link_open() - check the descriptors from @first_fd on, and map the queues
 * @ret: needed until the process ends, so there is no link_close()
 *
 * Returns 0, -EINVAL when a descriptor is not what it is to be, or another negative errno.
 * Standard error has the reason.
 */
int link_open(int first_fd, Link *ret);

#endif

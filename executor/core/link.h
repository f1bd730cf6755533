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
 * link_open() - take up the descriptors from @first_fd on
 * @ret: never released: it is needed until the process ends
 *
 * Says on standard error what is wrong with them. Returns 0 or a negative errno.
 */
int link_open(int first_fd, Link *ret);

#endif

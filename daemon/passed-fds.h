/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors that a peer passes with its bytes (fd-passing.h), up to what a message can have.
 * Whatever arrives is counted here until somebody takes it or closes it.
 */
#ifndef VGPU_PASSED_FDS_H
#define VGPU_PASSED_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "vgpu-ring.h"

#define PASSED_FDS_MAX VGPU_RING_N_FDS

typedef struct PassedFds {
    unsigned n;
    int fd[PASSED_FDS_MAX];
} PassedFds;

static inline bool passed_fds_are_empty(const PassedFds *p)
{
    return p->n == 0;
}

/*
 * passed_fds_receive() - recv(2) without blocking, and the descriptors that come with it
 * @p: the descriptors are added here
 *
 * Returns the bytes received, 0 at the end of the stream, or a negative errno: -EPROTO when
 * more descriptors came than there is room for, -EMFILE when this process may open no more.
 * Those that did fit are in @p in either case.
 */
ssize_t passed_fds_receive(PassedFds *p, int socket, void *buf, size_t size);

/* passed_fds_take() - hand over all of them, if they are exactly @n */
bool passed_fds_take(PassedFds *p, int *ret, unsigned n);

/*
 * passed_fd_is_eventfd() - is this one an eventfd? Then it does not block from now on
 *
 * A descriptor of another kind could block the process that writes it or waits for it.
 */
bool passed_fd_is_eventfd(int fd);

/* passed_fds_close() - close them all */
void passed_fds_close(PassedFds *p);

#endif

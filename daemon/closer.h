/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Closes descriptors that came from a peer, without ever blocking the caller.
 *
 * close(2) of what a peer made can take as long as the peer likes: a TCP connection with SO_LINGER
 * waits until the other end, the peer's again, has taken all that was sent; a file of FUSE asks a
 * server of the peer's. It is enough that the peer closes its own descriptor first. The same goes
 * for descriptors that nobody received: the kernel closes them together with their socket. So
 * threads close what came from outside.
 */
#ifndef VGPU_CLOSER_H
#define VGPU_CLOSER_H

#include <stdbool.h>

/* closer_close() - close @fd, or let it be closed soon; negative is fine */
void closer_close(int fd);

/* closer_is_late() - do so many wait to be closed that there had better be no new ones? */
bool closer_is_late(void);

/* closer_wait() - wait until all are closed; for tests */
void closer_wait(void);

static inline void cleanup_closer(const int *fd)
{
    closer_close(*fd);
}

#define CLEANUP_CLOSER __attribute__((cleanup(cleanup_closer)))

#endif

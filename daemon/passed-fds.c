/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "closer.h"
#include "fd-passing.h"
#include "passed-fds.h"

ssize_t passed_fds_receive(PassedFds *p, int socket, void *buf, size_t size)
{
    int fds[FD_PASSING_MAX];
    unsigned n = 0, room = PASSED_FDS_MAX - p->n, kept;
    ssize_t r = fd_passing_receive(socket, buf, size, fds, FD_PASSING_MAX, &n);

    kept = n < room ? n : room;
    memcpy(&p->fd[p->n], fds, kept * sizeof(*fds));
    p->n += kept;
    for (unsigned i = kept; i < n; i++)
        closer_close(fds[i]);
    return n > kept && r >= 0 ? -EPROTO : r;
}

bool passed_fds_take(PassedFds *p, int *ret, unsigned n)
{
    if (p->n != n)
        return false;

    memcpy(ret, p->fd, n * sizeof(*ret));
    p->n = 0;
    return true;
}

bool passed_fd_is_eventfd(int fd)
{
    static const char expected[] = "anon_inode:[eventfd]";
    char path[40], target[sizeof(expected)];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof(target)) == sizeof(expected) - 1 &&
           memcmp(target, expected, sizeof(expected) - 1) == 0 &&
           fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0;
}

void passed_fds_close(PassedFds *p)
{
    for (unsigned i = 0; i < p->n; i++)
        closer_close(p->fd[i]);
    p->n = 0;
}

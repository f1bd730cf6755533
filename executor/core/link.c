/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "link.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int link_refuse(int fd, const char *what)
{
    warnx("descriptor %d is no %s", fd, what);
    return -EINVAL;
}

static int link_check_socket(int fd)
{
    int type = 0;
    socklen_t size = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
        return link_refuse(fd, "stream socket");
    return 0;
}

static int link_map_memory(int fd, ExecutorMemory **ret)
{
    struct stat st;
    void *memory;

    if (fstat(fd, &st) < 0 || st.st_size != sizeof(ExecutorMemory))
        return link_refuse(fd, "memory for the queues");

    memory = mmap(NULL, sizeof(ExecutorMemory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        int r = -errno;

        warnx("memory for the queues: %s", strerror(-r));
        return r;
    }
    *ret = memory;
    return 0;
}

int link_open(int first_fd, Link *ret)
{
    Link l = {
        .socket = first_fd + EXECUTOR_FD_SOCKET,
        .requests_event = first_fd + EXECUTOR_FD_REQUESTS_EVENT,
        .answers_event = first_fd + EXECUTOR_FD_ANSWERS_EVENT,
    };
    int r = link_check_socket(l.socket);

    if (r < 0)
        return r;
    for (int i = 0; i < EXECUTOR_N_FDS; i++)
        if (fcntl(first_fd + i, F_SETFD, FD_CLOEXEC) < 0)
            return link_refuse(first_fd + i, "descriptor of the mediator's");
    r = link_map_memory(first_fd + EXECUTOR_FD_MEMORY, &l.memory);
    if (r < 0)
        return r;

    *ret = l;
    return 0;
}

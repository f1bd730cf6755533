/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "executor-process.h"

/* The first of what the executor inherits, in its own numbers. */
#define FIRST_FD 3

void executor_process_close(ExecutorProcess *p)
{
    for (unsigned i = 0; i < EXECUTOR_N_FDS; i++) {
        if (p->fds[i] >= 0)
            close(p->fds[i]);
        p->fds[i] = -1;
    }
    if (p->memory)
        (void) munmap(p->memory, sizeof(*p->memory));
    p->memory = NULL;
}

static int spawn(const ExecutorOptions *options, const int fds[], pid_t *ret_pid)
{
    char pool[32], backend[32], device[64], slots[32], busy_poll[32], fd_arg[32];
    char *argv[] = {
        (char *) "vgpu-executor", pool, backend, device, slots, busy_poll, fd_arg, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int r;

    snprintf(pool, sizeof(pool), "--pool=%c", options->pool);
    snprintf(backend, sizeof(backend), "--backend=%s", options->backend);
    snprintf(device, sizeof(device), "--device=%s", options->device);
    snprintf(slots, sizeof(slots), "--slots=%u", options->slots);
    snprintf(busy_poll, sizeof(busy_poll), "--busy-poll=%u", options->busy_poll_usec);
    snprintf(fd_arg, sizeof(fd_arg), "--fd=%d", FIRST_FD);

    r = posix_spawn_file_actions_init(&actions);
    if (r != 0)
        return -r;
    for (int i = 0; i < EXECUTOR_N_FDS && r == 0; i++)
        r = posix_spawn_file_actions_adddup2(&actions, fds[i], FIRST_FD + i);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);

    if (r == 0)
        r = posix_spawn(ret_pid, options->path, &actions, &attributes, argv, environ);

    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* Takes @fd over. Returns one that has none of the numbers that the executor's are to have:
 * it could be overwritten before its turn comes to be copied there. */
static int move_away(int fd)
{
    int moved;

    if (fd < 0 || fd >= FIRST_FD + EXECUTOR_N_FDS)
        return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD + EXECUTOR_N_FDS);
    close(fd);
    return moved;
}

static int make_memory(ExecutorProcess *p)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    int fd = move_away(memfd_create("vgpu-executor", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    void *memory;

    p->fds[EXECUTOR_FD_MEMORY] = fd;
    if (fd < 0 || ftruncate(fd, sizeof(ExecutorMemory)) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
        return -errno;
    memory = mmap(NULL, sizeof(ExecutorMemory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;

    p->memory = memory;
    return 0;
}

/* Makes all that the two share; @ret_socket is the executor's end. */
static int make_connection(ExecutorProcess *p, int *ret_socket)
{
    int pair[2], r = make_memory(p);

    if (r < 0)
        return r;
    for (unsigned i = EXECUTOR_FD_REQUESTS_EVENT; i <= EXECUTOR_FD_ANSWERS_EVENT; i++) {
        p->fds[i] = move_away(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (p->fds[i] < 0)
            return -errno;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;

    p->fds[EXECUTOR_FD_SOCKET] = pair[0];
    *ret_socket = move_away(pair[1]);
    return *ret_socket < 0 ? -errno : 0;
}

int executor_process_start(ExecutorProcess *p, const ExecutorOptions *options)
{
    int fds[EXECUTOR_N_FDS], socket = -1, r = make_connection(p, &socket);

    if (r < 0)
        return r;

    memcpy(fds, p->fds, sizeof(fds));
    fds[EXECUTOR_FD_SOCKET] = socket;
    r = spawn(options, fds, &p->pid);
    close(socket);
    if (r < 0)
        p->pid = 0;
    return r;
}

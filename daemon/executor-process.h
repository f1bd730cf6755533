/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An executor's process, and what it shares with this one: a socket, two queues in
 * memory, and the eventfds that go with them. executor-protocol.h says what they are for.
 */
#ifndef VGPU_EXECUTOR_PROCESS_H
#define VGPU_EXECUTOR_PROCESS_H

#include <sys/types.h>

#include "executor-queue.h"

typedef struct ExecutorOptions {
    const char *path;    /* of vgpu-executor */
    const char *backend; /* "auto", "cpu" or "cuda" */
    const char *device;  /* device-name.h; outlives the process */
    unsigned slots;
    unsigned busy_poll_usec; /* how long either side looks before it sleeps; 0: not at all */
    char pool;               /* the letter, for log lines of either side */
} ExecutorOptions;

typedef struct ExecutorProcess {
    pid_t pid;               /* 0: there is none */
    int fds[EXECUTOR_N_FDS]; /* of the socket, this end; -1: not open */
    ExecutorMemory *memory;
} ExecutorProcess;

#define EXECUTOR_PROCESS_NONE ((ExecutorProcess){.fds = {-1, -1, -1, -1}})

/*
 * executor_process_start() - start one
 * @p: EXECUTOR_PROCESS_NONE, or closed. To be closed afterwards, after a failure too.
 *
 * Returns 0 or a negative errno; then there is no process.
 */
int executor_process_start(ExecutorProcess *p, const ExecutorOptions *options);

/* executor_process_close() - give back what was shared with it. The process is the caller's matter
 */
void executor_process_close(ExecutorProcess *p);

#endif

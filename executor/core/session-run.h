/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A CUDA session in a process of its own: vgpu-executor --session. */
#ifndef VGPU_EXECUTOR_SESSION_RUN_H
#define VGPU_EXECUTOR_SESSION_RUN_H

#include <stdbool.h>

/*
 * session_run() - serve one session, as session-protocol.h says
 * @fd: a connected SOCK_SEQPACKET
 * @argv: of this process, which may be executed once more with it: device addresses depend on the
 *     memory layout that a process starts with
 * @contained: give up what a session does not need (session-containment.h)
 *
 * Returns the exit status where nothing was begun. Otherwise the process ends in here.
 */
int session_run(int fd, char *argv[], bool contained);

#endif

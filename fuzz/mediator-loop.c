/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mediator-loop.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "closer.h"
#include "require.h"

/* They replace the library's. */
void log_context(int priority, const LogContext *context, const char *format, ...)
{
    (void) priority, (void) context, (void) format;
}

void log_event(const char *id, const LogContext *context, const LogChange *change,
               const char *format, ...)
{
    (void) id, (void) context, (void) change, (void) format;
}

Manager *mediator_loop_new(const char *executor_socket)
{
    Config config;
    Manager *m;
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    require(sigprocmask(SIG_BLOCK, &signals, NULL) == 0);

    require(config_load("/nonexistent/mediator.conf", &config, NULL) == 0);
    snprintf(config.executor_socket, sizeof(config.executor_socket), "%s",
             executor_socket ? executor_socket : "");
    require(manager_new(&config, "/nonexistent/mediator.conf", "/nonexistent/vgpu-executor", &m) ==
            0);
    while (!pools_next(manager_pools(m), NULL)->unavailable)
        require(sd_event_run(manager_event(m), UINT64_MAX) >= 0);
    return m;
}

void mediator_loop_run(Manager *m)
{
    while (sd_event_run(manager_event(m), 0) > 0)
        continue;
}

int mediator_loop_next_fd(Manager *m)
{
    int fd;

    closer_wait();
    origins_clear(&manager_peers(m)->origins);
    fd = dup(STDIN_FILENO);
    require(fd >= 0);
    close(fd);
    return fd;
}

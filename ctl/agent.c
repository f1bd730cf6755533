/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

/* The agent speaks to the user on standard output and error. They may be redirected. */
static void use_terminal(int fd)
{
    if (isatty(fd))
        return;

    int tty = open("/dev/tty", O_WRONLY | O_CLOEXEC);

    if (tty >= 0)
        (void) dup2(tty, fd);
}

static _Noreturn void exec_agent(int notify)
{
    char argument[32];

    (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    use_terminal(STDOUT_FILENO);
    use_terminal(STDERR_FILENO);
    snprintf(argument, sizeof(argument), "%d", notify);
    execlp("pkttyagent", "pkttyagent", "--notify-fd", argument, "--fallback", NULL);
    _exit(EXIT_FAILURE);
}

void agent_start(Agent *a)
{
    char byte;
    int fds[2];

    if (a->pid > 0 || geteuid() == 0 || !isatty(STDIN_FILENO) || pipe2(fds, O_CLOEXEC) < 0)
        return;

    a->pid = fork();
    if (a->pid == 0)
        /* dup(), because the agent needs a descriptor without O_CLOEXEC. */
        exec_agent(dup(fds[1]));

    /* The agent closes its end when it is ready, and so it does when it dies. */
    close(fds[1]);
    while (a->pid > 0 && read(fds[0], &byte, 1) < 0 && errno == EINTR)
        ;
    close(fds[0]);
}

void agent_stop(Agent *a)
{
    if (a->pid <= 0)
        return;

    (void) kill(a->pid, SIGTERM);
    /* The terminal may have stopped it. */
    (void) kill(a->pid, SIGCONT);
    while (waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    a->pid = 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The same environment variables and the same rules as in systemctl; see vgpuctl(1). */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "pager.h"
#include "text.h"

/* Quit when it fits or is interrupted, keep colours, chop long lines, leave the screen as it is. */
#define LESS_OPTIONS "FRSXMK"

/* In a session of somebody else, as under sudo, the pager must not let its user run programs. */
static bool must_be_secure(bool *ret_decided)
{
    const char *e = getenv("SYSTEMD_PAGERSECURE");
    uid_t owner;

    *ret_decided = e != NULL;
    if (e)
        return strcmp(e, "0") != 0 && strcasecmp(e, "no") != 0 && strcasecmp(e, "false") != 0 &&
               strcasecmp(e, "off") != 0;
    return sd_pid_get_owner_uid(0, &owner) >= 0 && owner != geteuid();
}

static const char *chosen_pager(void)
{
    const char *pager = getenv("SYSTEMD_PAGER");

    return pager ? pager : getenv("PAGER");
}

static bool is_wanted(void)
{
    const char *term = getenv("TERM"), *pager = chosen_pager();

    if (!isatty(STDOUT_FILENO) || !term || strcmp(term, "dumb") == 0)
        return false;
    return !pager || (*pager && strcmp(pager, "cat") != 0);
}

static _Noreturn void exec_pager(int input)
{
    const char *less = getenv("SYSTEMD_LESS"), *charset = getenv("SYSTEMD_LESSCHARSET");
    bool decided, secure = must_be_secure(&decided);
    const char *pager = chosen_pager();

    (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void) dup2(input, STDIN_FILENO);
    setenv("LESS", less ? less : LESS_OPTIONS, 1);
    if (charset)
        setenv("LESSCHARSET", charset, 1);
    if (secure)
        setenv("LESSSECURE", "1", 1);

    /* Another pager may have no secure mode. So only a user who has set SYSTEMD_PAGERSECURE may
     * choose it then. */
    if (pager && (!secure || decided))
        execl("/bin/sh", "sh", "-c", pager, NULL);
    execlp("less", "less", NULL);
    if (!secure)
        execlp("more", "more", NULL);
    execlp("cat", "cat", NULL);
    _exit(EXIT_FAILURE);
}

void pager_open(Pager *p)
{
    int fds[2];

    if (p->pid > 0 || !is_wanted() || pipe2(fds, O_CLOEXEC) < 0)
        return;

    (void) fflush(stdout);
    p->pid = fork();
    if (p->pid == 0)
        exec_pager(fds[0]);
    if (p->pid > 0) {
        (void) dup2(fds[1], STDOUT_FILENO);
        /* The user ends the pager, and we end after it. */
        (void) signal(SIGINT, SIG_IGN);
        (void) signal(SIGPIPE, SIG_IGN);
    }
    close(fds[0]);
    close(fds[1]);
}

/* Less ends with 2 at an interrupt, which is how its user leaves it as well. */
static bool pager_ended_well(int status)
{
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGHUP ||
               WTERMSIG(status) == SIGTERM;
    return WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2;
}

int pager_close(Pager *p)
{
    int status = 0, r = 0;

    assert(p->pid > 0);

    /* A pager that its user has left reads no more. */
    if (fclose(stdout) != 0 && errno != EPIPE)
        r = -errno;
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        ;
    p->pid = 0;

    if (r < 0)
        print_error("Failed to write to the pager: %s", strerror(-r));
    else if (WIFSIGNALED(status) && !pager_ended_well(status))
        print_error("The pager was ended by signal %d: the output may be incomplete.",
                    WTERMSIG(status));
    else if (!pager_ended_well(status))
        print_error("The pager ended with exit status %d: the output may be incomplete.",
                    WEXITSTATUS(status));
    return r < 0 ? r : pager_ended_well(status) ? 0 : -EIO;
}

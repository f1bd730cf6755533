/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test-ctl-run.h"
#include "test.h"

#define TIMEOUT_MSEC 10000

unsigned short ctl_terminal_columns = 100;

/* Becomes vgpuctl. The program is opened first: @uid may not have access to the build tree. */
static _Noreturn void become(uid_t uid, const char *const *arguments)
{
    int program = open(getenv("VGPU_CTL"), O_RDONLY | O_CLOEXEC);

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (uid != 0 && (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0))
        _exit(125);
    fexecve(program, (char *const *) arguments, environ);
    _exit(126);
}

static int exit_status(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static char *contents(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t) size + 1);

    assert_non_null(text);
    assert_int_equal(pread(fd, text, (size_t) size, 0), size);
    close(fd);
    return text;
}

/* ---- To its end --------------------------------------------------------------------------- */

/* Runs vgpuctl, or a shell's @script where there is one. */
static Ctl run(uid_t uid, const char *const *arguments, const char *script)
{
    int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pid_t pid = fork();
    Ctl c = {0};

    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(null, STDIN_FILENO);
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        if (!script)
            become(uid, arguments);
        execlp("bash", "bash", "--norc", "-c", script, NULL);
        _exit(126);
    }
    close(null);
    c.status = exit_status(pid);
    c.out = contents(out);
    c.err = contents(err);
    return c;
}

Ctl ctl_run_arguments(uid_t uid, const char *const *arguments)
{
    return run(uid, arguments, NULL);
}

Ctl ctl_shell(const char *script)
{
    return run(0, NULL, script);
}

void ctl_release(Ctl *c)
{
    free(c->out);
    free(c->err);
}

void ctl_expect_at(const char *file, int line, const char *const *arguments, int status,
                   const char *out, const char *err)
{
    Ctl c = run(0, arguments, NULL);

    if (c.status != status || strcmp(c.out, out) != 0 || strcmp(c.err, err) != 0) {
        print_error("vgpuctl %s %s exited with %d\nwrote:    %s\nexpected: %s\n"
                    "on standard error: %s\nexpected:          %s\n",
                    arguments[1] ? arguments[1] : "",
                    arguments[1] && arguments[2] ? arguments[2] : "", c.status, c.out, out, c.err,
                    err);
        _fail(file, line);
    }
    ctl_release(&c);
}

/* ---- Running on --------------------------------------------------------------------------- */

/* Starts vgpuctl, or a shell's @script where there is one. */
static void ctl_start_process(CtlProcess *p, uid_t uid, const char *const *arguments,
                              const char *script)
{
    int fds[2];

    *p = (CtlProcess){0};
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        dup2(fds[1], STDERR_FILENO);
        if (!script)
            become(uid, arguments);
        execlp("bash", "bash", "--norc", "-c", script, NULL);
        _exit(126);
    }
    close(fds[1]);
    p->fd = fds[0];
}

void ctl_start_arguments(CtlProcess *p, uid_t uid, const char *const *arguments)
{
    ctl_start_process(p, uid, arguments, NULL);
}

void ctl_start_shell(CtlProcess *p, const char *script)
{
    ctl_start_process(p, 0, NULL, script);
}

void ctl_start_terminal_arguments(CtlProcess *p, uid_t uid, const char *const *arguments)
{
    struct winsize size = {.ws_row = 24, .ws_col = ctl_terminal_columns};

    *p = (CtlProcess){0};
    p->pid = forkpty(&p->fd, NULL, NULL, &size);
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        setenv("TERM", "xterm", 1);
        become(uid, arguments);
    }
}

/* Returns false at the end. A terminal reports its end as an error. */
static bool read_more(CtlProcess *p)
{
    struct pollfd f = {.fd = p->fd, .events = POLLIN};
    ssize_t n;

    p->seen = realloc(p->seen, p->size + 65536 + 1);
    assert_non_null(p->seen);
    p->seen[p->size] = '\0';
    if (poll(&f, 1, TIMEOUT_MSEC) <= 0)
        fail_msg("vgpuctl writes nothing more; last: %s", p->seen);
    n = read(p->fd, p->seen + p->size, 65536);
    if (n < 0)
        assert_int_equal(errno, EIO);
    p->size += n > 0 ? (size_t) n : 0;
    p->seen[p->size] = '\0';
    return n > 0;
}

static void forget(CtlProcess *p, size_t n)
{
    p->size -= n;
    memmove(p->seen, p->seen + n, p->size + 1);
}

void ctl_wait_for(CtlProcess *p, const char *text)
{
    time_t start = time(NULL);
    const char *found;

    while (!p->seen || !(found = strstr(p->seen, text))) {
        if (!read_more(p))
            fail_msg("vgpuctl ended without writing '%s', but: %s", text, p->seen);
        if (time(NULL) - start > TIMEOUT_MSEC / 1000)
            fail_msg("vgpuctl does not write '%s', but: %.3000s", text, p->seen);
    }
    forget(p, (size_t) (found - p->seen) + strlen(text));
}

char *ctl_read_line(CtlProcess *p)
{
    char *end, *line;

    while (!p->seen || !(end = strchr(p->seen, '\n')))
        if (!read_more(p))
            fail_msg("vgpuctl ended without a further line, but: %s", p->seen);
    line = strndup(p->seen, (size_t) (end - p->seen));
    forget(p, (size_t) (end - p->seen) + 1);
    return line;
}

void ctl_press(CtlProcess *p, const char *keys)
{
    assert_int_equal(write(p->fd, keys, strlen(keys)), strlen(keys));
}

int ctl_end(CtlProcess *p, char **ret_rest)
{
    int status;

    while (read_more(p))
        ;
    status = exit_status(p->pid);
    close(p->fd);
    if (ret_rest)
        *ret_rest = p->seen;
    else
        free(p->seen);
    return status;
}

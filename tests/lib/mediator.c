/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mediator.h"

#define START_TIMEOUT_MSEC 20000

static int write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    if (!f)
        return -errno;
    fputs(text, f);
    return fclose(f) == 0 ? 0 : -errno;
}

/* Listens where NOTIFY_SOCKET will point, as a service manager would. */
static int open_notify(const TestMediator *m, struct sockaddr_un *ret)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/notify", m->directory);
    if (bind(fd, (struct sockaddr *) ret, sizeof(*ret)) < 0) {
        int r = -errno;

        close(fd);
        return r;
    }
    return fd;
}

static int wait_ready(int notify)
{
    struct pollfd p = {.fd = notify, .events = POLLIN};

    while (poll(&p, 1, START_TIMEOUT_MSEC) > 0) {
        char text[1024];
        ssize_t n = recv(notify, text, sizeof(text) - 1, 0);

        if (n < 0)
            return -errno;
        text[n] = '\0';
        if (strstr(text, "READY=1"))
            return 0;
    }
    return -ETIMEDOUT;
}

static void exec_mediator(const TestMediator *m, const char *bus, const char *notify)
{
    char listen_arg[128], config_arg[128], bus_arg[32], executor_arg[4200];
    const char *program = getenv("VGPU_MEDIATORD"), *executor = getenv("VGPU_EXECUTOR");
    const char *preload = getenv("VGPU_TEST_PRELOAD");
    int log = open(m->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

    if (log < 0)
        _exit(125);
    (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    setenv("NOTIFY_SOCKET", notify, 1);
    setenv("RUNTIME_DIRECTORY", m->runtime, 1);
    setenv("STATE_DIRECTORY", m->state, 1);
    if (preload)
        setenv("LD_PRELOAD", preload, 1);
    dup2(log, STDERR_FILENO);

    snprintf(listen_arg, sizeof(listen_arg), "--listen=%s", m->socket);
    snprintf(config_arg, sizeof(config_arg), "--config=%s", m->config);
    snprintf(bus_arg, sizeof(bus_arg), "--bus=%s", bus);
    snprintf(executor_arg, sizeof(executor_arg), "--executor=%s", executor);
    execl(program, program, listen_arg, config_arg, bus_arg, executor_arg, NULL);
    _exit(126);
}

int test_mediator_start(TestMediator *m, const char *config, const char *bus)
{
    int r;

    if (!getenv("VGPU_MEDIATORD") || !getenv("VGPU_EXECUTOR")) {
        fprintf(stderr, "VGPU_MEDIATORD and VGPU_EXECUTOR must name the programs\n");
        return -EINVAL;
    }

    *m = (TestMediator){.directory = "/tmp/vgpu-test-XXXXXX"};
    if (!mkdtemp(m->directory))
        return -errno;
    snprintf(m->socket, sizeof(m->socket), "%s/socket", m->directory);
    snprintf(m->config, sizeof(m->config), "%s/mediator.conf", m->directory);
    snprintf(m->log, sizeof(m->log), "%s/log", m->directory);

    snprintf(m->runtime, sizeof(m->runtime), "%s/run", m->directory);
    snprintf(m->state, sizeof(m->state), "%s/state", m->directory);
    if (mkdir(m->runtime, 0700) < 0 || mkdir(m->state, 0700) < 0)
        return -errno;

    r = write_file(m->config, config);
    return r < 0 ? r : test_mediator_run(m, bus);
}

int test_mediator_run(TestMediator *m, const char *bus)
{
    struct sockaddr_un address;
    int notify = open_notify(m, &address), r;

    if (notify < 0)
        return notify;

    m->pid = fork();
    if (m->pid == 0)
        exec_mediator(m, bus, address.sun_path);
    r = m->pid < 0 ? -errno : wait_ready(notify);
    close(notify);
    (void) unlink(address.sun_path);
    if (r < 0)
        fprintf(stderr, "the mediator did not become ready: %s\n", strerror(-r));
    return r;
}

int test_mediator_signal_and_wait(TestMediator *m, int signal)
{
    int status;

    (void) kill(m->pid, signal);
    if (waitpid(m->pid, &status, 0) < 0)
        return -errno;
    m->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void) st, (void) flag, (void) ftw;

    return remove(path);
}

int test_mediator_stop(TestMediator *m)
{
    int r = m->pid > 0 ? test_mediator_signal_and_wait(m, SIGTERM) : 0;

    if (r != 0) {
        char *log = test_mediator_log(m);

        fprintf(stderr, "the mediator ended with %d; its log:\n%s", r, log ? log : "");
        free(log);
    }
    (void) nftw(m->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return r;
}

char *test_mediator_log(const TestMediator *m)
{
    FILE *f = fopen(m->log, "re");
    char *text = NULL;
    size_t size = 0;

    if (!f)
        return NULL;
    if (getdelim(&text, &size, '\0', f) < 0) {
        free(text);
        text = NULL;
    }
    fclose(f);
    return text;
}

static int log_has(const TestMediator *m, const char *text)
{
    char *log = test_mediator_log(m);
    int found = log && strstr(log, text);

    free(log);
    return found;
}

int test_mediator_wait_log(const TestMediator *m, const char *text)
{
    struct pollfd p = {.fd = inotify_init1(IN_CLOEXEC), .events = POLLIN};
    int r = 0;

    if (p.fd < 0 || inotify_add_watch(p.fd, m->log, IN_MODIFY) < 0)
        return -errno;
    while (!log_has(m, text)) {
        char events[4096];

        if (poll(&p, 1, START_TIMEOUT_MSEC) <= 0 || read(p.fd, events, sizeof(events)) < 0) {
            r = -ETIMEDOUT;
            break;
        }
    }
    close(p.fd);
    return r;
}

pid_t test_mediator_executor(const TestMediator *m)
{
    char path[96];
    pid_t pid = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int) m->pid, (int) m->pid);
    f = fopen(path, "re");
    if (!f)
        return 0;
    if (fscanf(f, "%d", &pid) != 1)
        pid = 0;
    fclose(f);
    return pid;
}

static char state_of(pid_t pid)
{
    char path[40], state;
    FILE *f;
    int n;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
    f = fopen(path, "re");
    if (!f)
        return 0;
    n = fscanf(f, "%*d (%*[^)]) %c", &state);
    fclose(f);
    return n == 1 ? state : 0;
}

bool test_process_stop(pid_t pid)
{
    char state = 0;

    if (kill(pid, SIGSTOP) < 0)
        return false;
    while ((state = state_of(pid)) != 'T' && state != 0)
        sched_yield();
    return state == 'T';
}

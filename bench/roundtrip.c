/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scalar addition over the mediator's socket, beside two floors: the same client and the same
 * bytes against a bare server of one thread that polls, reads and writes back; and against that
 * server with a second process behind it that does the writing back, as the mediator has its
 * executor. All are measured in turn, several times; the results are medians, and medians of the
 * ratios.
 *
 * What it shows: what the mediator and the executor add to a Unix socket. What it does not show:
 * the device, the guest, or a GPU (the backend is cpu).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"
#include "mediator.h"
#include "wire.h"

#define REPETITIONS 7
#define ROUNDS_ONE 20000
#define ROUNDS_MANY 100000
#define MANY 64

typedef struct Run {
    double usec_per_request;
    double requests_per_second;
} Run;

/* ---- The floor ---------------------------------------------------------------- */

static void echo_serve(int listener)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    struct epoll_event events[MANY];
    char buf[4096];

    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(epoll, events, MANY, -1);

        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            ssize_t size;

            if (fd == listener) {
                e.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                epoll_ctl(epoll, EPOLL_CTL_ADD, e.data.fd, &e);
                continue;
            }
            size = read(fd, buf, sizeof(buf));
            if (size <= 0 || send(fd, buf, (size_t) size, MSG_NOSIGNAL) != size)
                close(fd);
        }
    }
}

/* The second process: it returns what it gets. */
static int worker_start(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        die("cannot make a socketpair");
    if (fork() == 0) {
        char buf[4096];
        ssize_t n;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        while ((n = recv(pair[1], buf, sizeof(buf), 0)) > 0 &&
               send(pair[1], buf, (size_t) n, MSG_NOSIGNAL) == n)
            continue;
        _exit(EXIT_SUCCESS);
    }
    close(pair[1]);
    return pair[0];
}

/* There is one connection, so it is clear whom the worker's answer is for. */
static void relay_serve(int listener)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC), worker = worker_start(), client = -1;
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    char buf[4096];

    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    e.data.fd = worker;
    epoll_ctl(epoll, EPOLL_CTL_ADD, worker, &e);
    while (epoll_wait(epoll, &e, 1, -1) > 0) {
        int fd = e.data.fd;
        ssize_t size;

        if (fd == listener) {
            client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            e = (struct epoll_event){.events = EPOLLIN, .data.fd = client};
            epoll_ctl(epoll, EPOLL_CTL_ADD, client, &e);
            continue;
        }
        size = read(fd, buf, sizeof(buf));
        if (size <= 0)
            close(fd);
        else
            (void) send(fd == worker ? client : worker, buf, (size_t) size, MSG_NOSIGNAL);
    }
}

static pid_t server_start(const char *path, void (*serve)(int))
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
        listen(fd, SOMAXCONN) < 0)
        die("cannot start a server");

    pid = fork();
    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(fd);
    }
    close(fd);
    return pid;
}

/* ---- The client ------------------------------------------------------------------ */

/* An answer of the mediator has 60 bytes, one of the echo 64. */
static void receive_answer(int fd)
{
    char buf[128];
    ssize_t n = recv(fd, buf, sizeof(buf), 0);

    if (n < (ssize_t) sizeof(VGPUSocketHeader))
        die("no answer");
}

static void send_one(int fd, uint32_t id)
{
    if (!wire_send_add(fd, 1, id, VGPU_PRIORITY_MEDIUM, id, 1))
        die("cannot send");
}

static Run run_one(const char *path, unsigned rounds)
{
    int fd = wire_connect(path);
    double begin;

    if (fd < 0)
        die("cannot connect");
    for (unsigned i = 0; i < rounds / 10; i++) {
        send_one(fd, i);
        receive_answer(fd);
    }

    begin = now_sec();
    for (unsigned i = 0; i < rounds; i++) {
        send_one(fd, i);
        receive_answer(fd);
    }
    double seconds = now_sec() - begin;

    close(fd);
    return (Run){seconds * 1e6 / rounds, rounds / seconds};
}

static Run run_many(const char *path, unsigned rounds)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC), fds[MANY];
    struct epoll_event events[MANY];
    unsigned done = 0;
    double begin;

    for (unsigned i = 0; i < MANY; i++) {
        struct epoll_event e = {.events = EPOLLIN};

        e.data.fd = fds[i] = wire_connect(path);
        if (fds[i] < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &e) < 0)
            die("cannot connect");
        send_one(fds[i], i);
        receive_answer(fds[i]);
    }

    begin = now_sec();
    for (unsigned i = 0; i < MANY; i++)
        send_one(fds[i], i);
    while (done < rounds) {
        int n = epoll_wait(epoll, events, MANY, -1);

        for (int i = 0; i < n; i++) {
            receive_answer(events[i].data.fd);
            send_one(events[i].data.fd, done++);
        }
    }
    double seconds = now_sec() - begin;

    for (unsigned i = 0; i < MANY; i++)
        close(fds[i]);
    close(epoll);
    return (Run){seconds * 1e6 / rounds, rounds / seconds};
}

/* ---- The comparison ----------------------------------------------------------------- */

int main(void)
{
    double floor_one[REPETITIONS], ours_one[REPETITIONS], ratio_one[REPETITIONS];
    double relay_one[REPETITIONS], over_relay[REPETITIONS];
    double floor_many[REPETITIONS], ours_many[REPETITIONS], ratio_many[REPETITIONS];
    TestMediator mediator;
    char echo_path[104], relay_path[104];
    pid_t echo, relay;

    if (test_mediator_start(&mediator, "[Pool A]\nBackend=cpu\n", "none") < 0)
        return EXIT_FAILURE;
    snprintf(echo_path, sizeof(echo_path), "%.64s/echo", mediator.directory);
    snprintf(relay_path, sizeof(relay_path), "%.64s/relay", mediator.directory);
    echo = server_start(echo_path, echo_serve);
    relay = server_start(relay_path, relay_serve);

    for (unsigned i = 0; i < REPETITIONS; i++) {
        floor_one[i] = run_one(echo_path, ROUNDS_ONE).usec_per_request;
        relay_one[i] = run_one(relay_path, ROUNDS_ONE).usec_per_request;
        ours_one[i] = run_one(mediator.socket, ROUNDS_ONE).usec_per_request;
        ratio_one[i] = ours_one[i] / floor_one[i];
        over_relay[i] = ours_one[i] / relay_one[i];
        floor_many[i] = run_many(echo_path, ROUNDS_MANY).requests_per_second;
        ours_many[i] = run_many(mediator.socket, ROUNDS_MANY).requests_per_second;
        ratio_many[i] = ours_many[i] / floor_many[i];
    }

    printf("scalar add, 1 connection:   echo %.1f us, mediator %.1f us, ratio %.2f (aim <= 2.2)\n",
           median(floor_one, REPETITIONS), median(ours_one, REPETITIONS),
           median(ratio_one, REPETITIONS));
    printf("  beside an echo through two processes: %.1f us, ratio %.2f\n",
           median(relay_one, REPETITIONS), median(over_relay, REPETITIONS));
    printf("scalar add, %d connections: echo %.0f/s, mediator %.0f/s, ratio %.2f (aim >= 0.4)\n",
           MANY, median(floor_many, REPETITIONS), median(ours_many, REPETITIONS),
           median(ratio_many, REPETITIONS));

    (void) kill(echo, SIGKILL);
    (void) waitpid(echo, NULL, 0);
    (void) kill(relay, SIGKILL);
    (void) waitpid(relay, NULL, 0);
    return test_mediator_stop(&mediator) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

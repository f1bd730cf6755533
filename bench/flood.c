/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a flood costs a neighbour: the time from request to answer of a VM of high priority that
 * adds every 2 ms, beside one process that keeps 20 connections full of messages, and reads what
 * they are answered: PINGs, requests of no operation, or additions of low priority.
 *
 * The floor, in the same turn: the neighbour beside processes that only spin, one for the flood's
 * own process and one for what the mediator does about it. On few cores that is the machine's part.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guests.h"
#include "measure.h"
#include "mediator.h"
#include "wire.h"

#define REPETITIONS 5
#define CONNECTIONS 20
#define REQUESTS 1000
#define PERIOD_USEC 2000
#define BATCH 64 /* messages in one send() */

typedef struct Message {
    VGPUSocketHeader header;
    VGPURequest request;
    uint32_t params[2];
} Message;

typedef struct Flood {
    const char *name;
    uint32_t msg_type;
    uint32_t opcode;
    uint32_t n_params;
} Flood;

static const Flood floods[] = {
    {"PINGs", VGPU_MSG_PING, 0, 0},
    {"requests of no operation", VGPU_MSG_REQUEST, 0x7777, 0},
    {"low additions", VGPU_MSG_REQUEST, VGPU_OP_CUDA_KERNEL, 2},
};

/* Returns the bytes of one message. */
static size_t flood_message(const Flood *f, unsigned connection, Message *ret)
{
    size_t payload = 0;

    memset(ret, 0, sizeof(*ret));
    if (f->msg_type == VGPU_MSG_REQUEST) {
        payload = sizeof(ret->request) + f->n_params * sizeof(ret->params[0]);
        ret->request = (VGPURequest){
            .version = VGPU_PROTOCOL_VERSION,
            .opcode = f->opcode,
            .param_count = f->n_params,
        };
    }
    ret->header =
        wire_header(f->msg_type, 1000 + connection, 1, VGPU_PRIORITY_LOW, (uint32_t) payload);
    return sizeof(ret->header) + payload;
}

/* A connection's stream never breaks in the middle of a message: what a send() has taken of a
 * batch is remembered. */
static void flood_for_ever(const char *socket_path, const Flood *f)
{
    static char batch[CONNECTIONS][BATCH * sizeof(Message)];
    struct pollfd p[CONNECTIONS];
    size_t at[CONNECTIONS] = {0}, size = 0;
    static char answers[256 * 1024];

    for (unsigned i = 0; i < CONNECTIONS; i++) {
        WireMessage first;
        Message m;

        p[i] = (struct pollfd){.fd = wire_connect(socket_path), .events = POLLIN | POLLOUT};
        if (p[i].fd < 0 || !wire_send_add(p[i].fd, 1000 + i, 0, VGPU_PRIORITY_LOW, 1, 1) ||
            wire_receive(p[i].fd, &first) != 1)
            _exit(EXIT_FAILURE);
        (void) fcntl(p[i].fd, F_SETFL, O_NONBLOCK);
        size = flood_message(f, i, &m);
        for (unsigned k = 0; k < BATCH; k++)
            memcpy(batch[i] + k * size, &m, size);
    }
    for (;;) {
        (void) poll(p, CONNECTIONS, -1);
        for (unsigned i = 0; i < CONNECTIONS; i++) {
            ssize_t n;

            if (p[i].revents & (POLLHUP | POLLERR))
                _exit(EXIT_FAILURE);
            if (p[i].revents & POLLIN)
                (void) !read(p[i].fd, answers, sizeof(answers));
            if (!(p[i].revents & POLLOUT))
                continue;
            n = send(p[i].fd, batch[i] + at[i], BATCH * size - at[i], MSG_NOSIGNAL);
            if (n > 0)
                at[i] = (at[i] + (size_t) n) % (BATCH * size);
        }
    }
}

static pid_t start(const char *socket_path, const Flood *f)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (f)
        flood_for_ever(socket_path, f);
    for (volatile unsigned spin = 0;; spin++)
        continue;
}

static void stop(pid_t pid)
{
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

/* The 99th percentile, in microseconds */
static double measure_requests(int fd)
{
    static double usec[REQUESTS];

    for (unsigned i = 0; i < REQUESTS; i++) {
        double begin = now_sec();
        WireMessage m;

        wire_send_add(fd, 1, i, VGPU_PRIORITY_HIGH, i, 1);
        if (wire_receive(fd, &m) != 1 || m.response.status != VGPU_ERROR_NONE)
            die("no answer");
        usec[i] = (now_sec() - begin) * 1e6;
        guest_pause(PERIOD_USEC);
    }
    qsort(usec, REQUESTS, sizeof(usec[0]), compare_double);
    return usec[REQUESTS * 99 / 100];
}

static void measure_flood(const char *socket_path, int fd, const Flood *f)
{
    double alone[REPETITIONS], floor[REPETITIONS], flooded[REPETITIONS], ratio[REPETITIONS];

    for (unsigned i = 0; i < REPETITIONS; i++) {
        pid_t a, b;

        alone[i] = measure_requests(fd);
        a = start(NULL, NULL);
        b = start(NULL, NULL);
        floor[i] = measure_requests(fd);
        stop(a);
        stop(b);
        a = start(socket_path, f);
        guest_pause(200000);
        flooded[i] = measure_requests(fd);
        if (waitpid(a, NULL, WNOHANG) != 0)
            die("the flood has ended");
        stop(a);
        guest_pause(200000);
        ratio[i] = flooded[i] / floor[i];
    }
    printf(
        "%s: p99 alone %.0f us, beside two that spin %.0f us, beside the flood %.0f us; ratio to "
        "those that spin %.2f\n",
        f->name, median(alone, REPETITIONS), median(floor, REPETITIONS),
        median(flooded, REPETITIONS), median(ratio, REPETITIONS));
    fflush(stdout);
}

int main(void)
{
    TestMediator mediator;
    WireMessage m;
    int fd;

    if (test_mediator_start(&mediator, "[Pool A]\nBackend=cpu\n[Unregistered]\nPolicy=allow\n",
                            "none") < 0)
        return EXIT_FAILURE;
    fd = wire_connect(mediator.socket);
    if (fd < 0 || !wire_send_add(fd, 1, 0, VGPU_PRIORITY_HIGH, 1, 1) || wire_receive(fd, &m) != 1)
        die("cannot connect");

    for (unsigned i = 0; i < sizeof(floods) / sizeof(floods[0]); i++)
        measure_flood(mediator.socket, fd, &floods[i]);

    close(fd);
    (void) test_mediator_stop(&mediator);
    return EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a reader of statistics costs the path of requests: requests a second over 64 connections,
 * without and with a process that reads every property of 100 VMs ten times a second
 * (GetManagedObjects). Both are measured in turn, several times; the result is the median of the
 * ratios. Also how long a change of priority takes from call to reply, for a VM that has 1,000
 * requests among 10,000, beside a call that changes nothing.
 *
 * What it shows: the whole machine's cost. Where there are few cores, the reader and the bus
 * daemon take their share of them, too.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "measure.h"
#include "mediator.h"
#include "names.h"
#include "private-bus.h"
#include "wire.h"

#define REPETITIONS 7
#define CONNECTIONS 64
#define VMS 100
#define REQUESTS 100000
#define READS 10 /* a second */

#define DEEP_VMS 10
#define DEEP_PER_VM 1000

static void register_vm(sd_bus *bus, unsigned i)
{
    char name[32], uuid[40];

    snprintf(name, sizeof(name), "vm%u", i);
    snprintf(uuid, sizeof(uuid), "00000000-0000-0000-0000-%012u", i + 1);
    if (sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                           "RegisterVM", NULL, NULL, "ssssa{sv}", name, uuid, "A", "medium", 1,
                           "QueueLimit", "u", DEEP_PER_VM + 1) < 0)
        die("cannot register");
}

static int connect_vm(const char *path, unsigned i)
{
    VGPUHello hello = {0};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 0, 0, 0, sizeof(hello));
    char digits[13];
    WireMessage m;
    int fd = wire_connect(path);

    /* These are the last twelve digits of the UUID. */
    snprintf(digits, sizeof(digits), "%012u", i + 1);
    for (unsigned b = 0; b < 6; b++)
        hello.uuid[10 + b] = (uint8_t) ((digits[2 * b] - '0') << 4 | (digits[2 * b + 1] - '0'));
    if (fd < 0 || !wire_send(fd, &h, &hello) || wire_receive(fd, &m) != 1 ||
        m.header.msg_type != VGPU_MSG_WELCOME)
        die("cannot connect");
    return fd;
}

/* ---- The reader ------------------------------------------------------------------- */

static void read_for_ever(void)
{
    sd_bus *bus = NULL;

    if (sd_bus_open_system(&bus) < 0)
        _exit(EXIT_FAILURE);
    for (double next = now_sec();; next += 1.0 / READS) {
        double wait = next - now_sec();

        if (wait > 0)
            usleep((useconds_t) (wait * 1e6));
        if (sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                               "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL,
                               NULL, NULL) < 0)
            _exit(EXIT_FAILURE);
    }
}

static pid_t start_reader(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        read_for_ever();
    }
    return pid;
}

/* ---- The load ---------------------------------------------------------------------- */

static double requests_per_second(const int *fds)
{
    struct epoll_event events[CONNECTIONS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    unsigned done = 0;
    double begin;

    for (unsigned i = 0; i < CONNECTIONS; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fds[i]};

        epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &e);
    }
    begin = now_sec();
    for (unsigned i = 0; i < CONNECTIONS; i++)
        wire_send_add(fds[i], 0, i, 0, i, 1);
    while (done < REQUESTS + CONNECTIONS) {
        int n = epoll_wait(epoll, events, CONNECTIONS, -1);

        for (int i = 0; i < n; i++) {
            WireMessage m;

            if (wire_receive(events[i].data.fd, &m) != 1)
                die("no answer");
            if (++done <= REQUESTS)
                wire_send_add(events[i].data.fd, 0, done, 0, done, 1);
        }
    }
    close(epoll);
    return REQUESTS / (now_sec() - begin);
}

static void measure_reader(const int *fds)
{
    double alone[REPETITIONS], read[REPETITIONS], ratio[REPETITIONS];

    (void) requests_per_second(fds);
    for (unsigned i = 0; i < REPETITIONS; i++) {
        pid_t reader;
        int status;

        alone[i] = requests_per_second(fds);
        reader = start_reader();
        read[i] = requests_per_second(fds);
        if (waitpid(reader, &status, WNOHANG) != 0)
            die("the reader failed");
        (void) kill(reader, SIGKILL);
        (void) waitpid(reader, NULL, 0);
        ratio[i] = read[i] / alone[i];
    }
    printf("statistics: %.0f requests/s alone, %.0f with %d VMs read %d times a second, ratio %.2f "
           "(aim >= 0.95)\n",
           median(alone, REPETITIONS), median(read, REPETITIONS), VMS, READS,
           median(ratio, REPETITIONS));
}

/* ---- A change of priority -------------------------------------------------------------- */

static double call_usec(sd_bus *bus, const char *priority)
{
    double begin = now_sec();
    int r = priority ? sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                          VGPU_INTERFACE_MANAGER, "SetVMPriority", NULL, NULL,
                                          "ssb", "vm0", priority, 1)
                     : sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                          VGPU_INTERFACE_MANAGER, "GetVM", NULL, NULL, "s", "vm0");

    if (r < 0)
        die("cannot call");
    return (now_sec() - begin) * 1e6;
}

/* Ten VMs queue a thousand requests each, in turn, in a paused pool. */
static void measure_priority(sd_bus *bus, const int *fds)
{
    double change[2 * REPETITIONS], nothing[2 * REPETITIONS];
    WireMessage m;

    if (sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_POOL "/A", VGPU_INTERFACE_POOL, "Pause",
                           NULL, NULL, NULL) < 0)
        die("cannot pause");
    for (unsigned i = 0; i < DEEP_PER_VM; i++)
        for (unsigned v = 0; v < DEEP_VMS; v++)
            wire_send_add(fds[v], 0, i, 0, i, 1);
    for (unsigned v = 0; v < DEEP_VMS; v++) {
        VGPUSocketHeader ping = wire_header(VGPU_MSG_PING, 0, 0, 0, 0);

        wire_send(fds[v], &ping, NULL);
        if (wire_receive(fds[v], &m) != 1 || m.header.msg_type != VGPU_MSG_PONG)
            die("not queued");
    }

    for (unsigned i = 0; i < 2 * REPETITIONS; i++) {
        nothing[i] = call_usec(bus, NULL);
        change[i] = call_usec(bus, i % 2 ? "medium" : "high");
    }
    printf("set-priority of 1,000 requests among 10,000: %.0f us from call to reply; a call that "
           "changes nothing: %.0f us (aim: < 1000 us between)\n",
           median(change, 2 * REPETITIONS), median(nothing, 2 * REPETITIONS));
}

int main(void)
{
    TestMediator mediator;
    int fds[CONNECTIONS];
    sd_bus *bus = NULL;
    TestBus test_bus;

    if (test_bus_start(&test_bus) < 0 ||
        test_mediator_start(&mediator, "[Pool A]\nBackend=cpu\n", "system") < 0 ||
        sd_bus_open_system(&bus) < 0)
        return EXIT_FAILURE;
    while (sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, "org.freedesktop.DBus.Peer",
                              "Ping", NULL, NULL, NULL) < 0)
        continue;

    for (unsigned i = 0; i < VMS; i++)
        register_vm(bus, i);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        fds[i] = connect_vm(mediator.socket, i);

    measure_reader(fds);
    measure_priority(bus, fds);

    sd_bus_flush_close_unref(bus);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    (void) test_mediator_stop(&mediator);
    test_bus_stop(&test_bus);
    return EXIT_SUCCESS;
}

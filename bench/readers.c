/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What readers of everything cost a request: the time from request to answer of a VM that does one
 * at a time, alone and beside four processes that ask for the properties of 1,000 VMs in a loop
 * (GetManagedObjects). Both are measured in turn, several times; the result is the median of the
 * ratios.
 *
 * Where there are few cores, the readers and the bus daemon take their share of them, too.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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
#define VMS 1000
#define READERS 4
#define REQUESTS 5000

static void register_vm(sd_bus *bus, unsigned i)
{
    char name[32], uuid[40];

    snprintf(name, sizeof(name), "vm%u", i);
    snprintf(uuid, sizeof(uuid), "00000000-0000-0000-0000-%012u", i + 1);
    if (sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                           "RegisterVM", NULL, NULL, "ssssa{sv}", name, uuid, "A", "medium", 0) < 0)
        die("cannot register");
}

/* Counts its answers into @fd. */
static void read_for_ever(int fd)
{
    sd_bus *bus = NULL;

    if (sd_bus_open_system(&bus) < 0)
        _exit(EXIT_FAILURE);
    while (sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                              "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL, NULL,
                              NULL) >= 0)
        if (write(fd, "", 1) != 1)
            break;
    _exit(EXIT_FAILURE);
}

static pid_t start_reader(int fd)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        read_for_ever(fd);
    }
    return pid;
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

/* In microseconds. */
static void measure_requests(int fd, double *ret_p50, double *ret_p99)
{
    static double usec[REQUESTS];

    for (unsigned i = 0; i < REQUESTS; i++) {
        double begin = now_sec();
        WireMessage m;

        wire_send_add(fd, 1, i, 0, i, 1);
        if (wire_receive(fd, &m) != 1)
            die("no answer");
        usec[i] = (now_sec() - begin) * 1e6;
    }
    qsort(usec, REQUESTS, sizeof(usec[0]), compare_double);
    *ret_p50 = usec[REQUESTS / 2];
    *ret_p99 = usec[REQUESTS * 99 / 100];
}

static void measure_readers(int fd)
{
    double alone50[REPETITIONS], alone99[REPETITIONS], read50[REPETITIONS], read99[REPETITIONS],
        ratio[REPETITIONS], answers[REPETITIONS];

    measure_requests(fd, &alone50[0], &alone99[0]);
    for (unsigned i = 0; i < REPETITIONS; i++) {
        pid_t readers[READERS];
        char bytes[4096];
        double begin;
        int fds[2];

        measure_requests(fd, &alone50[i], &alone99[i]);
        if (pipe(fds) < 0)
            die("pipe");
        for (unsigned k = 0; k < READERS; k++)
            readers[k] = start_reader(fds[1]);
        if (read(fds[0], bytes, 1) != 1)
            die("no reader");
        begin = now_sec();
        measure_requests(fd, &read50[i], &read99[i]);
        answers[i] = (double) read(fds[0], bytes, sizeof(bytes)) / (now_sec() - begin);
        for (unsigned k = 0; k < READERS; k++) {
            (void) kill(readers[k], SIGKILL);
            (void) waitpid(readers[k], NULL, 0);
        }
        close(fds[0]);
        close(fds[1]);
        ratio[i] = read99[i] / alone99[i];
    }
    printf("a request alone: p50 %.0f us, p99 %.0f us; beside %d readers of %d VMs: p50 %.0f us, "
           "p99 %.0f us, ratio of p99 %.2f (aim <= 2); the readers get %.1f answers/s\n",
           median(alone50, REPETITIONS), median(alone99, REPETITIONS), READERS, VMS,
           median(read50, REPETITIONS), median(read99, REPETITIONS), median(ratio, REPETITIONS),
           median(answers, REPETITIONS));
}

int main(void)
{
    TestMediator mediator;
    sd_bus *bus = NULL;
    TestBus test_bus;
    int fd;

    if (test_bus_start(&test_bus) < 0 ||
        test_mediator_start(&mediator, "[Pool A]\nBackend=cpu\n[Unregistered]\nPolicy=allow\n",
                            "system") < 0 ||
        sd_bus_open_system(&bus) < 0)
        return EXIT_FAILURE;
    while (sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, "org.freedesktop.DBus.Peer",
                              "Ping", NULL, NULL, NULL) < 0)
        continue;
    for (unsigned i = 0; i < VMS; i++)
        register_vm(bus, i);
    fd = wire_connect(mediator.socket);
    if (fd < 0)
        die("cannot connect");

    measure_readers(fd);

    sd_bus_flush_close_unref(bus);
    close(fd);
    (void) test_mediator_stop(&mediator);
    test_bus_stop(&test_bus);
    return EXIT_SUCCESS;
}

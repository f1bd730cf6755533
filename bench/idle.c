/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a mediator with 100 connected VMs costs while nothing happens: its memory,
 * and how often it wakes up. Each VM has said HELLO and had one request answered.
 *
 * What it shows: the mediator's own process (RSS as /proc counts it, libraries
 * shared with others included). What it does not show: the executor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mediator.h"
#include "wire.h"

#define VMS 100
#define IDLE_SECONDS 10

static long status_value(pid_t pid, const char *key)
{
    char path[64], line[256];
    long value = -1;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int) pid);
    f = fopen(path, "re");
    if (!f)
        return -1;
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtol(line + strlen(key), NULL, 10);
    fclose(f);
    return value;
}

static int connect_vm(const char *path, uint32_t id)
{
    VGPUHello hello = {.uuid = {(uint8_t) id, 1}};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, id, 0, VGPU_PRIORITY_MEDIUM, sizeof(hello));
    WireMessage m;
    int fd = wire_connect(path);

    if (fd < 0 || !wire_send(fd, &h, &hello) || wire_receive(fd, &m) != 1 ||
        !wire_send_add(fd, id, 1, VGPU_PRIORITY_MEDIUM, id, 1) || wire_receive(fd, &m) != 1 ||
        m.results.results[0] != id + 1)
        return -1;
    return fd;
}

int main(void)
{
    TestMediator mediator;
    int fds[VMS];
    long wakeups;

    if (test_mediator_start(
            &mediator, "[Pool A]\nBackend=cpu\n[Limits]\nConnectionsPerProcess=200\n", "none") < 0)
        return EXIT_FAILURE;
    for (uint32_t i = 0; i < VMS; i++) {
        fds[i] = connect_vm(mediator.socket, i);
        if (fds[i] < 0) {
            fprintf(stderr, "VM %u is not served\n", i);
            return EXIT_FAILURE;
        }
    }

    /* What is measured is the wake-ups in a span of time. */
    wakeups = status_value(mediator.pid, "voluntary_ctxt_switches:");
    sleep(IDLE_SECONDS);
    wakeups = status_value(mediator.pid, "voluntary_ctxt_switches:") - wakeups;

    printf("idle with %d VMs: RSS %.1f MB (aim <= 6), %ld wakeups in %d s (aim: 0 without a "
           "watchdog)\n",
           VMS, (double) status_value(mediator.pid, "VmRSS:") / 1024, wakeups, IDLE_SECONDS);

    for (unsigned i = 0; i < VMS; i++)
        close(fds[i]);
    return test_mediator_stop(&mediator) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

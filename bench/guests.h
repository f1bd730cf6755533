/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the benchmarks of priorities share: guests with a ring, which are no VMs but processes */
#ifndef BENCH_GUESTS_H
#define BENCH_GUESTS_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"
#include "mediator.h"
#include "ring-guest.h"
#include "wire.h"

/* Connects as an unregistered VM, and turns on a ring in a new window. Returns the connection. */
static inline int guest_start(const TestMediator *m, RingGuest *g, uint64_t window_size,
                              uint32_t entries, uint32_t id, uint8_t priority)
{
    const VGPUHello hello = {.features = VGPU_FEATURE_RING};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, id, 0, priority, sizeof(hello));
    WireMessage welcome, ready;
    int fd;

    if (ring_guest_open(g, window_size, 0, entries, 0) < 0)
        die("cannot make a window");
    fd = wire_connect(m->socket);
    if (fd < 0 || !wire_send(fd, &h, &hello) || wire_receive(fd, &welcome) != 1 ||
        !ring_guest_setup(g, fd, 1, VGPU_RING_N_FDS) || wire_receive(fd, &ready) != 1 ||
        ready.header.msg_type != VGPU_MSG_RING_READY)
        die("no ring");
    return fd;
}

/* Does the pool's backend find a device? */
static inline bool guest_has_device(RingGuest *g)
{
    const VGPUSubmission nop = ring_guest_nop(0);
    VGPUCompletion c;

    ring_guest_submit(g, &nop);
    return ring_guest_wait(g, &c, WIRE_TIMEOUT_MSEC) && c.status == VGPU_ERROR_NONE;
}

/* The next completion, which must come within @msec, without an error. */
static inline void guest_take(RingGuest *g, VGPUCompletion *ret, int msec)
{
    if (!ring_guest_wait(g, ret, msec))
        die("no completion");
    if (ret->status != VGPU_ERROR_NONE) {
        fprintf(stderr, "a request failed: %s\n", vgpu_error_to_string(ret->status));
        _exit(EXIT_FAILURE);
    }
}

/* Keeps the ring full of @s: call it for each completion. @owed: 0 at first. While an older request
 * is not completed, its place is not free, and no later one either. */
static inline void guest_submit_again(RingGuest *g, const VGPUSubmission *s, unsigned *owed)
{
    for (++*owed; *owed > 0 && ring_guest_room(g) > 0; --*owed)
        ring_guest_submit(g, s);
}

/* In a child, which ends with its parent: a guest of low priority whose ring is full of @s. */
static inline void guest_start_low(const TestMediator *m, RingGuest *g, uint64_t window_size,
                                   uint32_t entries, uint32_t id, const VGPUSubmission *s)
{
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void) guest_start(m, g, window_size, entries, id, VGPU_PRIORITY_LOW);
    for (unsigned i = 0; i < entries; i++)
        ring_guest_fill(g, s);
    (void) ring_guest_publish(g);
}

static inline void guest_pause(long us)
{
    const struct timespec ts = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    (void) nanosleep(&ts, NULL);
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "ring-guest.h"
#include "wire.h"

static uint32_t load(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *p, uint32_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static void full_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void place_ring(RingGuest *g, uint32_t begin)
{
    char *memory = g->window + g->setup.offset;

    g->header = (VGPURingHeader *) memory;
    g->submissions = (VGPUSubmission *) (memory + sizeof(VGPURingHeader));
    g->completions = (VGPUCompletion *) (g->submissions + g->setup.entries);
    *g->header = (VGPURingHeader){
        .sq_tail = begin,
        .cq_head = begin,
        .cq_event = begin,
        .sq_head = begin,
        .cq_tail = begin,
        .sq_event = begin,
    };
    g->sq_tail = g->sq_filled = g->cq_head = begin;
}

/* With the window's descriptor, which is taken over. */
static int open_ring(RingGuest *g, int window, uint64_t window_size, uint64_t offset,
                     uint32_t entries, uint32_t begin)
{
    *g = (RingGuest){
        .fds = {window, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)},
        .setup = {.offset = offset, .entries = entries},
        .window_size = window_size,
    };
    if (g->fds[0] < 0 || g->fds[1] < 0 || g->fds[2] < 0)
        return -errno;

    g->window = mmap(NULL, window_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->fds[0], 0);
    if (g->window == MAP_FAILED)
        return -errno;
    place_ring(g, begin);
    return 0;
}

int ring_guest_open_in(RingGuest *g, int memfd, uint64_t window_size, uint64_t offset,
                       uint32_t entries, uint32_t begin)
{
    if (memfd < 0 || ftruncate(memfd, (off_t) window_size) < 0 ||
        fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    return open_ring(g, memfd, window_size, offset, entries, begin);
}

int ring_guest_open(RingGuest *g, uint64_t window_size, uint64_t offset, uint32_t entries,
                    uint32_t begin)
{
    return ring_guest_open_in(g, memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING),
                              window_size, offset, entries, begin);
}

int ring_guest_open_beside(RingGuest *g, const RingGuest *other, uint64_t offset, uint32_t entries,
                           uint32_t begin)
{
    return open_ring(g, fcntl(other->fds[0], F_DUPFD_CLOEXEC, 0), other->window_size, offset,
                     entries, begin);
}

void ring_guest_close(RingGuest *g)
{
    (void) munmap(g->window, g->window_size);
    for (unsigned i = 0; i < VGPU_RING_N_FDS; i++)
        close(g->fds[i]);
}

bool ring_guest_setup(const RingGuest *g, int connection, uint32_t request_id, unsigned n_fds)
{
    VGPUSocketHeader h =
        wire_header(VGPU_MSG_RING_SETUP, 1, request_id, VGPU_PRIORITY_LOW, sizeof(g->setup));

    return wire_send_fds(connection, &h, &g->setup, g->fds, n_fds);
}

void ring_guest_fill(RingGuest *g, const VGPUSubmission *s)
{
    g->submissions[g->sq_filled++ & (g->setup.entries - 1)] = *s;
}

static void ring_doorbell(RingGuest *g)
{
    const uint64_t one = 1;

    g->n_doorbells++;
    (void) !write(g->fds[1], &one, sizeof(one));
}

bool ring_guest_publish(RingGuest *g)
{
    uint32_t before = g->sq_tail;

    g->sq_tail = g->sq_filled;
    store(&g->header->sq_tail, g->sq_tail);
    full_barrier();
    if (!vgpu_ring_must_notify(load(&g->header->sq_event), g->sq_tail, before))
        return false;
    ring_doorbell(g);
    return true;
}

void ring_guest_submit(RingGuest *g, const VGPUSubmission *s)
{
    ring_guest_fill(g, s);
    (void) ring_guest_publish(g);
}

uint32_t ring_guest_room(const RingGuest *g)
{
    return g->setup.entries - (g->sq_filled - load(&g->header->sq_head));
}

bool ring_guest_take(RingGuest *g, VGPUCompletion *ret)
{
    if (load(&g->header->cq_tail) == g->cq_head)
        return false;

    *ret = g->completions[g->cq_head++ & (g->setup.entries - 1)];
    store(&g->header->cq_head, g->cq_head);

    /* From a full ring: the mediator may wait for just that. */
    full_barrier();
    if (load(&g->header->cq_tail) == g->cq_head - 1 + g->setup.entries)
        ring_doorbell(g);
    return true;
}

static uint32_t n_completions(const RingGuest *g)
{
    return load(&g->header->cq_tail) - g->cq_head;
}

/* Asks for the signal of the @n-th completion from here on, unless that is there. */
static bool sleep_until_signal(RingGuest *g, uint32_t n, int timeout_msec)
{
    struct pollfd p = {.fd = g->fds[2], .events = POLLIN};
    uint64_t count;

    store(&g->header->cq_event, g->cq_head + n - 1);
    full_barrier();
    if (n_completions(g) >= n)
        return true;
    if (poll(&p, 1, timeout_msec) <= 0)
        return false;
    g->n_signals++;
    return read(g->fds[2], &count, sizeof(count)) == sizeof(count);
}

static int64_t now_msec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

bool ring_guest_wait_for(RingGuest *g, uint32_t n, int timeout_msec)
{
    int64_t end = now_msec() + timeout_msec;

    while (n_completions(g) < n) {
        int64_t left = end - now_msec();

        if (left <= 0 || (!g->spins && !sleep_until_signal(g, n, (int) left)))
            return false;
    }
    return true;
}

bool ring_guest_wait(RingGuest *g, VGPUCompletion *ret, int timeout_msec)
{
    return ring_guest_take(g, ret) ||
           (ring_guest_wait_for(g, 1, timeout_msec) && ring_guest_take(g, ret));
}

VGPUSubmission ring_guest_nop(uint64_t tag)
{
    return (VGPUSubmission){.tag = tag, .opcode = VGPU_OP_RING_NOP};
}

VGPUSubmission ring_guest_add(uint64_t tag, uint64_t count, uint64_t a, uint64_t b, uint64_t c)
{
    return (VGPUSubmission){
        .tag = tag,
        .opcode = VGPU_OP_RING_ADD,
        .type = VGPU_TYPE_INT64,
        .count = count,
        .a = {.offset = a, .stride = 1},
        .b = {.offset = b, .stride = 1},
        .c = {.offset = c, .stride = 1},
    };
}

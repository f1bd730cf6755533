/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting for completions. The order of things is explained in ring.h. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "ring.h"
#include "shared.h"
#include "uio.h"

#define PAUSE_MAX_NS 1000000u

/* Between two looks at memory. A wait that has such pauses is so long already that this adds little
 * to it, and they make it cheap. */
#define LOOK_PAUSE_MAX_NS 10000000u

/* A sleep ends after that long, to see whether the ring is still there. */
#define SLEEP_MAX_NS 250000000u

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* ---- By interrupt ----------------------------------------------------------- */

/* Interrupt at the @wanted-th completion from here on. */
static void arm(vgpu_ring *ring, size_t wanted)
{
    uint32_t after = wanted > ring->outstanding ? ring->outstanding : (uint32_t) wanted;

    shared_store(&ring->header->cq_event, ring->cq_head + (after > 0 ? after - 1 : 0));
    shared_barrier();
}

static void disarm(vgpu_ring *ring)
{
    shared_store(&ring->header->cq_event, ring->cq_head + (UINT32_C(1) << 31));
}

/* After an interrupt: let go of the line, and let the next one through. */
static int acknowledge(vgpu_ring *ring)
{
    int r;

    ring->counters.interrupts++;
    device_write(ring->dev, VGPU_REG_RING_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    r = uio_unmask(ring->config_fd);
    shared_barrier();
    return r;
}

int ring_open_interrupt(vgpu_ring *ring)
{
    int r;

    if (ring->uio_fd >= 0)
        return 0;

    r = uio_open(ring->dev, &ring->uio_fd, &ring->config_fd);
    if (r < 0)
        return r;

    disarm(ring);
    device_write(ring->dev, VGPU_REG_RING_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    device_write(ring->dev, VGPU_REG_RING_IRQ_CTRL, VGPU_IRQ_COMPLETION);
    r = uio_unmask(ring->config_fd);
    if (r < 0)
        ring_close_interrupt(ring);
    return r;
}

void ring_close_interrupt(vgpu_ring *ring)
{
    if (ring->uio_fd < 0)
        return;

    device_write(ring->dev, VGPU_REG_RING_IRQ_CTRL, 0);
    close(ring->uio_fd);
    close(ring->config_fd);
    ring->uio_fd = ring->config_fd = -1;
}

static deadline earlier(deadline a, deadline b)
{
    return a < b ? a : b;
}

/* One sleep. Returns how many have ended, or -ETIMEDOUT at @until, or another negative errno. */
static int sleep_once(vgpu_ring *ring, size_t wanted, deadline until)
{
    uint32_t n;
    bool woken;
    int r;

    arm(ring, wanted);
    n = ring_harvest(ring);
    if (n > 0)
        return (int) n;

    r = uio_sleep(ring->uio_fd, earlier(until, now_nsec() + SLEEP_MAX_NS));
    woken = r == 0;
    if (woken)
        r = acknowledge(ring);
    if (r < 0 && r != -ETIMEDOUT)
        return r;

    /* A ring that fails interrupts too. */
    n = ring_harvest(ring);
    if (n == 0)
        n = ring_check(ring, woken);
    if (n == 0 && deadline_left(until, now_nsec()) == 0)
        return -ETIMEDOUT;
    return (int) n;
}

/* Somebody else's interrupts on our line, or a host that makes too many, shall not take all of the
 * processor: pauses begin when many in a row have brought nothing. */
static int wait_sleeping(vgpu_ring *ring, size_t wanted, deadline until)
{
    uint64_t interrupts = ring->counters.interrupts;
    backoff pause = {0};
    int r;

    while ((r = sleep_once(ring, wanted, until)) == 0) {
        if (ring->counters.interrupts == interrupts)
            continue;
        interrupts = ring->counters.interrupts;
        backoff_pause(&pause, until, PAUSE_MAX_NS);
    }
    disarm(ring);
    return r < 0 ? r : 0;
}

/* ---- By looking -------------------------------------------------------------- */

static bool spin(vgpu_ring *ring, deadline until)
{
    deadline end;

    if (ring->spin_us == 0)
        return false;

    end = earlier(until, now_nsec() + (uint64_t) ring->spin_us * 1000);
    do {
        if (ring_has_new(ring))
            return ring_harvest(ring) > 0;
        relax();
    } while (now_nsec() < end);
    return false;
}

static int wait_polling(vgpu_ring *ring, deadline until)
{
    backoff pause = {0};

    while (backoff_pause(&pause, until, LOOK_PAUSE_MAX_NS))
        if (ring_harvest(ring) > 0 || ring_check(ring, false) > 0)
            return 0;
    return ring_harvest(ring) > 0 || ring_check(ring, until != 0) > 0 ? 0 : -ETIMEDOUT;
}

/* ---- Both --------------------------------------------------------------------- */

int ring_progress(vgpu_ring *ring, size_t wanted, deadline until)
{
    if (ring_harvest(ring) > 0 || ring->outstanding == 0 || spin(ring, until))
        return 0;
    if (ring->uio_fd >= 0 && until != 0)
        return wait_sleeping(ring, wanted, until);
    return wait_polling(ring, until);
}

int vgpu_ring_wait(vgpu_ring *ring, size_t n, int timeout_ms)
{
    deadline until = deadline_after(timeout_ms);
    size_t called = 0;
    int r;

    if (ring->calling)
        return -EDEADLK;

    ring_harvest(ring);
    for (;;) {
        called += ring_call_back(ring);
        if (ring->to_take.n + called >= n || ring->outstanding == 0)
            return 0;

        r = ring_progress(ring, n - ring->to_take.n - called, until);
        if (r < 0)
            return r;
    }
}

/* Take out of the queue of what has ended. */
static void take(vgpu_ring *ring, slot *wanted, vgpu_completion *ret)
{
    slot_queue rest = {0};
    slot *s;

    while ((s = slot_queue_pop(&ring->to_take)))
        if (s != wanted)
            slot_queue_push(&rest, s);
    ring->to_take = rest;

    *ret = wanted->completion;
    slot_release(ring, wanted);
}

int vgpu_ring_wait_for(vgpu_ring *ring, uint64_t id, int timeout_ms, vgpu_completion *ret)
{
    deadline until = deadline_after(timeout_ms);
    uint32_t number = id & UINT16_MAX;
    slot *s;
    int r;

    if (ring->calling)
        return -EDEADLK;
    if (number >= ring->entries)
        return -ENOENT;
    s = &ring->slots[number];
    if (s->state == SLOT_FREE || s->completion.id != id || s->callback)
        return -ENOENT;

    while (s->state == SLOT_OUTSTANDING) {
        r = ring_progress(ring, 1, until);
        ring_call_back(ring);
        if (r < 0 && s->state == SLOT_OUTSTANDING)
            return r;
    }

    take(ring, s, ret);
    return 0;
}

int ring_wait_room(vgpu_ring *ring, deadline until)
{
    backoff pause = {0};
    int r;

    for (;;) {
        ring_harvest(ring);
        ring_call_back(ring);
        if (ring_has_room(ring))
            return 0;
        if (ring->failure != 0)
            return ring->failure;
        if (ring->n_free == 0 && ring->outstanding == 0)
            return -EAGAIN;

        /* Slots become free by completions. Entries by sq_head, for which there is no event, but it
         * moves only right after a completion. */
        if (ring->n_free == 0) {
            if (ring->to_take.n > 0)
                return -EAGAIN;
            r = ring_progress(ring, 1, until);
            if (r < 0)
                return r;
        } else if (!backoff_pause(&pause, until, PAUSE_MAX_NS)) {
            return -ETIMEDOUT;
        } else {
            ring_check(ring, false);
        }
    }
}

int vgpu_ring_wait_room(vgpu_ring *ring, int timeout_ms)
{
    return ring->calling ? -EDEADLK : ring_wait_room(ring, deadline_after(timeout_ms));
}

int vgpu_ring_run(vgpu_ring *ring, vgpu_job *job, int timeout_ms, vgpu_completion *ret)
{
    deadline until = deadline_after(timeout_ms);
    vgpu_completion completion;
    int r;

    if (ring->calling)
        return -EDEADLK;
    if (job->callback)
        return -EINVAL;

    while ((r = vgpu_ring_submit(ring, job, 1, NULL)) == -EAGAIN) {
        r = ring_wait_room(ring, until);
        if (r != 0)
            return r;
    }
    if (r != 0)
        return r;

    r = vgpu_ring_wait_for(ring, job->id, timeout_ms, &completion);
    if (r < 0)
        return r;
    if (ret)
        *ret = completion;
    return completion.result;
}

/* ---- Choosing ------------------------------------------------------------------ */

int vgpu_ring_set_wait(vgpu_ring *ring, vgpu_wait_mode mode, uint32_t spin_us)
{
    int r;

    if (mode == VGPU_WAIT_INTERRUPT) {
        r = ring_open_interrupt(ring);
        if (r < 0)
            return r;
    } else {
        ring_close_interrupt(ring);
    }
    ring->spin_us = spin_us;
    return 0;
}

int vgpu_ring_get_fd(const vgpu_ring *ring)
{
    return ring->uio_fd >= 0 ? ring->uio_fd : -ENXIO;
}

int vgpu_ring_arm(vgpu_ring *ring)
{
    bool woken;
    int r;

    if (ring->uio_fd < 0)
        return -ENXIO;

    /* An interrupt that was there before is answered first, or the descriptor stays readable. */
    r = uio_sleep(ring->uio_fd, 0);
    woken = r == 0;
    if (woken)
        r = acknowledge(ring);
    if (r < 0 && r != -ETIMEDOUT)
        return r;

    arm(ring, 1);
    if (ring_harvest(ring) == 0 && woken)
        ring_check(ring, true);
    if (ring->to_call.n == 0 && ring->to_take.n == 0)
        return 0;
    disarm(ring);
    return -EAGAIN;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session through a device of this virtual machine. The process takes a free ring of the device
 * by its lock (lock.c), which ends with the process; a keeper (ring-keeper.c) turns off the rings
 * of processes that have died.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "device.h"
#include "mmio.h"
#include "ring-keeper.h"
#include "session-rings.h"
#include "transport.h"
#include "vgpu-ring.h"

#define PAUSE_MAX_NS 1000000u
#define TAKE_PAUSE_MAX_NS 10000000u
#define QUIET_TIMEOUT_MS 2000

typedef struct transport_pci {
    transport base;
    vgpu_device *dev;
    uint32_t ring; /* whose lock it has, or 0 */
    bool is_on;    /* has it been turned on? */
    interrupt interrupt;
} transport_pci;

static transport_pci *transport_pci_of(transport *t)
{
    return (transport_pci *) t;
}

/* The handle counts accesses for one thread at a time; these are made by any. */
static uint32_t ring_read(transport_pci *p, uint32_t reg)
{
    return mmio_read(p->dev->bar, vgpu_session_register(p->ring, reg));
}

static void ring_write(transport_pci *p, uint32_t reg, uint32_t value)
{
    mmio_write(p->dev->bar, vgpu_session_register(p->ring, reg), value);
}

/* ---- Operations of the transport --------------------------------------------- */

/* What CTRL says. Returns 0 while the ring is on or about to be. */
static int pci_failure(transport_pci *p, uint32_t state, transport_failure *ret)
{
    if (state == VGPU_RING_ON || state == VGPU_RING_STARTING)
        return 0;

    *ret = (transport_failure){.error = VGPU_ERROR_MEDIATOR_UNAVAILABLE};
    if (state == VGPU_RING_FAILED) {
        uint32_t error = ring_read(p, VGPU_SESSION_REG_ERROR);

        if (error != VGPU_ERROR_NONE)
            ret->error = error;
        ret->cuda_result = ring_read(p, VGPU_SESSION_REG_CUDA_RESULT);
    }
    return 1;
}

static int pci_check(transport *t, transport_failure *ret)
{
    transport_pci *p = transport_pci_of(t);

    return pci_failure(p, ring_read(p, VGPU_SESSION_REG_CTRL), ret);
}

/* A device without an interrupt that this process can have is polled. */
static int pci_open_interrupt(transport_pci *p)
{
    interrupt_cause cause = (interrupt_cause) (INTERRUPT_RING + p->ring);

    if (p->dev->access->open_interrupt(p->dev, cause, &p->interrupt) < 0) {
        p->interrupt = INTERRUPT_CLOSED;
        return 0;
    }
    ring_write(p, VGPU_SESSION_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    ring_write(p, VGPU_SESSION_REG_IRQ_CTRL, VGPU_IRQ_COMPLETION);
    return interrupt_unmask(&p->interrupt);
}

static int pci_start(transport *t, uint64_t offset, deadline until, transport_failure *ret)
{
    transport_pci *p = transport_pci_of(t);
    backoff pause = {0};
    uint32_t state;

    ring_write(p, VGPU_SESSION_REG_OFFSET_LO, (uint32_t) offset);
    ring_write(p, VGPU_SESSION_REG_OFFSET_HI, (uint32_t) (offset >> 32));
    p->is_on = true;
    ring_write(p, VGPU_SESSION_REG_CTRL, 1);
    while ((state = ring_read(p, VGPU_SESSION_REG_CTRL)) == VGPU_RING_STARTING)
        if (!backoff_pause(&pause, until, PAUSE_MAX_NS))
            return -ETIMEDOUT;

    return pci_failure(p, state, ret) > 0 ? 1 : pci_open_interrupt(p);
}

static void pci_doorbell(transport *t)
{
    transport_pci *p = transport_pci_of(t);

    mmio_write(p->dev->bar, vgpu_ring_doorbell(p->ring), 1);
}

static int pci_pause(int wake_fd, deadline until, uint64_t pause_nsec)
{
    struct pollfd fd = {.fd = wake_fd, .events = POLLIN};
    uint64_t left = deadline_left(until, now_nsec()), count;
    struct timespec ts;

    if (left > pause_nsec)
        left = pause_nsec;
    ts = (struct timespec){
        .tv_sec = (time_t) (left / NSEC_PER_SEC),
        .tv_nsec = (long) (left % NSEC_PER_SEC),
    };
    if (ppoll(&fd, 1, &ts, NULL) < 0)
        return errno == EINTR ? 0 : -errno;
    if (fd.revents && read(wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return -errno;
    return 0;
}

static int pci_sleep(transport *t, int wake_fd, deadline until, uint64_t pause_nsec)
{
    transport_pci *p = transport_pci_of(t);
    int r;

    if (!interrupt_is_open(&p->interrupt))
        return pci_pause(wake_fd, until, pause_nsec);

    r = interrupt_sleep(&p->interrupt, wake_fd, until);
    if (r != 0)
        return r == -ETIMEDOUT || r > 0 ? 0 : r;
    if (interrupt_is_level(&p->interrupt)) {
        ring_write(p, VGPU_SESSION_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION);
        r = interrupt_unmask(&p->interrupt);
    }
    return r;
}

static int pci_map_over(transport *t, uint64_t offset, uint64_t size, void *at)
{
    vgpu_device *dev = transport_pci_of(t)->dev;

    return dev->access->map_over(dev, BAR_WINDOW, offset, size, at);
}

static void pci_stop(transport *t, deadline until)
{
    transport_pci *p = transport_pci_of(t);

    if (interrupt_is_open(&p->interrupt))
        interrupt_close(&p->interrupt);
    if (p->is_on && session_ring_turn_off(p->dev, p->ring, until) == 0)
        p->is_on = false;
}

static void pci_forget(transport *t)
{
    transport_pci *p = transport_pci_of(t);

    interrupt_close(&p->interrupt);
    device_forget(p->dev);
    p->ring = 0;
    t->lock_fd = -1;
}

/* A ring that the host has not let go of in time is left to the keeper: its lock ends here. */
static void pci_close(transport *t)
{
    transport_pci *p = transport_pci_of(t);

    if (t->window)
        munmap(t->window, (size_t) t->window_size);
    if (p->ring > 0) {
        p->dev->session_ring = 0;
        device_unlock_session_ring(p->dev, p->ring);
    }
    vgpu_close(p->dev);
    free(p);
}

static const transport_ops pci_ops = {
    .start = pci_start,
    .doorbell = pci_doorbell,
    .sleep = pci_sleep,
    .map_over = pci_map_over,
    .check = pci_check,
    .stop = pci_stop,
    .forget = pci_forget,
    .close = pci_close,
};

/* ---- Opening -------------------------------------------------------------------- */

static void cleanup_pci(transport_pci **p)
{
    if (*p)
        pci_close(&(*p)->base);
}

static int pci_map(transport *t, uint64_t size, void *at, void **ret)
{
    vgpu_device *dev = transport_pci_of(t)->dev;

    return dev->access->map(dev, BAR_WINDOW, size, at, ret);
}

/* The window's memory may have been a dead process's: see session_rings_turn_off_dead(). */
static int pci_taken(void *userdata)
{
    transport_pci *p = transport_pci_of(userdata);
    int r = session_rings_turn_off_dead(p->dev, deadline_after(QUIET_TIMEOUT_MS));

    return r < 0 ? r : 0;
}

static int pci_try_rings(transport_pci *p, uint32_t n)
{
    int r = -EAGAIN;

    for (uint32_t i = 1; i < n && r == -EAGAIN; i++) {
        r = device_try_session_ring(p->dev, i);
        if (r == 0)
            p->ring = p->dev->session_ring = i;
    }
    return r;
}

/* Take a free ring. For a moment a keeper may have the lock of one. */
static int pci_take_ring(transport_pci *p, deadline until)
{
    uint32_t n = session_rings_count(p->dev);
    backoff pause = {0};
    int r;

    if (n < 2)
        return -EOPNOTSUPP;
    while ((r = pci_try_rings(p, n)) == -EAGAIN || r == -EBUSY)
        if (!backoff_pause(&pause, until, TAKE_PAUSE_MAX_NS))
            return -EBUSY;
    if (r < 0)
        return r;
    return session_ring_turn_off(p->dev, p->ring, until);
}

static int pci_map_window(transport_pci *p, const vgpu_session_options *o)
{
    vgpu_extension extension;
    int r = vgpu_get_extension(p->dev, &extension);

    if (r < 0)
        return r;
    if (extension.window_size < VGPU_WINDOW_SIZE_MIN ||
        extension.window_size > VGPU_WINDOW_SIZE_MAX)
        return -EPROTO;
    r = transport_map_window(&p->base, o, extension.window_size, pci_map);
    return r == -ERANGE ? -EPROTO : r;
}

int transport_pci_open(const vgpu_session_options *o, deadline until, transport **ret)
{
    CLEANUP(cleanup_pci) transport_pci *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;
    p->interrupt = INTERRUPT_CLOSED;
    p->base.ops = &pci_ops;
    p->base.is_write_combining = true;
    p->base.taken = pci_taken;

    r = vgpu_open(o->paths, o->device, &p->dev);
    if (r < 0)
        return r;
    strncpy(p->base.name, vgpu_get_address(p->dev), sizeof(p->base.name) - 1);
    p->base.lock_fd = p->dev->lock_fd;

    r = pci_take_ring(p, until);
    if (r == 0)
        r = pci_map_window(p, o);
    if (r == 0 && p->dev->access == &access_sysfs) /* VFIO resets a device that nobody has open */
        r = ring_keeper_start(p->dev, o->keeper);
    if (r < 0)
        return r;

    *ret = &TAKE_PTR(p)->base;
    return 0;
}

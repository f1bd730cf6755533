/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Turning the ring on and off. */
#include "ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "session-rings.h"
#include "shared.h"

#define PAUSE_MAX_NS 1000000u
#define CLOSE_TIMEOUT_MS 1000

/* The low 16 bits of a tag are the index of the slot. */
static_assert(VGPU_RING_ENTRIES_MAX <= UINT16_MAX, "an index fits");

static void cleanup_ring(vgpu_ring **ring)
{
    vgpu_ring_close(*ring);
}

static int ring_map_window(vgpu_ring *ring, uint64_t size)
{
    void *window;
    int r;

    if (size < VGPU_WINDOW_SIZE_MIN || size > VGPU_WINDOW_SIZE_MAX || size > SIZE_MAX ||
        size % HEAP_UNIT != 0)
        return -EPROTO;

    r = ring->dev->access->map(ring->dev, BAR_WINDOW, size, NULL, &window);
    if (r < 0)
        return r == -ERANGE ? -EPROTO : r;
    ring->window = window;
    ring->window_size = size;
    return 0;
}

/* How long a host may take to let go of the memory of a process that has died */
#define QUIET_TIMEOUT_MS 2000

static int ring_extents_taken(void *userdata)
{
    int r = session_rings_turn_off_dead(userdata, deadline_after(QUIET_TIMEOUT_MS));

    return r < 0 ? r : 0;
}

/* The ring lies where the window has room. The rest is for vgpu_window_alloc(), and for others. */
static int ring_place(vgpu_ring *ring)
{
    uint64_t size = vgpu_ring_size(ring->entries);
    int r;

    size = (size + VGPU_RING_ALIGNMENT - 1) & ~(uint64_t) (VGPU_RING_ALIGNMENT - 1);
    r = share_init(&ring->share, ring->dev->lock_fd, ring->window_size, ring_extents_taken,
                   ring->dev);
    if (r < 0)
        return r;
    r = share_alloc(&ring->share, size, VGPU_RING_ALIGNMENT, &ring->offset);
    if (r < 0)
        return r;

    ring->header = (VGPURingHeader *) (ring->window + ring->offset);
    ring->submissions = (VGPUSubmission *) (ring->header + 1);
    ring->completions = (VGPUCompletion *) (ring->submissions + ring->entries);
    return 0;
}

static int ring_make_slots(vgpu_ring *ring)
{
    ring->slots = calloc(ring->entries, sizeof(*ring->slots));
    if (!ring->slots)
        return -ENOMEM;

    for (uint32_t i = ring->entries; i > 0; i--)
        slot_release(ring, &ring->slots[i - 1]);
    return 0;
}

/* Wait until RING_CTRL no longer reads as @state. */
static int leave_state(vgpu_device *dev, uint32_t state, deadline until, uint32_t *ret_state)
{
    backoff pause = {0};
    uint32_t now;

    while ((now = device_read(dev, VGPU_REG_RING_CTRL)) == state)
        if (!backoff_pause(&pause, until, PAUSE_MAX_NS))
            return -ETIMEDOUT;

    *ret_state = now;
    return 0;
}

/* Turn off a ring: our own, or one that an earlier owner has left on. */
static int turn_off(vgpu_device *dev, deadline until)
{
    backoff pause = {0};
    uint32_t state;

    device_write(dev, VGPU_REG_RING_IRQ_CTRL, 0);
    if (device_read(dev, VGPU_REG_RING_CTRL) != VGPU_RING_OFF) {
        device_write(dev, VGPU_REG_RING_CTRL, 0);
        while ((state = device_read(dev, VGPU_REG_RING_CTRL)) != VGPU_RING_OFF) {
            if (state == UINT32_MAX)
                return -ENODEV;
            if (!backoff_pause(&pause, until, PAUSE_MAX_NS))
                return -ETIMEDOUT;
        }
    }
    device_write(dev, VGPU_REG_RING_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    return 0;
}

/* Write everything that a new ring contains. The host does not look at it yet. */
static void ring_prepare(vgpu_ring *ring, uint32_t first_index)
{
    memset(ring->window + ring->offset, 0, (size_t) vgpu_ring_size(ring->entries));
    ring->sq_tail = ring->sq_head = ring->cq_head = first_index;
    shared_store(&ring->header->sq_head, first_index);
    shared_store(&ring->header->cq_tail, first_index);
    shared_store(&ring->header->sq_event, first_index);
    shared_store(&ring->header->cq_event, first_index + (UINT32_C(1) << 31));
    shared_store(&ring->header->sq_tail, first_index);
    shared_store(&ring->header->cq_head, first_index);
    shared_barrier();
}

static int ring_turn_on(vgpu_ring *ring, deadline until)
{
    vgpu_device *dev = ring->dev;
    uint32_t state;
    int r;

    device_write(dev, VGPU_REG_RING_OFFSET_LO, (uint32_t) ring->offset);
    device_write(dev, VGPU_REG_RING_OFFSET_HI, (uint32_t) (ring->offset >> 32));
    device_write(dev, VGPU_REG_RING_ENTRIES, ring->entries);
    device_write(dev, VGPU_REG_RING_CTRL, 1);
    ring->on = true;

    r = leave_state(dev, VGPU_RING_STARTING, until, &state);
    return r < 0 ? r : ring_failure_of(dev, state);
}

static bool entries_are_valid(uint32_t entries)
{
    return entries >= VGPU_RING_ENTRIES_MIN && entries <= VGPU_RING_ENTRIES_MAX &&
           (entries & (entries - 1)) == 0;
}

static void ring_init_threads(vgpu_ring *ring)
{
    pthread_mutex_init(&ring->lock, NULL);
    deadline_cond_init(&ring->called);
    TAILQ_INIT(&ring->sleepers);
}

static int take_ring(vgpu_device *dev, uint32_t entries, deadline until, vgpu_ring **ret)
{
    CLEANUP_FREE vgpu_ring *ring = calloc(1, sizeof(*ring));
    int r;

    if (!ring)
        return -ENOMEM;

    r = device_lock_ring(dev, until);
    if (r < 0)
        return r;
    ring->dev = dev;
    ring->entries = entries;
    ring->interrupt = INTERRUPT_CLOSED;
    ring->wake_fd = -1;
    ring->spin_us = VGPU_SPIN_DEFAULT_US;
    ring_init_threads(ring);
    *ret = TAKE_PTR(ring);
    return 0;
}

int ring_open_at(vgpu_device *dev, uint32_t entries, int timeout_ms, uint32_t first_index,
                 vgpu_ring **ret)
{
    const uint32_t needed = VGPU_EXT_FEATURE_WINDOW | VGPU_EXT_FEATURE_RING;
    CLEANUP(cleanup_ring) vgpu_ring *ring = NULL;
    deadline until = deadline_after(timeout_ms);
    vgpu_extension extension;
    int r;

    if (entries == 0)
        entries = VGPU_RING_ENTRIES_DEFAULT;
    if (!entries_are_valid(entries))
        return -EINVAL;
    r = vgpu_get_extension(dev, &extension);
    if (r < 0)
        return r;
    if ((extension.features & needed) != needed)
        return -EOPNOTSUPP;

    r = take_ring(dev, entries, until, &ring);
    if (r < 0)
        return r;
    r = ring_map_window(ring, extension.window_size);
    if (r == 0)
        r = ring_place(ring);
    if (r == 0)
        r = ring_make_slots(ring);
    if (r == 0)
        r = turn_off(dev, until);
    if (r < 0)
        return r;

    ring_prepare(ring, first_index);
    r = ring_turn_on(ring, until);
    if (r == 0 && interrupt_is_open(&dev->interrupt))
        r = vgpu_ring_set_wait(ring, VGPU_WAIT_INTERRUPT, 0);
    if (r != 0)
        return r;

    *ret = TAKE_PTR(ring);
    return 0;
}

int vgpu_ring_open(vgpu_device *dev, uint32_t entries, int timeout_ms, vgpu_ring **ret)
{
    return ring_open_at(dev, entries, timeout_ms, 0, ret);
}

vgpu_ring *vgpu_ring_close(vgpu_ring *ring)
{
    if (!ring)
        return NULL;

    ring_lock(ring);
    assert(TAILQ_EMPTY(&ring->sleepers) && !ring->calling);
    ring_close_interrupt(ring);
    if (ring->on)
        turn_off(ring->dev, deadline_after(CLOSE_TIMEOUT_MS));
    ring_fail(ring, -ECANCELED);
    ring_call_back(ring);
    ring_unlock(ring);

    if (ring->window)
        munmap(ring->window, (size_t) ring->window_size);
    share_destroy(&ring->share);
    free(ring->slots);
    device_unlock_ring(ring->dev);
    pthread_cond_destroy(&ring->called);
    pthread_mutex_destroy(&ring->lock);
    free(ring);
    return NULL;
}

void vgpu_ring_get_counters(const vgpu_ring *ring, vgpu_ring_counters *ret)
{
    ring_lock(ring);
    *ret = ring->counters;
    ring_unlock(ring);
}

uint32_t vgpu_ring_get_outstanding(const vgpu_ring *ring)
{
    uint32_t n;

    ring_lock(ring);
    n = ring->outstanding;
    ring_unlock(ring);
    return n;
}

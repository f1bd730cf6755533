/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may touch the window
 * ------------------------
 * The guest may always. The mediator and its executors may from the moment the
 * link has told the mediator of the ring, until the mediator says that it has
 * let go of the window, or its connection ends. QEMU itself touches the window
 * while the VM is stopped, and the link does not let the VM stop before the
 * mediator has let go. Migration reads the window like all RAM, but does not
 * see what other processes write there, so all of it counts as changed whenever
 * a mediator lets go.
 *
 * Interrupts
 * ----------
 * While the guest may be sent a message, what the mediator signals on its
 * eventfd goes to KVM, which sends the message: no thread of QEMU is involved,
 * and RING_IRQ_STATUS is not set. At all other times (the vector is masked,
 * RING_IRQ_CTRL is 0, the guest uses INTx, or there is no KVM) the main loop
 * takes up the signal, sets RING_IRQ_STATUS, and interrupts the guest or leaves
 * the interrupt pending.
 *
 * A mediator that died may not have signalled its last completion. So the guest
 * gets one event each time a mediator takes up the ring.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qapi/error.h"
#include "migration/vmstate.h"
#include "vgpu-stub-ring.h"

static void ring_event(VGPURing *ring)
{
    ring->irq_status |= VGPU_IRQ_COMPLETION;
    ring->event(ring->opaque);
}

static void ring_completion(EventNotifier *notifier)
{
    VGPURing *ring = container_of(notifier, VGPURing, completion);

    if (event_notifier_test_and_clear(notifier)) {
        ring_event(ring);
    }
}

/* ---- The eventfds -------------------------------------------------------- */

void vgpu_ring_update_listener(VGPURing *ring)
{
    bool wants_messages = ring->is_heard && ring->irq_ctrl;
    bool kvm = vgpu_irqfd_set(&ring->irqfd,
                              wants_messages ? &ring->completion : NULL);

    if (ring->has_notifiers) {
        event_notifier_set_handler(&ring->completion, ring->is_heard && !kvm ?
                                   ring_completion : NULL);
    }
}

/* The mediator's events reach the guest from now on, or no more. */
static void ring_listen(VGPURing *ring, bool is_heard)
{
    ring->is_heard = is_heard;
    vgpu_ring_update_listener(ring);
}

void vgpu_ring_poll(VGPURing *ring)
{
    if (ring->is_heard && !ring->irqfd.notifier) {
        ring_completion(&ring->completion);
    }
}

static void ring_close_notifiers(VGPURing *ring)
{
    if (!ring->has_notifiers) {
        return;
    }
    ring_listen(ring, false);
    ring->has_notifiers = false;
    memory_region_del_eventfd(ring->bar0, VGPU_REG_RING_DOORBELL, 0, false, 0,
                              &ring->doorbell);
    event_notifier_cleanup(&ring->doorbell);
    event_notifier_cleanup(&ring->completion);
}

/*
 * Each ring has eventfds of its own: a mediator that still has those of the
 * last ring can neither hear nor disturb this one.
 */
static int ring_open_notifiers(VGPURing *ring)
{
    int r = event_notifier_init(&ring->doorbell, 0);

    if (r < 0) {
        return r;
    }
    r = event_notifier_init(&ring->completion, 0);
    if (r < 0) {
        event_notifier_cleanup(&ring->doorbell);
        return r;
    }
    /* Size 0 takes a write of any width. */
    memory_region_add_eventfd(ring->bar0, VGPU_REG_RING_DOORBELL, 0, false, 0,
                              &ring->doorbell);
    ring->has_notifiers = true;
    return 0;
}

/* ---- On and off ---------------------------------------------------------- */

static void ring_fail(VGPURing *ring, uint32_t error)
{
    ring_close_notifiers(ring);
    ring->state = VGPU_RING_FAILED;
    ring->error = error;
}

/* Hands the ring to the link. @agreed: see vgpu_link_ring_start() */
static int ring_start(VGPURing *ring, bool agreed)
{
    int r = ring_open_notifiers(ring);

    if (r < 0) {
        return r;
    }
    ring->link_ring = (VGPULinkRing) {
        .setup = { .offset = ring->offset, .entries = ring->entries },
        .fds = {
            memory_region_get_fd(&ring->window),
            event_notifier_get_fd(&ring->doorbell),
            event_notifier_get_fd(&ring->completion),
        },
    };
    vgpu_link_ring_start(ring->link, &ring->link_ring, agreed);
    return 0;
}

static bool ring_is_on(const VGPURing *ring)
{
    return ring->state == VGPU_RING_STARTING || ring->state == VGPU_RING_ON;
}

static void ring_turn_on(VGPURing *ring)
{
    if (ring_is_on(ring)) {
        return;
    }
    if (!vgpu_ring_is_valid(ring->window_size, ring->offset, ring->entries)) {
        ring_fail(ring, VGPU_ERROR_INVALID_REQUEST);
        return;
    }
    ring->state = VGPU_RING_STARTING;
    ring->error = VGPU_ERROR_NONE;
    if (ring_start(ring, false) < 0) {
        ring_fail(ring, VGPU_ERROR_RATE_LIMITED); /* no descriptor is free */
    }
}

static void ring_turn_off(VGPURing *ring)
{
    ring->state = VGPU_RING_STOPPING;
    ring->error = VGPU_ERROR_NONE;
    if (!vgpu_link_ring_stop(ring->link)) {
        ring->state = VGPU_RING_OFF;
    }
    ring_close_notifiers(ring);
}

void vgpu_ring_ready(VGPURing *ring, uint32_t error)
{
    if (error == VGPU_ERROR_NONE) {
        ring->state = VGPU_RING_ON;
        ring_listen(ring, true);
    } else {
        ring_fail(ring, error);
    }
    ring_event(ring);
}

void vgpu_ring_released(VGPURing *ring)
{
    if (ring->has_notifiers) {
        ring_listen(ring, false);
        ring_completion(&ring->completion);
    }
    if (ring->state == VGPU_RING_STOPPING) {
        ring->state = VGPU_RING_OFF;
    }
    memory_region_set_dirty(&ring->window, 0, ring->window_size);
}

void vgpu_ring_reset(VGPURing *ring)
{
    ring_close_notifiers(ring);
    ring->offset = 0;
    ring->entries = 0;
    ring->state = VGPU_RING_OFF;
    ring->error = VGPU_ERROR_NONE;
    ring->irq_ctrl = 0;
    ring->irq_status = 0;
}

/* ---- Registers ----------------------------------------------------------- */

uint32_t vgpu_ring_load(const VGPURing *ring, hwaddr word)
{
    switch (word) {
    case VGPU_REG_EXT_MAGIC:
        return VGPU_EXT_MAGIC;
    case VGPU_REG_EXT_VERSION:
        return VGPU_EXT_VERSION;
    case VGPU_REG_EXT_FEATURES:
        return VGPU_EXT_FEATURE_WINDOW | VGPU_EXT_FEATURE_RING |
               (ring->has_msix ? VGPU_EXT_FEATURE_MSIX : 0);
    case VGPU_REG_WINDOW_SIZE_LO:
        return ring->window_size;
    case VGPU_REG_WINDOW_SIZE_HI:
        return ring->window_size >> 32;
    case VGPU_REG_RING_OFFSET_LO:
        return ring->offset;
    case VGPU_REG_RING_OFFSET_HI:
        return ring->offset >> 32;
    case VGPU_REG_RING_ENTRIES:
        return ring->entries;
    case VGPU_REG_RING_CTRL:
        return ring->state;
    case VGPU_REG_RING_ERROR:
        return ring->error;
    case VGPU_REG_RING_IRQ_CTRL:
        return ring->irq_ctrl;
    case VGPU_REG_RING_IRQ_STATUS:
        return ring->irq_status;
    default:
        return 0;
    }
}

/* The place of the ring can be changed only while the ring is off. */
static void ring_store_place(VGPURing *ring, hwaddr word, uint32_t value,
                             uint32_t mask)
{
    if (ring_is_on(ring)) {
        return;
    }
    if (word == VGPU_REG_RING_ENTRIES) {
        ring->entries = (ring->entries & ~mask) | value;
    } else {
        unsigned shift = word == VGPU_REG_RING_OFFSET_HI ? 32 : 0;

        ring->offset = (ring->offset & ~((uint64_t)mask << shift)) |
                       (uint64_t)value << shift;
    }
}

void vgpu_ring_store(VGPURing *ring, hwaddr word, uint32_t value,
                     uint32_t mask)
{
    switch (word) {
    case VGPU_REG_RING_OFFSET_LO:
    case VGPU_REG_RING_OFFSET_HI:
    case VGPU_REG_RING_ENTRIES:
        ring_store_place(ring, word, value, mask);
        break;
    case VGPU_REG_RING_CTRL:
        if (value == 1) {
            ring_turn_on(ring);
        } else if (value == 0 && (mask & 1)) {
            ring_turn_off(ring);
        }
        break;
    case VGPU_REG_RING_IRQ_CTRL:
        ring->irq_ctrl = ((ring->irq_ctrl & ~mask) | value) &
                         VGPU_IRQ_COMPLETION;
        vgpu_ring_update_listener(ring);
        break;
    case VGPU_REG_RING_IRQ_STATUS:
        ring->irq_status &= ~value;
        break;
    case VGPU_REG_RING_DOORBELL:
        /*
         * An access that begins at the doorbell goes to the eventfd. Only one
         * that begins before the doorbell and reaches into it comes here.
         */
        if (ring->has_notifiers) {
            event_notifier_set(&ring->doorbell);
        }
        break;
    default: /* read-only */
        break;
    }
}

/* ---- Migration ----------------------------------------------------------- */

/*
 * Anybody may have made the stream. STOPPING is not possible in it: no mediator
 * of a stopped VM has the window.
 */
static bool ring_state_is_valid(const VGPURing *ring)
{
    if (ring->state > VGPU_RING_FAILED || ring->error >= VGPU_N_ERRORS ||
        (ring->irq_ctrl | ring->irq_status) & ~VGPU_IRQ_COMPLETION) {
        return false;
    }
    return !ring_is_on(ring) ||
           vgpu_ring_is_valid(ring->window_size, ring->offset, ring->entries);
}

int vgpu_ring_post_load(VGPURing *ring)
{
    if (!ring_state_is_valid(ring)) {
        return -EINVAL;
    }
    return ring_is_on(ring) ? ring_start(ring, ring->state == VGPU_RING_ON) : 0;
}

/* ---- The window ---------------------------------------------------------- */

static bool ring_check_size(uint64_t size, Error **errp)
{
    if (!is_power_of_2(size) || size < VGPU_WINDOW_SIZE_MIN ||
        size > VGPU_WINDOW_SIZE_MAX) {
        error_setg(errp, "window-size must be 0 or a power of two from %" PRIu64
                   " to %" PRIu64 ", not %" PRIu64, VGPU_WINDOW_SIZE_MIN,
                   VGPU_WINDOW_SIZE_MAX, size);
        return false;
    }
    return true;
}

bool vgpu_ring_init(VGPURing *ring, DeviceState *dev, VGPULink *link,
                    MemoryRegion *bar0, VGPURingEvent *event, void *opaque,
                    Error **errp)
{
    Error *error = NULL;
    int fd;

    if (!ring_check_size(ring->window_size, errp)) {
        return false;
    }
    /* Sealed: nobody who maps the window then needs to fear SIGBUS. */
    fd = qemu_memfd_create("vgpu-window", ring->window_size, ring->hugepages, 0,
                           F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, errp);
    if (fd < 0) {
        return false;
    }
    memory_region_init_ram_from_fd(&ring->window, OBJECT(dev), "vgpu-window",
                                   ring->window_size, RAM_SHARED, fd, 0,
                                   &error);
    if (error) {
        error_propagate(errp, error);
        close(fd);
        return false;
    }
    vmstate_register_ram(&ring->window, dev);

    ring->link = link;
    ring->bar0 = bar0;
    ring->event = event;
    ring->opaque = opaque;
    return true;
}

void vgpu_ring_cleanup(VGPURing *ring, DeviceState *dev)
{
    ring_close_notifiers(ring);
    vmstate_unregister_ram(&ring->window, dev);
}

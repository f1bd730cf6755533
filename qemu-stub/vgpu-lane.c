/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may touch the window
 * ------------------------
 * The guest, always. The mediator and its executors, from the moment the link
 * has told the mediator of the ring until it says that it has let go, or its
 * connection ends. QEMU itself, while the VM is stopped, which the link does not
 * let happen before that; migration reads the window like all RAM, but does not
 * see what others write there, so all of it counts as changed whenever a
 * mediator lets go.
 *
 * Interrupts
 * ----------
 * While the guest could be sent a message for it, what the mediator says on its
 * eventfd goes to KVM, which sends it: no thread of QEMU is in the way, and
 * RING_IRQ_STATUS is not set. At all other times (the vector is masked, or
 * RING_IRQ_CTRL is 0, or there is INTx, or no KVM) the main loop takes it up, sets
 * RING_IRQ_STATUS, and interrupts the guest or leaves that pending.
 *
 * The last event of a mediator that died may be missing. So each time a mediator
 * takes up the ring the guest gets one for nothing.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qapi/error.h"
#include "migration/vmstate.h"
#include "vgpu-lane.h"

static void lane_event(VGPULane *lane)
{
    lane->irq_status |= VGPU_IRQ_COMPLETION;
    lane->event(lane->opaque);
}

static void lane_completion(EventNotifier *notifier)
{
    VGPULane *lane = container_of(notifier, VGPULane, completion);

    if (event_notifier_test_and_clear(notifier)) {
        lane_event(lane);
    }
}

/* ---- The eventfds -------------------------------------------------------- */

void vgpu_lane_update_listener(VGPULane *lane)
{
    bool wants_messages = lane->is_heard && lane->irq_ctrl;
    bool kvm = vgpu_irqfd_set(&lane->irqfd,
                              wants_messages ? &lane->completion : NULL);

    if (lane->has_notifiers) {
        event_notifier_set_handler(&lane->completion, lane->is_heard && !kvm ?
                                   lane_completion : NULL);
    }
}

/* From now on, or no more, the mediator's events are the guest's. */
static void lane_listen(VGPULane *lane, bool is_heard)
{
    lane->is_heard = is_heard;
    vgpu_lane_update_listener(lane);
}

void vgpu_lane_poll(VGPULane *lane)
{
    if (lane->is_heard && !lane->irqfd.notifier) {
        lane_completion(&lane->completion);
    }
}

static void lane_close_notifiers(VGPULane *lane)
{
    if (!lane->has_notifiers) {
        return;
    }
    lane_listen(lane, false);
    lane->has_notifiers = false;
    memory_region_del_eventfd(lane->bar0, VGPU_REG_RING_DOORBELL, 0, false, 0,
                              &lane->doorbell);
    event_notifier_cleanup(&lane->doorbell);
    event_notifier_cleanup(&lane->completion);
}

/* Each ring has eventfds of its own: a mediator that still has the last one's
 * can neither hear nor disturb this one. */
static int lane_open_notifiers(VGPULane *lane)
{
    int r = event_notifier_init(&lane->doorbell, 0);

    if (r < 0) {
        return r;
    }
    r = event_notifier_init(&lane->completion, 0);
    if (r < 0) {
        event_notifier_cleanup(&lane->doorbell);
        return r;
    }
    /* Size 0: of any width. */
    memory_region_add_eventfd(lane->bar0, VGPU_REG_RING_DOORBELL, 0, false, 0,
                              &lane->doorbell);
    lane->has_notifiers = true;
    return 0;
}

/* ---- On and off ---------------------------------------------------------- */

static void lane_fail(VGPULane *lane, uint32_t error)
{
    lane_close_notifiers(lane);
    lane->state = VGPU_RING_FAILED;
    lane->error = error;
}

/* Hands the ring to the link; @agreed as there. */
static int lane_start(VGPULane *lane, bool agreed)
{
    int r = lane_open_notifiers(lane);

    if (r < 0) {
        return r;
    }
    lane->ring = (VGPULinkRing) {
        .setup = { .offset = lane->offset, .entries = lane->entries },
        .fds = {
            memory_region_get_fd(&lane->window),
            event_notifier_get_fd(&lane->doorbell),
            event_notifier_get_fd(&lane->completion),
        },
    };
    vgpu_link_ring_start(lane->link, &lane->ring, agreed);
    return 0;
}

static bool lane_is_on(const VGPULane *lane)
{
    return lane->state == VGPU_RING_STARTING || lane->state == VGPU_RING_ON;
}

static void lane_turn_on(VGPULane *lane)
{
    if (lane_is_on(lane)) {
        return;
    }
    if (!vgpu_ring_is_valid(lane->window_size, lane->offset, lane->entries)) {
        lane_fail(lane, VGPU_ERROR_INVALID_REQUEST);
        return;
    }
    lane->state = VGPU_RING_STARTING;
    lane->error = VGPU_ERROR_NONE;
    if (lane_start(lane, false) < 0) {
        lane_fail(lane, VGPU_ERROR_RATE_LIMITED); /* no descriptor is free */
    }
}

static void lane_turn_off(VGPULane *lane)
{
    lane->state = VGPU_RING_STOPPING;
    lane->error = VGPU_ERROR_NONE;
    if (!vgpu_link_ring_stop(lane->link)) {
        lane->state = VGPU_RING_OFF;
    }
    lane_close_notifiers(lane);
}

void vgpu_lane_ring_ready(VGPULane *lane, uint32_t error)
{
    if (error == VGPU_ERROR_NONE) {
        lane->state = VGPU_RING_ON;
        lane_listen(lane, true);
    } else {
        lane_fail(lane, error);
    }
    lane_event(lane);
}

void vgpu_lane_ring_released(VGPULane *lane)
{
    if (lane->has_notifiers) {
        lane_listen(lane, false);
        lane_completion(&lane->completion);
    }
    if (lane->state == VGPU_RING_STOPPING) {
        lane->state = VGPU_RING_OFF;
    }
    memory_region_set_dirty(&lane->window, 0, lane->window_size);
}

void vgpu_lane_reset(VGPULane *lane)
{
    lane_close_notifiers(lane);
    lane->offset = 0;
    lane->entries = 0;
    lane->state = VGPU_RING_OFF;
    lane->error = VGPU_ERROR_NONE;
    lane->irq_ctrl = 0;
    lane->irq_status = 0;
}

/* ---- Registers ----------------------------------------------------------- */

uint32_t vgpu_lane_load(const VGPULane *lane, hwaddr word)
{
    switch (word) {
    case VGPU_REG_EXT_MAGIC:
        return VGPU_EXT_MAGIC;
    case VGPU_REG_EXT_VERSION:
        return VGPU_EXT_VERSION;
    case VGPU_REG_EXT_FEATURES:
        return VGPU_EXT_FEATURE_WINDOW | VGPU_EXT_FEATURE_RING |
               (lane->has_msix ? VGPU_EXT_FEATURE_MSIX : 0);
    case VGPU_REG_WINDOW_SIZE_LO:
        return lane->window_size;
    case VGPU_REG_WINDOW_SIZE_HI:
        return lane->window_size >> 32;
    case VGPU_REG_RING_OFFSET_LO:
        return lane->offset;
    case VGPU_REG_RING_OFFSET_HI:
        return lane->offset >> 32;
    case VGPU_REG_RING_ENTRIES:
        return lane->entries;
    case VGPU_REG_RING_CTRL:
        return lane->state;
    case VGPU_REG_RING_ERROR:
        return lane->error;
    case VGPU_REG_RING_IRQ_CTRL:
        return lane->irq_ctrl;
    case VGPU_REG_RING_IRQ_STATUS:
        return lane->irq_status;
    default:
        return 0;
    }
}

/* Where the ring lies can be changed while it does not lie there. */
static void lane_store_place(VGPULane *lane, hwaddr word, uint32_t value,
                             uint32_t mask)
{
    if (lane_is_on(lane)) {
        return;
    }
    if (word == VGPU_REG_RING_ENTRIES) {
        lane->entries = (lane->entries & ~mask) | value;
    } else {
        unsigned shift = word == VGPU_REG_RING_OFFSET_HI ? 32 : 0;

        lane->offset = (lane->offset & ~((uint64_t)mask << shift)) |
                       (uint64_t)value << shift;
    }
}

void vgpu_lane_store(VGPULane *lane, hwaddr word, uint32_t value,
                     uint32_t mask)
{
    switch (word) {
    case VGPU_REG_RING_OFFSET_LO:
    case VGPU_REG_RING_OFFSET_HI:
    case VGPU_REG_RING_ENTRIES:
        lane_store_place(lane, word, value, mask);
        break;
    case VGPU_REG_RING_CTRL:
        if (value == 1) {
            lane_turn_on(lane);
        } else if (value == 0 && (mask & 1)) {
            lane_turn_off(lane);
        }
        break;
    case VGPU_REG_RING_IRQ_CTRL:
        lane->irq_ctrl = ((lane->irq_ctrl & ~mask) | value) &
                         VGPU_IRQ_COMPLETION;
        vgpu_lane_update_listener(lane);
        break;
    case VGPU_REG_RING_IRQ_STATUS:
        lane->irq_status &= ~value;
        break;
    case VGPU_REG_RING_DOORBELL:
        /* An access that begins at the doorbell does not come here but goes to
         * the eventfd; one that begins before it does. */
        if (lane->has_notifiers) {
            event_notifier_set(&lane->doorbell);
        }
        break;
    default: /* read-only */
        break;
    }
}

/* ---- Migration ----------------------------------------------------------- */

/* What comes in may have been made by anybody. A stopped VM has no mediator that
 * could still have to let go. */
static bool lane_state_is_valid(const VGPULane *lane)
{
    if (lane->state > VGPU_RING_FAILED || lane->error >= VGPU_N_ERRORS ||
        (lane->irq_ctrl | lane->irq_status) & ~VGPU_IRQ_COMPLETION) {
        return false;
    }
    return !lane_is_on(lane) ||
           vgpu_ring_is_valid(lane->window_size, lane->offset, lane->entries);
}

int vgpu_lane_post_load(VGPULane *lane)
{
    if (!lane_state_is_valid(lane)) {
        return -EINVAL;
    }
    return lane_is_on(lane) ? lane_start(lane, lane->state == VGPU_RING_ON) : 0;
}

/* ---- The window ---------------------------------------------------------- */

static bool lane_check_size(uint64_t size, Error **errp)
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

bool vgpu_lane_init(VGPULane *lane, DeviceState *dev, VGPULink *link,
                    MemoryRegion *bar0, VGPULaneEvent *event, void *opaque,
                    Error **errp)
{
    Error *error = NULL;
    int fd;

    if (!lane_check_size(lane->window_size, errp)) {
        return false;
    }
    /* Sealed, so that whoever maps it need not fear SIGBUS. */
    fd = qemu_memfd_create("vgpu-window", lane->window_size, lane->hugepages, 0,
                           F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, errp);
    if (fd < 0) {
        return false;
    }
    memory_region_init_ram_from_fd(&lane->window, OBJECT(dev), "vgpu-window",
                                   lane->window_size, RAM_SHARED, fd, 0,
                                   &error);
    if (error) {
        error_propagate(errp, error);
        close(fd);
        return false;
    }
    vmstate_register_ram(&lane->window, dev);

    lane->link = link;
    lane->bar0 = bar0;
    lane->event = event;
    lane->opaque = opaque;
    return true;
}

void vgpu_lane_cleanup(VGPULane *lane, DeviceState *dev)
{
    lane_close_notifiers(lane);
    vmstate_unregister_ram(&lane->window, dev);
}

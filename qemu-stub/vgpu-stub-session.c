/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may touch the window
 * ------------------------
 * A session's executor may from the moment the link has told the mediator of
 * the session, until the mediator says that the executor is gone, or its
 * connection ends. That the VM stops changes nothing: see vgpu-link-session.c.
 *
 * Migration
 * ---------
 * What a session's program has on the GPU can't be moved. So a blocker keeps
 * the VM from being saved or migrated while the program may have something
 * there: as long as the ring is on, or the executor may have the window.
 * The registers of rings that are off, or have failed, are saved.
 */

#include "qemu/osdep.h"
#include "vgpu-stub-session.h"

static bool session_is_on(const VGPUSession *session)
{
    return session->state == VGPU_RING_STARTING ||
           session->state == VGPU_RING_ON;
}

static bool session_is_open(const VGPUSession *session)
{
    return session_is_on(session) || session->state == VGPU_RING_STOPPING;
}

/* ---- Migration is blocked ------------------------------------------------ */

/* What whoever wants to save or migrate the VM reads. */
static char *sessions_block_message(const VGPULinkConfig *config)
{
    g_autofree char *uuid = qemu_uuid_unparse_strdup(&config->uuid);
    const char *name = qemu_get_vm_name();

    return g_strdup_printf(
        "vgpu-stub %s: a process in VM %s (vm_id %" PRIu32 ") has a CUDA "
        "session open on the host's GPU, and what it has there can be neither "
        "saved nor moved. On the host, 'vgpuctl sessions' lists the sessions "
        "and 'vgpuctl end-session' ends one.",
        config->name, name ? name : uuid, config->vm_id);
}

/* Holds the blocker, or returns why the session can't be. */
static uint32_t session_block(VGPUSessions *all, VGPUSession *session)
{
    g_autofree char *message = sessions_block_message(all->link->config);
    int r;

    if (session->blocks) { /* the last executor has the window yet */
        return VGPU_ERROR_NONE;
    }
    r = vgpu_blocker_hold(&all->blocker, message);
    if (r < 0) { /* the VM is just being migrated, or it must never be held */
        return r == -EBUSY ? VGPU_ERROR_RATE_LIMITED
                           : VGPU_ERROR_UNSUPPORTED_OP;
    }
    session->blocks = true;
    return VGPU_ERROR_NONE;
}

/* Releases the blocker if nothing of the session is left. */
static void session_unblock(VGPUSessions *all, unsigned ring)
{
    VGPUSession *session = &all->session[ring];

    if (session->blocks && !session_is_open(session) &&
        !vgpu_link_session_is_held(all->link, ring)) {
        session->blocks = false;
        vgpu_blocker_release(&all->blocker);
    }
}

/* ---- On and off ---------------------------------------------------------- */

static void session_fail(VGPUSessions *all, unsigned ring, uint32_t error,
                         uint32_t cuda_result)
{
    VGPUSession *session = &all->session[ring];

    vgpu_signals_close(&session->signals);
    session->state = VGPU_RING_FAILED;
    session->error = error;
    session->cuda_result = cuda_result;
    session_unblock(all, ring);
}

static void session_set_state(VGPUSession *session, uint32_t state)
{
    session->state = state;
    session->error = VGPU_ERROR_NONE;
    session->cuda_result = 0;
}

static bool session_place_is_valid(const VGPUSessions *all,
                                   const VGPUSession *session)
{
    return session->offset % VGPU_RING_ALIGNMENT == 0 &&
           session->offset < all->window->size;
}

static void session_turn_on(VGPUSessions *all, unsigned ring)
{
    VGPUSession *session = &all->session[ring];
    uint32_t error;

    if (session_is_on(session)) {
        return;
    }
    if (!session_place_is_valid(all, session)) {
        session_fail(all, ring, VGPU_ERROR_INVALID_REQUEST, 0);
        return;
    }
    error = session_block(all, session);
    if (error != VGPU_ERROR_NONE) {
        session_fail(all, ring, error, 0);
        return;
    }
    if (vgpu_signals_open(&session->signals) < 0) { /* no descriptor is free */
        session_fail(all, ring, VGPU_ERROR_RATE_LIMITED, 0);
        return;
    }
    session->link_ring.open = (VGPUSessionOpen) {
        .ring = ring,
        .offset = session->offset,
    };
    vgpu_signals_get_fds(&session->signals, vgpu_window_fd(all->window),
                         session->link_ring.fds);
    session_set_state(session, VGPU_RING_STARTING);
    vgpu_link_session_start(all->link, &session->link_ring);
}

static void session_turn_off(VGPUSessions *all, unsigned ring)
{
    VGPUSession *session = &all->session[ring];

    session_set_state(session, VGPU_RING_STOPPING);
    if (!vgpu_link_session_stop(all->link, ring)) {
        session->state = VGPU_RING_OFF;
    }
    vgpu_signals_close(&session->signals);
    session_unblock(all, ring);
}

void vgpu_sessions_ready(VGPUSessions *all, unsigned ring, uint32_t error,
                         uint32_t cuda_result)
{
    VGPUSession *session = &all->session[ring];

    if (error == VGPU_ERROR_NONE) {
        session->state = VGPU_RING_ON;
        vgpu_signals_listen(&session->signals);
    } else {
        session_fail(all, ring, error, cuda_result);
    }
    vgpu_signals_raise(&session->signals);
}

void vgpu_sessions_released(VGPUSessions *all, unsigned ring)
{
    VGPUSession *session = &all->session[ring];

    vgpu_signals_ignore(&session->signals);
    if (session->state == VGPU_RING_STOPPING) {
        session->state = VGPU_RING_OFF;
    }
    vgpu_window_changed(all->window);
    session_unblock(all, ring);
}

void vgpu_sessions_reset(VGPUSessions *all)
{
    for (unsigned i = 1; i < all->rings; i++) {
        VGPUSession *session = &all->session[i];

        vgpu_signals_reset(&session->signals);
        session->offset = 0;
        session_set_state(session, VGPU_RING_OFF);
        session_unblock(all, i);
    }
}

/* ---- Registers ----------------------------------------------------------- */

bool vgpu_sessions_has_word(hwaddr word)
{
    return word == VGPU_REG_RINGS ||
           (word >= VGPU_REG_SESSION && word != VGPU_REG_RING_DOORBELL);
}

/* Which of the @n rings has its doorbell at @word? 0: none */
static unsigned sessions_doorbell(hwaddr word, unsigned n)
{
    unsigned ring = (word - VGPU_REG_RING_DOORBELL) / 4;

    return word > VGPU_REG_RING_DOORBELL && ring < n ? ring : 0;
}

/* Which of the @n rings has a register at @word, and which one? 0: none */
static unsigned sessions_register(hwaddr word, unsigned n, unsigned *ret_reg)
{
    unsigned at = word - VGPU_REG_SESSION;
    unsigned ring = 1 + at / VGPU_SESSION_REG_STRIDE;

    *ret_reg = at % VGPU_SESSION_REG_STRIDE;
    return word >= VGPU_REG_SESSION && ring < n ? ring : 0;
}

uint32_t vgpu_sessions_load(const VGPUSessions *all, hwaddr word)
{
    unsigned reg, ring = sessions_register(word, all->rings, &reg);
    const VGPUSession *session = &all->session[ring];

    if (word == VGPU_REG_RINGS) {
        return all->rings > 1 ? all->rings : 0;
    }
    if (ring == 0) {
        return 0;
    }
    switch (reg) {
    case VGPU_SESSION_REG_OFFSET_LO:
        return session->offset;
    case VGPU_SESSION_REG_OFFSET_HI:
        return session->offset >> 32;
    case VGPU_SESSION_REG_CTRL:
        return session->state;
    case VGPU_SESSION_REG_ERROR:
        return session->error;
    case VGPU_SESSION_REG_CUDA_RESULT:
        return session->cuda_result;
    case VGPU_SESSION_REG_IRQ_CTRL:
        return session->signals.irq_ctrl;
    case VGPU_SESSION_REG_IRQ_STATUS:
        return session->signals.irq_status;
    default:
        return 0;
    }
}

/* The place of the area can be changed only while the ring is off. */
static void session_store_offset(VGPUSession *session, unsigned shift,
                                 uint32_t value, uint32_t mask)
{
    if (!session_is_on(session)) {
        session->offset = (session->offset & ~((uint64_t)mask << shift)) |
                          (uint64_t)value << shift;
    }
}

static void session_store(VGPUSessions *all, unsigned ring, unsigned reg,
                          uint32_t value, uint32_t mask)
{
    VGPUSession *session = &all->session[ring];

    switch (reg) {
    case VGPU_SESSION_REG_OFFSET_LO:
        session_store_offset(session, 0, value, mask);
        break;
    case VGPU_SESSION_REG_OFFSET_HI:
        session_store_offset(session, 32, value, mask);
        break;
    case VGPU_SESSION_REG_CTRL:
        if (value == 1) {
            session_turn_on(all, ring);
        } else if (value == 0 && (mask & 1)) {
            session_turn_off(all, ring);
        }
        break;
    case VGPU_SESSION_REG_IRQ_CTRL:
        vgpu_signals_store_ctrl(&session->signals, value, mask);
        break;
    case VGPU_SESSION_REG_IRQ_STATUS:
        vgpu_signals_store_status(&session->signals, value);
        break;
    default: /* read-only */
        break;
    }
}

void vgpu_sessions_store(VGPUSessions *all, hwaddr word, uint32_t value,
                         uint32_t mask)
{
    unsigned reg, ring = sessions_register(word, all->rings, &reg);
    unsigned doorbell = sessions_doorbell(word, all->rings);

    if (doorbell > 0) {
        vgpu_signals_ring(&all->session[doorbell].signals);
    } else if (ring > 0) {
        session_store(all, ring, reg, value, mask);
    }
}

/* ---- Migration ----------------------------------------------------------- */

bool vgpu_sessions_are_open(const VGPUSessions *all)
{
    for (unsigned i = 1; i < all->rings; i++) {
        if (all->session[i].blocks) {
            return true;
        }
    }
    return false;
}

bool vgpu_sessions_are_used(const VGPUSessions *all)
{
    for (unsigned i = 1; i < all->rings; i++) {
        const VGPUSession *session = &all->session[i];

        if (session->offset != 0 || session->state != VGPU_RING_OFF ||
            session->signals.irq_ctrl || session->signals.irq_status) {
            return true;
        }
    }
    return false;
}

/* Anybody may have made the stream. */
static bool session_is_valid(const VGPUSession *session)
{
    return (session->state == VGPU_RING_OFF ||
            session->state == VGPU_RING_FAILED) &&
           session->error < VGPU_N_ERRORS &&
           vgpu_signals_are_valid(&session->signals);
}

bool vgpu_sessions_are_valid(const VGPUSessions *all)
{
    for (unsigned i = 1; i < all->rings; i++) {
        if (!session_is_valid(&all->session[i])) {
            return false;
        }
    }
    return true;
}

/* ---- The device begins --------------------------------------------------- */

void vgpu_sessions_init(VGPUSessions *all, PCIDevice *dev, MemoryRegion *bar0,
                        VGPULink *link, VGPUWindow *window,
                        VGPUSignalsEvent *event, void *opaque)
{
    all->link = link;
    all->window = window;
    for (unsigned i = 1; i < all->rings; i++) {
        vgpu_signals_init(&all->session[i].signals, dev, bar0, i, event,
                          opaque);
    }
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's connection to the mediator.
 *
 * While a request is pending or a ring is on there are three waits. One timer
 * serves them all:
 *
 *  - retry_at: without a connection, the next attempt to connect. Attempts are
 *    10 ms apart at first and 1 s in the end.
 *  - ping_at: on a connection where an answer is expected, the next PING. If no
 *    valid message comes for the length of the timeout, the connection is dead
 *    and the link closes it. A ring or a session that is on expects no answer.
 *  - deadline: the end of the request, of a ring that no mediator has taken up
 *    yet, and of sessions that no mediator was told of yet. It is counted from the doorbell and from each break, and any valid
 *    message cancels it. At the deadline the guest is told that there is no
 *    mediator. A ring that was on stays on, however long there is no mediator:
 *    what the guest has asked for is in the window, and waits there.
 *    What comes after a deadline fails with the first attempt to connect that
 *    does: programs of one guest take turns with the registers, so each of them
 *    would otherwise wait for all those before it. The first attempt that
 *    succeeds ends this.
 *
 * The timer may fire too early. It is not moved or removed when a request ends,
 * because that would cost a system call for each request.
 *
 * While the VM is stopped the link is stopped too: no wait ends and nothing is
 * read. So nothing that the guest can see changes, as QEMU expects of a device.
 * The link of a VM with an open session goes on to read: vgpu-link-session.c
 * says why.
 * The timer uses the host's monotonic clock. The virtual clock would stop with
 * the VM by itself, but where QEMU counts instructions it does not run at the
 * speed of the mediator's clock.
 *
 * If the connection breaks again and again, the link gives up the pending
 * request after some sends: a request that kills its mediator must not do so
 * for ever. The link gives up a ring in the same way, unless a connection has
 * lasted for a while in between.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "vgpu-link-internal.h"

#define SENDS_MAX 8
#define RESET_WAIT_MS 100

static void link_readable(void *opaque);
static void link_writable(void *opaque);

/*
 * How long to wait for a sign of life. With a timeout of 0 a break is fatal at
 * once, but a mediator that is connected needs time to answer.
 */
static int64_t link_patience(const VGPULink *link)
{
    return MAX(link->config->timeout_s * INT64_C(1000), 1000);
}

/* Several pings fit into one patience. */
static int64_t link_ping_interval(const VGPULink *link)
{
    return MIN(MAX(link_patience(link) / 4, PING_MIN_MS), PING_MAX_MS);
}

/* Does anybody need a connection? */
static bool link_is_wanted(const VGPULink *link)
{
    return link->request || link->ring || vgpu_link_sessions_are_wanted(link);
}

/* Does something fail at the deadline? */
static bool link_has_deadline(const VGPULink *link)
{
    return link->deadline && (link->request || vgpu_link_ring_is_new(link) ||
                              vgpu_link_sessions_have_new(link));
}

/* Does the mediator owe us an answer? */
static bool link_is_expecting(const VGPULink *link)
{
    return link->request || link->peer_ring == PEER_RING_OFF ||
           (link->ring && link->peer_ring != PEER_RING_READY) ||
           vgpu_link_sessions_expect(link);
}

/*
 * May something be read now? A stopped VM's device does not change, unless it
 * has a session: then nobody can save the VM.
 */
static bool link_is_reading(const VGPULink *link)
{
    return link->running || vgpu_link_sessions_are_open(link);
}

void vgpu_link_arm(VGPULink *link)
{
    int64_t next = vgpu_link_is_open(link) ? link->ping_at : link->retry_at;

    if (!link->running || !(vgpu_link_is_open(link) ? link_is_expecting(link)
                                               : link_is_wanted(link))) {
        return;
    }
    if (link_has_deadline(link)) {
        next = MIN(next, link->deadline);
    }
    timer_mod_anticipate(&link->timer, next);
}

/* Lets the main loop watch for what the connection waits for. */
static void link_watch(VGPULink *link)
{
    if (!vgpu_link_is_open(link)) {
        return;
    }
    link->tx_watched = link->channel.tx_len > 0;
    if (link_is_reading(link)) {
        qemu_set_fd_handler(link->channel.fd, link_readable,
                            link->tx_watched ? link_writable : NULL, link);
    } else {
        qemu_set_fd_handler(link->channel.fd, NULL, NULL, NULL);
    }
}

static void link_close(VGPULink *link)
{
    if (vgpu_link_is_open(link)) {
        qemu_set_fd_handler(link->channel.fd, NULL, NULL, NULL);
    }
    vgpu_channel_close(&link->channel);
    link->welcomed = false;
    vgpu_link_ring_release(link);
    vgpu_link_sessions_release(link);
}

void vgpu_link_end_request(VGPULink *link, uint32_t error,
                           const uint8_t *response, uint32_t len)
{
    link->request = NULL;
    link->deadline = 0;
    link->ops->complete(link->opaque, error, response, len);
}

/* Plans the next attempt to connect, if a connection is wanted. */
static void link_retry(VGPULink *link)
{
    if (!link_is_wanted(link)) {
        return;
    }
    if (!link->deadline) {
        link->deadline = vgpu_link_now() + link_patience(link);
    }
    link->retry_at = vgpu_link_now() + link->backoff;
    link->backoff = MIN(link->backoff * 2, BACKOFF_MAX_MS);
    vgpu_link_arm(link);
}

/* Closes the connection first: no late answer may come. */
static void link_give_up(VGPULink *link)
{
    link_close(link);
    link->absent = true;
    if (vgpu_link_ring_is_new(link)) {
        vgpu_link_ring_end(link, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    }
    vgpu_link_sessions_end_new(link, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    if (link->request) {
        vgpu_link_end_request(link, VGPU_ERROR_MEDIATOR_UNAVAILABLE, NULL, 0);
    }
    link->deadline = 0;
    link_retry(link);
}

static void link_warn(VGPULink *link, const char *what)
{
    warn_report("vgpu-stub %s: %s: %s", link->config->name,
                link->config->socket, what);
    link->warned = true;
}

/*
 * The connection is gone. Decides what becomes of the request, the ring and the
 * sessions.
 */
static void link_lost(VGPULink *link)
{
    bool impatient = link->config->timeout_s == 0 || link->absent;

    if (link->peer_ring == PEER_RING_READY &&
        vgpu_link_now() >= link->ring_ready_at + BACKOFF_MAX_MS) {
        link->backoff = BACKOFF_MIN_MS; /* it has lasted for a while */
        link->ring_sends = 0;
    }
    link_close(link);
    if (link->ring_sends >= SENDS_MAX ?
        link->ring != NULL : impatient && vgpu_link_ring_is_new(link)) {
        vgpu_link_ring_end(link, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    }
    if (impatient) {
        vgpu_link_sessions_end_new(link, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    }
    if (link->request && (impatient || link->sends >= SENDS_MAX)) {
        vgpu_link_end_request(link, VGPU_ERROR_MEDIATOR_UNAVAILABLE, NULL, 0);
    }
    link_retry(link);
}

void vgpu_link_break(VGPULink *link, const char *what)
{
    if (link_is_wanted(link) && !link->warned) {
        link_warn(link, what);
    }
    link_lost(link);
}

void vgpu_link_violation(VGPULink *link, const char *what)
{
    g_autofree char *message =
        g_strdup_printf("protocol violated: %s; connection closed", what);

    link_warn(link, message);
    link_lost(link);
}

void vgpu_link_flush(VGPULink *link)
{
    int r = vgpu_channel_flush(&link->channel);

    if (r < 0) {
        vgpu_link_break(link, strerror(-r));
    } else if (!link->tx_watched && link->channel.tx_len > 0) {
        link_watch(link);
    }
}

void vgpu_link_send_fds(VGPULink *link, uint32_t type, uint32_t request_id,
                        const void *payload, uint32_t len, const int *fds)
{
    const VGPUSocketHeader header = {
        .magic = VGPU_SOCKET_MAGIC,
        .msg_type = type,
        .vm_id = link->config->vm_id,
        .request_id = request_id,
        .pool_id = link->config->pool_id,
        .priority = link->config->priority,
        .payload_len = len,
    };

    if (!vgpu_channel_put(&link->channel, &header, payload, fds)) {
        vgpu_link_break(link, "the mediator does not read");
        return;
    }
    vgpu_link_flush(link);
}

void vgpu_link_send(VGPULink *link, uint32_t type, uint32_t request_id,
                    const void *payload, uint32_t len)
{
    vgpu_link_send_fds(link, type, request_id, payload, len, NULL);
}

/* HELLO and PING carry this id, so that a refusal names the request. */
static uint32_t link_request_id(const VGPULink *link)
{
    return link->request ? link->request->id : 0;
}

static void link_send_hello(VGPULink *link)
{
    VGPUHello hello = { .features = link->config->features };

    memcpy(hello.uuid, link->config->uuid.data, sizeof(hello.uuid));
    memcpy(hello.resume, link->resume, sizeof(hello.resume));
    vgpu_link_send(link, VGPU_MSG_HELLO, link_request_id(link), &hello,
                   sizeof(hello));
}

static void link_send_request(VGPULink *link)
{
    const VGPUInFlight *request = link->request;

    assert(request);
    link->sends++;
    vgpu_link_send(link, VGPU_MSG_REQUEST, request->id, request->data,
                   request->len);
}

void vgpu_link_expect(VGPULink *link)
{
    link->heard_at = vgpu_link_now();
    link->ping_at = link->heard_at + link_ping_interval(link);
}

void vgpu_link_ping(VGPULink *link, int64_t interval)
{
    link->ping_at = vgpu_link_now() + interval;
    vgpu_link_send(link, VGPU_MSG_PING, link_request_id(link), NULL, 0);
}

static void link_connect(VGPULink *link)
{
    int r = vgpu_channel_open(&link->channel, link->config->socket);

    if (r < 0) {
        vgpu_link_break(link, strerror(-r));
        return;
    }
    link->absent = false;
    link_watch(link);
    vgpu_link_expect(link);
    link_send_hello(link);
    if (vgpu_link_is_open(link) && link->request) {
        link_send_request(link);
    }
}

/* ---- The main loop ------------------------------------------------------- */

static void link_readable(void *opaque)
{
    VGPULink *link = opaque;

    vgpu_link_read(link);
    if (!link_is_reading(link)) {
        link_watch(link); /* a stopped VM's last session has ended */
    }
}

/* All that waited may be gone already, with what was sent meanwhile. */
static void link_writable(void *opaque)
{
    VGPULink *link = opaque;

    vgpu_link_flush(link);
    if (vgpu_link_is_open(link) && link->channel.tx_len == 0) {
        link_watch(link);
        vgpu_link_advance(link); /* with descriptors, only one message waits */
    }
}

static void link_tick(void *opaque)
{
    VGPULink *link = opaque;
    int64_t now = vgpu_link_now();

    if (!link->running) {
        return;
    }
    if (link_has_deadline(link) && now >= link->deadline) {
        if (!link->warned) {
            link_warn(link, "the mediator does not answer");
        }
        link_give_up(link);
        return;
    }
    if (!vgpu_link_is_open(link)) {
        if (link_is_wanted(link) && now >= link->retry_at) {
            link_connect(link);
        }
    } else if (link_is_expecting(link)) {
        if (now >= link->heard_at + link_patience(link)) {
            vgpu_link_break(link, "the mediator does not answer");
        } else if (now >= link->ping_at) {
            vgpu_link_ping(link, link_ping_interval(link));
            vgpu_link_advance(link);
        }
    }
    vgpu_link_arm(link);
}

void vgpu_link_start(VGPULink *link)
{
    link->deadline = vgpu_link_now() + link_patience(link);
    if (!vgpu_link_is_open(link)) {
        link_connect(link);
    } else {
        vgpu_link_expect(link);
        if (link->request && link->sends == 0) {
            link_send_request(link);
        }
        vgpu_link_advance(link);
    }
    vgpu_link_arm(link);
}

static void link_vm_state_changed(void *opaque, bool running, RunState state)
{
    VGPULink *link = opaque;

    link->running = running;
    if (!running) { /* a guest that was shut down needs no session any more */
        vgpu_link_let_go(link, link_patience(link),
                         state == RUN_STATE_SHUTDOWN);
        link->ring_sends = 0;
        link->absent = false;
    }
    link_watch(link);
    if (!running) {
        timer_del(&link->timer);
    } else if (link_is_wanted(link)) {
        vgpu_link_start(link);
    }
}

void vgpu_link_submit(VGPULink *link, const VGPUInFlight *request)
{
    link->request = request;
    link->sends = 0;
    link->backoff = BACKOFF_MIN_MS;
    if (link->running) {
        vgpu_link_start(link);
    }
}

void vgpu_link_reset(VGPULink *link)
{
    bool was_used;

    vgpu_link_sessions_forget(link);
    was_used = link->request || link->peer_ring != PEER_RING_NONE ||
               vgpu_link_sessions_are_open(link);
    link->request = NULL;
    link->ring = NULL;
    link->deadline = 0;
    if (was_used) {
        vgpu_link_let_go(link, RESET_WAIT_MS, true);
        link_close(link);
    }
}

void vgpu_link_init(VGPULink *link, const VGPULinkConfig *config,
                    const VGPULinkOps *ops, void *opaque)
{
    memset(link, 0, sizeof(*link));
    link->config = config;
    link->ops = ops;
    link->opaque = opaque;
    vgpu_channel_init(&link->channel);
    link->running = runstate_is_running();
    timer_init_ms(&link->timer, QEMU_CLOCK_REALTIME, link_tick, link);
    link->vm_state =
        qemu_add_vm_change_state_handler(link_vm_state_changed, link);
}

void vgpu_link_cleanup(VGPULink *link)
{
    vgpu_link_reset(link);
    link_close(link);
    timer_del(&link->timer);
    qemu_del_vm_change_state_handler(link->vm_state);
}

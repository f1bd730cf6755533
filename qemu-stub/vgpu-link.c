/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's connection to the mediator.
 *
 * Three waits exist while a request is pending or a ring is on, all served by one
 * timer:
 *
 *  - retry_at: without a connection, the next attempt to connect. Attempts are
 *    10 ms apart at first and 1 s in the end.
 *  - ping_at: on a connection where an answer is expected, the next PING. A
 *    connection on which nothing valid was heard for the timeout is dead, and
 *    broken off. Nothing is expected while a ring is merely on.
 *  - deadline: the request's own, and that of a ring which no mediator has taken
 *    up yet. It runs from the doorbell and from each break, and any valid message
 *    stops it. When it runs out the guest is told that there is no mediator.
 *    A ring that was on stays on however long there is none: what the guest has
 *    asked for is in the window, and waits there.
 *
 * The timer may ring too early: it is never moved back nor removed when a
 * request ends, because a request should not cost a system call for that.
 *
 * A stopped VM has a stopped link: no wait ends, nothing is read, and so nothing
 * that the guest can see changes, as QEMU expects from devices. The timer uses
 * the host's monotonic clock: the virtual clock would do the stopping by itself,
 * but runs at another speed than the mediator's where instructions are counted.
 *
 * A pending request that meets break after break is given up after some sends:
 * a mediator that dies of a request shall not die of it for ever. So is a ring,
 * unless the connection has stood for a while in between.
 *
 * The ring
 * --------
 * The mediator of each new connection is told of the ring after its WELCOME, if
 * that says that it knows rings. It writes into the guest's memory then, and QEMU
 * cannot see where. So when the VM stops it is told to let go, and QEMU waits
 * here until it has: the memory may be saved next, or be sent to another host.
 * vhost-user devices wait in the same way. A mediator that takes longer than the
 * timeout loses the connection, after which it must not write into the ring. The
 * other wait, for a reset, is a moment only, as long as PCI Express gives a
 * function to be reset. When the VM goes on the mediator is told of the ring anew.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "migration/misc.h"
#include "vgpu-link.h"

#include <poll.h>

#define BACKOFF_MIN_MS 10
#define BACKOFF_MAX_MS 1000
#define PING_MIN_MS 250
#define PING_MAX_MS 1000
#define SENDS_MAX 8
#define RESET_WAIT_MS 100

static void link_readable(void *opaque);
static void link_writable(void *opaque);

static int64_t link_now(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

/*
 * How long to wait for a sign of life. With a timeout of 0 breaks are fatal at
 * once, but a connection that stands must be given time to answer.
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

static bool link_is_open(const VGPULink *link)
{
    return link->channel.fd >= 0;
}

/* Must there be a connection? */
static bool link_is_wanted(const VGPULink *link)
{
    return link->request || link->ring;
}

static bool link_ring_is_new(const VGPULink *link)
{
    return link->ring && !link->ring_agreed;
}

/* Does something fail at the deadline? */
static bool link_has_deadline(const VGPULink *link)
{
    return link->deadline && (link->request || link_ring_is_new(link));
}

/* Must the mediator at the other end have something to say? */
static bool link_is_expecting(const VGPULink *link)
{
    return link->request || link->peer_ring == PEER_RING_OFF ||
           (link->ring && link->peer_ring != PEER_RING_READY);
}

/* Lets the timer ring at the next wait's end, or before. */
static void link_arm(VGPULink *link)
{
    int64_t next = link_is_open(link) ? link->ping_at : link->retry_at;

    if (!link->running || !(link_is_open(link) ? link_is_expecting(link)
                                               : link_is_wanted(link))) {
        return;
    }
    if (link_has_deadline(link)) {
        next = MIN(next, link->deadline);
    }
    timer_mod_anticipate(&link->timer, next);
}

/* Asks the main loop for what the connection waits for. */
static void link_watch(VGPULink *link)
{
    if (!link_is_open(link)) {
        return;
    }
    link->tx_watched = link->channel.tx_len > 0;
    if (link->running) {
        qemu_set_fd_handler(link->channel.fd, link_readable,
                            link->tx_watched ? link_writable : NULL, link);
    } else {
        qemu_set_fd_handler(link->channel.fd, NULL, NULL, NULL);
    }
}

/* The mediator does not have the window now. */
static void link_release(VGPULink *link)
{
    if (link->peer_ring != PEER_RING_NONE) {
        link->peer_ring = PEER_RING_NONE;
        link->ops->ring_released(link->opaque);
    }
}

static void link_close(VGPULink *link)
{
    if (link_is_open(link)) {
        qemu_set_fd_handler(link->channel.fd, NULL, NULL, NULL);
    }
    vgpu_channel_close(&link->channel);
    link->welcomed = false;
    link_release(link);
}

static void link_end_request(VGPULink *link, uint32_t error,
                             const uint8_t *response, uint32_t len)
{
    link->request = NULL;
    link->deadline = 0;
    link->ops->complete(link->opaque, error, response, len);
}

static void link_end_ring(VGPULink *link, uint32_t error)
{
    link->ring = NULL;
    link->ops->ring_ready(link->opaque, error);
}

/* Sees to it that there will be a connection again, if one is wanted. */
static void link_retry(VGPULink *link)
{
    if (!link_is_wanted(link)) {
        return;
    }
    if (!link->deadline) {
        link->deadline = link_now() + link_patience(link);
    }
    link->retry_at = link_now() + link->backoff;
    link->backoff = MIN(link->backoff * 2, BACKOFF_MAX_MS);
    link_arm(link);
}

/* No late answer may come: the connection goes first. */
static void link_give_up(VGPULink *link)
{
    link_close(link);
    if (link_ring_is_new(link)) {
        link_end_ring(link, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    }
    if (link->request) {
        link_end_request(link, VGPU_ERROR_MEDIATOR_UNAVAILABLE, NULL, 0);
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

/* There is no connection now. What becomes of those who wait? */
static void link_lost(VGPULink *link)
{
    bool impatient = link->config->timeout_s == 0;

    if (link->peer_ring == PEER_RING_READY &&
        link_now() >= link->ring_ready_at + BACKOFF_MAX_MS) {
        link->backoff = BACKOFF_MIN_MS; /* it was a good one while it lasted */
        link->ring_sends = 0;
    }
    link_close(link);
    if (link->ring_sends >= SENDS_MAX ? link->ring != NULL
                                      : impatient && link_ring_is_new(link)) {
        link_end_ring(link, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
    }
    if (link->request && (impatient || link->sends >= SENDS_MAX)) {
        link_end_request(link, VGPU_ERROR_MEDIATOR_UNAVAILABLE, NULL, 0);
    }
    link_retry(link);
}

/*
 * The connection broke or could not be made: @what says why. Silent when
 * nobody waits, and when the administrator has been told already.
 */
static void link_break(VGPULink *link, const char *what)
{
    if (link_is_wanted(link) && !link->warned) {
        link_warn(link, what);
    }
    link_lost(link);
}

/* The mediator does not keep to the protocol. */
static void link_violation(VGPULink *link, const char *what)
{
    g_autofree char *message =
        g_strdup_printf("protocol violated: %s; connection closed", what);

    link_warn(link, message);
    link_lost(link);
}

/* Writes what waits, as far as it goes. May break the connection. */
static void link_flush(VGPULink *link)
{
    int r = vgpu_channel_flush(&link->channel);

    if (r < 0) {
        link_break(link, strerror(-r));
    } else if (link->tx_watched != (link->channel.tx_len > 0)) {
        link_watch(link);
    }
}

/* Sends a message, or breaks the connection of a mediator that never reads. */
static void link_send_fds(VGPULink *link, uint32_t type, uint32_t request_id,
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
        link_break(link, "the mediator does not read");
        return;
    }
    link_flush(link);
}

static void link_send(VGPULink *link, uint32_t type, uint32_t request_id,
                      const void *payload, uint32_t len)
{
    link_send_fds(link, type, request_id, payload, len, NULL);
}

/* A refusal then names the request that it is the answer to. */
static uint32_t link_request_id(const VGPULink *link)
{
    return link->request ? link->request->id : 0;
}

static void link_send_hello(VGPULink *link)
{
    VGPUHello hello = { .features = link->config->features };

    memcpy(hello.uuid, link->config->uuid.data, sizeof(hello.uuid));
    memcpy(hello.resume, link->resume, sizeof(hello.resume));
    link_send(link, VGPU_MSG_HELLO, link_request_id(link), &hello,
              sizeof(hello));
}

static void link_send_request(VGPULink *link)
{
    const VGPUInFlight *request = link->request;

    link->sends++;
    link_send(link, VGPU_MSG_REQUEST, request->id, request->data,
              request->len);
}

/* From now on a sign of life is waited for. */
static void link_expect(VGPULink *link)
{
    link->heard_at = link_now();
    link->ping_at = link->heard_at + link_ping_interval(link);
}

static void link_connect(VGPULink *link)
{
    int r = vgpu_channel_open(&link->channel, link->config->socket);

    if (r < 0) {
        link_break(link, strerror(-r));
        return;
    }
    link_watch(link);
    link_expect(link);
    link_send_hello(link);
    if (link_is_open(link) && link->request) {
        link_send_request(link);
    }
}

/* ---- The ring ------------------------------------------------------------ */

/*
 * Tells the mediator of the ring, if that can be done now. While a migrated VM's
 * memory still arrives (postcopy), a mediator must not look at the window:
 * it would find zeros, and keep what comes later from getting there.
 */
static void link_ring_advance(VGPULink *link)
{
    if (!link->ring || !link->welcomed || !link->running ||
        link->peer_ring != PEER_RING_NONE || migration_in_incoming_postcopy()) {
        return;
    }
    if (!(link->features & VGPU_FEATURE_RING)) {
        link_end_ring(link, VGPU_ERROR_UNSUPPORTED_OP);
        return;
    }
    link->ring_sends++;
    link->peer_ring = PEER_RING_SETUP;
    link_expect(link);
    link_send_fds(link, VGPU_MSG_RING_SETUP, 0, &link->ring->setup,
                  sizeof(link->ring->setup), link->ring->fds);
    link_arm(link);
}

/* Tells the mediator to let go of the window, if it has it. */
static void link_ring_off(VGPULink *link)
{
    if (link->peer_ring != PEER_RING_SETUP &&
        link->peer_ring != PEER_RING_READY) {
        return;
    }
    if (link->channel.fds) { /* it has not even read where the window is */
        link_break(link, "the mediator does not read");
        return;
    }
    link->peer_ring = PEER_RING_OFF;
    link_expect(link);
    link_send(link, VGPU_MSG_RING_OFF, 0, NULL, 0);
    link_arm(link);
}

/* The same, and waits until it has done so, or is gone, or is shown the door. */
static void link_ring_let_go(VGPULink *link, int64_t wait_ms)
{
    int64_t end = link_now() + wait_ms;

    link_ring_off(link);
    while (link->peer_ring == PEER_RING_OFF) {
        struct pollfd p = {
            .fd = link->channel.fd,
            .events = POLLIN | (link->channel.tx_len > 0 ? POLLOUT : 0),
        };
        int n = poll(&p, 1, MAX(end - link_now(), 0));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            link_break(link, "the mediator does not let go of the window");
        } else if (p.revents & POLLOUT) {
            link_flush(link);
        } else {
            link_readable(link);
        }
    }
}

static const char *link_receive_ring_ready(VGPULink *link,
                                           const uint8_t *payload)
{
    VGPURingReady ready;

    memcpy(&ready, payload, sizeof(ready));
    if (ready.error >= VGPU_N_ERRORS) {
        return "an error code that there is not";
    }
    if (link->peer_ring == PEER_RING_OFF) {
        return NULL; /* it was on its way when the ring was taken back */
    }
    if (link->peer_ring == PEER_RING_NONE ||
        (link->peer_ring == PEER_RING_READY &&
         ready.error == VGPU_ERROR_NONE)) {
        return "a ring that it was not told of";
    }

    if (ready.error != VGPU_ERROR_NONE) {
        link_ring_off(link); /* what it has begun may still be running */
        link_end_ring(link, ready.error);
        return NULL;
    }
    link->peer_ring = PEER_RING_READY;
    link->ring_agreed = true;
    link->ring_ready_at = link_now();
    link->ops->ring_ready(link->opaque, VGPU_ERROR_NONE);
    return NULL;
}

static const char *link_receive_ring_stopped(VGPULink *link)
{
    if (link->peer_ring != PEER_RING_OFF) {
        return "a ring has stopped that should not";
    }
    link_release(link);
    link_ring_advance(link);
    return NULL;
}

/* ---- Messages ------------------------------------------------------------ */

/* Something that ends the request was received for request @id. */
static const char *link_receive_end(VGPULink *link, uint32_t id,
                                    uint32_t error, const uint8_t *response,
                                    uint32_t len)
{
    if (!link->request) {
        return NULL; /* nobody waits for it any more */
    }
    if (id != link->request->id) {
        return "an answer to another request";
    }
    link_end_request(link, error, response, len);
    return NULL;
}

/* The secret by which a later connection is known as this VM's. */
static void link_take_welcome(VGPULink *link, const VGPUSocketHeader *header,
                              const uint8_t *payload)
{
    VGPUWelcome welcome = { .features = 0 };

    memcpy(&welcome, payload, MIN(header->payload_len, sizeof(welcome)));
    memcpy(link->resume, welcome.resume, sizeof(link->resume));
    link->welcomed = true;
    link->features = welcome.features & link->config->features;
    link_ring_advance(link);
}

/* This VM may not submit, or is not even let in: then a ring need not hope. */
static const char *link_receive_quarantined(VGPULink *link, uint32_t id)
{
    if (link_ring_is_new(link) && !link->welcomed) {
        link_end_ring(link, VGPU_ERROR_VM_QUARANTINED);
    }
    return link_receive_end(link, id, VGPU_ERROR_VM_QUARANTINED, NULL, 0);
}

/*
 * Takes a message whose header has been checked.
 *
 * Returns what is wrong with it, or NULL. The connection may be closed by then.
 */
static const char *link_receive(VGPULink *link, const VGPUSocketHeader *header,
                                const uint8_t *payload)
{
    VGPUResponse response;

    switch (header->msg_type) {
    case VGPU_MSG_RESPONSE:
        if (!vgpu_response_check(payload, header->payload_len, &response)) {
            return "malformed response";
        }
        return link_receive_end(link, header->request_id, response.status,
                                payload, header->payload_len);
    case VGPU_MSG_BUSY:
        return link_receive_end(link, header->request_id,
                                VGPU_ERROR_QUEUE_FULL, NULL, 0);
    case VGPU_MSG_QUARANTINED:
        return link_receive_quarantined(link, header->request_id);
    case VGPU_MSG_PING:
        link_send(link, VGPU_MSG_PONG, header->request_id, NULL, 0);
        return NULL;
    case VGPU_MSG_WELCOME:
        link_take_welcome(link, header, payload);
        return NULL;
    case VGPU_MSG_PONG:
        return NULL;
    case VGPU_MSG_RING_READY:
        return link_receive_ring_ready(link, payload);
    case VGPU_MSG_RING_STOPPED:
        return link_receive_ring_stopped(link);
    default:
        return "a message that only a device sends";
    }
}

/* Takes the first message that was read. Returns false when it is not whole. */
static bool link_take_message(VGPULink *link)
{
    VGPUSocketHeader header;
    const uint8_t *payload;
    const char *problem = vgpu_channel_peek(&link->channel, &header, &payload);

    if (!problem && !payload) {
        return false;
    }
    if (!problem) {
        link->heard_at = link_now();
        problem = link_receive(link, &header, payload);
    }
    if (problem) {
        link_violation(link, problem);
        return false;
    }
    if (!link_is_open(link)) {
        return false; /* closed on the way; the buffer is void */
    }

    link->deadline = 0;
    if (header.msg_type != VGPU_MSG_QUARANTINED) {
        link->warned = false; /* all is well again */
    }
    vgpu_channel_drop(&link->channel, &header);
    return true;
}

/* One read each time: a mediator that talks without end starves nobody. */
static void link_readable(void *opaque)
{
    VGPULink *link = opaque;
    ssize_t n = vgpu_channel_fill(&link->channel);

    if (n == -EAGAIN) {
        return;
    }
    if (n <= 0) {
        link_break(link, n == 0 ? "closed by the mediator" : strerror(-n));
        return;
    }
    while (link_take_message(link)) {
        /* next */
    }
}

static void link_writable(void *opaque)
{
    link_flush(opaque);
}

static void link_tick(void *opaque)
{
    VGPULink *link = opaque;
    int64_t now = link_now();

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
    if (!link_is_open(link)) {
        if (link_is_wanted(link) && now >= link->retry_at) {
            link_connect(link);
        }
    } else if (link_is_expecting(link)) {
        if (now >= link->heard_at + link_patience(link)) {
            link_break(link, "the mediator does not answer");
        } else if (now >= link->ping_at) {
            link->ping_at = now + link_ping_interval(link);
            link_send(link, VGPU_MSG_PING, link_request_id(link), NULL, 0);
            link_ring_advance(link);
        }
    }
    link_arm(link);
}

/* Begins the waits of what is pending, and sends what was not sent yet. */
static void link_start(VGPULink *link)
{
    link->deadline = link_now() + link_patience(link);
    if (!link_is_open(link)) {
        link_connect(link);
    } else {
        link_expect(link);
        if (link->request && link->sends == 0) {
            link_send_request(link);
        }
        link_ring_advance(link);
    }
    link_arm(link);
}

static void link_vm_state_changed(void *opaque, bool running, RunState state)
{
    VGPULink *link = opaque;

    link->running = running;
    if (!running) {
        link_ring_let_go(link, link_patience(link));
        link->ring_sends = 0;
    }
    link_watch(link);
    if (!running) {
        timer_del(&link->timer);
    } else if (link_is_wanted(link)) {
        link_start(link);
    }
}

void vgpu_link_submit(VGPULink *link, const VGPUInFlight *request)
{
    link->request = request;
    link->sends = 0;
    link->backoff = BACKOFF_MIN_MS;
    if (link->running) {
        link_start(link);
    }
}

void vgpu_link_ring_start(VGPULink *link, const VGPULinkRing *ring,
                          bool agreed)
{
    link->ring = ring;
    link->ring_agreed = agreed;
    link->ring_sends = 0;
    link->backoff = BACKOFF_MIN_MS;
    if (link->running) {
        link_start(link);
    }
}

bool vgpu_link_ring_stop(VGPULink *link)
{
    link->ring = NULL;
    link_ring_off(link);
    return link->peer_ring != PEER_RING_NONE;
}

void vgpu_link_reset(VGPULink *link)
{
    bool was_used = link->request || link->peer_ring != PEER_RING_NONE;

    link->request = NULL;
    link->ring = NULL;
    link->deadline = 0;
    if (was_used) {
        link_ring_let_go(link, RESET_WAIT_MS);
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

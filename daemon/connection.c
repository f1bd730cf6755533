/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connection-internal.h"
#include "manager.h"

#define MESSAGE_MAX (sizeof(VGPUSocketHeader) + VGPU_PAYLOAD_MAX)

/* A peer may leave as many of its answers unread as it may have requests
 * queued, and then some; what does not fit ends the connection. */
#define OUT_MAX (256 * 1024)

LogContext connection_log_context(const Connection *c)
{
    return c->vm ? c->vm->client.log : (LogContext){.peer_pid = c->peer.pid};
}

int connection_violation(const Connection *c, const char *reason)
{
    LogContext context = connection_log_context(c);

    log_context(LOG_WARNING, &context, "closing the connection of %s (process %d, user %u): %s",
                c->vm ? c->vm->name : "a peer", (int) c->peer.pid, (unsigned) c->peer.uid, reason);
    return MESSAGE_CLOSE;
}

/* ---- Out ------------------------------------------------------------------------ */

/* Ends the connection from the loop: the caller may stand in the middle of it. */
static void hang_up(Connection *c)
{
    (void) shutdown(c->fd, SHUT_RDWR);
}

/* Waits for what there is to do: room for what is left to send, and, unless it is
 * not to be looked at now, what comes in. */
static void watch(Connection *c)
{
    uint32_t events = c->manager->draining || c->check ? 0 : EPOLLIN;

    if (buffer_used(&c->out) > 0)
        events |= EPOLLOUT;
    if (events != c->watched)
        peers_watch(c->manager->peers, c->fd, c, events);
    c->watched = events;
}

static void flush_output(Connection *c)
{
    if (buffer_send(&c->out, c->fd) < 0)
        hang_up(c);
    watch(c);
}

void connection_send(Connection *c, uint32_t type, uint32_t request_id, const void *payload,
                     uint32_t size)
{
    struct {
        VGPUSocketHeader header;
        char payload[VGPU_PAYLOAD_MAX];
    } message;
    size_t total = sizeof(message.header) + size;
    ssize_t sent = 0;

    message.header = (VGPUSocketHeader){
        .magic = VGPU_SOCKET_MAGIC,
        .msg_type = type,
        .vm_id = c->vm ? c->vm->id : 0,
        .request_id = request_id,
        .pool_id = c->vm ? (uint8_t) c->vm->settings.pool : 0,
        .priority = c->vm ? c->vm->settings.priority : 0,
        .payload_len = size,
    };
    if (size > 0)
        memcpy(message.payload, payload, size);

    /* The usual case: nothing waits and the socket takes it whole. */
    if (buffer_used(&c->out) == 0) {
        sent = send(c->fd, &message, total, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent == (ssize_t) total)
            return;
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            hang_up(c);
            return;
        }
        if (sent < 0)
            sent = 0;
    }

    if (buffer_append(&c->out, (char *) &message + sent, total - (size_t) sent, OUT_MAX) < 0) {
        connection_violation(c, "it does not read its answers");
        hang_up(c);
        return;
    }
    flush_output(c);
}

static void connection_on_started(RequestSource *source, const Request *r)
{
    (void) source, (void) r;
}

static void connection_on_complete(RequestSource *source, const Request *r, const Outcome *outcome)
{
    Connection *c = (Connection *) ((char *) source - offsetof(Connection, source));

    if (!outcome->dropped)
        connection_send(c, VGPU_MSG_RESPONSE, r->id, outcome->response, outcome->response_size);
}

static const RequestOps connection_request_ops = {
    .started = connection_on_started,
    .complete = connection_on_complete,
};

void connection_forget_requests(Connection *c)
{
    request_source_end(&c->source);
}

void connection_ring_ready(Connection *c, uint32_t request_id, uint32_t error)
{
    const VGPURingReady ready = {.error = error};

    connection_send(c, VGPU_MSG_RING_READY, request_id, &ready, sizeof(ready));
}

void connection_ring_stopped(Connection *c, uint32_t request_id)
{
    connection_send(c, VGPU_MSG_RING_STOPPED, request_id, NULL, 0);
}

/* ---- In ------------------------------------------------------------------------- */

/* Handles every whole message in @data and says how much that was. */
static int parse(Connection *c, const char *data, size_t size, size_t *ret_used)
{
    size_t at = 0;

    while (size - at >= sizeof(VGPUSocketHeader)) {
        VGPUSocketHeader h;
        const char *wrong;
        int r;

        memcpy(&h, data + at, sizeof(h));
        wrong = vgpu_ring_header_check(&h);
        if (wrong)
            return connection_violation(c, wrong);
        if (size - at < sizeof(h) + h.payload_len)
            break;
        r = connection_on_message(c, &h, data + at + sizeof(h));
        if (r != MESSAGE_OK && r != MESSAGE_WAIT)
            return r;
        at += sizeof(h) + h.payload_len;
        if (r == MESSAGE_WAIT)
            break;
    }

    *ret_used = at;
    return MESSAGE_OK;
}

static int keep_partial(Connection *c, const char *data, size_t size)
{
    if (size == 0) {
        free(c->partial);
        c->partial = NULL;
    } else {
        if (!c->partial)
            c->partial = malloc(MESSAGE_MAX);
        if (!c->partial)
            return -ENOMEM;
        memcpy(c->partial, data, size);
    }

    c->partial_size = size;
    return MESSAGE_OK;
}

/* Descriptors belong to a RING_SETUP. While one may still be under way they are kept; when all
 * is handled, or another message began with them, they came where they should not. */
static int check_fds(const Connection *c)
{
    VGPUSocketHeader h;

    if (passed_fds_are_empty(&c->fds) || c->check)
        return MESSAGE_OK;
    if (c->partial_size == 0)
        return connection_violation(c, "descriptors without a message that takes them");
    if (c->partial_size < sizeof(h))
        return MESSAGE_OK;

    memcpy(&h, c->partial, sizeof(h));
    return h.msg_type == VGPU_MSG_RING_SETUP
               ? MESSAGE_OK
               : connection_violation(c, "descriptors with a message that takes none");
}

/* Handles what was received, as far as that goes. */
static int take(Connection *c, const char *data, size_t size)
{
    size_t used = 0;
    int r = parse(c, data, size, &used);

    if (r == MESSAGE_OK)
        r = keep_partial(c, data + used, size - used);
    return r != MESSAGE_OK ? r : check_fds(c);
}

/* Without memory for one peer, the others go on. */
static void finish(Connection *c, int r)
{
    if (r < 0)
        connection_violation(c, strerror(-r));
    if (r != MESSAGE_OK)
        connection_free(c);
    else
        watch(c);
}

void connection_go_on(Connection *c)
{
    char data[MESSAGE_MAX];

    if (c->partial_size > 0)
        memcpy(data, c->partial, c->partial_size);
    finish(c, take(c, data, c->partial_size));
}

static int read_input(Connection *c)
{
    char *in = c->manager->in;
    size_t size = c->partial_size, room = MANAGER_IN_SIZE;
    ssize_t n;

    /* What stands behind a HELLO may have to wait, and must not be more than
     * there is room to keep. */
    if (!c->vm)
        room = MESSAGE_MAX;
    n = passed_fds_receive(&c->fds, c->fd, in + size, room - size);
    if (n == -EPROTO)
        return connection_violation(c, "more descriptors than any message takes");
    if (n < 0)
        return n == -EAGAIN || n == -EINTR ? MESSAGE_OK : MESSAGE_CLOSE;
    if (n == 0)
        return size > 0 ? connection_violation(c, "it hung up in the middle of a message")
                        : MESSAGE_CLOSE;

    if (size > 0)
        memcpy(in, c->partial, size);
    return take(c, in, size + (size_t) n);
}

void connection_on_ready(Connection *c, uint32_t revents)
{
    int r = MESSAGE_OK;

    if (revents & EPOLLOUT)
        flush_output(c);
    if (revents & EPOLLIN)
        r = read_input(c);
    else if (revents & (EPOLLHUP | EPOLLERR))
        r = MESSAGE_CLOSE;

    finish(c, r);
}

/* ---- The connection --------------------------------------------------------------- */

int connection_new(Manager *manager, int fd)
{
    Connection *c = calloc(1, sizeof(*c));
    socklen_t size = sizeof(c->peer);
    int r;

    if (!c) {
        close(fd);
        return -ENOMEM;
    }

    request_source_init(&c->source, &connection_request_ops);
    c->manager = manager;
    c->fd = fd;
    c->watched = EPOLLIN;
    TAILQ_INSERT_TAIL(&manager->connections, c, link);
    manager->n_connections++;

    r = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c->peer, &size) < 0 ? -errno : 0;
    if (r >= 0)
        r = peers_add(manager->peers, fd, c);
    if (r < 0) {
        connection_free(c);
        return r;
    }
    return 0;
}

Connection *connection_free(Connection *c)
{
    if (!c)
        return NULL;

    identity_check_free(c->check);
    if (c->vm)
        vm_detach(c->vm);
    TAILQ_REMOVE(&c->manager->connections, c, link);
    c->manager->n_connections--;
    c->manager->accept_warned = false;
    peers_remove(c->manager->peers, c->fd, c);
    close(c->fd);
    passed_fds_close(&c->fds);
    buffer_clear(&c->out);
    free(c->partial);
    free(c);
    return NULL;
}

void connection_free_all(Manager *manager)
{
    while (!TAILQ_EMPTY(&manager->connections))
        connection_free(TAILQ_FIRST(&manager->connections));
}

void connection_stop_reading_all(Manager *manager)
{
    Connection *c;

    TAILQ_FOREACH(c, &manager->connections, link)
    {
        watch(c);
    }
}

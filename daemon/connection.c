/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buffer.h"
#include "connection.h"
#include "manager.h"

#define MESSAGE_MAX (sizeof(VGPUSocketHeader) + VGPU_PAYLOAD_MAX)

/* A peer may leave as many of its answers unread as it may have requests
 * queued, and then some; what does not fit ends the connection. */
#define OUT_MAX (256 * 1024)

struct Connection {
    TAILQ_ENTRY(Connection) link;
    Manager *manager;
    int fd;
    sd_event_source *io;
    struct ucred peer;
    VM *vm; /* NULL until the first HELLO or REQUEST */
    bool hello;
    Buffer out;
    size_t partial_size;
    char *partial; /* the beginning of a message, MESSAGE_MAX bytes of room; NULL when none */
};

/* What became of a message. Negative errnos are the mediator's own trouble. */
enum {
    MESSAGE_OK = 0,
    MESSAGE_CLOSE = 1, /* the peer is to go; the reason is logged */
};

static LogContext log_context_of(const Connection *c)
{
    return c->vm ? vm_log_context(c->vm) : (LogContext){.peer_pid = c->peer.pid};
}

static int violation(const Connection *c, const char *reason)
{
    LogContext context = log_context_of(c);

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

static void flush_output(Connection *c)
{
    int r = buffer_send(&c->out, c->fd);
    uint32_t in = c->manager->draining ? 0 : EPOLLIN;

    if (r < 0)
        hang_up(c);
    else
        (void) sd_event_source_set_io_events(c->io, r > 0 ? in | EPOLLOUT : in);
}

static void send_message(Connection *c, uint32_t type, uint32_t request_id, const void *payload,
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
        .pool_id = c->vm ? (uint8_t) c->vm->pool : 0,
        .priority = c->vm ? c->vm->priority : 0,
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
        violation(c, "it does not read its answers");
        hang_up(c);
        return;
    }
    flush_output(c);
}

void connection_answer(Connection *c, uint32_t request_id, const void *response, uint32_t size)
{
    send_message(c, VGPU_MSG_RESPONSE, request_id, response, size);
}

/* ---- In ------------------------------------------------------------------------- */

static int refuse(Connection *c, uint32_t request_id)
{
    send_message(c, VGPU_MSG_QUARANTINED, request_id, NULL, 0);
    return violation(c, "no such VM is registered, and [Unregistered] Policy=refuse");
}

/* Gives the connection its VM. What the header says counts for nothing but the
 * unregistered, who are let in only where the administrator says so. */
static int identify(Connection *c, const VGPUSocketHeader *h, const uint8_t uuid[16])
{
    int r;

    if (!c->manager->config.unregistered_allow)
        return refuse(c, h->request_id);

    r = vm_new(c->manager, h->vm_id, (char) h->pool_id, h->priority, &c->vm);
    if (r < 0)
        return r;

    if (uuid)
        memcpy(c->vm->uuid, uuid, sizeof(c->vm->uuid));
    c->vm->connection = c;
    c->vm->leader = c->peer.pid;
    return MESSAGE_OK;
}

static int on_hello(Connection *c, const VGPUSocketHeader *h, const char *payload)
{
    VGPUWelcome welcome = {0};
    VGPUHello hello;
    int r;

    if (c->vm)
        return violation(c, "a second HELLO, or one after a REQUEST");
    if (!vgpu_pool_is_valid(h->pool_id) || h->priority >= VGPU_N_PRIORITIES)
        return violation(c, "no such pool or priority in HELLO");

    memcpy(&hello, payload, sizeof(hello));
    r = identify(c, h, hello.uuid);
    if (r != MESSAGE_OK)
        return r;

    welcome.vm_id = c->vm->id;
    send_message(c, VGPU_MSG_WELCOME, h->request_id, &welcome, sizeof(welcome));
    return MESSAGE_OK;
}

/* Answers a request that was not queued. */
static int reject(Connection *c, uint32_t request_id, uint32_t error)
{
    VGPUResponse response = {.version = VGPU_PROTOCOL_VERSION, .status = error};
    LogContext context = log_context_of(c);

    context.has_request_id = true;
    context.request_id = request_id;
    context.error = error;
    if (vm_may_log(c->vm))
        log_context(LOG_INFO, &context, "request %u rejected: %s", request_id,
                    vgpu_error_to_string(error));

    c->vm->statistics.rejected++;
    if (error == VGPU_ERROR_QUEUE_FULL)
        send_message(c, VGPU_MSG_BUSY, request_id, NULL, 0);
    else
        send_message(c, VGPU_MSG_RESPONSE, request_id, &response, sizeof(response));
    return MESSAGE_OK;
}

static int queue_request(Connection *c, Pool *pool, const VGPUSocketHeader *h, const char *payload)
{
    Request *request = request_new(c->vm, pool, c, h->request_id, payload, h->payload_len);
    int r;

    if (!request)
        return -ENOMEM;

    r = pool_push(pool, request, h->priority);
    if (r > 0) {
        free(request);
        pool->statistics.rejected++;
        return reject(c, h->request_id, VGPU_ERROR_QUEUE_FULL);
    }
    return MESSAGE_OK;
}

static int on_request(Connection *c, const VGPUSocketHeader *h, const char *payload)
{
    Pool *pool = manager_pool(c->manager, h->pool_id);
    uint32_t error;
    int r;

    if (!c->vm) {
        r = identify(c, h, NULL);
        if (r != MESSAGE_OK)
            return r;
    }

    if (!pool)
        return reject(c, h->request_id, VGPU_ERROR_INVALID_POOL);
    if (h->priority >= VGPU_N_PRIORITIES)
        return reject(c, h->request_id, VGPU_ERROR_INVALID_REQUEST);
    error = vgpu_request_check(payload, h->payload_len, NULL);
    if (error != VGPU_ERROR_NONE)
        return reject(c, h->request_id, error);

    c->vm->pool = (char) h->pool_id;
    c->vm->priority = h->priority;
    return queue_request(c, pool, h, payload);
}

static int on_message(Connection *c, const VGPUSocketHeader *h, const char *payload)
{
    switch (h->msg_type) {
    case VGPU_MSG_HELLO:
        return on_hello(c, h, payload);
    case VGPU_MSG_REQUEST:
        return on_request(c, h, payload);
    case VGPU_MSG_PING:
        send_message(c, VGPU_MSG_PONG, h->request_id, NULL, 0);
        return MESSAGE_OK;
    case VGPU_MSG_PONG:
        return MESSAGE_OK;
    default:
        return violation(c, "a message that only the mediator sends");
    }
}

/* Handles every whole message in @data and says how much that was. */
static int parse(Connection *c, const char *data, size_t size, size_t *ret_used)
{
    size_t at = 0;

    while (size - at >= sizeof(VGPUSocketHeader)) {
        VGPUSocketHeader h;
        const char *wrong;
        int r;

        memcpy(&h, data + at, sizeof(h));
        wrong = vgpu_socket_header_check(&h);
        if (wrong)
            return violation(c, wrong);
        if (size - at < sizeof(h) + h.payload_len)
            break;
        r = on_message(c, &h, data + at + sizeof(h));
        if (r != MESSAGE_OK)
            return r;
        at += sizeof(h) + h.payload_len;
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

static int read_input(Connection *c)
{
    char *in = c->manager->in;
    size_t size = c->partial_size, used = 0;
    ssize_t n;
    int r;

    n = recv(c->fd, in + size, MANAGER_IN_SIZE - size, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? MESSAGE_OK : MESSAGE_CLOSE;
    if (n == 0)
        return size > 0 ? violation(c, "it hung up in the middle of a message") : MESSAGE_CLOSE;

    if (size > 0)
        memcpy(in, c->partial, size);
    size += (size_t) n;
    r = parse(c, in, size, &used);
    return r != MESSAGE_OK ? r : keep_partial(c, in + used, size - used);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Connection *c = userdata;
    int r = MESSAGE_OK;

    (void) source;
    (void) fd;

    if (revents & EPOLLOUT)
        flush_output(c);
    if (revents & EPOLLIN)
        r = read_input(c);
    else if (revents & (EPOLLHUP | EPOLLERR))
        r = MESSAGE_CLOSE;

    /* Without memory for one peer, the others go on. */
    if (r < 0)
        violation(c, strerror(-r));
    if (r != MESSAGE_OK)
        connection_free(c);
    return 0;
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

    c->manager = manager;
    c->fd = fd;
    TAILQ_INSERT_TAIL(&manager->connections, c, link);
    manager->n_connections++;

    r = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c->peer, &size) < 0 ? -errno : 0;
    if (r >= 0)
        r = sd_event_add_io(manager->event, &c->io, fd, EPOLLIN, on_io, c);
    if (r < 0) {
        connection_free(c);
        return r;
    }
    return 0;
}

/* What waits is dropped with the peer that asked; what runs is finished, and
 * nobody is told. The VM goes with its last request. */
static void forget_vm(Connection *c)
{
    VM *vm = c->vm;
    SchedRequest *s;

    while ((s = TAILQ_FIRST(&vm->client.queued))) {
        sched_request_remove(s);
        request_discard(request_from_sched(s));
    }
    for (unsigned i = 0; i < CONFIG_N_POOLS; i++)
        if (c->manager->pools[i])
            pool_forget_connection(c->manager->pools[i], c);

    vm->connection = NULL;
    if (vm->client.n_running == 0)
        vm_free(vm);
}

Connection *connection_free(Connection *c)
{
    if (!c)
        return NULL;

    if (c->vm)
        forget_vm(c);
    TAILQ_REMOVE(&c->manager->connections, c, link);
    c->manager->n_connections--;
    c->manager->accept_warned = false;
    sd_event_source_disable_unref(c->io);
    close(c->fd);
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
        uint32_t out = buffer_used(&c->out) > 0 ? EPOLLOUT : 0;

        (void) sd_event_source_set_io_events(c->io, out);
    }
}

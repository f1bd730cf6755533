/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buffer.h"
#include "connection.h"
#include "identity.h"
#include "manager.h"
#include "passed-fds.h"

#define MESSAGE_MAX (sizeof(VGPUSocketHeader) + VGPU_PAYLOAD_MAX)

/* A peer may leave as many of its answers unread as it may have requests
 * queued, and then some; what does not fit ends the connection. */
#define OUT_MAX (256 * 1024)

struct Connection {
    TAILQ_ENTRY(Connection) link;
    Manager *manager;
    int fd;
    uint32_t watched; /* epoll events */
    struct ucred peer;
    VM *vm;               /* NULL until the first HELLO or REQUEST */
    IdentityCheck *check; /* a HELLO waits for this */
    uint8_t claimed[16];  /* the UUID in it */
    uint32_t hello_id;    /* its request_id */
    uint32_t features;    /* and what it offers */
    PassedFds fds;        /* came with a message that is not handled yet */
    Buffer out;
    size_t partial_size;
    char *partial; /* the beginning of a message, MESSAGE_MAX bytes of room; NULL when none */
};

/* What became of a message. Negative errnos are the mediator's own trouble. */
enum {
    MESSAGE_OK = 0,
    MESSAGE_CLOSE = 1, /* the peer is to go; the reason is logged */
    MESSAGE_WAIT = 2,  /* the next one is not to be looked at yet */
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

void connection_ring_ready(Connection *c, uint32_t request_id, uint32_t error)
{
    const VGPURingReady ready = {.error = error};

    send_message(c, VGPU_MSG_RING_READY, request_id, &ready, sizeof(ready));
}

void connection_ring_stopped(Connection *c, uint32_t request_id)
{
    send_message(c, VGPU_MSG_RING_STOPPED, request_id, NULL, 0);
}

/* ---- In ------------------------------------------------------------------------- */

static int refuse(Connection *c, uint32_t request_id, const char *reason)
{
    send_message(c, VGPU_MSG_QUARANTINED, request_id, NULL, 0);
    return violation(c, reason);
}

static void welcome(Connection *c, VM *vm, uint32_t request_id)
{
    VGPUWelcome payload = {.vm_id = vm->id, .features = c->features & VGPU_FEATURE_RING};

    c->vm = vm;
    vm_attach(vm, c, c->peer.pid);
    if (vm->claimed)
        memcpy(payload.resume, vm->resume, sizeof(payload.resume));
    send_message(c, VGPU_MSG_WELCOME, request_id, &payload, sizeof(payload));
}

/* A VM for a peer that nobody registered. What it says of itself counts, but it
 * is let in only where the administrator says so. */
static int admit_unregistered(Connection *c, const VGPUSocketHeader *h, VM **ret)
{
    UnregisteredPolicy policy = c->manager->config.unregistered;
    bool nobody_can_register = c->manager->bus_kind == BUS_NONE;

    if (policy == UNREGISTERED_REFUSE || (policy == UNREGISTERED_DEFAULT && !nobody_can_register))
        return refuse(c, h->request_id,
                      "no such VM is registered, and [Unregistered] Policy= refuses others");

    return vm_new_unregistered(c->manager, h->vm_id, (char) h->pool_id, h->priority, ret);
}

/* Time must not tell how much of a guess was right. */
static bool is_same_secret(const uint8_t a[16], const uint8_t b[16])
{
    uint8_t difference = 0;

    for (unsigned i = 0; i < 16; i++)
        difference |= a[i] ^ b[i];
    return difference == 0;
}

static int parse_rest(Connection *c);

/* systemd-machined has answered, or nobody had to be asked. */
static void on_identity(void *userdata, const char *reason)
{
    Connection *c = userdata;
    VM *vm = vm_find_registered(c->manager, c->claimed);
    int r;

    c->check = identity_check_free(c->check);
    if (!reason && !vm)
        reason = "the VM was unregistered meanwhile";
    if (!reason && vm->connection)
        reason = "the VM's device is connected already";

    if (reason) {
        (void) refuse(c, c->hello_id, reason);
        connection_free(c);
        return;
    }

    welcome(c, vm, c->hello_id);
    r = parse_rest(c);
    if (r < 0)
        violation(c, strerror(-r));
    if (r != MESSAGE_OK)
        connection_free(c);
    else
        watch(c);
}

/* A claim to be a registered VM. The secret of the last WELCOME proves it, and then
 * an older connection is a dead one. Without it, the VM must be free, and the
 * kernel and systemd-machined must agree. */
static int claim(Connection *c, VM *vm, const VGPUSocketHeader *h, const VGPUHello *hello)
{
    int r;

    if (vm->claimed && is_same_secret(hello->resume, vm->resume)) {
        if (vm->connection)
            connection_free(vm->connection);
        welcome(c, vm, h->request_id);
        return MESSAGE_OK;
    }
    if (vm->connection)
        return refuse(c, h->request_id, "the VM's device is connected already");
    if (!c->manager->bus) {
        welcome(c, vm, h->request_id);
        return MESSAGE_OK;
    }

    memcpy(c->claimed, vm->uuid, sizeof(c->claimed));
    c->hello_id = h->request_id;
    r = identity_check_new(c->manager->bus, c->peer.pid, vm->uuid, on_identity, c, &c->check);
    return r < 0 ? r : MESSAGE_WAIT;
}

static int on_hello(Connection *c, const VGPUSocketHeader *h, const char *payload)
{
    VGPUHello hello = {0};
    VM *vm;
    int r;

    if (c->vm)
        return violation(c, "a second HELLO, or one after a REQUEST");
    if (!vgpu_pool_is_valid(h->pool_id) || h->priority >= VGPU_N_PRIORITIES)
        return violation(c, "no such pool or priority in HELLO");

    memcpy(&hello, payload, h->payload_len < sizeof(hello) ? h->payload_len : sizeof(hello));
    c->features = hello.features;
    vm = vm_find_registered(c->manager, hello.uuid);
    if (vm)
        return claim(c, vm, h, &hello);

    r = admit_unregistered(c, h, &vm);
    if (r != MESSAGE_OK)
        return r;
    memcpy(vm->uuid, hello.uuid, sizeof(vm->uuid));
    welcome(c, vm, h->request_id);
    return MESSAGE_OK;
}

/* Answers a request that was not queued. */
static int reject(Connection *c, uint32_t request_id, uint32_t error)
{
    VGPUResponse response = {.version = VGPU_PROTOCOL_VERSION, .status = error};
    LogContext context = log_context_of(c);

    context.pool = c->vm->settings.pool;
    context.has_request_id = true;
    context.request_id = request_id;
    context.error = error;
    if (vm_may_log(c->vm))
        log_context(LOG_INFO, &context, "request %u rejected: %s", request_id,
                    vgpu_error_to_string(error));

    c->vm->statistics.rejected++;
    if (error == VGPU_ERROR_QUEUE_FULL)
        send_message(c, VGPU_MSG_BUSY, request_id, NULL, 0);
    else if (error == VGPU_ERROR_VM_QUARANTINED)
        send_message(c, VGPU_MSG_QUARANTINED, request_id, NULL, 0);
    else
        send_message(c, VGPU_MSG_RESPONSE, request_id, &response, sizeof(response));
    return MESSAGE_OK;
}

static int queue_request(Connection *c, Pool *pool, unsigned priority, const VGPUSocketHeader *h,
                         const char *payload)
{
    Request *request = request_new(c->vm, c, h->request_id, payload, h->payload_len);
    int r;

    if (!request)
        return -ENOMEM;

    r = pool_push(pool, request, priority);
    if (r > 0) {
        free(request);
        pool->statistics.rejected++;
        return reject(c, h->request_id, VGPU_ERROR_QUEUE_FULL);
    }
    return MESSAGE_OK;
}

static int on_request(Connection *c, const VGPUSocketHeader *h, const char *payload)
{
    uint32_t error;
    Pool *pool;
    int r;

    if (!c->vm) {
        r = admit_unregistered(c, h, &c->vm);
        if (r != MESSAGE_OK)
            return r;
        vm_attach(c->vm, c, c->peer.pid);
    }

    /* Only of those that nobody registered is it asked what they want to be. */
    if (!c->vm->registered) {
        if (!manager_pool(c->manager, h->pool_id))
            return reject(c, h->request_id, VGPU_ERROR_INVALID_POOL);
        if (h->priority >= VGPU_N_PRIORITIES)
            return reject(c, h->request_id, VGPU_ERROR_INVALID_REQUEST);
        c->vm->settings.pool = (char) h->pool_id;
        c->vm->settings.priority = h->priority;
    }
    pool = manager_pool(c->manager, (unsigned char) c->vm->settings.pool);

    error = vgpu_request_check(payload, h->payload_len, NULL);
    if (error != VGPU_ERROR_NONE)
        return reject(c, h->request_id, error);
    if (c->vm->quarantined)
        return reject(c, h->request_id, VGPU_ERROR_VM_QUARANTINED);
    if (!vm_take_token(c->vm))
        return reject(c, h->request_id, VGPU_ERROR_RATE_LIMITED);

    return queue_request(c, pool, c->vm->settings.priority, h, payload);
}

static int on_ring_setup(Connection *c, const VGPUSocketHeader *h, const char *payload)
{
    int fds[VGPU_RING_N_FDS];
    VGPURingSetup setup;

    if (!c->vm)
        return violation(c, "RING_SETUP before HELLO");
    if (!passed_fds_take(&c->fds, fds, VGPU_RING_N_FDS))
        return violation(c, "RING_SETUP without its descriptors");

    memcpy(&setup, payload, sizeof(setup));
    if (!lane_setup(c->vm, fds, &setup, h->request_id))
        return violation(c, "RING_SETUP while there is a ring");
    return MESSAGE_OK;
}

static int on_ring_off(Connection *c, const VGPUSocketHeader *h)
{
    if (!c->vm)
        return violation(c, "RING_OFF before HELLO");
    if (!lane_stop(c->vm, h->request_id))
        return violation(c, "RING_OFF before RING_STOPPED");
    return MESSAGE_OK;
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
    case VGPU_MSG_RING_SETUP:
        return on_ring_setup(c, h, payload);
    case VGPU_MSG_RING_OFF:
        return on_ring_off(c, h);
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
        wrong = vgpu_ring_header_check(&h);
        if (wrong)
            return violation(c, wrong);
        if (size - at < sizeof(h) + h.payload_len)
            break;
        r = on_message(c, &h, data + at + sizeof(h));
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
        return violation(c, "descriptors without a message that takes them");
    if (c->partial_size < sizeof(h))
        return MESSAGE_OK;

    memcpy(&h, c->partial, sizeof(h));
    return h.msg_type == VGPU_MSG_RING_SETUP
               ? MESSAGE_OK
               : violation(c, "descriptors with a message that takes none");
}

/* Goes on with what came behind a HELLO while it waited. */
static int parse_rest(Connection *c)
{
    char data[MESSAGE_MAX];
    size_t size = c->partial_size, used = 0;
    int r;

    if (size > 0)
        memcpy(data, c->partial, size);
    r = parse(c, data, size, &used);
    if (r == MESSAGE_OK)
        r = keep_partial(c, data + used, size - used);
    return r != MESSAGE_OK ? r : check_fds(c);
}

static int read_input(Connection *c)
{
    char *in = c->manager->in;
    size_t size = c->partial_size, used = 0, room = MANAGER_IN_SIZE;
    ssize_t n;
    int r;

    /* What stands behind a HELLO may have to wait, and must not be more than
     * there is room to keep. */
    if (!c->vm)
        room = MESSAGE_MAX;
    n = passed_fds_receive(&c->fds, c->fd, in + size, room - size);
    if (n == -EPROTO)
        return violation(c, "more descriptors than any message takes");
    if (n < 0)
        return n == -EAGAIN || n == -EINTR ? MESSAGE_OK : MESSAGE_CLOSE;
    if (n == 0)
        return size > 0 ? violation(c, "it hung up in the middle of a message") : MESSAGE_CLOSE;

    if (size > 0)
        memcpy(in, c->partial, size);
    size += (size_t) n;
    r = parse(c, in, size, &used);
    if (r == MESSAGE_OK)
        r = keep_partial(c, in + used, size - used);
    if (r == MESSAGE_OK)
        r = check_fds(c);
    if (r == MESSAGE_OK && c->check)
        watch(c);
    return r;
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

    /* Without memory for one peer, the others go on. */
    if (r < 0)
        violation(c, strerror(-r));
    if (r != MESSAGE_OK)
        connection_free(c);
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

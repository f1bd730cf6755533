/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's connection to the mediator.
 *
 * Three waits exist while a request is pending, all served by one timer:
 *
 *  - retry_at: without a connection, the next attempt to connect. Attempts are
 *    10 ms apart at first and 1 s in the end.
 *  - ping_at: on a connection, the next PING. A connection on which nothing
 *    valid was heard for the timeout is dead, and broken off.
 *  - deadline: the request's own. It runs from the doorbell and from each break,
 *    and any valid message stops it. When it runs out the guest is told that
 *    there is no mediator.
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
 * a mediator that dies of a request shall not die of it for ever.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "vgpu-link.h"

#include <sys/socket.h>
#include <sys/un.h>

#define BACKOFF_MIN_MS 10
#define BACKOFF_MAX_MS 1000
#define PING_MIN_MS 250
#define PING_MAX_MS 1000
#define SENDS_MAX 8

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

/* Lets the timer ring at the next wait's end, or before. */
static void link_arm(VGPULink *link)
{
    int64_t next = link->fd < 0 ? link->retry_at : link->ping_at;

    if (!link->request || !link->running) {
        return;
    }
    if (link->deadline) {
        next = MIN(next, link->deadline);
    }
    timer_mod_anticipate(&link->timer, next);
}

/* Asks the main loop for what the connection waits for. */
static void link_watch(VGPULink *link)
{
    if (link->fd < 0) {
        return;
    }
    link->tx_watched = link->tx_len > 0;
    if (link->running) {
        qemu_set_fd_handler(link->fd, link_readable,
                            link->tx_watched ? link_writable : NULL, link);
    } else {
        qemu_set_fd_handler(link->fd, NULL, NULL, NULL);
    }
}

static void link_close(VGPULink *link)
{
    if (link->fd >= 0) {
        qemu_set_fd_handler(link->fd, NULL, NULL, NULL);
        close(link->fd);
        link->fd = -1;
    }
    link->tx_len = 0;
    link->rx_len = 0;
}

static void link_end_request(VGPULink *link, uint32_t error,
                             const uint8_t *response, uint32_t len)
{
    link->request = NULL;
    link->deadline = 0;
    link->complete(link->opaque, error, response, len);
}

/* No late answer may come: the connection goes first. */
static void link_give_up(VGPULink *link)
{
    link_close(link);
    link_end_request(link, VGPU_ERROR_MEDIATOR_UNAVAILABLE, NULL, 0);
}

static void link_warn(VGPULink *link, const char *what)
{
    warn_report("vgpu-stub %s: %s: %s", link->config->name,
                link->config->socket, what);
    link->warned = true;
}

/* There is no connection now. What becomes of the request? */
static void link_lost(VGPULink *link)
{
    link_close(link);
    if (!link->request) {
        return;
    }
    if (link->config->timeout_s == 0 || link->sends >= SENDS_MAX) {
        link_give_up(link);
        return;
    }
    if (!link->deadline) {
        link->deadline = link_now() + link_patience(link);
    }
    link->retry_at = link_now() + link->backoff;
    link->backoff = MIN(link->backoff * 2, BACKOFF_MAX_MS);
    link_arm(link);
}

/*
 * The connection broke or could not be made: @what says why. Silent when
 * nobody waits, and when the administrator has been told already.
 */
static void link_break(VGPULink *link, const char *what)
{
    if (link->request && !link->warned) {
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
    size_t done = 0;

    while (done < link->tx_len) {
        ssize_t n = send(link->fd, link->tx + done, link->tx_len - done,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (n < 0) {
            link_break(link, strerror(errno));
            return;
        }
        done += n;
    }

    link->tx_len -= done;
    memmove(link->tx, link->tx + done, link->tx_len);
    if (link->tx_watched != (link->tx_len > 0)) {
        link_watch(link);
    }
}

/* Queues a message, when there is room for it. */
static bool link_put(VGPULink *link, uint32_t type, uint32_t request_id,
                     const void *payload, uint32_t len)
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

    if (sizeof(link->tx) - link->tx_len < sizeof(header) + len) {
        return false;
    }
    memcpy(link->tx + link->tx_len, &header, sizeof(header));
    if (len > 0) {
        memcpy(link->tx + link->tx_len + sizeof(header), payload, len);
    }
    link->tx_len += sizeof(header) + len;
    return true;
}

/* Sends a message, or breaks the connection of a mediator that never reads. */
static void link_send(VGPULink *link, uint32_t type, uint32_t request_id,
                      const void *payload, uint32_t len)
{
    if (!link_put(link, type, request_id, payload, len)) {
        link_break(link, "the mediator does not read");
        return;
    }
    link_flush(link);
}

static void link_send_hello(VGPULink *link)
{
    VGPUHello hello = { .features = 0 };

    memcpy(hello.uuid, link->config->uuid.data, sizeof(hello.uuid));
    memcpy(hello.resume, link->resume, sizeof(hello.resume));
    /* A refusal then names the request that it is the answer to. */
    link_send(link, VGPU_MSG_HELLO, link->request->id, &hello, sizeof(hello));
}

static void link_send_request(VGPULink *link)
{
    const VGPUInFlight *request = link->request;

    link->sends++;
    link->heard_at = link_now();
    link->ping_at = link->heard_at + link_ping_interval(link);
    link_send(link, VGPU_MSG_REQUEST, request->id, request->data,
              request->len);
}

/* A Unix socket connects or fails, it never keeps one waiting. */
static int link_open(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    /* The device has checked that it fits. */
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = errno;

        close(fd);
        return -error;
    }
    return fd;
}

static void link_connect(VGPULink *link)
{
    int fd = link_open(link->config->socket);

    if (fd < 0) {
        link_break(link, strerror(-fd));
        return;
    }
    link->fd = fd;
    link_watch(link);
    link_send_hello(link);
    if (link->fd >= 0) {
        link_send_request(link);
    }
}

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
        return link_receive_end(link, header->request_id,
                                VGPU_ERROR_VM_QUARANTINED, NULL, 0);
    case VGPU_MSG_PING:
        link_send(link, VGPU_MSG_PONG, header->request_id, NULL, 0);
        return NULL;
    case VGPU_MSG_WELCOME:
        link_take_welcome(link, header, payload);
        return NULL;
    case VGPU_MSG_PONG:
        return NULL;
    default:
        return "a message that only a device sends";
    }
}

/* Takes the first message in the buffer. Returns false when it is not whole. */
static bool link_take_message(VGPULink *link)
{
    VGPUSocketHeader header;
    const char *problem;
    size_t size;

    if (link->rx_len < sizeof(header)) {
        return false;
    }
    memcpy(&header, link->rx, sizeof(header));
    problem = vgpu_socket_header_check(&header);
    size = sizeof(header) + header.payload_len;
    if (!problem && link->rx_len < size) {
        return false;
    }
    if (!problem) {
        problem = link_receive(link, &header, link->rx + sizeof(header));
    }
    if (problem) {
        link_violation(link, problem);
        return false;
    }
    if (link->fd < 0) {
        return false; /* closed on the way; the buffer is void */
    }

    link->heard_at = link_now();
    link->deadline = 0;
    link->warned = false;
    link->rx_len -= size;
    memmove(link->rx, link->rx + size, link->rx_len);
    return true;
}

/* One read each time: a mediator that talks without end starves nobody. */
static void link_readable(void *opaque)
{
    VGPULink *link = opaque;
    ssize_t n = recv(link->fd, link->rx + link->rx_len,
                     sizeof(link->rx) - link->rx_len, MSG_DONTWAIT);

    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (n <= 0) {
        link_break(link, n == 0 ? "closed by the mediator" : strerror(errno));
        return;
    }
    link->rx_len += n;
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

    if (!link->request || !link->running) {
        return;
    }
    if (link->deadline && now >= link->deadline) {
        if (!link->warned) {
            link_warn(link, "the mediator does not answer");
        }
        link_give_up(link);
        return;
    }
    if (link->fd < 0 && now >= link->retry_at) {
        link_connect(link);
    } else if (link->fd >= 0 && now >= link->heard_at + link_patience(link)) {
        link_break(link, "the mediator does not answer");
    } else if (link->fd >= 0 && now >= link->ping_at) {
        link->ping_at = now + link_ping_interval(link);
        link_send(link, VGPU_MSG_PING, link->request->id, NULL, 0);
    }
    link_arm(link);
}

/* Begins the pending request's waits, and sends it if it was not yet. */
static void link_start(VGPULink *link)
{
    link->deadline = link_now() + link_patience(link);
    if (link->fd < 0) {
        link_connect(link);
    } else if (link->sends == 0) {
        link_send_request(link);
    } else {
        link->heard_at = link_now();
    }
    link_arm(link);
}

static void link_vm_state_changed(void *opaque, bool running, RunState state)
{
    VGPULink *link = opaque;

    link->running = running;
    link_watch(link);
    if (!running) {
        timer_del(&link->timer);
    } else if (link->request) {
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

void vgpu_link_cancel(VGPULink *link)
{
    if (link->request) {
        link->request = NULL;
        link->deadline = 0;
        link_close(link);
    }
}

void vgpu_link_init(VGPULink *link, const VGPULinkConfig *config,
                    VGPULinkComplete *complete, void *opaque)
{
    memset(link, 0, sizeof(*link));
    link->config = config;
    link->complete = complete;
    link->opaque = opaque;
    link->fd = -1;
    link->running = runstate_is_running();
    timer_init_ms(&link->timer, QEMU_CLOCK_REALTIME, link_tick, link);
    link->vm_state =
        qemu_add_vm_change_state_handler(link_vm_state_changed, link);
}

void vgpu_link_cleanup(VGPULink *link)
{
    link_close(link);
    timer_del(&link->timer);
    qemu_del_vm_change_state_handler(link->vm_state);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session through the mediator's socket, on the host itself or in a container of it. The process
 * is to the mediator what a virtual machine's device is: it says HELLO, has a window of its own (a
 * sealed memfd), and opens one session. The end of the connection is the end of the session; so
 * nobody has to clean up after a process that dies.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "fd-passing.h"
#include "mapping.h"
#include "parse.h"
#include "transport.h"
#include "vgpu-ring.h"

/* A connection has one session. */
#define RING 1u
#define WINDOW_STEP (UINT64_C(2) << 20)
#define WINDOW_MIN (UINT64_C(4) << 20)

typedef struct transport_socket {
    transport base;
    int fd, window_fd, doorbell_fd, interrupt_fd;

    pthread_mutex_t lock; /* of all below */
    uint8_t buffer[sizeof(VGPUSocketHeader) + VGPU_PAYLOAD_MAX];
    size_t n_buffer;
    bool is_welcome, is_open, is_over, has_closed;
    VGPUWelcome welcome;
    transport_failure failure; /* with is_over */
    uint32_t list_id;          /* of the last SESSION_LIST */
    bool is_listed;            /* it has been answered */
    uint32_t n_listed;
    VGPUSessionListed listed[VGPU_LISTED_MAX];
} transport_socket;

static transport_socket *transport_socket_of(transport *t)
{
    return (transport_socket *) t;
}

/* ---- Messages ---------------------------------------------------------------- */

/* The socket's buffer has room: what this side sends is short and answered. */
static int socket_send(const transport_socket *s, uint32_t type, uint32_t request_id,
                       const void *payload, size_t size, const int *fds, unsigned int n_fds)
{
    uint8_t message[sizeof(VGPUSocketHeader) + sizeof(VGPUHello)];
    const VGPUSocketHeader header = {
        .magic = VGPU_SOCKET_MAGIC,
        .msg_type = type,
        .request_id = request_id,
        .pool_id = VGPU_POOL_FIRST,
        .priority = VGPU_PRIORITY_MEDIUM,
        .payload_len = (uint32_t) size,
    };
    ssize_t n;

    memcpy(message, &header, sizeof(header));
    if (size > 0)
        memcpy(message + sizeof(header), payload, size);
    n = n_fds > 0 ? fd_passing_send(s->fd, message, sizeof(header) + size, fds, n_fds, 0)
                  : send(s->fd, message, sizeof(header) + size, MSG_NOSIGNAL);
    if (n < 0)
        return n_fds > 0 ? (int) n : -errno;
    return (size_t) n == sizeof(header) + size ? 0 : -EAGAIN;
}

static void socket_end(transport_socket *s, uint32_t error, uint32_t cuda_result)
{
    if (s->is_over)
        return;
    s->is_over = true;
    s->failure = (transport_failure){.error = error, .cuda_result = cuda_result};
}

static int socket_take_ready(transport_socket *s, const VGPUSessionReady *ready)
{
    if (ready->ring != RING)
        return -EPROTO;
    if (ready->error == VGPU_ERROR_NONE)
        s->is_open = true;
    else
        socket_end(s, ready->error, ready->cuda_result);
    return 0;
}

static void socket_take_listed(transport_socket *s, const VGPUSocketHeader *header,
                               const void *payload)
{
    if (header->request_id != s->list_id) /* an answer that nobody waits for any more */
        return;
    s->is_listed = true;
    s->n_listed = header->payload_len / (uint32_t) sizeof(s->listed[0]);
    memcpy(s->listed, payload, s->n_listed * sizeof(s->listed[0]));
}

static int socket_take_message(transport_socket *s, const VGPUSocketHeader *header,
                               const void *payload)
{
    VGPUSessionReady ready;

    switch (header->msg_type) {
    case VGPU_MSG_WELCOME:
        memcpy(&s->welcome, payload,
               header->payload_len < sizeof(s->welcome) ? header->payload_len : sizeof(s->welcome));
        s->is_welcome = true;
        return 0;
    case VGPU_MSG_PING:
        return socket_send(s, VGPU_MSG_PONG, header->request_id, NULL, 0, NULL, 0);
    case VGPU_MSG_QUARANTINED:
        socket_end(s, VGPU_ERROR_VM_QUARANTINED, 0);
        return 0;
    case VGPU_MSG_SESSION_READY:
        memcpy(&ready, payload, sizeof(ready));
        return socket_take_ready(s, &ready);
    case VGPU_MSG_SESSION_CLOSED:
        s->has_closed = true;
        return 0;
    case VGPU_MSG_SESSION_LISTED:
        socket_take_listed(s, header, payload);
        return 0;
    default:
        return 0; /* nothing that this side waits for */
    }
}

/* Take the messages that the buffer has whole. */
static int socket_take_messages(transport_socket *s)
{
    VGPUSocketHeader header;

    while (s->n_buffer >= sizeof(header)) {
        size_t size;
        int r;

        memcpy(&header, s->buffer, sizeof(header));
        if (vgpu_ring_header_check(&header))
            return -EPROTO;
        size = sizeof(header) + header.payload_len;
        if (s->n_buffer < size)
            return 0;
        r = socket_take_message(s, &header, s->buffer + sizeof(header));
        if (r < 0)
            return r;
        s->n_buffer -= size;
        memmove(s->buffer, s->buffer + size, s->n_buffer);
    }
    return 0;
}

/* Read what is there. A connection that ends, or brings what it must not, ends the session. */
static void socket_receive(transport_socket *s)
{
    while (!s->is_over) {
        ssize_t n =
            recv(s->fd, s->buffer + s->n_buffer, sizeof(s->buffer) - s->n_buffer, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0)
            s->n_buffer += (size_t) n;
        if (n <= 0 || socket_take_messages(s) < 0)
            socket_end(s, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    }
}

static struct timespec time_left(deadline until)
{
    uint64_t left =
        until == DEADLINE_NEVER ? 3600 * NSEC_PER_SEC : deadline_left(until, now_nsec());

    return (struct timespec){
        .tv_sec = (time_t) (left / NSEC_PER_SEC),
        .tv_nsec = (long) (left % NSEC_PER_SEC),
    };
}

/* Receive until @done is set or the session is over. Returns 0, -ETIMEDOUT, or another negative
 * errno. */
static int socket_await(transport_socket *s, const bool *done, deadline until)
{
    struct pollfd poll_fd = {.fd = s->fd, .events = POLLIN};

    for (;;) {
        struct timespec left = time_left(until);

        socket_receive(s);
        if (*done || s->is_over)
            return 0;
        if (until != DEADLINE_NEVER && now_nsec() >= until)
            return -ETIMEDOUT;
        if (ppoll(&poll_fd, 1, &left, NULL) < 0 && errno != EINTR)
            return -errno;
    }
}

/* ---- Operations of the transport --------------------------------------------- */

static int socket_start(transport *t, uint64_t offset, deadline until, transport_failure *ret)
{
    transport_socket *s = transport_socket_of(t);
    const VGPUSessionOpen open = {.ring = RING, .offset = offset};
    const int fds[VGPU_RING_N_FDS] = {s->window_fd, s->doorbell_fd, s->interrupt_fd};
    int r;

    pthread_mutex_lock(&s->lock);
    r = socket_send(s, VGPU_MSG_SESSION_OPEN, 0, &open, sizeof(open), fds, VGPU_RING_N_FDS);
    if (r == 0)
        r = socket_await(s, &s->is_open, until);
    if (r == 0 && s->is_over) {
        *ret = s->failure;
        r = 1;
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

static void socket_doorbell(transport *t)
{
    const uint64_t one = 1;
    ssize_t n = write(transport_socket_of(t)->doorbell_fd, &one, sizeof(one));

    (void) n; /* full: then it has been rung */
}

static int socket_sleep(transport *t, int wake_fd, deadline until, uint64_t pause_nsec)
{
    transport_socket *s = transport_socket_of(t);
    struct pollfd fds[] = {
        {.fd = s->interrupt_fd, .events = POLLIN},
        {.fd = wake_fd, .events = POLLIN},
        {.fd = s->fd, .events = POLLIN},
    };
    struct timespec left = time_left(until);
    uint64_t count;

    (void) pause_nsec;
    if (ppoll(fds, ELEMENTSOF(fds), &left, NULL) < 0)
        return errno == EINTR ? 0 : -errno;
    for (size_t i = 0; i < 2; i++)
        if (fds[i].revents && read(fds[i].fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
            return -errno;
    return 0;
}

static int socket_check(transport *t, transport_failure *ret)
{
    transport_socket *s = transport_socket_of(t);
    bool is_over;

    pthread_mutex_lock(&s->lock);
    socket_receive(s);
    is_over = s->is_over;
    if (is_over)
        *ret = s->failure;
    pthread_mutex_unlock(&s->lock);
    return is_over;
}

static void socket_stop(transport *t, deadline until)
{
    transport_socket *s = transport_socket_of(t);
    const VGPUSessionRing close_it = {.ring = RING};

    pthread_mutex_lock(&s->lock);
    if (s->is_open && !s->is_over &&
        socket_send(s, VGPU_MSG_SESSION_CLOSE, 0, &close_it, sizeof(close_it), NULL, 0) == 0)
        (void) socket_await(s, &s->has_closed, until); /* the connection's end does the rest */
    pthread_mutex_unlock(&s->lock);
}

static void socket_forget(transport *t)
{
    transport_socket *s = transport_socket_of(t);
    int *fds[] = {&s->fd, &s->window_fd, &s->doorbell_fd, &s->interrupt_fd};

    for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

static void socket_close(transport *t)
{
    socket_forget(t);
    if (t->window)
        munmap(t->window, (size_t) t->window_size);
    pthread_mutex_destroy(&transport_socket_of(t)->lock);
    free(t);
}

static int socket_map_over(transport *t, uint64_t offset, uint64_t size, void *at)
{
    return mapping_replace(at, size, transport_socket_of(t)->window_fd, offset);
}

static const transport_ops socket_ops = {
    .start = socket_start,
    .doorbell = socket_doorbell,
    .sleep = socket_sleep,
    .map_over = socket_map_over,
    .check = socket_check,
    .stop = socket_stop,
    .forget = socket_forget,
    .close = socket_close,
};

/* ---- Opening -------------------------------------------------------------------- */

static void cleanup_socket(transport_socket **s)
{
    if (*s)
        socket_close(&(*s)->base);
}

static int socket_map(transport *t, uint64_t size, void *at, void **ret)
{
    return mapping_create(at, size, transport_socket_of(t)->window_fd, 0, ret);
}

static uint64_t window_size_wanted(const vgpu_session_options *o)
{
    const char *text = getenv("VGPU_WINDOW_SIZE");
    uint64_t size = o->window_size;

    if (size == 0 && (!text || parse_u64(text, 1, VGPU_WINDOW_SIZE_MAX, &size) < 0))
        size = VGPU_SESSION_WINDOW_DEFAULT;
    if (size < WINDOW_MIN)
        size = WINDOW_MIN;
    if (size > VGPU_WINDOW_SIZE_MAX)
        size = VGPU_WINDOW_SIZE_MAX;
    return (size + WINDOW_STEP - 1) & ~(WINDOW_STEP - 1);
}

static int socket_make_window(transport_socket *s, const vgpu_session_options *o)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    const uint64_t size = window_size_wanted(o);

    s->window_fd = memfd_create("vgpu-window", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (s->window_fd < 0 || ftruncate(s->window_fd, (off_t) size) < 0 ||
        fcntl(s->window_fd, F_ADD_SEALS, seals) < 0)
        return -errno;
    return transport_map_window(&s->base, o, size, socket_map);
}

static int socket_connect(transport_socket *s, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));

    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    s->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->fd < 0 || s->doorbell_fd < 0 || s->interrupt_fd < 0 ||
        connect(s->fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
        return -errno;
    return 0;
}

/* The mediator must know sessions. */
static int socket_greet(transport_socket *s, deadline until)
{
    const VGPUHello hello = {
        .features = VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS | VGPU_FEATURE_LIST,
    };
    int r;

    r = socket_send(s, VGPU_MSG_HELLO, 0, &hello, sizeof(hello), NULL, 0);
    if (r == 0)
        r = socket_await(s, &s->is_welcome, until);
    if (r < 0)
        return r;
    if (s->is_over)
        return s->failure.error == VGPU_ERROR_MEDIATOR_UNAVAILABLE ? -ECONNRESET
                                                                   : (int) s->failure.error;
    return s->welcome.features & VGPU_FEATURE_SESSIONS ? 0 : -EOPNOTSUPP;
}

int transport_socket_connect(const char *path, deadline until, transport **ret)
{
    CLEANUP(cleanup_socket) transport_socket *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->fd = s->window_fd = s->doorbell_fd = s->interrupt_fd = s->base.lock_fd = -1;
    s->base.ops = &socket_ops;
    strncpy(s->base.name, path, sizeof(s->base.name) - 1);
    pthread_mutex_init(&s->lock, NULL);

    r = socket_connect(s, path);
    if (r == 0)
        r = socket_greet(s, until);
    if (r != 0)
        return r;

    *ret = &TAKE_PTR(s)->base;
    return 0;
}

int transport_socket_open(const char *path, const vgpu_session_options *o, deadline until,
                          transport **ret)
{
    transport *t;
    int r = transport_socket_connect(path, until, &t);

    if (r != 0)
        return r;
    r = socket_make_window(transport_socket_of(t), o);
    if (r != 0) {
        socket_close(t);
        return r;
    }
    *ret = t;
    return 0;
}

int transport_socket_list(transport *t, uint32_t after, deadline until,
                          VGPUSessionListed ret[static VGPU_LISTED_MAX])
{
    transport_socket *s = transport_socket_of(t);
    const VGPUSessionList list = {.after = after};
    int r;

    if (!(s->welcome.features & VGPU_FEATURE_LIST))
        return -EOPNOTSUPP;
    pthread_mutex_lock(&s->lock);
    s->is_listed = false;
    r = socket_send(s, VGPU_MSG_SESSION_LIST, ++s->list_id, &list, sizeof(list), NULL, 0);
    if (r == 0)
        r = socket_await(s, &s->is_listed, until);
    if (r == 0 && !s->is_listed)
        r = -ECONNRESET;
    if (r == 0) {
        r = (int) s->n_listed;
        memcpy(ret, s->listed, s->n_listed * sizeof(ret[0]));
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "connection.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "buffer.h"
#include "closer.h"
#include "passed-fds.h"

#define MESSAGE_MAX (sizeof(VGPUSocketHeader) + VGPU_PAYLOAD_MAX)

/* A VM's device may leave as many of its answers unread as it may have requests queued, and then
 * some; a stranger has little to hear. What does not fit ends the connection. */
#define OUT_MAX (256 * 1024)
#define OUT_MAX_STRANGER 4096

/* So many messages are handled before it is another connection's turn. A device without a ring
 * has one request outstanding. What 20 connections that never stop have in one round is what
 * everybody else waits for. */
#define MESSAGES_PER_TURN 4

struct Connection {
    TAILQ_ENTRY(Connection) link;
    TAILQ_ENTRY(Connection) later_link;
    Connections *all;
    const ConnectionHandler *handler;
    void *userdata;
    int fd;
    uint32_t watched; /* epoll events */
    struct ucred peer;
    bool ended;    /* the loop frees it; nothing is read, answered or logged before */
    bool waits;    /* for the last message */
    bool is_later; /* has messages left from its last turn */
    PassedFds fds; /* came with a message that is not handled yet */
    Buffer out;
    size_t out_max;
    size_t kept_size;
    char *kept; /* what is not handled yet, MESSAGE_MAX bytes of room; NULL when nothing */
};

static int connection_violation(Connection *c, const char *reason)
{
    if (!c->ended)
        c->handler->complain(c->userdata, reason, 0);
    c->ended = true;
    return MESSAGE_CLOSE;
}

/* ---- Out ------------------------------------------------------------------------ */

/* Ends the connection from the loop: the caller may stand in the middle of it. */
static void connection_shut_down(Connection *c)
{
    c->ended = true;
    (void) shutdown(c->fd, SHUT_RDWR);
}

/* Waits for what there is to do: room for what is left to send, and, unless it is
 * not to be looked at now, what comes in. */
static void connection_watch(Connection *c)
{
    uint32_t events = c->all->reading_stopped || c->waits ? 0 : EPOLLIN;

    if (buffer_used(&c->out) > 0)
        events |= EPOLLOUT;
    if (events != c->watched)
        poll_set_watch(c->all->poll_set, c->fd, c, events);
    c->watched = events;
}

static void connection_flush(Connection *c)
{
    if (buffer_send(&c->out, c->fd) < 0)
        connection_shut_down(c);
    connection_watch(c);
}

void connection_send(Connection *c, const VGPUSocketHeader *header, const void *payload)
{
    struct {
        VGPUSocketHeader header;
        char payload[VGPU_PAYLOAD_MAX];
    } message;
    size_t total = sizeof(message.header) + header->payload_len;
    ssize_t sent = 0;

    assert(header->payload_len <= sizeof(message.payload));
    if (c->ended)
        return;
    message.header = *header;
    message.header.magic = VGPU_SOCKET_MAGIC;
    if (header->payload_len > 0)
        memcpy(message.payload, payload, header->payload_len);

    /* The usual case: nothing waits and the socket takes it whole. */
    if (buffer_used(&c->out) == 0) {
        sent = send(c->fd, &message, total, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent == (ssize_t) total)
            return;
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            connection_shut_down(c);
            return;
        }
        if (sent < 0)
            sent = 0;
    }

    if (buffer_append(&c->out, (char *) &message + sent, total - (size_t) sent, c->out_max) < 0) {
        connection_violation(c, "it does not read its answers");
        connection_shut_down(c);
        return;
    }
    connection_flush(c);
}

/* ---- In ------------------------------------------------------------------------- */

static void connection_set_later(Connection *c, bool later)
{
    if (c->is_later == later)
        return;

    c->is_later = later;
    if (!later) {
        TAILQ_REMOVE(&c->all->later, c, later_link);
        return;
    }
    TAILQ_INSERT_TAIL(&c->all->later, c, later_link);
    (void) sd_event_source_set_enabled(c->all->turn, SD_EVENT_ONESHOT);
}

/* Handles the whole messages in @data, as many as are its turn, and says how much that was. */
static int connection_parse(Connection *c, const char *data, size_t size, size_t *ret_used)
{
    unsigned n = 0;
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
        if (n++ == MESSAGES_PER_TURN) {
            connection_set_later(c, true);
            break;
        }
        r = c->handler->message(c->userdata, &h, data + at + sizeof(h));
        if (c->ended)
            return MESSAGE_CLOSE;
        if (r != MESSAGE_OK && r != MESSAGE_WAIT)
            return r;
        at += sizeof(h) + h.payload_len;
        c->waits = r == MESSAGE_WAIT;
        if (c->waits)
            break;
    }

    *ret_used = at;
    return MESSAGE_OK;
}

static int connection_keep(Connection *c, const char *data, size_t size)
{
    if (size == 0) {
        free(c->kept);
        c->kept = NULL;
    } else {
        if (!c->kept)
            c->kept = malloc(MESSAGE_MAX);
        if (!c->kept)
            return -ENOMEM;
        memcpy(c->kept, data, size);
    }

    c->kept_size = size;
    return MESSAGE_OK;
}

/* Descriptors belong to a RING_SETUP. While one may still be under way they are kept; when all
 * is handled, or another message began with them, they came where they should not. */
static int connection_check_fds(Connection *c)
{
    VGPUSocketHeader h;

    if (passed_fds_are_empty(&c->fds) || c->waits || c->is_later)
        return MESSAGE_OK;
    if (c->kept_size == 0)
        return connection_violation(c, "descriptors without a message that takes them");
    if (c->kept_size < sizeof(h))
        return MESSAGE_OK;

    memcpy(&h, c->kept, sizeof(h));
    return h.msg_type == VGPU_MSG_RING_SETUP
               ? MESSAGE_OK
               : connection_violation(c, "descriptors with a message that takes none");
}

/* Handles what was received, as far as that goes. */
static int connection_take(Connection *c, const char *data, size_t size)
{
    size_t used = 0;
    int r = connection_parse(c, data, size, &used);

    if (r == MESSAGE_OK)
        r = connection_keep(c, data + used, size - used);
    return r != MESSAGE_OK ? r : connection_check_fds(c);
}

/* Without memory for one peer, the others go on. */
static void connection_finish(Connection *c, int r)
{
    if (r < 0)
        c->handler->complain(c->userdata, NULL, r);
    if (r != MESSAGE_OK)
        c->handler->closed(c->userdata);
    else
        connection_watch(c);
}

/* Handles what is kept. */
static void connection_take_kept(Connection *c)
{
    char data[MESSAGE_MAX];

    if (c->kept_size > 0)
        memcpy(data, c->kept, c->kept_size);
    connection_finish(c, connection_take(c, data, c->kept_size));
}

void connection_go_on(Connection *c)
{
    assert(c->waits);
    c->waits = false;
    connection_take_kept(c);
}

static void connection_take_turn(Connection *c)
{
    connection_set_later(c, false);
    if (c->ended)
        connection_finish(c, MESSAGE_CLOSE);
    else
        connection_take_kept(c);
}

static int connections_on_turn(sd_event_source *source, void *userdata)
{
    Connections *all = userdata;
    unsigned n = 0;
    Connection *c;

    if (all->reading_stopped)
        return 0;

    /* What they have left then is for the next round. */
    TAILQ_FOREACH(c, &all->later, later_link)
    {
        n++;
    }
    while (n-- > 0 && (c = TAILQ_FIRST(&all->later)))
        connection_take_turn(c);
    return sd_event_source_set_enabled(source,
                                       TAILQ_EMPTY(&all->later) ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int connection_read(Connection *c)
{
    char in[MESSAGE_MAX];
    size_t size = c->kept_size;
    ssize_t n;

    /* No more than there is room to keep. The rest waits in the socket, and so does the peer. */
    n = passed_fds_receive(&c->fds, c->fd, in + size, sizeof(in) - size);
    if (n == -EPROTO)
        return connection_violation(c, "more descriptors than any message takes");
    if (n > 0 && !passed_fds_are_empty(&c->fds) && closer_is_late())
        return connection_violation(c, "earlier descriptors are still being closed");
    if (n == -EMFILE)
        return (int) n;
    if (n < 0)
        return n == -EAGAIN || n == -EINTR ? MESSAGE_OK : MESSAGE_CLOSE;
    if (n == 0)
        return size > 0 ? connection_violation(c, "it hung up in the middle of a message")
                        : MESSAGE_CLOSE;

    if (size > 0)
        memcpy(in, c->kept, size);
    return connection_take(c, in, size + (size_t) n);
}

static void connection_on_ready(void *userdata, uint32_t revents)
{
    Connection *c = userdata;
    int r = MESSAGE_OK;

    if (revents & EPOLLOUT && !c->ended)
        connection_flush(c);
    if (c->ended)
        r = MESSAGE_CLOSE;
    else if (c->is_later && !c->all->reading_stopped)
        return;
    else if (revents & EPOLLIN)
        r = connection_read(c);
    else if (revents & (EPOLLHUP | EPOLLERR))
        r = MESSAGE_CLOSE;

    connection_finish(c, r);
}

bool connection_take_fds(Connection *c, int *ret, unsigned n)
{
    return passed_fds_take(&c->fds, ret, n);
}

void connection_admit(Connection *c)
{
    c->out_max = OUT_MAX;
}

/* ---- The connection --------------------------------------------------------------- */

const struct ucred *connection_peer(const Connection *c)
{
    return &c->peer;
}

/* Of Linux 6.5; older headers do not have it. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

int connection_open_process(const Connection *c)
{
    socklen_t size = sizeof(int);
    int fd;

    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0)
        return fd;
    return (int) syscall(SYS_pidfd_open, c->peer.pid, 0);
}

int connection_new(Connections *all, int fd, const ConnectionHandler *handler, void *userdata,
                   Connection **ret)
{
    Connection *c = calloc(1, sizeof(*c));
    socklen_t size = sizeof(c->peer);
    int r;

    if (!c) {
        closer_close(fd);
        return -ENOMEM;
    }

    c->all = all;
    c->handler = handler;
    c->userdata = userdata;
    c->fd = fd;
    c->watched = EPOLLIN;
    c->out_max = OUT_MAX_STRANGER;
    TAILQ_INSERT_TAIL(&all->list, c, link);
    all->n++;

    r = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c->peer, &size) < 0 ? -errno : 0;
    if (r >= 0)
        r = poll_set_add(all->poll_set, fd, c);
    if (r < 0) {
        connection_free(c);
        return r;
    }

    *ret = c;
    return 0;
}

Connection *connection_free(Connection *c)
{
    if (!c)
        return NULL;

    connection_set_later(c, false);
    TAILQ_REMOVE(&c->all->list, c, link);
    c->all->n--;
    poll_set_remove(c->all->poll_set, c->fd, c);
    /* The peer is told now. Descriptors that it sent and nobody received are closed with it. */
    (void) shutdown(c->fd, SHUT_RDWR);
    closer_close(c->fd);
    passed_fds_close(&c->fds);
    buffer_clear(&c->out);
    free(c->kept);
    free(c);
    return NULL;
}

int connections_init(Connections *all, sd_event *event)
{
    int r;

    TAILQ_INIT(&all->list);
    TAILQ_INIT(&all->later);
    r = poll_set_new(event, connection_on_ready, &all->poll_set);
    if (r >= 0)
        r = sd_event_add_defer(event, &all->turn, connections_on_turn, all);
    return r < 0 ? r : sd_event_source_set_enabled(all->turn, SD_EVENT_OFF);
}

void connections_clear(Connections *all)
{
    assert(TAILQ_EMPTY(&all->list));
    all->turn = sd_event_source_disable_unref(all->turn);
    all->poll_set = poll_set_free(all->poll_set);
}

void connections_stop_reading(Connections *all)
{
    Connection *c;

    all->reading_stopped = true;
    TAILQ_FOREACH(c, &all->list, link)
    {
        connection_watch(c);
    }
}

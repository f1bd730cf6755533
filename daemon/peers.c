/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "peers.h"

struct Peers {
    int epoll;
    sd_event_source *source;
    void (*handler)(Connection *c, uint32_t events);

    /* The round under way. A connection that is removed in it is taken out. */
    struct epoll_event batch[PEERS_BATCH];
    int n_batch;
};

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Peers *p = userdata;

    (void) source;
    (void) revents;

    p->n_batch = epoll_wait(fd, p->batch, PEERS_BATCH, 0);
    if (p->n_batch < 0)
        return errno == EINTR ? 0 : -errno;

    for (int i = 0; i < p->n_batch; i++)
        if (p->batch[i].data.ptr)
            p->handler(p->batch[i].data.ptr, p->batch[i].events);
    p->n_batch = 0;
    return 0;
}

int peers_new(sd_event *event, void (*handler)(Connection *c, uint32_t events), Peers **ret)
{
    Peers *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;

    p->handler = handler;
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    r = p->epoll < 0 ? -errno : sd_event_add_io(event, &p->source, p->epoll, EPOLLIN, on_ready, p);
    if (r < 0) {
        peers_free(p);
        return r;
    }

    *ret = p;
    return 0;
}

Peers *peers_free(Peers *p)
{
    if (!p)
        return NULL;

    sd_event_source_disable_unref(p->source);
    if (p->epoll >= 0)
        close(p->epoll);
    free(p);
    return NULL;
}

int peers_add(Peers *p, int fd, Connection *c)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

    return epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* Cannot fail for a descriptor that is in the set. */
void peers_watch(Peers *p, int fd, Connection *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};

    (void) epoll_ctl(p->epoll, EPOLL_CTL_MOD, fd, &e);
}

void peers_remove(Peers *p, int fd, Connection *c)
{
    (void) epoll_ctl(p->epoll, EPOLL_CTL_DEL, fd, NULL);
    for (int i = 0; i < p->n_batch; i++)
        if (p->batch[i].data.ptr == c)
            p->batch[i].data.ptr = NULL;
}

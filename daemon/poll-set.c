/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "poll-set.h"

struct PollSet {
    int epoll;
    sd_event_source *source;
    void (*handler)(void *userdata, uint32_t events);

    /* The round under way. A connection that is removed in it is taken out. */
    struct epoll_event batch[POLL_SET_BATCH];
    int n_batch;
};

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    PollSet *p = userdata;

    (void) source;
    (void) revents;

    p->n_batch = epoll_wait(fd, p->batch, POLL_SET_BATCH, 0);
    if (p->n_batch < 0)
        return errno == EINTR ? 0 : -errno;

    for (int i = 0; i < p->n_batch; i++)
        if (p->batch[i].data.ptr)
            p->handler(p->batch[i].data.ptr, p->batch[i].events);
    p->n_batch = 0;
    return 0;
}

int poll_set_new(sd_event *event, void (*handler)(void *userdata, uint32_t events), PollSet **ret)
{
    PollSet *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;

    p->handler = handler;
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    r = p->epoll < 0 ? -errno : sd_event_add_io(event, &p->source, p->epoll, EPOLLIN, on_ready, p);
    if (r < 0) {
        poll_set_free(p);
        return r;
    }

    *ret = p;
    return 0;
}

PollSet *poll_set_free(PollSet *p)
{
    if (!p)
        return NULL;

    sd_event_source_disable_unref(p->source);
    if (p->epoll >= 0)
        close(p->epoll);
    free(p);
    return NULL;
}

int poll_set_add(PollSet *p, int fd, void *userdata)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = userdata};

    return epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* Cannot fail for a descriptor that is in the set. */
void poll_set_watch(PollSet *p, int fd, void *userdata, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = userdata};

    (void) epoll_ctl(p->epoll, EPOLL_CTL_MOD, fd, &e);
}

void poll_set_remove(PollSet *p, int fd, void *userdata)
{
    (void) epoll_ctl(p->epoll, EPOLL_CTL_DEL, fd, NULL);
    for (int i = 0; i < p->n_batch; i++)
        if (p->batch[i].data.ptr == userdata)
            p->batch[i].data.ptr = NULL;
}

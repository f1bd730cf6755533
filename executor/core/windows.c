/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "windows.h"

#include "cleanup.h"

#include <assert.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* The link that leads to the window of that number, unless it is removed; or NULL */
static MappedWindow **windows_link(Windows *w, uint32_t id)
{
    for (MappedWindow **link = &w->list; *link; link = &(*link)->next)
        if ((*link)->id == id && !(*link)->removed)
            return link;

    return NULL;
}

static void windows_drop(Windows *w, MappedWindow **link)
{
    MappedWindow *window = *link;

    assert(window->n_operations == 0);
    *link = window->next;
    w->ops->window_remove(w->backend, window);
    unmapper_push(&w->unmapper, window);
}

void windows_release(Windows *w, MappedWindow *window)
{
    MappedWindow **link = &w->list;

    assert(window->n_operations > 0);
    if (--window->n_operations > 0 || !window->removed)
        return;

    while (*link != window)
        link = &(*link)->next;
    windows_drop(w, link);
}

void windows_drop_all(Windows *w)
{
    while (w->list)
        windows_drop(w, &w->list);
}

static int windows_complain(void)
{
    warnx("the mediator sent something that is no window");
    return -ECANCELED;
}

/* If a window can't be mapped, this process goes on without it, and everything that is to be
 * computed in it is refused. Other VMs' work must not suffer from it. */
static int windows_add(Windows *w, uint32_t id, int fd)
{
    MappedWindow *window;
    int r;

    if (windows_link(w, id)) {
        warnx("the mediator added window %u twice", id);
        return -ECANCELED;
    }
    r = mapped_window_new(id, fd, &window);
    if (r < 0) {
        warnx("window %u: %s", id, strerror(-r));
        return 0;
    }

    window->next = w->list;
    w->list = window;
    w->ops->window_add(w->backend, window);
    return 0;
}

/* The mediator removes no window while an operation is in flight in it. If it does so all the
 * same, the window stays until the operation has ended: memory that a device works on must
 * not be unmapped. */
static void windows_remove(Windows *w, uint32_t id)
{
    MappedWindow **link = windows_link(w, id);

    if (!link)
        return; /* it could not be mapped */

    (*link)->removed = true;
    if ((*link)->n_operations == 0)
        windows_drop(w, link);
}

static int windows_take_messages(Windows *w)
{
    WindowMessage m;
    int r;

    while ((r = channel_next(&w->channel, &m)) > 0) {
        CLEANUP_CLOSE int fd = m.fd;

        if (m.type == EXECUTOR_MSG_WINDOW_REMOVE)
            windows_remove(w, m.window.id);
        else if ((r = windows_add(w, m.window.id, fd)) < 0)
            return r;
        if (w->ops->lost(w->backend) != 0)
            return SERVER_LOST;
    }
    return r == -EPROTO ? windows_complain() : r;
}

int windows_receive(Windows *w)
{
    for (;;) {
        int r = channel_receive(&w->channel);

        if (r == -EAGAIN)
            return 0;
        if (r == -EPROTO)
            return windows_complain();
        if (r < 0)
            return r;
        if (r == 0 && !channel_is_mid_message(&w->channel))
            return SERVER_HANGUP;
        if (r == 0) {
            warnx("the mediator hung up in the middle of a message");
            return -ECANCELED;
        }
        r = windows_take_messages(w);
        if (r != 0)
            return r;
    }
}

int windows_find(Windows *w, uint32_t id, MappedWindow **ret)
{
    MappedWindow **link = windows_link(w, id);

    if (!link) {
        int r = windows_receive(w);

        if (r != 0)
            return r;
        link = windows_link(w, id);
    }
    *ret = link ? *link : NULL;
    return 0;
}

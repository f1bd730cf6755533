/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The windows that there are: they come and go through the socket. */
#ifndef VGPU_EXECUTOR_WINDOWS_H
#define VGPU_EXECUTOR_WINDOWS_H

#include "backend.h"
#include "channel.h"

/* What ends the executor's loop. */
enum {
    SERVER_HANGUP = 1, /* the mediator closed the socket between two messages */
    SERVER_LOST = 2,   /* the backend can't go on in this process */
};

typedef struct Windows {
    const BackendOps *ops;
    Backend *backend;
    MappedWindow *list;
    Channel channel;
} Windows;

/*
 * windows_receive() - do all that is in the socket now
 *
 * Returns 0, SERVER_*, or a negative errno; -ECANCELED when standard error has the reason.
 */
int windows_receive(Windows *w);

/*
 * windows_find() - the window of that number
 * @ret: NULL when there is none
 *
 * One that is not known yet may be in the socket, so that is looked at. Returns as above.
 */
int windows_find(Windows *w, uint32_t id, MappedWindow **ret);

/* windows_release() - a job of the window has ended */
void windows_release(Windows *w, MappedWindow *window);

/* windows_drop_all() - with no job in flight */
void windows_drop_all(Windows *w);

#endif

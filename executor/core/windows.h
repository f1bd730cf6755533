/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The windows that are mapped: the mediator adds and removes them through the socket. */
#ifndef VGPU_EXECUTOR_WINDOWS_H
#define VGPU_EXECUTOR_WINDOWS_H

#include "backend.h"
#include "channel.h"
#include "unmapper.h"

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
    Unmapper unmapper;
} Windows;

/*
 * windows_receive() - read the socket until it is empty, and do what the messages say
 *
 * Returns 0, SERVER_*, or a negative errno; -ECANCELED when the reason stands on standard
 * error already.
 */
int windows_receive(Windows *w);

/*
 * windows_find() - look a window up by its number
 * @ret: NULL when there is none; written on 0
 *
 * The message that adds an unknown window may still wait in the socket, so the socket is
 * read first in that case. Returns as windows_receive().
 */
int windows_find(Windows *w, uint32_t id, MappedWindow **ret);

/* windows_release() - an operation in the window has ended */
void windows_release(Windows *w, MappedWindow *window);

/* windows_drop_all() - unmap them all; no operation is in flight */
void windows_drop_all(Windows *w);

#endif

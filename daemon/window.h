/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM's data window: the memfd that its device handed over, mapped here, and
 * handed on to the executors that compute in it.
 *
 * A device hands the same memfd over again for its next ring. That is a Window of
 * its own all the same: inode numbers of memfds repeat in the end, and must not
 * decide who gets at whose memory. They only say what to wait for.
 */
#ifndef VGPU_WINDOW_H
#define VGPU_WINDOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "memory-guard.h"
#include "origin.h"

typedef struct Window Window;
typedef struct WindowHolder WindowHolder;
typedef struct WindowWaiter WindowWaiter;

/* Whoever has handed the window to another process embeds one. The owner sets drop and owner.
 * The window sets the rest. */
struct WindowHolder {
    void (*drop)(WindowHolder *h); /* the window ends: take it back. It is released already */
    void *owner;
    Window *window; /* NULL while it holds none; still set in drop() */
    TAILQ_ENTRY(WindowHolder) link;
};

/* Whoever must not touch the window while an executor computes in it embeds one. */
struct WindowWaiter {
    void (*quiet)(WindowWaiter *w);
    Window *window; /* NULL while it does not wait */
    TAILQ_ENTRY(WindowWaiter) link;
};

/* All windows of a mediator. */
typedef struct Windows {
    TAILQ_HEAD(, Window) list;
    TAILQ_HEAD(, WindowWaiter) waiters;
    uint32_t next_id;
} Windows;

struct Window {
    TAILQ_ENTRY(Window) link;
    Windows *windows;
    unsigned n_references;
    Origin *process; /* whose it is */
    OriginWindow *account;
    int fd;
    dev_t device;
    ino_t inode;
    uint64_t size;
    void *memory; /* NULL: only others have it */
    MemoryGuard guard;
    uint32_t id; /* to executors */
    TAILQ_HEAD(, WindowHolder) holders;
    unsigned n_running; /* requests that executors compute in it */
};

void windows_init(Windows *windows);

/* Outcome of window_open() beside 0. */
enum {
    WINDOW_UNUSABLE = 1,
};

/*
 * window_open() - the window in a memfd
 * @fd: taken over, also on failure. Gets sealed against growing and further seals
 * @process: hands it over; counted there until the end of the window (see origin_take_window())
 * @size_max: bytes that it may have
 * @ret: a reference
 * @ret_reason: with WINDOW_UNUSABLE, a static string that says what is wrong with it
 *
 * Returns 0, WINDOW_UNUSABLE, or -ENOMEM.
 */
int window_open(Windows *windows, int fd, Origin *process, uint64_t size_max, Window **ret,
                const char **ret_reason);

/* window_open_for_others() - the same, not mapped here: only processes that it is handed on to look
 * into it */
int window_open_for_others(Windows *windows, int fd, Origin *process, uint64_t size_max,
                           Window **ret, const char **ret_reason);

Window *window_ref(Window *w);

/*
 * window_unref() - NULL is fine
 *
 * The last one unmaps it and takes it from its holders. A request that runs has one, so
 * nothing runs in it then.
 */
Window *window_unref(Window *w);

/* window_hold() - @h has handed it on from now on */
void window_hold(Window *w, WindowHolder *h);

/* window_release() - @h has it no more; drop() is not called */
void window_release(WindowHolder *h);

/* window_is_held_by() - has a holder of @owner handed it on? */
bool window_is_held_by(const Window *w, const void *owner);

/* window_begin(), window_end() - a request is about to run in it; it does not run any more */
void window_begin(Window *w);
void window_end(Window *w);

/* window_is_quiet() - is there no executor that computes in this memfd, for any ring? */
bool window_is_quiet(const Window *w);

/* window_when_quiet() - call @waiter once, when window_is_quiet(), which it is not now, may hold */
void window_when_quiet(Window *w, WindowWaiter *waiter);

/* window_stop_waiting() - does nothing for one that does not wait */
void window_stop_waiting(WindowWaiter *waiter);

/* window_is_lost() - has the VM taken memory of it away? Then what is mapped here are zeros. */
bool window_is_lost(const Window *w);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "window.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "closer.h"
#include "sealer.h"
#include "vgpu-ring.h"

void windows_init(Windows *windows)
{
    TAILQ_INIT(&windows->list);
    TAILQ_INIT(&windows->waiters);
}

/* ---- Opening and closing ----------------------------------------------------------------- */

/* Everything in a window is checked against its size, here and by executors, so that must stay
 * as it is. (A page that is missing inside is for the guard to deal with.) A memfd that could
 * be sealed against writing later would be another thing to an executor than it is here.
 * Anything that is no memfd has no seals. */
static int window_seal(int fd, const char **ret_reason)
{
    const int added = F_SEAL_GROW | F_SEAL_SEAL;
    int seals = fcntl(fd, F_GET_SEALS), r = 0;

    *ret_reason = NULL;
    if (seals < 0)
        *ret_reason = "the window is no memfd that can be sealed";
    else if (!(seals & F_SEAL_SHRINK))
        *ret_reason = "the window is not sealed against shrinking";
    else if ((seals & added) != added)
        r = sealer_add(fd, added);

    if (r == -EBUSY)
        *ret_reason = "the window is in use while it is to be sealed";
    else if (r < 0)
        return r;
    else if (!*ret_reason && (fcntl(fd, F_GET_SEALS) & added) != added)
        *ret_reason = "the window cannot be sealed against growing";
    return *ret_reason ? WINDOW_UNUSABLE : 0;
}

static const char *window_measure(int fd, uint64_t size_max, struct stat *ret)
{
    if (fstat(fd, ret) < 0)
        return "the window has no size";
    if ((uint64_t) ret->st_size < VGPU_WINDOW_SIZE_MIN ||
        (uint64_t) ret->st_size > VGPU_WINDOW_SIZE_MAX)
        return "the window is too small or too large";
    if ((uint64_t) ret->st_size > size_max)
        return "the window is larger than its registration or WindowSizeMax= allows";
    return NULL;
}

static uint64_t window_allocated(const struct stat *st)
{
    return (uint64_t) st->st_blocks * 512;
}

static int window_new(Windows *windows, int fd, Origin *process, const struct stat *st, bool map,
                      Window **ret)
{
    size_t size = (size_t) st->st_size;
    CLEANUP_FREE Window *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    *w = (Window){
        .windows = windows,
        .n_references = 1,
        .process = process,
        .fd = fd,
        .device = st->st_dev,
        .inode = st->st_ino,
        .size = size,
        .memory = map ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : NULL,
        .id = windows->next_id,
        .holders = TAILQ_HEAD_INITIALIZER(w->holders),
    };
    if (w->memory == MAP_FAILED)
        return WINDOW_UNUSABLE; /* its size is the VM's choice */

    windows->next_id++;
    origin_ref(process);
    if (map)
        memory_guard_add(&w->guard, w->memory, size);
    TAILQ_INSERT_TAIL(&windows->list, w, link);
    *ret = TAKE_PTR(w);
    return 0;
}

static int window_take(Windows *windows, int fd, Origin *process, uint64_t size_max, bool map,
                       Window **ret, const char **ret_reason)
{
    CLEANUP_CLOSER int owned = fd;
    struct stat st;
    OriginWindow *account;
    int r = window_seal(fd, ret_reason);

    if (r != 0)
        return r;
    *ret_reason = window_measure(fd, size_max, &st);
    if (*ret_reason)
        return WINDOW_UNUSABLE;
    r = origin_take_window(process, &st, size_max, &account);
    if (r < 0)
        return r;
    if (r == ORIGIN_TOO_MUCH) {
        *ret_reason = "its process has handed over too much memory in windows";
        return WINDOW_UNUSABLE;
    }
    *ret_reason = "the window cannot be mapped";
    r = window_new(windows, fd, process, &st, map, ret);
    if (r != 0) {
        origin_return_window(process, account, window_allocated(&st));
        return r;
    }

    (*ret)->account = account;
    (void) TAKE_FD(owned);
    return 0;
}

int window_open(Windows *windows, int fd, Origin *process, uint64_t size_max, Window **ret,
                const char **ret_reason)
{
    return window_take(windows, fd, process, size_max, true, ret, ret_reason);
}

int window_open_for_others(Windows *windows, int fd, Origin *process, uint64_t size_max,
                           Window **ret, const char **ret_reason)
{
    return window_take(windows, fd, process, size_max, false, ret, ret_reason);
}

Window *window_ref(Window *w)
{
    assert(w->n_references > 0);
    w->n_references++;
    return w;
}

Window *window_unref(Window *w)
{
    WindowHolder *h;
    struct stat st;

    if (!w || --w->n_references > 0)
        return NULL;

    assert(w->n_running == 0);
    while ((h = TAILQ_FIRST(&w->holders))) {
        TAILQ_REMOVE(&w->holders, h, link);
        h->drop(h);
    }
    TAILQ_REMOVE(&w->windows->list, w, link);
    if (w->memory) {
        memory_guard_remove(&w->guard);
        (void) munmap(w->memory, w->size);
    }
    /* Cannot fail for a descriptor that is open. */
    origin_return_window(w->process, w->account,
                         fstat(w->fd, &st) == 0 ? window_allocated(&st) : w->size);
    origin_unref(w->process);
    /* The memory may go with it, and that takes a while. */
    closer_close(w->fd);
    free(w);
    return NULL;
}

/* ---- Who has it ---------------------------------------------------------------------- */

void window_hold(Window *w, WindowHolder *h)
{
    assert(!h->window && h->drop);
    h->window = w;
    TAILQ_INSERT_TAIL(&w->holders, h, link);
}

void window_release(WindowHolder *h)
{
    TAILQ_REMOVE(&h->window->holders, h, link);
    h->window = NULL;
}

bool window_is_held_by(const Window *w, const void *owner)
{
    const WindowHolder *h;

    TAILQ_FOREACH(h, &w->holders, link)
    {
        if (h->owner == owner)
            return true;
    }
    return false;
}

/* ---- Who computes in it ---------------------------------------------------------------- */

void window_begin(Window *w)
{
    w->n_running++;
}

void window_end(Window *w)
{
    WindowWaiter *waiter, *next;

    assert(w->n_running > 0);
    if (--w->n_running > 0)
        return;

    for (waiter = TAILQ_FIRST(&w->windows->waiters); waiter; waiter = next) {
        next = TAILQ_NEXT(waiter, link);
        if (!window_is_quiet(waiter->window))
            continue;
        window_stop_waiting(waiter);
        waiter->quiet(waiter);
    }
}

bool window_is_quiet(const Window *w)
{
    const Window *other;

    TAILQ_FOREACH(other, &w->windows->list, link)
    {
        if (other->n_running > 0 && other->device == w->device && other->inode == w->inode)
            return false;
    }
    return true;
}

void window_when_quiet(Window *w, WindowWaiter *waiter)
{
    assert(waiter->quiet);
    if (waiter->window)
        return;

    waiter->window = w;
    TAILQ_INSERT_TAIL(&w->windows->waiters, waiter, link);
}

void window_stop_waiting(WindowWaiter *waiter)
{
    if (!waiter->window)
        return;

    TAILQ_REMOVE(&waiter->window->windows->waiters, waiter, link);
    waiter->window = NULL;
}

bool window_is_lost(const Window *w)
{
    return memory_guard_is_lost(&w->guard);
}

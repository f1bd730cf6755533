/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lane.h"
#include "manager.h"
#include "window.h"

static_assert(CONFIG_N_POOLS <= 32, "a bit for each pool");

static uint32_t bit_of(char pool)
{
    return UINT32_C(1) << (pool - VGPU_POOL_FIRST);
}

/* Everything in a window is checked against its size, here and by executors, so that must stay
 * as it is. (A page that is missing inside is for the guard to deal with.) A memfd that could
 * be sealed against writing later would be another thing to an executor than it is here.
 * Anything that is no memfd has no seals. */
static const char *seal(int fd, struct stat *ret)
{
    int seals;

    (void) fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL);
    seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0)
        return "the window is no memfd that can be sealed";
    if (!(seals & F_SEAL_SHRINK))
        return "the window is not sealed against shrinking";
    if (!(seals & F_SEAL_GROW) || !(seals & F_SEAL_SEAL))
        return "the window cannot be sealed against growing";

    if (fstat(fd, ret) < 0)
        return "the window has no size";
    if ((uint64_t) ret->st_size < VGPU_WINDOW_SIZE_MIN ||
        (uint64_t) ret->st_size > VGPU_WINDOW_SIZE_MAX)
        return "the window is too small or too large";
    return NULL;
}

static Window *window_new(Manager *manager, int fd, const struct stat *st)
{
    size_t size = (size_t) st->st_size;
    Window *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    *w = (Window){
        .manager = manager,
        .n_references = 1,
        .fd = fd,
        .device = st->st_dev,
        .inode = st->st_ino,
        .size = size,
        .memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
        .id = manager->next_window++,
    };
    if (w->memory == MAP_FAILED) {
        free(w);
        return NULL;
    }

    memory_guard_add(&w->guard, w->memory, size);
    TAILQ_INSERT_TAIL(&manager->windows, w, link);
    return w;
}

const char *window_open(Manager *manager, int fd, Window **ret)
{
    struct stat st;
    const char *wrong = seal(fd, &st);

    if (wrong) {
        close(fd);
        return wrong;
    }
    *ret = window_new(manager, fd, &st);
    if (*ret)
        return NULL;
    close(fd);
    return "the window cannot be mapped";
}

Window *window_ref(Window *w)
{
    w->n_references++;
    return w;
}

static void take_from_executors(Window *w)
{
    for (unsigned i = 0; i < CONFIG_N_POOLS; i++) {
        Pool *p = w->manager->pools[i];

        if (p && w->executors & bit_of(p->name))
            executor_client_remove_window(p->executor, w->id);
    }
}

Window *window_unref(Window *w)
{
    if (!w || --w->n_references > 0)
        return NULL;

    take_from_executors(w);
    TAILQ_REMOVE(&w->manager->windows, w, link);
    memory_guard_remove(&w->guard);
    (void) munmap(w->memory, w->size);
    close(w->fd);
    free(w);
    return NULL;
}

void window_begin(Window *w, char name, ExecutorClient *executor)
{
    w->n_running++;
    if (w->executors & bit_of(name))
        return;

    w->executors |= bit_of(name);
    executor_client_add_window(executor, w->id, w->fd);
}

void window_end(Window *w)
{
    if (--w->n_running == 0)
        lanes_kick_waiting(w->manager);
}

bool window_is_quiet(const Window *w)
{
    const Window *other;

    TAILQ_FOREACH(other, &w->manager->windows, link)
    {
        if (other->n_running > 0 && other->device == w->device && other->inode == w->inode)
            return false;
    }
    return true;
}

bool window_is_lost(const Window *w)
{
    return memory_guard_is_lost(&w->guard);
}

void window_forget_executor(Manager *manager, char name)
{
    Window *w;

    TAILQ_FOREACH(w, &manager->windows, link)
    {
        w->executors &= ~bit_of(name);
    }
}

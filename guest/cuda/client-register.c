/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory of the program's own that the device is to reach (cuMemHostRegister()): the window takes
 * the place of its pages, so that the program's addresses and the window's mean the same bytes.
 *
 * What cannot be moved back when it is given up, because other threads run and the kernel cannot
 * hold them back, stays the window's memory, and the program does not notice. It is taken up again
 * when it is registered again, and moved back when the session closes.
 *
 * One lock for all sessions covers what is registered, and the moving. A child is not made
 * meanwhile; in it the memory is private again.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "client-internal.h"
#include "own-pages.h"

static pthread_mutex_t registered_lock = PTHREAD_MUTEX_INITIALIZER;

void client_registered_before_fork(void)
{
    pthread_mutex_lock(&registered_lock);
}

void client_registered_after_fork(void)
{
    pthread_mutex_unlock(&registered_lock);
}

void client_registered_in_child(vgpu_session *s)
{
    for (size_t i = 0; i < s->n_registered; i++)
        own_pages_unshare(s->registered[i].memory, s->registered[i].size);
    s->n_registered = 0;
}

/* ---- The list, with the lock held -------------------------------------------------------------
 */

static client_registered *registered_find(vgpu_session *s, const void *memory)
{
    for (size_t i = 0; i < s->n_registered; i++)
        if (s->registered[i].memory == memory)
            return &s->registered[i];
    return NULL;
}

/* The one that has all of these bytes, or some of them */
static client_registered *registered_around(vgpu_session *s, const void *memory, size_t size,
                                            bool all)
{
    const uintptr_t begin = (uintptr_t) memory;

    for (size_t i = 0; i < s->n_registered; i++) {
        client_registered *r = &s->registered[i];
        const uintptr_t own = (uintptr_t) r->memory;

        if (all ? begin >= own && begin - own <= r->size && size <= r->size - (begin - own)
                : begin < own + r->size && own < begin + size)
            return r;
    }
    return NULL;
}

static bool registered_make_room(vgpu_session *s)
{
    client_registered *more = realloc(s->registered, (s->n_registered + 1) * sizeof(*more));

    if (more)
        s->registered = more;
    return more;
}

static void registered_drop(vgpu_session *s, client_registered *r)
{
    (void) vgpu_session_window_free(s, r->window);
    *r = s->registered[--s->n_registered];
}

/* ---- Moving, with the lock held
 * ------------------------------------------------------------------
 */

typedef struct register_place {
    vgpu_session *s;
    const client_registered *r;
} register_place;

static int place_window(void *userdata)
{
    const register_place *p = userdata;
    transport *t = p->s->transport;

    return t->ops->map_over(t, (uint64_t) (p->r->window - t->window), p->r->size, p->r->memory);
}

static int register_move(vgpu_session *s, client_registered *r)
{
    register_place place = {s, r};

    if (!registered_make_room(s))
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    if (!own_pages_are_movable(r->memory, r->size) ||
        own_pages_replace(r->memory, r->size, r->window, place_window, &place) < 0)
        return VGPU_CUDA_ERROR_NOT_SUPPORTED;
    s->registered[s->n_registered++] = *r;
    return 0;
}

/* What is left of a registration that ended comes back with one of the same pages. Returns
 * VGPU_CUDA_ERROR_NOT_FOUND when there is nothing there. */
static int register_again(vgpu_session *s, const void *memory, size_t size, void **ret_window)
{
    client_registered *r = registered_around(s, memory, size, false);

    if (!r)
        return VGPU_CUDA_ERROR_NOT_FOUND;
    if (r->is_used)
        return VGPU_CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    if (r->memory != memory || r->size != size ||
        own_pages_map(memory, size, r->window) != OWN_PAGES_ALL)
        return VGPU_CUDA_ERROR_NOT_SUPPORTED;
    r->is_used = true;
    *ret_window = r->window;
    return 0;
}

/* ---- Functions of the library ------------------------------------------------------------------
 */

static int register_new(vgpu_session *s, void *memory, size_t size, void **ret_window)
{
    client_registered r = {.memory = memory, .size = size, .is_used = true};
    void *window;
    int result = vgpu_session_window_alloc(s, size, (size_t) sysconf(_SC_PAGESIZE), &window);

    if (result != 0)
        return result;
    r.window = window;
    pthread_mutex_lock(&registered_lock);
    result = registered_around(s, memory, size, false)
                 ? VGPU_CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED
                 : register_move(s, &r);
    pthread_mutex_unlock(&registered_lock);
    if (result != 0)
        (void) vgpu_session_window_free(s, window);
    else
        *ret_window = window;
    return result;
}

int vgpu_session_host_register(vgpu_session *s, void *memory, size_t size, void **ret_window)
{
    const size_t page = (size_t) sysconf(_SC_PAGESIZE);
    int r = client_usable(s);

    if (r != 0)
        return r;
    if (!memory || size == 0 || (uintptr_t) memory > UINTPTR_MAX - size)
        return VGPU_CUDA_ERROR_INVALID_VALUE;
    if ((uintptr_t) memory % page != 0 || size % page != 0)
        return VGPU_CUDA_ERROR_NOT_SUPPORTED;
    copier_stop(&s->copier); /* a thread that may be one too many */
    pthread_mutex_lock(&registered_lock);
    r = register_again(s, memory, size, ret_window);
    pthread_mutex_unlock(&registered_lock);
    return r == VGPU_CUDA_ERROR_NOT_FOUND ? register_new(s, memory, size, ret_window) : r;
}

/* With the lock held. What the program has unmapped meanwhile is not touched. */
static void unregister_move(vgpu_session *s, client_registered *r, bool force)
{
    r->is_used = false;
    switch (own_pages_map(r->memory, r->size, r->window)) {
    case OWN_PAGES_ALL:
        if (own_pages_restore(r->memory, r->size, force) == 0)
            registered_drop(s, r);
        break;
    case OWN_PAGES_NONE:
        registered_drop(s, r);
        break;
    case OWN_PAGES_SOME:
        break;
    }
}

int vgpu_session_host_unregister(vgpu_session *s, void *memory)
{
    client_registered *r;
    bool is_used;

    if (__atomic_load_n(s->owned, __ATOMIC_RELAXED) != 1)
        return VGPU_CUDA_ERROR_NOT_INITIALIZED;
    copier_stop(&s->copier);
    pthread_mutex_lock(&registered_lock);
    r = registered_find(s, memory);
    is_used = r && r->is_used;
    if (is_used)
        unregister_move(s, r, false);
    pthread_mutex_unlock(&registered_lock);
    return is_used ? 0 : VGPU_CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
}

bool vgpu_session_host_find(vgpu_session *s, const void *memory, size_t size, uint64_t *ret_address)
{
    const client_registered *r;

    if (__atomic_load_n(s->owned, __ATOMIC_RELAXED) != 1)
        return false;
    pthread_mutex_lock(&registered_lock);
    r = registered_around(s, memory, size, true);
    if (r && r->is_used)
        *ret_address = (uintptr_t) r->window + ((uintptr_t) memory - (uintptr_t) r->memory);
    pthread_mutex_unlock(&registered_lock);
    return r && r->is_used;
}

/* A window of this process's own may outlive the session under the program's memory; one of a
 * device is another process's then. */
void client_registered_destroy(vgpu_session *s, bool is_forgotten)
{
    pthread_mutex_lock(&registered_lock);
    while (!is_forgotten && s->n_registered > 0) {
        client_registered *r = &s->registered[s->n_registered - 1];
        const size_t n = s->n_registered;

        unregister_move(s, r, s->transport->lock_fd >= 0);
        if (s->n_registered == n)
            s->n_registered--;
    }
    pthread_mutex_unlock(&registered_lock);
    free(s->registered);
}

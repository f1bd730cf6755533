/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-local.h"

enum { ATTRIBUTE_THREADS_OF_MULTIPROCESSOR = 39 };

CUresult session_local_threads(Session *s, uint64_t *ret)
{
    const CudaDriver *d = &s->driver.base;
    int multiprocessors = 0, threads = 0;
    CUresult r = d->device_get_attribute(&multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
                                         s->device);

    if (r == CUDA_SUCCESS)
        r = d->device_get_attribute(&threads, ATTRIBUTE_THREADS_OF_MULTIPROCESSOR, s->device);
    *ret = (uint64_t) multiprocessors * (uint64_t) threads;
    return r;
}

/* The driver documents no formula. The usual account is local memory of a thread, times the threads
 * that a multiprocessor can have, times the multiprocessors, however small the grid is. The driver
 * keeps it until the context ends, and so does the charge, also when the launch then fails. */
static CUresult local_grow_locked(Session *s, SessionContext *c, uint32_t size)
{
    SessionMemory *memory = &s->store->memory;
    uint64_t threads, bytes;
    CUresult r;

    if (size <= SESSION_LOCAL_FREE || size <= c->local_size)
        return CUDA_SUCCESS;
    r = session_local_threads(s, &threads);
    if (r != CUDA_SUCCESS)
        return r;
    if (__builtin_mul_overflow(threads, (uint64_t) (size - SESSION_LOCAL_FREE), &bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = session_memory_charge(memory, bytes - c->local_charged);
    if (r != CUDA_SUCCESS)
        return r;
    session_memory_settle(memory, bytes - c->local_charged, CUDA_SUCCESS);
    c->local_charged = bytes;
    __atomic_store_n(&c->local_size, size, __ATOMIC_RELAXED);
    return CUDA_SUCCESS;
}

CUresult session_local_grow(Session *s, const SessionFunction *f)
{
    CUresult r;

    pthread_mutex_lock(&s->lock);
    r = local_grow_locked(s, f->context, f->local_size);
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* The primary context stays where another number stands for it, and so does what it has. */
static SessionContext *local_heir(Session *s, const SessionContext *c)
{
    SessionContext *other;

    LIST_FOREACH(other, &s->contexts, link)
    if (other->is_primary)
        break;
    return c->is_primary ? other : NULL;
}

void session_local_give_back(Session *s, SessionContext *c)
{
    SessionContext *heir;

    pthread_mutex_lock(&s->lock);
    heir = local_heir(s, c);
    if (heir && heir->local_charged < c->local_charged) {
        const uint64_t had = heir->local_charged;

        heir->local_charged = c->local_charged;
        c->local_charged = had;
        __atomic_store_n(&heir->local_size, c->local_size, __ATOMIC_RELAXED);
    }
    session_memory_give_back(&s->store->memory, c->local_charged);
    c->local_charged = 0;
    pthread_mutex_unlock(&s->lock);
}

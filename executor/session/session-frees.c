/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-frees.h"

#include <stdlib.h>

#include "session-pool.h"
#include "session-store.h"

#define FREES_EVENT_FLAGS 2u /* CU_EVENT_DISABLE_TIMING */

/* The caller holds the frees' lock; so in all of these. */
static SessionFrees *frees_of(SessionStore *store, uint32_t context)
{
    SessionFrees *f;

    LIST_FOREACH(f, &store->frees, link)
    if (f->context == context)
        return f;
    return NULL;
}

static CUresult frees_open(Session *s, SessionFrees *f)
{
    const CudaSessionDriver *driver = session_driver(s);
    void *words;
    CUresult result;

    result = driver->base.mem_host_alloc(&words, SESSION_FREES_MAX * sizeof(*f->words),
                                         CU_MEMHOSTALLOC_DEVICEMAP);
    if (result != CUDA_SUCCESS)
        return result;
    f->words = words;
    result = driver->base.mem_host_get_device_pointer(&f->device, words, 0);
    if (result == CUDA_SUCCESS)
        result = driver->event_create(&f->last, FREES_EVENT_FLAGS);
    if (result != CUDA_SUCCESS)
        (void) driver->base.mem_free_host(words);
    return result;
}

static CUresult frees_make(Session *s, uint32_t context, SessionFrees **ret)
{
    SessionFrees *f = calloc(1, sizeof(*f));
    CUresult result;
    int mode;

    if (!f)
        return CUDA_ERROR_OUT_OF_MEMORY;
    f->context = context;
    mode = session_exchange_capture_mode(s, SESSION_CAPTURE_MODE_RELAXED);
    result = frees_open(s, f);
    (void) session_exchange_capture_mode(s, mode);
    if (result != CUDA_SUCCESS) {
        free(f);
        return result;
    }
    LIST_INSERT_HEAD(&session_store(s)->frees, f, link);
    *ret = f;
    return CUDA_SUCCESS;
}

CUresult session_frees_begin(Session *s, uint32_t context)
{
    SessionStore *store = session_store(s);
    CUresult result = CUDA_SUCCESS;
    SessionFrees *f;

    pthread_mutex_lock(&store->frees_lock);
    if (!frees_of(store, context))
        result = frees_make(s, context, &f);
    pthread_mutex_unlock(&store->frees_lock);
    return result;
}

static void frees_look(SessionFrees *f, SessionMemory *memory)
{
    for (uint32_t i = 0; f->n > 0 && i < SESSION_FREES_MAX; i++) {
        if (!f->range[i] || __atomic_load_n(&f->words[i], __ATOMIC_ACQUIRE) == 0)
            continue;
        session_memory_drop(memory, f->range[i]);
        f->range[i] = NULL;
        f->n--;
    }
}

static CUresult frees_take_word(Session *s, uint32_t context, SessionFrees **ret,
                                uint32_t *ret_word)
{
    SessionStore *store = session_store(s);
    SessionFrees *f = frees_of(store, context);
    CUresult result = f ? CUDA_SUCCESS : frees_make(s, context, &f);
    uint32_t word = 0;

    if (result != CUDA_SUCCESS)
        return result;
    if (f->n == SESSION_FREES_MAX)
        frees_look(f, &store->memory);
    if (f->n == SESSION_FREES_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    while (f->range[word])
        word++;
    __atomic_store_n(&f->words[word], 0, __ATOMIC_RELAXED);
    *ret = f;
    *ret_word = word;
    return CUDA_SUCCESS;
}

/* Behind a free. Without the event, the pool keeps it until the next one. */
static void frees_mark(Session *s, SessionFrees *f, CUstream stream)
{
    if (session_driver(s)->event_record_with_flags(f->last, stream, 0) == CUDA_SUCCESS)
        f->is_held = true;
}

static CUresult frees_give(Session *s, uint32_t context, SessionRange *range, CUstream stream)
{
    const CudaSessionDriver *driver = session_driver(s);
    SessionFrees *f;
    uint32_t word;
    CUresult result;

    result = frees_take_word(s, context, &f, &word);
    if (result == CUDA_SUCCESS)
        result = driver->mem_free_async(range->address, stream);
    if (result != CUDA_SUCCESS)
        return result;
    f->range[word] = range;
    f->n++;
    /* Without its word the range stays charged until the context ends. */
    (void) driver->stream_write_value_32(stream, f->device + word * sizeof(*f->words), 1, 0);
    frees_mark(s, f, stream);
    return CUDA_SUCCESS;
}

/* Without a quota, nobody has to know when the stream has come so far. */
static CUresult frees_give_uncharged(Session *s, uint32_t context, CUdeviceptr address,
                                     CUstream stream)
{
    SessionFrees *f = frees_of(session_store(s), context);
    CUresult result = session_driver(s)->mem_free_async(address, stream);

    if (result == CUDA_SUCCESS && f)
        frees_mark(s, f, stream);
    return result;
}

CUresult session_free_in_order(Session *s, uint32_t context, SessionRange *range, CUstream stream)
{
    SessionStore *store = session_store(s);
    CUresult result;

    pthread_mutex_lock(&store->frees_lock);
    if (session_memory_max(&store->memory) == UINT64_MAX) {
        result = frees_give_uncharged(s, context, range->address, stream);
        if (result == CUDA_SUCCESS)
            session_memory_drop(&store->memory, range);
    } else {
        result = frees_give(s, context, range, stream);
    }
    pthread_mutex_unlock(&store->frees_lock);
    if (result != CUDA_SUCCESS && !session_memory_insert(&store->memory, range, range->address))
        session_memory_drop(&store->memory, range);
    return result;
}

/* The caller has made the frees' context current. */
static void frees_release(Session *s, SessionFrees *f)
{
    const CudaSessionDriver *driver = session_driver(s);

    if (!f->is_held || driver->event_query(f->last) != CUDA_SUCCESS)
        return;
    (void) driver->event_synchronize(f->last); /* which has come */
    f->is_held = false;
}

void session_frees_note(Session *s, uint32_t context)
{
    SessionStore *store = session_store(s);
    int mode = session_exchange_capture_mode(s, SESSION_CAPTURE_MODE_RELAXED);
    SessionFrees *f;

    pthread_mutex_lock(&store->frees_lock);
    LIST_FOREACH(f, &store->frees, link)
    {
        frees_look(f, &store->memory);
        if (f->context == context)
            frees_release(s, f);
    }
    pthread_mutex_unlock(&store->frees_lock);
    (void) session_exchange_capture_mode(s, mode);
}

void session_frees_settle(Session *s, uint32_t context)
{
    session_frees_note(s, context);
    session_pools_give(s);
}

void session_frees_end(Session *s, uint32_t context)
{
    const CudaSessionDriver *driver = session_driver(s);
    SessionStore *store = session_store(s);
    SessionFrees *f;

    pthread_mutex_lock(&store->frees_lock);
    f = frees_of(store, context);
    if (f)
        LIST_REMOVE(f, link);
    pthread_mutex_unlock(&store->frees_lock);
    if (!f)
        return;
    (void) driver->event_destroy(f->last);
    (void) driver->base.mem_free_host(f->words);
    session_frees_free(f, &store->memory);
}

void session_frees_free(SessionFrees *frees, SessionMemory *memory)
{
    for (uint32_t i = 0; i < SESSION_FREES_MAX; i++)
        session_memory_drop(memory, frees->range[i]);
    free(frees);
}

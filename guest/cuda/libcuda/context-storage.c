/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "context-storage.h"

#include <stdlib.h>

#include "context.h"

struct LibStorage {
    LibStorage *next;
    void *key, *value;
    StorageEnd end;
};

static pthread_mutex_t storage_lock = PTHREAD_MUTEX_INITIALIZER;

static LibContext *storage_context(CUcontext handle)
{
    if (!handle || handle == (CUcontext) UINTPTR_MAX)
        return libcuda_current();
    return libcuda_context_of(handle);
}

/* Under the lock: where the pointer to the key's entry is, or to the end of the list */
static LibStorage **storage_find(LibContext *c, const void *key)
{
    LibStorage **at = &c->storage;

    while (*at && (*at)->key != key)
        at = &(*at)->next;
    return at;
}

CUresult storage_put(CUcontext handle, void *key, void *value, StorageEnd end)
{
    LibContext *c = storage_context(handle);
    LibStorage **at, *entry;

    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    entry = calloc(1, sizeof(*entry));
    if (!entry)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *entry = (LibStorage){.key = key, .value = value, .end = end};
    pthread_mutex_lock(&storage_lock);
    at = storage_find(c, key);
    if (*at) {
        (*at)->value = value;
        (*at)->end = end;
        free(entry);
    } else
        *at = entry;
    pthread_mutex_unlock(&storage_lock);
    return CUDA_SUCCESS;
}

CUresult storage_get(void **ret, CUcontext handle, void *key)
{
    LibContext *c = storage_context(handle);
    const LibStorage *entry;

    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    pthread_mutex_lock(&storage_lock);
    entry = *storage_find(c, key);
    if (entry && ret)
        *ret = entry->value;
    pthread_mutex_unlock(&storage_lock);
    return entry ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult storage_delete(CUcontext handle, void *key)
{
    LibContext *c = storage_context(handle);
    LibStorage **at, *entry;

    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    pthread_mutex_lock(&storage_lock);
    at = storage_find(c, key);
    entry = *at;
    if (entry)
        *at = entry->next;
    pthread_mutex_unlock(&storage_lock);
    free(entry);
    return entry ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

/* The functions that are called may put and delete. */
void storage_drop(LibContext *c)
{
    LibStorage *entry;

    for (;;) {
        pthread_mutex_lock(&storage_lock);
        entry = c->storage;
        if (entry)
            c->storage = entry->next;
        pthread_mutex_unlock(&storage_lock);
        if (!entry)
            return;
        if (entry->end)
            entry->end(c->handle, entry->key, entry->value);
        free(entry);
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory of the window. */
#include <errno.h>
#include <stdlib.h>

#include "client-internal.h"

int client_window_init(vgpu_session *s)
{
    transport *t = s->transport;

    return share_init(&s->share, t->lock_fd, t->window_size, t->taken, t);
}

void client_window_destroy(vgpu_session *s)
{
    vgpu_session_fence *fence;

    while ((fence = SLIST_FIRST(&s->fence_owed))) {
        SLIST_REMOVE_HEAD(&s->fence_owed, link);
        free(fence);
    }
    share_destroy(&s->share);
    free(s->fence_free);
}

/* The driver takes a graph's copy only where it lies in one pin. A large buffer that begins where
 * its size says crosses few chunks, or none; in a small window it would waste too much. */
static uint64_t window_best_alignment(const vgpu_session *s, size_t size)
{
    const uint64_t chunk = s->pins.chunk;
    uint64_t alignment = chunk / 8;

    if (size < alignment || s->transport->window_size / chunk < 8)
        return 0;
    while (alignment < size && alignment < chunk)
        alignment *= 2;
    return alignment;
}

static int window_take(vgpu_session *s, size_t size, size_t alignment, uint64_t *ret)
{
    uint64_t best = window_best_alignment(s, size);
    int r = -ENOSPC;

    if (best > alignment)
        r = share_alloc(&s->share, size, best, ret);
    return r == 0 ? 0 : share_alloc(&s->share, size, alignment, ret);
}

int vgpu_session_window_alloc(vgpu_session *s, size_t size, size_t alignment, void **ret)
{
    uint64_t offset;
    int r;

    r = client_usable(s);
    if (r != 0)
        return r;
    if (size == 0 || (alignment & (alignment - 1)) != 0)
        return VGPU_CUDA_ERROR_INVALID_VALUE;

    pthread_mutex_lock(&s->memory_lock);
    r = window_take(s, size, alignment, &offset);
    pthread_mutex_unlock(&s->memory_lock);
    if (r < 0)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    r = client_pins_need(s, offset, size);
    if (r != 0) {
        pthread_mutex_lock(&s->memory_lock);
        (void) share_free(&s->share, offset);
        pthread_mutex_unlock(&s->memory_lock);
        return r;
    }
    *ret = s->transport->window + offset;
    return 0;
}

int vgpu_session_window_free(vgpu_session *s, void *memory)
{
    VGPUSessionBytes bytes;
    int r;

    if (!memory)
        return 0;
    if (__atomic_load_n(s->owned, __ATOMIC_RELAXED) != 1)
        return VGPU_CUDA_ERROR_NOT_INITIALIZED;
    if (!vgpu_session_window_bytes(s, memory, 1, &bytes))
        return VGPU_CUDA_ERROR_INVALID_VALUE;

    pthread_mutex_lock(&s->memory_lock);
    r = share_free(&s->share, bytes.offset);
    pthread_mutex_unlock(&s->memory_lock);
    return r < 0 ? VGPU_CUDA_ERROR_INVALID_VALUE : 0;
}

bool vgpu_session_window_bytes(const vgpu_session *s, const void *memory, size_t size,
                               VGPUSessionBytes *ret)
{
    uintptr_t base = (uintptr_t) s->transport->window, p = (uintptr_t) memory;
    uint64_t window = s->transport->window_size;

    if (p < base || p - base > window || size > window - (p - base))
        return false;
    *ret = (VGPUSessionBytes){.offset = p - base, .size = size};
    return true;
}

uint64_t vgpu_session_get_window_size(const vgpu_session *s)
{
    return s->transport->window_size;
}

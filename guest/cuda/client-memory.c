/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory: the window's, and the addresses of the device's. */
#include <stdlib.h>

#include "address-space.h"
#include "client-internal.h"

int client_memory_init(vgpu_session *s)
{
    transport *t = s->transport;

    return share_init(&s->share, t->lock_fd, t->window_size, t->taken, t);
}

void client_memory_destroy(vgpu_session *s)
{
    share_destroy(&s->share);
    for (size_t i = 0; i < s->n_foreign; i++)
        address_space_give(s->foreign[i].address, s->foreign[i].size);
    free(s->foreign);
    free(s->fence_free);
}

/* ---- The window ------------------------------------------------------------------ */

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
    r = share_alloc(&s->share, size, alignment, &offset);
    pthread_mutex_unlock(&s->memory_lock);
    if (r < 0)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
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

/* ---- The device ------------------------------------------------------------------- */

static client_range *find_foreign(vgpu_session *s, uint64_t address)
{
    for (size_t i = 0; i < s->n_foreign; i++)
        if (s->foreign[i].address == address)
            return &s->foreign[i];
    return NULL;
}

/* Reserve a range for this memory alone, and note it. */
static int add_foreign(vgpu_session *s, uint64_t address, uint64_t size)
{
    client_range *more = realloc(s->foreign, (s->n_foreign + 1) * sizeof(*more));

    if (!more)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    s->foreign = more;
    if (address_space_take(address, size) < 0)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    s->foreign[s->n_foreign++] = (client_range){.address = address, .size = size, .n = 1};
    return 0;
}

int client_claim(vgpu_session *s, uint64_t address, uint64_t size)
{
    client_range *range;
    int r = 0;

    if (address_space_has(address, size))
        return 0;

    pthread_mutex_lock(&s->memory_lock);
    range = find_foreign(s, address);
    if (range)
        range->n++;
    else
        r = add_foreign(s, address, size);
    pthread_mutex_unlock(&s->memory_lock);
    return r;
}

void client_disclaim(vgpu_session *s, uint64_t address)
{
    client_range *range;

    pthread_mutex_lock(&s->memory_lock);
    range = find_foreign(s, address);
    if (range && --range->n == 0) {
        address_space_give(address, range->size);
        *range = s->foreign[--s->n_foreign];
    }
    pthread_mutex_unlock(&s->memory_lock);
}

int vgpu_session_memory_alloc(vgpu_session *s, const vgpu_session_from *from, uint64_t size,
                              uint64_t *ret_address)
{
    const VGPUSessionMemory parameters = {.size = size};
    VGPUSessionReply reply;
    int r;

    r = vgpu_session_call(s, VGPU_SESSION_OP_MEMORY_ALLOC, from, &parameters, sizeof(parameters),
                          NULL, 0, &reply);
    if (r != 0)
        return r;
    r = client_claim(s, reply.value[0], size);
    if (r != 0) {
        const VGPUSessionMemory unused = {.address = reply.value[0]};

        vgpu_session_post(s, VGPU_SESSION_OP_MEMORY_FREE, from, &unused, sizeof(unused), NULL, 0);
        return r;
    }
    *ret_address = reply.value[0];
    return 0;
}

/* The address may be reused as soon as the host has freed the memory: it is given up before. */
int vgpu_session_memory_free(vgpu_session *s, const vgpu_session_from *from, uint64_t address)
{
    const VGPUSessionMemory parameters = {.address = address};

    client_disclaim(s, address);
    return vgpu_session_call(s, VGPU_SESSION_OP_MEMORY_FREE, from, &parameters, sizeof(parameters),
                             NULL, 0, NULL);
}

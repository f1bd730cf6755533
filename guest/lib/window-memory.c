/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory in the window. */
#include <errno.h>

#include "ring.h"

#define ALIGNMENT_MAX 4096u

int vgpu_window_alloc(vgpu_ring *ring, size_t size, size_t alignment, void **ret)
{
    uint64_t offset;
    int r;

    if (size == 0 || alignment > ALIGNMENT_MAX || (alignment & (alignment - 1)) != 0)
        return -EINVAL;

    ring_lock(ring);
    r = share_alloc(&ring->share, size, alignment, &offset);
    ring_unlock(ring);
    if (r < 0)
        return r;

    *ret = ring->window + offset;
    return 0;
}

int vgpu_window_free(vgpu_ring *ring, void *memory)
{
    uint64_t offset;
    int r;

    if (!memory)
        return 0;
    if (vgpu_window_offset(ring, memory, 0, &offset) < 0)
        return -EINVAL;

    ring_lock(ring);
    r = share_free(&ring->share, offset);
    ring_unlock(ring);
    return r;
}

uint64_t vgpu_window_largest(const vgpu_ring *ring)
{
    uint64_t largest;

    ring_lock(ring);
    largest = share_largest((window_share *) &ring->share);
    ring_unlock(ring);
    return largest;
}

int vgpu_window_offset(const vgpu_ring *ring, const void *memory, size_t size, uint64_t *ret_offset)
{
    uintptr_t base = (uintptr_t) ring->window, p = (uintptr_t) memory;

    if (p < base || p - base > ring->window_size || size > ring->window_size - (p - base))
        return -ERANGE;

    *ret_offset = p - base;
    return 0;
}

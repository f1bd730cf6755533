/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory in the order of streams, from the device's default pool. What was freed there can't be
 * reached any more, but it stays the pool's, and taken, until the program waits for something
 * (the release threshold of a default pool is 0) or the pool itself lacks room.
 */
#include "fake-memory.h"
#include "fake-queue.h"

#include <stdlib.h>

typedef struct Pooled {
    struct Pooled *next;
    FakeMemory memory;
} Pooled;

static Pooled *pooled;

void fake_free_run(CUdeviceptr address)
{
    FakeMemory *m = fake_memory_at(address);
    Pooled *p;

    if (!m)
        return;
    p = malloc(sizeof(*p));
    if (!p)
        abort();
    *p = (Pooled){.next = pooled, .memory = *m};
    pooled = p;
    fake_memory_remove(m);
}

void fake_pool_trim(void)
{
    while (pooled) {
        Pooled *p = pooled;

        pooled = p->next;
        fake_memory_give(&p->memory);
        free(p);
    }
}

CUresult cuMemAllocAsync(CUdeviceptr *device, size_t size, CUstream stream)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);

    if (size == 0)
        return CUDA_ERROR_INVALID_VALUE;
    /* The model has no nodes that allocate. */
    if (s->capture)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (fake_capture_forbids() != CUDA_SUCCESS)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (fake_memory_alloc(s->object.context, size, device) == CUDA_SUCCESS)
        return CUDA_SUCCESS;
    fake_pool_trim();
    return fake_memory_alloc(s->object.context, size, device);
}

CUresult cuMemFreeAsync(CUdeviceptr device, CUstream stream)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);
    FakeMemory *m = fake_memory_at(device);
    FakeWork w = {.kind = FAKE_WORK_FREE, .free = device};

    if (s->capture)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (!m || m->kind != FAKE_ALLOCATED || m->freeing)
        return CUDA_ERROR_INVALID_VALUE;
    m->freeing = true;
    return fake_submit(s, &w);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory in the order of streams, from pools: each device's default one and those that a program
 * makes. A pool takes memory of the device in units.
 *
 * What was freed there can't be reached any more, but it stays the pool's, and taken: until the
 * program waits for something the driver does not know that it is free. Then the pool gives back
 * what it has above its release threshold, and cuMemPoolTrimTo() the rest. An allocation that finds
 * no room has all pools give back what they have.
 */
#include "fake-memory.h"
#include "fake-queue.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define UNIT (UINT64_C(32) << 20)
#define BLOCK 512u

typedef struct Pooled {
    struct Pooled *next;
    FakeMemory memory;
    bool known; /* the driver knows that it is free */
} Pooled;

typedef struct CUmemPoolHandle_st {
    FakeObject object;
    struct CUmemPoolHandle_st *next;
    CUdevice device;
    bool is_default, destroyed;
    uint64_t max, threshold;
    uint64_t live, kept; /* bytes of allocations, and of what was freed */
    uint64_t reserved;   /* bytes of the device */
    uint64_t reserved_high, used_high;
    unsigned n_live;
    int reuse[3];
    Pooled *pooled;
} Pool;

static Pool *pools;

static uint64_t rounded(uint64_t size, uint64_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static uint64_t granules(uint64_t size)
{
    return rounded(size, FAKE_GRANULE) / FAKE_GRANULE;
}

static Pool *pool_new(CUdevice device)
{
    Pool *p = fake_object_new(FAKE_KIND_POOL, NULL, sizeof(*p));

    p->device = device;
    p->reuse[0] = p->reuse[1] = p->reuse[2] = 1;
    p->next = pools;
    pools = p;
    return p;
}

static Pool *pool_default(CUdevice device)
{
    Pool *p = pools;

    while (p && !(p->is_default && p->device == device))
        p = p->next;
    if (!p) {
        p = pool_new(device);
        p->is_default = true;
    }
    return p;
}

/* ---- What it has of the device ---------------------------------------------------- */

/* Takes or gives units, so that there are enough for @bytes. */
static bool pool_resize(Pool *p, uint64_t bytes)
{
    uint64_t reserved = rounded(bytes, UNIT);

    if (reserved > p->reserved && !fake_total_take(p->device, reserved - p->reserved))
        return false;
    if (reserved < p->reserved)
        fake_total_give(p->device, p->reserved - reserved);
    p->reserved = reserved;
    if (reserved > p->reserved_high)
        p->reserved_high = reserved;
    return true;
}

static void pool_release(Pool *p, Pooled **link)
{
    Pooled *gone = *link;
    uint64_t n = granules(gone->memory.size);

    *link = gone->next;
    madvise(gone->memory.bytes, n * FAKE_GRANULE, MADV_DONTNEED);
    fake_arena_give_addresses(gone->memory.address, n);
    p->kept -= rounded(gone->memory.size, BLOCK);
    free(gone);
    pool_resize(p, p->live + p->kept);
}

/* Give back what the driver knows to be free, until no more than @keep bytes are left. */
static void pool_trim(Pool *p, uint64_t keep)
{
    for (Pooled **link = &p->pooled; *link && p->reserved > keep;) {
        if ((*link)->known)
            pool_release(p, link);
        else
            link = &(*link)->next;
    }
}

static void pool_settle(Pool *p)
{
    for (Pooled *f = p->pooled; f; f = f->next)
        f->known = true;
}

/* One that was destroyed goes with the last of its allocations. */
static void pool_end_if_over(Pool *p)
{
    Pool **link = &pools;

    if (!p->destroyed || p->n_live > 0)
        return;
    pool_settle(p);
    pool_trim(p, 0);
    while (*link != p)
        link = &(*link)->next;
    *link = p->next;
    fake_object_end(p);
}

void fake_pool_keep(const FakeMemory *m, bool known)
{
    Pool *p = m->pool;
    Pooled *f = malloc(sizeof(*f));

    if (!f)
        abort();
    *f = (Pooled){.next = p->pooled, .memory = *m, .known = known};
    p->pooled = f;
    p->live -= rounded(m->size, BLOCK);
    p->kept += rounded(m->size, BLOCK);
    p->n_live--;
    if (known)
        pool_trim(p, p->threshold);
    pool_end_if_over(p);
}

void fake_free_run(CUdeviceptr address)
{
    FakeMemory *m = fake_memory_at(address), copy;

    if (!m)
        return;
    copy = *m;
    fake_memory_remove(m);
    if (copy.pool)
        fake_pool_keep(&copy, false);
    else
        fake_memory_give(&copy);
}

void fake_pool_trim(void)
{
    for (Pool *p = pools; p; p = p->next) {
        pool_settle(p);
        pool_trim(p, p->threshold);
    }
}

void fake_pool_stop(void)
{
    while (pools) {
        Pool *p = pools;

        pools = p->next;
        while (p->pooled)
            pool_release(p, &p->pooled);
        fake_object_end(p);
    }
}

/* ---- Allocations -------------------------------------------------------------------- */

/* What was freed in this pool and has the same size is used again. */
static bool pool_reuse(Pool *p, FakeMemory *m)
{
    for (Pooled **link = &p->pooled; *link; link = &(*link)->next) {
        Pooled *found = *link;

        if (rounded(found->memory.size, BLOCK) != rounded(m->size, BLOCK))
            continue;
        *link = found->next;
        m->address = found->memory.address;
        p->kept -= rounded(m->size, BLOCK);
        free(found);
        return true;
    }
    return false;
}

static void pools_give_all(void)
{
    for (Pool *p = pools; p; p = p->next) {
        pool_settle(p);
        pool_trim(p, 0);
    }
}

static bool pool_take(Pool *p, FakeMemory *m)
{
    const uint64_t all = p->live + p->kept + rounded(m->size, BLOCK);

    if (pool_reuse(p, m))
        return true;
    if (m->size > fake_total() || !pool_resize(p, all))
        return false;
    if (fake_arena_take_pooled(granules(m->size), &m->address))
        return true;
    pool_resize(p, p->live + p->kept);
    return false;
}

static CUresult pool_alloc(Pool *p, CUcontext context, size_t size, CUdeviceptr *ret)
{
    FakeMemory m = {.size = size, .kind = FAKE_ALLOCATED, .context = context, .pool = p};

    if (p->max > 0 && (size > p->max || p->live + rounded(size, BLOCK) > p->max))
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (!pool_take(p, &m)) {
        pools_give_all();
        if (!pool_take(p, &m))
            return CUDA_ERROR_OUT_OF_MEMORY;
    }
    m.bytes = fake_arena_bytes(m.address);
    memset(m.bytes, 0xa5, size < FAKE_GRANULE ? size : 0);
    p->live += rounded(size, BLOCK);
    p->n_live++;
    if (p->live > p->used_high)
        p->used_high = p->live;
    fake_memory_add(&m);
    *ret = m.address;
    return CUDA_SUCCESS;
}

static CUresult alloc_async(CUdeviceptr *device, size_t size, Pool *p, CUstream s)
{
    /* The model has no nodes that allocate. */
    if (s->capture)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (fake_capture_forbids() != CUDA_SUCCESS)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (size == 0) {
        *device = 0;
        return CUDA_SUCCESS;
    }
    return pool_alloc(p, s->object.context, size, device);
}

CUresult cuMemAllocAsync(CUdeviceptr *device, size_t size, CUstream stream)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);

    return alloc_async(device, size, pool_default(s->object.context->device), s);
}

static Pool *pool_get(CUmemoryPool pool, const char *function)
{
    fake_object_check(pool, FAKE_KIND_POOL, function);
    if (pool->destroyed)
        fake_misuse("%s: the pool was destroyed", function);
    return pool;
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *device, size_t size, CUmemoryPool pool,
                                 CUstream stream)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    return alloc_async(device, size, pool_get(pool, __func__), fake_stream_get(stream, __func__));
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
    if (device == 0)
        return CUDA_SUCCESS;
    if (!m || m->kind != FAKE_ALLOCATED || m->freeing)
        return CUDA_ERROR_INVALID_VALUE;
    m->freeing = true;
    return fake_submit(s, &w);
}

/* ---- Pools --------------------------------------------------------------------------- */

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device)
{
    ENTER_SESSION(FAKE_INIT);
    fake_check_device(device, __func__);

    FAKE_LOCKED();
    *pool = pool_default(device);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *props)
{
    static const unsigned char zeros[sizeof(props->reserved)];

    ENTER_SESSION(FAKE_INIT);
    if (props->allocation_type != CU_MEM_ALLOCATION_TYPE_PINNED || props->handle_types != 0 ||
        props->location.type != CU_MEM_LOCATION_TYPE_DEVICE || props->location.id < 0 ||
        props->location.id >= fake_plan()->devices || props->win32_security_attributes ||
        props->usage != 0 || memcmp(props->reserved, zeros, sizeof(zeros)) != 0)
        return CUDA_ERROR_INVALID_VALUE;

    FAKE_LOCKED();
    *pool = pool_new(props->location.id);
    (*pool)->max = props->max_size;
    return CUDA_SUCCESS;
}

CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    Pool *p = pool_get(pool, __func__);

    if (p->is_default)
        return CUDA_ERROR_INVALID_VALUE;
    p->destroyed = true;
    pool_end_if_over(p);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    pool_trim(pool_get(pool, __func__), keep);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, int attribute, void *value)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    const Pool *p = pool_get(pool, __func__);

    switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        *(int *) value = p->reuse[attribute - 1];
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        *(uint64_t *) value = p->threshold;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
        *(uint64_t *) value = p->reserved;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        *(uint64_t *) value = p->reserved_high;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
        *(uint64_t *) value = p->live;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        *(uint64_t *) value = p->used_high;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, int attribute, void *value)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    Pool *p = pool_get(pool, __func__);

    switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        p->reuse[attribute - 1] = *(const int *) value;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        p->threshold = *(const uint64_t *) value;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        if (*(const uint64_t *) value != 0)
            return CUDA_ERROR_INVALID_VALUE;
        p->reserved_high = p->reserved;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        if (*(const uint64_t *) value != 0)
            return CUDA_ERROR_INVALID_VALUE;
        p->used_high = p->live;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

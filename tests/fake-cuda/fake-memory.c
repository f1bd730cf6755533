/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-memory.h"
#include "fake-queue.h"

#include <stdlib.h>
#include <string.h>

/* What is not of the device lies far from any of the host's addresses. */
#define PINNED_ADDRESS_OFFSET 0x5a00000000000000ull
/* Where guests have their windows */
#define WINDOWS_BEGIN UINT64_C(0x300000000000)
#define WINDOWS_END UINT64_C(0x400000000000)
#define SMALL_MAX (UINT64_C(1) << 20) /* larger allocations have granules of their own */
#define PATTERN_MAX (UINT64_C(1) << 20)

/* A granule that holds small allocations */
typedef struct Shared {
    struct Shared *next;
    CUdeviceptr address;
    CUdevice device;
    uint64_t used; /* bytes from its beginning; none is given a second time */
    unsigned n_blocks;
} Shared;

static struct {
    FakeMemory **all; /* by address */
    size_t n, room;
    Shared *shared;
} memory;

/* ---- What there is ------------------------------------------------------------ */

/* The first that begins behind @address */
static size_t above(CUdeviceptr address)
{
    size_t low = 0, high = memory.n;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (memory.all[middle]->address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

FakeMemory *fake_memory_around(CUdeviceptr address)
{
    size_t i = above(address);
    FakeMemory *m = i > 0 ? memory.all[i - 1] : NULL;

    return m && address - m->address < m->size ? m : NULL;
}

unsigned char *fake_memory_find(CUdeviceptr address, size_t size)
{
    const FakeMemory *m = fake_memory_around(address);

    if (!m || size > m->size - (address - m->address))
        return NULL;
    if (m->kind == FAKE_RESERVED && !fake_address_reach(m, address, size))
        return NULL;
    return m->bytes + (address - m->address);
}

unsigned char *fake_memory_check(CUdeviceptr address, size_t size, size_t alignment,
                                 const char *what)
{
    unsigned char *bytes = fake_memory_find(address, size);

    if (!bytes && fake_memory_around(address))
        fake_misuse("%s: %zu bytes at 0x%llx reach outside their allocation", what, size, address);
    if (!bytes)
        fake_misuse("%s: 0x%llx is no device address", what, address);
    if (address % alignment != 0)
        fake_misuse("%s: 0x%llx is not aligned to %zu", what, address, alignment);
    return bytes;
}

void *fake_resolve(CUdeviceptr address, size_t size, size_t alignment, const char *what)
{
    FAKE_LOCKED();

    return fake_memory_check(address, size, alignment, what);
}

void *fake_reach(CUdeviceptr address, size_t size)
{
    FAKE_LOCKED();

    return fake_memory_find(address, size);
}

static bool is_of_host(const FakeMemory *m)
{
    return m->kind == FAKE_PINNED || m->kind == FAKE_REGISTERED;
}

bool fake_memory_is_pinned(const void *host, size_t size)
{
    const unsigned char *bytes = host;

    for (size_t i = 0; i < memory.n; i++) {
        const FakeMemory *m = memory.all[i];

        if (is_of_host(m) && bytes >= m->bytes && bytes < m->bytes + m->size &&
            size <= m->size - (size_t) (bytes - m->bytes))
            return true;
    }
    return false;
}

FakeMemory *fake_memory_at(CUdeviceptr address)
{
    FakeMemory *m = fake_memory_around(address);

    return m && m->address == address ? m : NULL;
}

FakeMemory *fake_memory_next(const FakeMemory *m)
{
    size_t i = m ? above(m->address) : 0;

    return i < memory.n ? memory.all[i] : NULL;
}

void fake_memory_add(const FakeMemory *added)
{
    FakeMemory *m = malloc(sizeof(*m));
    size_t i = above(added->address);

    if (memory.n == memory.room) {
        memory.room = memory.room ? 2 * memory.room : 64;
        memory.all = realloc(memory.all, memory.room * sizeof(FakeMemory *));
    }
    if (!m || !memory.all)
        abort();
    *m = *added;
    memmove(memory.all + i + 1, memory.all + i, (memory.n - i) * sizeof(FakeMemory *));
    memory.all[i] = m;
    memory.n++;
}

void fake_memory_remove(FakeMemory *m)
{
    size_t i = above(m->address) - 1;

    memory.n--;
    memmove(memory.all + i, memory.all + i + 1, (memory.n - i) * sizeof(FakeMemory *));
    free(m);
}

bool fake_memory_is_left(CUcontext context)
{
    for (size_t i = 0; i < memory.n; i++)
        if (memory.all[i]->context == context)
            return true;
    return false;
}

/* ---- The device's own --------------------------------------------------------- */

static Shared *shared_with_room(CUdevice device, size_t size)
{
    Shared *s = memory.shared;

    while (s && (s->device != device || FAKE_GRANULE - s->used < size))
        s = s->next;
    if (s)
        return s;

    s = calloc(1, sizeof(*s));
    if (!s)
        abort();
    s->device = device;
    if (!fake_arena_take(device, 1, &s->address)) {
        free(s);
        return NULL;
    }
    s->next = memory.shared;
    memory.shared = s;
    return s;
}

static uint64_t granules(size_t size)
{
    return (size + FAKE_GRANULE - 1) / FAKE_GRANULE;
}

CUresult fake_memory_alloc(CUcontext context, size_t size, CUdeviceptr *ret)
{
    FakeMemory m = {.size = size, .kind = FAKE_ALLOCATED, .context = context};
    size_t rounded = (size + FAKE_BLOCK_ALIGNMENT - 1) & ~(size_t) (FAKE_BLOCK_ALIGNMENT - 1);

    if (size > fake_total())
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (size < SMALL_MAX) {
        Shared *s = shared_with_room(context->device, rounded);

        if (!s)
            return CUDA_ERROR_OUT_OF_MEMORY;
        m.address = s->address + s->used;
        s->used += rounded;
        s->n_blocks++;
    } else if (!fake_arena_take(context->device, granules(size), &m.address)) {
        return CUDA_ERROR_OUT_OF_MEMORY;
    }

    m.bytes = fake_arena_bytes(m.address);
    if (size <= PATTERN_MAX)
        memset(m.bytes, 0xa5, size);
    fake_memory_add(&m);
    *ret = m.address;
    return CUDA_SUCCESS;
}

static void shared_give(CUdeviceptr address)
{
    Shared **link = &memory.shared, *s;

    while (address < (*link)->address || address - (*link)->address >= FAKE_GRANULE)
        link = &(*link)->next;
    s = *link;
    if (--s->n_blocks > 0)
        return;
    *link = s->next;
    fake_arena_give(s->device, s->address, 1);
    free(s);
}

void fake_memory_give(const FakeMemory *m)
{
    if (m->pool)
        fake_pool_keep(m, true);
    else if (m->size < SMALL_MAX)
        shared_give(m->address);
    else
        fake_arena_give(m->context->device, m->address, granules(m->size));
}

void fake_memory_free(FakeMemory *m)
{
    fake_memory_give(m);
    fake_memory_remove(m);
}

static void end_one(FakeMemory *m)
{
    switch (m->kind) {
    case FAKE_ALLOCATED:
        fake_memory_free(m);
        break;
    case FAKE_RESERVED:
        fake_address_end(m);
        break;
    case FAKE_TAKEN:
        fake_taken_end(m);
        break;
    case FAKE_PINNED:
        free(m->bytes);
        fake_memory_remove(m);
        break;
    case FAKE_REGISTERED:
        fake_memory_remove(m);
        break;
    }
}

void fake_memory_end(CUcontext context)
{
    fake_pool_trim();
    for (size_t i = memory.n; i > 0; i--)
        if (memory.all[i - 1]->context == context)
            end_one(memory.all[i - 1]);
}

void fake_memory_stop(void)
{
    fake_pool_stop();
    free(memory.all);
}

/* ---- The driver's functions --------------------------------------------------- */

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *bytes)
{
    ENTER(FAKE_CONTEXT);
    FAKE_LOCKED();

    *free_bytes = fake_total_free(fake_context()->device);
    *bytes = fake_total();
    return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *device, size_t size)
{
    ENTER_NUMBER(FAKE_CONTEXT, size);
    if (size == 0)
        return fake_refuse("%s: no bytes", __func__);

    FAKE_LOCKED();
    CUresult r = fake_capture_forbids();

    return r != CUDA_SUCCESS ? r : fake_memory_alloc(fake_context(), size, device);
}

/* As the driver does, it waits until nothing that is queued can need the memory. */
CUresult cuMemFree_v2(CUdeviceptr device)
{
    ENTER(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeMemory *m = fake_memory_at(device);
    CUresult r = fake_capture_forbids();

    if (r != CUDA_SUCCESS)
        return r;
    if (!m || m->kind != FAKE_ALLOCATED || m->freeing)
        return fake_refuse("%s: 0x%llx was not allocated", __func__, device);
    m->freeing = true;
    r = fake_context_drain(m->context);
    if (r == CUDA_SUCCESS)
        fake_memory_free(m);
    return r;
}

CUresult cuMemHostAlloc(void **host, size_t size, unsigned flags)
{
    FakeMemory m = {.size = size, .kind = FAKE_PINNED};
    void *bytes;

    ENTER_NUMBER(FAKE_CONTEXT, size);
    if ((flags & ~7u) != 0 || !(flags & CU_MEMHOSTALLOC_DEVICEMAP) || size == 0)
        fake_misuse("cuMemHostAlloc: size %zu, flags %u", size, flags);
    if (posix_memalign(&bytes, 4096, size) != 0)
        abort();
    memset(bytes, 0xa5, size);

    FAKE_LOCKED();
    if (fake_capture_forbids() != CUDA_SUCCESS) {
        free(bytes);
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    m.bytes = bytes;
    m.address = (CUdeviceptr) (uintptr_t) bytes + PINNED_ADDRESS_OFFSET;
    m.context = fake_context();
    fake_memory_add(&m);
    *host = bytes;
    return CUDA_SUCCESS;
}

/* Returns the pinned memory that begins there. */
static FakeMemory *of_host(const void *host, const char *what)
{
    for (size_t i = 0; i < memory.n; i++)
        if (is_of_host(memory.all[i]) && memory.all[i]->bytes == host)
            return memory.all[i];

    fake_misuse("%s: %p was not allocated", what, host);
}

/* Waits, as the driver does, until the device does nothing. Whatever is queued and needs the
 * memory will be misuse. */
static FakeMemory *settled(const void *host, FakeMemoryKind kind, const char *what)
{
    FakeMemory *m;

    fake_device_settle();
    m = of_host(host, what);
    if (m->kind != kind)
        fake_misuse("%s: memory of another kind", what);
    return m;
}

CUresult cuMemFreeHost(void *host)
{
    ENTER(FAKE_CONTEXT);
    FAKE_LOCKED();

    /* A driver waits for what its context has been given. */
    if (fake_is_session())
        (void) fake_context_drain(fake_context());
    for (const struct CUstream_st *s = fake_stream_first(); s && !fake_is_session(); s = s->next)
        if (!fake_stream_idle(s))
            fake_misuse("cuMemFreeHost: there is work in flight");
    fake_memory_remove(settled(host, FAKE_PINNED, __func__));
    free(host);
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *host, unsigned flags)
{
    ENTER(FAKE_CONTEXT);
    if (flags != 0)
        fake_misuse("cuMemHostGetDevicePointer_v2: flags %u", flags);

    FAKE_LOCKED();
    *device = of_host(host, __func__)->address;
    return CUDA_SUCCESS;
}

static CUdeviceptr registered_at(CUdeviceptr host)
{
    if (host % FAKE_GRANULE == 0 || (host >= WINDOWS_BEGIN && host < WINDOWS_END))
        return host;
    return host + PINNED_ADDRESS_OFFSET;
}

CUresult cuMemHostRegister_v2(void *host, size_t size, unsigned flags)
{
    FakeMemory m = {.bytes = host, .size = size, .kind = FAKE_REGISTERED};

    ENTER_NUMBER(FAKE_CONTEXT, size);
    if (flags != (CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP) || size == 0)
        fake_misuse("cuMemHostRegister_v2: size %zu, flags %u", size, flags);

    FAKE_LOCKED();
    if (fake_capture_forbids() != CUDA_SUCCESS)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    for (size_t i = 0; i < memory.n; i++)
        if (is_of_host(memory.all[i]) && m.bytes < memory.all[i]->bytes + memory.all[i]->size &&
            memory.all[i]->bytes < m.bytes + m.size)
            fake_misuse("memory at %p is registered already", host);
    m.address = registered_at((CUdeviceptr) (uintptr_t) host);
    m.context = fake_context();
    fake_memory_add(&m);
    return CUDA_SUCCESS;
}

CUresult cuMemHostUnregister(void *host)
{
    ENTER(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_memory_remove(settled(host, FAKE_REGISTERED, __func__));
    return CUDA_SUCCESS;
}

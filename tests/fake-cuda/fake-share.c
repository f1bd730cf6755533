/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory of another process's, by a handle that the other one's driver made. The handle says where
 * the bytes lie: in which process's arena, at which place. As with the real one, a process cannot
 * open its own, and opening twice counts.
 */
#include "fake-memory.h"
#include "fake-queue.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HANDLE_MAGIC UINT64_C(0x4350496b61466556)

typedef struct Handle {
    uint64_t magic;
    uint32_t pid;
    uint32_t reserved0;
    uint64_t address;
    uint64_t offset; /* in the arena */
    uint64_t size;
    uint8_t reserved[24];
} Handle;

_Static_assert(sizeof(Handle) == sizeof(CUipcMemHandle), "a handle's bytes");

CUresult cuIpcGetMemHandle(CUipcMemHandle *ret, CUdeviceptr address)
{
    Handle handle = {.magic = HANDLE_MAGIC, .pid = (uint32_t) getpid(), .address = address};
    const FakeMemory *m;

    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    m = fake_memory_at(address);
    if (!m || m->kind != FAKE_ALLOCATED || m->freeing)
        return CUDA_ERROR_INVALID_VALUE;
    handle.size = m->size;
    handle.offset = fake_arena_offset(address);
    memcpy(ret, &handle, sizeof(handle));
    return CUDA_SUCCESS;
}

/* Where it is open already, or NULL */
static FakeMemory *taken_find(const Handle *handle)
{
    FakeMemory *m = NULL;

    while ((m = fake_memory_next(m)))
        if (m->kind == FAKE_TAKEN && m->source_pid == handle->pid &&
            m->source_address == handle->address && m->context == fake_context())
            return m;
    return NULL;
}

static uint64_t taken_granules(const Handle *handle)
{
    return (handle->offset % FAKE_GRANULE + handle->size + FAKE_GRANULE - 1) / FAKE_GRANULE;
}

/* Returns where all the granules are that the memory lies in, or NULL. */
static unsigned char *taken_map(const Handle *handle)
{
    const off_t first = (off_t) (handle->offset / FAKE_GRANULE * FAKE_GRANULE);
    char path[FAKE_PATH_MAX];
    void *bytes;
    int fd;

    if (!fake_arena_path(handle->pid, path))
        fake_misuse("memory of another process needs share= in the plan");
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    bytes = mmap(NULL, taken_granules(handle) * FAKE_GRANULE, PROT_READ | PROT_WRITE, MAP_SHARED,
                 fd, first);
    close(fd);
    return bytes == MAP_FAILED ? NULL : bytes;
}

static CUresult taken_open(const Handle *handle, CUdeviceptr *ret)
{
    const uint64_t delta = handle->offset % FAKE_GRANULE, n = taken_granules(handle);
    FakeMemory m = {
        .size = handle->size,
        .kind = FAKE_TAKEN,
        .context = fake_context(),
        .n_opens = 1,
        .source_pid = handle->pid,
        .source_address = handle->address,
    };
    unsigned char *bytes = taken_map(handle);

    if (!bytes)
        return CUDA_ERROR_MAP_FAILED;
    if (!fake_arena_take_addresses(n, &m.address)) {
        munmap(bytes, n * FAKE_GRANULE);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    m.address += delta;
    m.bytes = bytes + delta;
    fake_memory_add(&m);
    *ret = m.address;
    return CUDA_SUCCESS;
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *ret, CUipcMemHandle bytes, unsigned flags)
{
    FakeMemory *m;
    Handle handle;

    ENTER_SESSION(FAKE_CONTEXT);
    memcpy(&handle, &bytes, sizeof(handle));
    if (flags != CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS)
        return CUDA_ERROR_INVALID_VALUE;
    if (handle.magic != HANDLE_MAGIC)
        return CUDA_ERROR_INVALID_HANDLE;
    if (handle.pid == (uint32_t) getpid())
        return CUDA_ERROR_INVALID_CONTEXT;

    FAKE_LOCKED();
    m = taken_find(&handle);
    if (!m)
        return taken_open(&handle, ret);
    m->n_opens++;
    *ret = m->address;
    return CUDA_SUCCESS;
}

void fake_taken_end(FakeMemory *m)
{
    const uint64_t delta = m->address % FAKE_GRANULE;
    const uint64_t n = (delta + m->size + FAKE_GRANULE - 1) / FAKE_GRANULE;

    munmap(m->bytes - delta, n * FAKE_GRANULE);
    fake_arena_give_addresses(m->address - delta, n);
    fake_memory_remove(m);
}

/* Waits, as cuMemFree() does, for what may use it. */
CUresult cuIpcCloseMemHandle(CUdeviceptr address)
{
    FakeMemory *m;
    CUresult r;

    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    m = fake_memory_at(address);
    if (!m || m->kind != FAKE_TAKEN || m->context != fake_context() || m->freeing)
        return CUDA_ERROR_INVALID_VALUE;
    if (m->n_opens > 1) {
        m->n_opens--;
        return CUDA_SUCCESS;
    }
    m->freeing = true;
    r = fake_context_drain(m->context);
    if (r == CUDA_SUCCESS)
        fake_taken_end(m);
    else
        m->freeing = false;
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-window.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "vgpu-ring.h"

#define WINDOW_BASE_ALIGNMENT (UINT64_C(1) << 21)

int session_window_open(SessionWindow *w, int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    *w = (SessionWindow){.fd = fd};
    /* What the guest says is checked against the size, so the size must not change. */
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return -EINVAL;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size < 0 || (uint64_t) st.st_size < VGPU_WINDOW_SIZE_MIN ||
        (uint64_t) st.st_size > VGPU_WINDOW_SIZE_MAX)
        return -EINVAL;
    w->size = (uint64_t) st.st_size;
    return 0;
}

int session_window_map(SessionWindow *w, uint64_t base)
{
    /* In the place of nothing of this process: the guest names the address. */
    int flags = MAP_SHARED | (base != 0 ? MAP_FIXED_NOREPLACE : 0);
    void *memory;

    if (base % WINDOW_BASE_ALIGNMENT != 0 || base > UINT64_MAX - w->size)
        return -EINVAL;
    session_window_close(w);
    memory = mmap((void *) base, w->size, PROT_READ | PROT_WRITE, flags, w->fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    if (base != 0 && (uint64_t) memory != base) { /* a kernel without MAP_FIXED_NOREPLACE */
        munmap(memory, w->size);
        return -EEXIST;
    }

    w->memory = memory;
    w->base = base;
    memory_guard_add(&w->guard, memory, w->size);
    return 0;
}

void session_window_close(SessionWindow *w)
{
    if (!w->memory)
        return;
    memory_guard_remove(&w->guard);
    munmap(w->memory, w->size);
    w->memory = NULL;
}

CUresult session_window_register(Session *s, CUcontext context)
{
    const CudaDriver *d = &s->driver.base;
    SessionWindow *w = &s->window;
    CUresult r;

    if (w->registered_in)
        return CUDA_SUCCESS;
    r = d->mem_host_register(w->memory, w->size,
                             CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
    if (r != CUDA_SUCCESS && r != CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED)
        return r;
    r = d->mem_host_get_device_pointer(&w->device, w->memory, 0);
    /* Addresses in the window have to mean the same to the guest's program and its kernels. */
    if (r == CUDA_SUCCESS && w->base != 0 && w->device != w->base)
        r = CUDA_ERROR_NOT_SUPPORTED;
    if (r != CUDA_SUCCESS) {
        (void) d->mem_host_unregister(w->memory);
        return r;
    }
    w->registered_in = context;
    return CUDA_SUCCESS;
}

void session_window_forget(Session *s, CUcontext context, bool is_last)
{
    if (s->window.registered_in != context)
        return;
    if (is_last)
        (void) s->driver.base.mem_host_unregister(s->window.memory);
    s->window.registered_in = NULL;
}

bool session_window_is_lost(const Session *s)
{
    return memory_guard_is_lost(&s->window.guard);
}

CUdeviceptr session_window_device(const Session *s, uint64_t offset)
{
    assert(offset <= s->window.size);
    return s->window.device + offset;
}

unsigned char *session_window(Session *s, uint64_t offset, uint64_t size)
{
    if (offset > s->window.size || size > s->window.size - offset)
        return NULL;
    return s->window.memory + offset;
}

bool session_window_has(Session *s, uint64_t address, uint64_t size)
{
    const SessionWindow *w = &s->window;

    return w->base != 0 && address >= w->base && address - w->base <= w->size &&
           size <= w->size - (address - w->base);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the first job in a window, and the first large matrix product of a priority, need
 * and later ones find done. Most of the time that it takes, it takes on a thread of its
 * own, and all jobs go on that have no need of it.
 *
 * Registering a window pins its pages, and makes those that nobody has touched yet.
 * Measured on an H100, for 192 MiB of a memfd: 70 to 105 ms, or 7 to 11 where the pages
 * are there. So those are made first, on the thread. Not so the rest of it: while it
 * lasts, the driver lets no thread launch anything, whichever thread registers. Nor can it
 * be done in parts: a copy must not reach from one registration into another.
 *
 * Loading cuBLAS takes 60 to 270 ms and its first handle 3 to 23, during which launches
 * took no longer than 0.3.
 */
#include "cuda-backend.h"

#include <stdio.h>
#include <sys/mman.h>

/* ---- On the thread ----------------------------------------------------------------- */

static void open_blas(Backend *b, CudaPipeline *p)
{
    if (p->blas_is_tried)
        return;

    p->blas_is_tried = true;
    if (b->driver.ctx_set_current(b->context) != CUDA_SUCCESS)
        return; /* the process is lost, and the loop will see that */
    if (!b->blas.shared_object)
        cuda_blas_open(&b->blas);
    for (unsigned i = 0; i < N_LANES; i++)
        p->lanes[i].blas = cuda_blas_new(&b->blas, p->lanes[i].stream);
}

void cuda_prepare_run(void *data, unsigned index)
{
    Backend *b = data;
    const CudaCompute *job = &b->slots[index].job;
    const MappedWindow *w = job->compute.window;

    /* Where that fails (in kernels before 5.14), registering makes the pages. */
    if (job->needs_window)
        (void) madvise(w->memory, w->size, MADV_POPULATE_WRITE);
    if (job->needs_blas)
        open_blas(b, &b->streams[job->compute.priority].pipeline);
    done_add(&b->done, UINT64_C(1) << index);
}

/* ---- On the loop's ------------------------------------------------------------------ */

bool cuda_prepare(Backend *b, unsigned index)
{
    CudaCompute *job = &b->slots[index].job;

    job->needs_window = !job->compute.window->is_registered;
    job->needs_blas = !job->direct && !b->streams[job->compute.priority].pipeline.blas_is_open;
    job->preparing = job->needs_window || job->needs_blas;
    if (job->preparing)
        worker_push(&b->preparer, index);
    return job->preparing;
}

static CUresult open_reports(Backend *b)
{
    void *memory;
    CUresult r = b->driver.mem_host_alloc(&memory, b->n_slots * sizeof(SlotReports),
                                          CU_MEMHOSTALLOC_DEVICEMAP);

    if (r != CUDA_SUCCESS)
        return r;
    r = b->driver.mem_host_get_device_pointer(&b->device_reports, memory, 0);
    if (r != CUDA_SUCCESS) {
        b->driver.mem_free_host(memory);
        return r;
    }

    b->reports = memory;
    return CUDA_SUCCESS;
}

static CUresult register_memory(Backend *b, MappedWindow *window)
{
    CUdeviceptr device;
    CUresult r;

    r = b->driver.mem_host_register(window->memory, window->size,
                                    CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
    if (r != CUDA_SUCCESS)
        return r;
    r = b->driver.mem_host_get_device_pointer(&device, window->memory, 0);
    if (r != CUDA_SUCCESS) {
        b->driver.mem_host_unregister(window->memory);
        return r;
    }

    window->device = device;
    return CUDA_SUCCESS;
}

static void register_window(Backend *b, MappedWindow *window)
{
    CUresult r = b->reports ? CUDA_SUCCESS : open_reports(b);

    if (r == CUDA_SUCCESS)
        r = register_memory(b, window);
    window->cuda_result = cuda_note(b, r);
    window->is_registered = true;
    if (r != CUDA_SUCCESS)
        fprintf(stderr, "vgpu-executor: window %u: CUDA error %u\n", window->id, (unsigned) r);
}

void cuda_prepare_end(Backend *b, unsigned index)
{
    CudaCompute *job = &b->slots[index].job;

    job->preparing = false;
    if (!job->compute.window->is_registered)
        register_window(b, job->compute.window);
    if (job->needs_blas)
        b->streams[job->compute.priority].pipeline.blas_is_open = true;
}

void cuda_window_remove(Backend *b, MappedWindow *window)
{
    if (window->is_registered && window->cuda_result == 0)
        cuda_note(b, b->driver.mem_host_unregister(window->memory));
}

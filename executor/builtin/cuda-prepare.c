/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-prepare.h"

#include <assert.h>
#include <err.h>
#include <stdio.h>
#include <sys/mman.h>

/* ---- On the thread ----------------------------------------------------------------- */

static void cuda_prepare_blas(Backend *b, CudaPipeline *p)
{
    if (p->blas_is_tried)
        return;

    p->blas_is_tried = true;
    if (b->device.driver.ctx_set_current(b->device.context) != CUDA_SUCCESS)
        return; /* the process is lost, and the loop will see that */
    if (!b->blas.shared_object)
        cuda_blas_open(&b->blas);
    for (unsigned i = 0; i < CUDA_N_PIPES; i++)
        p->pipes[i].blas = cuda_blas_new(&b->blas, p->pipes[i].stream);
}

void cuda_prepare_run(void *data, unsigned index)
{
    Backend *b = data;
    const CudaJob *job = &b->slots[index].job;
    const MappedWindow *w = job->operation.window;

    /* If that fails, as it does in kernels before 5.14, registering makes the pages. */
    if (job->needs_window)
        (void) madvise(w->memory, w->size, MADV_POPULATE_WRITE);
    if (job->needs_blas)
        cuda_prepare_blas(b, &b->streams[job->operation.priority].pipeline);
    cuda_completion_signal(&b->completion, index);
}

/* ---- On the loop's thread ------------------------------------------------------------------ */

bool cuda_prepare(Backend *b, unsigned index)
{
    CudaJob *job = &b->slots[index].job;

    job->needs_window = !job->operation.window->is_registered;
    job->needs_blas = !job->direct && !b->streams[job->operation.priority].pipeline.blas_is_open;
    job->preparing = job->needs_window || job->needs_blas;
    if (job->preparing)
        worker_push(&b->preparer, index);
    return job->preparing;
}

static CUresult cuda_prepare_reports(Backend *b)
{
    const CudaDriver *d = &b->device.driver;
    void *memory;
    CUresult r =
        d->mem_host_alloc(&memory, b->n_slots * sizeof(SlotReports), CU_MEMHOSTALLOC_DEVICEMAP);

    if (r != CUDA_SUCCESS)
        return r;
    r = d->mem_host_get_device_pointer(&b->device_reports, memory, 0);
    if (r != CUDA_SUCCESS) {
        d->mem_free_host(memory);
        return r;
    }

    b->reports = memory;
    return CUDA_SUCCESS;
}

static CUresult cuda_prepare_memory(const CudaDriver *d, MappedWindow *window)
{
    CUdeviceptr device;
    CUresult r = d->mem_host_register(window->memory, window->size,
                                      CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);

    if (r != CUDA_SUCCESS)
        return r;
    r = d->mem_host_get_device_pointer(&device, window->memory, 0);
    if (r != CUDA_SUCCESS) {
        d->mem_host_unregister(window->memory);
        return r;
    }

    window->device = device;
    return CUDA_SUCCESS;
}

static void cuda_prepare_window(Backend *b, MappedWindow *window)
{
    CUresult r = b->reports ? CUDA_SUCCESS : cuda_prepare_reports(b);

    if (r == CUDA_SUCCESS)
        r = cuda_prepare_memory(&b->device.driver, window);
    window->cuda_result = (uint32_t) cuda_device_note(&b->device, r);
    window->is_registered = true;
    if (r != CUDA_SUCCESS)
        warnx("window %u: CUDA error %u", window->id, (unsigned) r);
}

void cuda_prepare_end(Backend *b, unsigned index)
{
    CudaJob *job = &b->slots[index].job;

    assert(job->preparing);
    job->preparing = false;
    if (!job->operation.window->is_registered)
        cuda_prepare_window(b, job->operation.window);
    if (job->needs_blas)
        b->streams[job->operation.priority].pipeline.blas_is_open = true;
}

void cuda_prepare_undo(Backend *b, MappedWindow *window)
{
    if (window->is_registered && window->cuda_result == 0)
        cuda_device_note(&b->device, b->device.driver.mem_host_unregister(window->memory));
}

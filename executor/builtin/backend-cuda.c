/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backend for NVIDIA GPUs.
 *
 * This file opens it and computes requests; cuda-compute.c computes in windows.
 *
 * A request is one kernel launch in the stream of its priority, and nothing else. The operands are
 * copied into pinned host memory that is mapped into the device; the kernel reads them there,
 * writes the result there, and says there that it has ended (cuda-await.h).
 *
 * Measured on an H100 in a virtual machine (bench/cuda-floor.c; medians of two runs): mapped
 * memory against copies in and out, 10.5 and 10.8 against 12.8 and 13.4 microseconds when
 * spinning in the driver, 32 and 33 against 36 and 68 by stream callback. A request is at
 * most a kilobyte, and each copy costs a call and a trip over the bus of its own.
 */
#include "cleanup.h"
#include "cuda-await.h"
#include "cuda-backend.h"
#include "cuda-compute.h"
#include "cuda-prepare.h"
#include "kernels-image.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A loop that never sleeps sets bells after so many flushes. Work behind a bell waits until it has
 * rung, some thirty microseconds, and that shall not be noticed. */
#define BELLS_EVERY 1024u

/* ---- Opening ------------------------------------------------------------- */

static int cuda_open_streams(Backend *b, char *reason)
{
    const CudaDriver *d = &b->device.driver;
    int least, greatest, r;

    r = cuda_device_check(&b->device, d->ctx_get_stream_priority_range(&least, &greatest),
                          "stream priorities", reason);

    for (int p = 0; r == 0 && p < VGPU_N_PRIORITIES; p++) {
        /* "Greatest" is the lower number. A device without priorities gives 0 and 0. */
        int priority = least + (greatest - least) * p / VGPU_PRIORITY_HIGH;

        b->streams[p].priority = priority;
        TAILQ_INIT(&b->streams[p].line);
        TAILQ_INIT(&b->streams[p].pipeline_line);
        r = cuda_device_check(
            &b->device,
            d->stream_create_with_priority(&b->streams[p].handle, CU_STREAM_NON_BLOCKING, priority),
            "stream", reason);
    }

    return r;
}

static int cuda_open_memory(Backend *b, char *reason)
{
    const CudaDriver *d = &b->device.driver;
    CUdeviceptr device;
    void *memory;
    int r;

    r = cuda_device_check(
        &b->device,
        d->mem_host_alloc(&memory, b->n_slots * sizeof(SlotMemory), CU_MEMHOSTALLOC_DEVICEMAP),
        "pinned memory", reason);
    if (r < 0)
        return r;

    b->memory = memory;
    r = cuda_device_check(&b->device, d->mem_host_get_device_pointer(&device, memory, 0),
                          "mapped memory", reason);
    if (r < 0)
        return r;

    for (unsigned i = 0; i < b->n_slots; i++)
        b->slots[i] = (CudaSlot){
            .host = &b->memory[i],
            .device = device + i * sizeof(SlotMemory),
        };
    return 0;
}

static int cuda_open_threads(Backend *b, char *reason)
{
    int r = cuda_completion_open(&b->completion);

    if (r < 0) {
        snprintf(reason, BACKEND_REASON_MAX, "eventfd: %s", strerror(-r));
        return r;
    }
    r = worker_start(&b->preparer, 0, cuda_prepare_run, b);
    if (r < 0)
        snprintf(reason, BACKEND_REASON_MAX, "thread: %s", strerror(-r));
    return r;
}

/* Also closes a backend that is only partly open. */
static Backend *cuda_close(Backend *b)
{
    const CudaDriver *d;

    if (!b)
        return NULL;

    d = &b->device.driver;
    worker_stop(&b->preparer);
    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++) {
        cuda_pipeline_close(&b->streams[p].pipeline, d, &b->blas);
        if (!b->streams[p].handle)
            continue;
        d->stream_synchronize(b->streams[p].handle);
        d->stream_destroy(b->streams[p].handle);
    }
    cuda_blas_close(&b->blas);
    if (b->reports)
        d->mem_free_host(b->reports);
    if (b->memory)
        d->mem_free_host(b->memory);
    cuda_kernels_close(&b->kernels);
    cuda_completion_close(&b->completion);
    cuda_device_close(&b->device);
    free(b);
    return NULL;
}

static void cuda_closep(Backend **b)
{
    cuda_close(*b);
}

/* Variables that the driver reads in cuInit(). What the administrator set stays. */
static void cuda_set_environment(const CudaDriver *d)
{
    /* Our kernels are all loaded now. If each were loaded at its first launch, it would wait
     * for the kernels that are running. By name where the driver can do that (12.4 and later):
     * loading everything would include all of cuBLAS, and takes seconds instead of a tenth. */
    setenv("CUDA_MODULE_LOADING", d->func_load ? "LAZY" : "EAGER", 0);
    /* PTX is compiled only on a GPU that is newer than this build. It takes milliseconds, which
     * is not worth a cache on disk; the mediator's sandbox forbids one anyway. */
    setenv("CUDA_CACHE_DISABLE", "1", 0);
}

static int cuda_open(const BackendOptions *options, Backend **ret, char *reason)
{
    CLEANUP(cuda_closep) Backend *b = NULL;
    int r;

    if (!options->kernels && kernels_image_size == 0) {
        snprintf(reason, BACKEND_REASON_MAX,
                 "this build has no kernels, for lack of nvcc (--kernels=FILE gives some)");
        return -ENODEV;
    }

    b = calloc(1, sizeof(*b));
    if (!b) {
        snprintf(reason, BACKEND_REASON_MAX, "out of memory");
        return -ENOMEM;
    }
    b->n_slots = options->n_slots;
    cuda_completion_init(&b->completion, &b->device);

    r = cuda_driver_open(&b->device.driver, reason, BACKEND_REASON_MAX);
    if (r < 0)
        return r;
    cuda_set_environment(&b->device.driver);
    r = cuda_device_open(&b->device, options->device, backend_cuda.name, reason);
    if (r == 0)
        r = cuda_open_streams(b, reason);
    if (r == 0)
        r = cuda_kernels_open(&b->kernels, &b->device, options->kernels, reason);
    if (r == 0)
        r = cuda_open_memory(b, reason);
    if (r == 0)
        r = cuda_open_threads(b, reason);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(b);
    return 0;
}

/* ---- Computing ----------------------------------------------------------- */

static uint32_t cuda_backend_info(Backend *b, VGPUDeviceInfo *ret)
{
    return cuda_device_info(&b->device, ret);
}

static bool cuda_add(Backend *b, unsigned index, const Operation *op, Completion *ret)
{
    const VectorAdd *add = &op->add;
    CudaSlot *slot = &b->slots[index];
    CudaStream *stream = &b->streams[op->priority];
    size_t size = add->n * vgpu_element_size(add->opcode);
    CUdeviceptr va = slot->device + offsetof(SlotMemory, a);
    CUdeviceptr vb = slot->device + offsetof(SlotMemory, b);
    CUdeviceptr vc = slot->device + offsetof(SlotMemory, c);
    CUdeviceptr exec_time_ns = slot->device + offsetof(SlotMemory, exec_time_ns);
    uint32_t n = add->n;
    void *params[] = {&va, &vb, &vc, &n, &exec_time_ns};
    CUresult r;

    cuda_line_join(&stream->line, &slot->place, op);
    memcpy(slot->host->a, add->a, size);
    memcpy(slot->host->b, add->b, size);
    slot->host->exec_time_ns = 0;

    r = cuda_device_note(&b->device,
                         cuda_kernels_vector_add(&b->kernels, add->opcode, params, stream->handle));
    if (r != CUDA_SUCCESS) {
        *ret = (Completion){.slot = index, .cuda_result = (uint32_t) r};
        return true;
    }

    cuda_await_begin(b, index);
    cuda_await_add(b, index, stream->handle, &stream->bell);
    return false;
}

static bool cuda_start(Backend *b, unsigned index, const Operation *op, Completion *ret)
{
    bool ended;

    assert(index < b->n_slots);

    b->slots[index].in_window = op->window != NULL;
    ended = op->window ? cuda_compute_start(b, index, op, ret) : cuda_add(b, index, op, ret);
    if (ended)
        cuda_line_leave(&b->slots[index].place);
    return ended;
}

/* A window is registered with the first operation in it. */
static void cuda_window_add(Backend *b, MappedWindow *window)
{
    (void) b;
    (void) window;
}

static void cuda_flush(Backend *b)
{
    if (++b->n_flushes % BELLS_EVERY == 0)
        cuda_await_sleep(b);
}

static Completion cuda_add_end(Backend *b, unsigned index)
{
    const CudaSlot *slot = &b->slots[index];
    CUresult r = cuda_device_note(&b->device, slot->await.status);

    if (r != CUDA_SUCCESS)
        return (Completion){.slot = index, .cuda_result = (uint32_t) r};
    return (Completion){
        .slot = index,
        .exec_time_us = completion_usec(slot->host->exec_time_ns),
        .c = slot->host->c,
    };
}

static unsigned cuda_collect(Backend *b, Completion ret[])
{
    uint64_t done = cuda_completion_take(&b->completion) | cuda_await_take(b);
    unsigned n = 0;

    for (; done != 0; done &= done - 1) {
        unsigned index = (unsigned) __builtin_ctzll(done);

        if (b->slots[index].in_window && !cuda_compute_collect(b, index, &ret[n]))
            continue;
        if (!b->slots[index].in_window)
            ret[n] = cuda_add_end(b, index);
        cuda_line_leave(&b->slots[index].place);
        n++;
    }

    return n;
}

static int cuda_wait_fd(Backend *b)
{
    return cuda_completion_fd(&b->completion);
}

static uint32_t cuda_lost(Backend *b)
{
    return (uint32_t) b->device.lost;
}

const BackendOps backend_cuda = {
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .device_info = cuda_backend_info,
    .window_add = cuda_window_add,
    .window_remove = cuda_prepare_undo,
    .start = cuda_start,
    .flush = cuda_flush,
    .collect = cuda_collect,
    .sleep = cuda_await_sleep,
    .wait_fd = cuda_wait_fd,
    .lost = cuda_lost,
};

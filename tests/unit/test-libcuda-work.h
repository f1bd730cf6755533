/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Something for threads and processes to do, of which it shows whether it was done right. */
#ifndef VGPU_TEST_LIBCUDA_WORK_H
#define VGPU_TEST_LIBCUDA_WORK_H

#include <pthread.h>

#include "test-libcuda.h"

#define WORK_N 1000u
#define WORK_PARTS 4u

typedef struct Work {
    CUmodule module;
    CUfunction fill, busy;
    CUdeviceptr a;
} Work;

/* work_open() - in the current context */
static inline Work work_open(void)
{
    Work w = {.module = libcuda_load("tests/fake-cuda/session-kernels.ptx")};

    CALL(cuModuleGetFunction(&w.fill, w.module, "fill"));
    CALL(cuModuleGetFunction(&w.busy, w.module, "busy"));
    CALL(cuMemAlloc_v2(&w.a, WORK_PARTS * WORK_N * sizeof(uint32_t)));
    return w;
}

static inline void work_close(const Work *w)
{
    CALL(cuMemFree_v2(w->a));
    CALL(cuModuleUnload(w->module));
}

/* work_do() - fill a part of the memory, in a stream, and look. Returns the first result that is
 * none of success, or CUDA_ERROR_UNKNOWN for wrong data: also for threads, and for children, in
 * which nothing may fail by itself. */
static inline CUresult work_do(const Work *w, unsigned part, uint32_t value, CUstream stream)
{
    CUdeviceptr to = w->a + part * WORK_N * sizeof(uint32_t);
    uint64_t n = WORK_N;
    void *each[] = {&to, &value, &n};
    uint32_t back[WORK_N];
    CUresult r = cuLaunchKernel(w->fill, 4, 1, 1, 256, 1, 1, 0, stream, each, NULL);

    if (r == CUDA_SUCCESS)
        r = cuMemcpyDtoHAsync_v2(back, to, sizeof(back), stream);
    if (r == CUDA_SUCCESS)
        r = cuStreamSynchronize(stream);
    for (unsigned i = 0; r == CUDA_SUCCESS && i < WORK_N; i++)
        if (back[i] != value)
            r = CUDA_ERROR_UNKNOWN;
    return r;
}

/* ---- Threads -----------------------------------------------------------------------------------
 */

typedef struct Worker {
    pthread_t thread;
    const Work *work;
    CUcontext context;
    unsigned part;
    bool *stop; /* atomic; NULL: a few rounds */
    CUresult result;
} Worker;

static inline void *worker_run(void *data)
{
    Worker *worker = data;
    CUresult r = cuCtxSetCurrent(worker->context);

    for (uint32_t i = 0; r == CUDA_SUCCESS; i++) {
        if (worker->stop ? __atomic_load_n(worker->stop, __ATOMIC_RELAXED) : i == 3)
            break;
        r = work_do(worker->work, worker->part, i, CU_STREAM_PER_THREAD);
    }
    worker->result = r;
    return NULL;
}

/* workers_start(), workers_end() - those from @first to before @end; each has a part of the work */
static inline void workers_start(Worker *workers, unsigned first, unsigned end, const Work *w,
                                 CUcontext context, bool *stop)
{
    for (unsigned i = first; i < end; i++) {
        workers[i] = (Worker){.work = w, .context = context, .part = i, .stop = stop};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]), 0);
    }
}

static inline void workers_end(Worker *workers, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].result, CUDA_SUCCESS);
    }
}

#endif

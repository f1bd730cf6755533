/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations in windows, on a CUDA device.
 *
 * The window is registered with the driver (cuda-prepare.h), so kernels work in it over the
 * bus, and copies run at the bus's speed. A job is a number of steps: parts of vectors,
 * or tiles of a matrix product (cuda-matmul.h).
 *
 * - A small job is one kernel in the stream of its priority, like a request.
 * - A large job's steps go through the pipes of its priority's pipeline (cuda-pipeline.h). The
 *   jobs of a pipeline follow each other, since its streams are queues. Requests and small
 *   jobs do not wait for them, since they have another stream.
 *
 * No more than CUDA_SEGMENT_STEPS steps are handed to the driver at once: its queues are
 * finite, and a full one would keep the loop waiting. When these steps have ended, the next
 * ones follow.
 *
 * Vectors are never copied: kernels read and write them in the window. Measured on an
 * H100 (bench/cuda-window.c), a float32 addition of 2^24 elements: 2.8 ms by one kernel,
 * 2.9 in steps of 2^22 through the executor, 3.2 to 3.3 in copied parts of 2^19 in
 * three pipes, 3.7 to 3.9 by copying, computing and copying back. Each element is needed
 * once, a kernel keeps both directions of the bus busy, and nothing waits for a first
 * part to arrive. For sums, which only read, 2.8 to 2.9 ms against 3.0; at every smaller
 * size copies are further behind. Only a result with gaps between its elements makes bad use
 * of the bus (17 ms for every other one of 2^24), but what lies in the gaps is the guest's,
 * and nothing may be copied back over it.
 */
#include "cuda-compute.h"

#include "clock.h"
#include "cuda-await.h"
#include "cuda-matmul.h"
#include "cuda-prepare.h"

#include <assert.h>

/* The most bytes that the operands of a small vector have altogether, with those that strides pass
 * over. */
#define SMALL_BYTES (1u << 20)
/* A step's part of a vector; a kernel works on it for some hundred microseconds. */
#define STEP_ELEMENTS (1u << 22)
/* Elements for each block of a kernel, while there are blocks left */
#define BLOCK_ELEMENTS 512u

/* ---- A part of a vector ------------------------------------------------------------------ */

static bool has_result(const VGPUSubmission *s)
{
    return s->opcode == VGPU_OP_RING_DOT || s->opcode == VGPU_OP_RING_SUM ||
           s->opcode == VGPU_OP_RING_MIN || s->opcode == VGPU_OP_RING_MAX;
}

static uint64_t elements_of_step(const CudaJob *job, uint64_t step)
{
    return cuda_min(STEP_ELEMENTS, job->operation.submission.count - step * STEP_ELEMENTS);
}

static unsigned blocks_for(uint64_t n)
{
    return (unsigned) cuda_min(cuda_divide_up(n, BLOCK_ELEMENTS), KERNEL_BLOCKS_MAX);
}

/* Where a step's blocks report, as the device sees it */
static CUdeviceptr reports_of_step(const Backend *b, unsigned index, uint64_t step)
{
    const CudaJob *job = &b->slots[index].job;

    return b->device_reports + index * sizeof(SlotReports) +
           (step - job->segment) * sizeof((*b->reports)[0]);
}

static CUresult cuda_compute_vector(const Backend *b, unsigned index, uint64_t step,
                                    CUstream stream)
{
    const CudaJob *job = &b->slots[index].job;
    const VGPUSubmission *s = &job->operation.submission;
    uint64_t element = vgpu_ring_type_size(s->type), first = step * STEP_ELEMENTS * element;
    CUdeviceptr window = job->operation.window->device;
    KernelVector v = {
        .a = window + s->a.offset + first * s->a.stride,
        .b = window + s->b.offset + first * s->b.stride,
        .c = window + s->c.offset + first * s->c.stride,
        .sa = s->a.stride,
        .sb = s->b.stride,
        .sc = s->c.stride,
        .n = elements_of_step(job, step),
        .scalar = s->scalar,
        .reports = reports_of_step(b, index, step),
    };

    return cuda_kernels_vector(&b->kernels, s, &v, blocks_for(v.n), stream);
}

static unsigned blocks_of_step(const CudaJob *job, uint64_t step)
{
    return job->operation.submission.opcode == VGPU_OP_RING_MATMUL
               ? job->matmul_blocks
               : blocks_for(elements_of_step(job, step));
}

/* ---- Reports of steps in flight ---------------------------------------------------------- */

/* Those of a direct job, from next_step up to @end: no block has reported yet. */
static void cuda_compute_await(Backend *b, unsigned index, uint64_t end)
{
    CudaJob *job = &b->slots[index].job;

    job->segment = job->reported_step = job->next_step;
    job->end_step = job->next_step;
    job->reported_block = 0;
    for (uint64_t step = job->next_step; step < end; step++)
        for (unsigned i = 0; i < blocks_of_step(job, step); i++)
            b->reports[index][step - job->segment][i].end_ns = 0;
    cuda_await_begin(b, index);
}

bool cuda_compute_has_reported(Backend *b, unsigned index)
{
    CudaJob *job = &b->slots[index].job;

    for (; job->reported_step < job->end_step; job->reported_step++, job->reported_block = 0) {
        const KernelReport *reports = b->reports[index][job->reported_step - job->segment];
        unsigned n = blocks_of_step(job, job->reported_step);

        for (; job->reported_block < n; job->reported_block++)
            if (__atomic_load_n(&reports[job->reported_block].end_ns, __ATOMIC_ACQUIRE) == 0)
                return false;
    }
    return true;
}

/* ---- Steps in flight ---------------------------------------------------------- */

static CUresult cuda_compute_step(Backend *b, unsigned index, uint64_t step, CudaPipe *pipe)
{
    CudaJob *job = &b->slots[index].job;
    CUresult r;

    if (!job->direct)
        return cuda_matmul_step(&b->kernels, &b->blas, job, step, pipe);

    r = cuda_compute_vector(b, index, step, pipe->stream);
    if (r != CUDA_SUCCESS)
        return r;
    job->end_step = step + 1;
    cuda_await_add(b, index, pipe->stream, &pipe->bell);
    return CUDA_SUCCESS;
}

/* All steps of a tile of c go through the same pipe. */
static unsigned pipe_of_step(const CudaJob *job, uint64_t step)
{
    return (unsigned) (step / job->tiles_k % CUDA_N_PIPES);
}

/* Hands the next steps to the device. They are waited for even when a step could not be handed
 * over: until those before it have ended, they work on the window. */
static void cuda_compute_segment(Backend *b, unsigned index)
{
    CudaJob *job = &b->slots[index].job;
    CudaPipe *pipes = b->streams[job->operation.priority].pipeline.pipes;
    uint64_t end = cuda_min(job->next_step + CUDA_SEGMENT_STEPS, job->n_steps);
    CUstream streams[CUDA_N_PIPES];
    unsigned used = 0, n = 0;

    assert(job->next_step < end);
    if (job->direct)
        cuda_compute_await(b, index, end);
    for (; job->next_step < end && job->error == CUDA_SUCCESS; job->next_step++) {
        unsigned i = pipe_of_step(job, job->next_step);

        used |= 1u << i;
        job->error =
            cuda_device_note(&b->device, cuda_compute_step(b, index, job->next_step, &pipes[i]));
    }

    if (job->direct)
        return;
    for (; used != 0; used &= used - 1)
        streams[n++] = pipes[__builtin_ctz(used)].stream;
    cuda_completion_announce(&b->completion, index, streams, n);
}

/* Takes what the blocks of the steps in flight reported. */
static void cuda_compute_take_reports(Backend *b, unsigned index)
{
    CudaJob *job = &b->slots[index].job;
    const VGPUSubmission *s = &job->operation.submission;

    for (uint64_t step = job->segment; step < job->next_step; step++) {
        const KernelReport *reports = b->reports[index][step - job->segment];
        unsigned n = blocks_of_step(job, step);

        for (unsigned i = 0; i < n; i++) {
            const KernelReport *report = &reports[i];

            if (has_result(s))
                reduction_add(&job->reduction, &(Partial){report->low, report->high});
            job->first_ns = cuda_min(job->first_ns, report->start_ns);
            job->last_ns = job->last_ns > report->end_ns ? job->last_ns : report->end_ns;
        }
    }
}

/* The time of a job that works in the window is what its blocks report. One with copies took
 * from when the pipeline was free for it to when it was seen to have ended. */
static uint32_t exec_time_us(Backend *b, CudaJob *job, uint64_t end_nsec)
{
    CudaPipeline *p = &b->streams[job->operation.priority].pipeline;
    uint64_t start = job->start_nsec > p->end_nsec ? job->start_nsec : p->end_nsec;

    if (job->direct)
        return completion_usec(job->last_ns - job->first_ns);

    p->end_nsec = end_nsec;
    return completion_usec(end_nsec > start ? end_nsec - start : 1);
}

/* ---- Jobs ---------------------------------------------------------------------- */

static void job_plan_vector(CudaJob *job)
{
    const VGPUSubmission *s = &job->operation.submission;

    job->direct = true;
    job->single = vgpu_submission_span(s) <= SMALL_BYTES;
    job->n_steps = cuda_divide_up(s->count, STEP_ELEMENTS);
    job->tiles_k = 1;
}

static void job_plan(CudaJob *job, const Operation *op)
{
    const VGPUSubmission *s = &op->submission;

    *job = (CudaJob){.operation = *op, .first_ns = UINT64_MAX};
    vgpu_submission_shape(s, &job->shape);
    if (s->opcode == VGPU_OP_RING_MATMUL)
        cuda_matmul_plan(job);
    else
        job_plan_vector(job);
    if (has_result(s))
        reduction_begin(&job->reduction, s->opcode, s->type);
}

static CUresult cuda_compute_single(Backend *b, unsigned index)
{
    CudaJob *job = &b->slots[index].job;
    CudaStream *stream = &b->streams[job->operation.priority];
    CUresult r;

    cuda_compute_await(b, index, 1);
    r = job->operation.submission.opcode == VGPU_OP_RING_MATMUL
            ? cuda_matmul_direct(&b->kernels, job, reports_of_step(b, index, 0), stream->handle)
            : cuda_compute_vector(b, index, 0, stream->handle);
    if (r != CUDA_SUCCESS) {
        cuda_await_cancel(b, index);
        return r;
    }

    job->next_step = job->end_step = 1;
    cuda_await_add(b, index, stream->handle, &stream->bell);
    return CUDA_SUCCESS;
}

/* What the job needs of its priority's pipeline */
static CUresult cuda_compute_open(Backend *b, const CudaJob *job)
{
    CudaStream *stream = &b->streams[job->operation.priority];
    const CudaDriver *d = &b->device.driver;
    CUresult r = CUDA_SUCCESS;

    if (!job->single)
        r = cuda_pipeline_open(&stream->pipeline, d, stream->priority);
    if (r == CUDA_SUCCESS && !job->direct)
        r = cuda_pipeline_open_buffers(&stream->pipeline, d);
    return r;
}

/* Returns true when the job has failed already, and @ret says how. */
static bool cuda_compute_begin(Backend *b, unsigned index, Completion *ret)
{
    CudaJob *job = &b->slots[index].job;
    CUresult r = (CUresult) job->operation.window->cuda_result;

    job->start_nsec = now_nsec();
    if (r == CUDA_SUCCESS && job->single)
        r = cuda_compute_single(b, index);
    else if (r == CUDA_SUCCESS)
        cuda_compute_segment(b, index);
    if (r == CUDA_SUCCESS)
        return false;

    *ret = (Completion){
        .slot = index,
        .cuda_result = (uint32_t) cuda_device_note(&b->device, r),
    };
    return true;
}

bool cuda_compute_start(Backend *b, unsigned index, const Operation *op, Completion *ret)
{
    CudaStream *stream = &b->streams[op->priority];
    CudaJob *job = &b->slots[index].job;
    CUresult r;

    job_plan(job, op);
    cuda_line_join(job->single ? &stream->line : &stream->pipeline_line, &b->slots[index].place,
                   op);
    r = cuda_compute_open(b, job);
    if (r != CUDA_SUCCESS) {
        *ret = (Completion){
            .slot = index,
            .cuda_result = (uint32_t) cuda_device_note(&b->device, r),
        };
        return true;
    }

    return cuda_prepare(b, index) ? false : cuda_compute_begin(b, index, ret);
}

bool cuda_compute_collect(Backend *b, unsigned index, Completion *ret)
{
    CudaJob *job = &b->slots[index].job;
    CudaEnd end;
    CUresult r;

    if (job->preparing) {
        cuda_prepare_end(b, index);
        return cuda_compute_begin(b, index, ret);
    }
    end = job->direct ? (CudaEnd){.status = b->slots[index].await.status}
                      : cuda_completion_end(&b->completion, index);
    r = cuda_device_note(&b->device, job->error != CUDA_SUCCESS ? job->error : end.status);
    if (r == CUDA_SUCCESS && job->direct)
        cuda_compute_take_reports(b, index);
    if (r == CUDA_SUCCESS && job->next_step < job->n_steps) {
        cuda_compute_segment(b, index);
        return false;
    }

    *ret = (Completion){.slot = index, .cuda_result = (uint32_t) r};
    if (r == CUDA_SUCCESS)
        ret->exec_time_us = exec_time_us(b, job, end.nsec);
    if (r == CUDA_SUCCESS && has_result(&job->operation.submission))
        ret->result = reduction_end(&job->reduction);
    return true;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The CUDA backend's jobs in windows.
 *
 * Kernels work in a window over the bus, and copies run at the bus's speed: it is
 * registered with the driver (cuda-prepare.c). A job is a number of steps: parts of vectors,
 * or tiles of a matrix product (cuda-matmul.c).
 *
 * - A small job is one kernel in the stream of its priority, like a request, and is
 *   announced with them.
 * - A large job's steps go through the lanes of its priority's pipeline, streams that work
 *   at the same time, so that one's beginning overlaps another one's end. The jobs of
 *   a pipeline follow each other, since its streams are queues. What requests and small
 *   jobs wait for is another stream.
 *
 * No more than SEGMENT_STEPS steps are handed to the driver at once: its queues are
 * finite, and a full one would keep the loop waiting. When they are done, the next
 * ones follow. A callback in each lane that they used says so; the last of them
 * announces the slot.
 *
 * Vectors are never copied: kernels read and write them in the window. Measured on an
 * H100 (bench/cuda-window.c), a float32 addition of 2^24 elements: 2.8 ms by one kernel,
 * 2.9 in steps of 2^22 through the executor, 3.2 to 3.3 in copied parts of 2^19 in
 * three lanes, 3.7 to 3.9 by copying, computing and copying back. Each element is needed
 * once, a kernel keeps both directions of the bus busy, and nothing waits for a first
 * part to arrive. For sums, which only read, 2.8 to 2.9 ms against 3.0; at every smaller
 * size copies are further behind. Only where results have gaps between them the bus is
 * used badly (17 ms for every other one of 2^24), but what lies in the gaps is the
 * guest's and can't be copied back over it.
 */
#include "clock.h"
#include "cuda-backend.h"

#include <stdlib.h>
#include <time.h>

/* A small vector's operands have so many bytes at most, altogether. */
#define SMALL_BYTES (1u << 20)
/* A step's part of a vector; a kernel works on it for some hundred microseconds. */
#define STEP_ELEMENTS (1u << 22)
/* Elements for each block of a kernel, until all blocks have some */
#define BLOCK_ELEMENTS 512u

/* ---- Pipelines ---------------------------------------------------------------------- */

void cuda_pipeline_close(Backend *b, CudaPipeline *p)
{
    for (unsigned i = 0; i < N_LANES; i++) {
        CudaLane *lane = &p->lanes[i];

        if (lane->stream)
            b->driver.stream_synchronize(lane->stream);
        if (lane->blas)
            b->blas.destroy(lane->blas);
        for (unsigned k = 0; k < 3; k++)
            if (lane->buffers[k])
                b->driver.mem_free(lane->buffers[k]);
        if (lane->stream)
            b->driver.stream_destroy(lane->stream);
    }
    *p = (CudaPipeline){0};
}

/* Done with a priority's first large job. */
static CUresult pipeline_open(Backend *b, CudaStream *stream)
{
    CudaPipeline *p = &stream->pipeline;
    CUresult r = CUDA_SUCCESS;

    for (unsigned i = 0; r == CUDA_SUCCESS && i < N_LANES; i++)
        if (!p->lanes[i].stream)
            r = b->driver.stream_create_with_priority(&p->lanes[i].stream, CU_STREAM_NON_BLOCKING,
                                                      stream->priority);

    return r;
}

/* Done with a priority's first large matrix product: who has none needs no memory on the
 * device. */
static CUresult pipeline_open_matmul(Backend *b, CudaPipeline *p)
{
    CUresult r = CUDA_SUCCESS;

    for (unsigned i = 0; r == CUDA_SUCCESS && i < N_LANES; i++)
        for (unsigned k = 0; r == CUDA_SUCCESS && k < 3; k++)
            if (!p->lanes[i].buffers[k])
                r = b->driver.mem_alloc(&p->lanes[i].buffers[k], LANE_BUFFER_BYTES);

    return r;
}

/* ---- A part of a vector ------------------------------------------------------------------ */

static bool has_result(const VGPUSubmission *s)
{
    return s->opcode == VGPU_OP_RING_DOT || s->opcode == VGPU_OP_RING_SUM ||
           s->opcode == VGPU_OP_RING_MIN || s->opcode == VGPU_OP_RING_MAX;
}

static uint64_t elements_of_step(const CudaCompute *job, uint64_t step)
{
    return cuda_min(STEP_ELEMENTS, job->compute.submission.count - step * STEP_ELEMENTS);
}

static unsigned blocks_for(uint64_t n)
{
    return (unsigned) cuda_min(cuda_divide_up(n, BLOCK_ELEMENTS), KERNEL_BLOCKS_MAX);
}

/* Where a step's blocks report, as the device sees it */
static CUdeviceptr reports_of_step(const Backend *b, unsigned index, uint64_t step)
{
    const CudaCompute *job = &b->slots[index].job;

    return b->device_reports + index * sizeof(SlotReports) +
           (step - job->segment) * sizeof((*b->reports)[0]);
}

static CUresult vector_step(Backend *b, unsigned index, uint64_t step, CUstream stream)
{
    const CudaCompute *job = &b->slots[index].job;
    const VGPUSubmission *s = &job->compute.submission;
    uint64_t element = vgpu_ring_type_size(s->type), first = step * STEP_ELEMENTS * element;
    CUdeviceptr window = job->compute.window->device;
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

    return cuda_launch_vector(b, s, &v, blocks_for(v.n), stream);
}

/* ---- Steps in flight
 * ----------------------------------------------------------------------------- */

/* Runs on a thread of the driver, once for each lane; the last one announces the slot. */
static void lane_done(CUstream stream, CUresult status, void *user_data)
{
    CudaCompute *job = user_data;
    Backend *b = job->backend;
    int none = CUDA_SUCCESS;

    (void) stream;

    if (status != CUDA_SUCCESS)
        atomic_compare_exchange_strong(&job->status, &none, status);
    if (atomic_fetch_sub(&job->lanes_pending, 1) > 1)
        return;

    job->end_ns = now_nsec();
    done_add(&b->done, UINT64_C(1) << job->index);
}

static CUresult lane_step(Backend *b, unsigned index, uint64_t step, const CudaLane *lane)
{
    if (b->slots[index].job.compute.submission.opcode == VGPU_OP_RING_MATMUL)
        return cuda_matmul_step(b, index, step, lane);
    return vector_step(b, index, step, lane->stream);
}

/* All steps of a tile of c go through the same lane. */
static unsigned lane_of_step(const CudaCompute *job, uint64_t step)
{
    return (unsigned) (step / job->tiles_k % N_LANES);
}

/* Hands the next steps to the device. Callbacks come even when a step could not be handed
 * over: those before it work on the window until then. */
static void start_segment(Backend *b, unsigned index)
{
    CudaCompute *job = &b->slots[index].job;
    CudaPipeline *p = &b->streams[job->compute.priority].pipeline;
    uint64_t end = cuda_min(job->next_step + SEGMENT_STEPS, job->n_steps);
    unsigned used = 0;

    job->segment = job->next_step;
    for (; job->next_step < end && job->error == CUDA_SUCCESS; job->next_step++) {
        unsigned lane = lane_of_step(job, job->next_step);

        used |= 1u << lane;
        job->error = lane_step(b, index, job->next_step, &p->lanes[lane]);
        cuda_note(b, job->error);
    }

    atomic_store(&job->status, CUDA_SUCCESS);
    atomic_store(&job->lanes_pending, (unsigned) __builtin_popcount(used));
    for (; used != 0; used &= used - 1) {
        CUstream stream = p->lanes[__builtin_ctz(used)].stream;
        CUresult r = b->driver.stream_add_callback(stream, lane_done, job, 0);

        cuda_note(b, r);
        if (r == CUDA_SUCCESS || cuda_error_is_sticky(r))
            continue;
        /* Nobody would say when the lane is done: wait for it here. */
        lane_done(stream, b->driver.stream_synchronize(stream), job);
    }
}

/* What blocks reported, of the steps in flight */
static void take_reports(Backend *b, unsigned index)
{
    CudaCompute *job = &b->slots[index].job;
    const VGPUSubmission *s = &job->compute.submission;

    for (uint64_t step = job->segment; step < job->next_step; step++) {
        const KernelReport *reports = b->reports[index][step - job->segment];
        unsigned n = s->opcode == VGPU_OP_RING_MATMUL ? job->matmul_blocks
                                                      : blocks_for(elements_of_step(job, step));

        for (unsigned i = 0; i < n; i++) {
            const KernelReport *report = &reports[i];

            if (has_result(s))
                reduction_add(&job->reduction, &(Partial){report->low, report->high});
            job->first_ns = cuda_min(job->first_ns, report->start_ns);
            job->last_ns = job->last_ns > report->end_ns ? job->last_ns : report->end_ns;
        }
    }
}

/* What works in the window took as long as its blocks say. With copies, it is from when the
 * pipeline was free for the job to when the job was seen to be done. */
static uint32_t exec_time_us(Backend *b, CudaCompute *job)
{
    CudaPipeline *p = &b->streams[job->compute.priority].pipeline;
    uint64_t start = job->start_ns > p->end_ns ? job->start_ns : p->end_ns;

    if (job->direct)
        return cuda_ns_to_us(job->last_ns - job->first_ns);

    p->end_ns = job->end_ns;
    return cuda_ns_to_us(job->end_ns > start ? job->end_ns - start : 1);
}

/* ---- Jobs
 * ------------------------------------------------------------------------------------------ */

static void plan_vector(CudaCompute *job)
{
    const VGPUSubmission *s = &job->compute.submission;
    uint64_t operands = 1u + job->shape.has_b + job->shape.has_c;

    job->direct = true;
    job->single = s->count <= SMALL_BYTES / (operands * vgpu_ring_type_size(s->type));
    job->n_steps = cuda_divide_up(s->count, STEP_ELEMENTS);
    job->tiles_k = 1;
}

static void plan(Backend *b, unsigned index, const Compute *compute)
{
    CudaCompute *job = &b->slots[index].job;

    *job = (CudaCompute){
        .backend = b,
        .index = index,
        .compute = *compute,
        .first_ns = UINT64_MAX,
    };
    vgpu_submission_shape(&compute->submission, &job->shape);
    if (compute->submission.opcode == VGPU_OP_RING_MATMUL)
        cuda_matmul_plan(job);
    else
        plan_vector(job);
    if (has_result(&compute->submission))
        reduction_begin(&job->reduction, compute->submission.opcode, compute->submission.type);
}

static CUresult start_single(Backend *b, unsigned index)
{
    CudaCompute *job = &b->slots[index].job;
    CudaStream *stream = &b->streams[job->compute.priority];
    CUresult r = job->compute.submission.opcode == VGPU_OP_RING_MATMUL
                     ? cuda_matmul_direct(b, index, reports_of_step(b, index, 0), stream->handle)
                     : vector_step(b, index, 0, stream->handle);

    if (r != CUDA_SUCCESS)
        return r;

    job->next_step = 1;
    stream->unannounced |= UINT64_C(1) << index;
    return CUDA_SUCCESS;
}

/* What it needs of its priority */
static CUresult open_for(Backend *b, const CudaCompute *job)
{
    CudaStream *stream = &b->streams[job->compute.priority];
    CUresult r = job->single ? CUDA_SUCCESS : pipeline_open(b, stream);

    if (r == CUDA_SUCCESS && !job->direct)
        r = pipeline_open_matmul(b, &stream->pipeline);
    return r;
}

/* Returns whether it has failed, and @ret says how. */
static bool start(Backend *b, unsigned index, Completion *ret)
{
    CudaCompute *job = &b->slots[index].job;
    CUresult r = (CUresult) job->compute.window->cuda_result;

    job->start_ns = now_nsec();
    if (r == CUDA_SUCCESS && job->single)
        r = start_single(b, index);
    else if (r == CUDA_SUCCESS)
        start_segment(b, index);
    if (r == CUDA_SUCCESS)
        return false;

    *ret = (Completion){.slot = index, .cuda_result = cuda_note(b, r)};
    return true;
}

bool cuda_compute(Backend *b, unsigned index, const Compute *compute, Completion *ret)
{
    CudaCompute *job = &b->slots[index].job;
    CUresult r;

    b->slots[index].in_window = true;
    b->slots[index].batch = NULL; /* until it is in one */
    plan(b, index, compute);
    r = open_for(b, job);
    if (r != CUDA_SUCCESS) {
        *ret = (Completion){.slot = index, .cuda_result = cuda_note(b, r)};
        return true;
    }

    return cuda_prepare(b, index) ? false : start(b, index, ret);
}

bool cuda_compute_collect(Backend *b, unsigned index, CUresult status, Completion *ret)
{
    CudaCompute *job = &b->slots[index].job;
    uint32_t r;

    if (job->preparing) {
        cuda_prepare_end(b, index);
        return start(b, index, ret);
    }
    if (!job->single)
        status = job->error != CUDA_SUCCESS ? job->error : atomic_load(&job->status);
    r = cuda_note(b, status);
    if (r == 0 && job->direct)
        take_reports(b, index);
    if (r == 0 && job->next_step < job->n_steps) {
        start_segment(b, index);
        return false;
    }

    *ret = (Completion){
        .slot = index,
        .cuda_result = r,
        .exec_time_us = r == 0 ? exec_time_us(b, job) : 0,
    };
    if (r == 0 && has_result(&job->compute.submission))
        ret->result = reduction_end(&job->reduction);
    return true;
}

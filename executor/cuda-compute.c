/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The CUDA backend's jobs in windows.
 *
 * A window is registered with the driver once, so that the device copies from and
 * to it at the bus's speed and kernels can work in it. A job is a number of steps:
 * parts of vectors, or tiles of a matrix product.
 *
 * - A small job is one kernel that works in the window, in the stream of its
 *   priority like a request; it is announced with them. So are the steps of
 *   vectors with gaps, whatever their size: what lies between the elements is
 *   the guest's, and can't be copied back over it.
 * - A large job's steps go through the lanes of its priority's pipeline. Each lane
 *   copies in, computes and copies out in its own stream and buffers; so the lanes
 *   together keep both directions of the bus and the kernels busy. The jobs of a
 *   pipeline follow each other, since its streams are queues. What requests wait
 *   for is another stream.
 *
 * No more than SEGMENT_STEPS steps are handed to the driver at once: its queues are
 * finite, and a full one would keep the loop waiting. When they are done, the next
 * ones follow. A callback in each lane that they used says so; the last of them
 * announces the slot.
 */
#include "cuda-backend.h"

#include <stdlib.h>
#include <time.h>

/* A small job's operands have so many bytes at most, altogether. */
#define DIRECT_BYTES (256u << 10)
/* A part of a vector, of one that is copied and of one that is not */
#define COPIED_BYTES (2u << 20)
#define DIRECT_ELEMENTS (1u << 18)
/* Elements for each block of a kernel, until all blocks have some */
#define BLOCK_ELEMENTS 1024u

/* Of a matrix product that is computed in the window: columns of a */
#define DIRECT_DEPTH 256u
/* A tile's rows and columns at most; a tile of a, of b and of c fills a lane's buffer. */
#define TILE_FLOAT32 2048u
#define TILE_FLOAT64 1408u
#define LANE_BUFFER_BYTES (16u << 20)

static_assert(TILE_FLOAT32 * TILE_FLOAT32 * sizeof(float) <= LANE_BUFFER_BYTES, "fits");
static_assert(TILE_FLOAT64 * TILE_FLOAT64 * sizeof(double) <= LANE_BUFFER_BYTES, "fits");
static_assert(COPIED_BYTES <= LANE_BUFFER_BYTES, "fits");

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

/* ---- Kernels ------------------------------------------------------------------- */

CUresult cuda_kernels_load(Backend *b, const char **ret_name)
{
    CudaKernels *k = &b->ring_kernels;
    const struct {
        CUfunction *function;
        const char *name;
    } kernels[] = {
#define OF(type, suffix, name) {&k->name[type], "vgpu_ring_" #name "_" #suffix}
#define OF_FLOATING_TYPES(name) \
    OF(VGPU_TYPE_FLOAT32, float32, name), OF(VGPU_TYPE_FLOAT64, float64, name)
#define OF_EVERY_TYPE(name) \
    OF(VGPU_TYPE_INT32, int32, name), OF(VGPU_TYPE_INT64, int64, name), OF_FLOATING_TYPES(name)
        OF_EVERY_TYPE(add), OF_EVERY_TYPE(mul),      OF_FLOATING_TYPES(axpy),   OF_EVERY_TYPE(dot),
        OF_EVERY_TYPE(sum), OF_EVERY_TYPE(extremes), OF_FLOATING_TYPES(matmul),
#undef OF_EVERY_TYPE
#undef OF_FLOATING_TYPES
#undef OF
    };
    CUresult r = CUDA_SUCCESS;

    for (size_t i = 0; r == CUDA_SUCCESS && i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        *ret_name = kernels[i].name;
        r = b->driver.module_get_function(kernels[i].function, b->module, kernels[i].name);
    }

    return r;
}

static CUfunction kernel_of(const Backend *b, const VGPUSubmission *s)
{
    const CudaKernels *k = &b->ring_kernels;

    switch (s->opcode) {
    case VGPU_OP_RING_ADD:
        return k->add[s->type];
    case VGPU_OP_RING_MUL:
        return k->mul[s->type];
    case VGPU_OP_RING_AXPY:
        return k->axpy[s->type];
    case VGPU_OP_RING_DOT:
        return k->dot[s->type];
    case VGPU_OP_RING_SUM:
        return k->sum[s->type];
    case VGPU_OP_RING_MATMUL:
        return k->matmul[s->type];
    default: /* MIN and MAX */
        return k->extremes[s->type];
    }
}

/* ---- Windows ---------------------------------------------------------------------- */

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

/* Registering pins every page of the window, and so makes those that nobody has touched
 * yet. It takes the loop's time, but once in a window's life. */
static CUresult register_window(Backend *b, Window *window)
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

void cuda_window_add(Backend *b, Window *window)
{
    CUresult r = b->reports ? CUDA_SUCCESS : open_reports(b);

    if (r == CUDA_SUCCESS)
        r = register_window(b, window);
    window->cuda_result = cuda_note(b, r);
}

void cuda_window_remove(Backend *b, Window *window)
{
    if (window->cuda_result == 0)
        cuda_note(b, b->driver.mem_host_unregister(window->memory));
}

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

/* Done with a priority's first large job: who has none needs no memory on the device. */
static CUresult pipeline_open(Backend *b, CudaStream *stream)
{
    CudaPipeline *p = &stream->pipeline;
    CUresult r = CUDA_SUCCESS;

    if (p->is_open)
        return CUDA_SUCCESS;

    for (unsigned i = 0; r == CUDA_SUCCESS && i < N_LANES; i++) {
        CudaLane *lane = &p->lanes[i];

        r = b->driver.stream_create_with_priority(&lane->stream, CU_STREAM_NON_BLOCKING,
                                                  stream->priority);
        for (unsigned k = 0; r == CUDA_SUCCESS && k < 3; k++)
            r = b->driver.mem_alloc(&lane->buffers[k], LANE_BUFFER_BYTES);
    }
    if (r != CUDA_SUCCESS) {
        cuda_pipeline_close(b, p);
        return r;
    }

    p->is_open = true;
    return CUDA_SUCCESS;
}

/* Done with a priority's first large matrix product. Loading cuBLAS takes the loop's
 * time, once. */
static void pipeline_open_blas(Backend *b, CudaPipeline *p)
{
    if (p->blas_is_open)
        return;

    p->blas_is_open = true;
    if (!b->blas.library)
        cuda_blas_open(&b->blas);
    for (unsigned i = 0; i < N_LANES; i++)
        p->lanes[i].blas = cuda_blas_new(&b->blas, p->lanes[i].stream);
}

/* ---- A part of a vector ------------------------------------------------------------------ */

static bool has_result(const VGPUSubmission *s)
{
    return s->opcode == VGPU_OP_RING_DOT || s->opcode == VGPU_OP_RING_SUM ||
           s->opcode == VGPU_OP_RING_MIN || s->opcode == VGPU_OP_RING_MAX;
}

static uint64_t step_elements(const CudaCompute *job)
{
    return job->direct ? DIRECT_ELEMENTS
                       : COPIED_BYTES / vgpu_ring_type_size(job->compute.submission.type);
}

static uint64_t elements_of_step(const CudaCompute *job, uint64_t step)
{
    return min64(step_elements(job), job->compute.submission.count - step * step_elements(job));
}

static unsigned blocks_for(uint64_t n)
{
    return (unsigned) min64(divide_up(n, BLOCK_ELEMENTS), KERNEL_BLOCKS_MAX);
}

/* Where a step's blocks report, as the device sees it */
static CUdeviceptr reports_of_step(const Backend *b, unsigned index, uint64_t step)
{
    const CudaCompute *job = &b->slots[index].job;

    return b->device_reports + index * sizeof(SlotReports) +
           (step - job->segment) * sizeof((*b->reports)[0]);
}

static CUresult launch(Backend *b, CUfunction kernel, unsigned grid_x, unsigned grid_y,
                       CUstream stream, void *argument)
{
    void *params[] = {argument};

    return b->driver.launch_kernel(kernel, grid_x, grid_y, 1, KERNEL_THREADS, 1, 1, 0, stream,
                                   params, NULL);
}

static CUresult launch_vector(Backend *b, const VGPUSubmission *s, KernelVector *v, CUstream stream)
{
    return launch(b, kernel_of(b, s), blocks_for(v->n), 1, stream, v);
}

static CUresult direct_vector(Backend *b, unsigned index, uint64_t step, CUstream stream)
{
    const CudaCompute *job = &b->slots[index].job;
    const VGPUSubmission *s = &job->compute.submission;
    uint64_t element = vgpu_ring_type_size(s->type), first = step * step_elements(job) * element;
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

    return launch_vector(b, s, &v, stream);
}

static CUresult copied_vector(Backend *b, unsigned index, uint64_t step, const CudaLane *lane)
{
    const CudaCompute *job = &b->slots[index].job;
    const VGPUSubmission *s = &job->compute.submission;
    uint64_t element = vgpu_ring_type_size(s->type), first = step * COPIED_BYTES;
    uint64_t n = elements_of_step(job, step);
    bool b_is_a = job->shape.has_b && s->b.offset == s->a.offset;
    unsigned char *memory = job->compute.window->memory;
    KernelVector v = {
        .a = lane->buffers[0],
        .b = lane->buffers[b_is_a ? 0 : 1],
        .c = lane->buffers[2],
        .sa = 1,
        .sb = 1,
        .sc = 1,
        .n = n,
        .scalar = s->scalar,
        .reports = has_result(s) ? reports_of_step(b, index, step) : 0,
    };
    CUresult r;

    r = b->driver.memcpy_h_to_d_async(lane->buffers[0], memory + s->a.offset + first, n * element,
                                      lane->stream);
    if (r == CUDA_SUCCESS && job->shape.has_b && !b_is_a)
        r = b->driver.memcpy_h_to_d_async(lane->buffers[1], memory + s->b.offset + first,
                                          n * element, lane->stream);
    if (r == CUDA_SUCCESS)
        r = launch_vector(b, s, &v, lane->stream);
    if (r == CUDA_SUCCESS && job->shape.has_c)
        r = b->driver.memcpy_d_to_h_async(memory + s->c.offset + first, lane->buffers[2],
                                          n * element, lane->stream);
    return r;
}

/* ---- A tile of a matrix product ------------------------------------------------------------- */

static uint32_t tile_side(const VGPUSubmission *s)
{
    return s->type == VGPU_TYPE_FLOAT32 ? TILE_FLOAT32 : TILE_FLOAT64;
}

static CUresult launch_matmul(Backend *b, const VGPUSubmission *s, KernelMatmul *p, CUstream stream)
{
    return launch(b, kernel_of(b, s), (unsigned) divide_up(p->n, KERNEL_TILE),
                  (unsigned) divide_up(p->m, KERNEL_TILE), stream, p);
}

static CUresult direct_matmul(Backend *b, unsigned index, CUstream stream)
{
    const CudaCompute *job = &b->slots[index].job;
    const VGPUSubmission *s = &job->compute.submission;
    CUdeviceptr window = job->compute.window->device;
    KernelMatmul p = {
        .a = window + s->a.offset,
        .b = window + s->b.offset,
        .c = window + s->c.offset,
        .lda = s->a.stride,
        .ldb = s->b.stride,
        .ldc = s->c.stride,
        .m = (uint32_t) s->count,
        .n = s->n,
        .k = s->k,
        .reports = reports_of_step(b, index, 0),
    };

    return launch_matmul(b, s, &p, stream);
}

/* Rows of a matrix in a window, and the same without gaps on the device */
typedef struct Rows {
    unsigned char *host;
    uint64_t pitch; /* bytes from row to row in the window */
    CUdeviceptr device;
    uint64_t width, height; /* bytes, rows */
} Rows;

static Rows rows_of(const CudaCompute *job, const VGPUOperand *o, CUdeviceptr device, uint64_t row,
                    uint64_t column, uint64_t rows, uint64_t columns)
{
    uint64_t element = vgpu_ring_type_size(job->compute.submission.type);

    return (Rows){
        .host = job->compute.window->memory + o->offset + (row * o->stride + column) * element,
        .pitch = o->stride * element,
        .device = device,
        .width = columns * element,
        .height = rows,
    };
}

static CUresult copy_row_by_row(Backend *b, const Rows *rows, bool in, CUstream stream)
{
    CUresult r = CUDA_SUCCESS;

    for (uint64_t i = 0; r == CUDA_SUCCESS && i < rows->height; i++) {
        unsigned char *host = rows->host + i * rows->pitch;
        CUdeviceptr device = rows->device + i * rows->width;

        r = in ? b->driver.memcpy_h_to_d_async(device, host, rows->width, stream)
               : b->driver.memcpy_d_to_h_async(host, device, rows->width, stream);
    }

    return r;
}

static CUresult copy_rows(Backend *b, const Rows *rows, bool in, CUstream stream)
{
    CudaCopy2D copy = {
        .width_bytes = rows->width,
        .height = rows->height,
    };

    /* The driver has a limit, and one row has no pitch. */
    if (rows->pitch > CUDA_PITCH_MAX || rows->height == 1)
        return copy_row_by_row(b, rows, in, stream);

    if (in) {
        copy.src_type = CU_MEMORYTYPE_HOST;
        copy.src_host = rows->host;
        copy.src_pitch = rows->pitch;
        copy.dst_type = CU_MEMORYTYPE_DEVICE;
        copy.dst_device = rows->device;
        copy.dst_pitch = rows->width;
    } else {
        copy.src_type = CU_MEMORYTYPE_DEVICE;
        copy.src_device = rows->device;
        copy.src_pitch = rows->width;
        copy.dst_type = CU_MEMORYTYPE_HOST;
        copy.dst_host = rows->host;
        copy.dst_pitch = rows->pitch;
    }
    return b->driver.memcpy_2d_async(&copy, stream);
}

/* The tile's product, by cuBLAS where it is, added to what the tiles before it gave. */
static CUresult multiply(Backend *b, const VGPUSubmission *s, const CudaLane *lane, uint32_t m,
                         uint32_t n, uint32_t k, bool accumulate)
{
    KernelMatmul p = {
        .a = lane->buffers[0],
        .b = lane->buffers[1],
        .c = lane->buffers[2],
        .lda = k,
        .ldb = n,
        .ldc = n,
        .m = m,
        .n = n,
        .k = k,
        .accumulate = accumulate,
    };

    if (lane->blas && cuda_blas_matmul(&b->blas, lane->blas, vgpu_ring_type_size(s->type), p.a, p.b,
                                       p.c, m, n, k, accumulate))
        return CUDA_SUCCESS;

    return launch_matmul(b, s, &p, lane->stream);
}

/* Steps go through k innermost, so that a tile of c stays in its lane's buffer. */
static CUresult copied_matmul(Backend *b, unsigned index, uint64_t step, const CudaLane *lane)
{
    const CudaCompute *job = &b->slots[index].job;
    const VGPUSubmission *s = &job->compute.submission;
    uint64_t side = tile_side(s), tile = step / job->tiles_k;
    uint64_t row = tile / job->tiles_n * side, column = tile % job->tiles_n * side;
    uint64_t depth = step % job->tiles_k * side;
    uint64_t m = min64(side, s->count - row), n = min64(side, s->n - column);
    uint64_t k = min64(side, s->k - depth);
    Rows ra = rows_of(job, &s->a, lane->buffers[0], row, depth, m, k);
    Rows rb = rows_of(job, &s->b, lane->buffers[1], depth, column, k, n);
    Rows rc = rows_of(job, &s->c, lane->buffers[2], row, column, m, n);
    CUresult r;

    r = copy_rows(b, &ra, true, lane->stream);
    if (r == CUDA_SUCCESS)
        r = copy_rows(b, &rb, true, lane->stream);
    if (r == CUDA_SUCCESS)
        r = multiply(b, s, lane, (uint32_t) m, (uint32_t) n, (uint32_t) k, depth > 0);
    if (r == CUDA_SUCCESS && depth + k == s->k)
        r = copy_rows(b, &rc, false, lane->stream);
    return r;
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

    job->end_ns = now_ns();
    done_add(&b->done, UINT64_C(1) << job->index);
}

static CUresult lane_step(Backend *b, unsigned index, uint64_t step, const CudaLane *lane)
{
    const CudaCompute *job = &b->slots[index].job;

    if (job->direct)
        return direct_vector(b, index, step, lane->stream);
    if (job->compute.submission.opcode == VGPU_OP_RING_MATMUL)
        return copied_matmul(b, index, step, lane);
    return copied_vector(b, index, step, lane);
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
    uint64_t end = min64(job->next_step + SEGMENT_STEPS, job->n_steps);
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
            job->first_ns = min64(job->first_ns, report->start_ns);
            job->last_ns = job->last_ns > report->end_ns ? job->last_ns : report->end_ns;
        }
    }
}

/* One step took as long as its blocks say. More took from when their pipeline was free
 * for them to when they were seen to be done: so copies count. */
static uint32_t exec_time_us(Backend *b, CudaCompute *job)
{
    CudaPipeline *p = &b->streams[job->compute.priority].pipeline;
    uint64_t start = job->start_ns > p->end_ns ? job->start_ns : p->end_ns;

    if (job->single)
        return cuda_ns_to_us(job->last_ns - job->first_ns);

    p->end_ns = job->end_ns;
    return cuda_ns_to_us(job->end_ns > start ? job->end_ns - start : 1);
}

bool cuda_compute_collect(Backend *b, unsigned index, CUresult status, Completion *ret)
{
    CudaCompute *job = &b->slots[index].job;
    uint32_t r;

    if (!job->single)
        status = job->error != CUDA_SUCCESS ? job->error : atomic_load(&job->status);
    r = cuda_note(b, status);
    if (r == 0 && (job->direct || has_result(&job->compute.submission)))
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

/* ---- Jobs
 * ------------------------------------------------------------------------------------------ */

static void plan_vector(CudaCompute *job)
{
    const VGPUSubmission *s = &job->compute.submission;
    uint64_t operands = 1u + job->shape.has_b + job->shape.has_c, bytes;
    bool gaps = s->a.stride != 1 || (job->shape.has_b && s->b.stride != 1) ||
                (job->shape.has_c && s->c.stride != 1);

    job->direct =
        gaps || s->count == 1 ||
        (!__builtin_mul_overflow(s->count, operands * vgpu_ring_type_size(s->type), &bytes) &&
         bytes <= DIRECT_BYTES);
    job->n_steps = divide_up(s->count, step_elements(job));
    job->tiles_k = 1;
}

static void plan_matmul(CudaCompute *job)
{
    const VGPUSubmission *s = &job->compute.submission;
    uint64_t side = tile_side(s), blocks;

    /* Neither product overflows: each factor is below 2^39, by the size of a window. */
    blocks = divide_up(s->count, KERNEL_TILE) * divide_up(s->n, KERNEL_TILE);
    job->direct = s->k <= DIRECT_DEPTH && blocks <= KERNEL_BLOCKS_MAX &&
                  (s->count * s->k + (uint64_t) s->k * s->n + s->count * s->n) *
                          vgpu_ring_type_size(s->type) <=
                      DIRECT_BYTES;
    job->matmul_blocks = (unsigned) min64(blocks, KERNEL_BLOCKS_MAX);
    job->tiles_n = (uint32_t) divide_up(s->n, side);
    job->tiles_k = (uint32_t) divide_up(s->k, side);
    job->n_steps = job->direct ? 1 : divide_up(s->count, side) * job->tiles_n * job->tiles_k;
}

static void plan(Backend *b, unsigned index, const Compute *compute)
{
    CudaCompute *job = &b->slots[index].job;

    *job = (CudaCompute){
        .backend = b,
        .index = index,
        .compute = *compute,
        .first_ns = UINT64_MAX,
        .start_ns = now_ns(),
    };
    vgpu_submission_shape(&compute->submission, &job->shape);
    if (compute->submission.opcode == VGPU_OP_RING_MATMUL)
        plan_matmul(job);
    else
        plan_vector(job);
    job->single = job->direct && job->n_steps == 1;
    if (has_result(&compute->submission))
        reduction_begin(&job->reduction, compute->submission.opcode, compute->submission.type);
}

static CUresult start_single(Backend *b, unsigned index)
{
    CudaCompute *job = &b->slots[index].job;
    CudaStream *stream = &b->streams[job->compute.priority];
    CUresult r = job->compute.submission.opcode == VGPU_OP_RING_MATMUL
                     ? direct_matmul(b, index, stream->handle)
                     : direct_vector(b, index, 0, stream->handle);

    if (r != CUDA_SUCCESS)
        return r;

    job->next_step = 1;
    stream->unannounced |= UINT64_C(1) << index;
    return CUDA_SUCCESS;
}

static CUresult start_pipelined(Backend *b, unsigned index)
{
    const CudaCompute *job = &b->slots[index].job;
    CudaStream *stream = &b->streams[job->compute.priority];
    CUresult r = pipeline_open(b, stream);

    if (r != CUDA_SUCCESS)
        return r;

    if (job->compute.submission.opcode == VGPU_OP_RING_MATMUL)
        pipeline_open_blas(b, &stream->pipeline);
    start_segment(b, index);
    return CUDA_SUCCESS;
}

bool cuda_compute(Backend *b, unsigned index, const Compute *compute, Completion *ret)
{
    CUresult r = (CUresult) compute->window->cuda_result;

    if (r == CUDA_SUCCESS) {
        b->slots[index].in_window = true;
        plan(b, index, compute);
        r = b->slots[index].job.single ? start_single(b, index) : start_pipelined(b, index);
    }
    if (r == CUDA_SUCCESS)
        return false;

    *ret = (Completion){.slot = index, .cuda_result = cuda_note(b, r)};
    return true;
}

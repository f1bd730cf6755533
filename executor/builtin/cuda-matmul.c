/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-matmul.h"

/* The largest product that is computed in the window: columns of a, and bytes altogether */
#define DIRECT_DEPTH 256u
#define DIRECT_BYTES (256u << 10)
/* The most rows and columns of a tile. A tile of a, of b and of c each fills a pipe's buffer. */
#define TILE_FLOAT32 2048u
#define TILE_FLOAT64 1408u

static_assert(TILE_FLOAT32 * TILE_FLOAT32 * sizeof(float) <= CUDA_PIPE_BUFFER_BYTES, "fits");
static_assert(TILE_FLOAT64 * TILE_FLOAT64 * sizeof(double) <= CUDA_PIPE_BUFFER_BYTES, "fits");

static uint32_t tile_side(const VGPUSubmission *s)
{
    return s->type == VGPU_TYPE_FLOAT32 ? TILE_FLOAT32 : TILE_FLOAT64;
}

void cuda_matmul_plan(CudaJob *job)
{
    const VGPUSubmission *s = &job->operation.submission;
    uint64_t side = tile_side(s), blocks;

    /* Neither product overflows: each factor is below 2^39, by the size of a window. */
    blocks = cuda_divide_up(s->count, KERNEL_TILE) * cuda_divide_up(s->n, KERNEL_TILE);
    job->direct = s->k <= DIRECT_DEPTH && blocks <= KERNEL_BLOCKS_MAX &&
                  (s->count * s->k + (uint64_t) s->k * s->n + s->count * s->n) *
                          vgpu_ring_type_size(s->type) <=
                      DIRECT_BYTES;
    job->single = job->direct;
    job->matmul_blocks = (unsigned) cuda_min(blocks, KERNEL_BLOCKS_MAX);
    job->tiles_n = (uint32_t) cuda_divide_up(s->n, side);
    job->tiles_k = (uint32_t) cuda_divide_up(s->k, side);
    job->n_steps = job->direct ? 1 : cuda_divide_up(s->count, side) * job->tiles_n * job->tiles_k;
}

CUresult cuda_matmul_direct(const CudaKernels *kernels, const CudaJob *job, CUdeviceptr reports,
                            CUstream stream)
{
    const VGPUSubmission *s = &job->operation.submission;
    CUdeviceptr window = job->operation.window->device;
    KernelMatmul argument = {
        .a = window + s->a.offset,
        .b = window + s->b.offset,
        .c = window + s->c.offset,
        .lda = s->a.stride,
        .ldb = s->b.stride,
        .ldc = s->c.stride,
        .m = (uint32_t) s->count,
        .n = s->n,
        .k = s->k,
        .reports = reports,
    };

    return cuda_kernels_matmul(kernels, s, &argument, stream);
}

/* Rows of a matrix in a window, and the same without gaps on the device */
typedef struct Rows {
    unsigned char *host;
    uint64_t pitch; /* bytes from row to row in the window */
    CUdeviceptr device;
    uint64_t width, height; /* bytes, rows */
} Rows;

static Rows rows_of(const CudaJob *job, const VGPUOperand *o, CUdeviceptr device, uint64_t row,
                    uint64_t column, uint64_t rows, uint64_t columns)
{
    uint64_t element = vgpu_ring_type_size(job->operation.submission.type);

    return (Rows){
        .host = job->operation.window->memory + o->offset + (row * o->stride + column) * element,
        .pitch = o->stride * element,
        .device = device,
        .width = columns * element,
        .height = rows,
    };
}

static CUresult rows_copy_one_by_one(const CudaDriver *d, const Rows *rows, bool in,
                                     CUstream stream)
{
    CUresult r = CUDA_SUCCESS;

    for (uint64_t i = 0; r == CUDA_SUCCESS && i < rows->height; i++) {
        unsigned char *host = rows->host + i * rows->pitch;
        CUdeviceptr device = rows->device + i * rows->width;

        r = in ? d->memcpy_h_to_d_async(device, host, rows->width, stream)
               : d->memcpy_d_to_h_async(host, device, rows->width, stream);
    }

    return r;
}

/* Into the device or out of it */
static CUresult rows_copy(const CudaDriver *d, const Rows *rows, bool in, CUstream stream)
{
    CudaCopy2D copy = {
        .width_bytes = rows->width,
        .height = rows->height,
    };

    /* The driver limits the pitch, and a single row has none. */
    if (rows->pitch > CUDA_PITCH_MAX || rows->height == 1)
        return rows_copy_one_by_one(d, rows, in, stream);

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
    return d->memcpy_2d_async(&copy, stream);
}

/* The tile's product is added to what the tiles before it gave. cuBLAS computes it, if it
 * works. */
static CUresult cuda_matmul_tile(const CudaKernels *kernels, const CudaBlas *blas,
                                 const VGPUSubmission *s, const CudaPipe *pipe, uint32_t m,
                                 uint32_t n, uint32_t k, bool accumulate)
{
    KernelMatmul argument = {
        .a = pipe->buffers[0],
        .b = pipe->buffers[1],
        .c = pipe->buffers[2],
        .lda = k,
        .ldb = n,
        .ldc = n,
        .m = m,
        .n = n,
        .k = k,
        .accumulate = accumulate,
    };

    if (pipe->blas && cuda_blas_matmul(blas, pipe->blas, vgpu_ring_type_size(s->type), argument.a,
                                       argument.b, argument.c, m, n, k, accumulate))
        return CUDA_SUCCESS;

    return cuda_kernels_matmul(kernels, s, &argument, pipe->stream);
}

/* Steps go through k innermost, so that a tile of c stays in its pipe's buffer. */
CUresult cuda_matmul_step(const CudaKernels *kernels, const CudaBlas *blas, const CudaJob *job,
                          uint64_t step, const CudaPipe *pipe)
{
    const CudaDriver *d = &kernels->device->driver;
    const VGPUSubmission *s = &job->operation.submission;
    uint64_t side = tile_side(s), tile = step / job->tiles_k;
    uint64_t row = tile / job->tiles_n * side, column = tile % job->tiles_n * side;
    uint64_t depth = step % job->tiles_k * side;
    uint64_t m = cuda_min(side, s->count - row), n = cuda_min(side, s->n - column);
    uint64_t k = cuda_min(side, s->k - depth);
    Rows ra = rows_of(job, &s->a, pipe->buffers[0], row, depth, m, k);
    Rows rb = rows_of(job, &s->b, pipe->buffers[1], depth, column, k, n);
    Rows rc = rows_of(job, &s->c, pipe->buffers[2], row, column, m, n);
    CUresult r;

    r = rows_copy(d, &ra, true, pipe->stream);
    if (r == CUDA_SUCCESS)
        r = rows_copy(d, &rb, true, pipe->stream);
    if (r == CUDA_SUCCESS)
        r = cuda_matmul_tile(kernels, blas, s, pipe, (uint32_t) m, (uint32_t) n, (uint32_t) k,
                             depth > 0);
    if (r == CUDA_SUCCESS && depth + k == s->k)
        r = rows_copy(d, &rc, false, pipe->stream);
    return r;
}

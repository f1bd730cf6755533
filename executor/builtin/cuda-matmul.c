/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Matrix products of the CUDA backend. Each element of an operand is needed many
 * times, so a large product is cut into tiles, which are copied to the device and
 * back. A step is one tile of a times one of b.
 */
#include "cuda-backend.h"

/* Of a product that is computed in the window: columns of a, and bytes altogether */
#define DIRECT_DEPTH 256u
#define DIRECT_BYTES (256u << 10)
/* A tile's rows and columns at most; a tile of a, of b and of c fills a lane's buffer. */
#define TILE_FLOAT32 2048u
#define TILE_FLOAT64 1408u

static_assert(TILE_FLOAT32 * TILE_FLOAT32 * sizeof(float) <= LANE_BUFFER_BYTES, "fits");
static_assert(TILE_FLOAT64 * TILE_FLOAT64 * sizeof(double) <= LANE_BUFFER_BYTES, "fits");

static uint32_t tile_side(const VGPUSubmission *s)
{
    return s->type == VGPU_TYPE_FLOAT32 ? TILE_FLOAT32 : TILE_FLOAT64;
}

void cuda_matmul_plan(CudaCompute *job)
{
    const VGPUSubmission *s = &job->compute.submission;
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

CUresult cuda_matmul_direct(Backend *b, unsigned index, CUdeviceptr reports, CUstream stream)
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
        .reports = reports,
    };

    return cuda_launch_matmul(b, s, &p, stream);
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

    return cuda_launch_matmul(b, s, &p, lane->stream);
}

/* Steps go through k innermost, so that a tile of c stays in its lane's buffer. */
CUresult cuda_matmul_step(Backend *b, unsigned index, uint64_t step, const CudaLane *lane)
{
    const CudaCompute *job = &b->slots[index].job;
    const VGPUSubmission *s = &job->compute.submission;
    uint64_t side = tile_side(s), tile = step / job->tiles_k;
    uint64_t row = tile / job->tiles_n * side, column = tile % job->tiles_n * side;
    uint64_t depth = step % job->tiles_k * side;
    uint64_t m = cuda_min(side, s->count - row), n = cuda_min(side, s->n - column);
    uint64_t k = cuda_min(side, s->k - depth);
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

// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The kernels of windows. Vectors and small matrices lie in a window itself, which is mapped into
// the device. Tiles of large matrices lie in the device's own memory.

#include "kernels.h"

#include <cstdint>

// ---- In a window: element by element ------------------------------------------

namespace
{

__device__ uint64_t device_time_ns()
{
    uint64_t t;

    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}

// What the whole block wrote before the barrier that it came from can be seen before this: by the
// host, too.
__device__ void store_last(uint64_t *to, uint64_t value)
{
    asm volatile("st.release.sys.u64 [%0], %1;" : : "l"(to), "l"(value) : "memory");
}

// The first thread of each block reports how long the block took.
struct Report {
    KernelReport *report;
    uint64_t start;

    __device__ explicit Report(uint64_t reports)
        : report(reinterpret_cast<KernelReport *>(reports)), start(device_time_ns())
    {
        if (report)
            report += blockIdx.y * gridDim.x + blockIdx.x;
    }

    __device__ void end(uint64_t low, uint64_t high) const
    {
        __syncthreads();
        if (report && threadIdx.x == 0) {
            uint64_t now = device_time_ns();

            report->start_ns = start;
            report->low = low;
            report->high = high;
            store_last(&report->end_ns, now);
        }
    }
};

// Each operation is rounded by itself, as on the CPU. None is fused with another.
__device__ uint32_t add(uint32_t x, uint32_t y)
{
    return x + y;
}
__device__ uint64_t add(uint64_t x, uint64_t y)
{
    return x + y;
}
__device__ float add(float x, float y)
{
    return __fadd_rn(x, y);
}
__device__ double add(double x, double y)
{
    return __dadd_rn(x, y);
}
__device__ uint32_t mul(uint32_t x, uint32_t y)
{
    return x * y;
}
__device__ uint64_t mul(uint64_t x, uint64_t y)
{
    return x * y;
}
__device__ float mul(float x, float y)
{
    return __fmul_rn(x, y);
}
__device__ double mul(double x, double y)
{
    return __dmul_rn(x, y);
}

// Each thread reads four elements before it writes one: operands may lie in the host's memory,
// which is a microsecond and a half away.
template <typename T, typename Op> __device__ void map(const KernelVector &v, Op op)
{
    constexpr unsigned depth = 4;
    const Report report(v.reports);
    const T *a = reinterpret_cast<const T *>(v.a), *b = reinterpret_cast<const T *>(v.b);
    T *c = reinterpret_cast<T *>(v.c);
    uint64_t threads = static_cast<uint64_t>(gridDim.x) * blockDim.x;

    for (uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < v.n;
         i += depth * threads) {
        T x[depth], y[depth];

#pragma unroll
        for (unsigned d = 0; d < depth; d++) {
            if (i + d * threads < v.n) {
                x[d] = a[(i + d * threads) * v.sa];
                y[d] = b[(i + d * threads) * v.sb];
            }
        }
#pragma unroll
        for (unsigned d = 0; d < depth; d++)
            if (i + d * threads < v.n)
                c[(i + d * threads) * v.sc] = op(x[d], y[d]);
    }

    report.end(0, 0);
}

// ---- In a window: reductions ------------------------------------------------------

// Combines the values of all threads, always in the same order.
template <typename T, typename Op> __device__ T block_reduce(T value, Op op)
{
    __shared__ T values[KERNEL_THREADS];

    values[threadIdx.x] = value;
    __syncthreads();
    for (unsigned width = KERNEL_THREADS / 2; width > 0; width /= 2) {
        if (threadIdx.x < width)
            values[threadIdx.x] = op(values[threadIdx.x], values[threadIdx.x + width]);
        __syncthreads();
    }
    T result = values[0];
    __syncthreads();
    return result;
}

__device__ uint64_t bits(double x)
{
    return static_cast<uint64_t>(__double_as_longlong(x));
}
__device__ uint64_t bits(uint64_t x)
{
    return x;
}

// Sum is what the terms are summed in: float64 or integers modulo 2^64.
template <typename Sum, typename Term> __device__ void reduce_sum(const KernelVector &v, Term term)
{
    const Report report(v.reports);
    uint64_t threads = static_cast<uint64_t>(gridDim.x) * blockDim.x;
    Sum sum = 0;

#pragma unroll 4
    for (uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < v.n;
         i += threads)
        sum = add(sum, term(i));

    sum = block_reduce(sum, [](Sum x, Sum y) { return add(x, y); });
    report.end(bits(sum), 0);
}

template <typename T, typename Sum> __device__ void sum(const KernelVector &v)
{
    const T *a = reinterpret_cast<const T *>(v.a);

    reduce_sum<Sum>(v, [&](uint64_t i) { return static_cast<Sum>(a[i * v.sa]); });
}

template <typename T, typename Sum> __device__ void dot(const KernelVector &v)
{
    const T *a = reinterpret_cast<const T *>(v.a), *b = reinterpret_cast<const T *>(v.b);

    reduce_sum<Sum>(v, [&](uint64_t i) {
        return mul(static_cast<Sum>(a[i * v.sa]), static_cast<Sum>(b[i * v.sb]));
    });
}

// The smallest and the largest key, as reduction.h defines them. T is the signed integer of the
// type's size.
template <typename T, bool floating> __device__ void extremes(const KernelVector &v)
{
    constexpr T largest = static_cast<T>(~(T{1} << (8 * sizeof(T) - 1)));
    const Report report(v.reports);
    const T *a = reinterpret_cast<const T *>(v.a);
    uint64_t threads = static_cast<uint64_t>(gridDim.x) * blockDim.x;
    T min = largest, max = -largest - 1;

#pragma unroll 4
    for (uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < v.n;
         i += threads) {
        T key = a[i * v.sa];

        if (floating)
            key ^= key < 0 ? largest : 0;
        min = key < min ? key : min;
        max = key > max ? key : max;
    }

    min = block_reduce(min, [](T x, T y) { return x < y ? x : y; });
    max = block_reduce(max, [](T x, T y) { return x > y ? x : y; });
    report.end(static_cast<uint64_t>(static_cast<int64_t>(min)),
               static_cast<uint64_t>(static_cast<int64_t>(max)));
}

// ---- In a window: the matrix product, for hosts without cuBLAS ------------------------

// Each block computes KERNEL_TILE rows and columns of c, each thread 4 by 4 of
// them, 16 apart from each other.
template <typename T> __device__ void matmul(const KernelMatmul &p)
{
    constexpr unsigned depth = 16, side = 16, each = KERNEL_TILE / side;
    __shared__ T sa[depth][KERNEL_TILE + 1], sb[depth][KERNEL_TILE + 1];
    const Report report(p.reports);
    const T *a = reinterpret_cast<const T *>(p.a), *b = reinterpret_cast<const T *>(p.b);
    T *c = reinterpret_cast<T *>(p.c);
    uint32_t row0 = blockIdx.y * KERNEL_TILE, column0 = blockIdx.x * KERNEL_TILE;
    unsigned ty = threadIdx.x / side, tx = threadIdx.x % side;
    T sums[each][each] = {};

    for (uint32_t l = 0; l < p.k; l += depth) {
        for (unsigned t = threadIdx.x; t < depth * KERNEL_TILE; t += KERNEL_THREADS) {
            uint32_t ar = row0 + t / depth, ac = l + t % depth;
            uint32_t br = l + t / KERNEL_TILE, bc = column0 + t % KERNEL_TILE;

            sa[t % depth][t / depth] = ar < p.m && ac < p.k ? a[ar * p.lda + ac] : T{0};
            sb[t / KERNEL_TILE][t % KERNEL_TILE] =
                br < p.k && bc < p.n ? b[br * p.ldb + bc] : T{0};
        }
        __syncthreads();
        for (unsigned d = 0; d < depth && l + d < p.k; d++)
#pragma unroll
            for (unsigned i = 0; i < each; i++)
#pragma unroll
                for (unsigned j = 0; j < each; j++)
                    sums[i][j] += sa[d][ty + i * side] * sb[d][tx + j * side];
        __syncthreads();
    }

    for (unsigned i = 0; i < each; i++) {
        for (unsigned j = 0; j < each; j++) {
            uint32_t row = row0 + ty + i * side, column = column0 + tx + j * side;

            if (row < p.m && column < p.n) {
                T *to = &c[row * p.ldc + column];

                *to = p.accumulate ? *to + sums[i][j] : sums[i][j];
            }
        }
    }
    report.end(0, 0);
}

} // namespace

#define MAPS(suffix, type)                                                                   \
    extern "C" __global__ void vgpu_ring_add_##suffix(KernelVector v)                        \
    {                                                                                        \
        map<type>(v, [](type x, type y) { return add(x, y); });                              \
    }                                                                                        \
    extern "C" __global__ void vgpu_ring_mul_##suffix(KernelVector v)                        \
    {                                                                                        \
        map<type>(v, [](type x, type y) { return mul(x, y); });                              \
    }

#define AXPY(suffix, type)                                                                   \
    extern "C" __global__ void vgpu_ring_axpy_##suffix(KernelVector v)                       \
    {                                                                                        \
        type alpha = static_cast<type>(v.scalar);                                            \
                                                                                             \
        map<type>(v, [alpha](type x, type y) { return add(mul(alpha, x), y); });             \
    }

#define REDUCTIONS(suffix, type, sum_type, key_type, floating)                               \
    extern "C" __global__ void vgpu_ring_dot_##suffix(KernelVector v)                        \
    {                                                                                        \
        dot<type, sum_type>(v);                                                              \
    }                                                                                        \
    extern "C" __global__ void vgpu_ring_sum_##suffix(KernelVector v)                        \
    {                                                                                        \
        sum<type, sum_type>(v);                                                              \
    }                                                                                        \
    extern "C" __global__ void vgpu_ring_extremes_##suffix(KernelVector v)                   \
    {                                                                                        \
        extremes<key_type, floating>(v);                                                     \
    }

#define MATMUL(suffix, type)                                                                 \
    extern "C" __global__ void vgpu_ring_matmul_##suffix(KernelMatmul p)                     \
    {                                                                                        \
        matmul<type>(p);                                                                     \
    }

MAPS(int32, uint32_t)
MAPS(int64, uint64_t)
MAPS(float32, float)
MAPS(float64, double)
AXPY(float32, float)
AXPY(float64, double)
REDUCTIONS(int32, uint32_t, uint64_t, int32_t, false)
REDUCTIONS(int64, uint64_t, uint64_t, int64_t, false)
REDUCTIONS(float32, float, double, int32_t, true)
REDUCTIONS(float64, double, double, int64_t, true)
MATMUL(float32, float)
MATMUL(float64, double)

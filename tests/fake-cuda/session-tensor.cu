/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A kernel that loads a tile by a tensor map, for tests of sessions: only for devices from compute
 * capability 9.0 on. tests/lint/kernels.sh makes session-tensor.ptx from it, for compute_90.
 *
 * fake-kernels-arrays.c does the same on the fake driver.
 */
#include <stdint.h>

#define TILE_WIDTH 32
#define TILE_HEIGHT 8

struct alignas(64) TensorMap {
    uint64_t opaque[16];
};

/* One block of TILE_WIDTH threads: *to is the tile at x, y. */
extern "C" __global__ void load_tile(const __grid_constant__ TensorMap map, int x, int y,
                                     uint32_t *to)
{
    __shared__ alignas(128) uint32_t tile[TILE_HEIGHT][TILE_WIDTH];
    __shared__ alignas(8) uint64_t barrier;
    uint32_t tile_at = (uint32_t) __cvta_generic_to_shared(tile);
    uint32_t barrier_at = (uint32_t) __cvta_generic_to_shared(&barrier);
    uint32_t done = 0;

    if (threadIdx.x == 0) {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barrier_at) : "memory");
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier_at),
                     "r"((uint32_t) sizeof(tile))
                     : "memory");
        asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
                     "[%0], [%1, {%2, %3}], [%4];" ::"r"(tile_at),
                     "l"(&map), "r"(x), "r"(y), "r"(barrier_at)
                     : "memory");
    }
    while (!done)
        asm volatile("{ .reg .pred p;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0;\n"
                     "selp.u32 %0, 1, 0, p; }"
                     : "=r"(done)
                     : "r"(barrier_at)
                     : "memory");
    for (uint32_t row = 0; row < TILE_HEIGHT; row++)
        to[row * TILE_WIDTH + threadIdx.x] = tile[row][threadIdx.x];
}

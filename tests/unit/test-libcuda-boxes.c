/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every way to copy with arrays, and copies of boxes. */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test-libcuda-arrays.h"

/* ---- Copies of a row ---------------------------------------------------------------------------
 */

TEST(test_rows)
{
    uint32_t *numbers = numbered(100, 1000), back[100], *pinned;
    CUarray a, b, wide;
    CUstream stream;
    CUdeviceptr d;

    libcuda_primary();
    a = new_array(100, 0, 0);
    b = new_array(100, 0, 0);
    CALL(cuArrayCreate_v2(&wide, &(const FlatDescriptor){100, 0, CU_AD_FORMAT_FLOAT, 4}));
    CALL(cuMemAlloc_v2(&d, sizeof(back)));
    CALL(cuMemAllocHost_v2((void **) &pinned, sizeof(back)));
    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));

    CALL(cuMemcpyHtoA_v2(a, 0, numbers, sizeof(back)));
    array_is(a, numbers, 100, 1, 1);
    CALL(cuMemcpyAtoA_v2(b, 40, a, 0, 360)); /* 0 to 89 to where 10 to 99 are */
    CALL(cuMemcpyAtoA_v2_ptds(b, 0, a, 360, 40));
    CALL(cuMemcpyAtoH_v2(back, b, 0, sizeof(back)));
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(back[i], 1000 + (i + 90) % 100);
    CALL(cuMemcpyAtoD_v2(d, a, 200, 200));
    CALL(cuMemcpyAtoD_v2_ptds(d + 200, a, 0, 200));
    CALL(cuMemcpyDtoA_v2(b, 0, d, 100));
    CALL(cuMemcpyDtoA_v2_ptds(b, 100, d + 100, 300));
    CALL(cuMemcpyAtoH_v2_ptds(back, b, 0, sizeof(back)));
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(back[i], 1000 + (i + 50) % 100);
    CALL(cuMemcpyHtoA_v2_ptds(b, 396, numbers, 4));

    /* In streams, from and to what the device reaches, and what it does not */
    memcpy(pinned, numbers, 400);
    CALL(cuMemcpyHtoAAsync_v2(a, 0, pinned + 50, 200, stream));
    CALL(cuMemcpyHtoAAsync_v2(a, 200, numbers, 196, stream));
    CALL(cuMemcpyAtoHAsync_v2(back, a, 0, 396, stream));
    CALL(cuMemcpyAtoHAsync_v2(pinned, a, 4, 100, stream));
    CALL(cuStreamSynchronize(stream));
    for (uint32_t i = 0; i < 99; i++)
        assert_int_equal(back[i], 1000 + (i + 50) % 100);
    assert_memory_equal(pinned, numbers + 51, 100);
    CALL(cuMemcpyHtoAAsync_v2_ptsz(a, 0, numbers, 400, NULL));
    CALL(cuMemcpyAtoHAsync_v2_ptsz(back, a, 0, 400, NULL));
    CALL(cuStreamSynchronize(CU_STREAM_PER_THREAD));
    assert_memory_equal(back, numbers, 400);

    CALL(cuMemcpyHtoA_v2(a, 400, numbers, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoA_v2(a, 4, numbers, 400));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoA_v2(a, 2, numbers, 4));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoA_v2(a, 0, numbers, 3));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoA_v2(a, SIZE_MAX - 3, numbers, 8));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoA_v2(a, 0, NULL, 4));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpyAtoA_v2(wide, 0, a, 0, 16));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpyAtoD_v2((uintptr_t) back, a, 0, 16));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpyAtoD_v2(d + 396, a, 0, 8));
    CALL(cuArrayDestroy(a));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuMemcpyHtoA_v2(a, 0, numbers, 4));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuMemcpyHtoA_v2(NULL, 0, numbers, 4));
    free(numbers);
}

/* ---- Boxes -------------------------------------------------------------------------------------
 */

/* A box out of the middle, of two dimensions: only its rows are read, and written. */
TEST(test_flat_boxes)
{
    enum { WIDTH = 64, HEIGHT = 48, PITCH = 80 };
    uint32_t *numbers = numbered(PITCH * HEIGHT, 1), *back = calloc(PITCH * HEIGHT, 4);
    Copy2D c = {.width_bytes = 40 * 4, .height = 30};
    CUarray array;
    CUdeviceptr d;

    assert_non_null(back);
    libcuda_primary();
    array = new_array(WIDTH, HEIGHT, 0);
    CALL(cuMemAlloc_v2(&d, PITCH * HEIGHT * 4));

    c.src_type = HOST;
    c.src_host = numbers;
    c.src_pitch = PITCH * 4;
    c.src_x_bytes = 5 * 4;
    c.src_y = 6;
    c.dst_type = ARRAY;
    c.dst_array = array;
    c.dst_x_bytes = 7 * 4;
    c.dst_y = 8;
    CALL(cuMemcpy2D_v2(&c));
    c = (Copy2D){.width_bytes = 40 * 4, .height = 30};
    c.src_type = ARRAY;
    c.src_array = array;
    c.src_x_bytes = 7 * 4;
    c.src_y = 8;
    c.dst_type = DEVICE;
    c.dst_device = d;
    c.dst_pitch = PITCH * 4;
    c.dst_x_bytes = 4;
    c.dst_y = 2;
    CALL(cuMemsetD32_v2(d, 0, PITCH * HEIGHT));
    CALL(cuMemcpy2DAsync_v2(&c, CU_STREAM_LEGACY));
    c.src_type = UNIFIED;
    c.src_device = d;
    c.src_pitch = PITCH * 4;
    c.src_x_bytes = 4;
    c.src_y = 2;
    c.dst_type = HOST;
    c.dst_host = back;
    CALL(cuMemcpy2DUnaligned_v2(&c));
    for (uint32_t y = 0; y < HEIGHT; y++)
        for (uint32_t x = 0; x < PITCH; x++) {
            bool in = x >= 1 && x < 41 && y >= 2 && y < 32;

            assert_int_equal(back[y * PITCH + x], in ? numbers[(y + 4) * PITCH + x + 4] : 0);
        }

    c.dst_pitch = 40;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(&c));
    c.dst_pitch = 40 * 4; /* as wide as the box, which begins one element to the right */
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(&c));
    c.dst_pitch = SIZE_MAX;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(&c));
    c.dst_pitch = PITCH * 4;
    c.src_y = HEIGHT - 29; /* beyond the memory */
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(&c));
    c.src_y = UINT64_MAX / 2;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(&c));
    c.src_type = ARRAY;
    c.src_y = HEIGHT - 29;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(&c));
    c.src_type = 5;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(&c));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(NULL));
    CALL(cuCtxSynchronize());
    free(numbers);
    free(back);
}

/* Rows that end where the program has no more memory, and begin where it has none before */
TEST(test_edge_of_memory)
{
    const size_t page = (size_t) sysconf(_SC_PAGESIZE), row = 100;
    unsigned char *pages = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *memory = pages + page;
    Copy2D up = {.src_type = HOST,
                 .dst_type = DEVICE,
                 .src_x_bytes = 28,
                 .src_pitch = 128,
                 .dst_pitch = row,
                 .width_bytes = row,
                 .height = page / 128};
    Copy2D down = {.src_type = DEVICE,
                   .dst_type = HOST,
                   .dst_y = 2,
                   .src_pitch = row,
                   .dst_pitch = 128,
                   .width_bytes = row,
                   .height = page / 128 - 1};
    CUdeviceptr d;

    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(memory, page, PROT_READ | PROT_WRITE), 0);
    for (size_t i = 0; i < page; i++)
        memory[i] = (unsigned char) (i / 128 + i % 128);
    libcuda_primary();
    CALL(cuMemAlloc_v2(&d, row * (page / 128)));
    up.src_host = memory;
    up.dst_device = d;
    CALL(cuMemcpy2D_v2(&up));
    /* The first row of these comes to where the memory begins: in front of it nothing is touched.
     */
    memset(memory, 0, page);
    down.src_device = d;
    down.dst_host = memory - (size_t) 2 * 128;
    CALL(cuMemcpy2D_v2(&down));
    for (size_t i = 0; i < page; i++) {
        size_t y = i / 128, x = i % 128;

        assert_int_equal(memory[i],
                         y < page / 128 - 1 && x < row ? (unsigned char) (y + x + 28) : 0);
    }
    munmap(pages, 3 * page);
}

/* More than one piece of the window takes: slices, parts of one, and parts of a row */
static const size_t large[][3] = {
    {64, 64, 400}, {1000, 1000, 3}, {3000, 700, 2}, {400000, 0, 0}, {100000, 17, 0}};

enum { N_LARGE = sizeof(large) / sizeof(large[0]) };

static void copy_large(const size_t extent[3], uint32_t first)
{
    const size_t height = extent[1] ? extent[1] : 1, depth = extent[2] ? extent[2] : 1;
    const CudaArrayDescriptor d = {.width = extent[0] / 4,
                                   .height = extent[1],
                                   .depth = extent[2],
                                   .format = CU_AD_FORMAT_UNSIGNED_INT32,
                                   .channels = 4};
    uint32_t *numbers = numbered(extent[0] * height * depth, first);
    CUarray array;

    CALL(cuArray3DCreate_v2(&array, &d));
    to_array(array, numbers, extent[0], height, depth);
    array_is(array, numbers, extent[0], height, depth);
    CALL(cuArrayDestroy(array));
    free(numbers);
}

TEST(test_large_boxes)
{
    libcuda_primary();
    for (uint32_t i = 0; i < N_LARGE; i++)
        copy_large(large[i], i);
}

typedef struct Copier {
    pthread_t thread;
    CUcontext context;
    uint32_t number;
} Copier;

static void *copier_run(void *userdata)
{
    const Copier *c = userdata;

    CALL(cuCtxSetCurrent(c->context));
    for (uint32_t i = 0; i < N_LARGE; i++)
        copy_large(large[(i + c->number) % N_LARGE], 1000 * c->number);
    return NULL;
}

/* More threads than there are pieces for at the same time */
TEST(test_large_boxes_in_threads)
{
    Copier copiers[8];
    CUcontext context = libcuda_primary();

    for (uint32_t i = 0; i < 8; i++) {
        copiers[i] = (Copier){.context = context, .number = i};
        assert_int_equal(pthread_create(&copiers[i].thread, NULL, copier_run, &copiers[i]), 0);
    }
    for (uint32_t i = 0; i < 8; i++)
        pthread_join(copiers[i].thread, NULL);
}

TEST(test_peer_boxes)
{
    uint32_t *numbers = numbered(16 * 8 * 4, 3);
    CopyPeer3D c = {
        .src_type = HOST,
        .src_host = numbers,
        .src_pitch = 64,
        .src_height = 8,
        .dst_type = ARRAY,
        .width_bytes = 64,
        .height = 8,
        .depth = 4,
    };
    CUcontext context, other;
    CUarray a, b;
    CUdeviceptr d;

    context = libcuda_primary();
    a = new_array(16, 8, 4);
    b = new_array(16, 8, 4);
    CALL(cuMemAlloc_v2(&d, 16 * 8 * 4 * 4));
    c.dst_array = a;
    CALL(cuMemcpy3DPeer(&c));
    array_is(a, numbers, 16, 8, 4);
    c.src_type = ARRAY;
    c.src_array = a;
    c.dst_type = DEVICE;
    c.dst_device = d;
    c.dst_pitch = 64;
    c.dst_height = 8;
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuMemcpy3DPeer(&c));
    c.dst_context = context;
    CALL(cuMemcpy3DPeerAsync(&c, NULL));
    c.src_type = DEVICE;
    c.src_device = d;
    c.src_context = context;
    c.src_pitch = 64;
    c.src_height = 8;
    c.dst_type = ARRAY;
    c.dst_array = b;
    CALL(cuMemcpy3DPeerAsync_ptsz(&c, NULL));
    CALL(cuMemcpy3DPeer_ptds(&c));
    array_is(b, numbers, 16, 8, 4);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemcpy3DPeer(NULL));
    CALL(cuCtxCreate_v2(&other, 0, 0));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuMemcpy3DPeer(&c));
    CALL(cuCtxDestroy_v2(other));
    free(numbers);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_flat_boxes),
        cmocka_unit_test(test_edge_of_memory),
        cmocka_unit_test(test_large_boxes),
        cmocka_unit_test(test_large_boxes_in_threads),
        cmocka_unit_test(test_peer_boxes),
    };

    return libcuda_test_main(argc, argv, tests);
}

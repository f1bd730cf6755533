/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reserved addresses, and physical memory that is mapped there. */
#include <pthread.h>
#include <unistd.h>

#include "cuda-api-memory.h"
#include "test-libcuda-kernels.h"

#define GRANULE ((size_t) 2 << 20)
#define N (GRANULE / sizeof(uint32_t))
/* PyTorch's: on a GPU with 140 GiB; its small and its large memory, and three tries for more */
#define PIECE ((size_t) 20 << 20)
#define SEGMENT ((size_t) 158 << 30)
#define PIECES_MAX 600u
#define TRIES 5u

static const AllocationProp shareable = {
    .type = ALLOCATION_PINNED,
    .handle_types = HANDLE_TYPE_FD,
    .location = {.type = LOCATION_DEVICE},
};
static const AccessDesc read_write = {.location = {.type = LOCATION_DEVICE},
                                      .flags = ACCESS_READ_WRITE};
static const MemLocation here = {.type = LOCATION_DEVICE};
static CUcontext context;
static CUmodule module;

static CUmemGenericAllocationHandle create(size_t size)
{
    CUmemGenericAllocationHandle handle;

    CALL(cuMemCreate(&handle, size, &shareable, 0));
    return handle;
}

/* All of it goes before there is a context, as NVIDIA's sample memMapIPCDrv does. */
TEST(test_without_a_context)
{
    CUmemGenericAllocationHandle handle;
    CUcontext none = (CUcontext) 1;
    CUdeviceptr base;
    int fd = -1;

    CALL(cuInit(0));
    CALL(cuCtxGetCurrent(&none));
    assert_null(none);
    handle = create(GRANULE);
    CALL(cuMemAddressReserve(&base, GRANULE, 0, 0, 0));
    CALL(cuMemMap(base, GRANULE, 0, handle, 0));
    CALL(cuMemSetAccess(base, GRANULE, &read_write, 1));
    CALL(cuMemExportToShareableHandle(&fd, handle, HANDLE_TYPE_FD, 0));
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);

    (void) libcuda_primary();
    CALL(cuMemsetD32_v2(base, 5, N));
    libcuda_check(base, 5, N);
    CALL(cuMemUnmap(base, GRANULE));
    CALL(cuMemAddressFree(base, GRANULE));
    CALL(cuMemRelease(handle));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* As PyTorch's expandable segments: much is reserved, and mapped piece by piece. */
TEST(test_segments)
{
    CUmemGenericAllocationHandle handle[3];
    unsigned long long flags = 77;
    CUdeviceptr base, at;
    size_t size;

    CALL(cuMemAddressReserve(&base, 8 * GRANULE, 0, 0, 0));
    for (unsigned i = 0; i < 3; i++) {
        handle[i] = create(GRANULE);
        CALL(cuMemMap(base + i * GRANULE, GRANULE, 0, handle[i], 0));
        CALL(cuMemGetAccess(&flags, &here, base + i * GRANULE));
        assert_int_equal(flags, ACCESS_NONE);
    }
    CALL(cuMemSetAccess(base, 3 * GRANULE, &read_write, 1));
    CALL(cuMemGetAccess(&flags, &here, base + 2 * GRANULE + 5));
    assert_int_equal(flags, ACCESS_READ_WRITE);
    libcuda_fill(module, base, 21, 3 * N, NULL);
    libcuda_check(base, 21, 3 * N);

    CALL(cuMemGetAddressRange_v2(&at, &size, base + GRANULE + 100));
    assert_true(at == base + GRANULE && size == GRANULE);
    CALL(cuPointerGetAttribute(&at, POINTER_RANGE_START, base + GRANULE + 100));
    CALL(cuPointerGetAttribute(&size, POINTER_RANGE_SIZE, base + GRANULE + 100));
    assert_true(at == base && size == 8 * GRANULE);
    for (int i = POINTER_CONTEXT; i <= POINTER_BLOCK_ID; i++)
        CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuPointerGetAttribute(&at, i, base + 3 * GRANULE));
    CALL_FAILS(CUDA_ERROR_NOT_FOUND, cuMemGetAddressRange_v2(&at, &size, base + 3 * GRANULE));

    CALL(cuMemUnmap(base + GRANULE, GRANULE));
    CALL(cuMemRelease(handle[1]));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemGetAccess(&flags, &here, base + GRANULE));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(base, 8 * GRANULE));
    handle[1] = create(GRANULE);
    CALL(cuMemMap(base + GRANULE, GRANULE, 0, handle[1], 0));
    CALL(cuMemSetAccess(base + GRANULE, GRANULE, &read_write, 1));
    libcuda_fill(module, base, 22, 3 * N, NULL);
    libcuda_check(base, 22, 3 * N);
    CALL(cuMemUnmap(base, 3 * GRANULE));
    for (unsigned i = 0; i < 3; i++)
        CALL(cuMemRelease(handle[i]));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(base, GRANULE));
    CALL(cuMemAddressFree(base, 8 * GRANULE));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(base, 8 * GRANULE));
}

/* Pieces until there is no more memory; returns how many. */
static unsigned create_all(CUmemGenericAllocationHandle handles[static PIECES_MAX], size_t size)
{
    unsigned n = 0;
    CUresult r;

    while ((r = cuMemCreate(&handles[n], size, &shareable, 0)) == CUDA_SUCCESS)
        assert_true(++n < PIECES_MAX);
    assert_int_equal(r, CUDA_ERROR_OUT_OF_MEMORY);
    return n;
}

/* As PyTorch's expandable segments when a program asks for more than there is: for each try it
 * reserves more than the device has, makes pieces until there is no more memory, and releases them.
 * What it reserves goes beyond all that this library keeps free for it. */
TEST(test_more_than_there_is)
{
    static CUmemGenericAllocationHandle handles[PIECES_MAX];
    CUdeviceptr base[TRIES];
    size_t free[2], total, size;
    unsigned n[TRIES], n_mapped = 0;

    CALL(cuMemGetInfo_v2(&free[0], &total));
    for (unsigned t = 0; t < TRIES; t++) {
        CALL(cuMemAddressReserve(&base[t], SEGMENT, 0, 0, 0));
        n[t] = create_all(handles, PIECE);
        n[t] += create_all(handles + n[t], GRANULE);
        assert_int_equal(n[t], n[0]);
        for (unsigned i = 0; i < n[t]; i++)
            CALL(cuMemRelease(handles[i]));
        CALL(cuMemGetInfo_v2(&free[1], &total));
        assert_int_equal(free[1], free[0]);
    }

    /* All there is, in the last segment */
    n[0] = create_all(handles, PIECE);
    for (; n_mapped < n[0]; n_mapped++)
        CALL(cuMemMap(base[TRIES - 1] + n_mapped * PIECE, PIECE, 0, handles[n_mapped], 0));
    size = n_mapped * PIECE;
    CALL(cuMemSetAccess(base[TRIES - 1], size, &read_write, 1));
    libcuda_fill(module, base[TRIES - 1] + size - GRANULE, 24, N, NULL);
    libcuda_check(base[TRIES - 1] + size - GRANULE, 24, N);
    for (unsigned i = 0; i < n_mapped; i++) {
        CALL(cuMemUnmap(base[TRIES - 1] + i * PIECE, PIECE));
        CALL(cuMemRelease(handles[i]));
    }
    for (unsigned t = 0; t < TRIES; t++)
        CALL(cuMemAddressFree(base[t], SEGMENT));
    CALL(cuMemGetInfo_v2(&free[1], &total));
    assert_int_equal(free[1], free[0]);
}

/* As NCCL frees: by the address, when it has forgotten the handle. */
TEST(test_handle_of_an_address)
{
    CUmemGenericAllocationHandle handle = create(GRANULE), found = 0;
    AllocationProp prop;
    CUdeviceptr base;
    size_t free[2], total;

    CALL(cuMemAddressReserve(&base, GRANULE, 0, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemRetainAllocationHandle(&found, (void *) base));
    CALL(cuMemMap(base, GRANULE, 0, handle, 0));
    CALL(cuMemSetAccess(base, GRANULE, &read_write, 1));
    CALL(cuMemRelease(handle));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemRelease(handle));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemGetAllocationPropertiesFromHandle(&prop, handle));
    CALL(cuMemRetainAllocationHandle(&found, (void *) (base + 4711)));
    assert_true(found == handle);
    CALL(cuMemGetAllocationPropertiesFromHandle(&prop, found));
    assert_memory_equal(&prop, &shareable, sizeof(prop));
    libcuda_fill(module, base, 23, N, NULL);
    libcuda_check(base, 23, N);
    CALL(cuMemUnmap(base, GRANULE));
    CALL(cuMemGetInfo_v2(&free[0], &total));
    CALL(cuMemRelease(found));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemRelease(found));
    CALL(cuMemGetInfo_v2(&free[1], &total));
    assert_int_equal(free[1] - free[0], GRANULE);
    CALL(cuMemAddressFree(base, GRANULE));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemRetainAllocationHandle(NULL, (void *) base));
}

/* Each reserves, maps, fills, looks, and gives all back. */
static void *map_and_unmap(void *userdata)
{
    const uint32_t value = *(const uint32_t *) userdata;
    CUmemGenericAllocationHandle handle, again;
    CUdeviceptr base;
    uint32_t word;
    CUresult r = cuCtxSetCurrent(context);

    for (unsigned i = 0; r == CUDA_SUCCESS && i < 20; i++) {
        r = cuMemCreate(&handle, GRANULE, &shareable, 0);
        if (r == CUDA_SUCCESS)
            r = cuMemAddressReserve(&base, GRANULE, 0, 0, 0);
        if (r == CUDA_SUCCESS)
            r = cuMemMap(base, GRANULE, 0, handle, 0);
        if (r == CUDA_SUCCESS)
            r = cuMemRelease(handle);
        if (r == CUDA_SUCCESS)
            r = cuMemSetAccess(base, GRANULE, &read_write, 1);
        if (r == CUDA_SUCCESS)
            r = cuMemsetD32_v2_ptds(base, value, N);
        if (r == CUDA_SUCCESS)
            r = cuMemcpyDtoH_v2_ptds(&word, base + GRANULE - sizeof(word), sizeof(word));
        if (r == CUDA_SUCCESS && word != value)
            r = CUDA_ERROR_UNKNOWN;
        if (r == CUDA_SUCCESS)
            r = cuMemRetainAllocationHandle(&again, (void *) base);
        if (r == CUDA_SUCCESS && again != handle)
            r = CUDA_ERROR_UNKNOWN;
        if (r == CUDA_SUCCESS)
            r = cuMemUnmap(base, GRANULE);
        if (r == CUDA_SUCCESS)
            r = cuMemRelease(again);
        if (r == CUDA_SUCCESS)
            r = cuMemAddressFree(base, GRANULE);
    }
    return (void *) (intptr_t) r;
}

TEST(test_threads)
{
    enum { THREADS = 4 };
    uint32_t values[THREADS];
    pthread_t threads[THREADS];
    void *result;

    for (uint32_t i = 0; i < THREADS; i++) {
        values[i] = 100 + i;
        assert_int_equal(pthread_create(&threads[i], NULL, map_and_unmap, &values[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        assert_int_equal((CUresult) (intptr_t) result, CUDA_SUCCESS);
    }
}

TEST(test_wrong_properties)
{
    CUmemGenericAllocationHandle handle;
    static const struct {
        AllocationProp prop;
        CUresult result;
    } wrong[] = {
        {{0}, CUDA_ERROR_INVALID_VALUE},
        {{.type = ALLOCATION_PINNED}, CUDA_ERROR_INVALID_VALUE},
        {{.type = ALLOCATION_PINNED, .location = {LOCATION_DEVICE, 1}}, CUDA_ERROR_INVALID_DEVICE},
        {{.type = ALLOCATION_PINNED, .location = {LOCATION_HOST, 0}}, CUDA_ERROR_NOT_SUPPORTED},
        {{.type = ALLOCATION_MANAGED, .location = {LOCATION_DEVICE, 0}}, CUDA_ERROR_NOT_SUPPORTED},
        {{.type = ALLOCATION_PINNED,
          .handle_types = HANDLE_TYPE_FABRIC,
          .location = {LOCATION_DEVICE, 0}},
         CUDA_ERROR_NOT_SUPPORTED},
        {{.type = ALLOCATION_PINNED, .location = {LOCATION_DEVICE, 0}, .flags = {0, 1}},
         CUDA_ERROR_NOT_SUPPORTED},
        {{.type = ALLOCATION_PINNED, .location = {LOCATION_DEVICE, 0}, .flags = {[7] = 1}},
         CUDA_ERROR_INVALID_VALUE},
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CALL_FAILS(wrong[i].result, cuMemCreate(&handle, GRANULE, &wrong[i].prop, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&handle, GRANULE, NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemCreate(NULL, GRANULE, &shareable, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&handle, 0, &shareable, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&handle, 4096, &shareable, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&handle, GRANULE, &shareable, 1));
}

/* Compression is a wish, and programs ask what has become of it: the fake driver has it for no more
 * than 32 MiB each. */
TEST(test_compression)
{
    static const struct {
        size_t size;
        unsigned char wish, is;
    } each[] = {{GRANULE, 1, 1}, {GRANULE, 0, 0}, {(size_t) 34 << 20, 1, 0}};
    CUmemGenericAllocationHandle handle;
    AllocationProp prop = shareable;
    int value = 0;

    CALL(cuDeviceGetAttribute(&value, 107, 0));
    assert_int_equal(value, 1);
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        prop.flags[0] = each[i].wish;
        CALL(cuMemCreate(&handle, each[i].size, &prop, 0));
        CALL(cuMemGetAllocationPropertiesFromHandle(&prop, handle));
        assert_int_equal(prop.flags[0], each[i].is);
        CALL(cuMemRelease(handle));
    }
    prop.flags[0] = 2;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&handle, GRANULE, &prop, 0));
}

TEST(test_wrong_access)
{
    AccessDesc access[2] = {read_write, read_write};
    MemLocation wrong = {.type = LOCATION_HOST};
    CUmemGenericAllocationHandle handle = create(GRANULE);
    unsigned long long flags;
    CUdeviceptr base;

    CALL(cuMemAddressReserve(&base, GRANULE, 0, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemSetAccess(base, GRANULE, access, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemMap(base, GRANULE, 0, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemMap(base, GRANULE, 0, handle, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemMap(base, 2 * GRANULE, 0, handle, 0));
    CALL(cuMemMap(base, GRANULE, 0, handle, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemMap(base, GRANULE, 0, handle, 0));
    CALL(cuMemSetAccess(base, GRANULE, access, 2));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemSetAccess(base, GRANULE, access, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemSetAccess(base, GRANULE, NULL, 1));
    access[1].location.id = 1;
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE, cuMemSetAccess(base, GRANULE, access, 2));
    access[1] = (AccessDesc){.location = wrong, .flags = ACCESS_READ_WRITE};
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuMemSetAccess(base, GRANULE, access, 2));
    access[1] = (AccessDesc){.location = here, .flags = 2};
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemSetAccess(base, GRANULE, access, 2));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemGetAccess(&flags, &wrong, base));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemGetAccess(NULL, &here, base));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemGetAccess(&flags, NULL, base));
    CALL(cuMemUnmap(base, GRANULE));
    CALL(cuMemUnmap(base, GRANULE)); /* nothing is there any more */
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(base, 2 * GRANULE));
    CALL(cuMemAddressFree(base, GRANULE));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(base, GRANULE));
    CALL(cuMemRelease(handle));
}

static int begin(void **state)
{
    (void) state;
    context = libcuda_primary();
    module = libcuda_load("tests/fake-cuda/session-kernels.ptx");
    return 0;
}

static int end(void **state)
{
    (void) state;
    CALL(cuModuleUnload(module));
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_context),
        cmocka_unit_test_setup(test_segments, begin),
        cmocka_unit_test(test_more_than_there_is),
        cmocka_unit_test(test_handle_of_an_address),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_wrong_properties),
        cmocka_unit_test(test_compression),
        cmocka_unit_test_teardown(test_wrong_access, end),
    };

    return libcuda_test_main(argc, argv, tests);
}

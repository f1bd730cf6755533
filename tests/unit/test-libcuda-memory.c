/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory of the program's own, what pointers are, and words in streams. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cuda-api-memory.h"
#include "test-libcuda-kernels.h"

#define N 4096u
#define SIZE (N * sizeof(uint32_t))
#define PAGE 4096u

static CUcontext context;
static CUmodule module;

/* ---- Memory of the program's own ---------------------------------------------------------------
 */

static void check_registered(unsigned char *memory, size_t size, unsigned flags)
{
    uint32_t *words = (void *) memory;
    const uint64_t n = size / sizeof(uint32_t);
    CUdeviceptr window = 0, device, at;
    unsigned type = 0, found = 0;

    memset(memory, 7, size);
    CALL(cuMemHostRegister_v2(memory, size, flags));
    assert_int_equal(memory[size - 1], 7);
    CALL(cuMemHostGetDevicePointer_v2(&window, memory, 0));
    assert_true(window != 0);
    CALL(cuMemHostGetFlags(&found, memory));
    assert_int_equal(found, flags | HOST_DEVICE_MAP);
    CALL(cuPointerGetAttribute(&type, POINTER_MEMORY_TYPE, (uintptr_t) memory));
    assert_int_equal(type, CU_MEMORYTYPE_HOST);
    CALL(cuPointerGetAttribute(&at, POINTER_DEVICE_POINTER, (uintptr_t) memory + 4));
    assert_true(at == window + 4);
    CALL(cuPointerGetAttribute(&at, POINTER_HOST_POINTER, window + 8));
    assert_true(at == (uintptr_t) memory + 8);
    CALL(cuPointerGetAttribute(&at, POINTER_DEVICE_POINTER, window + 8));
    assert_true(at == window + 8);

    /* A kernel writes there, and copies read, by either address. */
    libcuda_fill(module, window, 61, n, NULL);
    CALL(cuCtxSynchronize());
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(words[i], 61);
    CALL(cuMemAlloc_v2(&device, size));
    words[0] = 62;
    CALL(cuMemcpyHtoDAsync_v2(device, memory, size, NULL));
    libcuda_check(device, 62, 1);
    words[0] = 63;
    CALL(cuMemcpyDtoDAsync_v2(device, window, size, NULL));
    libcuda_check(device, 63, 1);
    CALL(cuMemFree_v2(device));

    CALL_FAILS(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, cuMemHostRegister(memory, size, 0));
    CALL_FAILS(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
               cuMemHostRegister_v2(memory + size - 1, 1, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemHostUnregister(memory + 1));
    CALL(cuMemHostUnregister(memory));
    CALL_FAILS(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister(memory));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemHostGetDevicePointer_v2(&window, memory, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuPointerGetAttribute(&type, POINTER_MEMORY_TYPE, window));
    assert_int_equal(words[0], 63);
    assert_int_equal(words[1], 61);
}

TEST(test_registered)
{
    const size_t size = 75 * PAGE;
    unsigned char *pages;
    void *pinned;
    int fd;

    /* As malloc() gives it */
    pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    check_registered(pages + 16, size - 1000, 0);
    check_registered(pages + 16, size - 1000, HOST_PORTABLE | HOST_DEVICE_MAP);
    munmap(pages, size);
    pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    check_registered(pages, 4 * PAGE, HOST_PORTABLE);
    check_registered(pages + 16, 2 * PAGE, 0);

    /* Two of one page */
    CALL(cuMemHostRegister_v2(pages, 100, 0));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuMemHostRegister_v2(pages + 200, 100, 0));
    CALL(cuMemHostRegister_v2(pages + PAGE, 100, 0));
    CALL(cuMemHostUnregister(pages));
    CALL(cuMemHostUnregister(pages + PAGE));
    munmap(pages, 4 * PAGE);

    /* What is no memory of the program's alone */
    fd = memfd_create("file", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, PAGE), 0);
    pages = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(pages != MAP_FAILED);
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuMemHostRegister_v2(pages, PAGE, 0));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuMemHostRegister_v2(pages, PAGE, REGISTER_READ_ONLY));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuMemHostRegister_v2(pages, PAGE, REGISTER_IO_MEMORY));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemHostRegister_v2(pages, PAGE, 16));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemHostRegister_v2(pages, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemHostRegister_v2(NULL, PAGE, 0));
    CALL(cuMemHostAlloc(&pinned, SIZE, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemHostRegister_v2(pinned, SIZE, 0));
    CALL(cuMemFreeHost(pinned));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemHostUnregister(NULL));
    munmap(pages, PAGE);
    close(fd);
}

/* ---- Pointers ----------------------------------------------------------------------------------
 */

typedef struct Answer {
    uint64_t word;
    CUresult result;
} Answer;

static Answer ask(int attribute, CUdeviceptr address)
{
    Answer a = {0};

    a.result = cuPointerGetAttribute(&a.word, attribute, address);
    return a;
}

static void check_pointer(CUdeviceptr address, int attribute, uint64_t word)
{
    const Answer a = ask(attribute, address);

    if (a.result != CUDA_SUCCESS || a.word != word)
        fail_msg("attribute %d of %#llx: %d, %#lx; not %#lx", attribute, address, a.result, a.word,
                 word);
}

/* What all kinds of memory have in common */
static void check_range(CUdeviceptr base, uint64_t size, unsigned type, CUcontext of)
{
    check_pointer(base + 5, POINTER_CONTEXT, (uintptr_t) of);
    check_pointer(base + 5, POINTER_MEMORY_TYPE, type);
    check_pointer(base + 5, POINTER_DEVICE_POINTER, base + 5);
    check_pointer(base + 5, POINTER_RANGE_START, base);
    check_pointer(base + 5, POINTER_RANGE_SIZE, size);
    check_pointer(base + 5, POINTER_DEVICE_ORDINAL, 0);
    check_pointer(base + 5, POINTER_MAPPED, 1);
    check_pointer(base + 5, POINTER_ACCESS, ACCESS_READ_WRITE);
    check_pointer(base + 5, POINTER_IS_GPU_DIRECT, 0);
    check_pointer(base + 5, POINTER_HW_DECOMPRESS, 0);
    check_pointer(base + 5, POINTER_HANDLE_TYPES, 0);
    assert_true(ask(POINTER_BUFFER_ID, base).word == ask(POINTER_BUFFER_ID, base + 5).word);
    assert_true(ask(POINTER_RANGE_START, base + size).word != base);
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, ask(POINTER_P2P_TOKENS, base).result);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, ask(22, base).result);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, ask(0, base).result);
}

/* The block in which it is mapped; one that is larger has several. */
#define BLOCK (UINT64_C(2) << 20)
#define POOL_BLOCK (UINT64_C(32) << 20)

static void check_mapping(CUdeviceptr address, uint64_t base, uint64_t size)
{
    check_pointer(address + 5, POINTER_MAPPING_BASE, base);
    check_pointer(address + 5, POINTER_MAPPING_SIZE, size);
}

TEST(test_large_mapping)
{
    CUdeviceptr a;

    CALL(cuMemAlloc_v2(&a, 2 * BLOCK + 1));
    check_mapping(a + BLOCK, a, 3 * BLOCK);
    CALL(cuMemFree_v2(a));
}

TEST(test_pointers)
{
    CUdeviceptr device, pooled, managed;
    void *pinned;

    CALL(cuMemAlloc_v2(&device, SIZE));
    CALL(cuMemAllocAsync(&pooled, SIZE, NULL));
    CALL(cuMemAllocManaged(&managed, SIZE, ATTACH_GLOBAL));
    CALL(cuMemHostAlloc(&pinned, SIZE, HOST_PORTABLE));

    check_range(device, SIZE, CU_MEMORYTYPE_DEVICE, context);
    check_mapping(device, device / BLOCK * BLOCK, BLOCK);
    check_pointer(device, POINTER_SYNC_MEMOPS, 0);
    check_pointer(device, POINTER_IS_LEGACY_IPC, 1);
    check_pointer(device, POINTER_MEMPOOL, 0);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, ask(POINTER_HOST_POINTER, device).result);
    check_range(pooled, SIZE, CU_MEMORYTYPE_DEVICE, NULL);
    check_mapping(pooled, pooled / POOL_BLOCK * POOL_BLOCK, POOL_BLOCK);
    check_pointer(pooled, POINTER_SYNC_MEMOPS, 0);
    check_pointer(pooled, POINTER_IS_LEGACY_IPC, 0);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, ask(POINTER_HOST_POINTER, pooled).result);
    check_range(managed, SIZE, CU_MEMORYTYPE_DEVICE, context);
    check_mapping(managed, managed, BLOCK);
    check_pointer(managed, POINTER_SYNC_MEMOPS, 1);
    check_pointer(managed, POINTER_IS_MANAGED, 1);
    check_pointer(managed + 9, POINTER_HOST_POINTER, managed + 9);
    check_range((uintptr_t) pinned, SIZE, CU_MEMORYTYPE_HOST, context);
    check_mapping((uintptr_t) pinned, (uintptr_t) pinned, BLOCK);
    check_pointer((uintptr_t) pinned, POINTER_SYNC_MEMOPS, 0);
    check_pointer((uintptr_t) pinned, POINTER_IS_MANAGED, 0);
    check_pointer((uintptr_t) pinned + 9, POINTER_HOST_POINTER, (uintptr_t) pinned + 9);
    assert_true(ask(POINTER_BUFFER_ID, device).word != ask(POINTER_BUFFER_ID, pooled).word);

    /* Where kernels have it is asked for in a context. */
    CALL(cuCtxSetCurrent(NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, ask(POINTER_DEVICE_POINTER, device).result);
    check_pointer(device, POINTER_MEMORY_TYPE, CU_MEMORYTYPE_DEVICE);
    CALL(cuCtxSetCurrent(context));
    CALL(cuMemFree_v2(device));
    CALL(cuMemFreeAsync(pooled, NULL));
    CALL(cuMemFree_v2(managed));
    CALL(cuMemFreeHost(pinned));
}

/* Of memory that is none of CUDA's, several attributes at once say that it is the host's, and one
 * is an error. */
TEST(test_plain_pointers)
{
    int attributes[] = {POINTER_MEMORY_TYPE, POINTER_DEVICE_POINTER, POINTER_IS_MANAGED,
                        POINTER_HOST_POINTER};
    unsigned type = 77;
    CUdeviceptr device = 77, host = 77, a;
    unsigned char managed = 77;
    void *data[] = {&type, &device, &managed, &host};
    int plain = 5;

    CALL(cuPointerGetAttributes(4, attributes, data, (uintptr_t) &plain));
    assert_true(host == (uintptr_t) &plain);
    assert_int_equal(type, 0);
    assert_int_equal(device, 0);
    assert_int_equal(managed, 0);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, ask(POINTER_MEMORY_TYPE, (uintptr_t) &plain).result);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, ask(POINTER_MEMORY_TYPE, 0).result);
    CALL(cuMemAlloc_v2(&a, SIZE));
    CALL(cuPointerGetAttributes(4, attributes, data, a + 100));
    assert_int_equal(host, 0);
    assert_int_equal(type, CU_MEMORYTYPE_DEVICE);
    assert_true(device == a + 100);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuPointerGetAttributes(0, attributes, data, a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuPointerGetAttributes(3, NULL, data, a));
    attributes[2] = 22;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuPointerGetAttributes(3, attributes, data, a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuPointerGetAttribute(NULL, POINTER_CONTEXT, a));
    CALL(cuMemFree_v2(a));
}

TEST(test_synchronous_memory)
{
    unsigned on = 1, off = 0, wrong = 2;
    CUdeviceptr a;

    CALL(cuMemAlloc_v2(&a, SIZE));
    CALL(cuPointerSetAttribute(&off, POINTER_SYNC_MEMOPS, a));
    check_pointer(a, POINTER_SYNC_MEMOPS, 0);
    CALL(cuPointerSetAttribute(&on, POINTER_SYNC_MEMOPS, a + 8));
    check_pointer(a, POINTER_SYNC_MEMOPS, 1);
    CALL(cuMemsetD32_v2(a, 71, N));
    CALL(cuStreamQuery(NULL));
    CALL(cuMemcpyDtoD_v2(a + SIZE / 2, a, SIZE / 2));
    CALL(cuStreamQuery(NULL));
    libcuda_check(a, 71, N);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuPointerSetAttribute(&wrong, POINTER_SYNC_MEMOPS, a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuPointerSetAttribute(&on, POINTER_BUFFER_ID, a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuPointerSetAttribute(NULL, POINTER_SYNC_MEMOPS, a));
    CALL(cuMemFree_v2(a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuPointerSetAttribute(&on, POINTER_SYNC_MEMOPS, a));
}

/* ---- Words -------------------------------------------------------------------------------------
 */

TEST(test_words)
{
    CUstream streams[2];
    CUdeviceptr a;
    WordOp first[3], second[3];
    uint64_t *words;
    void *pinned;

    CALL(cuMemHostAlloc(&pinned, PAGE, 0));
    words = pinned;
    CALL(cuMemAlloc_v2(&a, SIZE));
    for (unsigned i = 0; i < 2; i++)
        CALL(cuStreamCreate(&streams[i], CU_STREAM_NON_BLOCKING));
    /* The second stream waits for the first, which fills the memory in between. */
    second[0] = (WordOp){WORD_OP_WAIT_64, (uintptr_t) &words[0], 1ull << 40, 0, 0, 0};
    second[1] = (WordOp){WORD_OP_WRITE_32, (uintptr_t) &words[1], ~0ull << 32 | 5, 0, 0, 0};
    second[2] = (WordOp){WORD_OP_WRITE_64, (uintptr_t) &words[2], 6, 0, 0, 0};
    first[0] = (WordOp){WORD_OP_WRITE_64, (uintptr_t) &words[0], 1ull << 40, 0, 0, 0};
    CALL(cuStreamBatchMemOp_v2(streams[1], 3, second, 0));
    CALL_FAILS(CUDA_ERROR_NOT_READY, cuStreamQuery(streams[1]));
    libcuda_fill(module, a, 81, N, streams[0]);
    CALL(cuStreamBatchMemOp(streams[0], 1, first, 0));
    CALL(cuStreamSynchronize(streams[1]));
    assert_int_equal(words[1], 5);
    assert_int_equal(words[2], 6);
    libcuda_check(a, 81, N);
    CALL(cuStreamBatchMemOp_v2_ptsz(NULL, 1, second, 0));
    /* The older functions may do without a barrier. */
    second[1].flags = WORD_WRITE_NO_MEMORY_BARRIER;
    CALL(cuStreamBatchMemOp_ptsz(NULL, 2, second, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamBatchMemOp_v2(streams[0], 2, second, 0));
    second[1].flags = 0;
    CALL(cuStreamSynchronize(CU_STREAM_PER_THREAD));

    CALL(cuStreamBatchMemOp_v2(streams[0], 0, first, 0));
    CALL(cuStreamWriteValue32(streams[0], a, 1, WORD_WRITE_NO_MEMORY_BARRIER));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuStreamWriteValue32_v2(streams[0], a, 1, WORD_WRITE_NO_MEMORY_BARRIER));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamBatchMemOp_v2(streams[0], 257, first, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamBatchMemOp_v2(streams[0], 1, NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamBatchMemOp_v2(streams[0], 1, first, 1));
    /* All are looked at before the first is done. */
    words[1] = words[2] = 0;
    second[2].operation = 77;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamBatchMemOp_v2(streams[0], 3, second, 0));
    second[2].operation = WORD_OP_BARRIER;
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuStreamBatchMemOp_v2(streams[0], 3, second, 0));
    second[2] = (WordOp){WORD_OP_WRITE_64, (uintptr_t) &words[2] + 4, 6, 0, 0, 0};
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamBatchMemOp_v2(streams[0], 3, second, 0));
    CALL(cuStreamSynchronize(streams[0]));
    assert_int_equal(words[1], 0);

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamWriteValue32_v2(streams[0], a, 1, 2));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamWaitValue32_v2(streams[0], a, 1, 4));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED,
               cuStreamWaitValue32_v2(streams[0], a, 1, (unsigned) WORD_WAIT_FLUSH));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamWriteValue64_v2(streams[0], a + SIZE - 4, 1, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamWriteValue32_v2(streams[0], a + SIZE, 1, 0));
    for (unsigned i = 0; i < 2; i++)
        CALL(cuStreamDestroy_v2(streams[i]));
    CALL(cuMemFree_v2(a));
    CALL(cuMemFreeHost(pinned));
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
        cmocka_unit_test_setup(test_registered, begin), cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_large_mapping),           cmocka_unit_test(test_plain_pointers),
        cmocka_unit_test(test_synchronous_memory),      cmocka_unit_test_teardown(test_words, end),
    };

    return libcuda_test_main(argc, argv, tests);
}

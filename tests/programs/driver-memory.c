/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * driver-memory SAXPY.ptx - what the driver API says of memory: of pointers of every kind, and to
 * calls that are wrong in one thing. Loads libcuda.so.1, whosever it is. Each line has the results
 * of a few calls, and values that are the same in every process.
 */
#include <dlfcn.h>

#include "driver-probe.h"

ProbeAPI api;
CUcontext context;
CUstream stream;

static const PoolProps device_pool = {.type = ALLOCATION_PINNED, .location = HERE};
static const MemLocation here = HERE;

static bool load(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);

#define LOAD_(name)                                                \
    *(void **) &api.name = library ? dlsym(library, #name) : NULL; \
    if (!api.name) {                                               \
        printf("skip %s is not there\n", #name);                   \
        return false;                                              \
    }
    FUNCTIONS(LOAD_)
#undef LOAD_
    return true;
}

void probe_need(CUresult r, const char *what)
{
    if (r == CUDA_SUCCESS)
        return;
    fprintf(stderr, "%s: CUDA error %d\n", what, r);
    exit(EXIT_FAILURE);
}

static void run_kernel(const char *path)
{
    uint32_t n = 256;
    float factor = 2;
    CUdeviceptr x, y;
    void *parameters[] = {&n, &factor, &x, &y};
    CUfunction function;
    CUmodule module;

    NEED(cuModuleLoad(&module, path));
    NEED(cuModuleGetFunction(&function, module, "saxpy"));
    NEED(cuMemAlloc_v2(&x, SIZE));
    NEED(cuMemAlloc_v2(&y, SIZE));
    NEED(cuLaunchKernel(function, 1, 1, 1, 256, 1, 1, 0, stream, parameters, NULL));
    NEED(cuStreamSynchronize(stream));
    NEED(cuMemFree_v2(x));
    NEED(cuMemFree_v2(y));
}

/* ---- Pools -------------------------------------------------------------------------------------
 */

static void before_a_context(void)
{
    const AllocationProp prop = {.type = ALLOCATION_PINNED, .location = HERE};
    uint64_t word = 1 << 20;
    size_t granularity = 0;
    CUmemoryPool pool, own;
    CUdeviceptr a;

    printf("result before-a-context");
    NEED(cuDeviceGetDefaultMemPool(&pool, 0));
    TELL(cuMemPoolSetAttribute(pool, POOL_RELEASE_THRESHOLD, &word));
    word = 0;
    TELL(cuMemPoolGetAttribute(pool, POOL_RELEASE_THRESHOLD, &word));
    printf(" %lu", word);
    word = 0;
    TELL(cuMemPoolSetAttribute(pool, POOL_RELEASE_THRESHOLD, &word));
    TELL(cuMemPoolCreate(&own, &device_pool));
    TELL(cuMemPoolTrimTo(own, 0));
    TELL(cuMemPoolDestroy(own));
    TELL(cuMemGetAllocationGranularity(&granularity, &prop, 0));
    printf(" %zu", granularity);
    TELL(cuMemAllocAsync(&a, SIZE, NULL));
    printf("\n");
}

static void pools(void)
{
    AccessDesc access = {.location = here, .flags = ACCESS_NONE};
    MemLocation place = here;
    PoolProps props = device_pool;
    CUmemoryPool standard, pool, found;
    uint64_t word = 1;
    int flag = 5, two[2] = {-1, -1};
    CUdeviceptr a;

    NEED(cuDeviceGetDefaultMemPool(&standard, 0));
    NEED(cuMemPoolCreate(&pool, &props));
    printf("result pools-wrong");
    TELL(cuDeviceGetDefaultMemPool(NULL, 0));
    TELL(cuDeviceGetDefaultMemPool(&found, 1000));
    TELL(cuDeviceSetMemPool(1000, pool));
    TELL(cuMemPoolDestroy(standard));
    TELL(cuMemPoolCreate(NULL, &props));
    props.type = 0;
    TELL(cuMemPoolCreate(&found, &props));
    props = device_pool;
    props.location.id = 1000;
    TELL(cuMemPoolCreate(&found, &props));
    TELL(cuMemPoolSetAttribute(pool, POOL_USED_MEM_HIGH, &word));
    TELL(cuMemPoolSetAttribute(pool, POOL_USED_MEM_CURRENT, &word));
    TELL(cuMemPoolSetAttribute(pool, 99, &word));
    TELL(cuMemPoolGetAttribute(pool, 99, &word));
    TELL(cuMemPoolSetAttribute(pool, 1, &flag));
    TELL(cuMemPoolGetAttribute(pool, 1, two));
    printf(" %d %d", two[0], two[1]);
    TELL(cuMemPoolSetAccess(pool, &access, 1));
    TELL(cuMemPoolGetAccess(&flag, pool, &place));
    printf(" %d\n", flag);

    printf("result pools-allocations");
    TELL(cuMemAllocAsync(&a, 0, stream));
    TELL(cuMemAllocAsync(NULL, SIZE, stream));
    TELL(cuMemAllocAsync(&a, (size_t) 1 << 50, stream));
    TELL(cuMemFreeAsync(0, stream));
    TELL(cuMemFreeAsync(0x1000, stream));
    NEED(cuDeviceSetMemPool(0, pool));
    NEED(cuMemAllocAsync(&a, SIZE, stream));
    NEED(cuPointerGetAttribute(&found, POINTER_MEMPOOL, a));
    printf(" %d", found == pool);
    TELL(cuMemPoolDestroy(pool));
    TELL(cuDeviceGetMemPool(&found, 0));
    printf(" %d", found == standard);
    TELL(cuMemFreeAsync(a, stream));
    TELL(cuMemFreeAsync(a, stream));
    NEED(cuMemAlloc_v2(&a, SIZE));
    TELL(cuMemFreeAsync(a, stream));
    NEED(cuStreamSynchronize(stream));
    TELL(cuMemFree_v2(a));
    printf("\n");
}

/* ---- Managed memory, memory of the program's own, words -----------------------------------------
 */

static void managed(void)
{
    int value = 77;
    CUdeviceptr a, device;

    NEED(cuMemAllocManaged(&a, SIZE, ATTACH_GLOBAL));
    NEED(cuMemAlloc_v2(&device, SIZE));
    printf("result managed");
    TELL(cuMemAdvise(a, SIZE, ADVISE_SET_READ_MOSTLY, 0));
    TELL(cuMemRangeGetAttribute(&value, sizeof(value), RANGE_READ_MOSTLY, a, SIZE));
    printf(" %d", value);
    TELL(cuMemRangeGetAttribute(&value, sizeof(value), RANGE_PREFERRED_LOCATION, a, SIZE));
    printf(" %d", value);
    TELL(cuMemPrefetchAsync(a, SIZE, 0, stream));
    TELL(cuMemRangeGetAttribute(&value, sizeof(value), RANGE_LAST_PREFETCH_LOCATION, a, SIZE));
    printf(" %d", value);
    TELL(cuMemAdvise(a, 0, ADVISE_SET_READ_MOSTLY, 0));
    TELL(cuMemAdvise(a, SIZE, 99, 0));
    TELL(cuMemAdvise(a, SIZE, ADVISE_SET_ACCESSED_BY, 1000));
    TELL(cuMemAdvise(device, SIZE, ADVISE_SET_READ_MOSTLY, 0));
    TELL(cuMemPrefetchAsync(device, SIZE, 0, stream));
    TELL(cuMemPrefetchAsync(a, SIZE, 1000, stream));
    TELL(cuMemPrefetchAsync(a, 0, 0, stream));
    TELL(cuMemRangeGetAttribute(&value, 8, RANGE_READ_MOSTLY, a, SIZE));
    TELL(cuMemRangeGetAttribute(&value, 4, 99, a, SIZE));
    TELL(cuMemRangeGetAttribute(&value, 4, RANGE_READ_MOSTLY, device, SIZE));
    TELL(cuStreamAttachMemAsync(stream, a, 0, ATTACH_SINGLE));
    TELL(cuStreamAttachMemAsync(NULL, a, 0, ATTACH_SINGLE));
    TELL(cuStreamAttachMemAsync(stream, a, 4096, ATTACH_GLOBAL));
    TELL(cuStreamAttachMemAsync(stream, a, 0, 3));
    TELL(cuStreamAttachMemAsync(stream, device, 0, ATTACH_GLOBAL));
    NEED(cuStreamSynchronize(stream));
    TELL(cuMemFree_v2(a));
    TELL(cuMemFree_v2(device));
    printf("\n");
}

static void registered(void)
{
    char *memory = malloc(300000);
    unsigned flags = 77;
    CUdeviceptr a;
    void *pinned;

    NEED(cuMemHostAlloc(&pinned, SIZE, 0));
    printf("result registered");
    TELL(cuMemHostRegister_v2(memory, 0, 0));
    TELL(cuMemHostRegister_v2(memory, 300000, 99));
    TELL(cuMemHostRegister_v2(pinned, SIZE, 0));
    TELL(cuMemHostRegister_v2(memory, 300000, 0));
    TELL(cuMemHostRegister_v2(memory, 300000, 0));
    TELL(cuMemHostRegister_v2(memory + 8192, 100, 0));
    TELL(cuMemHostGetFlags(&flags, memory));
    printf(" %u", flags);
    TELL(cuMemHostGetDevicePointer_v2(&a, memory, 0));
    TELL(cuMemHostUnregister(memory + 1));
    TELL(cuMemHostUnregister(memory));
    TELL(cuMemHostUnregister(memory));
    TELL(cuMemHostGetDevicePointer_v2(&a, memory, 0));
    TELL(cuMemHostUnregister(NULL));
    printf("\n");
}

static void words(void)
{
    CUdeviceptr a;
    WordOp ops[2];

    NEED(cuMemAlloc_v2(&a, SIZE));
    printf("result words");
    TELL(cuStreamWriteValue32_v2(stream, a, 5, WORD_WRITE_NO_MEMORY_BARRIER));
    TELL(cuStreamWriteValue32_v2(stream, a, 5, 2));
    TELL(cuStreamWriteValue32_v2(stream, a + 2, 5, 0));
    TELL(cuStreamWriteValue64_v2(stream, a + 4, 5, 0));
    TELL(cuStreamWaitValue32_v2(stream, a, 5, 8));
    ops[0] = (WordOp){WORD_OP_WRITE_32, a, 6, 0, 0, 0};
    ops[1] = (WordOp){WORD_OP_WAIT_32, a, 6, 1, 0, 0};
    TELL(cuStreamBatchMemOp_v2(stream, 2, ops, 0));
    TELL(cuStreamBatchMemOp_v2(stream, 0, ops, 0));
    TELL(cuStreamBatchMemOp_v2(stream, 2, ops, 1));
    ops[1].operation = 99;
    TELL(cuStreamBatchMemOp_v2(stream, 2, ops, 0));
    NEED(cuStreamSynchronize(stream));
    TELL(cuMemFree_v2(a));
    printf("\n");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s SAXPY.ptx\n", argv[0]);
        return EXIT_FAILURE;
    }
    if (!load())
        return EXIT_SUCCESS;
    NEED(cuInit(0));
    before_a_context();
    NEED(cuDevicePrimaryCtxRetain(&context, 0));
    NEED(cuCtxSetCurrent(context));
    NEED(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    run_kernel(argv[1]);
    pools();
    probe_pointers();
    managed();
    registered();
    words();
    NEED(cuCtxSynchronize());
    return EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The names, a small program of the driver API, and its errors. */
#include <dlfcn.h>

#include "symbols.h"
#include "test-libcuda.h"

#define N 100000

#define PER_THREAD_FLAG 2
#define POINTER_MEMORY_TYPE 2

enum { ANY, LEGACY, PER_THREAD, NONE };

/* Every name of the driver is exported, served or not, and each that cuGetProcAddress() gives is
 * the one for its version. */
static void check_name(const char *symbol, const char *base, int since, int streams)
{
    void *exported = dlsym(RTLD_DEFAULT, symbol), *found = NULL;
    int status = -1;

    if (!exported)
        fail_msg("%s is not exported", symbol);
    if (streams == NONE)
        return;
    CALL(cuGetProcAddress_v2(base, &found, since, streams == PER_THREAD ? PER_THREAD_FLAG : 0,
                             &status));
    if (found != exported)
        fail_msg("%s of version %d is not %s", base, since, symbol);
}

TEST(test_names)
{
#define NAME_(symbol, base, since, streams) check_name(#symbol, #base, since, streams);
    LIBCUDA_SYMBOLS(NAME_)
#undef NAME_
}

TEST(test_before_init)
{
    CUdeviceptr address;
    int n;

    CALL_FAILS(CUDA_ERROR_NOT_INITIALIZED, cuDeviceGetCount(&n));
    CALL_FAILS(CUDA_ERROR_NOT_INITIALIZED, cuMemAlloc_v2(&address, (size_t) 4096));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuInit(1u));
    CALL(cuInit(0u));
    CALL(cuDeviceGetCount(&n));
    assert_int_equal(n, 1);
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuMemAlloc_v2(&address, (size_t) 4096));
}

TEST(test_saxpy)
{
    const size_t size = N * sizeof(float);
    CUdeviceptr x, y;
    float *numbers = malloc(size), a = 2;
    uint32_t n = N;
    void *parameters[] = {&n, &a, &x, &y};
    CUfunction function;
    CUcontext context;
    CUstream stream;
    CUmodule module;

    assert_non_null(numbers);
    for (unsigned i = 0; i < N; i++)
        numbers[i] = (float) i;
    CALL(cuDevicePrimaryCtxRetain(&context, 0));
    CALL(cuCtxSetCurrent(context));
    CALL_FAILS(CUDA_ERROR_FILE_NOT_FOUND, cuModuleLoad(&module, "/nonexistent"));
    module = libcuda_load("guest/examples/saxpy.ptx");
    CALL_FAILS(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&function, module, "nothing"));
    CALL(cuModuleGetFunction(&function, module, "saxpy"));
    CALL(cuMemAlloc_v2(&x, size));
    CALL(cuMemAlloc_v2(&y, size));
    CALL(cuMemcpyHtoD_v2(x, numbers, size));
    CALL(cuMemsetD32_v2(y, 0u, (size_t) N));
    CALL(cuCtxSynchronize());
    CALL(cuStreamCreate(&stream, (unsigned) CU_STREAM_NON_BLOCKING));

    for (unsigned i = 0; i < 10; i++)
        CALL(cuLaunchKernel(function, (N + 255u) / 256, 1u, 1u, 256u, 1u, 1u, 0u, stream,
                            parameters, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuLaunchKernel(function, 0u, 1u, 1u, 256u, 1u, 1u, 0u, stream, parameters, NULL));
    CALL(cuStreamSynchronize(stream));
    CALL(cuMemcpyDtoH_v2(numbers, y, size));
    for (unsigned i = 0; i < N; i++)
        assert_true(numbers[i] == 20.0f * (float) i);

    CALL(cuStreamDestroy_v2(stream));
    CALL(cuMemFree_v2(x));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(x));
    CALL(cuMemFree_v2(y));
    CALL(cuModuleUnload(module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
    free(numbers);
}

/* Memory ends with its context, and the program is told so. */
TEST(test_memory_of_a_context_that_ended)
{
    CUcontext context;
    CUdeviceptr a;
    unsigned type;

    CALL(cuDevicePrimaryCtxRetain(&context, 0));
    CALL(cuCtxSetCurrent(context));
    CALL(cuMemAlloc_v2(&a, 4096));
    CALL(cuPointerGetAttribute(&type, POINTER_MEMORY_TYPE, a));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
    CALL(cuDevicePrimaryCtxRetain(&context, 0));
    CALL(cuCtxSetCurrent(context));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuPointerGetAttribute(&type, POINTER_MEMORY_TYPE, a));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(a));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* What lies where a variable was is none of it when its module has ended. */
TEST(test_variables_end_with_their_module)
{
    CUmodule module;
    CUdeviceptr address;
    size_t size;
    unsigned type;

    libcuda_primary();
    for (unsigned i = 0; i < 3; i++) {
        module = libcuda_load("tests/fake-cuda/session-kernels.ptx");
        CALL(cuModuleGetGlobal_v2(&address, &size, module, "counter"));
        assert_int_equal(size, 8);
        CALL(cuMemsetD8_v2(address, 0, size));
        CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemsetD8_v2(address, 0, size + 1));
        CALL(cuPointerGetAttribute(&type, POINTER_MEMORY_TYPE, address));
        CALL(cuCtxSynchronize());
        CALL(cuModuleUnload(module));
        CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
                   cuPointerGetAttribute(&type, POINTER_MEMORY_TYPE, address));
    }
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* While a stream captures, the default stream takes nothing. Who waits for an event that it has not
 * taken is not held up for ever. */
TEST(test_an_event_that_never_comes)
{
    CUcontext context;
    CUstream stream;
    CUevent event;
    CUgraph graph;

    CALL(cuDevicePrimaryCtxRetain(&context, 0));
    CALL(cuCtxSetCurrent(context));
    CALL(cuStreamCreate(&stream, 0));
    CALL(cuEventCreate(&event, 0));
    CALL(cuStreamBeginCapture_v2(stream, 2));
    (void) cuEventRecord(event, NULL);
    while (cuStreamEndCapture(stream, &graph) != CUDA_ERROR_ILLEGAL_STATE)
        continue;
    (void) cuEventSynchronize(event);
    while (cuCtxSynchronize() != CUDA_SUCCESS)
        continue;
    CALL(cuEventRecord(event, NULL));
    CALL(cuEventSynchronize(event));
    CALL(cuEventDestroy_v2(event));
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* What no file serves is refused, by every name. */
TEST(test_refused)
{
    CUresult (*lock)(int, void *);

    *(void **) &lock = dlsym(RTLD_DEFAULT, "cuCheckpointProcessLock");
    assert_int_equal(lock(0, NULL), CUDA_ERROR_NOT_SUPPORTED);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_before_init),
        cmocka_unit_test(test_saxpy),
        cmocka_unit_test(test_memory_of_a_context_that_ended),
        cmocka_unit_test(test_variables_end_with_their_module),
        cmocka_unit_test(test_an_event_that_never_comes),
        cmocka_unit_test(test_refused),
    };

    return libcuda_test_main(argc, argv, tests);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Functions and callbacks in streams, attributes, and events of contexts. */
#include <pthread.h>
#include <semaphore.h>

#include "cuda-api-streams.h"
#include "test-libcuda-apart.h"

#define N 1000u
#define KERNELS "tests/fake-cuda/session-kernels.ptx"
#define EVENT_WITHOUT_TIME 0x2u

static CUfunction function_of(CUmodule module, const char *name)
{
    CUfunction function;

    CALL(cuModuleGetFunction(&function, module, name));
    return function;
}

static void launch(CUfunction function, CUstream stream, void **parameters)
{
    CALL(cuLaunchKernel(function, 4u, 1u, 1u, 256u, 1u, 1u, 0u, stream, parameters, NULL));
}

static void launch_fill(CUmodule module, CUstream stream, CUdeviceptr to, uint32_t value)
{
    uint64_t n = N;
    void *parameters[] = {&to, &value, &n};

    launch(function_of(module, "fill"), stream, parameters);
}

static void launch_busy(CUmodule module, CUstream stream, uint64_t msec)
{
    uint64_t nsec = msec * 1000000;
    void *parameters[] = {&nsec};

    CALL(cuLaunchKernel(function_of(module, "busy"), 1u, 1u, 1u, 1u, 1u, 1u, 0u, stream, parameters,
                        NULL));
}

/* ---- Functions and callbacks -------------------------------------------------------------------
 */

typedef struct Seen {
    volatile uint32_t *numbers; /* of the program's, which the device writes */
    uint32_t value;             /* that the function found there */
    unsigned calls;
    pthread_t thread;
    CUstream stream;
    CUresult status, query;
} Seen;

static void see(void *userdata)
{
    Seen *seen = userdata;

    seen->value = seen->numbers[N - 1];
    seen->calls++;
    seen->thread = pthread_self();
    seen->query = cuStreamQuery(seen->stream);
    seen->numbers[0] = seen->value + 1; /* for the device, which waits for this */
}

static void hear(CUstream stream, CUresult status, void *userdata)
{
    Seen *seen = userdata;

    seen->stream = stream;
    seen->status = status;
    seen->value = seen->numbers[N - 1];
    seen->calls++;
}

/* What is before it in the stream is done when it is called, and what is behind it waits. */
TEST(test_function)
{
    uint32_t back[N];
    CUstream stream;
    CUmodule module;
    CUdeviceptr a;
    void *memory;
    Seen seen = {0};

    libcuda_primary();
    module = libcuda_load(KERNELS);
    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CALL(cuMemAlloc_v2(&a, sizeof(back)));
    CALL(cuMemHostAlloc(&memory, sizeof(back), 0));
    seen.numbers = memory;
    seen.stream = stream;

    launch_fill(module, stream, a, 41);
    CALL(cuMemcpyDtoHAsync_v2(memory, a, sizeof(back), stream));
    CALL(cuLaunchHostFunc(stream, see, &seen));
    CALL(cuMemcpyHtoDAsync_v2(a, memory, sizeof(back), stream));
    CALL(cuStreamSynchronize(stream));
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.value, 41);
    assert_false(pthread_equal(seen.thread, pthread_self()));
    assert_int_equal(seen.query, CUDA_ERROR_NOT_PERMITTED);
    CALL(cuMemcpyDtoH_v2(back, a, sizeof(back)));
    assert_int_equal(back[0], 42);
    assert_int_equal(back[1], 41);

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLaunchHostFunc(stream, NULL, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuLaunchHostFunc((CUstream) memory, see, &seen));
    CALL(cuLaunchHostFunc_ptsz(NULL, see, &seen));
    CALL(cuLaunchHostFunc(NULL, see, &seen));
    CALL(cuCtxSynchronize());
    assert_int_equal(seen.calls, 3);
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuMemFree_v2(a));
    CALL(cuMemFreeHost(memory));
    CALL(cuModuleUnload(module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

TEST(test_function_in_a_graph)
{
    CUgraphExec exec;
    CUgraph graph;
    CUstream stream;
    CUmodule module;
    CUdeviceptr a;
    void *memory;
    Seen seen = {0};

    libcuda_primary();
    module = libcuda_load(KERNELS);
    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CALL(cuMemAlloc_v2(&a, N * sizeof(uint32_t)));
    CALL(cuMemHostAlloc(&memory, N * sizeof(uint32_t), 0));
    seen.numbers = memory;

    CALL(cuStreamBeginCapture_v2(stream, 0));
    launch_fill(module, stream, a, 7);
    CALL(cuMemcpyDtoHAsync_v2(memory, a, N * sizeof(uint32_t), stream));
    CALL(cuLaunchHostFunc(stream, see, &seen));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamAddCallback(stream, hear, &seen, 0));
    CALL(cuStreamEndCapture(stream, &graph));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    assert_int_equal(seen.calls, 0);
    for (unsigned i = 1; i <= 3; i++) {
        seen.numbers[0] = 0;
        CALL(cuGraphLaunch(exec, stream));
        CALL(cuStreamSynchronize(stream));
        assert_int_equal(seen.calls, i);
        assert_int_equal(seen.numbers[0], 8);
    }
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuMemFree_v2(a));
    CALL(cuMemFreeHost(memory));
    CALL(cuModuleUnload(module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

TEST(test_callback)
{
    CUstream stream;
    CUmodule module;
    CUdeviceptr a;
    void *memory;
    Seen seen[3] = {0};

    libcuda_primary();
    module = libcuda_load(KERNELS);
    CALL(cuStreamCreate(&stream, 0));
    CALL(cuMemAlloc_v2(&a, N * sizeof(uint32_t)));
    CALL(cuMemHostAlloc(&memory, N * sizeof(uint32_t), 0));
    for (uint32_t i = 0; i < 3; i++) {
        seen[i].numbers = memory;
        launch_fill(module, stream, a, i + 1);
        CALL(cuMemcpyDtoHAsync_v2(memory, a, N * sizeof(uint32_t), stream));
        CALL(cuStreamAddCallback(stream, hear, &seen[i], 0));
    }
    CALL(cuStreamSynchronize(stream));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(seen[i].calls, 1);
        assert_int_equal(seen[i].value, i + 1);
        assert_ptr_equal(seen[i].stream, stream);
        assert_int_equal(seen[i].status, CUDA_SUCCESS);
    }
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamAddCallback(stream, NULL, NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamAddCallback(stream, hear, &seen[0], 1));
    CALL(cuStreamAddCallback_ptsz(NULL, hear, &seen[0], 0));
    CALL(cuCtxSynchronize());
    assert_int_equal(seen[0].calls, 2);
    assert_null(seen[0].stream);
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuMemFree_v2(a));
    CALL(cuMemFreeHost(memory));
    CALL(cuModuleUnload(module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

static sem_t heard;

static void hear_of_error(CUstream stream, CUresult status, void *userdata)
{
    (void) stream;
    *(CUresult *) userdata = status;
    sem_post(&heard);
}

/* In a process of its own: a callback is called once, with the error, and no function is. */
static void test_callback_of_an_error(void **state)
{
    CUresult status[2] = {CUDA_SUCCESS, CUDA_SUCCESS};
    CUstream stream;
    CUmodule module;
    Seen seen = {0};
    int n;

    (void) state;
    sem_init(&heard, 0, 0);
    libcuda_primary();
    module = libcuda_load(KERNELS);
    CALL(cuStreamCreate(&stream, 0));
    launch_busy(module, stream, 50);
    launch(function_of(module, "illegal_address"), stream, NULL);
    CALL(cuStreamAddCallback(stream, hear_of_error, &status[0], 0));
    CALL(cuLaunchHostFunc(stream, see, &seen));
    CALL(cuStreamAddCallback(stream, hear_of_error, &status[1], 0));
    while (sem_wait(&heard) < 0)
        continue;
    while (sem_wait(&heard) < 0)
        continue;
    assert_int_equal(status[0], CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_int_equal(status[1], CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_int_equal(seen.calls, 0);
    CALL_FAILS(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(stream));
    CALL_FAILS(CUDA_ERROR_ILLEGAL_ADDRESS,
               cuStreamAddCallback(stream, hear_of_error, &status[0], 0));
    usleep(300000);
    sem_getvalue(&heard, &n);
    assert_int_equal(n, 0);
}

TEST(test_apart)
{
    apart_run("test_callback_of_an_error");
}

/* ---- Attributes --------------------------------------------------------------------------------
 */

TEST(test_attributes)
{
    LaunchValue value = {0}, back;
    CUstream stream, other;
    CUcontext context = libcuda_primary(), told;
    CUgreenCtx green = (CUgreenCtx) &value;
    CUdeviceptr a;
    CUdevice device = 7;

    CALL(cuStreamCreateWithPriority(&stream, CU_STREAM_NON_BLOCKING, -1));
    CALL(cuStreamCreate(&other, 0));
    CALL(cuMemAlloc_v2(&a, 1 << 20));

    CALL(cuStreamGetAttribute(stream, LAUNCH_PRIORITY, &back));
    assert_int_equal(back.number, -1);
    CALL(cuStreamGetAttribute(stream, LAUNCH_SYNCHRONIZATION_POLICY, &back));
    assert_int_equal(back.number, 1);
    CALL(cuStreamGetAttribute(stream, LAUNCH_MEM_SYNC_DOMAIN_MAP, &back));
    assert_int_equal(back.domains.remote, 1);
    CALL(cuStreamGetAttribute(stream, LAUNCH_ACCESS_POLICY_WINDOW, &back));
    assert_int_equal(back.window.size, 0);

    value.window = (AccessPolicyWindow){.base = (void *) (uintptr_t) a, .size = 1 << 20};
    value.window.hit_ratio = 0.5f;
    value.window.hit = 2;
    CALL(cuStreamSetAttribute(stream, LAUNCH_ACCESS_POLICY_WINDOW, &value));
    CALL(cuStreamGetAttribute(stream, LAUNCH_ACCESS_POLICY_WINDOW, &back));
    assert_memory_equal(&back, &value, sizeof(value));
    value.window.size = 1u << 30;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuStreamSetAttribute(stream, LAUNCH_ACCESS_POLICY_WINDOW, &value));
    value = (LaunchValue){.number = 4};
    CALL(cuStreamSetAttribute(stream, LAUNCH_SYNCHRONIZATION_POLICY, &value));
    value.number = -3;
    CALL(cuStreamSetAttribute(stream, LAUNCH_PRIORITY, &value));
    CALL(cuStreamGetPriority(stream, &device));
    assert_int_equal(device, -3);
    value.number = 1;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamSetAttribute(stream, LAUNCH_PRIORITY, &value));
    CALL(cuStreamSetAttribute(stream, LAUNCH_MEM_SYNC_DOMAIN, &value));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamSetAttribute(stream, LAUNCH_COOPERATIVE, &value));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamSetAttribute(stream, LAUNCH_PRIORITY, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamGetAttribute(stream, LAUNCH_COOPERATIVE, &back));

    CALL(cuStreamCopyAttributes(other, stream));
    CALL(cuStreamGetAttribute(other, LAUNCH_MEM_SYNC_DOMAIN, &back));
    assert_int_equal(back.number, 1);
    CALL(cuStreamGetAttribute(other, LAUNCH_SYNCHRONIZATION_POLICY, &back));
    assert_int_equal(back.number, 4);
    CALL(cuStreamGetAttribute_ptsz(NULL, LAUNCH_PRIORITY, &back));
    value.number = 0;
    CALL(cuStreamSetAttribute_ptsz(NULL, LAUNCH_MEM_SYNC_DOMAIN, &value));
    CALL(cuStreamCopyAttributes_ptsz(NULL, other));

    CALL(cuStreamGetCtx_v2(stream, &told, &green));
    assert_ptr_equal(told, context);
    assert_null(green);
    green = (CUgreenCtx) &value;
    CALL(cuStreamGetGreenCtx(NULL, &green));
    assert_null(green);
    CALL(cuStreamGetCtx_v2_ptsz(NULL, &told, &green));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamGetCtx_v2(stream, &told, NULL));
    CALL(cuStreamGetDevice(stream, &device));
    assert_int_equal(device, 0);

    CALL(cuStreamDestroy_v2(other));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuStreamGetAttribute(other, LAUNCH_PRIORITY, &back));
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuMemFree_v2(a));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* ---- Events of a context -----------------------------------------------------------------------
 */

static sem_t gate;

static void wait_at_gate(void *userdata)
{
    (void) userdata;
    while (sem_wait(&gate) < 0)
        continue;
}

static uint32_t first_of(CUdeviceptr a)
{
    uint32_t value;

    CALL(cuMemcpyDtoH_v2(&value, a, sizeof(value)));
    return value;
}

TEST(test_record_of_a_context)
{
    CUcontext context = libcuda_primary(), other;
    CUstream stream[2];
    CUevent event, foreign;
    CUgraph graph;
    CUmodule module = libcuda_load(KERNELS);
    CUdeviceptr a;

    sem_init(&gate, 0, 0);
    CALL(cuMemAlloc_v2(&a, 2 * N * sizeof(uint32_t)));
    CALL(cuEventCreate(&event, EVENT_WITHOUT_TIME));
    for (uint32_t i = 0; i < 2; i++) {
        CALL(cuStreamCreate(&stream[i], CU_STREAM_NON_BLOCKING));
        CALL(cuLaunchHostFunc(stream[i], wait_at_gate, NULL));
        launch_fill(module, stream[i], a + i * N * sizeof(uint32_t), i + 5);
    }
    CALL(cuCtxRecordEvent(context, event));
    CALL_FAILS(CUDA_ERROR_NOT_READY, cuEventQuery(event));
    sem_post(&gate);
    usleep(20000);
    CALL_FAILS(CUDA_ERROR_NOT_READY, cuEventQuery(event));
    sem_post(&gate);
    CALL(cuEventSynchronize(event));
    assert_int_equal(first_of(a), 5);
    assert_int_equal(first_of(a + N * sizeof(uint32_t)), 6);

    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuCtxRecordEvent(NULL, event));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuCtxRecordEvent(context, NULL));
    CALL(cuCtxCreate_v2(&other, 0, 0));
    CALL(cuEventCreate(&foreign, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuCtxRecordEvent(context, foreign));
    CALL(cuCtxDestroy_v2(other));
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuCtxRecordEvent(other, event));
    CALL_FAILS(CUDA_ERROR_CONTEXT_IS_DESTROYED, cuEventQuery(foreign));
    CALL(cuEventDestroy_v2(foreign));
    CALL(cuCtxSetCurrent(context));
    CALL(cuStreamBeginCapture_v2(stream[0], 2));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuCtxRecordEvent(context, event));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuCtxWaitEvent(context, event));
    CALL(cuStreamEndCapture(stream[0], &graph));
    CALL(cuGraphDestroy(graph));
    for (unsigned i = 0; i < 2; i++)
        CALL(cuStreamDestroy_v2(stream[i]));
    CALL(cuEventDestroy_v2(event));
    CALL(cuMemFree_v2(a));
    CALL(cuModuleUnload(module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* Streams that are there wait, and those that come later, too. */
TEST(test_wait_of_a_context)
{
    CUcontext context = libcuda_primary();
    CUstream first, before, after;
    CUevent event;
    CUmodule module = libcuda_load(KERNELS);
    CUdeviceptr a;

    sem_init(&gate, 0, 0);
    CALL(cuMemAlloc_v2(&a, 3 * N * sizeof(uint32_t)));
    CALL(cuMemsetD8_v2(a, 0, 3 * N * sizeof(uint32_t)));
    CALL(cuCtxSynchronize());
    CALL(cuEventCreate(&event, EVENT_WITHOUT_TIME));
    CALL(cuStreamCreate(&first, CU_STREAM_NON_BLOCKING));
    CALL(cuStreamCreate(&before, CU_STREAM_NON_BLOCKING));
    CALL(cuLaunchHostFunc(first, wait_at_gate, NULL));
    CALL(cuEventRecord(event, first));
    CALL(cuCtxWaitEvent(context, event));
    CALL(cuStreamCreate(&after, CU_STREAM_NON_BLOCKING));
    launch_fill(module, before, a, 1);
    launch_fill(module, after, a + N * sizeof(uint32_t), 2);
    usleep(20000);
    CALL_FAILS(CUDA_ERROR_NOT_READY, cuStreamQuery(before));
    CALL_FAILS(CUDA_ERROR_NOT_READY, cuStreamQuery(after));
    sem_post(&gate);
    CALL(cuStreamSynchronize(before));
    CALL(cuStreamSynchronize(after));
    assert_int_equal(first_of(a), 1);
    assert_int_equal(first_of(a + N * sizeof(uint32_t)), 2);
    CALL(cuCtxSynchronize());
    CALL(cuEventDestroy_v2(event));
    CALL(cuMemFree_v2(a));
    CALL(cuModuleUnload(module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_function),
        cmocka_unit_test(test_function_in_a_graph),
        cmocka_unit_test(test_callback),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_record_of_a_context),
        cmocka_unit_test(test_wait_of_a_context),
        cmocka_unit_test(test_apart),
    };
    const struct CMUnitTest apart[] = {
        cmocka_unit_test(test_callback_of_an_error),
    };

    return apart_test_main(argc, argv, tests, apart);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Captures: what a program is told of them, how they spread and fail, and their graphs. */
#include <pthread.h>
#include <string.h>

#include "test-libcuda.h"

#define N 1000u
#define SIZE (N * sizeof(uint32_t))

static struct {
    CUcontext context;
    CUmodule module;
    CUfunction fill;
    CUstream stream, other;
    CUevent fork, join;
    CUdeviceptr a, b;
} t;

static int setup(void **state)
{
    (void) state;
    t.context = libcuda_primary();
    t.module = libcuda_load("tests/fake-cuda/session-kernels.ptx");
    CALL(cuModuleGetFunction(&t.fill, t.module, "fill"));
    CALL(cuStreamCreate(&t.stream, CU_STREAM_NON_BLOCKING));
    CALL(cuStreamCreate(&t.other, CU_STREAM_NON_BLOCKING));
    CALL(cuEventCreate(&t.fork, 0));
    CALL(cuEventCreate(&t.join, 0));
    CALL(cuMemAlloc_v2(&t.a, SIZE));
    CALL(cuMemAlloc_v2(&t.b, SIZE));
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    CALL(cuEventDestroy_v2(t.fork));
    CALL(cuEventDestroy_v2(t.join));
    CALL(cuModuleUnload(t.module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
    return 0;
}

static void fill(CUstream stream, CUdeviceptr to, uint32_t value)
{
    uint64_t n = N;
    void *parameters[] = {&to, &value, &n};

    CALL(cuLaunchKernel(t.fill, (N + 255) / 256, 1, 1, 256, 1, 1, 0, stream, parameters, NULL));
}

static void check(CUdeviceptr from, uint32_t value)
{
    uint32_t numbers[N];

    CALL(cuStreamSynchronize(t.stream));
    CALL(cuMemcpyDtoH_v2(numbers, from, SIZE));
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(numbers[i], value);
}

static void run(CUgraph graph)
{
    CUgraphExec exec;

    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuGraphLaunch(exec, t.stream));
    CALL(cuStreamSynchronize(t.stream));
    CALL(cuGraphExecDestroy(exec));
}

static int status_of(CUstream stream)
{
    int status = -1;

    CALL(cuStreamIsCapturing(stream, &status));
    return status;
}

static size_t count_nodes(CUgraph graph)
{
    size_t n = 99;

    CALL(cuGraphGetNodes(graph, NULL, &n));
    return n;
}

/* ---- Beginning and ending ---------------------------------------------------------------------
 */

TEST(test_begin_and_end)
{
    CUgraph graph;
    CUstream blocking;
    cuuint64_t id = 77, again = 78;
    int status = -1;

    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamBeginCapture_v2(NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamBeginCapture_v2(t.stream, 3));
    CALL_FAILS(CUDA_ERROR_ILLEGAL_STATE, cuStreamEndCapture(t.stream, &graph));
    CALL(cuStreamGetCaptureInfo(t.stream, &status, &id));
    assert_int_equal(status, CAPTURE_NONE);
    assert_int_equal(id, 77);
    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_GLOBAL));
    CALL_FAILS(CUDA_ERROR_ILLEGAL_STATE, cuStreamBeginCapture_v2(t.stream, CAPTURE_GLOBAL));
    assert_int_equal(status_of(t.stream), CAPTURE_ACTIVE);
    assert_int_equal(status_of(t.other), CAPTURE_NONE);
    assert_int_equal(status_of(NULL), CAPTURE_NONE);
    CALL(cuStreamGetCaptureInfo(t.stream, &status, &id));
    CALL(cuStreamGetCaptureInfo_v2(t.stream, &status, &again, NULL, NULL, NULL));
    assert_int_equal(id, again);
    fill(t.stream, t.a, 5);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamEndCapture(t.stream, NULL));
    CALL(cuStreamEndCapture(t.stream, &graph));
    assert_int_equal(status_of(t.stream), CAPTURE_NONE);
    assert_int_equal(count_nodes(graph), 1);
    run(graph);
    check(t.a, 5);
    CALL(cuGraphDestroy(graph));

    /* A stream that waits for the default stream, which the capture would have to wait for */
    CALL(cuStreamCreate(&blocking, 0));
    CALL(cuStreamBeginCapture_v2(blocking, CAPTURE_RELAXED));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuStreamIsCapturing(NULL, &status));
    CALL(cuStreamEndCapture(blocking, &graph));
    CALL(cuGraphDestroy(graph));
    CALL(cuStreamDestroy_v2(blocking));
}

TEST(test_join)
{
    CUgraph graph, unused;
    CUgraphNode from[4], to[4];
    size_t n = 4;

    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_THREAD_LOCAL));
    fill(t.stream, t.a, 1);
    CALL(cuEventRecord(t.fork, t.stream));
    CALL(cuStreamWaitEvent(t.other, t.fork, 0));
    assert_int_equal(status_of(t.other), CAPTURE_ACTIVE);
    fill(t.other, t.b, 2);
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, cuStreamEndCapture(t.other, &unused));
    CALL(cuEventRecord(t.join, t.other));
    CALL(cuStreamWaitEvent(t.stream, t.join, 0));
    fill(t.stream, t.a, 3);
    CALL_FAILS(CUDA_ERROR_CAPTURED_EVENT, cuEventQuery(t.join));
    CALL(cuStreamEndCapture(t.stream, &graph));
    assert_int_equal(status_of(t.other), CAPTURE_NONE);
    CALL(cuGraphGetEdges(graph, from, to, &n));
    assert_true(n == 2 || n == 3); /* what is behind both need not be said to be behind the first */
    run(graph);
    check(t.a, 3);
    check(t.b, 2);
    CALL(cuGraphDestroy(graph));

    /* An event of a capture that has ended makes no stream capture. */
    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_THREAD_LOCAL));
    CALL(cuEventRecord(t.fork, t.stream));
    CALL(cuStreamWaitEvent(t.other, t.fork, 0));
    fill(t.other, t.b, 2);
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, cuStreamEndCapture(t.stream, &graph));
    assert_null(graph);
    assert_int_equal(status_of(t.stream), CAPTURE_NONE);
    assert_int_equal(status_of(t.other), CAPTURE_NONE);
    fill(t.other, t.b, 4);
    CALL(cuStreamSynchronize(t.other));
    check(t.b, 4);
}

/* What a capture does not allow ends it. */
TEST(test_invalidated)
{
    CUgraph graph, asked;
    CUdeviceptr memory;
    CUevent event;
    int status;

    CALL(cuEventCreate(&event, 0));
    CALL(cuEventRecord(event, t.other));
    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_GLOBAL));
    fill(t.stream, t.a, 1);
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamSynchronize(t.stream));
    assert_int_equal(status_of(t.stream), CAPTURE_INVALIDATED);
    graph = (CUgraph) 1;
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(t.stream, &graph));
    assert_null(graph);
    assert_int_equal(status_of(t.stream), CAPTURE_NONE);

    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_GLOBAL));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuEventQuery(event));
    CALL(cuStreamGetCaptureInfo_v2(t.stream, &status, NULL, &asked, NULL, NULL));
    assert_int_equal(status, CAPTURE_INVALIDATED);
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(t.stream, &graph));

    /* The executor's driver is against it; the program has the graph already. */
    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_GLOBAL));
    fill(t.stream, t.a, 1);
    CALL(cuStreamGetCaptureInfo_v2(t.stream, &status, NULL, &asked, NULL, NULL));
    assert_int_equal(status, CAPTURE_ACTIVE);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(asked));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuMemAlloc_v2(&memory, 4096));
    assert_int_equal(status_of(t.stream), CAPTURE_INVALIDATED);
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuGraphGetNodes(asked, NULL, &(size_t){0}));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(t.stream, &graph));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(asked));

    /* Not in the mode RELAXED */
    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_RELAXED));
    CALL(cuEventQuery(event));
    CALL(cuMemAlloc_v2(&memory, 4096));
    fill(t.stream, t.a, 9);
    CALL(cuStreamEndCapture(t.stream, &graph));
    run(graph);
    check(t.a, 9);
    CALL(cuGraphDestroy(graph));
    CALL(cuMemFree_v2(memory));
    CALL(cuEventDestroy_v2(event));
}

static void *end_in_thread(void *unused)
{
    CUgraph graph;
    CUresult r = cuStreamEndCapture(t.stream, &graph);

    (void) unused;
    if (r == CUDA_SUCCESS)
        CALL(cuGraphDestroy(graph));
    return (void *) (intptr_t) r;
}

/* Another thread may ask about events when its mode, or the capture's, keeps the two apart. */
static void *query_in_thread(void *mode)
{
    int exchanged = *(int *) mode;

    CALL(cuThreadExchangeStreamCaptureMode(&exchanged));
    return (void *) (intptr_t) cuEventQuery(t.join);
}

static int in_thread(void *(*function)(void *), void *data)
{
    pthread_t thread;
    void *result;

    assert_int_equal(pthread_create(&thread, NULL, function, data), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    return (int) (intptr_t) result;
}

TEST(test_threads)
{
    int mode = CAPTURE_GLOBAL;
    CUgraph graph;

    CALL(cuEventRecord(t.join, t.other));
    CALL(cuStreamSynchronize(t.other));
    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_THREAD_LOCAL));
    fill(t.stream, t.a, 1);
    assert_int_equal(in_thread(query_in_thread, &mode), CUDA_SUCCESS);
    assert_int_equal(in_thread(end_in_thread, NULL), CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
    assert_int_equal(status_of(t.stream), CAPTURE_ACTIVE);
    CALL(cuStreamEndCapture(t.stream, &graph));
    CALL(cuGraphDestroy(graph));

    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_GLOBAL));
    fill(t.stream, t.a, 1);
    mode = CAPTURE_THREAD_LOCAL;
    assert_int_equal(in_thread(query_in_thread, &mode), CUDA_SUCCESS);
    assert_int_equal(status_of(t.stream), CAPTURE_ACTIVE);
    mode = CAPTURE_GLOBAL;
    assert_int_equal(in_thread(query_in_thread, &mode), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(t.stream, &graph));

    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_RELAXED));
    assert_int_equal(in_thread(end_in_thread, NULL), CUDA_SUCCESS);
    assert_int_equal(status_of(t.stream), CAPTURE_NONE);
}

/* ---- The graph that grows ---------------------------------------------------------------------
 */

/* As PyTorch and NCCL do: look at the graph, put a node into it, and go on behind that. */
TEST(test_grow)
{
    const SetNode set = {.address = t.b, .value = 8, .element = 4, .width = N, .height = 1};
    const CUgraphNode *last = NULL;
    const GraphEdge *edges = NULL;
    CUgraphNode first, mine, all[8];
    CUgraph graph = NULL, again = NULL, ended = NULL;
    size_t n = 99;
    int status = -1;

    CALL_FAILS(CUDA_ERROR_ILLEGAL_STATE, cuStreamUpdateCaptureDependencies(t.stream, NULL, 0, 0));
    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_RELAXED));
    CALL(cuStreamGetCaptureInfo_v2(t.stream, &status, NULL, &graph, &last, &n));
    assert_int_equal(status, CAPTURE_ACTIVE);
    assert_int_equal(n, 0);
    fill(t.stream, t.a, 7);
    CALL(cuStreamGetCaptureInfo_v3(t.stream, &status, NULL, &again, &last, &edges, &n));
    assert_ptr_equal(again, graph);
    assert_int_equal(n, 1);
    assert_int_equal(edges[0].type, 0);
    first = last[0];
    CALL(cuGraphNodeGetType(first, &status));
    assert_int_equal(status, NODE_KERNEL);

    CALL(cuGraphAddMemsetNode(&mine, graph, last, n, &set, t.context));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroyNode(mine));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuStreamUpdateCaptureDependencies(t.stream, &mine, 1, 2));
    CALL(cuStreamUpdateCaptureDependencies(t.stream, &mine, 1, CAPTURE_SET_DEPENDENCIES));
    CALL(cuStreamGetCaptureInfo_v2(t.stream, &status, NULL, NULL, &last, &n));
    assert_int_equal(n, 1);
    assert_ptr_equal(last[0], mine);
    CALL(cuStreamUpdateCaptureDependencies_v2(t.stream, &first, NULL, 1, CAPTURE_ADD_DEPENDENCIES));
    CALL(cuStreamGetCaptureInfo_v2(t.stream, &status, NULL, NULL, NULL, &n));
    assert_int_equal(n, 2);
    fill(t.stream, t.a, 9);
    CALL(cuStreamEndCapture(t.stream, &ended));
    assert_ptr_equal(ended, graph);

    n = 8;
    CALL(cuGraphGetNodes(graph, all, &n));
    assert_int_equal(n, 3);
    assert_ptr_equal(all[0], first);
    assert_ptr_equal(all[1], mine);
    n = 8;
    CALL(cuGraphNodeGetDependencies(all[2], NULL, &n));
    assert_int_equal(n, 2);
    run(graph);
    check(t.a, 9);
    check(t.b, 8);
    CALL(cuGraphDestroy(graph));
}

/* Nodes of captured copies and sets can be asked for what they are. */
TEST(test_captured_nodes)
{
    CUgraphNode nodes[4];
    KernelNode kernel;
    CUgraph graph;
    SetNode set;
    Copy3D copy;
    size_t n = 4;

    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_RELAXED));
    CALL(cuMemsetD32Async(t.a, 3, N, t.stream));
    CALL(cuMemcpyDtoDAsync_v2(t.b, t.a, SIZE, t.stream));
    fill(t.stream, t.a, 4);
    CALL(cuStreamEndCapture(t.stream, &graph));
    CALL(cuGraphGetNodes(graph, nodes, &n));
    assert_int_equal(n, 3);
    CALL(cuGraphMemsetNodeGetParams(nodes[0], &set));
    assert_int_equal(set.address, t.a);
    assert_int_equal(set.value, 3);
    assert_int_equal(set.width * set.element, SIZE);
    CALL(cuGraphMemcpyNodeGetParams(nodes[1], &copy));
    assert_int_equal(copy.dst_device, t.b);
    assert_int_equal(copy.width_bytes * copy.height * copy.depth, SIZE);
    CALL(cuGraphKernelNodeGetParams_v2(nodes[2], &kernel));
    assert_ptr_equal(kernel.function, t.fill);
    assert_int_equal(*(uint32_t *) kernel.parameters[1], 4);
    *(uint32_t *) kernel.parameters[1] = 6;
    CALL(cuGraphKernelNodeSetParams_v2(nodes[2], &kernel));
    run(graph);
    check(t.a, 6);
    check(t.b, 3);
    CALL(cuGraphDestroy(graph));
}

/* Memory that the device does not reach, as CUDA's samples copy it in captures */
TEST(test_own_memory)
{
    uint32_t in[N], out[N] = {0};
    CUgraphExec exec;
    CUgraph graph;

    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_GLOBAL));
    CALL(cuMemcpyHtoDAsync_v2(t.a, in, SIZE, t.stream));
    CALL(cuMemcpyDtoDAsync_v2(t.b, t.a, SIZE, t.stream));
    CALL(cuMemcpyDtoHAsync_v2(out, t.b, SIZE, t.stream));
    CALL(cuStreamEndCapture(t.stream, &graph));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuGraphDestroy(graph));
    for (uint32_t round = 1; round < 4; round++) {
        for (unsigned i = 0; i < N; i++)
            in[i] = round + i;
        CALL(cuGraphLaunch(exec, t.stream));
        CALL(cuStreamSynchronize(t.stream));
        assert_memory_equal(in, out, SIZE);
    }
    CALL(cuGraphExecDestroy(exec));
}

TEST(test_capture_to_graph)
{
    const SetNode set = {.address = t.a, .value = 1, .element = 4, .width = N, .height = 1};
    CUgraphNode first, all[4], before;
    CUgraph graph, ended;
    CUdeviceptr memory;
    size_t n = 1;

    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphAddMemsetNode(&first, graph, NULL, 0, &set, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuStreamBeginCaptureToGraph(t.stream, NULL, NULL, NULL, 0, CAPTURE_RELAXED));
    CALL(cuStreamBeginCaptureToGraph(t.stream, graph, &first, NULL, 1, CAPTURE_RELAXED));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(graph));
    CALL(cuMemcpyDtoDAsync_v2(t.b, t.a, SIZE, t.stream));
    CALL(cuStreamEndCapture(t.stream, &ended));
    assert_ptr_equal(ended, graph);
    n = 4;
    CALL(cuGraphGetNodes(graph, all, &n));
    assert_int_equal(n, 2);
    n = 1;
    CALL(cuGraphNodeGetDependencies(all[1], &before, &n));
    assert_ptr_equal(before, first);
    run(graph);
    check(t.b, 1);

    /* As with the driver, the program's graph ends with a capture that fails. */
    CALL(cuStreamBeginCaptureToGraph(t.stream, graph, NULL, NULL, 0, CAPTURE_GLOBAL));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuMemAlloc_v2(&memory, 4096));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(t.stream, &ended));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphGetNodes(graph, NULL, &n));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(graph));
}

/* A stream that ends takes its capture with it: others are not held to its rules any more. */
TEST(test_stream_that_ends)
{
    CUgraph graph;
    CUstream stream;
    int status;

    CALL(cuEventRecord(t.join, t.other));
    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CALL(cuStreamBeginCapture_v2(stream, CAPTURE_GLOBAL));
    fill(stream, t.a, 1);
    CALL(cuStreamGetCaptureInfo_v2(stream, &status, NULL, &graph, NULL, NULL));
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuEventSynchronize(t.join));
    CALL(cuCtxSynchronize());
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphGetNodes(graph, NULL, &(size_t){0}));
    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_GLOBAL));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuCtxSynchronize());
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(t.stream, &graph));
}

static void *capture_own_stream(void *unused)
{
    CUgraph graph;
    int status;

    (void) unused;
    CALL(cuCtxSetCurrent(t.context));
    CALL(cuStreamBeginCapture_v2_ptsz(NULL, CAPTURE_RELAXED));
    CALL(cuStreamIsCapturing_ptsz(NULL, &status));
    assert_int_equal(status, CAPTURE_ACTIVE);
    fill(CU_STREAM_PER_THREAD, t.a, 15);
    CALL(cuStreamGetCaptureInfo_v2_ptsz(NULL, &status, NULL, &graph, NULL, NULL));
    CALL(cuStreamEndCapture_ptsz(NULL, &graph));
    run(graph);
    CALL(cuGraphDestroy(graph));
    return NULL;
}

TEST(test_per_thread)
{
    assert_int_equal(in_thread(capture_own_stream, NULL), 0);
    check(t.a, 15);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_begin_and_end, setup),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_invalidated),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_captured_nodes),
        cmocka_unit_test(test_own_memory),
        cmocka_unit_test(test_capture_to_graph),
        cmocka_unit_test(test_per_thread),
        cmocka_unit_test_teardown(test_stream_that_ends, teardown),
    };

    return libcuda_test_main(argc, argv, tests);
}

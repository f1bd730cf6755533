/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that captures allocate and free in the order of their streams. */
#include "cuda-api-memory.h"
#include "cuda-api-streams.h"
#include "test-libcuda-kernels.h"

#define N 4096u
#define SIZE (N * sizeof(uint32_t))

enum { GRAPH_MEMORY_USED = 0 };

static struct {
    CUcontext context;
    CUmodule module;
    CUstream stream, other;
    CUevent filled, freed;
    CUdeviceptr result; /* SIZE bytes that no graph has */
} t;

static int setup(void **state)
{
    (void) state;
    t.context = libcuda_primary();
    t.module = libcuda_load("tests/fake-cuda/session-kernels.ptx");
    CALL(cuStreamCreate(&t.stream, CU_STREAM_NON_BLOCKING));
    CALL(cuStreamCreate(&t.other, CU_STREAM_NON_BLOCKING));
    CALL(cuEventCreate(&t.filled, 0));
    CALL(cuEventCreate(&t.freed, 0));
    CALL(cuMemAlloc_v2(&t.result, SIZE));
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    CALL(cuModuleUnload(t.module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
    return 0;
}

static uint64_t used(void)
{
    uint64_t bytes = UINT64_MAX;

    CALL(cuDeviceGetGraphMemAttribute(0, GRAPH_MEMORY_USED, &bytes));
    return bytes;
}

static int node_type(CUgraphNode node)
{
    int type = -1;

    CALL(cuGraphNodeGetType(node, &type));
    return type;
}

/* As programs write it for a stream, and capture: two streams, memory that is freed in the other
 * one, and one piece that is left, or NULL */
static void work(CUdeviceptr *left)
{
    CUdeviceptr a, b, c;

    CALL(cuMemAllocAsync(&a, SIZE, t.stream));
    CALL(cuMemAllocAsync(&b, SIZE, t.stream));
    libcuda_fill(t.module, a, 41, N, t.stream);
    CALL(cuMemcpyDtoDAsync_v2(b, a, SIZE, t.stream));
    CALL(cuEventRecord(t.filled, t.stream));
    CALL(cuStreamWaitEvent(t.other, t.filled, 0));
    CALL(cuMemcpyDtoDAsync_v2(t.result, b, SIZE, t.other));
    CALL(cuMemFreeAsync(a, t.stream));
    CALL(cuMemAllocAsync(&c, SIZE, t.stream));
    CALL(cuMemcpyDtoDAsync_v2(c, b, SIZE, t.stream));
    if (left)
        *left = c;
    else
        CALL(cuMemFreeAsync(c, t.stream));
    CALL(cuEventRecord(t.filled, t.stream));
    CALL(cuStreamWaitEvent(t.other, t.filled, 0));
    CALL(cuMemFreeAsync(b, t.other));
    CALL(cuEventRecord(t.freed, t.other));
    CALL(cuStreamWaitEvent(t.stream, t.freed, 0));
}

static CUgraph capture(CUdeviceptr *left)
{
    CUgraph graph;

    CALL(cuStreamBeginCapture_v2(t.stream, 0));
    work(left);
    CALL(cuStreamEndCapture(t.stream, &graph));
    return graph;
}

static void launch(CUgraphExec exec)
{
    CALL(cuMemsetD32Async(t.result, 0, N, t.stream));
    CALL(cuGraphLaunch(exec, t.stream));
    CALL(cuStreamSynchronize(t.stream));
    libcuda_check(t.result, 41, N);
}

TEST(test_capture)
{
    CUgraphExec exec;
    CUgraph graph = capture(NULL);

    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuGraphDestroy(graph));
    for (unsigned i = 0; i < 3; i++)
        launch(exec);
    assert_int_equal(used(), 3 * SIZE);
    CALL(cuGraphExecDestroy(exec));
    assert_int_equal(used(), 0);
}

/* What a launch leaves allocated is freed by the program, in a stream or by another graph. */
TEST(test_left)
{
    CUgraphExec exec, freeing;
    CUdeviceptr left = 0;
    CUgraph graph = capture(&left);

    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuGraphDestroy(graph));
    launch(exec);
    libcuda_check(left, 41, N);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(exec, t.stream));
    CALL(cuMemFreeAsync(left, t.stream));
    launch(exec);

    CALL(cuStreamBeginCapture_v2(t.stream, 0));
    CALL(cuMemFreeAsync(left, t.stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(left, t.stream));
    CALL(cuStreamEndCapture(t.stream, &graph));
    CALL(cuGraphInstantiateWithFlags(&freeing, graph, 0));
    CALL(cuGraphDestroy(graph));
    CALL(cuGraphLaunch(freeing, t.stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(freeing, t.stream));
    launch(exec);
    CALL(cuGraphLaunch(freeing, t.stream));
    CALL(cuStreamSynchronize(t.stream));
    CALL(cuGraphExecDestroy(freeing));
    CALL(cuGraphExecDestroy(exec));
    assert_int_equal(used(), 0);
}

/* The nodes stand where the stream was, and say what they are. */
TEST(test_nodes)
{
    CUgraphNode nodes[4], from[4], to[4];
    const CUgraphNode *last;
    CUdeviceptr a, address;
    CUmemoryPool pool;
    AllocNode alloc;
    CUgraph graph;
    size_t n = 4;
    int status;

    CALL(cuDeviceGetDefaultMemPool(&pool, 0));
    CALL(cuStreamBeginCapture_v2(t.stream, 1));
    CALL(cuMemAllocFromPoolAsync(&a, SIZE, pool, t.stream));
    CALL(cuStreamGetCaptureInfo_v2(t.stream, &status, NULL, &graph, &last, &n));
    assert_int_equal(n, 1);
    assert_int_equal(node_type(last[0]), NODE_MEM_ALLOC);
    libcuda_fill(t.module, a, 42, N, t.stream);
    CALL(cuMemcpyDtoDAsync_v2(t.result, a, SIZE, t.stream));
    CALL(cuMemFreeAsync(a, t.stream));
    CALL(cuStreamGetCaptureInfo_v2(t.stream, &status, NULL, &graph, &last, &n));
    assert_int_equal(n, 1);
    assert_int_equal(node_type(last[0]), NODE_MEM_FREE);
    CALL(cuStreamEndCapture(t.stream, &graph));

    n = 4;
    CALL(cuGraphGetNodes(graph, nodes, &n));
    assert_int_equal(n, 4);
    CALL(cuGraphMemAllocNodeGetParams(nodes[0], &alloc));
    assert_int_equal(alloc.address, a);
    assert_int_equal(alloc.size, SIZE);
    CALL(cuGraphMemFreeNodeGetParams(nodes[3], &address));
    assert_int_equal(address, a);
    n = 4;
    CALL(cuGraphGetEdges(graph, from, to, &n));
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(from[i], nodes[i]);
        assert_ptr_equal(to[i], nodes[i + 1]);
    }
    CALL(cuGraphDestroy(graph));
    assert_int_equal(used(), 0);
}

/* What was asked for wrongly leaves the capture as it was; what fails takes its memory along. */
TEST(test_refusals)
{
    CUdeviceptr a, b, before;
    CUgraphExec exec;
    CUgraph graph;

    CALL(cuMemAllocAsync(&before, SIZE, t.stream));
    CALL(cuStreamBeginCapture_v2(t.stream, 2));
    CALL(cuMemAllocAsync(&a, 0, t.stream));
    assert_int_equal(a, 0);
    CALL(cuMemFreeAsync(a, t.stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAllocAsync(NULL, SIZE, t.stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemAllocFromPoolAsync(&a, SIZE, NULL, t.stream));
    CALL_FAILS(CUDA_ERROR_OUT_OF_MEMORY, cuMemAllocAsync(&a, (size_t) 1 << 50, t.stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(before, t.stream));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(64, t.stream));
    CALL(cuMemAllocAsync(&a, SIZE, t.stream));
    /* A stream that captures nothing allocates as ever. */
    CALL(cuMemAllocAsync(&b, SIZE, t.other));
    libcuda_fill(t.module, a, 41, N, t.stream);
    CALL(cuMemcpyDtoDAsync_v2(t.result, a, SIZE, t.stream));
    CALL(cuMemFreeAsync(a, t.stream));
    CALL(cuStreamEndCapture(t.stream, &graph));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    launch(exec);
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
    CALL(cuMemFreeAsync(before, t.stream));
    CALL(cuMemFreeAsync(b, t.other));

    CALL(cuStreamBeginCapture_v2(t.stream, 0));
    CALL(cuMemAllocAsync(&a, SIZE, t.stream));
    assert_int_equal(used(), SIZE);
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamSynchronize(t.stream));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuMemAllocAsync(&b, SIZE, t.stream));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuMemFreeAsync(a, t.stream));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(t.stream, &graph));
    assert_int_equal(used(), 0);
}

/* In a graph of the program's, behind a node of it; and in the thread's default stream */
TEST(test_into_graph)
{
    SetNode set = {.value = 41, .element = 4, .width = N, .height = 1};
    CUgraphNode filled;
    CUgraphExec exec;
    CUdeviceptr a;
    CUgraph graph, same;

    CALL(cuGraphCreate(&graph, 0));
    set.address = t.result;
    CALL(cuGraphAddMemsetNode(&filled, graph, NULL, 0, &set, t.context));
    CALL(cuStreamBeginCaptureToGraph_ptsz(NULL, graph, &filled, NULL, 1, 2));
    CALL(cuMemAllocAsync_ptsz(&a, SIZE, NULL));
    CALL(cuMemcpyDtoDAsync_v2_ptsz(a, t.result, SIZE, NULL));
    CALL(cuMemsetD32Async_ptsz(t.result, 40, N, NULL));
    CALL(cuMemcpyDtoDAsync_v2_ptsz(t.result, a, SIZE, NULL));
    CALL(cuMemFreeAsync_ptsz(a, NULL));
    CALL(cuStreamEndCapture_ptsz(NULL, &same));
    assert_ptr_equal(same, graph);
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuGraphDestroy(graph));
    launch(exec);
    launch(exec);
    CALL(cuGraphExecDestroy(exec));
    assert_int_equal(used(), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_capture, setup),
        cmocka_unit_test(test_left),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test_teardown(test_into_graph, teardown),
    };

    return libcuda_test_main(argc, argv, tests);
}

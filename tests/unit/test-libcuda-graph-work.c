/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Executable graphs and what changes in them; nodes that are functions, graphs, events and words;
 * user objects; graphs as texts. */
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test-libcuda.h"

#define N 1000u
#define SIZE (N * sizeof(uint32_t))

static struct {
    CUcontext context;
    CUmodule module;
    CUfunction fill;
    CUstream stream;
    CUdeviceptr a, b;
} t;

static int setup(void **state)
{
    (void) state;
    t.context = libcuda_primary();
    t.module = libcuda_load("tests/fake-cuda/session-kernels.ptx");
    CALL(cuModuleGetFunction(&t.fill, t.module, "fill"));
    CALL(cuStreamCreate(&t.stream, CU_STREAM_NON_BLOCKING));
    CALL(cuMemAlloc_v2(&t.a, SIZE));
    CALL(cuMemAlloc_v2(&t.b, SIZE));
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    CALL(cuModuleUnload(t.module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
    return 0;
}

static SetNode set_of(CUdeviceptr to, uint32_t value)
{
    return (SetNode){.address = to, .value = value, .element = 4, .width = N, .height = 1};
}

static CUgraphNode add_set(CUgraph graph, const CUgraphNode *after, size_t n, CUdeviceptr to,
                           uint32_t value)
{
    const SetNode set = set_of(to, value);
    CUgraphNode node;

    CALL(cuGraphAddMemsetNode(&node, graph, after, n, &set, t.context));
    return node;
}

static KernelNode fill_node(void **each)
{
    return (KernelNode){
        .function = t.fill,
        .grid_x = (N + 255) / 256,
        .grid_y = 1,
        .grid_z = 1,
        .block_x = 256,
        .block_y = 1,
        .block_z = 1,
        .parameters = each,
    };
}

static void check(CUdeviceptr from, uint32_t value)
{
    uint32_t numbers[N];

    CALL(cuStreamSynchronize(t.stream));
    CALL(cuMemcpyDtoH_v2(numbers, from, SIZE));
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(numbers[i], value);
}

static void launch(CUgraphExec exec)
{
    CALL(cuGraphLaunch(exec, t.stream));
    CALL(cuStreamSynchronize(t.stream));
}

/* ---- Executable graphs ------------------------------------------------------------------------
 */

TEST(test_instantiate)
{
    GraphInstantiate params = {.flags = GRAPH_UPLOAD, .upload_stream = t.stream, .result = 7};
    CUgraphNode node, error = (CUgraphNode) 1;
    CUgraphNode a, b;
    CUgraphExec exec;
    CUgraph graph;
    cuuint64_t flags;
    char log[16] = "x";

    CALL(cuGraphCreate(&graph, 0));
    node = add_set(graph, NULL, 0, t.a, 1);
    (void) node;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithFlags(NULL, graph, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithFlags(&exec, NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithFlags(&exec, graph, 0x100));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithFlags(&exec, graph, GRAPH_UPLOAD));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithParams(&exec, graph, NULL));
    CALL(cuGraphInstantiateWithParams(&exec, graph, &params));
    assert_int_equal(params.result, 0);
    assert_null(params.error_node);
    CALL(cuGraphExecGetFlags(exec, &flags));
    assert_int_equal(flags, GRAPH_UPLOAD);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphExecGetFlags(exec, NULL));
    CALL(cuGraphUpload(exec, t.stream));
    launch(exec);
    check(t.a, 1);
    CALL(cuGraphExecDestroy(exec));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphExecDestroy(exec));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(exec, t.stream));
    CALL(cuGraphInstantiate_v2(&exec, graph, &error, log, sizeof(log)));
    assert_null(error);
    assert_int_equal(log[0], 0);
    CALL(cuGraphExecDestroy(exec));

    /* Two nodes that wait for each other */
    CALL(cuGraphAddEmptyNode(&a, graph, NULL, 0));
    CALL(cuGraphAddEmptyNode(&b, graph, &a, 1));
    CALL(cuGraphAddDependencies(graph, &b, &a, 1));
    params.flags = 0;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithParams(&exec, graph, &params));
    assert_int_equal(params.result, 2);
    CALL(cuGraphDestroy(graph));
}

/* As llama.cpp does for each token: the same graph with other parameters. */
TEST(test_update)
{
    uint32_t value = 1;
    uint64_t n = N;
    void *each[] = {&t.a, &value, &n};
    KernelNode params = fill_node(each);
    GraphUpdate info = {.result = 9};
    CUgraphNode node, other, error = (CUgraphNode) 1;
    CUgraphExec exec;
    CUgraph graph, more;
    int result = 9;

    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphAddKernelNode_v2(&node, graph, NULL, 0, &params));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    for (value = 2; value < 6; value++) {
        CALL(cuGraphKernelNodeSetParams_v2(node, &params));
        CALL(cuGraphExecUpdate_v2(exec, graph, &info));
        assert_int_equal(info.result, 0);
        assert_null(info.error_node);
        launch(exec);
        check(t.a, value);
    }
    CALL(cuGraphExecKernelNodeSetParams_v2(exec, node, &params));
    launch(exec);
    check(t.a, value);

    CALL(cuGraphClone(&more, graph));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphExecUpdate(exec, graph, NULL, &result));
    CALL(cuGraphExecUpdate(exec, more, &error, &result));
    assert_null(error);
    assert_int_equal(result, 0);
    launch(exec);
    check(t.a, 5);
    CALL(cuGraphNodeFindInClone(&other, node, more));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphExecKernelNodeSetParams_v2(exec, other, &params));
    (void) add_set(more, &other, 1, t.b, 1);
    CALL_FAILS(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate_v2(exec, more, &info));
    assert_int_equal(info.result, 2); /* the topology has changed */
    CALL(cuGraphDestroy(more));

    /* The same shape of nodes of other types: the first that differs is told. */
    CALL(cuGraphCreate(&more, 0));
    other = add_set(more, NULL, 0, t.b, 1);
    CALL_FAILS(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate_v2(exec, more, &info));
    assert_int_equal(info.result, 3);
    assert_ptr_equal(info.error_node, other);
    CALL(cuGraphDestroy(more));
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
}

TEST(test_exec_set_and_enable)
{
    SetNode set = set_of(t.b, 4);
    Copy3D copy = {.src_type = 2,
                   .src_device = t.a,
                   .dst_type = 2,
                   .dst_device = t.b,
                   .width_bytes = SIZE,
                   .height = 1,
                   .depth = 1};
    CUgraphNode a, b, empty;
    CUgraphExec exec;
    CUgraph graph;
    unsigned is_enabled = 9;

    CALL(cuGraphCreate(&graph, 0));
    a = add_set(graph, NULL, 0, t.a, 3);
    CALL(cuGraphAddMemcpyNode(&b, graph, &a, 1, &copy, t.context));
    CALL(cuGraphAddEmptyNode(&empty, graph, NULL, 0));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    launch(exec);
    check(t.b, 3);
    set = set_of(t.a, 4);
    CALL(cuGraphExecMemsetNodeSetParams(exec, a, &set, t.context));
    launch(exec);
    check(t.b, 4);
    copy.dst_device = t.a;
    copy.src_device = t.b;
    CALL(cuGraphExecMemcpyNodeSetParams(exec, b, &copy, t.context));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphExecMemcpyNodeSetParams(exec, a, &copy, t.context));

    CALL(cuGraphNodeGetEnabled(exec, a, &is_enabled));
    assert_int_equal(is_enabled, 1);
    CALL(cuGraphNodeSetEnabled(exec, a, 0));
    CALL(cuGraphNodeGetEnabled(exec, a, &is_enabled));
    assert_int_equal(is_enabled, 0);
    CALL(cuMemsetD32_v2(t.b, 6, N));
    CALL(cuCtxSynchronize());
    launch(exec); /* a is left out: 6 comes from b */
    check(t.a, 6);
    CALL(cuGraphNodeSetEnabled(exec, a, 1));
    launch(exec);
    check(t.a, 6);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeSetEnabled(exec, empty, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeGetEnabled(exec, a, NULL));
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
}

/* ---- Other nodes ------------------------------------------------------------------------------
 */

static void add_one(void *data)
{
    atomic_fetch_add((atomic_int *) data, 1);
}

static void add_ten(void *data)
{
    atomic_fetch_add((atomic_int *) data, 10);
}

TEST(test_host)
{
    atomic_int count = 0, other = 0;
    HostNode host = {add_one, &count}, got;
    CUgraphNode a, b;
    CUgraphExec exec;
    CUgraph graph;

    CALL(cuGraphCreate(&graph, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphAddHostNode(&a, graph, NULL, 0, &(const HostNode){0}));
    CALL(cuGraphAddHostNode(&a, graph, NULL, 0, &host));
    b = add_set(graph, &a, 1, t.a, 2);
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    launch(exec);
    launch(exec);
    assert_int_equal(count, 2);
    check(t.a, 2);
    CALL(cuGraphHostNodeGetParams(a, &got));
    assert_true(got.function == add_one && got.data == &count);
    host = (HostNode){add_ten, &other};
    CALL(cuGraphExecHostNodeSetParams(exec, a, &host));
    launch(exec);
    assert_int_equal(count, 2);
    assert_int_equal(other, 10);
    CALL(cuGraphHostNodeSetParams(a, &host));
    CALL(cuGraphHostNodeGetParams(a, &got));
    assert_true(got.function == add_ten && got.data == &other);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphHostNodeSetParams(b, &host));
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
}

TEST(test_child)
{
    CUgraph graph, child, own = NULL, again;
    CUgraphNode node, inner, nodes[2];
    CUgraphExec exec;
    size_t n = 2;
    int type;

    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphCreate(&child, 0));
    inner = add_set(child, NULL, 0, t.a, 41);
    (void) add_set(child, &inner, 1, t.b, 42);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddChildGraphNode(&node, graph, NULL, 0, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddChildGraphNode(&node, graph, NULL, 0, graph));
    CALL(cuGraphAddChildGraphNode(&node, graph, NULL, 0, child));
    CALL(cuGraphChildGraphNodeGetGraph(node, &own));
    CALL(cuGraphChildGraphNodeGetGraph(node, &again));
    assert_ptr_equal(own, again);
    assert_ptr_not_equal(own, child);
    CALL(cuGraphGetNodes(own, nodes, &n));
    assert_int_equal(n, 2);
    CALL(cuGraphNodeGetType(nodes[0], &type));
    assert_int_equal(type, NODE_MEMSET);
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphAddEmptyNode(&inner, own, NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(own));

    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    launch(exec);
    check(t.a, 41);
    check(t.b, 42);
    CALL(cuGraphDestroy(child));
    CALL(cuGraphCreate(&child, 0));
    inner = add_set(child, NULL, 0, t.a, 51);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphExecChildGraphNodeSetParams(exec, node, child));
    (void) add_set(child, &inner, 1, t.b, 52);
    CALL(cuGraphExecChildGraphNodeSetParams(exec, node, child));
    launch(exec);
    check(t.b, 52);
    CALL(cuGraphDestroy(child));
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphGetNodes(own, NULL, &n));
}

TEST(test_events)
{
    CUevent a, b, got;
    CUgraphNode record, wait;
    CUgraphExec exec;
    CUgraph graph;

    CALL(cuEventCreate(&a, 0));
    CALL(cuEventCreate(&b, 0));
    CALL(cuGraphCreate(&graph, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddEventRecordNode(&record, graph, NULL, 0, NULL));
    CALL(cuGraphAddEventRecordNode(&record, graph, NULL, 0, a));
    CALL(cuGraphAddEventWaitNode(&wait, graph, &record, 1, a));
    CALL(cuGraphEventRecordNodeGetEvent(record, &got));
    assert_ptr_equal(got, a);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphEventWaitNodeGetEvent(record, &got));
    CALL(cuGraphEventWaitNodeSetEvent(wait, b));
    CALL(cuGraphEventWaitNodeGetEvent(wait, &got));
    assert_ptr_equal(got, b);
    CALL(cuGraphEventRecordNodeSetEvent(record, b));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuGraphExecEventRecordNodeSetEvent(exec, record, a));
    CALL(cuGraphExecEventWaitNodeSetEvent(exec, wait, a));
    launch(exec);
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
    CALL(cuEventDestroy_v2(a));
    CALL(cuEventDestroy_v2(b));
}

TEST(test_words)
{
    enum { WAIT_32 = 1, WRITE_32 = 2, BARRIER = 6, WRITE_64 = 5 };
    GraphWord words[3] = {
        {.operation = WRITE_32, .address = t.a, .value = 7},
        {.operation = WAIT_32, .address = t.a, .value = 7},
        {.operation = WRITE_64, .address = t.a + 8, .value = UINT64_C(1) << 40},
    };
    WordNode p = {.context = t.context, .n = 3, .words = words}, got;
    uint64_t numbers[2];
    CUgraphNode node;
    CUgraphExec exec;
    CUgraph graph;

    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphAddBatchMemOpNode(&node, graph, NULL, 0, &p));
    CALL(cuGraphBatchMemOpNodeGetParams(node, &got));
    assert_int_equal(got.n, 3);
    assert_int_equal(got.words[1].operation, WAIT_32);
    assert_int_equal(got.words[2].value, UINT64_C(1) << 40);
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    launch(exec);
    CALL(cuMemcpyDtoH_v2(numbers, t.a, sizeof(numbers)));
    assert_int_equal((uint32_t) numbers[0], 7);
    assert_int_equal(numbers[1], UINT64_C(1) << 40);
    words[2].value = 5;
    CALL(cuGraphExecBatchMemOpNodeSetParams(exec, node, &p));
    launch(exec);
    CALL(cuMemcpyDtoH_v2(numbers, t.a, sizeof(numbers)));
    assert_int_equal(numbers[1], 5);
    p.n = 1;
    CALL(cuGraphBatchMemOpNodeSetParams(node, &p));
    CALL(cuGraphBatchMemOpNodeGetParams(node, &got));
    assert_int_equal(got.n, 1);
    words[0].operation = BARRIER;
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphBatchMemOpNodeSetParams(node, &p));
    p.n = 0;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphBatchMemOpNodeSetParams(node, &p));
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
}

/* The functions that take any kind */
TEST(test_any)
{
    uint32_t value = 61;
    uint64_t n = N;
    void *each[] = {&t.a, &value, &n};
    AnyNode kernel = {.type = NODE_KERNEL, .kernel = fill_node(each)};
    AnyNode copy = {.type = NODE_MEMCPY,
                    .memcpy = {.copy = {.src_type = 2,
                                        .src_device = t.a,
                                        .dst_type = 2,
                                        .dst_device = t.b,
                                        .width_bytes = SIZE,
                                        .height = 1,
                                        .depth = 1},
                               .context = t.context}};
    AnyNode conditional = {.type = NODE_CONDITIONAL}, empty = {.type = NODE_EMPTY};
    CUgraphNode a, b, c;
    CUgraphExec exec;
    CUgraph graph;

    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphAddNode(&a, graph, NULL, 0, &kernel));
    CALL(cuGraphAddNode_v2(&b, graph, &a, &(const GraphEdge){0}, 1, &copy));
    CALL(cuGraphAddNode(&c, graph, &b, 1, &empty));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphAddNode_v2(&c, graph, &a, &(const GraphEdge){.type = 1}, 1, &empty));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddNode(&c, graph, NULL, 0, &conditional));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddNode(&c, graph, NULL, 0, NULL));
    empty.reserved2 = 1;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddNode(&c, graph, NULL, 0, &empty));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    launch(exec);
    check(t.b, 61);
    value = 62;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeSetParams(b, &kernel));
    CALL(cuGraphExecNodeSetParams(exec, a, &kernel));
    launch(exec);
    check(t.b, 62);
    value = 63;
    CALL(cuGraphNodeSetParams(a, &kernel));
    CALL(cuGraphExecUpdate_v2(exec, graph, &(GraphUpdate){0}));
    launch(exec);
    check(t.b, 63);
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
}

/* ---- User objects and texts -------------------------------------------------------------------
 */

static void wait_for(atomic_int *count, int value)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int i = 0; i < 5000 && atomic_load(count) != value; i++)
        nanosleep(&pause, NULL);
    assert_int_equal(atomic_load(count), value);
}

TEST(test_user_objects)
{
    atomic_int count = 0;
    CUuserObject object;
    CUgraphExec exec;
    CUgraph graph, clone;

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuUserObjectCreate(&object, &count, add_one, 1, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuUserObjectCreate(&object, &count, add_one, 0, USER_OBJECT_NO_DESTRUCTOR_SYNC));
    CALL(cuUserObjectCreate(&object, &count, add_one, 2, USER_OBJECT_NO_DESTRUCTOR_SYNC));
    CALL(cuUserObjectRetain(object, 3));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuUserObjectRelease(object, 6));
    CALL(cuUserObjectRelease(object, 4));
    CALL(cuGraphCreate(&graph, 0));
    (void) add_set(graph, NULL, 0, t.a, 1);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphRetainUserObject(graph, object, 2, 1));
    CALL(cuGraphRetainUserObject(graph, object, 2, 0));
    CALL(cuGraphRetainUserObject(graph, object, 1, GRAPH_USER_OBJECT_MOVE));
    CALL(cuGraphReleaseUserObject(graph, object, 2));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphReleaseUserObject(graph, object, 2));
    CALL(cuGraphClone(&clone, graph));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuGraphDestroy(graph));
    CALL(cuGraphDestroy(clone));
    CALL(cuGraphLaunch(exec, t.stream));
    assert_int_equal(atomic_load(&count), 0);
    CALL(cuGraphExecDestroy(exec));
    wait_for(&count, 1);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuUserObjectRetain(object, 1));
    CALL(cuStreamSynchronize(t.stream));

    CALL(cuUserObjectCreate(&object, &count, add_ten, 1, USER_OBJECT_NO_DESTRUCTOR_SYNC));
    CALL(cuUserObjectRelease(object, 1));
    wait_for(&count, 11);
}

TEST(test_print)
{
    char path[] = "/tmp/test-libcuda-graphs-XXXXXX", text[4096] = "";
    CUgraphNode a, node;
    CUgraph graph, child;
    FILE *file;
    int fd = mkstemp(path);
    uint32_t value = 1;
    uint64_t n = N;
    void *each[] = {&t.a, &value, &n};
    const KernelNode params = fill_node(each);

    assert_true(fd >= 0);
    close(fd);
    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphCreate(&child, 0));
    (void) add_set(child, NULL, 0, t.a, 1);
    CALL(cuGraphAddKernelNode_v2(&a, graph, NULL, 0, &params));
    CALL(cuGraphAddChildGraphNode(&node, graph, &a, 1, child));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDebugDotPrint(graph, NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDebugDotPrint(graph, path, 1u << 20));
    CALL(cuGraphDebugDotPrint(graph, path, 1));
    file = fopen(path, "re");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    assert_non_null(strstr(text, "digraph"));
    assert_non_null(strstr(text, "KERNEL"));
    assert_non_null(strstr(text, "fill"));
    assert_non_null(strstr(text, "MEMSET"));
    assert_non_null(strstr(text, "->"));
    CALL(cuGraphDestroy(child));
    CALL(cuGraphDestroy(graph));
    unlink(path);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_instantiate, setup),
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_exec_set_and_enable),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_child),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_user_objects),
        cmocka_unit_test_teardown(test_print, teardown),
    };

    return libcuda_test_main(argc, argv, tests);
}

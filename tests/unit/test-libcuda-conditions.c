/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Conditional nodes, whose graphs kernels choose. */
#include <string.h>

#include "cuda-api-streams.h"
#include "test-libcuda.h"

enum { INSTANTIATE_HANDLE_UNUSED = 5 };

static struct {
    CUcontext context;
    CUmodule module;
    CUfunction set, take, count, add;
    CUstream stream, other;
    CUdeviceptr cells; /* numbers */
} t;

#define CELLS 16u

static CUdeviceptr cell(unsigned i)
{
    return t.cells + i * sizeof(uint32_t);
}

static int setup(void **state)
{
    (void) state;
    t.context = libcuda_primary();
    t.module = libcuda_load("tests/fake-cuda/session-conditions.ptx");
    CALL(cuModuleGetFunction(&t.set, t.module, "set_condition"));
    CALL(cuModuleGetFunction(&t.take, t.module, "take_condition"));
    CALL(cuModuleGetFunction(&t.count, t.module, "count_down"));
    CALL(cuModuleGetFunction(&t.add, t.module, "add_number"));
    CALL(cuStreamCreate(&t.stream, CU_STREAM_NON_BLOCKING));
    CALL(cuStreamCreate(&t.other, CU_STREAM_NON_BLOCKING));
    CALL(cuMemAlloc_v2(&t.cells, CELLS * sizeof(uint32_t)));
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    CALL(cuModuleUnload(t.module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
    return 0;
}

static void put(unsigned i, uint32_t value)
{
    CALL(cuMemsetD32Async(cell(i), value, 1, t.stream));
}

static uint32_t get(unsigned i)
{
    uint32_t value = UINT32_MAX;

    CALL(cuMemcpyDtoH_v2(&value, cell(i), sizeof(value)));
    return value;
}

/* A kernel of two numbers, or of a number and a pointer */
typedef struct Kernel {
    CUfunction function;
    uint64_t first, second;
} Kernel;

static AnyNode kernel_node(Kernel *k, void *each[2])
{
    each[0] = &k->first;
    each[1] = &k->second;
    return (AnyNode){
        .type = NODE_KERNEL,
        .kernel = {.function = k->function,
                   .grid_x = 1,
                   .grid_y = 1,
                   .grid_z = 1,
                   .block_x = 1,
                   .block_y = 1,
                   .block_z = 1,
                   .parameters = each},
    };
}

static CUgraphNode add_kernel(CUgraph graph, CUgraphNode after, Kernel k)
{
    void *each[2];
    AnyNode params = kernel_node(&k, each);
    CUgraphNode node;

    CALL(cuGraphAddNode_v2(&node, graph, &after, NULL, after != NULL, &params));
    return node;
}

static void launch_kernel(CUstream stream, Kernel k)
{
    void *each[2] = {&k.first, &k.second};

    CALL(cuLaunchKernel(k.function, 1, 1, 1, 1, 1, 1, 0, stream, each, NULL));
}

static AnyNode condition(CUgraphConditionalHandle handle, int type, unsigned size)
{
    return (AnyNode){
        .type = NODE_CONDITIONAL,
        .conditional = {.handle = handle, .type = type, .size = size, .context = t.context},
    };
}

/* Its graphs, as the node has them */
static CUgraph *add_condition(CUgraphNode *ret, CUgraph graph, CUgraphNode after,
                              CUgraphConditionalHandle handle, int type, unsigned size)
{
    AnyNode params = condition(handle, type, size);

    CALL(cuGraphAddNode_v2(ret, graph, &after, NULL, after != NULL, &params));
    assert_non_null(params.conditional.graphs);
    return params.conditional.graphs;
}

static CUgraphConditionalHandle handle_of(CUgraph graph)
{
    CUgraphConditionalHandle handle = 0;

    CALL(cuGraphConditionalHandleCreate(&handle, graph, t.context, 0, 0));
    assert_int_not_equal(handle, 0);
    return handle;
}

static CUgraphExec made(CUgraph graph)
{
    CUgraphExec exec;

    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    return exec;
}

static void launch(CUgraphExec exec)
{
    CALL(cuGraphLaunch(exec, t.stream));
    CALL(cuStreamSynchronize(t.stream));
}

/* Cell 0 says what is chosen; the graph @i adds 1 to cell 1 + @i, and cell 9 counts launches. */
static CUgraph chooses(int type, unsigned size)
{
    CUgraphConditionalHandle handle;
    CUgraphNode first, node;
    CUgraph graph, *bodies;

    CALL(cuGraphCreate(&graph, 0));
    handle = handle_of(graph);
    first = add_kernel(graph, NULL, (Kernel){t.take, handle, cell(0)});
    bodies = add_condition(&node, graph, first, handle, type, size);
    for (unsigned i = 0; i < size; i++)
        (void) add_kernel(bodies[i], NULL, (Kernel){t.add, cell(1 + i), 1});
    (void) add_kernel(graph, node, (Kernel){t.add, cell(9), 1});
    CALL(cuMemsetD32Async(t.cells, 0, CELLS, t.stream));
    return graph;
}

static void check_choice(CUgraphExec exec, uint32_t value, unsigned size, unsigned chosen)
{
    uint32_t before[CELLS];

    put(0, value);
    CALL(cuStreamSynchronize(t.stream));
    CALL(cuMemcpyDtoH_v2(before, t.cells, sizeof(before)));
    launch(exec);
    for (unsigned i = 0; i < size; i++)
        assert_int_equal(get(1 + i), before[1 + i] + (i == chosen));
    assert_int_equal(get(9), before[9] + 1);
}

TEST(test_if)
{
    CUgraph graph = chooses(CONDITION_IF, 1);
    CUgraphExec exec = made(graph);

    check_choice(exec, 1, 1, 0);
    check_choice(exec, 0, 1, 1);
    check_choice(exec, 7, 1, 0);
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));

    graph = chooses(CONDITION_IF, 2);
    exec = made(graph);
    CALL(cuGraphDestroy(graph));
    check_choice(exec, 0, 2, 1);
    check_choice(exec, 1, 2, 0);
    CALL(cuGraphExecDestroy(exec));
}

TEST(test_switch)
{
    CUgraph graph = chooses(CONDITION_SWITCH, 5);
    CUgraphExec exec = made(graph);

    for (unsigned i = 0; i < 7; i++)
        check_choice(exec, i, 5, i);
    check_choice(exec, UINT32_MAX, 5, 5);
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
}

/* It begins with what the handle says, and its graph is captured. */
TEST(test_while)
{
    CUgraphConditionalHandle handle;
    CUgraphNode node, nodes[2];
    CUgraph graph, *bodies;
    CUgraphExec exec;
    size_t n = 2;

    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphConditionalHandleCreate(&handle, graph, NULL, 1, CONDITION_ASSIGN_DEFAULT));
    bodies = add_condition(&node, graph, NULL, handle, CONDITION_WHILE, 1);
    CALL(cuStreamBeginCaptureToGraph(t.stream, bodies[0], NULL, NULL, 0, 0));
    launch_kernel(t.stream, (Kernel){t.add, cell(1), 3});
    launch_kernel(t.stream, (Kernel){t.count, handle, cell(0)});
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(graph));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroyNode(node));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuStreamEndCapture(t.stream, NULL));
    CALL(cuGraphGetNodes(bodies[0], nodes, &n));
    assert_int_equal(n, 2);
    exec = made(graph);
    for (uint32_t times = 1; times < 6; times += 2) {
        put(0, times);
        put(1, 0);
        launch(exec);
        assert_int_equal(get(0), 0);
        assert_int_equal(get(1), 3 * times);
    }
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
}

/* A loop that chooses in each round, with copies, sets and a graph in what it chooses */
TEST(test_nested)
{
    SetNode set = {.address = cell(4), .value = 40, .element = 4, .width = 1, .height = 1};
    Copy3D copy = {.src_type = 2,
                   .src_device = cell(4),
                   .dst_type = 2,
                   .dst_device = cell(5),
                   .width_bytes = sizeof(uint32_t),
                   .height = 1,
                   .depth = 1};
    CUgraphConditionalHandle loop, choice;
    CUgraphNode node, inner, a, b;
    CUgraph graph, child, *bodies, *branches;
    CUgraphExec exec;

    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphCreate(&child, 0));
    (void) add_kernel(child, NULL, (Kernel){t.add, cell(1), 10});
    CALL(cuGraphConditionalHandleCreate(&loop, graph, t.context, 1, CONDITION_ASSIGN_DEFAULT));
    choice = handle_of(graph);
    bodies = add_condition(&node, graph, NULL, loop, CONDITION_WHILE, 1);
    a = add_kernel(bodies[0], NULL, (Kernel){t.take, choice, cell(2)});
    branches = add_condition(&inner, bodies[0], a, choice, CONDITION_IF, 2);
    (void) add_kernel(bodies[0], inner, (Kernel){t.count, loop, cell(0)});
    CALL(cuGraphAddChildGraphNode(&a, branches[0], NULL, 0, child));
    CALL(cuGraphAddMemsetNode(&a, branches[1], NULL, 0, &set, t.context));
    CALL(cuGraphAddMemcpyNode(&b, branches[1], &a, 1, &copy, t.context));
    CALL(cuGraphAddEmptyNode(&a, branches[1], &b, 1));
    CALL(cuGraphDestroy(child));
    exec = made(graph);
    CALL(cuGraphDestroy(graph));
    for (uint32_t which = 0; which < 2; which++) {
        CALL(cuMemsetD32Async(t.cells, 0, CELLS, t.stream));
        put(0, 4);
        put(2, which);
        launch(exec);
        assert_int_equal(get(0), 0);
        assert_int_equal(get(1), which ? 40 : 0);
        assert_int_equal(get(5), which ? 0 : 40);
    }
    CALL(cuGraphExecDestroy(exec));
}

/* In a graph that grows: a handle of it, a node behind what was captured, and what is captured
 * behind that; the node's graph is captured meanwhile. */
TEST(test_captured)
{
    const CUgraphNode *last;
    CUgraphConditionalHandle handle;
    CUgraphNode node;
    CUgraph graph, same, *bodies;
    CUgraphExec exec;
    AnyNode params;
    size_t n;
    int status;

    CALL(cuStreamBeginCapture_v2(t.stream, 0));
    launch_kernel(t.stream, (Kernel){t.add, cell(0), 2});
    CALL(cuStreamGetCaptureInfo_v2(t.stream, &status, NULL, &graph, &last, &n));
    handle = handle_of(graph);
    launch_kernel(t.stream, (Kernel){t.take, handle, cell(0)});
    CALL(cuStreamGetCaptureInfo_v2(t.stream, &status, NULL, &graph, &last, &n));
    params = condition(handle, CONDITION_WHILE, 1);
    CALL(cuGraphAddNode(&node, graph, last, n, &params));
    bodies = params.conditional.graphs;
    CALL(cuStreamUpdateCaptureDependencies(t.stream, &node, 1, CAPTURE_SET_DEPENDENCIES));
    CALL(cuStreamBeginCaptureToGraph(t.other, bodies[0], NULL, NULL, 0, 0));
    launch_kernel(t.other, (Kernel){t.add, cell(1), 1});
    launch_kernel(t.other, (Kernel){t.count, handle, cell(0)});
    CALL(cuStreamEndCapture(t.other, &same));
    assert_ptr_equal(same, bodies[0]);
    launch_kernel(t.stream, (Kernel){t.add, cell(2), 1});
    CALL(cuStreamEndCapture(t.stream, &same));
    assert_ptr_equal(same, graph);
    CALL(cuGraphGetNodes(graph, NULL, &n));
    assert_int_equal(n, 4);
    exec = made(graph);
    CALL(cuMemsetD32Async(t.cells, 0, CELLS, t.stream));
    put(0, 3);
    launch(exec);
    assert_int_equal(get(0), 0);
    assert_int_equal(get(1), 5);
    assert_int_equal(get(2), 1);
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
}

/* A capture that fails takes its conditional nodes along; one into the graph of a node leaves a
 * graph of no use, which can be destroyed. */
TEST(test_failed_capture)
{
    CUgraphConditionalHandle handle;
    const CUgraphNode *last;
    CUgraphNode node;
    CUgraph graph, none, *bodies;
    CUdeviceptr memory;
    CUgraphExec exec;
    AnyNode params;
    size_t n;
    int status;

    CALL(cuStreamBeginCapture_v2(t.stream, 0));
    CALL(cuStreamGetCaptureInfo_v2(t.stream, &status, NULL, &graph, &last, &n));
    handle = handle_of(graph);
    params = condition(handle, CONDITION_SWITCH, 3);
    CALL(cuGraphAddNode(&node, graph, last, n, &params));
    CALL(cuStreamBeginCaptureToGraph(t.other, params.conditional.graphs[1], NULL, NULL, 0, 0));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamSynchronize(t.stream));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(t.stream, &none));
    assert_int_not_equal(cuStreamEndCapture(t.other, &none), CUDA_SUCCESS);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(graph));

    CALL(cuGraphCreate(&graph, 0));
    handle = handle_of(graph);
    bodies = add_condition(&node, graph, NULL, handle, CONDITION_IF, 1);
    CALL(cuStreamBeginCaptureToGraph(t.stream, bodies[0], NULL, NULL, 0, 0));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuMemAlloc_v2(&memory, 64));
    assert_int_not_equal(cuStreamEndCapture(t.stream, NULL), CUDA_SUCCESS);
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuGraphDestroy(graph));
}

TEST(test_wrong_parameters)
{
    static const struct {
        int type;
        unsigned size;
    } wrong[] = {{CONDITION_IF, 0},
                 {CONDITION_IF, 3},
                 {CONDITION_WHILE, 2},
                 {CONDITION_SWITCH, 0},
                 {3, 1},
                 {-1, 1}};
    CUgraphConditionalHandle handle, foreign;
    CUgraph graph, other, *bodies;
    CUgraphNode node;
    AnyNode params;

    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphCreate(&other, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphConditionalHandleCreate(NULL, graph, t.context, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphConditionalHandleCreate(&handle, NULL, t.context, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphConditionalHandleCreate(&handle, graph, t.context, 0, 2));
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT,
               cuGraphConditionalHandleCreate(&handle, graph, (CUcontext) &t, 0, 0));
    handle = handle_of(graph);
    foreign = handle_of(other);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        params = condition(handle, wrong[i].type, wrong[i].size);
        CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddNode(&node, graph, NULL, 0, &params));
    }
    params = condition(foreign, CONDITION_IF, 1);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddNode(&node, graph, NULL, 0, &params));
    params = condition(handle + 100, CONDITION_IF, 1);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddNode(&node, graph, NULL, 0, &params));
    params = condition(handle, CONDITION_IF, 1);
    params.conditional.context = (CUcontext) &t;
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuGraphAddNode(&node, graph, NULL, 0, &params));
    params.conditional.context = NULL;
    CALL(cuGraphAddNode(&node, graph, NULL, 0, &params));
    params = condition(handle, CONDITION_IF, 1);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddNode(&node, graph, NULL, 0, &params));

    /* One of a graph in a node is not one of the graph that this is in. */
    bodies = add_condition(&node, other, NULL, foreign, CONDITION_IF, 1);
    handle = handle_of(bodies[0]);
    params = condition(handle, CONDITION_IF, 1);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddNode(&node, other, NULL, 0, &params));
    CALL(cuGraphAddNode(&node, bodies[0], NULL, 0, &params));
    CALL(cuGraphDestroy(graph));
    CALL(cuGraphDestroy(other));
}

/* What the driver's manual says that such graphs, and those in the nodes, are not for */
TEST(test_limits)
{
    AllocNode alloc = {.pool = {.type = 1, .location = {1, 0}}, .size = 64};
    HostNode host = {.function = free};
    CUgraph graph = chooses(CONDITION_IF, 2), clone, parent, *bodies;
    GraphInstantiate info = {0};
    CUgraphExec exec, second;
    CUgraphNode node, nodes[3];
    AnyNode params;
    CUevent event;
    size_t n = 3;
    int type;

    CALL(cuGraphGetNodes(graph, nodes, &n));
    CALL(cuGraphNodeGetType(nodes[1], &type));
    assert_int_equal(type, NODE_CONDITIONAL);
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphClone(&clone, graph));
    CALL(cuGraphCreate(&parent, 0));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphAddChildGraphNode(&node, parent, NULL, 0, graph));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphInstantiateWithFlags(&second, graph, 0));
    CALL(cuStreamBeginCapture_v2(t.stream, 2));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphLaunch(exec, t.stream));
    CALL(cuStreamEndCapture(t.stream, &clone));
    CALL(cuGraphDestroy(clone));
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuGraphExecDestroy(exec));

    bodies = add_condition(&node, parent, NULL, handle_of(parent), CONDITION_IF, 1);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(bodies[0]));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphInstantiateWithFlags(&exec, bodies[0], 0));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphClone(&clone, bodies[0]));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphAddHostNode(&node, bodies[0], NULL, 0, &host));
    CALL(cuEventCreate(&event, 0));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED,
               cuGraphAddEventRecordNode(&node, bodies[0], NULL, 0, event));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphAddMemAllocNode(&node, bodies[0], NULL, 0, &alloc));
    CALL(cuEventDestroy_v2(event));
    n = 1;
    CALL(cuGraphGetNodes(bodies[0], NULL, &n));
    assert_int_equal(n, 0);

    /* A handle that no node has */
    (void) handle_of(parent);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithParams(&exec, parent, &info));
    assert_int_equal(info.result, INSTANTIATE_HANDLE_UNUSED);

    /* With the node go its graphs. */
    params = condition(0, CONDITION_IF, 1);
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphNodeSetParams(nodes[1], &params));
    clone = bodies[0];
    n = 1;
    CALL(cuGraphGetNodes(parent, &node, &n));
    CALL(cuGraphDestroyNode(node));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphGetNodes(clone, NULL, &n));
    CALL(cuGraphDestroy(parent));
    CALL(cuGraphDestroy(graph));
}

/* An executable graph takes what is in the graphs of another's nodes, and of its own. */
TEST(test_update)
{
    CUgraph graph = chooses(CONDITION_IF, 1), changed, different, *bodies;
    CUgraphConditionalHandle handle;
    CUgraphNode first, node, add;
    GraphUpdate update;
    CUgraphExec exec;
    void *each[2];
    AnyNode params;
    Kernel k;

    CALL(cuGraphDestroy(graph));
    CALL(cuGraphCreate(&graph, 0));
    handle = handle_of(graph);
    first = add_kernel(graph, NULL, (Kernel){t.take, handle, cell(0)});
    bodies = add_condition(&node, graph, first, handle, CONDITION_IF, 1);
    add = add_kernel(bodies[0], NULL, (Kernel){t.add, cell(1), 1});
    exec = made(graph);
    put(0, 1);
    put(1, 0);
    launch(exec);
    assert_int_equal(get(1), 1);
    k = (Kernel){t.add, cell(1), 10};
    params = kernel_node(&k, each);
    CALL(cuGraphExecNodeSetParams(exec, add, &params));
    launch(exec);
    assert_int_equal(get(1), 11);

    CALL(cuGraphCreate(&changed, 0));
    handle = handle_of(changed);
    first = add_kernel(changed, NULL, (Kernel){t.take, handle, cell(0)});
    bodies = add_condition(&node, changed, first, handle, CONDITION_IF, 1);
    (void) add_kernel(bodies[0], NULL, (Kernel){t.add, cell(1), 100});
    CALL(cuGraphExecUpdate_v2(exec, changed, &update));
    launch(exec);
    assert_int_equal(get(1), 111);
    CALL(cuGraphExecNodeSetParams(exec, add, &params));
    launch(exec);
    assert_int_equal(get(1), 121);

    different = chooses(CONDITION_WHILE, 1);
    CALL_FAILS(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE,
               cuGraphExecUpdate_v2(exec, different, &update));
    assert_int_not_equal(update.result, 0);
    CALL(cuGraphDestroy(different));
    CALL(cuGraphDestroy(changed));
    CALL(cuGraphDestroy(graph));
    CALL(cuGraphExecDestroy(exec));
}

/* What the graphs of nodes name ends for all that they are in. */
TEST(test_module_ends)
{
    CUmodule module = libcuda_load("tests/fake-cuda/session-conditions.ptx");
    CUgraphConditionalHandle handle;
    CUgraph graph, *bodies;
    CUfunction function;
    CUgraphNode node;
    CUgraphExec exec;

    CALL(cuModuleGetFunction(&function, module, "add_number"));
    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphConditionalHandleCreate(&handle, graph, t.context, 1, CONDITION_ASSIGN_DEFAULT));
    bodies = add_condition(&node, graph, NULL, handle, CONDITION_IF, 1);
    (void) add_kernel(bodies[0], NULL, (Kernel){function, cell(1), 1});
    exec = made(graph);
    CALL(cuModuleUnload(module));
    CALL(cuGraphLaunch(exec, t.stream));
    assert_int_not_equal(cuStreamSynchronize(t.stream), CUDA_SUCCESS);
    CALL(cuGraphExecDestroy(exec));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuGraphDestroy(graph));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_if, setup),
        cmocka_unit_test(test_switch),
        cmocka_unit_test(test_while),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_captured),
        cmocka_unit_test(test_failed_capture),
        cmocka_unit_test(test_wrong_parameters),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_update),
        cmocka_unit_test_teardown(test_module_ends, teardown),
    };

    return libcuda_test_main(argc, argv, tests);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Edges of graphs that begin at a port of a kernel, as programmatic launches have them. */
#include <string.h>

#include "cleanup.h"
#include "cuda-api-streams.h"
#include "test-libcuda.h"

#define N 1000u
#define SIZE (N * sizeof(uint32_t))

static const GraphEdge plain = {0};
static const GraphEdge programmatic = {.from_port = PORT_PROGRAMMATIC, .type = EDGE_PROGRAMMATIC};
static const GraphEdge launched = {.from_port = PORT_LAUNCH_ORDER, .type = EDGE_PROGRAMMATIC};

static struct {
    CUcontext context;
    CUmodule module;
    CUfunction fill;
    CUstream stream, other;
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

/* What a fill is given; it must live while it is launched, or its node made */
typedef struct Fill {
    CUdeviceptr to;
    uint32_t value;
    uint64_t n;
    void *each[3];
} Fill;

static void **fill_with(Fill *fill, CUdeviceptr to, uint32_t value)
{
    *fill = (Fill){.to = to, .value = value, .n = N};
    fill->each[0] = &fill->to;
    fill->each[1] = &fill->value;
    fill->each[2] = &fill->n;
    return fill->each;
}

static AnyNode fill_node(Fill *fill, CUdeviceptr to, uint32_t value)
{
    return (AnyNode){
        .type = NODE_KERNEL,
        .kernel =
            {
                .function = t.fill,
                .grid_x = (N + 255) / 256,
                .grid_y = 1,
                .grid_z = 1,
                .block_x = 256,
                .block_y = 1,
                .block_z = 1,
                .parameters = fill_with(fill, to, value),
            },
    };
}

static CUgraphNode add_fill(CUgraph graph, const CUgraphNode *after, const GraphEdge *edges,
                            size_t n, CUdeviceptr to, uint32_t value)
{
    Fill fill;
    AnyNode params = fill_node(&fill, to, value);
    CUgraphNode node = NULL;

    CALL(cuGraphAddNode_v2(&node, graph, after, edges, n, &params));
    return node;
}

/* @attribute: NULL: none */
static void launch_fill(CUstream stream, CUdeviceptr to, uint32_t value, LaunchAttribute *attribute)
{
    Fill fill;
    const LaunchConfig config = {
        .grid_x = (N + 255) / 256,
        .grid_y = 1,
        .grid_z = 1,
        .block_x = 256,
        .block_y = 1,
        .block_z = 1,
        .stream = stream,
        .attributes = attribute,
        .n_attributes = attribute != NULL,
    };

    CALL(cuLaunchKernelEx(&config, t.fill, fill_with(&fill, to, value), NULL));
}

static void check(CUdeviceptr from, uint32_t value)
{
    uint32_t numbers[N];

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

static size_t count_nodes(CUgraph graph)
{
    size_t n = 99;

    CALL(cuGraphGetNodes(graph, NULL, &n));
    return n;
}

/* The edge between two nodes is that: as the graph, and each end of it says. */
static void assert_edge(CUgraph graph, CUgraphNode from, CUgraphNode to, GraphEdge edge)
{
    CUgraphNode begins[8], ends[8];
    GraphEdge edges[8];
    size_t n = 8, i = 0;

    CALL(cuGraphGetEdges_v2(graph, begins, ends, edges, &n));
    while (i < n && (begins[i] != from || ends[i] != to))
        i++;
    assert_true(i < n);
    assert_memory_equal(&edges[i], &edge, sizeof(edge));

    n = 8;
    CALL(cuGraphNodeGetDependencies_v2(to, begins, edges, &n));
    for (i = 0; i < n && begins[i] != from;)
        i++;
    assert_true(i < n);
    assert_memory_equal(&edges[i], &edge, sizeof(edge));

    n = 8;
    CALL(cuGraphNodeGetDependentNodes_v2(from, ends, edges, &n));
    for (i = 0; i < n && ends[i] != to;)
        i++;
    assert_true(i < n);
    assert_memory_equal(&edges[i], &edge, sizeof(edge));
}

/* ---- Nodes and edges --------------------------------------------------------------------------
 */

/* As XLA does: each kernel behind the one before it */
TEST(test_add_node)
{
    CUgraphNode a, b, c, d, found;
    CUgraph graph, clone;
    size_t n;

    CALL(cuGraphCreate(&graph, 0));
    a = add_fill(graph, NULL, NULL, 0, t.a, 1);
    b = add_fill(graph, &a, &programmatic, 1, t.a, 2);
    c = add_fill(graph, &a, &plain, 1, t.b, 3);
    d = add_fill(graph, (CUgraphNode[]){a, b, c}, (GraphEdge[]){launched, plain, programmatic}, 3,
                 t.b, 4);
    assert_edge(graph, a, b, programmatic);
    assert_edge(graph, a, c, plain);
    assert_edge(graph, a, d, launched);
    assert_edge(graph, b, d, plain);
    assert_edge(graph, c, d, programmatic);
    CALL(cuGraphNodeGetDependencies_v2(d, NULL, NULL, &n));
    assert_int_equal(n, 3);
    run(graph);
    check(t.a, 2);
    check(t.b, 4);

    CALL(cuGraphClone(&clone, graph));
    CALL(cuGraphDestroy(graph));
    n = 0;
    CALL(cuGraphGetEdges(clone, NULL, NULL, &n));
    assert_int_equal(n, 5);
    CALL(cuMemsetD32_v2(t.b, 0, N));
    run(clone);
    check(t.b, 4);
    n = 1;
    CALL(cuGraphGetRootNodes(clone, &found, &n));
    n = 8;
    CALL_FAILS(CUDA_ERROR_LOSSY_QUERY,
               cuGraphNodeGetDependentNodes(found, (CUgraphNode[8]){0}, &n));
    CALL(cuGraphDestroy(clone));
}

/* Which @edge from kernel @a, or from one that is none, is wrong, to a node of @type */
static const struct {
    GraphEdge edge;
    int type;
    bool from_empty;
} wrong[] = {
    {{3, 0, 1, {0}}, NODE_KERNEL, false}, {{1, 1, 1, {0}}, NODE_KERNEL, false},
    {{1, 0, 2, {0}}, NODE_KERNEL, false}, {{0, 0, 1, {0}}, NODE_KERNEL, false},
    {{1, 0, 0, {0}}, NODE_KERNEL, false}, {{1, 0, 1, {0, 0, 0, 0, 1}}, NODE_KERNEL, false},
    {{0, 0, 0, {1}}, NODE_KERNEL, false}, {{1, 0, 1, {0}}, NODE_EMPTY, false},
    {{2, 0, 1, {0}}, NODE_EMPTY, false},  {{1, 0, 1, {0}}, NODE_KERNEL, true},
    {{2, 0, 0, {0}}, NODE_KERNEL, true},
};

TEST(test_wrong_edges)
{
    Fill fill;
    AnyNode kernel = fill_node(&fill, t.a, 1), empty = {.type = NODE_EMPTY};
    CUgraphNode a, b, e, node = NULL;
    CUgraph graph;

    CALL(cuGraphCreate(&graph, 0));
    a = add_fill(graph, NULL, NULL, 0, t.a, 1);
    b = add_fill(graph, NULL, NULL, 0, t.a, 1);
    CALL(cuGraphAddNode_v2(&e, graph, NULL, NULL, 0, &empty));
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        const CUgraphNode from = wrong[i].from_empty ? e : a;
        const CUgraphNode to = wrong[i].type == NODE_EMPTY ? e : b;

        CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
                   cuGraphAddNode_v2(&node, graph, &from, &wrong[i].edge, 1,
                                     wrong[i].type == NODE_EMPTY ? &empty : &kernel));
        CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
                   cuGraphAddDependencies_v2(graph, &from, &to, &wrong[i].edge, 1));
    }
    assert_null(node);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphAddNode_v2(NULL, graph, &a, &programmatic, 1, &kernel));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphAddNode_v2(&node, NULL, &a, &programmatic, 1, &kernel));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphAddNode_v2(&node, graph, NULL, &programmatic, 1, &kernel));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphAddNode_v2(&node, graph, &a, &programmatic, 1, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphAddNode_v2(&node, graph, (CUgraphNode[]){(CUgraphNode) 0x1234}, &programmatic,
                                 1, &kernel));
    /* One node twice: what was made of it meanwhile is gone. */
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphAddNode_v2(&node, graph, (CUgraphNode[]){a, a},
                                 (GraphEdge[]){plain, programmatic}, 2, &kernel));
    assert_int_equal(count_nodes(graph), 3);
    CALL(cuGraphDestroy(graph));
}

TEST(test_dependencies)
{
    CUgraphNode a, b, c, from[2], to[2], all[8];
    const GraphEdge both[] = {programmatic, plain};
    GraphEdge edges[8];
    CUgraph graph;
    size_t n = 8;

    CALL(cuGraphCreate(&graph, 0));
    a = add_fill(graph, NULL, NULL, 0, t.a, 1);
    b = add_fill(graph, NULL, NULL, 0, t.a, 2);
    c = add_fill(graph, NULL, NULL, 0, t.a, 3);
    /* From later ones to earlier ones, so that it is the edges which say what comes first */
    from[0] = c;
    to[0] = from[1] = b;
    to[1] = a;
    CALL(cuGraphAddDependencies_v2(graph, from, to, both, 2));
    assert_edge(graph, c, b, programmatic);
    assert_edge(graph, b, a, plain);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies_v2(graph, &c, &b, &plain, 1));
    run(graph);
    check(t.a, 1);

    /* Who does not ask for kinds of edges */
    CALL_FAILS(CUDA_ERROR_LOSSY_QUERY, cuGraphGetEdges(graph, all, (CUgraphNode[8]){0}, &n));
    CALL_FAILS(CUDA_ERROR_LOSSY_QUERY,
               cuGraphGetEdges_v2(graph, all, (CUgraphNode[8]){0}, NULL, &n));
    CALL_FAILS(CUDA_ERROR_LOSSY_QUERY, cuGraphNodeGetDependencies(b, all, &n));
    CALL_FAILS(CUDA_ERROR_LOSSY_QUERY, cuGraphNodeGetDependencies_v2(b, all, NULL, &n));
    CALL_FAILS(CUDA_ERROR_LOSSY_QUERY, cuGraphNodeGetDependentNodes(c, all, &n));
    n = 8;
    CALL(cuGraphNodeGetDependencies(a, all, &n)); /* plain ones alone */
    assert_int_equal(n, 1);
    assert_ptr_equal(all[0], b);
    CALL(cuGraphGetEdges(graph, NULL, NULL, &n));
    assert_int_equal(n, 2);
    CALL(cuGraphNodeGetDependentNodes(c, NULL, &n));
    assert_int_equal(n, 1);
    n = 8;
    memset(edges, 0xff, sizeof(edges));
    CALL(cuGraphNodeGetDependentNodes_v2(c, all, edges, &n));
    assert_int_equal(edges[0].from_port, PORT_PROGRAMMATIC);
    assert_memory_equal(&edges[1], &plain, sizeof(plain));
    assert_null(all[1]);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeGetDependencies_v2(b, NULL, edges, &n));

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphRemoveDependencies(graph, &b, &c, 1));
    CALL(cuGraphRemoveDependencies_v2(graph, from, to, both, 2));
    CALL(cuGraphGetEdges(graph, NULL, NULL, &n));
    assert_int_equal(n, 0);
    CALL(cuGraphDestroy(graph));
}

/* More edges than one operation has room for */
TEST(test_many_edges)
{
    enum { MANY = 1500 };
    CUgraphNode root, to[MANY], from[MANY];
    static GraphEdge edges[MANY], got[MANY];
    CUgraph graph;
    size_t n = MANY;

    CALL(cuGraphCreate(&graph, 0));
    root = add_fill(graph, NULL, NULL, 0, t.a, 1);
    for (size_t i = 0; i < MANY; i++) {
        from[i] = root;
        to[i] = add_fill(graph, NULL, NULL, 0, t.b, 2);
        edges[i] = i % 3 ? programmatic : plain;
    }
    CALL(cuGraphAddDependencies_v2(graph, from, to, edges, MANY));
    CALL(cuGraphNodeGetDependentNodes_v2(root, from, got, &n));
    assert_int_equal(n, MANY);
    for (size_t i = 0, at = 0; i < MANY; i++, at = 0) {
        while (at < MANY && from[at] != to[i])
            at++;
        assert_true(at < MANY);
        assert_memory_equal(&got[at], &edges[i], sizeof(edges[i]));
    }
    CALL(cuGraphDestroy(graph));
}

/* What differs by the kind of an edge is another graph. */
TEST(test_update)
{
    CUgraphNode a, b;
    CUgraph graph, other;
    GraphUpdate update;
    CUgraphExec exec;

    CALL(cuGraphCreate(&graph, 0));
    a = add_fill(graph, NULL, NULL, 0, t.a, 5);
    b = add_fill(graph, &a, &programmatic, 1, t.a, 6);
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuGraphCreate(&other, 0));
    a = add_fill(other, NULL, NULL, 0, t.a, 7);
    b = add_fill(other, &a, &programmatic, 1, t.a, 8);
    CALL(cuGraphExecUpdate_v2(exec, other, &update));
    CALL(cuGraphLaunch(exec, t.stream));
    CALL(cuStreamSynchronize(t.stream));
    check(t.a, 8);
    CALL(cuGraphRemoveDependencies_v2(other, &a, &b, &programmatic, 1));
    CALL(cuGraphAddDependencies(other, &a, &b, 1));
    CALL_FAILS(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate_v2(exec, other, &update));
    CALL(cuGraphExecDestroy(exec));
    CALL(cuGraphDestroy(graph));
    CALL(cuGraphDestroy(other));
}

/* ---- Captures ---------------------------------------------------------------------------------
 */

/* A launch that may begin before the one before it has ended */
TEST(test_captured_serialization)
{
    LaunchAttribute attribute = {.id = LAUNCH_PROGRAMMATIC_SERIALIZATION};
    CUgraphNode nodes[4];
    CUgraph graph;
    size_t n = 4;
    int on = 1;

    memcpy(&attribute.value, &on, sizeof(on));
    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_GLOBAL));
    launch_fill(t.stream, t.a, 1, NULL);
    launch_fill(t.stream, t.a, 2, &attribute);
    CALL(cuMemsetD32Async(t.b, 3, N, t.stream));
    launch_fill(t.stream, t.b, 4, &attribute); /* behind what is no kernel */
    CALL(cuStreamEndCapture(t.stream, &graph));
    CALL(cuGraphGetNodes(graph, nodes, &n));
    assert_int_equal(n, 4);
    assert_edge(graph, nodes[0], nodes[1], programmatic);
    assert_edge(graph, nodes[1], nodes[2], plain);
    assert_edge(graph, nodes[2], nodes[3], plain);
    run(graph);
    check(t.a, 2);
    check(t.b, 4);
    CALL(cuGraphDestroy(graph));
}

/* An event that a launch records, and another stream waits for */
TEST(test_captured_event)
{
    LaunchAttribute attribute = {.id = LAUNCH_PROGRAMMATIC_EVENT};
    const CUgraphNode *last = NULL;
    const GraphEdge *edges = NULL;
    CUgraphNode nodes[4];
    CUgraph graph, asked = NULL;
    CUevent event, join;
    LaunchValue value = {0};
    size_t n = 99;
    int status = -1;

    CALL(cuEventCreate(&event, 2)); /* it has no time */
    CALL(cuEventCreate(&join, 2));
    value.event.event = event;
    memcpy(&attribute.value, &value, sizeof(value));
    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_RELAXED));
    launch_fill(t.stream, t.a, 1, &attribute);
    CALL(cuStreamWaitEvent(t.other, event, 0));

    CALL(cuStreamGetCaptureInfo_v3(t.other, &status, NULL, &asked, &last, &edges, &n));
    assert_int_equal(status, CAPTURE_ACTIVE);
    assert_int_equal(n, 1);
    assert_memory_equal(edges, &programmatic, sizeof(programmatic));
    CALL_FAILS(CUDA_ERROR_LOSSY_QUERY,
               cuStreamGetCaptureInfo_v2(t.other, &status, NULL, &asked, &last, &n));
    CALL_FAILS(CUDA_ERROR_LOSSY_QUERY,
               cuStreamGetCaptureInfo_v3(t.other, &status, NULL, NULL, &last, NULL, NULL));
    n = 99;
    CALL(cuStreamGetCaptureInfo_v2(t.other, &status, NULL, &asked, NULL, &n));
    assert_int_equal(n, 1);
    CALL(cuStreamGetCaptureInfo_v2(t.stream, &status, NULL, NULL, &last, &n)); /* plain */
    assert_int_equal(n, 1);

    launch_fill(t.other, t.b, 2, NULL);
    CALL(cuEventRecord(join, t.other));
    CALL(cuStreamWaitEvent(t.stream, join, 0));
    CALL(cuStreamEndCapture(t.stream, &graph));
    assert_ptr_equal(graph, asked);
    n = 4;
    CALL(cuGraphGetNodes(graph, nodes, &n));
    assert_int_equal(n, 2);
    assert_edge(graph, nodes[0], nodes[1], programmatic);
    run(graph);
    check(t.a, 1);
    check(t.b, 2);
    CALL(cuGraphDestroy(graph));
    CALL(cuEventDestroy_v2(event));
    CALL(cuEventDestroy_v2(join));
}

/* A program puts a kernel into the graph that grows, by the edges that it is told, and goes on
 * behind that by one of its own. */
TEST(test_grow)
{
    const CUgraphNode *last = NULL;
    const GraphEdge *edges = NULL;
    const GraphEdge bad = {.from_port = 3, .type = EDGE_PROGRAMMATIC};
    CUgraphNode first, mine, nodes[4];
    CUgraph graph = NULL, ended;
    size_t n = 99;
    int status;

    CALL_FAILS(CUDA_ERROR_ILLEGAL_STATE,
               cuStreamUpdateCaptureDependencies_v2(t.stream, NULL, &programmatic, 0, 0));
    CALL(cuStreamBeginCapture_v2(t.stream, CAPTURE_RELAXED));
    launch_fill(t.stream, t.a, 1, NULL);
    CALL(cuStreamGetCaptureInfo_v3(t.stream, &status, NULL, &graph, &last, &edges, &n));
    assert_int_equal(n, 1);
    first = last[0];
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuStreamUpdateCaptureDependencies_v2(t.stream, &first, &bad, 1, 1));
    CALL(cuStreamUpdateCaptureDependencies_v2(t.stream, &first, &programmatic, 1,
                                              CAPTURE_SET_DEPENDENCIES));
    CALL(cuStreamGetCaptureInfo_v3(t.stream, &status, NULL, NULL, &last, &edges, &n));
    assert_int_equal(n, 1);
    assert_ptr_equal(last[0], first);
    assert_memory_equal(edges, &programmatic, sizeof(programmatic));
    mine = add_fill(graph, last, edges, n, t.a, 2);
    CALL(cuStreamUpdateCaptureDependencies_v2(t.stream, &mine, &launched, 1,
                                              CAPTURE_SET_DEPENDENCIES));
    CALL(cuStreamUpdateCaptureDependencies_v2_ptsz(t.stream, &first, &plain, 1,
                                                   CAPTURE_ADD_DEPENDENCIES));
    launch_fill(t.stream, t.a, 3, NULL);
    CALL(cuStreamEndCapture(t.stream, &ended));
    assert_ptr_equal(ended, graph);
    n = 4;
    CALL(cuGraphGetNodes(graph, nodes, &n));
    assert_int_equal(n, 3);
    assert_edge(graph, first, mine, programmatic);
    assert_edge(graph, mine, nodes[2], launched);
    assert_edge(graph, first, nodes[2], plain);
    run(graph);
    check(t.a, 3);
    CALL(cuGraphDestroy(graph));
}

TEST(test_capture_to_graph)
{
    const GraphEdge bad = {.to_port = 1};
    CUgraphNode first, second, nodes[4];
    const GraphEdge both[] = {programmatic, plain};
    CUgraph graph, ended;
    size_t n = 4;

    CALL(cuGraphCreate(&graph, 0));
    first = add_fill(graph, NULL, NULL, 0, t.a, 1);
    second = add_fill(graph, NULL, NULL, 0, t.b, 1);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuStreamBeginCaptureToGraph(t.stream, graph, &first, &bad, 1, CAPTURE_GLOBAL));
    CALL(cuStreamBeginCaptureToGraph(t.stream, graph, (CUgraphNode[]){first, second}, both, 2,
                                     CAPTURE_GLOBAL));
    launch_fill(t.stream, t.a, 2, NULL);
    CALL(cuStreamEndCapture(t.stream, &ended));
    assert_ptr_equal(ended, graph);
    CALL(cuGraphGetNodes(graph, nodes, &n));
    assert_int_equal(n, 3);
    assert_edge(graph, first, nodes[2], programmatic);
    assert_edge(graph, second, nodes[2], plain);
    run(graph);
    check(t.a, 2);
    check(t.b, 1);
    CALL(cuGraphDestroy(graph));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_add_node, setup),
        cmocka_unit_test(test_wrong_edges),
        cmocka_unit_test(test_dependencies),
        cmocka_unit_test(test_many_edges),
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_captured_serialization),
        cmocka_unit_test(test_captured_event),
        cmocka_unit_test(test_grow),
        cmocka_unit_test_teardown(test_capture_to_graph, teardown),
    };

    return libcuda_test_main(argc, argv, tests);
}

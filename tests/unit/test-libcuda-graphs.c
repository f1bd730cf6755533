/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Graphs that a program makes of nodes, and what it makes of them. */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "cuda-api-arrays.h"
#include "cuda-api-memory.h"
#include "test-libcuda.h"

#define N 1000u
#define SIZE (N * sizeof(uint32_t))

#define NO_SUCH ((void *) 0x1234)

static struct {
    CUcontext context;
    CUmodule module;
    CUfunction fill, saxpy;
    CUstream stream;
    CUdeviceptr a, b;
} t;

static int setup(void **state)
{
    (void) state;
    t.context = libcuda_primary();
    t.module = libcuda_load("tests/fake-cuda/session-kernels.ptx");
    CALL(cuModuleGetFunction(&t.fill, t.module, "fill"));
    CALL(cuModuleGetFunction(&t.saxpy, t.module, "saxpy"));
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

/* What a fill node is given; it must live while the node is made */
typedef struct Fill {
    CUdeviceptr to;
    uint32_t value;
    uint64_t n;
    void *each[3];
} Fill;

static KernelNode fill_node(Fill *fill)
{
    fill->each[0] = &fill->to;
    fill->each[1] = &fill->value;
    fill->each[2] = &fill->n;
    return (KernelNode){
        .function = t.fill,
        .grid_x = (N + 255) / 256,
        .grid_y = 1,
        .grid_z = 1,
        .block_x = 256,
        .block_y = 1,
        .block_z = 1,
        .parameters = fill->each,
    };
}

static CUgraphNode add_fill(CUgraph graph, const CUgraphNode *after, size_t n, CUdeviceptr to,
                            uint32_t value)
{
    Fill fill = {.to = to, .value = value, .n = N};
    const KernelNode params = fill_node(&fill);
    CUgraphNode node;

    CALL(cuGraphAddKernelNode_v2(&node, graph, after, n, &params));
    return node;
}

static Copy3D copy_of(CUdeviceptr to, CUdeviceptr from)
{
    return (Copy3D){
        .src_type = 2,
        .src_device = from,
        .dst_type = 2,
        .dst_device = to,
        .width_bytes = SIZE,
        .height = 1,
        .depth = 1,
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

static void run(CUgraph graph)
{
    CUgraphExec exec;

    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    launch(exec);
    CALL(cuGraphExecDestroy(exec));
}

/* ---- Graphs and edges -------------------------------------------------------------------------
 */

TEST(test_create)
{
    CUgraph graph;
    CUgraphNode node;

    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphCreate(NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphCreate(&graph, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(NO_SUCH));
    CALL(cuGraphCreate(&graph, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddEmptyNode(NULL, graph, NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddEmptyNode(&node, graph, NULL, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphAddEmptyNode(&node, graph, (CUgraphNode[]){NO_SUCH}, 1));
    CALL(cuGraphDestroy(graph));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(graph));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddEmptyNode(&node, graph, NULL, 0));
}

static size_t count_nodes(CUgraph graph)
{
    size_t n = 99;

    CALL(cuGraphGetNodes(graph, NULL, &n));
    return n;
}

/* a and b, then c behind both, then d */
TEST(test_edges)
{
    CUgraphNode a, b, c, d, nodes[8], from[8], to[8];
    CUgraph graph;
    GraphEdge edges[8] = {{.type = 9}};
    size_t n;
    int type = -1;

    CALL(cuGraphCreate(&graph, 0));
    assert_int_equal(count_nodes(graph), 0);
    CALL(cuGraphAddEmptyNode(&a, graph, NULL, 0));
    CALL(cuGraphAddEmptyNode(&b, graph, NULL, 0));
    CALL(cuGraphAddEmptyNode(&c, graph, (CUgraphNode[]){a, b}, 2));
    CALL(cuGraphAddEmptyNode(&d, graph, &c, 1));
    CALL(cuGraphNodeGetType(a, &type));
    assert_int_equal(type, NODE_EMPTY);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeGetType(a, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeGetType(NO_SUCH, &type));
    assert_int_equal(count_nodes(graph), 4);

    n = 8;
    nodes[7] = NO_SUCH;
    CALL(cuGraphGetNodes(graph, nodes, &n));
    assert_int_equal(n, 4);
    assert_ptr_equal(nodes[0], a);
    assert_ptr_equal(nodes[3], d);
    assert_null(nodes[7]);
    n = 1;
    CALL(cuGraphGetRootNodes(graph, nodes, &n));
    assert_int_equal(n, 1);
    assert_ptr_equal(nodes[0], a);
    CALL(cuGraphGetRootNodes(graph, NULL, &n));
    assert_int_equal(n, 2);

    n = 8;
    CALL(cuGraphGetEdges_v2(graph, from, to, edges, &n));
    assert_int_equal(n, 3);
    assert_int_equal(edges[0].type, 0);
    n = 8;
    CALL(cuGraphGetEdges(graph, from, to, &n));
    for (size_t i = 0; i < 3; i++)
        assert_true((to[i] == c && (from[i] == a || from[i] == b)) || (from[i] == c && to[i] == d));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphGetEdges(graph, from, NULL, &n));
    n = 8;
    CALL(cuGraphNodeGetDependencies(c, nodes, &n));
    assert_int_equal(n, 2);
    CALL(cuGraphNodeGetDependentNodes_v2(c, nodes, NULL, &n));
    assert_int_equal(n, 1);
    assert_ptr_equal(nodes[0], d);

    CALL(cuGraphAddDependencies(graph, &a, &d, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies(graph, &a, &d, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies(graph, &a, &a, 1));
    edges[0].type = 1; /* without a port, and of no kernel */
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies_v2(graph, &b, &d, edges, 1));
    CALL(cuGraphNodeGetDependencies_v2(d, NULL, NULL, &n));
    assert_int_equal(n, 2);
    CALL(cuGraphRemoveDependencies_v2(graph, &a, &d, NULL, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphRemoveDependencies(graph, &a, &d, 1));

    CALL(cuGraphDestroyNode(c));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroyNode(c));
    CALL(cuGraphGetEdges(graph, NULL, NULL, &n));
    assert_int_equal(n, 0);
    assert_int_equal(count_nodes(graph), 3);
    CALL(cuGraphDestroy(graph));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeGetType(a, &type));
}

TEST(test_clone)
{
    CUgraphNode a, b, found, late;
    CUgraph graph, clone;
    uint32_t zero = 0;

    CALL(cuGraphCreate(&graph, 0));
    a = add_fill(graph, NULL, 0, t.a, 7);
    b = add_fill(graph, &a, 1, t.b, 8);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphClone(NULL, graph));
    CALL(cuGraphClone(&clone, graph));
    CALL(cuGraphNodeFindInClone(&found, b, clone));
    assert_ptr_not_equal(found, b);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeFindInClone(&found, b, graph));
    CALL(cuGraphAddEmptyNode(&late, graph, NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeFindInClone(&late, late, clone));
    CALL(cuGraphNodeFindInClone(&found, b, clone));
    CALL(cuGraphDestroyNode(found));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeFindInClone(&found, b, clone));
    CALL(cuMemsetD32_v2(t.b, zero, N));
    run(clone);
    check(t.a, 7);
    check(t.b, 0);
    CALL(cuGraphDestroy(clone));
    run(graph);
    check(t.b, 8);
    CALL(cuGraphDestroy(graph));
}

/* ---- Kernels ----------------------------------------------------------------------------------
 */

TEST(test_kernel)
{
    Fill fill = {.to = t.a, .value = 5, .n = N};
    KernelNode params = fill_node(&fill), got = {0};
    KernelNodeV1 old = {0};
    CUgraphNode node, other;
    CUgraph graph;

    CALL(cuGraphCreate(&graph, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddKernelNode_v2(&node, graph, NULL, 0, NULL));
    params.grid_x = 0;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddKernelNode_v2(&node, graph, NULL, 0, &params));
    params.grid_x = 4;
    params.function = NULL;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddKernelNode_v2(&node, graph, NULL, 0, &params));
    params.function = t.fill;
    CALL(cuGraphAddKernelNode_v2(&node, graph, NULL, 0, &params));
    fill.value = 6; /* the node has its own */
    run(graph);
    check(t.a, 5);

    CALL(cuGraphKernelNodeGetParams_v2(node, &got));
    assert_ptr_equal(got.function, t.fill);
    assert_null(got.kernel);
    assert_int_equal(got.grid_x, 4);
    assert_int_equal(got.block_x, 256);
    assert_int_equal(*(CUdeviceptr *) got.parameters[0], t.a);
    assert_int_equal(*(uint32_t *) got.parameters[1], 5);
    *(uint32_t *) got.parameters[1] = 9; /* as programs do that change one parameter */
    CALL(cuGraphKernelNodeSetParams_v2(node, &got));
    run(graph);
    check(t.a, 9);

    CALL(cuGraphKernelNodeGetParams(node, &old));
    assert_int_equal(*(uint32_t *) old.parameters[1], 9);
    *(uint32_t *) old.parameters[1] = 10;
    CALL(cuGraphKernelNodeSetParams(node, &old));
    CALL(cuGraphAddKernelNode(&other, graph, &node, 1, &old));
    CALL(cuGraphKernelNodeGetParams_v2(other, &got));
    assert_int_equal(*(uint32_t *) got.parameters[1], 10);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphMemcpyNodeGetParams(node, &(Copy3D){0}));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphKernelNodeGetParams_v2(node, NULL));
    CALL(cuGraphDestroy(graph));
}

/* Parameters that the program has packed, and a kernel of a library */
TEST(test_kernel_forms)
{
    struct {
        CUdeviceptr to;
        uint32_t value;
        uint64_t n;
    } packed = {t.b, 77, N};
    size_t size = sizeof(packed);
    void *extra[] = {(void *) 1, &packed, (void *) 2, &size, NULL};
    KernelNode params = {.function = t.fill,
                         .grid_x = 4,
                         .grid_y = 1,
                         .grid_z = 1,
                         .block_x = 256,
                         .block_y = 1,
                         .block_z = 1,
                         .extra = extra},
               got;
    Fill fill = {.to = t.a, .value = 3, .n = N};
    char path[4096];
    CUlibrary library;
    CUkernel kernel;
    CUgraphNode node;
    CUgraph graph;

    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphAddKernelNode_v2(&node, graph, NULL, 0, &params));
    run(graph);
    check(t.b, 77);

    snprintf(path, sizeof(path), "%s/tests/fake-cuda/session-kernels.ptx", libcuda_sources);
    CALL(cuLibraryLoadFromFile(&library, path, NULL, NULL, 0, NULL, NULL, 0));
    CALL(cuLibraryGetKernel(&kernel, library, "fill"));
    params = fill_node(&fill);
    params.function = NULL;
    params.kernel = kernel;
    CALL(cuGraphAddKernelNode_v2(&node, graph, NULL, 0, &params));
    CALL(cuGraphKernelNodeGetParams_v2(node, &got));
    assert_null(got.function);
    assert_ptr_equal(got.kernel, kernel);
    assert_ptr_equal(got.context, t.context);
    run(graph);
    check(t.a, 3);
    CALL(cuGraphDestroy(graph));
    CALL(cuLibraryUnload(library));
}

TEST(test_kernel_attributes)
{
    enum { COOPERATIVE = 2, PRIORITY = 8, DEVICE_UPDATABLE = 13 };
    union {
        int number;
        unsigned char bytes[64];
    } value = {0};
    CUgraphNode a, b;
    CUgraph graph;

    CALL(cuGraphCreate(&graph, 0));
    a = add_fill(graph, NULL, 0, t.a, 21);
    b = add_fill(graph, &a, 1, t.b, 22);
    value.number = 1;
    CALL(cuGraphKernelNodeSetAttribute(a, COOPERATIVE, &value));
    value.number = -3;
    CALL(cuGraphKernelNodeSetAttribute(a, PRIORITY, &value));
    value.number = 0;
    CALL(cuGraphKernelNodeGetAttribute(a, COOPERATIVE, &value));
    assert_int_equal(value.number, 1);
    CALL(cuGraphKernelNodeGetAttribute(b, PRIORITY, &value));
    assert_int_equal(value.number, 0);
    CALL(cuGraphKernelNodeCopyAttributes(b, a));
    CALL(cuGraphKernelNodeGetAttribute(b, PRIORITY, &value));
    assert_int_equal(value.number, -3);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphKernelNodeGetAttribute(a, 3, &value));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphKernelNodeGetAttribute(a, PRIORITY, NULL));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED,
               cuGraphKernelNodeSetAttribute(a, DEVICE_UPDATABLE, &value));
    run(graph);
    check(t.a, 21);
    check(t.b, 22);
    CALL(cuGraphDestroy(graph));
}

/* ---- Copies and sets --------------------------------------------------------------------------
 */

TEST(test_copy_and_set)
{
    SetNode set = {.address = t.a, .value = 11, .element = 4, .width = N, .height = 1}, got_set;
    Copy3D copy = copy_of(t.b, t.a), got;
    CUgraphNode a, b;
    CUgraph graph;

    CALL(cuGraphCreate(&graph, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuGraphAddMemsetNode(&a, graph, NULL, 0, &set, NO_SUCH));
    CALL(cuGraphAddMemsetNode(&a, graph, NULL, 0, &set, t.context));
    CALL(cuGraphAddMemcpyNode(&b, graph, &a, 1, &copy, t.context));
    run(graph);
    check(t.b, 11);
    CALL(cuGraphMemsetNodeGetParams(a, &got_set));
    assert_memory_equal(&got_set, &set, sizeof(set));
    CALL(cuGraphMemcpyNodeGetParams(b, &got));
    assert_memory_equal(&got, &copy, sizeof(copy));

    set.value = 12;
    CALL(cuGraphMemsetNodeSetParams(a, &set));
    run(graph);
    check(t.b, 12);
    set.element = 3;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphMemsetNodeSetParams(a, &set));
    copy.width_bytes = 0;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphMemcpyNodeSetParams(b, &copy));
    copy = copy_of(t.b, 4096);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphMemcpyNodeSetParams(b, &copy));
    copy = copy_of(t.b, t.a);
    copy.dst_type = 3;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphMemcpyNodeSetParams(b, &copy));
    CALL(cuGraphDestroy(graph));
}

/* From the program's memory into an array, and from there to the device's memory */
TEST(test_copy_of_array)
{
    const FlatDescriptor descriptor = {
        .width = N, .height = 0, .format = CU_AD_FORMAT_UNSIGNED_INT32, .channels = 1};
    uint32_t in[N];
    Copy3D to_array = {
        .src_type = 1, .src_host = in, .dst_type = 3, .width_bytes = SIZE, .height = 1, .depth = 1};
    Copy3D to_device = {.src_type = 3,
                        .dst_type = 2,
                        .dst_device = t.b,
                        .width_bytes = SIZE,
                        .height = 1,
                        .depth = 1};
    CUgraphNode a, b;
    CUgraph graph;
    CUarray array;

    for (unsigned i = 0; i < N; i++)
        in[i] = 91;
    CALL(cuArrayCreate_v2(&array, &descriptor));
    to_array.dst_array = to_device.src_array = array;
    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphAddMemcpyNode(&a, graph, NULL, 0, &to_array, t.context));
    CALL(cuGraphAddMemcpyNode(&b, graph, &a, 1, &to_device, t.context));
    to_device.src_x_bytes = SIZE;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphMemcpyNodeSetParams(b, &to_device));
    run(graph);
    check(t.b, 91);
    CALL(cuGraphDestroy(graph));
    CALL(cuArrayDestroy(array));
}

/* Memory of the program's own is read and written each time that the graph is launched. */
TEST(test_copy_of_own_memory)
{
    uint32_t *in = malloc(SIZE), out[N] = {0}, late[N] = {0};
    Copy3D to_device = {.src_type = 1,
                        .src_host = in,
                        .dst_type = 2,
                        .dst_device = t.a,
                        .width_bytes = SIZE,
                        .height = 1,
                        .depth = 1};
    Copy3D to_host = {.src_type = 2,
                      .src_device = t.b,
                      .dst_type = 4,
                      .dst_device = (CUdeviceptr) out,
                      .width_bytes = SIZE,
                      .height = 1,
                      .depth = 1};
    const Copy3D between = copy_of(t.b, t.a);
    CUgraphNode a, b, c, nodes[4], from[4], to[4];
    CUgraph graph, clone;
    CUgraphExec exec;
    Copy3D got;
    size_t n = 4;
    int type;

    assert_non_null(in);
    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphAddMemcpyNode(&a, graph, NULL, 0, &to_device, t.context));
    CALL(cuGraphAddMemcpyNode(&b, graph, &a, 1, &between, t.context));
    CALL(cuGraphAddMemcpyNode(&c, graph, &b, 1, &to_host, t.context));
    CALL(cuGraphGetNodes(graph, nodes, &n));
    assert_int_equal(n, 3);
    n = 4;
    CALL(cuGraphGetEdges(graph, from, to, &n));
    assert_int_equal(n, 2);
    n = 4;
    CALL(cuGraphGetRootNodes(graph, nodes, &n));
    assert_int_equal(n, 1);
    assert_ptr_equal(nodes[0], a);
    CALL(cuGraphNodeGetType(c, &type));
    assert_int_equal(type, NODE_MEMCPY);
    CALL(cuGraphMemcpyNodeGetParams(a, &got));
    assert_ptr_equal(got.src_host, in);

    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    for (uint32_t round = 1; round < 5; round++) {
        for (unsigned i = 0; i < N; i++)
            in[i] = round * i;
        launch(exec);
        assert_memory_equal(in, out, SIZE);
    }
    to_host.dst_device = (CUdeviceptr) late;
    CALL(cuGraphExecMemcpyNodeSetParams(exec, c, &to_host, t.context));
    in[3] = 1234;
    launch(exec);
    assert_memory_equal(in, late, SIZE);
    assert_int_equal(out[3], 12);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuGraphExecMemcpyNodeSetParams(exec, c, &between, t.context));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphNodeSetEnabled(exec, c, 0));
    CALL(cuGraphExecDestroy(exec));

    CALL(cuGraphClone(&clone, graph));
    CALL(cuGraphDestroy(graph));
    in[3] = 4321;
    run(clone);
    assert_memory_equal(in, out, SIZE);
    CALL(cuGraphDestroy(clone));
    free(in);
}

/* Memory of the window the device reaches by itself. */
TEST(test_copy_of_pinned_memory)
{
    Copy3D copy = {.src_type = 1,
                   .dst_type = 2,
                   .dst_device = t.a,
                   .width_bytes = SIZE,
                   .height = 1,
                   .depth = 1};
    uint32_t *in;
    CUgraphNode node;
    CUgraph graph;
    size_t n;

    CALL(cuMemAllocHost_v2((void **) &in, SIZE));
    copy.src_host = in;
    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphAddMemcpyNode(&node, graph, NULL, 0, &copy, NULL));
    for (unsigned i = 0; i < N; i++)
        in[i] = 31;
    run(graph);
    check(t.a, 31);
    CALL(cuGraphGetNodes(graph, NULL, &n));
    assert_int_equal(n, 1);
    CALL(cuGraphDestroy(graph));
    CALL(cuMemFreeHost(in));
}

/* A buffer of several chunks behind one that has pinned the first: the driver's node takes it only
 * in one pin. First, as what others have pinned lies anywhere. */
TEST(test_copy_of_much_pinned_memory)
{
    const size_t size = (size_t) 20 << 20, last = size / sizeof(uint32_t) - 1;
    Copy3D copy = {.src_type = 1, .dst_type = 2, .width_bytes = size, .height = 1, .depth = 1};
    uint32_t *small, *in, got[2];
    CUgraphNode node;
    CUgraph graph;

    CALL(cuMemAllocHost_v2((void **) &small, SIZE));
    CALL(cuMemAllocHost_v2((void **) &in, size));
    CALL(cuMemAlloc_v2(&copy.dst_device, size));
    copy.src_host = in;
    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphAddMemcpyNode(&node, graph, NULL, 0, &copy, NULL));
    in[0] = 32;
    in[last] = 33;
    run(graph);
    CALL(cuMemcpyDtoH_v2(&got[0], copy.dst_device, sizeof(*got)));
    CALL(cuMemcpyDtoH_v2(&got[1], copy.dst_device + last * sizeof(*got), sizeof(*got)));
    assert_int_equal(got[0], 32);
    assert_int_equal(got[1], 33);
    CALL(cuGraphDestroy(graph));
    CALL(cuMemFree_v2(copy.dst_device));
    CALL(cuMemFreeHost(in));
    CALL(cuMemFreeHost(small));
}

/* Memory that a graph allocates: at one address in each launch */
TEST(test_memory)
{
    AllocNode alloc = {.pool = {.type = 1, .location = {1, 0}}, .size = SIZE}, got;
    SetNode set = {.value = 17, .element = 4, .width = N, .height = 1};
    CUgraphNode a, b, c, d;
    CUgraph graph, clone;
    CUgraphExec exec, second;
    CUdeviceptr address;
    uint64_t used = 0, zero = 0;

    CALL(cuGraphCreate(&graph, 0));
    alloc.size = 0;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddMemAllocNode(&a, graph, NULL, 0, &alloc));
    alloc.size = SIZE;
    CALL(cuGraphAddMemAllocNode(&a, graph, NULL, 0, &alloc));
    CALL(cuDeviceGetGraphMemAttribute(0, 0, &used));
    assert_int_equal(used, SIZE);
    set.address = alloc.address;
    CALL(cuGraphAddMemsetNode(&b, graph, &a, 1, &set, t.context));
    CALL(cuGraphAddMemcpyNode(&c, graph, &b, 1, &(const Copy3D[]){copy_of(t.a, alloc.address)}[0],
                              t.context));
    CALL(cuGraphMemAllocNodeGetParams(a, &got));
    assert_int_equal(got.address, alloc.address);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(alloc.address));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphClone(&clone, graph));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphDestroyNode(c));

    /* What a launch leaves allocated, the program frees. */
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuGraphInstantiateWithFlags(&second, graph, 0));
    launch(exec);
    check(t.a, 17);
    check(alloc.address, 17);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(exec, t.stream));
    CALL(cuMemFree_v2(alloc.address));
    launch(exec);
    CALL(cuMemFreeAsync(alloc.address, t.stream));
    launch(exec);
    CALL(cuGraphExecDestroy(exec));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddMemFreeNode(&d, graph, &c, 1, t.a));
    CALL(cuMemFree_v2(alloc.address));
    CALL(cuGraphAddMemFreeNode(&d, graph, &c, 1, alloc.address));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphAddMemFreeNode(&d, graph, &c, 1, alloc.address));
    CALL(cuGraphMemFreeNodeGetParams(d, &address));
    assert_int_equal(address, alloc.address);
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    launch(exec);
    launch(exec);
    CALL(cuGraphDestroy(graph));
    launch(exec);
    check(t.a, 17);
    CALL(cuGraphExecDestroy(exec));
    CALL(cuDeviceGetGraphMemAttribute(0, 0, &used));
    assert_int_equal(used, 0);
    CALL(cuDeviceGetGraphMemAttribute(0, 1, &used));
    assert_int_equal(used, SIZE);
    CALL(cuDeviceSetGraphMemAttribute(0, 1, &zero));
    CALL(cuDeviceGetGraphMemAttribute(0, 3, &used));
    assert_int_equal(used, 0);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuDeviceSetGraphMemAttribute(0, 0, &zero));
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE, cuDeviceGraphMemTrim(1));
    CALL(cuDeviceGraphMemTrim(0));
    assert_false(cuMemFree_v2(alloc.address) == CUDA_SUCCESS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_copy_of_much_pinned_memory, setup),
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_clone),
        cmocka_unit_test(test_kernel),
        cmocka_unit_test(test_kernel_forms),
        cmocka_unit_test(test_kernel_attributes),
        cmocka_unit_test(test_copy_and_set),
        cmocka_unit_test(test_copy_of_array),
        cmocka_unit_test(test_copy_of_own_memory),
        cmocka_unit_test(test_copy_of_pinned_memory),
        cmocka_unit_test_teardown(test_memory, teardown),
    };

    return libcuda_test_main(argc, argv, tests);
}

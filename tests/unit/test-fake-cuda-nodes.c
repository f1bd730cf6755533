/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake CUDA driver: graphs by their nodes, and what they hold */
#include "cleanup.h"
#include "test-fake-cuda-fixture.h"

enum { TOPOLOGY_CHANGED = 2, INVALID_STRUCTURE = 2 };
enum { UPDATE_FAILURE = 910, LOSSY_QUERY = 402 };

static CUgraph new_graph(void)
{
    CUgraph graph;

    OK(cu.graph_create(&graph, 0));
    return graph;
}

static CUgraphNode new_empty(CUgraph graph, const CUgraphNode *after)
{
    CUgraphNode node;

    OK(cu.empty_node_add(&node, graph, after, after != NULL));
    return node;
}

static CUresult instantiate(CUgraph graph, CUgraphExec *ret, int *ret_result)
{
    CudaGraphInstantiate params = {.result = -1};
    CUresult r = cu.graph_instantiate(ret, graph, &params);

    *ret_result = params.result;
    return r;
}

static CUgraphExec new_exec(CUgraph graph)
{
    CUgraphExec exec;
    int result;

    OK(instantiate(graph, &exec, &result));
    return exec;
}

static CUgraphNode new_fill(CUgraph graph, CUdeviceptr to, uint32_t value)
{
    uint64_t n = 1;
    void *params[] = {&to, &value, &n};
    const CudaKernelNode p = {
        .function = function("fill"),
        .grid_x = 1,
        .grid_y = 1,
        .grid_z = 1,
        .block_x = 1,
        .block_y = 1,
        .block_z = 1,
        .params = params,
    };
    CUgraphNode node;

    OK(cu.kernel_node_add(&node, graph, NULL, 0, &p));
    return node;
}

/* ---- Edges ------------------------------------------------------------------------------------
 */

static void try_edges(void)
{
    CUgraph graph = new_graph(), other = new_graph();
    CUgraphNode a = new_empty(graph, NULL), b = new_empty(graph, &a), c = new_empty(graph, NULL);
    CUgraphNode foreign = new_empty(other, NULL), from[4], to[4], twice[] = {a, a}, node;
    CudaEdgeData data[4];
    CUgraphExec exec;
    size_t n = 4;
    int result;

    OK(cu.graph_get_edges(graph, from, to, data, &n));
    EXPECT(n == 1 && from[0] == a && to[0] == b && !from[1]);
    n = 4;
    OK(cu.graph_get_root_nodes(graph, from, &n));
    EXPECT(n == 2 && from[0] == a && from[1] == c);
    EXPECT_RESULT(cu.empty_node_add(&node, graph, &foreign, 1), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.empty_node_add(&node, graph, twice, 2), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.graph_add_dependencies(graph, &a, &b, NULL, 1), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.graph_add_dependencies(graph, &a, &foreign, NULL, 1),
                  CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.graph_remove_dependencies(graph, &b, &c, NULL, 1), CUDA_ERROR_INVALID_VALUE);

    /* A circle is noticed when it is to run. */
    OK(cu.graph_add_dependencies(graph, &b, &a, NULL, 1));
    EXPECT_RESULT(instantiate(graph, &exec, &result), CUDA_ERROR_INVALID_VALUE);
    EXPECT(result == INVALID_STRUCTURE);
    OK(cu.graph_remove_dependencies(graph, &b, &a, NULL, 1));
    /* An edge from a later node to an earlier one */
    OK(cu.graph_add_dependencies(graph, &c, &a, NULL, 1));
    OK(cu.graph_launch(new_exec(graph), NULL));
    OK(BASE.stream_synchronize(NULL));
    OK(cu.graph_destroy_node(a));
    n = 0;
    OK(cu.graph_get_edges(graph, NULL, NULL, NULL, &n));
    EXPECT(n == 0);
}

TEST(test_edges)
{
    assert_good("", try_edges);
}

/* What is allowed between kernels @a, @b, and a node that is none */
static void try_ports(void)
{
    static const CudaEdgeData wrong[] = {
        {3, 0, 1, {0}},
        {0, 0, 1, {0}},
        {1, 0, 0, {0}},
        {1, 1, 1, {0}},
        {1, 0, 2, {0}},
        {0, 1, 0, {0}},
        {1, 0, 1, {0, 0, 0, 0, 1}},
    };
    static const CudaEdgeData programmatic = {1, 0, 1, {0}}, order = {2, 0, 0, {0}};
    CUgraph graph = new_graph(), clone;
    CUdeviceptr cells = new_numbers(2);
    CUgraphNode a = new_fill(graph, cells, 1), b = new_fill(graph, cells, 2);
    CUgraphNode empty = new_empty(graph, NULL), from[4], to[4];
    CudaGraphUpdate update;
    CudaEdgeData data[4];
    CUgraphExec exec;
    size_t n = 4;

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        EXPECT_RESULT(cu.graph_add_dependencies(graph, &a, &b, &wrong[i], 1),
                      CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.graph_add_dependencies(graph, &a, &empty, &programmatic, 1),
                  CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.graph_add_dependencies(graph, &empty, &a, &programmatic, 1),
                  CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.graph_add_dependencies(graph, &empty, &a, &order, 1),
                  CUDA_ERROR_INVALID_VALUE);
    OK(cu.graph_add_dependencies(graph, &a, &b, &programmatic, 1));
    OK(cu.graph_add_dependencies(graph, &b, &empty, &order, 1));

    /* Who does not ask for the kinds of edges is told that there are some. */
    EXPECT_RESULT(cu.graph_get_edges(graph, from, to, NULL, &n), LOSSY_QUERY);
    n = 4;
    EXPECT_RESULT(cu.graph_node_get_dependents(a, to, NULL, &n), LOSSY_QUERY);
    OK(cu.graph_node_get_dependents(a, NULL, NULL, &n));
    EXPECT(n == 1);
    OK(cu.graph_clone(&clone, graph));
    n = 4;
    OK(cu.graph_get_edges(clone, from, to, data, &n));
    EXPECT(n == 2 && data[0].from_port == 1 && data[0].type == 1 && data[1].from_port == 2);

    exec = new_exec(graph);
    OK(cu.graph_exec_update(exec, clone, &update));
    OK(cu.graph_remove_dependencies(graph, &a, &b, &programmatic, 1));
    OK(cu.graph_add_dependencies(graph, &a, &b, NULL, 1));
    EXPECT_RESULT(cu.graph_exec_update(exec, graph, &update), UPDATE_FAILURE);
    EXPECT(update.result == TOPOLOGY_CHANGED);
    OK(cu.graph_destroy_node(a));
    n = 4;
    OK(cu.graph_get_edges(graph, from, to, data, &n));
    EXPECT(n == 1 && from[0] == b && data[0].from_port == 2);
}

TEST(test_ports)
{
    assert_good("", try_ports);
}

/* ---- Changing ---------------------------------------------------------------------------------
 */

static void try_changes(void)
{
    CUdeviceptr cells = new_numbers(2);
    CUgraph graph = new_graph(), clone;
    CUgraphNode node = new_fill(graph, cells, 3), copy, empty = new_empty(graph, &node);
    CUgraphExec exec = new_exec(graph);
    CudaGraphUpdate info;
    CudaKernelNode p;
    CudaMemsetNode set;
    int type;

    OK(cu.graph_launch(exec, NULL));
    OK(BASE.stream_synchronize(NULL));
    EXPECT(number_at(cells) == 3);
    OK(cu.graph_clone(&clone, graph));
    OK(cu.graph_node_find_in_clone(&copy, node, clone));
    EXPECT(copy != node);
    EXPECT_RESULT(cu.graph_node_find_in_clone(&copy, copy, graph), CUDA_ERROR_INVALID_VALUE);
    OK(cu.graph_node_get_type(copy, &type));
    EXPECT(type == CU_GRAPH_NODE_TYPE_KERNEL);
    OK(cu.kernel_node_get(copy, &p));
    *(uint32_t *) p.params[1] = 4;
    OK(cu.kernel_node_exec_set(exec, node, &p));
    OK(cu.graph_launch(exec, NULL));
    OK(BASE.stream_synchronize(NULL));
    EXPECT(number_at(cells) == 4);

    /* Nodes of another graph, and of another kind */
    EXPECT_RESULT(cu.kernel_node_exec_set(exec, copy, &p), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.kernel_node_set(empty, &p), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.memset_node_get(node, &set), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.graph_node_set_enabled(exec, empty, 0), CUDA_ERROR_INVALID_VALUE);
    OK(cu.graph_node_set_enabled(exec, node, 0));
    OK(cu.memset_d32_async(cells, 9, 1, NULL));
    OK(cu.graph_launch(exec, NULL));
    OK(BASE.stream_synchronize(NULL));
    EXPECT(number_at(cells) == 9);

    /* What has another shape is no update. */
    OK(cu.graph_destroy_node(copy));
    EXPECT_RESULT(cu.graph_exec_update(exec, clone, &info), 910);
    EXPECT(info.result == TOPOLOGY_CHANGED);
    EXPECT_RESULT(cu.graph_exec_update(exec, new_graph(), &info), 910);
}

TEST(test_changes)
{
    assert_good("", try_changes);
}

/* ---- What graphs hold -------------------------------------------------------------------------
 */

static void note(void *n)
{
    __atomic_add_fetch((uint32_t *) n, 1, __ATOMIC_RELEASE);
}

static CUuserObject new_object(uint32_t *n)
{
    CUuserObject object;

    OK(cu.user_object_create(&object, n, note, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
    return object;
}

static void try_objects(void)
{
    CUgraph graph = new_graph(), clone;
    uint32_t *word = pinned(2), n = 0, other = 0;
    CudaMemOp op = {CU_STREAM_MEM_OP_WAIT_VALUE_32, ADDRESS(word), 1, 0, 0, 0};
    const CudaMemOpNode p = {primary, 1, &op, 0};
    CUuserObject object = new_object(&n);
    CudaGraphUpdate info;
    CUgraphNode node;
    CUgraphExec exec;

    OK(cu.mem_op_node_add(&node, graph, NULL, 0, &p));
    OK(cu.graph_retain_user_object(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE));
    OK(cu.graph_clone(&clone, graph));
    exec = new_exec(graph);
    OK(cu.graph_release_user_object(graph, object, 1));
    OK(cu.graph_destroy(clone));
    EXPECT(n == 0);

    /* The executable graph has it, and after its end what was launched. */
    OK(cu.graph_launch(exec, NULL));
    OK(cu.graph_exec_destroy(exec));
    EXPECT(n == 0);
    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
    OK(BASE.stream_synchronize(NULL));
    while (__atomic_load_n(&n, __ATOMIC_ACQUIRE) == 0)
        ;

    /* An update takes those of the other graph in their place. */
    n = 0;
    object = new_object(&n);
    OK(cu.graph_retain_user_object(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE));
    exec = new_exec(graph);
    OK(cu.graph_release_user_object(graph, object, 1));
    object = new_object(&other);
    OK(cu.graph_retain_user_object(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE));
    OK(cu.graph_exec_update(exec, graph, &info));
    EXPECT(n == 1 && other == 0);
    OK(cu.graph_destroy(graph));
    OK(cu.graph_exec_destroy(exec));
    EXPECT(other == 1);
}

TEST(test_objects)
{
    assert_good("", try_objects);
}

/* ---- Misuse -----------------------------------------------------------------------------------
 */

static void use_dead_function(void)
{
    CUgraph graph = new_graph();
    CUgraphExec exec;

    new_fill(graph, new_numbers(1), 1);
    exec = new_exec(graph);
    OK(BASE.module_unload(module));
    cu.graph_launch(exec, NULL);
}

static void use_dead_event(void)
{
    CUevent event = new_event();
    CUgraph graph = new_graph();
    CUgraphNode node;

    OK(cu.event_record_node_add(&node, graph, NULL, 0, event));
    OK(cu.event_destroy(event));
    cu.graph_launch(new_exec(graph), NULL);
}

static void use_dead_node(void)
{
    CUgraph graph = new_graph();
    CUgraphNode node = new_empty(graph, NULL);
    int type;

    OK(cu.graph_destroy_node(node));
    cu.graph_node_get_type(node, &type);
}

static void release_too_often(void)
{
    uint32_t n = 0;
    CUuserObject object = new_object(&n), other = new_object(&n);
    CUgraph graph = new_graph();

    OK(cu.graph_retain_user_object(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE));
    cu.graph_release_user_object(graph, other, 1);
}

TEST(test_misuse)
{
    assert_misuse("", use_dead_function, "no handle");
    assert_misuse("", use_dead_event, "destroyed");
    assert_misuse("", use_dead_node, "no handle");
    assert_misuse("", release_too_often, "so often");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges),   cmocka_unit_test(test_ports),
        cmocka_unit_test(test_changes), cmocka_unit_test(test_objects),
        cmocka_unit_test(test_misuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session's graphs with conditional nodes, and the graphs of these, by what a handle says without
 * a kernel that sets it.
 *
 *   test-session-conditions fake    over the fake driver
 *   test-session-conditions gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#define N 16u
#define IN_GRAPHS 16u /* how many a graph may lie in: SESSION_GRAPH_DEPTH_MAX */

enum { MEMSET = 2, GRAPH = 4, EMPTY = 5, EVENT_RECORD = 7, CONDITIONAL = 13 };

static World w;
static uint64_t cells; /* N numbers of the device's */

static void begin(const WorldLimits *limits)
{
    world_begin(&w, limits);
    cells = world_alloc(&w, N * sizeof(uint32_t));
    assert_ok(CALL(&w, STREAM_CREATE, .id = 5, .flags = CU_STREAM_NON_BLOCKING));
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
}

/* A handle of @graph that is @value at the beginning of each launch */
static uint64_t condition(uint32_t graph, uint32_t value)
{
    assert_ok(CALL(&w, GRAPH_CONDITION, .graph = graph, .value = value,
                   .flags = CU_GRAPH_COND_ASSIGN_DEFAULT));
    return w.value[0];
}

/* A node of @graph with @size graphs of the numbers from @first on */
static uint32_t decide(uint32_t graph, uint64_t handle, uint32_t type, uint32_t size,
                       uint32_t first)
{
    struct {
        VGPUSessionConditional p;
        uint32_t bodies[8];
    } payload = {.p = {handle, type, size}};

    for (uint32_t i = 0; i < size && i < 8; i++)
        payload.bodies[i] = first + i;
    return CALL_WITH(&w, NODE_ADD, &payload, sizeof(payload), .graph = graph, .type = CONDITIONAL);
}

/* A node of @graph that sets number @i */
static uint32_t put(uint32_t graph, unsigned i, uint32_t value)
{
    const VGPUSessionSet set = {
        .address = cells + i * sizeof(uint32_t),
        .count = 1,
        .rows = 1,
        .value = value,
        .width = 4,
    };

    return CALL_WITH(&w, NODE_ADD, &set, sizeof(set), .graph = graph, .type = MEMSET);
}

static void launch(uint32_t graph, uint32_t got[static N])
{
    const uint32_t zero[N] = {0};

    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = graph, .exec = 1));
    world_write(&w, cells, zero, sizeof(zero));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    world_settle(&w, 5);
    world_read(&w, cells, got, N * sizeof(uint32_t));
    assert_ok(CALL(&w, GRAPH_EXEC_DESTROY, .exec = 1));
}

TEST(test_chosen)
{
    uint32_t got[N];

    begin(NULL);
    assert_ok(decide(1, condition(1, 1), CU_GRAPH_COND_TYPE_IF, 1, 11));
    assert_ok(decide(1, condition(1, 0), CU_GRAPH_COND_TYPE_IF, 2, 12));
    assert_ok(decide(1, condition(1, 2), CU_GRAPH_COND_TYPE_SWITCH, 4, 14));
    assert_ok(decide(1, condition(1, 0), CU_GRAPH_COND_TYPE_WHILE, 1, 18));
    for (uint32_t i = 0; i < 8; i++)
        assert_ok(put(11 + i, i, 100 + i));
    launch(1, got);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(got[i], i == 0 || i == 2 || i == 5 ? 100 + i : 0);
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    /* All of the numbers are free. */
    for (uint32_t i = 0; i < 8; i++)
        assert_ok(CALL(&w, GRAPH_CREATE, .graph = 11 + i));
    world_end(&w);
}

TEST(test_refused)
{
    const VGPUSessionConditional none = {0};
    uint64_t handle, other;

    begin(NULL);
    assert_fails(CALL(&w, GRAPH_CONDITION, .graph = 2), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_CONDITION, .graph = 1, .flags = 2), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, GRAPH_CONDITION, .graph = 1, .reserved = 1), CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 2));
    handle = condition(1, 1);
    other = condition(2, 1);
    assert_fails(decide(1, handle, CU_GRAPH_COND_TYPE_IF, 0, 11), CUDA_ERROR_INVALID_VALUE);
    assert_fails(decide(1, handle, CU_GRAPH_COND_TYPE_IF, 3, 11), CUDA_ERROR_INVALID_VALUE);
    assert_fails(decide(1, handle, CU_GRAPH_COND_TYPE_WHILE, 2, 11), CUDA_ERROR_INVALID_VALUE);
    assert_fails(decide(1, handle, 3, 1, 11), CUDA_ERROR_INVALID_VALUE);
    assert_fails(decide(1, handle, UINT32_MAX, 1, 11), CUDA_ERROR_INVALID_VALUE);
    assert_fails(decide(1, handle, CU_GRAPH_COND_TYPE_SWITCH, 9, 11), CUDA_ERROR_INVALID_VALUE);
    assert_fails(decide(1, handle, CU_GRAPH_COND_TYPE_SWITCH, VGPU_SESSION_BODIES_MAX + 1, 11),
                 CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(decide(1, handle, CU_GRAPH_COND_TYPE_SWITCH, UINT32_MAX, 11),
                 CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(CALL_WITH(&w, NODE_ADD, &none, 8, .graph = 1, .type = CONDITIONAL),
                 CUDA_ERROR_INVALID_VALUE);
    /* Handles of another graph, and of none */
    if (other != handle) /* the driver counts anew in each graph */
        assert_fails(decide(1, other, CU_GRAPH_COND_TYPE_IF, 1, 11), CUDA_ERROR_INVALID_VALUE);
    assert_fails(decide(1, 0, CU_GRAPH_COND_TYPE_IF, 1, 11), CUDA_ERROR_INVALID_VALUE);
    assert_fails(decide(1, handle ^ 1, CU_GRAPH_COND_TYPE_IF, 1, 11), CUDA_ERROR_INVALID_VALUE);
    /* Numbers that others have, or that are none: then the ones before are free again */
    assert_int_not_equal(decide(1, handle, CU_GRAPH_COND_TYPE_SWITCH, 2, 0), CUDA_SUCCESS);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 14));
    assert_int_not_equal(decide(1, handle, CU_GRAPH_COND_TYPE_SWITCH, 5, 11), CUDA_SUCCESS);
    assert_ok(decide(1, handle, CU_GRAPH_COND_TYPE_SWITCH, 3, 11));
    assert_fails(decide(1, handle, CU_GRAPH_COND_TYPE_IF, 1, 21), CUDA_ERROR_INVALID_VALUE);
    assert_fails(
        CALL_WITH(&w, NODE_SET, &none, sizeof(none), .graph = 1, .node = 1, .type = CONDITIONAL),
        CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, NODE_GET, .graph = 1, .node = 1));
    assert_int_equal(w.value[0], CONDITIONAL);
    assert_int_equal(w.value[1], 0);
    world_end(&w);
}

/* What a body is not for, and what a graph with one is not for */
TEST(test_bodies)
{
    begin(NULL);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 2));
    assert_ok(CALL(&w, EVENT_CREATE, .id = 1));
    assert_ok(decide(1, condition(1, 1), CU_GRAPH_COND_TYPE_IF, 2, 11));
    assert_ok(put(11, 0, 1));
    assert_fails(CALL(&w, GRAPH_DESTROY, .graph = 11), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, GRAPH_CLONE, .graph = 11, .exec = 21), CUDA_ERROR_NOT_SUPPORTED);
    assert_fails(CALL(&w, GRAPH_CLONE, .graph = 1, .exec = 21), CUDA_ERROR_NOT_SUPPORTED);
    assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = 11, .exec = 1), CUDA_ERROR_NOT_SUPPORTED);
    assert_fails(CALL(&w, NODE_ADD, .graph = 2, .type = GRAPH, .child = 11),
                 CUDA_ERROR_NOT_SUPPORTED);
    assert_fails(CALL(&w, NODE_ADD, .graph = 2, .type = GRAPH, .child = 1),
                 CUDA_ERROR_NOT_SUPPORTED);
    assert_fails(CALL(&w, NODE_ADD, .graph = 11, .type = EVENT_RECORD, .event = 1),
                 CUDA_ERROR_NOT_SUPPORTED);
    assert_ok(CALL(&w, NODE_ADD, .graph = 2, .type = EMPTY));
    assert_ok(CALL(&w, NODE_ADD, .graph = 11, .type = GRAPH, .child = 2));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_fails(CALL(&w, GRAPH_UPDATE, .exec = 1, .graph = 11), CUDA_ERROR_NOT_SUPPORTED);
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = 2));
    assert_fails(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5), CUDA_ERROR_NOT_SUPPORTED);
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 22));

    /* While one is captured, what it is in stays as it is. */
    assert_ok(CALL(&w, CAPTURE_INTO, .stream = 5, .graph = 12));
    assert_fails(CALL(&w, GRAPH_DESTROY, .graph = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, NODE_DESTROY, .graph = 1, .node = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, GRAPH_UPDATE, .exec = 1, .graph = 1), CUDA_ERROR_NOT_SUPPORTED);
    assert_ok(CALL(&w, SET, .address = cells, .count = N, .rows = 1, .width = 4, .stream = 5));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 12));
    assert_ok(CALL(&w, GRAPH_NODES, .graph = 12));
    assert_int_equal(w.value[0], 1);

    assert_ok(CALL(&w, NODE_DESTROY, .graph = 1, .node = 1));
    assert_fails(CALL(&w, GRAPH_NODES, .graph = 11), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_NODES, .graph = 12), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 11));
    world_end(&w);
}

/* What an executable graph takes is that of all of its nodes, of handles and bodies; that of bodies
 * is nobody's when they have ended. */
TEST(test_charges)
{
    uint64_t before;

    begin(&(WorldLimits){.memory_max = 256 * MIB});
    assert_ok(decide(1, condition(1, 1), CU_GRAPH_COND_TYPE_IF, 2, 11));
    assert_ok(decide(11, condition(1, 1), CU_GRAPH_COND_TYPE_IF, 1, 13));
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t j = 0; j < 4; j++)
            assert_ok(put(11 + i, j, 1));
    before = w.g.header->memory;
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_int_equal(w.g.header->memory, before + VGPU_SESSION_EXEC_BYTES +
                                             (2 + 2 + 3 + 12) * VGPU_SESSION_EXEC_NODE_BYTES);
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    world_settle(&w, 5);
    assert_ok(CALL(&w, GRAPH_EXEC_DESTROY, .exec = 1));
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    world_end(&w);
}

/* Each in a graph of the one before it, until that is too deep; all go with the context. */
TEST(test_deep)
{
    uint32_t graph = 1, depth = 0;

    begin(NULL);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 2));
    assert_ok(CALL(&w, NODE_ADD, .graph = 2, .type = EMPTY));
    while (depth <= IN_GRAPHS &&
           decide(graph, condition(1, 1), CU_GRAPH_COND_TYPE_IF, 1, 11 + depth) == CUDA_SUCCESS)
        graph = 11 + depth++;
    /* A driver may take fewer. */
    assert_in_range(depth, world_is_gpu() ? 1 : IN_GRAPHS, IN_GRAPHS);
    if (depth == IN_GRAPHS)
        assert_fails(CALL(&w, NODE_ADD, .graph = graph, .type = GRAPH, .child = 2),
                     CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(CALL(&w, NODE_ADD, .graph = depth > 1 ? graph - 1 : 1, .type = GRAPH, .child = 2));
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    session_guest_context(&w.g, 1, true);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 11));
    world_end(&w);
}

/* Handles without end are as many as nodes. */
TEST(test_too_many)
{
    uint32_t n = 0, result = CUDA_SUCCESS;

    if (world_is_gpu())
        skip();
    begin(NULL);
    while (result == CUDA_SUCCESS && n <= VGPU_SESSION_NODES_MAX) {
        result = CALL(&w, GRAPH_CONDITION, .graph = 1);
        n += result == CUDA_SUCCESS;
    }
    assert_fails(result, CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(n, VGPU_SESSION_NODES_MAX);
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    (void) condition(1, 0);
    world_end(&w);
}

/* A capture into a body that fails leaves a graph that is only to be destroyed; so does what a body
 * names, when it ends. */
TEST(test_broken)
{
    VGPUSessionLaunch kernel = {.function = 1, .grid = {1, 1, 1}, .block = {1, 1, 1}};

    begin(NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_KERNELS, 1, "nothing");
    assert_ok(decide(1, condition(1, 1), CU_GRAPH_COND_TYPE_IF, 1, 11));
    assert_ok(CALL_WITH(&w, NODE_ADD, &kernel, sizeof(kernel), .graph = 11));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = WORLD_KERNELS));
    assert_fails(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 2), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, GRAPH_EXEC_DESTROY, .exec = 1));
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    world_end(&w);
}

TEST(test_failed_capture)
{
    if (world_is_gpu())
        skip(); /* what the driver does with the body then is not known */
    begin(NULL);
    assert_ok(decide(1, condition(1, 1), CU_GRAPH_COND_TYPE_IF, 2, 11));
    assert_ok(CALL(&w, CAPTURE_INTO, .stream = 5, .graph = 11));
    assert_fails(CALL(&w, MEMORY_ALLOC, .size = 64), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    assert_int_not_equal(CALL(&w, CAPTURE_END, .stream = 5, .graph = 11), CUDA_SUCCESS);
    assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 12));

    /* A graph that grows, and a body of it; the stream of each ends. */
    assert_ok(CALL(&w, STREAM_CREATE, .id = 6, .flags = CU_STREAM_NON_BLOCKING));
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5));
    assert_ok(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 1));
    assert_ok(decide(1, condition(1, 1), CU_GRAPH_COND_TYPE_IF, 1, 11));
    assert_ok(CALL(&w, CAPTURE_INTO, .stream = 6, .graph = 11));
    assert_ok(CALL(&w, STREAM_DESTROY, .id = 5));
    assert_fails(CALL(&w, GRAPH_NODES, .graph = 11), CUDA_ERROR_INVALID_HANDLE);
    assert_int_not_equal(CALL(&w, CAPTURE_END, .stream = 6, .graph = 11), CUDA_SUCCESS);
    assert_ok(CALL(&w, STREAM_DESTROY, .id = 6));
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 11));
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chosen), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bodies), cmocka_unit_test(test_charges),
        cmocka_unit_test(test_deep),   cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_broken), cmocka_unit_test(test_failed_capture),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

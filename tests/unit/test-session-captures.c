/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Captures of a session by threads of the guest, what ends before a graph that names it, and what
 * graphs take.
 *
 *   test-session-captures fake    over the fake driver
 *   test-session-captures gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <unistd.h>

#include "cleanup.h"

#define N 64u

enum { GLOBAL = 0, THREAD_LOCAL = 1, RELAXED = 2 };
enum { ILLEGAL_STATE = 401 };
enum { CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901, WRONG_THREAD = 908 };
enum { EMPTY = 5 };

static World w;

typedef struct FillParameters {
    uint64_t to;
    uint32_t value;
    uint32_t gap;
    uint64_t n;
} FillParameters;

static FillParameters fill = {.value = 4, .n = N};

static void begin(const WorldLimits *limits)
{
    world_begin(&w, limits);
    world_load_kernels(&w);
    world_function(&w, WORLD_KERNELS, 1, "fill");
    fill.to = world_alloc(&w, N * sizeof(uint32_t));
    for (uint32_t id = 5; id <= 6; id++)
        assert_ok(CALL(&w, STREAM_CREATE, .id = id, .flags = CU_STREAM_NON_BLOCKING));
}

static uint32_t launch(uint32_t stream)
{
    return CALL_WITH(&w, LAUNCH, &fill, sizeof(fill), .function = 1, .stream = stream,
                     .grid = {1, 1, 1}, .block = {N, 1, 1}, .parameters_size = sizeof(fill));
}

/* Whose calls are made from now on */
static void become(uint16_t thread, uint8_t mode)
{
    w.g.thread = thread;
    w.g.capture_mode = mode;
}

/* ---- Threads ----------------------------------------------------------------------------------
 */

/* A capture in @mode is under way, of thread 1. May @thread, in @thread_mode, have memory? */
static bool may_allocate(uint32_t mode, uint16_t thread, uint8_t thread_mode)
{
    uint32_t r, end;

    become(1, GLOBAL);
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = mode));
    assert_ok(launch(5));
    become(thread, thread_mode);
    r = CALL(&w, MEMORY_ALLOC, .size = 512);
    become(1, GLOBAL);
    end = CALL(&w, CAPTURE_END, .stream = 5, .graph = 1);
    if (r == CUDA_SUCCESS) {
        assert_ok(end);
        assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
        return true;
    }
    assert_fails(r, CAPTURE_UNSUPPORTED);
    assert_fails(end, CAPTURE_INVALIDATED);
    return false;
}

/* As on the driver, where each of these threads is one */
TEST(test_rules_of_threads)
{
    begin(NULL);
    assert_false(may_allocate(GLOBAL, 1, GLOBAL));
    assert_false(may_allocate(GLOBAL, 1, THREAD_LOCAL));
    assert_true(may_allocate(GLOBAL, 1, RELAXED));
    assert_false(may_allocate(GLOBAL, 2, GLOBAL));
    assert_true(may_allocate(GLOBAL, 2, THREAD_LOCAL));
    assert_true(may_allocate(GLOBAL, 2, RELAXED));

    assert_false(may_allocate(THREAD_LOCAL, 1, GLOBAL));
    assert_false(may_allocate(THREAD_LOCAL, 1, THREAD_LOCAL));
    assert_true(may_allocate(THREAD_LOCAL, 1, RELAXED));
    assert_true(may_allocate(THREAD_LOCAL, 2, GLOBAL));
    assert_true(may_allocate(THREAD_LOCAL, 2, THREAD_LOCAL));

    assert_true(may_allocate(RELAXED, 1, GLOBAL));
    assert_true(may_allocate(RELAXED, 2, GLOBAL));
    world_end(&w);
}

TEST(test_capture_of_another_thread)
{
    uint64_t number;

    begin(NULL);
    assert_ok(CALL(&w, CAPTURE_INFO, .id = 5));
    assert_int_equal(w.value[0], 0);
    assert_int_equal(w.value[1], 0);
    become(1, GLOBAL);
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = THREAD_LOCAL));
    assert_ok(CALL(&w, CAPTURE_INFO, .id = 5));
    assert_int_equal(w.value[0], 1);
    number = w.value[1];
    assert_int_not_equal(number, 0);
    become(2, GLOBAL);
    assert_fails(CALL(&w, CAPTURE_END, .stream = 5, .graph = 1), WRONG_THREAD);
    assert_ok(launch(5)); /* it may give it work */
    become(1, GLOBAL);
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 1));
    become(1, GLOBAL);
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = RELAXED));
    assert_ok(CALL(&w, CAPTURE_INFO, .id = 5));
    assert_int_not_equal(w.value[1], number);
    become(2, GLOBAL);
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 2));
    assert_fails(CALL(&w, CAPTURE_INFO, .id = 9), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, CAPTURE_INFO, .id = 5, .flags = 1), CUDA_ERROR_INVALID_VALUE);
    /* A stream that ends while it captures leaves nothing behind. */
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = GLOBAL));
    assert_ok(CALL(&w, STREAM_DESTROY, .id = 5));
    become(3, GLOBAL);
    assert_ok(CALL(&w, MEMORY_ALLOC, .size = 512));
    world_end(&w);
}

/* ---- What ends before a graph -----------------------------------------------------------------
 */

TEST(test_module_ends)
{
    begin(NULL);
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = THREAD_LOCAL));
    assert_ok(launch(5));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 1));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, GRAPH_CLONE, .graph = 1, .exec = 2));
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 3));
    assert_ok(CALL(&w, NODE_ADD, .graph = 3, .type = 4, .child = 1));
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 4));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 4, .exec = 4));
    /* One capture has a function of it, and one begins later. */
    w.g.capture_mode = RELAXED;
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = RELAXED));
    assert_ok(launch(5));
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = WORLD_KERNELS));
    assert_fails(CALL(&w, CAPTURE_END, .stream = 5, .graph = 5), CAPTURE_INVALIDATED);
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = RELAXED));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 5));

    assert_fails(CALL(&w, GRAPH_LAUNCH, .exec = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_UPDATE, .exec = 1, .graph = 1), CUDA_ERROR_INVALID_HANDLE);
    for (uint32_t graph = 1; graph <= 3; graph++) {
        assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = graph, .exec = 9),
                     CUDA_ERROR_INVALID_HANDLE);
        assert_fails(CALL(&w, GRAPH_CLONE, .graph = graph, .exec = 9), CUDA_ERROR_INVALID_HANDLE);
        assert_fails(CALL(&w, NODE_GET, .graph = graph, .node = 1), CUDA_ERROR_INVALID_HANDLE);
        assert_fails(CALL(&w, NODE_ADD, .graph = 4, .type = 4, .child = graph),
                     CUDA_ERROR_INVALID_HANDLE);
        assert_ok(CALL(&w, GRAPH_DESTROY, .graph = graph));
    }
    assert_ok(CALL(&w, GRAPH_EXEC_DESTROY, .exec = 1));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 4));
    world_settle(&w, 0);
    world_end(&w);
}

/* An event that only a capture has, and then a graph */
TEST(test_event_ends)
{
    begin(NULL);
    assert_ok(CALL(&w, EVENT_CREATE, .id = 1, .flags = 2));
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = THREAD_LOCAL));
    assert_ok(CALL(&w, EVENT_RECORD, .event = 1, .stream = 5, .flags = 1));
    assert_ok(CALL(&w, EVENT_DESTROY, .id = 1));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 1));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    world_settle(&w, 5);
    assert_ok(CALL(&w, GRAPH_EXEC_DESTROY, .exec = 1));

    /* Its context goes, and a graph of another has it. */
    session_guest_context(&w.g, 2, false);
    assert_int_equal(session_guest_call(&w.g, VGPU_SESSION_OP_EVENT_CREATE, 2,
                                        &(VGPUSessionCreate){.id = 2, .flags = 2},
                                        sizeof(VGPUSessionCreate)),
                     0);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    assert_ok(CALL(&w, NODE_ADD, .graph = 1, .type = 7, .event = 2));
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 2));
    assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    world_end(&w);
}

/* ---- What graphs take -------------------------------------------------------------------------
 */

static void assert_memory(uint64_t bytes)
{
    for (unsigned i = 0; __atomic_load_n(&w.g.control->memory, __ATOMIC_RELAXED) != bytes; i++) {
        assert_true(i < SESSION_GUEST_TIMEOUT_MSEC);
        usleep(1000);
    }
}

#define EXEC_BYTES(n) (VGPU_SESSION_EXEC_BYTES + (n) *VGPU_SESSION_EXEC_NODE_BYTES)

TEST(test_quota)
{
    const WorldLimits limits = {.memory_max = 8 * MIB};
    uint64_t before, n = 0;

    begin(&limits);
    before = w.g.control->memory;
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    for (unsigned i = 0; i < 10; i++)
        assert_ok(CALL(&w, NODE_ADD, .graph = 1, .type = EMPTY));
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 2));
    assert_ok(CALL(&w, NODE_ADD, .graph = 2, .type = 4, .child = 1));
    assert_memory(before);
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 2, .exec = 1));
    assert_memory(before + EXEC_BYTES(11));
    assert_ok(CALL(&w, GRAPH_UPDATE, .exec = 1, .graph = 2));
    assert_memory(before + EXEC_BYTES(11));
    assert_ok(CALL(&w, GRAPH_EXEC_DESTROY, .exec = 1));
    assert_memory(before);

    while (CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = (uint32_t) n + 1) == CUDA_SUCCESS)
        n++;
    assert_memory(before + n * EXEC_BYTES(10));
    assert_true(before + (n + 1) * EXEC_BYTES(10) > limits.memory_max);
    assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = (uint32_t) n + 1),
                 CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    assert_memory(0);
    session_guest_context(&w.g, 1, true);
    world_end(&w);
}

/* An executable graph that ends while it runs is charged until it has run. */
TEST(test_quota_while_it_runs)
{
    VGPUSessionWord p = {.value = 1, .bits = 64};
    uint64_t before, *word;

    begin(NULL);
    before = w.g.control->memory;
    word = (uint64_t *) (void *) world_window(&w, 8);
    p.address = world_address(word);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    assert_ok(CALL_WITH(&w, NODE_ADD, &p, sizeof(p), .graph = 1, .type = 12, .flags = 1));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    assert_ok(CALL(&w, GRAPH_EXEC_DESTROY, .exec = 1));
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    usleep(20000);
    assert_int_equal(w.g.control->memory, before + EXEC_BYTES(1));
    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
    world_settle(&w, 5);
    assert_memory(before);
    world_end(&w);
}

/* ---- Wrong by one -----------------------------------------------------------------------------
 */

typedef struct WrongNode {
    uint16_t op;
    VGPUSessionNode p;
    uint32_t more_size; /* of zeros */
    uint32_t result;
} WrongNode;

#define OP(name) VGPU_SESSION_OP_##name

static const WrongNode wrong[] = {
    {OP(NODE_ADD), {.graph = 2, .type = EMPTY}, 0, CUDA_ERROR_INVALID_HANDLE},
    {OP(NODE_ADD), {.graph = 1, .type = EMPTY, .reserved = 1}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ADD), {.graph = 1, .type = EMPTY, .n_dependencies = 1}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ADD), {.graph = 1, .type = EMPTY, .n_dependencies = 1}, 8, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ADD),
     {.graph = 1, .type = EMPTY, .n_dependencies = UINT32_MAX},
     64,
     CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ADD), {.graph = 1, .type = 13}, 512, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ADD), {.graph = 1, .type = 10}, 512, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ADD), {.graph = 1, .type = UINT32_MAX}, 512, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ADD),
     {.graph = 1, .type = 0},
     sizeof(VGPUSessionLaunch) - 16,
     CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ADD), {.graph = 1, .type = 0}, sizeof(VGPUSessionLaunch), CUDA_ERROR_INVALID_HANDLE},
    {OP(NODE_ADD),
     {.graph = 1, .type = 1},
     sizeof(VGPUSessionCopy3D) - 16,
     CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ADD), {.graph = 1, .type = 1}, sizeof(VGPUSessionCopy3D), CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ADD), {.graph = 1, .type = 2}, sizeof(VGPUSessionSet), CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ADD),
     {.graph = 1, .type = 3},
     sizeof(VGPUSessionFence) - 16,
     CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ADD), {.graph = 1, .type = 6}, 0, CUDA_ERROR_INVALID_HANDLE},
    {OP(NODE_ADD), {.graph = 1, .type = 12}, sizeof(VGPUSessionWord), CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_SET), {.graph = 1, .node = 1, .type = 1}, 512, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_SET), {.graph = 1, .node = 1, .type = EMPTY}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_SET), {.graph = 1, .node = 2, .type = EMPTY}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_SET),
     {.graph = 1, .node = 1, .type = 7, .n_dependencies = 1},
     8,
     CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_EXEC_SET), {.graph = 1, .exec = 2, .node = 1}, 64, CUDA_ERROR_INVALID_HANDLE},
    {OP(NODE_EXEC_SET), {.graph = 1, .exec = 1, .node = 2}, 64, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_EXEC_SET), {.graph = 3, .exec = 1, .node = 1}, 64, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ENABLE), {.graph = 1, .exec = 1, .node = 1, .flags = 2}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_ENABLE), {.graph = 1, .exec = 1, .node = 1}, 0, CUDA_ERROR_INVALID_VALUE}, /* EMPTY */
    {OP(NODE_ENABLE), {.graph = 1, .exec = 1, .node = 9}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_GET), {.graph = 1, .node = 0}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_GET), {.graph = 1, .node = UINT32_MAX}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_GET), {.graph = 1, .node = 1, .into = {UINT64_MAX, 8}}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_GET), {.graph = 1, .node = 1, .into = {32 * MIB - 7, 8}}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_DESTROY), {.graph = 1, .node = 2}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_DEPENDS),
     {.graph = 1, .n_dependencies = UINT32_MAX, .flags = 1},
     64,
     CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_DEPENDS), {.graph = 1, .n_dependencies = 1, .flags = 1}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_DEPENDS), {.graph = 1, .n_dependencies = 1, .flags = 1}, 8, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_DEPENDS),
     {.graph = 1, .n_dependencies = 1, .flags = VGPU_SESSION_EDGE_DATA | 1},
     8,
     CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_DEPENDS),
     {.graph = 1, .n_dependencies = 1, .flags = VGPU_SESSION_EDGE_DATA | 1},
     16,
     CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_DEPENDS), {.graph = 1, .flags = 0x201}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(NODE_DEPENDS), {.graph = 1, .flags = UINT32_MAX}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(GRAPH_LIST), {.graph = 1, .what = 4}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(GRAPH_LIST), {.graph = 1, .into = {32 * MIB, 1}}, 0, CUDA_ERROR_INVALID_VALUE},
    {OP(GRAPH_LIST), {.graph = 2}, 0, CUDA_ERROR_INVALID_HANDLE},
};

TEST(test_what_is_wrong)
{
    static const unsigned char zeros[512];

    begin(NULL);
    for (uint32_t graph = 1; graph <= 3; graph += 2) {
        assert_ok(CALL(&w, GRAPH_CREATE, .graph = graph));
        assert_ok(CALL(&w, NODE_ADD, .graph = graph, .type = EMPTY));
    }
    assert_fails(CALL(&w, GRAPH_CREATE, .graph = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, GRAPH_CREATE, .graph = 4, .flags = 1), CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const uint32_t r =
            world_call(&w, wrong[i].op, &wrong[i].p, sizeof(wrong[i].p), zeros, wrong[i].more_size);

        if (r != wrong[i].result)
            fail_msg("row %zu: %u instead of %u", i, r, wrong[i].result);
    }
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1));
    world_settle(&w, 0);
    world_end(&w);
}

/* ---- The graph that grows ---------------------------------------------------------------------
 */

/* The number of one node, as it stands behind the parameters */
static const uint32_t *one(uint32_t number)
{
    static uint32_t numbers[2];

    numbers[0] = number;
    return numbers;
}

TEST(test_graph_that_grows)
{
    begin(NULL);
    assert_fails(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 1), ILLEGAL_STATE);
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = RELAXED));
    assert_fails(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 1, .into = {UINT64_MAX, 8}),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 1));
    assert_int_equal(w.value[0], 0);
    assert_ok(launch(5));
    assert_ok(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 1));
    assert_int_equal(w.value[0], 1);
    assert_fails(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 2), CUDA_ERROR_INVALID_VALUE);

    assert_fails(CALL(&w, GRAPH_DESTROY, .graph = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1), CUDA_ERROR_NOT_SUPPORTED);
    assert_fails(CALL(&w, NODE_DESTROY, .graph = 1, .node = 1), CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL_WITH(&w, NODE_ADD, one(1), 8, .graph = 1, .type = EMPTY, .n_dependencies = 1));
    assert_int_equal(w.value[0], 2);
    assert_fails(CALL_WITH(&w, CAPTURE_DEPENDS, one(3), 8, .stream = 5, .graph = 1, .n = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, CAPTURE_DEPENDS, .stream = 5, .graph = 1, .n = UINT32_MAX),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, CAPTURE_DEPENDS, .stream = 5, .graph = 1, .flags = 2),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(
        CALL_WITH(&w, CAPTURE_DEPENDS, one(2), 8, .stream = 5, .graph = 1, .n = 1, .flags = 1));
    assert_ok(launch(5));
    assert_fails(CALL(&w, CAPTURE_END, .stream = 5, .graph = 2), CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 1));
    assert_ok(CALL(&w, GRAPH_LIST, .graph = 1, .what = VGPU_GRAPH_LIST_EDGE_DATA));
    assert_int_equal(w.value[0], 2);
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1));

    /* Into a graph that is there, which ends with a capture that fails */
    become(1, GLOBAL);
    assert_fails(CALL(&w, CAPTURE_INTO, .stream = 5, .graph = 1, .flags = 3),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, CAPTURE_INTO, .stream = 5, .graph = 2), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(
        CALL_WITH(&w, CAPTURE_INTO, one(3), 8, .stream = 5, .graph = 1, .n = 1, .flags = GLOBAL));
    assert_fails(CALL(&w, CAPTURE_INTO, .stream = 6, .graph = 1), CUDA_ERROR_NOT_SUPPORTED);
    assert_fails(CALL(&w, MEMORY_ALLOC, .size = 512), CAPTURE_UNSUPPORTED);
    assert_fails(CALL(&w, GRAPH_LIST, .graph = 1), CAPTURE_INVALIDATED);
    assert_fails(CALL(&w, CAPTURE_END, .stream = 5, .graph = 1), CAPTURE_INVALIDATED);
    assert_fails(CALL(&w, GRAPH_LIST, .graph = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_DESTROY, .graph = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));

    /* Streams that end while their graphs grow */
    become(1, RELAXED);
    assert_ok(CALL(&w, CAPTURE_INTO, .stream = 5, .graph = 1, .flags = RELAXED));
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 6, .flags = RELAXED));
    assert_ok(CALL(&w, CAPTURE_GRAPH, .stream = 6, .graph = 2));
    assert_ok(CALL(&w, STREAM_DESTROY, .id = 5));
    assert_ok(CALL(&w, STREAM_DESTROY, .id = 6));
    assert_fails(CALL(&w, GRAPH_LIST, .graph = 2), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    world_end(&w);
}

/* ---- Ports of kernels -------------------------------------------------------------------------
 */

/* In a capture, by stream 5 unless the row says more; what follows is one edge */
static const struct {
    uint16_t op;
    uint32_t flags, n, size;
    VGPUSessionEdge edge;
} wrong_edges[] = {
    {OP(CAPTURE_DEPENDS), 0x100, 1, 16, {1, 1, {1, 0, 1}}}, /* the node that it goes to */
    {OP(CAPTURE_DEPENDS), 0x100, 1, 16, {9, 0, {1, 0, 1}}},
    {OP(CAPTURE_DEPENDS), 0x100, 1, 16, {0, 0, {1, 0, 1}}},
    {OP(CAPTURE_DEPENDS), 0x100, 1, 16, {1, 0, {3, 0, 1}}},
    {OP(CAPTURE_DEPENDS), 0x100, 1, 16, {1, 0, {1, 1, 1}}},
    {OP(CAPTURE_DEPENDS), 0x100, 1, 16, {1, 0, {1, 0, 2}}},
    {OP(CAPTURE_DEPENDS), 0x100, 1, 16, {1, 0, {1, 0, 1, 1}}},
    {OP(CAPTURE_DEPENDS), 0x100, 1, 16, {2, 0, {1, 0, 1}}}, /* not of a kernel */
    {OP(CAPTURE_DEPENDS), 0x100, 1, 0, {1, 0, {0}}},
    {OP(CAPTURE_DEPENDS), 0x100, UINT32_MAX, 16, {1, 0, {1, 0, 1}}},
    {OP(CAPTURE_DEPENDS), 0x102, 1, 16, {1, 0, {1, 0, 1}}},
    {OP(CAPTURE_DEPENDS), 0x201, 1, 16, {1, 0, {1, 0, 1}}},
    {OP(CAPTURE_INTO), 0x103, 1, 16, {1, 0, {1, 0, 1}}},
    {OP(CAPTURE_INTO), 0x202, 1, 16, {1, 0, {1, 0, 1}}},
};

static uint32_t launch_behind(uint32_t stream)
{
    struct {
        VGPUSessionLaunchAttribute attribute;
        FillParameters p;
    } more = {.attribute = {.id = 6, .value = {1}}, .p = fill};

    return CALL_WITH(&w, LAUNCH, &more, sizeof(more), .function = 1, .stream = stream,
                     .grid = {1, 1, 1}, .block = {N, 1, 1}, .n_attributes = 1,
                     .parameters_size = sizeof(fill));
}

/* What edges end at @to: by which ports they begin */
static uint32_t ports_to(uint32_t to, unsigned char *into)
{
    uint32_t ports = 0;

    assert_ok(CALL(&w, GRAPH_LIST, .graph = 1, .what = VGPU_GRAPH_LIST_EDGE_DATA,
                   .into = {world_offset(&w, into), 256}));
    for (uint64_t i = 0; i < w.value[0]; i++) {
        VGPUSessionEdge edge;

        memcpy(&edge, into + i * sizeof(edge), sizeof(edge));
        if (edge.to == to)
            ports |= 1u << edge.data[0];
    }
    return ports;
}

TEST(test_ports)
{
    VGPUSessionEdge edge = {.from = 1, .data = {1, 0, 1}}, got = {0};
    unsigned char *into;
    uint32_t number = 0;

    begin(NULL);
    into = world_window(&w, 256);
    become(1, RELAXED);
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = RELAXED));
    assert_ok(launch(5));
    assert_ok(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 1));
    assert_int_equal(w.value[0], 1);
    assert_int_equal(w.value[1], 0);
    assert_ok(CALL_WITH(&w, NODE_ADD, one(1), 8, .graph = 1, .type = EMPTY, .n_dependencies = 1));
    for (unsigned i = 0; i < ELEMENTSOF(wrong_edges); i++) {
        const VGPUSessionCapture p = {
            .graph = 1,
            .stream = wrong_edges[i].op == OP(CAPTURE_INTO) ? 6 : 5,
            .flags = wrong_edges[i].flags,
            .n = wrong_edges[i].n,
        };

        assert_fails(world_call(&w, wrong_edges[i].op, &p, sizeof(p), &wrong_edges[i].edge,
                                wrong_edges[i].size),
                     CUDA_ERROR_INVALID_VALUE);
    }
    assert_fails(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 1, .flags = 0x101),
                 CUDA_ERROR_INVALID_VALUE);

    /* The next kernel, and the one behind that, by what its launch says */
    assert_ok(CALL_WITH(&w, CAPTURE_DEPENDS, &edge, sizeof(edge), .stream = 5, .graph = 1, .n = 1,
                        .flags = VGPU_SESSION_EDGE_DATA | 1));
    assert_ok(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 1, .into = {world_offset(&w, into), 4},
                   .flags = 0));
    assert_int_equal(w.value[0], 1);
    assert_int_equal(w.value[1], 1);
    memcpy(&number, into, sizeof(number));
    assert_int_equal(number, 1);
    assert_ok(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 1, .into = {world_offset(&w, into), 16},
                   .flags = VGPU_SESSION_EDGE_DATA));
    memcpy(&got, into, sizeof(got));
    assert_memory_equal(&got, &edge, sizeof(edge));
    memset(into, 0xee, 16);
    assert_ok(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 1, .into = {world_offset(&w, into), 15},
                   .flags = VGPU_SESSION_EDGE_DATA));
    assert_int_equal(into[0], 0xee);
    assert_ok(launch(5));
    assert_ok(launch_behind(5));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 1));
    assert_int_equal(ports_to(3, into), 1u << 1);
    assert_int_equal(ports_to(4, into), 1u << 1);
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1));

    /* Into a graph, in a mode that is not RELAXED: the flag is none of it. */
    become(1, GLOBAL);
    edge.from = 4;
    assert_ok(CALL_WITH(&w, CAPTURE_INTO, &edge, sizeof(edge), .stream = 6, .graph = 1, .n = 1,
                        .flags = VGPU_SESSION_EDGE_DATA | THREAD_LOCAL));
    assert_ok(launch(6));
    become(2, GLOBAL);
    assert_fails(CALL(&w, CAPTURE_END, .stream = 6, .graph = 1), WRONG_THREAD);
    become(1, GLOBAL);
    assert_ok(CALL(&w, CAPTURE_END, .stream = 6, .graph = 1));
    assert_int_equal(ports_to(5, into), 1u << 1);
    world_end(&w);
}

/* A stream ends in the middle of a capture into a graph. What has come into the graph names a
 * function, and ends with its module. */
TEST(test_what_a_lost_capture_leaves)
{
    begin(NULL);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    become(1, RELAXED);
    assert_ok(CALL(&w, CAPTURE_INTO, .stream = 5, .graph = 1, .flags = RELAXED));
    assert_ok(launch(5));
    assert_ok(CALL(&w, STREAM_DESTROY, .id = 5));
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = WORLD_KERNELS));
    assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    world_end(&w);
}

/* A capture ends with the stream that it was begun in, and in all that it has come to. */
static void lose_capture(void)
{
    assert_ok(CALL(&w, EVENT_RECORD, .event = 1, .stream = 5));
    assert_ok(CALL(&w, STREAM_WAIT_EVENT, .event = 1, .stream = 6));
    assert_ok(launch(6));
    assert_fails(CALL(&w, FENCE, .stream = 6), CAPTURE_UNSUPPORTED);
    assert_ok(CALL(&w, STREAM_DESTROY, .id = 5));
    assert_ok(CALL(&w, CAPTURE_INFO, .id = 6));
    assert_int_equal(w.value[0], 0);
    assert_ok(launch(6));
    world_settle(&w, 6);
    assert_ok(CALL(&w, STREAM_CREATE, .id = 5, .flags = CU_STREAM_NON_BLOCKING));
}

TEST(test_capture_ends_with_its_stream)
{
    begin(NULL);
    become(1, RELAXED);
    assert_ok(CALL(&w, EVENT_CREATE, .id = 1, .flags = 2));
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = RELAXED));
    lose_capture();
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = THREAD_LOCAL));
    assert_ok(CALL(&w, CAPTURE_GRAPH, .stream = 5, .graph = 1));
    lose_capture();
    assert_fails(CALL(&w, GRAPH_NODES, .graph = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 2));
    assert_ok(CALL(&w, CAPTURE_INTO, .stream = 5, .graph = 2, .flags = RELAXED));
    lose_capture();
    /* The driver ends the graph of a capture that has not come together. */
    assert_fails(CALL(&w, GRAPH_DESTROY, .graph = 2), CUDA_ERROR_INVALID_HANDLE);
    world_end(&w);
}

/* A capture and its graph are of one context, whoever asks. */
TEST(test_graph_of_another_context)
{
    const VGPUSessionGraph made = {.graph = 3};
    const VGPUSessionCapture asked = {.stream = 5, .graph = 7};

    begin(NULL);
    become(1, RELAXED);
    assert_ok(CALL(&w, CONTEXT_CREATE, .id = 2));
    assert_ok(session_guest_call(&w.g, VGPU_SESSION_OP_GRAPH_CREATE, 2, &made, sizeof(made)));
    assert_fails(CALL(&w, CAPTURE_INTO, .stream = 5, .graph = 3, .flags = RELAXED),
                 CUDA_ERROR_INVALID_CONTEXT);
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = RELAXED));
    assert_ok(session_guest_call(&w.g, VGPU_SESSION_OP_CAPTURE_GRAPH, 2, &asked, sizeof(asked)));
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 2));
    assert_ok(launch(5));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 7));
    assert_ok(CALL(&w, GRAPH_LIST, .graph = 7));
    assert_int_equal(w.value[0], 1);
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_of_threads),
        cmocka_unit_test(test_capture_of_another_thread),
        cmocka_unit_test(test_module_ends),
        cmocka_unit_test(test_event_ends),
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_quota_while_it_runs),
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_graph_that_grows),
        cmocka_unit_test(test_what_a_lost_capture_leaves),
        cmocka_unit_test(test_capture_ends_with_its_stream),
        cmocka_unit_test(test_graph_of_another_context),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

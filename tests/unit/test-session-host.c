/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Functions of the guest in a session's streams and graphs (HOST_CALL).
 *
 *   test-session-host fake    over the fake driver
 *   test-session-host gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { HOST = 3, EMPTY = 5 };

static World w;

/* A place for the two words */
typedef struct Words {
    uint64_t called, done;
} Words;

static Words *new_words(void)
{
    return (Words *) (void *) world_window(&w, sizeof(Words));
}

static VGPUSessionFence fence_of(const Words *words, uint32_t stream, uint64_t value)
{
    return (VGPUSessionFence){.stream = stream, .offset = world_offset(&w, words), .value = value};
}

static uint32_t host_call(const Words *words, uint32_t stream, uint64_t value)
{
    const VGPUSessionFence p = fence_of(words, stream, value);

    return world_call(&w, VGPU_SESSION_OP_HOST_CALL, &p, sizeof(p), NULL, 0);
}

static void begin(void)
{
    world_begin(&w, NULL);
    for (uint32_t id = 5; id <= 6; id++)
        assert_ok(CALL(&w, STREAM_CREATE, .id = id, .flags = CU_STREAM_NON_BLOCKING));
}

static bool is_called(Words *words, uint64_t value, int timeout_msec)
{
    return session_guest_wait_word(&w.g, world_offset(&w, words), value, timeout_msec);
}

/* As the guest library does: clear the first, run the function, say that it was run. */
static void answer(Words *words)
{
    assert_int_equal(__atomic_load_n(&words->done, __ATOMIC_ACQUIRE), 0);
    __atomic_store_n(&words->called, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&words->done, 1, __ATOMIC_RELEASE);
}

static void take(Words *words, uint64_t value)
{
    assert_true(is_called(words, value, SESSION_GUEST_TIMEOUT_MSEC));
    answer(words);
}

/* The executor needs the words no more. */
static void assert_ended(Words *words)
{
    assert_true(session_guest_wait_word(&w.g, world_offset(&w, &words->done),
                                        VGPU_SESSION_HOST_ENDED, SESSION_GUEST_TIMEOUT_MSEC));
}

/* ---- In streams -------------------------------------------------------------------------------
 */

TEST(test_in_a_stream)
{
    Words *words;
    uint64_t after;

    begin();
    words = new_words();
    after = session_guest_alloc(&w.g, 8);
    words->done = 1; /* of the time before: it must not count */
    for (uint64_t i = 1; i <= 50; i++) {
        assert_ok(host_call(words, 5, i));
        session_guest_fence(&w.g, 1, 5, after, i);
        assert_true(session_guest_sleep(&w.g, SESSION_GUEST_TIMEOUT_MSEC)); /* the interrupt */
        assert_true(is_called(words, i, SESSION_GUEST_TIMEOUT_MSEC));
        if (i == 1)
            assert_false(session_guest_wait_word(&w.g, after, i, 30));
        answer(words);
        assert_true(session_guest_wait_word(&w.g, after, i, SESSION_GUEST_TIMEOUT_MSEC));
        assert_ended(words);
    }
    world_end(&w);
}

/* The executor waits in no thread: other streams go on, and all waits are there at once. An H200
 * has room for 34 streams that wait; the next one stops whoever gives it work. */
TEST(test_many_streams_wait)
{
    enum { MOST = 40 };
    /* The driver puts streams on 8 queues: of 8 that wait, each holds up others. */
    const uint32_t N = world_is_gpu() ? 6 : MOST;
    Words *words[MOST];

    begin();
    for (uint32_t i = 0; i < N; i++) {
        words[i] = new_words();
        assert_ok(CALL(&w, STREAM_CREATE, .id = 10 + i, .flags = CU_STREAM_NON_BLOCKING));
        assert_ok(host_call(words[i], 10 + i, 1 + i));
    }
    for (uint32_t i = 0; i < N; i++)
        assert_true(is_called(words[i], 1 + i, SESSION_GUEST_TIMEOUT_MSEC));
    world_settle(&w, 5);
    for (uint32_t i = N; i > 0; i--) {
        answer(words[i - 1]);
        world_settle(&w, 9 + i);
    }
    world_end(&w);
}

TEST(test_what_is_wrong)
{
    Words *words;

    begin();
    words = new_words();
    assert_fails(host_call((Words *) (void *) ((char *) words + 8), 5, 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(host_call(words, 9, 1), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, HOST_CALL, .offset = w.g.window_size), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, HOST_CALL, .offset = w.g.window_size - 8), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, HOST_CALL, .offset = UINT64_MAX - 15), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, HOST_CALL, .reserved = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, HOST_CALL, .reserved2 = 1), CUDA_ERROR_INVALID_VALUE);
    words = (Words *) (void *) (w.g.window + w.g.window_size - sizeof(*words));
    assert_ok(host_call(words, 5, 1));
    take(words, 1);
    world_settle(&w, 5);
    world_end(&w);
}

/* The session ends while a stream waits, and so does its context. */
TEST(test_end_while_it_waits)
{
    Words *words;

    begin();
    words = new_words();
    assert_ok(host_call(words, 5, 1));
    assert_true(is_called(words, 1, SESSION_GUEST_TIMEOUT_MSEC));
    world_end(&w);

    begin();
    words = new_words();
    assert_ok(host_call(words, 5, 1));
    assert_ok(CALL(&w, STREAM_DESTROY, .id = 5));
    take(words, 1);
    assert_ended(words);
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    session_guest_context(&w.g, 1, true);
    assert_ok(host_call(words, 0, 2));
    take(words, 2);
    world_settle(&w, 0);
    world_end(&w);
}

/* ---- In graphs --------------------------------------------------------------------------------
 */

static void replay(Words *words, uint64_t value)
{
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 6));
    take(words, value);
    world_settle(&w, 6);
}

TEST(test_in_a_capture)
{
    Words *words;

    begin();
    words = new_words();
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = 1));
    assert_ok(host_call(words, 5, 7));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 1));
    assert_false(is_called(words, 7, 20));
    assert_ok(CALL(&w, GRAPH_NODES, .graph = 1));
    assert_int_equal(w.value[0], 1); /* one for the program */
    assert_ok(CALL(&w, NODE_GET, .graph = 1, .node = 1));
    assert_int_equal(w.value[0], HOST);
    assert_ok(CALL(&w, GRAPH_LIST, .graph = 1, .what = VGPU_GRAPH_LIST_EDGES));
    assert_int_equal(w.value[0], 0);
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    for (unsigned i = 0; i < 20; i++)
        replay(words, 7);
    /* Ends while it waits */
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 6));
    assert_true(is_called(words, 7, SESSION_GUEST_TIMEOUT_MSEC));
    assert_ok(CALL(&w, GRAPH_EXEC_DESTROY, .exec = 1));
    assert_int_equal(words->done, 0);
    answer(words);
    world_settle(&w, 6);
    assert_ended(words);
    world_end(&w);
}

static uint32_t add(const void *payload, size_t size, uint32_t type, uint32_t after)
{
    unsigned char more[64] = {0};
    const uint32_t numbers[2] = {after, 0};

    memcpy(more, numbers, sizeof(numbers));
    if (size > 0)
        memcpy(more + sizeof(numbers), payload, size);
    assert_ok(CALL_WITH(&w, NODE_ADD, after ? more : more + sizeof(numbers),
                        size + (after ? sizeof(numbers) : 0), .graph = 1, .type = type,
                        .n_dependencies = after != 0));
    return (uint32_t) w.value[0];
}

TEST(test_nodes)
{
    Words *words, *other;
    VGPUSessionFence p, *back;

    begin();
    words = new_words();
    other = new_words();
    back = (VGPUSessionFence *) (void *) world_window(&w, sizeof(*back));
    p = fence_of(words, 0, 3);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    assert_int_equal(add(NULL, 0, EMPTY, 0), 1);
    assert_int_equal(add(&p, sizeof(p), HOST, 1), 2);
    assert_int_equal(add(NULL, 0, EMPTY, 2), 3);
    assert_ok(CALL(&w, GRAPH_NODES, .graph = 1));
    assert_int_equal(w.value[0], 3);
    assert_ok(CALL(&w, GRAPH_LIST, .graph = 1, .what = VGPU_GRAPH_LIST_EDGES));
    assert_int_equal(w.value[0], 2);
    assert_ok(
        CALL(&w, NODE_GET, .graph = 1, .node = 2, .into = {world_offset(&w, back), sizeof(*back)}));
    assert_int_equal(w.value[1], sizeof(*back));
    assert_memory_equal(back, &p, sizeof(p));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    replay(words, 3);

    p = fence_of(other, 0, 4);
    assert_ok(CALL_WITH(&w, NODE_EXEC_SET, &p, sizeof(p), .graph = 1, .exec = 1, .node = 2,
                        .type = HOST));
    replay(other, 4);
    /* The graph has what it had; a clone is called in the same way. */
    assert_ok(CALL(&w, GRAPH_CLONE, .graph = 1, .exec = 2));
    assert_ok(CALL(&w, GRAPH_UPDATE, .graph = 2, .exec = 1));
    replay(words, 3);
    assert_ok(CALL_WITH(&w, NODE_SET, &p, sizeof(p), .graph = 1, .node = 2, .type = HOST));
    assert_ok(CALL(&w, GRAPH_UPDATE, .graph = 1, .exec = 1));
    replay(other, 4);
    assert_ok(CALL(&w, NODE_DESTROY, .graph = 1, .node = 2));
    assert_ok(CALL(&w, GRAPH_NODES, .graph = 1));
    assert_int_equal(w.value[0], 2);
    replay(other, 4);
    world_end(&w);
}

/* Of the two nodes that one is made of, the second cannot be set: both are as before. */
TEST(test_nodes_half_set)
{
    const WorldLimits limits = {.plan = "fail=cuGraphBatchMemOpNodeSetParams:1"};
    Words *words, *other;
    VGPUSessionFence p;

    if (world_is_gpu())
        skip();
    world_begin(&w, &limits);
    for (uint32_t id = 5; id <= 6; id++)
        assert_ok(CALL(&w, STREAM_CREATE, .id = id, .flags = CU_STREAM_NON_BLOCKING));
    words = new_words();
    other = new_words();
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    p = fence_of(words, 0, 3);
    assert_ok(CALL_WITH(&w, NODE_ADD, &p, sizeof(p), .graph = 1, .type = HOST));
    p = fence_of(other, 0, 4);
    assert_fails(CALL_WITH(&w, NODE_SET, &p, sizeof(p), .graph = 1, .node = 1, .type = HOST),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    replay(words, 3);
    assert_ok(CALL_WITH(&w, NODE_SET, &p, sizeof(p), .graph = 1, .node = 1, .type = HOST));
    assert_ok(CALL(&w, GRAPH_UPDATE, .graph = 1, .exec = 1));
    replay(other, 4);
    assert_ok(CALL(&w, NODE_DESTROY, .graph = 1, .node = 1));
    world_end(&w);
}

/* The second of the two cannot be destroyed: the node is gone for its number all the same. */
TEST(test_nodes_half_destroyed)
{
    const WorldLimits limits = {.plan = "fail=cuGraphDestroyNode:1:after=1"};
    VGPUSessionFence p;

    if (world_is_gpu())
        skip();
    world_begin(&w, &limits);
    p = fence_of(new_words(), 0, 3);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    assert_ok(CALL_WITH(&w, NODE_ADD, &p, sizeof(p), .graph = 1, .type = HOST));
    assert_fails(CALL(&w, NODE_DESTROY, .graph = 1, .node = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, NODE_DESTROY, .graph = 1, .node = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, NODE_GET, .graph = 1, .node = 1), CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    world_end(&w);
}

/* Places come back from wherever they were: there are 8,192. */
TEST(test_places)
{
    const unsigned rounds = world_is_gpu() ? 300 : 3000;
    Words *words;
    VGPUSessionFence p;

    begin();
    words = new_words();
    p = fence_of(new_words(), 0, 1);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    assert_ok(CALL_WITH(&w, NODE_ADD, &p, sizeof(p), .graph = 1, .type = HOST));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    for (unsigned i = 0; i < rounds; i++) {
        p.value = 1 + i % 2;
        assert_ok(CALL_WITH(&w, NODE_SET, &p, sizeof(p), .graph = 1, .node = 1, .type = HOST));
        assert_ok(CALL_WITH(&w, NODE_EXEC_SET, &p, sizeof(p), .graph = 1, .exec = 1, .node = 1,
                            .type = HOST));
        assert_ok(CALL(&w, GRAPH_CREATE, .graph = 2));
        assert_ok(CALL_WITH(&w, NODE_ADD, &p, sizeof(p), .graph = 2, .type = HOST));
        assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 2));
        assert_ok(host_call(words, 5, 1 + i));
        take(words, 1 + i);
        assert_ended(words);
    }
    world_settle(&w, 5);
    /* All at once is too many. */
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 2));
    for (unsigned i = 0; i <= VGPU_SESSION_HOST_CALLS_MAX; i++) {
        if (CALL_WITH(&w, NODE_ADD, &p, sizeof(p), .graph = 2, .type = HOST) == CUDA_SUCCESS)
            continue;
        assert_in_range(i, VGPU_SESSION_HOST_CALLS_MAX - 8, VGPU_SESSION_HOST_CALLS_MAX - 1);
        assert_fails(host_call(words, 5, 1), CUDA_ERROR_OUT_OF_MEMORY);
        assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 2));
        assert_ok(host_call(words, 5, 9));
        take(words, 9);
        world_settle(&w, 5);
        world_end(&w);
        return;
    }
    fail_msg("places without end");
}

/* ---- Time -------------------------------------------------------------------------------------
 */

/* No limit counts, and no time of the device's. */
static void wait_long(Words *words, uint64_t value)
{
    uint64_t usec;

    assert_true(is_called(words, value, SESSION_GUEST_TIMEOUT_MSEC));
    usleep(20000); /* it has been seen to wait */
    usec = __atomic_load_n(&w.g.control->device_usec, __ATOMIC_RELAXED);
    usleep(1200000);
    assert_in_range(__atomic_load_n(&w.g.control->device_usec, __ATOMIC_RELAXED), usec,
                    usec + 300000);
    answer(words);
}

TEST(test_time)
{
    const SessionGuestOptions options = {
        .window_size = 32 * MIB,
        .window_base = UINT64_C(0x300000000000),
    };
    Words *words;
    VGPUSessionFence p;

    session_guest_open(&w.g, &options);
    w.g.start.kernel_timeout_usec = 500000;
    session_guest_spawn(&w.g, NULL);
    assert_int_equal(session_guest_start(&w.g), 0);
    session_guest_context(&w.g, 1, true);
    w.is_open = true;
    w.fence_at = session_guest_alloc(&w.g, sizeof(uint64_t));
    words = new_words();
    assert_ok(CALL(&w, STREAM_CREATE, .id = 5, .flags = CU_STREAM_NON_BLOCKING));
    assert_ok(CALL(&w, SET, .address = world_address(words + 4), .count = 1, .rows = 1, .width = 4,
                   .stream = 5));
    assert_ok(host_call(words, 5, 1));
    assert_ok(CALL(&w, SET, .address = world_address(words + 4), .count = 1, .rows = 1, .width = 4,
                   .stream = 5));
    wait_long(words, 1);
    world_settle(&w, 5);
    assert_ended(words);

    p = fence_of(words, 0, 2);
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    assert_ok(CALL_WITH(&w, NODE_ADD, &p, sizeof(p), .graph = 1, .type = HOST));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    wait_long(words, 2);
    world_settle(&w, 5);
    assert_int_equal(w.g.header->sticky, 0);
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_a_stream),    cmocka_unit_test(test_many_streams_wait),
        cmocka_unit_test(test_what_is_wrong),  cmocka_unit_test(test_end_while_it_waits),
        cmocka_unit_test(test_in_a_capture),   cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_nodes_half_set), cmocka_unit_test(test_nodes_half_destroyed),
        cmocka_unit_test(test_places),         cmocka_unit_test(test_time),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake CUDA driver: captures and graphs */
#include "test-fake-cuda-fixture.h"

#include <pthread.h>
#include <unistd.h>

enum { GLOBAL = 0, THREAD_LOCAL = 1, RELAXED = 2 };
enum { NONE = 0, ACTIVE = 1, INVALIDATED = 2 };
/* What only these tests expect */
enum {
    ILLEGAL_STATE = 401,
    MERGE = 902,
    UNMATCHED = 903,
    UNJOINED = 904,
    ISOLATION = 905,
    IMPLICIT = 906,
    CAPTURED_EVENT = 907,
    WRONG_THREAD = 908,
    UPDATE_FAILURE = 910,
};

static int status_of(CUstream s)
{
    int status;

    OK(cu.stream_is_capturing(s, &status));
    return status;
}

static size_t n_nodes(CUgraph graph)
{
    size_t n = 0;

    OK(cu.graph_get_nodes(graph, NULL, &n));
    return n;
}

static CUgraphExec instantiate(CUgraph graph)
{
    CudaGraphInstantiate params = {.result = -1};
    CUgraphExec exec;

    OK(cu.graph_instantiate(&exec, graph, &params));
    EXPECT(params.result == 0 && !params.error_node);
    return exec;
}

static void note(void *number)
{
    (*(uint32_t *) number)++;
}

/* ---- Replay ---------------------------------------------------------------------------------- */

static void try_replay(void)
{
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING);
    uint32_t *host = pinned(2), called = 0;
    CUdeviceptr cells = new_numbers(2);
    CUgraphNode nodes[8];
    CUgraphExec exec;
    CUgraph graph;
    size_t n = 8;

    OK(cu.memset_d32_async(cells, 0, 2, s));
    OK(BASE.stream_synchronize(s));
    EXPECT(status_of(s) == NONE);
    OK(cu.stream_begin_capture(s, GLOBAL));
    EXPECT(status_of(s) == ACTIVE);
    EXPECT_RESULT(cu.stream_begin_capture(s, GLOBAL), ILLEGAL_STATE);
    add(cells + 4, cells, 5, s);
    add(cells, cells + 4, 1, s);
    OK(cu.launch_host_func(s, note, &called));
    OK(BASE.memcpy_d_to_h_async(host, cells, 4, s));
    OK(cu.stream_write_value_32(s, ADDRESS(host + 1), 3, 0));
    OK(cu.stream_end_capture(s, &graph));
    EXPECT(status_of(s) == NONE);

    /* Nothing ran meanwhile. */
    EXPECT(number_at(cells) == 0 && called == 0 && host[1] == 0);
    EXPECT(n_nodes(graph) == 5);
    OK(cu.graph_get_nodes(graph, nodes, &n));
    EXPECT(n == 5 && nodes[0] && nodes[4] && !nodes[5]);

    exec = instantiate(graph);
    OK(cu.graph_destroy(graph));
    for (uint32_t i = 1; i <= 20; i++) {
        OK(cu.graph_launch(exec, s));
        OK(BASE.stream_synchronize(s));
        EXPECT(host[0] == 6 * i && called == i && host[1] == 3);
    }
    OK(cu.graph_launch(exec, NULL));
    OK(BASE.stream_synchronize(NULL));
    EXPECT(host[0] == 6 * 21);
    OK(cu.graph_exec_destroy(exec));
}

TEST(test_replay)
{
    assert_good("", try_replay);
}

/* A second stream joins by an event and leads back by another. */
static void try_fork(void)
{
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING), side = new_stream(CU_STREAM_NON_BLOCKING);
    CUevent forked = new_event(), joined = new_event();
    CUdeviceptr cells = new_numbers(4);
    CUgraphExec exec;
    CUgraph graph;
    float msec;

    OK(cu.memset_d32_async(cells, 0, 4, s));
    OK(BASE.stream_synchronize(s));
    OK(cu.stream_begin_capture(s, THREAD_LOCAL));
    add(cells, cells, 1, s);
    OK(cu.event_record_with_flags(forked, s, 0));
    OK(cu.stream_wait_event(side, forked, 0));
    EXPECT(status_of(side) == ACTIVE);
    EXPECT_RESULT(cu.stream_end_capture(side, &graph), UNMATCHED);
    EXPECT_RESULT(cu.event_elapsed_time(&msec, forked, forked), CAPTURED_EVENT);
    add(cells + 4, cells, 10, side);
    add(cells + 8, cells, 100, s);
    OK(cu.event_record_with_flags(joined, side, 0));
    OK(cu.stream_wait_event(s, joined, 0));
    add(cells + 12, cells + 4, 1000, s);
    OK(cu.stream_end_capture(s, &graph));
    EXPECT(status_of(side) == NONE);
    EXPECT(n_nodes(graph) == 4);

    exec = instantiate(graph);
    OK(cu.graph_launch(exec, side));
    OK(cu.graph_launch(exec, side));
    OK(BASE.stream_synchronize(side));
    EXPECT(number_at(cells + 8) == 102);
    EXPECT(number_at(cells + 12) == 1012);
    /* Both events are free for other use. */
    OK(cu.event_record_with_flags(forked, s, 0));
    OK(cu.stream_wait_event(side, forked, 0));
    OK(cu.ctx_synchronize());
    EXPECT(status_of(side) == NONE);
}

TEST(test_fork)
{
    assert_good("", try_fork);
}

static CUgraph capture_adds(CUstream s, CUdeviceptr cell, uint32_t number, unsigned n)
{
    CUgraph graph;

    OK(cu.stream_begin_capture(s, RELAXED));
    for (unsigned i = 0; i < n; i++)
        add(cell, cell, number, s);
    OK(cu.stream_end_capture(s, &graph));
    return graph;
}

static void try_update(void)
{
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING);
    CUdeviceptr cell = new_numbers(1);
    CudaGraphUpdate info;
    CUgraphExec exec;
    CUgraph graph;

    OK(cu.memset_d32_async(cell, 0, 1, s));
    exec = instantiate(capture_adds(s, cell, 1, 2));
    OK(cu.graph_launch(exec, s));
    OK(cu.graph_exec_update(exec, capture_adds(s, cell, 10, 2), &info));
    EXPECT(info.result == 0);
    OK(cu.graph_launch(exec, s));
    OK(BASE.stream_synchronize(s));
    EXPECT(number_at(cell) == 22);

    EXPECT_RESULT(cu.graph_exec_update(exec, capture_adds(s, cell, 1, 3), &info), UPDATE_FAILURE);
    EXPECT(info.result == 2);
    OK(cu.stream_begin_capture(s, GLOBAL));
    OK(cu.memset_d32_async(cell, 0, 1, s));
    add(cell, cell, 1, s);
    OK(cu.stream_end_capture(s, &graph));
    EXPECT_RESULT(cu.graph_exec_update(exec, graph, &info), UPDATE_FAILURE);
    EXPECT(info.result == 3 && info.error_node);
    OK(cu.graph_launch(exec, s));
    OK(BASE.stream_synchronize(s));
    EXPECT(number_at(cell) == 42);
}

TEST(test_update)
{
    assert_good("", try_update);
}

/* ---- What a capture does not bear ------------------------------------------------------------ */

/* The capture of @s is lost, and ends so. */
static void expect_lost(CUstream s)
{
    CUgraph graph = (CUgraph) 1;

    EXPECT(status_of(s) == INVALIDATED);
    EXPECT_RESULT(cu.memset_d32_async(new_numbers(1), 0, 1, s),
                  CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    EXPECT_RESULT(cu.stream_end_capture(s, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    EXPECT(!graph);
    EXPECT(status_of(s) == NONE);
}

static void try_unsupported(void)
{
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING), plain = new_stream(0);
    CUdeviceptr cell;
    CUgraph graph;

    EXPECT_RESULT(cu.stream_begin_capture(NULL, GLOBAL), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    EXPECT_RESULT(cu.stream_begin_capture(s, 3), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.stream_end_capture(s, &graph), ILLEGAL_STATE);

    OK(cu.stream_begin_capture(s, RELAXED));
    EXPECT_RESULT(BASE.stream_synchronize(s), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    expect_lost(s);
    OK(cu.stream_begin_capture(s, RELAXED));
    EXPECT_RESULT(cu.stream_query(s), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    expect_lost(s);

    /* Allocating, in each mode */
    OK(cu.stream_begin_capture(s, RELAXED));
    cell = new_numbers(1);
    OK(cu.memset_d32_async(cell, 0, 1, s));
    OK(cu.stream_end_capture(s, &graph));
    OK(cu.stream_begin_capture(s, GLOBAL));
    EXPECT_RESULT(BASE.mem_alloc(&cell, 4), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    EXPECT(status_of(s) == INVALIDATED);
    EXPECT_RESULT(cu.stream_end_capture(s, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    /* The default stream, which would wait for a blocking one */
    OK(cu.stream_begin_capture(s, RELAXED));
    OK(cu.memset_d32_async(cell, 0, 1, NULL));
    OK(cu.stream_end_capture(s, &graph));
    OK(cu.stream_begin_capture(plain, RELAXED));
    EXPECT_RESULT(cu.stream_is_capturing(NULL, &(int){0}), IMPLICIT);
    EXPECT(status_of(plain) == ACTIVE);
    EXPECT_RESULT(cu.memset_d32_async(cell, 0, 1, NULL), IMPLICIT);
    expect_lost(plain);
}

static void try_events(void)
{
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING), side = new_stream(CU_STREAM_NON_BLOCKING);
    CUevent e = new_event();
    CUgraph graph;

    /* An event from outside */
    OK(cu.event_record_with_flags(e, side, 0));
    OK(cu.stream_begin_capture(s, GLOBAL));
    EXPECT_RESULT(cu.stream_wait_event(s, e, 0), ISOLATION);
    EXPECT_RESULT(cu.stream_end_capture(s, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    /* Of another capture */
    OK(cu.stream_begin_capture(s, GLOBAL));
    OK(cu.stream_begin_capture(side, GLOBAL));
    OK(cu.event_record_with_flags(e, side, 0));
    EXPECT_RESULT(cu.stream_wait_event(s, e, 0), MERGE);
    EXPECT_RESULT(cu.stream_end_capture(s, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    EXPECT_RESULT(cu.stream_end_capture(side, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    /* A stream that joins and never comes back */
    OK(cu.stream_begin_capture(s, GLOBAL));
    OK(cu.event_record_with_flags(e, s, 0));
    OK(cu.stream_wait_event(side, e, 0));
    OK(cu.launch_host_func(side, note, NULL));
    EXPECT_RESULT(cu.stream_end_capture(s, &graph), UNJOINED);
    EXPECT(!graph && status_of(s) == NONE && status_of(side) == NONE);
}

TEST(test_what_captures_do_not_bear)
{
    assert_good("", try_unsupported);
    assert_good("", try_events);
}

/* ---- Threads --------------------------------------------------------------------------------- */

static CUresult of_thread;
static CUstream of_capture;

static void *alloc_in_thread(void *mode)
{
    CUdeviceptr address;

    OK(BASE.ctx_set_current(primary));
    OK(cu.thread_exchange_stream_capture_mode(mode));
    EXPECT(*(int *) mode == GLOBAL);
    of_thread = BASE.mem_alloc(&address, 4);
    return NULL;
}

static void *end_in_thread(void *unused)
{
    CUgraph graph;

    (void) unused;
    OK(BASE.ctx_set_current(primary));
    of_thread = cu.stream_end_capture(of_capture, &graph);
    return NULL;
}

static CUresult in_thread(void *(*body)(void *), int mode)
{
    pthread_t thread;

    EXPECT(pthread_create(&thread, NULL, body, &mode) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
    return of_thread;
}

static void try_threads(void)
{
    CUstream s = of_capture = new_stream(CU_STREAM_NON_BLOCKING);
    CUgraph graph;

    OK(cu.stream_begin_capture(s, THREAD_LOCAL));
    EXPECT(in_thread(alloc_in_thread, GLOBAL) == CUDA_SUCCESS);
    EXPECT(in_thread(end_in_thread, 0) == WRONG_THREAD);
    OK(cu.stream_end_capture(s, &graph));

    OK(cu.stream_begin_capture(s, GLOBAL));
    EXPECT(in_thread(alloc_in_thread, RELAXED) == CUDA_SUCCESS);
    EXPECT(in_thread(alloc_in_thread, THREAD_LOCAL) == CUDA_SUCCESS);
    EXPECT(status_of(s) == ACTIVE);
    EXPECT(in_thread(alloc_in_thread, GLOBAL) == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    EXPECT_RESULT(cu.stream_end_capture(s, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    OK(cu.stream_begin_capture(s, RELAXED));
    EXPECT(in_thread(end_in_thread, 0) == CUDA_SUCCESS);
}

TEST(test_threads)
{
    assert_good("", try_threads);
}

/* ---- Handles, plan --------------------------------------------------------------------------- */

static void use_dead_exec(void)
{
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING);
    CUgraphExec exec = instantiate(capture_adds(s, new_numbers(1), 1, 1));

    OK(cu.graph_exec_destroy(exec));
    cu.graph_launch(exec, s);
}

/* Kernels of a graph count as launched when it is launched. */
static void try_fault(void)
{
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING);
    CUdeviceptr cell = new_numbers(1);
    CUgraphExec exec;

    OK(cu.memset_d32_async(cell, 0, 1, s));
    exec = instantiate(capture_adds(s, cell, 1, 2));
    OK(cu.graph_launch(exec, s));
    OK(BASE.stream_synchronize(s));
    OK(cu.graph_launch(exec, s));
    EXPECT_RESULT(BASE.stream_synchronize(s), CUDA_ERROR_ILLEGAL_ADDRESS);
}

/* A stream that goes in the middle of its capture, with another that had joined it */
static void try_destroy(void)
{
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING), side = new_stream(CU_STREAM_NON_BLOCKING);
    CUdeviceptr cell = new_numbers(1);
    CUevent e = new_event();

    function("copy_struct");
    OK(cu.stream_begin_capture(s, GLOBAL));
    add(cell, cell, 1, s);
    OK(cu.event_record_with_flags(e, s, 0));
    OK(cu.stream_wait_event(side, e, 0));
    OK(BASE.stream_destroy(s));
    EXPECT(status_of(side) == INVALIDATED);
    OK(BASE.stream_destroy(side));
    new_numbers(1);
}

TEST(test_handles_and_plan)
{
    assert_misuse("", use_dead_exec, "no handle");
    assert_good("fault=700:after=3", try_fault);
    assert_good("", try_destroy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay),  cmocka_unit_test(test_fork),
        cmocka_unit_test(test_update),  cmocka_unit_test(test_what_captures_do_not_bear),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_handles_and_plan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

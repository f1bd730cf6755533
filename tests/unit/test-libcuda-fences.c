/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program waits for comes when its work is done: not before, and also where its stream has
 * ended, or where a capture came between. Streams are held up by words, which the program writes.
 */
#include <pthread.h>
#include <unistd.h>

#include "test-libcuda.h"

#define WORDS 8u
#define WAIT_GEQ 0u
#define WITHOUT_TIME 0x2u

static uint32_t *words; /* in pinned memory: from [WORDS] on what the device writes */

static void begin(void)
{
    libcuda_primary();
    CALL(cuMemAllocHost_v2((void **) &words, 2 * WORDS * sizeof(*words)));
    for (unsigned i = 0; i < 2 * WORDS; i++)
        words[i] = 0;
}

static void end(void)
{
    CALL(cuMemFreeHost(words));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

static CUstream new_stream(void)
{
    CUstream stream;

    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    return stream;
}

static CUevent new_event(void)
{
    CUevent event;

    CALL(cuEventCreate(&event, WITHOUT_TIME));
    return event;
}

/* The stream goes on when the program has released @which. */
static void hold(CUstream stream, unsigned which)
{
    CALL(cuStreamWaitValue32_v2(stream, (uintptr_t) &words[which], 1, WAIT_GEQ));
}

static void release(unsigned which)
{
    __atomic_store_n(&words[which], 1, __ATOMIC_SEQ_CST);
}

static void *release_later(void *which)
{
    usleep(50000);
    release((unsigned) (uintptr_t) which);
    return NULL;
}

static pthread_t start_release(unsigned which)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, release_later, (void *) (uintptr_t) which), 0);
    return thread;
}

/* Work behind what holds the stream, which ends. */
static void work_and_end(unsigned which, CUevent event)
{
    CUstream stream = new_stream();

    hold(stream, which);
    CALL(cuMemsetD32Async((uintptr_t) &words[WORDS + which], 7, 1, stream));
    if (event)
        CALL(cuEventRecord(event, stream));
    CALL(cuStreamDestroy_v2(stream));
}

TEST(test_event_of_a_stream_that_has_ended)
{
    CUevent event = new_event();
    pthread_t thread;

    work_and_end(0, event);
    CALL_FAILS(CUDA_ERROR_NOT_READY, cuEventQuery(event));
    thread = start_release(0);
    CALL(cuEventSynchronize(event));
    assert_int_equal(words[WORDS], 7);
    pthread_join(thread, NULL);
    CALL(cuEventDestroy_v2(event));
}

TEST(test_context_waits_for_streams_that_have_ended)
{
    pthread_t thread;

    work_and_end(1, NULL);
    thread = start_release(1);
    CALL(cuCtxSynchronize());
    assert_int_equal(words[WORDS + 1], 7);
    pthread_join(thread, NULL);
}

/* Whoever waits long for an event has a number put behind it, for which nobody waits when the event
 * has come. The next event has nothing of that. */
TEST(test_number_that_comes_late)
{
    CUstream first = new_stream(), second = new_stream();
    CUevent event = new_event();
    pthread_t thread;

    hold(first, 2);
    CALL(cuEventRecord(event, first));
    hold(first, 3);
    thread = start_release(2);
    CALL(cuEventSynchronize(event));
    pthread_join(thread, NULL);
    CALL(cuEventDestroy_v2(event));

    event = new_event();
    hold(second, 4);
    CALL(cuEventRecord(event, second));
    release(3);
    CALL(cuStreamSynchronize(first)); /* the late number lies before this one's */
    CALL_FAILS(CUDA_ERROR_NOT_READY, cuEventQuery(event));
    release(4);
    CALL(cuEventSynchronize(event));
    CALL(cuEventDestroy_v2(event));
    CALL(cuStreamDestroy_v2(first));
    CALL(cuStreamDestroy_v2(second));
}

/* Each launch records it: by a node, or as a capture had it. */
static void check_event_of_a_graph(CUgraph graph, CUevent event, unsigned which)
{
    CUstream stream = new_stream();
    CUgraphExec exec;
    pthread_t thread;

    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CALL(cuGraphDestroy(graph));
    CALL(cuEventSynchronize(event));
    hold(stream, which);
    CALL(cuGraphLaunch(exec, stream));
    CALL_FAILS(CUDA_ERROR_NOT_READY, cuEventQuery(event));
    thread = start_release(which);
    CALL(cuEventSynchronize(event));
    assert_int_equal(words[which], 1);
    pthread_join(thread, NULL);
    CALL(cuGraphExecDestroy(exec));
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuEventDestroy_v2(event));
}

TEST(test_event_of_a_graph)
{
    enum { EXTERNAL = 1 };
    CUstream stream = new_stream();
    CUevent event = new_event();
    CUgraphNode node;
    CUgraph graph;

    CALL(cuGraphCreate(&graph, 0));
    CALL(cuGraphAddEventRecordNode(&node, graph, NULL, 0, event));
    check_event_of_a_graph(graph, event, 5);

    event = new_event();
    CALL(cuStreamBeginCapture_v2(stream, 2));
    CALL(cuEventRecordWithFlags(event, stream, EXTERNAL));
    CALL(cuStreamEndCapture(stream, &graph));
    check_event_of_a_graph(graph, event, 6);
    CALL(cuStreamDestroy_v2(stream));
}

static bool stop;

static void *work_on(void *context)
{
    CUstream stream;

    if (cuCtxSetCurrent(context) != CUDA_SUCCESS || cuStreamCreate(&stream, 1) != CUDA_SUCCESS)
        abort();
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        if (cuMemsetD32Async((uintptr_t) &words[WORDS + 5], 1, 1, stream) != CUDA_SUCCESS ||
            cuStreamSynchronize(stream) != CUDA_SUCCESS)
            abort();
    if (cuStreamDestroy_v2(stream) != CUDA_SUCCESS)
        abort();
    return NULL;
}

/* It waits for what there was when it began. */
TEST(test_context_waits_beside_others)
{
    pthread_t threads[3];
    CUcontext context;

    CALL(cuCtxGetCurrent(&context));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work_on, context), 0);
    for (unsigned i = 0; i < 200; i++)
        CALL(cuCtxSynchronize());
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

/* ---- Captures ----------------------------------------------------------------------------------
 */

static int capture_status(CUstream stream)
{
    int status = -1;

    CALL(cuStreamIsCapturing(stream, &status));
    return status;
}

/* The stream has come to the end of its work, sooner or later. */
static bool comes_to_its_end(CUstream stream)
{
    for (unsigned i = 0; i < 5000; i++) {
        if (cuStreamQuery(stream) == CUDA_SUCCESS)
            return true;
        usleep(1000);
    }
    return false;
}

/* The capture ends with the stream that it was begun in, in the other one, too; what both were
 * given before goes on. */
TEST(test_stream_ends_while_it_captures)
{
    CUstream stream = new_stream(), other = new_stream();
    CUevent fork = new_event();
    pthread_t thread;

    hold(stream, 6);
    CALL(cuMemsetD32Async((uintptr_t) &words[WORDS + 6], 7, 1, stream));
    hold(other, 6);
    CALL(cuMemsetD32Async((uintptr_t) &words[WORDS + 7], 7, 1, other));
    CALL(cuStreamBeginCapture_v2(stream, CAPTURE_RELAXED));
    CALL(cuEventRecord(fork, stream));
    CALL(cuStreamWaitEvent(other, fork, 0));
    assert_int_equal(capture_status(other), CAPTURE_ACTIVE);
    CALL(cuStreamDestroy_v2(stream));
    assert_int_equal(capture_status(other), CAPTURE_NONE);

    thread = start_release(6);
    CALL(cuCtxSynchronize());
    assert_int_equal(words[WORDS + 6], 7);
    assert_int_equal(words[WORDS + 7], 7);
    pthread_join(thread, NULL);
    CALL(cuMemsetD32Async((uintptr_t) &words[WORDS + 7], 8, 1, other));
    assert_true(comes_to_its_end(other));
    assert_int_equal(words[WORDS + 7], 8);
    CALL(cuStreamDestroy_v2(other));
    CALL(cuEventDestroy_v2(fork));
}

/* Streams that end while they capture, or after, are waited for as far as they had work. */
TEST(test_work_before_a_capture)
{
    CUstream stream = new_stream(), other = new_stream();
    CUevent fork = new_event();
    pthread_t thread;
    CUgraph graph;

    hold(other, 6);
    CALL(cuMemsetD32Async((uintptr_t) &words[WORDS + 6], 7, 1, other));
    CALL(cuStreamBeginCapture_v2(stream, CAPTURE_RELAXED));
    CALL(cuEventRecord(fork, stream));
    CALL(cuStreamWaitEvent(other, fork, 0));
    CALL(cuStreamDestroy_v2(other));
    (void) cuStreamEndCapture(stream, &graph); /* a stream of it has not come back */
    thread = start_release(6);
    CALL(cuCtxSynchronize());
    assert_int_equal(words[WORDS + 6], 7);
    pthread_join(thread, NULL);
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuEventDestroy_v2(fork));
}

/* While a stream that it waits for captures, the default stream takes nothing. It does afterwards:
 * nobody waits for what was not taken. */
TEST(test_default_stream_beside_a_capture)
{
    CUevent event = new_event();
    CUstream stream;
    CUgraph graph;

    CALL(cuStreamCreate(&stream, 0));
    CALL(cuMemsetD32Async((uintptr_t) &words[WORDS], 7, 1, NULL));
    CALL(cuStreamBeginCapture_v2(stream, CAPTURE_RELAXED));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuCtxSynchronize());
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuEventRecord(event, NULL));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
    CALL(cuEventQuery(event)); /* it was never recorded */
    assert_true(comes_to_its_end(NULL));
    assert_int_equal(words[WORDS], 7);
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuEventDestroy_v2(event));
}

/* A stream that waits for an event which a capture has refused belongs to no capture, and cannot
 * end that. */
TEST(test_event_that_a_capture_has_refused)
{
    CUevent event = new_event();
    CUstream stream, other = new_stream();
    CUgraph graph = NULL;

    CALL(cuStreamCreate(&stream, 0));
    CALL(cuStreamBeginCapture_v2(stream, CAPTURE_RELAXED));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuEventRecord(event, NULL));
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuEventRecord(event, stream));
    CALL(cuStreamWaitEvent(other, event, 0));
    assert_int_equal(capture_status(other), CAPTURE_NONE);
    CALL_FAILS(CUDA_ERROR_ILLEGAL_STATE, cuStreamEndCapture(other, &graph));
    assert_int_equal(capture_status(stream), CAPTURE_INVALIDATED);
    CALL_FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
    CALL(cuMemsetD32Async((uintptr_t) &words[WORDS], 7, 1, stream));
    CALL(cuStreamSynchronize(stream));
    assert_int_equal(words[WORDS], 7);
    CALL(cuCtxSynchronize());
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuStreamDestroy_v2(other));
    CALL(cuEventDestroy_v2(event));
}

static unsigned n_captures; /* atomic */

static void *capture_on(void *context)
{
    CUstream stream;
    CUgraph graph;

    if (cuCtxSetCurrent(context) != CUDA_SUCCESS)
        abort();
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        if (cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING) != CUDA_SUCCESS ||
            cuMemsetD32Async((uintptr_t) &words[WORDS + 5], 1, 1, stream) != CUDA_SUCCESS ||
            cuStreamBeginCapture_v2(stream, CAPTURE_RELAXED) != CUDA_SUCCESS ||
            cuStreamEndCapture(stream, &graph) != CUDA_SUCCESS ||
            cuGraphDestroy(graph) != CUDA_SUCCESS || cuStreamDestroy_v2(stream) != CUDA_SUCCESS)
            abort();
        __atomic_add_fetch(&n_captures, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* Captures begin just when their streams are to be marked. */
TEST(test_context_waits_beside_captures)
{
    pthread_t threads[2];
    CUcontext context;

    CALL(cuCtxGetCurrent(&context));
    __atomic_store_n(&stop, false, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, capture_on, context), 0);
    while (__atomic_load_n(&n_captures, __ATOMIC_RELAXED) < 500)
        CALL(cuCtxSynchronize());
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CALL(cuCtxSynchronize());
}

static int setup(void **state)
{
    (void) state;
    begin();
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    end();
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_event_of_a_stream_that_has_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_context_waits_for_streams_that_have_ended, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_number_that_comes_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_event_of_a_graph, setup, teardown),
        cmocka_unit_test_setup_teardown(test_context_waits_beside_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_ends_while_it_captures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_work_before_a_capture, setup, teardown),
        cmocka_unit_test_setup_teardown(test_default_stream_beside_a_capture, setup, teardown),
        cmocka_unit_test_setup_teardown(test_event_that_a_capture_has_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_context_waits_beside_captures, setup, teardown),
    };

    return libcuda_test_main(argc, argv, tests);
}

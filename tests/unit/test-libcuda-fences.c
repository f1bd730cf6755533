/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program waits for comes when its work is done: not before, and also where its stream has
 * ended. Streams are held up by words, which the program writes. */
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
    };

    return libcuda_test_main(argc, argv, tests);
}

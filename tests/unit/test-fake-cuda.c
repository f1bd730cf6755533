/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake CUDA driver: contexts, streams and what orders them */
#include "test-fake-cuda-fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS 200u

/* ---- Devices and contexts -------------------------------------------------------------------- */

static void try_device(void)
{
    CUuuid first, second;
    size_t total;
    int value;

    OK(cu.device_get_uuid(&first, 0));
    OK(cu.device_get_uuid(&second, 1));
    EXPECT(memcmp(&first, &second, sizeof(first)) != 0);
    OK(cu.device_total_mem(&total, 0));
    EXPECT(total == UINT64_C(64) << 20);
    OK(BASE.device_get_attribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0));
    EXPECT(value == 9);
    EXPECT_RESULT(BASE.device_get_attribute(&value, 0, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(BASE.device_get_attribute(&value, 159, 0), CUDA_ERROR_INVALID_VALUE);
}

TEST(test_device)
{
    assert_good("devices=2,total=64", try_device);
}

static void try_contexts(void)
{
    CUcontext other, again;
    CUdeviceptr address;
    CUevent event;
    size_t limit;

    OK(BASE.primary_ctx_retain(&again, 0));
    EXPECT(again == primary);
    OK(BASE.primary_ctx_release(0));

    OK(cu.ctx_get_limit(&limit, 1));
    EXPECT(limit == 1 << 20);
    OK(cu.ctx_set_limit(1, 4096));
    EXPECT_RESULT(cu.ctx_set_limit(70, 1), 215);

    OK(cu.ctx_create(&other, CU_CTX_SCHED_BLOCKING_SYNC, 0));
    OK(cu.ctx_get_limit(&limit, 1));
    EXPECT(limit == 1 << 20);
    OK(BASE.mem_alloc(&address, 5));
    event = new_event();
    /* An event and a stream are of one context. */
    OK(BASE.ctx_set_current(primary));
    EXPECT_RESULT(cu.event_record_with_flags(event, NULL, 0), CUDA_ERROR_INVALID_HANDLE);
    OK(cu.ctx_destroy(other));
    EXPECT_RESULT(cu.ctx_destroy(primary), CUDA_ERROR_INVALID_CONTEXT);
}

TEST(test_contexts)
{
    assert_good("", try_contexts);
}

static void use_dead_context(void)
{
    CUcontext other;

    OK(cu.ctx_create(&other, 0, 0));
    OK(BASE.ctx_set_current(primary));
    OK(cu.ctx_destroy(other));
    BASE.ctx_set_current(other);
}

static void use_dead_event(void)
{
    CUevent event = new_event();

    OK(cu.event_destroy(event));
    cu.event_record_with_flags(event, NULL, 0);
}

static void use_event_as_stream(void)
{
    BASE.stream_synchronize((CUstream) new_event());
}

static void use_no_context(void)
{
    OK(BASE.ctx_set_current(NULL));
    cu.ctx_synchronize();
}

TEST(test_misuse_of_handles)
{
    assert_misuse("", use_dead_context, "no handle");
    assert_misuse("", use_dead_event, "no handle");
    assert_misuse("", use_event_as_stream, "kind");
    assert_misuse("", use_no_context, "no context is current");
}

/* ---- Order ----------------------------------------------------------------------------------- */

/* Each step needs the one before it, and two streams are taken in turn. */
static void try_events(void)
{
    CUdeviceptr cells = new_numbers(STEPS + 1);
    CUstream s[] = {new_stream(CU_STREAM_NON_BLOCKING), new_stream(CU_STREAM_NON_BLOCKING)};
    CUevent e = new_event();

    OK(cu.memset_d32_async(cells, 0, STEPS + 1, s[0]));
    for (unsigned i = 0; i < STEPS; i++) {
        add(cells + 4 * (i + 1), cells + 4 * i, 1, s[i % 2]);
        OK(cu.event_record_with_flags(e, s[i % 2], 0));
        OK(cu.stream_wait_event(s[(i + 1) % 2], e, 0));
    }
    OK(BASE.stream_synchronize(s[STEPS % 2]));
    EXPECT(number_at(cells + 4 * STEPS) == STEPS);

    OK(cu.event_destroy(e));
    OK(BASE.stream_destroy(s[0]));
    OK(BASE.stream_destroy(s[1]));
}

TEST(test_events_order_streams)
{
    assert_good("", try_events);
}

/* Without events the same chain breaks, unless the streams are blocking and each second step is
 * in the legacy default stream. */
static void try_default_stream(void)
{
    CUdeviceptr cells = new_numbers(STEPS + 1);
    CUstream s[] = {new_stream(0), NULL, new_stream(0), NULL};

    OK(cu.memset_d32_async(cells, 0, STEPS + 1, NULL));
    for (unsigned i = 0; i < STEPS; i++)
        add(cells + 4 * (i + 1), cells + 4 * i, 1, s[i % 4]);
    OK(BASE.stream_synchronize(NULL));
    EXPECT(number_at(cells + 4 * STEPS) == STEPS);
}

TEST(test_default_stream_orders_blocking_ones)
{
    assert_good("", try_default_stream);
}

/* A stream that waits for a word blocks the default stream when it is blocking, and only then. */
static void try_default_stream_waits(void)
{
    uint32_t *word = pinned(2);
    CUdeviceptr cell = new_numbers(1);
    CUstream blocking = new_stream(0), free = new_stream(CU_STREAM_NON_BLOCKING);

    OK(cu.stream_wait_value_32(free, ADDRESS(word), 1, CU_STREAM_WAIT_VALUE_GEQ));
    fill(cell, 7, 1, NULL);
    OK(BASE.stream_synchronize(NULL));
    EXPECT(number_at(cell) == 7);

    OK(cu.stream_wait_value_32(blocking, ADDRESS(word + 1), 1, CU_STREAM_WAIT_VALUE_GEQ));
    fill(cell, 8, 1, NULL);
    EXPECT_RESULT(cu.stream_query(NULL), CUDA_ERROR_NOT_READY);
    usleep(20000);
    EXPECT_RESULT(cu.stream_query(NULL), CUDA_ERROR_NOT_READY);
    EXPECT(number_at(cell) == 7);
    __atomic_store_n(word + 1, 1, __ATOMIC_RELEASE);
    OK(BASE.stream_synchronize(NULL));
    EXPECT(number_at(cell) == 8);

    EXPECT_RESULT(cu.stream_query(free), CUDA_ERROR_NOT_READY);
    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
    OK(cu.ctx_synchronize());
    OK(cu.stream_query(free));
}

TEST(test_default_stream_waits)
{
    assert_good("", try_default_stream_waits);
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void try_event_times(void)
{
    uint32_t *word = pinned(1);
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING);
    CUevent begin = new_event(), end = new_event(), without;
    float msec = -1;

    EXPECT_RESULT(cu.event_elapsed_time(&msec, begin, end), CUDA_ERROR_INVALID_HANDLE);
    OK(cu.event_record_with_flags(begin, s, 0));
    OK(cu.stream_wait_value_32(s, ADDRESS(word), 1, CU_STREAM_WAIT_VALUE_GEQ));
    OK(cu.event_record_with_flags(end, s, 0));
    EXPECT_RESULT(cu.event_elapsed_time(&msec, begin, end), CUDA_ERROR_NOT_READY);
    usleep(30000);
    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
    OK(BASE.stream_synchronize(s));
    OK(cu.event_elapsed_time(&msec, begin, end));
    EXPECT(msec >= 10 && msec < 60000);

    OK(cu.event_create(&without, 2));
    OK(cu.event_record_with_flags(without, s, 0));
    OK(BASE.stream_synchronize(s));
    EXPECT_RESULT(cu.event_elapsed_time(&msec, begin, without), CUDA_ERROR_INVALID_HANDLE);
    EXPECT_RESULT(cu.event_create(&without, 4), CUDA_ERROR_INVALID_VALUE);
    /* Gone while it is still to be recorded */
    __atomic_store_n(word, 0, __ATOMIC_RELEASE);
    OK(cu.stream_wait_value_32(s, ADDRESS(word), 1, CU_STREAM_WAIT_VALUE_GEQ));
    OK(cu.event_record_with_flags(end, s, 0));
    OK(cu.event_destroy(end));
    OK(BASE.stream_destroy(s));
    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
    OK(cu.ctx_synchronize());
}

TEST(test_event_times)
{
    assert_good("", try_event_times);
}

/* ---- Words ----------------------------------------------------------------------------------- */

/* The stream goes on with a value on this side of the condition and not with one on the other. */
static void try_wait(unsigned flags, uint32_t value, uint32_t before, uint32_t then)
{
    static uint32_t *word;
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING);

    if (!word)
        word = pinned(2);
    word[0] = before;
    word[1] = 0;
    OK(cu.stream_wait_value_32(s, ADDRESS(word), value, flags));
    OK(cu.stream_write_value_32(s, ADDRESS(word + 1), 5, 0));
    usleep(5000);
    EXPECT_RESULT(cu.stream_query(s), CUDA_ERROR_NOT_READY);
    EXPECT(__atomic_load_n(word + 1, __ATOMIC_ACQUIRE) == 0);
    __atomic_store_n(word, then, __ATOMIC_RELEASE);
    while (__atomic_load_n(word + 1, __ATOMIC_ACQUIRE) != 5)
        usleep(100);
    OK(BASE.stream_synchronize(s));
    OK(BASE.stream_destroy(s));
}

static void try_words(void)
{
    uint64_t *wide = (uint64_t *) pinned(4);
    CUdeviceptr cell;

    try_wait(0, 10, 9, 10);
    try_wait(0, 1, UINT32_MAX, 2); /* cyclic */
    try_wait(1, 10, 11, 10);
    try_wait(2, 4, 3, 6);
    try_wait(3, 1, UINT32_MAX, UINT32_MAX - 2);

    /* 64 bits, and in the device's own memory */
    OK(BASE.mem_alloc(&cell, 16));
    OK(cu.stream_write_value_64(NULL, cell, UINT64_C(1) << 40, 0));
    OK(cu.stream_wait_value_64(NULL, cell, UINT64_C(1) << 40, 1));
    OK(cu.stream_write_value_64(NULL, ADDRESS(wide), UINT64_C(1) << 41, 0));
    OK(cu.ctx_synchronize());
    EXPECT(*wide == UINT64_C(1) << 41);

    EXPECT_RESULT(cu.stream_write_value_32(NULL, cell + 2, 1, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.stream_write_value_64(NULL, cell + 4, 1, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.stream_write_value_64(NULL, cell, 1, 1), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.stream_wait_value_32(NULL, cell, 1, 9), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.stream_wait_value_32(NULL, cell, 1, 1 << 30), CUDA_ERROR_NOT_SUPPORTED);
}

TEST(test_words)
{
    assert_good("", try_words);
}

static void write_word_nowhere(void)
{
    cu.stream_write_value_32(NULL, 0x1000, 1, 0);
}

TEST(test_misuse_of_words)
{
    assert_misuse("", write_word_nowhere, "no device address");
}

/* ---- Host functions, and streams themselves ------------------------------------------------ */

static void note(void *number)
{
    (*(uint32_t *) number)++;
}

static void note_status(CUstream stream, CUresult status, void *ret)
{
    (void) stream;
    *(CUresult *) ret = status;
}

static void try_host_functions(void)
{
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING);
    uint32_t number = 0;

    for (uint32_t i = 0; i < 10; i++)
        OK(cu.launch_host_func(s, note, &number));
    OK(BASE.stream_synchronize(s));
    EXPECT(number == 10);
}

static void call_from_host_function(void *unused)
{
    (void) unused;
    cu.stream_query(NULL);
}

static void misuse_host_function(void)
{
    OK(cu.launch_host_func(NULL, call_from_host_function, NULL));
    BASE.stream_synchronize(NULL);
}

TEST(test_host_functions)
{
    assert_good("", try_host_functions);
    assert_misuse("", misuse_host_function, "callback");
}

/* A stream that is destroyed does what it has to do. */
static void try_streams(void)
{
    CUdeviceptr cell = new_numbers(1);
    CUstream s;

    OK(BASE.stream_create_with_priority(&s, 0, 100));
    EXPECT_RESULT(BASE.stream_create_with_priority(&s, 2, 0), CUDA_ERROR_INVALID_VALUE);
    s = new_stream(CU_STREAM_NON_BLOCKING);
    fill(cell, 3, 1, s);
    OK(BASE.stream_destroy(s));
    OK(cu.ctx_synchronize());
    EXPECT(number_at(cell) == 3);
}

TEST(test_streams)
{
    assert_good("slow=30", try_streams);
}

/* After an error that the context does not survive, nothing is done, and all waits end. */
static void try_sticky(void)
{
    uint32_t *word = pinned(1), number = 0;
    CUstream waiting = new_stream(CU_STREAM_NON_BLOCKING), s = new_stream(0);
    CUresult status = CUDA_SUCCESS;

    OK(cu.stream_wait_value_32(waiting, ADDRESS(word), 1, 0));
    OK(cu.launch_host_func(waiting, note, &number));
    OK(BASE.stream_add_callback(waiting, note_status, &status, 0));
    OK(launch(function("trap"), 1, s, NULL));
    EXPECT_RESULT(BASE.stream_synchronize(s), CUDA_ERROR_LAUNCH_FAILED);
    EXPECT_RESULT(BASE.stream_synchronize(waiting), CUDA_ERROR_LAUNCH_FAILED);
    EXPECT_RESULT(cu.stream_query(s), CUDA_ERROR_LAUNCH_FAILED);
    while (__atomic_load_n(&status, __ATOMIC_ACQUIRE) == CUDA_SUCCESS)
        usleep(100);
    EXPECT(status == CUDA_ERROR_LAUNCH_FAILED);
    EXPECT(number == 0);
}

TEST(test_sticky_error)
{
    assert_good("", try_sticky);
}

/* ---- Threads ------------------------------------------------------------------------------- */

/* Takes and gives memory, streams and events beside other threads that do. */
static void *work(void *number)
{
    uint32_t *is = (uint32_t *) number + 1;
    CUstream s;
    CUevent e;

    OK(BASE.ctx_set_current(primary));
    s = new_stream(CU_STREAM_NON_BLOCKING);
    e = new_event();
    for (uint32_t i = 0; i < STEPS; i++) {
        CUdeviceptr cells = new_numbers(1 + 1000 * (i % 3));
        uint32_t value = i + *(uint32_t *) number;

        fill(cells, value, 1, s);
        OK(cu.event_record_with_flags(e, s, 0));
        OK(cu.stream_wait_event(s, e, 0));
        OK(BASE.memcpy_d_to_h_async(is, cells, 4, s));
        OK(BASE.stream_synchronize(s));
        EXPECT(*is == value);
        OK(BASE.mem_free(cells));
    }
    OK(cu.event_destroy(e));
    OK(BASE.stream_destroy(s));
    return NULL;
}

static void try_threads(void)
{
    pthread_t threads[4];
    uint32_t *numbers = pinned(8);
    size_t before, after, total;

    function("fill");
    OK(BASE.mem_get_info(&before, &total));
    for (uint32_t i = 0; i < 4; i++) {
        numbers[2 * i] = 1000 * i;
        EXPECT(pthread_create(&threads[i], NULL, work, &numbers[2 * i]) == 0);
    }
    for (size_t i = 0; i < 4; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
    OK(BASE.mem_get_info(&after, &total));
    EXPECT(after == before);
}

TEST(test_threads)
{
    assert_good("", try_threads);
}

/* ---- By plan ------------------------------------------------------------------------------- */

static void try_failing_word(void)
{
    uint32_t *word = pinned(2);

    OK(cu.stream_write_value_32(NULL, ADDRESS(word), 1, 0));
    EXPECT_RESULT(cu.stream_write_value_32(NULL, ADDRESS(word + 1), 1, 0), 801);
    OK(cu.stream_write_value_32(NULL, ADDRESS(word), 2, 0));
    OK(cu.ctx_synchronize());
    EXPECT(word[0] == 2 && word[1] == 0);
}

static void try_fault(void)
{
    CUdeviceptr cell = new_numbers(1);

    fill(cell, 1, 1, NULL);
    fill(cell, 2, 1, NULL);
    EXPECT_RESULT(cu.ctx_synchronize(), CUDA_ERROR_MISALIGNED_ADDRESS);
    EXPECT_RESULT(cu.ctx_synchronize(), CUDA_ERROR_MISALIGNED_ADDRESS);
}

static void hang_in_record(void)
{
    alarm(1);
    OK(cu.event_record_with_flags(new_event(), NULL, 0));
    OK(cu.event_record_with_flags(new_event(), NULL, 0));
}

TEST(test_plan)
{
    Outcome o;

    assert_good("fail=cuStreamWriteValue32_v2:801:after=1", try_failing_word);
    assert_good("fault=716:after=1", try_fault);
    o = outcome_of("hang=cuEventRecordWithFlags:after=1", hang_in_record);
    assert_true(WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGALRM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device),
        cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_misuse_of_handles),
        cmocka_unit_test(test_events_order_streams),
        cmocka_unit_test(test_default_stream_orders_blocking_ones),
        cmocka_unit_test(test_default_stream_waits),
        cmocka_unit_test(test_event_times),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_misuse_of_words),
        cmocka_unit_test(test_host_functions),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_sticky_error),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_plan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session's time on the device, over the fake driver: the gate, what the control page says of
 * it, the limit for a kernel, and faults of kernels. */
#include <stdio.h>
#include <stdlib.h>

#include "executor-protocol.h"
#include "session-guest.h"
#include "test.h"

#include <time.h>
#include <unistd.h>

enum { LAUNCH_TIMEOUT = 702 };

/* Functions of session-kernels.cu, by number */
enum { BUSY = 1, NOTHING = 2, ENDLESS = 3, TRAP = 4, ILLEGAL = 5 };

static const VGPUSessionNone none;

static uint64_t now_usec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

/* With context 1, streams 1 (blocking) and 2 (not), and the functions */
static SessionGuest start_plan(uint64_t kernel_timeout_usec, const char *plan)
{
    static const char *const names[] = {
        [BUSY] = "busy", [NOTHING] = "nothing",         [ENDLESS] = "endless",
        [TRAP] = "trap", [ILLEGAL] = "illegal_address",
    };
    const SessionGuestOptions o = {.window_base = UINT64_C(0x300000000000)};
    SessionGuest g;

    session_guest_open(&g, &o);
    g.start.kernel_timeout_usec = kernel_timeout_usec;
    session_guest_spawn(&g, plan);
    assert_int_equal(session_guest_start(&g), 0);
    session_guest_context(&g, 1, true);
    for (uint32_t id = 1; id <= 2; id++) {
        const VGPUSessionCreate p = {.id = id, .flags = id - 1};

        assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_STREAM_CREATE, 1, &p, sizeof(p)),
                         0);
    }
    session_guest_load(&g, 1, getenv("VGPU_FAKE_SESSION_KERNELS"), 1);
    for (uint32_t id = BUSY; id <= ILLEGAL; id++)
        session_guest_function(&g, 1, 1, names[id], id);
    return g;
}

static SessionGuest start(uint64_t kernel_timeout_usec)
{
    return start_plan(kernel_timeout_usec, NULL);
}

static void end(SessionGuest *g)
{
    char *text;

    assert_int_equal(session_guest_end(g, &text), 0);
    assert_string_equal(text, "");
    free(text);
    session_guest_close(g);
}

static void launch(SessionGuest *g, uint32_t stream, uint32_t function, uint64_t parameter)
{
    bool has_none = function == NOTHING || function == TRAP || function == ILLEGAL;

    session_guest_launch(g, 1, stream, function, &parameter, has_none ? 0 : sizeof(parameter));
}

static void launch_busy(SessionGuest *g, uint32_t stream, uint64_t usec)
{
    launch(g, stream, BUSY, usec * 1000);
}

/* An endless one reads a word that stays 0. */
static void launch_endless(SessionGuest *g, uint32_t stream)
{
    uint64_t never = session_guest_alloc(g, 8);

    launch(g, stream, ENDLESS, (uint64_t) (uintptr_t) (g->window + never));
}

static bool reaches(const uint32_t *word, uint32_t value)
{
    for (uint64_t begin = now_usec(); __atomic_load_n(word, __ATOMIC_SEQ_CST) != value;) {
        if (now_usec() - begin > SESSION_GUEST_TIMEOUT_MSEC * UINT64_C(1000))
            return false;
        usleep(500);
    }
    return true;
}

/* So many CHANGED come, and then no more for a while. */
static void expect_changed(SessionGuest *g, unsigned n)
{
    uint32_t message;

    while (n-- > 0) {
        assert_int_equal(
            session_guest_message(g, &message, sizeof(message), SESSION_GUEST_TIMEOUT_MSEC),
            sizeof(message));
        assert_int_equal(message, SESSION_MSG_CHANGED);
    }
    assert_int_equal(session_guest_message(g, &message, sizeof(message), 20), -ETIMEDOUT);
}

static unsigned count_changed(SessionGuest *g)
{
    uint32_t message;
    unsigned n = 0;

    while (session_guest_message(g, &message, sizeof(message), 0) > 0) {
        assert_int_equal(message, SESSION_MSG_CHANGED);
        n++;
    }
    return n;
}

/* ---- The gate -----------------------------------------------------------------------------------
 */

/* Behind a closed gate nothing gets to the device, and what gives it nothing goes on before. */
TEST(test_gate)
{
    SessionGuest g = start(UINT64_MAX);
    uint64_t word = session_guest_alloc(&g, 8);

    assert_true(reaches(&g.control->running, 0));
    session_guest_gate(&g, false);
    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_NOP, 1, &none, sizeof(none)), 0);
    assert_int_equal(g.control->waiting, 0);
    session_guest_fence(&g, 1, 1, word, 1);
    session_guest_begin(&g, 2, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
    assert_true(reaches(&g.control->waiting, 1));
    assert_false(session_guest_wait_word(&g, word, 1, 50));
    assert_false(session_guest_is_done(&g, 2));
    assert_int_equal(g.control->running, 0);

    session_guest_gate(&g, true);
    assert_true(session_guest_wait_word(&g, word, 1, SESSION_GUEST_TIMEOUT_MSEC));
    assert_int_equal(session_guest_wait(&g, 2, NULL), 0);
    assert_true(reaches(&g.control->waiting, 0));
    assert_int_equal(count_changed(&g), 0); /* nobody wanted to know */
    end(&g);
}

/* Closing takes nothing back: what the device has, it does, and the session stops running. */
TEST(test_gate_closes_while_it_runs)
{
    SessionGuest g = start(UINT64_MAX);
    uint64_t word = session_guest_alloc(&g, 16);

    launch_busy(&g, 1, 20000);
    session_guest_fence(&g, 1, 1, word, 1);
    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none)), 0);
    session_guest_gate(&g, false);
    session_guest_fence(&g, 1, 2, word + 8, 1);
    assert_true(reaches(&g.control->waiting, 1));
    assert_true(session_guest_wait_word(&g, word, 1, SESSION_GUEST_TIMEOUT_MSEC));
    assert_true(reaches(&g.control->running, 0));
    assert_false(session_guest_wait_word(&g, word + 8, 1, 20));
    session_guest_gate(&g, true);
    assert_true(session_guest_wait_word(&g, word + 8, 1, SESSION_GUEST_TIMEOUT_MSEC));
    end(&g);
}

TEST(test_hangup_at_the_gate)
{
    SessionGuest g = start(UINT64_MAX);

    session_guest_gate(&g, false);
    launch(&g, 1, NOTHING, 0);
    assert_true(reaches(&g.control->waiting, 1));
    end(&g);
}

/* Opened and closed as fast as it goes, while the guest gives work: all of it is done. */
TEST(test_gate_swings)
{
    SessionGuest g = start(UINT64_MAX);
    uint64_t word = session_guest_alloc(&g, 8);

    for (uint64_t i = 1; i <= 500; i++) {
        session_guest_gate(&g, false);
        session_guest_fence(&g, 1, 1, word, i);
        session_guest_gate(&g, true);
        assert_true(session_guest_wait_word(&g, word, i, SESSION_GUEST_TIMEOUT_MSEC));
    }
    end(&g);
}

/* ---- What it says
 * --------------------------------------------------------------------------------- */

TEST(test_tell)
{
    SessionGuest g = start(UINT64_MAX);
    uint64_t word = session_guest_alloc(&g, 8);

    assert_true(reaches(&g.control->running, 0));
    __atomic_store_n(&g.control->tell, 1, __ATOMIC_SEQ_CST);
    session_guest_fence(&g, 1, 1, word, 1);
    assert_true(session_guest_wait_word(&g, word, 1, SESSION_GUEST_TIMEOUT_MSEC));
    assert_true(reaches(&g.control->running, 0));
    expect_changed(&g, 2);

    session_guest_gate(&g, false);
    session_guest_fence(&g, 1, 1, word, 2);
    assert_true(reaches(&g.control->waiting, 1));
    session_guest_gate(&g, true);
    assert_true(session_guest_wait_word(&g, word, 2, SESSION_GUEST_TIMEOUT_MSEC));
    assert_true(reaches(&g.control->running, 0));
    expect_changed(&g, 4);
    end(&g);
}

/* A mediator that does not read is told when it does, and holds nothing up. */
TEST(test_mediator_does_not_read)
{
    SessionGuest g = start(UINT64_MAX);
    uint64_t word = session_guest_alloc(&g, 8), begin;
    unsigned n;

    __atomic_store_n(&g.control->tell, 1, __ATOMIC_SEQ_CST);
    for (uint64_t i = 1; i <= 2000; i++) {
        session_guest_fence(&g, 1, 1, word, i);
        assert_true(session_guest_wait_word(&g, word, i, SESSION_GUEST_TIMEOUT_MSEC));
        assert_true(reaches(&g.control->running, 0));
        if (i % 100 == 0 && session_guest_message(&g, &n, sizeof(n), 0) == 0)
            break;
    }
    n = count_changed(&g);
    assert_true(n > 0);
    begin = now_usec();
    session_guest_fence(&g, 1, 1, word, 1);
    assert_true(session_guest_wait_word(&g, word, 1, SESSION_GUEST_TIMEOUT_MSEC));
    while (count_changed(&g) == 0)
        assert_true(now_usec() - begin < SESSION_GUEST_TIMEOUT_MSEC * UINT64_C(1000));
    end(&g);
}

/* No less than the device had work, and not much more: the machine may be loaded. */
TEST(test_device_time)
{
    SessionGuest g = start(UINT64_MAX);
    uint64_t before, took, begin, counted;

    assert_true(reaches(&g.control->running, 0));
    before = g.control->device_usec;
    usleep(50000);
    assert_int_equal(g.control->device_usec, before); /* nothing runs, nothing counts */

    begin = now_usec();
    launch_busy(&g, 1, 30000);
    launch_busy(&g, 2, 30000); /* beside it */
    launch_busy(&g, 0, 10000); /* behind stream 1 */
    session_guest_synchronize(&g, 1, 0);
    session_guest_synchronize(&g, 1, 2);
    assert_true(reaches(&g.control->running, 0));
    took = now_usec() - begin;
    counted = g.control->device_usec - before;
    assert_in_range(counted, 30000, took);
    assert_int_equal(g.control->launches, 3);
    end(&g);
}

/* A stream that is destroyed with work in it is still at work, and a context that is. */
TEST(test_destroyed_while_it_works)
{
    const VGPUSessionId stream = {.id = 2}, context = {.id = 1};
    SessionGuest g = start(UINT64_MAX);
    uint64_t before;

    assert_true(reaches(&g.control->running, 0));
    before = g.control->device_usec;
    launch_busy(&g, 2, 30000);
    assert_int_equal(
        session_guest_call(&g, VGPU_SESSION_OP_STREAM_DESTROY, 1, &stream, sizeof(stream)), 0);
    assert_true(reaches(&g.control->running, 0));
    assert_true(g.control->device_usec - before >= 30000);

    launch_busy(&g, 1, 30000);
    assert_int_equal(
        session_guest_call(&g, VGPU_SESSION_OP_CONTEXT_DESTROY, 1, &context, sizeof(context)), 0);
    assert_true(reaches(&g.control->running, 0));
    session_guest_context(&g, 1, true);
    session_guest_synchronize(&g, 1, 0);
    end(&g);
}

/* What is captured is no work of the device's. What was given before the capture is, to its end. */
TEST(test_capture)
{
    const VGPUSessionGraph graph = {.graph = 1, .stream = 1};
    SessionGuest g = start(UINT64_MAX);
    uint64_t before;

    assert_true(reaches(&g.control->running, 0));
    before = g.control->device_usec;
    launch_busy(&g, 1, 30000);
    launch_busy(&g, 0, 10000);
    assert_int_equal(
        session_guest_call(&g, VGPU_SESSION_OP_CAPTURE_BEGIN, 1, &graph, sizeof(graph)), 0);
    assert_true(reaches(&g.control->running, 0));
    assert_true(g.control->device_usec - before >= 30000);
    before = g.control->device_usec;
    for (unsigned i = 0; i < 20; i++) {
        launch_busy(&g, 1, 100000);
        usleep(1000);
    }
    assert_int_equal(g.control->running, 0);
    assert_int_equal(g.control->device_usec, before);
    launch_busy(&g, 2, 1000); /* a stream beside it */
    assert_true(reaches(&g.control->running, 0));
    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_CAPTURE_END, 1, &graph, sizeof(graph)),
                     0);
    assert_int_equal(g.header->error, 0);
    session_guest_synchronize(&g, 1, 1);
    end(&g);
}

/* ---- The limit
 * ------------------------------------------------------------------------------------- */

static void assert_timeout(SessionGuest *g)
{
    SessionEnded ended;
    char *text;

    assert_true(session_guest_wait_ended(g, &ended));
    assert_int_equal(ended.reason, SESSION_END_KERNEL_TIMEOUT);
    assert_int_equal(ended.cuda_result, LAUNCH_TIMEOUT);
    assert_int_equal(g->header->sticky, LAUNCH_TIMEOUT);
    assert_int_equal(g->header->state, VGPU_SESSION_STATE_ENDED);
    assert_int_equal(g->control->sticky, LAUNCH_TIMEOUT);
    assert_int_equal(session_guest_end(g, &text), EXECUTOR_EXIT_STICKY);
    assert_non_null(strstr(text, "test: a kernel ran longer than the limit of 200 ms"));
    free(text);
    session_guest_close(g);
}

#define LIMIT_USEC 200000
/* Where nothing may be found: a loaded machine lets the fake device wait, too. */
#define LONG_LIMIT_USEC 1500000

TEST(test_endless_kernel)
{
    for (uint32_t stream = 0; stream <= 2; stream++) {
        SessionGuest g = start(LIMIT_USEC);
        uint64_t begin = now_usec();

        launch_endless(&g, stream);
        assert_true(now_usec() - begin < LIMIT_USEC || g.header->sticky == 0);
        assert_timeout(&g);
        assert_true(now_usec() - begin >= LIMIT_USEC);
    }
}

/* With so much behind it that the executor hangs in the driver, and replies that are waited for */
TEST(test_endless_kernel_under_a_heap)
{
    const VGPUSessionMemory memory = {.size = 4096};
    SessionGuest g = start(LIMIT_USEC);

    launch(&g, 1, NOTHING, 0);
    launch_endless(&g, 1);
    for (unsigned i = 0; i < 100; i++)
        launch(&g, 1, NOTHING, 0);
    session_guest_begin(&g, 9, VGPU_SESSION_OP_MEMORY_ALLOC, 1, &memory, sizeof(memory));
    assert_timeout(&g);
}

/* The SLOW thread waits in the driver for what never ends: the reply says why there is none. */
TEST(test_endless_kernel_is_waited_for)
{
    VGPUSessionMemory memory = {.size = 4096};
    SessionGuest g = start(LIMIT_USEC);
    uint64_t value[6];

    assert_int_equal(session_guest_call_with(&g, VGPU_SESSION_OP_MEMORY_ALLOC, 1, &memory,
                                             sizeof(memory), NULL, 0, value),
                     0);
    memory.address = value[0];
    launch_endless(&g, 2);
    session_guest_begin(&g, 9, VGPU_SESSION_OP_MEMORY_FREE, 1, &memory, sizeof(memory));
    assert_int_equal(session_guest_wait(&g, 9, NULL), LAUNCH_TIMEOUT);
    assert_timeout(&g);
}

/* While another stream waits for a word for ever: that is no kernel, but the endless one is. */
TEST(test_endless_kernel_beside_a_wait)
{
    SessionGuest g = start(LIMIT_USEC);
    const VGPUSessionWord word = {
        .stream = 2,
        .address = (uint64_t) (uintptr_t) (g.window + session_guest_alloc(&g, 8)),
        .value = 1,
        .bits = 64,
    };

    launch(&g, 2, NOTHING, 0);
    session_guest_submit(&g, VGPU_SESSION_OP_WORD_WAIT, 1, &word, sizeof(word));
    launch(&g, 2, NOTHING, 0);
    launch_endless(&g, 1);
    assert_timeout(&g);
}

/* Longer than the limit in all, each of them shorter: as many as one likes, in one stream or in
 * several that wait for each other. */
TEST(test_many_kernels_within_the_limit)
{
    SessionGuest g = start(LONG_LIMIT_USEC);

    for (unsigned i = 0; i < 9; i++)
        launch_busy(&g, i % 3, 250000);
    for (unsigned i = 0; i < 200; i++)
        launch(&g, 1, NOTHING, 0);
    session_guest_synchronize(&g, 1, 0);
    session_guest_synchronize(&g, 1, 1);
    session_guest_synchronize(&g, 1, 2);
    assert_int_equal(g.header->error, 0);
    end(&g);
}

/* Waits for words and for events do not count, nor what waits behind them, in any stream. */
TEST(test_waits_do_not_count)
{
    const VGPUSessionEvent event = {.event = 1, .stream = 2}, wait = {.event = 1, .stream = 1};
    const VGPUSessionCreate create = {.id = 1};
    SessionGuest g = start(LONG_LIMIT_USEC);
    uint64_t offset = session_guest_alloc(&g, 8);
    const VGPUSessionWord word = {
        .stream = 2,
        .address = (uint64_t) (uintptr_t) (g.window + offset),
        .value = 1,
        .bits = 64,
    };

    assert_int_equal(
        session_guest_call(&g, VGPU_SESSION_OP_EVENT_CREATE, 1, &create, sizeof(create)), 0);
    launch(&g, 2, NOTHING, 0);
    launch(&g, 1, NOTHING, 0);
    session_guest_submit(&g, VGPU_SESSION_OP_WORD_WAIT, 1, &word, sizeof(word));
    launch_busy(&g, 2, 10000);
    session_guest_submit(&g, VGPU_SESSION_OP_EVENT_RECORD, 1, &event, sizeof(event));
    session_guest_submit(&g, VGPU_SESSION_OP_STREAM_WAIT_EVENT, 1, &wait, sizeof(wait));
    launch_busy(&g, 1, 10000);
    launch_busy(&g, 0, 10000);
    launch_busy(&g, 1, 10000);
    usleep(2 * LONG_LIMIT_USEC);
    assert_int_equal(g.header->state, VGPU_SESSION_STATE_OPEN);
    assert_int_equal(g.header->sticky, 0);
    __atomic_store_n((uint64_t *) (g.window + offset), 1, __ATOMIC_RELEASE);
    session_guest_synchronize(&g, 1, 1);
    session_guest_synchronize(&g, 1, 2);
    end(&g);
}

/* The driver lets the ring's thread wait, because a stream that waits for a word has too much
 * behind that. Nobody can ask it then whether another stream's work has ended. */
TEST(test_stuck_in_the_driver)
{
    SessionGuest g = start_plan(LONG_LIMIT_USEC, "hang=cuLaunchKernel:after=400");
    const VGPUSessionWord word = {
        .stream = 2,
        .address = (uint64_t) (uintptr_t) (g.window + session_guest_alloc(&g, 8)),
        .value = 1,
        .bits = 64,
    };

    session_guest_submit(&g, VGPU_SESSION_OP_WORD_WAIT, 1, &word, sizeof(word));
    launch_busy(&g, 1, 200000);
    for (unsigned i = 0; i < 400; i++)
        launch(&g, 2, NOTHING, 0);
    session_guest_begin(&g, 2, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
    usleep(2 * LONG_LIMIT_USEC);
    assert_int_equal(g.header->state, VGPU_SESSION_STATE_OPEN);
    assert_false(session_guest_is_done(&g, 2)); /* it is stuck */
    end(&g);
}

/* A stream has rested for longer than the limit. */
TEST(test_rest_does_not_count)
{
    SessionGuest g = start(LONG_LIMIT_USEC);

    for (unsigned i = 0; i < 2; i++) {
        launch(&g, 1, NOTHING, 0);
        usleep(LONG_LIMIT_USEC + LONG_LIMIT_USEC / 10);
        session_guest_synchronize(&g, 1, 1);
    }
    end(&g);
}

/* ---- Faults
 * ------------------------------------------------------------------------------------------ */

/* A guest that sleeps for a fence is woken: the device writes nothing any more. */
TEST(test_faults)
{
    static const struct {
        uint32_t function;
        uint32_t error;
    } faults[] = {{TRAP, 719}, {ILLEGAL, 700}};

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        SessionGuest g = start(UINT64_MAX);
        const VGPUSessionFence wake = {.stream = 1};
        uint64_t word = session_guest_alloc(&g, 8);

        __atomic_store_n(&g.header->guest_waits, 1, __ATOMIC_SEQ_CST);
        launch_busy(&g, 1, 20000);
        launch(&g, 1, faults[i].function, 0);
        session_guest_fence(&g, 1, 1, word, 1);
        session_guest_submit(&g, VGPU_SESSION_OP_WAKE, 1, &wake, sizeof(wake));
        while (__atomic_load_n(&g.header->sticky, __ATOMIC_ACQUIRE) == 0)
            assert_true(session_guest_sleep(&g, SESSION_GUEST_TIMEOUT_MSEC));
        assert_int_equal(g.header->sticky, faults[i].error);
        assert_int_equal(g.control->sticky, faults[i].error);
        assert_true(reaches(&g.control->running, 0));
        assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_WAKE, 1, &wake, sizeof(wake)),
                         faults[i].error);
        assert_int_equal(session_guest_end(&g, NULL), 0);
        session_guest_close(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate),
        cmocka_unit_test(test_gate_closes_while_it_runs),
        cmocka_unit_test(test_hangup_at_the_gate),
        cmocka_unit_test(test_gate_swings),
        cmocka_unit_test(test_tell),
        cmocka_unit_test(test_mediator_does_not_read),
        cmocka_unit_test(test_device_time),
        cmocka_unit_test(test_destroyed_while_it_works),
        cmocka_unit_test(test_capture),
        cmocka_unit_test(test_endless_kernel),
        cmocka_unit_test(test_endless_kernel_under_a_heap),
        cmocka_unit_test(test_endless_kernel_is_waited_for),
        cmocka_unit_test(test_endless_kernel_beside_a_wait),
        cmocka_unit_test(test_many_kernels_within_the_limit),
        cmocka_unit_test(test_waits_do_not_count),
        cmocka_unit_test(test_stuck_in_the_driver),
        cmocka_unit_test(test_rest_does_not_count),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

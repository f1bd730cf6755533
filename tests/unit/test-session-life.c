/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session while it lives, over the fake driver: how both sides wake each other, how
 * errors are told, what ends it, and that its mediator's end does so at any point. */
#include <stdio.h>
#include <stdlib.h>

#include "executor-protocol.h"
#include "huge-pages.h"
#include "test-session-start.h"

#include <signal.h>
#include <unistd.h>

enum { INVALID_VALUE = 1, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_SUPPORTED = 801 };

static const VGPUSessionNone none;

static void wait_until_it_sleeps(SessionGuest *g)
{
    for (unsigned i = 0; __atomic_load_n(&g->header->executor_waits, __ATOMIC_ACQUIRE) == 0; i++) {
        assert_true(i < SESSION_GUEST_TIMEOUT_MSEC);
        usleep(1000);
    }
}

static void wait_for_head(SessionGuest *g)
{
    for (unsigned i = 0; __atomic_load_n(&g->header->head, __ATOMIC_ACQUIRE) != g->tail; i++) {
        assert_true(i < SESSION_GUEST_TIMEOUT_MSEC);
        usleep(1000);
    }
}

/* ---- Waking -----------------------------------------------------------------------------------
 */

/* Nobody looks: each side sleeps until the other has something for it. */
TEST(test_both_sleep)
{
    SessionGuest g = start(NULL);

    g.sleeps = true;
    for (unsigned i = 0; i < 50; i++) {
        wait_until_it_sleeps(&g);
        session_guest_begin(&g, 1, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
        assert_int_equal(session_guest_wait(&g, 1, NULL), 0);
    }
    assert_end(&g, 0, "");
}

/* As fast as it goes, in every order of both sides' steps that comes of itself */
TEST(test_many_round_trips)
{
    static const uint32_t polls[] = {0, 50};

    for (unsigned p = 0; p < 2; p++) {
        SessionGuest g;

        session_guest_open(&g, NULL);
        g.start.busy_poll_usec = polls[p];
        session_guest_spawn(&g, NULL);
        assert_int_equal(session_guest_start(&g), 0);
        for (unsigned i = 0; i < 2000; i++) {
            g.sleeps = i & 1;
            assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none)),
                             0);
        }
        assert_int_equal(g.control->operations, 2000);
        assert_end(&g, 0, "");
    }
}

/* The ring goes round many times, and nothing is lost. Each has its own reply. */
TEST(test_full_ring)
{
    SessionGuest g = start(NULL);
    unsigned n = 0;

    for (unsigned i = 0; i < 100; i++) {
        for (uint16_t slot = 1; slot <= VGPU_SESSION_REPLIES; slot++) {
            const VGPUSessionRecord record = {.opcode = VGPU_SESSION_OP_NOP, .reply = slot};

            session_guest_put(&g, &record, &none, sizeof(none), NULL, 0);
            n++;
        }
        session_guest_publish(&g);
        for (uint16_t slot = 1; slot <= VGPU_SESSION_REPLIES; slot++)
            assert_int_equal(session_guest_wait(&g, slot, NULL), 0);
    }
    assert_true(g.tail > 10 * VGPU_SESSION_RING_MIN);
    assert_int_equal(g.control->operations, n);
    assert_end(&g, 0, "");
}

/* Who has not asked is not woken. */
TEST(test_no_interrupt_unasked)
{
    SessionGuest g = start(NULL);

    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none)), 0);
    assert_false(session_guest_sleep(&g, 0));
    assert_end(&g, 0, "");
}

/* ---- Errors -------------------------------------------------------------------------------------
 */

static uint32_t take_error(SessionGuest *g, uint64_t *ret_position)
{
    uint64_t value[6];

    assert_int_equal(session_guest_call_with(g, VGPU_SESSION_OP_ERROR_TAKE, 0, &none, sizeof(none),
                                             NULL, 0, value),
                     0);
    *ret_position = value[1];
    return (uint32_t) value[0];
}

/* The first one stays until it is taken; then the next first one does. */
TEST(test_latched_error)
{
    const VGPUSessionId id = {.id = 77};
    SessionGuest g = start(NULL);
    uint64_t first, position;

    assert_int_equal(take_error(&g, &position), 0);
    session_guest_submit(&g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
    first = session_guest_submit(&g, VGPU_SESSION_OP_STREAM_DESTROY, 1, &id, sizeof(id));
    session_guest_submit(&g, VGPU_SESSION_OP_DEVICE_INFO, 1, &none, sizeof(none));
    assert_int_equal(take_error(&g, &position), INVALID_CONTEXT);
    assert_int_equal(position, first);
    assert_int_equal(g.header->error, 0);

    session_guest_context(&g, 1, true);
    first = session_guest_submit(&g, VGPU_SESSION_OP_STREAM_DESTROY, 1, &id, sizeof(id));
    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none)), 0);
    assert_int_equal(g.header->error, INVALID_HANDLE);
    assert_int_equal(g.header->error_position, first);
    assert_int_equal(take_error(&g, &position), INVALID_HANDLE);
    assert_int_equal(take_error(&g, &position), 0);
    assert_end(&g, 0, "");
}

/* What makes no sense without a reply is refused, and not carried out. */
TEST(test_reply_is_missing)
{
    const VGPUSessionContext context = {.id = 1, .primary = 1};
    SessionGuest g = start(NULL);
    uint64_t position;

    session_guest_submit(&g, VGPU_SESSION_OP_ERROR_TAKE, 0, &none, sizeof(none));
    assert_int_equal(take_error(&g, &position), INVALID_VALUE);
    session_guest_submit(&g, VGPU_SESSION_OP_CONTEXT_CREATE, 0, &context, sizeof(context));
    session_guest_context(&g, 1, true); /* the number is free, and SLOW ones are in order */
    assert_int_equal(take_error(&g, &position), INVALID_VALUE);
    assert_end(&g, 0, "");
}

TEST(test_unknown_operation)
{
    SessionGuest g = start(NULL);

    assert_int_equal(session_guest_call(&g, 0x3ff, 0, &none, sizeof(none)), NOT_SUPPORTED);
    assert_int_equal(session_guest_call(&g, 0x007, 0, &none, sizeof(none)), NOT_SUPPORTED);
    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none)), 0);
    assert_end(&g, 0, "");
}

/* A context that does not survive an error: every operation says so, by the error's own number,
 * until the guest goes. */
TEST(test_sticky_error)
{
    static const uint32_t errors[] = {700, 710, 716, 719};

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        const VGPUSessionCreate stream = {.id = 1};
        char plan[64];
        SessionGuest g;

        snprintf(plan, sizeof(plan), "fail=cuStreamCreateWithPriority:%u:after=1", errors[i]);
        g = start(plan);
        session_guest_context(&g, 1, true);
        assert_int_equal(
            session_guest_call(&g, VGPU_SESSION_OP_STREAM_CREATE, 1, &stream, sizeof(stream)), 0);
        assert_int_equal(
            session_guest_call(&g, VGPU_SESSION_OP_STREAM_CREATE, 1, &stream, sizeof(stream)),
            errors[i]);
        assert_int_equal(g.header->sticky, errors[i]);
        assert_int_equal(g.control->sticky, errors[i]);
        assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none)),
                         errors[i]);
        session_guest_submit(&g, VGPU_SESSION_OP_STREAM_CREATE, 1, &stream, sizeof(stream));
        assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_CONTEXT_DESTROY, 1, &stream,
                                            sizeof(VGPUSessionId)),
                         errors[i]);
        assert_int_equal(g.header->error, errors[i]);
        assert_int_equal(g.header->state, VGPU_SESSION_STATE_OPEN);
        assert_end(&g, 0, "ends what it computes");
    }
}

/* ---- Its end
 * -------------------------------------------------------------------------------------- */

static void assert_violation(SessionGuest *g, const char *says)
{
    SessionEnded ended;

    session_guest_publish(g);
    assert_true(session_guest_wait_ended(g, &ended));
    assert_int_equal(ended.reason, SESSION_END_VIOLATION);
    assert_int_equal(g->header->state, VGPU_SESSION_STATE_ENDED);
    assert_end(g, 0, says);
}

/* A broken ring ends the session, at once and with what was before it carried out. */
TEST(test_broken_ring)
{
    const VGPUSessionRecord records[] = {
        {.size = 8, .opcode = VGPU_SESSION_OP_NOP},
        {.size = 16, .opcode = VGPU_SESSION_OP_NOP},
        {.size = 32, .opcode = VGPU_SESSION_OP_NOP, .reply = 257},
        {.size = 1 << 20, .opcode = VGPU_SESSION_OP_LAUNCH},
    };
    SessionGuest g;

    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        g = start(NULL);
        session_guest_begin(&g, 5, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
        session_guest_put_bytes(&g, &records[i], sizeof(records[i]));
        session_guest_put_bytes(&g, &none, sizeof(none));
        assert_violation(&g, "vgpu-executor: test: the guest broke its ring: a");
    }
    g = start(NULL);
    g.tail = 12345;
    assert_violation(&g, "the guest broke its ring: its tail is not aligned");
}

/* The executor does not mind what the guest does to the words that are its own. */
TEST(test_header_is_scribbled_on)
{
    SessionGuest g = start(NULL);

    memset(&g.header->head, 0xff, sizeof(*g.header) - offsetof(VGPUSessionHeader, head));
    memset(g.replies, 0xff, VGPU_SESSION_REPLIES * sizeof(*g.replies));
    g.header->magic = 0;
    g.header->version = 99;
    session_guest_begin(&g, 256, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
    assert_int_equal(session_guest_wait(&g, 256, NULL), 0);
    wait_for_head(&g); /* which comes after the replies of a batch */
    assert_end(&g, 0, "");
}

TEST(test_window_is_lost)
{
    HugePages pages;
    SessionGuest g;
    SessionEnded ended;
    const VGPUSessionDeviceInfo info = {.into = {.offset = 2 * HUGE_PAGE_SIZE, .size = 8}};

    if (!huge_pages_open(&pages, 4))
        skip();
    session_guest_open(&g, &(SessionGuestOptions){.memfd = huge_pages_memfd(4),
                                                  .window_size = 4 * HUGE_PAGE_SIZE});
    memset(g.window + info.into.offset, 7, info.into.size); /* there is a page to be taken away */
    session_guest_spawn(&g, NULL);
    assert_int_equal(session_guest_start(&g), 0);
    assert_true(huge_pages_punch(&pages, g.fds[SESSION_FD_WINDOW], 2));
    session_guest_submit(&g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
    session_guest_begin(&g, 2, VGPU_SESSION_OP_DEVICE_INFO, 0, &info, sizeof(info));
    assert_true(session_guest_wait_ended(&g, &ended));
    assert_int_equal(ended.reason, SESSION_END_WINDOW_LOST);
    assert_end(&g, EXECUTOR_EXIT_FAILURE, "test: the VM took memory of its window away");
    huge_pages_close(&pages);
}

/* ---- The mediator goes, at every point
 * ------------------------------------------------------------- */

static const VGPUSessionContext primary = {.id = 1, .primary = 1};

static void wait_for_trace(const char *path, const char *what)
{
    for (unsigned i = 0; i < SESSION_GUEST_TIMEOUT_MSEC; i++) {
        FILE *f = fopen(path, "re");
        char line[128];

        while (f && fgets(line, sizeof(line), f)) {
            if (strncmp(line, what, strlen(what)) == 0) {
                fclose(f);
                return;
            }
        }
        if (f)
            fclose(f);
        usleep(1000);
    }
    fail_msg("%s is not called", what);
}

/* In a function of the driver that never returns, on either thread */
TEST(test_hangup_in_the_driver)
{
    static const struct {
        const char *function;
        uint16_t opcode;
        uint32_t context;
    } hangs[] = {
        {"cuDevicePrimaryCtxRetain", VGPU_SESSION_OP_CONTEXT_CREATE, 0},
        {"cuStreamCreateWithPriority", VGPU_SESSION_OP_STREAM_CREATE, 1},
        {"cuMemAlloc_v2", VGPU_SESSION_OP_MEMORY_ALLOC, 1},
    };

    for (size_t i = 0; i < sizeof(hangs) / sizeof(hangs[0]); i++) {
        const VGPUSessionMemory memory = {.size = 4096};
        const VGPUSessionCreate stream = {.id = 1};
        bool is_memory = hangs[i].opcode == VGPU_SESSION_OP_MEMORY_ALLOC;
        char path[] = "/tmp/vgpu-test-XXXXXX", plan[128];
        SessionGuest g;

        close(mkstemp(path));
        snprintf(plan, sizeof(plan), "hang=%s,trace=%s", hangs[i].function, path);
        g = start(plan);
        if (hangs[i].context > 0)
            session_guest_context(&g, 1, true);
        session_guest_begin(&g, 3, hangs[i].opcode, hangs[i].context,
                            is_memory               ? (const void *) &memory
                            : hangs[i].context == 0 ? (const void *) &primary
                                                    : (const void *) &stream,
                            is_memory ? sizeof(memory) : sizeof(stream));
        wait_for_trace(path, hangs[i].function);
        assert_false(session_guest_is_done(&g, 3));
        assert_end(&g, 0, "");
        unlink(path);
    }
}

static unsigned count_trace(const char *path, const char *what)
{
    FILE *f = fopen(path, "re");
    char line[128];
    unsigned n = 0;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        n += strncmp(line, what, strlen(what)) == 0;
    fclose(f);
    return n;
}

/* A context that cannot be made leaves nothing registered: the next one begins from the start. */
TEST(test_context_half_made)
{
    const VGPUSessionContext own = {.id = 1};
    char path[] = "/tmp/vgpu-test-XXXXXX", plan[128];
    SessionGuest g;

    close(mkstemp(path));
    snprintf(plan, sizeof(plan), "fail=cuMemHostRegister_v2:2:after=1,trace=%s", path);
    g = start(plan);
    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_CONTEXT_CREATE, 0, &own, sizeof(own)),
                     2);
    assert_int_equal(count_trace(path, "cuMemHostRegister_v2"), 2);
    assert_int_equal(count_trace(path, "cuMemHostUnregister"), 1);
    session_guest_context(&g, 1, false);
    assert_int_equal(count_trace(path, "cuMemHostRegister_v2"), 4);
    assert_end(&g, 0, "");
    unlink(path);
}

TEST(test_hangup_before_start)
{
    SessionGuest g;

    session_guest_open(&g, NULL);
    session_guest_spawn(&g, NULL);
    assert_end(&g, 0, "");
    session_guest_open(&g, NULL);
    session_guest_spawn(&g, NULL);
    session_guest_warm(&g, "0");
    assert_end(&g, 0, "");
    session_guest_open(&g, NULL);
    session_guest_spawn(&g, NULL);
    session_guest_send_start(&g, g.fds, SESSION_N_FDS);
    assert_end(&g, 0, "");
    /* in a driver that does not return */
    session_guest_open(&g, NULL);
    session_guest_spawn(&g, "hang=cuInit");
    session_guest_warm(&g, "0");
    session_guest_send_start(&g, g.fds, SESSION_N_FDS);
    usleep(50000);
    assert_end(&g, 0, "");
}

/* The guest that waits for a reply gets one, and sees that there are no more. */
TEST(test_hangup_with_operations_in_hand)
{
    const VGPUSessionMemory memory = {.size = 4096};
    SessionGuest g = start("hang=cuMemAlloc_v2");

    session_guest_context(&g, 1, true);
    for (uint16_t slot = 1; slot <= 20; slot++)
        session_guest_begin(&g, slot, VGPU_SESSION_OP_MEMORY_ALLOC, 1, &memory, sizeof(memory));
    assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none)), 0);
    assert_int_equal(session_guest_end(&g, NULL), 0);
    for (uint16_t slot = 2; slot <= 20; slot++)
        assert_int_equal(session_guest_wait(&g, slot, NULL), 4);
    assert_int_equal(g.header->state, VGPU_SESSION_STATE_ENDED);
    session_guest_close(&g);
}

/* While the executor sleeps, and with more in the ring than it can have taken */
TEST(test_hangup_any_time)
{
    SessionGuest g = start(NULL);

    wait_until_it_sleeps(&g);
    assert_end(&g, 0, "");
    for (unsigned i = 0; i < 20; i++) {
        g = start(NULL);
        for (unsigned k = 0; k < 50 * i; k++)
            session_guest_submit(&g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
        assert_end(&g, 0, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_sleep),
        cmocka_unit_test(test_many_round_trips),
        cmocka_unit_test(test_full_ring),
        cmocka_unit_test(test_no_interrupt_unasked),
        cmocka_unit_test(test_latched_error),
        cmocka_unit_test(test_reply_is_missing),
        cmocka_unit_test(test_unknown_operation),
        cmocka_unit_test(test_sticky_error),
        cmocka_unit_test(test_broken_ring),
        cmocka_unit_test(test_header_is_scribbled_on),
        cmocka_unit_test(test_window_is_lost),
        cmocka_unit_test(test_hangup_in_the_driver),
        cmocka_unit_test(test_context_half_made),
        cmocka_unit_test(test_hangup_before_start),
        cmocka_unit_test(test_hangup_with_operations_in_hand),
        cmocka_unit_test(test_hangup_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An executor that lies to the mediator (hostile-executor.c), as one that a guest has taken over
 * could. The mediator ends it, fails its request by name, and serves with the next executor.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "service.h"
#include "test.h"

static void start_hostile(const char *how)
{
    setenv("VGPU_EXECUTOR", getenv("VGPU_HOSTILE_EXECUTOR"), 1);
    setenv("VGPU_HOSTILE", how, 1);
    assert_int_equal(start_with("[Pool A]\nInFlight=1\nBusyPollUSec=0\n"), 0);
}

static void expect_caught(const char *how)
{
    int fd;

    start_hostile(how);
    fd = dial();
    for (uint32_t i = 0; i < 6; i += 2) {
        expect_add(fd, 1, i, VGPU_PRIORITY_LOW, i, 1);
        assert_true(wire_send_add(fd, 1, i + 1, VGPU_PRIORITY_LOW, i, 1));
        if (strcmp(how, "twice") == 0)
            expect_sum(fd, i + 1, i + 1);
        else
            expect_response(fd, i + 1, VGPU_ERROR_CUDA_ERROR);
        assert_int_equal(test_mediator_wait_log(&mediator, "makes no sense"), 0);
    }
    close(fd);
    assert_int_equal(test_mediator_stop(&mediator), 0);
}

TEST(test_lies_are_caught)
{
    static const char *const lies[] = {"tail",    "back", "length", "short", "type",
                                       "payload", "tag",  "twice",  "kind",  "surplus"};

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        print_message("# %s\n", lies[i]);
        expect_caught(lies[i]);
    }
}

/* Waits until the mediator has another executor: a request that it gives to a dead one fails. */
static void wait_for_another(pid_t executor)
{
    pid_t now;

    while ((now = test_mediator_executor(&mediator)) == executor || now == 0)
        sched_yield();
}

/* An answer that was complete before the executor died counts, whatever else the executor wrote. */
TEST(test_scribbles_and_dies)
{
    int fd;

    start_hostile("scribble");
    fd = dial();
    for (uint32_t i = 0; i < 6; i += 2) {
        pid_t executor;

        expect_add(fd, 1, i, VGPU_PRIORITY_LOW, i, 10);
        executor = test_mediator_executor(&mediator);
        expect_add(fd, 1, i + 1, VGPU_PRIORITY_LOW, i, 11);
        wait_for_another(executor);
    }
    close(fd);
    assert_int_equal(test_mediator_stop(&mediator), 0);
}

/* The same where the mediator was not woken for the answer. The request that was queued behind
 * runs on the next executor. */
TEST(test_last_words)
{
    int fd;

    start_hostile("die");
    fd = dial();
    expect_add(fd, 1, 0, VGPU_PRIORITY_LOW, 0, 10);
    for (uint32_t i = 1; i < 7; i += 2) {
        assert_true(wire_send_add(fd, 1, i, VGPU_PRIORITY_LOW, i, 10));
        assert_true(wire_send_add(fd, 1, i + 1, VGPU_PRIORITY_LOW, i, 11));
        expect_sum(fd, i, i + 10);
        expect_sum(fd, i + 1, i + 11);
    }
    close(fd);
    assert_int_equal(test_mediator_stop(&mediator), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lies_are_caught),
        cmocka_unit_test(test_scribbles_and_dies),
        cmocka_unit_test(test_last_words),
    };

    return cmocka_run_group_tests_name("executor-lies", tests, NULL, NULL);
}

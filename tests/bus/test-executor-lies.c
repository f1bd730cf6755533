/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An executor that lies to the mediator (hostile-executor.c), as one that a guest has taken over
 * could. The mediator ends it, and gives its request to the next executor.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "hostile-executor.h"
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
        expect_sum(fd, i + 1, i + 1);
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

/* ---- Executors that die or hang ---------------------------------------------------------- */

static void start_with_limit(const char *settings)
{
    char config[128];

    snprintf(config, sizeof(config), "[Pool A]\nInFlight=8\n[Timeouts]\n%s\n", settings);
    setenv("VGPU_EXECUTOR", getenv("VGPU_HOSTILE_EXECUTOR"), 1);
    setenv("VGPU_HOSTILE", "never", 1);
    assert_int_equal(start_with(config), 0);
}

/* One that dies while it starts, for want of memory say, is like one that dies at work: what is
 * queued waits for the next one. */
TEST(test_death_at_the_start)
{
    char path[] = "/tmp/vgpu-first-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unlink(path), 0);
    setenv("VGPU_HOSTILE_FIRST", path, 1);
    start_with_limit("RequestTimeoutSec=infinity");
    expect_add_works();
    assert_int_equal(test_mediator_wait_log(&mediator, "was killed by signal 9"), 0);
    assert_int_equal(test_mediator_stop(&mediator), 0);
    unsetenv("VGPU_HOSTILE_FIRST");
    assert_int_equal(unlink(path), 0);
}

/* Who kills executors is given to three of them. The others that these had in hand are computed. */
TEST(test_killer_is_counted_out)
{
    int killer, other;
    WireMessage m;

    start_with_limit("RequestTimeoutSec=infinity");
    expect_add_works();
    killer = dial();
    other = dial();
    assert_true(wire_send_add(killer, 1, 1, VGPU_PRIORITY_LOW, HOSTILE_DIE, 1));
    for (uint32_t i = 0; i < 4; i++)
        assert_true(wire_send_add(other, 2, i, VGPU_PRIORITY_LOW, i, 1));
    m = expect_response(killer, 1, VGPU_ERROR_CUDA_ERROR);
    assert_int_equal(m.results.results[0], 719);
    for (uint32_t i = 0; i < 4; i++)
        expect_sum(other, i, i + 1);
    close(killer);
    close(other);
    assert_int_equal(test_mediator_stop(&mediator), 0);
}

/* A request that waits in the executor for another one has the limit for itself. */
TEST(test_limit_is_of_the_execution)
{
    int first, second;

    start_with_limit("RequestTimeoutSec=3");
    expect_add_works();
    first = dial();
    second = dial();
    assert_true(wire_send_add(first, 1, 1, VGPU_PRIORITY_LOW, HOSTILE_TAKE_LONG, 1));
    assert_true(wire_send_add(second, 2, 2, VGPU_PRIORITY_LOW, HOSTILE_TAKE_LONG, 2));
    expect_sum(first, 1, HOSTILE_TAKE_LONG + 1);
    expect_sum(second, 2, HOSTILE_TAKE_LONG + 2);
    close(first);
    close(second);
    assert_int_equal(test_mediator_stop(&mediator), 0);
}

TEST(test_limit_begins_with_the_execution)
{
    uint64_t begin;
    int fd;

    start_with_limit("RequestTimeoutSec=2");
    expect_add_works();
    fd = dial();
    begin = now_usec();
    assert_true(wire_send_add(fd, 1, 1, VGPU_PRIORITY_LOW, HOSTILE_HANG_LATE, 1));
    expect_response(fd, 1, VGPU_ERROR_TIMEOUT);
    assert_in_range(now_usec() - begin, HOSTILE_LONG_USEC + 2 * USEC_PER_SEC,
                    HOSTILE_LONG_USEC + 4 * USEC_PER_SEC);
    close(fd);
    assert_int_equal(test_mediator_stop(&mediator), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lies_are_caught),
        cmocka_unit_test(test_scribbles_and_dies),
        cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_death_at_the_start),
        cmocka_unit_test(test_killer_is_counted_out),
        cmocka_unit_test(test_limit_is_of_the_execution),
        cmocka_unit_test(test_limit_begins_with_the_execution),
    };

    return cmocka_run_group_tests_name("executor-lies", tests, NULL, NULL);
}

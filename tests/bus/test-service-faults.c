/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mediator over its socket: order, executors that fail, limits, the end. Each test has a
 * mediator of its own. A stopped executor (SIGSTOP) keeps requests where a test wants them. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "service.h"
#include "test.h"

#define NARROW "[Pool A]\nBackend=cpu\nInFlight=1\n"
#define PATIENT NARROW "[Timeouts]\nRequestTimeoutSec=infinity\nDrainTimeoutSec=20\n"

/* ---- Order ---------------------------------------------------------------------- */

TEST(test_order)
{
    static const uint8_t priority[8] = {0, 0, 1, 2, 0, 2, 1, 1};
    static const uint32_t order[8] = {0, 3, 5, 2, 6, 7, 1, 4};
    pid_t executor = hold_executor();
    int fd = dial();

    for (uint32_t id = 0; id < 8; id++)
        assert_true(wire_send_add(fd, 3, id, priority[id], id, 1));
    expect_pong(fd);
    assert_int_equal(kill(executor, SIGCONT), 0);
    for (uint32_t i = 0; i < 8; i++)
        expect_sum(fd, order[i], order[i] + 1);
    close(fd);
}

/* ---- Executors that fail ----------------------------------------------------------- */

TEST(test_executor_killed)
{
    pid_t executor = hold_executor();
    int fd = dial();
    WireMessage m;

    assert_true(wire_send_add(fd, 3, 1, 1, 1, 1));
    assert_true(wire_send_add(fd, 3, 2, 1, 2, 2));
    expect_pong(fd);
    assert_int_equal(kill(executor, SIGKILL), 0);

    /* The request that was running fails; the one that waited runs on the next executor. */
    m = expect_response(fd, 1, VGPU_ERROR_CUDA_ERROR);
    assert_int_equal(m.response.result_count, 1);
    assert_int_equal(m.results.results[0], 719);
    expect_sum(fd, 2, 4);
    assert_int_not_equal(test_mediator_executor(&mediator), executor);
    close(fd);
}

TEST(test_run_timeout)
{
    hold_executor();
    int fd = dial();

    assert_true(wire_send_add(fd, 3, 1, 1, 1, 1));
    expect_response(fd, 1, VGPU_ERROR_TIMEOUT);
    expect_add(fd, 3, 2, 1, 2, 2);
    close(fd);
}

/* The limit counts from the beginning of the request. A timer that another request started, half a
 * second before, does not stretch it to almost twice itself. */
TEST(test_run_timeout_is_its_own)
{
    int fd = dial();
    uint64_t begin;

    expect_add(fd, 3, 1, 1, 1, 1);
    usleep(500000);
    hold_executor();
    begin = now_usec();
    assert_true(wire_send_add(fd, 3, 2, 1, 1, 1));
    expect_response(fd, 2, VGPU_ERROR_TIMEOUT);
    assert_in_range(now_usec() - begin, 2 * USEC_PER_SEC, 3 * USEC_PER_SEC);
    close(fd);
}

TEST(test_queue_timeout)
{
    pid_t executor = hold_executor();
    int fd = dial();

    assert_true(wire_send_add(fd, 3, 1, 1, 1, 1));
    assert_true(wire_send_add(fd, 3, 2, 1, 2, 2));
    expect_response(fd, 2, VGPU_ERROR_TIMEOUT);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_sum(fd, 1, 2);
    close(fd);
}

static int start_cuda(void **state)
{
    (void) state;
    setenv("LD_LIBRARY_PATH", getenv("VGPU_FAKE_CUDA_DIR"), 1);
    setenv("VGPU_FAKE_CUDA", "absent", 1);
    return start_with("[Pool A]\nBackend=cuda\n");
}

static int stop_cuda(void **state)
{
    unsetenv("LD_LIBRARY_PATH");
    unsetenv("VGPU_FAKE_CUDA");
    return stop(state);
}

/* A pool that cannot compute answers with an error, instead of queueing for ever. */
TEST(test_no_gpu)
{
    WireMessage m;
    int fd = dial();

    assert_true(wire_send_add(fd, 3, 1, 1, 1, 1));
    m = expect_response(fd, 1, VGPU_ERROR_CUDA_ERROR);
    assert_int_equal(m.results.results[0], 100);
    close(fd);
}

/* ---- The end ---------------------------------------------------------------------- */

TEST(test_drain)
{
    pid_t executor = hold_executor();
    int fd = dial();

    for (uint32_t id = 0; id < 5; id++)
        assert_true(wire_send_add(fd, 3, id, 1, id, id));
    expect_pong(fd);

    assert_int_equal(kill(mediator.pid, SIGTERM), 0);
    /* No new peer gets in while the mediator finishes its requests. */
    for (int stranger; (stranger = wire_connect(mediator.socket)) >= 0;)
        close(stranger);
    assert_int_equal(kill(executor, SIGCONT), 0);
    for (uint32_t id = 0; id < 5; id++)
        expect_sum(fd, id, 2 * id);
    expect_closed(fd);
    assert_int_equal(test_mediator_signal_and_wait(&mediator, 0), 0);
}

TEST(test_drain_timeout)
{
    int fd = dial();

    hold_executor();
    assert_true(wire_send_add(fd, 3, 1, 1, 1, 1));
    expect_pong(fd);
    assert_int_equal(test_mediator_signal_and_wait(&mediator, SIGTERM), 0);
    expect_closed(fd);
}

/* ---- Who may ------------------------------------------------------------------------ */

TEST(test_refuse)
{
    const VGPUHello hello = {0};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 13, 7, 0, sizeof(hello));
    WireMessage m;
    int fd = dial();

    assert_true(wire_send(fd, &h, &hello));
    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_QUARANTINED);
    assert_int_equal(m.header.request_id, 7);
    expect_closed(fd);

    fd = dial();
    assert_true(wire_send_add(fd, 3, 8, 1, 1, 1));
    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_QUARANTINED);
    assert_int_equal(m.header.request_id, 8);
    expect_closed(fd);
}

TEST(test_max_connections)
{
    int a = dial(), b = dial(), c;

    expect_add(a, 1, 1, 1, 1, 1);
    expect_add(b, 2, 2, 1, 2, 2);
    expect_closed(dial());
    assert_int_equal(test_mediator_wait_log(&mediator, "more connections than MaxConnections="), 0);

    assert_int_equal(shutdown(a, SHUT_WR), 0);
    expect_closed(a);
    c = dial();
    expect_add(c, 3, 3, 1, 3, 3);
    close(b);
    close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MEDIATOR(PATIENT, test_order),
        WITH_MEDIATOR(PATIENT, test_executor_killed),
        WITH_MEDIATOR(NARROW "[Timeouts]\nRequestTimeoutSec=1\n", test_run_timeout),
        WITH_MEDIATOR("[Pool A]\nBackend=cpu\n[Timeouts]\nRequestTimeoutSec=2\n",
                      test_run_timeout_is_its_own),
        WITH_MEDIATOR(PATIENT "QueueTimeoutSec=1\n", test_queue_timeout),
        cmocka_unit_test_setup_teardown(test_no_gpu, start_cuda, stop_cuda),
        WITH_MEDIATOR(PATIENT, test_drain),
        WITH_MEDIATOR("[Pool A]\nBackend=cpu\n[Timeouts]\nDrainTimeoutSec=1\n", test_drain_timeout),
        WITH_MEDIATOR("[Pool A]\nBackend=cpu\n[Unregistered]\nPolicy=refuse\n", test_refuse),
        WITH_MEDIATOR("[Pool A]\nBackend=cpu\n[Limits]\nMaxConnections=2\n", test_max_connections),
    };

    return cmocka_run_group_tests_name("service-faults", tests, NULL, NULL);
}

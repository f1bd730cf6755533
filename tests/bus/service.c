/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "service.h"
#include "test.h"

TestMediator mediator;

int start_with(const char *config)
{
    return test_mediator_start(&mediator, config, "none") < 0 ? -1 : 0;
}

int start_configured(void **state)
{
    return start_with(*state);
}

void write_config(const char *text)
{
    FILE *f = fopen(mediator.config, "we");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

int stop(void **state)
{
    (void) state;
    return test_mediator_stop(&mediator) == 0 ? 0 : -1;
}

int dial(void)
{
    int fd = wire_connect(mediator.socket);

    assert_true(fd >= 0);
    return fd;
}

WireMessage expect_response(int fd, uint32_t id, uint32_t error)
{
    WireMessage m;

    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_RESPONSE);
    assert_int_equal(m.header.request_id, id);
    assert_int_equal(m.response.status, error);
    assert_int_equal(m.response.version, VGPU_PROTOCOL_VERSION);
    return m;
}

void expect_sum(int fd, uint32_t id, uint32_t sum)
{
    WireMessage m = expect_response(fd, id, VGPU_ERROR_NONE);

    assert_int_equal(m.response.result_count, 1);
    assert_int_equal(m.results.results[0], sum);
}

void expect_add(int fd, uint32_t vm_id, uint32_t id, uint8_t priority, uint32_t a, uint32_t b)
{
    assert_true(wire_send_add(fd, vm_id, id, priority, a, b));
    expect_sum(fd, id, a + b);
}

void expect_add_works(void)
{
    int fd = dial();

    expect_add(fd, 77, 5, VGPU_PRIORITY_LOW, 100, 200);
    close(fd);
}

void expect_closed(int fd)
{
    WireMessage m;
    int r = wire_receive(fd, &m);

    assert_true(r == 0 || r == -ECONNRESET);
    close(fd);
}

void expect_pong(int fd)
{
    VGPUSocketHeader ping = wire_header(VGPU_MSG_PING, 3, 99, 0, 0);
    WireMessage m;

    assert_true(wire_send(fd, &ping, NULL));
    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_PONG);
    assert_int_equal(m.header.request_id, 99);
}

pid_t hold_executor(void)
{
    pid_t executor;

    expect_add_works();
    executor = test_mediator_executor(&mediator);
    assert_true(executor > 0);
    assert_true(test_process_stop(executor));
    return executor;
}

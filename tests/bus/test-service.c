/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mediator over its socket, with a real executor: requests, and peers that misbehave. A
 * stopped executor (SIGSTOP) keeps requests where a test wants them. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"
#include "test.h"

#define MANY 1000

/* Each test has a mediator of its own: of one process, a mediator logs only some lines. */
static const char config[] = "[Pool A]\nBackend=cpu\n[Limits]\nVMQueueLimit=64\n"
                             "ConnectionsPerProcess=1000\n";

/* ---- Requests ------------------------------------------------------------------- */

TEST(test_requests)
{
    static const float a[2] = {1.5f, -0.0f}, b[2] = {2.25f, 0.0f};
    const float data[4] = {a[0], a[1], b[0], b[1]};
    const float *sum;
    WireMessage m;
    int fd = dial();

    assert_true(wire_send_request(fd, 1, 1, 0, VGPU_OP_NOP, NULL, 0, NULL, 0));
    expect_response(fd, 1, VGPU_ERROR_NONE);
    expect_add(fd, 1, 2, 2, 0xffffffff, 2);
    assert_true(wire_send_request(fd, 1, 3, 1, VGPU_OP_VECTOR_ADD_FLOAT32, NULL, 0, data, 16));
    m = expect_response(fd, 3, VGPU_ERROR_NONE);
    assert_int_equal(m.response.data_length, 8);
    sum = (const float *) (m.payload + m.response.data_offset);
    assert_true(sum[0] == 3.75f && sum[1] == 0.0f);
    assert_true(wire_send_request(fd, 1, 4, 1, VGPU_OP_GET_DEVICE_INFO, NULL, 0, NULL, 0));
    m = expect_response(fd, 4, VGPU_ERROR_NONE);
    assert_true(m.response.data_length >= sizeof(VGPUDeviceInfo));
    assert_string_equal(m.payload + m.response.data_offset, "cpu");
    close(fd);
}

TEST(test_hello)
{
    VGPUHello hello = {.uuid = {1, 2, 3}};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 42, 9, VGPU_PRIORITY_HIGH, sizeof(hello));
    VGPUWelcome welcome;
    WireMessage m;
    int fd = dial();

    assert_true(wire_send(fd, &h, &hello));
    assert_true(wire_send_add(fd, 42, 10, VGPU_PRIORITY_HIGH, 1, 2));
    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_WELCOME);
    assert_int_equal(m.header.request_id, 9);
    memcpy(&welcome, m.payload, sizeof(welcome));
    assert_int_equal(welcome.vm_id, 42);
    expect_sum(fd, 10, 3);

    h = wire_header(VGPU_MSG_PING, 42, 11, VGPU_PRIORITY_HIGH, 0);
    assert_true(wire_send(fd, &h, NULL));
    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_PONG);
    assert_int_equal(m.header.request_id, 11);
    close(fd);
}

TEST(test_rejections)
{
    VGPURequest nop = {.version = VGPU_PROTOCOL_VERSION};
    VGPUSocketHeader h = wire_header(VGPU_MSG_REQUEST, 1, 1, 0, 0);
    int fd = dial();

    assert_true(wire_send(fd, &h, NULL));
    expect_response(fd, 1, VGPU_ERROR_INVALID_LENGTH);
    h.request_id = 2;
    h.payload_len = 31;
    assert_true(wire_send(fd, &h, &nop));
    expect_response(fd, 2, VGPU_ERROR_INVALID_REQUEST);
    assert_true(wire_send_request(fd, 1, 3, 0, VGPU_OP_MEMORY_ALLOC, NULL, 0, NULL, 0));
    expect_response(fd, 3, VGPU_ERROR_UNSUPPORTED_OP);

    h = wire_header(VGPU_MSG_REQUEST, 1, 4, 0, sizeof(nop));
    h.pool_id = 'B';
    assert_true(wire_send(fd, &h, &nop));
    expect_response(fd, 4, VGPU_ERROR_INVALID_POOL);
    h.pool_id = 0xff;
    assert_true(wire_send(fd, &h, &nop));
    expect_response(fd, 4, VGPU_ERROR_INVALID_POOL);
    h.pool_id = 'A';
    h.priority = VGPU_N_PRIORITIES;
    assert_true(wire_send(fd, &h, &nop));
    expect_response(fd, 4, VGPU_ERROR_INVALID_REQUEST);

    /* The connection is still there. */
    expect_add(fd, 1, 5, 0, 1, 2);
    close(fd);
}

static void add_over_connections(unsigned n)
{
    int *fds = calloc(n, sizeof(*fds));

    assert_non_null(fds);
    for (unsigned i = 0; i < n; i++)
        fds[i] = dial();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < n; i++)
            assert_true(wire_send_add(fds[i], i, round, i % VGPU_N_PRIORITIES, i, round));
        for (unsigned i = 0; i < n; i++)
            expect_sum(fds[i], round, i + round);
    }
    for (unsigned i = 0; i < n; i++)
        close(fds[i]);
    free(fds);
}

TEST(test_1_connection)
{
    add_over_connections(1);
}

TEST(test_64_connections)
{
    add_over_connections(64);
}

TEST(test_1000_connections)
{
    add_over_connections(MANY);
}

/* ---- Peers that misbehave --------------------------------------------------------- */

TEST(test_violations)
{
    const VGPUHello hello = {0};
    const VGPUSocketHeader good = wire_header(VGPU_MSG_PING, 13, 0, 0, 0);
    VGPUSocketHeader h[9];

    for (unsigned i = 0; i < 9; i++)
        h[i] = good;
    h[0].magic ^= 1;
    h[1].pad = 1;
    h[2].payload_len = 1;
    h[3].msg_type = 99;
    h[4].msg_type = VGPU_MSG_REQUEST, h[4].payload_len = VGPU_PAYLOAD_MAX + 1;
    h[5].msg_type = VGPU_MSG_REQUEST, h[5].payload_len = 0xffffffff;
    h[6].msg_type = VGPU_MSG_BUSY;
    h[7].msg_type = VGPU_MSG_HELLO, h[7].payload_len = sizeof(hello), h[7].pool_id = 'x';
    h[8].msg_type = VGPU_MSG_HELLO, h[8].payload_len = VGPU_HELLO_SIZE_MIN - 1;

    for (unsigned i = 0; i < 9; i++) {
        int fd = dial();

        assert_int_equal(send(fd, &h[i], sizeof(h[i]), MSG_NOSIGNAL), sizeof(h[i]));
        if (i >= 7)
            assert_true(send(fd, &hello, h[i].payload_len, MSG_NOSIGNAL) > 0 || errno == EPIPE);
        expect_closed(fd);
    }
    assert_int_equal(test_mediator_wait_log(&mediator, "bad magic"), 0);
    assert_int_equal(test_mediator_wait_log(&mediator, "payload too large"), 0);
    expect_add_works();
}

TEST(test_second_hello)
{
    const VGPUHello hello = {0};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 13, 0, 0, sizeof(hello));
    WireMessage m;
    int fd = dial();

    assert_true(wire_send(fd, &h, &hello));
    assert_int_equal(wire_receive(fd, &m), 1);
    assert_true(wire_send(fd, &h, &hello));
    expect_closed(fd);
    assert_int_equal(test_mediator_wait_log(&mediator, "a second HELLO"), 0);
}

/* A peer that stops in the middle of a message, at any byte, holds up nobody. */
TEST(test_half_messages)
{
    char message[sizeof(VGPUSocketHeader) + 40];
    int fds[sizeof(message)], pair[2], saved;
    ssize_t n;

    /* The bytes of a whole request, taken from a socket of our own. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_true(wire_send_add(pair[0], 3, 8, 1, 20, 22));
    n = recv(pair[1], message, sizeof(message), 0);
    assert_int_equal(n, sizeof(message));
    close(pair[0]);
    close(pair[1]);

    for (unsigned i = 1; i < sizeof(message); i++) {
        fds[i] = dial();
        assert_int_equal(send(fds[i], message, i, MSG_NOSIGNAL), i);
    }
    expect_add_works();
    for (unsigned i = 1; i < sizeof(message); i += 2) {
        close(fds[i]);
        fds[i] = -1;
    }
    assert_int_equal(test_mediator_wait_log(&mediator, "in the middle of a message"), 0);
    for (unsigned i = 2; i < sizeof(message); i += 2) {
        assert_int_equal(send(fds[i], message + i, sizeof(message) - i, MSG_NOSIGNAL),
                         sizeof(message) - i);
        expect_sum(fds[i], 8, 42);
        close(fds[i]);
    }

    saved = dial();
    for (unsigned i = 0; i < sizeof(message); i++)
        assert_int_equal(send(saved, message + i, 1, MSG_NOSIGNAL), 1);
    expect_sum(saved, 8, 42);
    close(saved);
}

TEST(test_abrupt_hang_up)
{
    for (unsigned i = 0; i < 200; i++) {
        int fd = dial();

        for (uint32_t id = 0; id < i % 8; id++)
            assert_true(wire_send_add(fd, 3, id, 1, 1, 1));
        close(fd);
    }
    expect_add_works();
}

/* Each request is answered once; those beyond the VM's limit are answered BUSY. */
TEST(test_flood)
{
    enum { N = 500 };
    bool seen[N] = {false};
    unsigned busy = 0, done = 0;
    pid_t executor = hold_executor();
    int fd = dial();

    for (uint32_t id = 0; id < N; id++)
        assert_true(wire_send_add(fd, 3, id, 1, id, 1));
    for (unsigned i = 0; i < N; i++) {
        WireMessage m;

        /* 16 are in flight and 64 wait; all others are answered while nothing runs. */
        if (i == N - 64 - 16)
            assert_int_equal(kill(executor, SIGCONT), 0);
        assert_int_equal(wire_receive(fd, &m), 1);
        assert_true(m.header.request_id < N && !seen[m.header.request_id]);
        seen[m.header.request_id] = true;
        if (m.header.msg_type == VGPU_MSG_BUSY)
            busy++;
        else if (m.results.results[0] == m.header.request_id + 1)
            done++;
    }
    assert_int_equal(done, 80);
    assert_int_equal(busy, N - 80);
    close(fd);
}

TEST(test_never_reads)
{
    VGPUSocketHeader ping = wire_header(VGPU_MSG_PING, 3, 0, 0, 0);
    unsigned sent = 0;
    int fd = dial();

    while (wire_send(fd, &ping, NULL))
        assert_true(++sent < 10000000);
    assert_int_equal(test_mediator_wait_log(&mediator, "does not read its answers"), 0);
    close(fd);
    expect_add_works();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MEDIATOR(config, test_requests),       WITH_MEDIATOR(config, test_hello),
        WITH_MEDIATOR(config, test_rejections),     WITH_MEDIATOR(config, test_1_connection),
        WITH_MEDIATOR(config, test_64_connections), WITH_MEDIATOR(config, test_1000_connections),
        WITH_MEDIATOR(config, test_violations),     WITH_MEDIATOR(config, test_second_hello),
        WITH_MEDIATOR(config, test_half_messages),  WITH_MEDIATOR(config, test_abrupt_hang_up),
        WITH_MEDIATOR(config, test_flood),          WITH_MEDIATOR(config, test_never_reads),
    };

    return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The executor's parts that need no process: messages, responses, error classes. */
#include <stdint.h>

#include "backend.h"
#include "channel.h"
#include "cleanup.h"
#include "cuda-driver.h"
#include "response.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Responses --------------------------------------------------------------- */

TEST(test_response_plain)
{
    const Response r = {.status = VGPU_ERROR_UNSUPPORTED_OP};
    unsigned char buf[VGPU_RESPONSE_MAX];
    VGPUResponse h;

    assert_int_equal(response_size(&r), sizeof(h));
    response_write(&r, buf);
    assert_true(vgpu_response_check(buf, sizeof(h), &h));
    assert_int_equal(h.status, VGPU_ERROR_UNSUPPORTED_OP);
    assert_int_equal(h.result_count, 0);
    assert_int_equal(h.data_offset, 0);
    assert_int_equal(h.data_length, 0);
}

/* At an odd address, and nothing behind it is touched. */
TEST(test_response_results_and_data)
{
    const uint32_t results[] = {1, 0xfffffffe};
    const Response r = {
        .exec_time_us = 17,
        .n_results = 2,
        .results = results,
        .data = "12345",
        .data_length = 5,
    };
    unsigned char buf[64];
    VGPUResponse h;

    memset(buf, 0xcc, sizeof(buf));
    assert_int_equal(response_size(&r), 32 + 8 + 5);
    response_write(&r, buf + 1);
    assert_true(vgpu_response_check(buf + 1, response_size(&r), &h));
    assert_int_equal(h.status, VGPU_ERROR_NONE);
    assert_int_equal(h.exec_time_us, 17);
    assert_int_equal(h.result_count, 2);
    assert_memory_equal(buf + 1 + 32, results, 8);
    assert_int_equal(h.data_offset, 40);
    assert_memory_equal(buf + 1 + 40, "12345", 5);
    assert_int_equal(buf[0], 0xcc);
    assert_int_equal(buf[46], 0xcc);
}

TEST(test_response_largest)
{
    unsigned char data[VGPU_RESPONSE_DATA_MAX] = {0}, buf[VGPU_RESPONSE_MAX];
    const Response r = {.data = data, .data_length = sizeof(data)};

    assert_int_equal(response_size(&r), VGPU_RESPONSE_MAX);
    response_write(&r, buf);
    assert_true(vgpu_response_check(buf, sizeof(buf), NULL));
}

/* ---- The channel --------------------------------------------------------------- */

typedef struct Pair {
    Channel *channel;
    int peer;
} Pair;

static int setup_channel(void **state)
{
    Pair *p = calloc(1, sizeof(*p));
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    p->channel = calloc(1, sizeof(*p->channel));
    p->channel->fd = fds[0];
    p->peer = fds[1];
    *state = p;
    return 0;
}

static int teardown_channel(void **state)
{
    Pair *p = *state;

    close(p->channel->fd);
    if (p->peer >= 0)
        close(p->peer);
    free(p->channel);
    free(p);
    return 0;
}

static void feed(Pair *p, uint32_t type, uint32_t id)
{
    const struct {
        ExecutorHeader header;
        ExecutorWindow window;
    } m = {
        .header = {.type = type, .length = sizeof(m.window)},
        .window = {.id = id},
    };

    assert_int_equal(send(p->peer, &m, sizeof(m), 0), sizeof(m));
}

static void test_channel_takes_messages(void **state)
{
    Pair *p = *state;
    Channel *c = p->channel;
    WindowMessage m;

    assert_int_equal(channel_receive(c), -EAGAIN);
    assert_int_equal(channel_next(c, &m), 0);

    feed(p, EXECUTOR_MSG_WINDOW_REMOVE, 9);
    feed(p, EXECUTOR_MSG_WINDOW_REMOVE, UINT32_MAX);
    assert_int_equal(send(p->peer, "part", 4, 0), 4);

    assert_int_equal(channel_receive(c), 2 * CHANNEL_MESSAGE_SIZE + 4);
    assert_int_equal(channel_next(c, &m), 1);
    assert_int_equal(m.type, EXECUTOR_MSG_WINDOW_REMOVE);
    assert_int_equal(m.window.id, 9);
    assert_int_equal(m.fd, -1);
    assert_int_equal(channel_next(c, &m), 1);
    assert_int_equal(m.window.id, UINT32_MAX);
    assert_true(channel_is_mid_message(c));
    assert_int_equal(channel_next(c, &m), 0);
    assert_int_equal(channel_receive(c), -EAGAIN);
}

static void test_channel_refuses(void **state)
{
    static const ExecutorHeader bad[] = {
        {.type = 0, .length = sizeof(ExecutorWindow)},
        {.type = EXECUTOR_MSG_REQUEST, .length = sizeof(ExecutorWindow)},
        {.type = EXECUTOR_MSG_RESULT + 1, .length = sizeof(ExecutorWindow)},
        {.type = EXECUTOR_MSG_WINDOW_ADD, .length = sizeof(ExecutorWindow) - 1},
        {.type = EXECUTOR_MSG_WINDOW_REMOVE, .length = sizeof(ExecutorWindow) + 1},
        {.type = EXECUTOR_MSG_WINDOW_REMOVE, .length = sizeof(ExecutorWindow), .reserved = 1},
        {.type = EXECUTOR_MSG_WINDOW_REMOVE, .length = sizeof(ExecutorWindow), .priority = 1},
    };
    Pair *p = *state;
    WindowMessage m;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        p->channel->in_start = p->channel->in_end = 0;
        assert_int_equal(send(p->peer, &bad[i], sizeof(bad[i]), 0), sizeof(bad[i]));
        assert_int_equal(channel_receive(p->channel), sizeof(bad[i]));
        assert_int_equal(channel_next(p->channel, &m), -EPROTO);
    }

    /* Without its descriptor */
    p->channel->in_start = p->channel->in_end = 0;
    feed(p, EXECUTOR_MSG_WINDOW_ADD, 1);
    assert_int_equal(channel_receive(p->channel), CHANNEL_MESSAGE_SIZE);
    assert_int_equal(channel_next(p->channel, &m), -EPROTO);
}

static void test_channel_ends(void **state)
{
    Pair *p = *state;
    const ExecutorHello hello = {0};

    close(p->peer);
    p->peer = -1;
    assert_int_equal(channel_receive(p->channel), 0);
    assert_false(channel_is_mid_message(p->channel));
    assert_int_equal(channel_send_hello(p->channel, &hello), -EPIPE);
}

/* ---- The CPU backend, and which errors are sticky -------------------------------- */

/* A slot's result stays until its own next job. */
TEST(test_cpu_slots_are_apart)
{
    const BackendOptions o = {.n_slots = 2};
    const uint32_t one = 1, two = 2;
    char reason[BACKEND_REASON_MAX];
    ExecutorBegun begun;
    Operation add = {.begun = &begun};
    Completion first, second;
    Backend *b;
    uint32_t c;

    assert_int_equal(backend_cpu.open(&o, &b, reason), 0);
    add.add = (VectorAdd){VGPU_OP_VECTOR_ADD_INT32, 1, &one, &one};
    assert_true(backend_cpu.start(b, 0, &add, &first));
    add.add = (VectorAdd){VGPU_OP_VECTOR_ADD_INT32, 1, &two, &two};
    assert_true(backend_cpu.start(b, 1, &add, &second));
    memcpy(&c, first.c, sizeof(c));
    assert_int_equal(c, 2);
    memcpy(&c, second.c, sizeof(c));
    assert_int_equal(c, 4);
    assert_int_equal(first.slot, 0);
    assert_int_equal(second.slot, 1);
    assert_int_equal(backend_cpu.collect(b, &first), 0);
    assert_int_equal(backend_cpu.lost(b), 0);
    assert_null(backend_cpu.close(b));
    assert_null(backend_cpu.close(NULL));
}

/* One whole vector of each operand, or a matrix product, with the bytes of @which of them
 * (0: a, 1: b, 2: c) at the very end of the window, and the others at its beginning. */
static void compute_at_end(Backend *b, MappedWindow *w, VGPUSubmission s, unsigned which,
                           const uint64_t bytes[3])
{
    VGPUOperand *operands[] = {&s.a, &s.b, &s.c};
    ExecutorBegun begun;
    Operation operation = {.window = w, .begun = &begun};
    Completion completion;
    bool repeatable;
    eventfd_t n;

    for (unsigned i = 0; i < 3; i++)
        operands[i]->offset = i == which ? w->size - bytes[i] : 0;
    assert_int_equal(vgpu_submission_check(&s, w->size, &repeatable), VGPU_ERROR_NONE);
    operation.submission = s;
    if (backend_cpu.start(b, 0, &operation, &completion))
        return;
    assert_int_equal(eventfd_read(backend_cpu.wait_fd(b), &n), 0);
    assert_int_equal(backend_cpu.collect(b, &completion), 1);
}

static void vectors_at_end(Backend *b, MappedWindow *w, uint32_t type, uint64_t count)
{
    uint64_t size = count * vgpu_ring_type_size(type), bytes[] = {size, size, size};
    VGPUShape shape;

    for (uint32_t op = VGPU_OP_RING_ADD; op < VGPU_OP_RING_MATMUL; op++) {
        VGPUSubmission s = {.opcode = op,
                            .type = type,
                            .count = count,
                            .a.stride = 1,
                            .b.stride = 1,
                            .c.stride = 1};

        for (unsigned which = 0; which < 3; which++)
            if (vgpu_submission_shape(&s, &shape))
                compute_at_end(b, w, s, which, bytes);
    }
}

static void matrices_at_end(Backend *b, MappedWindow *w, uint32_t type, uint32_t m, uint32_t n,
                            uint32_t k)
{
    uint64_t element = vgpu_ring_type_size(type);
    uint64_t bytes[] = {m * k * element, k * n * element, m * n * element};
    VGPUSubmission s = {.opcode = VGPU_OP_RING_MATMUL,
                        .type = type,
                        .count = m,
                        .n = n,
                        .k = k,
                        .a.stride = k,
                        .b.stride = n,
                        .c.stride = n};

    for (unsigned which = 0; which < 3; which++)
        compute_at_end(b, w, s, which, bytes);
}

/* Nobody checks the place of an operand that the operation does not have, so it may be anywhere. (A
 * build with sanitizers sees what this is about.) */
TEST(test_cpu_leaves_other_operands_alone)
{
    static const uint32_t opcodes[] = {VGPU_OP_RING_SUM, VGPU_OP_RING_MIN, VGPU_OP_RING_DOT};
    const BackendOptions o = {.n_slots = 1};
    char reason[BACKEND_REASON_MAX];
    uint64_t memory[4] = {1, 2, 3, 4};
    MappedWindow w = {.memory = (unsigned char *) memory, .size = sizeof(memory)};
    Backend *b;

    assert_int_equal(backend_cpu.open(&o, &b, reason), 0);
    for (size_t i = 0; i < ELEMENTSOF(opcodes); i++) {
        ExecutorBegun begun;
        Operation operation = {.window = &w, .begun = &begun};
        Completion completion;

        operation.submission = (VGPUSubmission){
            .opcode = opcodes[i],
            .type = VGPU_TYPE_INT64,
            .count = 2,
            .a = {.stride = 1},
            .b = {.offset = opcodes[i] == VGPU_OP_RING_DOT ? 16 : UINT64_MAX - 7, .stride = 1},
            .c = {.offset = UINT64_MAX - 7, .stride = 1},
        };
        assert_true(backend_cpu.start(b, 0, &operation, &completion));
        assert_int_equal(completion.result, opcodes[i] == VGPU_OP_RING_SUM   ? 3
                                            : opcodes[i] == VGPU_OP_RING_MIN ? 1
                                                                             : 11);
    }
    assert_null(backend_cpu.close(b));
}

/* Neither our loops nor OpenBLAS's, where it is installed, touch anything behind a window:
 * what lies there is not mapped. */
TEST(test_cpu_stays_in_the_window)
{
    static const uint32_t sides[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33, 48, 63};
    const BackendOptions o = {.n_slots = 1};
    const size_t size = 1 << 20, page = (size_t) sysconf(_SC_PAGESIZE);
    char reason[BACKEND_REASON_MAX];
    MappedWindow w = {.size = size};
    Backend *b;

    w.memory = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(w.memory != MAP_FAILED);
    assert_int_equal(mprotect(w.memory + size, page, PROT_NONE), 0);
    assert_int_equal(backend_cpu.open(&o, &b, reason), 0);
    backend_cpu.window_add(b, &w);

    for (uint32_t type = 0; type < VGPU_N_TYPES; type++)
        for (uint64_t count = 1; count <= 260; count++)
            vectors_at_end(b, &w, type, count);
    for (uint32_t type = VGPU_TYPE_FLOAT32; type <= VGPU_TYPE_FLOAT64; type++)
        for (unsigned i = 0; i < ELEMENTSOF(sides) * ELEMENTSOF(sides) * ELEMENTSOF(sides); i++)
            matrices_at_end(b, &w, type, sides[i % 16], sides[i / 16 % 16], sides[i / 256]);

    backend_cpu.window_remove(b, &w);
    assert_null(backend_cpu.close(b));
    munmap(w.memory, size + page);
}

TEST(test_sticky_errors)
{
    static const int sticky[] = {4,   214, 220, 226, 700, 702, 709, 710, 714,
                                 715, 716, 717, 718, 719, 810, 911, 999};
    static const int others[] = {0, 1, 2, 3, 100, 101, 200, 201, 209, 400, 500, 600, 701, 713, 801};

    for (size_t i = 0; i < sizeof(sticky) / sizeof(sticky[0]); i++)
        assert_true(cuda_error_is_sticky(sticky[i]));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(cuda_error_is_sticky(others[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_response_plain),
        cmocka_unit_test(test_response_results_and_data),
        cmocka_unit_test(test_response_largest),
        cmocka_unit_test_setup_teardown(test_channel_takes_messages, setup_channel,
                                        teardown_channel),
        cmocka_unit_test_setup_teardown(test_channel_refuses, setup_channel, teardown_channel),
        cmocka_unit_test_setup_teardown(test_channel_ends, setup_channel, teardown_channel),
        cmocka_unit_test(test_cpu_slots_are_apart),
        cmocka_unit_test(test_cpu_leaves_other_operands_alone),
        cmocka_unit_test(test_cpu_stays_in_the_window),
        cmocka_unit_test(test_sticky_errors),
    };

    return cmocka_run_group_tests_name("executor-parts", tests, NULL, NULL);
}

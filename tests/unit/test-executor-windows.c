/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Windows that come and go, and what the executor has to refuse. Arguments and environment are
 * those of test-executor.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "test-executor-start.h"
#include "test-executor-window.h"
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE (UINT64_C(1) << 20)
#define SLOTS 8u

static ClientOptions options;

static Client *start(void)
{
    return start_ready(&options);
}

static VGPUSubmission addition(uint64_t count)
{
    return (VGPUSubmission){
        .opcode = VGPU_OP_RING_ADD,
        .type = VGPU_TYPE_INT32,
        .count = count,
        .a = operand(0, 1),
        .b = operand(count * 4, 1),
        .c = operand(count * 8, 1),
    };
}

/* What is small is not judged by elements: strides count. Of two messages that the loop takes in
 * one go, the later one is answered first, because the operation is not computed there. */
TEST(test_strides_hold_nothing_up)
{
    static const struct {
        uint32_t opcode, count, n, k, stride;
    } cases[] = {
        {VGPU_OP_RING_ADD, 1024, 0, 0, 512},
        {VGPU_OP_RING_SUM, 1024, 0, 0, 1024},
        {VGPU_OP_RING_MATMUL, 4096, 1, 1, 128},
        {VGPU_OP_RING_MATMUL, 32, 32, 32, 4096},
    };
    TestWindow w = window_create(1, SIZE << 4);
    Client *c = start();

    window_send_add(c, &w);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const VGPUSubmission s = {
            .opcode = cases[i].opcode,
            .type = VGPU_TYPE_FLOAT32,
            .count = cases[i].count,
            .n = cases[i].n,
            .k = cases[i].k,
            .a = operand(0, cases[i].stride),
            .b = operand(SIZE << 2, cases[i].stride),
            .c = operand(SIZE << 3, cases[i].stride),
        };
        unsigned char m[2 * MESSAGE_MAX];
        size_t size = message_compute(m, 1, VGPU_PRIORITY_HIGH, w.id, &s);
        ClientResponse r;

        size += message_scalar(m + size, 2, VGPU_PRIORITY_LOW, 1, 2);
        assert_true(client_send(c, m, size));
        assert_true(client_receive(c, &r));
        assert_int_equal(r.tag, strcmp(options.backend, "cpu") == 0 ? 2 : r.tag);
        assert_true(client_receive(c, &r));
    }
    assert_good_end(c);
    window_destroy(&w);
}

/* ---- Windows that come and go --------------------------------------------------- */

TEST(test_two_windows)
{
    Client *c = start();
    TestWindow v = window_create(0, SIZE), w = window_create(UINT32_MAX, VGPU_WINDOW_SIZE_MIN);
    VGPUSubmission s = addition(1000);

    window_fill(&v, 1, VGPU_TYPE_INT32, false);
    window_fill(&w, 2, VGPU_TYPE_INT32, false);
    window_send_add(c, &v);
    window_send_add(c, &w);
    window_compute(c, &v, &s);
    window_compute(c, &w, &s);
    s.opcode = VGPU_OP_RING_SUM;
    s.count = w.size / 4;
    window_compute(c, &w, &s);
    window_compute(c, &v, &s);
    /* Where the one ends, the other does not. */
    s.count++;
    window_refused(c, &w, &s, VGPU_ERROR_INVALID_REQUEST);
    window_compute(c, &v, &s);
    assert_good_end(c);
    window_destroy(&v);
    window_destroy(&w);
}

TEST(test_removed)
{
    Client *c = start();
    TestWindow w = window_create(3, SIZE);
    VGPUSubmission s = addition(100);

    window_fill(&w, 1, VGPU_TYPE_INT32, false);
    window_refused(c, &w, &s, VGPU_ERROR_INVALID_REQUEST);
    for (unsigned i = 0; i < 100; i++) {
        window_send_add(c, &w);
        window_compute(c, &w, &s);
        window_send_remove(c, &w);
        window_refused(c, &w, &s, VGPU_ERROR_INVALID_REQUEST);
    }
    window_send_remove(c, &w);
    window_refused(c, &w, &s, VGPU_ERROR_INVALID_REQUEST);
    assert_good_end(c);
    window_destroy(&w);
}

static ExecutorResult receive_result(Client *c, uint64_t *ret_tag)
{
    ClientResponse r;

    assert_true(client_receive(c, &r));
    assert_int_equal(r.type, EXECUTOR_MSG_RESULT);
    *ret_tag = r.tag;
    return r.result;
}

/* Takes good results, the last of them that of @tag. Returns how many. */
static unsigned receive_until(Client *c, uint64_t tag)
{
    unsigned n = 0;
    uint64_t last;

    do {
        assert_int_equal(receive_result(c, &last).status, VGPU_ERROR_NONE);
        n++;
    } while (last != tag);
    return n;
}

/* Windows come and go while large jobs run in another one. */
TEST(test_removed_while_others_run)
{
    Client *c = start();
    TestWindow busy = window_create(1, UINT64_C(32) << 20), w = window_create(2, SIZE);
    VGPUSubmission large = addition(2000000), s = addition(50000);
    unsigned running = 0;
    uint64_t tag;

    window_fill(&busy, 1, VGPU_TYPE_INT32, false);
    window_fill(&w, 2, VGPU_TYPE_INT32, false);
    window_send_add(c, &busy);
    for (; running < 4; running++)
        window_send(c, &busy, running, running % VGPU_N_PRIORITIES, &large);
    for (unsigned i = 0; i < 50; i++) {
        window_send_add(c, &w);
        window_send(c, &w, 100, VGPU_PRIORITY_HIGH, &s);
        do {
            assert_int_equal(receive_result(c, &tag).status, VGPU_ERROR_NONE);
            if (tag != 100)
                window_send(c, &busy, tag, VGPU_PRIORITY_LOW, &large);
        } while (tag != 100);
        window_send_remove(c, &w);
    }
    for (; running > 0; running--)
        assert_int_equal(receive_result(c, &tag).status, VGPU_ERROR_NONE);

    window_expect(&w, &s);
    window_expect(&busy, &large);
    assert_memory_equal(w.memory, w.expected, w.size);
    assert_memory_equal(busy.memory, busy.expected, busy.size);
    assert_good_end(c);
    window_destroy(&busy);
    window_destroy(&w);
}

/* The mediator promises not to do this. The job ends well all the same, and the window's number
 * is free at once. */
TEST(test_removed_under_a_job)
{
    Client *c = start();
    TestWindow w = window_create(1, UINT64_C(32) << 20), other = window_create(1, SIZE);
    VGPUSubmission large = addition(2000000), small = addition(10);
    const VGPUSubmission nop = {.opcode = VGPU_OP_RING_NOP};

    window_fill(&w, 1, VGPU_TYPE_INT32, false);
    window_fill(&other, 2, VGPU_TYPE_INT32, false);
    for (unsigned i = 0; i < 10; i++) {
        unsigned results;

        window_send_add(c, &w);
        window_send(c, &w, 1, VGPU_PRIORITY_LOW, &large);
        window_send(c, &w, 2, VGPU_PRIORITY_LOW, &nop);
        results = receive_until(c, 2);
        window_send_remove(c, &w);
        window_send_add(c, &other);
        window_send(c, &other, 3, VGPU_PRIORITY_HIGH, &small);
        results += receive_until(c, 3);
        if (results < 3)
            assert_int_equal(receive_until(c, 1), 1);
        window_send_remove(c, &other);
    }

    window_expect(&w, &large);
    window_expect(&other, &small);
    assert_memory_equal(w.memory, w.expected, w.size);
    assert_memory_equal(other.memory, other.expected, other.size);
    assert_good_end(c);
    window_destroy(&w);
    window_destroy(&other);
}

/* ---- Together with requests ------------------------------------------------------- */

TEST(test_nop)
{
    Client *c = start();
    TestWindow w = window_create(1, SIZE);
    VGPUSubmission s = {.opcode = VGPU_OP_RING_NOP, .type = 99, .count = UINT64_MAX};

    window_send_add(c, &w);
    window_refused(c, &w, &s, VGPU_ERROR_NONE);
    assert_good_end(c);
    window_destroy(&w);
}

/* Large work keeps nobody waiting: the answer to a NOP that was sent behind it comes first, and
 * on the CPU so do the answers to small work and to a request. (A GPU may be done with the
 * large work first.) */
TEST(test_large_jobs_hold_nothing_up)
{
    Client *c = start();
    TestWindow w = window_create(1, UINT64_C(32) << 20);
    VGPUSubmission large = {
        .opcode = VGPU_OP_RING_MATMUL,
        .type = VGPU_TYPE_FLOAT64,
        .count = 1000,
        .n = 1000,
        .k = 1000,
        .a = operand(0, 1000),
        .b = operand(8000000, 1000),
        .c = operand(16000000, 1000),
    };
    VGPUSubmission small = addition(10);
    unsigned char m[4 * MESSAGE_MAX];
    size_t size = message_compute(m, 1, VGPU_PRIORITY_LOW, w.id, &large);
    ClientResponse r;

    small.c.offset = 24000000; /* the two run at the same time */
    window_send_add(c, &w);
    size += message_plain(m + size, 2, VGPU_OP_NOP);
    size += message_scalar(m + size, 3, VGPU_PRIORITY_HIGH, 1, 2);
    size += message_compute(m + size, 4, VGPU_PRIORITY_HIGH, w.id, &small);
    assert_true(client_send(c, m, size));
    for (unsigned i = 0; i < 4; i++) {
        assert_true(client_receive(c, &r));
        assert_int_equal(r.type == EXECUTOR_MSG_RESULT ? r.result.status : r.header.status,
                         VGPU_ERROR_NONE);
        if (i == 0)
            assert_int_equal(r.tag, 2);
        if (i == 3 && strcmp(options.backend, "cpu") == 0)
            assert_int_equal(r.tag, 1);
    }
    assert_good_end(c);
    window_destroy(&w);
}

/* Jobs of all sizes and priorities and requests, more than there are slots, in any order */
TEST(test_mixture)
{
    enum { N = 400 };
    Client *c = start();
    TestWindow w = window_create(1, UINT64_C(32) << 20);
    static unsigned char m[N * MESSAGE_MAX];
    bool seen[N] = {false};
    size_t size = 0;
    ClientResponse r;

    memset(w.memory, 1, w.size);
    window_send_add(c, &w);
    for (unsigned i = 0; i < N; i++) {
        VGPUSubmission s = addition(i % 7 == 0 ? 1000000 : 1 + i);

        s.opcode = VGPU_OP_RING_SUM;
        if (i % 3 == 0)
            size += message_scalar(m + size, i, i % VGPU_N_PRIORITIES, i, 1);
        else
            size += message_compute(m + size, i, i % VGPU_N_PRIORITIES, w.id, &s);
    }
    assert_true(client_send(c, m, size));
    for (unsigned i = 0; i < N; i++) {
        assert_true(client_receive(c, &r));
        assert_false(seen[r.tag]);
        seen[r.tag] = true;
        assert_int_equal(r.type, r.tag % 3 == 0 ? EXECUTOR_MSG_RESPONSE : EXECUTOR_MSG_RESULT);
        if (r.tag % 3 != 0)
            assert_int_equal(r.result.result,
                             (uint32_t) ((r.tag % 7 == 0 ? 1000000 : 1 + r.tag) * 0x01010101));
    }
    assert_good_end(c);
    window_destroy(&w);
}

/* ---- Hostile submissions --------------------------------------------------------------- */

TEST(test_bad_submissions)
{
    static const struct {
        VGPUSubmission s;
        uint32_t status;
    } bad[] = {
#define GOOD .opcode = VGPU_OP_RING_ADD, .type = VGPU_TYPE_INT64, .count = 4
#define OPERAND(o, s) {.offset = o, .stride = s}
#define OPERANDS .a = OPERAND(0, 1), .b = OPERAND(0, 1), .c = OPERAND(64, 1)
        {{.opcode = 0}, VGPU_ERROR_UNSUPPORTED_OP},
        {{.opcode = VGPU_OP_RING_MATMUL + 1, .count = 1, OPERANDS}, VGPU_ERROR_UNSUPPORTED_OP},
        {{.opcode = VGPU_OP_VECTOR_ADD_INT32, .count = 1, OPERANDS}, VGPU_ERROR_UNSUPPORTED_OP},
        {{.opcode = UINT32_MAX, .count = 1, OPERANDS}, VGPU_ERROR_UNSUPPORTED_OP},
        {{.opcode = VGPU_OP_RING_ADD, .type = VGPU_N_TYPES, .count = 1, OPERANDS},
         VGPU_ERROR_UNSUPPORTED_OP},
        {{.opcode = VGPU_OP_RING_ADD, .type = UINT32_MAX, .count = 1, OPERANDS},
         VGPU_ERROR_UNSUPPORTED_OP},
        {{.opcode = VGPU_OP_RING_AXPY, .type = VGPU_TYPE_INT32, .count = 1, OPERANDS},
         VGPU_ERROR_UNSUPPORTED_OP},
        {{.opcode = VGPU_OP_RING_MATMUL, .count = 1, .n = 1, .k = 1, OPERANDS},
         VGPU_ERROR_UNSUPPORTED_OP},
        {{.opcode = VGPU_OP_RING_ADD, OPERANDS}, VGPU_ERROR_INVALID_REQUEST},
        {{GOOD, .a = OPERAND(0, 1), .b = OPERAND(0, 1), .c = OPERAND(0, 0)},
         VGPU_ERROR_INVALID_REQUEST},
        {{GOOD, .a = OPERAND(4, 1), .b = OPERAND(0, 1), .c = OPERAND(0, 1)},
         VGPU_ERROR_INVALID_REQUEST},
        {{GOOD, .a = OPERAND(0, 1), .b = OPERAND(SIZE - 24, 1), .c = OPERAND(0, 1)},
         VGPU_ERROR_INVALID_REQUEST},
        {{GOOD, .a = OPERAND(0, 1), .b = OPERAND(0, 1), .c = OPERAND(SIZE, 1)},
         VGPU_ERROR_INVALID_REQUEST},
        {{GOOD, .a = OPERAND(0, 1), .b = OPERAND(0, 1), .c = OPERAND(UINT64_MAX - 7, 1)},
         VGPU_ERROR_INVALID_REQUEST},
        {{GOOD, .a = OPERAND(0, 1), .b = OPERAND(0, 1), .c = OPERAND(0, UINT32_MAX)},
         VGPU_ERROR_INVALID_REQUEST},
        {{.opcode = VGPU_OP_RING_SUM, .count = UINT64_MAX, OPERANDS}, VGPU_ERROR_INVALID_REQUEST},
        {{.opcode = VGPU_OP_RING_SUM, .count = UINT64_C(1) << 62, OPERANDS},
         VGPU_ERROR_INVALID_REQUEST},
        {{.opcode = VGPU_OP_RING_SUM, .count = SIZE / 4 + 1, OPERANDS}, VGPU_ERROR_INVALID_REQUEST},
#define MATRIX .opcode = VGPU_OP_RING_MATMUL, .type = VGPU_TYPE_FLOAT32
        {{MATRIX, .count = 1, .n = 0, .k = 1, OPERANDS}, VGPU_ERROR_INVALID_REQUEST},
        {{MATRIX, .count = 1, .n = 1, .k = 0, OPERANDS}, VGPU_ERROR_INVALID_REQUEST},
        {{MATRIX, .count = 0, .n = 1, .k = 1, OPERANDS}, VGPU_ERROR_INVALID_REQUEST},
        {{MATRIX, .count = 1, .n = 2, .k = 1, OPERANDS}, VGPU_ERROR_INVALID_REQUEST},
        {{MATRIX, .count = UINT64_C(1) << 40, .n = 1, .k = 1, OPERANDS},
         VGPU_ERROR_INVALID_REQUEST},
        {{MATRIX, .count = 1, .n = UINT32_MAX, .k = UINT32_MAX, .a = OPERAND(0, UINT32_MAX),
          .b = OPERAND(0, UINT32_MAX), .c = OPERAND(0, UINT32_MAX)},
         VGPU_ERROR_INVALID_REQUEST},
    };
    Client *c = start();
    TestWindow w = window_create(1, SIZE);
    VGPUSubmission good = addition(5);

    window_fill(&w, 1, VGPU_TYPE_INT32, false);
    window_send_add(c, &w);
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        window_refused(c, &w, &bad[i].s, bad[i].status);
        assert_memory_equal(w.memory, w.expected, w.size);
    }
    window_compute(c, &w, &good);
    assert_good_end(c);
    window_destroy(&w);
}

/* ---- Hostile windows -------------------------------------------------------------------- */

/* The executor reports that it can't map the window, and all else goes on. */
static void assert_no_window(int fd, const char *says)
{
    Client *c = start();
    TestWindow bad = {.id = 7, .fd = fd}, good = window_create(8, SIZE);
    VGPUSubmission s = addition(5);

    assert_true(fd >= 0);
    window_fill(&good, 1, VGPU_TYPE_INT32, false);
    window_send_add(c, &bad);
    window_refused(c, &bad, &s, VGPU_ERROR_INVALID_REQUEST);
    window_send_remove(c, &bad);
    window_send_add(c, &good);
    window_compute(c, &good, &s);
    assert_hang_up(c, EXECUTOR_EXIT_OK, says);
    window_destroy(&good);
    close(fd);
}

static int memory_file(uint64_t size, int seals)
{
    int fd = memfd_create("no window", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(ftruncate(fd, (off_t) size), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

TEST(test_descriptors_that_are_no_window)
{
    char path[] = "/tmp/vgpu-test-XXXXXX", link[64];
    int fd, pipes[2];

    assert_no_window(memory_file(SIZE, 0), "window 7: Invalid argument");
    assert_no_window(memory_file(SIZE, F_SEAL_GROW), "window 7: Invalid argument");
    assert_no_window(memory_file(0, F_SEAL_SHRINK), "window 7: Invalid argument");
    assert_no_window(memory_file(VGPU_WINDOW_SIZE_MIN - 1, F_SEAL_SHRINK),
                     "window 7: Invalid argument");
    assert_no_window(memory_file(VGPU_WINDOW_SIZE_MAX + 4096, F_SEAL_SHRINK),
                     "window 7: Invalid argument");
    assert_no_window(memory_file(SIZE, F_SEAL_SHRINK | F_SEAL_WRITE),
                     "window 7: Operation not permitted");
    assert_no_window(open("/dev/zero", O_RDWR | O_CLOEXEC), "window 7: Invalid argument");
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_no_window(pipes[0], "window 7: Invalid argument");
    close(pipes[1]);

    fd = mkstemp(path);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    assert_no_window(fd, "window 7: Invalid argument");
    unlink(path);

    fd = memory_file(SIZE, F_SEAL_SHRINK);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    assert_no_window(open(link, O_RDONLY | O_CLOEXEC), "window 7: Permission denied");
    close(fd);
}

static void assert_garbage_ends(const void *message, size_t size, const int fds[], unsigned n,
                                const char *says)
{
    Client *c = start();
    ClientResponse r;

    if (n > 0)
        assert_true(client_send_with_fds(c, message, size, fds, n));
    else
        assert_true(client_send(c, message, size));
    assert_false(client_receive(c, &r));
    assert_hang_up(c, EXECUTOR_EXIT_FAILURE, says);
}

TEST(test_garbage)
{
    TestWindow w = window_create(1, SIZE);
    const int fds[] = {w.fd, w.fd, w.fd};
    unsigned char m[MESSAGE_MAX];
    size_t size = message_window(m, EXECUTOR_MSG_WINDOW_ADD, 1);
    ExecutorHeader h = {.type = EXECUTOR_MSG_WINDOW_ADD, .length = sizeof(ExecutorWindow) + 4};

    assert_garbage_ends(m, size, NULL, 0, "is no window");
    assert_garbage_ends(m, size, fds, 2, "is no window");
    assert_garbage_ends(m, size, fds, 3, "is no window");
    assert_garbage_ends(&h, sizeof(h), fds, 1, "is no window");
    h = (ExecutorHeader){.type = EXECUTOR_MSG_COMPUTE, .length = sizeof(ExecutorCompute) - 1};
    assert_garbage_ends(&h, sizeof(h), NULL, 0, "makes no sense");

    /* A descriptor with what needs none */
    size = message_window(m, EXECUTOR_MSG_WINDOW_REMOVE, 1);
    size += message_window(m + size, EXECUTOR_MSG_WINDOW_REMOVE, 1);
    assert_garbage_ends(m, size, fds, 1, "is no window");
    window_destroy(&w);
}

TEST(test_added_twice)
{
    Client *c = start();
    TestWindow w = window_create(1, SIZE);
    ClientResponse r;

    window_send_add(c, &w);
    window_send_add(c, &w);
    assert_false(client_receive(c, &r));
    assert_hang_up(c, EXECUTOR_EXIT_FAILURE, "added window 1 twice");
    window_destroy(&w);
}

/* The descriptor comes with the first byte, the rest at any later time. */
TEST(test_messages_in_parts)
{
    TestWindow w = window_create(1, SIZE), v = window_create(2, SIZE);
    unsigned char m[MESSAGE_MAX];
    VGPUSubmission s = addition(5);

    window_fill(&w, 1, VGPU_TYPE_INT32, false);
    window_fill(&v, 2, VGPU_TYPE_INT32, false);
    for (size_t cut = 1; cut < sizeof(ExecutorHeader) + sizeof(ExecutorWindow); cut += 3) {
        Client *c = start();
        size_t size = message_window(m, EXECUTOR_MSG_WINDOW_ADD, w.id);

        assert_true(client_send_with_fds(c, m, cut, &w.fd, 1));
        client_sync(c);
        assert_true(client_send_socket(c, m + cut, size - cut));
        window_send_add(c, &v);
        window_compute(c, &v, &s);
        window_compute(c, &w, &s);
        assert_good_end(c);
    }
    window_destroy(&w);
    window_destroy(&v);
}

/* ---- The end ------------------------------------------------------------------------------- */

/* An executor dies at its work. Another one can use the window. */
TEST(test_killed)
{
    TestWindow w = window_create(1, UINT64_C(32) << 20);
    VGPUSubmission large = addition(2000000);

    window_fill(&w, 1, VGPU_TYPE_INT32, false);
    for (unsigned i = 0; i < 5; i++) {
        Client *c = start();
        unsigned char m[MESSAGE_MAX];
        ClientResponse r;

        window_send_add(c, &w);
        for (unsigned k = 0; k < SLOTS; k++)
            window_send(c, &w, k, k % VGPU_N_PRIORITIES, &large);
        assert_true(client_send(c, m, message_plain(m, 9, VGPU_OP_NOP)));
        if (i % 2 == 1)
            assert_true(client_receive(c, &r));
        kill(c->process.pid, SIGKILL);
        assert_hang_up(c, 128 + SIGKILL, "");
    }

    {
        Client *c = start();

        window_send_add(c, &w);
        window_compute(c, &w, &large);
        assert_good_end(c);
    }
    window_destroy(&w);
}

/* Nobody hears the answers any more. */
TEST(test_hang_up_with_jobs_in_flight)
{
    TestWindow w = window_create(1, UINT64_C(32) << 20);
    VGPUSubmission large = addition(2000000);
    Client *c = start();

    window_send_add(c, &w);
    for (unsigned k = 0; k < SLOTS; k++)
        window_send(c, &w, k, k % VGPU_N_PRIORITIES, &large);
    assert_good_end(c);
    window_destroy(&w);
}

/* ---- main ---------------------------------------------------------------------------------- */

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strides_hold_nothing_up),
        cmocka_unit_test(test_two_windows),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_removed_while_others_run),
        cmocka_unit_test(test_removed_under_a_job),
        cmocka_unit_test(test_nop),
        cmocka_unit_test(test_large_jobs_hold_nothing_up),
        cmocka_unit_test(test_mixture),
        cmocka_unit_test(test_bad_submissions),
        cmocka_unit_test(test_descriptors_that_are_no_window),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_added_twice),
        cmocka_unit_test(test_messages_in_parts),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_hang_up_with_jobs_in_flight),
    };
    const char *which = argc > 1 ? argv[1] : "";

    options = options_for_backend(which, SLOTS);
    return cmocka_run_group_tests_name(which, tests, NULL, NULL);
}

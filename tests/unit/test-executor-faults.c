/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the executor does when CUDA fails, over the fake driver. The environment is that of
 * test-executor.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "test-executor-fake.h"
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void assert_cuda_error(const ClientResponse *r, uint32_t error)
{
    uint32_t result;

    assert_int_equal(r->header.status, VGPU_ERROR_CUDA_ERROR);
    assert_int_equal(r->header.result_count, 1);
    assert_int_equal(r->header.data_length, 0);
    memcpy(&result, r->bytes + sizeof(r->header), sizeof(result));
    assert_int_equal(result, error);
}

/* ---- Errors that end one request ---------------------------------------------- */

/* Six requests, one after the other. Only the third fails. */
static void assert_fails_third(const char *fake, uint32_t error)
{
    Client *c = start(fake);

    for (unsigned i = 0; i < 6; i++) {
        ClientResponse r;

        send_scalar(c, i, VGPU_PRIORITY_HIGH);
        r = receive(c);
        assert_int_equal(r.tag, i);
        if (i == 2)
            assert_cuda_error(&r, error);
        else
            assert_sum(&r);
    }
    assert_good_end(c);
}

TEST(test_launch_fails)
{
    assert_fails_third("fail=cuLaunchKernel:701:after=2", LAUNCH_OUT_OF_RESOURCES);
}

/* Then the executor waits for the kernel itself, and nothing fails at all. The kernel is slow,
 * so that an answer given too early would be noticed. */
TEST(test_callback_fails)
{
    Client *c = start("slow=3,fail=cuStreamAddCallback:2:after=2");

    for (unsigned i = 0; i < 6; i++) {
        ClientResponse r;

        send_scalar(c, i, VGPU_PRIORITY_HIGH);
        r = receive(c);
        assert_sum(&r);
    }
    assert_good_end(c);
}

TEST(test_kernel_fails)
{
    assert_fails_third("fault=701:after=2", LAUNCH_OUT_OF_RESOURCES);
}

/* The first cuMemGetInfo is for the HELLO. */
TEST(test_device_info_fails)
{
    Client *c = start("fail=cuMemGetInfo_v2:2:after=1");
    unsigned char m[MESSAGE_MAX];
    size_t size = message_plain(m, 8, VGPU_OP_GET_DEVICE_INFO);
    ClientResponse r;

    assert_true(client_send(c, m, size));
    r = receive(c);
    assert_cuda_error(&r, OUT_OF_MEMORY);
    assert_true(client_send(c, m, size));
    r = receive(c);
    assert_int_equal(r.header.status, VGPU_ERROR_NONE);
    assert_good_end(c);
}

TEST(test_one_of_many_fails)
{
    unsigned failed = 0;
    Client *c = start("hold=3,fail=cuLaunchKernel:701:after=1");

    send_scalars(c, SLOTS);
    for (unsigned i = 0; i < SLOTS; i++) {
        ClientResponse r = receive(c);

        if (r.header.status == VGPU_ERROR_NONE) {
            assert_sum(&r);
            continue;
        }
        assert_int_equal(r.tag, 1);
        assert_cuda_error(&r, LAUNCH_OUT_OF_RESOURCES);
        failed++;
    }
    assert_int_equal(failed, 1);
    assert_good_end(c);
}

/* ---- Errors that end the process ------------------------------------------------ */

/* @n requests at once; each is answered, at least @at_least with the error, and
 * then the executor ends. */
static void assert_sticky(const char *fake, unsigned n, uint32_t error, unsigned at_least)
{
    Client *c = start(fake);
    unsigned failed = 0, answered = 0;
    uint64_t seen = 0;
    ClientResponse r;

    send_scalars(c, n);
    while (client_receive(c, &r)) {
        assert_false(seen & UINT64_C(1) << r.tag);
        seen |= UINT64_C(1) << r.tag;
        answered++;
        if (r.header.status == VGPU_ERROR_NONE) {
            assert_sum(&r);
            continue;
        }
        assert_cuda_error(&r, error);
        failed++;
    }

    assert_int_equal(answered, n);
    assert_true(failed >= at_least);
    assert_lost(c);
}

TEST(test_kernel_faults)
{
    assert_sticky("fault=700", 1, ILLEGAL_ADDRESS, 1);
    assert_sticky("hold=4,fault=719", SLOTS, LAUNCH_FAILED, 1);
    assert_sticky("hold=4,fault=700:after=3", SLOTS, ILLEGAL_ADDRESS, 1);
}

/* More than the slots: those that wait in the queue are answered, too. */
TEST(test_kernel_faults_with_a_queue)
{
    assert_sticky("hold=4,fault=700", 3 * SLOTS, ILLEGAL_ADDRESS, 1);
}

TEST(test_launch_faults)
{
    assert_sticky("fail=cuLaunchKernel:719", 1, LAUNCH_FAILED, 1);
    assert_sticky("hold=4,fail=cuLaunchKernel:719:after=3", SLOTS, LAUNCH_FAILED, SLOTS);
    assert_sticky("hold=5,fail=cuStreamAddCallback:700:after=2", SLOTS, ILLEGAL_ADDRESS, SLOTS);
}

TEST(test_device_info_faults)
{
    Client *c = start("fail=cuMemGetInfo_v2:700:after=1");
    unsigned char m[MESSAGE_MAX];
    ClientResponse r;

    assert_true(client_send(c, m, message_plain(m, 8, VGPU_OP_GET_DEVICE_INFO)));
    r = receive(c);
    assert_cuda_error(&r, ILLEGAL_ADDRESS);
    assert_lost(c);
}

/* Requests that are answered at once keep the executor from sleeping. It learns of the kernel that
 * failed nevertheless, and does not wait for its report. */
TEST(test_kernel_fails_while_there_is_more)
{
    Client *c = start("fault=701");
    unsigned char m[MESSAGE_MAX];
    unsigned n = 0;
    ClientResponse r;

    send_scalar(c, 1, VGPU_PRIORITY_LOW);
    do {
        assert_true(client_send(c, m, message_plain(m, 2, VGPU_OP_NOP)));
        r = receive(c);
        if (r.tag == 1)
            assert_cuda_error(&r, LAUNCH_OUT_OF_RESOURCES);
        else
            n++;
    } while (r.tag != 1);
    while (n > 0 && client_has_input(c)) {
        r = receive(c);
        assert_int_equal(r.tag, 2);
    }
    assert_good_end(c);
}

/* ---- Hangs ------------------------------------------------------------------------ */

/* One kernel never ends; the requests in the other slots are answered. */
static Client *start_with_hung_kernel(void)
{
    Client *c = start("hold=4,hang=kernel:after=1");

    send_scalars(c, SLOTS);
    for (unsigned i = 0; i < SLOTS - 1; i++) {
        ClientResponse r = receive(c);

        assert_int_not_equal(r.tag, 1);
        assert_sum(&r);
    }
    return c;
}

TEST(test_hung_kernel_leaves_the_others)
{
    Client *c = start_with_hung_kernel();

    for (unsigned i = 10; i < 20; i++) {
        ClientResponse r;

        send_scalar(c, i, VGPU_PRIORITY_HIGH);
        r = receive(c);
        assert_int_equal(r.tag, i);
        assert_sum(&r);
    }
    kill(c->process.pid, SIGTERM);
    assert_end(c, 128 + SIGTERM, "");
}

TEST(test_hung_kernel_and_hang_up)
{
    Client *c = start_with_hung_kernel();

    assert_good_end(c);
}

/* For a fifth of a second nothing comes from the executor, and it does nothing. */
static void assert_at_rest(const Client *c)
{
    struct pollfd p = {.fd = c->process.fds[EXECUTOR_FD_ANSWERS_EVENT], .events = POLLIN};
    struct timespec before, after;
    clockid_t clock;

    assert_int_equal(clock_getcpuclockid(c->process.pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &before), 0);
    assert_int_equal(poll(&p, 1, 200), 0);
    assert_int_equal(clock_gettime(clock, &after), 0);
    assert_true((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec <
                50 * 1000 * 1000);
}

TEST(test_waiting_costs_nothing)
{
    Client *c = start_with_hung_kernel();

    assert_at_rest(c);
    assert_good_end(c);
}

/* The stream hangs, so that all slots stay taken, and the queue is full: the executor stops
 * reading, waits, and still sees the end. */
TEST(test_waiting_with_a_full_queue)
{
    enum { N = 2 * EXECUTOR_QUEUE_LENGTH };
    unsigned char m[MESSAGE_MAX], *many = malloc(N * 128);
    Client *c = start("hang=kernel");
    size_t size = 0;
    ClientResponse r;

    assert_non_null(many);
    send_scalar(c, 0, VGPU_PRIORITY_LOW);
    assert_true(client_send(c, m, message_plain(m, 1, VGPU_OP_NOP)));
    r = receive(c);
    assert_int_equal(r.tag, 1);

    for (unsigned i = 0; i < N; i++)
        size += message_scalar(many + size, i, VGPU_PRIORITY_LOW, i, 1);
    assert_true(client_send(c, many, size));
    assert_at_rest(c);

    assert_good_end(c);
    free(many);
}

/* The fake driver writes a line for each call into a FIFO. So the test learns that the executor
 * is inside a call, and the FIFO's end is the executor's. */
typedef struct Fifo {
    char directory[24], path[32], plan[64];
} Fifo;

static Fifo fifo_new(const char *hang)
{
    Fifo f = {.directory = "/tmp/vgpu-test-XXXXXX"};

    assert_non_null(mkdtemp(f.directory));
    snprintf(f.path, sizeof(f.path), "%s/trace", f.directory);
    assert_int_equal(mkfifo(f.path, 0600), 0);
    snprintf(f.plan, sizeof(f.plan), "trace=%s,hang=%s", f.path, hang);
    return f;
}

/* Waits until the executor is inside @function. */
static FILE *fifo_open(const Fifo *f, const char *function)
{
    char line[128];
    FILE *trace = fopen(f->path, "re");

    assert_non_null(trace);
    do
        assert_non_null(fgets(line, sizeof(line), trace));
    while (strncmp(line, function, strlen(function)) != 0);
    return trace;
}

static void fifo_remove(const Fifo *f, FILE *trace)
{
    fclose(trace);
    unlink(f->path);
    rmdir(f->directory);
}

TEST(test_hung_call_can_be_killed)
{
    Fifo fifo = fifo_new("cuLaunchKernel");
    const ClientOptions o = fake_options(fifo.plan);
    Client *c = client_start(&o);
    FILE *trace;

    send_scalar(c, 1, VGPU_PRIORITY_LOW);
    trace = fifo_open(&fifo, "cuLaunchKernel");
    kill(c->process.pid, SIGKILL);
    assert_end(c, 128 + SIGKILL, "");
    fifo_remove(&fifo, trace);
}

/* The executor hangs in a call and does not see that its mediator is gone. The mediator is a
 * child of this test. */
TEST(test_orphan_is_killed)
{
    Fifo fifo = fifo_new("cuInit");
    char rest[64];
    FILE *trace;
    pid_t mediator;

    mediator = fork();
    assert_true(mediator >= 0);
    if (mediator == 0) {
        const ClientOptions o = fake_options(fifo.plan);

        client_start(&o);
        for (;;)
            pause();
    }

    trace = fifo_open(&fifo, "cuInit");
    kill(mediator, SIGKILL);
    assert_int_equal(waitpid(mediator, NULL, 0), mediator);
    assert_null(fgets(rest, sizeof(rest), trace));
    fifo_remove(&fifo, trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launch_fails),
        cmocka_unit_test(test_callback_fails),
        cmocka_unit_test(test_kernel_fails),
        cmocka_unit_test(test_device_info_fails),
        cmocka_unit_test(test_one_of_many_fails),
        cmocka_unit_test(test_kernel_faults),
        cmocka_unit_test(test_kernel_faults_with_a_queue),
        cmocka_unit_test(test_launch_faults),
        cmocka_unit_test(test_kernel_fails_while_there_is_more),
        cmocka_unit_test(test_device_info_faults),
        cmocka_unit_test(test_hung_kernel_leaves_the_others),
        cmocka_unit_test(test_hung_kernel_and_hang_up),
        cmocka_unit_test(test_waiting_costs_nothing),
        cmocka_unit_test(test_waiting_with_a_full_queue),
        cmocka_unit_test(test_hung_call_can_be_killed),
        cmocka_unit_test(test_orphan_is_killed),
    };

    return cmocka_run_group_tests_name("executor-faults", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the executor does when CUDA fails at an operation in a window, over the fake driver. The
 * environment is that of test-executor.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "test-executor-fake.h"
#include "test-executor-window.h"
#include "test.h"

#include <signal.h>
#include <unistd.h>

#define SIZE (UINT64_C(32) << 20)

/* small runs in its priority's own stream, large in a pipe, parts in two pipes. product is of
 * matrices in tiles; in row two of the matrices have one row. */
static VGPUSubmission small, large, parts, product, row;

static int setup(void **state)
{
    TestWindow *w = malloc(sizeof(*w));

    assert_non_null(w);
    *w = window_create(1, SIZE);
    window_fill(w, 1, VGPU_TYPE_FLOAT32, true);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    window_destroy(*state);
    free(*state);
    return 0;
}

static Client *start_in(const char *fake, const TestWindow *w)
{
    Client *c = start(fake);

    window_send_add(c, w);
    return c;
}

static void assert_fails(Client *c, const TestWindow *w, const VGPUSubmission *s, uint32_t error)
{
    ClientResponse r;

    window_send(c, w, 5, VGPU_PRIORITY_HIGH, s);
    r = receive(c);
    assert_int_equal(r.type, EXECUTOR_MSG_RESULT);
    assert_int_equal(r.tag, 5);
    assert_int_equal(r.result.status, VGPU_ERROR_CUDA_ERROR);
    assert_int_equal(r.result.cuda_result, error);
    assert_int_equal(r.result.result, 0);
}

/* A job fails with the error; then the same one ends well. Whatever the first one wrote, the
 * second one writes again. */
static void assert_fails_once(TestWindow *w, const char *fake, const VGPUSubmission *s,
                              uint32_t error)
{
    Client *c = start_in(fake, w);

    window_fill(w, 1, VGPU_TYPE_FLOAT32, true);
    assert_fails(c, w, s, error);
    window_compute(c, w, s);
    window_compute(c, w, &small);
    assert_good_end(c);
}

/* ---- Errors that end one job -------------------------------------------------------- */

static void test_calls_fail(void **state)
{
    TestWindow *w = *state;

    assert_fails_once(w, "fail=cuLaunchKernel:701", &small, LAUNCH_OUT_OF_RESOURCES);
    assert_fails_once(w, "fail=cuLaunchKernel:701", &large, LAUNCH_OUT_OF_RESOURCES);
    assert_fails_once(w, "fail=cuLaunchKernel:701:after=1", &parts, LAUNCH_OUT_OF_RESOURCES);
    assert_fails_once(w, "blas=0,fail=cuLaunchKernel:701", &product, LAUNCH_OUT_OF_RESOURCES);
    for (unsigned after = 0; after < 3; after++) {
        char fake[64];

        snprintf(fake, sizeof(fake), "fail=cuMemcpy2DAsync_v2:2:after=%u", after);
        assert_fails_once(w, fake, &product, OUT_OF_MEMORY);
    }
    assert_fails_once(w, "fail=cuMemcpyHtoDAsync_v2:2", &row, OUT_OF_MEMORY);
    assert_fails_once(w, "fail=cuMemcpyDtoHAsync_v2:2", &row, OUT_OF_MEMORY);
}

static void test_kernels_fail(void **state)
{
    TestWindow *w = *state;

    assert_fails_once(w, "fault=701", &small, LAUNCH_OUT_OF_RESOURCES);
    assert_fails_once(w, "fault=701", &large, LAUNCH_OUT_OF_RESOURCES);
    assert_fails_once(w, "fault=701:after=1", &parts, LAUNCH_OUT_OF_RESOURCES);
    assert_fails_once(w, "blas=0,fault=701", &product, LAUNCH_OUT_OF_RESOURCES);
}

/* Memory and streams of a pipeline cannot be had, at each step. The next job makes the rest, and
 * all is given back in the end: otherwise the fake driver aborts. */
static void test_pipeline_can_not_be_opened(void **state)
{
    for (unsigned after = 0; after < 9; after++) {
        char fake[64];

        snprintf(fake, sizeof(fake), "fail=cuMemAlloc_v2:2:after=%u", after);
        assert_fails_once(*state, fake, &product, OUT_OF_MEMORY);
    }
    for (unsigned after = VGPU_N_PRIORITIES; after < VGPU_N_PRIORITIES + 3; after++) {
        char fake[64];

        snprintf(fake, sizeof(fake), "fail=cuStreamCreateWithPriority:2:after=%u", after);
        assert_fails_once(*state, fake, &large, OUT_OF_MEMORY);
    }
}

/* Then the executor waits itself, and nothing fails. Kernels are slow, so that an answer given
 * too early would be noticed. */
static void test_callback_fails(void **state)
{
    TestWindow *w = *state;

    for (unsigned after = 0; after < 3; after++) {
        char fake[64];
        Client *c;

        snprintf(fake, sizeof(fake), "slow=3,fail=cuStreamAddCallback:2:after=%u", after);
        c = start_in(fake, w);
        window_compute(c, w, &large);
        window_compute(c, w, &small);
        window_compute(c, w, &parts);
        assert_good_end(c);
    }
}

/* Then the built-in kernel multiplies. */
static void test_cublas_fails(void **state)
{
    static const char *const fakes[] = {"fail=cublasSgemm_v2:13", "fail=cublasCreate_v2:1",
                                        "fail=cublasSetStream_v2:1", "blas=0"};
    TestWindow *w = *state;

    for (unsigned i = 0; i < 4; i++) {
        Client *c = start_in(fakes[i], w);

        window_compute(c, w, &product);
        window_compute(c, w, &product);
        assert_good_end(c);
    }
}

/* The window is mapped, but each job in it fails. All else goes on. */
static void test_window_can_not_be_registered(void **state)
{
    static const char *const fakes[] = {
        "fail=cuMemHostRegister_v2:2", "fail=cuMemHostGetDevicePointer_v2:2:after=1",
        "fail=cuMemHostGetDevicePointer_v2:2:after=2", "fail=cuMemHostAlloc:2:after=1"};
    TestWindow *w = *state, other = window_create(2, VGPU_WINDOW_SIZE_MIN);
    VGPUSubmission s = small;

    s.opcode = VGPU_OP_RING_SUM;
    window_fill(&other, 1, VGPU_TYPE_FLOAT32, true);
    for (unsigned i = 0; i < 4; i++) {
        Client *c = start_in(fakes[i], w);
        ClientResponse r;

        assert_fails(c, w, &small, OUT_OF_MEMORY);
        assert_fails(c, w, &large, OUT_OF_MEMORY);
        send_scalar(c, 4, VGPU_PRIORITY_LOW);
        r = receive(c);
        assert_sum(&r);
        window_send_remove(c, w);
        window_send_add(c, &other);
        window_compute(c, &other, &s);
        window_send_remove(c, &other);
        window_send_add(c, w);
        window_compute(c, w, &large);
        assert_hang_up(c, EXECUTOR_EXIT_OK, "window 1: CUDA error 2");
    }
    window_destroy(&other);
}

/* ---- Errors that end the process ------------------------------------------------------ */

/* Jobs and a request at once, more than there are slots. Each is answered, at least one with the
 * error, and then the executor ends. */
static void assert_sticky(const TestWindow *w, const char *fake, uint32_t error)
{
    Client *c = start_in(fake, w);
    const VGPUSubmission *jobs[] = {&large, &small, &parts, &product};
    unsigned char m[8 * MESSAGE_MAX];
    unsigned failed = 0;
    uint64_t seen = 0;
    size_t size = 0;
    ClientResponse r;

    for (unsigned i = 0; i < 4; i++)
        size += message_compute(m + size, i, i % VGPU_N_PRIORITIES, w->id, jobs[i]);
    size += message_scalar(m + size, 4, VGPU_PRIORITY_LOW, 4, 1);
    size += message_compute(m + size, 5, VGPU_PRIORITY_HIGH, w->id, &small);
    size += message_window(m + size, EXECUTOR_MSG_WINDOW_REMOVE, 99);
    assert_true(client_send(c, m, size));

    while (client_receive(c, &r)) {
        bool is_result = r.type == EXECUTOR_MSG_RESULT;

        assert_false(seen & UINT64_C(1) << r.tag);
        seen |= UINT64_C(1) << r.tag;
        assert_int_equal(is_result, r.tag != 4);
        if (is_result && r.result.status != VGPU_ERROR_NONE) {
            assert_int_equal(r.result.status, VGPU_ERROR_CUDA_ERROR);
            assert_int_equal(r.result.cuda_result, error);
            failed++;
        }
    }

    assert_int_equal(seen, 63);
    assert_true(failed > 0);
    assert_lost(c);
}

static void test_sticky_errors(void **state)
{
    assert_sticky(*state, "hold=4,fault=700", ILLEGAL_ADDRESS);
    assert_sticky(*state, "hold=5,fault=700:after=3", ILLEGAL_ADDRESS);
    assert_sticky(*state, "fail=cuLaunchKernel:700:after=1", ILLEGAL_ADDRESS);
    assert_sticky(*state, "fail=cuMemcpy2DAsync_v2:700:after=2", ILLEGAL_ADDRESS);
    assert_sticky(*state, "fail=cuMemAlloc_v2:700:after=2", ILLEGAL_ADDRESS);
    assert_sticky(*state, "slow=20,fail=cuStreamAddCallback:700:after=1", ILLEGAL_ADDRESS);
    assert_sticky(*state, "hold=1,fail=cublasSgemm_v2:700", ILLEGAL_ADDRESS);
}

static void test_registering_is_sticky(void **state)
{
    TestWindow *w = *state;
    Client *c = start_in("fail=cuMemHostRegister_v2:700", w);

    assert_fails(c, w, &small, ILLEGAL_ADDRESS);
    assert_lost(c);
}

/* ---- Hangs ------------------------------------------------------------------------------- */

/* A large job of a low priority never ends. Requests of every priority do, and so do jobs of
 * other priorities. */
static void test_hung_job_leaves_the_others(void **state)
{
    TestWindow *w = *state;
    Client *c = start_in("hang=kernel:after=1", w);
    ClientResponse r;

    window_compute(c, w, &small); /* the window is registered */
    window_send(c, w, 1, VGPU_PRIORITY_LOW, &large);
    for (unsigned i = 10; i < 16; i++) {
        send_scalar(c, i, i % VGPU_N_PRIORITIES);
        r = receive(c);
        assert_sum(&r);
    }
    window_send(c, w, 2, VGPU_PRIORITY_HIGH, &parts);
    r = receive(c);
    assert_int_equal(r.tag, 2);
    assert_int_equal(r.result.status, VGPU_ERROR_NONE);
    assert_good_end(c);
}

/* Loading cuBLAS never ends, so a new window behind it is never prepared. Requests, and jobs in a
 * window that is known, do end. */
static void test_hung_preparation_leaves_the_others(void **state)
{
    TestWindow *w = *state, other = window_create(2, VGPU_WINDOW_SIZE_MIN);
    VGPUSubmission sum = small;
    Client *c = start_in("hang=cublasCreate_v2", w);
    ClientResponse r;

    sum.opcode = VGPU_OP_RING_SUM;
    window_send_add(c, &other);
    window_compute(c, w, &small);
    window_send(c, w, 1, VGPU_PRIORITY_HIGH, &product);
    window_send(c, &other, 2, VGPU_PRIORITY_HIGH, &sum);
    for (unsigned i = 10; i < 16; i++) {
        send_scalar(c, i, i % VGPU_N_PRIORITIES);
        r = receive(c);
        assert_sum(&r);
        window_send(c, w, i, i % VGPU_N_PRIORITIES, i % 2 ? &small : &parts);
        r = receive(c);
        assert_int_equal(r.tag, i);
        assert_int_equal(r.result.status, VGPU_ERROR_NONE);
    }
    assert_good_end(c);
    window_destroy(&other);
}

/* ---- What is asked of the driver ------------------------------------------------------------ */

/* A window is registered once. A job of vectors is a launch, and a callback when the executor
 * sleeps meanwhile. The memory for large products is made once for their priority. */
static void test_what_is_made_is_kept(void **state)
{
    TestWindow *w = *state;
    Trace trace = trace_new();
    Client *c = start_in(trace.plan, w);

    for (unsigned i = 0; i < 50; i++)
        window_compute(c, w, &small);
    assert_int_equal(trace_count(&trace, "cuLaunchKernel "), 50);
    assert_in_range(trace_count(&trace, "cuStreamAddCallback "), 0, 50);
    assert_int_equal(trace_count(&trace, "cuMemAlloc_v2 "), 0);
    assert_int_equal(trace_count(&trace, "cuMemcpy"), 0);
    for (unsigned i = 0; i < 5; i++)
        window_compute(c, w, &large);
    assert_int_equal(trace_count(&trace, "cuMemAlloc_v2 "), 0);
    assert_int_equal(trace_count(&trace, "cublas"), 0);
    assert_int_equal(trace_count(&trace, "cuStreamCreateWithPriority "), 2 * VGPU_N_PRIORITIES);
    assert_int_equal(trace_count(&trace, "cuLaunchKernel "), 50 + 5);
    assert_in_range(trace_count(&trace, "cuStreamAddCallback "), 0, 50 + 5);
    for (unsigned i = 0; i < 5; i++)
        window_compute(c, w, &product);
    window_send_remove(c, w);
    assert_good_end(c);

    assert_int_equal(trace_count(&trace, "cuMemHostRegister_v2 "), 1);
    assert_int_equal(trace_count(&trace, "cuMemHostUnregister "), 1);
    assert_int_equal(trace_count(&trace, "cuMemAlloc_v2 "), 9);
    assert_int_equal(trace_count(&trace, "cuMemFree_v2 "), 9);
    assert_int_equal(trace_count(&trace, "cuMemcpy2DAsync_v2 "), 5 * 3);
    assert_int_equal(trace_count(&trace, "cublasSgemm_v2 "), 5);
    assert_int_equal(trace_count(&trace, "cublasCreate_v2 "), 3);
    assert_int_equal(trace_count(&trace, "cublasDestroy_v2 "), 3);
    trace_remove(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_calls_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kernels_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipeline_can_not_be_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(test_callback_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cublas_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_window_can_not_be_registered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sticky_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_registering_is_sticky, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hung_job_leaves_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hung_preparation_leaves_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_made_is_kept, setup, teardown),
    };

    small = (VGPUSubmission){
        .opcode = VGPU_OP_RING_ADD,
        .type = VGPU_TYPE_FLOAT32,
        .count = 1000,
        .a = operand(0, 1),
        .b = operand(4000, 1),
        .c = operand(16 << 20, 1),
    };
    large = small;
    large.count = 600000;
    parts = small;
    parts.opcode = VGPU_OP_RING_SUM;
    parts.count = (1 << 22) + 5;
    product = small;
    product.opcode = VGPU_OP_RING_MATMUL;
    product.count = product.n = product.k = 200;
    product.a.stride = product.b.stride = 200;
    product.c.stride = 201;
    row = product;
    row.count = 1;
    row.k = row.a.stride = 400;

    return cmocka_run_group_tests_name("executor-window-faults", tests, NULL, NULL);
}

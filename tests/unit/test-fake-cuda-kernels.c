/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake CUDA driver: kernels, launches, and how kernels end */
#include "test-fake-cuda-fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define N 1000u

enum { INVALID_CLUSTER_SIZE = 912, COOPERATIVE_TOO_LARGE = 720 };
enum { ATTRIBUTE_COOPERATIVE = 2, ATTRIBUTE_CLUSTER = 4, ATTRIBUTE_COMPLETION_EVENT = 12 };

/* ---- What they compute ----------------------------------------------------------------------- */

static void try_saxpy(void)
{
    float *x = (float *) pinned(N), *y = (float *) pinned(N), a = 3;
    CUdeviceptr dx = new_numbers(N), dy = ADDRESS(y);
    uint32_t n = N;
    void *params[] = {&n, &a, &dx, &dy};

    for (uint32_t i = 0; i < N; i++) {
        x[i] = (float) i;
        y[i] = 1;
    }
    OK(BASE.memcpy_h_to_d_async(dx, x, N * 4, NULL));
    /* Three blocks reach 768 elements; a kernel works in the window too. */
    OK(launch(function("saxpy"), 3, NULL, params));
    OK(BASE.stream_synchronize(NULL));
    for (uint32_t i = 0; i < N; i++)
        EXPECT(y[i] == (i < 768 ? 3.0f * (float) i + 1 : 1));
}

static void try_sum(void)
{
    float *x = (float *) pinned(N), *sum = (float *) pinned(1);
    CUdeviceptr dx = ADDRESS(x), to = ADDRESS(sum);
    uint32_t n = N;
    void *params[] = {&dx, &to, &n};

    for (uint32_t i = 0; i < N; i++)
        x[i] = (float) i;
    OK(launch(function("reduce_sum"), 1, NULL, params));
    OK(BASE.stream_synchronize(NULL));
    EXPECT(*sum == N * (N - 1) / 2);
}

static void try_matmul(void)
{
    enum { SIDE = 32 };
    float *a = (float *) pinned(SIDE * SIDE), *b = (float *) pinned(SIDE * SIDE),
          *c = (float *) pinned(SIDE * SIDE);
    CUdeviceptr da = ADDRESS(a), db = ADDRESS(b), dc = ADDRESS(c);
    uint32_t n = SIDE;
    void *params[] = {&da, &db, &dc, &n};

    for (uint32_t i = 0; i < SIDE; i++)
        for (uint32_t j = 0; j < SIDE; j++) {
            a[i * SIDE + j] = (float) (i + j);
            b[i * SIDE + j] = i == j ? 2 : 0;
        }
    OK(BASE.launch_kernel(function("matmul_tile"), 2, 2, 1, 16, 16, 1, 0, NULL, params, NULL));
    OK(BASE.stream_synchronize(NULL));
    for (uint32_t i = 0; i < SIDE * SIDE; i++)
        EXPECT(c[i] == 2 * a[i]);
}

static void try_nested_pointer(void)
{
    uint64_t *cell = (uint64_t *) pinned(2);
    CUdeviceptr numbers = new_numbers(4), to = new_numbers(4), table = new_numbers(2);
    uint32_t n = 4;
    void *params[] = {&table, &to, &n};

    fill(numbers, 41, 4, NULL);
    *cell = numbers;
    OK(BASE.memcpy_h_to_d_async(table, cell, 8, NULL));
    OK(launch(function("follow_pointer"), 1, NULL, params));
    OK(BASE.stream_synchronize(NULL));
    EXPECT(number_at(to) == 42 && number_at(to + 12) == 42);
}

/* A page of parameters, given in both ways; they are copied at the launch. */
static void try_parameters(void)
{
    struct {
        CUdeviceptr to;
        uint32_t value[1022];
    } p = {.to = new_numbers(1)};
    size_t size = sizeof(p), small = sizeof(p) - 1;
    void *params[] = {&p}, *extra[] = {(void *) 1, &p, (void *) 2, &size, NULL};
    CUfunction f = function("sum_parameters");

    for (uint32_t i = 0; i < 1022; i++)
        p.value[i] = i;
    OK(BASE.launch_kernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL));
    memset(p.value, 0, sizeof(p.value));
    OK(BASE.stream_synchronize(NULL));
    EXPECT(number_at(p.to) == 1022 * 1021 / 2);

    p.value[1021] = 7;
    OK(BASE.launch_kernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, extra));
    OK(BASE.stream_synchronize(NULL));
    EXPECT(number_at(p.to) == 7);

    EXPECT_RESULT(BASE.launch_kernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, params, extra),
                  CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(BASE.launch_kernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL),
                  CUDA_ERROR_INVALID_VALUE);
    extra[3] = &small;
    EXPECT_RESULT(BASE.launch_kernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, extra),
                  CUDA_ERROR_INVALID_VALUE);
}

static void try_global(void)
{
    CUdeviceptr address;
    CUmodule other;
    size_t size;

    OK(BASE.launch_kernel(function("count_threads"), 2, 3, 1, 32, 2, 1, 0, NULL, NULL, NULL));
    OK(BASE.stream_synchronize(NULL));
    OK(cu.module_get_global(&address, &size, module, "counter"));
    EXPECT(size == 8);
    EXPECT(number_at(address) == 384);
    /* Each module has its own. */
    other = load_module();
    OK(cu.module_get_global(&address, NULL, other, "counter"));
    EXPECT(number_at(address) == 0);
    EXPECT_RESULT(cu.module_get_global(&address, &size, other, "count"), CUDA_ERROR_NOT_FOUND);
}

TEST(test_kernels)
{
    assert_good("", try_saxpy);
    assert_good("", try_sum);
    assert_good("", try_matmul);
    assert_good("", try_nested_pointer);
    assert_good("", try_parameters);
    assert_good("", try_global);
}

/* ---- Refused launches ------------------------------------------------------------------------ */

static CUresult launch_shape(unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                             unsigned bz, unsigned shared)
{
    return BASE.launch_kernel(function("nothing"), gx, gy, gz, bx, by, bz, shared, NULL, NULL,
                              NULL);
}

static void try_shapes(void)
{
    CUstream foreign;
    CUcontext other;

    OK(launch_shape(1, 1, 1, 1024, 1, 1, 49152));
    OK(launch_shape(2147483647, 65535, 65535, 4, 4, 64, 0));
    EXPECT_RESULT(launch_shape(0, 1, 1, 1, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(launch_shape(1, 65536, 1, 1, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(launch_shape(1, 1, 65536, 1, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(launch_shape(1, 1, 1, 0, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(launch_shape(1, 1, 1, 1025, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(launch_shape(1, 1, 1, 1, 1, 65, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(launch_shape(1, 1, 1, 33, 32, 1, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(launch_shape(1, 1, 1, 1, 1, 1, 49153), CUDA_ERROR_INVALID_VALUE);
    /* More shared memory when it was asked for */
    EXPECT_RESULT(cu.func_set_attribute(function("nothing"), 8, 232449), CUDA_ERROR_INVALID_VALUE);
    OK(cu.func_set_attribute(function("nothing"), 8, 232448));
    OK(launch_shape(1, 1, 1, 1, 1, 1, 232448));
    /* Of a kernel that is made for fewer threads */
    EXPECT_RESULT(
        BASE.launch_kernel(function("reduce_sum"), 1, 1, 1, 257, 1, 1, 0, NULL, NULL, NULL),
        CUDA_ERROR_INVALID_VALUE);

    OK(cu.ctx_create(&other, 0, 0));
    foreign = new_stream(0);
    OK(BASE.ctx_set_current(primary));
    EXPECT_RESULT(launch(function("nothing"), 1, foreign, NULL), CUDA_ERROR_INVALID_HANDLE);
    OK(cu.ctx_synchronize());
}

static void try_launch_attributes(void)
{
    CUlaunchAttribute a = {.id = ATTRIBUTE_CLUSTER};
    CUlaunchConfig c = {
        .grid_x = 8, 1, 1, .block_x = 32, 1, 1, .attributes = &a, .n_attributes = 1};
    unsigned cluster[3] = {4, 1, 1};
    CUfunction f = function("nothing");
    CUevent e = new_event();
    int on = 1, n;

    memcpy(a.value, cluster, sizeof(cluster));
    OK(cu.launch_kernel_ex(&c, f, NULL, NULL));
    OK(cu.occupancy_clusters(&n, f, &c));
    EXPECT(n == 32 * 4 / 4);
    OK(cu.occupancy_cluster_size(&n, f, &c));
    EXPECT(n == 8);
    cluster[0] = 3;
    memcpy(a.value, cluster, sizeof(cluster));
    EXPECT_RESULT(cu.launch_kernel_ex(&c, f, NULL, NULL), CUDA_ERROR_INVALID_VALUE);
    cluster[0] = 16;
    memcpy(a.value, cluster, sizeof(cluster));
    EXPECT_RESULT(cu.launch_kernel_ex(&c, f, NULL, NULL), INVALID_CLUSTER_SIZE);

    a = (CUlaunchAttribute){.id = ATTRIBUTE_COOPERATIVE};
    memcpy(a.value, &on, sizeof(on));
    OK(cu.launch_kernel_ex(&c, f, NULL, NULL));
    c.grid_x = 1000;
    EXPECT_RESULT(cu.launch_kernel_ex(&c, f, NULL, NULL), COOPERATIVE_TOO_LARGE);

    a = (CUlaunchAttribute){.id = ATTRIBUTE_COMPLETION_EVENT};
    memcpy(a.value, &e, sizeof(e));
    OK(cu.launch_kernel_ex(&c, f, NULL, NULL));
    OK(cu.ctx_synchronize());
    OK(cu.event_elapsed_time(&(float){0}, e, e));

    a.id = 99;
    EXPECT_RESULT(cu.launch_kernel_ex(&c, f, NULL, NULL), CUDA_ERROR_INVALID_VALUE);
}

TEST(test_launches)
{
    assert_good("", try_shapes);
    assert_good("", try_launch_attributes);
}

/* ---- What is known of them ------------------------------------------------------------------- */

static void try_function(void)
{
    CUfunction f = function("reduce_sum");
    size_t offset, size, shared;
    int value, blocks;

    OK(cu.func_get_attribute(&value, 0, f));
    EXPECT(value == 256);
    OK(cu.func_get_attribute(&value, 1, f));
    EXPECT(value == 1024);
    EXPECT_RESULT(cu.func_get_attribute(&value, 16, f), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.func_set_attribute(f, 0, 1), CUDA_ERROR_INVALID_VALUE);
    OK(cu.func_set_cache_config(f, 1));
    EXPECT_RESULT(cu.func_set_cache_config(f, 9), CUDA_ERROR_INVALID_VALUE);
    OK(cu.func_get_param_info(f, 2, &offset, &size));
    EXPECT(offset == 16 && size == 4);
    EXPECT_RESULT(cu.func_get_param_info(f, 3, &offset, &size), CUDA_ERROR_INVALID_VALUE);

    OK(cu.occupancy_blocks(&blocks, f, 256, 0, 0));
    EXPECT(blocks == 8);
    OK(cu.occupancy_blocks(&blocks, f, 256, 100000, 0));
    EXPECT(blocks == 2);
    EXPECT_RESULT(cu.occupancy_blocks(&blocks, f, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
    OK(cu.occupancy_shared(&shared, f, 2, 256));
    EXPECT(shared == 233472 / 2 - 2048);
}

TEST(test_function)
{
    assert_good("", try_function);
}

/* ---- How they end -------------------------------------------------------------------------- */

static void try_illegal_address(void)
{
    OK(launch(function("illegal_address"), 1, NULL, NULL));
    EXPECT_RESULT(cu.ctx_synchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
    EXPECT_RESULT(BASE.mem_alloc(&(CUdeviceptr){0}, 4), CUDA_ERROR_ILLEGAL_ADDRESS);
}

/* Into what is not allocated, or not any more */
static void try_outside(void)
{
    fill(new_numbers(8), 1, 9, NULL);
    EXPECT_RESULT(cu.ctx_synchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
}

static void try_assert(void)
{
    int good = 1, bad = 0;
    void *params[] = {&good};

    OK(launch(function("assert_positive"), 1, NULL, params));
    OK(cu.ctx_synchronize());
    params[0] = &bad;
    OK(launch(function("assert_positive"), 1, NULL, params));
    EXPECT_RESULT(cu.ctx_synchronize(), CUDA_ERROR_ASSERT);
}

static void try_print(void)
{
    int number = 17;
    void *params[] = {&number};

    OK(BASE.launch_kernel(function("print_number"), 1, 1, 1, 2, 1, 1, 0, NULL, params, NULL));
    OK(cu.ctx_synchronize());
    /* What was printed is out: the process's end adds nothing to it. */
    kill(getpid(), SIGKILL);
}

static void try_endless(void)
{
    CUdeviceptr never = new_numbers(1), cell = new_numbers(1);
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING), other = new_stream(CU_STREAM_NON_BLOCKING);
    void *params[] = {&never};

    OK(launch(function("endless"), 1, s, params));
    fill(cell, 4, 1, other);
    OK(BASE.stream_synchronize(other));
    EXPECT(number_at(cell) == 4);
    EXPECT_RESULT(cu.stream_query(s), CUDA_ERROR_NOT_READY);
    alarm(1);
    BASE.stream_synchronize(s);
}

static void try_busy(void)
{
    CUevent begin = new_event(), end = new_event();
    uint64_t ns = 50000000;
    void *params[] = {&ns};
    float msec;

    OK(cu.event_record_with_flags(begin, NULL, 0));
    OK(launch(function("busy"), 1, NULL, params));
    OK(cu.event_record_with_flags(end, NULL, 0));
    OK(BASE.stream_synchronize(NULL));
    OK(cu.event_elapsed_time(&msec, begin, end));
    EXPECT(msec >= 49);
}

TEST(test_ends)
{
    Outcome o;

    assert_good("", try_illegal_address);
    assert_good("", try_outside);
    assert_good("", try_busy);

    o = outcome_of("", try_assert);
    assert_int_equal(o.status, 0);
    assert_non_null(strstr(o.errors, "Assertion `number > 0` failed."));

    o = outcome_of("", try_print);
    assert_string_equal(o.output, "number 17\nnumber 17\n");

    o = outcome_of("", try_endless);
    assert_true(WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGALRM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_launches),
        cmocka_unit_test(test_function),
        cmocka_unit_test(test_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

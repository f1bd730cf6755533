/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The subcommands of vgpu on the ring of a model of the device, and on a device without a ring. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test-guest-command-fixture.h"
#include "test.h"

#define WINDOW (UINT64_C(1) << 20)

static void add_window(command_fixture *f)
{
    ring_model_add(&f->model, &f->sysfs, WINDOW);
}

static void test_vecadd_chooses_the_path(void **state)
{
    command_fixture *f = *state;

    make_file(f, "a", 400000, 1);
    make_file(f, "b", 400000, 2);

    /* An old device has no ring. */
    f->options.path = PATH_RING;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_REFUSED);
    expect_output(f, "too old");
    f->options.path = PATH_AUTO;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_OK);
    expect_int32_sums(f, 100000);
    assert_true(f->model.doorbells > 800);

    /* A new device has one. */
    add_window(f);
    for (int i = 0; i < 2; i++) {
        f->model.doorbells = 0;
        f->options.path = i == 0 ? PATH_AUTO : PATH_RING;
        assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_OK);
        assert_string_equal(f->output, "");
        expect_int32_sums(f, 100000);
        assert_int_equal(f->model.doorbells, 0);
        assert_true(f->model.ring.doorbells > 0);
    }
    f->model.ring.doorbells = 0;
    f->options.path = PATH_REGISTERS;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_OK);
    expect_int32_sums(f, 100000);
    assert_int_equal(f->model.ring.doorbells, 0);

    /* A new device on a host that does not agree. */
    f->model.ring.start_error = VGPU_ERROR_MEDIATOR_UNAVAILABLE;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_OK);
    f->options.path = PATH_RING;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_REFUSED);
    expect_output(f, "cannot open the ring: ");
    expect_output(f, "MEDIATOR_UNAVAILABLE");
    f->model.ring.start_error = VGPU_ERROR_UNSUPPORTED_OP;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_REFUSED);
    expect_output(f, "too old for this: its mediator");
}

static void fail_fifth_on_ring(model *m, VGPUCompletion *c)
{
    if (++m->number == 5)
        c->status = VGPU_ERROR_CUDA_ERROR;
}

static void test_failing_request_on_the_ring(void **state)
{
    command_fixture *f = *state;

    add_window(f);
    make_file(f, "a", 1000000, 1);
    make_file(f, "b", 1000000, 2);
    f->model.ring.lie = fail_fifth_on_ring;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_REFUSED);
    expect_output(f, ": from element ");
    expect_output(f, "CUDA_ERROR");
    assert_true(size_of(f, "c") > 0 && size_of(f, "c") < 1000000);
    expect_int32_sums(f, (size_t) size_of(f, "c") / 4);
}

static void write_doubles(command_fixture *f, const char *name, const double *values, size_t n)
{
    char path[128];
    FILE *file = fopen(path_in(f, name, path), "w");

    assert_non_null(file);
    assert_int_equal(fwrite(values, sizeof(*values), n, file), n);
    assert_return_code(fclose(file), 0);
}

static void expect_doubles(command_fixture *f, const char *name, const double *values, size_t n)
{
    double found[16];
    char path[128];
    FILE *file = fopen(path_in(f, name, path), "r");

    assert_non_null(file);
    assert_int_equal(fread(found, sizeof(*found), 16, file), n);
    assert_memory_equal(found, values, n * sizeof(*values));
    fclose(file);
}

static int run_files(command_fixture *f, int (*command)(const options *, char **), const char *a,
                     const char *b, const char *c)
{
    char paths[3][128];
    char *argv[] = {(char *) path_in(f, a, paths[0]), b ? (char *) path_in(f, b, paths[1]) : NULL,
                    NULL};

    f->options.output = c ? path_in(f, c, paths[2]) : NULL;
    return run(f, command, argv);
}

static void test_operations(void **state)
{
    static const double a[] = {1.5, -2, 3, 4, -0.5, 6}, b[] = {2, 3, -4, 0.25, 8, 1};
    static const double products[] = {3, -6, -12, 1, -4, 6}, scaled[] = {5, -1, 2, 8.25, 7, 13};
    static const double matrix[] = {1.5 * 2 + 2 * 4 + 3 * 8, 1.5 * 3 - 2 * 0.25 + 3};
    command_fixture *f = *state;

    add_window(f);
    f->options.type = VGPU_FLOAT64;
    write_doubles(f, "a", a, 6);
    write_doubles(f, "b", b, 6);
    assert_int_equal(run_files(f, command_mul, "a", "b", "c"), EXIT_OK);
    expect_doubles(f, "c", products, 6);
    f->options.has_alpha = true;
    f->options.alpha = 2;
    assert_int_equal(run_files(f, command_axpy, "a", "b", "c"), EXIT_OK);
    expect_doubles(f, "c", scaled, 6);

    assert_int_equal(run_files(f, command_dot, "a", "b", NULL), EXIT_OK);
    assert_string_equal(f->output, "-12\n");
    assert_int_equal(run_files(f, command_sum, "a", NULL, NULL), EXIT_OK);
    assert_string_equal(f->output, "12\n");
    assert_int_equal(run_files(f, command_min, "a", NULL, NULL), EXIT_OK);
    assert_string_equal(f->output, "-2\n");
    assert_int_equal(run_files(f, command_max, "b", NULL, NULL), EXIT_OK);
    assert_string_equal(f->output, "8\n");

    /* The product of a 2 x 3 and a 3 x 2 matrix; the test looks at its first row. */
    f->options.inner = 3;
    write_doubles(f, "row", a, 3);
    assert_int_equal(run_files(f, command_matmul, "row", "b", "c"), EXIT_OK);
    expect_doubles(f, "c", matrix, 2);
}

static void test_operations_of_other_types(void **state)
{
    static const float floats[] = {0.1f, 0.2f};
    command_fixture *f = *state;
    char path[128];
    FILE *file;

    add_window(f);
    file = fopen(path_in(f, "a", path), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(floats, 4, 2, file), 2);
    fclose(file);
    f->options.type = VGPU_FLOAT32;
    assert_int_equal(run_files(f, command_max, "a", NULL, NULL), EXIT_OK);
    assert_string_equal(f->output, "0.200000003\n");
    f->options.type = VGPU_INT32;
    assert_int_equal(run_files(f, command_min, "a", NULL, NULL), EXIT_OK);
    assert_string_equal(f->output, "1036831949\n");
    f->options.type = VGPU_INT64;
    assert_int_equal(run_files(f, command_max, "a", NULL, NULL), EXIT_OK);
    assert_string_equal(f->output, "4489188110458735821\n");
}

static void test_operations_on_an_old_host(void **state)
{
    static const double a[] = {1, 2, 3};
    command_fixture *f = *state;

    write_doubles(f, "a", a, 3);
    write_doubles(f, "c", a, 1);
    f->options.type = VGPU_FLOAT64;
    f->options.has_alpha = true;
    f->options.inner = 3;
    assert_int_equal(run_files(f, command_mul, "a", "a", "c"), EXIT_REFUSED);
    expect_output(f, "the host is too old");
    assert_int_equal(run_files(f, command_axpy, "a", "a", "c"), EXIT_REFUSED);
    assert_int_equal(run_files(f, command_matmul, "a", "a", "c"), EXIT_REFUSED);
    assert_int_equal(run_files(f, command_dot, "a", "a", NULL), EXIT_REFUSED);
    assert_int_equal(run_files(f, command_sum, "a", NULL, NULL), EXIT_REFUSED);
    f->options.path = PATH_REGISTERS;
    assert_int_equal(run_files(f, command_max, "a", NULL, NULL), EXIT_USAGE);
    expect_output(f, "--path=registers");
    /* No command has touched what was in the output. */
    expect_doubles(f, "c", a, 1);
    assert_int_equal(f->model.doorbells, 0);
}

static void test_operations_bad_input(void **state)
{
    static const double a[] = {1, 2, 3, 4};
    command_fixture *f = *state;

    add_window(f);
    write_doubles(f, "a", a, 4);
    write_doubles(f, "b", a, 3);
    write_doubles(f, "empty", a, 0);
    make_file(f, "odd", 7, 1);

    f->options.type = VGPU_FLOAT64;
    assert_int_equal(run_files(f, command_axpy, "a", "a", "c"), EXIT_USAGE);
    expect_output(f, "--alpha");
    assert_int_equal(run_files(f, command_matmul, "a", "a", "c"), EXIT_USAGE);
    expect_output(f, "--inner");
    f->options.inner = 3;
    assert_int_equal(run_files(f, command_matmul, "a", "b", "c"), EXIT_USAGE);
    expect_output(f, "a' holds 4 elements: not a multiple of --inner=3");
    assert_int_equal(run_files(f, command_matmul, "b", "empty", "c"), EXIT_USAGE);
    assert_int_equal(run_files(f, command_matmul, "b", "b", "b"), EXIT_USAGE);
    expect_output(f, "is an input and the output");
    assert_int_equal(run_files(f, command_mul, "a", "b", "c"), EXIT_USAGE);
    expect_output(f, "different lengths");
    assert_int_equal(run_files(f, command_dot, "a", "b", NULL), EXIT_USAGE);
    expect_output(f, "different lengths");
    assert_int_equal(run_files(f, command_sum, "empty", NULL, NULL), EXIT_USAGE);
    expect_output(f, "is empty");
    assert_int_equal(run_files(f, command_sum, "odd", NULL, NULL), EXIT_USAGE);
    expect_output(f, "multiple of 8 bytes");
    f->options.type = VGPU_INT32;
    f->options.has_alpha = true;
    assert_int_equal(run_files(f, command_axpy, "a", "a", "c"), EXIT_USAGE);
    assert_int_equal(run_files(f, command_matmul, "a", "a", "c"), EXIT_USAGE);
    expect_output(f, "float32 or float64");
    assert_int_equal(size_of(f, "c"), -1);
    assert_int_equal(size_of(f, "b"), 24);
}

static void test_info_with_window(void **state)
{
    command_fixture *f = *state;

    add_window(f);
    assert_int_equal(run_info(f), EXIT_OK);
    expect_output(f, "extensions:    version 1, features 0x00000007\n");
    expect_output(f, "window:        1024 KiB\n");
    expect_output(f, "ring:          OFF\n");
    model_set(&f->model, VGPU_REG_RING_CTRL, VGPU_RING_ON);
    model_set(&f->model, VGPU_REG_RING_ENTRIES, 256);
    assert_int_equal(run_info(f), EXIT_OK);
    expect_output(f, "ring:          ON, 256 entries\n");
    model_set(&f->model, VGPU_REG_RING_CTRL, VGPU_RING_FAILED);
    model_set(&f->model, VGPU_REG_RING_ERROR, VGPU_ERROR_VM_QUARANTINED);
    assert_int_equal(run_info(f), EXIT_OK);
    expect_output(f, "ring:          FAILED (VM_QUARANTINED)\n");
    f->options.json = true;
    assert_int_equal(run_info(f), EXIT_OK);
    expect_output(f, "\"extensions\":true,");
    expect_output(
        f, "\"features\":7,\"window_size\":1048576,\"ring\":\"FAILED\",\"ring_entries\":256,");
}

/* ---- bench ---------------------------------------------------------------- */

static void wrong_sum_on_ring(model *m, VGPUCompletion *c)
{
    (void) c;
    m->ring.window[ring_model_submission(m, m->ring.host.sq_head)->c.offset] ^= 1;
}

static void test_bench_on_the_ring(void **state)
{
    command_fixture *f = *state;

    f->options.depth = 64;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_REFUSED);
    expect_output(f, "too old");
    f->options.path = PATH_REGISTERS;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_USAGE);

    add_window(f);
    f->options.path = PATH_AUTO;
    f->options.count = 6400;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_OK);
    expect_output(f, "requests:       6400\n");
    expect_output(f, "MMIO accesses:  0.0156 per request, and 0.00 repeated polls\n");
    expect_output(f, "depth 64, 0.0156 doorbells and 0.0000 interrupts per request\n");

    f->options.depth = 0;
    f->options.path = PATH_RING;
    f->options.json = true;
    f->options.count = 10;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_OK);
    expect_output(f, "\"mmio_per_request\":1.0000,");
    expect_output(f, "\"depth\":1,\"doorbells_per_request\":1.0000,");

    f->options.depth = 1024;
    f->model.ring.backwards = true;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_OK);
    f->model.ring.lie = wrong_sum_on_ring;
    f->model.ring.backwards = false;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_REFUSED);
    expect_output(f, "came back as");
}

static void interrupt_at_the_100th(model *m, VGPUCompletion *c)
{
    (void) c;
    if (++m->number == 100)
        kill(getpid(), SIGINT);
}

static void test_bench_is_interrupted(void **state)
{
    command_fixture *f = *state;
    unsigned n;

    add_window(f);
    f->options.depth = 8;
    f->options.count = 1000000;
    f->model.ring.lie = interrupt_at_the_100th;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_OK);
    assert_int_equal(sscanf(f->output, "requests: %u", &n), 1);
    assert_in_range(n, 1, 10000);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, command_setup, command_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_vecadd_chooses_the_path),
        CASE(test_failing_request_on_the_ring),
        CASE(test_operations),
        CASE(test_operations_of_other_types),
        CASE(test_operations_on_an_old_host),
        CASE(test_operations_bad_input),
        CASE(test_info_with_window),
        CASE(test_bench_on_the_ring),
        CASE(test_bench_is_interrupted),
    };

    return cmocka_run_group_tests_name("guest-command-ring", tests, NULL, NULL);
}

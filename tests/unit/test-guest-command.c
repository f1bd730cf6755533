/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The subcommands of vgpu, against a model of the device. In place of the machine's own /sys the
 * linker (--wrap) gives them a tree of the test's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "command.h"
#include "test-guest-model.h"
#include "test-guest-sysfs.h"

typedef struct fixture {
    fake_sysfs sysfs;
    model model;
    options options;
    char output[65536]; /* of the last run() */
} fixture;

/* ---- The tree in place of /sys -------------------------------------------- */

static const vgpu_paths *paths_of_test;

int __real_vgpu_open(const vgpu_paths *paths, const char *name, vgpu_device **ret);
int __wrap_vgpu_open(const vgpu_paths *paths, const char *name, vgpu_device **ret);
int __real_vgpu_find(const vgpu_paths *paths, vgpu_found **ret_list, size_t *ret_n);
int __wrap_vgpu_find(const vgpu_paths *paths, vgpu_found **ret_list, size_t *ret_n);
int __real_vgpu_bind_uio(const vgpu_paths *paths, const char *address);
int __wrap_vgpu_bind_uio(const vgpu_paths *paths, const char *address);

int __wrap_vgpu_open(const vgpu_paths *paths, const char *name, vgpu_device **ret)
{
    return __real_vgpu_open(paths ? paths : paths_of_test, name, ret);
}

int __wrap_vgpu_find(const vgpu_paths *paths, vgpu_found **ret_list, size_t *ret_n)
{
    return __real_vgpu_find(paths ? paths : paths_of_test, ret_list, ret_n);
}

int __wrap_vgpu_bind_uio(const vgpu_paths *paths, const char *address)
{
    return __real_vgpu_bind_uio(paths ? paths : paths_of_test, address);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    model_start(&f->model);
    fake_sysfs_create(&f->sysfs);
    fake_sysfs_add(&f->sysfs, FAKE_ADDRESS);
    paths_of_test = &f->sysfs.paths;
    f->options = (options){.timeout_ms = 60000, .type = VGPU_INT32};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;

    assert_int_equal(f->model.ring.violations, 0);
    ring_model_remove(&f->model);
    fake_sysfs_remove(&f->sysfs);
    free(f);
    return 0;
}

/* Run a subcommand with both its outputs caught. Returns its exit code. */
static int run(fixture *f, int (*command)(const options *, char **), char **argv)
{
    FILE *caught = tmpfile();
    int out, err, code;
    size_t n;

    assert_non_null(caught);
    fflush(stdout);
    out = dup(STDOUT_FILENO);
    err = dup(STDERR_FILENO);
    dup2(fileno(caught), STDOUT_FILENO);
    dup2(fileno(caught), STDERR_FILENO);
    code = command(&f->options, argv);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);

    rewind(caught);
    n = fread(f->output, 1, sizeof(f->output) - 1, caught);
    f->output[n] = '\0';
    fclose(caught);
    return code;
}

static void expect_output(const fixture *f, const char *text)
{
    if (!strstr(f->output, text))
        fail_msg("'%s' is not in: %s", text, f->output);
}

/* ---- add ------------------------------------------------------------------ */

static int run_add(fixture *f, const char *a, const char *b)
{
    char *argv[] = {(char *) a, (char *) b, NULL};

    return run(f, command_add, argv);
}

static void test_add(void **state)
{
    static const char *const bad[] = {
        "",
        " 1",
        "-1",
        "+1",
        "1 ",
        "1x",
        "0x",
        "4294967296",
        "0x100000000",
        "1.0",
        "99999999999999999999",
    };
    fixture *f = *state;

    assert_int_equal(run_add(f, "100", "200"), EXIT_OK);
    assert_string_equal(f->output, "300\n");
    assert_int_equal(run_add(f, "4294967295", "0x2"), EXIT_OK);
    assert_string_equal(f->output, "1\n");
    assert_int_equal(run_add(f, "010", "0XfF"), EXIT_OK);
    assert_string_equal(f->output, "265\n");

    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        assert_int_equal(run_add(f, bad[i], "1"), EXIT_USAGE);
        assert_int_equal(run_add(f, "1", bad[i]), EXIT_USAGE);
        expect_output(f, "invalid number");
    }
    assert_int_equal(f->model.doorbells, 3);
}

static void refuse(model *m)
{
    model_end_with_error(m, m->number);
}

static void test_exit_codes(void **state)
{
    fixture *f = *state;

    f->model.lie = refuse;
    f->model.number = VGPU_ERROR_VM_QUARANTINED;
    assert_int_equal(run_add(f, "1", "2"), EXIT_REFUSED);
    expect_output(f, "vgpu: " FAKE_ADDRESS ": ");
    expect_output(f, "VM_QUARANTINED");
    f->model.number = 99;
    assert_int_equal(run_add(f, "1", "2"), EXIT_REFUSED);
    expect_output(f, "(99)");

    f->model.lie = NULL;
    f->model.delay = MODEL_STUCK;
    f->options.timeout_ms = 0;
    assert_int_equal(run_add(f, "1", "2"), EXIT_TIMEOUT);
    expect_output(f, "no answer in time");
    assert_int_equal(run_add(f, "1", "2"), EXIT_TIMEOUT);
    expect_output(f, "in use");

    f->options.device = "1";
    assert_int_equal(run_add(f, "1", "2"), EXIT_NO_DEVICE);
    f->options.device = "x";
    assert_int_equal(run_add(f, "1", "2"), EXIT_USAGE);

    f->options.device = NULL;
    f->options.interrupt = true;
    assert_int_equal(run_add(f, "1", "2"), EXIT_SYSTEM);
    expect_output(f, "modprobe uio_pci_generic");
    fake_sysfs_bind(&f->sysfs, FAKE_ADDRESS, "vfio-pci");
    assert_int_equal(run_add(f, "1", "2"), EXIT_SYSTEM);
    expect_output(f, "another driver");
}

/* ---- info ----------------------------------------------------------------- */

static int run_info(fixture *f)
{
    return run(f, command_info, (char *[]){NULL});
}

static void test_info(void **state)
{
    fixture *f = *state;

    assert_int_equal(run_info(f), EXIT_OK);
    expect_output(f, "device 0: " FAKE_ADDRESS "\n");
    expect_output(f, "pool:          A\n");
    expect_output(f, "priority:      medium\n");
    expect_output(f, "name:          A model\n");
    expect_output(f, "1024 MiB, 512 MiB free\n");

    fake_sysfs_add(&f->sysfs, "0000:00:05.0");
    assert_int_equal(run_info(f), EXIT_OK);
    expect_output(f, "device 0: 0000:00:04.0\n");
    expect_output(f, "device 1: 0000:00:05.0\n");
    f->options.device = "1";
    assert_int_equal(run_info(f), EXIT_OK);
    assert_memory_equal(f->output, "device 1", 8);

    f->options.device = "2";
    assert_int_equal(run_info(f), EXIT_NO_DEVICE);
}

static void test_info_json(void **state)
{
    fixture *f = *state;

    f->options.json = true;
    assert_int_equal(run_info(f), EXIT_OK);
    assert_string_equal(
        f->output,
        "[{\"index\":0,\"address\":\"" FAKE_ADDRESS "\",\"protocol\":65536,\"capabilities\":1,"
        "\"extensions\":false,\"pool\":\"A\",\"priority\":\"medium\",\"vm_id\":3,"
        "\"status\":\"IDLE\",\"error_code\":0,\"uio\":null,\"features\":0,\"window_size\":0,"
        "\"ring\":null,\"ring_entries\":0,"
        "\"host\":{\"backend\":\"cpu\",\"name\":\"A model\",\"memory_total\":1073741824,"
        "\"memory_free\":536870912,\"multiprocessors\":2,\"compute_major\":0,\"compute_minor\":0,"
        "\"driver_version\":0},\"result\":0}]\n");
}

/* What a host may put on the terminal, or into a JSON string, is text. */
static void hostile_name(model *m)
{
    memcpy((char *) (model_response(m) + 1) + 16, "a\x1b[2J\"\\\n\xff", 10);
}

static void test_info_of_a_hostile_host(void **state)
{
    fixture *f = *state;

    f->model.lie = hostile_name;
    assert_int_equal(run_info(f), EXIT_OK);
    expect_output(f, "name:          a?[2J????\n");
    f->options.json = true;
    assert_int_equal(run_info(f), EXIT_OK);
    expect_output(f, "\"name\":\"a?[2J????\"");
}

static void test_info_without_host(void **state)
{
    fixture *f = *state;

    f->model.lie = refuse;
    f->model.number = VGPU_ERROR_MEDIATOR_UNAVAILABLE;
    assert_int_equal(run_info(f), EXIT_REFUSED);
    expect_output(f, "pool:          A\n");
    expect_output(f, "MEDIATOR_UNAVAILABLE");
    f->options.json = true;
    assert_int_equal(run_info(f), EXIT_REFUSED);
    expect_output(f, "\"host\":null,\"result\":3}");
}

/* ---- vecadd --------------------------------------------------------------- */

static const char *path_in(fixture *f, const char *name, char *buffer)
{
    snprintf(buffer, 128, "%s/%s", f->sysfs.root, name);
    return buffer;
}

/* A file of @size bytes, the same for the same @seed. */
static void make_file(fixture *f, const char *name, size_t size, uint32_t seed)
{
    char path[128];
    FILE *file = fopen(path_in(f, name, path), "w");

    assert_non_null(file);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1103515245u + 12345u;
        fputc((int) (seed >> 24), file);
    }
    assert_return_code(fclose(file), 0);
}

static int run_vecadd(fixture *f, const char *a, const char *b, const char *c)
{
    char paths[3][128];
    char *argv[] = {(char *) path_in(f, a, paths[0]), (char *) path_in(f, b, paths[1]), NULL};

    f->options.output = path_in(f, c, paths[2]);
    return run(f, command_vecadd, argv);
}

static off_t size_of(fixture *f, const char *name)
{
    char path[128];
    struct stat st;

    return stat(path_in(f, name, path), &st) < 0 ? -1 : st.st_size;
}

static void expect_int32_sums(fixture *f, size_t n)
{
    char path[128];
    FILE *a = fopen(path_in(f, "a", path), "r"), *b = fopen(path_in(f, "b", path), "r"),
         *c = fopen(path_in(f, "c", path), "r");

    assert_true(a && b && c);
    for (size_t i = 0; i < n; i++) {
        uint32_t x, y, z;

        assert_int_equal(fread(&x, 4, 1, a) + fread(&y, 4, 1, b) + fread(&z, 4, 1, c), 3);
        assert_int_equal(z, x + y);
    }
    assert_int_equal(fgetc(c), EOF);
    fclose(a);
    fclose(b);
    fclose(c);
}

static void test_vecadd_lengths(void **state)
{
    /* A piece in memory is 16384 elements, a request 124. */
    static const size_t lengths[] = {40001, 16385, 16384, 16383, 125, 124, 123, 1, 0};
    fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
        make_file(f, "a", lengths[i] * 4, 1);
        make_file(f, "b", lengths[i] * 4, 2);
        assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_OK);
        expect_int32_sums(f, lengths[i]);
        assert_string_equal(f->output, "");
    }
}

static void test_vecadd_bad_input(void **state)
{
    fixture *f = *state;

    make_file(f, "a", 400, 1);
    make_file(f, "b", 404, 2);
    make_file(f, "c", 10, 3);
    make_file(f, "odd", 401, 3);

    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_USAGE);
    expect_output(f, "different lengths");
    assert_int_equal(run_vecadd(f, "odd", "odd", "c"), EXIT_USAGE);
    expect_output(f, "multiple of 4 bytes");
    f->options.type = VGPU_FLOAT64;
    assert_int_equal(run_vecadd(f, "b", "b", "c"), EXIT_USAGE);
    expect_output(f, "multiple of 8 bytes, the size of float64");
    assert_int_equal(run_vecadd(f, "nothing", "b", "c"), EXIT_USAGE);
    expect_output(f, "nothing': No such file");
    assert_int_equal(run_vecadd(f, "a", "a", "nothing/c"), EXIT_USAGE);

    /* None of this has touched what was in the output. */
    assert_int_equal(size_of(f, "c"), 10);
    assert_int_equal(f->model.doorbells, 0);
}

static void test_vecadd_onto_its_input(void **state)
{
    fixture *f = *state;
    char a[128], link_name[128];

    make_file(f, "a", 400, 1);
    make_file(f, "b", 400, 2);
    assert_return_code(link(path_in(f, "a", a), path_in(f, "link", link_name)), 0);
    assert_int_equal(run_vecadd(f, "a", "b", "a"), EXIT_USAGE);
    assert_int_equal(run_vecadd(f, "b", "a", "link"), EXIT_USAGE);
    expect_output(f, "is an input and the output");
    assert_int_equal(size_of(f, "a"), 400);
    assert_int_equal(f->model.doorbells, 0);
}

static void test_vecadd_needs_operands(void **state)
{
    fixture *f = *state;
    char *argv[] = {(char *) "-", (char *) "-", NULL};

    assert_int_equal(run(f, command_vecadd, argv), EXIT_USAGE);
    expect_output(f, "-o");
    f->options.output = "-";
    assert_int_equal(run(f, command_vecadd, argv), EXIT_USAGE);
    expect_output(f, "only one");
}

static void fail_third(model *m)
{
    if (++m->number == 3)
        model_end_with_error(m, VGPU_ERROR_CUDA_ERROR);
}

static void test_vecadd_failing_request(void **state)
{
    fixture *f = *state;

    make_file(f, "a", 4000, 1);
    make_file(f, "b", 4000, 2);
    f->model.lie = fail_third;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_REFUSED);
    expect_output(f, "request 2, from element 248: ");
    expect_output(f, "CUDA_ERROR");
    expect_int32_sums(f, 248);
}

/* A pipe instead of a file, and lengths that only show at the end. */
static void test_vecadd_standard_input(void **state)
{
    fixture *f = *state;
    char path[128], a[128], b[128], *argv[] = {(char *) "-", b, NULL};
    int saved = dup(STDIN_FILENO), fd;

    make_file(f, "a", 80000, 1);
    make_file(f, "b", 80000, 2);
    make_file(f, "short", 79996, 2);
    path_in(f, "b", b);
    f->options.output = path_in(f, "c", path);

    for (int i = 0; i < 2; i++) {
        fd = open(path_in(f, "a", a), O_RDONLY);
        assert_return_code(fd, 0);
        dup2(fd, STDIN_FILENO);
        close(fd);
        assert_int_equal(run(f, command_vecadd, argv), i == 0 ? EXIT_OK : EXIT_USAGE);
        if (i == 0)
            expect_int32_sums(f, 20000);
        path_in(f, "short", b);
    }
    expect_output(f, "different lengths");
    dup2(saved, STDIN_FILENO);
    close(saved);
}

static void test_vecadd_full_disk(void **state)
{
    fixture *f = *state;
    char a[128], *argv[] = {a, a, NULL};

    make_file(f, "a", 400, 1);
    path_in(f, "a", a);
    f->options.output = "/dev/full";
    assert_int_equal(run(f, command_vecadd, argv), EXIT_SYSTEM);
    expect_output(f, "/dev/full: No space left on device");
}

/* ---- The fast lane ---------------------------------------------------------- */

#define WINDOW (UINT64_C(1) << 20)

static void add_window(fixture *f)
{
    ring_model_add(&f->model, &f->sysfs, WINDOW);
}

static void test_vecadd_chooses_the_lane(void **state)
{
    fixture *f = *state;

    make_file(f, "a", 400000, 1);
    make_file(f, "b", 400000, 2);

    /* An old device. */
    f->options.lane = LANE_FAST;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_REFUSED);
    expect_output(f, "too old");
    f->options.lane = LANE_AUTO;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_OK);
    expect_int32_sums(f, 100000);
    assert_true(f->model.doorbells > 800);

    /* A new one. */
    add_window(f);
    for (int i = 0; i < 2; i++) {
        f->model.doorbells = 0;
        f->options.lane = i == 0 ? LANE_AUTO : LANE_FAST;
        assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_OK);
        assert_string_equal(f->output, "");
        expect_int32_sums(f, 100000);
        assert_int_equal(f->model.doorbells, 0);
        assert_true(f->model.ring.doorbells > 0);
    }
    f->model.ring.doorbells = 0;
    f->options.lane = LANE_SLOW;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_OK);
    expect_int32_sums(f, 100000);
    assert_int_equal(f->model.ring.doorbells, 0);

    /* A new device on a host that does not agree. */
    f->model.ring.start_error = VGPU_ERROR_MEDIATOR_UNAVAILABLE;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_OK);
    f->options.lane = LANE_FAST;
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

static void test_fast_lane_failing_request(void **state)
{
    fixture *f = *state;

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

static void write_doubles(fixture *f, const char *name, const double *values, size_t n)
{
    char path[128];
    FILE *file = fopen(path_in(f, name, path), "w");

    assert_non_null(file);
    assert_int_equal(fwrite(values, sizeof(*values), n, file), n);
    assert_return_code(fclose(file), 0);
}

static void expect_doubles(fixture *f, const char *name, const double *values, size_t n)
{
    double found[16];
    char path[128];
    FILE *file = fopen(path_in(f, name, path), "r");

    assert_non_null(file);
    assert_int_equal(fread(found, sizeof(*found), 16, file), n);
    assert_memory_equal(found, values, n * sizeof(*values));
    fclose(file);
}

static int run_files(fixture *f, int (*command)(const options *, char **), const char *a,
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
    fixture *f = *state;

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

    /* 2 x 3 times 3 x 2; of it the first row. */
    f->options.inner = 3;
    write_doubles(f, "row", a, 3);
    assert_int_equal(run_files(f, command_matmul, "row", "b", "c"), EXIT_OK);
    expect_doubles(f, "c", matrix, 2);
}

static void test_operations_of_other_types(void **state)
{
    static const float floats[] = {0.1f, 0.2f};
    fixture *f = *state;
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
    fixture *f = *state;

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
    f->options.lane = LANE_SLOW;
    assert_int_equal(run_files(f, command_max, "a", NULL, NULL), EXIT_USAGE);
    expect_output(f, "--lane=slow");
    /* None of this has touched what was in the output. */
    expect_doubles(f, "c", a, 1);
    assert_int_equal(f->model.doorbells, 0);
}

static void test_operations_bad_input(void **state)
{
    static const double a[] = {1, 2, 3, 4};
    fixture *f = *state;

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
    fixture *f = *state;

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

static void wrong_sum(model *m)
{
    model_set(m, VGPU_REG_RESPONSE + 32, model_get(m, VGPU_REG_RESPONSE + 32) ^ 1);
}

static void test_bench(void **state)
{
    fixture *f = *state;

    f->options.count = 50;
    f->model.delay = 3;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_OK);
    expect_output(f, "requests:       50\n");
    expect_output(f, "MMIO accesses:  26.00 per request, and 3.00 repeated polls\n");
    assert_int_equal(f->model.doorbells, 50 + 16);

    f->options.json = true;
    f->options.count = 1;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_OK);
    expect_output(f, "{\"requests\":1,\"median_us\":");
    expect_output(f, "\"mmio_per_request\":26.00,\"polls_per_request\":3.00,\"interrupt\":false}");

    f->model.lie = wrong_sum;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_REFUSED);
    expect_output(f, "came back as");
}

static void wrong_sum_on_ring(model *m, VGPUCompletion *c)
{
    (void) c;
    m->ring.window[ring_model_submission(m, m->ring.sq_head)->c.offset] ^= 1;
}

static void test_bench_on_the_ring(void **state)
{
    fixture *f = *state;

    f->options.depth = 64;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_REFUSED);
    expect_output(f, "too old");
    f->options.lane = LANE_SLOW;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_USAGE);

    add_window(f);
    f->options.lane = LANE_AUTO;
    f->options.count = 6400;
    assert_int_equal(run(f, command_bench, (char *[]){NULL}), EXIT_OK);
    expect_output(f, "requests:       6400\n");
    expect_output(f, "MMIO accesses:  0.0156 per request, and 0.00 repeated polls\n");
    expect_output(f, "depth 64, 0.0156 doorbells and 0.0000 interrupts per request\n");

    f->options.depth = 0;
    f->options.lane = LANE_FAST;
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

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_add),
        TEST(test_exit_codes),
        TEST(test_info),
        TEST(test_info_json),
        TEST(test_info_of_a_hostile_host),
        TEST(test_info_without_host),
        TEST(test_vecadd_lengths),
        TEST(test_vecadd_bad_input),
        TEST(test_vecadd_onto_its_input),
        TEST(test_vecadd_needs_operands),
        TEST(test_vecadd_failing_request),
        TEST(test_vecadd_standard_input),
        TEST(test_vecadd_full_disk),
        TEST(test_vecadd_chooses_the_lane),
        TEST(test_fast_lane_failing_request),
        TEST(test_operations),
        TEST(test_operations_of_other_types),
        TEST(test_operations_on_an_old_host),
        TEST(test_operations_bad_input),
        TEST(test_info_with_window),
        TEST(test_bench),
        TEST(test_bench_on_the_ring),
    };

    return cmocka_run_group_tests_name("guest-command", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The subcommands of vgpu, through the registers of a model of the device. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "test-guest-command-fixture.h"
#include "test.h"

/* ---- add ------------------------------------------------------------------ */

static int run_add(command_fixture *f, const char *a, const char *b)
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
    command_fixture *f = *state;

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
    command_fixture *f = *state;

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
    fake_sysfs_bind(&f->sysfs, FAKE_ADDRESS, "some_driver");
    assert_int_equal(run_add(f, "1", "2"), EXIT_SYSTEM);
    expect_output(f, "another driver");
}

/* ---- A kernel that is locked down, and VFIO --------------------------------- */

static void test_locked_down(void **state)
{
    command_fixture *f = *state;

    fail_open(-EPERM, 1);
    assert_int_equal(run_add(f, "1", "2"), EXIT_SYSTEM);
    expect_output(f, "it is locked down, as with Secure Boot");
    expect_output(f, "'modprobe vfio-pci' and 'vgpu bind'");
    expect_output(f, "vgpu(1)");
    fail_open(-EPERM, 1);
    assert_int_equal(run_info(f), EXIT_SYSTEM);
    expect_output(f, "'vgpu bind'");

    fail_open(-EACCES, 1);
    assert_int_equal(run_add(f, "1", "2"), EXIT_SYSTEM);
    expect_output(f, "Permission denied");
    assert_null(strstr(f->output, "locked down"));
    fail_open(-ENOSYS, 1);
    assert_int_equal(run_add(f, "1", "2"), EXIT_SYSTEM);
    expect_output(f, "does not remap interrupts");
}

/* A device that VFIO has given to another program is waited for. */
static void test_device_in_use(void **state)
{
    command_fixture *f = *state;

    fail_open(-EBUSY, 20);
    assert_int_equal(run_add(f, "1", "2"), EXIT_OK);
    assert_string_equal(f->output, "3\n");
    fail_open(-EBUSY, UINT32_MAX);
    f->options.timeout_ms = 5;
    assert_int_equal(run_add(f, "1", "2"), EXIT_TIMEOUT);
    expect_output(f, "in use");
}

static int run_bind(command_fixture *f)
{
    return run(f, command_bind, (char *[]){NULL});
}

static void test_bind(void **state)
{
    command_fixture *f = *state;
    char bind[128];

    assert_int_equal(run_bind(f), EXIT_SYSTEM);
    expect_output(f, "modprobe vfio-pci");

    fake_sysfs_add_driver(&f->sysfs, "vfio-pci");
    assert_int_equal(run_bind(f), EXIT_OK);
    assert_string_equal(f->output, "");
    assert_memory_equal(fake_sysfs_read(&f->sysfs, FAKE_ADDRESS, "driver_override"), "vfio-pci", 8);

    path_in(f, "sys/bus/pci/drivers/vfio-pci/bind", bind);
    assert_return_code(unlink(bind), 0);
    assert_return_code(symlink("/dev/full", bind), 0);
    assert_int_equal(run_bind(f), EXIT_SYSTEM);
    expect_output(f, "No space left");

    f->options.device = "1";
    assert_int_equal(run_bind(f), EXIT_NO_DEVICE);
    f->options.device = "x";
    assert_int_equal(run_bind(f), EXIT_USAGE);
    f->options.device = "0";
    fake_sysfs_bind(&f->sysfs, FAKE_ADDRESS, "some_driver");
    assert_int_equal(run_bind(f), EXIT_SYSTEM);
    expect_output(f, "another driver");
    expect_output(f, "/sys/bus/pci/devices/" FAKE_ADDRESS "/driver/unbind");
}

/* ---- info ----------------------------------------------------------------- */

static void test_info(void **state)
{
    command_fixture *f = *state;

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
    command_fixture *f = *state;

    f->options.json = true;
    assert_int_equal(run_info(f), EXIT_OK);
    assert_string_equal(
        f->output,
        "[{\"index\":0,\"address\":\"" FAKE_ADDRESS "\",\"protocol\":65536,\"capabilities\":1,"
        "\"extensions\":false,\"pool\":\"A\",\"priority\":\"medium\",\"vm_id\":3,"
        "\"status\":\"IDLE\",\"error_code\":0,\"uio\":null,\"access\":\"sysfs\",\"features\":0,"
        "\"window_size\":0,"
        "\"ring\":null,\"ring_entries\":0,"
        "\"host\":{\"backend\":\"cpu\",\"name\":\"A model\",\"memory_total\":1073741824,"
        "\"memory_free\":536870912,\"multiprocessors\":2,\"compute_major\":0,\"compute_minor\":0,"
        "\"driver_version\":0},\"result\":0}]\n");
}

/* A host can put nothing but text on the terminal and into a JSON string. */
static void hostile_name(model *m)
{
    memcpy((char *) (model_response(m) + 1) + 16, "a\x1b[2J\"\\\n\xff", 10);
}

static void test_info_of_a_hostile_host(void **state)
{
    command_fixture *f = *state;

    f->model.lie = hostile_name;
    assert_int_equal(run_info(f), EXIT_OK);
    expect_output(f, "name:          a?[2J????\n");
    f->options.json = true;
    assert_int_equal(run_info(f), EXIT_OK);
    expect_output(f, "\"name\":\"a?[2J????\"");
}

static void test_info_without_host(void **state)
{
    command_fixture *f = *state;

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

static void test_vecadd_lengths(void **state)
{
    /* A piece in memory has 16384 elements, and a request has 124. */
    static const size_t lengths[] = {40001, 16385, 16384, 16383, 125, 124, 123, 1, 0};
    command_fixture *f = *state;

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
    command_fixture *f = *state;

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

    /* No command has touched what was in the output. */
    assert_int_equal(size_of(f, "c"), 10);
    assert_int_equal(f->model.doorbells, 0);
}

static void test_vecadd_onto_its_input(void **state)
{
    command_fixture *f = *state;
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
    command_fixture *f = *state;
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
    command_fixture *f = *state;

    make_file(f, "a", 4000, 1);
    make_file(f, "b", 4000, 2);
    f->model.lie = fail_third;
    assert_int_equal(run_vecadd(f, "a", "b", "c"), EXIT_REFUSED);
    expect_output(f, "request 2, from element 248: ");
    expect_output(f, "CUDA_ERROR");
    expect_int32_sums(f, 248);
}

/* An operand is a pipe instead of a file, so that its length is known only at the end. */
static void test_vecadd_standard_input(void **state)
{
    command_fixture *f = *state;
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
    command_fixture *f = *state;
    char a[128], *argv[] = {a, a, NULL};

    make_file(f, "a", 400, 1);
    path_in(f, "a", a);
    f->options.output = "/dev/full";
    assert_int_equal(run(f, command_vecadd, argv), EXIT_SYSTEM);
    expect_output(f, "/dev/full: No space left on device");
}

/* ---- bench ---------------------------------------------------------------- */

static void wrong_sum(model *m)
{
    model_set(m, VGPU_REG_RESPONSE + 32, model_get(m, VGPU_REG_RESPONSE + 32) ^ 1);
}

static void test_bench(void **state)
{
    command_fixture *f = *state;

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

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, command_setup, command_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_add),
        CASE(test_exit_codes),
        CASE(test_locked_down),
        CASE(test_device_in_use),
        CASE(test_bind),
        CASE(test_info),
        CASE(test_info_json),
        CASE(test_info_of_a_hostile_host),
        CASE(test_info_without_host),
        CASE(test_vecadd_lengths),
        CASE(test_vecadd_bad_input),
        CASE(test_vecadd_onto_its_input),
        CASE(test_vecadd_needs_operands),
        CASE(test_vecadd_failing_request),
        CASE(test_vecadd_standard_input),
        CASE(test_vecadd_full_disk),
        CASE(test_bench),
    };

    return cmocka_run_group_tests_name("guest-command", tests, NULL, NULL);
}

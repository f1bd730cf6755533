/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The subcommands of vgpu whose output cannot be written: each says so and fails. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "test-guest-command-fixture.h"
#include "test.h"

static int setup(void **state)
{
    command_fixture *f;

    command_setup(state);
    f = *state;
    ring_model_add(&f->model, &f->sysfs, UINT64_C(1) << 20);
    make_file(f, "a", 6400, 1);
    return 0;
}

/* Run a subcommand with a full disk as its standard output, and expect it to say so. */
static void expect_full(command_fixture *f, const char *what,
                        int (*command)(const options *, char **), char **argv)
{
    int code = run_into(f, "/dev/full", command, argv);

    if (code != EXIT_SYSTEM)
        fail_msg("%s ends with %d, not %d", what, code, EXIT_SYSTEM);
    if (!strstr(f->output, "standard output: No space left on device"))
        fail_msg("%s says: '%s'", what, f->output);
}

static void test_full_disk(void **state)
{
    static const struct {
        const char *name;
        int (*run)(const options *o, char **argv);
    } commands[] = {
        {"info", command_info}, {"sum", command_sum},     {"min", command_min},
        {"max", command_max},   {"dot", command_dot},     {"vecadd", command_vecadd},
        {"mul", command_mul},   {"bench", command_bench},
    };
    command_fixture *f = *state;
    char path[128], *argv[] = {path, path, NULL};

    path_in(f, "a", path);
    f->options.output = "-";
    f->options.count = 20;
    for (size_t i = 0; i < ELEMENTSOF(commands); i++)
        expect_full(f, commands[i].name, commands[i].run, argv);

    expect_full(f, "add", command_add, (char *[]){(char *) "1", (char *) "2", NULL});
    f->options.type = VGPU_FLOAT32;
    f->options.has_alpha = true;
    expect_full(f, "axpy", command_axpy, argv);
    f->options.inner = 40;
    expect_full(f, "matmul", command_matmul, argv);
    f->options.json = true;
    expect_full(f, "info --json", command_info, argv);
    expect_full(f, "bench --json", command_bench, argv);
    f->options.depth = 4;
    expect_full(f, "bench --json --depth", command_bench, argv);
}

static void refuse(model *m)
{
    model_end_with_error(m, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
}

/* What has failed before does not hide it: the message of that comes between the output and its
 * end. */
static void test_full_disk_and_no_host(void **state)
{
    command_fixture *f = *state;

    f->model.lie = refuse;
    expect_full(f, "info", command_info, (char *[]){NULL});
    expect_output(f, "MEDIATOR_UNAVAILABLE");
}

/* This command writes each line when it has it, so nothing is left to fail at the end. */
static void test_full_disk_of_the_selftest(void **state)
{
    command_fixture *f = *state;

    expect_full(f, "selftest", command_selftest, (char *[]){NULL});
    f->model.ring.violations = 0; /* those are among its checks */
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, command_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_full_disk),
        CASE(test_full_disk_and_no_host),
        CASE(test_full_disk_of_the_selftest),
    };

    return cmocka_run_group_tests_name("guest-output", tests, NULL, NULL);
}

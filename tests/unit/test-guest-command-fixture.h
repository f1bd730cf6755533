/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What tests of the subcommands of vgpu start with: a model of the device, files, and what a
 * command has printed. In place of the machine's own /sys the linker (--wrap) gives the commands a
 * tree of the test's own.
 */
#ifndef TEST_GUEST_COMMAND_FIXTURE_H
#define TEST_GUEST_COMMAND_FIXTURE_H

#include <sys/types.h>

#include "command.h"
#include "test-guest-model.h"
#include "test-guest-sysfs.h"

typedef struct command_fixture {
    fake_sysfs sysfs;
    model model;
    options options;
    char output[65536]; /* of the last run() */
} command_fixture;

/* For cmocka; the state is a command_fixture. */
int command_setup(void **state);
int command_teardown(void **state);

/* Run a subcommand with both its outputs caught. Returns its exit code. */
int run(command_fixture *f, int (*command)(const options *, char **), char **argv);
int run_info(command_fixture *f);
int run_vecadd(command_fixture *f, const char *a, const char *b, const char *c);

/* Let the next @n vgpu_open() fail. */
void fail_open(int result, unsigned int n);

/* Run a subcommand whose standard output goes into the file @path. */
int run_into(command_fixture *f, const char *path, int (*command)(const options *, char **),
             char **argv);

/* Fail the test unless @text is in what was printed. */
void expect_output(const command_fixture *f, const char *text);

/* The path of a file of the test's own, in @buffer of 128 bytes. */
const char *path_in(command_fixture *f, const char *name, char *buffer);

/* A file of @size bytes, the same for the same @seed. */
void make_file(command_fixture *f, const char *name, size_t size, uint32_t seed);

/* Its size, or -1 when there is none. */
off_t size_of(command_fixture *f, const char *name);

/* Is the file c the sums of a and b, @n elements? */
void expect_int32_sums(command_fixture *f, size_t n);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tests in processes of their own, for what ends CUDA in a process or is about a process. Such a
 * program is run as PROGRAM SOURCE-ROOT for all its tests, and as PROGRAM SOURCE-ROOT NAME for one
 * of those that are apart.
 */
#ifndef VGPU_TEST_LIBCUDA_APART_H
#define VGPU_TEST_LIBCUDA_APART_H

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test-libcuda.h"

/* apart_exec() - be a program that runs one test. What it says of it goes to standard error. */
static inline void apart_exec(const char *name)
{
    setenv("CMOCKA_MESSAGE_OUTPUT", "STDOUT", 1);
    (void) dup2(STDERR_FILENO, STDOUT_FILENO);
    execl("/proc/self/exe", program_invocation_name, libcuda_sources, name, NULL);
    _exit(127);
}

/* apart_wait() - the exit status of a child, or -1 */
static inline int apart_wait(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* apart_run() - the test of that name passes in a process of its own */
static inline void apart_run(const char *name)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        apart_exec(name);
    assert_int_equal(apart_wait(child), 0);
}

static inline int apart_main(int argc, char **argv, const struct CMUnitTest *apart, size_t n)
{
    libcuda_sources = argv[1];
    for (size_t i = 0; argc == 3 && i < n; i++) {
        const struct CMUnitTest one[] = {apart[i]};

        if (strcmp(apart[i].name, argv[2]) == 0)
            return cmocka_run_group_tests_name(argv[2], one, NULL, NULL);
    }
    fprintf(stderr, "%s: no test %s\n", argv[0], argv[2]);
    return EXIT_FAILURE;
}

/* apart_test_main() - for main(): as libcuda_test_main(); @apart are those with names */
#define apart_test_main(argc, argv, tests, apart)                                    \
    ((argc) == 3 ? apart_main(argc, argv, apart, sizeof(apart) / sizeof((apart)[0])) \
                 : libcuda_test_main(argc, argv, tests))

#endif

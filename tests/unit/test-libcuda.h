/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For programs that test the libcuda.so.1 for guests: they are linked against it, as a program of
 * the driver API is, and have a session by $VGPU_SOCKET. Each is run as PROGRAM SOURCE-ROOT.
 */
#ifndef VGPU_TEST_LIBCUDA_H
#define VGPU_TEST_LIBCUDA_H

#include <stdio.h>
#include <stdlib.h>

#include "cuda-api-graphs.h"
#include "cuda-api.h"
#include "test.h"

#define CALL(call) assert_int_equal(call, CUDA_SUCCESS)
#define CALL_FAILS(result, call) assert_int_equal(call, result)

/* The root of the sources */
static const char *libcuda_sources;

/* libcuda_load() - a module of the sources, in the current context */
static inline CUmodule libcuda_load(const char *path)
{
    char whole[4096];
    CUmodule module;

    snprintf(whole, sizeof(whole), "%s/%s", libcuda_sources, path);
    CALL(cuModuleLoad(&module, whole));
    return module;
}

/* libcuda_primary() - have the device's primary context current in this thread */
static inline CUcontext libcuda_primary(void)
{
    CUcontext context;

    CALL(cuInit(0));
    CALL(cuDevicePrimaryCtxRetain(&context, 0));
    CALL(cuCtxSetCurrent(context));
    return context;
}

/* libcuda_test_main() - for main(): its arguments, and then the tests */
#define libcuda_test_main(argc, argv, tests)                                             \
    ((argc) != 2 ? (fprintf(stderr, "usage: %s SOURCE-ROOT\n", (argv)[0]), EXIT_FAILURE) \
                 : (libcuda_sources = (argv)[1], cmocka_run_group_tests(tests, NULL, NULL)))

#endif

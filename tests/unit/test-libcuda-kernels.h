/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For programs that test libcuda.so.1: a kernel that fills memory, and a look at what is there. */
#ifndef VGPU_TEST_LIBCUDA_KERNELS_H
#define VGPU_TEST_LIBCUDA_KERNELS_H

#include "test-libcuda.h"

/* libcuda_fill() - has a kernel write @value to @n words, in a stream of the current context */
static inline void libcuda_fill(CUmodule module, CUdeviceptr to, uint32_t value, uint64_t n,
                                CUstream stream)
{
    void *parameters[] = {&to, &value, &n};
    CUfunction function;

    CALL(cuModuleGetFunction(&function, module, "fill"));
    CALL(cuLaunchKernel(function, (unsigned) ((n + 255) / 256), 1, 1, 256, 1, 1, 0, stream,
                        parameters, NULL));
}

/* libcuda_check() - are all of @n words @value? */
static inline void libcuda_check(CUdeviceptr from, uint32_t value, uint64_t n)
{
    uint32_t *words = malloc(n * sizeof(*words));

    assert_non_null(words);
    CALL(cuMemcpyDtoH_v2(words, from, n * sizeof(*words)));
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(words[i], value);
    free(words);
}

#endif

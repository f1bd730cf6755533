/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libcuda-log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda-results.h"

void libcuda_log(const char *format, ...)
{
    const char *wanted = getenv("VGPU_CUDA_LOG");
    va_list arguments;

    if (!wanted || strcmp(wanted, "1") != 0)
        return;
    va_start(arguments, format);
    flockfile(stderr);
    fputs("libcuda.so.1 of vgpu: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    funlockfile(stderr);
    va_end(arguments);
}

int libcuda_refuse(const char *name, bool *is_told)
{
    if (!__atomic_exchange_n(is_told, true, __ATOMIC_RELAXED))
        libcuda_log("%s is not served", name);
    return VGPU_CUDA_ERROR_NOT_SUPPORTED;
}

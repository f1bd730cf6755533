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
    char line[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    libcuda_log_keep(line);
    if (wanted && strcmp(wanted, "1") == 0)
        fprintf(stderr, "libcuda.so.1 of vgpu: %s\n", line);
}

int libcuda_refuse(const char *name, bool *is_told)
{
    if (!__atomic_exchange_n(is_told, true, __ATOMIC_RELAXED))
        libcuda_log("%s is not served", name);
    return VGPU_CUDA_ERROR_NOT_SUPPORTED;
}

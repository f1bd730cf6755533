/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A CUDA driver from before sessions: it has what the built-in operations use, and no more. */
#include "cuda-driver.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

#define OLD_FUNCTION(member, symbol, parameters) \
    CUresult symbol parameters;                  \
    CUresult symbol parameters                   \
    {                                            \
        return CUDA_ERROR_UNKNOWN;               \
    }
CUDA_DRIVER_FUNCTIONS(OLD_FUNCTION)

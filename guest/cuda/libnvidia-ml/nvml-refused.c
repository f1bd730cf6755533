/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The functions that are not served: each refuses, and says once by which name it was called. So a
 * program finds each name of NVIDIA's library, and is told the truth.
 */
#include "nvml-library.h"
#include "nvml-symbols.h"

/* This file declares none of them: to whoever only returns a number, parameters do not matter. */
#define REFUSED_(symbol, result)                                    \
    int symbol(void);                                               \
    __attribute__((visibility("default"))) int symbol(void)         \
    {                                                               \
        static bool is_told;                                        \
                                                                    \
        return nvml_refuse(#symbol, NVML_ERROR_##result, &is_told); \
    }
#define REFUSED_SERVED(symbol)
#define REFUSED_NOT_SUPPORTED(symbol) REFUSED_(symbol, NOT_SUPPORTED)
#define REFUSED_NO_PERMISSION(symbol) REFUSED_(symbol, NO_PERMISSION)
#define REFUSED_OF(symbol, kind) REFUSED_##kind(symbol)
NVML_SYMBOLS(REFUSED_OF)

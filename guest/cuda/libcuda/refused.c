/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every exported function is that no file of this library has: it refuses, and says once by
 * which name it was called. So a program finds each name of the driver, and is told the truth.
 */
#include "libcuda-log.h"
#include "symbols.h"

/* This file declares none of them: to whoever only returns a number, parameters do not matter.
 * Their section says which they are. */
#define REFUSED_(symbol, base, since, streams)                                             \
    int symbol(void);                                                                      \
    __attribute__((weak, visibility("default"), section("refused_text"))) int symbol(void) \
    {                                                                                      \
        static bool is_told;                                                               \
                                                                                           \
        return libcuda_refuse(#symbol, &is_told);                                          \
    }
LIBCUDA_SYMBOLS(REFUSED_)
#undef REFUSED_

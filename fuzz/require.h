/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_FUZZ_REQUIRE_H
#define VGPU_FUZZ_REQUIRE_H

#include <stdbool.h>
#include <stdlib.h>

/* require() - what must hold for every input; otherwise the program aborts, and the fuzzer keeps
 * the input */
static inline void require(bool condition)
{
    if (!condition)
        abort();
}

#endif

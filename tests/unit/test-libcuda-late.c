/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A library that a program opens late, and that does not say that it needs libcuda.so.1: when the
 * process ends, it is called after that. */
#include "test-libcuda-late.h"

void (*late_call)(void);

__attribute__((destructor)) static void late_end(void)
{
    if (late_call)
        late_call();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-session.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

int cuda_session_driver_open(CudaSessionDriver *ret, char *reason, size_t reason_size)
{
    CudaSessionDriver d = {0};
    int r = cuda_driver_open(&d.base, reason, reason_size);

    if (r < 0)
        return r;

#define LOOK_UP(member, symbol, parameters)                                                      \
    *(void **) &d.member = dlsym(d.base.shared_object, #symbol);                                 \
    if (!d.member) {                                                                             \
        snprintf(reason, reason_size, "the driver is too old for sessions: it has no " #symbol); \
        cuda_driver_close(&d.base);                                                              \
        return -ENODEV;                                                                          \
    }
    CUDA_SESSION_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
#define LOOK_UP_OPTIONAL(member, symbol, parameters) \
    *(void **) &d.member = dlsym(d.base.shared_object, #symbol);
    CUDA_SESSION_OPTIONAL(LOOK_UP_OPTIONAL)
#undef LOOK_UP_OPTIONAL

    *ret = d;
    return 0;
}

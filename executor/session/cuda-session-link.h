/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's functions for the linker; see cuda-session.h. */
#ifndef VGPU_SESSION_CUDA_SESSION_LINK_H
#define VGPU_SESSION_CUDA_SESSION_LINK_H

#include "cuda-driver.h"

typedef struct CUlinkState_st *CUlinkState;

/* CUjitInputType */
enum {
    CU_JIT_INPUT_CUBIN = 0,
    CU_JIT_INPUT_PTX = 1,
    CU_JIT_INPUT_FATBINARY = 2,
    CU_JIT_INPUT_OBJECT = 3,  /* a host's, with code for devices in it */
    CU_JIT_INPUT_LIBRARY = 4, /* an archive of such */
};

/* Options, where they are of the whole linker, and the logs that they name stay in use until the
 * state is destroyed; so does the result, which is the state's. */
#define CUDA_LINK_FUNCTIONS(X)                                                                     \
    X(link_create, cuLinkCreate_v2, (unsigned n, int *options, void **values, CUlinkState *state)) \
    X(link_add_data, cuLinkAddData_v2,                                                             \
      (CUlinkState state, int type, void *data, size_t size, const char *name, unsigned n,         \
       int *options, void **values))                                                               \
    X(link_complete, cuLinkComplete, (CUlinkState state, void **cubin, size_t *size))              \
    X(link_destroy, cuLinkDestroy, (CUlinkState state))

#endif

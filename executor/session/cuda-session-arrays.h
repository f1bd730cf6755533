/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's functions for arrays, mipmaps, textures, surfaces and tensor maps; see
 * cuda-session.h. */
#ifndef VGPU_SESSION_CUDA_SESSION_ARRAYS_H
#define VGPU_SESSION_CUDA_SESSION_ARRAYS_H

#include "cuda-driver.h"

typedef struct CUarray_st *CUarray;

#define CUDA_ARRAY_FUNCTIONS(X)

/* X(member, symbol, parameters): NULL in a driver that is older than the function */
#define CUDA_ARRAY_OPTIONAL(X)

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's functions for memory that processes share; see cuda-session.h. */
#ifndef VGPU_SESSION_CUDA_SESSION_SHARE_H
#define VGPU_SESSION_CUDA_SESSION_SHARE_H

#include "cuda-driver.h"

typedef unsigned long long CUmemGenericAllocationHandle;

#define CUDA_SHARE_FUNCTIONS(X)

#endif

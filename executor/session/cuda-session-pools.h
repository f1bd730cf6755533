/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's functions for pools of memory; see cuda-session.h. */
#ifndef VGPU_SESSION_CUDA_SESSION_POOLS_H
#define VGPU_SESSION_CUDA_SESSION_POOLS_H

#include "cuda-driver.h"

#define CUDA_POOL_FUNCTIONS(X)

#endif

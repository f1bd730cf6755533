/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's functions for the linker; see cuda-session.h. */
#ifndef VGPU_SESSION_CUDA_SESSION_LINK_H
#define VGPU_SESSION_CUDA_SESSION_LINK_H

#include "cuda-driver.h"

#define CUDA_LINK_FUNCTIONS(X)

#endif

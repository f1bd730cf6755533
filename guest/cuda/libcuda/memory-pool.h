/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pools of the device's memory: what allocations in the order of a stream need of them. */
#ifndef VGPU_LIBCUDA_MEMORY_POOL_H
#define VGPU_LIBCUDA_MEMORY_POOL_H

#include "cuda-api-memory.h"
#include "libcuda.h"

/* pool_number() - by which the executor knows it. Returns false for what is no pool. */
bool pool_number(CUmemoryPool handle, uint32_t *ret);

/* pool_current() - the device's: what cuMemAllocAsync() allocates from. Also _NOT_SUPPORTED,
 * _OUT_OF_MEMORY */
CUresult pool_current(CUmemoryPool *ret);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's functions for pools of memory; see cuda-session.h. */
#ifndef VGPU_SESSION_CUDA_SESSION_POOLS_H
#define VGPU_SESSION_CUDA_SESSION_POOLS_H

#include "cuda-driver.h"

typedef struct CUmemPoolHandle_st *CUmemoryPool;

typedef struct CUmemLocation {
    int type;
    int id;
} CUmemLocation;

/* CUmemPoolProps_v1 */
typedef struct CUmemPoolProps {
    int allocation_type;
    int handle_types;
    CUmemLocation location;
    void *win32_security_attributes;
    size_t max_size; /* bytes; 0: as the system has it */
    unsigned short usage;
    unsigned char reserved[54];
} CUmemPoolProps;

/* CUmemPool_attribute: an int, or 64 bits */
enum {
    CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES = 1,   /* int */
    CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC = 2,         /* int */
    CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES = 3, /* int */
    CU_MEMPOOL_ATTR_RELEASE_THRESHOLD = 4,
    CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT = 5,
    CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH = 6,
    CU_MEMPOOL_ATTR_USED_MEM_CURRENT = 7,
    CU_MEMPOOL_ATTR_USED_MEM_HIGH = 8,
};

#define CUDA_POOL_FUNCTIONS(X)                                                              \
    X(device_get_default_mem_pool, cuDeviceGetDefaultMemPool,                               \
      (CUmemoryPool * pool, CUdevice device))                                               \
    X(mem_pool_create, cuMemPoolCreate, (CUmemoryPool * pool, const CUmemPoolProps *props)) \
    X(mem_pool_destroy, cuMemPoolDestroy, (CUmemoryPool pool))                              \
    X(mem_pool_get_attribute, cuMemPoolGetAttribute,                                        \
      (CUmemoryPool pool, int attribute, void *value))                                      \
    X(mem_pool_set_attribute, cuMemPoolSetAttribute,                                        \
      (CUmemoryPool pool, int attribute, void *value))                                      \
    X(mem_pool_trim_to, cuMemPoolTrimTo, (CUmemoryPool pool, size_t keep))                  \
    X(mem_alloc_from_pool_async, cuMemAllocFromPoolAsync,                                   \
      (CUdeviceptr * device, size_t size, CUmemoryPool pool, CUstream stream))

#endif

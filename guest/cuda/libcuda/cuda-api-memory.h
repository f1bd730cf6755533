/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What programs see of the driver API for memory beyond cuda-api.h: pools, managed memory, memory
 * of the program's own, and memory that processes share. Facts from the "CUDA Driver API" reference
 * manual, version 13.0 (docs.nvidia.com/cuda/cuda-driver-api).
 */
#ifndef VGPU_LIBCUDA_CUDA_API_MEMORY_H
#define VGPU_LIBCUDA_CUDA_API_MEMORY_H

#include "cuda-api.h"

typedef struct CUmemPoolHandle_st *CUmemoryPool;

/* CUmemLocationType, CUmemAllocationType, CUmemAllocationHandleType, CUmemAccess_flags */
enum {
    LOCATION_NONE = 0,
    LOCATION_DEVICE = 1,
    LOCATION_HOST = 2,
    LOCATION_HOST_NUMA = 3,
    LOCATION_HOST_NUMA_CURRENT = 4,
    ALLOCATION_PINNED = 1,
    ALLOCATION_MANAGED = 2,
    HANDLE_TYPE_FD = 1,
    HANDLE_TYPE_FABRIC = 8,
    ACCESS_NONE = 0,
    ACCESS_READ = 1,
    ACCESS_READ_WRITE = 3,
};

/* A device that is the program's own processor, and one that is none */
#define CU_DEVICE_CPU (-1)
#define CU_DEVICE_INVALID (-2)

/* CUmemPoolProps_v1 */
typedef struct PoolProps {
    int type;
    int handle_types;
    MemLocation location;
    void *win32;
    size_t max_size;
    unsigned short usage;
    unsigned char reserved[54];
} PoolProps;

/* CUmemPool_attribute: an int, or 64 bits */
enum {
    POOL_REUSE_FOLLOW_EVENT_DEPENDENCIES = 1,
    POOL_REUSE_ALLOW_OPPORTUNISTIC = 2,
    POOL_REUSE_ALLOW_INTERNAL_DEPENDENCIES = 3,
    POOL_RELEASE_THRESHOLD = 4,
    POOL_RESERVED_MEM_CURRENT = 5,
    POOL_RESERVED_MEM_HIGH = 6,
    POOL_USED_MEM_CURRENT = 7,
    POOL_USED_MEM_HIGH = 8,
};

/* CUpointer_attribute */
enum {
    POINTER_CONTEXT = 1,
    POINTER_MEMORY_TYPE = 2,
    POINTER_DEVICE_POINTER = 3,
    POINTER_HOST_POINTER = 4,
    POINTER_P2P_TOKENS = 5,
    POINTER_SYNC_MEMOPS = 6,
    POINTER_BUFFER_ID = 7,
    POINTER_IS_MANAGED = 8,
    POINTER_DEVICE_ORDINAL = 9,
    POINTER_IS_LEGACY_IPC = 10,
    POINTER_RANGE_START = 11,
    POINTER_RANGE_SIZE = 12,
    POINTER_MAPPED = 13,
    POINTER_HANDLE_TYPES = 14,
    POINTER_IS_GPU_DIRECT = 15,
    POINTER_ACCESS = 16,
    POINTER_MEMPOOL = 17,
    POINTER_MAPPING_SIZE = 18,
    POINTER_MAPPING_BASE = 19,
    POINTER_BLOCK_ID = 20,
    POINTER_HW_DECOMPRESS = 21,
};

/* CU_MEMHOSTALLOC_*, CU_MEMHOSTREGISTER_*, CUmemAttach_flags */
enum {
    HOST_PORTABLE = 0x1,
    HOST_DEVICE_MAP = 0x2,
    HOST_WRITE_COMBINED = 0x4,
    REGISTER_IO_MEMORY = 0x4,
    REGISTER_READ_ONLY = 0x8,
    ATTACH_GLOBAL = 0x1,
    ATTACH_HOST = 0x2,
    ATTACH_SINGLE = 0x4,
};

/* CUmem_advise, CUmem_range_attribute */
enum {
    ADVISE_SET_READ_MOSTLY = 1,
    ADVISE_UNSET_READ_MOSTLY = 2,
    ADVISE_SET_PREFERRED_LOCATION = 3,
    ADVISE_UNSET_PREFERRED_LOCATION = 4,
    ADVISE_SET_ACCESSED_BY = 5,
    ADVISE_UNSET_ACCESSED_BY = 6,
    RANGE_READ_MOSTLY = 1,
    RANGE_PREFERRED_LOCATION = 2,
    RANGE_ACCESSED_BY = 3,
    RANGE_LAST_PREFETCH_LOCATION = 4,
    RANGE_PREFERRED_LOCATION_TYPE = 5,
    RANGE_PREFERRED_LOCATION_ID = 6,
    RANGE_LAST_PREFETCH_LOCATION_TYPE = 7,
    RANGE_LAST_PREFETCH_LOCATION_ID = 8,
};

/* CUipcMemHandle_v1, CUipcMem_flags */
/* CUipcEventHandle, CUipcMemHandle */
typedef struct IpcEventHandle {
    unsigned char bytes[64];
} IpcEventHandle;

typedef struct IpcMemHandle {
    unsigned char bytes[64];
} IpcMemHandle;

#define IPC_LAZY_ENABLE_PEER_ACCESS 1u

/* CUstreamBatchMemOpType */
enum {
    WORD_OP_WAIT_32 = 1,
    WORD_OP_WRITE_32 = 2,
    WORD_OP_FLUSH_REMOTE_WRITES = 3,
    WORD_OP_WAIT_64 = 4,
    WORD_OP_WRITE_64 = 5,
    WORD_OP_BARRIER = 6,
};

/* CUstreamBatchMemOpParams_v1, as waits and writes have it */
typedef struct WordOp {
    int operation;
    CUdeviceptr address;
    cuuint64_t value; /* the lower half of 32 bits */
    unsigned flags;
    CUdeviceptr alias;
    cuuint64_t pad;
} WordOp;

/* CUstreamWaitValue_flags, CUstreamWriteValue_flags */
enum {
    WORD_WAIT_NOR = 0x3,
    WORD_WAIT_FLUSH = 0x40000000,
    WORD_WRITE_NO_MEMORY_BARRIER = 0x1,
};

#pragma GCC visibility push(default)

/* ---- In the order of a stream, and its pools ----------------------------------------------------
 */

CUresult cuMemAllocAsync(CUdeviceptr *ret, size_t size, CUstream stream);
CUresult cuMemAllocAsync_ptsz(CUdeviceptr *ret, size_t size, CUstream stream);
CUresult cuMemAllocFromPoolAsync(CUdeviceptr *ret, size_t size, CUmemoryPool pool, CUstream stream);
CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *ret, size_t size, CUmemoryPool pool,
                                      CUstream stream);
CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream);
CUresult cuMemFreeAsync_ptsz(CUdeviceptr address, CUstream stream);

CUresult cuMemPoolCreate(CUmemoryPool *ret, const PoolProps *props);
CUresult cuMemPoolDestroy(CUmemoryPool pool);
CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep);
CUresult cuMemPoolSetAttribute(CUmemoryPool pool, int attribute, void *value);
CUresult cuMemPoolGetAttribute(CUmemoryPool pool, int attribute, void *value);
CUresult cuMemPoolSetAccess(CUmemoryPool pool, const AccessDesc *access, size_t n);
CUresult cuMemPoolGetAccess(int *flags, CUmemoryPool pool, MemLocation *location);
CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *ret, CUdevice device);
CUresult cuDeviceGetMemPool(CUmemoryPool *ret, CUdevice device);
CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool);
CUresult cuMemGetDefaultMemPool(CUmemoryPool *ret, MemLocation *location, int type);
CUresult cuMemGetMemPool(CUmemoryPool *ret, MemLocation *location, int type);
CUresult cuMemSetMemPool(MemLocation *location, int type, CUmemoryPool pool);

/* ---- Managed memory ----------------------------------------------------------------------------
 */

CUresult cuMemAdvise(CUdeviceptr address, size_t size, int advice, CUdevice device);
CUresult cuMemAdvise_v2(CUdeviceptr address, size_t size, int advice, MemLocation location);
CUresult cuMemPrefetchAsync(CUdeviceptr address, size_t size, CUdevice device, CUstream stream);
CUresult cuMemPrefetchAsync_ptsz(CUdeviceptr address, size_t size, CUdevice device,
                                 CUstream stream);
CUresult cuMemPrefetchAsync_v2(CUdeviceptr address, size_t size, MemLocation location,
                               unsigned flags, CUstream stream);
CUresult cuMemPrefetchAsync_v2_ptsz(CUdeviceptr address, size_t size, MemLocation location,
                                    unsigned flags, CUstream stream);
CUresult cuMemPrefetchBatchAsync(CUdeviceptr *addresses, size_t *sizes, size_t n,
                                 MemLocation *locations, size_t *indices, size_t n_locations,
                                 unsigned long long flags, CUstream stream);
CUresult cuMemPrefetchBatchAsync_ptsz(CUdeviceptr *addresses, size_t *sizes, size_t n,
                                      MemLocation *locations, size_t *indices, size_t n_locations,
                                      unsigned long long flags, CUstream stream);
CUresult cuMemDiscardBatchAsync(CUdeviceptr *addresses, size_t *sizes, size_t n,
                                unsigned long long flags, CUstream stream);
CUresult cuMemDiscardBatchAsync_ptsz(CUdeviceptr *addresses, size_t *sizes, size_t n,
                                     unsigned long long flags, CUstream stream);
CUresult cuMemDiscardAndPrefetchBatchAsync(CUdeviceptr *addresses, size_t *sizes, size_t n,
                                           MemLocation *locations, size_t *indices,
                                           size_t n_locations, unsigned long long flags,
                                           CUstream stream);
CUresult cuMemDiscardAndPrefetchBatchAsync_ptsz(CUdeviceptr *addresses, size_t *sizes, size_t n,
                                                MemLocation *locations, size_t *indices,
                                                size_t n_locations, unsigned long long flags,
                                                CUstream stream);
CUresult cuMemRangeGetAttribute(void *data, size_t size, int attribute, CUdeviceptr address,
                                size_t n);
CUresult cuMemRangeGetAttributes(void **data, size_t *sizes, int *attributes, size_t n_attributes,
                                 CUdeviceptr address, size_t n);
CUresult cuStreamAttachMemAsync(CUstream stream, CUdeviceptr address, size_t size, unsigned flags);
CUresult cuStreamAttachMemAsync_ptsz(CUstream stream, CUdeviceptr address, size_t size,
                                     unsigned flags);

/* ---- Memory of the program's own ---------------------------------------------------------------
 */

CUresult cuMemHostRegister(void *memory, size_t size, unsigned flags);
CUresult cuMemHostRegister_v2(void *memory, size_t size, unsigned flags);
CUresult cuMemHostUnregister(void *memory);

/* ---- Memory that processes share, and what is mapped -------------------------------------------
 */

CUresult cuIpcGetEventHandle(IpcEventHandle *ret, CUevent event);
CUresult cuIpcOpenEventHandle(CUevent *ret, IpcEventHandle handle);
CUresult cuIpcGetMemHandle(IpcMemHandle *ret, CUdeviceptr address);
CUresult cuIpcOpenMemHandle(CUdeviceptr *ret, IpcMemHandle handle, unsigned flags);
CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *ret, IpcMemHandle handle, unsigned flags);
CUresult cuIpcCloseMemHandle(CUdeviceptr address);
CUresult cuMemExportToShareableHandle(void *ret, CUmemGenericAllocationHandle handle, int type,
                                      unsigned long long flags);
CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *ret, void *shareable,
                                        int type);
CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *ret, void *address);
CUresult cuMemGetAccess(unsigned long long *flags, const MemLocation *location,
                        CUdeviceptr address);

CUresult cuStreamBatchMemOp(CUstream stream, unsigned n, WordOp *ops, unsigned flags);
CUresult cuStreamBatchMemOp_ptsz(CUstream stream, unsigned n, WordOp *ops, unsigned flags);
CUresult cuStreamBatchMemOp_v2(CUstream stream, unsigned n, WordOp *ops, unsigned flags);
CUresult cuStreamBatchMemOp_v2_ptsz(CUstream stream, unsigned n, WordOp *ops, unsigned flags);

#pragma GCC visibility pop

#endif

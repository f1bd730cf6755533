/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The functions of the driver that driver-memory calls, and how it tells their results. */
#ifndef VGPU_TEST_DRIVER_PROBE_H
#define VGPU_TEST_DRIVER_PROBE_H

#include <stdio.h>
#include <stdlib.h>

#include "cuda-api-memory.h"

#define SIZE ((size_t) 1 << 16)
#define GRANULE ((size_t) 2 << 20)

#define FUNCTIONS(X)                          \
    X(cuInit)                                 \
    X(cuDevicePrimaryCtxRetain)               \
    X(cuCtxSetCurrent)                        \
    X(cuCtxSynchronize)                       \
    X(cuModuleLoad)                           \
    X(cuModuleGetFunction)                    \
    X(cuLaunchKernel)                         \
    X(cuStreamCreate)                         \
    X(cuStreamSynchronize)                    \
    X(cuMemAlloc_v2)                          \
    X(cuMemFree_v2)                           \
    X(cuMemHostAlloc)                         \
    X(cuMemAllocManaged)                      \
    X(cuMemGetAddressRange_v2)                \
    X(cuPointerGetAttribute)                  \
    X(cuPointerGetAttributes)                 \
    X(cuPointerSetAttribute)                  \
    X(cuMemAllocAsync)                        \
    X(cuMemAllocFromPoolAsync)                \
    X(cuMemFreeAsync)                         \
    X(cuMemPoolCreate)                        \
    X(cuMemPoolDestroy)                       \
    X(cuMemPoolTrimTo)                        \
    X(cuMemPoolSetAttribute)                  \
    X(cuMemPoolGetAttribute)                  \
    X(cuMemPoolSetAccess)                     \
    X(cuMemPoolGetAccess)                     \
    X(cuDeviceGetDefaultMemPool)              \
    X(cuDeviceGetMemPool)                     \
    X(cuDeviceSetMemPool)                     \
    X(cuMemAddressReserve)                    \
    X(cuMemAddressFree)                       \
    X(cuMemGetAllocationGranularity)          \
    X(cuMemCreate)                            \
    X(cuMemRelease)                           \
    X(cuMemMap)                               \
    X(cuMemUnmap)                             \
    X(cuMemSetAccess)                         \
    X(cuMemGetAccess)                         \
    X(cuMemRetainAllocationHandle)            \
    X(cuMemExportToShareableHandle)           \
    X(cuMemImportFromShareableHandle)         \
    X(cuMemGetAllocationPropertiesFromHandle) \
    X(cuIpcGetMemHandle)                      \
    X(cuIpcOpenMemHandle_v2)                  \
    X(cuIpcCloseMemHandle)                    \
    X(cuMemAdvise)                            \
    X(cuMemPrefetchAsync)                     \
    X(cuMemRangeGetAttribute)                 \
    X(cuStreamAttachMemAsync)                 \
    X(cuMemHostRegister_v2)                   \
    X(cuMemHostUnregister)                    \
    X(cuMemHostGetFlags)                      \
    X(cuMemHostGetDevicePointer_v2)           \
    X(cuStreamWriteValue32_v2)                \
    X(cuStreamWaitValue32_v2)                 \
    X(cuStreamWriteValue64_v2)                \
    X(cuStreamBatchMemOp_v2)

#define MEMBER_(name) __typeof__(name) *name;
typedef struct ProbeAPI {
    FUNCTIONS(MEMBER_)
} ProbeAPI;
#undef MEMBER_

extern ProbeAPI api;
extern CUcontext context;
extern CUstream stream;

/* probe_need() - ends the program after an error; for what the rest cannot do without */
void probe_need(CUresult r, const char *what);

#define NEED(call) probe_need(api.call, #call)

/* TELL() - prints the result */
#define TELL(call) printf(" %d", api.call)

/* probe_pointers() - pointers of every kind; what is mapped; what processes share
 * (driver-pointers.c) */
void probe_pointers(void);

/* What is of the one device */
#define HERE                    \
    {                           \
        .type = LOCATION_DEVICE \
    }

#endif

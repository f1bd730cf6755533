/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's functions for memory that processes share; see cuda-session.h. */
#ifndef VGPU_SESSION_CUDA_SESSION_SHARE_H
#define VGPU_SESSION_CUDA_SESSION_SHARE_H

#include "cuda-driver.h"

typedef unsigned long long CUmemGenericAllocationHandle;

#define CU_IPC_HANDLE_SIZE 64

typedef struct CUipcMemHandle {
    char bytes[CU_IPC_HANDLE_SIZE];
} CUipcMemHandle;

enum {
    CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS = 1,
    CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR = 1,
};

/* A shareable handle is an int *, where the driver writes the descriptor; and the descriptor
 * itself, in the pointer's place, where it reads it. */
#define CUDA_SHARE_FUNCTIONS(X)                                                                   \
    X(ipc_get_mem_handle, cuIpcGetMemHandle, (CUipcMemHandle * handle, CUdeviceptr address))      \
    X(ipc_open_mem_handle, cuIpcOpenMemHandle_v2,                                                 \
      (CUdeviceptr * address, CUipcMemHandle handle, unsigned flags))                             \
    X(ipc_close_mem_handle, cuIpcCloseMemHandle, (CUdeviceptr address))                           \
    X(mem_export, cuMemExportToShareableHandle,                                                   \
      (void *shareable, CUmemGenericAllocationHandle handle, int type, unsigned long long flags)) \
    X(mem_import, cuMemImportFromShareableHandle,                                                 \
      (CUmemGenericAllocationHandle * handle, void *shareable, int type))

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The part of NVIDIA's CUDA driver API that sessions use. As in cuda-driver.h, types, constants and
 * prototypes are facts from the "CUDA Driver API" reference manual, version 13.0
 * (docs.nvidia.com/cuda/cuda-driver-api); names are those of the current 64-bit ABI. All are in
 * driver 550 (CUDA 12.4) unless marked.
 */
#ifndef VGPU_SESSION_CUDA_SESSION_H
#define VGPU_SESSION_CUDA_SESSION_H

#include "cuda-driver.h"
#include "cuda-session-arrays.h"
#include "cuda-session-link.h"
#include "cuda-session-nodes.h"
#include "cuda-session-pools.h"
#include "cuda-session-share.h"

typedef struct CUevent_st *CUevent;
typedef void (*CUhostFn)(void *user_data);

typedef struct CUuuid {
    unsigned char bytes[16];
} CUuuid;

enum {
    CUDA_ERROR_INVALID_SOURCE = 300,
    CUDA_ERROR_NOT_READY = 600,
    CUDA_ERROR_NOT_PERMITTED = 800,
    CUDA_ERROR_NOT_SUPPORTED = 801,
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
};

enum {
    CU_MEM_ALLOCATION_TYPE_PINNED = 1,
    CU_MEM_LOCATION_TYPE_DEVICE = 1,
    CU_MEM_ALLOC_GRANULARITY_MINIMUM = 0,
    CU_MEM_ALLOC_GRANULARITY_RECOMMENDED = 1,
    CU_STREAM_WAIT_VALUE_GEQ = 0,
    CU_STREAM_CAPTURE_STATUS_NONE = 0,
    CU_STREAM_CAPTURE_STATUS_ACTIVE = 1,
};

/* CUDA_MEMCPY3D_v2 */
typedef struct CudaCopy3D {
    size_t src_x_bytes, src_y, src_z, src_lod;
    int src_type;
    const void *src_host;
    CUdeviceptr src_device;
    CUarray src_array;
    void *reserved0;
    size_t src_pitch, src_height;
    size_t dst_x_bytes, dst_y, dst_z, dst_lod;
    int dst_type;
    void *dst_host;
    CUdeviceptr dst_device;
    CUarray dst_array;
    void *reserved1;
    size_t dst_pitch, dst_height;
    size_t width_bytes, height, depth;
} CudaCopy3D;

enum { CU_MEM_ALLOCATION_COMP_GENERIC = 1 }; /* CUmemAllocationCompType */

/* CUmemAllocationProp_v1 */
typedef struct CUmemAllocationProp {
    int type;
    int requested_handle_types;
    CUmemLocation location;
    void *win32_handle_metadata;
    struct {
        unsigned char compression_type, gpu_direct_rdma_capable;
        unsigned short usage;
        unsigned char reserved[4];
    } flags;
} CUmemAllocationProp;

typedef struct CUmemAccessDesc {
    CUmemLocation location;
    int flags;
} CUmemAccessDesc;

typedef struct CUlaunchAttributeValue {
    unsigned char bytes[64] __attribute__((aligned(8)));
} CUlaunchAttributeValue;

/* CUlaunchAttribute: an id, 4 bytes of padding, and a value of 64 bytes */
typedef struct CUlaunchAttribute {
    int id;
    char pad[4];
    unsigned char value[64] __attribute__((aligned(8)));
} CUlaunchAttribute;

typedef struct CUlaunchConfig {
    unsigned grid_x, grid_y, grid_z;
    unsigned block_x, block_y, block_z;
    unsigned shared_bytes;
    CUstream stream;
    CUlaunchAttribute *attributes;
    unsigned n_attributes;
} CUlaunchConfig;

/* CUDA_GRAPH_INSTANTIATE_PARAMS */
typedef struct CudaGraphInstantiate {
    unsigned long long flags;
    CUstream upload_stream;
    CUgraphNode error_node;
    int result;
} CudaGraphInstantiate;

/* CUgraphExecUpdateResultInfo_v1 */
typedef struct CudaGraphUpdate {
    int result;
    CUgraphNode error_node, error_from_node;
} CudaGraphUpdate;

/* X(member of CudaSessionDriver, symbol, parameters). The tables of the areas are of the same kind;
 * a function of a table that ends with _OPTIONAL may be missing in an old driver, and is NULL then.
 */
#define CUDA_SESSION_CORE_FUNCTIONS(X)                                                           \
    X(device_get_uuid, cuDeviceGetUuid_v2, (CUuuid * uuid, CUdevice device))                     \
    X(device_total_mem, cuDeviceTotalMem_v2, (size_t * bytes, CUdevice device))                  \
    X(ctx_create, cuCtxCreate_v2, (CUcontext * context, unsigned flags, CUdevice device))        \
    X(ctx_destroy, cuCtxDestroy_v2, (CUcontext context))                                         \
    X(ctx_synchronize, cuCtxSynchronize, (void) )                                                \
    X(ctx_get_limit, cuCtxGetLimit, (size_t * value, int limit))                                 \
    X(ctx_set_limit, cuCtxSetLimit, (int limit, size_t value))                                   \
    X(thread_exchange_stream_capture_mode, cuThreadExchangeStreamCaptureMode, (int *mode))       \
    X(stream_query, cuStreamQuery, (CUstream stream))                                            \
    X(stream_wait_event, cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags))    \
    X(stream_write_value_32, cuStreamWriteValue32_v2,                                            \
      (CUstream stream, CUdeviceptr address, uint32_t value, unsigned flags))                    \
    X(stream_write_value_64, cuStreamWriteValue64_v2,                                            \
      (CUstream stream, CUdeviceptr address, uint64_t value, unsigned flags))                    \
    X(stream_wait_value_32, cuStreamWaitValue32_v2,                                              \
      (CUstream stream, CUdeviceptr address, uint32_t value, unsigned flags))                    \
    X(stream_wait_value_64, cuStreamWaitValue64_v2,                                              \
      (CUstream stream, CUdeviceptr address, uint64_t value, unsigned flags))                    \
    X(stream_set_attribute, cuStreamSetAttribute,                                                \
      (CUstream stream, int attribute, const CUlaunchAttributeValue *value))                     \
    X(stream_is_capturing, cuStreamIsCapturing, (CUstream stream, int *status))                  \
    X(stream_begin_capture, cuStreamBeginCapture_v2, (CUstream stream, int mode))                \
    X(stream_end_capture, cuStreamEndCapture, (CUstream stream, CUgraph * graph))                \
    X(launch_host_func, cuLaunchHostFunc, (CUstream stream, CUhostFn function, void *user_data)) \
    X(event_create, cuEventCreate, (CUevent * event, unsigned flags))                            \
    X(event_destroy, cuEventDestroy_v2, (CUevent event))                                         \
    X(event_record_with_flags, cuEventRecordWithFlags,                                           \
      (CUevent event, CUstream stream, unsigned flags))                                          \
    X(event_query, cuEventQuery, (CUevent event))                                                \
    X(event_synchronize, cuEventSynchronize, (CUevent event))                                    \
    X(event_elapsed_time, cuEventElapsedTime, (float *msec, CUevent start, CUevent end))         \
    X(mem_alloc_async, cuMemAllocAsync, (CUdeviceptr * device, size_t size, CUstream stream))    \
    X(mem_free_async, cuMemFreeAsync, (CUdeviceptr device, CUstream stream))                     \
    X(mem_address_reserve, cuMemAddressReserve,                                                  \
      (CUdeviceptr * address, size_t size, size_t alignment, CUdeviceptr wanted,                 \
       unsigned long long flags))                                                                \
    X(mem_address_free, cuMemAddressFree, (CUdeviceptr address, size_t size))                    \
    X(mem_create, cuMemCreate,                                                                   \
      (CUmemGenericAllocationHandle * handle, size_t size, const CUmemAllocationProp *prop,      \
       unsigned long long flags))                                                                \
    X(mem_get_allocation_properties, cuMemGetAllocationPropertiesFromHandle,                     \
      (CUmemAllocationProp * prop, CUmemGenericAllocationHandle handle))                         \
    X(mem_release, cuMemRelease, (CUmemGenericAllocationHandle handle))                          \
    X(mem_map, cuMemMap,                                                                         \
      (CUdeviceptr address, size_t size, size_t offset, CUmemGenericAllocationHandle handle,     \
       unsigned long long flags))                                                                \
    X(mem_unmap, cuMemUnmap, (CUdeviceptr address, size_t size))                                 \
    X(mem_set_access, cuMemSetAccess,                                                            \
      (CUdeviceptr address, size_t size, const CUmemAccessDesc *access, size_t n))               \
    X(mem_get_allocation_granularity, cuMemGetAllocationGranularity,                             \
      (size_t * granularity, const CUmemAllocationProp *prop, int option))                       \
    X(pointer_get_attribute, cuPointerGetAttribute,                                              \
      (void *data, int attribute, CUdeviceptr pointer))                                          \
    X(memcpy_d_to_d_async, cuMemcpyDtoDAsync_v2,                                                 \
      (CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream))                          \
    X(memcpy_3d_async, cuMemcpy3DAsync_v2, (const CudaCopy3D *copy, CUstream stream))            \
    X(memset_d8_async, cuMemsetD8Async,                                                          \
      (CUdeviceptr address, unsigned char value, size_t count, CUstream stream))                 \
    X(memset_d16_async, cuMemsetD16Async,                                                        \
      (CUdeviceptr address, unsigned short value, size_t count, CUstream stream))                \
    X(memset_d32_async, cuMemsetD32Async,                                                        \
      (CUdeviceptr address, unsigned value, size_t count, CUstream stream))                      \
    X(memset_2d8_async, cuMemsetD2D8Async,                                                       \
      (CUdeviceptr address, size_t pitch, unsigned char value, size_t width, size_t height,      \
       CUstream stream))                                                                         \
    X(memset_2d16_async, cuMemsetD2D16Async,                                                     \
      (CUdeviceptr address, size_t pitch, unsigned short value, size_t width, size_t height,     \
       CUstream stream))                                                                         \
    X(memset_2d32_async, cuMemsetD2D32Async,                                                     \
      (CUdeviceptr address, size_t pitch, unsigned value, size_t width, size_t height,           \
       CUstream stream))                                                                         \
    X(module_load_data_ex, cuModuleLoadDataEx,                                                   \
      (CUmodule * module, const void *image, unsigned n, int *options, void **values))           \
    X(module_get_global, cuModuleGetGlobal_v2,                                                   \
      (CUdeviceptr * address, size_t * size, CUmodule module, const char *name))                 \
    X(module_get_function_count, cuModuleGetFunctionCount, (unsigned *count, CUmodule module))   \
    X(module_enumerate_functions, cuModuleEnumerateFunctions,                                    \
      (CUfunction * functions, unsigned n, CUmodule module))                                     \
    X(func_get_name, cuFuncGetName, (const char **name, CUfunction function))                    \
    X(func_get_attribute, cuFuncGetAttribute, (int *value, int attribute, CUfunction function))  \
    X(func_set_attribute, cuFuncSetAttribute, (CUfunction function, int attribute, int value))   \
    X(func_set_cache_config, cuFuncSetCacheConfig, (CUfunction function, int config))            \
    X(func_get_param_info, cuFuncGetParamInfo,                                                   \
      (CUfunction function, size_t index, size_t * offset, size_t * size))                       \
    X(launch_kernel_ex, cuLaunchKernelEx,                                                        \
      (const CUlaunchConfig *config, CUfunction function, void **params, void **extra))          \
    X(occupancy_blocks, cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags,                    \
      (int *blocks, CUfunction function, int block_size, size_t shared_bytes, unsigned flags))   \
    X(occupancy_shared, cuOccupancyAvailableDynamicSMemPerBlock,                                 \
      (size_t * shared_bytes, CUfunction function, int blocks, int block_size))                  \
    X(occupancy_clusters, cuOccupancyMaxActiveClusters,                                          \
      (int *clusters, CUfunction function, const CUlaunchConfig *config))                        \
    X(occupancy_cluster_size, cuOccupancyMaxPotentialClusterSize,                                \
      (int *cluster_size, CUfunction function, const CUlaunchConfig *config))                    \
    X(graph_destroy, cuGraphDestroy, (CUgraph graph))                                            \
    X(graph_get_nodes, cuGraphGetNodes, (CUgraph graph, CUgraphNode * nodes, size_t * n))        \
    X(graph_instantiate, cuGraphInstantiateWithParams,                                           \
      (CUgraphExec * exec, CUgraph graph, CudaGraphInstantiate * params))                        \
    X(graph_exec_update, cuGraphExecUpdate_v2,                                                   \
      (CUgraphExec exec, CUgraph graph, CudaGraphUpdate * info))                                 \
    X(graph_launch, cuGraphLaunch, (CUgraphExec exec, CUstream stream))                          \
    X(graph_exec_destroy, cuGraphExecDestroy, (CUgraphExec exec))

#define CUDA_SESSION_FUNCTIONS(X)  \
    CUDA_SESSION_CORE_FUNCTIONS(X) \
    CUDA_ARRAY_FUNCTIONS(X)        \
    CUDA_LINK_FUNCTIONS(X)         \
    CUDA_NODE_FUNCTIONS(X)         \
    CUDA_POOL_FUNCTIONS(X)         \
    CUDA_SHARE_FUNCTIONS(X)

#define CUDA_SESSION_OPTIONAL(X) CUDA_ARRAY_OPTIONAL(X)

typedef struct CudaSessionDriver {
    CudaDriver base; /* the functions that built-in operations use too */
    CUDA_SESSION_FUNCTIONS(CUDA_DRIVER_MEMBER)
    CUDA_SESSION_OPTIONAL(CUDA_DRIVER_MEMBER)
} CudaSessionDriver;

/*
 * cuda_session_driver_open() - load libcuda.so.1 and look all functions up
 * @ret: zeroed by the caller; close it with cuda_driver_close(&ret->base)
 * @reason: @reason_size bytes; on failure one line without a newline
 *
 * Returns 0, or -ENODEV when there is no driver or it lacks a function.
 */
int cuda_session_driver_open(CudaSessionDriver *ret, char *reason, size_t reason_size);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What programs see of the driver API around streams, launches, the linker and the process: types,
 * constants and prototypes beyond cuda-api.h. Facts from the "CUDA Driver API" reference manual,
 * version 13.0.
 */
#ifndef VGPU_LIBCUDA_CUDA_API_STREAMS_H
#define VGPU_LIBCUDA_CUDA_API_STREAMS_H

#include "cuda-api.h"

enum {
    CUDA_ERROR_UNSUPPORTED_LIMIT = 215,
    CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY = 224,
    CUDA_ERROR_INVALID_CLUSTER_SIZE = 912,
};

/* CUlaunchAttributeID, which names attributes of streams, too */
enum {
    LAUNCH_IGNORE = 0,
    LAUNCH_ACCESS_POLICY_WINDOW = 1,
    LAUNCH_COOPERATIVE = 2,
    LAUNCH_SYNCHRONIZATION_POLICY = 3,
    LAUNCH_CLUSTER_DIMENSION = 4,
    LAUNCH_CLUSTER_SCHEDULING_POLICY = 5,
    LAUNCH_PROGRAMMATIC_SERIALIZATION = 6,
    LAUNCH_PROGRAMMATIC_EVENT = 7,
    LAUNCH_PRIORITY = 8,
    LAUNCH_MEM_SYNC_DOMAIN_MAP = 9,
    LAUNCH_MEM_SYNC_DOMAIN = 10,
    LAUNCH_PREFERRED_CLUSTER_DIMENSION = 11,
    LAUNCH_COMPLETION_EVENT = 12,
    LAUNCH_DEVICE_UPDATABLE_NODE = 13,
    LAUNCH_SHARED_CARVEOUT = 14,
    LAUNCH_NVLINK_SCHEDULING = 16,
};

typedef void (*CUhostFn)(void *userdata);
typedef struct CUgreenCtx_st *CUgreenCtx;
typedef struct CUlinkState_st *CUlinkState;
typedef size_t (*CUoccupancyB2DSize)(int block_size);

/* CUaccessPolicyWindow */
typedef struct AccessPolicyWindow {
    void *base;
    size_t size;
    float hit_ratio;
    int hit, miss; /* CUaccessProperty */
} AccessPolicyWindow;

/* CUlaunchMemSyncDomainMap */
typedef struct MemSyncDomainMap {
    unsigned char normal, remote;
} MemSyncDomainMap;

/* CUlaunchAttributeValue */
typedef union LaunchValue {
    unsigned char bytes[64];
    AccessPolicyWindow window;
    int number;
    unsigned dimension[3];
    struct {
        CUevent event;
        int flags;
        int trigger_at_block_start;
    } event;
    MemSyncDomainMap domains;
} LaunchValue;

/* CUDA_LAUNCH_PARAMS */
typedef struct LaunchParams {
    CUfunction function;
    unsigned grid_x, grid_y, grid_z;
    unsigned block_x, block_y, block_z;
    unsigned shared_bytes;
    CUstream stream;
    void **parameters;
} LaunchParams;

/* CUdevprop */
typedef struct DeviceProperties {
    int max_threads_per_block;
    int max_block[3];
    int max_grid[3];
    int shared_bytes;
    int constant_bytes;
    int warp;
    int max_pitch;
    int registers;
    int clock_khz;
    int texture_alignment;
} DeviceProperties;

/* CUexecAffinityParam, CUctxCreateParams */
typedef struct ExecAffinity {
    int type;
    unsigned value;
} ExecAffinity;

typedef struct ContextParameters {
    ExecAffinity *affinity;
    int n_affinity;
    void *graphics;
} ContextParameters;

typedef struct CUlogsCallbackEntry_st *CUlogsCallbackHandle;
typedef void (*CUlogsCallback)(void *userdata, int level, char *message, size_t size);
typedef unsigned CUlogIterator;

#pragma GCC visibility push(default)

/* ---- Streams -----------------------------------------------------------------------------------
 */

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *userdata);
CUresult cuLaunchHostFunc_ptsz(CUstream stream, CUhostFn function, void *userdata);
CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void *userdata,
                             unsigned flags);
CUresult cuStreamAddCallback_ptsz(CUstream stream, CUstreamCallback callback, void *userdata,
                                  unsigned flags);
CUresult cuStreamGetAttribute(CUstream stream, int attribute, LaunchValue *value);
CUresult cuStreamGetAttribute_ptsz(CUstream stream, int attribute, LaunchValue *value);
CUresult cuStreamSetAttribute(CUstream stream, int attribute, const LaunchValue *value);
CUresult cuStreamSetAttribute_ptsz(CUstream stream, int attribute, const LaunchValue *value);
CUresult cuStreamCopyAttributes(CUstream to, CUstream from);
CUresult cuStreamCopyAttributes_ptsz(CUstream to, CUstream from);
CUresult cuStreamGetCtx_v2(CUstream stream, CUcontext *context, CUgreenCtx *green);
CUresult cuStreamGetCtx_v2_ptsz(CUstream stream, CUcontext *context, CUgreenCtx *green);
CUresult cuStreamGetGreenCtx(CUstream stream, CUgreenCtx *green);
CUresult cuCtxRecordEvent(CUcontext context, CUevent event);
CUresult cuCtxWaitEvent(CUcontext context, CUevent event);

/* ---- Launches ----------------------------------------------------------------------------------
 */

CUresult cuFuncSetBlockShape(CUfunction function, int x, int y, int z);
CUresult cuFuncSetSharedSize(CUfunction function, unsigned bytes);
CUresult cuParamSetSize(CUfunction function, unsigned bytes);
CUresult cuParamSeti(CUfunction function, int offset, unsigned value);
CUresult cuParamSetf(CUfunction function, int offset, float value);
CUresult cuParamSetv(CUfunction function, int offset, void *from, unsigned size);
CUresult cuLaunch(CUfunction function);
CUresult cuLaunchGrid(CUfunction function, int width, int height);
CUresult cuLaunchGridAsync(CUfunction function, int width, int height, CUstream stream);
CUresult cuLaunchCooperativeKernelMultiDevice(LaunchParams *launches, unsigned n, unsigned flags);
CUresult cuOccupancyMaxPotentialBlockSize(int *min_grid, int *block, CUfunction function,
                                          CUoccupancyB2DSize shared_of_block, size_t shared_bytes,
                                          int block_limit);
CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int *min_grid, int *block, CUfunction function,
                                                   CUoccupancyB2DSize shared_of_block,
                                                   size_t shared_bytes, int block_limit,
                                                   unsigned flags);

/* ---- Code --------------------------------------------------------------------------------------
 */

CUresult cuLinkCreate_v2(unsigned n, int *options, void **values, CUlinkState *ret);
CUresult cuLinkCreate(unsigned n, int *options, void **values, CUlinkState *ret);
CUresult cuLinkAddData_v2(CUlinkState state, int type, void *data, size_t size, const char *name,
                          unsigned n, int *options, void **values);
CUresult cuLinkAddData(CUlinkState state, int type, void *data, size_t size, const char *name,
                       unsigned n, int *options, void **values);
CUresult cuLinkAddFile_v2(CUlinkState state, int type, const char *path, unsigned n, int *options,
                          void **values);
CUresult cuLinkAddFile(CUlinkState state, int type, const char *path, unsigned n, int *options,
                       void **values);
CUresult cuLinkComplete(CUlinkState state, void **ret_cubin, size_t *ret_size);
CUresult cuLinkDestroy(CUlinkState state);
CUresult cuModuleGetFunctionCount(unsigned *n, CUmodule module);
CUresult cuModuleEnumerateFunctions(CUfunction *functions, unsigned n, CUmodule module);
CUresult cuLibraryGetKernelCount(unsigned *n, CUlibrary library);
CUresult cuLibraryEnumerateKernels(CUkernel *kernels, unsigned n, CUlibrary library);
CUresult cuLibraryGetUnifiedFunction(void **ret, CUlibrary library, const char *name);

/* ---- The device and its contexts ---------------------------------------------------------------
 */

CUresult cuDeviceGetProperties(DeviceProperties *properties, CUdevice device);
CUresult cuDeviceGetLuid(char *luid, unsigned *nodes, CUdevice device);
CUresult cuDeviceGetP2PAttribute(int *value, int attribute, CUdevice device, CUdevice peer);
CUresult cuDeviceGetP2PAtomicCapabilities(unsigned *capabilities, const int *operations, unsigned n,
                                          CUdevice device, CUdevice peer);
CUresult cuDeviceGetHostAtomicCapabilities(unsigned *capabilities, const int *operations,
                                           unsigned n, CUdevice device);
CUresult cuFlushGPUDirectRDMAWrites(int target, int scope);
CUresult cuDeviceGetExecAffinitySupport(int *is_supported, int type, CUdevice device);
CUresult cuCtxGetExecAffinity(ExecAffinity *ret, int type);
CUresult cuCtxCreate_v3(CUcontext *context, ExecAffinity *affinity, int n, unsigned flags,
                        CUdevice device);
CUresult cuCtxCreate_v4(CUcontext *context, ContextParameters *parameters, unsigned flags,
                        CUdevice device);
CUresult cuCtxCreate(CUcontext *context, unsigned flags, CUdevice device);
CUresult cuCtxDestroy(CUcontext context);
CUresult cuCtxAttach(CUcontext *context, unsigned flags);
CUresult cuCtxDetach(CUcontext context);
CUresult cuCtxPushCurrent(CUcontext context);
CUresult cuCtxPopCurrent(CUcontext *context);

/* ---- Tools -------------------------------------------------------------------------------------
 */

CUresult cuProfilerStart(void);
CUresult cuProfilerStop(void);
CUresult cuCoredumpGetAttribute(int attribute, void *value, size_t *size);
CUresult cuCoredumpGetAttributeGlobal(int attribute, void *value, size_t *size);
CUresult cuCoredumpSetAttribute(int attribute, void *value, size_t *size);
CUresult cuCoredumpSetAttributeGlobal(int attribute, void *value, size_t *size);
CUresult cuLogsRegisterCallback(CUlogsCallback callback, void *userdata, CUlogsCallbackHandle *ret);
CUresult cuLogsUnregisterCallback(CUlogsCallbackHandle handle);
CUresult cuLogsCurrent(CUlogIterator *ret, unsigned flags);
CUresult cuLogsDumpToFile(CUlogIterator *iterator, const char *path, unsigned flags);
CUresult cuLogsDumpToMemory(CUlogIterator *iterator, char *buffer, size_t *size, unsigned flags);

#pragma GCC visibility pop

#endif

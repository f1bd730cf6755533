/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CUDA backend as a whole, of which backend-cuda.c, cuda-compute.c and cuda-prepare.c see
 * all. Its parts have headers of their own. */
#ifndef VGPU_EXECUTOR_CUDA_BACKEND_H
#define VGPU_EXECUTOR_CUDA_BACKEND_H

#include "backend.h"
#include "cuda-await.h"
#include "cuda-blas.h"
#include "cuda-completion.h"
#include "cuda-job.h"
#include "cuda-kernels.h"
#include "cuda-line.h"
#include "cuda-pipeline.h"
#include "workers.h"

#include <stdalign.h>

/* What the device sees of a slot. Each part starts a cache line of its own. */
typedef struct SlotMemory {
    alignas(128) unsigned char a[BACKEND_OPERAND_MAX];
    alignas(128) unsigned char b[BACKEND_OPERAND_MAX];
    alignas(128) unsigned char c[BACKEND_OPERAND_MAX];
    alignas(128) uint64_t exec_time_ns;
} SlotMemory;

/* The reports of a slot's steps in flight */
typedef KernelReport SlotReports[CUDA_SEGMENT_STEPS][KERNEL_BLOCKS_MAX];

typedef struct CudaSlot {
    SlotMemory *host;
    CUdeviceptr device; /* host, as the device sees it */
    bool in_window;     /* whether the operation is in a window, and so a job */
    CudaJob job;
    CudaAwait await;
    CudaLineEntry place;
} CudaSlot;

/* What a priority has. */
typedef struct CudaStream {
    CUstream handle;
    CudaBell bell;
    int priority; /* the driver's number */
    CudaPipeline pipeline;
    CudaLine line, pipeline_line; /* what is in handle, and in pipeline */
} CudaStream;

struct Backend {
    CudaDevice device;
    CudaCompletion completion;
    CudaBlas blas;
    CudaKernels kernels;
    CudaStream streams[VGPU_N_PRIORITIES];
    SlotMemory *memory;
    SlotReports *reports; /* one for each slot; NULL before the first job in a window */
    CUdeviceptr device_reports;
    Worker preparer;
    unsigned n_slots;
    uint64_t awaited;      /* slots with kernels that will say when they have ended */
    uint64_t without_bell; /* those of them without a bell in each of their streams */
    unsigned n_flushes;
    CudaSlot slots[EXECUTOR_SLOTS_MAX];
};

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CUDA backend's parts among each other: backend-cuda.c and cuda-*.c. */
#ifndef VGPU_EXECUTOR_CUDA_BACKEND_H
#define VGPU_EXECUTOR_CUDA_BACKEND_H

#include "backend.h"
#include "cuda-blas.h"
#include "cuda-driver.h"
#include "done.h"
#include "kernels.h"
#include "reduction.h"
#include "workers.h"

#include <stdalign.h>

#define N_KERNELS 4u
#define N_LANES 3u
/* Of each of a lane's buffers */
#define LANE_BUFFER_BYTES (16u << 20)
/* Steps of a job in a window that are handed to the device at once. */
#define SEGMENT_STEPS 16u

/* What the device sees of a slot. Each part starts a cache line of its own. */
typedef struct SlotMemory {
    alignas(128) unsigned char a[BACKEND_OPERAND_MAX];
    alignas(128) unsigned char b[BACKEND_OPERAND_MAX];
    alignas(128) unsigned char c[BACKEND_OPERAND_MAX];
    alignas(128) uint64_t exec_time_ns;
} SlotMemory;

/* The reports of a slot's steps in flight */
typedef KernelReport SlotReports[SEGMENT_STEPS][KERNEL_BLOCKS_MAX];

/* A job in a window. The last member group is written by the driver's threads and read
 * when the slot's bit is taken. */
typedef struct CudaCompute {
    struct Backend *backend;
    unsigned index; /* of the slot */
    Compute compute;
    VGPUShape shape;
    bool direct; /* kernels work in the window itself, and report */
    bool single; /* one step, in the priority's own stream */
    /* Not started yet: a thread is about what it needs. */
    bool preparing, needs_window, needs_blas;
    uint64_t n_steps, next_step;
    uint64_t segment;          /* first step of those in flight */
    uint32_t tiles_n, tiles_k; /* of a matrix product; of vectors the latter is 1 */
    unsigned matmul_blocks;    /* of one that is computed in the window */
    Reduction reduction;
    uint64_t first_ns, last_ns; /* the device's times of the first and last block's report */
    uint64_t start_ns;
    CUresult error; /* what kept a step from being handed over */

    atomic_uint lanes_pending;
    atomic_int status;
    uint64_t end_ns;
} CudaCompute;

typedef struct CudaSlot {
    SlotMemory *host;
    CUdeviceptr device; /* host, as the device sees it */
    struct CudaBatch *batch;
    bool in_window; /* whether its job is a CudaCompute */
    CudaCompute job;
} CudaSlot;

/* The jobs that one callback announces. A batch has at least one slot, so there
 * are never more batches than slots, and it is known by the index of one of them. */
typedef struct CudaBatch {
    struct Backend *backend;
    uint64_t slots;
    CUresult status; /* valid when the slots' bits are taken */
} CudaBatch;

/* One step after the other; the lanes of a pipeline work at the same time. */
typedef struct CudaLane {
    CUstream stream;
    CUdeviceptr buffers[3]; /* for tiles of a, b and c; 0 before the first of them */
    CudaBlasHandle blas;    /* NULL: not there, or not needed yet */
} CudaLane;

typedef struct CudaPipeline {
    bool blas_is_tried; /* the preparer's */
    bool blas_is_open;  /* the loop's: the lanes have handles, where there are any to have */
    uint64_t end_ns;    /* when its last job with copies ended */
    CudaLane lanes[N_LANES];
} CudaPipeline;

typedef struct CudaStream {
    CUstream handle;
    int priority;         /* the driver's number */
    uint64_t unannounced; /* slots with jobs behind which there is no callback yet */
    CudaPipeline pipeline;
} CudaStream;

/* The kernels for windows, by VGPU_TYPE_* */
typedef struct CudaKernels {
    CUfunction add[VGPU_N_TYPES], mul[VGPU_N_TYPES], axpy[VGPU_N_TYPES];
    CUfunction dot[VGPU_N_TYPES], sum[VGPU_N_TYPES], extremes[VGPU_N_TYPES];
    CUfunction matmul[VGPU_N_TYPES];
} CudaKernels;

struct Backend {
    CudaDriver driver;
    CudaBlas blas;
    CUdevice device;
    CUcontext context;
    CUmodule module;
    CUfunction kernels[N_KERNELS];
    CudaKernels ring_kernels;
    CudaStream streams[VGPU_N_PRIORITIES];
    SlotMemory *memory;
    SlotReports *reports; /* one for each slot; NULL before the first job in a window */
    CUdeviceptr device_reports;
    VGPUDeviceInfo info; /* all but memory_free */
    CUresult lost;
    Done done;
    Worker preparer;
    unsigned n_slots;
    CudaSlot slots[EXECUTOR_SLOTS_MAX];
    CudaBatch batches[EXECUTOR_SLOTS_MAX];
};

static inline uint64_t cuda_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t cuda_divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

/* cuda_note() - remember that the process is unusable, if that is what @result says */
uint32_t cuda_note(Backend *b, CUresult result);

/* cuda_kernel_load() - look up one of the module's kernels, and have it on the device */
CUresult cuda_kernel_load(Backend *b, const char *name, CUfunction *ret);

/*
 * cuda_kernels_load() - the same for those for windows
 * @ret_name: the last one that was looked up, also on failure
 */
CUresult cuda_kernels_load(Backend *b, const char **ret_name);

/* cuda_ns_to_us() - rounded up, UINT32_MAX when longer */
uint32_t cuda_ns_to_us(uint64_t ns);

/*
 * cuda_prepare() - have a thread do what the job of a slot needs once (cuda-prepare.c)
 *
 * Returns false when nothing is to be done, true when the slot will be announced and is
 * then to be given to cuda_prepare_end().
 */
bool cuda_prepare(Backend *b, unsigned index);

/* cuda_prepare_end() - do the rest of it; the job's window may have an error then */
void cuda_prepare_end(Backend *b, unsigned index);

/* cuda_prepare_run() - the thread's work, as WorkerFunction */
void cuda_prepare_run(void *data, unsigned index);

/* As in BackendOps */
void cuda_window_remove(Backend *b, MappedWindow *window);
bool cuda_compute(Backend *b, unsigned index, const Compute *compute, Completion *ret);

/*
 * cuda_compute_collect() - what was in flight of a slot's job is done
 * @status: how it ended
 *
 * Returns true when the job is finished and @ret says how, false when there is more in
 * flight now, or will be with the next flush.
 */
bool cuda_compute_collect(Backend *b, unsigned index, CUresult status, Completion *ret);

/*
 * cuda_launch_vector(), cuda_launch_matmul() - the kernel of a submission, with this
 * argument (cuda-kernels.c)
 */
CUresult cuda_launch_vector(Backend *b, const VGPUSubmission *s, KernelVector *v, unsigned blocks,
                            CUstream stream);
CUresult cuda_launch_matmul(Backend *b, const VGPUSubmission *s, KernelMatmul *p, CUstream stream);

/* cuda_matmul_plan() - set the numbers of steps and tiles of a product (cuda-matmul.c) */
void cuda_matmul_plan(CudaCompute *job);

/* cuda_matmul_direct() - a product in the window itself, in one step */
CUresult cuda_matmul_direct(Backend *b, unsigned index, CUdeviceptr reports, CUstream stream);

/* cuda_matmul_step() - one step of a product in tiles, in a lane that has its buffers */
CUresult cuda_matmul_step(Backend *b, unsigned index, uint64_t step, const CudaLane *lane);

/* cuda_pipeline_close() - wait for it and free it; takes one that was never opened */
void cuda_pipeline_close(Backend *b, CudaPipeline *p);

#endif

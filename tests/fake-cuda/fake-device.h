/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fake GPU executes streams of kernels, copies and callbacks on a thread of its own:
 * each stream in order, and the streams among each other in random order.
 *
 * It checks what it is given, and ends the process with a message when it is misused: by
 * addresses that are not the device's or reach outside an allocation, by copies from or to
 * host memory that is not pinned, and by a host that changes the operands of a request
 * while a kernel that reads them is pending.
 *
 * All functions are thread-safe.
 */
#ifndef FAKE_DEVICE_H
#define FAKE_DEVICE_H

#include "cuda-driver.h"
#include "kernels.h"

#define FAKE_KERNEL_OPERAND_MAX 4096u

/* What a kernel takes */
typedef enum FakeKernelKind {
    FAKE_REQUEST, /* a, b, c, n, ret_ns; in one block */
    FAKE_VECTOR,  /* a KernelVector */
    FAKE_MATMUL,  /* a KernelMatmul */
} FakeKernelKind;

typedef struct FakeKernel FakeKernel;

/* A launch, its parameters copied. */
typedef struct FakeLaunch {
    const FakeKernel *kernel;
    unsigned grid_x, grid_y;
    union {
        struct {
            CUdeviceptr a, b, c, ret_ns;
            uint32_t n;
        } request;
        KernelVector vector;
        KernelMatmul matmul;
    };
} FakeLaunch;

/* A copy of rows between the host's pinned memory and the device's. */
typedef struct FakeCopy {
    CUdeviceptr device;
    unsigned char *host;
    size_t device_pitch, host_pitch, width, height;
    bool to_device;
} FakeCopy;

/* fake_misuse() - write what was wrong to standard error, and abort */
__attribute__((format(printf, 1, 2), noreturn)) void fake_misuse(const char *format, ...);

/* fake_kernel_find() - the built-in kernel of that name, or NULL (fake-kernels.c) */
const FakeKernel *fake_kernel_find(const char *name);
FakeKernelKind fake_kernel_kind(const FakeKernel *kernel);
/* fake_kernel_element() - bytes of an element */
size_t fake_kernel_element(const FakeKernel *kernel);
/* fake_kernel_run() - compute, and report that it took @ns */
void fake_kernel_run(const FakeLaunch *launch, uint64_t ns);

/* fake_resolve() - the host's address of the device's, checked */
void *fake_resolve(CUdeviceptr address, size_t size, size_t alignment, const char *what);

/* fake_device_start() - start the device's thread; at most once until fake_device_stop() */
void fake_device_start(unsigned slow_ms, unsigned hold);
/* fake_device_stop() - end the thread and free everything */
void fake_device_stop(void);

/* Pinned, mapped memory; the device sees it at another address than the host. */
void *fake_memory_alloc(size_t size);
void fake_memory_free(void *host);
CUdeviceptr fake_memory_device_address(void *host);
/* The host's own memory becomes pinned and mapped. */
void fake_memory_register(void *host, size_t size);
void fake_memory_unregister(void *host);
/* The device's own memory */
CUdeviceptr fake_device_memory_alloc(size_t size);
void fake_device_memory_free(CUdeviceptr address);

CUstream fake_stream_new(void);
void fake_stream_destroy(CUstream stream);
/* fake_stream_wait() - until all that is queued is done; returns the sticky error */
CUresult fake_stream_wait(CUstream stream);
/* @fault: how it is to end, CUDA_SUCCESS to compute; @hang: never ends */
void fake_stream_launch(CUstream stream, const FakeLaunch *launch, CUresult fault, bool hang);
void fake_stream_copy(CUstream stream, const FakeCopy *copy, const char *what);
void fake_stream_callback(CUstream stream, CUstreamCallback callback, void *user_data);

/* For fake-cublas.c, from fake-cuda.c: what every call begins with, and whether cuBLAS is to work
 */
CUresult fake_enter_blas(const char *function);
bool fake_has_blas(void);

/* fake_device_break() - the context is broken: all that is queued ends with @error */
void fake_device_break(CUresult error);
/* fake_device_error() - the sticky error, or CUDA_SUCCESS */
CUresult fake_device_error(void);
/* fake_device_is_unused() - no memory and no stream left? */
bool fake_device_is_unused(void);
/* fake_in_callback() - is this thread inside a stream callback? */
bool fake_in_callback(void);

bool fake_error_is_sticky(CUresult error);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fake GPU: streams of kernels and callbacks, executed on a thread of its
 * own, each stream in order and the streams among each other in random order.
 *
 * It watches over what it is given, and misuse ends the process with a message:
 * addresses that are not the device's or reach outside an allocation, and
 * operands that the host changed while a kernel that reads them was pending.
 *
 * All functions are thread-safe.
 */
#ifndef FAKE_CUDA_DEVICE_H
#define FAKE_CUDA_DEVICE_H

#include "cuda-driver.h"

#define FAKE_KERNEL_OPERAND_MAX 4096u

typedef struct FakeKernel {
    const char *name;
    size_t element;
    void (*add)(const void *a, const void *b, void *c, size_t n);
} FakeKernel;

/* A launch, its parameters copied. */
typedef struct FakeLaunch {
    const FakeKernel *kernel;
    CUdeviceptr a, b, c, ret_ns;
    uint32_t n;
} FakeLaunch;

/* Says what was wrong and aborts. */
__attribute__((format(printf, 1, 2), noreturn)) void fake_misuse(const char *format, ...);

/* fake_kernel_find() - the built-in kernel of that name, or NULL */
const FakeKernel *fake_kernel_find(const char *name);

/* fake_device_start() - start the device's thread; at most once until fake_device_stop() */
void fake_device_start(unsigned slow_ms, unsigned hold);
/* fake_device_stop() - end the thread and free everything */
void fake_device_stop(void);

/* Pinned, mapped memory; the device sees it at another address than the host. */
void *fake_memory_alloc(size_t size);
void fake_memory_free(void *host);
CUdeviceptr fake_memory_device_address(void *host);

CUstream fake_stream_new(void);
void fake_stream_destroy(CUstream stream);
/* fake_stream_wait() - until all that is queued is done; returns the sticky error */
CUresult fake_stream_wait(CUstream stream);
/* @fault: how it is to end, CUDA_SUCCESS to compute; @hang: never ends */
void fake_stream_launch(CUstream stream, const FakeLaunch *launch, CUresult fault, bool hang);
void fake_stream_callback(CUstream stream, CUstreamCallback callback, void *user_data);

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

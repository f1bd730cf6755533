/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the examples have in common: one session, one context, one module. */
#ifndef VGPU_EXAMPLE_H
#define VGPU_EXAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "cuda-client.h"

typedef struct example {
    vgpu_session *session;
    vgpu_session_from from; /* whose operations: those of our context */
    vgpu_session_fence *fence;
    uint32_t module;
} example;

typedef struct example_kernel {
    const char *name;
    uint32_t id;
    VGPUSessionFunction *layout; /* where each parameter stands */
} example_kernel;

/* What has gone wrong ends the program with a message: its session ends with it, and the host frees
 * all that it had. */

/* example_open() - a session with a context, and the module of the file @path in it */
void example_open(example *e, const char *path);
void example_close(example *e);

/* example_kernel_get() - the kernel of that name */
example_kernel example_kernel_get(example *e, const char *name);
void example_kernel_free(example_kernel *kernel);

/* example_buffer() - device memory of @size bytes, with those of @content unless that is NULL.
 * Returns its address. */
uint64_t example_buffer(example *e, size_t size, const void *content);
void example_buffer_free(example *e, uint64_t address);

/* example_launch() - give the kernel to the device. @arguments: a pointer to each, as
 * cuLaunchKernel() has them */
void example_launch(example *e, const example_kernel *kernel, const uint32_t grid[static 3],
                    const uint32_t block[static 3], uint32_t shared_bytes,
                    const void *const *arguments);

/* example_wait() - wait until the device has done all that it was given */
void example_wait(example *e);

/* example_read() - the bytes of a buffer, as they are when all that was given before is done */
void example_read(example *e, void *to, uint64_t address, size_t size);

#endif

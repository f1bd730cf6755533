/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process with a CUDA session, by the mediator's socket ($VGPU_SOCKET): what the tests of several
 * sessions at once are made of. It lives in a child of the test, so it fails no test: each function
 * returns a CUresult, of CUDA or of the end of its session.
 */
#ifndef GUEST_PROCESS_H
#define GUEST_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda-client.h"

/* What guest_process_compute() returns where CUDA was content and the numbers are wrong */
#define GUEST_WRONG (-1)

typedef enum GuestKernel {
    /* tests/fake-cuda/session-kernels.ptx, $VGPU_SESSION_KERNELS */
    GUEST_SAXPY,
    GUEST_COPY_STRUCT,
    GUEST_TRAP,
    GUEST_ILLEGAL_ADDRESS,
    GUEST_ASSERT,
    GUEST_ENDLESS,
    GUEST_BUSY,
    /* session-faults.ptx, $VGPU_SESSION_FAULTS */
    GUEST_MISALIGNED,
    GUEST_STACK_OVERFLOW,
    GUEST_JUMP,
    GUEST_COUNT_OTHERS,
    GUEST_N_KERNELS,
} GuestKernel;

typedef struct GuestProcess {
    vgpu_session *session;
    vgpu_session_from from; /* the primary context */
    vgpu_session_fence *fence;
    uint32_t function[GUEST_N_KERNELS];
    uint64_t memory; /* of the device, for guest_process_compute() */
} GuestProcess;

/* guest_process_open() - a session with a context, the kernels, and some memory */
int guest_process_open(GuestProcess *g);

/* guest_process_launch() - put a kernel into the legacy stream. @parameters: packed, as it has them
 */
int guest_process_launch(GuestProcess *g, GuestKernel kernel, uint32_t grid, uint32_t block,
                         uint32_t shared_bytes, const void *parameters, size_t size);

/* guest_process_wait() - until all is done; an error that an operation without a reply has left is
 * taken */
int guest_process_wait(GuestProcess *g);

/*
 * guest_process_compute() - copy numbers up, have two kernels work on them, copy them down, compare
 * @seed: what numbers
 */
int guest_process_compute(GuestProcess *g, uint32_t seed);

/* guest_process_close() - end the session */
void guest_process_close(GuestProcess *g);

#endif

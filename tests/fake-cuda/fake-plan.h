/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the fake driver is told to misbehave: the environment variable
 * VGPU_FAKE_CUDA, read in cuInit(). Items are separated by commas:
 *
 *   devices=N
 *       how many devices there are (default 1); with 0 cuInit() fails
 *   blas=0
 *       the fake cuBLAS makes no handles
 *   nvml=0
 *       the fake management library does not begin
 *   fail=FUNCTION:CURESULT:after=K
 *       call K + 1 of FUNCTION does nothing and returns CURESULT; if that is a sticky
 *       error, the context is broken from then on
 *   hang=FUNCTION:after=K
 *       call K + 1 of FUNCTION never returns
 *   hang=kernel:after=K
 *       launched kernel K + 1 never ends; other streams go on
 *   fault=CURESULT:after=K
 *       launched kernel K + 1 ends with CURESULT; if that is a sticky error, the
 *       context is broken and every stream with it
 *   slow=MS
 *       every kernel takes that many milliseconds
 *   hold=K
 *       no kernel starts before K are launched
 *   memory=FILE
 *       the devices' memory is that of all processes that name this file; what one has is free
 *       again when it ends, however it ends
 *   share=DIRECTORY
 *       where the devices' bytes lie, so that other processes can open them (cuIpcOpenMemHandle());
 *       each leaves a file there
 *   total=MIB
 *       how much memory each device has (default 8192)
 *   version=N
 *       what cuDriverGetVersion() says (default 13000); nothing else follows from it
 *   trace=FILE
 *       append a line for each call: FUNCTION, or FUNCTION NUMBER
 *
 * VGPU_FAKE_CUDA_ERRORS is a file for complaints of misuse: where standard
 * error is for what kernels say, as in sessions. Without it, standard error has them.
 *
 * As with the real one, with a UUID in CUDA_VISIBLE_DEVICES there is that device alone, and without
 * one of that UUID none. Each device is a MIG instance, too: of the same UUID behind "MIG-".
 *
 * ":after=K" may be left out and is then 0. For example:
 *
 *   VGPU_FAKE_CUDA="slow=5,fail=cuLaunchKernel:701:after=3"
 */
#ifndef FAKE_PLAN_H
#define FAKE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define PLAN_NAME_MAX 64u
#define PLAN_PATH_MAX 256u

typedef struct PlanItem {
    bool set;
    char function[PLAN_NAME_MAX]; /* "kernel" for a launched kernel */
    int result;
    unsigned after;
    unsigned seen; /* calls so far */
} PlanItem;

typedef struct Plan {
    int devices;
    int version;      /* of the driver */
    int first_device; /* of those that CUDA_VISIBLE_DEVICES leaves; the lowest CUdevice */
    bool blas, nvml;
    unsigned slow_ms;
    unsigned hold;
    int trace_fd; /* -1: none */
    char memory[PLAN_PATH_MAX];
    char share[PLAN_PATH_MAX];
    uint64_t total; /* bytes */
    PlanItem fail;
    PlanItem hang;
    PlanItem fault;
} Plan;

/* plan_read() - read VGPU_FAKE_CUDA; aborts on anything that it does not understand */
Plan plan_read(void);

/* plan_item_is_due() - count a call of @function; returns whether @item means this one */
bool plan_item_is_due(PlanItem *item, const char *function);

#endif

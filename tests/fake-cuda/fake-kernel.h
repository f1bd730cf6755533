/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernels of the fake device: functions in C, found by name. fake-kernels.c has those of the
 * built-in operations, the others those of programs in guests.
 */
#ifndef FAKE_KERNEL_H
#define FAKE_KERNEL_H

#include "cuda-session.h"
#include "kernels.h"

#define FAKE_KERNEL_OPERAND_MAX 4096u

typedef struct FakeParameter {
    unsigned offset, size;
} FakeParameter;

struct FakeLaunch;

typedef struct FakeKernel {
    const char *name;
    const FakeParameter *parameters;
    unsigned n_parameters;
    bool builtin; /* the executor's own: what it does wrong is misuse */
    bool endless; /* never ends */
    int registers, shared_bytes, max_threads, local_bytes;
    /* run() - compute, and report that it took @ns. Returns how the kernel ends. */
    CUresult (*run)(const struct FakeLaunch *launch, uint64_t ns);
} FakeKernel;

/* A launch, its parameters copied. */
typedef struct FakeLaunch {
    const FakeKernel *kernel;
    CUfunction function;
    CUmodule module; /* NULL: none */
    CUcontext context;
    unsigned grid[3], block[3], shared_bytes;
    unsigned char *parameters; /* packed; from malloc() */
    size_t parameters_size;
    bool is_programmatic;    /* may begin before what is before it in its stream has ended */
    CUresult fault;          /* how it is to end, by the plan; CUDA_SUCCESS: to compute */
    bool hang;               /* never ends */
    bool exempt;             /* the plan is not for this one */
    unsigned char *operands; /* of a built-in request: a and b as they were at launch */
} FakeLaunch;

/* fake_kernel_find() - the kernel of that name, or NULL */
const FakeKernel *fake_kernel_find(const char *name);
const FakeKernel *fake_builtin_kernel_find(const char *name);
const FakeKernel *fake_session_kernel_find(const char *name);
const FakeKernel *fake_layout_kernel_find(const char *name);
const FakeKernel *fake_example_kernel_find(const char *name);
const FakeKernel *fake_fault_kernel_find(const char *name);
const FakeKernel *fake_attack_kernel_find(const char *name);
const FakeKernel *fake_array_kernel_find(const char *name);
const FakeKernel *fake_condition_kernel_find(const char *name);
/* fake_kernel_parameters_size() - bytes of all, packed */
size_t fake_kernel_parameters_size(const FakeKernel *kernel);

/* fake_kernel_check() - of a built-in kernel: the executor launches it as it has to. Under the
 * lock. */
void fake_builtin_prepare(FakeLaunch *launch);
/* fake_launch_new() - with @parameters packed as the kernel says */
FakeLaunch fake_launch_new(const FakeKernel *kernel, const void *parameters, size_t size);

/* fake_print() - a kernel prints; without the lock */
__attribute__((format(printf, 2, 3))) void fake_print(const FakeLaunch *launch, const char *format,
                                                      ...);

/* fake_condition_set() - a kernel sets what a conditional node decides by; without the lock.
 * Returns false when there is no such condition of its context (fake-condition.c) */
bool fake_condition_set(const FakeLaunch *launch, uint64_t handle, unsigned value);

/* fake_global_find() - of a launch's module: address and size of a variable */
bool fake_global_find(const FakeLaunch *launch, const char *name, CUdeviceptr *ret_address,
                      size_t *ret_size);

#endif

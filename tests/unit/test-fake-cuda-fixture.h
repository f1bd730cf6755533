/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fake CUDA driver in processes of their own, one for each thing that is tried: a process
 * initialises a driver once, and may be lost to it.
 *
 * Environment: VGPU_FAKE_CUDA_DIR, VGPU_FAKE_SESSION_KERNELS
 */
#ifndef TEST_FAKE_CUDA_FIXTURE_H
#define TEST_FAKE_CUDA_FIXTURE_H

#include "cuda-session.h"
#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* In the process that tries: the functions, the device's primary context, which is current, and the
 * module of session-kernels.ptx */
extern CudaSessionDriver cu;
#define BASE cu.base
extern CUcontext primary;
extern CUmodule module;

/* The end of a process */
typedef struct Outcome {
    int status; /* as of waitpid() */
    char output[4096], errors[4096];
} Outcome;

/* run_driver() - in a process of its own: @body, and then the process's end */
__attribute__((noreturn)) void run_driver(const char *plan, void (*body)(void));
/* outcome_of() - run @body in a process with the driver @plan says; @body's end is its end */
Outcome outcome_of(const char *plan, void (*body)(void));
/* assert_good() - the same, and nothing was amiss */
void assert_good(const char *plan, void (*body)(void));
/* assert_misuse() - the driver ends the process, and says so in words that have @says */
void assert_misuse(const char *plan, void (*body)(void), const char *says);

/* In the process that tries. EXPECT() - else the process ends, and says where */
void expect(bool good, const char *file, int line, const char *what, long long is);
#define EXPECT(condition) expect(condition, __FILE__, __LINE__, #condition, 0)
#define EXPECT_RESULT(call, result)                                                 \
    do {                                                                            \
        CUresult expect_result = (call);                                            \
        expect(expect_result == (result), __FILE__, __LINE__, #call " is " #result, \
               expect_result);                                                      \
    } while (0)
#define OK(call) EXPECT_RESULT(call, CUDA_SUCCESS)

/* load_module() - of session-kernels.ptx, into the current context */
CUmodule load_module(void);
char *read_kernels(void);
CUfunction function(const char *name);
CUstream new_stream(unsigned flags);
CUevent new_event(void);
CUdeviceptr new_numbers(size_t n);
/* pinned() - @n zeros in memory that host and device share; its address is the device's, too */
uint32_t *pinned(size_t n);
#define ADDRESS(host) ((CUdeviceptr) (uintptr_t) (host))
/* launch() - in @blocks of 256 threads */
CUresult launch(CUfunction f, unsigned blocks, CUstream stream, void **params);
/* fill() - the kernel */
void fill(CUdeviceptr to, uint32_t value, uint64_t n, CUstream stream);
/* add() - the kernel: *to = *from + @number */
void add(CUdeviceptr to, CUdeviceptr from, uint32_t number, CUstream stream);
/* number_at() - copied to the host, in a stream of its own */
uint32_t number_at(CUdeviceptr address);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options of the driver's compiler and linker, and the logs that they write. */
#ifndef VGPU_SESSION_JIT_OPTIONS_H
#define VGPU_SESSION_JIT_OPTIONS_H

#include "session.h"

/* Of a log, no more bytes are kept. */
#define JIT_LOG_MAX (UINT64_C(1) << 20)

/* A log that the driver writes into private memory, from where it is copied into the window */
typedef struct JitLog {
    char *text; /* NULL: none is wanted */
    uint64_t size;
} JitLog;

typedef struct JitLogs {
    JitLog info, error;
} JitLogs;

typedef struct JitOptions {
    unsigned n;
    int option[VGPU_SESSION_JIT_OPTIONS + 4];
    void *value[VGPU_SESSION_JIT_OPTIONS + 4];
} JitOptions;

/* jit_options_add() - an option of the guest's, of which there are VGPU_SESSION_JIT_OPTIONS at
 * most. Returns CUDA_SUCCESS, or _INVALID_VALUE for one that takes no number */
CUresult jit_options_add(JitOptions *options, uint32_t option, uint32_t value);

/* jit_options_add_logs() - where the driver is to write them; @logs must last as long as the driver
 * uses the options. Once, behind all others */
void jit_options_add_logs(JitOptions *options, const JitLogs *logs);

/* jit_logs_open() - as much memory for each as the guest has room for, empty. Returns CUDA_SUCCESS,
 * or _OUT_OF_MEMORY with nothing to close */
CUresult jit_logs_open(JitLogs *logs, uint64_t info_size, uint64_t error_size);
void jit_logs_close(JitLogs *logs);

/* jit_logs_may_go() - are these places in the window, as far as there are any? Returns CUDA_SUCCESS
 * or _INVALID_VALUE */
CUresult jit_logs_may_go(Session *s, const VGPUSessionBytes *info, const VGPUSessionBytes *error);

/* jit_logs_deliver() - what they say by now, with a 0 behind it, to places that may be; value[0]
 * and value[1] of the reply are the lengths */
void jit_logs_deliver(Session *s, SessionCall *call, const JitLogs *logs,
                      const VGPUSessionBytes *info, const VGPUSessionBytes *error);

#endif

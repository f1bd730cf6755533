/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "jit-options.h"

#include <stdlib.h>
#include <string.h>

/* CUjit_option: those that take an address and a size */
enum {
    JIT_INFO_LOG_BUFFER = 3,
    JIT_INFO_LOG_SIZE = 4,
    JIT_ERROR_LOG_BUFFER = 5,
    JIT_ERROR_LOG_SIZE = 6,
};

/* All that take a number. The others take an address. */
static bool jit_option_is_number(uint32_t option)
{
    switch (option) {
    case 0:  /* MAX_REGISTERS */
    case 1:  /* THREADS_PER_BLOCK */
    case 7:  /* OPTIMIZATION_LEVEL */
    case 8:  /* TARGET_FROM_CUCONTEXT */
    case 9:  /* TARGET */
    case 10: /* FALLBACK_STRATEGY */
    case 11: /* GENERATE_DEBUG_INFO */
    case 12: /* LOG_VERBOSE */
    case 13: /* GENERATE_LINE_INFO */
    case 14: /* CACHE_MODE */
    case 20: /* LTO */
    case 21: /* FTZ */
    case 22: /* PREC_DIV */
    case 23: /* PREC_SQRT */
    case 24: /* FMA */
    case 29: /* OPTIMIZE_UNUSED_DEVICE_VARIABLES */
    case 30: /* POSITION_INDEPENDENT_CODE */
    case 31: /* MIN_CTA_PER_SM */
    case 32: /* MAX_THREADS_PER_BLOCK */
    case 33: /* OVERRIDE_DIRECTIVE_VALUES */
        return true;
    default:
        return false;
    }
}

CUresult jit_options_add(JitOptions *options, uint32_t option, uint32_t value)
{
    if (options->n >= VGPU_SESSION_JIT_OPTIONS || !jit_option_is_number(option))
        return CUDA_ERROR_INVALID_VALUE;
    options->option[options->n] = (int) option;
    options->value[options->n++] = (void *) (uintptr_t) value;
    return CUDA_SUCCESS;
}

static void jit_options_add_log(JitOptions *options, const JitLog *log, int buffer, int size)
{
    if (!log->text)
        return;
    options->option[options->n] = buffer;
    options->value[options->n++] = log->text;
    options->option[options->n] = size;
    options->value[options->n++] = (void *) (uintptr_t) log->size;
}

void jit_options_add_logs(JitOptions *options, const JitLogs *logs)
{
    jit_options_add_log(options, &logs->info, JIT_INFO_LOG_BUFFER, JIT_INFO_LOG_SIZE);
    jit_options_add_log(options, &logs->error, JIT_ERROR_LOG_BUFFER, JIT_ERROR_LOG_SIZE);
}

/* ---- Logs --------------------------------------------------------------------------------------
 */

static bool jit_log_open(JitLog *log, uint64_t size)
{
    log->size = size < JIT_LOG_MAX ? size : JIT_LOG_MAX;
    log->text = size > 0 ? calloc(1, log->size) : NULL;
    return size == 0 || log->text;
}

CUresult jit_logs_open(JitLogs *logs, uint64_t info_size, uint64_t error_size)
{
    *logs = (JitLogs){0};
    if (jit_log_open(&logs->info, info_size) && jit_log_open(&logs->error, error_size))
        return CUDA_SUCCESS;
    jit_logs_close(logs);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

void jit_logs_close(JitLogs *logs)
{
    free(logs->info.text);
    free(logs->error.text);
    *logs = (JitLogs){0};
}

static bool jit_log_may_go(Session *s, const VGPUSessionBytes *to)
{
    return to->size == 0 || session_window(s, to->offset, to->size);
}

CUresult jit_logs_may_go(Session *s, const VGPUSessionBytes *info, const VGPUSessionBytes *error)
{
    return jit_log_may_go(s, info) && jit_log_may_go(s, error) ? CUDA_SUCCESS
                                                               : CUDA_ERROR_INVALID_VALUE;
}

static uint64_t jit_log_deliver(Session *s, const JitLog *log, const VGPUSessionBytes *to)
{
    unsigned char *window = to->size > 0 ? session_window(s, to->offset, to->size) : NULL;
    uint64_t length;

    if (!window)
        return 0;
    length = log->text ? strnlen(log->text, log->size - 1) : 0;
    if (length > to->size - 1)
        length = to->size - 1;
    if (length > 0)
        memcpy(window, log->text, length);
    window[length] = 0;
    return length;
}

void jit_logs_deliver(Session *s, SessionCall *call, const JitLogs *logs,
                      const VGPUSessionBytes *info, const VGPUSessionBytes *error)
{
    call->value[0] = jit_log_deliver(s, &logs->info, info);
    call->value[1] = jit_log_deliver(s, &logs->error, error);
}

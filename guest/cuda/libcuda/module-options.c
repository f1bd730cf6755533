/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program says for the compiler: numbers go to the executor, texts come back. */
#include <string.h>

#include "module.h"

/* CUjit_option: those that are more than a number for the compiler */
enum {
    JIT_WALL_TIME = 2,
    JIT_INFO_LOG = 3,
    JIT_INFO_LOG_SIZE = 4,
    JIT_ERROR_LOG = 5,
    JIT_ERROR_LOG_SIZE = 6,
    JIT_FALLBACK = 10,
    JIT_GLOBAL_SYMBOL_NAMES = 17,
    JIT_GLOBAL_SYMBOL_ADDRESSES = 18,
};

static CUresult module_option(int option, void **value, ModuleOptions *o)
{
    VGPUSessionModule *numbers = &o->numbers;

    switch (option) {
    case JIT_WALL_TIME:
        o->wall_time = value;
        return CUDA_SUCCESS;
    case JIT_INFO_LOG:
        o->logs.info = *value;
        return CUDA_SUCCESS;
    case JIT_INFO_LOG_SIZE:
        o->logs.info_size = (uint32_t) (uintptr_t) *value;
        o->info_size = value;
        return CUDA_SUCCESS;
    case JIT_ERROR_LOG:
        o->logs.error = *value;
        return CUDA_SUCCESS;
    case JIT_ERROR_LOG_SIZE:
        o->logs.error_size = (uint32_t) (uintptr_t) *value;
        o->error_size = value;
        return CUDA_SUCCESS;
    case JIT_GLOBAL_SYMBOL_NAMES:
    case JIT_GLOBAL_SYMBOL_ADDRESSES:
        return CUDA_ERROR_NOT_SUPPORTED;
    default:
        if (option < 0 || numbers->n_options == VGPU_SESSION_JIT_OPTIONS)
            return CUDA_ERROR_INVALID_VALUE;
        numbers->option[numbers->n_options].option = (uint32_t) option;
        numbers->option[numbers->n_options].value = (uint32_t) (uintptr_t) *value;
        numbers->n_options++;
        return CUDA_SUCCESS;
    }
}

CUresult module_options_read(unsigned n, const int *options, void **values, ModuleOptions *ret)
{
    CUresult r = CUDA_SUCCESS;

    *ret = (ModuleOptions){0};
    for (unsigned i = 0; i < n && r == CUDA_SUCCESS; i++)
        r = module_option(options[i], &values[i], ret);
    return r;
}

/* The driver writes over the sizes of the buffers how much is in them. */
void module_options_answer(const ModuleOptions *o)
{
    if (o->info_size && o->logs.info)
        *o->info_size = (void *) (uintptr_t) strlen(o->logs.info);
    if (o->error_size && o->logs.error)
        *o->error_size = (void *) (uintptr_t) strlen(o->logs.error);
    if (o->wall_time)
        memset(o->wall_time, 0, sizeof(float));
}

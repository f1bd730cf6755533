/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program says for the compiler: numbers go to the executor, texts come back. */
#include <string.h>

#include "clock.h"
#include "module.h"

/* CUjit_option: those that are more than a number for the compiler */
enum {
    JIT_WALL_TIME = 2,
    JIT_INFO_LOG = 3,
    JIT_INFO_LOG_SIZE = 4,
    JIT_ERROR_LOG = 5,
    JIT_ERROR_LOG_SIZE = 6,
    JIT_GLOBAL_SYMBOL_NAMES = 17,
    JIT_GLOBAL_SYMBOL_ADDRESSES = 18,
    JIT_GLOBAL_SYMBOL_COUNT = 19,
    JIT_KERNEL_NAMES = 25,
    JIT_KERNEL_COUNT = 26,
    JIT_VARIABLE_NAMES = 27,
    JIT_VARIABLE_COUNT = 28,
    JIT_SPLIT_COMPILE = 34,
    JIT_OPTIONS = 35,
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
    case JIT_GLOBAL_SYMBOL_NAMES: /* which count when their number says so */
    case JIT_GLOBAL_SYMBOL_ADDRESSES:
    case JIT_KERNEL_NAMES:
    case JIT_VARIABLE_NAMES:
        return CUDA_SUCCESS;
    case JIT_GLOBAL_SYMBOL_COUNT:
    case JIT_KERNEL_COUNT:
    case JIT_VARIABLE_COUNT:
        return (uint32_t) (uintptr_t) *value == 0 ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
    case JIT_SPLIT_COMPILE: /* how many threads compile is the host's affair */
        return CUDA_SUCCESS;
    default:
        if (option < 0 || option >= JIT_OPTIONS || numbers->n_options == VGPU_SESSION_JIT_OPTIONS)
            return CUDA_ERROR_INVALID_VALUE;
        numbers->option[numbers->n_options].option = (uint32_t) option;
        numbers->option[numbers->n_options].value = (uint32_t) (uintptr_t) *value;
        numbers->n_options++;
        return CUDA_SUCCESS;
    }
}

VGPUSessionLink module_options_link(const ModuleOptions *options)
{
    VGPUSessionLink numbers = {.n_options = options->numbers.n_options};

    for (uint32_t i = 0; i < numbers.n_options; i++) {
        numbers.option[i].option = options->numbers.option[i].option;
        numbers.option[i].value = options->numbers.option[i].value;
    }
    return numbers;
}

static void module_options_clear(char *text, size_t size)
{
    if (text && size > 0)
        text[0] = '\0';
}

CUresult module_options_read(unsigned n, const int *options, void **values, ModuleOptions *ret)
{
    CUresult r = CUDA_SUCCESS;

    *ret = (ModuleOptions){0};
    for (unsigned i = 0; i < n && r == CUDA_SUCCESS; i++)
        r = module_option(options[i], &values[i], ret);
    if (r != CUDA_SUCCESS)
        return r;
    module_options_clear(ret->logs.info, ret->logs.info_size);
    module_options_clear(ret->logs.error, ret->logs.error_size);
    module_options_begin(ret);
    return CUDA_SUCCESS;
}

void module_options_begin(ModuleOptions *o)
{
    o->began = now_nsec();
}

static void module_options_answer_size(void **to, const char *text, size_t size)
{
    if (to && text)
        *to = (void *) (uintptr_t) (size > 0 ? strlen(text) : 0);
}

/* The driver writes over the sizes of the buffers how much is in them, and over the time's value a
 * float of milliseconds. */
void module_options_answer(ModuleOptions *o)
{
    float msec;

    module_options_answer_size(o->info_size, o->logs.info, o->logs.info_size);
    module_options_answer_size(o->error_size, o->logs.error, o->logs.error_size);
    o->spent += now_nsec() - o->began;
    msec = (float) o->spent / (float) NSEC_PER_MSEC;
    if (o->wall_time)
        memcpy(o->wall_time, &msec, sizeof(msec));
}

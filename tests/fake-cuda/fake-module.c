/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-module.h"
#include "fake-memory.h"
#include "fake-queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    JIT_INFO_LOG_BUFFER = 3,
    JIT_INFO_LOG_BUFFER_SIZE = 4,
    JIT_ERROR_LOG_BUFFER = 5,
    JIT_ERROR_LOG_BUFFER_SIZE = 6,
    JIT_OPTIONS = 34, /* CU_JIT_NUM_OPTIONS */
    POINTER_IS_MANAGED = 8,
};

/* ---- Modules -------------------------------------------------------------------- */

static CUresult globals_new(CUcontext context, FakeImage *image)
{
    for (size_t i = 0; i < image->n_globals; i++) {
        FakeGlobal *g = &image->globals[i];
        CUresult r = fake_memory_alloc(context, g->size, &g->address);

        if (r != CUDA_SUCCESS)
            return r;
        memset(fake_memory_find(g->address, g->size), 0, g->size);
        fake_memory_at(g->address)->is_managed = g->is_managed;
    }
    return CUDA_SUCCESS;
}

static void module_end(CUmodule m)
{
    for (CUfunction f = m->functions, next; f; f = next) {
        next = f->next;
        fake_object_end(f);
    }
    for (size_t i = 0; i < m->image.n_globals; i++)
        if (m->image.globals[i].address)
            fake_memory_free(fake_memory_at(m->image.globals[i].address));
    fake_image_clear(&m->image);
    fake_object_end(m);
}

void fake_modules_end(CUcontext context)
{
    for (CUmodule m; (m = fake_object_any(FAKE_KIND_MODULE, context));)
        module_end(m);
}

static CUresult load(CUmodule *module, const void *image, char *error_log, size_t log_size)
{
    FAKE_LOCKED();

    FakeImage read;
    CUresult r = fake_image_read(image, &read, error_log, log_size);
    CUmodule m;

    if (r != CUDA_SUCCESS)
        return r;
    m = fake_object_new(FAKE_KIND_MODULE, fake_context(), sizeof(*m));
    m->image = read;
    r = globals_new(fake_context(), &m->image);
    if (r != CUDA_SUCCESS) {
        module_end(m);
        return r;
    }
    *module = m;
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    ENTER(FAKE_CONTEXT);
    return load(module, image, NULL, 0);
}

/* Where a log goes. Its size is told in the option's value, and the length is told back there. */
typedef struct Log {
    char *text;
    size_t size;
    void **ret_length;
} Log;

static CUresult read_options(unsigned n, const int *options, void **values, Log *info, Log *error)
{
    for (unsigned i = 0; i < n; i++) {
        switch (options[i]) {
        case JIT_INFO_LOG_BUFFER:
            info->text = values[i];
            break;
        case JIT_INFO_LOG_BUFFER_SIZE:
            info->size = (unsigned) (uintptr_t) values[i];
            info->ret_length = &values[i];
            break;
        case JIT_ERROR_LOG_BUFFER:
            error->text = values[i];
            break;
        case JIT_ERROR_LOG_BUFFER_SIZE:
            error->size = (unsigned) (uintptr_t) values[i];
            error->ret_length = &values[i];
            break;
        default:
            if (options[i] < 0 || options[i] >= JIT_OPTIONS)
                return CUDA_ERROR_INVALID_VALUE;
        }
    }
    if (!info->text)
        info->size = 0;
    if (!error->text)
        error->size = 0;
    return CUDA_SUCCESS;
}

static void log_end(const Log *log)
{
    if (log->ret_length)
        *log->ret_length = (void *) (uintptr_t) (log->size > 0 ? strlen(log->text) : 0);
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned n, int *options,
                            void **values)
{
    Log info = {0}, error = {0};
    CUresult r;

    ENTER_SESSION(FAKE_CONTEXT);
    r = read_options(n, options, values, &info, &error);
    if (r != CUDA_SUCCESS)
        return r;
    if (info.size > 0)
        info.text[0] = '\0';
    if (error.size > 0)
        error.text[0] = '\0';

    r = load(module, image, error.text, error.size);
    if (r == CUDA_SUCCESS && info.size > 0)
        snprintf(info.text, info.size, "fake ptxas: %zu kernels\n", (*module)->image.n_kernels);
    log_end(&info);
    log_end(&error);
    return r;
}

CUresult cuModuleUnload(CUmodule module)
{
    ENTER(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(module, FAKE_KIND_MODULE, __func__);
    fake_device_settle();
    module_end(module);
    return CUDA_SUCCESS;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *size, CUmodule module, const char *name)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(module, FAKE_KIND_MODULE, __func__);
    for (size_t i = 0; i < module->image.n_globals; i++) {
        const FakeGlobal *g = &module->image.globals[i];

        if (strcmp(g->name, name) != 0)
            continue;
        if (address)
            *address = g->address;
        if (size)
            *size = g->size;
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_NOT_FOUND;
}

CUresult cuPointerGetAttribute(void *data, int attribute, CUdeviceptr pointer)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();
    const FakeMemory *memory = fake_memory_around(pointer);
    unsigned is_managed;

    if (attribute != POINTER_IS_MANAGED)
        fake_misuse("%s: attribute %d", __func__, attribute);
    if (!memory)
        return CUDA_ERROR_INVALID_VALUE;
    is_managed = memory->is_managed;
    memcpy(data, &is_managed, sizeof(is_managed));
    return CUDA_SUCCESS;
}

bool fake_global_find(const FakeLaunch *launch, const char *name, CUdeviceptr *ret_address,
                      size_t *ret_size)
{
    FAKE_LOCKED();

    /* A launch or a graph may outlive the module. */
    if (!fake_object_lives(launch->module, FAKE_KIND_MODULE))
        return false;
    for (size_t i = 0; i < launch->module->image.n_globals; i++) {
        const FakeGlobal *g = &launch->module->image.globals[i];

        if (strcmp(g->name, name) != 0)
            continue;
        *ret_address = g->address;
        *ret_size = g->size;
        return true;
    }
    return false;
}

/* ---- Functions -------------------------------------------------------------------- */

static CUfunction function_of(CUmodule m, const FakeKernel *kernel)
{
    CUfunction f = m->functions;

    while (f && f->kernel != kernel)
        f = f->next;
    if (f)
        return f;

    f = fake_object_new(FAKE_KIND_FUNCTION, m->object.context, sizeof(*f));
    f->kernel = kernel;
    f->module = m;
    f->carveout = -1;
    f->max_dynamic_shared = (int) FAKE_SHARED_MAX - kernel->shared_bytes;
    f->next = m->functions;
    m->functions = f;
    return f;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
    const FakeKernel *kernel = fake_kernel_find(name);

    ENTER(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(module, FAKE_KIND_MODULE, __func__);
    if (!kernel || !fake_image_has_kernel(&module->image, name))
        return CUDA_ERROR_NOT_FOUND;
    *function = function_of(module, kernel);
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunctionCount(unsigned *count, CUmodule module)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(module, FAKE_KIND_MODULE, __func__);
    *count = 0;
    for (size_t i = 0; i < module->image.n_kernels; i++)
        *count += fake_kernel_find(module->image.kernels[i]) != NULL;
    return CUDA_SUCCESS;
}

CUresult cuModuleEnumerateFunctions(CUfunction *functions, unsigned n, CUmodule module)
{
    unsigned used = 0;

    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(module, FAKE_KIND_MODULE, __func__);
    for (size_t i = 0; i < module->image.n_kernels && used < n; i++) {
        const FakeKernel *kernel = fake_kernel_find(module->image.kernels[i]);

        if (kernel)
            functions[used++] = function_of(module, kernel);
    }
    return CUDA_SUCCESS;
}

CUresult cuFuncGetName(const char **name, CUfunction function)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(function, FAKE_KIND_FUNCTION, __func__);
    *name = function->kernel->name;
    return CUDA_SUCCESS;
}

CUresult cuFuncLoad(CUfunction function);

CUresult cuFuncLoad(CUfunction function)
{
    ENTER(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(function, FAKE_KIND_FUNCTION, __func__);
    return CUDA_SUCCESS;
}

CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t *offset, size_t *size)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(function, FAKE_KIND_FUNCTION, __func__);
    if (index >= function->kernel->n_parameters)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = function->kernel->parameters[index].offset;
    if (size)
        *size = function->kernel->parameters[index].size;
    return CUDA_SUCCESS;
}

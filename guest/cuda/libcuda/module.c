/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modules: images that are loaded in one context. */
#include "module.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image-size.h"
#include "memory-map.h"

static LibModule *module_new(LibContext *c)
{
    LibModule *module = calloc(1, sizeof(*module));

    if (!module)
        return NULL;
    module->handle = handle_new(HANDLE_MODULE, module);
    if (!module->handle) {
        free(module);
        return NULL;
    }
    module->context = c;
    module->opened = c->opened;
    pthread_mutex_init(&module->lock, NULL);
    return module;
}

void module_forget(LibModule *module)
{
    LibFunction *function;

    while ((function = LIST_FIRST(&module->functions))) {
        LIST_REMOVE(function, of_module);
        if (function->kernel)
            LIST_REMOVE(function, of_kernel);
        handle_end(function->handle);
        free(function->name);
        free(function->info);
        free(function->parameters);
        free(function);
    }
    handle_end(module->handle);
    pthread_mutex_destroy(&module->lock);
    free(module->names);
    free(module);
}

/* The executor has the image, or gets it now. */
static CUresult module_send(const LibCall *call, const LibImage *image)
{
    return image->bytes
               ? vgpu_session_image_send(call->session, image->bytes, image->size, image->key)
               : CUDA_SUCCESS;
}

/* @logs: NULL: they have what the linker said */
static CUresult module_load_image(const LibCall *call, const LibImage *image,
                                  const ModuleOptions *options, vgpu_session_logs *logs,
                                  LibModule *module)
{
    CUresult r = module_send(call, image);

    return r == CUDA_SUCCESS
               ? vgpu_session_module_load_key(call->session, &call->from, image->key,
                                              &options->numbers, logs, &module->number)
               : r;
}

/* With parts an image is empty where the compiler had nothing to link: that is sent to nobody. */
static CUresult module_load_or_link(const LibCall *call, LibImage *image, ModuleOptions *options,
                                    LibModule *module)
{
    CUresult r = CUDA_ERROR_NO_BINARY_FOR_GPU;

    if (!image->parts || !image_is_empty(image->size))
        r = module_load_image(call, image, options, &options->logs, module);
    if (r != CUDA_ERROR_NO_BINARY_FOR_GPU || !image->parts)
        return r;
    r = image_link(call, image, options);
    return r == CUDA_SUCCESS ? module_load_image(call, image, options, NULL, module) : r;
}

CUresult module_load(const LibCall *call, LibImage *image, ModuleOptions *options, LibModule **ret)
{
    ModuleOptions none = {0};
    LibModule *module = module_new(call->context);
    CUresult r;

    if (!module)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = module_load_or_link(call, image, options ? options : &none, module);
    if (r != CUDA_SUCCESS) {
        module_forget(module);
        return r;
    }
    *ret = module;
    return CUDA_SUCCESS;
}

CUresult module_end(const LibCall *call, LibModule *module)
{
    CUresult r;

    /* Before the host may give these addresses to others */
    if (module->has_globals)
        memory_map_drop_module(module);
    r = vgpu_session_module_unload(call->session, &call->from, module->number);
    module_forget(module);
    return r;
}

/* ---- What is in it -----------------------------------------------------------------------------
 */

static LibFunction *module_look(const LibModule *module, const char *name)
{
    LibFunction *function;

    LIST_FOREACH(function, &module->functions, of_module)
    if (strcmp(function->name, name) == 0)
        return function;
    return NULL;
}

static CUresult module_ask_function(const LibCall *call, LibModule *module, const char *name,
                                    LibFunction **ret)
{
    LibFunction *function = calloc(1, sizeof(*function));
    CUresult r = CUDA_ERROR_OUT_OF_MEMORY;

    if (function)
        function->name = strdup(name);
    if (function && function->name)
        r = vgpu_session_function_get(call->session, &call->from, module->number, name,
                                      &function->number, &function->info);
    if (r == CUDA_SUCCESS && !(function->handle = handle_new(HANDLE_FUNCTION, function)))
        r = CUDA_ERROR_OUT_OF_MEMORY;
    if (r != CUDA_SUCCESS) {
        libcuda_log("function %s: %d", name, r);
        if (function) {
            free(function->info);
            free(function->name);
        }
        free(function);
        return r;
    }
    function->module = module;
    LIST_INSERT_HEAD(&module->functions, function, of_module);
    *ret = function;
    return CUDA_SUCCESS;
}

CUresult module_function(const LibCall *call, LibModule *module, const char *name,
                         LibFunction **ret)
{
    LibFunction *function;
    CUresult r = CUDA_SUCCESS;

    pthread_mutex_lock(&module->lock);
    function = module_look(module, name);
    if (!function)
        r = module_ask_function(call, module, name, &function);
    pthread_mutex_unlock(&module->lock);
    if (r == CUDA_SUCCESS)
        *ret = function;
    return r;
}

CUresult module_names(const LibCall *call, LibModule *module, const char **ret, uint32_t *ret_n)
{
    CUresult r = CUDA_SUCCESS;

    pthread_mutex_lock(&module->lock);
    if (!module->has_names)
        r = vgpu_session_function_names(call->session, &call->from, module->number, &module->names,
                                        &module->n_names);
    module->has_names = r == CUDA_SUCCESS;
    *ret = module->names;
    *ret_n = module->n_names;
    pthread_mutex_unlock(&module->lock);
    return r;
}

/*
 * The driver chooses where a managed variable is, and this process can't see it there. Runtimes
 * pass over CUDA_ERROR_NOT_SUPPORTED, and their programs would then write to address 0; this one is
 * the answer to their first call.
 */
static CUresult module_refuse_managed(const char *name)
{
    libcuda_log("variable %s is managed, and those of modules are not served", name);
    return CUDA_ERROR_INVALID_IMAGE;
}

CUresult module_global(const LibCall *call, LibModule *module, const char *name,
                       CUdeviceptr *ret_address, size_t *ret_size)
{
    const size_t size = strlen(name) + 1;
    VGPUSessionName parameters = {.module = module->number, .name_size = (uint32_t) size};
    VGPUSessionReply reply;
    MemoryPiece piece = {.kind = MEMORY_GLOBAL}, there;
    CUresult r;

    if (size > VGPU_SESSION_NAME_MAX)
        return CUDA_ERROR_NOT_FOUND;
    r = vgpu_session_call(call->session, VGPU_SESSION_OP_GLOBAL_GET, &call->from, &parameters,
                          sizeof(parameters), name, size, &reply);
    if (r != CUDA_SUCCESS)
        return r == CUDA_ERROR_NOT_SUPPORTED ? module_refuse_managed(name) : r;
    if (ret_address)
        *ret_address = reply.value[0];
    if (ret_size)
        *ret_size = reply.value[1];
    piece.address = piece.device = reply.value[0];
    piece.size = reply.value[1];
    piece.context = call->context;
    piece.object = module;
    pthread_mutex_lock(&module->lock);
    if (!memory_map_find(piece.address, &there))
        r = memory_map_add(&piece);
    module->has_globals = module->has_globals || r == CUDA_SUCCESS;
    pthread_mutex_unlock(&module->lock);
    return r;
}

/* ---- The functions -----------------------------------------------------------------------------
 */

static CUresult module_load_bytes(CUmodule *ret, const void *bytes, size_t size,
                                  const void *const *parts, ModuleOptions *options)
{
    LibImage image = {.size = size, .parts = parts};
    LibModule *module;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    r = vgpu_session_image_offer(call.session, bytes, size, image.key);
    if (r == CUDA_SUCCESS)
        r = module_load(&call, &image, options, &module);
    if (options)
        module_options_answer(options);
    if (r == CUDA_SUCCESS)
        *ret = module->handle;
    return r;
}

CUresult cuModuleLoadDataEx(CUmodule *ret, const void *image, unsigned n, int *options,
                            void **values)
{
    ModuleOptions read;
    const void *bytes;
    size_t size;
    CUresult r;

    if (!ret || !image || (n > 0 && (!options || !values)))
        return CUDA_ERROR_INVALID_VALUE;
    r = module_options_read(n, options, values, &read);
    if (r != CUDA_SUCCESS)
        return r;
    size = image_find(image, &bytes);
    return size > 0 ? module_load_bytes(ret, bytes, size, image_parts(image), &read)
                    : CUDA_ERROR_INVALID_IMAGE;
}

CUresult cuModuleLoadData(CUmodule *ret, const void *image)
{
    return cuModuleLoadDataEx(ret, image, 0, NULL, NULL);
}

CUresult cuModuleLoadFatBinary(CUmodule *ret, const void *image)
{
    return cuModuleLoadDataEx(ret, image, 0, NULL, NULL);
}

/* The file is the guest's. */
CUresult cuModuleLoad(CUmodule *ret, const char *path)
{
    void *bytes;
    size_t size;
    CUresult r;

    if (!ret || !path)
        return CUDA_ERROR_INVALID_VALUE;
    r = image_read(path, &bytes, &size);
    if (r != CUDA_SUCCESS)
        return r;
    r = module_load_bytes(ret, bytes, size, NULL, NULL);
    free(bytes);
    return r;
}

CUresult module_of(CUmodule handle, LibCall *call, LibModule **ret)
{
    LibModule *module;
    CUresult r = libcuda_enter(call);

    if (r != CUDA_SUCCESS)
        return r;
    module = handle_object(HANDLE_MODULE, handle);
    if (!module)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!module_is_alive(module))
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    call->context = module->context;
    call->from.context = module->context->number;
    *ret = module;
    return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule handle)
{
    LibModule *module;
    LibCall call;
    CUresult r = module_of(handle, &call, &module);

    if (r != CUDA_SUCCESS)
        return r;
    return module->library ? CUDA_ERROR_INVALID_HANDLE : module_end(&call, module);
}

CUresult cuModuleGetFunction(CUfunction *ret, CUmodule handle, const char *name)
{
    LibFunction *function;
    LibModule *module;
    LibCall call;
    CUresult r = module_of(handle, &call, &module);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !name)
        return CUDA_ERROR_INVALID_VALUE;
    r = module_function(&call, module, name, &function);
    if (r == CUDA_SUCCESS)
        *ret = function->handle;
    return r;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *size, CUmodule handle, const char *name)
{
    LibModule *module;
    LibCall call;
    CUresult r = module_of(handle, &call, &module);

    if (r != CUDA_SUCCESS)
        return r;
    if (!name || (!address && !size))
        return CUDA_ERROR_INVALID_VALUE;
    return module_global(&call, module, name, address, size);
}

/* CU_MODULE_LAZY_LOADING: what a library needs is loaded when it is first used. */
CUresult cuModuleGetLoadingMode(int *mode)
{
    enum { LAZY_LOADING = 2 };

    if (!mode)
        return CUDA_ERROR_INVALID_VALUE;
    *mode = LAZY_LOADING;
    return CUDA_SUCCESS;
}

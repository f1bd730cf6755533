/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Libraries: images that belong to no context. Each context that asks for a kernel has the image as
 * a module of its own, from then on.
 */
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "image-size.h"
#include "module.h"

struct LibKernel {
    LIST_ENTRY(LibKernel) of_library;
    CUkernel handle;
    LibLibrary *library;
    char *name;
    LIST_HEAD(, LibFunction) functions; /* one for each context */
};

struct LibLibrary {
    CUlibrary handle;
    LibImage image;
    bool has_key;                  /* of the image, under the lock */
    const void *const *parts_copy; /* NULL: the image's stay, or it has none */
    pthread_mutex_t lock;
    LIST_HEAD(, LibModule) modules; /* one for each context */
    LIST_HEAD(, LibKernel) kernels;
};

/* CUlibraryOption */
enum { LIBRARY_BINARY_IS_PRESERVED = 1 };

/* Its modules are looked at to know what a library has. */
static CUresult library_enter_any(LibCall *ret)
{
    LibContext *c = libcuda_current();
    CUresult r = libcuda_enter(ret);

    if (r != CUDA_SUCCESS)
        return r;
    if (!c || __atomic_load_n(&c->number, __ATOMIC_ACQUIRE) == 0)
        c = libcuda_process.primary;
    ret->context = c;
    ret->from.context = __atomic_load_n(&c->number, __ATOMIC_ACQUIRE);
    return ret->from.context != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

static CUresult library_of(CUlibrary handle, LibLibrary **ret)
{
    *ret = handle_object(HANDLE_LIBRARY, handle);
    return *ret ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

/* A runtime loads all libraries of a program at once, and most are never used: of bytes that stay,
 * none is looked at before. Under the library's lock. */
static void library_make_key(LibLibrary *library)
{
    if (!library->has_key)
        vgpu_session_image_key(library->image.bytes, library->image.size, library->image.key);
    library->has_key = true;
}

CUresult library_enter(CUlibrary handle, LibCall *call, LibLibrary **ret)
{
    CUresult r = library_enter_any(call);

    return r == CUDA_SUCCESS ? library_of(handle, ret) : r;
}

/* Under the library's lock. A module that ended with its context, which is there again, is
 * forgotten. */
static CUresult library_load_module(const LibCall *call, LibLibrary *library, LibModule **ret)
{
    LibModule *module;
    CUresult r;

    LIST_FOREACH(module, &library->modules, of_library)
    if (module->context == call->context)
        break;
    if (module && module_is_alive(module)) {
        *ret = module;
        return CUDA_SUCCESS;
    }
    if (module) {
        LIST_REMOVE(module, of_library);
        module_forget(module);
    }
    library_make_key(library);
    r = module_load(call, &library->image, NULL, &module);
    if (r != CUDA_SUCCESS)
        return r;
    module->library = library;
    LIST_INSERT_HEAD(&library->modules, module, of_library);
    *ret = module;
    return CUDA_SUCCESS;
}

CUresult library_module(const LibCall *call, LibLibrary *library, LibModule **ret)
{
    CUresult r;

    pthread_mutex_lock(&library->lock);
    r = library_load_module(call, library, ret);
    pthread_mutex_unlock(&library->lock);
    return r;
}

CUresult kernel_function(const LibCall *call, LibKernel *kernel, LibFunction **ret)
{
    LibLibrary *library = kernel->library;
    LibFunction *function;
    LibModule *module;
    CUresult r;

    pthread_mutex_lock(&library->lock);
    LIST_FOREACH(function, &kernel->functions, of_kernel)
    if (function->module->context == call->context && module_is_alive(function->module))
        break;
    r = function ? CUDA_SUCCESS : library_load_module(call, library, &module);
    if (r == CUDA_SUCCESS && !function) {
        r = module_function(call, module, kernel->name, &function);
        if (r == CUDA_SUCCESS && !function->kernel) {
            function->kernel = kernel;
            LIST_INSERT_HEAD(&kernel->functions, function, of_kernel);
        }
    }
    pthread_mutex_unlock(&library->lock);
    if (r == CUDA_SUCCESS)
        *ret = function;
    return r;
}

/* ---- Libraries ---------------------------------------------------------------------------------
 */

static void library_free(LibLibrary *library)
{
    LibKernel *kernel;

    while ((kernel = LIST_FIRST(&library->kernels))) {
        LIST_REMOVE(kernel, of_library);
        handle_end(kernel->handle);
        free(kernel->name);
        free(kernel);
    }
    image_parts_free(library->parts_copy);
    handle_end(library->handle);
    pthread_mutex_destroy(&library->lock);
    free(library);
}

static CUresult library_keep_parts(LibLibrary *library)
{
    if (!library->image.parts)
        return CUDA_SUCCESS;
    if (image_parts_count(library->image.parts) < 0)
        return CUDA_ERROR_INVALID_IMAGE;
    library->image.parts = library->parts_copy = image_parts_copy(library->image.parts);
    return library->parts_copy ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* The bytes are the program's, which may free them after this, unless it said that they stay. */
static CUresult library_load(CUlibrary *ret, const LibImage *image, bool is_preserved)
{
    LibLibrary *library;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    library = calloc(1, sizeof(*library));
    if (!library)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_init(&library->lock, NULL);
    library->handle = handle_new(HANDLE_LIBRARY, library);
    library->image = *image;
    r = library->handle ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    if (r == CUDA_SUCCESS && !is_preserved) {
        r = library_keep_parts(library);
        if (r == CUDA_SUCCESS)
            r = vgpu_session_image_offer(call.session, image->bytes, image->size,
                                         library->image.key);
        library->image.bytes = NULL;
        library->has_key = true;
    }
    if (r != CUDA_SUCCESS) {
        library_free(library);
        return r;
    }
    *ret = library->handle;
    return CUDA_SUCCESS;
}

CUresult cuLibraryLoadData(CUlibrary *ret, const void *code, int *jit_options, void **jit_values,
                           unsigned n_jit, int *options, void **values, unsigned n)
{
    ModuleOptions read;
    bool is_preserved = false;
    LibImage image = {0};
    CUresult r;

    /* An option that is no number may come without values. */
    if (!ret || !code || (n_jit > 0 && (!jit_options || !jit_values)) || (n > 0 && !options))
        return CUDA_ERROR_INVALID_VALUE;
    r = module_options_read(n_jit, jit_options, jit_values, &read);
    if (r != CUDA_SUCCESS)
        return r;
    for (unsigned i = 0; i < n; i++)
        if (options[i] == LIBRARY_BINARY_IS_PRESERVED)
            is_preserved = !values || values[i];
    image.size = image_find(code, &image.bytes);
    image.parts = image_parts(code);
    return image.size > 0 ? library_load(ret, &image, is_preserved) : CUDA_ERROR_INVALID_IMAGE;
}

CUresult cuLibraryLoadFromFile(CUlibrary *ret, const char *path, int *jit_options,
                               void **jit_values, unsigned n_jit, int *options, void **values,
                               unsigned n)
{
    LibImage image = {0};
    void *bytes;
    CUresult r;

    (void) jit_options, (void) jit_values, (void) n_jit, (void) options, (void) values, (void) n;
    if (!ret || !path)
        return CUDA_ERROR_INVALID_VALUE;
    r = image_read(path, &bytes, &image.size);
    if (r != CUDA_SUCCESS)
        return r;
    image.bytes = bytes;
    r = library_load(ret, &image, false);
    free(bytes);
    return r;
}

CUresult cuLibraryUnload(CUlibrary handle)
{
    LibLibrary *library;
    LibModule *module;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r == CUDA_SUCCESS)
        r = library_of(handle, &library);
    if (r != CUDA_SUCCESS)
        return r;
    while ((module = LIST_FIRST(&library->modules))) {
        LIST_REMOVE(module, of_library);
        call.context = module->context;
        call.from.context = module->context->number;
        (void) module_end(&call, module);
    }
    library_free(library);
    return CUDA_SUCCESS;
}

CUresult cuLibraryGetModule(CUmodule *ret, CUlibrary handle)
{
    LibLibrary *library;
    LibModule *module;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r == CUDA_SUCCESS)
        r = library_of(handle, &library);
    if (r != CUDA_SUCCESS)
        return r;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    r = library_module(&call, library, &module);
    if (r == CUDA_SUCCESS)
        *ret = module->handle;
    return r;
}

/* ---- Kernels -----------------------------------------------------------------------------------
 */

static LibKernel *kernel_new(LibLibrary *library, const char *name)
{
    LibKernel *kernel = calloc(1, sizeof(*kernel));

    if (!kernel)
        return NULL;
    kernel->name = strdup(name);
    kernel->handle = kernel->name ? handle_new(HANDLE_KERNEL, kernel) : NULL;
    if (!kernel->handle) {
        free(kernel->name);
        free(kernel);
        return NULL;
    }
    kernel->library = library;
    return kernel;
}

/* Under the library's lock. */
static LibKernel *kernel_look(const LibLibrary *library, const char *name)
{
    LibKernel *kernel;

    LIST_FOREACH(kernel, &library->kernels, of_library)
    if (strcmp(kernel->name, name) == 0)
        return kernel;
    return NULL;
}

/* That there is such a kernel is known when a context has it. */
CUresult library_kernel(const LibCall *call, LibLibrary *library, const char *name, CUkernel *ret)
{
    LibFunction *function;
    LibModule *module;
    LibKernel *kernel;
    CUresult r = CUDA_SUCCESS;

    pthread_mutex_lock(&library->lock);
    kernel = kernel_look(library, name);
    if (!kernel) {
        r = library_load_module(call, library, &module);
        if (r == CUDA_SUCCESS)
            r = module_function(call, module, name, &function);
        if (r == CUDA_SUCCESS && !(kernel = kernel_new(library, name)))
            r = CUDA_ERROR_OUT_OF_MEMORY;
        if (r == CUDA_SUCCESS) {
            LIST_INSERT_HEAD(&library->kernels, kernel, of_library);
            function->kernel = kernel;
            LIST_INSERT_HEAD(&kernel->functions, function, of_kernel);
        }
    }
    pthread_mutex_unlock(&library->lock);
    if (r == CUDA_SUCCESS)
        *ret = kernel->handle;
    return r;
}

CUresult cuLibraryGetKernel(CUkernel *ret, CUlibrary handle, const char *name)
{
    LibLibrary *library;
    LibCall call;
    CUresult r = library_enter(handle, &call, &library);

    if (r != CUDA_SUCCESS)
        return r;
    return ret && name ? library_kernel(&call, library, name, ret) : CUDA_ERROR_INVALID_VALUE;
}

static CUresult kernel_enter(CUkernel handle, LibCall *call, LibKernel **ret)
{
    CUresult r = library_enter_any(call);

    if (r != CUDA_SUCCESS)
        return r;
    *ret = handle_object(HANDLE_KERNEL, handle);
    return *ret ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuKernelGetFunction(CUfunction *ret, CUkernel handle)
{
    LibFunction *function;
    LibKernel *kernel;
    LibCall call;
    CUresult r = kernel_enter(handle, &call, &kernel);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    r = kernel_function(&call, kernel, &function);
    if (r == CUDA_SUCCESS)
        *ret = function->handle;
    return r;
}

CUresult cuKernelGetLibrary(CUlibrary *ret, CUkernel handle)
{
    const LibKernel *kernel = handle_object(HANDLE_KERNEL, handle);

    if (!kernel)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = kernel->library->handle;
    return CUDA_SUCCESS;
}

CUresult cuKernelGetName(const char **ret, CUkernel handle)
{
    const LibKernel *kernel = handle_object(HANDLE_KERNEL, handle);

    if (!kernel)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = kernel->name;
    return CUDA_SUCCESS;
}

/* A kernel's attributes are those of its function on the one device. */
static CUresult kernel_as_function(CUkernel handle, CUdevice device, CUfunction *ret)
{
    if (!device_is(device))
        return CUDA_ERROR_INVALID_DEVICE;
    return cuKernelGetFunction(ret, handle);
}

CUresult cuKernelGetAttribute(int *value, int attribute, CUkernel handle, CUdevice device)
{
    CUfunction function;
    CUresult r = kernel_as_function(handle, device, &function);

    return r == CUDA_SUCCESS ? cuFuncGetAttribute(value, attribute, function) : r;
}

CUresult cuKernelSetAttribute(int attribute, int value, CUkernel handle, CUdevice device)
{
    CUfunction function;
    CUresult r = kernel_as_function(handle, device, &function);

    return r == CUDA_SUCCESS ? cuFuncSetAttribute(function, attribute, value) : r;
}

CUresult cuKernelSetCacheConfig(CUkernel handle, int config, CUdevice device)
{
    CUfunction function;
    CUresult r = kernel_as_function(handle, device, &function);

    return r == CUDA_SUCCESS ? cuFuncSetCacheConfig(function, config) : r;
}

CUresult cuKernelGetParamInfo(CUkernel handle, size_t index, size_t *offset, size_t *size)
{
    CUfunction function;
    CUresult r = kernel_as_function(handle, 0, &function);

    return r == CUDA_SUCCESS ? cuFuncGetParamInfo(function, index, offset, size) : r;
}

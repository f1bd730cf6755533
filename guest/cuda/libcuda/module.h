/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modules and what is in them; libraries, which are modules of every context that asks for them. */
#ifndef VGPU_LIBCUDA_MODULE_H
#define VGPU_LIBCUDA_MODULE_H

#include "libcuda.h"

typedef struct LibModule LibModule;
typedef struct LibLibrary LibLibrary;
typedef struct LibFunction LibFunction;
typedef struct LibKernel LibKernel;

struct LibFunction {
    LIST_ENTRY(LibFunction) of_module;
    LIST_ENTRY(LibFunction) of_kernel;
    CUfunction handle;
    LibModule *module;
    LibKernel *kernel; /* NULL: of a module */
    uint32_t number;   /* of the session's */
    char *name;
    VGPUSessionFunction *info; /* values of attributes change with cuFuncSetAttribute() */
    /* cuFuncSetBlockShape() and so on, for cuLaunch() */
    unsigned block[3], shared_bytes, parameters_size;
    unsigned char *parameters;
};

struct LibModule {
    LIST_ENTRY(LibModule) of_library;
    CUmodule handle;
    LibContext *context;
    LibLibrary *library; /* NULL: the program's own */
    uint32_t number;
    pthread_mutex_t lock;
    LIST_HEAD(, LibFunction) functions;
};

/* An image that may be loaded more than once */
typedef struct LibImage {
    uint8_t key[32];
    size_t size;
    const void *bytes; /* NULL: the executor has them */
} LibImage;

/* What a program said for the compiler (module-options.c) */
typedef struct ModuleOptions {
    VGPUSessionModule numbers; /* option, n_options */
    vgpu_session_logs logs;
    void **info_size, **error_size; /* where the texts' lengths go; or NULL */
    void **wall_time;
} ModuleOptions;

/* module_options_read() - CUjit_option and their values, as cuModuleLoadDataEx() has them */
CUresult module_options_read(unsigned n, const int *options, void **values, ModuleOptions *ret);

/* module_options_answer() - lengths of texts, for the program */
void module_options_answer(const ModuleOptions *options);

/* module_load() - the image in the call's context. @options may be NULL */
CUresult module_load(const LibCall *call, const LibImage *image, ModuleOptions *options,
                     LibModule **ret);

/* module_end() - unload, and forget all that is in it */
CUresult module_end(const LibCall *call, LibModule *module);

/* module_function() - the function @name, looked up once */
CUresult module_function(const LibCall *call, LibModule *module, const char *name,
                         LibFunction **ret);

/* module_global() - where a variable is */
CUresult module_global(const LibCall *call, LibModule *module, const char *name,
                       CUdeviceptr *ret_address, size_t *ret_size);

/* function_of() - from the handle of a function, or of a kernel: then it is the one of the call's
 * context, and is loaded there if it has to be. CUDA_ERROR_INVALID_HANDLE for others */
CUresult function_of(LibCall *call, CUfunction handle, LibFunction **ret);

/* kernel_function() - the kernel in the call's context (library.c) */
CUresult kernel_function(const LibCall *call, LibKernel *kernel, LibFunction **ret);

#endif

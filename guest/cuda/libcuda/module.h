/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modules and what is in them; libraries, which are modules of every context that asks for them. */
#ifndef VGPU_LIBCUDA_MODULE_H
#define VGPU_LIBCUDA_MODULE_H

#include "libcuda.h"

typedef struct LibModule LibModule;
typedef struct LibLibrary LibLibrary;
typedef struct LibFunction LibFunction;
typedef struct LibKernel LibKernel;

#define FUNCTION_OCCUPANCY_MAX 8u

typedef struct FunctionOccupancy {
    int block_size;
    int blocks;
    size_t shared_bytes;
    unsigned flags;
} FunctionOccupancy;

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
    /* Under the module's lock: what the driver has said of its occupancy (occupancy.c) */
    FunctionOccupancy occupancy[FUNCTION_OCCUPANCY_MAX];
    unsigned n_occupancy; /* how many there ever were since they were forgotten */
};

struct LibModule {
    LIST_ENTRY(LibModule) of_library;
    CUmodule handle;
    LibContext *context;
    LibLibrary *library; /* NULL: the program's own */
    uint32_t number;
    uint64_t opened; /* of the context, when it was loaded: it ends with that */
    pthread_mutex_t lock;
    bool has_names; /* under the lock: of its kernels, asked once */
    char *names;    /* each with its 0 */
    uint32_t n_names;
    bool has_globals; /* under the lock: in the memory map */
    LIST_HEAD(, LibFunction) functions;
};

/* An image that may be loaded more than once */
typedef struct LibImage {
    uint8_t key[32];
    size_t size;
    const void *bytes;        /* NULL: the executor has them */
    const void *const *parts; /* what it is to be linked of where it has no code; NULL: nothing */
} LibImage;

/* What a program said for the compiler (module-options.c) */
typedef struct ModuleOptions {
    VGPUSessionModule numbers; /* option, n_options */
    vgpu_session_logs logs;
    void **info_size, **error_size; /* where the texts' lengths go; or NULL */
    void **wall_time;
    uint64_t began, spent; /* ns: what it took so far */
} ModuleOptions;

/* module_options_read() - CUjit_option and their values, as cuModuleLoadDataEx() has them */
CUresult module_options_read(unsigned n, const int *options, void **values, ModuleOptions *ret);

/* module_options_begin() - the compiler begins to work. It is called by module_options_read(), too
 */
void module_options_begin(ModuleOptions *options);

/* module_options_answer() - lengths of texts, and the time that it took, for the program */
void module_options_answer(ModuleOptions *options);

/* module_options_link() - the numbers among them, as the linker's operations have them */
VGPUSessionLink module_options_link(const ModuleOptions *options);

/* module_load() - the image in the call's context. @options may be NULL. Where it has no code for
 * the device, and parts, these are linked, and @image is what they make from then on */
CUresult module_load(const LibCall *call, LibImage *image, ModuleOptions *options, LibModule **ret);

/* image_parts_copy() - for a library whose bytes the program may free. Returns NULL without memory,
 * or where one is no container. image_parts_free() - of such a copy, or NULL (image-link.c) */
const void *const *image_parts_copy(const void *const *parts);
void image_parts_free(const void *const *parts);

/*
 * image_link() - what the parts of @image make: it is @image from then on, and the executor has it
 * @options: for the linker; its texts go there
 *
 * Returns CUDA_SUCCESS, _INVALID_IMAGE for parts that are none, or what the linker says
 * (image-link.c).
 */
CUresult image_link(const LibCall *call, LibImage *image, ModuleOptions *options);

/* module_is_alive() - is its context still the one that it was loaded in? */
static inline bool module_is_alive(const LibModule *module)
{
    return __atomic_load_n(&module->context->number, __ATOMIC_ACQUIRE) != 0 &&
           __atomic_load_n(&module->context->opened, __ATOMIC_RELAXED) == module->opened;
}

/* module_of() - from its handle, with its context. Also CUDA_ERROR_INVALID_HANDLE,
 * _CONTEXT_IS_DESTROYED */
CUresult module_of(CUmodule handle, LibCall *call, LibModule **ret);

/* module_forget() - of a context that has ended: so has the module */
void module_forget(LibModule *module);

/* module_names() - of its kernels, until it ends */
CUresult module_names(const LibCall *call, LibModule *module, const char **ret, uint32_t *ret_n);

/* library_module() - the module that a library is in the call's context, which is loaded if it has
 * to be. library_kernel() - the kernel @name (library.c) */
CUresult library_module(const LibCall *call, LibLibrary *library, LibModule **ret);
CUresult library_kernel(const LibCall *call, LibLibrary *library, const char *name, CUkernel *ret);

/* library_enter() - what a question about a library needs: with the calling thread's context, or
 * without one the device's own, if there is one. Also CUDA_ERROR_INVALID_HANDLE */
CUresult library_enter(CUlibrary handle, LibCall *call, LibLibrary **ret);

/* module_end() - unload, and forget all that is in it */
CUresult module_end(const LibCall *call, LibModule *module);

/* module_function() - the function @name, looked up once */
CUresult module_function(const LibCall *call, LibModule *module, const char *name,
                         LibFunction **ret);

/* module_global() - where a variable is. CUDA_ERROR_INVALID_IMAGE for a managed one */
CUresult module_global(const LibCall *call, LibModule *module, const char *name,
                       CUdeviceptr *ret_address, size_t *ret_size);

/* function_of() - from the handle of a function, or of a kernel: then it is the one of the call's
 * context, and is loaded there if it has to be. CUDA_ERROR_INVALID_HANDLE for others */
CUresult function_of(LibCall *call, CUfunction handle, LibFunction **ret);

/* function_enter() - what a question about a function or a kernel needs. For a kernel also what
 * libcuda_enter_context() returns */
CUresult function_enter(CUfunction handle, LibCall *call, LibFunction **ret);

/* kernel_function() - the kernel in the call's context (library.c) */
CUresult kernel_function(const LibCall *call, LibKernel *kernel, LibFunction **ret);

#endif

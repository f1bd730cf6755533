/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "jit-options.h"
#include "module-memory.h"
#include "session-core.h"
#include "session-store.h"

/* The most functions whose names are told: the executor's memory, not the guest's, holds them. */
#define MODULE_FUNCTIONS_MAX (UINT32_C(1) << 20)

enum { FUNCTION_LOCAL_SIZE = 3 }; /* CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES */

/* ---- Loading ----------------------------------------------------------------------------------
 */

static CUresult module_read_options(const VGPUSessionModule *p, JitOptions *ret)
{
    CUresult result = CUDA_SUCCESS;

    if (p->n_options > VGPU_SESSION_JIT_OPTIONS)
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; result == CUDA_SUCCESS && i < p->n_options; i++)
        result = jit_options_add(ret, p->option[i].option, p->option[i].value);
    return result;
}

static CUresult module_load(Session *s, SessionCall *call, const SessionImage *image, CUmodule *ret)
{
    const VGPUSessionModule *p = call->parameters;
    CLEANUP(jit_logs_close) JitLogs logs = {0};
    JitOptions options = {0};
    CUresult result = module_read_options(p, &options);

    if (result == CUDA_SUCCESS)
        result = jit_logs_may_go(s, &p->info_log, &p->error_log);
    if (result == CUDA_SUCCESS)
        result = jit_logs_open(&logs, p->info_log.size, p->error_log.size);
    if (result != CUDA_SUCCESS)
        return result;
    jit_options_add_logs(&options, &logs);
    result = session_driver(s)->module_load_data_ex(ret, image->data, options.n, options.option,
                                                    options.value);
    jit_logs_deliver(s, call, &logs, &p->info_log, &p->error_log);
    return result;
}

/* Of the device, as 90 for 9.0; 0 where the driver does not say it */
static unsigned module_capability(const Session *s)
{
    const CudaDriver *d = &session_driver(s)->base;
    int major = 0, minor = 0;

    if (d->device_get_attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                                session_device(s)) != CUDA_SUCCESS ||
        d->device_get_attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
                                session_device(s)) != CUDA_SUCCESS ||
        major < 1 || minor < 0 || minor > 9)
        return 0;
    return (unsigned) (10 * major + minor);
}

/* Fills in the handle and the charge. */
static CUresult module_load_charged(Session *s, SessionCall *call, SessionImage *image,
                                    SessionModule *module)
{
    ModuleMemory memory;
    const ImageFacts *facts = session_image_facts(image, module_capability(s));
    CUresult result = module_memory_begin(s, call, facts, &memory);

    if (result != CUDA_SUCCESS)
        return result;
    result = module_load(s, call, image, &module->handle);
    if (result != CUDA_SUCCESS) {
        module_memory_abort(s, &memory);
        return result;
    }
    result = module_memory_end(s, &memory, &module->charge);
    if (result != CUDA_SUCCESS)
        (void) session_driver(s)->base.module_unload(module->handle);
    call->value[2] = facts->may_print;
    return result;
}

CUresult session_op_MODULE_LOAD(Session *s, SessionCall *call)
{
    const VGPUSessionModule *p = call->parameters;
    SessionStore *store = session_store(s);
    CLEANUP_FREE SessionModule *module = calloc(1, sizeof(*module));
    SessionImage *image;
    CUresult result;

    if (!module)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = session_images_find(&store->images, p->key, &image);
    if (result == CUDA_SUCCESS)
        result = module_load_charged(s, call, image, module);
    if (result != CUDA_SUCCESS)
        return result;

    module->id = p->id;
    module->context = call->record.context;
    module->owner = session_thread()->context;
    LIST_INIT(&module->functions);
    result = session_add(s, SESSION_MODULE, p->id, module);
    if (result != CUDA_SUCCESS) {
        (void) session_driver(s)->base.module_unload(module->handle);
        session_memory_give_back(&store->memory, module->charge);
        return result;
    }
    LIST_INSERT_HEAD(&store->modules, module, link);
    (void) TAKE_PTR(module);
    return CUDA_SUCCESS;
}

CUresult session_op_MODULE_UNLOAD(Session *s, SessionCall *call)
{
    const VGPUSessionId *p = call->parameters;
    void *module;
    CUresult result = session_find(s, SESSION_MODULE, p->id, &module);

    return result == CUDA_SUCCESS ? session_module_end(s, module) : result;
}

/* ---- What is in it ------------------------------------------------------------------------- */

/* Finds the module; the name, if it is not NULL, has its 0 at its end and nowhere else. */
static CUresult module_of(Session *s, const SessionCall *call, SessionModule **ret_module,
                          const char **ret_name)
{
    const VGPUSessionName *p = call->parameters;
    void *module;
    CUresult result;

    if (ret_name) {
        if (p->name_size < 2 || p->name_size > VGPU_SESSION_NAME_MAX ||
            p->name_size > call->more_size ||
            memchr(call->more, 0, p->name_size) != call->more + p->name_size - 1)
            return CUDA_ERROR_INVALID_VALUE;
        *ret_name = (const char *) call->more;
    }
    result = session_find(s, SESSION_MODULE, p->module, &module);
    if (result == CUDA_SUCCESS)
        *ret_module = module;
    return result;
}

static CUresult module_window(Session *s, const VGPUSessionBytes *into, unsigned char **ret)
{
    *ret = NULL;
    if (into->size == 0)
        return CUDA_SUCCESS;
    *ret = session_window(s, into->offset, into->size);
    return *ret ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* The driver says how many parameters there are by refusing the next one. */
static CUresult module_read_layout(const CudaSessionDriver *driver, CUfunction handle,
                                   VGPUSessionParameter *parameters, uint32_t n_max,
                                   uint32_t *ret_n, uint32_t *ret_size)
{
    uint32_t n = 0, end = 0;

    for (; n < n_max; n++) {
        size_t offset, size;
        CUresult result = driver->func_get_param_info(handle, n, &offset, &size);

        if (result == CUDA_ERROR_INVALID_VALUE)
            break;
        if (result != CUDA_SUCCESS)
            return result;
        if (offset > VGPU_SESSION_PARAMETERS_MAX || size > VGPU_SESSION_PARAMETERS_MAX - offset)
            return CUDA_ERROR_NOT_SUPPORTED;
        parameters[n] = (VGPUSessionParameter){(uint32_t) offset, (uint32_t) size};
        if (offset + size > end)
            end = (uint32_t) (offset + size);
    }
    *ret_n = n;
    *ret_size = end;
    return CUDA_SUCCESS;
}

static CUresult module_make_function(const CudaSessionDriver *driver, CUfunction handle,
                                     SessionFunction **ret)
{
    CLEANUP_FREE VGPUSessionParameter *parameters =
        calloc(VGPU_SESSION_PARAMETERS_MAX, sizeof(*parameters));
    SessionFunction *f;
    uint32_t n, size;
    CUresult result;

    if (!parameters)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = module_read_layout(driver, handle, parameters, VGPU_SESSION_PARAMETERS_MAX, &n, &size);
    if (result != CUDA_SUCCESS)
        return result;
    f = calloc(1, sizeof(*f) + n * sizeof(*parameters));
    if (!f)
        return CUDA_ERROR_OUT_OF_MEMORY;
    f->handle = handle;
    f->n_parameters = n;
    f->parameters_size = size;
    memcpy(f->parameter, parameters, n * sizeof(*parameters));
    *ret = f;
    return CUDA_SUCCESS;
}

/* Returns the bytes that the description takes, of which as many are written as have room. */
static uint64_t module_describe(const CudaSessionDriver *driver, const SessionFunction *f,
                                unsigned char *into, uint64_t room)
{
    const uint64_t parameters = f->n_parameters * sizeof(f->parameter[0]);
    VGPUSessionFunction head = {
        .parameters_size = f->parameters_size,
        .n_parameters = f->n_parameters,
    };

    for (int i = 0; i < (int) VGPU_SESSION_FUNCTION_ATTRIBUTES; i++) {
        int value = 0;

        head.attribute[i].result = driver->func_get_attribute(&value, i, f->handle);
        head.attribute[i].value = value;
    }
    if (into) {
        memcpy(into, &head, room < sizeof(head) ? room : sizeof(head));
        room = room < sizeof(head) ? 0 : room - sizeof(head);
        if (room > 0)
            memcpy(into + sizeof(head), f->parameter, room < parameters ? room : parameters);
    }
    return sizeof(head) + parameters;
}

CUresult session_op_FUNCTION_GET(Session *s, SessionCall *call)
{
    const VGPUSessionName *p = call->parameters;
    const CudaSessionDriver *driver = session_driver(s);
    SessionStore *store = session_store(s);
    CLEANUP_FREE SessionFunction *f = NULL;
    SessionModule *module;
    CUfunction handle;
    unsigned char *into;
    const char *name;
    int local_size = 0;
    CUresult result;

    result = module_of(s, call, &module, &name);
    if (result == CUDA_SUCCESS)
        result = module_window(s, &p->into, &into);
    if (result == CUDA_SUCCESS)
        result = driver->base.module_get_function(&handle, module->handle, name);
    if (result == CUDA_SUCCESS)
        result = module_make_function(driver, handle, &f);
    if (result == CUDA_SUCCESS)
        result = driver->func_get_attribute(&local_size, FUNCTION_LOCAL_SIZE, handle);
    if (result != CUDA_SUCCESS)
        return result;
    f->id = p->id;
    f->local_size = (uint32_t) local_size;
    f->context = module->owner;

    call->value[0] = module_describe(driver, f, into, p->into.size);
    pthread_mutex_lock(&store->handles);
    result = session_add(s, SESSION_FUNCTION, p->id, f);
    if (result == CUDA_SUCCESS) {
        session_function_add(store, module, f);
        (void) TAKE_PTR(f);
    }
    pthread_mutex_unlock(&store->handles);
    return result;
}

/* Such a variable moves between the device and this process, where the guest's does not see it. */
static CUresult module_refuse_managed(Session *s, CUdeviceptr address)
{
    enum { POINTER_IS_MANAGED = 8 }; /* CUpointer_attribute */
    unsigned is_managed = 0;
    CUresult result =
        session_driver(s)->pointer_get_attribute(&is_managed, POINTER_IS_MANAGED, address);

    return result == CUDA_SUCCESS && is_managed ? CUDA_ERROR_NOT_SUPPORTED : result;
}

CUresult session_op_GLOBAL_GET(Session *s, SessionCall *call)
{
    SessionMemory *memory = &session_store(s)->memory;
    CUdeviceptr address;
    SessionModule *module;
    SessionRange *range;
    const char *name;
    size_t size;
    CUresult result;

    result = module_of(s, call, &module, &name);
    if (result == CUDA_SUCCESS)
        result = session_driver(s)->module_get_global(&address, &size, module->handle, name);
    if (result == CUDA_SUCCESS && size > 0)
        result = module_refuse_managed(s, address);
    if (result != CUDA_SUCCESS)
        return result;
    /* A variable that was asked for before is there already. */
    if (size > 0 && !session_memory_contains(memory, address, size)) {
        result =
            session_memory_prepare(memory, SESSION_RANGE_GLOBAL, module->context, size, 0, &range);
        if (result != CUDA_SUCCESS)
            return result;
        range->module = module;
        if (!session_memory_insert(memory, range, address))
            session_memory_drop(memory, range);
    }
    call->value[0] = address;
    call->value[1] = size;
    return CUDA_SUCCESS;
}

CUresult session_op_FUNCTION_NAMES(Session *s, SessionCall *call)
{
    const VGPUSessionName *p = call->parameters;
    const CudaSessionDriver *driver = session_driver(s);
    CLEANUP_FREE CUfunction *functions = NULL;
    SessionModule *module;
    unsigned char *into;
    uint64_t bytes = 0;
    unsigned n;
    CUresult result;

    result = module_of(s, call, &module, NULL);
    if (result == CUDA_SUCCESS)
        result = module_window(s, &p->into, &into);
    if (result == CUDA_SUCCESS)
        result = driver->module_get_function_count(&n, module->handle);
    if (result != CUDA_SUCCESS)
        return result;
    if (n > MODULE_FUNCTIONS_MAX)
        return CUDA_ERROR_NOT_SUPPORTED;
    functions = calloc(n + 1, sizeof(CUfunction));
    if (!functions)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (n > 0)
        result = driver->module_enumerate_functions(functions, n, module->handle);
    for (unsigned i = 0; result == CUDA_SUCCESS && i < n; i++) {
        const char *name;
        size_t size;

        result = driver->func_get_name(&name, functions[i]);
        if (result != CUDA_SUCCESS)
            break;
        size = strlen(name) + 1;
        if (into && bytes <= p->into.size && size <= p->into.size - bytes)
            memcpy(into + bytes, name, size);
        bytes += size;
    }
    call->value[0] = n;
    call->value[1] = bytes;
    return result;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contexts. The objects stay until the process ends, since any thread may have one on its stack;
 * the handle of a context that was destroyed is dead, and the object has no number any more.
 */
#include "context.h"

#include <stdlib.h>

#include "array.h"
#include "capture.h"
#include "memory-map.h"

LibContext *libcuda_context_of(CUcontext handle)
{
    return handle_object(HANDLE_CONTEXT, handle);
}

LibContext *libcuda_context_new(bool is_primary)
{
    LibContext *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    c->handle = handle_new(HANDLE_CONTEXT, c);
    c->legacy = c->handle ? libcuda_stream_new(c, 0, 0, 0) : NULL;
    if (!c->legacy) {
        handle_end(c->handle);
        free(c);
        return NULL;
    }
    c->is_primary = is_primary;
    c->api_version = 3020;
    c->id = libcuda_next_id();
    LIST_INSERT_HEAD(&libcuda_process.contexts, c, all);
    return c;
}

/* The device's priorities of streams are known with the first context. */
static void context_ask_priorities(vgpu_session *s)
{
    VGPUSessionDevice *device = &libcuda_process.device, now;

    if (device->stream_priority_greatest != 0 || vgpu_session_device_get(s, &now) != 0)
        return;
    device->stream_priority_least = now.stream_priority_least;
    device->stream_priority_greatest = now.stream_priority_greatest;
}

CUresult libcuda_context_open(vgpu_session *s, LibContext *c)
{
    VGPUSessionContext parameters = {.flags = c->flags, .primary = c->is_primary};
    int r = vgpu_session_id_take(s, VGPU_SESSION_CONTEXTS, &parameters.id);

    if (r != 0)
        return r;
    r = vgpu_session_call(s, VGPU_SESSION_OP_CONTEXT_CREATE, NULL, &parameters, sizeof(parameters),
                          NULL, 0, NULL);
    if (r != 0) {
        vgpu_session_id_give(s, VGPU_SESSION_CONTEXTS, parameters.id);
        return r;
    }
    context_ask_priorities(s);
    __atomic_store_n(&c->opened, libcuda_next_id(), __ATOMIC_RELAXED);
    __atomic_store_n(&c->number, parameters.id, __ATOMIC_RELEASE);
    return CUDA_SUCCESS;
}

/* A stream that is to be ended: it stays until it is released. NULL: the legacy one is left */
static LibStream *context_any_stream(LibContext *c)
{
    LibStream *stream;

    pthread_mutex_lock(&c->lock);
    LIST_FOREACH(stream, &c->streams, of_context)
    if (stream != c->legacy)
        break;
    if (stream)
        stream->n_others++;
    pthread_mutex_unlock(&c->lock);
    return stream;
}

CUresult libcuda_context_close(vgpu_session *s, LibContext *c)
{
    const VGPUSessionId parameters = {.id = c->number};
    LibStream *stream;
    int r;

    storage_drop(c);
    __atomic_store_n(&c->number, 0, __ATOMIC_RELEASE);
    while ((stream = context_any_stream(c))) {
        (void) libcuda_stream_end(NULL, stream);
        libcuda_stream_release(stream);
    }
    context_events_drop(s, c);
    /* As soon as the host has it back, another context may get the same memory. */
    memory_map_drop_context(c);
    r = vgpu_session_call(s, VGPU_SESSION_OP_CONTEXT_DESTROY, NULL, &parameters, sizeof(parameters),
                          NULL, 0, NULL);
    vgpu_session_id_give(s, VGPU_SESSION_CONTEXTS, parameters.id);
    array_drop_context(c);
    mipmap_drop_context(c);
    texture_drop_context(c);
    return r;
}

/* ---- Making and ending -------------------------------------------------------------------------
 */

/* CUctx_flags without those that say how the calling thread waits */
#define CONTEXT_FLAGS_MAX 0xffu

/* CU_CTX_MAP_HOST, which every context has */
#define CONTEXT_MAP_HOST 0x08u

CUresult context_create(CUcontext *ret, unsigned flags, CUdevice device, unsigned api_version)
{
    LibProcess *p = &libcuda_process;
    LibContext *c;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || flags > CONTEXT_FLAGS_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_is(device))
        return CUDA_ERROR_INVALID_DEVICE;
    pthread_mutex_lock(&p->lock);
    c = libcuda_context_new(false);
    r = CUDA_ERROR_OUT_OF_MEMORY;
    if (c) {
        c->flags = flags;
        c->api_version = api_version;
        r = libcuda_context_open(call.session, c);
    }
    pthread_mutex_unlock(&p->lock);
    if (r == CUDA_SUCCESS)
        r = libcuda_thread_push(c);
    if (r == CUDA_SUCCESS)
        *ret = c->handle;
    else if (c)
        handle_end(c->handle);
    return r;
}

CUresult cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device)
{
    return context_create(context, flags, device, 3020);
}

CUresult cuCtxDestroy_v2(CUcontext handle)
{
    LibProcess *p = &libcuda_process;
    LibContext *c;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    c = libcuda_context_of(handle);
    if (!c || c->is_primary)
        return CUDA_ERROR_INVALID_CONTEXT;
    pthread_mutex_lock(&p->lock);
    handle_end(handle);
    r = libcuda_context_close(call.session, c);
    pthread_mutex_unlock(&p->lock);
    if (libcuda_current() == c)
        (void) libcuda_thread_pop();
    return r;
}

/* ---- The calling thread's ----------------------------------------------------------------------
 */

CUresult cuCtxPushCurrent_v2(CUcontext handle)
{
    LibContext *c = libcuda_context_of(handle);

    if (!libcuda_is_ready())
        return libcuda_unready();
    return c ? libcuda_thread_push(c) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuCtxPopCurrent_v2(CUcontext *ret)
{
    LibContext *c;

    if (!libcuda_is_ready())
        return libcuda_unready();
    c = libcuda_thread_pop();
    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (ret)
        *ret = c->handle;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext handle)
{
    LibContext *c = libcuda_context_of(handle);

    if (!libcuda_is_ready())
        return libcuda_unready();
    return c || !handle ? libcuda_thread_set(c) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuCtxGetCurrent(CUcontext *ret)
{
    const LibContext *c = libcuda_current();

    if (!libcuda_is_ready())
        return libcuda_unready();
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = c ? c->handle : NULL;
    return CUDA_SUCCESS;
}

/* Of a context, or of the calling thread's where @handle is NULL */
static CUresult context_ask(CUcontext handle, const void *ret, LibContext **ret_context)
{
    LibContext *c = handle ? libcuda_context_of(handle) : libcuda_current();

    if (!libcuda_is_ready())
        return libcuda_unready();
    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret_context = c;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice_v2(CUdevice *device, CUcontext handle)
{
    LibContext *c;
    CUresult r = context_ask(handle, device, &c);

    if (r == CUDA_SUCCESS)
        *device = 0;
    return r;
}

CUresult cuCtxGetDevice(CUdevice *device)
{
    return cuCtxGetDevice_v2(device, NULL);
}

CUresult cuCtxGetFlags(unsigned *flags)
{
    LibContext *c;
    CUresult r = context_ask(NULL, flags, &c);

    if (r == CUDA_SUCCESS)
        *flags = c->flags | CONTEXT_MAP_HOST;
    return r;
}

CUresult cuCtxSetFlags(unsigned flags)
{
    LibContext *c;
    CUresult r = context_ask(NULL, &flags, &c);

    if (r != CUDA_SUCCESS)
        return r;
    if (flags > CONTEXT_FLAGS_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    c->flags = flags;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetId(CUcontext handle, unsigned long long *id)
{
    LibContext *c;
    CUresult r = context_ask(handle, id, &c);

    if (r == CUDA_SUCCESS)
        *id = c->id;
    return r;
}

CUresult cuCtxGetApiVersion(CUcontext handle, unsigned *version)
{
    LibContext *c;
    CUresult r = context_ask(handle, version, &c);

    if (r == CUDA_SUCCESS)
        *version = c->api_version;
    return r;
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    LibContext *c;
    CUresult r = context_ask(NULL, "", &c);

    if (r != CUDA_SUCCESS)
        return r;
    if (least)
        *least = libcuda_process.device.stream_priority_least;
    if (greatest)
        *greatest = libcuda_process.device.stream_priority_greatest;
    return CUDA_SUCCESS;
}

/* ---- Settings ----------------------------------------------------------------------------------
 */

CUresult cuCtxGetLimit(size_t *value, int limit)
{
    const VGPUSessionLimit parameters = {.limit = (uint32_t) limit};
    VGPUSessionReply reply;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    r = libcuda_ask(&call, VGPU_SESSION_OP_CONTEXT_LIMIT_GET, &parameters, sizeof(parameters),
                    &reply);
    if (r == CUDA_SUCCESS)
        *value = reply.value[0];
    return r;
}

CUresult cuCtxSetLimit(int limit, size_t value)
{
    const VGPUSessionLimit parameters = {.limit = (uint32_t) limit, .value = value};
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    return libcuda_ask(&call, VGPU_SESSION_OP_CONTEXT_LIMIT_SET, &parameters, sizeof(parameters),
                       NULL);
}

/* Preferences, which the driver may follow or not; kernels have their own. */
#define CONTEXT_CACHE_MAX 3

CUresult cuCtxGetCacheConfig(int *config)
{
    LibContext *c;
    CUresult r = context_ask(NULL, config, &c);

    if (r == CUDA_SUCCESS)
        *config = c->cache_config;
    return r;
}

CUresult cuCtxSetCacheConfig(int config)
{
    LibContext *c;
    CUresult r = context_ask(NULL, "", &c);

    if (r != CUDA_SUCCESS)
        return r;
    if (config < 0 || config > CONTEXT_CACHE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    c->cache_config = config;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetSharedMemConfig(int *config)
{
    LibContext *c;
    CUresult r = context_ask(NULL, config, &c);

    if (r == CUDA_SUCCESS)
        *config = c->shared_config;
    return r;
}

CUresult cuCtxSetSharedMemConfig(int config)
{
    LibContext *c;
    CUresult r = context_ask(NULL, "", &c);

    if (r != CUDA_SUCCESS)
        return r;
    if (config < 0 || config > 2)
        return CUDA_ERROR_INVALID_VALUE;
    c->shared_config = config;
    return CUDA_SUCCESS;
}

/* ---- Waiting -----------------------------------------------------------------------------------
 */

CUresult cuCtxSynchronize(void)
{
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r == CUDA_SUCCESS)
        r = capture_forbids();
    if (r == CUDA_SUCCESS)
        r = libcuda_context_wait(&call);
    return r == CUDA_SUCCESS ? libcuda_told(&call) : r;
}

CUresult cuCtxSynchronize_v2(CUcontext handle)
{
    LibContext *c = handle ? libcuda_context_of(handle) : libcuda_current();
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    call.context = c;
    call.from.context = __atomic_load_n(&c->number, __ATOMIC_ACQUIRE);
    r = capture_forbids();
    if (r != CUDA_SUCCESS)
        return r;
    if (call.from.context == 0)
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    r = libcuda_context_wait(&call);
    return r == CUDA_SUCCESS ? libcuda_told(&call) : r;
}

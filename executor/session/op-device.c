/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What needs no context: the device, the latched error, and nothing at all. */
#include <string.h>

#include "session-contexts.h"
#include "session-dispatch.h"
#include "session-reply.h"
#include "session-store.h"

CUresult session_op_NOP(Session *s, SessionCall *call)
{
    (void) s;
    (void) call;
    return CUDA_SUCCESS;
}

CUresult session_op_ERROR_TAKE(Session *s, SessionCall *call)
{
    call->value[0] = (uint64_t) session_take_error(s, &call->value[1]);
    return CUDA_SUCCESS;
}

static CUresult device_describe(Session *s, VGPUSessionDevice *ret)
{
    const CudaSessionDriver *d = &s->driver;
    const uint64_t max = session_memory_max(&s->store->memory);
    int version = 0;
    size_t total = 0;
    CUuuid uuid = {0};
    CUresult r = d->base.driver_get_version(&version);

    if (r == CUDA_SUCCESS)
        r = d->base.device_get_name(ret->name, sizeof(ret->name), s->device);
    if (r == CUDA_SUCCESS)
        r = d->device_get_uuid(&uuid, s->device);
    if (r == CUDA_SUCCESS)
        r = d->device_total_mem(&total, s->device);
    ret->driver_version = (uint32_t) version;
    ret->total_memory = total < max ? total : max;
    memcpy(ret->uuid, uuid.bytes, sizeof(ret->uuid));
    return r;
}

static void device_attributes(Session *s, VGPUSessionDevice *ret)
{
    ret->n_attributes = VGPU_SESSION_ATTRIBUTES;
    for (int i = 0; i < (int) VGPU_SESSION_ATTRIBUTES; i++) {
        int value = 0;

        /* Asking for one that this driver does not know is no error of the session's. */
        ret->attribute[i].result = s->driver.base.device_get_attribute(&value, i, s->device);
        ret->attribute[i].value = value;
    }
}

/* The driver tells the priorities of streams only in a context. */
static CUresult device_priorities(Session *s, VGPUSessionDevice *ret)
{
    CUcontext context = session_any_context(s);
    int least = 0, greatest = 0;
    CUresult r;

    if (!context)
        return CUDA_SUCCESS;
    r = session_make_current(s, context);
    if (r == CUDA_SUCCESS)
        r = s->driver.base.ctx_get_stream_priority_range(&least, &greatest);
    ret->stream_priority_least = least;
    ret->stream_priority_greatest = greatest;
    return r;
}

CUresult session_op_DEVICE_INFO(Session *s, SessionCall *call)
{
    const VGPUSessionDeviceInfo *p = call->parameters;
    unsigned char *into = session_window(s, p->into.offset, p->into.size);
    VGPUSessionDevice device = {0};
    CUresult r;

    if (!into)
        return CUDA_ERROR_INVALID_VALUE;
    r = device_describe(s, &device);
    if (r == CUDA_SUCCESS)
        r = device_priorities(s, &device);
    if (r != CUDA_SUCCESS)
        return r;
    device_attributes(s, &device);
    memcpy(into, &device, p->into.size < sizeof(device) ? p->into.size : sizeof(device));
    call->value[0] = sizeof(device);
    return CUDA_SUCCESS;
}

CUresult session_op_BOARD_INFO(Session *s, SessionCall *call)
{
    const VGPUSessionDeviceInfo *p = call->parameters;
    unsigned char *into = session_window(s, p->into.offset, p->into.size);
    VGPUSessionBoard board;
    CUuuid uuid = {0};
    CUresult r;

    if (!into)
        return CUDA_ERROR_INVALID_VALUE;
    r = s->driver.device_get_uuid(&uuid, s->device);
    if (r != CUDA_SUCCESS)
        return r;
    nvml_board_get(&session_store(s)->usage, &uuid, &board);
    memcpy(into, &board, p->into.size < sizeof(board) ? p->into.size : sizeof(board));
    call->value[0] = sizeof(board);
    return CUDA_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attributes of streams. What a stream has been given is known here; the executor is told what
 * concerns the device. How a thread waits is this library's own affair. */
#include <stdlib.h>
#include <string.h>

#include "cuda-api-streams.h"
#include "launch.h"

/* CUsynchronizationPolicy */
enum { SYNC_POLICY_AUTO = 1, SYNC_POLICY_BLOCKING = 4 };

struct LibStreamValues {
    LaunchValue window, policy, domains, domain;
};

static const struct LibStreamValues values_first = {
    .policy = {.number = SYNC_POLICY_AUTO},
    .domains = {.domains = {.normal = 0, .remote = 1}},
};

/* NULL: no attribute of streams but the priority, which has a place of its own */
static LaunchValue *values_of(LibStreamValues *values, int attribute)
{
    switch (attribute) {
    case LAUNCH_ACCESS_POLICY_WINDOW:
        return &values->window;
    case LAUNCH_SYNCHRONIZATION_POLICY:
        return &values->policy;
    case LAUNCH_MEM_SYNC_DOMAIN_MAP:
        return &values->domains;
    case LAUNCH_MEM_SYNC_DOMAIN:
        return &values->domain;
    default:
        return NULL;
    }
}

static bool attribute_is_valid(int attribute, const LaunchValue *value)
{
    const VGPUSessionDevice *device = &libcuda_process.device;

    switch (attribute) {
    case LAUNCH_PRIORITY:
        return value->number <= device->stream_priority_least &&
               value->number >= device->stream_priority_greatest;
    case LAUNCH_SYNCHRONIZATION_POLICY:
        return value->number >= SYNC_POLICY_AUTO && value->number <= SYNC_POLICY_BLOCKING;
    case LAUNCH_ACCESS_POLICY_WINDOW:
    case LAUNCH_MEM_SYNC_DOMAIN_MAP:
    case LAUNCH_MEM_SYNC_DOMAIN:
        return launch_value_is_valid(attribute, value);
    default:
        return false;
    }
}

/* Under the stream's lock. */
static void attribute_get(const LibStream *stream, int attribute, LaunchValue *ret)
{
    LibStreamValues values = stream->values ? *stream->values : values_first;

    memset(ret, 0, sizeof(*ret));
    if (attribute == LAUNCH_PRIORITY)
        ret->number = stream->priority;
    else
        *ret = *values_of(&values, attribute);
}

CUresult cuStreamGetAttribute(CUstream handle, int attribute, LaunchValue *value)
{
    LibStreamValues any;
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_stream(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (!value || (attribute != LAUNCH_PRIORITY && !values_of(&any, attribute)))
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&stream->lock);
    attribute_get(stream, attribute, value);
    pthread_mutex_unlock(&stream->lock);
    return CUDA_SUCCESS;
}

/* Under the stream's lock: the value is there, and the executor has it. */
static void attribute_keep(LibStream *stream, int attribute, const LaunchValue *value)
{
    if (attribute == LAUNCH_PRIORITY)
        stream->priority = value->number;
    else
        *values_of(stream->values, attribute) = *value;
}

static CUresult attribute_tell(const LibCall *call, const LibStream *stream, int attribute,
                               const LaunchValue *value)
{
    VGPUSessionStreamAttribute parameters = {
        .stream = stream->number,
        .attribute = (uint32_t) attribute,
    };

    if (attribute == LAUNCH_SYNCHRONIZATION_POLICY)
        return CUDA_SUCCESS;
    memcpy(parameters.value, value, sizeof(parameters.value));
    return libcuda_ask(call, VGPU_SESSION_OP_STREAM_ATTRIBUTE, &parameters, sizeof(parameters),
                       NULL);
}

static CUresult attribute_set(const LibCall *call, LibStream *stream, int attribute,
                              const LaunchValue *value)
{
    CUresult r = attribute_tell(call, stream, attribute, value);

    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&stream->lock);
    if (!stream->values && (stream->values = malloc(sizeof(*stream->values))))
        *stream->values = values_first;
    if (stream->values)
        attribute_keep(stream, attribute, value);
    else
        r = CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_unlock(&stream->lock);
    return r;
}

CUresult cuStreamSetAttribute(CUstream handle, int attribute, const LaunchValue *value)
{
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_stream(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    return value && attribute_is_valid(attribute, value)
               ? attribute_set(&call, stream, attribute, value)
               : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuStreamCopyAttributes(CUstream to_handle, CUstream from_handle)
{
    static const int each[] = {LAUNCH_ACCESS_POLICY_WINDOW, LAUNCH_SYNCHRONIZATION_POLICY,
                               LAUNCH_PRIORITY, LAUNCH_MEM_SYNC_DOMAIN_MAP, LAUNCH_MEM_SYNC_DOMAIN};
    LibStream *from, *to;
    LibCall call;
    CUresult r = libcuda_enter_stream(from_handle, &call, &from);

    if (r == CUDA_SUCCESS)
        r = libcuda_enter_stream(to_handle, &call, &to);
    if (r != CUDA_SUCCESS)
        return r;
    if (from->context != to->context)
        return CUDA_ERROR_INVALID_HANDLE;
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]) && r == CUDA_SUCCESS; i++) {
        LaunchValue value;

        pthread_mutex_lock(&from->lock);
        attribute_get(from, each[i], &value);
        pthread_mutex_unlock(&from->lock);
        r = attribute_set(&call, to, each[i], &value);
    }
    return r;
}

CUresult cuStreamGetAttribute_ptsz(CUstream handle, int attribute, LaunchValue *value)
{
    return cuStreamGetAttribute(libcuda_per_thread(handle), attribute, value);
}

CUresult cuStreamSetAttribute_ptsz(CUstream handle, int attribute, const LaunchValue *value)
{
    return cuStreamSetAttribute(libcuda_per_thread(handle), attribute, value);
}

CUresult cuStreamCopyAttributes_ptsz(CUstream to, CUstream from)
{
    return cuStreamCopyAttributes(libcuda_per_thread(to), libcuda_per_thread(from));
}

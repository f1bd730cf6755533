/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "array.h"

#include <stdlib.h>

#include "context.h"
#include "cuda-client-array.h"

static pthread_mutex_t array_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, LibArray) array_all = LIST_HEAD_INITIALIZER(array_all);

LibArray *array_of(CUarray handle)
{
    return handle_object(HANDLE_ARRAY, handle);
}

VGPUSessionArray array_request(const CudaArrayDescriptor *descriptor, unsigned n_levels)
{
    return (VGPUSessionArray){
        .width = descriptor->width,
        .height = descriptor->height,
        .depth = descriptor->depth,
        .format = (uint32_t) descriptor->format,
        .channels = descriptor->channels,
        .flags = descriptor->flags,
        .levels = n_levels,
    };
}

LibArray *array_new(LibContext *c, const CudaArrayDescriptor *descriptor)
{
    LibArray *array = calloc(1, sizeof(*array));

    if (!array)
        return NULL;
    array->handle = handle_new(HANDLE_ARRAY, array);
    if (!array->handle) {
        free(array);
        return NULL;
    }
    array->context = c;
    array->descriptor = *descriptor;
    array->element = cuda_array_element_size((uint32_t) descriptor->format, descriptor->channels);
    return array;
}

void array_free(LibArray *array)
{
    handle_end(array->handle);
    free(array);
}

void array_drop_context(const LibContext *c)
{
    LibArray *array, *next;

    pthread_mutex_lock(&array_lock);
    for (array = LIST_FIRST(&array_all); array; array = next) {
        next = LIST_NEXT(array, link);
        if (array->context != c)
            continue;
        vgpu_session_id_give(libcuda_process.session, VGPU_SESSION_ARRAYS, array->number);
        LIST_REMOVE(array, link);
        array_free(array);
    }
    pthread_mutex_unlock(&array_lock);
}

static bool array_reaches(uint64_t extent, uint64_t at, uint64_t n)
{
    extent = extent > 0 ? extent : 1;
    return at <= extent && n <= extent - at;
}

bool array_has(const LibArray *array, const VGPUSessionPlace *place, uint64_t width_bytes,
               uint64_t height, uint64_t depth)
{
    const CudaArrayDescriptor *d = &array->descriptor;

    return !(d->flags & CUDA_ARRAY3D_DEFERRED_MAPPING) && place->x_bytes % array->element == 0 &&
           width_bytes % array->element == 0 &&
           array_reaches(d->width, place->x_bytes / array->element, width_bytes / array->element) &&
           array_reaches(d->height, place->y, height) && array_reaches(d->depth, place->z, depth);
}

/* ---- The functions -----------------------------------------------------------------------------
 */

CUresult cuArray3DCreate_v2(CUarray *ret, const CudaArrayDescriptor *descriptor)
{
    VGPUSessionArray request;
    LibArray *array;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !descriptor)
        return CUDA_ERROR_INVALID_VALUE;
    array = array_new(call.context, descriptor);
    if (!array)
        return CUDA_ERROR_OUT_OF_MEMORY;
    request = array_request(descriptor, 0);
    r = vgpu_session_array_create(call.session, &call.from, &request, &array->number);
    if (r != CUDA_SUCCESS) {
        array_free(array);
        return r;
    }
    pthread_mutex_lock(&array_lock);
    LIST_INSERT_HEAD(&array_all, array, link);
    pthread_mutex_unlock(&array_lock);
    *ret = array->handle;
    return CUDA_SUCCESS;
}

CUresult cuArrayCreate_v2(CUarray *ret, const FlatDescriptor *descriptor)
{
    CudaArrayDescriptor whole;

    if (!descriptor)
        return cuArray3DCreate_v2(ret, NULL);
    whole = (CudaArrayDescriptor){
        .width = descriptor->width,
        .height = descriptor->height,
        .format = descriptor->format,
        .channels = descriptor->channels,
    };
    return cuArray3DCreate_v2(ret, &whole);
}

/* An array's functions are those of its context. */
static CUresult array_enter(CUarray handle, LibCall *call, LibArray **ret)
{
    LibArray *array;
    CUresult r = libcuda_enter(call);

    if (r != CUDA_SUCCESS)
        return r;
    array = array_of(handle);
    if (!array)
        return CUDA_ERROR_INVALID_HANDLE;
    call->context = array->context;
    call->from.context = array->context->number;
    *ret = array;
    return CUDA_SUCCESS;
}

CUresult cuArrayDestroy(CUarray handle)
{
    LibArray *array;
    LibCall call;
    CUresult r = array_enter(handle, &call, &array);

    if (r != CUDA_SUCCESS)
        return r;
    if (array->mipmap)
        return CUDA_ERROR_INVALID_HANDLE;
    r = vgpu_session_array_destroy(call.session, &call.from, array->number);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&array_lock);
    LIST_REMOVE(array, link);
    pthread_mutex_unlock(&array_lock);
    array_free(array);
    return CUDA_SUCCESS;
}

CUresult cuArray3DGetDescriptor_v2(CudaArrayDescriptor *ret, CUarray handle)
{
    LibArray *array;
    LibCall call;
    CUresult r = array_enter(handle, &call, &array);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = array->descriptor;
    return CUDA_SUCCESS;
}

CUresult cuArrayGetDescriptor_v2(FlatDescriptor *ret, CUarray handle)
{
    CudaArrayDescriptor whole;
    CUresult r = cuArray3DGetDescriptor_v2(ret ? &whole : NULL, handle);

    if (r != CUDA_SUCCESS)
        return r;
    *ret = (FlatDescriptor){
        .width = whole.width,
        .height = whole.height,
        .format = whole.format,
        .channels = whole.channels,
    };
    return CUDA_SUCCESS;
}

CUresult cuArrayGetMemoryRequirements(CudaArrayNeeds *ret, CUarray handle, CUdevice device)
{
    uint64_t size, alignment;
    LibArray *array;
    LibCall call;
    CUresult r = array_enter(handle, &call, &array);

    if (r != CUDA_SUCCESS)
        return r;
    if (!device_is(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (!ret || !(array->descriptor.flags & CUDA_ARRAY3D_DEFERRED_MAPPING))
        return CUDA_ERROR_INVALID_VALUE;
    r = vgpu_session_array_needs(call.session, &call.from, array->number, &size, &alignment);
    if (r == CUDA_SUCCESS)
        *ret = (CudaArrayNeeds){.size = size, .alignment = alignment};
    return r;
}

/* What only arrays of other kinds have, which cannot be made here: of these the driver says the
 * same. */
static CUresult array_lacks(CUarray handle)
{
    LibArray *array;
    LibCall call;
    CUresult r = array_enter(handle, &call, &array);

    return r == CUDA_SUCCESS ? CUDA_ERROR_INVALID_VALUE : r;
}

CUresult cuArrayGetPlane(CUarray *ret, CUarray array, unsigned plane)
{
    (void) ret;
    (void) plane;
    return array_lacks(array);
}

CUresult cuArrayGetSparseProperties(void *ret, CUarray array)
{
    (void) ret;
    return array_lacks(array);
}

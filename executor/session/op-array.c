/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arrays and mipmaps. */
#include <stdlib.h>

#include "cleanup.h"
#include "session-store.h"

static CudaArrayDescriptor array_descriptor(const ArrayShape *shape)
{
    return (CudaArrayDescriptor){
        .width = shape->width,
        .height = shape->height,
        .depth = shape->depth,
        .format = (int) shape->format,
        .channels = shape->channels,
        .flags = shape->flags,
    };
}

/* What one is to be, and its bytes, which are charged. */
static CUresult array_begin(Session *s, const SessionCall *call, bool is_mipmap, ArrayShape *ret,
                            uint64_t *ret_charge)
{
    const ArrayLimits *limits;
    uint64_t charge;
    CUresult result = session_arrays_limits(s, &limits);

    if (result == CUDA_SUCCESS)
        result = array_shape_init(ret, call->parameters, is_mipmap, limits);
    if (result != CUDA_SUCCESS)
        return result;
    charge = array_shape_is_deferred(ret) ? 0 : array_shape_bytes(ret);
    result = session_charge(s, call, charge);
    if (result == CUDA_SUCCESS)
        *ret_charge = charge;
    return result;
}

/* ---- Arrays --------------------------------------------------------------------------------- */

/* Gives it its number, after which it belongs to the session. */
static CUresult array_make(Session *s, SessionArray *array)
{
    const CudaArrayDescriptor descriptor = array_descriptor(&array->shape);
    const CudaSessionDriver *driver = session_driver(s);
    SessionStore *store = session_store(s);
    CUresult result = driver->array_3d_create(&array->handle, &descriptor);

    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&store->handles);
    result = session_add(s, SESSION_ARRAY, array->id, array);
    if (result == CUDA_SUCCESS)
        LIST_INSERT_HEAD(&store->arrays.arrays, array, link);
    pthread_mutex_unlock(&store->handles);
    if (result != CUDA_SUCCESS)
        (void) driver->array_destroy(array->handle);
    return result;
}

CUresult session_op_ARRAY_CREATE(Session *s, SessionCall *call)
{
    const VGPUSessionArray *p = call->parameters;
    CLEANUP_FREE SessionArray *array = calloc(1, sizeof(*array));
    uint64_t charge;
    CUresult result;

    if (!array)
        return CUDA_ERROR_OUT_OF_MEMORY;
    array->id = p->id;
    array->context = call->record.context;
    result = array_begin(s, call, false, &array->shape, &array->charge);
    if (result != CUDA_SUCCESS)
        return result;
    charge = array->charge;
    result = array_make(s, array);
    session_memory_settle(&session_store(s)->memory, charge, result);
    if (result == CUDA_SUCCESS)
        (void) TAKE_PTR(array);
    return result;
}

/* A level ends with its mipmap alone. */
CUresult session_op_ARRAY_DESTROY(Session *s, SessionCall *call)
{
    const VGPUSessionId *p = call->parameters;
    SessionArray *array;
    CUresult result = session_array_find(s, call->record.context, p->id, &array);

    if (result != CUDA_SUCCESS)
        return result;
    if (array->mipmap)
        return CUDA_ERROR_INVALID_HANDLE;
    return session_array_end(s, array, false);
}

/* The driver answers for those alone to which memory is to be mapped. */
CUresult session_op_ARRAY_NEEDS(Session *s, SessionCall *call)
{
    const VGPUSessionArray *p = call->parameters;
    const CudaSessionDriver *driver = session_driver(s);
    CudaArrayNeeds needs = {0};
    SessionMipmap *mipmap;
    SessionArray *array;
    CUresult result;

    if (p->mipmap != 0) {
        result = session_mipmap_find(s, call->record.context, p->mipmap, &mipmap);
        if (result == CUDA_SUCCESS)
            result = driver->mipmapped_array_get_memory_requirements(&needs, mipmap->handle,
                                                                     session_device(s));
    } else {
        result = session_array_find(s, call->record.context, p->id, &array);
        if (result == CUDA_SUCCESS)
            result =
                driver->array_get_memory_requirements(&needs, array->handle, session_device(s));
    }
    call->value[0] = needs.size;
    call->value[1] = needs.alignment;
    return result;
}

/* ---- Mipmaps -------------------------------------------------------------------------------- */

static CUresult mipmap_make(Session *s, SessionMipmap *mipmap)
{
    const CudaArrayDescriptor descriptor = array_descriptor(&mipmap->shape);
    const CudaSessionDriver *driver = session_driver(s);
    SessionStore *store = session_store(s);
    CUresult result =
        driver->mipmapped_array_create(&mipmap->handle, &descriptor, mipmap->shape.levels);

    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&store->handles);
    result = session_add(s, SESSION_MIPMAP, mipmap->id, mipmap);
    if (result == CUDA_SUCCESS)
        LIST_INSERT_HEAD(&store->arrays.mipmaps, mipmap, link);
    pthread_mutex_unlock(&store->handles);
    if (result != CUDA_SUCCESS)
        (void) driver->mipmapped_array_destroy(mipmap->handle);
    return result;
}

CUresult session_op_MIPMAP_CREATE(Session *s, SessionCall *call)
{
    const VGPUSessionArray *p = call->parameters;
    CLEANUP_FREE SessionMipmap *mipmap = calloc(1, sizeof(*mipmap));
    uint64_t charge;
    CUresult result;

    if (!mipmap)
        return CUDA_ERROR_OUT_OF_MEMORY;
    mipmap->id = p->id;
    mipmap->context = call->record.context;
    LIST_INIT(&mipmap->levels);
    result = array_begin(s, call, true, &mipmap->shape, &mipmap->charge);
    if (result != CUDA_SUCCESS)
        return result;
    charge = mipmap->charge;
    result = mipmap_make(s, mipmap);
    session_memory_settle(&session_store(s)->memory, charge, result);
    if (result == CUDA_SUCCESS)
        (void) TAKE_PTR(mipmap);
    return result;
}

CUresult session_op_MIPMAP_DESTROY(Session *s, SessionCall *call)
{
    const VGPUSessionId *p = call->parameters;
    SessionMipmap *mipmap;
    CUresult result = session_mipmap_find(s, call->record.context, p->id, &mipmap);

    return result == CUDA_SUCCESS ? session_mipmap_end(s, mipmap, false) : result;
}

/* The driver says how large a level is: a copy into it has to stay inside. */
static CUresult mipmap_level(Session *s, const SessionMipmap *mipmap, uint32_t number,
                             SessionArray *level)
{
    const CudaSessionDriver *driver = session_driver(s);
    CudaArrayDescriptor descriptor;
    CUresult result;

    level->shape = array_shape_level(&mipmap->shape, number);
    result = driver->mipmapped_array_get_level(&level->handle, mipmap->handle, number);
    if (result == CUDA_SUCCESS)
        result = driver->array_3d_get_descriptor(&descriptor, level->handle);
    if (result != CUDA_SUCCESS)
        return result;
    level->shape.width = descriptor.width;
    level->shape.height = descriptor.height;
    level->shape.depth = descriptor.depth;
    return CUDA_SUCCESS;
}

CUresult session_op_MIPMAP_LEVEL(Session *s, SessionCall *call)
{
    const VGPUSessionArray *p = call->parameters;
    CLEANUP_FREE SessionArray *level = calloc(1, sizeof(*level));
    SessionStore *store = session_store(s);
    SessionMipmap *mipmap;
    CUresult result = session_mipmap_find(s, call->record.context, p->mipmap, &mipmap);

    if (result != CUDA_SUCCESS)
        return result;
    if (!level)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (p->levels >= mipmap->shape.levels)
        return CUDA_ERROR_INVALID_VALUE;
    level->id = p->id;
    level->context = call->record.context;
    level->mipmap = mipmap;
    result = mipmap_level(s, mipmap, p->levels, level);
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&store->handles);
    result = session_add(s, SESSION_ARRAY, level->id, level);
    if (result == CUDA_SUCCESS)
        LIST_INSERT_HEAD(&mipmap->levels, level, link);
    pthread_mutex_unlock(&store->handles);
    if (result == CUDA_SUCCESS)
        (void) TAKE_PTR(level);
    return result;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "array.h"
#include "context.h"
#include "cuda-client-array.h"

static pthread_mutex_t mipmap_lock = PTHREAD_MUTEX_INITIALIZER; /* of levels, too */
static LIST_HEAD(, LibMipmap) mipmap_all = LIST_HEAD_INITIALIZER(mipmap_all);

LibMipmap *mipmap_of(CUmipmappedArray handle)
{
    return handle_object(HANDLE_MIPMAP, handle);
}

static LibMipmap *mipmap_new(LibContext *c, const CudaArrayDescriptor *descriptor)
{
    LibMipmap *mipmap = calloc(1, sizeof(*mipmap));

    if (!mipmap)
        return NULL;
    mipmap->handle = handle_new(HANDLE_MIPMAP, mipmap);
    if (!mipmap->handle) {
        free(mipmap);
        return NULL;
    }
    mipmap->context = c;
    mipmap->descriptor = *descriptor;
    return mipmap;
}

/* It is in no list any more; the numbers of its levels have ended with it. */
static void mipmap_free(LibMipmap *mipmap)
{
    LibArray *level;

    handle_end(mipmap->handle);
    while ((level = LIST_FIRST(&mipmap->levels))) {
        vgpu_session_id_give(libcuda_process.session, VGPU_SESSION_ARRAYS, level->number);
        LIST_REMOVE(level, link);
        array_free(level);
    }
    free(mipmap);
}

void mipmap_drop_context(const LibContext *c)
{
    LibMipmap *mipmap, *next;

    pthread_mutex_lock(&mipmap_lock);
    for (mipmap = LIST_FIRST(&mipmap_all); mipmap; mipmap = next) {
        next = LIST_NEXT(mipmap, link);
        if (mipmap->context != c)
            continue;
        vgpu_session_id_give(libcuda_process.session, VGPU_SESSION_MIPMAPS, mipmap->number);
        LIST_REMOVE(mipmap, link);
        mipmap_free(mipmap);
    }
    pthread_mutex_unlock(&mipmap_lock);
}

/* ---- The functions -----------------------------------------------------------------------------
 */

CUresult cuMipmappedArrayCreate(CUmipmappedArray *ret, const CudaArrayDescriptor *descriptor,
                                unsigned n_levels)
{
    VGPUSessionArray request;
    LibMipmap *mipmap;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !descriptor)
        return CUDA_ERROR_INVALID_VALUE;
    mipmap = mipmap_new(call.context, descriptor);
    if (!mipmap)
        return CUDA_ERROR_OUT_OF_MEMORY;
    request = array_request(descriptor, n_levels);
    r = vgpu_session_mipmap_create(call.session, &call.from, &request, &mipmap->number);
    if (r != CUDA_SUCCESS) {
        mipmap_free(mipmap);
        return r;
    }
    pthread_mutex_lock(&mipmap_lock);
    LIST_INSERT_HEAD(&mipmap_all, mipmap, link);
    pthread_mutex_unlock(&mipmap_lock);
    *ret = mipmap->handle;
    return CUDA_SUCCESS;
}

static CUresult mipmap_enter(CUmipmappedArray handle, LibCall *call, LibMipmap **ret)
{
    LibMipmap *mipmap;
    CUresult r = libcuda_enter(call);

    if (r != CUDA_SUCCESS)
        return r;
    mipmap = mipmap_of(handle);
    if (!mipmap)
        return CUDA_ERROR_INVALID_HANDLE;
    call->context = mipmap->context;
    call->from.context = mipmap->context->number;
    *ret = mipmap;
    return CUDA_SUCCESS;
}

static size_t mipmap_halved(size_t extent, unsigned level)
{
    if (extent == 0)
        return 0;
    return extent >> level > 0 ? extent >> level : 1;
}

static void mipmap_describe(CudaArrayDescriptor *d, unsigned level)
{
    d->width = mipmap_halved(d->width, level);
    d->height = mipmap_halved(d->height, level);
    if (!(d->flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)))
        d->depth = mipmap_halved(d->depth, level);
}

static LibArray *mipmap_find(LibMipmap *mipmap, unsigned number)
{
    LibArray *level;

    pthread_mutex_lock(&mipmap_lock);
    LIST_FOREACH(level, &mipmap->levels, link)
    if (level->level == number)
        break;
    pthread_mutex_unlock(&mipmap_lock);
    return level;
}

/* The executor knows how many there are. Two threads that ask for the same one at the same time
 * have two arrays of it. */
static CUresult mipmap_ask(const LibCall *call, LibMipmap *mipmap, unsigned number, LibArray **ret)
{
    LibArray *level = array_new(call->context, &mipmap->descriptor);
    CUresult r;

    if (!level)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = vgpu_session_mipmap_level(call->session, &call->from, mipmap->number, number,
                                  &level->number);
    if (r != CUDA_SUCCESS) {
        array_free(level);
        return r;
    }
    level->mipmap = mipmap;
    level->level = number;
    mipmap_describe(&level->descriptor, number);
    pthread_mutex_lock(&mipmap_lock);
    LIST_INSERT_HEAD(&mipmap->levels, level, link);
    pthread_mutex_unlock(&mipmap_lock);
    *ret = level;
    return CUDA_SUCCESS;
}

CUresult cuMipmappedArrayGetLevel(CUarray *ret, CUmipmappedArray handle, unsigned number)
{
    LibMipmap *mipmap;
    LibArray *level;
    LibCall call;
    CUresult r = mipmap_enter(handle, &call, &mipmap);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    level = mipmap_find(mipmap, number);
    if (!level)
        r = mipmap_ask(&call, mipmap, number, &level);
    if (r == CUDA_SUCCESS)
        *ret = level->handle;
    return r;
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray handle)
{
    LibMipmap *mipmap;
    LibCall call;
    CUresult r = mipmap_enter(handle, &call, &mipmap);

    if (r != CUDA_SUCCESS)
        return r;
    r = vgpu_session_mipmap_destroy(call.session, &call.from, mipmap->number, NULL, 0);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&mipmap_lock);
    LIST_REMOVE(mipmap, link);
    pthread_mutex_unlock(&mipmap_lock);
    mipmap_free(mipmap);
    return CUDA_SUCCESS;
}

CUresult cuMipmappedArrayGetMemoryRequirements(CudaArrayNeeds *ret, CUmipmappedArray handle,
                                               CUdevice device)
{
    uint64_t size, alignment;
    LibMipmap *mipmap;
    LibCall call;
    CUresult r = mipmap_enter(handle, &call, &mipmap);

    if (r != CUDA_SUCCESS)
        return r;
    if (!device_is(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (!ret || !(mipmap->descriptor.flags & CUDA_ARRAY3D_DEFERRED_MAPPING))
        return CUDA_ERROR_INVALID_VALUE;
    r = vgpu_session_mipmap_needs(call.session, &call.from, mipmap->number, &size, &alignment);
    if (r == CUDA_SUCCESS)
        *ret = (CudaArrayNeeds){.size = size, .alignment = alignment};
    return r;
}

/* Only sparse ones have such properties; they cannot be made here. */
CUresult cuMipmappedArrayGetSparseProperties(void *ret, CUmipmappedArray handle)
{
    LibMipmap *mipmap;
    LibCall call;
    CUresult r = mipmap_enter(handle, &call, &mipmap);

    (void) ret;
    return r == CUDA_SUCCESS ? CUDA_ERROR_INVALID_VALUE : r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Textures and surfaces. Programs and kernels have the driver's own numbers for them; what one was
 * made of is kept here, as programs may ask for it.
 */
#include <stdlib.h>

#include "array.h"
#include "context.h"
#include "cuda-client-array.h"

typedef struct TextureEntry {
    LIST_ENTRY(TextureEntry) link;
    uint64_t object; /* two contexts may have the same */
    LibContext *context;
    bool is_surface;
    bool has_view;
    CudaResource resource;
    CudaTexture texture;
    CudaResourceView view;
} TextureEntry;

#define TEXTURE_BUCKETS 256u

static pthread_mutex_t texture_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, TextureEntry) texture_buckets[TEXTURE_BUCKETS]; /* by object */

static size_t texture_bucket(uint64_t object)
{
    return object * UINT64_C(0x9e3779b97f4a7c15) >> 56;
}

_Static_assert(TEXTURE_BUCKETS == 1u << (64 - 56), "bits of a bucket");

static void texture_add(TextureEntry *entry)
{
    pthread_mutex_lock(&texture_lock);
    LIST_INSERT_HEAD(&texture_buckets[texture_bucket(entry->object)], entry, link);
    pthread_mutex_unlock(&texture_lock);
}

/* With the lock; or NULL. */
static TextureEntry *texture_find(const LibContext *c, uint64_t object, bool is_surface)
{
    TextureEntry *entry;

    LIST_FOREACH(entry, &texture_buckets[texture_bucket(object)], link)
    if (entry->object == object && entry->context == c && entry->is_surface == is_surface)
        break;
    return entry;
}

void texture_drop_context(const LibContext *c)
{
    TextureEntry *entry, *next;

    pthread_mutex_lock(&texture_lock);
    for (size_t i = 0; i < TEXTURE_BUCKETS; i++)
        for (entry = LIST_FIRST(&texture_buckets[i]); entry; entry = next) {
            next = LIST_NEXT(entry, link);
            if (entry->context != c)
                continue;
            LIST_REMOVE(entry, link);
            free(entry);
        }
    pthread_mutex_unlock(&texture_lock);
}

/* ---- As the session takes them -----------------------------------------------------------------
 */

/* What can be known only on the host, is checked there. */
static CUresult texture_resource(const LibContext *c, const CudaResource *resource,
                                 VGPUSessionTexture *ret)
{
    const LibMipmap *mipmap;
    const LibArray *array;

    if (resource->flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    ret->resource_type = (uint32_t) resource->type;
    switch (resource->type) {
    case CU_RESOURCE_TYPE_ARRAY:
        array = array_of(resource->array);
        if (!array || array->context != c)
            return CUDA_ERROR_INVALID_HANDLE;
        ret->resource = array->number;
        return CUDA_SUCCESS;
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
        mipmap = mipmap_of(resource->mipmap);
        if (!mipmap || mipmap->context != c)
            return CUDA_ERROR_INVALID_HANDLE;
        ret->resource = mipmap->number;
        return CUDA_SUCCESS;
    case CU_RESOURCE_TYPE_LINEAR:
        ret->address = resource->linear.address;
        ret->format = (uint32_t) resource->linear.format;
        ret->channels = resource->linear.channels;
        ret->size = resource->linear.size;
        return CUDA_SUCCESS;
    case CU_RESOURCE_TYPE_PITCH2D:
        ret->address = resource->pitched.address;
        ret->format = (uint32_t) resource->pitched.format;
        ret->channels = resource->pitched.channels;
        ret->width = resource->pitched.width;
        ret->height = resource->pitched.height;
        ret->pitch = resource->pitched.pitch;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

static void texture_sampling(const CudaTexture *texture, VGPUSessionTexture *ret)
{
    for (size_t i = 0; i < 3; i++)
        ret->address_mode[i] = (uint32_t) texture->address_mode[i];
    ret->filter_mode = (uint32_t) texture->filter_mode;
    ret->flags = texture->flags;
    ret->max_anisotropy = texture->max_anisotropy;
    ret->mipmap_filter_mode = (uint32_t) texture->mipmap_filter_mode;
    ret->mipmap_bias = texture->mipmap_bias;
    ret->mipmap_min = texture->mipmap_min;
    ret->mipmap_max = texture->mipmap_max;
    for (size_t i = 0; i < 4; i++)
        ret->border[i] = texture->border[i];
}

static void texture_view(const CudaResourceView *view, VGPUSessionTexture *ret)
{
    ret->has_view = 1;
    ret->view_format = (uint32_t) view->format;
    ret->view_width = view->width;
    ret->view_height = view->height;
    ret->view_depth = view->depth;
    ret->first_level = view->first_level;
    ret->last_level = view->last_level;
    ret->first_layer = view->first_layer;
    ret->last_layer = view->last_layer;
}

/* ---- Making and ending -------------------------------------------------------------------------
 */

static CUresult texture_make(const LibCall *call, TextureEntry *entry)
{
    VGPUSessionTexture request = {0};
    CUresult r = texture_resource(call->context, &entry->resource, &request);

    if (r != CUDA_SUCCESS)
        return r;
    if (entry->is_surface)
        return vgpu_session_surface_create(call->session, &call->from, &request, &entry->object);
    texture_sampling(&entry->texture, &request);
    if (entry->has_view)
        texture_view(&entry->view, &request);
    return vgpu_session_texture_create(call->session, &call->from, &request, &entry->object);
}

static CUresult texture_create(const LibCall *call, const TextureEntry *like, uint64_t *ret)
{
    TextureEntry *entry = malloc(sizeof(*entry));
    CUresult r;

    if (!entry)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *entry = *like;
    entry->context = call->context;
    r = texture_make(call, entry);
    if (r != CUDA_SUCCESS) {
        free(entry);
        return r;
    }
    *ret = entry->object;
    texture_add(entry);
    return CUDA_SUCCESS;
}

CUresult cuTexObjectCreate(CUtexObject *ret, const CudaResource *resource,
                           const CudaTexture *texture, const CudaResourceView *view)
{
    TextureEntry entry = {.has_view = view};
    uint64_t object;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !resource || !texture)
        return CUDA_ERROR_INVALID_VALUE;
    entry.resource = *resource;
    entry.texture = *texture;
    if (view)
        entry.view = *view;
    r = texture_create(&call, &entry, &object);
    if (r == CUDA_SUCCESS)
        *ret = object;
    return r;
}

CUresult cuSurfObjectCreate(CUsurfObject *ret, const CudaResource *resource)
{
    TextureEntry entry = {.is_surface = true};
    uint64_t object;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !resource)
        return CUDA_ERROR_INVALID_VALUE;
    entry.resource = *resource;
    r = texture_create(&call, &entry, &object);
    if (r == CUDA_SUCCESS)
        *ret = object;
    return r;
}

/* Without an answer: programs end textures as often as they launch. Whatever comes to use the same
 * number is made after this on the host. */
static CUresult texture_destroy(uint64_t object, bool is_surface)
{
    const VGPUSessionId parameters = {.value = object};
    TextureEntry *entry;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&texture_lock);
    entry = texture_find(call.context, object, is_surface);
    if (entry)
        LIST_REMOVE(entry, link);
    pthread_mutex_unlock(&texture_lock);
    if (!entry)
        return CUDA_ERROR_INVALID_VALUE;
    free(entry);
    return libcuda_post(
        &call, is_surface ? VGPU_SESSION_OP_SURFACE_DESTROY : VGPU_SESSION_OP_TEXTURE_DESTROY,
        &parameters, sizeof(parameters));
}

CUresult cuTexObjectDestroy(CUtexObject object)
{
    return texture_destroy(object, false);
}

CUresult cuSurfObjectDestroy(CUsurfObject object)
{
    return texture_destroy(object, true);
}

/* ---- Questions ---------------------------------------------------------------------------------
 */

/* @ret: where the answer goes, which is asked for NULL alone */
static CUresult texture_ask(uint64_t object, bool is_surface, const void *ret,
                            TextureEntry *ret_entry)
{
    const TextureEntry *entry;
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&texture_lock);
    entry = texture_find(call.context, object, is_surface);
    if (entry)
        *ret_entry = *entry;
    pthread_mutex_unlock(&texture_lock);
    return entry && ret ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuTexObjectGetResourceDesc(CudaResource *ret, CUtexObject object)
{
    TextureEntry entry;
    CUresult r = texture_ask(object, false, ret, &entry);

    if (r == CUDA_SUCCESS)
        *ret = entry.resource;
    return r;
}

CUresult cuTexObjectGetTextureDesc(CudaTexture *ret, CUtexObject object)
{
    TextureEntry entry;
    CUresult r = texture_ask(object, false, ret, &entry);

    if (r == CUDA_SUCCESS)
        *ret = entry.texture;
    return r;
}

CUresult cuTexObjectGetResourceViewDesc(CudaResourceView *ret, CUtexObject object)
{
    TextureEntry entry;
    CUresult r = texture_ask(object, false, ret, &entry);

    if (r != CUDA_SUCCESS)
        return r;
    if (!entry.has_view)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = entry.view;
    return CUDA_SUCCESS;
}

CUresult cuSurfObjectGetResourceDesc(CudaResource *ret, CUsurfObject object)
{
    TextureEntry entry;
    CUresult r = texture_ask(object, true, ret, &entry);

    if (r == CUDA_SUCCESS)
        *ret = entry.resource;
    return r;
}

/* CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_LINEAR_WIDTH */
#define TEXTURE_LINEAR_WIDTH 69

CUresult cuDeviceGetTexture1DLinearMaxWidth(size_t *ret, int format, unsigned channels,
                                            CUdevice device)
{
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!device_is(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (!ret || cuda_array_element_size((uint32_t) format, channels) == 0)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (size_t) libcuda_process.device.attribute[TEXTURE_LINEAR_WIDTH].value;
    return CUDA_SUCCESS;
}

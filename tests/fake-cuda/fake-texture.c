/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-array.h"
#include "fake-memory.h"
#include "fake-queue.h"

#include <stdlib.h>

enum {
    ATTRIBUTE_ALIGNMENT = 14,
    ATTRIBUTE_PITCH_ALIGNMENT = 51,
    ATTRIBUTE_LINEAR_WIDTH = 69,
    ATTRIBUTE_PITCHED_WIDTH = 70,
    ATTRIBUTE_PITCHED_HEIGHT = 71,
    ATTRIBUTE_PITCHED_PITCH = 72,
    FLAGS = CU_TRSF_READ_AS_INTEGER | CU_TRSF_NORMALIZED_COORDINATES | CU_TRSF_SRGB |
            CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION | CU_TRSF_SEAMLESS_CUBEMAP,
};

static struct {
    FakeTexture *all;
    size_t n, room;
} textures;

/* ---- What is sampled ------------------------------------------------------------ */

/* NULL: memory */
static const CudaArrayDescriptor *descriptor_of(const CudaResource *r)
{
    if (r->type == CU_RESOURCE_TYPE_ARRAY)
        return &r->array->descriptor;
    return r->type == CU_RESOURCE_TYPE_MIPMAPPED_ARRAY ? &r->mipmap->descriptor : NULL;
}

static int format_of(const CudaResource *r)
{
    const CudaArrayDescriptor *d = descriptor_of(r);

    return d                                    ? d->format
           : r->type == CU_RESOURCE_TYPE_LINEAR ? r->linear.format
                                                : r->pitched.format;
}

static CUresult check_array(const CudaResource *r, const char *what)
{
    const CudaArrayDescriptor *d;

    if (r->type == CU_RESOURCE_TYPE_ARRAY)
        fake_object_check(r->array, FAKE_KIND_ARRAY, what);
    else
        fake_object_check(r->mipmap, FAKE_KIND_MIPMAP, what);
    d = descriptor_of(r);
    if (d->flags & CUDA_ARRAY3D_DEFERRED_MAPPING)
        fake_misuse("%s: an array that nothing is mapped to", what);
    return CUDA_SUCCESS;
}

static CUresult check_linear(const CudaResource *r, const char *what)
{
    size_t element = fake_format_size(r->linear.format, r->linear.channels);

    if (element == 0 || r->linear.size < element ||
        r->linear.size / element > (size_t) fake_attribute(ATTRIBUTE_LINEAR_WIDTH) ||
        r->linear.address % (unsigned) fake_attribute(ATTRIBUTE_ALIGNMENT) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    fake_memory_check(r->linear.address, element, 1, what); /* it may reach further */
    return CUDA_SUCCESS;
}

static CUresult check_pitched(const CudaResource *r, const char *what)
{
    size_t row = r->pitched.width * fake_format_size(r->pitched.format, r->pitched.channels);

    if (row == 0 || r->pitched.height == 0 || r->pitched.pitch < row ||
        r->pitched.width > (size_t) fake_attribute(ATTRIBUTE_PITCHED_WIDTH) ||
        r->pitched.height > (size_t) fake_attribute(ATTRIBUTE_PITCHED_HEIGHT) ||
        r->pitched.pitch > (size_t) fake_attribute(ATTRIBUTE_PITCHED_PITCH) ||
        r->pitched.pitch % (size_t) fake_attribute(ATTRIBUTE_PITCH_ALIGNMENT) != 0 ||
        r->pitched.address % (unsigned) fake_attribute(ATTRIBUTE_ALIGNMENT) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    fake_memory_check(r->pitched.address, (r->pitched.height - 1) * r->pitched.pitch + row, 1,
                      what);
    return CUDA_SUCCESS;
}

static CUresult check_resource(const CudaResource *r, const char *what)
{
    if (r->flags != 0)
        fake_misuse("%s: flags of a resource: %u", what, r->flags);
    switch (r->type) {
    case CU_RESOURCE_TYPE_ARRAY:
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
        return check_array(r, what);
    case CU_RESOURCE_TYPE_LINEAR:
        return check_linear(r, what);
    case CU_RESOURCE_TYPE_PITCH2D:
        return check_pitched(r, what);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

/* Integers are not filtered, and a mipmap has no other coordinates than normalized ones. */
static CUresult check_how(const CudaTexture *t, const CudaResource *r)
{
    bool as_integer = (t->flags & CU_TRSF_READ_AS_INTEGER) && !fake_format_is_float(format_of(r));
    const CudaArrayDescriptor *d = descriptor_of(r);

    if ((t->flags & ~(unsigned) FLAGS) || t->filter_mode < 0 || t->filter_mode > 1 ||
        t->mipmap_filter_mode < 0 || t->mipmap_filter_mode > 1 ||
        (as_integer && t->filter_mode == CU_TR_FILTER_MODE_LINEAR && d) ||
        (r->type == CU_RESOURCE_TYPE_MIPMAPPED_ARRAY &&
         !(t->flags & CU_TRSF_NORMALIZED_COORDINATES)) ||
        ((t->flags & CU_TRSF_SEAMLESS_CUBEMAP) && (!d || !(d->flags & CUDA_ARRAY3D_CUBEMAP))))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < 3; i++)
        if (t->address_mode[i] < 0 || t->address_mode[i] > CU_TR_ADDRESS_MODE_BORDER)
            return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

/* How many elements a view has for one of what it is of; 0: it cannot be of that. The model has
 * views of one float, and those of compressed blocks, which lie in two or four integers each. */
static size_t view_times(int format, const CudaArrayDescriptor *d)
{
    const bool is_small = format == CU_RES_VIEW_FORMAT_UNSIGNED_BC1 ||
                          format == CU_RES_VIEW_FORMAT_UNSIGNED_BC4 ||
                          format == CU_RES_VIEW_FORMAT_SIGNED_BC4;

    if (format == CU_RES_VIEW_FORMAT_FLOAT_1X32)
        return d->format == CU_AD_FORMAT_FLOAT && d->channels == 1 ? 1 : 0;
    if (!fake_view_is_packed(format) || format > CU_RES_VIEW_FORMAT_UNSIGNED_BC7 ||
        d->format != CU_AD_FORMAT_UNSIGNED_INT32)
        return 0;
    return d->channels == (is_small ? 2 : 4) ? 4 : 0;
}

/* A view names its format (an H200 refuses none). */
static CUresult check_view(const CudaResourceView *v, const CudaResource *r)
{
    const CudaArrayDescriptor *d = descriptor_of(r);
    unsigned n_levels = r->type == CU_RESOURCE_TYPE_MIPMAPPED_ARRAY ? r->mipmap->n_levels : 1;
    size_t layers = d && (d->flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) ? d->depth : 1;
    size_t times = d ? view_times(v->format, d) : 0;

    if (times == 0 || v->width != times * d->width || v->height != times * d->height ||
        v->depth != d->depth || v->first_level > v->last_level || v->last_level >= n_levels ||
        v->first_layer > v->last_layer || v->last_layer >= layers)
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

/* ---- Their life ------------------------------------------------------------------ */

static FakeTexture *find(CUcontext context, uint64_t handle, bool is_surface)
{
    for (size_t i = 0; i < textures.n; i++) {
        FakeTexture *t = &textures.all[i];

        if (t->is_used && t->context == context && t->handle == handle &&
            t->is_surface == is_surface)
            return t;
    }
    return NULL;
}

static uint64_t add(const FakeTexture *texture)
{
    FakeTexture *t;
    size_t i = 0;

    while (i < textures.n && textures.all[i].is_used)
        i++;
    if (i == textures.room) {
        textures.room = textures.room ? 2 * textures.room : 64;
        textures.all = realloc(textures.all, textures.room * sizeof(*textures.all));
        if (!textures.all)
            abort();
    }
    textures.n = i < textures.n ? textures.n : i + 1;
    t = &textures.all[i];
    *t = *texture;
    t->context = fake_context();
    do
        t->handle++;
    while (find(t->context, t->handle, t->is_surface));
    t->is_used = true;
    return t->handle;
}

CUresult cuTexObjectCreate(CUtexObject *texture, const CudaResource *resource,
                           const CudaTexture *how, const CudaResourceView *view)
{
    FakeTexture t = {.has_view = view != NULL};
    CUresult r;

    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();
    r = check_resource(resource, __func__);
    if (r == CUDA_SUCCESS)
        r = check_how(how, resource);
    if (r == CUDA_SUCCESS && view)
        r = check_view(view, resource);
    if (r != CUDA_SUCCESS)
        return r;
    t.resource = *resource;
    t.how = *how;
    if (view)
        t.view = *view;
    *texture = add(&t);
    return CUDA_SUCCESS;
}

CUresult cuSurfObjectCreate(CUsurfObject *surface, const CudaResource *resource)
{
    FakeTexture t = {.is_surface = true};
    CUresult r;

    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();
    if (resource->type != CU_RESOURCE_TYPE_ARRAY)
        return CUDA_ERROR_INVALID_VALUE;
    r = check_resource(resource, __func__);
    if (r != CUDA_SUCCESS)
        return r;
    if (!(resource->array->descriptor.flags & CUDA_ARRAY3D_SURFACE_LDST))
        return CUDA_ERROR_INVALID_VALUE;
    t.resource = *resource;
    *surface = add(&t);
    return CUDA_SUCCESS;
}

/* Programs destroy a texture as soon as they have launched what reads it: the number is not given
 * to another one before that has ended. */
static CUresult destroy(uint64_t handle, bool is_surface, const char *what)
{
    FAKE_LOCKED();
    FakeTexture *t = find(fake_context(), handle, is_surface);

    if (!t)
        fake_misuse("%s: %llu is none", what, (unsigned long long) handle);
    (void) fake_context_drain(fake_context());
    t = find(fake_context(), handle, is_surface); /* the table may have moved */
    if (t)
        t->is_used = false;
    return CUDA_SUCCESS;
}

CUresult cuTexObjectDestroy(CUtexObject texture)
{
    ENTER_SESSION(FAKE_CONTEXT);
    return destroy(texture, false, __func__);
}

CUresult cuSurfObjectDestroy(CUsurfObject surface)
{
    ENTER_SESSION(FAKE_CONTEXT);
    return destroy(surface, true, __func__);
}

void fake_textures_end(CUcontext context)
{
    for (size_t i = 0; i < textures.n; i++)
        if (!context || textures.all[i].context == context)
            textures.all[i].is_used = false;
    if (context)
        return;
    free(textures.all);
    textures.all = NULL;
    textures.n = textures.room = 0;
}

/* ---- For kernels ------------------------------------------------------------------ */

static bool is_there(const CudaResource *r)
{
    switch (r->type) {
    case CU_RESOURCE_TYPE_ARRAY:
        return fake_object_lives(r->array, FAKE_KIND_ARRAY);
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
        return fake_object_lives(r->mipmap, FAKE_KIND_MIPMAP);
    case CU_RESOURCE_TYPE_LINEAR:
        return fake_memory_find(r->linear.address, r->linear.size);
    default:
        return fake_memory_find(r->pitched.address,
                                (r->pitched.height - 1) * r->pitched.pitch + r->pitched.width);
    }
}

bool fake_texture_get(CUcontext context, uint64_t handle, bool is_surface, FakeTexture *ret)
{
    FAKE_LOCKED();
    const FakeTexture *t = find(context, handle, is_surface);

    if (!t || !is_there(&t->resource))
        return false;
    *ret = *t;
    return true;
}

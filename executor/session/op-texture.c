/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Textures and surfaces. */
#include "session-store.h"

enum {
    TEXTURE_FLAGS = CU_TRSF_READ_AS_INTEGER | CU_TRSF_NORMALIZED_COORDINATES | CU_TRSF_SRGB |
                    CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION | CU_TRSF_SEAMLESS_CUBEMAP,
};

#define BLOCK_SIDE 4u /* elements, of a compressed block */

/* ---- What is sampled ------------------------------------------------------------------------ */

/* @ret_shape: of an array or a mipmap; else its element is 0 */
static CUresult texture_array(Session *s, const SessionCall *call, CudaResource *ret,
                              ArrayShape *ret_shape)
{
    const VGPUSessionTexture *p = call->parameters;
    SessionMipmap *mipmap;
    SessionArray *array;
    CUresult result;

    if (ret->type == CU_RESOURCE_TYPE_ARRAY) {
        result = session_array_find(s, call->record.context, p->resource, &array);
        if (result != CUDA_SUCCESS)
            return result;
        ret->array = array->handle;
        *ret_shape = array->shape;
    } else {
        result = session_mipmap_find(s, call->record.context, p->resource, &mipmap);
        if (result != CUDA_SUCCESS)
            return result;
        ret->mipmap = mipmap->handle;
        *ret_shape = mipmap->shape;
    }
    return array_shape_is_deferred(ret_shape) ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

static bool texture_is_aligned(const ArrayLimits *limits, unsigned attribute, uint64_t number)
{
    const uint64_t alignment = limits->attribute[attribute];

    return alignment == 0 || number % alignment == 0;
}

/* As with the driver, it may end behind the memory: NVIDIA's sample convolutionFFT2D has one that
 * does. Who reads there faults, as a kernel does. */
static CUresult texture_linear(Session *s, const VGPUSessionTexture *p, const ArrayLimits *limits,
                               CudaResource *ret)
{
    const uint32_t element = cuda_array_element_size(p->format, p->channels);

    if (element == 0 || p->size / element == 0 ||
        p->size / element > limits->attribute[ARRAY_ATTRIBUTE_LINEAR_WIDTH] ||
        !texture_is_aligned(limits, ARRAY_ATTRIBUTE_TEXTURE_ALIGNMENT, p->address) ||
        !session_memory_has(s, p->address, element))
        return CUDA_ERROR_INVALID_VALUE;
    ret->linear.address = p->address;
    ret->linear.format = (int) p->format;
    ret->linear.channels = p->channels;
    ret->linear.size = p->size;
    return CUDA_SUCCESS;
}

static CUresult texture_pitched(Session *s, const VGPUSessionTexture *p, const ArrayLimits *limits,
                                CudaResource *ret)
{
    const uint32_t element = cuda_array_element_size(p->format, p->channels);

    /* Within these bounds nothing below wraps around. */
    if (element == 0 || p->width == 0 || p->height == 0 ||
        p->width > limits->attribute[ARRAY_ATTRIBUTE_PITCHED_WIDTH] ||
        p->height > limits->attribute[ARRAY_ATTRIBUTE_PITCHED_HEIGHT] ||
        p->pitch > limits->attribute[ARRAY_ATTRIBUTE_PITCHED_PITCH] ||
        p->pitch < p->width * element ||
        !texture_is_aligned(limits, ARRAY_ATTRIBUTE_TEXTURE_ALIGNMENT, p->address) ||
        !texture_is_aligned(limits, ARRAY_ATTRIBUTE_PITCH_ALIGNMENT, p->pitch) ||
        !session_memory_has(s, p->address, (p->height - 1) * p->pitch + p->width * element))
        return CUDA_ERROR_INVALID_VALUE;
    ret->pitched.address = p->address;
    ret->pitched.format = (int) p->format;
    ret->pitched.channels = p->channels;
    ret->pitched.width = p->width;
    ret->pitched.height = p->height;
    ret->pitched.pitch = p->pitch;
    return CUDA_SUCCESS;
}

static CUresult texture_resource(Session *s, const SessionCall *call, CudaResource *ret,
                                 ArrayShape *ret_shape)
{
    const VGPUSessionTexture *p = call->parameters;
    const ArrayLimits *limits;
    CUresult result = session_arrays_limits(s, &limits);

    if (result != CUDA_SUCCESS)
        return result;
    ret->type = (int) p->resource_type;
    switch (p->resource_type) {
    case CU_RESOURCE_TYPE_ARRAY:
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
        return texture_array(s, call, ret, ret_shape);
    case CU_RESOURCE_TYPE_LINEAR:
        return texture_linear(s, p, limits, ret);
    case CU_RESOURCE_TYPE_PITCH2D:
        return texture_pitched(s, p, limits, ret);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

/* ---- How ------------------------------------------------------------------------------------ */

static bool texture_describe(const VGPUSessionTexture *p, const ArrayShape *shape, CudaTexture *ret)
{
    if ((p->flags & ~(uint32_t) TEXTURE_FLAGS) || p->filter_mode > CU_TR_FILTER_MODE_LINEAR ||
        p->mipmap_filter_mode > CU_TR_FILTER_MODE_LINEAR ||
        (p->resource_type == CU_RESOURCE_TYPE_MIPMAPPED_ARRAY &&
         !(p->flags & CU_TRSF_NORMALIZED_COORDINATES)) ||
        ((p->flags & CU_TRSF_SEAMLESS_CUBEMAP) && !(shape->flags & CUDA_ARRAY3D_CUBEMAP)))
        return false;
    *ret = (CudaTexture){
        .filter_mode = (int) p->filter_mode,
        .flags = p->flags,
        .max_anisotropy = p->max_anisotropy,
        .mipmap_filter_mode = (int) p->mipmap_filter_mode,
        .mipmap_bias = p->mipmap_bias,
        .mipmap_min = p->mipmap_min,
        .mipmap_max = p->mipmap_max,
    };
    for (size_t i = 0; i < 3; i++) {
        if (p->address_mode[i] > CU_TR_ADDRESS_MODE_BORDER)
            return false;
        ret->address_mode[i] = (int) p->address_mode[i];
    }
    for (size_t i = 0; i < 4; i++)
        ret->border[i] = p->border[i];
    return true;
}

/* A view has the extents of what it is a view of, but where it sees compressed blocks in it. */
static bool texture_view(const VGPUSessionTexture *p, const ArrayShape *shape,
                         CudaResourceView *ret)
{
    const uint64_t times = p->view_format >= CU_RES_VIEW_FORMAT_UNSIGNED_BC1 ? BLOCK_SIDE : 1;
    const uint64_t layers = shape->kind == ARRAY_3D ? 1 : array_shape_slices(shape);

    if (shape->element == 0 || p->view_format > CU_RES_VIEW_FORMAT_UNSIGNED_BC7 ||
        p->view_width != times * shape->width || p->view_height != times * shape->height ||
        p->view_depth != shape->depth || p->first_level > p->last_level ||
        p->last_level >= shape->levels || p->first_layer > p->last_layer || p->last_layer >= layers)
        return false;
    *ret = (CudaResourceView){
        .format = (int) p->view_format,
        .width = p->view_width,
        .height = p->view_height,
        .depth = p->view_depth,
        .first_level = p->first_level,
        .last_level = p->last_level,
        .first_layer = p->first_layer,
        .last_layer = p->last_layer,
    };
    return true;
}

/* ---- Operations ----------------------------------------------------------------------------- */

static CUresult texture_keep(Session *s, SessionCall *call, uint64_t handle, bool is_surface)
{
    const SessionTexture texture = {
        .handle = handle,
        .context = call->record.context,
        .is_surface = is_surface,
    };
    CUresult result = session_texture_add(s, &texture);

    if (result == CUDA_SUCCESS)
        call->value[0] = handle;
    return result;
}

CUresult session_op_TEXTURE_CREATE(Session *s, SessionCall *call)
{
    const VGPUSessionTexture *p = call->parameters;
    const CudaSessionDriver *driver = session_driver(s);
    CudaResource resource = {0};
    CudaResourceView view;
    ArrayShape shape = {0};
    CudaTexture texture;
    CUtexObject object;
    CUresult result = session_texture_may_add(s);

    if (result == CUDA_SUCCESS)
        result = texture_resource(s, call, &resource, &shape);
    if (result != CUDA_SUCCESS)
        return result;
    if (!texture_describe(p, &shape, &texture) || p->has_view > 1 ||
        (p->has_view && !texture_view(p, &shape, &view)))
        return CUDA_ERROR_INVALID_VALUE;
    result = driver->tex_object_create(&object, &resource, &texture, p->has_view ? &view : NULL);
    if (result != CUDA_SUCCESS)
        return result;
    result = texture_keep(s, call, object, false);
    if (result != CUDA_SUCCESS)
        (void) driver->tex_object_destroy(object);
    return result;
}

CUresult session_op_SURFACE_CREATE(Session *s, SessionCall *call)
{
    const VGPUSessionTexture *p = call->parameters;
    const CudaSessionDriver *driver = session_driver(s);
    CudaResource resource = {.type = CU_RESOURCE_TYPE_ARRAY};
    CUsurfObject object;
    ArrayShape shape;
    CUresult result = session_texture_may_add(s);

    if (result != CUDA_SUCCESS)
        return result;
    if (p->resource_type != CU_RESOURCE_TYPE_ARRAY)
        return CUDA_ERROR_INVALID_VALUE;
    result = texture_array(s, call, &resource, &shape);
    if (result != CUDA_SUCCESS)
        return result;
    if (!(shape.flags & CUDA_ARRAY3D_SURFACE_LDST))
        return CUDA_ERROR_INVALID_VALUE;
    result = driver->surf_object_create(&object, &resource);
    if (result != CUDA_SUCCESS)
        return result;
    result = texture_keep(s, call, object, true);
    if (result != CUDA_SUCCESS)
        (void) driver->surf_object_destroy(object);
    return result;
}

static CUresult texture_destroy(Session *s, const SessionCall *call, bool is_surface)
{
    const VGPUSessionId *p = call->parameters;
    const CudaSessionDriver *driver = session_driver(s);
    const SessionTexture like = {
        .handle = p->value,
        .context = call->record.context,
        .is_surface = is_surface,
    };
    SessionTexture *texture = session_texture_find(s, &like);
    CUresult result;

    if (!texture)
        return CUDA_ERROR_INVALID_VALUE;
    result =
        is_surface ? driver->surf_object_destroy(p->value) : driver->tex_object_destroy(p->value);
    if (result == CUDA_SUCCESS)
        session_texture_end(s, texture);
    return result;
}

CUresult session_op_TEXTURE_DESTROY(Session *s, SessionCall *call)
{
    return texture_destroy(s, call, false);
}

CUresult session_op_SURFACE_DESTROY(Session *s, SessionCall *call)
{
    return texture_destroy(s, call, true);
}

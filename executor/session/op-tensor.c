/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tensor maps. The driver makes one from numbers, without the device.
 *
 * The address and the extents are not compared with the session's memory. Programs make maps that
 * reach beyond an allocation and load within it alone; a map is bytes that any kernel could write
 * itself; and what it leads to the device checks, as any address of a kernel, against the memory of
 * this process.
 */
#include <string.h>

#include "session-store.h"

#define RANK_MAX 5u
#define RANK_IM2COL_MIN 3u

/* The highest number of each kind, as of CUDA 13.0. An older driver refuses what it lacks. */
enum {
    TENSOR_DATA_TYPE_MAX = 15,
    TENSOR_INTERLEAVE_MAX = 2,
    TENSOR_SWIZZLE_MAX = 6,
    TENSOR_L2_PROMOTION_MAX = 3,
    TENSOR_OOB_FILL_MAX = 1,
    TENSOR_WIDE_MODE_MAX = 1,
};

_Static_assert(sizeof(CudaTensorMap) == VGPU_SESSION_TENSOR_MAP_SIZE, "the contract's size");

static bool tensor_is_known(const VGPUSessionTensorMap *p)
{
    const uint32_t rank_min = p->kind == VGPU_TENSOR_MAP_TILED ? 1 : RANK_IM2COL_MIN;

    if (p->kind == VGPU_TENSOR_MAP_REPLACE)
        return true;
    return p->kind <= VGPU_TENSOR_MAP_IM2COL_WIDE && p->data_type <= TENSOR_DATA_TYPE_MAX &&
           p->interleave <= TENSOR_INTERLEAVE_MAX && p->swizzle <= TENSOR_SWIZZLE_MAX &&
           p->l2_promotion <= TENSOR_L2_PROMOTION_MAX && p->oob_fill <= TENSOR_OOB_FILL_MAX &&
           p->wide_mode <= TENSOR_WIDE_MODE_MAX && p->rank >= rank_min && p->rank <= RANK_MAX;
}

static CUresult tensor_tiled(Session *s, const VGPUSessionTensorMap *p, CudaTensorMap *ret)
{
    return session_driver(s)->tensor_map_encode_tiled(
        ret, (int) p->data_type, p->rank, (void *) p->address, p->size, p->stride, p->box,
        p->element_stride, (int) p->interleave, (int) p->swizzle, (int) p->l2_promotion,
        (int) p->oob_fill);
}

static CUresult tensor_im2col(Session *s, const VGPUSessionTensorMap *p, CudaTensorMap *ret)
{
    return session_driver(s)->tensor_map_encode_im2col(
        ret, (int) p->data_type, p->rank, (void *) p->address, p->size, p->stride, p->lower,
        p->upper, p->channels, p->pixels, p->element_stride, (int) p->interleave, (int) p->swizzle,
        (int) p->l2_promotion, (int) p->oob_fill);
}

static CUresult tensor_im2col_wide(Session *s, const VGPUSessionTensorMap *p, CudaTensorMap *ret)
{
    const CudaSessionDriver *driver = session_driver(s);

    if (!driver->tensor_map_encode_im2col_wide)
        return CUDA_ERROR_NOT_SUPPORTED;
    return driver->tensor_map_encode_im2col_wide(
        ret, (int) p->data_type, p->rank, (void *) p->address, p->size, p->stride, p->lower[0],
        p->upper[0], p->channels, p->pixels, p->element_stride, (int) p->interleave,
        (int) p->wide_mode, (int) p->swizzle, (int) p->l2_promotion, (int) p->oob_fill);
}

/* The driver gets a copy: the guest may write to its own meanwhile. */
static CUresult tensor_replace(Session *s, const VGPUSessionTensorMap *p, const void *from,
                               CudaTensorMap *ret)
{
    memcpy(ret, from, sizeof(*ret));
    return session_driver(s)->tensor_map_replace_address(ret, (void *) p->address);
}

CUresult session_op_TENSOR_MAP(Session *s, SessionCall *call)
{
    const VGPUSessionTensorMap *p = call->parameters;
    unsigned char *into = session_window(s, p->into.offset, p->into.size);
    CudaTensorMap map = {0};
    CUresult result;

    if (!into || p->into.size < sizeof(map) || !tensor_is_known(p))
        return CUDA_ERROR_INVALID_VALUE;
    switch (p->kind) {
    case VGPU_TENSOR_MAP_TILED:
        result = tensor_tiled(s, p, &map);
        break;
    case VGPU_TENSOR_MAP_IM2COL:
        result = tensor_im2col(s, p, &map);
        break;
    case VGPU_TENSOR_MAP_REPLACE:
        result = tensor_replace(s, p, into, &map);
        break;
    default:
        result = tensor_im2col_wide(s, p, &map);
        break;
    }
    if (result == CUDA_SUCCESS)
        memcpy(into, &map, sizeof(map));
    return result;
}

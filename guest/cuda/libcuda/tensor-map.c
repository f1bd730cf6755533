/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tensor maps. The host's driver makes one from numbers alone, so the last ones are remembered:
 * programs make the same map for each launch.
 */
#include <string.h>

#include "cuda-api-arrays.h"
#include "cuda-client-array.h"
#include "libcuda.h"

#define TENSOR_RANK_MAX 5u
#define TENSOR_ALIGNMENT 64u

/* ---- Those that were made ----------------------------------------------------------------------
 */

#define TENSOR_REMEMBERED 256u

typedef struct TensorMade {
    VGPUSessionTensorMap request; /* of rank 0: none */
    uint8_t map[VGPU_SESSION_TENSOR_MAP_SIZE];
} TensorMade;

static pthread_mutex_t tensor_lock = PTHREAD_MUTEX_INITIALIZER;
static TensorMade tensor_made[TENSOR_REMEMBERED]; /* by what was asked for */

static TensorMade *tensor_place(const VGPUSessionTensorMap *request)
{
    const unsigned char *bytes = (const unsigned char *) request;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < sizeof(*request); i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return &tensor_made[hash % TENSOR_REMEMBERED];
}

static bool tensor_recall(const VGPUSessionTensorMap *request, void *ret)
{
    const TensorMade *made = tensor_place(request);
    bool is_known;

    pthread_mutex_lock(&tensor_lock);
    is_known = memcmp(&made->request, request, sizeof(*request)) == 0;
    if (is_known)
        memcpy(ret, made->map, sizeof(made->map));
    pthread_mutex_unlock(&tensor_lock);
    return is_known;
}

static void tensor_remember(const VGPUSessionTensorMap *request, const uint8_t *map)
{
    TensorMade *made = tensor_place(request);

    pthread_mutex_lock(&tensor_lock);
    made->request = *request;
    memcpy(made->map, map, sizeof(made->map));
    pthread_mutex_unlock(&tensor_lock);
}

/* ---- Making one --------------------------------------------------------------------------------
 */

/* @ret is not the driver's type: that is aligned to more than programs must have it. */
static bool tensor_is_place(const void *ret)
{
    return ret && (uintptr_t) ret % TENSOR_ALIGNMENT == 0;
}

/* Two requests for the same map have the same bytes: what a kind does not use is 0. */
_Static_assert(sizeof(VGPUSessionTensorMap) == 208, "no gaps");

static CUresult tensor_make(const LibCall *call, const VGPUSessionTensorMap *request, void *ret)
{
    uint8_t map[VGPU_SESSION_TENSOR_MAP_SIZE];
    CUresult r;

    if (tensor_recall(request, ret))
        return CUDA_SUCCESS;
    r = vgpu_session_tensor_map(call->session, &call->from, request, map);
    if (r != CUDA_SUCCESS)
        return r;
    tensor_remember(request, map);
    memcpy(ret, map, sizeof(map));
    return CUDA_SUCCESS;
}

/* What all kinds have in common. The driver on the host checks the numbers. */
static CUresult tensor_begin(void *ret, cuuint32_t rank, const cuuint64_t *size,
                             const cuuint64_t *stride, const cuuint32_t *element_stride,
                             LibCall *ret_call, VGPUSessionTensorMap *request)
{
    CUresult r = libcuda_enter_context(ret_call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!tensor_is_place(ret) || rank == 0 || rank > TENSOR_RANK_MAX || !size ||
        (rank > 1 && !stride) || !element_stride)
        return CUDA_ERROR_INVALID_VALUE;
    request->rank = rank;
    for (uint32_t i = 0; i < rank; i++) {
        request->size[i] = size[i];
        request->element_stride[i] = element_stride[i];
        if (i + 1 < rank)
            request->stride[i] = stride[i];
    }
    return CUDA_SUCCESS;
}

CUresult cuTensorMapEncodeTiled(void *ret, int data_type, cuuint32_t rank, void *address,
                                const cuuint64_t *size, const cuuint64_t *stride,
                                const cuuint32_t *box, const cuuint32_t *element_stride,
                                int interleave, int swizzle, int l2_promotion, int oob_fill)
{
    VGPUSessionTensorMap request = {
        .kind = VGPU_TENSOR_MAP_TILED,
        .data_type = (uint32_t) data_type,
        .interleave = (uint32_t) interleave,
        .swizzle = (uint32_t) swizzle,
        .l2_promotion = (uint32_t) l2_promotion,
        .oob_fill = (uint32_t) oob_fill,
        .address = (uintptr_t) address,
    };
    LibCall call;
    CUresult r = tensor_begin(ret, rank, size, stride, element_stride, &call, &request);

    if (r != CUDA_SUCCESS)
        return r;
    if (!box)
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; i < rank; i++)
        request.box[i] = box[i];
    return tensor_make(&call, &request, ret);
}

CUresult cuTensorMapEncodeIm2col(void *ret, int data_type, cuuint32_t rank, void *address,
                                 const cuuint64_t *size, const cuuint64_t *stride, const int *lower,
                                 const int *upper, cuuint32_t channels, cuuint32_t pixels,
                                 const cuuint32_t *element_stride, int interleave, int swizzle,
                                 int l2_promotion, int oob_fill)
{
    VGPUSessionTensorMap request = {
        .kind = VGPU_TENSOR_MAP_IM2COL,
        .data_type = (uint32_t) data_type,
        .interleave = (uint32_t) interleave,
        .swizzle = (uint32_t) swizzle,
        .l2_promotion = (uint32_t) l2_promotion,
        .oob_fill = (uint32_t) oob_fill,
        .address = (uintptr_t) address,
        .channels = channels,
        .pixels = pixels,
    };
    LibCall call;
    CUresult r = tensor_begin(ret, rank, size, stride, element_stride, &call, &request);

    if (r != CUDA_SUCCESS)
        return r;
    if (!lower || !upper || rank < 3)
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; i < rank - 2; i++) {
        request.lower[i] = lower[i];
        request.upper[i] = upper[i];
    }
    return tensor_make(&call, &request, ret);
}

CUresult cuTensorMapEncodeIm2colWide(void *ret, int data_type, cuuint32_t rank, void *address,
                                     const cuuint64_t *size, const cuuint64_t *stride, int lower,
                                     int upper, cuuint32_t channels, cuuint32_t pixels,
                                     const cuuint32_t *element_stride, int interleave, int mode,
                                     int swizzle, int l2_promotion, int oob_fill)
{
    VGPUSessionTensorMap request = {
        .kind = VGPU_TENSOR_MAP_IM2COL_WIDE,
        .data_type = (uint32_t) data_type,
        .interleave = (uint32_t) interleave,
        .swizzle = (uint32_t) swizzle,
        .l2_promotion = (uint32_t) l2_promotion,
        .oob_fill = (uint32_t) oob_fill,
        .wide_mode = (uint32_t) mode,
        .address = (uintptr_t) address,
        .lower = {lower},
        .upper = {upper},
        .channels = channels,
        .pixels = pixels,
    };
    LibCall call;
    CUresult r = tensor_begin(ret, rank, size, stride, element_stride, &call, &request);

    return r == CUDA_SUCCESS ? tensor_make(&call, &request, ret) : r;
}

CUresult cuTensorMapReplaceAddress(void *map, void *address)
{
    uint8_t bytes[VGPU_SESSION_TENSOR_MAP_SIZE];
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!tensor_is_place(map))
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(bytes, map, sizeof(bytes));
    r = vgpu_session_tensor_replace(call.session, &call.from, (uintptr_t) address, bytes);
    if (r == CUDA_SUCCESS)
        memcpy(map, bytes, sizeof(bytes));
    return r;
}

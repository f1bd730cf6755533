/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-tensor.h"

#include <string.h>

#define SIZE_MAX_OF_DIMENSION (UINT64_C(1) << 32)
#define STRIDE_MAX (UINT64_C(1) << 40)
#define BOX_MAX 256u
#define ELEMENT_STRIDE_MAX 8u
#define CHANNELS_MAX 256u
#define PIXELS_MAX 1024u

enum {
    INTERLEAVE_NONE = 0,
    INTERLEAVE_32B = 2,
    SWIZZLE_NONE = 0,
    SWIZZLE_32B = 1,
    SWIZZLE_64B = 2,
    SWIZZLE_MAX = 6,
    L2_PROMOTION_MAX = 3,
    OOB_FILL_NAN = 1,
};

_Static_assert(sizeof(FakeTensorMap) <= sizeof(CudaTensorMap), "the size of a tensor map");

/* Types of 4 and 6 bits are for later devices. */
size_t fake_tensor_element(int data_type)
{
    static const uint8_t sizes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};

    return data_type >= 0 && (size_t) data_type < sizeof(sizes) ? sizes[data_type] : 0;
}

static bool is_float(int data_type)
{
    return data_type >= 6;
}

typedef struct Tensor {
    int data_type, interleave, swizzle, l2_promotion, oob_fill;
    uint32_t rank;
    uint64_t address;
    const uint64_t *size, *stride;
    const uint32_t *element_stride;
    uint32_t inner; /* elements of a row in shared memory */
} Tensor;

static bool dimensions_are_good(const Tensor *t)
{
    uint64_t alignment = t->interleave == INTERLEAVE_32B ? 32 : 16;

    if (t->address % alignment != 0)
        return false;
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->size[i] == 0 || t->size[i] > SIZE_MAX_OF_DIMENSION)
            return false;
    for (uint32_t i = 0; i + 1 < t->rank; i++)
        if (t->stride[i] % alignment != 0 || t->stride[i] >= STRIDE_MAX)
            return false;
    for (uint32_t i = 0; i < t->rank; i++)
        if ((i > 0 || t->interleave != INTERLEAVE_NONE) &&
            (t->element_stride[i] == 0 || t->element_stride[i] > ELEMENT_STRIDE_MAX))
            return false;
    return true;
}

static bool inner_is_good(const Tensor *t)
{
    size_t bytes = t->inner * fake_tensor_element(t->data_type);
    size_t span = t->swizzle == SWIZZLE_32B ? 32 : t->swizzle == SWIZZLE_64B ? 64 : 128;

    if (t->interleave == INTERLEAVE_32B)
        return t->swizzle == SWIZZLE_32B;
    return t->interleave != INTERLEAVE_NONE || t->swizzle == SWIZZLE_NONE || bytes <= span;
}

static bool is_good(const Tensor *t)
{
    return fake_tensor_element(t->data_type) > 0 && t->interleave >= 0 &&
           t->interleave <= INTERLEAVE_32B && t->swizzle >= 0 && t->swizzle <= SWIZZLE_MAX &&
           t->l2_promotion >= 0 && t->l2_promotion <= L2_PROMOTION_MAX && t->oob_fill >= 0 &&
           t->oob_fill <= OOB_FILL_NAN && (t->oob_fill == 0 || is_float(t->data_type)) &&
           (t->interleave == INTERLEAVE_NONE || t->rank >= 3) && dimensions_are_good(t) &&
           inner_is_good(t);
}

static void encode(const Tensor *t, bool is_im2col, const uint32_t *box, uint32_t n_box,
                   CudaTensorMap *ret)
{
    FakeTensorMap map = {
        .magic = FAKE_TENSOR_MAGIC,
        .rank = (uint8_t) t->rank,
        .data_type = (uint8_t) t->data_type,
        .is_im2col = is_im2col,
        .oob_fill = (uint8_t) t->oob_fill,
        .address = t->address,
        .interleave = (uint8_t) t->interleave,
        .swizzle = (uint8_t) t->swizzle,
        .l2_promotion = (uint8_t) t->l2_promotion,
    };

    for (uint32_t i = 0; i < t->rank; i++) {
        map.size[i] = t->size[i];
        map.element_stride[i] = (uint8_t) t->element_stride[i];
    }
    for (uint32_t i = 0; i + 1 < t->rank; i++)
        map.stride[i] = t->stride[i];
    for (uint32_t i = 0; i < n_box; i++)
        map.box[i] = (uint16_t) box[i];
    *ret = (CudaTensorMap){0};
    memcpy(ret, &map, sizeof(map));
}

CUresult cuTensorMapEncodeTiled(CudaTensorMap *map, int data_type, uint32_t rank, void *address,
                                const uint64_t *size, const uint64_t *stride, const uint32_t *box,
                                const uint32_t *element_stride, int interleave, int swizzle,
                                int l2_promotion, int oob_fill)
{
    const Tensor t = {data_type,           interleave, swizzle, l2_promotion,   oob_fill, rank,
                      (uintptr_t) address, size,       stride,  element_stride, box[0]};

    ENTER_SESSION(FAKE_INIT);
    if (rank < 1 || rank > FAKE_TENSOR_RANK_MAX)
        fake_misuse("%s: %u dimensions", __func__, rank);
    if (!is_good(&t) ||
        (interleave == INTERLEAVE_NONE && box[0] * fake_tensor_element(data_type) % 16 != 0))
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; i < rank; i++)
        if (box[i] == 0 || box[i] > BOX_MAX)
            return CUDA_ERROR_INVALID_VALUE;
    encode(&t, false, box, rank, map);
    return CUDA_SUCCESS;
}

/* Corners have 16, 8 or 5 bits, as there are 1, 2 or 3 of them. */
static bool corners_are_good(const int *lower, const int *upper, uint32_t n)
{
    static const int least[] = {-32768, -128, -16};

    for (uint32_t i = 0; i < n; i++)
        if (lower[i] < least[n - 1] || lower[i] >= -least[n - 1] || upper[i] < least[n - 1] ||
            upper[i] >= -least[n - 1])
            return false;
    return true;
}

CUresult cuTensorMapEncodeIm2col(CudaTensorMap *map, int data_type, uint32_t rank, void *address,
                                 const uint64_t *size, const uint64_t *stride, const int *lower,
                                 const int *upper, uint32_t channels, uint32_t pixels,
                                 const uint32_t *element_stride, int interleave, int swizzle,
                                 int l2_promotion, int oob_fill)
{
    const Tensor t = {data_type,           interleave, swizzle, l2_promotion,   oob_fill, rank,
                      (uintptr_t) address, size,       stride,  element_stride, channels};
    const uint32_t column[] = {channels, pixels};

    ENTER_SESSION(FAKE_INIT);
    if (rank < 3 || rank > FAKE_TENSOR_RANK_MAX)
        fake_misuse("%s: %u dimensions", __func__, rank);
    if (!is_good(&t) || channels == 0 || channels > CHANNELS_MAX || pixels == 0 ||
        pixels > PIXELS_MAX || !corners_are_good(lower, upper, rank - 2))
        return CUDA_ERROR_INVALID_VALUE;
    encode(&t, true, column, 2, map);
    return CUDA_SUCCESS;
}

CUresult cuTensorMapReplaceAddress(CudaTensorMap *map, void *address)
{
    FakeTensorMap m;

    ENTER_SESSION(FAKE_INIT);
    memcpy(&m, map, sizeof(m));
    if (m.magic != FAKE_TENSOR_MAGIC ||
        (uintptr_t) address % (m.interleave == INTERLEAVE_32B ? 32 : 16) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    m.address = (uintptr_t) address;
    memcpy(map, &m, sizeof(m));
    return CUDA_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tensor maps, as this fake has them */
#ifndef FAKE_TENSOR_H
#define FAKE_TENSOR_H

#include "fake-driver.h"

#define FAKE_TENSOR_MAGIC 0x544d4150u
#define FAKE_TENSOR_RANK_MAX 5u

/* What is in the 128 bytes of a CUtensorMap */
typedef struct FakeTensorMap {
    uint32_t magic;
    uint8_t rank, data_type, is_im2col, oob_fill;
    uint64_t address;
    uint64_t size[FAKE_TENSOR_RANK_MAX];
    uint64_t stride[FAKE_TENSOR_RANK_MAX - 1]; /* bytes; from the second dimension on */
    uint16_t box[FAKE_TENSOR_RANK_MAX];        /* im2col: channels, pixels */
    uint8_t element_stride[FAKE_TENSOR_RANK_MAX];
    uint8_t interleave, swizzle, l2_promotion;
} FakeTensorMap;

/* fake_tensor_element() - bytes of one; 0: of none that this device has */
size_t fake_tensor_element(int data_type);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an array is: which there may be, what one takes of the device's memory, and what lies in it.
 * From numbers alone: neither the driver nor the session is asked.
 *
 * The formats are those with one element for one place: integers, halves and floats of 1, 2 or 4
 * channels, and the normalized ones. Those of video planes and of compressed blocks are
 * CUDA_ERROR_NOT_SUPPORTED, and so are the flags for memory that is mapped piece by piece
 * (CUDA_ARRAY3D_SPARSE), for depth textures, and for other programming interfaces.
 */
#ifndef VGPU_SESSION_ARRAY_SHAPE_H
#define VGPU_SESSION_ARRAY_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "cuda-session.h"
#include "vgpu-session.h"

/* Attributes of the device that say how large arrays and textures may be, by CUdevice_attribute */
enum {
    ARRAY_ATTRIBUTE_TEXTURE_ALIGNMENT = 14,
    ARRAY_ATTRIBUTE_PITCH_ALIGNMENT = 51,
    ARRAY_ATTRIBUTE_LINEAR_WIDTH = 69,
    ARRAY_ATTRIBUTE_PITCHED_WIDTH = 70,
    ARRAY_ATTRIBUTE_PITCHED_HEIGHT = 71,
    ARRAY_ATTRIBUTE_PITCHED_PITCH = 72,
    ARRAY_N_ATTRIBUTES = 78,
};

typedef struct ArrayLimits {
    uint64_t attribute[ARRAY_N_ATTRIBUTES];
} ArrayLimits;

typedef enum ArrayKind {
    ARRAY_1D,
    ARRAY_2D,
    ARRAY_3D,
    ARRAY_1D_LAYERED,
    ARRAY_2D_LAYERED,
    ARRAY_CUBEMAP,
    ARRAY_CUBEMAP_LAYERED,
    ARRAY_N_KINDS,
} ArrayKind;

typedef struct ArrayShape {
    ArrayKind kind;
    uint32_t format, channels, flags;
    uint32_t element;              /* bytes */
    uint32_t levels;               /* of a mipmap; 1 of an array */
    uint64_t width, height, depth; /* elements; 0: it has no such dimension */
} ArrayShape;

/*
 * array_shape_init() - what a guest asks for
 * @is_mipmap: its levels are brought into the range that the driver brings them into
 *
 * Returns CUDA_SUCCESS, _INVALID_VALUE, or _NOT_SUPPORTED.
 */
CUresult array_shape_init(ArrayShape *ret, const VGPUSessionArray *p, bool is_mipmap,
                          const ArrayLimits *limits);

/* array_shape_level() - the array that is level @level of a mipmap, which has it */
ArrayShape array_shape_level(const ArrayShape *mipmap, uint32_t level);

/* array_shape_slices() - how many slices or layers it has */
uint64_t array_shape_slices(const ArrayShape *shape);

/* array_shape_is_deferred() - it has no memory, as nothing is mapped to it */
bool array_shape_is_deferred(const ArrayShape *shape);

/*
 * array_shape_bytes() - what the device takes for it at most; UINT64_MAX if nothing can have that
 *     size
 *
 * The device keeps arrays in blocks: 64 bytes wide and, by the array's height, 8 to 128 rows high;
 * in three dimensions 1 to 32 slices deep. Each dimension of each level is filled up to whole
 * blocks, of the smallest that has it, or else the largest. A layer, with all
 * its levels, begins at a whole block. From 1 MiB on an array has pages of 2 MiB; smaller ones
 * share them, in pieces of 64 KiB.
 *
 * As measured on an H200: 1000 by 1000 floats take 4 MiB, and this says 4; a mipmap of 1024 by
 * 1024 floats takes 6 MiB, and this says 6. 100 by 100 by 100 float4 take 18 MiB, and this says
 * 26: how deep and high the driver makes blocks in three dimensions, nobody says.
 */
uint64_t array_shape_bytes(const ArrayShape *shape);

/* array_shape_has_box() - does a box of one byte at least lie in it, and is made of whole elements?
 * Of a place only x_bytes, y and z count: z is the slice, or the layer. */
bool array_shape_has_box(const ArrayShape *shape, const VGPUSessionPlace *place,
                         uint64_t width_bytes, uint64_t height, uint64_t depth);

#endif

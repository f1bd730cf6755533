/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arrays and mipmaps. What one is, is known here; the executor knows it by a number. */
#ifndef VGPU_LIBCUDA_ARRAY_H
#define VGPU_LIBCUDA_ARRAY_H

#include "cuda-api-arrays.h"
#include "libcuda.h"

typedef struct LibMipmap LibMipmap;

typedef struct LibArray {
    LIST_ENTRY(LibArray) link; /* in the list of all, or of its mipmap's levels */
    CUarray handle;
    LibContext *context;
    uint32_t number;
    CudaArrayDescriptor descriptor;
    uint32_t element;  /* bytes */
    LibMipmap *mipmap; /* whose level it is, and with which it ends; or NULL */
    unsigned level;
} LibArray;

struct LibMipmap {
    LIST_ENTRY(LibMipmap) link;
    CUmipmappedArray handle;
    LibContext *context;
    uint32_t number;
    CudaArrayDescriptor descriptor;
    LIST_HEAD(, LibArray) levels; /* those that were asked for */
};

/* array_of() - NULL for what is none */
LibArray *array_of(CUarray handle);
LibMipmap *mipmap_of(CUmipmappedArray handle);

/* array_request() - what a program asks for, as the session takes it */
VGPUSessionArray array_request(const CudaArrayDescriptor *descriptor, unsigned n_levels);

/* array_new() - without a number, and in no list. Returns NULL when there is no memory. */
LibArray *array_new(LibContext *c, const CudaArrayDescriptor *descriptor);

/* array_free() - it is in no list any more, and its number is somebody else's business */
void array_free(LibArray *array);

/* array_has() - does a box lie in it, and is made of whole elements? Of a place x_bytes, y and z
 * count: z is the slice, or the layer. An array to which nothing is mapped has none. */
bool array_has(const LibArray *array, const VGPUSessionPlace *place, uint64_t width_bytes,
               uint64_t height, uint64_t depth);

/* array_drop_context(), mipmap_drop_context(), texture_drop_context() - forget all of a context,
 * which has ended */
void array_drop_context(const LibContext *c);
void mipmap_drop_context(const LibContext *c);
void texture_drop_context(const LibContext *c);

#endif

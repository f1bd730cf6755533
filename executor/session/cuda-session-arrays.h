/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's functions for arrays, mipmaps, textures, surfaces and tensor maps; see
 * cuda-session.h. */
#ifndef VGPU_SESSION_CUDA_SESSION_ARRAYS_H
#define VGPU_SESSION_CUDA_SESSION_ARRAYS_H

#include "cuda-array-types.h"
#include "cuda-driver.h"

#define CUDA_ARRAY_FUNCTIONS(X)                                                                \
    X(array_3d_create, cuArray3DCreate_v2,                                                     \
      (CUarray * array, const CudaArrayDescriptor *descriptor))                                \
    X(array_3d_get_descriptor, cuArray3DGetDescriptor_v2,                                      \
      (CudaArrayDescriptor * descriptor, CUarray array))                                       \
    X(array_destroy, cuArrayDestroy, (CUarray array))                                          \
    X(array_get_memory_requirements, cuArrayGetMemoryRequirements,                             \
      (CudaArrayNeeds * needs, CUarray array, CUdevice device))                                \
    X(mipmapped_array_create, cuMipmappedArrayCreate,                                          \
      (CUmipmappedArray * mipmap, const CudaArrayDescriptor *descriptor, unsigned levels))     \
    X(mipmapped_array_get_level, cuMipmappedArrayGetLevel,                                     \
      (CUarray * array, CUmipmappedArray mipmap, unsigned level))                              \
    X(mipmapped_array_destroy, cuMipmappedArrayDestroy, (CUmipmappedArray mipmap))             \
    X(mipmapped_array_get_memory_requirements, cuMipmappedArrayGetMemoryRequirements,          \
      (CudaArrayNeeds * needs, CUmipmappedArray mipmap, CUdevice device))                      \
    X(tex_object_create, cuTexObjectCreate,                                                    \
      (CUtexObject * texture, const CudaResource *resource, const CudaTexture *descriptor,     \
       const CudaResourceView *view))                                                          \
    X(tex_object_destroy, cuTexObjectDestroy, (CUtexObject texture))                           \
    X(surf_object_create, cuSurfObjectCreate,                                                  \
      (CUsurfObject * surface, const CudaResource *resource))                                  \
    X(surf_object_destroy, cuSurfObjectDestroy, (CUsurfObject surface))                        \
    X(tensor_map_encode_tiled, cuTensorMapEncodeTiled,                                         \
      (CudaTensorMap * map, int data_type, uint32_t rank, void *address, const uint64_t *size, \
       const uint64_t *stride, const uint32_t *box, const uint32_t *element_stride,            \
       int interleave, int swizzle, int l2_promotion, int oob_fill))                           \
    X(tensor_map_encode_im2col, cuTensorMapEncodeIm2col,                                       \
      (CudaTensorMap * map, int data_type, uint32_t rank, void *address, const uint64_t *size, \
       const uint64_t *stride, const int *lower, const int *upper, uint32_t channels,          \
       uint32_t pixels, const uint32_t *element_stride, int interleave, int swizzle,           \
       int l2_promotion, int oob_fill))                                                        \
    X(tensor_map_replace_address, cuTensorMapReplaceAddress, (CudaTensorMap * map, void *address))

/* X(member, symbol, parameters): NULL in a driver that is older than the function */
#define CUDA_ARRAY_OPTIONAL(X)                                                                  \
    X(tensor_map_encode_im2col_wide, cuTensorMapEncodeIm2colWide,                               \
      (CudaTensorMap * map, int data_type, uint32_t rank, void *address, const uint64_t *size,  \
       const uint64_t *stride, int lower, int upper, uint32_t channels, uint32_t pixels,        \
       const uint32_t *element_stride, int interleave, int mode, int swizzle, int l2_promotion, \
       int oob_fill))

#endif

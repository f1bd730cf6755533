/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Types and constants of the driver API for arrays, mipmaps, textures, surfaces and tensor maps:
 * facts, as in cuda-types.h.
 */
#ifndef VGPU_CUDA_ARRAY_TYPES_H
#define VGPU_CUDA_ARRAY_TYPES_H

#include "cuda-types.h"

typedef struct CUarray_st *CUarray;
typedef struct CUmipmappedArray_st *CUmipmappedArray;
typedef unsigned long long CUtexObject;
typedef unsigned long long CUsurfObject;

enum {
    CU_MEMORYTYPE_ARRAY = 3,

    /* CUarray_format */
    CU_AD_FORMAT_UNSIGNED_INT8 = 0x01,
    CU_AD_FORMAT_UNSIGNED_INT16 = 0x02,
    CU_AD_FORMAT_UNSIGNED_INT32 = 0x03,
    CU_AD_FORMAT_SIGNED_INT8 = 0x08,
    CU_AD_FORMAT_SIGNED_INT16 = 0x09,
    CU_AD_FORMAT_SIGNED_INT32 = 0x0a,
    CU_AD_FORMAT_HALF = 0x10,
    CU_AD_FORMAT_FLOAT = 0x20,
    CU_AD_FORMAT_UNORM_INT8X1 = 0xc0,
    CU_AD_FORMAT_UNORM_INT8X2 = 0xc1,
    CU_AD_FORMAT_UNORM_INT8X4 = 0xc2,
    CU_AD_FORMAT_UNORM_INT16X1 = 0xc3,
    CU_AD_FORMAT_UNORM_INT16X2 = 0xc4,
    CU_AD_FORMAT_UNORM_INT16X4 = 0xc5,
    CU_AD_FORMAT_SNORM_INT8X1 = 0xc6,
    CU_AD_FORMAT_SNORM_INT8X2 = 0xc7,
    CU_AD_FORMAT_SNORM_INT8X4 = 0xc8,
    CU_AD_FORMAT_SNORM_INT16X1 = 0xc9,
    CU_AD_FORMAT_SNORM_INT16X2 = 0xca,
    CU_AD_FORMAT_SNORM_INT16X4 = 0xcb,

    CUDA_ARRAY3D_LAYERED = 0x01,
    CUDA_ARRAY3D_SURFACE_LDST = 0x02,
    CUDA_ARRAY3D_CUBEMAP = 0x04,
    CUDA_ARRAY3D_TEXTURE_GATHER = 0x08,
    CUDA_ARRAY3D_DEPTH_TEXTURE = 0x10,
    CUDA_ARRAY3D_COLOR_ATTACHMENT = 0x20,
    CUDA_ARRAY3D_SPARSE = 0x40,
    CUDA_ARRAY3D_DEFERRED_MAPPING = 0x80,
    CUDA_ARRAY3D_VIDEO_ENCODE_DECODE = 0x100,

    /* CUresourcetype */
    CU_RESOURCE_TYPE_ARRAY = 0,
    CU_RESOURCE_TYPE_MIPMAPPED_ARRAY = 1,
    CU_RESOURCE_TYPE_LINEAR = 2,
    CU_RESOURCE_TYPE_PITCH2D = 3,

    /* CUaddress_mode, CUfilter_mode */
    CU_TR_ADDRESS_MODE_WRAP = 0,
    CU_TR_ADDRESS_MODE_CLAMP = 1,
    CU_TR_ADDRESS_MODE_MIRROR = 2,
    CU_TR_ADDRESS_MODE_BORDER = 3,
    CU_TR_FILTER_MODE_POINT = 0,
    CU_TR_FILTER_MODE_LINEAR = 1,

    CU_TRSF_READ_AS_INTEGER = 0x01,
    CU_TRSF_NORMALIZED_COORDINATES = 0x02,
    CU_TRSF_SRGB = 0x10,
    CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION = 0x20,
    CU_TRSF_SEAMLESS_CUBEMAP = 0x40,

    /* CUresourceViewFormat: those from here on are of compressed blocks, of 4 by 4 elements */
    CU_RES_VIEW_FORMAT_NONE = 0x00,
    CU_RES_VIEW_FORMAT_FLOAT_1X32 = 0x16,
    CU_RES_VIEW_FORMAT_UNSIGNED_BC1 = 0x19,
    CU_RES_VIEW_FORMAT_UNSIGNED_BC4 = 0x1c,
    CU_RES_VIEW_FORMAT_SIGNED_BC4 = 0x1d,
    CU_RES_VIEW_FORMAT_UNSIGNED_BC7 = 0x22,
};

/* CUDA_ARRAY3D_DESCRIPTOR_v2 */
typedef struct CudaArrayDescriptor {
    size_t width, height, depth;
    int format;
    unsigned channels;
    unsigned flags;
} CudaArrayDescriptor;

/* CUDA_ARRAY_MEMORY_REQUIREMENTS_v1 */
typedef struct CudaArrayNeeds {
    size_t size, alignment;
    unsigned reserved[4];
} CudaArrayNeeds;

/* CUDA_RESOURCE_DESC_v1 */
typedef struct CudaResource {
    int type;
    union {
        CUarray array;
        CUmipmappedArray mipmap;
        struct {
            CUdeviceptr address;
            int format;
            unsigned channels;
            size_t size;
        } linear;
        struct {
            CUdeviceptr address;
            int format;
            unsigned channels;
            size_t width, height, pitch;
        } pitched;
        int reserved[32];
    };
    unsigned flags;
} CudaResource;

/* CUDA_TEXTURE_DESC_v1 */
typedef struct CudaTexture {
    int address_mode[3];
    int filter_mode;
    unsigned flags;
    unsigned max_anisotropy;
    int mipmap_filter_mode;
    float mipmap_bias, mipmap_min, mipmap_max;
    float border[4];
    int reserved[12];
} CudaTexture;

/* CUDA_RESOURCE_VIEW_DESC_v1 */
typedef struct CudaResourceView {
    int format;
    size_t width, height, depth;
    unsigned first_level, last_level, first_layer, last_layer;
    unsigned reserved[16];
} CudaResourceView;

/* CUtensorMap */
typedef struct CudaTensorMap {
    _Alignas(128) uint64_t opaque[16];
} CudaTensorMap;

/* cuda_array_element_size() - bytes of an element; 0: neither a device nor a session has arrays of
 * such elements, or its bytes are in blocks or planes */
uint32_t cuda_array_element_size(uint32_t format, uint32_t channels);

#endif

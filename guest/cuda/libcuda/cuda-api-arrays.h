/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What programs see of arrays, textures, surfaces, tensor maps, and of copies with arrays and in
 * batches; beside cuda-api.h. */
#ifndef VGPU_LIBCUDA_CUDA_API_ARRAYS_H
#define VGPU_LIBCUDA_CUDA_API_ARRAYS_H

#include "cuda-api.h"
#include "cuda-array-types.h"

/* CUDA_ARRAY_DESCRIPTOR_v2 */
typedef struct FlatDescriptor {
    size_t width, height;
    int format;
    unsigned channels;
} FlatDescriptor;

/* CUDA_MEMCPY3D_PEER_v1 */
typedef struct CopyPeer3D {
    size_t src_x_bytes, src_y, src_z, src_lod;
    int src_type;
    const void *src_host;
    CUdeviceptr src_device;
    CUarray src_array;
    CUcontext src_context;
    size_t src_pitch, src_height;
    size_t dst_x_bytes, dst_y, dst_z, dst_lod;
    int dst_type;
    void *dst_host;
    CUdeviceptr dst_device;
    CUarray dst_array;
    CUcontext dst_context;
    size_t dst_pitch, dst_height;
    size_t width_bytes, height, depth;
} CopyPeer3D;

/* CUmemcpySrcAccessOrder */
enum {
    COPY_ORDER_STREAM = 1,
    COPY_ORDER_DURING_CALL = 2,
    COPY_ORDER_ANY = 3,
};

/* CUmemcpyAttributes_v1 */
typedef struct CopyAttributes {
    int order;
    MemLocation src_hint, dst_hint;
    unsigned flags;
} CopyAttributes;

/* CUmemcpy3DOperand_v1 */
typedef struct CopyOperand {
    int type; /* 1: pointer, 2: array */
    union {
        struct {
            CUdeviceptr address;
            size_t row_length, layer_height; /* elements, rows; 0: as the copy has them */
            MemLocation hint;
        } pointer;
        struct {
            CUarray array;
            size_t x, y, z; /* elements */
        } array;
    };
} CopyOperand;

/* CUDA_MEMCPY3D_BATCH_OP_v1 */
typedef struct CopyBatchBox {
    CopyOperand src, dst;
    size_t width, height, depth; /* elements */
    int order;
    unsigned flags;
} CopyBatchBox;

#pragma GCC visibility push(default)

/* ---- Arrays and mipmaps ------------------------------------------------------------------------
 */

CUresult cuArrayCreate_v2(CUarray *ret, const FlatDescriptor *descriptor);
CUresult cuArray3DCreate_v2(CUarray *ret, const CudaArrayDescriptor *descriptor);
CUresult cuArrayGetDescriptor_v2(FlatDescriptor *ret, CUarray array);
CUresult cuArray3DGetDescriptor_v2(CudaArrayDescriptor *ret, CUarray array);
CUresult cuArrayDestroy(CUarray array);
CUresult cuArrayGetPlane(CUarray *ret, CUarray array, unsigned plane);
CUresult cuArrayGetMemoryRequirements(CudaArrayNeeds *ret, CUarray array, CUdevice device);
CUresult cuArrayGetSparseProperties(void *ret, CUarray array);
CUresult cuMipmappedArrayCreate(CUmipmappedArray *ret, const CudaArrayDescriptor *descriptor,
                                unsigned n_levels);
CUresult cuMipmappedArrayGetLevel(CUarray *ret, CUmipmappedArray mipmap, unsigned level);
CUresult cuMipmappedArrayDestroy(CUmipmappedArray mipmap);
CUresult cuMipmappedArrayGetMemoryRequirements(CudaArrayNeeds *ret, CUmipmappedArray mipmap,
                                               CUdevice device);
CUresult cuMipmappedArrayGetSparseProperties(void *ret, CUmipmappedArray mipmap);

/* ---- Textures, surfaces, tensor maps (CUtensorMap: 128 bytes, at a multiple of 64) --------------
 */

CUresult cuTexObjectCreate(CUtexObject *ret, const CudaResource *resource,
                           const CudaTexture *texture, const CudaResourceView *view);
CUresult cuTexObjectDestroy(CUtexObject object);
CUresult cuTexObjectGetResourceDesc(CudaResource *ret, CUtexObject object);
CUresult cuTexObjectGetTextureDesc(CudaTexture *ret, CUtexObject object);
CUresult cuTexObjectGetResourceViewDesc(CudaResourceView *ret, CUtexObject object);
CUresult cuSurfObjectCreate(CUsurfObject *ret, const CudaResource *resource);
CUresult cuSurfObjectDestroy(CUsurfObject object);
CUresult cuSurfObjectGetResourceDesc(CudaResource *ret, CUsurfObject object);
CUresult cuDeviceGetTexture1DLinearMaxWidth(size_t *ret, int format, unsigned channels,
                                            CUdevice device);
CUresult cuTensorMapEncodeTiled(void *ret, int data_type, cuuint32_t rank, void *address,
                                const cuuint64_t *size, const cuuint64_t *stride,
                                const cuuint32_t *box, const cuuint32_t *element_stride,
                                int interleave, int swizzle, int l2_promotion, int oob_fill);
CUresult cuTensorMapEncodeIm2col(void *ret, int data_type, cuuint32_t rank, void *address,
                                 const cuuint64_t *size, const cuuint64_t *stride, const int *lower,
                                 const int *upper, cuuint32_t channels, cuuint32_t pixels,
                                 const cuuint32_t *element_stride, int interleave, int swizzle,
                                 int l2_promotion, int oob_fill);
CUresult cuTensorMapEncodeIm2colWide(void *ret, int data_type, cuuint32_t rank, void *address,
                                     const cuuint64_t *size, const cuuint64_t *stride, int lower,
                                     int upper, cuuint32_t channels, cuuint32_t pixels,
                                     const cuuint32_t *element_stride, int interleave, int mode,
                                     int swizzle, int l2_promotion, int oob_fill);
CUresult cuTensorMapReplaceAddress(void *map, void *address);

/* ---- Copies ------------------------------------------------------------------------------------
 */

CUresult cuMemcpyAtoA_v2(CUarray to, size_t to_offset, CUarray from, size_t from_offset,
                         size_t size);
CUresult cuMemcpyAtoA_v2_ptds(CUarray to, size_t to_offset, CUarray from, size_t from_offset,
                              size_t size);
CUresult cuMemcpyAtoD_v2(CUdeviceptr to, CUarray from, size_t offset, size_t size);
CUresult cuMemcpyAtoD_v2_ptds(CUdeviceptr to, CUarray from, size_t offset, size_t size);
CUresult cuMemcpyDtoA_v2(CUarray to, size_t offset, CUdeviceptr from, size_t size);
CUresult cuMemcpyDtoA_v2_ptds(CUarray to, size_t offset, CUdeviceptr from, size_t size);
CUresult cuMemcpyAtoH_v2(void *to, CUarray from, size_t offset, size_t size);
CUresult cuMemcpyAtoH_v2_ptds(void *to, CUarray from, size_t offset, size_t size);
CUresult cuMemcpyHtoA_v2(CUarray to, size_t offset, const void *from, size_t size);
CUresult cuMemcpyHtoA_v2_ptds(CUarray to, size_t offset, const void *from, size_t size);
CUresult cuMemcpyAtoHAsync_v2(void *to, CUarray from, size_t offset, size_t size, CUstream stream);
CUresult cuMemcpyAtoHAsync_v2_ptsz(void *to, CUarray from, size_t offset, size_t size,
                                   CUstream stream);
CUresult cuMemcpyHtoAAsync_v2(CUarray to, size_t offset, const void *from, size_t size,
                              CUstream stream);
CUresult cuMemcpyHtoAAsync_v2_ptsz(CUarray to, size_t offset, const void *from, size_t size,
                                   CUstream stream);
CUresult cuMemcpy3DPeer(const CopyPeer3D *copy);
CUresult cuMemcpy3DPeer_ptds(const CopyPeer3D *copy);
CUresult cuMemcpy3DPeerAsync(const CopyPeer3D *copy, CUstream stream);
CUresult cuMemcpy3DPeerAsync_ptsz(const CopyPeer3D *copy, CUstream stream);
CUresult cuMemcpyBatchAsync(CUdeviceptr *to, CUdeviceptr *from, size_t *sizes, size_t n,
                            CopyAttributes *attributes, size_t *begins, size_t n_attributes,
                            size_t *ret_failed, CUstream stream);
CUresult cuMemcpyBatchAsync_ptsz(CUdeviceptr *to, CUdeviceptr *from, size_t *sizes, size_t n,
                                 CopyAttributes *attributes, size_t *begins, size_t n_attributes,
                                 size_t *ret_failed, CUstream stream);
CUresult cuMemcpyBatchAsync_v2(CUdeviceptr *to, CUdeviceptr *from, size_t *sizes, size_t n,
                               CopyAttributes *attributes, size_t *begins, size_t n_attributes,
                               CUstream stream);
CUresult cuMemcpyBatchAsync_v2_ptsz(CUdeviceptr *to, CUdeviceptr *from, size_t *sizes, size_t n,
                                    CopyAttributes *attributes, size_t *begins, size_t n_attributes,
                                    CUstream stream);
CUresult cuMemcpy3DBatchAsync(size_t n, CopyBatchBox *boxes, size_t *ret_failed,
                              unsigned long long flags, CUstream stream);
CUresult cuMemcpy3DBatchAsync_ptsz(size_t n, CopyBatchBox *boxes, size_t *ret_failed,
                                   unsigned long long flags, CUstream stream);
CUresult cuMemcpy3DBatchAsync_v2(size_t n, CopyBatchBox *boxes, unsigned long long flags,
                                 CUstream stream);
CUresult cuMemcpy3DBatchAsync_v2_ptsz(size_t n, CopyBatchBox *boxes, unsigned long long flags,
                                      CUstream stream);

#pragma GCC visibility pop

#endif

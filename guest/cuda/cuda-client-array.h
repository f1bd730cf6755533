/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Arrays, mipmaps, textures, surfaces and tensor maps of a CUDA session, and copies of boxes;
 * beside cuda-client.h, which says what all functions have in common. Copies with arrays of what
 * the device reaches are VGPU_SESSION_OP_COPY_3D.
 */
#ifndef VGPU_GUEST_CUDA_CLIENT_ARRAY_H
#define VGPU_GUEST_CUDA_CLIENT_ARRAY_H

#include "cuda-client.h"

/*
 * vgpu_session_array_create() - an array
 * @array: what it is to be; its id, mipmap and levels are not looked at
 * @ret_id: its number; ends with vgpu_session_array_destroy()
 */
int vgpu_session_array_create(vgpu_session *s, const vgpu_session_from *from,
                              const VGPUSessionArray *array, uint32_t *ret_id);

/* vgpu_session_array_destroy() - waits for the work that the context has */
int vgpu_session_array_destroy(vgpu_session *s, const vgpu_session_from *from, uint32_t id);

/* vgpu_session_array_needs() - bytes and alignment of an array with deferred mapping */
int vgpu_session_array_needs(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                             uint64_t *ret_size, uint64_t *ret_alignment);

/* vgpu_session_mipmap_create() - as vgpu_session_array_create(), with @array's levels; a number of
 * mipmaps */
int vgpu_session_mipmap_create(vgpu_session *s, const vgpu_session_from *from,
                               const VGPUSessionArray *array, uint32_t *ret_id);

/* vgpu_session_mipmap_level() - the array that is a level. @ret_id: a number of arrays, which ends
 * with the mipmap */
int vgpu_session_mipmap_level(vgpu_session *s, const vgpu_session_from *from, uint32_t mipmap,
                              uint32_t level, uint32_t *ret_id);

/* vgpu_session_mipmap_destroy() - @levels: all numbers of its levels that
 * vgpu_session_mipmap_level() has given */
int vgpu_session_mipmap_destroy(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                                const uint32_t *levels, size_t n_levels);

/* vgpu_session_mipmap_needs() - as vgpu_session_array_needs() */
int vgpu_session_mipmap_needs(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                              uint64_t *ret_size, uint64_t *ret_alignment);

/* vgpu_session_texture_create(), vgpu_session_surface_create() - @ret_object: as kernels take it;
 * ends with the other function, in the same context */
int vgpu_session_texture_create(vgpu_session *s, const vgpu_session_from *from,
                                const VGPUSessionTexture *texture, uint64_t *ret_object);
int vgpu_session_texture_destroy(vgpu_session *s, const vgpu_session_from *from, uint64_t object);
int vgpu_session_surface_create(vgpu_session *s, const vgpu_session_from *from,
                                const VGPUSessionTexture *surface, uint64_t *ret_object);
int vgpu_session_surface_destroy(vgpu_session *s, const vgpu_session_from *from, uint64_t object);

/* ---- Copies of boxes of the program's own memory (client-box.c) ---------------------------------
 */

/* Where the box has its rows */
typedef struct vgpu_session_rows {
    void *memory;   /* the first byte; not written for an upload */
    uint64_t pitch; /* bytes from row to row */
    uint64_t slice; /* bytes from slice to slice */
    uint32_t unit;  /* bytes that stay together: of the other end's elements, at most 16; or 1 */
} vgpu_session_rows;

/*
 * vgpu_session_upload_box() - copy from there in a stream, as vgpu_session_upload()
 * vgpu_session_download_box() - copy to there, as vgpu_session_download()
 * @box: not empty; its from, or its to, is not looked at
 */
int vgpu_session_upload_box(vgpu_session *s, const vgpu_session_from *from,
                            const VGPUSessionCopy3D *box, const vgpu_session_rows *rows);
int vgpu_session_download_box(vgpu_session *s, const vgpu_session_from *from,
                              const VGPUSessionCopy3D *box, const vgpu_session_rows *rows);

/* ---- Tensor maps --------------------------------------------------------------------------------
 */

/* vgpu_session_tensor_map() - the bytes of a CUtensorMap. @map: its into is not looked at */
int vgpu_session_tensor_map(vgpu_session *s, const vgpu_session_from *from,
                            const VGPUSessionTensorMap *map,
                            uint8_t ret[static VGPU_SESSION_TENSOR_MAP_SIZE]);

/* vgpu_session_tensor_replace() - another address for the one that @map holds, which is not written
 * on failure */
int vgpu_session_tensor_replace(vgpu_session *s, const vgpu_session_from *from, uint64_t address,
                                uint8_t map[static VGPU_SESSION_TENSOR_MAP_SIZE]);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies of boxes: rows of bytes in rows and slices, also where one end is the program's own
 * memory. That goes through pieces of the window row by row, or in one piece where the rows lie
 * close together.
 */
#include <stdlib.h>
#include <string.h>

#include "copy-box.h"
#include "memory-map.h"

/* CUmemorytype */
enum { BOX_HOST = 1, BOX_DEVICE = 2, BOX_ARRAY = 3, BOX_UNIFIED = 4 };

/* One end, as the operation takes it, or in the program's own memory */
typedef struct BoxEnd {
    VGPUSessionPlace place;
    bool is_pageable;
} BoxEnd;

static CUresult box_end(const CopyBoxEnd *from, uint64_t width, uint64_t height, BoxEnd *ret)
{
    MemoryPiece piece;
    uint64_t address = from->type == BOX_HOST ? (uintptr_t) from->host : from->device;
    bool is_known;

    *ret = (BoxEnd){.place = {
                        .x_bytes = from->x_bytes,
                        .y = from->y,
                        .z = from->z,
                        .pitch = from->pitch != 0 ? from->pitch : width + from->x_bytes,
                        .height = from->height != 0 ? from->height : height + from->y,
                    }};
    if (from->type == BOX_ARRAY)
        return CUDA_ERROR_INVALID_HANDLE; /* nothing here makes arrays */
    if (from->type < BOX_HOST || from->type > BOX_UNIFIED)
        return CUDA_ERROR_INVALID_VALUE;
    is_known = memory_map_find(address, &piece);
    if (from->type == BOX_DEVICE && !is_known)
        return CUDA_ERROR_INVALID_VALUE;
    ret->is_pageable = !is_known;
    ret->place.address =
        is_known && !memory_is_device(&piece) ? piece.device + (address - piece.address) : address;
    return CUDA_SUCCESS;
}

typedef struct BoxCopy {
    LibCall call;
    LibStream *stream;
    BoxEnd to, from;
    uint64_t width, height, depth;
    bool is_async;
} BoxCopy;

static CUresult box_on_device(BoxCopy *copy)
{
    const VGPUSessionCopy3D parameters = {
        .to = copy->to.place,
        .from = copy->from.place,
        .width_bytes = copy->width,
        .height = copy->height,
        .depth = copy->depth,
        .stream = copy->stream->number,
    };

    return libcuda_post(&copy->call, VGPU_SESSION_OP_COPY_3D, &parameters, sizeof(parameters));
}

static unsigned char *box_row(const BoxEnd *end, uint64_t y, uint64_t z)
{
    const VGPUSessionPlace *p = &end->place;

    return (unsigned char *) (p->address + ((p->z + z) * p->height + p->y + y) * p->pitch +
                              p->x_bytes);
}

/* Between the program's own memory and a buffer in the window, where rows lie one behind the other
 */
static void box_rows(const BoxCopy *copy, const BoxEnd *end, unsigned char *packed, bool out)
{
    for (uint64_t z = 0; z < copy->depth; z++)
        for (uint64_t y = 0; y < copy->height; y++, packed += copy->width) {
            if (out)
                memcpy(box_row(end, y, z), packed, copy->width);
            else
                memcpy(packed, box_row(end, y, z), copy->width);
        }
}

static void box_pack(const BoxCopy *copy, BoxEnd *end, unsigned char *packed)
{
    *end = (BoxEnd){.place = {
                        .address = (uintptr_t) packed,
                        .pitch = copy->width,
                        .height = copy->height,
                    }};
}

/* Through the window. Slices go one after the other, so that a large box needs no large buffer. */
static CUresult box_staged(BoxCopy *copy)
{
    const uint64_t depth = copy->depth;
    BoxCopy slice = *copy;
    void *packed;
    CUresult r =
        vgpu_session_window_alloc(copy->call.session, copy->width * copy->height, 4096, &packed);

    for (uint64_t z = 0; z < depth && r == CUDA_SUCCESS; z++) {
        slice = *copy;
        slice.depth = 1;
        slice.to.place.z += z;
        slice.from.place.z += z;
        if (copy->from.is_pageable) {
            box_rows(&slice, &slice.from, packed, false);
            box_pack(&slice, &slice.from, packed);
        } else
            box_pack(&slice, &slice.to, packed);
        r = box_on_device(&slice);
        if (r == CUDA_SUCCESS)
            r = libcuda_stream_wait(&copy->call, copy->stream);
        if (r == CUDA_SUCCESS && copy->to.is_pageable) {
            slice.to = copy->to;
            slice.to.place.z += z;
            box_rows(&slice, &slice.to, packed, true);
        }
    }
    if (r == CUDA_SUCCESS)
        (void) vgpu_session_window_free(copy->call.session, packed);
    return r;
}

static CUresult box_on_host(BoxCopy *copy)
{
    CUresult r = libcuda_stream_wait(&copy->call, copy->stream);

    for (uint64_t z = 0; z < copy->depth && r == CUDA_SUCCESS; z++)
        for (uint64_t y = 0; y < copy->height; y++)
            memmove(box_row(&copy->to, y, z), box_row(&copy->from, y, z), copy->width);
    return r;
}

static CUresult box_go(BoxCopy *copy)
{
    CUresult r;

    libcuda_stream_worked(copy->stream);
    if (copy->to.is_pageable && copy->from.is_pageable)
        return box_on_host(copy);
    if (copy->to.is_pageable || copy->from.is_pageable) {
        if (__atomic_load_n(&copy->stream->is_capturing, __ATOMIC_RELAXED))
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        return box_staged(copy);
    }
    r = box_on_device(copy);
    return r == CUDA_SUCCESS && !copy->is_async ? libcuda_stream_wait(&copy->call, copy->stream)
                                                : r;
}

CUresult libcuda_copy_box(const CopyBox *box, CUstream stream, bool is_async)
{
    BoxCopy copy = {
        .width = box->width,
        .height = box->height,
        .depth = box->depth,
        .is_async = is_async,
    };
    CUresult r = libcuda_enter_stream(stream, &copy.call, &copy.stream);

    if (r != CUDA_SUCCESS || box->width == 0 || box->height == 0 || box->depth == 0)
        return r;
    if ((box->to.pitch != 0 && box->to.pitch < box->width) ||
        (box->from.pitch != 0 && box->from.pitch < box->width))
        return CUDA_ERROR_INVALID_VALUE;
    r = box_end(&box->to, box->width, box->height, &copy.to);
    if (r == CUDA_SUCCESS)
        r = box_end(&box->from, box->width, box->height, &copy.from);
    return r == CUDA_SUCCESS ? box_go(&copy) : r;
}

/* ---- The functions -----------------------------------------------------------------------------
 */

static CUresult box_2d(const Copy2D *c, CUstream stream, bool is_async)
{
    CopyBox box;

    if (!c)
        return CUDA_ERROR_INVALID_VALUE;
    box = (CopyBox){
        .to = {c->dst_type, c->dst_host, c->dst_device, c->dst_array, c->dst_x_bytes, c->dst_y, 0,
               c->dst_pitch, 0},
        .from = {c->src_type, (void *) c->src_host, c->src_device, c->src_array, c->src_x_bytes,
                 c->src_y, 0, c->src_pitch, 0},
        .width = c->width_bytes,
        .height = c->height,
        .depth = 1,
    };
    return libcuda_copy_box(&box, stream, is_async);
}

static CUresult box_3d(const Copy3D *c, CUstream stream, bool is_async)
{
    CopyBox box;

    if (!c || c->src_lod != 0 || c->dst_lod != 0)
        return CUDA_ERROR_INVALID_VALUE;
    box = (CopyBox){
        .to = {c->dst_type, c->dst_host, c->dst_device, c->dst_array, c->dst_x_bytes, c->dst_y,
               c->dst_z, c->dst_pitch, c->dst_height},
        .from = {c->src_type, (void *) c->src_host, c->src_device, c->src_array, c->src_x_bytes,
                 c->src_y, c->src_z, c->src_pitch, c->src_height},
        .width = c->width_bytes,
        .height = c->height,
        .depth = c->depth,
    };
    return libcuda_copy_box(&box, stream, is_async);
}

CUresult cuMemcpy2D_v2(const Copy2D *c)
{
    return box_2d(c, NULL, false);
}

CUresult cuMemcpy2D_v2_ptds(const Copy2D *c)
{
    return box_2d(c, CU_STREAM_PER_THREAD, false);
}

CUresult cuMemcpy2DUnaligned_v2(const Copy2D *c)
{
    return box_2d(c, NULL, false);
}

CUresult cuMemcpy2DUnaligned_v2_ptds(const Copy2D *c)
{
    return box_2d(c, CU_STREAM_PER_THREAD, false);
}

CUresult cuMemcpy2DAsync_v2(const Copy2D *c, CUstream stream)
{
    return box_2d(c, stream, true);
}

CUresult cuMemcpy2DAsync_v2_ptsz(const Copy2D *c, CUstream stream)
{
    return box_2d(c, libcuda_per_thread(stream), true);
}

CUresult cuMemcpy3D_v2(const Copy3D *c)
{
    return box_3d(c, NULL, false);
}

CUresult cuMemcpy3D_v2_ptds(const Copy3D *c)
{
    return box_3d(c, CU_STREAM_PER_THREAD, false);
}

CUresult cuMemcpy3DAsync_v2(const Copy3D *c, CUstream stream)
{
    return box_3d(c, stream, true);
}

CUresult cuMemcpy3DAsync_v2_ptsz(const Copy3D *c, CUstream stream)
{
    return box_3d(c, libcuda_per_thread(stream), true);
}

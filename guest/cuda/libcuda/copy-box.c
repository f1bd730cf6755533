/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies of boxes: rows of bytes in rows and slices, of memory or of arrays. Of memory an end has
 * the address of the first byte that is copied: before it, and between the rows, there need not be
 * anything.
 */
#include "copy-box.h"

#include <string.h>

#include "array.h"
#include "cuda-client-array.h"
#include "memory-map.h"

/* One end, as the operation takes it, or in the program's own memory */
typedef struct BoxEnd {
    VGPUSessionPlace place;
    const LibArray *array; /* or NULL: memory */
    bool is_host;          /* in the window, or pageable */
    bool is_pageable;
} BoxEnd;

typedef struct BoxCopy {
    LibCall call;
    LibStream *stream;
    BoxEnd to, from;
    uint64_t width, height, depth;
    bool is_async;
} BoxCopy;

/* ---- Where the ends are ------------------------------------------------------------------------
 */

static CUresult box_array(const BoxCopy *copy, const CopyBoxEnd *from, BoxEnd *ret)
{
    const LibArray *array = array_of(from->array);

    if (!array || array->context != copy->call.context)
        return CUDA_ERROR_INVALID_HANDLE;
    *ret = (BoxEnd){
        .place =
            {
                .array = array->number,
                .x_bytes = from->x_bytes,
                .y = from->y,
                .z = from->z,
            },
        .array = array,
    };
    return array_has(array, &ret->place, copy->width, copy->height, copy->depth)
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
}

/* @a * @b + @c */
static bool box_position(uint64_t a, uint64_t b, uint64_t c, uint64_t *ret)
{
    uint64_t product;

    return !__builtin_mul_overflow(a, b, &product) && !__builtin_add_overflow(product, c, ret);
}

/* The first byte of the box, and how many there are up to the last one. @place: only pitch and
 * height, which are filled in where the program has said nothing */
static bool box_span(const BoxCopy *copy, const CopyBoxEnd *from, VGPUSessionPlace *place,
                     uint64_t *ret_first, uint64_t *ret_size)
{
    uint64_t row_end, slice_end, rows;

    if (__builtin_add_overflow(from->x_bytes, copy->width, &row_end) ||
        __builtin_add_overflow(from->y, copy->height, &slice_end))
        return false;
    place->pitch = from->pitch != 0 ? from->pitch : row_end;
    place->height = from->height != 0 ? from->height : slice_end;
    if (place->pitch < row_end || place->pitch > CUDA_PITCH_MAX || place->height < slice_end)
        return false;
    return box_position(from->z, place->height, from->y, &rows) &&
           box_position(rows, place->pitch, from->x_bytes, ret_first) &&
           box_position(copy->depth - 1, place->height, copy->height - 1, &rows) &&
           box_position(rows, place->pitch, copy->width, ret_size);
}

static CUresult box_memory(const BoxCopy *copy, const CopyBoxEnd *from, BoxEnd *ret)
{
    uint64_t base = from->type == COPY_BOX_HOST ? (uintptr_t) from->host : from->device;
    uint64_t first, size, end;
    MemoryPiece piece;
    bool is_known;

    *ret = (BoxEnd){.place = {0}};
    if (base == 0 || !box_span(copy, from, &ret->place, &first, &size) ||
        __builtin_add_overflow(base, first, &first) || __builtin_add_overflow(first, size, &end))
        return CUDA_ERROR_INVALID_VALUE;
    ret->place.address = first;
    is_known = memory_map_find(first, &piece);
    if (is_known && memory_is_device(&piece))
        return memory_has(&piece, first, size) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    ret->is_host = true;
    ret->is_pageable = !is_known || !memory_has(&piece, first, size);
    if (!ret->is_pageable)
        ret->place.address = piece.device + (first - piece.address);
    return ret->is_pageable && from->type == COPY_BOX_DEVICE ? CUDA_ERROR_INVALID_VALUE
                                                             : CUDA_SUCCESS;
}

static CUresult box_end(const BoxCopy *copy, const CopyBoxEnd *from, BoxEnd *ret)
{
    switch (from->type) {
    case COPY_BOX_ARRAY:
        return box_array(copy, from, ret);
    case COPY_BOX_HOST:
    case COPY_BOX_DEVICE:
    case COPY_BOX_UNIFIED:
        return box_memory(copy, from, ret);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

static bool box_is_empty(const CopyBox *box)
{
    return box->width == 0 || box->height == 0 || box->depth == 0;
}

/* Of a box that is not empty */
static CUresult box_begin(const CopyBox *box, BoxCopy *copy)
{
    CUresult r;

    copy->width = box->width;
    copy->height = box->height;
    copy->depth = box->depth;
    r = box_end(copy, &box->to, &copy->to);
    if (r == CUDA_SUCCESS)
        r = box_end(copy, &box->from, &copy->from);
    if (r != CUDA_SUCCESS)
        return r;
    if (copy->to.array && copy->from.array && copy->to.array->element != copy->from.array->element)
        return CUDA_ERROR_INVALID_VALUE;
    if ((copy->to.is_pageable || copy->from.is_pageable) &&
        __atomic_load_n(&copy->stream->is_capturing, __ATOMIC_RELAXED))
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return CUDA_SUCCESS;
}

/* ---- Copying -----------------------------------------------------------------------------------
 */

static VGPUSessionCopy3D box_request(const BoxCopy *copy)
{
    return (VGPUSessionCopy3D){
        .to = copy->to.place,
        .from = copy->from.place,
        .width_bytes = copy->width,
        .height = copy->height,
        .depth = copy->depth,
        .stream = copy->stream->number,
    };
}

static unsigned char *box_row(const BoxEnd *end, uint64_t y, uint64_t z)
{
    const VGPUSessionPlace *p = &end->place;

    return (unsigned char *) (p->address + (z * p->height + y) * p->pitch);
}

static vgpu_session_rows box_rows(const BoxEnd *end, const BoxEnd *other)
{
    return (vgpu_session_rows){
        .memory = (void *) end->place.address,
        .pitch = end->place.pitch,
        .slice = end->place.pitch * end->place.height,
        .unit = other->array ? other->array->element : 1,
    };
}

static CUresult box_upload(const BoxCopy *copy)
{
    const VGPUSessionCopy3D request = box_request(copy);
    const vgpu_session_rows rows = box_rows(&copy->from, &copy->to);

    return vgpu_session_upload_box(copy->call.session, &copy->call.from, &request, &rows);
}

static CUresult box_download(const BoxCopy *copy)
{
    const VGPUSessionCopy3D request = box_request(copy);
    const vgpu_session_rows rows = box_rows(&copy->to, &copy->from);

    return vgpu_session_download_box(copy->call.session, &copy->call.from, &request, &rows);
}

static CUresult box_on_host(const BoxCopy *copy)
{
    CUresult r = libcuda_stream_wait(&copy->call, copy->stream);

    for (uint64_t z = 0; z < copy->depth && r == CUDA_SUCCESS; z++)
        for (uint64_t y = 0; y < copy->height; y++)
            memmove(box_row(&copy->to, y, z), box_row(&copy->from, y, z), copy->width);
    return r;
}

/* Between two places of the device nobody waits; the program's own memory has to be there. */
static CUresult box_on_device(const BoxCopy *copy)
{
    const VGPUSessionCopy3D request = box_request(copy);
    CUresult r = libcuda_post(&copy->call, VGPU_SESSION_OP_COPY_3D, &request, sizeof(request));

    if (r == CUDA_SUCCESS && !copy->is_async && (copy->to.is_host || copy->from.is_host))
        r = libcuda_stream_wait(&copy->call, copy->stream);
    return r;
}

static CUresult box_go(const BoxCopy *copy)
{
    libcuda_stream_worked(copy->stream);
    if (copy->to.is_pageable && copy->from.is_pageable)
        return box_on_host(copy);
    if (copy->from.is_pageable)
        return box_upload(copy);
    if (copy->to.is_pageable)
        return box_download(copy);
    return box_on_device(copy);
}

CUresult libcuda_copy_box_check(const CopyBox *box, CUstream stream)
{
    BoxCopy copy = {.width = 0};
    CUresult r = libcuda_enter_work(stream, &copy.call, &copy.stream);

    return r != CUDA_SUCCESS || box_is_empty(box) ? r : box_begin(box, &copy);
}

CUresult libcuda_copy_box(const CopyBox *box, CUstream stream, bool is_async)
{
    BoxCopy copy = {.is_async = is_async};
    CUresult r = libcuda_enter_work(stream, &copy.call, &copy.stream);

    if (r != CUDA_SUCCESS || box_is_empty(box))
        return r;
    r = box_begin(box, &copy);
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

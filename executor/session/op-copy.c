/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies between the window and device memory in every direction, and sets. */
#include "session-store.h"

/* ---- A line --------------------------------------------------------------------------------- */

static uint64_t copy_smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How much of what is left one copy of the driver's may be: it refuses to cross two pieces of the
 * window. */
static uint64_t copy_run(Session *s, uint64_t to, uint64_t from, uint64_t left)
{
    return copy_smaller(left, copy_smaller(session_window_run(s, to), session_window_run(s, from)));
}

/* Between two places in the window the device copies, too: in the order of the stream. */
static CUresult copy_part(Session *s, const VGPUSessionCopy *p, CUstream stream)
{
    const CudaSessionDriver *driver = session_driver(s);
    const bool from_window = session_window_has(s, p->from, p->size);
    const bool to_window = session_window_has(s, p->to, p->size);

    if (from_window && !to_window)
        return driver->base.memcpy_h_to_d_async(p->to, (const void *) p->from, p->size, stream);
    if (to_window && !from_window)
        return driver->base.memcpy_d_to_h_async((void *) p->to, p->from, p->size, stream);
    return driver->memcpy_d_to_d_async(p->to, p->from, p->size, stream);
}

/* Which ends of a copy lie in the window */
typedef struct CopyEnds {
    bool from_window, to_window;
} CopyEnds;

static void copy_count(Session *s, CopyEnds ends, uint64_t size)
{
    SessionControl *control = session_control(s);

    if (ends.from_window != ends.to_window)
        session_count(ends.from_window ? &control->bytes_to_device : &control->bytes_from_device,
                      size);
}

/* Each part is a work of its own in the stream. */
static CUresult copy_line(Session *s, const VGPUSessionCopy *p)
{
    VGPUSessionCopy part = *p;
    CUresult result = CUDA_SUCCESS;
    CUstream stream;

    for (uint64_t at = 0; result == CUDA_SUCCESS && at < p->size; at += part.size) {
        part.to = p->to + at;
        part.from = p->from + at;
        part.size = copy_run(s, part.to, part.from, p->size - at);
        result = session_find_stream(s, p->stream, &stream);
        if (result == CUDA_SUCCESS)
            result = copy_part(s, &part, stream);
    }
    return result;
}

CUresult session_op_COPY(Session *s, SessionCall *call)
{
    const VGPUSessionCopy *p = call->parameters;
    CUstream stream;
    CUresult result;

    if (p->size > 0 &&
        (!session_memory_has(s, p->to, p->size) || !session_memory_has(s, p->from, p->size)))
        return CUDA_ERROR_INVALID_VALUE;
    if (p->size == 0)
        return session_find_stream(s, p->stream, &stream);
    result = copy_line(s, p);
    if (result == CUDA_SUCCESS)
        copy_count(s,
                   (CopyEnds){
                       .from_window = session_window_has(s, p->from, p->size),
                       .to_window = session_window_has(s, p->to, p->size),
                   },
                   p->size);
    return result;
}

/* ---- Boxes ------------------------------------------------------------------------------------
 */

/* The bytes from the first to the last one of a box */
typedef struct CopySpan {
    uint64_t address;
    uint64_t size;
} CopySpan;

/* @a * @b + @c */
static bool copy_position(uint64_t a, uint64_t b, uint64_t c, uint64_t *ret)
{
    uint64_t product;

    return !__builtin_mul_overflow(a, b, &product) && !__builtin_add_overflow(product, c, ret);
}

/*
 * Where a box lies in linear memory. A box of one row, or of one slice, does not need the
 * distance to the next: 0 says nothing then, and is filled in for the driver.
 */
static bool copy_span(const VGPUSessionCopy3D *p, VGPUSessionPlace *place, CopySpan *ret)
{
    uint64_t row_end, slice_end, first, last, rows, end;

    if (__builtin_add_overflow(place->x_bytes, p->width_bytes, &row_end) ||
        __builtin_add_overflow(place->y, p->height, &slice_end))
        return false;
    if (place->pitch == 0 && p->height == 1 && p->depth == 1 && place->y == 0 && place->z == 0)
        place->pitch = row_end;
    if (place->height == 0 && p->depth == 1 && place->z == 0)
        place->height = slice_end;
    if (place->pitch < row_end || place->pitch > CUDA_PITCH_MAX || place->height < slice_end)
        return false;

    /* The first row, and the last one: by their numbers from the beginning of the memory on */
    if (!copy_position(place->z, place->height, place->y, &rows) ||
        !copy_position(rows, place->pitch, place->x_bytes, &first) ||
        !copy_position(p->depth - 1, place->height, rows, &rows) ||
        __builtin_add_overflow(rows, p->height - 1, &rows) ||
        !copy_position(rows, place->pitch, row_end, &last))
        return false;
    if (__builtin_add_overflow(place->address, last, &end))
        return false;
    *ret = (CopySpan){place->address + first, last - first};
    return true;
}

static CUresult copy_whole_box(Session *s, const VGPUSessionCopy3D *p, CopyEnds ends,
                               CUstream stream)
{
    CudaCopy3D copy = {
        .src_x_bytes = p->from.x_bytes,
        .src_y = p->from.y,
        .src_z = p->from.z,
        .src_type = CU_MEMORYTYPE_DEVICE,
        .src_device = p->from.address,
        .src_pitch = p->from.pitch,
        .src_height = p->from.height,
        .dst_x_bytes = p->to.x_bytes,
        .dst_y = p->to.y,
        .dst_z = p->to.z,
        .dst_type = CU_MEMORYTYPE_DEVICE,
        .dst_device = p->to.address,
        .dst_pitch = p->to.pitch,
        .dst_height = p->to.height,
        .width_bytes = p->width_bytes,
        .height = p->height,
        .depth = p->depth,
    };

    if (ends.from_window && !ends.to_window) {
        copy.src_type = CU_MEMORYTYPE_HOST;
        copy.src_device = 0;
        copy.src_host = (const void *) p->from.address;
    }
    if (ends.to_window && !ends.from_window) {
        copy.dst_type = CU_MEMORYTYPE_HOST;
        copy.dst_device = 0;
        copy.dst_host = (void *) p->to.address;
    }
    return session_driver(s)->memcpy_3d_async(&copy, stream);
}

/* Does the driver take this end of a box as it is? The box's numbers have been checked. */
static bool copy_is_in_one(Session *s, const VGPUSessionCopy3D *p, const VGPUSessionPlace *place)
{
    VGPUSessionPlace copy = *place;
    CopySpan span;

    return copy_span(p, &copy, &span) && span.size <= session_window_run(s, span.address);
}

/* A row, which may cross pieces */
static CUresult copy_row(Session *s, const VGPUSessionCopy3D *p)
{
    VGPUSessionPlace to_place = p->to, from_place = p->from;
    CopySpan to, from;

    if (!copy_span(p, &to_place, &to) || !copy_span(p, &from_place, &from))
        return CUDA_ERROR_INVALID_VALUE;
    return copy_line(s, &(VGPUSessionCopy){
                            .to = to.address,
                            .from = from.address,
                            .size = p->width_bytes,
                            .stream = p->stream,
                        });
}

/* Half of the slices, or half of the rows, which are cut off @p */
static VGPUSessionCopy3D copy_cut(VGPUSessionCopy3D *p)
{
    VGPUSessionCopy3D part = *p;

    if (p->depth > 1) {
        part.depth = p->depth / 2;
        p->depth -= part.depth;
        p->to.z += part.depth;
        p->from.z += part.depth;
    } else {
        part.height = p->height / 2;
        p->height -= part.height;
        p->to.y += part.height;
        p->from.y += part.height;
    }
    return part;
}

/* A box that crosses pieces of the window is halved until none of its parts does, or they are rows:
 * no deeper than both numbers have bits. */
static CUresult copy_box(Session *s, const VGPUSessionCopy3D *p, CopyEnds ends)
{
    VGPUSessionCopy3D rest = *p;
    CUresult result = CUDA_SUCCESS;
    CUstream stream;

    while (result == CUDA_SUCCESS) {
        VGPUSessionCopy3D part;

        if (rest.depth == 1 && rest.height == 1)
            return copy_row(s, &rest);
        if (copy_is_in_one(s, &rest, &rest.to) && copy_is_in_one(s, &rest, &rest.from)) {
            result = session_find_stream(s, p->stream, &stream);
            return result == CUDA_SUCCESS ? copy_whole_box(s, &rest, ends, stream) : result;
        }
        part = copy_cut(&rest);
        result = copy_box(s, &part, ends);
    }
    return result;
}

CUresult session_op_COPY_3D(Session *s, SessionCall *call)
{
    VGPUSessionCopy3D p = *(const VGPUSessionCopy3D *) call->parameters;
    CopySpan from, to;
    CUstream stream;
    CopyEnds ends;
    CUresult result;

    if (p.from.array != 0 || p.to.array != 0)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (p.from.reserved != 0 || p.to.reserved != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (p.width_bytes == 0 || p.height == 0 || p.depth == 0)
        return session_find_stream(s, p.stream, &stream);
    if (!copy_span(&p, &p.from, &from) || !copy_span(&p, &p.to, &to) ||
        !session_memory_has(s, from.address, from.size) ||
        !session_memory_has(s, to.address, to.size))
        return CUDA_ERROR_INVALID_VALUE;
    ends = (CopyEnds){
        .from_window = session_window_has(s, from.address, from.size),
        .to_window = session_window_has(s, to.address, to.size),
    };
    result = copy_box(s, &p, ends);
    if (result == CUDA_SUCCESS)
        copy_count(s, ends, p.width_bytes * p.height * p.depth);
    return result;
}

/* ---- Sets ------------------------------------------------------------------------------------ */

static CUresult set_line(const CudaSessionDriver *driver, const VGPUSessionSet *p, CUstream stream)
{
    switch (p->width) {
    case 1:
        return driver->memset_d8_async(p->address, (unsigned char) p->value, p->count, stream);
    case 2:
        return driver->memset_d16_async(p->address, (unsigned short) p->value, p->count, stream);
    default:
        return driver->memset_d32_async(p->address, p->value, p->count, stream);
    }
}

static CUresult set_rows(const CudaSessionDriver *driver, const VGPUSessionSet *p, CUstream stream)
{
    switch (p->width) {
    case 1:
        return driver->memset_2d8_async(p->address, p->pitch, (unsigned char) p->value, p->count,
                                        p->rows, stream);
    case 2:
        return driver->memset_2d16_async(p->address, p->pitch, (unsigned short) p->value, p->count,
                                         p->rows, stream);
    default:
        return driver->memset_2d32_async(p->address, p->pitch, p->value, p->count, p->rows, stream);
    }
}

/* The first part of a set that crosses pieces of the window, which is cut off @p */
static VGPUSessionSet set_cut(VGPUSessionSet *p, uint64_t run)
{
    VGPUSessionSet part = *p;

    if (p->rows > 1) {
        part.rows = p->rows / 2;
        p->rows -= part.rows;
        p->address += part.rows * p->pitch;
    } else {
        part.count = run / p->width;
        p->count -= part.count;
        p->address += part.count * p->width;
    }
    return part;
}

static CUresult set_parts(Session *s, const VGPUSessionSet *p)
{
    VGPUSessionSet rest = *p;
    CUresult result = CUDA_SUCCESS;
    CUstream stream;

    while (result == CUDA_SUCCESS) {
        const uint64_t run = session_window_run(s, rest.address);
        VGPUSessionSet part;

        if ((rest.rows - 1) * rest.pitch + rest.count * rest.width <= run) {
            result = session_find_stream(s, p->stream, &stream);
            if (result != CUDA_SUCCESS)
                return result;
            return rest.rows == 1 ? set_line(session_driver(s), &rest, stream)
                                  : set_rows(session_driver(s), &rest, stream);
        }
        part = set_cut(&rest, run);
        result = set_parts(s, &part);
    }
    return result;
}

CUresult session_op_SET(Session *s, SessionCall *call)
{
    const VGPUSessionSet *p = call->parameters;
    uint64_t row, size;
    CUstream stream;

    if (p->width != 1 && p->width != 2 && p->width != 4)
        return CUDA_ERROR_INVALID_VALUE;
    if (p->count == 0 || p->rows == 0)
        return session_find_stream(s, p->stream, &stream);
    if (p->address % p->width != 0 || __builtin_mul_overflow(p->count, p->width, &row))
        return CUDA_ERROR_INVALID_VALUE;
    if (p->rows > 1 && (p->pitch < row || p->pitch > CUDA_PITCH_MAX))
        return CUDA_ERROR_INVALID_VALUE;
    if (!copy_position(p->rows - 1, p->rows > 1 ? p->pitch : 0, row, &size) ||
        !session_memory_has(s, p->address, size))
        return CUDA_ERROR_INVALID_VALUE;
    return set_parts(s, p);
}

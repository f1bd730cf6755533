/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies between the window and device memory in every direction, and sets. */
#include "session-copy.h"
#include "session-store.h"

/* ---- A line --------------------------------------------------------------------------------- */

/* Between two places in the window the device copies, too: in the order of the stream. */
static CUresult copy_line(Session *s, const VGPUSessionCopy *p, CUstream stream)
{
    const CudaSessionDriver *driver = session_driver(s);
    SessionControl *control = session_control(s);
    const bool from_window = session_window_has(s, p->from, p->size);
    const bool to_window = session_window_has(s, p->to, p->size);
    CUresult result;

    if (from_window && !to_window) {
        result = driver->base.memcpy_h_to_d_async(p->to, (const void *) p->from, p->size, stream);
        if (result == CUDA_SUCCESS)
            session_count(&control->bytes_to_device, p->size);
    } else if (to_window && !from_window) {
        result = driver->base.memcpy_d_to_h_async((void *) p->to, p->from, p->size, stream);
        if (result == CUDA_SUCCESS)
            session_count(&control->bytes_from_device, p->size);
    } else {
        result = driver->memcpy_d_to_d_async(p->to, p->from, p->size, stream);
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
    result = session_find_stream(s, p->stream, &stream);
    if (result != CUDA_SUCCESS || p->size == 0)
        return result;
    return copy_line(s, p, stream);
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

static CudaCopy3D copy_structure(const VGPUSessionCopy3D *p, bool from_window, bool to_window)
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

    if (from_window && !to_window) {
        copy.src_type = CU_MEMORYTYPE_HOST;
        copy.src_device = 0;
        copy.src_host = (const void *) p->from.address;
    }
    if (to_window && !from_window) {
        copy.dst_type = CU_MEMORYTYPE_HOST;
        copy.dst_device = 0;
        copy.dst_host = (void *) p->to.address;
    }
    return copy;
}

CUresult session_copy_check(Session *s, const VGPUSessionCopy3D *from_guest, SessionBox *ret)
{
    VGPUSessionCopy3D p = *from_guest;
    CopySpan from, to;

    *ret = (SessionBox){.is_empty = p.width_bytes == 0 || p.height == 0 || p.depth == 0};
    if (p.from.array != 0 || p.to.array != 0)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (p.from.reserved != 0 || p.to.reserved != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (ret->is_empty)
        return CUDA_SUCCESS;
    if (!copy_span(&p, &p.from, &from) || !copy_span(&p, &p.to, &to) ||
        !session_memory_has(s, from.address, from.size) ||
        !session_memory_has(s, to.address, to.size))
        return CUDA_ERROR_INVALID_VALUE;
    ret->from_window = session_window_has(s, from.address, from.size);
    ret->to_window = session_window_has(s, to.address, to.size);
    ret->copy = copy_structure(&p, ret->from_window, ret->to_window);
    return CUDA_SUCCESS;
}

CUresult session_op_COPY_3D(Session *s, SessionCall *call)
{
    const VGPUSessionCopy3D *p = call->parameters;
    SessionBox box;
    CUstream stream;
    CUresult result = session_copy_check(s, p, &box);

    if (result == CUDA_SUCCESS)
        result = session_find_stream(s, p->stream, &stream);
    if (result != CUDA_SUCCESS || box.is_empty)
        return result;
    result = session_driver(s)->memcpy_3d_async(&box.copy, stream);
    if (result == CUDA_SUCCESS && box.from_window != box.to_window) {
        SessionControl *control = session_control(s);

        session_count(box.from_window ? &control->bytes_to_device : &control->bytes_from_device,
                      p->width_bytes * p->height * p->depth);
    }
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

CUresult session_set_check(Session *s, const VGPUSessionSet *p, bool *ret_is_empty)
{
    uint64_t row, size;

    *ret_is_empty = p->count == 0 || p->rows == 0;
    if (p->width != 1 && p->width != 2 && p->width != 4)
        return CUDA_ERROR_INVALID_VALUE;
    if (*ret_is_empty)
        return CUDA_SUCCESS;
    if (p->address % p->width != 0 || __builtin_mul_overflow(p->count, p->width, &row))
        return CUDA_ERROR_INVALID_VALUE;
    if (p->rows > 1 && (p->pitch < row || p->pitch > CUDA_PITCH_MAX))
        return CUDA_ERROR_INVALID_VALUE;
    if (!copy_position(p->rows - 1, p->rows > 1 ? p->pitch : 0, row, &size) ||
        !session_memory_has(s, p->address, size))
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

CUresult session_op_SET(Session *s, SessionCall *call)
{
    const VGPUSessionSet *p = call->parameters;
    bool is_empty;
    CUstream stream;
    CUresult result = session_set_check(s, p, &is_empty);

    if (result == CUDA_SUCCESS)
        result = session_find_stream(s, p->stream, &stream);
    if (result != CUDA_SUCCESS || is_empty)
        return result;
    return p->rows == 1 ? set_line(session_driver(s), p, stream)
                        : set_rows(session_driver(s), p, stream);
}

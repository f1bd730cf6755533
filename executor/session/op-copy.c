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

/* One end of a box: memory, or an array */
typedef struct CopyEnd {
    VGPUSessionPlace place;
    const SessionArray *array;
    bool in_window;
} CopyEnd;

static CUresult copy_end(Session *s, uint32_t context, const VGPUSessionCopy3D *p, CopyEnd *end)
{
    SessionArray *array;
    CopySpan span;
    CUresult result;

    if (end->place.reserved != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (end->place.array == 0) {
        if (!copy_span(p, &end->place, &span) || !session_memory_has(s, span.address, span.size))
            return CUDA_ERROR_INVALID_VALUE;
        end->in_window = session_window_has(s, span.address, span.size);
        return CUDA_SUCCESS;
    }
    result = session_array_find(s, context, end->place.array, &array);
    if (result != CUDA_SUCCESS)
        return result;
    if (array_shape_is_deferred(&array->shape) ||
        !array_shape_has_box(&array->shape, &end->place, p->width_bytes, p->height, p->depth))
        return CUDA_ERROR_INVALID_VALUE;
    end->array = array;
    return CUDA_SUCCESS;
}

static void copy_from(const CopyEnd *end, bool is_host, CudaCopy3D *copy)
{
    const VGPUSessionPlace *place = &end->place;

    copy->src_x_bytes = place->x_bytes;
    copy->src_y = place->y;
    copy->src_z = place->z;
    if (end->array) {
        copy->src_type = CU_MEMORYTYPE_ARRAY;
        copy->src_array = end->array->handle;
        return;
    }
    copy->src_type = is_host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
    copy->src_host = is_host ? (const void *) place->address : NULL;
    copy->src_device = is_host ? 0 : place->address;
    copy->src_pitch = place->pitch;
    copy->src_height = place->height;
}

static void copy_to(const CopyEnd *end, bool is_host, CudaCopy3D *copy)
{
    const VGPUSessionPlace *place = &end->place;

    copy->dst_x_bytes = place->x_bytes;
    copy->dst_y = place->y;
    copy->dst_z = place->z;
    if (end->array) {
        copy->dst_type = CU_MEMORYTYPE_ARRAY;
        copy->dst_array = end->array->handle;
        return;
    }
    copy->dst_type = is_host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
    copy->dst_host = is_host ? (void *) place->address : NULL;
    copy->dst_device = is_host ? 0 : place->address;
    copy->dst_pitch = place->pitch;
    copy->dst_height = place->height;
}

CUresult session_box_prepare(Session *s, uint32_t context, const VGPUSessionCopy3D *p,
                             SessionBox *ret)
{
    SessionBox box = {
        .copy = {.width_bytes = p->width_bytes, .height = p->height, .depth = p->depth},
        .is_empty = p->width_bytes == 0 || p->height == 0 || p->depth == 0,
    };
    CopyEnd from = {.place = p->from}, to = {.place = p->to};
    CUresult result;

    if (box.is_empty) {
        *ret = box;
        return p->from.reserved == 0 && p->to.reserved == 0 ? CUDA_SUCCESS
                                                            : CUDA_ERROR_INVALID_VALUE;
    }
    result = copy_end(s, context, p, &from);
    if (result == CUDA_SUCCESS)
        result = copy_end(s, context, p, &to);
    if (result != CUDA_SUCCESS)
        return result;
    if (from.array && to.array && from.array->shape.element != to.array->shape.element)
        return CUDA_ERROR_INVALID_VALUE;
    /* Between two places in the window the device copies, too. */
    box.from_window = from.in_window;
    box.to_window = to.in_window;
    copy_from(&from, from.in_window && !to.in_window, &box.copy);
    copy_to(&to, to.in_window && !from.in_window, &box.copy);
    *ret = box;
    return CUDA_SUCCESS;
}

static CUresult copy_box(Session *s, const SessionCall *call, SessionBox *ret)
{
    const VGPUSessionCopy3D *p = call->parameters;
    CUstream stream;
    CUresult result = session_box_prepare(s, call->record.context, p, ret);

    if (result == CUDA_SUCCESS)
        result = session_find_stream(s, p->stream, &stream);
    if (result != CUDA_SUCCESS || ret->is_empty)
        return result;
    return session_driver(s)->memcpy_3d_async(&ret->copy, stream);
}

CUresult session_op_COPY_3D(Session *s, SessionCall *call)
{
    const VGPUSessionCopy3D *p = call->parameters;
    const bool has_array = p->from.array != 0 || p->to.array != 0;
    pthread_mutex_t *lock = &session_store(s)->arrays.lock;
    SessionControl *control = session_control(s);
    SessionBox box;
    CUresult result;

    if (has_array)
        pthread_mutex_lock(lock);
    result = copy_box(s, call, &box);
    if (has_array)
        pthread_mutex_unlock(lock);
    if (result == CUDA_SUCCESS && box.from_window != box.to_window)
        session_count(box.from_window ? &control->bytes_to_device : &control->bytes_from_device,
                      p->width_bytes * p->height * p->depth);
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

CUresult session_op_SET(Session *s, SessionCall *call)
{
    const VGPUSessionSet *p = call->parameters;
    const bool is_empty = p->count == 0 || p->rows == 0;
    uint64_t row, size;
    CUstream stream;
    CUresult result;

    if (p->width != 1 && p->width != 2 && p->width != 4)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_empty) {
        if (p->address % p->width != 0 || __builtin_mul_overflow(p->count, p->width, &row))
            return CUDA_ERROR_INVALID_VALUE;
        if (p->rows > 1 && (p->pitch < row || p->pitch > CUDA_PITCH_MAX))
            return CUDA_ERROR_INVALID_VALUE;
        if (!copy_position(p->rows - 1, p->rows > 1 ? p->pitch : 0, row, &size) ||
            !session_memory_has(s, p->address, size))
            return CUDA_ERROR_INVALID_VALUE;
    }
    result = session_find_stream(s, p->stream, &stream);
    if (result != CUDA_SUCCESS || is_empty)
        return result;
    return p->rows == 1 ? set_line(session_driver(s), p, stream)
                        : set_rows(session_driver(s), p, stream);
}

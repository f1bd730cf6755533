/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-copy.h"

#include "session-store.h"

/* ---- What a guest says ------------------------------------------------------------------------
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

CUresult session_copy_check(Session *s, uint32_t context, const VGPUSessionCopy3D *p,
                            SessionBox *ret)
{
    SessionBox box = {
        .copy = {.width_bytes = p->width_bytes, .height = p->height, .depth = p->depth},
        .element = 1,
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
    if (from.array || to.array)
        box.element = (from.array ? from.array : to.array)->shape.element;
    box.named[0] = from.array ? session_array_name(from.array) : NULL;
    box.named[1] = to.array ? session_array_name(to.array) : NULL;
    box.from_window = from.in_window;
    box.to_window = to.in_window;
    copy_from(&from, from.in_window && !to.in_window, &box.copy);
    copy_to(&to, to.in_window && !from.in_window, &box.copy);
    session_box_fold(&box);
    *ret = box;
    return CUDA_SUCCESS;
}

/* ---- What the driver is told ------------------------------------------------------------------
 */

/* The numbers have been checked: none of this wraps around. */
static SessionBoxEnd box_end(const CudaCopy3D *c, uint64_t address, uint64_t pitch, uint64_t height,
                             uint64_t rows, uint64_t x_bytes)
{
    return (SessionBoxEnd){
        .address = address + rows * pitch + x_bytes,
        .size = ((c->depth - 1) * height + c->height - 1) * pitch + c->width_bytes,
    };
}

SessionBoxEnd session_box_to(const CudaCopy3D *c)
{
    const uint64_t address =
        c->dst_type == CU_MEMORYTYPE_HOST ? (uintptr_t) c->dst_host : c->dst_device;

    if (c->dst_type == CU_MEMORYTYPE_ARRAY)
        return (SessionBoxEnd){.is_array = true};
    return box_end(c, address, c->dst_pitch, c->dst_height, c->dst_z * c->dst_height + c->dst_y,
                   c->dst_x_bytes);
}

SessionBoxEnd session_box_from(const CudaCopy3D *c)
{
    const uint64_t address =
        c->src_type == CU_MEMORYTYPE_HOST ? (uintptr_t) c->src_host : c->src_device;

    if (c->src_type == CU_MEMORYTYPE_ARRAY)
        return (SessionBoxEnd){.is_array = true};
    return box_end(c, address, c->src_pitch, c->src_height, c->src_z * c->src_height + c->src_y,
                   c->src_x_bytes);
}

void session_box_fold(SessionBox *box)
{
    CudaCopy3D *c = &box->copy;

    if (box->from_window) {
        const uint64_t address = session_box_from(c).address;

        if (c->src_type == CU_MEMORYTYPE_HOST)
            c->src_host = (const void *) address;
        else
            c->src_device = address;
        c->src_x_bytes = c->src_y = c->src_z = 0;
    }
    if (box->to_window) {
        const uint64_t address = session_box_to(c).address;

        if (c->dst_type == CU_MEMORYTYPE_HOST)
            c->dst_host = (void *) address;
        else
            c->dst_device = address;
        c->dst_x_bytes = c->dst_y = c->dst_z = 0;
    }
}

static bool box_end_is_whole(Session *s, const SessionBoxEnd *end)
{
    return end->is_array || end->size <= session_window_run(s, end->address);
}

bool session_box_is_whole(Session *s, const SessionBox *box)
{
    const SessionBoxEnd to = session_box_to(&box->copy), from = session_box_from(&box->copy);

    return box_end_is_whole(s, &to) && box_end_is_whole(s, &from);
}

/* ---- Sets ------------------------------------------------------------------------------------ */

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
    if (p->rows > 1 && (p->pitch < row || p->pitch > CUDA_PITCH_MAX || p->pitch % p->width != 0))
        return CUDA_ERROR_INVALID_VALUE;
    if (!copy_position(p->rows - 1, p->rows > 1 ? p->pitch : 0, row, &size) ||
        !session_memory_has(s, p->address, size))
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

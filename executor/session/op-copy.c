/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies between the window and device memory in every direction, and sets. */
#include "session-captures.h"
#include "session-copy.h"
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

static uint64_t copy_end_run(Session *s, const SessionBoxEnd *end)
{
    return end->is_array ? UINT64_MAX : session_window_run(s, end->address);
}

/* The first part of a box that crosses pieces of the window, which is cut off @box: half of the
 * slices, half of the rows, or a piece of a row. Returns false when an element of an array would be
 * cut. */
static bool copy_cut(Session *s, SessionBox *box, CudaCopy3D *ret)
{
    CudaCopy3D *rest = &box->copy;
    CudaCopy3D part = *rest;

    if (rest->depth > 1) {
        part.depth = rest->depth / 2;
        rest->depth -= part.depth;
        rest->dst_z += part.depth;
        rest->src_z += part.depth;
    } else if (rest->height > 1) {
        part.height = rest->height / 2;
        rest->height -= part.height;
        rest->dst_y += part.height;
        rest->src_y += part.height;
    } else {
        const SessionBoxEnd to = session_box_to(rest), from = session_box_from(rest);

        part.width_bytes = copy_smaller(copy_end_run(s, &to), copy_end_run(s, &from));
        part.width_bytes -= part.width_bytes % box->element;
        if (part.width_bytes == 0)
            return false;
        rest->width_bytes -= part.width_bytes;
        rest->dst_x_bytes += part.width_bytes;
        rest->src_x_bytes += part.width_bytes;
    }
    *ret = part;
    return true;
}

/* What a copy that is captured names. Where it names something, the caller holds the handles' lock.
 */
static CUresult copy_captured(Session *s, const SessionBox *box)
{
    CUresult result = CUDA_SUCCESS;

    for (size_t i = 0; result == CUDA_SUCCESS && i < 2; i++)
        if (box->named[i])
            result = session_captures_named(s, box->named[i]);
    return result;
}

/* Each cut but those of rows halves a box: no deeper than both numbers have bits. Each part is a
 * work of its own in the stream. */
static CUresult copy_box(Session *s, SessionBox box, uint32_t stream_id)
{
    CUresult result = CUDA_SUCCESS;
    CUstream stream;

    while (result == CUDA_SUCCESS) {
        SessionBox part = box;

        if (session_box_is_whole(s, &box)) {
            result = session_find_stream(s, stream_id, &stream);
            if (result == CUDA_SUCCESS && session_thread()->captures)
                result = copy_captured(s, &box);
            session_box_fold(&box);
            return result == CUDA_SUCCESS ? session_driver(s)->memcpy_3d_async(&box.copy, stream)
                                          : result;
        }
        if (!copy_cut(s, &box, &part.copy))
            return CUDA_ERROR_INVALID_VALUE;
        result = copy_box(s, part, stream_id);
    }
    return result;
}

static CUresult copy_boxes(Session *s, const SessionCall *call, SessionBox *ret)
{
    const VGPUSessionCopy3D *p = call->parameters;
    CUstream stream;
    CUresult result = session_copy_check(s, call->record.context, p, ret);

    if (result != CUDA_SUCCESS)
        return result;
    return ret->is_empty ? session_find_stream(s, p->stream, &stream)
                         : copy_box(s, *ret, p->stream);
}

CUresult session_op_COPY_3D(Session *s, SessionCall *call)
{
    const VGPUSessionCopy3D *p = call->parameters;
    const bool has_array = p->from.array != 0 || p->to.array != 0;
    pthread_mutex_t *lock = &session_store(s)->handles;
    SessionControl *control = session_control(s);
    SessionBox box;
    CUresult result;

    if (has_array)
        pthread_mutex_lock(lock);
    result = copy_boxes(s, call, &box);
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
    bool is_empty;
    CUstream stream;
    CUresult result = session_set_check(s, p, &is_empty);

    if (result != CUDA_SUCCESS)
        return result;
    return is_empty ? session_find_stream(s, p->stream, &stream) : set_parts(s, p);
}

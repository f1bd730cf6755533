/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies in batches: one after the other in the stream, which is an order that a batch may have.
 * All are checked before the first one goes: a batch that is refused copies nothing.
 */
#include "array.h"
#include "copy-box.h"
#include "memory-map.h"

/* CUmemcpyFlags: that the copies had better overlap with kernels. The driver may ignore it. */
#define BATCH_FLAGS 0x1u

/* No copy in particular has failed. */
#define BATCH_ALL SIZE_MAX

static CUresult batch_refuse(size_t *ret_failed, size_t which, CUresult r)
{
    if (r != CUDA_SUCCESS && ret_failed)
        *ret_failed = which;
    return r;
}

/* A batch has no place in the legacy default stream. */
static CUresult batch_enter(CUstream handle, LibCall *call, LibStream **ret)
{
    CUresult r = libcuda_enter_work(handle, call, ret);

    return r == CUDA_SUCCESS && *ret == call->context->legacy ? CUDA_ERROR_INVALID_VALUE : r;
}

static bool batch_order_is_good(int order, unsigned flags)
{
    return order >= COPY_ORDER_STREAM && order <= COPY_ORDER_ANY && (flags & ~BATCH_FLAGS) == 0;
}

/* Where the program may change what is copied as soon as the call has returned, the call waits:
 * what a graph copies later, nobody can wait for. */
static CUresult batch_may_wait(const LibStream *stream, bool must_wait)
{
    return must_wait && __atomic_load_n(&stream->is_capturing, __ATOMIC_RELAXED)
               ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
               : CUDA_SUCCESS;
}

static CUresult batch_end(const LibCall *call, LibStream *stream, bool must_wait,
                          size_t *ret_failed)
{
    return must_wait ? batch_refuse(ret_failed, BATCH_ALL, libcuda_stream_wait(call, stream))
                     : CUDA_SUCCESS;
}

/* ---- Of bytes in a row -------------------------------------------------------------------------
 */

typedef struct Batch {
    const CUdeviceptr *to, *from;
    const size_t *sizes;
    size_t n;
    const CopyAttributes *attributes;
    const size_t *begins; /* the first copy that each attribute is of */
    size_t n_attributes;
} Batch;

/* Each copy has attributes: those that begin with it, or with one before it. */
static CUresult batch_check_attributes(const Batch *b, bool *ret_must_wait)
{
    if (b->begins[0] != 0)
        return CUDA_ERROR_INVALID_VALUE;
    *ret_must_wait = false;
    for (size_t i = 0; i < b->n_attributes; i++) {
        if (b->begins[i] >= b->n || (i > 0 && b->begins[i] <= b->begins[i - 1]) ||
            !batch_order_is_good(b->attributes[i].order, b->attributes[i].flags))
            return CUDA_ERROR_INVALID_VALUE;
        *ret_must_wait = *ret_must_wait || b->attributes[i].order == COPY_ORDER_DURING_CALL;
    }
    return CUDA_SUCCESS;
}

static bool batch_end_is_good(CUdeviceptr address, size_t size)
{
    MemoryPiece piece;

    return address != 0 && (!memory_map_find(address, &piece) || !memory_is_device(&piece) ||
                            memory_has(&piece, address, size));
}

static CUresult batch_check(const Batch *b, size_t *ret_failed, bool *ret_must_wait)
{
    CUresult r = CUDA_ERROR_INVALID_VALUE;

    if (b->to && b->from && b->sizes && b->attributes && b->begins && b->n > 0 &&
        b->n_attributes > 0 && b->n_attributes <= b->n)
        r = batch_check_attributes(b, ret_must_wait);
    if (r != CUDA_SUCCESS)
        return batch_refuse(ret_failed, BATCH_ALL, r);
    for (size_t i = 0; i < b->n; i++)
        if (!batch_end_is_good(b->to[i], b->sizes[i]) ||
            !batch_end_is_good(b->from[i], b->sizes[i]))
            return batch_refuse(ret_failed, i, CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

static CUresult batch_copy(const Batch *b, size_t *ret_failed, CUstream handle)
{
    bool must_wait = false;
    LibStream *stream;
    LibCall call;
    CUresult r = batch_enter(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return batch_refuse(ret_failed, BATCH_ALL, r);
    r = batch_check(b, ret_failed, &must_wait);
    if (r != CUDA_SUCCESS)
        return r;
    r = batch_may_wait(stream, must_wait);
    if (r != CUDA_SUCCESS)
        return batch_refuse(ret_failed, BATCH_ALL, r);
    for (size_t i = 0; i < b->n; i++) {
        r = cuMemcpyAsync(b->to[i], b->from[i], b->sizes[i], handle);
        if (r != CUDA_SUCCESS)
            return batch_refuse(ret_failed, i, r);
    }
    return batch_end(&call, stream, must_wait, ret_failed);
}

CUresult cuMemcpyBatchAsync(CUdeviceptr *to, CUdeviceptr *from, size_t *sizes, size_t n,
                            CopyAttributes *attributes, size_t *begins, size_t n_attributes,
                            size_t *ret_failed, CUstream stream)
{
    const Batch b = {to, from, sizes, n, attributes, begins, n_attributes};

    return batch_copy(&b, ret_failed, stream);
}

CUresult cuMemcpyBatchAsync_ptsz(CUdeviceptr *to, CUdeviceptr *from, size_t *sizes, size_t n,
                                 CopyAttributes *attributes, size_t *begins, size_t n_attributes,
                                 size_t *ret_failed, CUstream stream)
{
    return cuMemcpyBatchAsync(to, from, sizes, n, attributes, begins, n_attributes, ret_failed,
                              libcuda_per_thread(stream));
}

CUresult cuMemcpyBatchAsync_v2(CUdeviceptr *to, CUdeviceptr *from, size_t *sizes, size_t n,
                               CopyAttributes *attributes, size_t *begins, size_t n_attributes,
                               CUstream stream)
{
    return cuMemcpyBatchAsync(to, from, sizes, n, attributes, begins, n_attributes, NULL, stream);
}

CUresult cuMemcpyBatchAsync_v2_ptsz(CUdeviceptr *to, CUdeviceptr *from, size_t *sizes, size_t n,
                                    CopyAttributes *attributes, size_t *begins, size_t n_attributes,
                                    CUstream stream)
{
    return cuMemcpyBatchAsync(to, from, sizes, n, attributes, begins, n_attributes, NULL,
                              libcuda_per_thread(stream));
}

/* ---- Of boxes ----------------------------------------------------------------------------------
 */

enum { BATCH_POINTER = 1, BATCH_ARRAY = 2 };

/* Boxes are measured in elements: of an array that is an end of it, or else in bytes. */
static CUresult batch_element(const CopyBatchBox *box, uint32_t *ret)
{
    const CopyOperand *ends[] = {&box->dst, &box->src};

    *ret = 1;
    for (size_t i = 0; i < 2; i++) {
        const LibArray *array;

        if (ends[i]->type != BATCH_ARRAY)
            continue;
        array = array_of(ends[i]->array.array);
        if (!array)
            return CUDA_ERROR_INVALID_HANDLE;
        *ret = array->element;
    }
    return CUDA_SUCCESS;
}

static bool batch_operand(const CopyBatchBox *box, const CopyOperand *operand, uint32_t element,
                          CopyBoxEnd *ret)
{
    *ret = (CopyBoxEnd){.type = COPY_BOX_UNIFIED};
    switch (operand->type) {
    case BATCH_POINTER:
        ret->device = operand->pointer.address;
        ret->height = operand->pointer.layer_height;
        return (operand->pointer.row_length == 0 || operand->pointer.row_length >= box->width) &&
               !__builtin_mul_overflow(operand->pointer.row_length, element, &ret->pitch);
    case BATCH_ARRAY:
        ret->type = COPY_BOX_ARRAY;
        ret->array = operand->array.array;
        ret->y = operand->array.y;
        ret->z = operand->array.z;
        return !__builtin_mul_overflow(operand->array.x, element, &ret->x_bytes);
    default:
        return false;
    }
}

static CUresult batch_box(const CopyBatchBox *box, CopyBox *ret)
{
    uint32_t element;
    CUresult r = batch_element(box, &element);

    if (r != CUDA_SUCCESS)
        return r;
    *ret = (CopyBox){.height = box->height, .depth = box->depth};
    if (box->width == 0 || box->height == 0 || box->depth == 0 ||
        !batch_order_is_good(box->order, box->flags) ||
        __builtin_mul_overflow(box->width, element, &ret->width) ||
        !batch_operand(box, &box->dst, element, &ret->to) ||
        !batch_operand(box, &box->src, element, &ret->from))
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

static CUresult batch_check_boxes(const CopyBatchBox *boxes, size_t n, size_t *ret_failed,
                                  CUstream handle, bool *ret_must_wait)
{
    CopyBox box;
    CUresult r;

    for (size_t i = 0; i < n; i++) {
        r = batch_box(&boxes[i], &box);
        if (r == CUDA_SUCCESS)
            r = libcuda_copy_box_check(&box, handle);
        if (r != CUDA_SUCCESS)
            return batch_refuse(ret_failed, i, r);
        *ret_must_wait = *ret_must_wait || boxes[i].order == COPY_ORDER_DURING_CALL;
    }
    return CUDA_SUCCESS;
}

CUresult cuMemcpy3DBatchAsync(size_t n, CopyBatchBox *boxes, size_t *ret_failed,
                              unsigned long long flags, CUstream handle)
{
    bool must_wait = false;
    LibStream *stream;
    LibCall call;
    CopyBox box;
    CUresult r = batch_enter(handle, &call, &stream);

    if (r == CUDA_SUCCESS && (n == 0 || !boxes || flags != 0))
        r = CUDA_ERROR_INVALID_VALUE;
    if (r != CUDA_SUCCESS)
        return batch_refuse(ret_failed, BATCH_ALL, r);
    r = batch_check_boxes(boxes, n, ret_failed, handle, &must_wait);
    if (r != CUDA_SUCCESS)
        return r;
    r = batch_may_wait(stream, must_wait);
    if (r != CUDA_SUCCESS)
        return batch_refuse(ret_failed, BATCH_ALL, r);
    for (size_t i = 0; i < n; i++) {
        r = batch_box(&boxes[i], &box);
        if (r == CUDA_SUCCESS)
            r = libcuda_copy_box(&box, handle, true);
        if (r != CUDA_SUCCESS)
            return batch_refuse(ret_failed, i, r);
    }
    return batch_end(&call, stream, must_wait, ret_failed);
}

CUresult cuMemcpy3DBatchAsync_ptsz(size_t n, CopyBatchBox *boxes, size_t *ret_failed,
                                   unsigned long long flags, CUstream stream)
{
    return cuMemcpy3DBatchAsync(n, boxes, ret_failed, flags, libcuda_per_thread(stream));
}

CUresult cuMemcpy3DBatchAsync_v2(size_t n, CopyBatchBox *boxes, unsigned long long flags,
                                 CUstream stream)
{
    return cuMemcpy3DBatchAsync(n, boxes, NULL, flags, stream);
}

CUresult cuMemcpy3DBatchAsync_v2_ptsz(size_t n, CopyBatchBox *boxes, unsigned long long flags,
                                      CUstream stream)
{
    return cuMemcpy3DBatchAsync(n, boxes, NULL, flags, libcuda_per_thread(stream));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Filling memory with a value. */
#include "memory-map.h"

typedef struct SetArea {
    uint64_t address;
    uint64_t pitch; /* bytes; of one row: 0 */
    uint64_t count; /* elements in a row */
    uint64_t rows;
    uint32_t value;
    uint32_t width; /* bytes of an element */
    bool is_async;
} SetArea;

/* In the device's memory nobody waits; pinned memory is the program's to read at once. */
static CUresult set(CUstream handle, const SetArea *area)
{
    VGPUSessionSet parameters = {
        .count = area->count,
        .rows = area->rows,
        .pitch = area->rows > 1 ? area->pitch : 0,
        .value = area->value,
        .width = area->width,
    };
    uint64_t size, before;
    MemoryPiece piece;
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_work(handle, &call, &stream);

    if (r != CUDA_SUCCESS || area->count == 0 || area->rows == 0)
        return r;
    if (area->address % area->width != 0 ||
        __builtin_mul_overflow(area->count, area->width, &size) ||
        (area->rows > 1 && (area->pitch < size || area->pitch % area->width != 0 ||
                            __builtin_mul_overflow(area->pitch, area->rows - 1, &before) ||
                            __builtin_add_overflow(size, before, &size))) ||
        !memory_map_find(area->address, &piece) || !memory_has(&piece, area->address, size))
        return CUDA_ERROR_INVALID_VALUE;
    parameters.stream = stream->number;
    parameters.address = piece.device + (area->address - piece.address);
    if (memory_is_device(&piece))
        parameters.address = area->address;
    libcuda_stream_worked(stream);
    r = libcuda_post(&call, VGPU_SESSION_OP_SET, &parameters, sizeof(parameters));
    if (r == CUDA_SUCCESS && !area->is_async &&
        (!memory_is_device(&piece) || piece.sync == MEMORY_SYNC_ON))
        r = libcuda_stream_wait(&call, stream);
    return r;
}

/* ---- The functions -----------------------------------------------------------------------------
 */

#define SET_LINE_(bits, type)                                                                   \
    CUresult cuMemsetD##bits##_v2(CUdeviceptr address, type value, size_t n)                    \
    {                                                                                           \
        return set(NULL, &(const SetArea){address, 0, n, 1, value, bits / 8, false});           \
    }                                                                                           \
    CUresult cuMemsetD##bits##_v2_ptds(CUdeviceptr address, type value, size_t n)               \
    {                                                                                           \
        return set(CU_STREAM_PER_THREAD,                                                        \
                   &(const SetArea){address, 0, n, 1, value, bits / 8, false});                 \
    }                                                                                           \
    CUresult cuMemsetD##bits##Async(CUdeviceptr address, type value, size_t n, CUstream stream) \
    {                                                                                           \
        return set(stream, &(const SetArea){address, 0, n, 1, value, bits / 8, true});          \
    }                                                                                           \
    CUresult cuMemsetD##bits##Async_ptsz(CUdeviceptr address, type value, size_t n, CUstream s) \
    {                                                                                           \
        return cuMemsetD##bits##Async(address, value, n, libcuda_per_thread(s));                \
    }

#define SET_ROWS_(bits, type)                                                                      \
    CUresult cuMemsetD2D##bits##_v2(CUdeviceptr address, size_t pitch, type value, size_t width,   \
                                    size_t height)                                                 \
    {                                                                                              \
        return set(NULL, &(const SetArea){address, pitch, width, height, value, bits / 8, false}); \
    }                                                                                              \
    CUresult cuMemsetD2D##bits##_v2_ptds(CUdeviceptr address, size_t pitch, type value,            \
                                         size_t width, size_t height)                              \
    {                                                                                              \
        return set(CU_STREAM_PER_THREAD,                                                           \
                   &(const SetArea){address, pitch, width, height, value, bits / 8, false});       \
    }                                                                                              \
    CUresult cuMemsetD2D##bits##Async(CUdeviceptr address, size_t pitch, type value, size_t width, \
                                      size_t height, CUstream stream)                              \
    {                                                                                              \
        return set(stream,                                                                         \
                   &(const SetArea){address, pitch, width, height, value, bits / 8, true});        \
    }                                                                                              \
    CUresult cuMemsetD2D##bits##Async_ptsz(CUdeviceptr address, size_t pitch, type value,          \
                                           size_t width, size_t height, CUstream stream)           \
    {                                                                                              \
        return cuMemsetD2D##bits##Async(address, pitch, value, width, height,                      \
                                        libcuda_per_thread(stream));                               \
    }

SET_LINE_(8, unsigned char)
SET_LINE_(16, unsigned short)
SET_LINE_(32, unsigned)
SET_ROWS_(8, unsigned char)
SET_ROWS_(16, unsigned short)
SET_ROWS_(32, unsigned)

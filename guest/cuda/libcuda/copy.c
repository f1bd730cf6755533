/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies of bytes in a row. What an end is, is seen from its address: the device's memory, memory
 * of the window, which the device reaches as well (pinned), or the program's own (pageable), which
 * goes through pieces of the window.
 */
#include <string.h>

#include "capture.h"
#include "copy-stage.h"
#include "memory-map.h"

typedef enum CopyEnd {
    COPY_DEVICE,
    COPY_PINNED,
    COPY_PAGEABLE,
} CopyEnd;

/* What lies there, and where the device has it. Bytes that lie partly in the window are the
 * program's own. */
static CUresult copy_end(uint64_t *address, size_t size, CopyEnd *ret, bool *syncs)
{
    MemoryPiece piece;

    *ret = COPY_PAGEABLE;
    if (!memory_map_find(*address, &piece))
        return CUDA_SUCCESS;
    *syncs = *syncs || piece.sync == MEMORY_SYNC_ON;
    if (memory_is_device(&piece)) {
        *ret = COPY_DEVICE;
        return memory_has(&piece, *address, size) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    }
    if (!memory_has(&piece, *address, size))
        return CUDA_SUCCESS;
    *address = piece.device + (*address - piece.address);
    *ret = COPY_PINNED;
    return CUDA_SUCCESS;
}

typedef struct CopyWay {
    uint64_t to, from;
    size_t size;
    CopyEnd to_end, from_end;
    bool is_async; /* the caller does not wait for what may go on without it */
    bool syncs;    /* else it waits for all: the program has said so of the memory */
} CopyWay;

static CUresult copy_on_device(const LibCall *call, LibStream *stream, const CopyWay *way)
{
    const VGPUSessionCopy parameters = {
        .to = way->to,
        .from = way->from,
        .size = way->size,
        .stream = stream->number,
    };
    CUresult r = libcuda_post(call, VGPU_SESSION_OP_COPY, &parameters, sizeof(parameters));

    /* Between two places of the device nobody waits; the program's own memory has to be there. */
    if (r == CUDA_SUCCESS && !way->is_async &&
        (way->syncs || way->to_end != COPY_DEVICE || way->from_end != COPY_DEVICE))
        r = libcuda_stream_wait(call, stream);
    return r;
}

/* In a graph, memory of the program's own is read and written when that is launched. */
static CUresult copy_captured(const LibCall *call, LibStream *stream, const CopyWay *way)
{
    if (!way->is_async)
        return capture_spoil(stream);
    if (way->to_end == COPY_PAGEABLE && way->from_end == COPY_PAGEABLE) {
        libcuda_log("a graph cannot copy between two places that the device does not reach");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    return copy_stage_capture(call, stream, way->to, way->from, way->size,
                              way->to_end == COPY_PAGEABLE);
}

static CUresult copy_go(const LibCall *call, LibStream *stream, const CopyWay *way)
{
    CUresult r;

    libcuda_stream_worked(stream);
    if (way->to_end != COPY_PAGEABLE && way->from_end != COPY_PAGEABLE)
        return copy_on_device(call, stream, way);
    if (capture_has(stream))
        return copy_captured(call, stream, way);
    if (way->to_end != COPY_PAGEABLE)
        return vgpu_session_upload(call->session, &call->from, stream->number, way->to,
                                   (const void *) way->from, way->size);
    if (way->from_end != COPY_PAGEABLE)
        return vgpu_session_download(call->session, &call->from, stream->number, (void *) way->to,
                                     way->from, way->size);
    r = libcuda_stream_wait(call, stream);
    if (r == CUDA_SUCCESS)
        memmove((void *) way->to, (const void *) way->from, way->size);
    return r;
}

enum {
    COPY_TO_DEVICE = 0x1, /* that end must be the device's, or the window's */
    COPY_FROM_DEVICE = 0x2,
    COPY_ASYNC = 0x4,
};

static CUresult copy(uint64_t to, uint64_t from, size_t size, CUstream handle, unsigned how)
{
    CopyWay way = {.to = to, .from = from, .size = size, .is_async = how & COPY_ASYNC};
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_work(handle, &call, &stream);

    if (r != CUDA_SUCCESS || size == 0)
        return r;
    if (to == 0 || from == 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = copy_end(&way.to, size, &way.to_end, &way.syncs);
    if (r == CUDA_SUCCESS)
        r = copy_end(&way.from, size, &way.from_end, &way.syncs);
    if (r != CUDA_SUCCESS)
        return r;
    if (((how & COPY_TO_DEVICE) && way.to_end == COPY_PAGEABLE) ||
        ((how & COPY_FROM_DEVICE) && way.from_end == COPY_PAGEABLE))
        return CUDA_ERROR_INVALID_VALUE;
    return copy_go(&call, stream, &way);
}

/* ---- The functions, with the context's default stream and with the thread's -------------------
 */

#define COPY_H_TO_D COPY_TO_DEVICE
#define COPY_D_TO_H COPY_FROM_DEVICE
#define COPY_D_TO_D (COPY_TO_DEVICE | COPY_FROM_DEVICE)

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t size)
{
    return copy(to, (uintptr_t) from, size, NULL, COPY_H_TO_D);
}

CUresult cuMemcpyHtoD_v2_ptds(CUdeviceptr to, const void *from, size_t size)
{
    return copy(to, (uintptr_t) from, size, CU_STREAM_PER_THREAD, COPY_H_TO_D);
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t size, CUstream stream)
{
    return copy(to, (uintptr_t) from, size, stream, COPY_H_TO_D | COPY_ASYNC);
}

CUresult cuMemcpyHtoDAsync_v2_ptsz(CUdeviceptr to, const void *from, size_t size, CUstream stream)
{
    return cuMemcpyHtoDAsync_v2(to, from, size, libcuda_per_thread(stream));
}

CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t size)
{
    return copy((uintptr_t) to, from, size, NULL, COPY_D_TO_H);
}

CUresult cuMemcpyDtoH_v2_ptds(void *to, CUdeviceptr from, size_t size)
{
    return copy((uintptr_t) to, from, size, CU_STREAM_PER_THREAD, COPY_D_TO_H);
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, CUstream stream)
{
    return copy((uintptr_t) to, from, size, stream, COPY_D_TO_H | COPY_ASYNC);
}

CUresult cuMemcpyDtoHAsync_v2_ptsz(void *to, CUdeviceptr from, size_t size, CUstream stream)
{
    return cuMemcpyDtoHAsync_v2(to, from, size, libcuda_per_thread(stream));
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t size)
{
    return copy(to, from, size, NULL, COPY_D_TO_D);
}

CUresult cuMemcpyDtoD_v2_ptds(CUdeviceptr to, CUdeviceptr from, size_t size)
{
    return copy(to, from, size, CU_STREAM_PER_THREAD, COPY_D_TO_D);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream)
{
    return copy(to, from, size, stream, COPY_D_TO_D | COPY_ASYNC);
}

CUresult cuMemcpyDtoDAsync_v2_ptsz(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream)
{
    return cuMemcpyDtoDAsync_v2(to, from, size, libcuda_per_thread(stream));
}

CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t size)
{
    return copy(to, from, size, NULL, 0);
}

CUresult cuMemcpy_ptds(CUdeviceptr to, CUdeviceptr from, size_t size)
{
    return copy(to, from, size, CU_STREAM_PER_THREAD, 0);
}

CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream)
{
    return copy(to, from, size, stream, COPY_ASYNC);
}

CUresult cuMemcpyAsync_ptsz(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream)
{
    return cuMemcpyAsync(to, from, size, libcuda_per_thread(stream));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "copy-stage.h"

#include <stdlib.h>
#include <string.h>

#include "capture.h"

static unsigned char *stage_row(const CopyStage *s, uint64_t y, uint64_t z)
{
    const VGPUSessionPlace *p = &s->place;

    return (unsigned char *) (p->address + ((p->z + z) * p->height + p->y + y) * p->pitch +
                              p->x_bytes);
}

static void stage_run(void *data)
{
    const CopyStage *s = data;
    unsigned char *packed = s->packed;

    for (uint64_t z = 0; z < s->depth; z++)
        for (uint64_t y = 0; y < s->height; y++, packed += s->width) {
            if (s->is_out)
                memcpy(stage_row(s, y, z), packed, s->width);
            else
                memcpy(packed, stage_row(s, y, z), s->width);
        }
}

CUresult copy_stage_new(const CopyStage *from, CopyStage **ret, VGPUSessionPlace *ret_buffer)
{
    CopyStage *stage = malloc(sizeof(*stage));
    CUresult r = CUDA_ERROR_INVALID_VALUE;
    uint64_t size;
    void *packed;

    if (!stage)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (!__builtin_mul_overflow(from->width, from->height, &size) &&
        !__builtin_mul_overflow(size, from->depth, &size))
        r = vgpu_session_window_alloc(from->session, size, 4096, &packed);
    if (r != CUDA_SUCCESS) {
        free(stage);
        return r;
    }
    *stage = *from;
    stage->packed = packed;
    *ret_buffer = (VGPUSessionPlace){
        .address = (uintptr_t) packed,
        .pitch = from->width,
        .height = from->height,
    };
    *ret = stage;
    return CUDA_SUCCESS;
}

void copy_stage_free(void *data)
{
    CopyStage *stage = data;

    (void) vgpu_session_window_free(stage->session, stage->packed);
    free(stage);
}

vgpu_session_host copy_stage_host(CopyStage *stage)
{
    return (vgpu_session_host){stage_run, stage, copy_stage_free};
}

CUresult copy_stage_capture(const LibCall *call, const LibStream *stream, uint64_t to,
                            uint64_t from, size_t size, bool is_out)
{
    const CopyStage line = {
        .session = call->session,
        .place = {.address = is_out ? to : from, .pitch = size, .height = 1},
        .width = size,
        .height = 1,
        .depth = 1,
        .is_out = is_out,
    };
    VGPUSessionCopy copy = {.to = to, .from = from, .size = size, .stream = stream->number};
    VGPUSessionPlace buffer;
    vgpu_session_host host;
    CopyStage *stage;
    CUresult r = copy_stage_new(&line, &stage, &buffer);

    if (r != CUDA_SUCCESS)
        return r;
    host = copy_stage_host(stage);
    *(is_out ? &copy.to : &copy.from) = buffer.address;
    if (is_out)
        r = libcuda_ask(call, VGPU_SESSION_OP_COPY, &copy, sizeof(copy), NULL);
    if (r == CUDA_SUCCESS) {
        r = vgpu_session_host_call_with(call->session, &call->from, stream->number, &host);
        if (r != CUDA_SUCCESS && is_out) /* its copy, to a buffer that is gone, is in the graph */
            (void) capture_spoil(stream);
    }
    if (r != CUDA_SUCCESS) {
        copy_stage_free(stage);
        return r;
    }
    return is_out ? r : libcuda_ask(call, VGPU_SESSION_OP_COPY, &copy, sizeof(copy), NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies in graphs of memory that the device does not reach: a buffer in the window stands for it,
 * and a function of this library's moves the bytes each time that the graph is launched, before
 * the copy or after it.
 */
#ifndef VGPU_LIBCUDA_COPY_STAGE_H
#define VGPU_LIBCUDA_COPY_STAGE_H

#include "libcuda.h"

typedef struct CopyStage {
    vgpu_session *session;
    unsigned char *packed;  /* the buffer, where rows lie one behind the other */
    VGPUSessionPlace place; /* the program's; its address is one of this process */
    uint64_t width, height, depth;
    bool is_out; /* to the program */
} CopyStage;

/*
 * copy_stage_new() - @stage: all but packed
 * @ret: for copy_stage_host(), whose function's end frees it; or copy_stage_free()
 * @ret_buffer: what the device copies instead
 */
CUresult copy_stage_new(const CopyStage *stage, CopyStage **ret, VGPUSessionPlace *ret_buffer);
void copy_stage_free(void *stage);

/* copy_stage_host() - the function that moves the bytes */
vgpu_session_host copy_stage_host(CopyStage *stage);

/* copy_stage_capture() - a copy of a line in a stream that captures. @is_out: @to is the program's
 * memory, else @from */
CUresult copy_stage_capture(const LibCall *call, const LibStream *stream, uint64_t to,
                            uint64_t from, size_t size, bool is_out);

#endif

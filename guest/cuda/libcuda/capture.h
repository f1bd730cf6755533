/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Captures that are under way. Whether a stream captures is known here, as all that may make it so
 * goes through this library: nothing of its own is put into such a stream.
 */
#ifndef VGPU_LIBCUDA_CAPTURE_H
#define VGPU_LIBCUDA_CAPTURE_H

#include "graph.h"

static inline bool capture_has(const LibStream *stream)
{
    return __atomic_load_n(&stream->is_capturing, __ATOMIC_RELAXED);
}

/* capture_join() - the stream belongs to the capture of an event that it waits for, if that is
 * still under way */
void capture_join(LibStream *stream, uint64_t id);

/* capture_spoil() - something was done that ends the capture of a stream: it is of no use any more.
 * Returns CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED */
CUresult capture_spoil(const LibStream *stream);

/* capture_forbids() - what reaches no executor is judged by its rule for threads and captures
 * (vgpu-session.h). Returns CUDA_SUCCESS, or _STREAM_CAPTURE_UNSUPPORTED: and the captures are
 * spoilt */
CUresult capture_forbids(void);

#endif

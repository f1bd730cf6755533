/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An event, for those who put it into streams, graphs and launches. */
#ifndef VGPU_LIBCUDA_EVENT_H
#define VGPU_LIBCUDA_EVENT_H

#include "libcuda.h"

/* Under the event's lock: of the event, and of those who wait for it */
typedef struct LibEventFence {
    vgpu_session_fence *fence;
    uint64_t last; /* what the last record is behind */
    unsigned n;    /* how many have it */
} LibEventFence;

typedef struct LibEvent {
    CUevent handle;
    LibContext *context;
    uint32_t number; /* of the session's */
    uint64_t opened; /* of the context: it ends with that */
    unsigned flags;
    bool is_captured; /* recorded last in a stream that captured */
    uint64_t capture_id;
    pthread_mutex_t lock; /* of the fence, and the stream */
    LibEventFence *fence; /* NULL: never recorded */
    uint64_t looked;      /* atomic: as that of a stream */
    uint32_t stream;      /* in which it was recorded */
} LibEvent;

/* event_of() - from its handle, with its context. Returns what libcuda_enter() does,
 * CUDA_ERROR_INVALID_HANDLE, or _CONTEXT_IS_DESTROYED */
CUresult event_of(CUevent handle, LibCall *call, LibEvent **ret);

/* event_record() - in a stream of the event's context; @flags as cuEventRecordWithFlags() has them
 */
CUresult event_record(const LibCall *call, LibEvent *event, LibStream *stream, unsigned flags);

/* event_recorded() - a launch that was put into the stream records it */
CUresult event_recorded(const LibCall *call, LibEvent *event, LibStream *stream);

/* event_wait() - have the stream wait for it. A stream that waits for an event of a capture belongs
 * to that capture from then on. */
CUresult event_wait(const LibCall *call, const LibEvent *event, LibStream *stream, unsigned flags);

#endif

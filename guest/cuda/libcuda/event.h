/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An event, for those who put it into streams, graphs and launches. */
#ifndef VGPU_LIBCUDA_EVENT_H
#define VGPU_LIBCUDA_EVENT_H

#include "libcuda.h"

/* CUevent_flags */
enum {
    EVENT_BLOCKING_SYNC = 0x1,
    EVENT_DISABLE_TIMING = 0x2,
    EVENT_INTERPROCESS = 0x4,
};

typedef struct LibEvent {
    CUevent handle;
    LibContext *context;
    uint32_t number; /* of the session's */
    unsigned flags;
    bool is_captured; /* recorded last in a stream that captured */
    uint64_t capture_id;
    pthread_mutex_t lock; /* of the fence's making and its numbers */
    vgpu_session_fence *fence;
    uint64_t last;   /* of the fence: what the last record is behind */
    uint32_t stream; /* in which it was recorded */
} LibEvent;

#endif

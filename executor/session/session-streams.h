/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams, for the core. All on the ring's thread. */
#ifndef VGPU_SESSION_STREAMS_H
#define VGPU_SESSION_STREAMS_H

#include "session-core.h"

/* What an operation puts into a stream */
typedef enum SessionStreamUse {
    SESSION_USE_ASK,   /* nothing */
    SESSION_USE_WORK,  /* what computes or copies: the time limit is for it */
    SESSION_USE_QUICK, /* what takes no time by itself */
    SESSION_USE_WAIT,  /* what waits for something that may never come, or for the host */
} SessionStreamUse;

/* session_use_stream() - the stream of that number, 0 being the context's legacy default stream,
 * prepared for what it is about to get. Returns CUDA_SUCCESS, or _INVALID_HANDLE */
CUresult session_use_stream(Session *s, uint32_t id, SessionStreamUse use, SessionStream **ret);

/* session_stream_captures() - is what it gets now captured? */
bool session_stream_captures(Session *s, const SessionStream *stream);

/* session_capture_event() - an event is about to become a node, if the stream that was asked for
 * last captures. Returns CUDA_SUCCESS or _OUT_OF_MEMORY */
CUresult session_capture_event(Session *s, CUevent event, uint32_t id);

/* session_stream_init() - of a context; @place of its word in session-marks.h, or
 * SESSION_NO_PLACE. From either thread */
void session_stream_init(SessionStream *stream, SessionContext *context, uint32_t place);

/*
 * session_stream_end() - destroy it in the driver, but for the legacy default stream
 *
 * Its number is free already. It is freed when the device has done what it was given: now, or by
 * session-meter.c. Returns what the driver says.
 */
CUresult session_stream_end(Session *s, SessionStream *stream);

/* session_stream_free() - also takes one that is embedded in its context; gives its place back */
void session_stream_free(Session *s, SessionStream *stream);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Captures that are under way: who has begun them, what they have in them, and what that means for
 * the calls of other threads of the guest.
 *
 * The driver's rule is one of threads, and all of the guest's calls are made by the executor's.
 * So every capture that is not RELAXED is begun as GLOBAL, which the driver holds against calls of
 * any thread; and each operation is made in the mode GLOBAL when the rule is against it
 * (vgpu-session.h), and RELAXED when it is not.
 *
 * Times of captures are counted: one begins with a capture when there is none. What is remembered
 * of modules and events is of all captures of that time.
 */
#ifndef VGPU_SESSION_SESSION_CAPTURES_H
#define VGPU_SESSION_SESSION_CAPTURES_H

#include "session-core.h"
#include "session-graph.h"

/* CUstreamCaptureMode */
enum {
    SESSION_CAPTURE_GLOBAL = 0,
    SESSION_CAPTURE_THREAD_LOCAL = 1,
    SESSION_CAPTURE_RELAXED = 2,
};

/* session_captures_open() - before any thread starts */
void session_captures_open(Session *s);

/* session_captures_mode() - in which mode to make the record's call; from either thread */
int session_captures_mode(Session *s, const VGPUSessionRecord *record);

/* session_captures_begin() - a capture was begun in @stream: @mode is what the guest has said */
void session_captures_begin(Session *s, SessionStream *stream, const VGPUSessionRecord *record,
                            uint32_t mode);

/* session_captures_end() - it has ended. Takes the handles' lock */
void session_captures_end(Session *s, SessionStream *stream);

/* session_captures_count() - @n more nodes, or CUDA_ERROR_OUT_OF_MEMORY; @may_wait: for the guest,
 * a word or an event. On the ring's thread */
CUresult session_captures_count(Session *s, uint32_t n, bool may_wait);

/* ---- With the handles' lock held ------------------------------------------------------------- */

/* session_captures_module() - a function of it is captured */
CUresult session_captures_module(Session *s, SessionModule *module);

/* session_captures_named() - the same of what has no such time of its own: an array or a mipmap */
CUresult session_captures_named(Session *s, const void *object);

/* session_captures_event() - an event is captured as a node */
CUresult session_captures_event(Session *s, CUevent event, uint32_t id);

/* session_captures_exec() - an executable graph is captured */
CUresult session_captures_exec(Session *s, const SessionGraph *exec);

/* session_captures_have() - may a node have that event? */
bool session_captures_have(Session *s, CUevent event);

/* session_captures_forget() - nor has any, and the captures are of no use if one had */
void session_captures_forget(Session *s, CUevent event);

/* session_captures_break() - likewise, when a module, an array or a mipmap ends */
void session_captures_break(Session *s, const void *object);

/* session_captures_are_broken() - has something ended that those under way have in them? */
bool session_captures_are_broken(Session *s);

/* session_captures_take() - what may be in a graph that a capture has made. Returns CUDA_SUCCESS,
 * _STREAM_CAPTURE_INVALIDATED when something in it has ended, or _OUT_OF_MEMORY */
CUresult session_captures_take(Session *s, SessionGraph *graph);

#endif

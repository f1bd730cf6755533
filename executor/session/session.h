/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A CUDA session in its executor: what the operations of vgpu-session.h work on.
 *
 * Two threads carry out operations: the ring's, and one for those that are SLOW. Each holds the
 * session's lock while it changes the tables here, and never while it is in the driver's slow
 * functions.
 */
#ifndef VGPU_SESSION_SESSION_H
#define VGPU_SESSION_SESSION_H

#include <pthread.h>

#include "cuda-session.h"
#include "memory-guard.h"
#include "session-protocol.h"
#include "vgpu-session.h"

/* Kinds of objects, each with numbers of its own */
typedef enum SessionKind {
    SESSION_CONTEXT,
    SESSION_STREAM,
    SESSION_EVENT,
    SESSION_PHYSICAL,
    SESSION_MODULE,
    SESSION_FUNCTION,
    SESSION_GRAPH,
    SESSION_EXEC,
    SESSION_POOL,
    SESSION_ARRAY,
    SESSION_MIPMAP,
    SESSION_LINK,
    SESSION_N_KINDS,
} SessionKind;

typedef struct Session Session;

/* An operation that is carried out: a copy of its record, which the guest cannot change any more.
 */
typedef struct SessionCall {
    VGPUSessionRecord record;
    uint64_t position;         /* of the record in the ring */
    const void *parameters;    /* of the operation's type, checked for size; 16-aligned */
    const unsigned char *more; /* what follows them */
    uint32_t more_size;        /* bytes */
    uint64_t value[6];         /* for the reply; zeros before */
} SessionCall;

/*
 * Every operation is one function, session_op_NAME, in the file of its area. It checks what
 * the table in vgpu-session.h does not say, calls the driver, and returns the CUresult for the
 * guest.
 */
#define SESSION_OPERATION_(name, number, parameters, properties) \
    CUresult session_op_##name(Session *s, SessionCall *call);
VGPU_SESSION_OPERATIONS(SESSION_OPERATION_)
#undef SESSION_OPERATION_

/* ---- For the operations (session-objects.c, session-window.c) ------------------------------ */

const CudaSessionDriver *session_driver(const Session *s);
CUdevice session_device(const Session *s);
SessionControl *session_control(Session *s);
const SessionStart *session_limits(const Session *s);

/* session_add() - give a number to an object. Returns CUDA_SUCCESS, _INVALID_VALUE for a number
 * that is 0, taken, or above the limit. The object stays the caller's on failure. */
CUresult session_add(Session *s, SessionKind kind, uint32_t id, void *object);

/* session_find() - returns CUDA_SUCCESS, or _INVALID_HANDLE (of a context: _INVALID_CONTEXT). The
 * object of an event is its CUevent. Those of contexts and streams are the core's own. */
CUresult session_find(Session *s, SessionKind kind, uint32_t id, void **ret);

/* session_remove() - as session_find(), and the number is free again */
CUresult session_remove(Session *s, SessionKind kind, uint32_t id, void **ret);

/* session_find_stream() - 0 is the context's legacy default stream. Counts as given to the device:
 * to be called for each operation that gives work, before the driver. */
CUresult session_find_stream(Session *s, uint32_t id, CUstream *ret);

/* session_window() - bytes of the window, or NULL when they do not lie in it */
unsigned char *session_window(Session *s, uint64_t offset, uint64_t size);

/* session_window_has() - are these bytes, one at least, in the window as the guest addresses it,
 * and pinned? */
bool session_window_has(Session *s, uint64_t address, uint64_t size);

/* session_window_run() - how many bytes from @address on the driver takes as one: to the end of the
 * piece that was pinned. UINT64_MAX for what is not in the window. */
uint64_t session_window_run(Session *s, uint64_t address);

/* session_store() - what the operations of memory, modules and graphs keep (session-store.h). The
 * session has made it with session_store_new(), frees it last, and calls session_store_leave()
 * before it destroys a context. */
struct SessionStore *session_store(Session *s);

/* ---- Memory (session-store.c) -------------------------------------------------------------- */

/* session_memory_has() - may an operation touch these bytes? In one allocation, or in the window */
bool session_memory_has(Session *s, uint64_t address, uint64_t size);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that is freed in the order of a stream stays the device's until the stream has come so
 * far. Under a quota it is charged as long: or a guest would free into a stream that waits for
 * ever, and allocate again.
 *
 * The device writes a word behind each free. Whoever needs room looks at the words.
 */
#ifndef VGPU_SESSION_SESSION_FREES_H
#define VGPU_SESSION_SESSION_FREES_H

#include "session-memory.h"
#include "session.h"

/* How many may be on their way in a context; a driver queues about twice as many works. */
#define SESSION_FREES_MAX 512u

/* Of one context */
typedef struct SessionFrees {
    LIST_ENTRY(SessionFrees) link;
    uint32_t context;
    uint32_t n;                             /* ranges in it */
    SessionRange *range[SESSION_FREES_MAX]; /* NULL: its word is not in use */
    uint32_t *words;                        /* 1: done */
    CUdeviceptr device;                     /* of the words */
    CUevent last;                           /* behind the last free */
    bool is_held;                           /* may the pool still keep what was freed? */
} SessionFrees;

/* session_frees_begin() - memory is about to be allocated in the order of a stream of a context,
 * which is current. Makes what frees need; a driver may not while one of its streams waits */
CUresult session_frees_begin(Session *s, uint32_t context);

/*
 * session_free_in_order() - cuMemFreeAsync(), in the context of the operation
 * @range: taken from the session's memory; this keeps it, drops it, or puts it back
 *
 * On the ring's thread. Returns what the driver says, or CUDA_ERROR_OUT_OF_MEMORY when too many
 * are on their way: nothing is freed then.
 */
CUresult session_free_in_order(Session *s, uint32_t context, SessionRange *range, CUstream stream);

/*
 * session_frees_settle() - give back the charge of all whose turn has come
 *
 * Has the pools give back what they keep, too. Of what was freed in the order of a stream the
 * driver knows that only when it is asked to wait: for an event behind the last free that has come
 * already. cuMemPoolTrimTo() alone does not do, as tried on an H200.
 */
void session_frees_settle(Session *s, uint32_t context);

/* session_frees_note() - the same, but the pools keep what they may */
void session_frees_note(Session *s, uint32_t context);

/* session_frees_end() - a context, which is current and has done all its work, is about to be
 * destroyed */
void session_frees_end(Session *s, uint32_t context);

/* session_frees_free() - the driver is not called */
void session_frees_free(SessionFrees *frees, SessionMemory *memory);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the operations on memory, images, modules, functions and graphs keep of a session, beside
 * the tables of numbers.
 *
 * Modules and images' contents are used by the SLOW thread alone. Functions and graphs are used by
 * the ring's thread, and end on the SLOW one, with their module or context: both hold the handles'
 * lock from session_find() until the driver has returned. Only a launch does without
 * (session-launch.h).
 */
#ifndef VGPU_SESSION_SESSION_STORE_H
#define VGPU_SESSION_SESSION_STORE_H

#include <sys/queue.h>

#include "session-frees.h"
#include "session-image.h"
#include "session-memory.h"
#include "session.h"

typedef struct SessionModule SessionModule;

/* A function, with the layout of its parameters */
typedef struct SessionFunction {
    LIST_ENTRY(SessionFunction) link; /* in its module's */
    uint32_t id;
    CUfunction handle;
    uint32_t parameters_size; /* bytes of all */
    uint32_t n_parameters;
    VGPUSessionParameter parameter[];
} SessionFunction;

struct SessionModule {
    LIST_ENTRY(SessionModule) link;
    uint32_t id;
    uint32_t context;
    CUmodule handle;
    LIST_HEAD(, SessionFunction) functions;
};

/* A graph, or an executable one */
typedef struct SessionGraph {
    LIST_ENTRY(SessionGraph) link;
    SessionKind kind;
    uint32_t id;
    uint32_t context;
    union {
        CUgraph graph;    /* SESSION_GRAPH */
        CUgraphExec exec; /* SESSION_EXEC */
    };
} SessionGraph;

typedef struct SessionStore {
    SessionMemory memory;
    SessionImages images;
    LIST_HEAD(, SessionPhysical) physicals; /* of the ring's thread */
    pthread_mutex_t frees_lock;
    LIST_HEAD(, SessionFrees) frees;
    pthread_mutex_t handles;
    LIST_HEAD(, SessionModule) modules;
    LIST_HEAD(, SessionGraph) graphs;
} SessionStore;

/* session_store_new() - returns NULL when there is no memory. @limits and @control stay the
 * caller's, and must outlive it */
SessionStore *session_store_new(const SessionStart *limits, SessionControl *control);

/* session_store_free() - at the end of the session, when no thread uses it; the driver is not
 * called. Also takes NULL */
void session_store_free(SessionStore *store);

/* session_store_leave() - end all that belongs to a context, which is current and about to be
 * destroyed: memory, modules with their functions, graphs. On the SLOW thread */
void session_store_leave(Session *s, uint32_t context);

/* CU_STREAM_CAPTURE_MODE_RELAXED: for what the executor does for itself. Captures, of any thread,
 * forbid that nothing, and survive it. */
#define SESSION_CAPTURE_MODE_RELAXED 2

/* session_exchange_capture_mode() - of this thread; returns the one that it had */
int session_exchange_capture_mode(Session *s, int mode);

/* session_count() - add to a counter of the control page that the ring's thread alone writes */
static inline void session_count(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

/* session_module_end() - take a module, its functions and its variables out of everything, unload
 * it, and free it. Returns what the driver says. On the SLOW thread */
CUresult session_module_end(Session *s, SessionModule *module);

/* session_graph_end() - take a graph, of either kind, out of everything, destroy it, and free it.
 * The caller holds the handles' lock */
CUresult session_graph_end(Session *s, SessionGraph *graph);

#endif

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

#include "nvml-usage.h"
#include "session-arrays.h"
#include "session-frees.h"
#include "session-image.h"
#include "session-memory.h"
#include "session.h"

typedef struct SessionModule SessionModule;

/* A function, with the layout of its parameters */
typedef struct SessionFunction {
    LIST_ENTRY(SessionFunction) link; /* in its module's */
    LIST_ENTRY(SessionFunction) by_handle;
    struct SessionModule *module;
    uint32_t id;
    CUfunction handle;
    struct SessionContext *context; /* its module's */
    uint32_t local_size;            /* bytes of local memory of a thread (session-local.h) */
    uint32_t parameters_size;       /* bytes of all */
    uint32_t n_parameters;
    VGPUSessionParameter parameter[];
} SessionFunction;

struct SessionModule {
    LIST_ENTRY(SessionModule) link;
    uint32_t id;
    uint32_t context;
    struct SessionContext *owner; /* that context, which outlives the module */
    CUmodule handle;
    uint64_t charge; /* bytes of device memory (module-memory.h) */
    LIST_HEAD(, SessionFunction) functions;
    uint64_t captured; /* the last time of captures that has one of these (session-captures.h) */
};

/* (session-graph.h) */
typedef struct SessionGraph SessionGraph;

/* Functions by the driver's handle: what it says of a node */
#define SESSION_FUNCTION_PLACES 1024u

struct SessionLink; /* session-link.h */

typedef struct SessionStore {
    SessionMemory memory;
    SessionImages images;
    NvmlUsage usage;                /* the SLOW thread's */
    pthread_mutex_t physicals_lock; /* of all that is in the list, and of the list */
    LIST_HEAD(, SessionPhysical) physicals;
    pthread_mutex_t frees_lock; /* of the next four */
    LIST_HEAD(, SessionFrees) frees;
    SessionPool default_pool;
    LIST_HEAD(, SessionPool) pools; /* also those that were destroyed and have allocations */
    uint32_t n_pools;
    pthread_mutex_t handles;
    LIST_HEAD(, SessionModule) modules;
    LIST_HEAD(, SessionFunction) functions[SESSION_FUNCTION_PLACES];
    LIST_HEAD(, SessionGraph) graphs;
    uint64_t last_graph;            /* the ring's thread's: how many there were, each's serial */
    LIST_HEAD(, SessionLink) links; /* the SLOW thread's, with what follows */
    uint32_t n_links;
    uint64_t links_size; /* bytes that they were given */
    SessionArrays arrays;
    LIST_HEAD(, SessionOrphan) orphans; /* events (session-graph.c) */
    uint32_t n_nodes;                   /* atomic: of all graphs */
} SessionStore;

/* session_store_new() - returns NULL when there is no memory. @limits, @control and @account stay
 * the caller's, and must outlive it */
SessionStore *session_store_new(const SessionStart *limits, SessionControl *control,
                                SessionAccount *account);

/* session_store_free() - at the end of the session, when no thread uses it; the driver is not
 * called. Also takes NULL */
void session_store_free(SessionStore *store);

/* session_store_leave() - end all that belongs to a context, which is current and about to be
 * destroyed: memory, arrays and textures, modules with their functions, graphs. On the SLOW thread
 */
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

/* session_store_remove() - free an object's number, unless that names another object by now:
 * numbers of a context that ends are free before the SLOW thread comes to it */
void session_store_remove(Session *s, SessionKind kind, uint32_t id, const void *object);

/*
 * session_prepare() - charge the quota for memory, and make a range of it (session-memory.h)
 * @size: bytes; 0 is CUDA_ERROR_INVALID_VALUE
 *
 * Memory that was freed in the order of streams that have come so far is given back before it
 * fails. Returns CUDA_SUCCESS, or the CUresult for the guest.
 */
CUresult session_prepare(Session *s, const SessionCall *call, SessionRangeKind kind, uint64_t size,
                         SessionRange **ret);

/* session_charge() - charge the quota alone, as session_prepare() does. @size: bytes, not 0 */
CUresult session_charge(Session *s, const SessionCall *call, uint64_t size);

/* session_unshare() - ALLOCATED memory, out of the tree, is about to be freed */
void session_unshare(Session *s, SessionRange *range);

/* session_physical_add() - physical memory of the number @id; the quota is charged. Handle and
 * charge stay the caller's on failure */
CUresult session_physical_add(Session *s, uint32_t id, CUmemGenericAllocationHandle handle,
                              uint64_t size, bool is_shareable);

/* session_physical_flags() - what the driver has made of the wish for VGPU_PHYSICAL_COMPRESSED:
 * that, or 0 */
uint32_t session_physical_flags(Session *s, CUmemGenericAllocationHandle handle);

/* session_physical_settle() - it may have lost its number, a mapping or a holder: free it with the
 * last. The caller holds the physicals' lock */
void session_physical_settle(Session *s, SessionPhysical *physical);

/* session_module_end() - take a module, its functions and its variables out of everything, unload
 * it, and free it. Returns what the driver says. On the SLOW thread */
CUresult session_module_end(Session *s, SessionModule *module);

/* session_function_add() - it is known by its handle, too. The caller holds the handles' lock, and
 * session_module_end() undoes it */
void session_function_add(SessionStore *store, SessionModule *module, SessionFunction *function);

/* session_function_of() - of a handle of the driver's, or NULL. The caller holds the handles' lock
 */
const SessionFunction *session_function_of(const SessionStore *store, CUfunction handle);

/* session_graphs_break() - a module, an array or a mipmap is about to end: no graph that names it
 * is used any more. The caller holds the handles' lock */
void session_graphs_break(Session *s, const void *object);

/* session_graphs_free() - the driver is not called */
void session_graphs_free(SessionStore *store);

/* session_graph_end() - take a graph, of either kind, out of everything, destroy it, and free it.
 * The caller holds the handles' lock */
CUresult session_graph_end(Session *s, SessionGraph *graph);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * User objects: what lives as long as graphs need it. They are counted here, and the executor does
 * not know them. A thread of this library's calls their destructors, so that none runs in the
 * middle of a call of the program's.
 */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"

typedef struct LibUserObject {
    STAILQ_ENTRY(LibUserObject) link; /* of those that are to be destroyed */
    CUuserObject handle;
    GraphFunction destroy;
    void *data;
    unsigned n; /* references */
} LibUserObject;

/* How often a graph has an object */
struct LibHeld {
    LibUserObject *object;
    unsigned n;
};

/* All counts, and what follows */
static pthread_mutex_t user_object_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t user_object_more = PTHREAD_COND_INITIALIZER;
static STAILQ_HEAD(, LibUserObject) user_object_dead = STAILQ_HEAD_INITIALIZER(user_object_dead);
static bool user_object_has_thread;

static void *user_object_thread(void *unused)
{
    pthread_mutex_lock(&user_object_lock);
    for (;;) {
        LibUserObject *object = STAILQ_FIRST(&user_object_dead);

        if (!object) {
            pthread_cond_wait(&user_object_more, &user_object_lock);
            continue;
        }
        STAILQ_REMOVE_HEAD(&user_object_dead, link);
        pthread_mutex_unlock(&user_object_lock);
        object->destroy(object->data);
        free(object);
        pthread_mutex_lock(&user_object_lock);
    }
    return unused;
}

/* With the lock held. Signals are for the program's own threads. */
static bool user_object_start(void)
{
    sigset_t all, before;
    pthread_attr_t detached;
    pthread_t thread;

    if (user_object_has_thread)
        return true;
    sigfillset(&all);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    user_object_has_thread = pthread_create(&thread, &detached, user_object_thread, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    return user_object_has_thread;
}

/* With the lock held */
static void user_object_give(LibUserObject *object, unsigned n)
{
    object->n -= n;
    if (object->n > 0)
        return;
    handle_end(object->handle);
    STAILQ_INSERT_TAIL(&user_object_dead, object, link);
    pthread_cond_signal(&user_object_more);
}

/* With the lock held */
static CUresult user_object_take(LibUserObject *object, unsigned n)
{
    if (n > INT_MAX - object->n)
        return CUDA_ERROR_INVALID_VALUE;
    object->n += n;
    return CUDA_SUCCESS;
}

static CUresult user_object_of(CUuserObject handle, unsigned n, LibUserObject **ret)
{
    *ret = handle_object(HANDLE_USER_OBJECT, handle);
    return *ret && n > 0 && n <= INT_MAX ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- What graphs hold --------------------------------------------------------------------------
 */

/* With the lock held */
static CUresult held_add(LibGraph *graph, LibUserObject *object, unsigned n)
{
    LibHeld *more;

    for (size_t i = 0; i < graph->n_held; i++)
        if (graph->held[i].object == object) {
            graph->held[i].n += n;
            return CUDA_SUCCESS;
        }
    more = realloc(graph->held, (graph->n_held + 1) * sizeof(*more));
    if (!more)
        return CUDA_ERROR_OUT_OF_MEMORY;
    graph->held = more;
    graph->held[graph->n_held++] = (LibHeld){object, n};
    return CUDA_SUCCESS;
}

CUresult user_objects_copy(const LibGraph *from, LibGraph *to)
{
    CUresult r = CUDA_SUCCESS;

    if (from->n_held == 0)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&user_object_lock);
    for (size_t i = 0; i < from->n_held && r == CUDA_SUCCESS; i++) {
        r = user_object_take(from->held[i].object, from->held[i].n);
        if (r == CUDA_SUCCESS)
            r = held_add(to, from->held[i].object, from->held[i].n);
    }
    pthread_mutex_unlock(&user_object_lock);
    return r;
}

/* What a graph that has ended held */
typedef struct UserObjectsLeft {
    LibHeld *held;
    size_t n;
} UserObjectsLeft;

static void user_objects_give(void *data)
{
    UserObjectsLeft *left = data;

    pthread_mutex_lock(&user_object_lock);
    for (size_t i = 0; i < left->n; i++)
        user_object_give(left->held[i].object, left->held[i].n);
    pthread_mutex_unlock(&user_object_lock);
    free(left->held);
    free(left);
}

/* Does the stream of that number live, and take what is no part of a capture? */
static bool user_objects_stream(LibContext *c, uint32_t number)
{
    const LibStream *stream;
    bool takes = false;

    pthread_mutex_lock(&c->lock);
    LIST_FOREACH(stream, &c->streams, of_context)
    if (stream->number == number)
        takes = !__atomic_load_n(&stream->is_capturing, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&c->lock);
    return takes;
}

/* Launches of one executable graph come one after the other: what is behind the last is behind all.
 */
void user_objects_leave(const LibCall *call, LibGraph *graph)
{
    UserObjectsLeft *left;

    if (graph->n_held == 0)
        return;
    left = malloc(sizeof(*left));
    if (!left)
        return; /* then they stay */
    *left = (UserObjectsLeft){graph->held, graph->n_held};
    graph->held = NULL;
    graph->n_held = 0;
    if (!graph->is_launched || call->from.context == 0 ||
        !user_objects_stream(graph->launched_in, graph->last) ||
        vgpu_session_host_call(call->session,
                               &(const vgpu_session_from){.context = graph->launched_in->number},
                               graph->last, user_objects_give, left) != CUDA_SUCCESS)
        user_objects_give(left);
}

CUresult cuGraphRetainUserObject(CUgraph handle, CUuserObject object_handle, unsigned n,
                                 unsigned flags)
{
    LibUserObject *object;
    LibGraph *graph;
    LibCall call;
    CUresult r = graph_enter(handle, &call, &graph);

    if (r == CUDA_SUCCESS)
        r = flags <= GRAPH_USER_OBJECT_MOVE ? user_object_of(object_handle, n, &object)
                                            : CUDA_ERROR_INVALID_VALUE;
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&user_object_lock);
    if (flags != GRAPH_USER_OBJECT_MOVE)
        r = user_object_take(object, n);
    else if (n > object->n)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        r = held_add(graph, object, n);
    pthread_mutex_unlock(&user_object_lock);
    return r;
}

CUresult cuGraphReleaseUserObject(CUgraph handle, CUuserObject object_handle, unsigned n)
{
    LibUserObject *object;
    LibGraph *graph;
    LibCall call;
    size_t i = 0;
    CUresult r = graph_enter(handle, &call, &graph);

    if (r == CUDA_SUCCESS)
        r = user_object_of(object_handle, n, &object);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&user_object_lock);
    while (i < graph->n_held && graph->held[i].object != object)
        i++;
    if (i == graph->n_held || n > graph->held[i].n) {
        r = CUDA_ERROR_INVALID_VALUE;
    } else {
        graph->held[i].n -= n;
        if (graph->held[i].n == 0)
            graph->held[i] = graph->held[--graph->n_held];
        user_object_give(object, n);
    }
    pthread_mutex_unlock(&user_object_lock);
    return r;
}

/* ---- Objects -----------------------------------------------------------------------------------
 */

CUresult cuUserObjectCreate(CUuserObject *ret, void *data, GraphFunction destroy, unsigned n,
                            unsigned flags)
{
    LibUserObject *object;
    LibCall call;
    bool has_thread;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !destroy || n == 0 || n > INT_MAX || flags != USER_OBJECT_NO_DESTRUCTOR_SYNC)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&user_object_lock);
    has_thread = user_object_start();
    pthread_mutex_unlock(&user_object_lock);
    object = has_thread ? calloc(1, sizeof(*object)) : NULL;
    if (!object)
        return CUDA_ERROR_OUT_OF_MEMORY;
    object->destroy = destroy;
    object->data = data;
    object->n = n;
    object->handle = handle_new(HANDLE_USER_OBJECT, object);
    if (!object->handle) {
        free(object);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *ret = object->handle;
    return CUDA_SUCCESS;
}

static CUresult user_object_change(CUuserObject handle, unsigned n, bool retain)
{
    LibUserObject *object;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r == CUDA_SUCCESS)
        r = user_object_of(handle, n, &object);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&user_object_lock);
    if (retain)
        r = user_object_take(object, n);
    else if (n > object->n)
        r = CUDA_ERROR_INVALID_VALUE;
    else
        user_object_give(object, n);
    pthread_mutex_unlock(&user_object_lock);
    return r;
}

CUresult cuUserObjectRetain(CUuserObject object, unsigned n)
{
    return user_object_change(object, n, true);
}

CUresult cuUserObjectRelease(CUuserObject object, unsigned n)
{
    return user_object_change(object, n, false);
}

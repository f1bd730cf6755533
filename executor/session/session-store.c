/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-store.h"

#include "session-launch.h"

#include <stdlib.h>

SessionStore *session_store_new(const SessionStart *limits, SessionControl *control)
{
    SessionStore *store = calloc(1, sizeof(*store));

    if (!store)
        return NULL;
    session_memory_open(&store->memory, limits->memory_max, control);
    session_images_open(&store->images, limits->images_max, limits->objects_max, control);
    pthread_mutex_init(&store->frees_lock, NULL);
    pthread_mutex_init(&store->handles, NULL);
    LIST_INIT(&store->frees);
    LIST_INIT(&store->physicals);
    LIST_INIT(&store->modules);
    LIST_INIT(&store->graphs);
    return store;
}

static void store_free_module(SessionModule *module)
{
    SessionFunction *f;

    while ((f = LIST_FIRST(&module->functions))) {
        LIST_REMOVE(f, link);
        free(f);
    }
    LIST_REMOVE(module, link);
    free(module);
}

void session_store_free(SessionStore *store)
{
    SessionPhysical *physical;
    SessionModule *module;
    SessionGraph *graph;
    SessionFrees *frees;

    if (!store)
        return;
    while ((module = LIST_FIRST(&store->modules)))
        store_free_module(module);
    while ((graph = LIST_FIRST(&store->graphs))) {
        LIST_REMOVE(graph, link);
        free(graph);
    }
    while ((physical = LIST_FIRST(&store->physicals))) {
        LIST_REMOVE(physical, link);
        free(physical);
    }
    while ((frees = LIST_FIRST(&store->frees))) {
        LIST_REMOVE(frees, link);
        session_frees_free(frees, &store->memory);
    }
    session_images_close(&store->images);
    session_memory_close(&store->memory);
    pthread_mutex_destroy(&store->frees_lock);
    pthread_mutex_destroy(&store->handles);
    free(store);
}

int session_exchange_capture_mode(Session *s, int mode)
{
    (void) session_driver(s)->thread_exchange_stream_capture_mode(&mode);
    return mode;
}

/* Frees its number, unless that names another object by now: numbers of a context that ends are
 * free before this thread comes to it. */
static void store_remove(Session *s, SessionKind kind, uint32_t id, const void *object)
{
    void *found;

    if (session_find(s, kind, id, &found) == CUDA_SUCCESS && found == object)
        (void) session_remove(s, kind, id, &found);
}

CUresult session_module_end(Session *s, SessionModule *module)
{
    SessionStore *store = session_store(s);
    const CUmodule handle = module->handle;
    SessionFunction *f;
    void *removed;

    pthread_mutex_lock(&store->handles);
    (void) session_remove(s, SESSION_MODULE, module->id, &removed);
    LIST_FOREACH(f, &module->functions, link)
    (void) session_remove(s, SESSION_FUNCTION, f->id, &removed);
    session_launch_settle(s);
    session_memory_forget_module(&store->memory, module);
    store_free_module(module);
    pthread_mutex_unlock(&store->handles);
    return session_driver(s)->base.module_unload(handle);
}

CUresult session_graph_end(Session *s, SessionGraph *graph)
{
    const CudaSessionDriver *driver = session_driver(s);
    CUresult result;

    store_remove(s, graph->kind, graph->id, graph);
    result = graph->kind == SESSION_GRAPH ? driver->graph_destroy(graph->graph)
                                          : driver->graph_exec_destroy(graph->exec);
    LIST_REMOVE(graph, link);
    free(graph);
    return result;
}

static void store_leave_graphs(Session *s, uint32_t context)
{
    SessionStore *store = session_store(s);
    SessionGraph *graph, *next;

    pthread_mutex_lock(&store->handles);
    for (graph = LIST_FIRST(&store->graphs); graph; graph = next) {
        next = LIST_NEXT(graph, link);
        if (graph->context == context)
            (void) session_graph_end(s, graph);
    }
    pthread_mutex_unlock(&store->handles);
}

void session_store_leave(Session *s, uint32_t context)
{
    const int mode = session_exchange_capture_mode(s, SESSION_CAPTURE_MODE_RELAXED);
    SessionStore *store = session_store(s);
    SessionModule *module, *next;
    SessionRange *range;
    uint64_t address = 0;

    /* What runs may be of a module and use memory that ends below. */
    (void) session_driver(s)->ctx_synchronize();
    store_leave_graphs(s, context);
    for (module = LIST_FIRST(&store->modules); module; module = next) {
        next = LIST_NEXT(module, link);
        if (module->context == context)
            (void) session_module_end(s, module);
    }
    /* One by one: a primary context may have other users, and stream-ordered memory is the
     * device's. After an error that the context does not survive this fails, and changes nothing.
     */
    while ((range = session_memory_take_next(&store->memory, &address, context))) {
        if (range->kind != SESSION_RANGE_GLOBAL)
            (void) session_driver(s)->base.mem_free(range->address);
        session_memory_drop(&store->memory, range);
    }
    session_frees_end(s, context);
    (void) session_exchange_capture_mode(s, mode);
}

bool session_memory_has(Session *s, uint64_t address, uint64_t size)
{
    return session_window_has(s, address, size) ||
           session_memory_contains(&session_store(s)->memory, address, size);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-store.h"

#include "session-launch.h"

#include <stdlib.h>

#include "session-graph.h"
#include "session-link.h"
#include "session-pool.h"
#include "session-share.h"

SessionStore *session_store_new(const SessionStart *limits, SessionControl *control,
                                SessionAccount *account)
{
    SessionStore *store = calloc(1, sizeof(*store));

    if (!store)
        return NULL;
    session_memory_open(&store->memory, account, limits->account_slot, control);
    session_images_open(&store->images, limits->images_max, limits->objects_max, control);
    session_arrays_open(&store->arrays);
    pthread_mutex_init(&store->frees_lock, NULL);
    pthread_mutex_init(&store->physicals_lock, NULL);
    pthread_mutex_init(&store->handles, NULL);
    LIST_INIT(&store->frees);
    LIST_INIT(&store->pools);
    LIST_INIT(&store->physicals);
    LIST_INIT(&store->modules);
    LIST_INIT(&store->graphs);
    LIST_INIT(&store->links);
    LIST_INIT(&store->orphans);
    return store;
}

static void store_free_module(SessionModule *module)
{
    SessionFunction *f;

    while ((f = LIST_FIRST(&module->functions))) {
        LIST_REMOVE(f, link);
        LIST_REMOVE(f, by_handle);
        free(f);
    }
    LIST_REMOVE(module, link);
    free(module);
}

void session_store_free(SessionStore *store)
{
    SessionPhysical *physical;
    SessionModule *module;
    SessionFrees *frees;
    SessionPool *pool;
    SessionLink *link;

    if (!store)
        return;
    while ((module = LIST_FIRST(&store->modules)))
        store_free_module(module);
    session_graphs_free(store);
    while ((link = LIST_FIRST(&store->links))) {
        LIST_REMOVE(link, link);
        session_link_free(link);
    }
    while ((physical = LIST_FIRST(&store->physicals))) {
        LIST_REMOVE(physical, link);
        free(physical);
    }
    while ((frees = LIST_FIRST(&store->frees))) {
        LIST_REMOVE(frees, link);
        session_frees_free(frees, &store->memory);
    }
    session_arrays_close(&store->arrays);
    session_images_close(&store->images);
    session_memory_close(&store->memory);
    while ((pool = LIST_FIRST(&store->pools))) {
        LIST_REMOVE(pool, link);
        free(pool);
    }
    pthread_mutex_destroy(&store->frees_lock);
    pthread_mutex_destroy(&store->physicals_lock);
    pthread_mutex_destroy(&store->handles);
    free(store);
}

int session_exchange_capture_mode(Session *s, int mode)
{
    (void) session_driver(s)->thread_exchange_stream_capture_mode(&mode);
    return mode;
}

void session_store_remove(Session *s, SessionKind kind, uint32_t id, const void *object)
{
    void *found;

    if (session_find(s, kind, id, &found) == CUDA_SUCCESS && found == object)
        (void) session_remove(s, kind, id, &found);
}

CUresult session_module_end(Session *s, SessionModule *module)
{
    SessionStore *store = session_store(s);
    const CUmodule handle = module->handle;
    const uint64_t charge = module->charge;
    SessionFunction *f;
    CUresult result;
    void *removed;

    pthread_mutex_lock(&store->handles);
    (void) session_remove(s, SESSION_MODULE, module->id, &removed);
    LIST_FOREACH(f, &module->functions, link)
    (void) session_remove(s, SESSION_FUNCTION, f->id, &removed);
    session_launch_settle(s);
    session_memory_forget_module(&store->memory, module);
    session_graphs_break(s, module);
    store_free_module(module);
    pthread_mutex_unlock(&store->handles);
    result = session_driver(s)->base.module_unload(handle);
    session_memory_give_back(&store->memory, charge);
    return result;
}

static size_t store_place(CUfunction handle)
{
    return (size_t) (((uintptr_t) handle >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40) %
           SESSION_FUNCTION_PLACES;
}

void session_function_add(SessionStore *store, SessionModule *module, SessionFunction *f)
{
    f->module = module;
    LIST_INSERT_HEAD(&module->functions, f, link);
    LIST_INSERT_HEAD(&store->functions[store_place(f->handle)], f, by_handle);
}

const SessionFunction *session_function_of(const SessionStore *store, CUfunction handle)
{
    const SessionFunction *f;

    LIST_FOREACH(f, &store->functions[store_place(handle)], by_handle)
    if (f->handle == handle)
        return f;
    return NULL;
}

static void store_leave_graphs(Session *s, uint32_t context)
{
    SessionStore *store = session_store(s);
    SessionGraph *graph, *next;

    pthread_mutex_lock(&store->handles);
    for (graph = LIST_FIRST(&store->graphs); graph; graph = next) {
        next = LIST_NEXT(graph, link);
        /* Graphs of nodes end with those that have the nodes, and stand before them. */
        if (graph->context == context && !graph->owner)
            (void) session_graph_end(s, graph);
    }
    pthread_mutex_unlock(&store->handles);
}

static void store_leave_links(Session *s, uint32_t context)
{
    SessionLink *link, *next;

    for (link = LIST_FIRST(&session_store(s)->links); link; link = next) {
        next = LIST_NEXT(link, link);
        if (link->context == context)
            (void) session_link_end(s, link);
    }
}

void session_unshare(Session *s, SessionRange *range)
{
    session_share_end(s, range->token);
    range->token[0] = range->token[1] = 0;
}

static void store_free_range(Session *s, SessionRange *range)
{
    switch (range->kind) {
    case SESSION_RANGE_ALLOCATED:
        session_unshare(s, range);
        (void) session_driver(s)->base.mem_free(range->address);
        break;
    case SESSION_RANGE_TAKEN:
        for (; range->n_taken > 0; range->n_taken--)
            (void) session_driver(s)->ipc_close_mem_handle(range->address);
        break;
    case SESSION_RANGE_ASYNC:
        (void) session_driver(s)->base.mem_free(range->address);
        break;
    default:
        break;
    }
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
    store_leave_links(s, context);
    for (module = LIST_FIRST(&store->modules); module; module = next) {
        next = LIST_NEXT(module, link);
        if (module->context == context)
            (void) session_module_end(s, module);
    }
    session_arrays_leave(s, context);
    /* One by one: a primary context may have other users, and stream-ordered memory is the
     * device's. After an error that the context does not survive this fails, and changes nothing.
     */
    while ((range = session_memory_take_next(&store->memory, &address, context))) {
        store_free_range(s, range);
        session_memory_drop(&store->memory, range);
    }
    session_frees_end(s, context);
    session_pools_look(s);
    (void) session_exchange_capture_mode(s, mode);
}

bool session_memory_has(Session *s, uint64_t address, uint64_t size)
{
    return session_window_has(s, address, size) ||
           session_memory_contains(&session_store(s)->memory, address, size);
}

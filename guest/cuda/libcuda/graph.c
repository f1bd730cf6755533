/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graph-memory.h"

#include <stdlib.h>

static vgpu_session_kind graph_numbers(HandleKind kind)
{
    return kind == HANDLE_GRAPH ? VGPU_SESSION_GRAPHS : VGPU_SESSION_EXECS;
}

CUresult graph_new(const LibCall *call, HandleKind kind, LibGraph **ret)
{
    LibGraph *graph = calloc(1, sizeof(*graph));
    CUresult r;

    if (!graph)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = vgpu_session_id_take(call->session, graph_numbers(kind), &graph->number);
    if (r == CUDA_SUCCESS && !(graph->handle = handle_new(kind, graph))) {
        vgpu_session_id_give(call->session, graph_numbers(kind), graph->number);
        r = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (r != CUDA_SUCCESS) {
        free(graph);
        return r;
    }
    graph->kind = kind;
    graph->context = call->context;
    graph->opened = call->context->opened;
    graph->id = libcuda_next_id();
    *ret = graph;
    return CUDA_SUCCESS;
}

void graph_forget(const LibCall *call, LibGraph *graph)
{
    user_objects_leave(call, graph);
    graph_memory_leave(graph);
    node_forget_all(call, graph);
    vgpu_session_id_give(call->session, graph_numbers(graph->kind), graph->number);
    handle_end(graph->handle);
    free(graph->disabled);
    free(graph->recorded);
    free(graph);
}

CUresult graph_records(LibGraph *graph, CUevent event)
{
    CUevent *more;

    for (size_t i = 0; i < graph->n_recorded; i++)
        if (graph->recorded[i] == event)
            return CUDA_SUCCESS;
    more = realloc(graph->recorded, (graph->n_recorded + 1) * sizeof(*more)); /* NOLINT */
    if (!more)
        return CUDA_ERROR_OUT_OF_MEMORY;
    graph->recorded = more;
    graph->recorded[graph->n_recorded++] = event;
    return CUDA_SUCCESS;
}

CUresult graph_records_copy(const LibGraph *from, LibGraph *to)
{
    CUresult r = CUDA_SUCCESS;

    for (size_t i = 0; i < from->n_recorded && r == CUDA_SUCCESS; i++)
        r = graph_records(to, from->recorded[i]);
    return r;
}

static CUresult graph_of(HandleKind kind, const void *handle, LibCall *call, LibGraph **ret)
{
    LibGraph *graph;
    CUresult r = libcuda_enter(call);

    if (r != CUDA_SUCCESS)
        return r;
    graph = handle_object(kind, handle);
    if (!graph)
        return CUDA_ERROR_INVALID_VALUE;
    call->context = graph->context;
    call->from.context = graph_context_number(graph);
    *ret = graph;
    return CUDA_SUCCESS;
}

CUresult graph_enter(CUgraph handle, LibCall *call, LibGraph **ret)
{
    return graph_of(HANDLE_GRAPH, handle, call, ret);
}

CUresult graph_enter_exec(CUgraphExec handle, LibCall *call, LibGraph **ret)
{
    return graph_of(HANDLE_EXEC, handle, call, ret);
}

CUresult graph_may_change(const LibGraph *graph)
{
    if (!graph->is_copy)
        return CUDA_SUCCESS;
    libcuda_log("the graph of a child graph node cannot be changed: the program has a copy of it");
    return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult graph_has_no_memory(const LibGraph *graph)
{
    return graph->n_memory == 0 ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

CUresult graph_in_context(LibCall *call, CUcontext handle)
{
    LibContext *c;

    if (!handle)
        return CUDA_SUCCESS;
    c = libcuda_context_of(handle);
    if (!c || __atomic_load_n(&c->number, __ATOMIC_ACQUIRE) == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    call->context = c;
    call->from.context = c->number;
    return CUDA_SUCCESS;
}

/* ---- Making and ending -------------------------------------------------------------------------
 */

/* A graph belongs to no context; the executor has it in the calling thread's, or without that in
 * the device's own. */
static CUresult graph_enter_any(LibCall *call)
{
    CUresult r = libcuda_enter_context(call);
    LibContext *c = libcuda_process.primary;

    if (r != CUDA_ERROR_INVALID_CONTEXT || __atomic_load_n(&c->number, __ATOMIC_ACQUIRE) == 0)
        return r;
    r = libcuda_enter(call);
    call->context = c;
    call->from.context = c->number;
    return r;
}

CUresult cuGraphCreate(CUgraph *ret, unsigned flags)
{
    VGPUSessionGraph parameters = {0};
    LibGraph *graph;
    LibCall call;
    CUresult r = graph_enter_any(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = graph_new(&call, HANDLE_GRAPH, &graph);
    if (r != CUDA_SUCCESS)
        return r;
    parameters.graph = graph->number;
    r = libcuda_post(&call, VGPU_SESSION_OP_GRAPH_CREATE, &parameters, sizeof(parameters));
    if (r != CUDA_SUCCESS) {
        graph_forget(&call, graph);
        return r;
    }
    *ret = graph->handle;
    return CUDA_SUCCESS;
}

/* The last number of a node. Numbers are not given twice, and lists have them in order. */
static CUresult graph_last_number(const LibCall *call, const LibGraph *graph, uint32_t *ret)
{
    uint32_t *numbers;
    uint64_t n;
    CUresult r = vgpu_session_graph_list(call->session, &call->from, graph->number,
                                         VGPU_GRAPH_LIST_NODES, &numbers, &n);

    if (r != CUDA_SUCCESS)
        return r;
    *ret = n > 0 ? numbers[n - 1] : 0;
    free(numbers);
    return CUDA_SUCCESS;
}

static CUresult graph_clone(const LibCall *call, const LibGraph *graph, LibGraph *clone)
{
    const VGPUSessionGraph parameters = {.graph = graph->number, .exec = clone->number};
    CUresult r = graph_last_number(call, graph, &clone->n_origin);

    clone->origin = graph->id;
    if (r == CUDA_SUCCESS)
        r = node_clone(graph, clone);
    if (r == CUDA_SUCCESS)
        r = user_objects_copy(graph, clone);
    if (r == CUDA_SUCCESS)
        r = graph_records_copy(graph, clone);
    return r == CUDA_SUCCESS ? libcuda_ask(call, VGPU_SESSION_OP_GRAPH_CLONE, &parameters,
                                           sizeof(parameters), NULL)
                             : r;
}

CUresult cuGraphClone(CUgraph *ret, CUgraph handle)
{
    LibGraph *graph, *clone;
    LibCall call;
    CUresult r = graph_enter(handle, &call, &graph);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    r = graph_has_no_memory(graph);
    if (r == CUDA_SUCCESS)
        r = graph_new(&call, HANDLE_GRAPH, &clone);
    if (r != CUDA_SUCCESS)
        return r;
    r = graph_clone(&call, graph, clone);
    if (r != CUDA_SUCCESS) {
        graph_forget(&call, clone);
        return r;
    }
    *ret = clone->handle;
    return CUDA_SUCCESS;
}

/* The graphs of a context that has ended are over in the executor already. */
static CUresult graph_end(LibCall *call, LibGraph *graph, uint16_t opcode)
{
    VGPUSessionGraph parameters = {0};
    CUresult r = CUDA_SUCCESS;

    if (graph->kind == HANDLE_GRAPH)
        parameters.graph = graph->number;
    else
        parameters.exec = graph->number;
    if (call->from.context != 0)
        r = libcuda_post(call, opcode, &parameters, sizeof(parameters));
    graph_forget(call, graph);
    return r;
}

CUresult cuGraphDestroy(CUgraph handle)
{
    LibGraph *graph;
    LibCall call;
    CUresult r = graph_enter(handle, &call, &graph);

    /* A capture's, or a node's */
    if (r == CUDA_SUCCESS &&
        (graph->is_growing || graph->is_copy || graph->body_of || conditional_nodes_grow(graph)))
        r = CUDA_ERROR_INVALID_VALUE;
    return r == CUDA_SUCCESS ? graph_end(&call, graph, VGPU_SESSION_OP_GRAPH_DESTROY) : r;
}

CUresult cuGraphExecDestroy(CUgraphExec handle)
{
    LibGraph *exec;
    LibCall call;
    CUresult r = graph_enter_exec(handle, &call, &exec);

    return r == CUDA_SUCCESS ? graph_end(&call, exec, VGPU_SESSION_OP_GRAPH_EXEC_DESTROY) : r;
}

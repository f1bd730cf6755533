/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graph.h"

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
    *ret = graph;
    return CUDA_SUCCESS;
}

void graph_forget(const LibCall *call, LibGraph *graph)
{
    vgpu_session_id_give(call->session, graph_numbers(graph->kind), graph->number);
    handle_end(graph->handle);
    free(graph);
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
    call->from.context = graph->context->number;
    *ret = graph;
    return CUDA_SUCCESS;
}

static CUresult graph_end(HandleKind kind, const void *handle, uint16_t opcode)
{
    VGPUSessionGraph parameters = {0};
    LibGraph *graph;
    LibCall call;
    CUresult r = graph_of(kind, handle, &call, &graph);

    if (r != CUDA_SUCCESS)
        return r;
    if (kind == HANDLE_GRAPH)
        parameters.graph = graph->number;
    else
        parameters.exec = graph->number;
    r = libcuda_post(&call, opcode, &parameters, sizeof(parameters));
    graph_forget(&call, graph);
    return r;
}

CUresult cuGraphDestroy(CUgraph handle)
{
    return graph_end(HANDLE_GRAPH, handle, VGPU_SESSION_OP_GRAPH_DESTROY);
}

CUresult cuGraphExecDestroy(CUgraphExec handle)
{
    return graph_end(HANDLE_EXEC, handle, VGPU_SESSION_OP_GRAPH_EXEC_DESTROY);
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *ret, CUgraph handle, unsigned long long flags)
{
    VGPUSessionGraph parameters = {.flags = (uint32_t) flags};
    LibGraph *graph, *exec;
    LibCall call;
    CUresult r = graph_of(HANDLE_GRAPH, handle, &call, &graph);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || flags > UINT32_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    r = graph_new(&call, HANDLE_EXEC, &exec);
    if (r != CUDA_SUCCESS)
        return r;
    parameters.graph = graph->number;
    parameters.exec = exec->number;
    r = libcuda_ask(&call, VGPU_SESSION_OP_GRAPH_INSTANTIATE, &parameters, sizeof(parameters),
                    NULL);
    if (r != CUDA_SUCCESS) {
        graph_forget(&call, exec);
        return r;
    }
    exec->flags = (unsigned) flags;
    *ret = exec->handle;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecGetFlags(CUgraphExec handle, cuuint64_t *flags)
{
    LibGraph *exec;
    LibCall call;
    CUresult r = graph_of(HANDLE_EXEC, handle, &call, &exec);

    if (r == CUDA_SUCCESS && !flags)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        *flags = exec->flags;
    return r;
}

CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream_handle)
{
    VGPUSessionGraph parameters = {0};
    LibStream *stream;
    LibGraph *exec;
    LibCall call;
    CUresult r = graph_of(HANDLE_EXEC, handle, &call, &exec);

    if (r == CUDA_SUCCESS)
        r = libcuda_enter_stream(stream_handle, &call, &stream);
    if (r != CUDA_SUCCESS)
        return r;
    parameters.exec = exec->number;
    parameters.stream = stream->number;
    libcuda_stream_worked(stream);
    return libcuda_post(&call, VGPU_SESSION_OP_GRAPH_LAUNCH, &parameters, sizeof(parameters));
}

CUresult cuGraphLaunch_ptsz(CUgraphExec handle, CUstream stream)
{
    return cuGraphLaunch(handle, libcuda_per_thread(stream));
}

/* Uploading is what the first launch does, too. */
CUresult cuGraphUpload(CUgraphExec handle, CUstream stream_handle)
{
    LibStream *stream;
    LibGraph *exec;
    LibCall call;
    CUresult r = graph_of(HANDLE_EXEC, handle, &call, &exec);

    return r == CUDA_SUCCESS ? libcuda_enter_stream(stream_handle, &call, &stream) : r;
}

CUresult cuGraphUpload_ptsz(CUgraphExec handle, CUstream stream)
{
    return cuGraphUpload(handle, libcuda_per_thread(stream));
}

/* How many nodes there are; the nodes themselves are not to be had. */
CUresult cuGraphGetNodes(CUgraph handle, CUgraphNode *nodes, size_t *n)
{
    VGPUSessionGraph parameters = {0};
    VGPUSessionReply reply;
    LibGraph *graph;
    LibCall call;
    CUresult r = graph_of(HANDLE_GRAPH, handle, &call, &graph);

    if (r != CUDA_SUCCESS)
        return r;
    if (!n)
        return CUDA_ERROR_INVALID_VALUE;
    if (nodes)
        return CUDA_ERROR_NOT_SUPPORTED;
    parameters.graph = graph->number;
    r = libcuda_ask(&call, VGPU_SESSION_OP_GRAPH_NODES, &parameters, sizeof(parameters), &reply);
    if (r == CUDA_SUCCESS)
        *n = reply.value[0];
    return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Graphs that can be launched. */
#include <stdlib.h>

#include "capture.h"
#include "event.h"
#include "graph-memory.h"

/* ---- Making ------------------------------------------------------------------------------------
 */

/* The handle of a node by its number; NULL where there is none */
static CUgraphNode exec_node(LibGraph *graph, uint64_t number)
{
    const LibNode *node = number <= UINT32_MAX ? node_of(graph, (uint32_t) number) : NULL;

    return node ? node->handle : NULL;
}

/* @parameters: flags and stream */
static CUresult exec_ask(const LibCall *call, LibGraph *graph, LibGraph *exec,
                         const VGPUSessionGraph *parameters, GraphInstantiate *info)
{
    VGPUSessionGraph p = *parameters;
    VGPUSessionReply reply = {0};
    CUresult r = user_objects_copy(graph, exec);

    if (r == CUDA_SUCCESS)
        r = graph_memory_inherit(graph, exec);
    if (r == CUDA_SUCCESS)
        r = graph_records_copy(graph, exec);
    if (r != CUDA_SUCCESS)
        return r;
    p.graph = graph->number;
    p.exec = exec->number;
    r = libcuda_ask(call, VGPU_SESSION_OP_GRAPH_INSTANTIATE, &p, sizeof(p), &reply);
    info->result = (int) reply.value[0];
    info->error_node = exec_node(graph, reply.value[1]);
    return r;
}

/* @info: its flags and its stream; the rest is written, also on failure */
static CUresult instantiate(CUgraphExec *ret, CUgraph handle, GraphInstantiate *info,
                            bool per_thread)
{
    VGPUSessionGraph parameters = {.flags = (uint32_t) info->flags};
    LibGraph *graph, *exec;
    LibStream *stream;
    LibCall call, upload;
    CUresult r = graph_enter(handle, &call, &graph);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || info->flags > UINT32_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    if (info->flags & GRAPH_UPLOAD) {
        r = libcuda_enter_stream(per_thread ? libcuda_per_thread(info->upload_stream)
                                            : info->upload_stream,
                                 &upload, &stream);
        if (r != CUDA_SUCCESS)
            return r;
        if (upload.context != call.context)
            return CUDA_ERROR_INVALID_VALUE;
        parameters.stream = stream->number;
        libcuda_stream_worked(stream);
    }
    r = graph_new(&call, HANDLE_EXEC, &exec);
    if (r != CUDA_SUCCESS)
        return r;
    exec->origin = graph->id;
    exec->flags = (unsigned) info->flags;
    exec->is_decided = graph->is_decided;
    r = exec_ask(&call, graph, exec, &parameters, info);
    if (r != CUDA_SUCCESS) {
        graph_forget(&call, exec);
        return r;
    }
    *ret = exec->handle;
    return CUDA_SUCCESS;
}

/* To upload is for cuGraphInstantiateWithParams(), which has a stream for it. */
CUresult cuGraphInstantiateWithFlags(CUgraphExec *ret, CUgraph graph, unsigned long long flags)
{
    GraphInstantiate info = {.flags = flags};

    if (flags & GRAPH_UPLOAD)
        return CUDA_ERROR_INVALID_VALUE;
    return instantiate(ret, graph, &info, false);
}

static CUresult instantiate_with_log(CUgraphExec *ret, CUgraph graph, CUgraphNode *error_node,
                                     char *log, size_t size)
{
    GraphInstantiate info = {0};
    CUresult r = instantiate(ret, graph, &info, false);

    if (error_node)
        *error_node = info.error_node;
    if (log && size > 0)
        log[0] = 0;
    return r;
}

CUresult cuGraphInstantiate(CUgraphExec *ret, CUgraph graph, CUgraphNode *error_node, char *log,
                            size_t size)
{
    return instantiate_with_log(ret, graph, error_node, log, size);
}

CUresult cuGraphInstantiate_v2(CUgraphExec *ret, CUgraph graph, CUgraphNode *error_node, char *log,
                               size_t size)
{
    return instantiate_with_log(ret, graph, error_node, log, size);
}

static CUresult instantiate_with_params(CUgraphExec *ret, CUgraph graph, GraphInstantiate *params,
                                        bool per_thread)
{
    enum { INSTANTIATE_ERROR = 1 };
    CUresult r;

    if (!params)
        return CUDA_ERROR_INVALID_VALUE;
    params->error_node = NULL;
    params->result = 0;
    r = instantiate(ret, graph, params, per_thread);
    if (r != CUDA_SUCCESS && params->result == 0)
        params->result = INSTANTIATE_ERROR;
    return r;
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *ret, CUgraph graph, GraphInstantiate *params)
{
    return instantiate_with_params(ret, graph, params, false);
}

CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec *ret, CUgraph graph,
                                           GraphInstantiate *params)
{
    return instantiate_with_params(ret, graph, params, true);
}

CUresult cuGraphExecGetFlags(CUgraphExec handle, cuuint64_t *flags)
{
    LibGraph *exec;
    LibCall call;
    CUresult r = graph_enter_exec(handle, &call, &exec);

    if (r == CUDA_SUCCESS && !flags)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        *flags = exec->flags;
    return r;
}

/* ---- Changing ----------------------------------------------------------------------------------
 */

static CUresult exec_update(CUgraphExec handle, CUgraph graph_handle, GraphUpdate *info)
{
    enum { UPDATE_ERROR = 1, UPDATE_NOT_SUPPORTED = 6 };
    VGPUSessionGraph parameters = {0};
    VGPUSessionReply reply = {0};
    LibGraph *graph, *exec;
    LibCall call;
    CUresult r = graph_enter(graph_handle, &call, &graph);

    if (r == CUDA_SUCCESS)
        r = graph_enter_exec(handle, &call, &exec);
    if (r != CUDA_SUCCESS)
        return r;
    /* For the executor these nodes are empty: it would take kernels with addresses of other memory,
     * which ends with the graph. */
    if (!graph_memory_is_same(graph, exec)) {
        *info = (GraphUpdate){.result = UPDATE_NOT_SUPPORTED};
        return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    }
    parameters.graph = graph->number;
    parameters.exec = exec->number;
    r = libcuda_ask(&call, VGPU_SESSION_OP_GRAPH_UPDATE, &parameters, sizeof(parameters), &reply);
    *info = (GraphUpdate){
        .result = (int) reply.value[0],
        .error_node = exec_node(graph, reply.value[1]),
        .error_from_node = exec_node(graph, reply.value[2]),
    };
    if (r != CUDA_SUCCESS && info->result == 0)
        info->result = UPDATE_ERROR;
    if (r != CUDA_SUCCESS)
        return r;
    user_objects_leave(&call, exec);
    r = graph_records_copy(graph, exec);
    if (r != CUDA_SUCCESS)
        return r;
    return user_objects_copy(graph, exec);
}

CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, GraphUpdate *info)
{
    return info ? exec_update(exec, graph, info) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode *error_node, int *result)
{
    GraphUpdate info = {0};
    CUresult r;

    if (!error_node || !result)
        return CUDA_ERROR_INVALID_VALUE;
    r = exec_update(exec, graph, &info);
    *error_node = info.error_node;
    *result = info.result;
    return r;
}

static size_t disabled_at(const LibGraph *exec, uint32_t number)
{
    size_t i = 0;

    while (i < exec->n_disabled && exec->disabled[i] != number)
        i++;
    return i;
}

static CUresult disabled_room(LibGraph *exec)
{
    uint32_t *more = realloc(exec->disabled, (exec->n_disabled + 1) * sizeof(*more));

    if (!more)
        return CUDA_ERROR_OUT_OF_MEMORY;
    exec->disabled = more;
    return CUDA_SUCCESS;
}

/* Kernels, copies and sets can be left out of launches. */
static CUresult enable_enter(CUgraphExec exec, CUgraphNode node, NodeTarget *ret)
{
    int type;
    CUresult r = node_target_exec(exec, node, -1, ret);

    if (r == CUDA_SUCCESS)
        r = node_type(&ret->call, ret->node, &type);
    return r == CUDA_SUCCESS && type > NODE_MEMSET ? CUDA_ERROR_INVALID_VALUE : r;
}

CUresult cuGraphNodeSetEnabled(CUgraphExec handle, CUgraphNode node, unsigned is_enabled)
{
    VGPUSessionNode parameters = {.flags = is_enabled != 0};
    NodeTarget t;
    size_t at;
    CUresult r = enable_enter(handle, node, &t);

    if (r == CUDA_SUCCESS)
        r = disabled_room(t.exec);
    if (r != CUDA_SUCCESS)
        return r;
    if (t.node->exit != t.node->number) {
        libcuda_log("a copy to memory that the device does not reach cannot be left out");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    parameters.graph = t.node->graph->number;
    parameters.exec = t.exec->number;
    parameters.node = t.node->number;
    r = libcuda_ask(&t.call, VGPU_SESSION_OP_NODE_ENABLE, &parameters, sizeof(parameters), NULL);
    if (r != CUDA_SUCCESS)
        return r;
    at = disabled_at(t.exec, t.node->number);
    if (!is_enabled && at == t.exec->n_disabled)
        t.exec->disabled[t.exec->n_disabled++] = t.node->number;
    else if (is_enabled && at < t.exec->n_disabled)
        t.exec->disabled[at] = t.exec->disabled[--t.exec->n_disabled];
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetEnabled(CUgraphExec handle, CUgraphNode node, unsigned *is_enabled)
{
    NodeTarget t;
    CUresult r = enable_enter(handle, node, &t);

    if (r == CUDA_SUCCESS && !is_enabled)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        *is_enabled = disabled_at(t.exec, t.node->number) == t.exec->n_disabled;
    return r;
}

/* ---- Launching ---------------------------------------------------------------------------------
 */

static CUresult exec_enter(CUgraphExec handle, CUstream stream_handle, LibCall *call,
                           LibGraph **ret, LibStream **ret_stream)
{
    CUresult r = graph_enter_exec(handle, call, ret);

    return r == CUDA_SUCCESS ? libcuda_enter_work(stream_handle, call, ret_stream) : r;
}

/* Whether such an event has come is seen at the end of the launch, which is behind it. */
static CUresult exec_recorded(const LibCall *call, const LibGraph *exec, LibStream *stream)
{
    CUresult r = CUDA_SUCCESS;

    for (size_t i = 0; i < exec->n_recorded && r == CUDA_SUCCESS; i++) {
        LibEvent *event = handle_object(HANDLE_EVENT, exec->recorded[i]);

        if (event && event->context == call->context)
            r = capture_has(stream) ? capture_records(stream, event->handle)
                                    : event_recorded(call, event, stream);
    }
    return r;
}

CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream_handle)
{
    VGPUSessionGraph parameters = {0};
    LibStream *stream;
    LibGraph *exec;
    LibCall call;
    CUresult r = exec_enter(handle, stream_handle, &call, &exec, &stream);

    if (r == CUDA_SUCCESS && exec->is_decided && capture_has(stream))
        r = CUDA_ERROR_NOT_SUPPORTED; /* it would be in the graph that is captured */
    if (r != CUDA_SUCCESS)
        return r;
    r = graph_memory_launch(exec);
    if (r != CUDA_SUCCESS)
        return r;
    parameters.exec = exec->number;
    parameters.stream = stream->number;
    exec->is_launched = true;
    exec->launched_in = call.context;
    exec->last = stream->number;
    libcuda_stream_worked(stream);
    r = libcuda_post(&call, VGPU_SESSION_OP_GRAPH_LAUNCH, &parameters, sizeof(parameters));
    return r == CUDA_SUCCESS ? exec_recorded(&call, exec, stream) : r;
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

    return exec_enter(handle, stream_handle, &call, &exec, &stream);
}

CUresult cuGraphUpload_ptsz(CUgraphExec handle, CUstream stream)
{
    return cuGraphUpload(handle, libcuda_per_thread(stream));
}

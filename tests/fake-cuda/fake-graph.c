/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-capture.h"

#include <stdlib.h>
#include <string.h>

/* Flags and results of instantiating, results of an update */
enum {
    INSTANTIATE_AUTO_FREE = 1,
    INSTANTIATE_UPLOAD = 2,
    INSTANTIATE_DEVICE_LAUNCH = 4,
    INSTANTIATE_NODE_PRIORITY = 8,
    INSTANTIATED = 0,
    UPDATE_SUCCESS = 0,
    UPDATE_TOPOLOGY_CHANGED = 2,
    UPDATE_NODE_TYPE_CHANGED = 3,
};

void fake_graphs_end(CUcontext context)
{
    for (CUgraph g; (g = fake_object_any(FAKE_KIND_GRAPH, context));) {
        fake_nodes_clear(&g->nodes);
        fake_object_end(g);
    }
    for (CUgraphExec e; (e = fake_object_any(FAKE_KIND_EXEC, context));) {
        fake_nodes_clear(&e->nodes);
        fake_object_end(e);
    }
}

CUresult cuGraphDestroy(CUgraph graph)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    fake_nodes_clear(&graph->nodes);
    fake_object_end(graph);
    return CUDA_SUCCESS;
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *n)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    for (size_t i = 0; nodes && i < *n; i++)
        nodes[i] = i < graph->nodes.n ? graph->nodes.all[i] : NULL;
    if (!nodes || *n > graph->nodes.n)
        *n = graph->nodes.n;
    return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *exec, CUgraph graph,
                                      CudaGraphInstantiate *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    params->error_node = NULL;
    params->result = INSTANTIATED;
    if (params->flags & INSTANTIATE_DEVICE_LAUNCH)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (params->flags & ~(unsigned long long) (INSTANTIATE_AUTO_FREE | INSTANTIATE_UPLOAD |
                                               INSTANTIATE_NODE_PRIORITY))
        return CUDA_ERROR_INVALID_VALUE;
    *exec = fake_object_new(FAKE_KIND_EXEC, graph->object.context, sizeof(**exec));
    fake_nodes_copy(&(*exec)->nodes, &graph->nodes);
    return CUDA_SUCCESS;
}

static int compare(const FakeNodes *exec, const FakeNodes *graph, CUgraphNode *ret_node)
{
    if (exec->n != graph->n)
        return UPDATE_TOPOLOGY_CHANGED;
    for (size_t i = 0; i < graph->n; i++) {
        const struct CUgraphNode_st *a = exec->all[i], *b = graph->all[i];

        *ret_node = graph->all[i];
        if (a->work.kind != b->work.kind)
            return UPDATE_NODE_TYPE_CHANGED;
        if (a->n_dependencies != b->n_dependencies ||
            (a->n_dependencies > 0 && memcmp(a->dependencies, b->dependencies,
                                             a->n_dependencies * sizeof(*a->dependencies)) != 0))
            return UPDATE_TOPOLOGY_CHANGED;
    }
    *ret_node = NULL;
    return UPDATE_SUCCESS;
}

CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CudaGraphUpdate *info)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(exec, FAKE_KIND_EXEC, __func__);
    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    *info = (CudaGraphUpdate){0};
    info->result = compare(&exec->nodes, &graph->nodes, &info->error_node);
    if (info->result != UPDATE_SUCCESS)
        return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    fake_nodes_clear(&exec->nodes);
    fake_nodes_copy(&exec->nodes, &graph->nodes);
    return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUstream s = fake_stream_get(stream, __func__);

    fake_object_check(exec, FAKE_KIND_EXEC, __func__);
    if (s->capture) {
        fake_capture_invalidate(s);
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    if (fake_capture_is_implied(s))
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    for (size_t i = 0; i < exec->nodes.n; i++) {
        FakeWork w;

        fake_work_copy(&w, &exec->nodes.all[i]->work);
        fake_push(s, &w);
    }
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(exec, FAKE_KIND_EXEC, __func__);
    fake_nodes_clear(&exec->nodes);
    fake_object_end(exec);
    return CUDA_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-capture.h"
#include "fake-module.h"

#include <stdlib.h>
#include <string.h>

/* Flags and results of instantiating */
enum {
    INSTANTIATE_AUTO_FREE = 1,
    INSTANTIATE_UPLOAD = 2,
    INSTANTIATE_DEVICE_LAUNCH = 4,
    INSTANTIATE_NODE_PRIORITY = 8,
    INSTANTIATED = 0,
    INSTANTIATE_INVALID_STRUCTURE = 2,
};

CUresult cuGraphCreate(CUgraph *graph, unsigned flags)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    if (flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    *graph = fake_graph_new(fake_context());
    return CUDA_SUCCESS;
}

CUresult cuGraphClone(CUgraph *clone, CUgraph original)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(original, FAKE_KIND_GRAPH, __func__);
    if (original->parent)
        fake_misuse("%s: of a conditional node", __func__);
    if (fake_conditions_are(&original->nodes))
        return CUDA_ERROR_NOT_SUPPORTED;
    *clone = fake_graph_new(fake_context());
    fake_nodes_copy(&(*clone)->nodes, &original->nodes);
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeFindInClone(CUgraphNode *node, CUgraphNode original, CUgraph clone)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(original, FAKE_KIND_NODE, __func__);
    fake_object_check(clone, FAKE_KIND_GRAPH, __func__);
    for (size_t i = 0; i < clone->nodes.n; i++) {
        if (clone->nodes.all[i]->origin != original)
            continue;
        *node = clone->nodes.all[i];
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphDestroy(CUgraph graph)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    if (graph->is_child || graph->is_captured)
        fake_misuse("%s: the graph is a node's or a capture's", __func__);
    fake_graph_end(graph);
    return CUDA_SUCCESS;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

/* What the functions that list have in common: @at of @n_all is one that is wanted. */
static void list_put(CUgraphNode *nodes, size_t room, size_t *n, CUgraphNode node)
{
    if (nodes && *n < room)
        nodes[*n] = node;
    (*n)++;
}

static void list_end(CUgraphNode *nodes, size_t room, size_t n, size_t *ret)
{
    for (size_t i = n; nodes && i < room; i++)
        nodes[i] = NULL;
    *ret = nodes && n > room ? room : n;
}

static CUresult list(CUgraph graph, CUgraphNode *nodes, size_t *ret_n, bool roots)
{
    const size_t room = nodes ? *ret_n : 0;
    size_t n = 0;

    for (size_t i = 0; i < graph->nodes.n; i++)
        if (!roots || graph->nodes.all[i]->n_dependencies == 0)
            list_put(nodes, room, &n, graph->nodes.all[i]);
    list_end(nodes, room, n, ret_n);
    return CUDA_SUCCESS;
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *n)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    return list(graph, nodes, n, false);
}

CUresult cuGraphGetRootNodes(CUgraph graph, CUgraphNode *nodes, size_t *n)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    return list(graph, nodes, n, true);
}

CUresult cuGraphGetEdges_v2(CUgraph graph, CUgraphNode *from, CUgraphNode *to, CudaEdgeData *data,
                            size_t *ret_n)
{
    const size_t room = from ? *ret_n : 0;
    size_t n = 0;

    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    for (size_t i = 0; i < graph->nodes.n; i++) {
        const struct CUgraphNode_st *node = graph->nodes.all[i];

        for (size_t j = 0; j < node->n_dependencies; j++) {
            if (from && !data && !fake_edge_is_plain(&node->edges[j]))
                return CUDA_ERROR_LOSSY_QUERY;
            if (data && n < room)
                data[n] = node->edges[j];
            if (to && n < room)
                to[n] = graph->nodes.all[i];
            list_put(from, room, &n, node->dependencies[j]);
        }
    }
    list_end(from, room, n, ret_n);
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode *dependents,
                                         CudaEdgeData *data, size_t *ret_n)
{
    const size_t room = dependents ? *ret_n : 0;
    size_t n = 0;

    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(node, FAKE_KIND_NODE, __func__);
    for (size_t i = 0; i < node->nodes->n; i++) {
        const struct CUgraphNode_st *other = node->nodes->all[i];

        for (size_t j = 0; j < other->n_dependencies; j++) {
            if (other->dependencies[j] != node)
                continue;
            if (dependents && !data && !fake_edge_is_plain(&other->edges[j]))
                return CUDA_ERROR_LOSSY_QUERY;
            if (data && n < room)
                data[n] = other->edges[j];
            list_put(dependents, room, &n, node->nodes->all[i]);
        }
    }
    list_end(dependents, room, n, ret_n);
    return CUDA_SUCCESS;
}

/* ---- Executable graphs ------------------------------------------------------------------------
 */

CUresult cuGraphInstantiateWithParams(CUgraphExec *exec, CUgraph graph,
                                      CudaGraphInstantiate *params)
{
    CUgraphNode *sorted;
    CUresult r;

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
    sorted = fake_nodes_sort(&graph->nodes);
    if (!sorted) {
        params->result = INSTANTIATE_INVALID_STRUCTURE;
        return CUDA_ERROR_INVALID_VALUE;
    }
    free(sorted);
    if (graph->parent)
        fake_misuse("%s: of a conditional node", __func__);
    *exec = fake_object_new(FAKE_KIND_EXEC, fake_context(), sizeof(**exec));
    fake_nodes_copy(&(*exec)->nodes, &graph->nodes);
    r = fake_conditions_begin(graph, *exec, &params->result);
    if (r != CUDA_SUCCESS) {
        fake_nodes_clear(&(*exec)->nodes);
        fake_object_end(*exec);
    }
    return r;
}

/* Its nodes go on to be known by those that it was made of. */
static void keep_origins(const FakeNodes *to, const FakeNodes *from)
{
    for (size_t i = 0; i < to->n; i++) {
        const FakeWork *w = &to->all[i]->work, *old = &from->all[i]->work;

        to->all[i]->origin = from->all[i]->origin;
        for (unsigned j = 0; w->kind == FAKE_WORK_CONDITIONAL && j < w->conditional.n; j++)
            keep_origins(&w->conditional.bodies[j]->nodes, &old->conditional.bodies[j]->nodes);
    }
}

static void update(CUgraphExec exec, CUgraph graph)
{
    FakeNodes old = exec->nodes;

    exec->nodes = (FakeNodes){0};
    fake_nodes_copy(&exec->nodes, &graph->nodes);
    keep_origins(&exec->nodes, &old);
    fake_nodes_clear(&old);
}

CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CudaGraphUpdate *info)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(exec, FAKE_KIND_EXEC, __func__);
    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    *info = (CudaGraphUpdate){0};
    info->result = fake_nodes_compare(&exec->nodes, &graph->nodes, &info->error_node);
    if (info->result != 0)
        return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    update(exec, graph);
    return CUDA_SUCCESS;
}

/* User objects stay until what was launched is done. */
static void hold(CUstream s, const FakeNodes *nodes)
{
    FakeWork w = {.kind = FAKE_WORK_HOLD, .hold = {.n = nodes->n_held}};

    w.hold.all = calloc(nodes->n_held + 1, sizeof(CUuserObject));
    if (!w.hold.all)
        abort();
    for (size_t i = 0; i < nodes->n_held; i++) {
        w.hold.all[i] = nodes->held[i];
        fake_user_object_take(nodes->held[i]);
    }
    fake_push(s, &w);
    for (size_t i = 0; i < nodes->n; i++)
        if (nodes->all[i]->work.kind == FAKE_WORK_GRAPH)
            hold(s, &nodes->all[i]->work.graph->nodes);
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
    fake_graph_run(s, &exec->nodes, __func__);
    hold(s, &exec->nodes);
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(exec, FAKE_KIND_EXEC, __func__);
    fake_conditions_end(exec);
    fake_nodes_clear(&exec->nodes);
    fake_object_end(exec);
    return CUDA_SUCCESS;
}

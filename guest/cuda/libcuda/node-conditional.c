/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes that run one of their graphs, or none, or one again and again, as kernels say by a handle.
 * The handle is the host's, and goes to kernels as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "cleanup.h"

CUresult cuGraphConditionalHandleCreate(CUgraphConditionalHandle *ret, CUgraph handle,
                                        CUcontext context, unsigned value, unsigned flags)
{
    VGPUSessionCondition parameters = {.flags = flags, .value = value};
    VGPUSessionReply reply;
    LibGraph *graph;
    LibCall call;
    CUresult r = graph_enter(handle, &call, &graph);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || (flags & ~(unsigned) CONDITION_ASSIGN_DEFAULT) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = graph_may_change(graph);
    if (r == CUDA_SUCCESS)
        r = graph_in_context(&call, context);
    if (r != CUDA_SUCCESS)
        return r;
    parameters.graph = graph->number;
    r = libcuda_ask(&call, VGPU_SESSION_OP_GRAPH_CONDITION, &parameters, sizeof(parameters),
                    &reply);
    if (r == CUDA_SUCCESS)
        *ret = reply.value[0];
    return r;
}

/* ---- Nodes ------------------------------------------------------------------------------------
 */

static CUresult conditional_check(const ConditionalNode *p)
{
    if (p->size == 0 || (p->type == CONDITION_IF && p->size > 2) ||
        (p->type == CONDITION_WHILE && p->size > 1) || p->type < CONDITION_IF ||
        p->type > CONDITION_SWITCH)
        return CUDA_ERROR_INVALID_VALUE;
    if (p->size <= VGPU_SESSION_BODIES_MAX)
        return CUDA_SUCCESS;
    libcuda_log("%u graphs are too many for a conditional node; %u are served", p->size,
                VGPU_SESSION_BODIES_MAX);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static void bodies_drop(const LibCall *call, LibGraph **bodies, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        graph_forget(call, bodies[i]);
}

/* Graphs with their numbers, which the executor makes with the node */
static CUresult bodies_make(const LibCall *call, LibGraph **bodies, uint32_t *numbers, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        CUresult r = graph_new(call, HANDLE_GRAPH, &bodies[i]);

        if (r != CUDA_SUCCESS) {
            bodies_drop(call, bodies, i);
            return r;
        }
        numbers[i] = bodies[i]->number;
    }
    return CUDA_SUCCESS;
}

static void bodies_give(LibNode *node, LibGraph **bodies, CUgraph *handles, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        bodies[i]->body_of = node;
        handles[i] = bodies[i]->handle;
    }
    node->bodies = handles;
    node->n_bodies = n;
    node->graph->is_decided = true;
}

CUresult conditional_node_add(NodePlace *place, ConditionalNode *p, LibNode **ret)
{
    const VGPUSessionNode what = {.type = NODE_CONDITIONAL};
    CLEANUP_FREE VGPUSessionConditional *payload = NULL;
    CLEANUP_FREE LibGraph **bodies = NULL;
    CLEANUP_FREE CUgraph *handles = NULL;
    CUresult r = conditional_check(p);
    size_t size;

    if (r == CUDA_SUCCESS)
        r = graph_in_context(&place->call, p->context);
    if (r != CUDA_SUCCESS)
        return r;
    size = sizeof(*payload) + p->size * sizeof(uint32_t);
    payload = malloc(size);
    bodies = calloc(p->size, sizeof(*bodies));  /* NOLINT: of pointers */
    handles = calloc(p->size, sizeof(CUgraph)); /* likewise */
    if (!payload || !bodies || !handles)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *payload = (VGPUSessionConditional){p->handle, (uint32_t) p->type, p->size};
    r = bodies_make(&place->call, bodies, (uint32_t *) (payload + 1), p->size);
    if (r != CUDA_SUCCESS)
        return r;
    r = node_add(place, &what, payload, size, ret);
    if (r != CUDA_SUCCESS) {
        bodies_drop(&place->call, bodies, p->size);
        return r;
    }
    bodies_give(*ret, bodies, handles, p->size);
    p->graphs = TAKE_PTR(handles);
    return CUDA_SUCCESS;
}

static LibGraph *body_at(const LibNode *node, unsigned i)
{
    return handle_object(HANDLE_GRAPH, node->bodies[i]);
}

void conditional_node_forget(const LibCall *call, LibNode *node)
{
    for (unsigned i = 0; i < node->n_bodies; i++) {
        capture_lose(call, body_at(node, i));
        graph_forget(call, body_at(node, i));
    }
    free(node->bodies);
}

void conditional_nodes_lose(const LibCall *call, const LibGraph *graph)
{
    if (!graph->is_decided)
        return;
    for (size_t i = 0; i < graph->room; i++) {
        const LibNode *node = graph->nodes[i];

        for (unsigned j = 0; node && j < node->n_bodies; j++) {
            capture_lose(call, body_at(node, j));
            conditional_nodes_lose(call, body_at(node, j));
        }
    }
}

bool conditional_nodes_grow(const LibGraph *graph)
{
    if (!graph->is_decided)
        return false;
    for (size_t i = 0; i < graph->room; i++) {
        const LibNode *node = graph->nodes[i];

        for (unsigned j = 0; node && j < node->n_bodies; j++)
            if (body_at(node, j)->is_growing || conditional_nodes_grow(body_at(node, j)))
                return true;
    }
    return false;
}

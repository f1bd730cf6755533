/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handles of nodes, and how nodes come to the executor. */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

#define NODES_FIRST_ROOM 16u

/* ---- Their life --------------------------------------------------------------------------------
 */

static bool node_room(LibGraph *graph, uint32_t number)
{
    size_t room = graph->room > 0 ? graph->room : NODES_FIRST_ROOM;
    LibNode **more;

    if (number <= graph->room)
        return true;
    while (room < number)
        room *= 2;
    more = realloc(graph->nodes, room * sizeof(*more)); /* NOLINT: of pointers */
    if (!more)
        return false;
    for (size_t i = graph->room; i < room; i++)
        more[i] = NULL;
    graph->nodes = more;
    graph->room = room;
    return true;
}

LibNode *node_of(LibGraph *graph, uint32_t number)
{
    LibNode *node;

    if (number == 0 || number > VGPU_SESSION_ALL_NODES_MAX || !node_room(graph, number))
        return NULL;
    if (graph->nodes[number - 1])
        return graph->nodes[number - 1];
    node = calloc(1, sizeof(*node));
    if (!node)
        return NULL;
    node->handle = handle_new(HANDLE_NODE, node);
    if (!node->handle) {
        free(node);
        return NULL;
    }
    node->graph = graph;
    node->number = node->entry = node->exit = number;
    node->type = -1;
    graph->nodes[number - 1] = node;
    return node;
}

CUresult node_join(LibNode *node, uint32_t number, bool is_last)
{
    if (number == 0 || number > VGPU_SESSION_ALL_NODES_MAX || !node_room(node->graph, number))
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (is_last)
        node->exit = number;
    else
        node->entry = number;
    node->graph->nodes[number - 1] = node;
    return CUDA_SUCCESS;
}

static void node_forget(const LibCall *call, LibNode *node)
{
    LibGraph *graph = node->graph;
    const VGPUSessionGraph parameters = {.graph = node->child ? node->child->number : 0};

    if (node->child) {
        if (call->from.context != 0)
            (void) libcuda_post(call, VGPU_SESSION_OP_GRAPH_DESTROY, &parameters,
                                sizeof(parameters));
        graph_forget(call, node->child);
    }
    conditional_node_forget(call, node);
    graph->nodes[node->entry - 1] = graph->nodes[node->exit - 1] = NULL;
    graph->nodes[node->number - 1] = NULL;
    handle_end(node->handle);
    free(node->shown);
    free(node);
}

void node_forget_all(const LibCall *call, LibGraph *graph)
{
    for (size_t i = 0; i < graph->room; i++)
        if (graph->nodes[i])
            node_forget(call, graph->nodes[i]);
    free(graph->nodes);
    graph->nodes = NULL;
    graph->room = 0;
}

CUresult node_clone(const LibGraph *graph, LibGraph *clone)
{
    for (size_t i = 0; i < graph->room; i++) {
        const LibNode *from = graph->nodes[i];
        LibNode *to;

        if (!from || from->number != i + 1)
            continue;
        to = node_of(clone, from->number);
        if (!to || node_join(to, from->entry, false) != CUDA_SUCCESS ||
            node_join(to, from->exit, true) != CUDA_SUCCESS)
            return CUDA_ERROR_OUT_OF_MEMORY;
        to->type = from->type;
        to->event = from->event;
        to->kernel = from->kernel;
        if (from->shown_size == 0)
            continue;
        to->shown = malloc(from->shown_size);
        if (!to->shown)
            return CUDA_ERROR_OUT_OF_MEMORY;
        memcpy(to->shown, from->shown, from->shown_size);
        to->shown_size = from->shown_size;
    }
    return CUDA_SUCCESS;
}

CUresult node_enter(CUgraphNode handle, int type, LibCall *call, LibNode **ret)
{
    LibNode *node;
    int is;
    CUresult r = libcuda_enter(call);

    if (r != CUDA_SUCCESS)
        return r;
    node = handle_object(HANDLE_NODE, handle);
    if (!node)
        return CUDA_ERROR_INVALID_VALUE;
    call->context = node->graph->context;
    call->from.context = graph_context_number(node->graph);
    if (type >= 0) {
        r = node_type(call, node, &is);
        if (r == CUDA_SUCCESS && is != type)
            r = CUDA_ERROR_INVALID_VALUE;
    }
    if (r == CUDA_SUCCESS)
        *ret = node;
    return r;
}

/* ---- Adding ------------------------------------------------------------------------------------
 */

CUresult node_place(GRAPH_ADD_, NodePlace *place)
{
    CUresult r = graph_enter(graph, &place->call, &place->graph);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || (n_dependencies > 0 && !dependencies) ||
        n_dependencies > VGPU_SESSION_RECORD_MAX / sizeof(uint32_t))
        return CUDA_ERROR_INVALID_VALUE;
    r = graph_may_change(place->graph);
    if (r != CUDA_SUCCESS)
        return r;
    place->n_after = (uint32_t) n_dependencies;
    place->after = malloc((n_dependencies + 1) * sizeof(*place->after));
    if (!place->after)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < n_dependencies; i++) {
        const LibNode *node = handle_object(HANDLE_NODE, dependencies[i]);

        if (!node || node->graph != place->graph) {
            node_place_clear(place);
            return CUDA_ERROR_INVALID_VALUE;
        }
        place->after[i] = node->exit;
    }
    return CUDA_SUCCESS;
}

void node_place_clear(NodePlace *place)
{
    free(place->after);
}

CUresult node_added(NodePlace *place, int type, uint32_t number, LibNode **ret)
{
    LibNode *node = node_of(place->graph, number);

    if (!node)
        return CUDA_ERROR_OUT_OF_MEMORY;
    node->type = type;
    *ret = node;
    return CUDA_SUCCESS;
}

CUresult node_add(NodePlace *place, const VGPUSessionNode *what, const void *payload, size_t size,
                  LibNode **ret)
{
    VGPUSessionNode node = *what;
    uint32_t number;
    CUresult r;

    node.graph = place->graph->number;
    r = vgpu_session_node_add(place->call.session, &place->call.from, &node, place->after,
                              place->n_after, payload, size, &number);
    return r == CUDA_SUCCESS ? node_added(place, (int) what->type, number, ret) : r;
}

/* ---- Parameters --------------------------------------------------------------------------------
 */

CUresult node_target(CUgraphNode handle, int type, NodeTarget *ret)
{
    CUresult r = node_enter(handle, type, &ret->call, &ret->node);

    ret->exec = NULL;
    return r == CUDA_SUCCESS ? graph_may_change(ret->node->graph) : r;
}

/* Nodes of its conditional nodes' graphs are an executable graph's, too. */
static uint64_t node_origin(const LibNode *node)
{
    const LibGraph *graph = node->graph;

    while (graph->body_of)
        graph = graph->body_of->graph;
    return graph->id;
}

CUresult node_target_exec(CUgraphExec handle, CUgraphNode node, int type, NodeTarget *ret)
{
    CUresult r = graph_enter_exec(handle, &ret->call, &ret->exec);

    if (r == CUDA_SUCCESS)
        r = node_enter(node, type, &ret->call, &ret->node);
    if (r == CUDA_SUCCESS && ret->exec->origin != node_origin(ret->node))
        r = CUDA_ERROR_INVALID_VALUE;
    return r;
}

CUresult node_set(const NodeTarget *target, const VGPUSessionNode *what, const void *payload,
                  size_t size)
{
    VGPUSessionNode node = *what;

    node.graph = target->node->graph->number;
    node.node = target->node->number;
    node.type = (uint32_t) target->node->type;
    node.exec = target->exec ? target->exec->number : 0;
    return vgpu_session_call(target->call.session,
                             target->exec ? VGPU_SESSION_OP_NODE_EXEC_SET
                                          : VGPU_SESSION_OP_NODE_SET,
                             &target->call.from, &node, sizeof(node), payload, size, NULL);
}

CUresult node_remember(LibNode *node, const void *given, size_t size)
{
    void *copy = malloc(size);

    if (!copy)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(copy, given, size);
    free(node->shown);
    node->shown = copy;
    node->shown_size = size;
    return CUDA_SUCCESS;
}

CUresult node_get(const LibCall *call, const LibNode *node, size_t least, void **ret,
                  size_t *ret_size, uint64_t *ret_value)
{
    uint64_t value[3];
    void *payload;
    CUresult r = vgpu_session_node_get(call->session, &call->from, node->graph->number,
                                       node->number, &payload, value);

    if (r != CUDA_SUCCESS)
        return r;
    if (value[1] < least) {
        free(payload);
        return CUDA_ERROR_UNKNOWN; /* the host lies */
    }
    *ret = payload;
    if (ret_size)
        *ret_size = value[1];
    if (ret_value)
        *ret_value = value[2];
    return CUDA_SUCCESS;
}

CUresult node_type(const LibCall *call, LibNode *node, int *ret)
{
    uint64_t value[3];
    void *payload;
    CUresult r;

    if (node->type < 0) {
        r = vgpu_session_node_get(call->session, &call->from, node->graph->number, node->number,
                                  &payload, value);
        if (r != CUDA_SUCCESS)
            return r;
        free(payload);
        node->type = (int) value[0];
    }
    *ret = node->type;
    return CUDA_SUCCESS;
}

/* ---- The functions -----------------------------------------------------------------------------
 */

CUresult cuGraphNodeGetType(CUgraphNode handle, int *type)
{
    LibNode *node;
    LibCall call;
    CUresult r = node_enter(handle, -1, &call, &node);

    if (r == CUDA_SUCCESS && !type)
        r = CUDA_ERROR_INVALID_VALUE;
    return r == CUDA_SUCCESS ? node_type(&call, node, type) : r;
}

/* A clone's nodes have the numbers of their originals. */
CUresult cuGraphNodeFindInClone(CUgraphNode *ret, CUgraphNode original, CUgraph clone_handle)
{
    LibNode *node, *found;
    LibGraph *clone;
    LibCall call;
    int type;
    CUresult r = graph_enter(clone_handle, &call, &clone);

    if (r == CUDA_SUCCESS)
        r = node_enter(original, -1, &call, &node);
    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || clone->origin != node->graph->id || node->number > clone->n_origin)
        return CUDA_ERROR_INVALID_VALUE;
    found = node_of(clone, node->number);
    if (!found)
        return CUDA_ERROR_OUT_OF_MEMORY;
    found->type = -1; /* ask: it may have been destroyed in the clone */
    r = node_type(&call, found, &type);
    if (r == CUDA_SUCCESS)
        *ret = found->handle;
    else
        node_forget(&call, found);
    return r;
}

CUresult cuGraphDestroyNode(CUgraphNode handle)
{
    VGPUSessionNode parameters = {0};
    LibNode *node;
    LibCall call;
    uint32_t number[2];
    CUresult r = node_enter(handle, -1, &call, &node);

    if (r != CUDA_SUCCESS)
        return r;
    if (node->graph->is_growing)
        return CUDA_ERROR_INVALID_VALUE;
    r = graph_may_change(node->graph);
    if (r == CUDA_SUCCESS)
        r = graph_has_no_memory(node->graph);
    number[0] = node->entry;
    number[1] = node->exit;
    for (unsigned i = 0; i < (number[0] == number[1] ? 1u : 2u) && r == CUDA_SUCCESS; i++) {
        parameters.graph = node->graph->number;
        parameters.node = number[i];
        r = libcuda_ask(&call, VGPU_SESSION_OP_NODE_DESTROY, &parameters, sizeof(parameters), NULL);
    }
    if (r == CUDA_SUCCESS)
        node_forget(&call, node);
    return r;
}

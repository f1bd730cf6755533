/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The nodes that a graph has, a capture collects, and an executable graph runs */
#include "fake-capture.h"

#include <stdlib.h>
#include <string.h>

/* CUgraphExecUpdateResult */
enum {
    UPDATE_SUCCESS = 0,
    UPDATE_TOPOLOGY_CHANGED = 2,
    UPDATE_NODE_TYPE_CHANGED = 3,
    UPDATE_PARAMETERS_CHANGED = 5,
};

static void *grown(void *array, size_t n, size_t size)
{
    array = realloc(array, n * size);
    if (!array)
        abort();
    return array;
}

CUgraphNode fake_nodes_add(FakeNodes *nodes, const FakeWork *work)
{
    CUgraphNode node = fake_object_new(FAKE_KIND_NODE, NULL, sizeof(*node));

    if (nodes->n == nodes->room) {
        nodes->room = nodes->room ? 2 * nodes->room : 16;
        nodes->all = grown(nodes->all, nodes->room, sizeof(CUgraphNode));
    }
    fake_work_copy(&node->work, work);
    node->nodes = nodes;
    node->index = nodes->n;
    nodes->all[nodes->n++] = node;
    return node;
}

static void node_free(CUgraphNode node)
{
    if (node->work.kind == FAKE_WORK_GRAPH)
        fake_graph_end(node->work.graph);
    if (node->work.kind == FAKE_WORK_CONDITIONAL)
        fake_bodies_end(node);
    fake_work_clear(&node->work);
    free(node->dependencies);
    free(node->edges);
    free(node->params);
    fake_object_end(node);
}

static void node_copy(FakeNodes *to, const struct CUgraphNode_st *from)
{
    CUgraphNode node = fake_nodes_add(to, &from->work);

    node->origin = (CUgraphNode) from;
    memcpy(node->attributes, from->attributes, sizeof(node->attributes));
    node->n_attributes = from->n_attributes;
    if (from->work.kind == FAKE_WORK_CONDITIONAL)
        fake_bodies_copy(node);
    if (from->work.kind != FAKE_WORK_GRAPH)
        return;
    node->work.graph = fake_graph_new(NULL);
    node->work.graph->is_child = true;
    fake_nodes_copy(&node->work.graph->nodes, &from->work.graph->nodes);
}

void fake_nodes_copy(FakeNodes *to, const FakeNodes *from)
{
    for (size_t i = 0; i < from->n; i++)
        node_copy(to, from->all[i]);
    for (size_t i = 0; i < from->n; i++)
        for (size_t j = 0; j < from->all[i]->n_dependencies; j++)
            fake_edge_add(to->all[i], to->all[from->all[i]->dependencies[j]->index],
                          from->all[i]->edges[j]);
    to->held = grown(to->held, to->n_held + from->n_held + 1, sizeof(CUuserObject));
    for (size_t i = 0; i < from->n_held; i++) {
        fake_user_object_take(from->held[i]);
        to->held[to->n_held++] = from->held[i];
    }
}

void fake_nodes_clear(FakeNodes *nodes)
{
    FakeNodes old = *nodes;

    *nodes = (FakeNodes){0};
    for (size_t i = 0; i < old.n; i++)
        node_free(old.all[i]);
    for (size_t i = 0; i < old.n_held; i++)
        fake_user_object_end(old.held[i]);
    free(old.held);
    free(old.all);
}

static void node_forget(CUgraphNode node, const struct CUgraphNode_st *dependency)
{
    size_t n = 0;

    for (size_t i = 0; i < node->n_dependencies; i++) {
        if (node->dependencies[i] == dependency)
            continue;
        node->edges[n] = node->edges[i];
        node->dependencies[n++] = node->dependencies[i];
    }
    node->n_dependencies = n;
}

void fake_nodes_remove(CUgraphNode node)
{
    FakeNodes *nodes = node->nodes;

    nodes->n--;
    for (size_t i = node->index; i < nodes->n; i++) {
        nodes->all[i] = nodes->all[i + 1];
        nodes->all[i]->index = i;
    }
    for (size_t i = 0; i < nodes->n; i++)
        node_forget(nodes->all[i], node);
    node_free(node);
}

static bool is_ready(const struct CUgraphNode_st *node, const bool *done)
{
    for (size_t i = 0; i < node->n_dependencies; i++)
        if (!done[node->dependencies[i]->index])
            return false;
    return true;
}

/* Mostly nodes stand in such an order: then one walk is enough. */
CUgraphNode *fake_nodes_sort(const FakeNodes *nodes)
{
    CUgraphNode *sorted = grown(NULL, nodes->n + 1, sizeof(CUgraphNode));
    bool *done = calloc(nodes->n + 1, sizeof(bool));
    size_t n = 0, before;

    if (!done)
        abort();
    do {
        before = n;
        for (size_t i = 0; i < nodes->n; i++) {
            if (done[i] || !is_ready(nodes->all[i], done))
                continue;
            done[i] = true;
            sorted[n++] = nodes->all[i];
        }
    } while (n < nodes->n && n > before);
    free(done);
    if (n == nodes->n)
        return sorted;
    free(sorted);
    return NULL;
}

static int compare_bodies(const FakeWork *a, const FakeWork *b, CUgraphNode *ret_node)
{
    int r = UPDATE_SUCCESS;

    if (a->conditional.type != b->conditional.type || a->conditional.n != b->conditional.n)
        return UPDATE_PARAMETERS_CHANGED;
    for (unsigned i = 0; i < a->conditional.n && r == UPDATE_SUCCESS; i++)
        r = fake_nodes_compare(&a->conditional.bodies[i]->nodes, &b->conditional.bodies[i]->nodes,
                               ret_node);
    return r;
}

int fake_nodes_compare(const FakeNodes *exec, const FakeNodes *graph, CUgraphNode *ret_node)
{
    if (exec->n != graph->n)
        return UPDATE_TOPOLOGY_CHANGED;
    for (size_t i = 0; i < graph->n; i++) {
        const struct CUgraphNode_st *a = exec->all[i], *b = graph->all[i];

        *ret_node = graph->all[i];
        if (a->work.kind != b->work.kind)
            return UPDATE_NODE_TYPE_CHANGED;
        if (a->n_dependencies != b->n_dependencies)
            return UPDATE_TOPOLOGY_CHANGED;
        for (size_t j = 0; j < a->n_dependencies; j++)
            if (a->dependencies[j]->index != b->dependencies[j]->index ||
                memcmp(&a->edges[j], &b->edges[j], sizeof(a->edges[j])) != 0)
                return UPDATE_TOPOLOGY_CHANGED;
        if (a->work.kind == FAKE_WORK_CONDITIONAL) {
            int r = compare_bodies(&a->work, &b->work, ret_node);

            if (r != UPDATE_SUCCESS)
                return r;
        }
        if (a->work.kind == FAKE_WORK_GRAPH) {
            int r = fake_nodes_compare(&a->work.graph->nodes, &b->work.graph->nodes, ret_node);

            if (r != UPDATE_SUCCESS)
                return r;
        }
    }
    *ret_node = NULL;
    return UPDATE_SUCCESS;
}

void fake_node_attribute(CUgraphNode node, int id, const void *value)
{
    CUlaunchAttribute *a = node->attributes;
    unsigned i = 0;

    while (i < node->n_attributes && a[i].id != id)
        i++;
    if (i == FAKE_NODE_ATTRIBUTES)
        abort();
    if (i == node->n_attributes)
        node->n_attributes++;
    a[i].id = id;
    memcpy(a[i].value, value, sizeof(a[i].value));
}

/* ---- Graphs --------------------------------------------------------------------------------- */

CUgraph fake_graph_new(CUcontext context)
{
    return fake_object_new(FAKE_KIND_GRAPH, context, sizeof(struct CUgraph_st));
}

void fake_graph_end(CUgraph graph)
{
    fake_conditions_leave(graph);
    if (graph->is_captured && graph->is_child)
        fake_capture_lose(graph);
    fake_nodes_clear(&graph->nodes);
    fake_object_end(graph);
}

void fake_graphs_end(CUcontext context)
{
    for (CUgraph g; (g = fake_object_any(FAKE_KIND_GRAPH, context));)
        fake_graph_end(g);
    for (CUgraphExec e; (e = fake_object_any(FAKE_KIND_EXEC, context));) {
        fake_conditions_end(e);
        fake_nodes_clear(&e->nodes);
        fake_object_end(e);
    }
}

/* ---- User objects ---------------------------------------------------------------------------- */

struct CUuserObject_st {
    FakeObject object;
    void (*destroy)(void *data);
    void *data;
    unsigned references;
};

CUresult cuUserObjectCreate(CUuserObject *object, void *data, void (*destroy)(void *data),
                            unsigned references, unsigned flags)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    if (flags != CU_USER_OBJECT_NO_DESTRUCTOR_SYNC || references == 0 || references > INT32_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    *object = fake_object_new(FAKE_KIND_USER_OBJECT, NULL, sizeof(**object));
    (*object)->destroy = destroy;
    (*object)->data = data;
    (*object)->references = references;
    return CUDA_SUCCESS;
}

void fake_user_object_take(CUuserObject object)
{
    object->references++;
}

/* The destructor may call nothing of the driver's: so it may run under the lock. */
void fake_user_object_end(CUuserObject object)
{
    const bool in = fake_in_callback();

    if (--object->references > 0)
        return;
    fake_set_in_callback(true);
    object->destroy(object->data);
    fake_set_in_callback(in);
    fake_object_end(object);
}

CUresult cuUserObjectRelease(CUuserObject object, unsigned n)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(object, FAKE_KIND_USER_OBJECT, __func__);
    if (n == 0 || n > object->references)
        return CUDA_ERROR_INVALID_VALUE;
    while (n-- > 0)
        fake_user_object_end(object);
    return CUDA_SUCCESS;
}

CUresult cuGraphRetainUserObject(CUgraph graph, CUuserObject object, unsigned n, unsigned flags)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    FakeNodes *nodes = &graph->nodes;

    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    fake_object_check(object, FAKE_KIND_USER_OBJECT, __func__);
    if (n == 0 || flags > CU_GRAPH_USER_OBJECT_MOVE)
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & CU_GRAPH_USER_OBJECT_MOVE && n > object->references)
        fake_misuse("%s: %u references of %u", __func__, n, object->references);
    nodes->held = grown(nodes->held, nodes->n_held + n, sizeof(CUuserObject));
    for (unsigned i = 0; i < n; i++) {
        if (!(flags & CU_GRAPH_USER_OBJECT_MOVE))
            object->references++;
        nodes->held[nodes->n_held++] = object;
    }
    return CUDA_SUCCESS;
}

CUresult cuGraphReleaseUserObject(CUgraph graph, CUuserObject object, unsigned n)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    FakeNodes *nodes = &graph->nodes;

    fake_object_check(graph, FAKE_KIND_GRAPH, __func__);
    fake_object_check(object, FAKE_KIND_USER_OBJECT, __func__);
    for (size_t i = nodes->n_held; n > 0 && i > 0; i--) {
        if (nodes->held[i - 1] != object)
            continue;
        nodes->held[i - 1] = nodes->held[--nodes->n_held];
        n--;
        fake_user_object_end(object);
    }
    if (n > 0)
        fake_misuse("%s: the graph does not have it so often", __func__);
    return CUDA_SUCCESS;
}

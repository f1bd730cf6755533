/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-condition.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "session-streams.h"

/* ---- Conditions -------------------------------------------------------------------------------
 */

/* Room for one more: the array grows when their number is a power of two. */
static bool conditions_grow(SessionGraph *graph)
{
    const size_t n = graph->n_conditions;
    SessionCondition *more;

    if ((n & (n - 1)) != 0)
        return true;
    more = realloc(graph->conditions, (n > 0 ? 2 * n : 1) * sizeof(*more));
    if (!more)
        return false;
    graph->conditions = more;
    return true;
}

static CUresult condition_make(Session *s, const SessionCall *call, SessionGraph *graph,
                               uint64_t *ret)
{
    const VGPUSessionCondition *p = call->parameters;
    uint64_t handle;
    CUresult r = session_graph_count_beside(s, graph, 1);

    if (r != CUDA_SUCCESS)
        return r;
    r = CUDA_ERROR_OUT_OF_MEMORY;
    if (conditions_grow(graph))
        r = session_driver(s)->graph_conditional_handle_create(
            &handle, graph->graph, session_thread()->context->handle, p->value, p->flags);
    if (r != CUDA_SUCCESS) {
        session_graph_uncount_beside(s, graph, 1);
        return r;
    }
    graph->conditions[graph->n_conditions++] = (SessionCondition){.handle = handle};
    *ret = handle;
    return CUDA_SUCCESS;
}

CUresult session_op_GRAPH_CONDITION(Session *s, SessionCall *call)
{
    const VGPUSessionCondition *p = call->parameters;
    SessionStore *store = session_store(s);
    SessionGraph *graph;
    CUresult r;

    if (p->reserved != 0 || (p->flags & ~(uint32_t) CU_GRAPH_COND_ASSIGN_DEFAULT) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&store->handles);
    r = session_graph_find_growing(s, p->graph, &graph);
    if (r == CUDA_SUCCESS && graph->context != call->record.context)
        r = CUDA_ERROR_INVALID_CONTEXT;
    if (r == CUDA_SUCCESS)
        r = condition_make(s, call, graph, &call->value[0]);
    pthread_mutex_unlock(&store->handles);
    return r;
}

/* Of the graph, or of one that it is in */
static SessionCondition *condition_find(const SessionGraph *graph, uint64_t handle)
{
    for (; graph; graph = graph->owner)
        for (uint32_t i = 0; i < graph->n_conditions; i++)
            if (graph->conditions[i].handle == handle)
                return &graph->conditions[i];
    return NULL;
}

/* ---- Nodes ------------------------------------------------------------------------------------
 */

/* The payload, and behind it the numbers of bodies */
static CUresult conditional_read(const SessionNodeCall *c, VGPUSessionConditional *ret)
{
    if (c->use != SESSION_NODE_ADD || c->payload_size < sizeof(*ret))
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(ret, c->payload, sizeof(*ret));
    if (ret->size == 0 || ret->type > CU_GRAPH_COND_TYPE_SWITCH ||
        (ret->type == CU_GRAPH_COND_TYPE_IF && ret->size > 2) ||
        (ret->type == CU_GRAPH_COND_TYPE_WHILE && ret->size > 1))
        return CUDA_ERROR_INVALID_VALUE;
    if (ret->size > VGPU_SESSION_BODIES_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (ret->size > (c->payload_size - sizeof(*ret)) / sizeof(uint32_t))
        return CUDA_ERROR_INVALID_VALUE;
    if (c->graph->context != c->call->record.context)
        return CUDA_ERROR_INVALID_CONTEXT;
    /* The driver goes down from graph to graph. */
    return c->graph->level < SESSION_GRAPH_DEPTH_MAX ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static void bodies_drop(Session *s, SessionGraph **bodies, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        session_graph_leave(s, bodies[i]);
}

/* With their numbers, so that nothing can fail when the driver has made the node */
static CUresult bodies_make(Session *s, const SessionNodeCall *c, uint32_t n, SessionGraph **ret)
{
    for (uint32_t i = 0; i < n; i++) {
        SessionGraph *body;
        uint32_t number;
        CUresult r = CUDA_ERROR_OUT_OF_MEMORY;

        memcpy(&number, c->payload + sizeof(VGPUSessionConditional) + i * sizeof(number),
               sizeof(number));
        body = session_graph_new(s, SESSION_GRAPH, number, c->call);
        if (body)
            r = session_graph_add(s, body);
        if (r != CUDA_SUCCESS) {
            session_graph_free(body);
            bodies_drop(s, ret, i);
            return r;
        }
        body->is_known = true;
        body->level = c->graph->level + 1;
        ret[i] = body;
    }
    return CUDA_SUCCESS;
}

static CUresult conditional_add(Session *s, SessionNodeCall *c, const VGPUSessionConditional *p,
                                SessionGraph **bodies)
{
    CudaNodeParams params = {
        .type = CU_GRAPH_NODE_TYPE_CONDITIONAL,
        .conditional = {.handle = p->handle,
                        .type = (int) p->type,
                        .size = p->size,
                        .context = c->context},
    };
    CUresult r = session_driver(s)->node_add(&c->made.handle, c->graph->graph, c->dependencies,
                                             NULL, c->n_dependencies, &params);

    for (uint32_t i = 0; r == CUDA_SUCCESS && i < p->size; i++) {
        bodies[i]->graph = params.conditional.graphs[i];
        bodies[i]->owner = c->graph;
        bodies[i]->owner_node = c->made.handle;
        LIST_INSERT_HEAD(&c->graph->bodies, bodies[i], body);
    }
    return r;
}

CUresult session_node_make_conditional(Session *s, SessionNodeCall *c)
{
    CLEANUP_FREE SessionGraph **bodies = NULL;
    SessionCondition *condition;
    VGPUSessionConditional p;
    CUresult r = conditional_read(c, &p);

    if (r != CUDA_SUCCESS)
        return r;
    condition = condition_find(c->graph, p.handle);
    if (!condition || condition->is_used)
        return CUDA_ERROR_INVALID_VALUE;
    bodies = calloc(p.size, sizeof(SessionGraph *));
    if (!bodies)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = session_graph_count_beside(s, c->graph, p.size);
    if (r != CUDA_SUCCESS)
        return r;
    r = bodies_make(s, c, p.size, bodies);
    if (r == CUDA_SUCCESS) {
        r = conditional_add(s, c, &p, bodies);
        if (r != CUDA_SUCCESS)
            bodies_drop(s, bodies, p.size);
    }
    if (r == CUDA_SUCCESS)
        condition->is_used = true;
    else
        session_graph_uncount_beside(s, c->graph, p.size);
    return r;
}

/* ---- Bodies -----------------------------------------------------------------------------------
 */

bool session_body_takes(uint32_t type)
{
    return type == CU_GRAPH_NODE_TYPE_KERNEL || type == CU_GRAPH_NODE_TYPE_MEMCPY ||
           type == CU_GRAPH_NODE_TYPE_MEMSET || type == CU_GRAPH_NODE_TYPE_GRAPH ||
           type == CU_GRAPH_NODE_TYPE_EMPTY || type == CU_GRAPH_NODE_TYPE_CONDITIONAL;
}

CUresult session_bodies_gather(Session *s, SessionGraph *graph, uint32_t *ret_n)
{
    uint32_t n_all = graph->n_total + graph->n_beside;
    SessionGraph *body;

    LIST_FOREACH(body, &graph->bodies, body)
    {
        uint32_t n = 0;
        CUresult r = body->is_broken ? CUDA_ERROR_INVALID_HANDLE
                     : body->growing ? CUDA_ERROR_NOT_SUPPORTED
                                     : session_bodies_gather(s, body, &n);

        if (r == CUDA_SUCCESS)
            r = session_uses_add(&graph->uses, &body->uses);
        if (r != CUDA_SUCCESS)
            return r;
        graph->may_wait |= body->may_wait;
        n_all += n;
        if (n_all > VGPU_SESSION_NODES_MAX)
            return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (n_all > VGPU_SESSION_NODES_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret_n = n_all;
    return CUDA_SUCCESS;
}

bool session_bodies_grow(const SessionGraph *graph, CUgraphNode node)
{
    const SessionGraph *body;

    LIST_FOREACH(body, &graph->bodies, body)
    if ((!node || body->owner_node == node) && (body->growing || session_bodies_grow(body, NULL)))
        return true;
    return false;
}

void session_bodies_leave(Session *s, SessionGraph *graph, CUgraphNode node)
{
    SessionGraph *body, *next;

    for (body = LIST_FIRST(&graph->bodies); body; body = next) {
        next = LIST_NEXT(body, body);
        if (node && body->owner_node != node)
            continue;
        if (body->growing)
            body->growing->grows = NULL;
        session_graph_uncount(s, body, body->n_total);
        session_graph_uncount_beside(s, graph, 1);
        session_graph_leave(s, body);
    }
}

const SessionGraph *session_bodies_root(const SessionGraph *graph)
{
    while (graph->owner)
        graph = graph->owner;
    return graph;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Graphs by their nodes */
#include "fake-capture.h"
#include "fake-module.h"

#include <stdlib.h>
#include <string.h>

/* CUgraphNodeType of what a capture may have */
static int type_of(const FakeWork *w)
{
    switch (w->kind) {
    case FAKE_WORK_KERNEL:
        return CU_GRAPH_NODE_TYPE_KERNEL;
    case FAKE_WORK_COPY:
        return CU_GRAPH_NODE_TYPE_MEMCPY;
    case FAKE_WORK_SET:
        return CU_GRAPH_NODE_TYPE_MEMSET;
    case FAKE_WORK_HOST:
        return CU_GRAPH_NODE_TYPE_HOST;
    case FAKE_WORK_GRAPH:
        return CU_GRAPH_NODE_TYPE_GRAPH;
    case FAKE_WORK_WAIT_EVENT:
        return CU_GRAPH_NODE_TYPE_WAIT_EVENT;
    case FAKE_WORK_RECORD:
        return CU_GRAPH_NODE_TYPE_EVENT_RECORD;
    case FAKE_WORK_WRITE:
    case FAKE_WORK_WAIT:
    case FAKE_WORK_BATCH:
        return CU_GRAPH_NODE_TYPE_BATCH_MEM_OP;
    case FAKE_WORK_CONDITIONAL:
        return CU_GRAPH_NODE_TYPE_CONDITIONAL;
    default:
        return CU_GRAPH_NODE_TYPE_EMPTY;
    }
}

static CUresult check(CUgraphNode node, int type, const char *what)
{
    fake_object_check(node, FAKE_KIND_NODE, what);
    return type_of(&node->work) == type ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

bool fake_nodes_are_of(CUgraph graph, const CUgraphNode *nodes, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        fake_object_check(nodes[i], FAKE_KIND_NODE, what);
        if (nodes[i]->nodes != &graph->nodes)
            return false;
        for (size_t j = 0; j < i; j++)
            if (nodes[j] == nodes[i])
                return false; /* twice */
    }
    return true;
}

CUresult fake_node_add(CUDA_ADD_NODE_, FakeWork *work, const char *what)
{
    CUresult r = CUDA_ERROR_INVALID_VALUE;

    fake_object_check(graph, FAKE_KIND_GRAPH, what);
    if (fake_nodes_are_of(graph, dependencies, n_dependencies, what)) {
        *node = fake_nodes_add(&graph->nodes, work);
        for (size_t i = 0; i < n_dependencies; i++)
            fake_edge_add(*node, dependencies[i], (CudaEdgeData){0});
        (*node)->is_direct = true;
        r = CUDA_SUCCESS;
    }
    fake_work_clear(work);
    return r;
}

#define ADD(work) fake_node_add(node, graph, dependencies, n_dependencies, (work), __func__)

/* Of a graph's node, or one of an executable graph: the work is its from now on. */
static CUresult set(CUgraphNode node, FakeWork *work)
{
    fake_work_clear(&node->work);
    node->work = *work;
    free(node->params);
    node->params = NULL;
    return CUDA_SUCCESS;
}

/* That which was made of @node, also in bodies; NULL: none */
static CUgraphNode made_of(const FakeNodes *nodes, const struct CUgraphNode_st *node)
{
    CUgraphNode found = NULL;

    for (size_t i = 0; i < nodes->n && !found; i++) {
        const FakeWork *w = &nodes->all[i]->work;

        if (nodes->all[i]->origin == node)
            return nodes->all[i];
        for (unsigned j = 0; w->kind == FAKE_WORK_CONDITIONAL && j < w->conditional.n && !found;
             j++)
            found = made_of(&w->conditional.bodies[j]->nodes, node);
    }
    return found;
}

/* The node of an executable graph that was made of @node, which may be none; NULL: none */
static CUgraphNode in_exec(CUgraphExec exec, CUgraphNode node, int type, const char *what)
{
    CUgraphNode found;

    fake_object_check(exec, FAKE_KIND_EXEC, what);
    fake_object_check(node, FAKE_KIND_NODE, what);
    found = made_of(&exec->nodes, node);
    return found && type_of(&found->work) == type ? found : NULL;
}

static CUresult set_in_exec(CUgraphNode node, FakeWork *work)
{
    if (node)
        return set(node, work);
    fake_work_clear(work);
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphNodeGetType(CUgraphNode node, int *type)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(node, FAKE_KIND_NODE, __func__);
    *type = type_of(&node->work);
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroyNode(CUgraphNode node)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(node, FAKE_KIND_NODE, __func__);
    fake_nodes_remove(node);
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned is_enabled)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    CUgraphNode n = NULL;

    for (int type = CU_GRAPH_NODE_TYPE_KERNEL; !n && type <= CU_GRAPH_NODE_TYPE_MEMSET; type++)
        n = in_exec(exec, node, type, __func__);
    if (!n)
        return CUDA_ERROR_INVALID_VALUE;
    n->disabled = !is_enabled;
    return CUDA_SUCCESS;
}

/* ---- Kernels ----------------------------------------------------------------------------------
 */

static CUresult kernel_make(const CudaKernelNode *p, const char *what, FakeWork *ret)
{
    const CUlaunchConfig c = {
        .grid_x = p->grid_x,
        .grid_y = p->grid_y,
        .grid_z = p->grid_z,
        .block_x = p->block_x,
        .block_y = p->block_y,
        .block_z = p->block_z,
        .shared_bytes = p->shared_bytes,
    };

    return fake_launch_make(&c, p->function, p->params, p->extra, what, ret);
}

CUresult cuGraphAddKernelNode_v2(CUDA_ADD_NODE_, const CudaKernelNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w;
    CUresult r = kernel_make(params, __func__, &w);

    return r == CUDA_SUCCESS ? ADD(&w) : r;
}

CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode node, CudaKernelNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    const FakeLaunch *l = &node->work.launch;

    if (check(node, CU_GRAPH_NODE_TYPE_KERNEL, __func__) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_VALUE;
    if (!node->params) {
        node->params = calloc(l->kernel->n_parameters + 1, sizeof(void *));
        if (!node->params)
            abort();
        for (unsigned i = 0; i < l->kernel->n_parameters; i++)
            node->params[i] = l->parameters + l->kernel->parameters[i].offset;
    }
    *params = (CudaKernelNode){
        .function = l->function,
        .grid_x = l->grid[0],
        .grid_y = l->grid[1],
        .grid_z = l->grid[2],
        .block_x = l->block[0],
        .block_y = l->block[1],
        .block_z = l->block[2],
        .shared_bytes = l->shared_bytes,
        .params = node->params,
    };
    return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CudaKernelNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w;
    CUresult r = check(node, CU_GRAPH_NODE_TYPE_KERNEL, __func__);

    if (r == CUDA_SUCCESS)
        r = kernel_make(params, __func__, &w);
    return r == CUDA_SUCCESS ? set(node, &w) : r;
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                           const CudaKernelNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUgraphNode n = in_exec(exec, node, CU_GRAPH_NODE_TYPE_KERNEL, __func__);
    FakeWork w;
    CUresult r = kernel_make(params, __func__, &w);

    return r == CUDA_SUCCESS ? set_in_exec(n, &w) : r;
}

CUresult cuGraphKernelNodeGetAttribute(CUgraphNode node, int attribute, void *value)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    if (check(node, CU_GRAPH_NODE_TYPE_KERNEL, __func__) != CUDA_SUCCESS || attribute < 0 ||
        attribute >= (int) FAKE_NODE_ATTRIBUTES)
        return CUDA_ERROR_INVALID_VALUE;
    memset(value, 0, sizeof(node->attributes[0].value));
    for (unsigned i = 0; i < node->n_attributes; i++)
        if (node->attributes[i].id == attribute)
            memcpy(value, node->attributes[i].value, sizeof(node->attributes[i].value));
    return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeSetAttribute(CUgraphNode node, int attribute, const void *value)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    if (check(node, CU_GRAPH_NODE_TYPE_KERNEL, __func__) != CUDA_SUCCESS || attribute < 0 ||
        attribute >= (int) FAKE_NODE_ATTRIBUTES || attribute == FAKE_LAUNCH_PROGRAMMATIC_EVENT ||
        attribute == FAKE_LAUNCH_COMPLETION_EVENT)
        return CUDA_ERROR_INVALID_VALUE;
    fake_node_attribute(node, attribute, value);
    return CUDA_SUCCESS;
}

/* ---- Copies and sets --------------------------------------------------------------------------
 */

CUresult cuGraphAddMemcpyNode(CUDA_ADD_NODE_, const CudaCopy3D *params, CUcontext context)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w;
    CUresult r = fake_box_make(params, __func__, &w);

    fake_object_check(context, FAKE_KIND_CONTEXT, __func__);
    return r == CUDA_SUCCESS ? ADD(&w) : r;
}

static void place_get(const FakePlace *place, int *type, const void **host, CUdeviceptr *device,
                      size_t *pitch, size_t *height)
{
    *type = place->host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
    *host = place->host ? (const void *) (uintptr_t) place->address : NULL;
    *device = place->host ? 0 : place->address;
    *pitch = place->pitch;
    *height = place->pitch ? place->slice / place->pitch : 0;
}

CUresult cuGraphMemcpyNodeGetParams(CUgraphNode node, CudaCopy3D *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    const FakeCopy *c = &node->work.copy;
    const void *to;

    if (check(node, CU_GRAPH_NODE_TYPE_MEMCPY, __func__) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_VALUE;
    *params = (CudaCopy3D){.width_bytes = c->width, .height = c->height, .depth = c->depth};
    place_get(&c->from, &params->src_type, &params->src_host, &params->src_device,
              &params->src_pitch, &params->src_height);
    place_get(&c->to, &params->dst_type, &to, &params->dst_device, &params->dst_pitch,
              &params->dst_height);
    params->dst_host = (void *) to;
    if (c->from.array) {
        params->src_type = CU_MEMORYTYPE_ARRAY;
        params->src_array = c->from.array;
        params->src_x_bytes = c->from.x_bytes;
        params->src_y = c->from.y;
        params->src_z = c->from.z;
    }
    if (c->to.array) {
        params->dst_type = CU_MEMORYTYPE_ARRAY;
        params->dst_array = c->to.array;
        params->dst_x_bytes = c->to.x_bytes;
        params->dst_y = c->to.y;
        params->dst_z = c->to.z;
    }
    return CUDA_SUCCESS;
}

CUresult cuGraphMemcpyNodeSetParams(CUgraphNode node, const CudaCopy3D *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w;
    CUresult r = check(node, CU_GRAPH_NODE_TYPE_MEMCPY, __func__);

    if (r == CUDA_SUCCESS)
        r = fake_box_make(params, __func__, &w);
    return r == CUDA_SUCCESS ? set(node, &w) : r;
}

/* The manual: from where to where a copy goes cannot change, and one of a line is one of a line. */
CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CudaCopy3D *params, CUcontext context)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUgraphNode n = in_exec(exec, node, CU_GRAPH_NODE_TYPE_MEMCPY, __func__);
    FakeWork w;
    CUresult r = fake_box_make(params, __func__, &w);

    fake_object_check(context, FAKE_KIND_CONTEXT, __func__);
    if (r == CUDA_SUCCESS && n &&
        (n->work.copy.to.host != w.copy.to.host || n->work.copy.from.host != w.copy.from.host ||
         !n->work.copy.to.array != !w.copy.to.array ||
         !n->work.copy.from.array != !w.copy.from.array))
        return CUDA_ERROR_INVALID_VALUE;
    return r == CUDA_SUCCESS ? set_in_exec(n, &w) : r;
}

static CUresult set_make(const CudaMemsetNode *p, const char *what, FakeWork *ret)
{
    const FakeSet s = {
        .address = p->address,
        .pitch = p->height > 1 ? p->pitch : 0,
        .count = p->width,
        .rows = p->height,
        .value = p->value,
        .width = p->element_size,
    };

    if (p->width == 0 || p->height == 0 ||
        (p->element_size != 1 && p->element_size != 2 && p->element_size != 4))
        return CUDA_ERROR_INVALID_VALUE;
    return fake_set_make(s, what, ret);
}

CUresult cuGraphAddMemsetNode(CUDA_ADD_NODE_, const CudaMemsetNode *params, CUcontext context)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w;
    CUresult r = set_make(params, __func__, &w);

    fake_object_check(context, FAKE_KIND_CONTEXT, __func__);
    return r == CUDA_SUCCESS ? ADD(&w) : r;
}

CUresult cuGraphMemsetNodeGetParams(CUgraphNode node, CudaMemsetNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    const FakeSet *s = &node->work.set;

    if (check(node, CU_GRAPH_NODE_TYPE_MEMSET, __func__) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_VALUE;
    *params = (CudaMemsetNode){s->address, s->pitch, s->value, s->width, s->count, s->rows};
    return CUDA_SUCCESS;
}

CUresult cuGraphMemsetNodeSetParams(CUgraphNode node, const CudaMemsetNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w;
    CUresult r = check(node, CU_GRAPH_NODE_TYPE_MEMSET, __func__);

    if (r == CUDA_SUCCESS)
        r = set_make(params, __func__, &w);
    return r == CUDA_SUCCESS ? set(node, &w) : r;
}

CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CudaMemsetNode *params, CUcontext context)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUgraphNode n = in_exec(exec, node, CU_GRAPH_NODE_TYPE_MEMSET, __func__);
    FakeWork w;
    CUresult r = set_make(params, __func__, &w);

    fake_object_check(context, FAKE_KIND_CONTEXT, __func__);
    if (r == CUDA_SUCCESS && n && (n->work.set.rows > 1) != (w.set.rows > 1))
        return CUDA_ERROR_INVALID_VALUE;
    return r == CUDA_SUCCESS ? set_in_exec(n, &w) : r;
}

/* ---- Functions of the host ---------------------------------------------------------------------
 */

static FakeWork host_make(const CudaHostNode *p, const char *what)
{
    if (!p->function)
        fake_misuse("%s: no function", what);
    return (FakeWork){.kind = FAKE_WORK_HOST,
                      .host = {.function = p->function, .user_data = p->user_data}};
}

CUresult cuGraphAddHostNode(CUDA_ADD_NODE_, const CudaHostNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w = host_make(params, __func__);

    return ADD(&w);
}

CUresult cuGraphHostNodeGetParams(CUgraphNode node, CudaHostNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    if (check(node, CU_GRAPH_NODE_TYPE_HOST, __func__) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_VALUE;
    *params = (CudaHostNode){node->work.host.function, node->work.host.user_data};
    return CUDA_SUCCESS;
}

CUresult cuGraphHostNodeSetParams(CUgraphNode node, const CudaHostNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w = host_make(params, __func__);

    return check(node, CU_GRAPH_NODE_TYPE_HOST, __func__) == CUDA_SUCCESS
               ? set(node, &w)
               : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                      const CudaHostNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w = host_make(params, __func__);

    return set_in_exec(in_exec(exec, node, CU_GRAPH_NODE_TYPE_HOST, __func__), &w);
}

/* ---- Graphs in graphs, and nothing -------------------------------------------------------------
 */

CUresult cuGraphAddChildGraphNode(CUDA_ADD_NODE_, CUgraph child)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w = {.kind = FAKE_WORK_GRAPH};
    CUresult r;

    fake_object_check(child, FAKE_KIND_GRAPH, __func__);
    if (child == graph)
        return CUDA_ERROR_INVALID_VALUE;
    if (fake_conditions_are(&child->nodes))
        return CUDA_ERROR_NOT_SUPPORTED;
    w.graph = fake_graph_new(NULL);
    w.graph->is_child = true;
    fake_nodes_copy(&w.graph->nodes, &child->nodes);
    r = ADD(&w);
    if (r != CUDA_SUCCESS)
        fake_graph_end(w.graph);
    return r;
}

CUresult cuGraphChildGraphNodeGetGraph(CUgraphNode node, CUgraph *child)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    if (check(node, CU_GRAPH_NODE_TYPE_GRAPH, __func__) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_VALUE;
    *child = node->work.graph;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph child)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUgraphNode n = in_exec(exec, node, CU_GRAPH_NODE_TYPE_GRAPH, __func__), different;
    FakeNodes old;

    fake_object_check(child, FAKE_KIND_GRAPH, __func__);
    if (!n || fake_nodes_compare(&n->work.graph->nodes, &child->nodes, &different) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    old = n->work.graph->nodes;
    n->work.graph->nodes = (FakeNodes){0};
    fake_nodes_copy(&n->work.graph->nodes, &child->nodes);
    fake_nodes_clear(&old);
    return CUDA_SUCCESS;
}

CUresult cuGraphAddEmptyNode(CUDA_ADD_NODE_)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w = {.kind = FAKE_WORK_NOTHING};

    return ADD(&w);
}

/* ---- Events -----------------------------------------------------------------------------------
 */

static FakeWork event_make(FakeWorkKind kind, CUevent event, const char *what)
{
    fake_object_check(event, FAKE_KIND_EVENT, what);
    if (event->destroyed)
        fake_misuse("%s: the event was destroyed", what);
    event->references++;
    return (FakeWork){.kind = kind, .event = {.event = event}};
}

#define EVENT_NODE(name, work_kind, type)                                                  \
    CUresult cuGraphAddEvent##name##Node(CUDA_ADD_NODE_, CUevent event)                    \
    {                                                                                      \
        ENTER_SESSION(FAKE_CONTEXT);                                                       \
        FAKE_LOCKED();                                                                     \
                                                                                           \
        FakeWork w = event_make(work_kind, event, __func__);                               \
                                                                                           \
        return ADD(&w);                                                                    \
    }                                                                                      \
    CUresult cuGraphEvent##name##NodeGetEvent(CUgraphNode node, CUevent *event)            \
    {                                                                                      \
        ENTER_SESSION(FAKE_CONTEXT);                                                       \
        FAKE_LOCKED();                                                                     \
                                                                                           \
        if (check(node, type, __func__) != CUDA_SUCCESS)                                   \
            return CUDA_ERROR_INVALID_VALUE;                                               \
        *event = node->work.event.event;                                                   \
        return CUDA_SUCCESS;                                                               \
    }                                                                                      \
    CUresult cuGraphEvent##name##NodeSetEvent(CUgraphNode node, CUevent event)             \
    {                                                                                      \
        ENTER_SESSION(FAKE_CONTEXT);                                                       \
        FAKE_LOCKED();                                                                     \
                                                                                           \
        FakeWork w = event_make(work_kind, event, __func__);                               \
                                                                                           \
        return set_in_exec(check(node, type, __func__) == CUDA_SUCCESS ? node : NULL, &w); \
    }                                                                                      \
    CUresult cuGraphExecEvent##name##NodeSetEvent(CUgraphExec exec, CUgraphNode node,      \
                                                  CUevent event)                           \
    {                                                                                      \
        ENTER_SESSION(FAKE_CONTEXT);                                                       \
        FAKE_LOCKED();                                                                     \
                                                                                           \
        FakeWork w = event_make(work_kind, event, __func__);                               \
                                                                                           \
        return set_in_exec(in_exec(exec, node, type, __func__), &w);                       \
    }

EVENT_NODE(Record, FAKE_WORK_RECORD, CU_GRAPH_NODE_TYPE_EVENT_RECORD)
EVENT_NODE(Wait, FAKE_WORK_WAIT_EVENT, CU_GRAPH_NODE_TYPE_WAIT_EVENT)

/* ---- Words ------------------------------------------------------------------------------------
 */

static CUresult words_make(const CudaMemOpNode *p, const char *what, FakeWork *ret)
{
    fake_object_check(p->context, FAKE_KIND_CONTEXT, what);
    return p->flags == 0 ? fake_batch_make(p->ops, p->count, what, ret) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphAddBatchMemOpNode(CUDA_ADD_NODE_, const CudaMemOpNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w;
    CUresult r = words_make(params, __func__, &w);

    return r == CUDA_SUCCESS ? ADD(&w) : r;
}

static CudaMemOp op_of(const FakeWord *word, bool waits)
{
    return (CudaMemOp){
        .operation = waits ? (word->bits == 64 ? CU_STREAM_MEM_OP_WAIT_VALUE_64
                                               : CU_STREAM_MEM_OP_WAIT_VALUE_32)
                           : (word->bits == 64 ? CU_STREAM_MEM_OP_WRITE_VALUE_64
                                               : CU_STREAM_MEM_OP_WRITE_VALUE_32),
        .address = word->address,
        .value = word->value,
        .flags = word->flags,
    };
}

CUresult cuGraphBatchMemOpNodeGetParams(CUgraphNode node, CudaMemOpNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    const FakeWork *w = &node->work;

    if (check(node, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, __func__) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_VALUE;
    *params = (CudaMemOpNode){.context = fake_context(), .count = 1, .ops = node->ops};
    if (w->kind != FAKE_WORK_BATCH) {
        node->ops[0] = op_of(&w->word, w->kind == FAKE_WORK_WAIT);
        return CUDA_SUCCESS;
    }
    params->count = w->batch.n;
    for (unsigned i = 0; i < w->batch.n; i++)
        node->ops[i] = op_of(&w->batch.word[i], w->batch.waits[i]);
    return CUDA_SUCCESS;
}

CUresult cuGraphBatchMemOpNodeSetParams(CUgraphNode node, const CudaMemOpNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w;
    CUresult r = check(node, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, __func__);

    if (r == CUDA_SUCCESS)
        r = words_make(params, __func__, &w);
    return r == CUDA_SUCCESS ? set(node, &w) : r;
}

CUresult cuGraphExecBatchMemOpNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                            const CudaMemOpNode *params)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUgraphNode n = in_exec(exec, node, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, __func__);
    FakeWork w;
    CUresult r = words_make(params, __func__, &w);

    return r == CUDA_SUCCESS ? set_in_exec(n, &w) : r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The functions that add nodes and change them, of all kinds. */
#include "graph-memory.h"

/* ---- Adding ------------------------------------------------------------------------------------
 */

/* The whole of a function that adds a node: @add is one of graph.h, with @place and @node */
#define ADD_(add)                                                                  \
    do {                                                                           \
        NodePlace place;                                                           \
        LibNode *node;                                                             \
        CUresult r = node_place(ret, graph, dependencies, n_dependencies, &place); \
                                                                                   \
        if (r != CUDA_SUCCESS)                                                     \
            return r;                                                              \
        r = (add);                                                                 \
        node_place_clear(&place);                                                  \
        if (r == CUDA_SUCCESS)                                                     \
            *ret = node->handle;                                                   \
        return r;                                                                  \
    } while (0)

CUresult cuGraphAddKernelNode_v2(GRAPH_ADD_, const KernelNode *p)
{
    ADD_(kernel_node_add(&place, p, &node));
}

CUresult cuGraphAddKernelNode(GRAPH_ADD_, const KernelNodeV1 *p)
{
    KernelNode whole = {0};

    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    whole.function = p->function;
    whole.grid_x = p->grid_x;
    whole.grid_y = p->grid_y;
    whole.grid_z = p->grid_z;
    whole.block_x = p->block_x;
    whole.block_y = p->block_y;
    whole.block_z = p->block_z;
    whole.shared_bytes = p->shared_bytes;
    whole.parameters = p->parameters;
    whole.extra = p->extra;
    return cuGraphAddKernelNode_v2(ret, graph, dependencies, n_dependencies, &whole);
}

CUresult cuGraphAddMemcpyNode(GRAPH_ADD_, const Copy3D *copy, CUcontext context)
{
    ADD_(copy_node_add(&place, copy, context, &node));
}

CUresult cuGraphAddMemsetNode(GRAPH_ADD_, const SetNode *set, CUcontext context)
{
    ADD_(set_node_add(&place, set, context, &node));
}

CUresult cuGraphAddHostNode(GRAPH_ADD_, const HostNode *host)
{
    ADD_(host_node_add(&place, host, &node));
}

CUresult cuGraphAddChildGraphNode(GRAPH_ADD_, CUgraph child)
{
    ADD_(child_node_add(&place, child, &node));
}

CUresult cuGraphAddEmptyNode(GRAPH_ADD_)
{
    static const VGPUSessionNode what = {.type = NODE_EMPTY};

    ADD_(node_add(&place, &what, NULL, 0, &node));
}

CUresult cuGraphAddEventRecordNode(GRAPH_ADD_, CUevent event)
{
    ADD_(event_node_add(&place, NODE_EVENT_RECORD, event, &node));
}

CUresult cuGraphAddEventWaitNode(GRAPH_ADD_, CUevent event)
{
    ADD_(event_node_add(&place, NODE_WAIT_EVENT, event, &node));
}

CUresult cuGraphAddBatchMemOpNode(GRAPH_ADD_, const WordNode *p)
{
    ADD_(word_node_add(&place, p, &node));
}

CUresult cuGraphAddMemAllocNode(GRAPH_ADD_, AllocNode *p)
{
    ADD_(alloc_node_add(&place, p, &node));
}

CUresult cuGraphAddMemFreeNode(GRAPH_ADD_, CUdeviceptr address)
{
    ADD_(free_node_add(&place, address, &node));
}

static CUresult any_refuse(int type)
{
    if (type < NODE_KERNEL || type > NODE_CONDITIONAL)
        return CUDA_ERROR_INVALID_VALUE;
    libcuda_log("nodes of type %d are not served so", type);
    return CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult any_add(NodePlace *place, AnyNode *p, LibNode **ret)
{
    const VGPUSessionNode empty = {.type = NODE_EMPTY};

    switch (p->type) {
    case NODE_KERNEL:
        return kernel_node_add(place, &p->kernel, ret);
    case NODE_MEMCPY:
        return copy_node_add(place, &p->memcpy.copy, p->memcpy.context, ret);
    case NODE_MEMSET:
        return set_node_add(place, &p->memset.set, p->memset.context, ret);
    case NODE_HOST:
        return host_node_add(place, &p->host, ret);
    case NODE_GRAPH:
        return p->child.ownership == 0 ? child_node_add(place, p->child.graph, ret)
                                       : any_refuse(p->type);
    case NODE_EMPTY:
        return node_add(place, &empty, NULL, 0, ret);
    case NODE_WAIT_EVENT:
    case NODE_EVENT_RECORD:
        return event_node_add(place, p->type, p->event, ret);
    case NODE_MEM_ALLOC:
        return alloc_node_add(place, &p->alloc, ret);
    case NODE_MEM_FREE:
        return free_node_add(place, p->free, ret);
    case NODE_BATCH_MEM_OP:
        return word_node_add(place, &p->words, ret);
    case NODE_CONDITIONAL:
        return conditional_node_add(place, &p->conditional, ret);
    default:
        return any_refuse(p->type);
    }
}

static bool any_is_clean(const AnyNode *p)
{
    return p->reserved[0] == 0 && p->reserved[1] == 0 && p->reserved[2] == 0 && p->reserved2 == 0;
}

CUresult cuGraphAddNode(GRAPH_ADD_, AnyNode *p)
{
    if (!p || !any_is_clean(p))
        return CUDA_ERROR_INVALID_VALUE;
    ADD_(any_add(&place, p, &node));
}

/* ---- Changing ----------------------------------------------------------------------------------
 */

static CUresult any_set(NodeTarget *target, AnyNode *p)
{
    switch (p->type) {
    case NODE_KERNEL:
        return kernel_node_set(target, &p->kernel);
    case NODE_MEMCPY:
        return copy_node_set(target, &p->memcpy.copy, p->memcpy.context);
    case NODE_MEMSET:
        return set_node_set(target, &p->memset.set, p->memset.context);
    case NODE_HOST:
        return host_node_set(target, &p->host);
    case NODE_GRAPH:
        return child_node_set(target, p->child.graph);
    case NODE_WAIT_EVENT:
    case NODE_EVENT_RECORD:
        return event_node_set(target, p->event);
    case NODE_BATCH_MEM_OP:
        return word_node_set(target, &p->words);
    default:
        return any_refuse(p->type);
    }
}

CUresult cuGraphNodeSetParams(CUgraphNode node, AnyNode *p)
{
    NodeTarget target;
    CUresult r;

    if (!p || !any_is_clean(p) || p->type < 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = node_target(node, p->type, &target);
    return r == CUDA_SUCCESS ? any_set(&target, p) : r;
}

CUresult cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, AnyNode *p)
{
    NodeTarget target;
    CUresult r;

    if (!p || !any_is_clean(p) || p->type < 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = node_target_exec(exec, node, p->type, &target);
    return r == CUDA_SUCCESS ? any_set(&target, p) : r;
}

/* Of a graph's node, and of an executable graph's: the functions that do nothing but one of
 * graph.h */
#define SET_(name, type, parameter, set)                \
    CUresult cuGraph##name(CUgraphNode node, parameter) \
    {                                                   \
        NodeTarget target;                              \
        CUresult r = node_target(node, type, &target);  \
                                                        \
        return r == CUDA_SUCCESS ? (set) : r;           \
    }

#define EXEC_SET_(name, type, parameter, set)                                 \
    CUresult cuGraphExec##name(CUgraphExec exec, CUgraphNode node, parameter) \
    {                                                                         \
        NodeTarget target;                                                    \
        CUresult r = node_target_exec(exec, node, type, &target);             \
                                                                              \
        return r == CUDA_SUCCESS ? (set) : r;                                 \
    }

#define BOTH_(name, type, parameter, set) \
    SET_(name, type, parameter, set)      \
    EXEC_SET_(name, type, parameter, set)

BOTH_(HostNodeSetParams, NODE_HOST, const HostNode *host, host_node_set(&target, host))
BOTH_(EventRecordNodeSetEvent, NODE_EVENT_RECORD, CUevent event, event_node_set(&target, event))
BOTH_(EventWaitNodeSetEvent, NODE_WAIT_EVENT, CUevent event, event_node_set(&target, event))
BOTH_(BatchMemOpNodeSetParams, NODE_BATCH_MEM_OP, const WordNode *p, word_node_set(&target, p))
EXEC_SET_(ChildGraphNodeSetParams, NODE_GRAPH, CUgraph child, child_node_set(&target, child))
SET_(MemcpyNodeSetParams, NODE_MEMCPY, const Copy3D *copy, copy_node_set(&target, copy, NULL))
SET_(MemsetNodeSetParams, NODE_MEMSET, const SetNode *set, set_node_set(&target, set, NULL))

CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const Copy3D *copy,
                                        CUcontext context)
{
    NodeTarget target;
    CUresult r = node_target_exec(exec, node, NODE_MEMCPY, &target);

    return r == CUDA_SUCCESS ? copy_node_set(&target, copy, context) : r;
}

CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node, const SetNode *set,
                                        CUcontext context)
{
    NodeTarget target;
    CUresult r = node_target_exec(exec, node, NODE_MEMSET, &target);

    return r == CUDA_SUCCESS ? set_node_set(&target, set, context) : r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "session-condition.h"
#include "session-copy.h"
#include "session-hosts.h"
#include "session-node.h"

/* cuStreamWriteValue(), cuStreamWaitValue(), as for WORD_WRITE and WORD_WAIT */
#define NODE_WRITE_FLAGS 0x1u
#define NODE_WAIT_FLAGS 0x40000003u

#define NODE_ADD_(c) &(c)->made.handle, (c)->graph->graph, (c)->dependencies, (c)->n_dependencies

/* The payload in front of what may follow it */
static bool node_payload(const SessionNodeCall *c, void *ret, size_t size)
{
    if (c->payload_size < size)
        return false;
    memcpy(ret, c->payload, size);
    return true;
}

/* ---- Copies, sets -----------------------------------------------------------------------------
 */

/* The graph, and what is made of it, names the arrays. */
static CUresult memcpy_name(SessionNodeCall *c, const SessionBox *box)
{
    CUresult r = CUDA_SUCCESS;

    for (size_t i = 0; r == CUDA_SUCCESS && i < 2; i++) {
        if (!box->named[i])
            continue;
        r = session_uses_add_object(&c->graph->uses, box->named[i]);
        if (r == CUDA_SUCCESS && c->exec)
            r = session_uses_add_object(&c->exec->uses, box->named[i]);
    }
    return r;
}

static CUresult memcpy_make(Session *s, SessionNodeCall *c)
{
    const CudaSessionDriver *d = session_driver(s);
    VGPUSessionCopy3D p;
    SessionBox box;
    CUresult r;

    if (!node_payload(c, &p, sizeof(p)) || p.stream != 0 || p.reserved != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = session_copy_check(s, c->call->record.context, &p, &box);
    if (r != CUDA_SUCCESS)
        return r;
    if (box.is_empty || !session_box_is_whole(s, &box))
        return CUDA_ERROR_INVALID_VALUE;
    r = memcpy_name(c, &box);
    if (r != CUDA_SUCCESS)
        return r;
    if (c->use == SESSION_NODE_ADD)
        return d->memcpy_node_add(NODE_ADD_(c), &box.copy, c->context);
    if (c->use == SESSION_NODE_SET)
        return d->memcpy_node_set(c->node->handle, &box.copy);
    return d->memcpy_node_exec_set(c->exec->exec, c->node->handle, &box.copy, c->context);
}

/* Which number the guest has given to it; 0: it is none */
static CUresult memcpy_array(Session *s, CUarray handle, uint32_t *ret)
{
    const SessionArray *array = handle ? session_array_of(s, handle) : NULL;

    if (handle && !array)
        return CUDA_ERROR_INVALID_HANDLE;
    *ret = array ? array->id : 0;
    return CUDA_SUCCESS;
}

static VGPUSessionPlace memcpy_to(const CudaCopy3D *copy)
{
    return (VGPUSessionPlace){
        .address =
            copy->dst_type == CU_MEMORYTYPE_HOST ? (uintptr_t) copy->dst_host : copy->dst_device,
        .pitch = copy->dst_pitch,
        .height = copy->dst_height,
        .x_bytes = copy->dst_x_bytes,
        .y = copy->dst_y,
        .z = copy->dst_z,
    };
}

static VGPUSessionPlace memcpy_from(const CudaCopy3D *copy)
{
    return (VGPUSessionPlace){
        .address =
            copy->src_type == CU_MEMORYTYPE_HOST ? (uintptr_t) copy->src_host : copy->src_device,
        .pitch = copy->src_pitch,
        .height = copy->src_height,
        .x_bytes = copy->src_x_bytes,
        .y = copy->src_y,
        .z = copy->src_z,
    };
}

static CUresult memcpy_get(Session *s, const SessionNode *node, VGPUSessionCopy3D *ret)
{
    CudaCopy3D copy = {0};
    VGPUSessionCopy3D p = {0};
    CUresult r = session_driver(s)->memcpy_node_get(node->handle, &copy);

    if (r != CUDA_SUCCESS)
        return r;
    p.to = memcpy_to(&copy);
    p.from = memcpy_from(&copy);
    p.width_bytes = copy.width_bytes;
    p.height = copy.height;
    p.depth = copy.depth;
    r = memcpy_array(s, copy.dst_array, &p.to.array);
    if (r == CUDA_SUCCESS)
        r = memcpy_array(s, copy.src_array, &p.from.array);
    if (r == CUDA_SUCCESS)
        *ret = p;
    return r;
}

static CUresult memset_make(Session *s, SessionNodeCall *c)
{
    const CudaSessionDriver *d = session_driver(s);
    CudaMemsetNode node;
    VGPUSessionSet p;
    bool is_empty;
    CUresult r;

    if (!node_payload(c, &p, sizeof(p)) || p.stream != 0 || p.reserved != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = session_set_check(s, &p, &is_empty);
    if (r != CUDA_SUCCESS)
        return r;
    if (is_empty)
        return CUDA_ERROR_INVALID_VALUE;
    node = (CudaMemsetNode){p.address, p.pitch, p.value, p.width, p.count, p.rows};
    if (c->use == SESSION_NODE_ADD)
        return d->memset_node_add(NODE_ADD_(c), &node, c->context);
    if (c->use == SESSION_NODE_SET)
        return d->memset_node_set(c->node->handle, &node);
    return d->memset_node_exec_set(c->exec->exec, c->node->handle, &node, c->context);
}

static CUresult memset_get(Session *s, const SessionNode *node, VGPUSessionSet *ret)
{
    CudaMemsetNode set = {0};
    CUresult r = session_driver(s)->memset_node_get(node->handle, &set);

    *ret = (VGPUSessionSet){
        .address = set.address,
        .count = set.width,
        .rows = set.height,
        .pitch = set.height > 1 ? set.pitch : 0,
        .value = set.value,
        .width = set.element_size,
    };
    return r;
}

/* ---- Functions of the guest -------------------------------------------------------------------
 */

static CUresult host_add(Session *s, SessionNodeCall *c, const SessionHostWork *work)
{
    const CudaSessionDriver *d = session_driver(s);
    CudaMemOpNode wait = {c->context, 2, (CudaMemOp *) work->ops, 0};
    CUresult r = d->host_node_add(&c->made.first, c->graph->graph, c->dependencies,
                                  c->n_dependencies, &work->host);

    if (r != CUDA_SUCCESS)
        return r;
    r = d->mem_op_node_add(&c->made.handle, c->graph->graph, &c->made.first, 1, &wait);
    if (r != CUDA_SUCCESS)
        (void) d->graph_destroy_node(c->made.first);
    return r;
}

/* The place of a node of the graph's; *ret is written with it */
static CUresult host_place(Session *s, const SessionNode *node, uint32_t *ret,
                           VGPUSessionFence *ret_fence)
{
    CudaHostNode host = {0};
    CUresult r;

    if (!node->first)
        return CUDA_ERROR_NOT_SUPPORTED;
    r = session_driver(s)->host_node_get(node->first, &host);

    if (r == CUDA_SUCCESS && !session_host_is(s, &host))
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        *ret = session_host_place(s, &host, ret_fence);
    return r;
}

/* Both nodes, or neither. *ret_is_stuck: one has it, and cannot be set back. */
static CUresult host_set(Session *s, SessionNodeCall *c, const SessionHostWork *work,
                         bool *ret_is_stuck)
{
    const CudaSessionDriver *d = session_driver(s);
    CudaMemOpNode wait = {c->context, 2, (CudaMemOp *) work->ops, 0};
    CudaHostNode before = {0};
    CUresult r = d->host_node_get(c->node->first, &before);

    if (r == CUDA_SUCCESS)
        r = d->host_node_set(c->node->first, &work->host);
    if (r != CUDA_SUCCESS)
        return r;
    r = d->mem_op_node_set(c->node->handle, &wait);
    if (r != CUDA_SUCCESS)
        *ret_is_stuck = d->host_node_set(c->node->first, &before) != CUDA_SUCCESS;
    return r;
}

static CUresult host_exec_set(Session *s, SessionNodeCall *c, const SessionHostWork *work)
{
    const CudaSessionDriver *d = session_driver(s);
    CudaMemOpNode wait = {c->context, 2, (CudaMemOp *) work->ops, 0};
    CUresult r = d->host_node_exec_set(c->exec->exec, c->node->first, &work->host);

    return r == CUDA_SUCCESS ? d->mem_op_node_exec_set(c->exec->exec, c->node->handle, &wait) : r;
}

/* In a graph: it has the place from now on, and needs the old one no more. */
static CUresult host_make_in_graph(Session *s, SessionNodeCall *c, const VGPUSessionFence *p)
{
    VGPUSessionFence before;
    SessionHostWork work;
    bool is_stuck = false;
    uint32_t old = 0;
    CUresult r = CUDA_SUCCESS;

    if (c->use == SESSION_NODE_SET)
        r = host_place(s, c->node, &old, &before);
    if (r == CUDA_SUCCESS)
        r = session_host_take(s, p, true, &work);
    if (r == CUDA_SUCCESS)
        r = session_host_keep(s, c->graph->graph, work.place);
    if (r != CUDA_SUCCESS)
        return r;
    r = c->use == SESSION_NODE_ADD ? host_add(s, c, &work) : host_set(s, c, &work, &is_stuck);
    if (is_stuck) /* then the graph has both places until its end */
        return r;
    if (r != CUDA_SUCCESS)
        session_host_leave(s, c->graph->graph, work.place);
    else if (c->use == SESSION_NODE_SET)
        session_host_leave(s, c->graph->graph, old);
    return r;
}

/* In an executable graph: what is given to it once stays until its end, for what was launched. */
static CUresult host_make_in_exec(Session *s, SessionNodeCall *c, const VGPUSessionFence *p)
{
    SessionCharge *charge = c->exec->charge;
    SessionHostWork work;
    uint32_t *more;
    CUresult r;

    more = realloc(charge->hosts, (charge->n_hosts + 1) * sizeof(*more));
    if (!more)
        return CUDA_ERROR_OUT_OF_MEMORY;
    charge->hosts = more;
    r = session_host_take_again(s, p, charge->hosts, charge->n_hosts, &work);
    if (r != CUDA_SUCCESS)
        return r;
    if (work.is_new)
        charge->hosts[charge->n_hosts++] = work.place;
    return host_exec_set(s, c, &work);
}

static CUresult host_make(Session *s, SessionNodeCall *c)
{
    VGPUSessionFence p;
    CUresult r;

    if (!node_payload(c, &p, sizeof(p)) || p.stream != 0 || (c->node && !c->node->first))
        return CUDA_ERROR_INVALID_VALUE;
    if (c->use == SESSION_NODE_EXEC_SET)
        return host_make_in_exec(s, c, &p);
    r = host_make_in_graph(s, c, &p);
    if (r == CUDA_SUCCESS)
        c->graph->may_wait = true;
    return r;
}

/* ---- Words, events, graphs --------------------------------------------------------------------
 */

static CUresult word_read(Session *s, const VGPUSessionWord *p, bool waits, CudaMemOp *ret)
{
    if (p->stream != 0 || p->reserved != 0 || (p->bits != 32 && p->bits != 64) ||
        p->address % (p->bits / 8) != 0 ||
        (p->flags & ~(waits ? NODE_WAIT_FLAGS : NODE_WRITE_FLAGS)) != 0 ||
        !session_memory_has(s, p->address, p->bits / 8))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (CudaMemOp){
        .operation =
            p->bits == 64
                ? (waits ? CU_STREAM_MEM_OP_WAIT_VALUE_64 : CU_STREAM_MEM_OP_WRITE_VALUE_64)
                : (waits ? CU_STREAM_MEM_OP_WAIT_VALUE_32 : CU_STREAM_MEM_OP_WRITE_VALUE_32),
        .address = p->address,
        .value = p->bits == 64 ? p->value : (uint32_t) p->value,
        .flags = p->flags,
    };
    return CUDA_SUCCESS;
}

static CUresult word_make(Session *s, SessionNodeCall *c)
{
    const CudaSessionDriver *d = session_driver(s);
    const uint32_t n = c->payload_size / (uint32_t) sizeof(VGPUSessionWord);
    CudaMemOp ops[VGPU_SESSION_NODE_WORDS];
    CudaMemOpNode node = {c->context, n, ops, 0};

    if (n == 0 || n > VGPU_SESSION_NODE_WORDS || (c->node && c->node->first) ||
        (n < VGPU_SESSION_NODE_WORDS && c->p->flags >> n != 0))
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; i < n; i++) {
        VGPUSessionWord p;
        CUresult r;

        memcpy(&p, c->payload + i * sizeof(p), sizeof(p));
        r = word_read(s, &p, c->p->flags >> i & 1, &ops[i]);
        if (r != CUDA_SUCCESS)
            return r;
    }
    c->graph->may_wait = true;
    if (c->use == SESSION_NODE_ADD)
        return d->mem_op_node_add(NODE_ADD_(c), &node);
    if (c->use == SESSION_NODE_SET)
        return d->mem_op_node_set(c->node->handle, &node);
    c->exec->may_wait = true;
    return d->mem_op_node_exec_set(c->exec->exec, c->node->handle, &node);
}

static VGPUSessionWord word_tell(const CudaMemOp *op, bool *ret_waits)
{
    const int operation = op->operation;
    const bool is_64 =
        operation == CU_STREAM_MEM_OP_WAIT_VALUE_64 || operation == CU_STREAM_MEM_OP_WRITE_VALUE_64;

    *ret_waits =
        operation == CU_STREAM_MEM_OP_WAIT_VALUE_32 || operation == CU_STREAM_MEM_OP_WAIT_VALUE_64;
    return (VGPUSessionWord){
        .flags = op->flags,
        .address = op->address,
        .value = is_64 ? op->value : (uint32_t) op->value,
        .bits = is_64 ? 64 : 32,
    };
}

static CUresult word_get(Session *s, const SessionNode *node,
                         VGPUSessionWord ret[static VGPU_SESSION_NODE_WORDS], uint32_t *ret_n,
                         uint64_t *ret_waits)
{
    CudaMemOpNode ops = {0};
    CUresult r = session_driver(s)->mem_op_node_get(node->handle, &ops);

    if (r != CUDA_SUCCESS)
        return r;
    if (ops.count > VGPU_SESSION_NODE_WORDS)
        return CUDA_ERROR_NOT_SUPPORTED;
    *ret_waits = 0;
    *ret_n = ops.count;
    for (unsigned i = 0; i < ops.count; i++) {
        bool waits;

        ret[i] = word_tell(&ops.ops[i], &waits);
        *ret_waits |= (uint64_t) waits << i;
    }
    return CUDA_SUCCESS;
}

static CUresult event_make(Session *s, SessionNodeCall *c)
{
    const CudaSessionDriver *d = session_driver(s);
    const bool waits = c->p->type == CU_GRAPH_NODE_TYPE_WAIT_EVENT;
    void *event;
    CUresult r = session_find(s, SESSION_EVENT, c->p->event, &event);

    if (r == CUDA_SUCCESS)
        r = session_uses_add_event(&c->graph->uses, event, c->p->event);
    if (r == CUDA_SUCCESS && c->exec)
        r = session_uses_add_event(&c->exec->uses, event, c->p->event);
    if (r != CUDA_SUCCESS)
        return r;
    c->graph->may_wait |= waits;
    if (c->use == SESSION_NODE_ADD)
        return waits ? d->event_wait_node_add(NODE_ADD_(c), event)
                     : d->event_record_node_add(NODE_ADD_(c), event);
    if (c->use == SESSION_NODE_SET)
        return waits ? d->event_wait_node_set(c->node->handle, event)
                     : d->event_record_node_set(c->node->handle, event);
    return waits ? d->event_wait_node_exec_set(c->exec->exec, c->node->handle, event)
                 : d->event_record_node_exec_set(c->exec->exec, c->node->handle, event);
}

/* value[2]: its number, as long as that is its */
static CUresult event_get(Session *s, const SessionGraph *graph, const SessionNode *node, int type,
                          uint64_t *ret)
{
    const CudaSessionDriver *d = session_driver(s);
    const SessionUsedEvent *used;
    CUevent event = NULL;
    void *found;
    CUresult r = type == CU_GRAPH_NODE_TYPE_WAIT_EVENT
                     ? d->event_wait_node_get(node->handle, &event)
                     : d->event_record_node_get(node->handle, &event);

    if (r != CUDA_SUCCESS)
        return r;
    used = session_uses_event(&graph->uses, event);
    *ret =
        used && session_find(s, SESSION_EVENT, used->id, &found) == CUDA_SUCCESS && found == event
            ? used->id
            : 0;
    return CUDA_SUCCESS;
}

static CUresult child_make(Session *s, SessionNodeCall *c)
{
    const CudaSessionDriver *d = session_driver(s);
    SessionGraph *child;
    CUresult r = session_graph_find(s, SESSION_GRAPH, c->p->child, &child);

    if (r != CUDA_SUCCESS)
        return r;
    if (c->use == SESSION_NODE_SET || child == c->graph)
        return CUDA_ERROR_INVALID_VALUE; /* the driver has no such function */
    if (child->owner || !LIST_EMPTY(&child->bodies) || (c->graph->owner && child->may_wait))
        return CUDA_ERROR_NOT_SUPPORTED;
    if (child->depth + c->graph->level >= SESSION_GRAPH_DEPTH_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (c->use == SESSION_NODE_EXEC_SET) {
        c->exec->may_wait |= child->may_wait;
        r = session_uses_add(&c->exec->uses, &child->uses);
        return r == CUDA_SUCCESS
                   ? d->child_node_exec_set(c->exec->exec, c->node->handle, child->graph)
                   : r;
    }
    r = session_uses_add(&c->graph->uses, &child->uses);
    if (r == CUDA_SUCCESS)
        r = session_graph_count(s, c->graph, child->n_total);
    if (r != CUDA_SUCCESS)
        return r;
    r = d->child_node_add(NODE_ADD_(c), child->graph);
    if (r != CUDA_SUCCESS) {
        session_graph_uncount(s, c->graph, child->n_total);
        return r;
    }
    c->graph->may_wait |= child->may_wait;
    if (c->graph->depth <= child->depth)
        c->graph->depth = child->depth + 1;
    return CUDA_SUCCESS;
}

/* A copy of a node's graph, if the guest wants one */
static CUresult child_get(Session *s, SessionGraph *graph, const SessionNode *node,
                          const SessionCall *call)
{
    const VGPUSessionNode *p = call->parameters;
    CLEANUP(session_graph_freep) SessionGraph *clone = NULL;
    CUgraph child;
    CUresult r;

    if (p->child == 0)
        return CUDA_SUCCESS;
    clone = session_graph_new(s, SESSION_GRAPH, p->child, call);
    if (!clone)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = session_driver(s)->child_node_get(node->handle, &child);
    if (r == CUDA_SUCCESS)
        r = session_graph_clone(s, graph, child, clone);
    if (r == CUDA_SUCCESS)
        (void) TAKE_PTR(clone);
    return r;
}

/* ---- All of them ------------------------------------------------------------------------------
 */

static CUresult node_make(Session *s, SessionNodeCall *c)
{
    switch (c->p->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        return session_node_make_kernel(s, c);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
        return memcpy_make(s, c);
    case CU_GRAPH_NODE_TYPE_MEMSET:
        return memset_make(s, c);
    case CU_GRAPH_NODE_TYPE_HOST:
        return host_make(s, c);
    case CU_GRAPH_NODE_TYPE_GRAPH:
        return child_make(s, c);
    case CU_GRAPH_NODE_TYPE_EMPTY:
        return c->use == SESSION_NODE_ADD ? session_driver(s)->empty_node_add(NODE_ADD_(c))
                                          : CUDA_ERROR_INVALID_VALUE;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
        return event_make(s, c);
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
        return word_make(s, c);
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
        return session_node_make_conditional(s, c);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

/* Is the node what the guest says? The driver need not ask. */
static CUresult node_type(Session *s, const SessionNode *node, int *ret)
{
    if (node->first) {
        *ret = CU_GRAPH_NODE_TYPE_HOST;
        return CUDA_SUCCESS;
    }
    return session_driver(s)->graph_node_get_type(node->handle, ret);
}

CUresult session_node_make(Session *s, SessionNodeCall *c)
{
    const uint32_t n = c->p->type == CU_GRAPH_NODE_TYPE_HOST ? 2 : 1;
    int type = 0;
    CUresult r;

    if (c->use != SESSION_NODE_ADD) {
        r = node_type(s, c->node, &type);
        if (r == CUDA_SUCCESS && (uint32_t) type != c->p->type)
            r = CUDA_ERROR_INVALID_VALUE;
        return r == CUDA_SUCCESS ? node_make(s, c) : r;
    }
    if (c->graph->owner && !session_body_takes(c->p->type))
        return CUDA_ERROR_NOT_SUPPORTED;
    r = session_graph_count(s, c->graph, n);
    if (r != CUDA_SUCCESS)
        return r;
    r = node_make(s, c);
    if (r != CUDA_SUCCESS)
        session_graph_uncount(s, c->graph, n);
    return r;
}

/* What the node's own graph has is not counted any more, either. */
static CUresult node_uncount(Session *s, SessionGraph *graph, const SessionNode *node,
                             uint32_t *ret_n)
{
    SessionGraph unused = {0};
    CUgraph child;
    int type = 0;
    CUresult r = node_type(s, node, &type);

    *ret_n = node->first ? 2 : 1;
    if (r == CUDA_SUCCESS && type == CU_GRAPH_NODE_TYPE_GRAPH) {
        r = session_driver(s)->child_node_get(node->handle, &child);
        if (r == CUDA_SUCCESS)
            r = session_graph_scan(s, &unused, child, ret_n);
    }
    if (*ret_n > graph->n_total)
        *ret_n = graph->n_total;
    return r;
}

CUresult session_node_destroy(Session *s, SessionGraph *graph, SessionNode *node)
{
    const CudaSessionDriver *d = session_driver(s);
    VGPUSessionFence fence;
    uint32_t place = 0, n = 0;
    CUresult r = node_uncount(s, graph, node, &n);

    if (r == CUDA_SUCCESS && session_bodies_grow(graph, node->handle))
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS && node->first)
        r = host_place(s, node, &place, &fence);
    if (r == CUDA_SUCCESS)
        r = d->graph_destroy_node(node->handle);
    if (r != CUDA_SUCCESS)
        return r;
    /* From here on there is no such node, even if a part of it stays in the graph. */
    session_bodies_leave(s, graph, node->handle);
    if (node->first) {
        r = d->graph_destroy_node(node->first);
        if (r == CUDA_SUCCESS)
            session_host_leave(s, graph->graph, place);
        else
            n--;
    }
    session_graph_uncount(s, graph, n);
    *node = (SessionNode){0};
    return r;
}

/* What is asked for into the window: as much as has room */
typedef struct NodeOut {
    SessionCall *call;
    unsigned char *into;
    uint64_t room;
} NodeOut;

static void node_out(const NodeOut *out, const void *payload, size_t size)
{
    out->call->value[1] = size;
    if (out->into)
        memcpy(out->into, payload, size < out->room ? size : out->room);
}

#define NODE_OUT_(type, get)                             \
    do {                                                 \
        type payload_ = {0};                             \
                                                         \
        r = (get);                                       \
        if (r == CUDA_SUCCESS)                           \
            node_out(&out, &payload_, sizeof(payload_)); \
    } while (0)

static CUresult host_get(Session *s, const SessionNode *node, VGPUSessionFence *ret)
{
    uint32_t place;

    return host_place(s, node, &place, ret);
}

CUresult session_node_get(Session *s, SessionGraph *graph, const SessionNode *node,
                          SessionCall *call, unsigned char *into, uint64_t room)
{
    const NodeOut out = {call, into, room};
    VGPUSessionWord words[VGPU_SESSION_NODE_WORDS];
    uint32_t n_words;
    int type = 0;
    CUresult r = node_type(s, node, &type);

    if (r != CUDA_SUCCESS)
        return r;
    call->value[0] = (uint64_t) type;
    switch (type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        return session_node_get_kernel(s, node, call, into, room);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
        NODE_OUT_(VGPUSessionCopy3D, memcpy_get(s, node, &payload_));
        return r;
    case CU_GRAPH_NODE_TYPE_MEMSET:
        NODE_OUT_(VGPUSessionSet, memset_get(s, node, &payload_));
        return r;
    case CU_GRAPH_NODE_TYPE_HOST:
        NODE_OUT_(VGPUSessionFence, host_get(s, node, &payload_));
        return r;
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
        r = word_get(s, node, words, &n_words, &call->value[2]);
        if (r == CUDA_SUCCESS)
            node_out(&out, words, n_words * sizeof(*words));
        return r;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
        return event_get(s, graph, node, type, &call->value[2]);
    case CU_GRAPH_NODE_TYPE_GRAPH:
        return child_get(s, graph, node, call);
    default:
        return CUDA_SUCCESS;
    }
}

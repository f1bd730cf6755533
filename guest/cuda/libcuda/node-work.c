/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nodes that are functions of the program, graphs, events and words. */
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "graph.h"
#include "memory-map.h"

/* ---- Functions of the program ------------------------------------------------------------------
 */

CUresult host_node_add(NodePlace *place, const HostNode *host, LibNode **ret)
{
    uint32_t number;
    CUresult r;

    if (!host || !host->function)
        return CUDA_ERROR_INVALID_VALUE;
    r = vgpu_session_node_add_host(place->call.session, &place->call.from, place->graph->number,
                                   place->after, place->n_after, host->function, host->data,
                                   &number);
    return r == CUDA_SUCCESS ? node_added(place, NODE_HOST, number, ret) : r;
}

CUresult host_node_set(NodeTarget *target, const HostNode *host)
{
    if (!host || !host->function)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_session_node_set_host(
        target->call.session, &target->call.from, target->node->graph->number,
        target->exec ? target->exec->number : 0, target->node->number, host->function, host->data);
}

CUresult cuGraphHostNodeGetParams(CUgraphNode handle, HostNode *host)
{
    VGPUSessionFence fence;
    LibNode *node;
    LibCall call;
    void *payload;
    CUresult r = node_enter(handle, NODE_HOST, &call, &node);

    if (r == CUDA_SUCCESS && !host)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        r = node_get(&call, node, sizeof(fence), &payload, NULL, NULL);
    if (r != CUDA_SUCCESS)
        return r;
    memcpy(&fence, payload, sizeof(fence));
    free(payload);
    return vgpu_session_host_function(call.session, &fence, &host->function, &host->data);
}

/* ---- Graphs ------------------------------------------------------------------------------------
 */

static CUresult child_find(CUgraph handle, const LibGraph **ret)
{
    *ret = handle_object(HANDLE_GRAPH, handle);
    return *ret ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult child_node_add(NodePlace *place, CUgraph handle, LibNode **ret)
{
    VGPUSessionNode what = {.type = NODE_GRAPH};
    const LibGraph *child;
    CUresult r = child_find(handle, &child);

    if (r != CUDA_SUCCESS)
        return r;
    r = graph_has_no_memory(child);
    if (r != CUDA_SUCCESS)
        return r;
    what.child = child->number;
    r = node_add(place, &what, NULL, 0, ret);
    if (r == CUDA_SUCCESS)
        r = graph_records_copy(child, place->graph);
    return r == CUDA_SUCCESS ? user_objects_copy(child, place->graph) : r;
}

CUresult child_node_set(NodeTarget *target, CUgraph handle)
{
    VGPUSessionNode what = {0};
    const LibGraph *child;
    CUresult r = child_find(handle, &child);

    if (r == CUDA_SUCCESS)
        r = graph_has_no_memory(child);
    if (r != CUDA_SUCCESS)
        return r;
    what.child = child->number;
    r = node_set(target, &what, NULL, 0);
    return r == CUDA_SUCCESS
               ? graph_records_copy(child, target->exec ? target->exec : target->node->graph)
               : r;
}

/* The executor makes a copy of the node's graph, which stands for it from then on. */
CUresult cuGraphChildGraphNodeGetGraph(CUgraphNode handle, CUgraph *ret)
{
    VGPUSessionNode parameters = {0};
    LibGraph *child;
    LibNode *node;
    LibCall call;
    CUresult r = node_enter(handle, NODE_GRAPH, &call, &node);

    if (r == CUDA_SUCCESS && !ret)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS && !node->child) {
        r = graph_new(&call, HANDLE_GRAPH, &child);
        if (r != CUDA_SUCCESS)
            return r;
        parameters.graph = node->graph->number;
        parameters.node = node->number;
        parameters.child = child->number;
        r = libcuda_ask(&call, VGPU_SESSION_OP_NODE_GET, &parameters, sizeof(parameters), NULL);
        if (r == CUDA_SUCCESS) {
            child->is_copy = true;
            node->child = child;
        } else {
            graph_forget(&call, child);
        }
    }
    if (r == CUDA_SUCCESS)
        *ret = node->child->handle;
    return r;
}

/* ---- Events ------------------------------------------------------------------------------------
 */

static CUresult event_find(CUevent handle, const LibEvent **ret)
{
    *ret = handle_object(HANDLE_EVENT, handle);
    return *ret ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* In the event's context */
static CUresult event_enter(LibCall *call, CUevent handle, VGPUSessionNode *what)
{
    const LibEvent *event;
    CUresult r = event_find(handle, &event);

    if (r != CUDA_SUCCESS)
        return r;
    what->event = event->number;
    call->context = event->context;
    call->from.context = event->context->number;
    return CUDA_SUCCESS;
}

CUresult event_node_add(NodePlace *place, int type, CUevent event, LibNode **ret)
{
    VGPUSessionNode what = {.type = (uint32_t) type};
    CUresult r = event_enter(&place->call, event, &what);

    if (r == CUDA_SUCCESS)
        r = node_add(place, &what, NULL, 0, ret);
    if (r == CUDA_SUCCESS)
        (*ret)->event = event;
    return r == CUDA_SUCCESS && type == NODE_EVENT_RECORD ? graph_records(place->graph, event) : r;
}

CUresult event_node_set(NodeTarget *target, CUevent event)
{
    VGPUSessionNode what = {0};
    CUresult r = event_enter(&target->call, event, &what);

    if (r == CUDA_SUCCESS)
        r = node_set(target, &what, NULL, 0);
    if (r == CUDA_SUCCESS && !target->exec)
        target->node->event = event;
    return r == CUDA_SUCCESS && target->node->type == NODE_EVENT_RECORD
               ? graph_records(target->exec ? target->exec : target->node->graph, event)
               : r;
}

static bool event_has_number(const void *object, uint32_t number)
{
    const LibEvent *event = object;

    return event->number == number;
}

/* An event that a capture has put there, the executor knows by its number. */
static CUresult event_get(CUgraphNode handle, int type, CUevent *ret)
{
    LibNode *node;
    LibCall call;
    void *payload;
    uint64_t number;
    CUresult r = node_enter(handle, type, &call, &node);

    if (r == CUDA_SUCCESS && !ret)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r != CUDA_SUCCESS)
        return r;
    if (!node->event) {
        r = node_get(&call, node, 0, &payload, NULL, &number);
        if (r != CUDA_SUCCESS)
            return r;
        free(payload);
        node->event = handle_find(HANDLE_EVENT, event_has_number, (uint32_t) number);
    }
    *ret = node->event;
    return CUDA_SUCCESS;
}

CUresult cuGraphEventRecordNodeGetEvent(CUgraphNode node, CUevent *ret)
{
    return event_get(node, NODE_EVENT_RECORD, ret);
}

CUresult cuGraphEventWaitNodeGetEvent(CUgraphNode node, CUevent *ret)
{
    return event_get(node, NODE_WAIT_EVENT, ret);
}

/* ---- Words -------------------------------------------------------------------------------------
 */

/* CUstreamBatchMemOpType */
enum { WORD_WAIT_32 = 1, WORD_WRITE_32 = 2, WORD_WAIT_64 = 4, WORD_WRITE_64 = 5 };

static bool word_waits(int operation)
{
    return operation == WORD_WAIT_32 || operation == WORD_WAIT_64;
}

static CUresult word_read(const GraphWord *from, VGPUSessionWord *to)
{
    MemoryPiece piece;

    if (!word_waits(from->operation) && from->operation != WORD_WRITE_32 &&
        from->operation != WORD_WRITE_64) {
        libcuda_log("operation %d on memory in graphs is not served", from->operation);
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    to->bits = from->operation == WORD_WAIT_32 || from->operation == WORD_WRITE_32 ? 32 : 64;
    if (!memory_map_find(from->address, &piece) || !memory_has(&piece, from->address, to->bits / 8))
        return CUDA_ERROR_INVALID_VALUE;
    to->address =
        memory_is_device(&piece) ? from->address : piece.device + (from->address - piece.address);
    to->value = to->bits == 32 ? (uint32_t) from->value : from->value;
    to->flags = from->flags;
    return CUDA_SUCCESS;
}

static CUresult words_read(LibCall *call, const WordNode *p, VGPUSessionWord *to,
                           VGPUSessionNode *what)
{
    CUresult r;

    if (!p || p->n == 0 || !p->words || p->flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (p->n > VGPU_SESSION_NODE_WORDS) {
        libcuda_log("%u operations on memory are too many for a node; %u are served", p->n,
                    VGPU_SESSION_NODE_WORDS);
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    r = graph_in_context(call, p->context);
    for (unsigned i = 0; i < p->n && r == CUDA_SUCCESS; i++) {
        r = word_read(&p->words[i], &to[i]);
        if (word_waits(p->words[i].operation))
            what->flags |= UINT32_C(1) << i;
    }
    return r;
}

CUresult word_node_add(NodePlace *place, const WordNode *p, LibNode **ret)
{
    VGPUSessionNode what = {.type = NODE_BATCH_MEM_OP};
    VGPUSessionWord words[VGPU_SESSION_NODE_WORDS] = {0};
    CUresult r = words_read(&place->call, p, words, &what);

    return r == CUDA_SUCCESS ? node_add(place, &what, words, p->n * sizeof(*words), ret) : r;
}

CUresult word_node_set(NodeTarget *target, const WordNode *p)
{
    VGPUSessionNode what = {0};
    VGPUSessionWord words[VGPU_SESSION_NODE_WORDS] = {0};
    CUresult r = words_read(&target->call, p, words, &what);

    return r == CUDA_SUCCESS ? node_set(target, &what, words, p->n * sizeof(*words)) : r;
}

CUresult cuGraphBatchMemOpNodeGetParams(CUgraphNode handle, WordNode *p)
{
    uint64_t waits;
    GraphWord *shown;
    LibNode *node;
    LibCall call;
    void *payload;
    size_t size;
    CUresult r = node_enter(handle, NODE_BATCH_MEM_OP, &call, &node);

    if (r == CUDA_SUCCESS && !p)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        r = node_get(&call, node, sizeof(VGPUSessionWord), &payload, &size, &waits);
    if (r != CUDA_SUCCESS)
        return r;
    *p = (WordNode){
        .context = node->graph->context->handle,
        .n = (unsigned) (size / sizeof(VGPUSessionWord)),
    };
    shown = calloc(p->n, sizeof(*shown));
    for (unsigned i = 0; shown && i < p->n; i++) {
        const bool is_wait = i < 64 && (waits >> i & 1);
        VGPUSessionWord word;

        memcpy(&word, (const char *) payload + i * sizeof(word), sizeof(word));
        shown[i] = (GraphWord){
            .operation = is_wait ? (word.bits == 32 ? WORD_WAIT_32 : WORD_WAIT_64)
                                 : (word.bits == 32 ? WORD_WRITE_32 : WORD_WRITE_64),
            .address = word.address,
            .value = word.value,
            .flags = word.flags,
        };
    }
    free(payload);
    if (!shown)
        return CUDA_ERROR_OUT_OF_MEMORY;
    free(node->shown);
    node->shown = p->words = shown;
    return CUDA_SUCCESS;
}

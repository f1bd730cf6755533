/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes that allocate memory and free it. Sessions have none: the memory is there from the making
 * of the node until its graph, and what was made of that, have ended, and the nodes are empty ones.
 * So a program finds it at the same address in each launch, as it does on the driver, which takes
 * less memory for it.
 */
#include "graph-memory.h"

#include <stdlib.h>
#include <string.h>

#include "memory-map.h"

/* CUmemAllocationType, CUmemLocationType, CUgraphMem_attribute */
enum { ALLOCATION_PINNED = 1 };
enum { LOCATION_DEVICE = 1 };
enum { USED_CURRENT = 0, USED_HIGH = 1, RESERVED_CURRENT = 2, RESERVED_HIGH = 3 };

typedef struct GraphMemory {
    LIST_ENTRY(GraphMemory) link;
    MemoryPiece piece;
    unsigned n;           /* graphs and executable ones that have a node of it */
    bool is_live;         /* a launch has allocated it, and nothing has freed it */
    const LibGraph *exec; /* the one that allocates it; NULL: none is made of the graph */
} GraphMemory;

/* What the nodes of a graph do with it */
struct LibMemoryUse {
    GraphMemory *memory;
    bool allocates, frees;
};

/* Of all that follows; not held while a thread waits for the host */
static pthread_mutex_t graph_memory_lock = PTHREAD_MUTEX_INITIALIZER;
typedef LIST_HEAD(GraphMemories, GraphMemory) GraphMemories;
static GraphMemories graph_memories = LIST_HEAD_INITIALIZER(graph_memories);
static uint64_t graph_memory_now, graph_memory_high;

/* ---- Memory ------------------------------------------------------------------------------------
 */

static void memory_free(GraphMemory *memory)
{
    const LibContext *c = memory->piece.context;
    const vgpu_session_from from = {.context = c->number, .capture_mode = CAPTURE_RELAXED};
    MemoryPiece piece;

    /* When its context has ended, so has the memory. */
    if (memory_map_take(memory->piece.address, MEMORY_GRAPH, &piece) && from.context != 0)
        (void) vgpu_session_memory_free(libcuda_process.session, &from, piece.address);
    free(memory);
}

static void memory_free_all(GraphMemories *dead)
{
    GraphMemory *memory;

    while ((memory = LIST_FIRST(dead))) {
        LIST_REMOVE(memory, link);
        memory_free(memory);
    }
}

/* In no list yet */
static CUresult memory_new(const LibCall *call, size_t size, GraphMemory **ret)
{
    GraphMemory *memory = calloc(1, sizeof(*memory));
    vgpu_session_from from = call->from;
    CUresult r;

    if (!memory)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memory->piece = (MemoryPiece){.size = size, .kind = MEMORY_GRAPH, .context = call->context};
    /* On the driver nothing is allocated now, which captures would forbid. */
    from.capture_mode = CAPTURE_RELAXED;
    r = vgpu_session_memory_alloc(call->session, &from, size, &memory->piece.address);
    memory->piece.device = memory->piece.address;
    if (r == CUDA_SUCCESS) {
        r = memory_map_add(&memory->piece);
        if (r != CUDA_SUCCESS)
            (void) vgpu_session_memory_free(call->session, &from, memory->piece.address);
    }
    if (r != CUDA_SUCCESS) {
        free(memory);
        return r;
    }
    *ret = memory;
    return CUDA_SUCCESS;
}

/* ---- With the lock held ------------------------------------------------------------------------
 */

static void memory_list(GraphMemory *memory)
{
    LIST_INSERT_HEAD(&graph_memories, memory, link);
    graph_memory_now += memory->piece.size;
    if (graph_memory_high < graph_memory_now)
        graph_memory_high = graph_memory_now;
}

/* Nobody has it any more: for memory_free_all() */
static void memory_sweep(GraphMemory *memory, GraphMemories *dead)
{
    if (memory->n > 0 || memory->is_live)
        return;
    LIST_REMOVE(memory, link);
    LIST_INSERT_HEAD(dead, memory, link);
    graph_memory_now -= memory->piece.size;
}

static GraphMemory *memory_find(CUdeviceptr address)
{
    GraphMemory *memory;

    LIST_FOREACH(memory, &graph_memories, link)
    if (memory->piece.address == address)
        return memory;
    return NULL;
}

/* ---- Graphs ------------------------------------------------------------------------------------
 */

static CUresult use_add(LibGraph *graph, GraphMemory *memory, bool allocates)
{
    LibMemoryUse *more;

    for (size_t i = 0; i < graph->n_memory; i++)
        if (graph->memory[i].memory == memory) {
            if (allocates || graph->memory[i].frees)
                return CUDA_ERROR_INVALID_VALUE;
            graph->memory[i].frees = true;
            return CUDA_SUCCESS;
        }
    more = realloc(graph->memory, (graph->n_memory + 1) * sizeof(*more));
    if (!more)
        return CUDA_ERROR_OUT_OF_MEMORY;
    graph->memory = more;
    graph->memory[graph->n_memory++] = (LibMemoryUse){memory, allocates, !allocates};
    memory->n++;
    return CUDA_SUCCESS;
}

CUresult graph_memory_inherit(const LibGraph *graph, LibGraph *exec)
{
    CUresult r = CUDA_SUCCESS;

    if (graph->n_memory == 0)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&graph_memory_lock);
    for (size_t i = 0; i < graph->n_memory; i++)
        if (graph->memory[i].allocates && graph->memory[i].memory->exec)
            r = CUDA_ERROR_NOT_SUPPORTED; /* of such a graph there is one at a time */
    exec->memory = malloc(graph->n_memory * sizeof(*exec->memory));
    if (!exec->memory)
        r = CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < graph->n_memory && r == CUDA_SUCCESS; i++) {
        GraphMemory *memory = graph->memory[i].memory;

        exec->memory[exec->n_memory++] = graph->memory[i];
        memory->n++;
        if (graph->memory[i].allocates)
            memory->exec = exec;
    }
    pthread_mutex_unlock(&graph_memory_lock);
    return r;
}

bool graph_memory_is_same(const LibGraph *a, const LibGraph *b)
{
    if (a->n_memory != b->n_memory)
        return false;
    for (size_t i = 0; i < a->n_memory; i++)
        if (a->memory[i].memory != b->memory[i].memory || a->memory[i].frees != b->memory[i].frees)
            return false;
    return true;
}

void graph_memory_leave(LibGraph *graph)
{
    GraphMemories dead = LIST_HEAD_INITIALIZER(dead);

    pthread_mutex_lock(&graph_memory_lock);
    for (size_t i = 0; i < graph->n_memory; i++) {
        GraphMemory *memory = graph->memory[i].memory;

        memory->n--;
        if (memory->exec == graph)
            memory->exec = NULL;
        memory_sweep(memory, &dead);
    }
    pthread_mutex_unlock(&graph_memory_lock);
    memory_free_all(&dead);
    free(graph->memory);
    graph->memory = NULL;
    graph->n_memory = 0;
}

/* May it be launched? What it allocates must be free, or be freed by that, and what it frees must
 * not be free. */
static CUresult launch_check_memory(const LibGraph *exec)
{
    for (size_t i = 0; i < exec->n_memory; i++) {
        const LibMemoryUse *use = &exec->memory[i];

        if (use->allocates ? use->memory->is_live && !(exec->flags & GRAPH_AUTO_FREE_ON_LAUNCH)
                           : !use->memory->is_live)
            return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult graph_memory_launch(LibGraph *exec)
{
    CUresult r;

    if (exec->n_memory == 0)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&graph_memory_lock);
    r = launch_check_memory(exec);
    for (size_t i = 0; i < exec->n_memory && r == CUDA_SUCCESS; i++)
        exec->memory[i].memory->is_live = !exec->memory[i].frees;
    pthread_mutex_unlock(&graph_memory_lock);
    return r;
}

CUresult graph_memory_free(CUdeviceptr address)
{
    GraphMemories dead = LIST_HEAD_INITIALIZER(dead);
    CUresult r = CUDA_ERROR_INVALID_VALUE;
    GraphMemory *memory;

    pthread_mutex_lock(&graph_memory_lock);
    memory = memory_find(address);
    if (memory && memory->is_live) {
        memory->is_live = false;
        memory_sweep(memory, &dead);
        r = CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&graph_memory_lock);
    memory_free_all(&dead);
    return r;
}

/* ---- Nodes -------------------------------------------------------------------------------------
 */

/* The driver's rule: nothing is allocated where it may happen again and again. */
static CUresult memory_may_be(const NodePlace *place)
{
    return place->graph->body_of ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;
}

static CUresult memory_node_add(NodePlace *place, int type, const void *shown, size_t size,
                                LibNode **ret)
{
    const VGPUSessionNode what = {.type = NODE_EMPTY};
    CUresult r = node_add(place, &what, NULL, 0, ret);

    if (r != CUDA_SUCCESS)
        return r;
    (*ret)->type = type;
    return node_remember(*ret, shown, size);
}

AllocNode graph_memory_of(size_t size)
{
    return (AllocNode){
        .pool = {.type = ALLOCATION_PINNED, .location = {.type = LOCATION_DEVICE}},
        .size = size,
    };
}

static CUresult alloc_check(const AllocNode *p)
{
    if (!p || p->size == 0 || p->pool.type != ALLOCATION_PINNED ||
        p->pool.location.type != LOCATION_DEVICE || p->pool.location.id != 0 ||
        (p->n_access > 0 && !p->access))
        return CUDA_ERROR_INVALID_VALUE;
    if (p->pool.handle_types == 0)
        return CUDA_SUCCESS;
    libcuda_log("memory that a graph allocates cannot be shared");
    return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult alloc_node_add(NodePlace *place, AllocNode *p, LibNode **ret)
{
    AllocNode shown;
    GraphMemory *memory;
    CUresult r = alloc_check(p);

    if (r == CUDA_SUCCESS)
        r = memory_may_be(place);
    if (r == CUDA_SUCCESS)
        r = memory_new(&place->call, p->size, &memory);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&graph_memory_lock);
    r = use_add(place->graph, memory, true);
    if (r == CUDA_SUCCESS)
        memory_list(memory);
    pthread_mutex_unlock(&graph_memory_lock);
    if (r != CUDA_SUCCESS) {
        memory_free(memory);
        return r;
    }
    shown = *p;
    shown.access = NULL;
    shown.n_access = 0;
    shown.address = memory->piece.address;
    r = memory_node_add(place, NODE_MEM_ALLOC, &shown, sizeof(shown), ret);
    if (r == CUDA_SUCCESS)
        p->address = shown.address;
    return r;
}

CUresult free_node_add(NodePlace *place, CUdeviceptr address, LibNode **ret)
{
    CUresult r = memory_may_be(place);
    GraphMemory *memory;

    if (r != CUDA_SUCCESS)
        return r;
    r = CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&graph_memory_lock);
    memory = memory_find(address);
    if (memory)
        r = use_add(place->graph, memory, false);
    pthread_mutex_unlock(&graph_memory_lock);
    return r == CUDA_SUCCESS ? memory_node_add(place, NODE_MEM_FREE, &address, sizeof(address), ret)
                             : r;
}

static CUresult memory_node_get(CUgraphNode handle, int type, void *ret, size_t size)
{
    LibNode *node;
    LibCall call;
    CUresult r = node_enter(handle, type, &call, &node);

    if (r == CUDA_SUCCESS && (!ret || node->shown_size != size))
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        memcpy(ret, node->shown, size);
    return r;
}

CUresult cuGraphMemAllocNodeGetParams(CUgraphNode node, AllocNode *p)
{
    return memory_node_get(node, NODE_MEM_ALLOC, p, sizeof(*p));
}

CUresult cuGraphMemFreeNodeGetParams(CUgraphNode node, CUdeviceptr *address)
{
    return memory_node_get(node, NODE_MEM_FREE, address, sizeof(*address));
}

/* ---- The device --------------------------------------------------------------------------------
 */

static CUresult device_enter(CUdevice device)
{
    LibCall call;
    CUresult r = libcuda_enter(&call);

    return r == CUDA_SUCCESS && device != 0 ? CUDA_ERROR_INVALID_DEVICE : r;
}

CUresult cuDeviceGetGraphMemAttribute(CUdevice device, int attribute, void *value)
{
    CUresult r = device_enter(device);
    uint64_t number;

    if (r != CUDA_SUCCESS)
        return r;
    if (!value || attribute < USED_CURRENT || attribute > RESERVED_HIGH)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&graph_memory_lock);
    number =
        attribute == USED_HIGH || attribute == RESERVED_HIGH ? graph_memory_high : graph_memory_now;
    pthread_mutex_unlock(&graph_memory_lock);
    memcpy(value, &number, sizeof(number));
    return CUDA_SUCCESS;
}

/* What was highest may begin again, at 0. */
CUresult cuDeviceSetGraphMemAttribute(CUdevice device, int attribute, void *value)
{
    CUresult r = device_enter(device);
    uint64_t number = 1;

    if (r != CUDA_SUCCESS)
        return r;
    if (value)
        memcpy(&number, value, sizeof(number));
    if (number != 0 || (attribute != USED_HIGH && attribute != RESERVED_HIGH))
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&graph_memory_lock);
    graph_memory_high = graph_memory_now;
    pthread_mutex_unlock(&graph_memory_lock);
    return CUDA_SUCCESS;
}

/* Nothing is kept that no graph has. */
CUresult cuDeviceGraphMemTrim(CUdevice device)
{
    return device_enter(device);
}

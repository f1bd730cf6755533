/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Graphs as texts in the language of Graphviz, written in the guest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "graph.h"

/* CUgraphDebugDot_flags of which there is something to say, and all that there are */
enum {
    PRINT_VERBOSE = 0x1,
    PRINT_KERNEL = 0x4,
    PRINT_COPY = 0x8,
    PRINT_SET = 0x10,
    PRINT_HANDLES = 0x400,
    PRINT_FLAGS = 0xffff,
};

static const char *const print_types[] = {
    [NODE_KERNEL] = "KERNEL",
    [NODE_MEMCPY] = "MEMCPY",
    [NODE_MEMSET] = "MEMSET",
    [NODE_HOST] = "HOST",
    [NODE_GRAPH] = "GRAPH",
    [NODE_EMPTY] = "EMPTY",
    [NODE_WAIT_EVENT] = "EVENT_WAIT",
    [NODE_EVENT_RECORD] = "EVENT_RECORD",
    [NODE_SEMAPHORE_SIGNAL] = "EXT_SEMAS_SIGNAL",
    [NODE_SEMAPHORE_WAIT] = "EXT_SEMAS_WAIT",
    [NODE_MEM_ALLOC] = "MEM_ALLOC",
    [NODE_MEM_FREE] = "MEM_FREE",
    [NODE_BATCH_MEM_OP] = "BATCH_MEM_OP",
    [NODE_CONDITIONAL] = "CONDITIONAL",
};

typedef struct Print {
    FILE *file;
    unsigned flags;
    unsigned n_graphs;
} Print;

static bool print_wants(const Print *p, unsigned flag)
{
    return p->flags & (PRINT_VERBOSE | flag);
}

static void print_kernel(const Print *p, const LibNode *node)
{
    const char *name = "?";
    KernelNode kernel;

    if (cuGraphKernelNodeGetParams_v2(node->handle, &kernel) != CUDA_SUCCESS)
        return;
    if (kernel.function)
        (void) cuFuncGetName(&name, kernel.function);
    else
        (void) cuKernelGetName(&name, kernel.kernel);
    fprintf(p->file, "%s\\n", name);
    if (print_wants(p, PRINT_KERNEL))
        fprintf(p->file, "\\<\\<\\<(%u,%u,%u),(%u,%u,%u),%u\\>\\>\\>\\n", kernel.grid_x,
                kernel.grid_y, kernel.grid_z, kernel.block_x, kernel.block_y, kernel.block_z,
                kernel.shared_bytes);
}

static void print_params(const Print *p, const LibNode *node)
{
    Copy3D copy;
    SetNode set;

    if (node->type == NODE_KERNEL)
        print_kernel(p, node);
    if (node->type == NODE_MEMCPY && print_wants(p, PRINT_COPY) &&
        cuGraphMemcpyNodeGetParams(node->handle, &copy) == CUDA_SUCCESS)
        fprintf(p->file, "%zu x %zu x %zu bytes\\n", copy.width_bytes, copy.height, copy.depth);
    if (node->type == NODE_MEMSET && print_wants(p, PRINT_SET) &&
        cuGraphMemsetNodeGetParams(node->handle, &set) == CUDA_SUCCESS)
        fprintf(p->file, "%#x, %zu x %zu elements of %u bytes\\n", set.value, set.width, set.height,
                set.element);
}

static CUresult print_graph(Print *p, CUgraph graph, CUgraphNode *ret_first);

/* A node's graph stands beside this one; the first of its nodes says where. */
static CUresult print_node(Print *p, const LibCall *call, CUgraphNode handle)
{
    LibNode *node = handle_object(HANDLE_NODE, handle);
    CUgraph child = NULL;
    CUgraphNode first = NULL;
    int type;
    CUresult r = node_type(call, node, &type);

    if (r != CUDA_SUCCESS)
        return r;
    fprintf(p->file, "\"node_%p\" [shape=\"%s\" label=\"{%u: %s\\n", (void *) handle,
            type == NODE_KERNEL ? "octagon" : "rectangle", node->number - 1,
            type >= 0 && (size_t) type < ELEMENTSOF(print_types) ? print_types[type] : "?");
    print_params(p, node);
    if (print_wants(p, PRINT_HANDLES))
        fprintf(p->file, "%p\\n", (void *) handle);
    fputs("}\"];\n", p->file);
    if (type != NODE_GRAPH)
        return CUDA_SUCCESS;
    r = cuGraphChildGraphNodeGetGraph(handle, &child);
    if (r == CUDA_SUCCESS)
        r = print_graph(p, child, &first);
    if (r == CUDA_SUCCESS && first)
        fprintf(p->file, "\"node_%p\" -> \"node_%p\" [style=\"dashed\"];\n", (void *) handle,
                (void *) first);
    return r;
}

static CUresult print_edges(const Print *p, CUgraph graph)
{
    CLEANUP_FREE CUgraphNode *from = NULL;
    CLEANUP_FREE CUgraphNode *to = NULL;
    CLEANUP_FREE GraphEdge *edges = NULL;
    size_t n = 0;
    CUresult r = cuGraphGetEdges_v2(graph, NULL, NULL, NULL, &n);

    if (r != CUDA_SUCCESS || n == 0)
        return r;
    from = calloc(n, sizeof(CUgraphNode));
    to = calloc(n, sizeof(CUgraphNode));
    edges = calloc(n, sizeof(*edges));
    if (!from || !to || !edges)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = cuGraphGetEdges_v2(graph, from, to, edges, &n);
    for (size_t i = 0; r == CUDA_SUCCESS && i < n; i++)
        fprintf(p->file, "\"node_%p\" -> \"node_%p\";\n", (void *) from[i], (void *) to[i]);
    return r;
}

static CUresult print_graph(Print *p, CUgraph handle, CUgraphNode *ret_first)
{
    CLEANUP_FREE CUgraphNode *nodes = NULL;
    LibGraph *graph;
    LibCall call;
    size_t n = 0;
    CUresult r = graph_enter(handle, &call, &graph);

    if (r == CUDA_SUCCESS)
        r = cuGraphGetNodes(handle, NULL, &n);
    if (r != CUDA_SUCCESS)
        return r;
    nodes = calloc(n + 1, sizeof(CUgraphNode));
    if (!nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (n > 0)
        r = cuGraphGetNodes(handle, nodes, &n);
    p->n_graphs++;
    fprintf(p->file, "subgraph cluster_%u {\nlabel=\"graph_%u\" graph[style=\"dashed\"];\n",
            p->n_graphs, p->n_graphs);
    for (size_t i = 0; r == CUDA_SUCCESS && i < n; i++)
        r = print_node(p, &call, nodes[i]);
    if (r == CUDA_SUCCESS)
        r = print_edges(p, handle);
    fputs("}\n", p->file);
    *ret_first = nodes[0];
    return r;
}

CUresult cuGraphDebugDotPrint(CUgraph handle, const char *path, unsigned flags)
{
    Print p = {.flags = flags};
    CUgraphNode first;
    LibGraph *graph;
    LibCall call;
    CUresult r = graph_enter(handle, &call, &graph);

    if (r != CUDA_SUCCESS)
        return r;
    if (!path || (flags & ~(unsigned) PRINT_FLAGS) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    p.file = fopen(path, "we");
    if (!p.file)
        return errno == EACCES || errno == EPERM || errno == EROFS ? CUDA_ERROR_OPERATING_SYSTEM
                                                                   : CUDA_ERROR_INVALID_VALUE;
    fputs("digraph dot {\n", p.file);
    r = print_graph(&p, handle, &first);
    fputs("}\n", p.file);
    if (fclose(p.file) != 0 && r == CUDA_SUCCESS)
        r = CUDA_ERROR_OPERATING_SYSTEM;
    return r;
}

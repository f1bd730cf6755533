/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Graphs, and what is made of them to be launched. */
#ifndef VGPU_LIBCUDA_GRAPH_H
#define VGPU_LIBCUDA_GRAPH_H

#include "libcuda.h"

typedef struct LibGraph {
    void *handle;
    HandleKind kind; /* HANDLE_GRAPH, HANDLE_EXEC */
    LibContext *context;
    uint32_t number;
    unsigned flags; /* EXEC: of its making */
} LibGraph;

/* graph_new() - an object with a number, which the executor does not know yet */
CUresult graph_new(const LibCall *call, HandleKind kind, LibGraph **ret);

/* graph_forget() - free it, with its number; the executor has none any more */
void graph_forget(const LibCall *call, LibGraph *graph);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's functions for nodes of graphs; see cuda-session.h. */
#ifndef VGPU_SESSION_CUDA_SESSION_NODES_H
#define VGPU_SESSION_CUDA_SESSION_NODES_H

#include "cuda-driver.h"

typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct CUgraphNode_st *CUgraphNode;

#define CUDA_NODE_FUNCTIONS(X)

#endif

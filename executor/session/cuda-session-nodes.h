/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's functions for captures and nodes of graphs; see cuda-session.h. */
#ifndef VGPU_SESSION_CUDA_SESSION_NODES_H
#define VGPU_SESSION_CUDA_SESSION_NODES_H

#include "cuda-driver.h"

typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct CUgraphNode_st *CUgraphNode;
typedef struct CUuserObject_st *CUuserObject;

enum {
    CUDA_ERROR_ILLEGAL_STATE = 401,
    CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD = 908,
};

/* CUgraphNodeType */
enum {
    CU_GRAPH_NODE_TYPE_KERNEL = 0,
    CU_GRAPH_NODE_TYPE_MEMCPY = 1,
    CU_GRAPH_NODE_TYPE_MEMSET = 2,
    CU_GRAPH_NODE_TYPE_HOST = 3,
    CU_GRAPH_NODE_TYPE_GRAPH = 4,
    CU_GRAPH_NODE_TYPE_EMPTY = 5,
    CU_GRAPH_NODE_TYPE_WAIT_EVENT = 6,
    CU_GRAPH_NODE_TYPE_EVENT_RECORD = 7,
    CU_GRAPH_NODE_TYPE_BATCH_MEM_OP = 12,
    CU_GRAPH_NODE_TYPE_CONDITIONAL = 13,
};

/* CUgraphConditionalNodeType */
enum {
    CU_GRAPH_COND_TYPE_IF = 0,
    CU_GRAPH_COND_TYPE_WHILE = 1,
    CU_GRAPH_COND_TYPE_SWITCH = 2, /* CUDA 12.8 */
};

enum { CU_GRAPH_COND_ASSIGN_DEFAULT = 1 };

enum {
    CU_USER_OBJECT_NO_DESTRUCTOR_SYNC = 1,
    CU_GRAPH_USER_OBJECT_MOVE = 1,
};

/* CUstreamBatchMemOpType */
enum {
    CU_STREAM_MEM_OP_WAIT_VALUE_32 = 1,
    CU_STREAM_MEM_OP_WRITE_VALUE_32 = 2,
    CU_STREAM_MEM_OP_WAIT_VALUE_64 = 4,
    CU_STREAM_MEM_OP_WRITE_VALUE_64 = 5,
};

/* CUgraphDependencyType, CU_GRAPH_KERNEL_NODE_PORT_* */
enum {
    CU_GRAPH_DEPENDENCY_TYPE_DEFAULT = 0,
    CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC = 1,
    CU_GRAPH_KERNEL_NODE_PORT_DEFAULT = 0,
    CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC = 1,
    CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER = 2,
};

/* CUgraphEdgeData_st */
typedef struct CudaEdgeData {
    unsigned char from_port, to_port, type, reserved[5];
} CudaEdgeData;

/* CUDA_KERNEL_NODE_PARAMS_v2 */
typedef struct CudaKernelNode {
    CUfunction function;
    unsigned grid_x, grid_y, grid_z;
    unsigned block_x, block_y, block_z;
    unsigned shared_bytes;
    void **params;
    void **extra;
    void *kernel;
    CUcontext context;
} CudaKernelNode;

/* CUDA_MEMSET_NODE_PARAMS_v1 */
typedef struct CudaMemsetNode {
    CUdeviceptr address;
    size_t pitch;
    unsigned value, element_size;
    size_t width, height; /* elements, rows */
} CudaMemsetNode;

/* CUDA_HOST_NODE_PARAMS_v1 */
typedef struct CudaHostNode {
    void (*function)(void *user_data);
    void *user_data;
} CudaHostNode;

/* CUstreamBatchMemOpParams_v1, of a wait or a write */
typedef struct CudaMemOp {
    int operation;
    CUdeviceptr address;
    uint64_t value;
    unsigned flags;
    CUdeviceptr alias;
    uint64_t pad;
} CudaMemOp;

/* CUDA_BATCH_MEM_OP_NODE_PARAMS_v1 */
typedef struct CudaMemOpNode {
    CUcontext context;
    unsigned count;
    CudaMemOp *ops;
    unsigned flags;
} CudaMemOpNode;

/* CUDA_CONDITIONAL_NODE_PARAMS */
typedef struct CudaConditionalNode {
    uint64_t handle;
    int type;
    unsigned size;
    CUgraph *graphs; /* the driver's, which it writes here */
    CUcontext context;
} CudaConditionalNode;

/* CUgraphNodeParams, of a conditional node */
typedef struct CudaNodeParams {
    int type;
    int reserved0[3];
    union {
        long long reserved1[29];
        CudaConditionalNode conditional;
    };
    long long reserved2;
} CudaNodeParams;

struct CudaCopy3D;
struct CUevent_st;

#define CUDA_ADD_NODE_ \
    CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t n_dependencies

#define CUDA_NODE_FUNCTIONS(X)                                                                     \
    X(stream_get_capture_info, cuStreamGetCaptureInfo_v3,                                          \
      (CUstream stream, int *status, uint64_t *id, CUgraph *graph,                                 \
       const CUgraphNode **dependencies, const CudaEdgeData **data, size_t *n_dependencies))       \
    X(stream_begin_capture_to_graph, cuStreamBeginCaptureToGraph,                                  \
      (CUstream stream, CUgraph graph, const CUgraphNode *dependencies, const CudaEdgeData *data,  \
       size_t n_dependencies, int mode))                                                           \
    X(stream_update_capture_dependencies, cuStreamUpdateCaptureDependencies_v2,                    \
      (CUstream stream, CUgraphNode * dependencies, const CudaEdgeData *data,                      \
       size_t n_dependencies, unsigned flags))                                                     \
    X(stream_batch_mem_op, cuStreamBatchMemOp_v2,                                                  \
      (CUstream stream, unsigned n, CudaMemOp *ops, unsigned flags))                               \
    X(user_object_create, cuUserObjectCreate,                                                      \
      (CUuserObject * object, void *data, void (*destroy)(void *data), unsigned references,        \
       unsigned flags))                                                                            \
    X(user_object_release, cuUserObjectRelease, (CUuserObject object, unsigned n))                 \
    X(graph_retain_user_object, cuGraphRetainUserObject,                                           \
      (CUgraph graph, CUuserObject object, unsigned n, unsigned flags))                            \
    X(graph_release_user_object, cuGraphReleaseUserObject,                                         \
      (CUgraph graph, CUuserObject object, unsigned n))                                            \
    X(graph_create, cuGraphCreate, (CUgraph * graph, unsigned flags))                              \
    X(graph_clone, cuGraphClone, (CUgraph * clone, CUgraph original))                              \
    X(graph_node_find_in_clone, cuGraphNodeFindInClone,                                            \
      (CUgraphNode * node, CUgraphNode original, CUgraph clone))                                   \
    X(graph_get_root_nodes, cuGraphGetRootNodes, (CUgraph graph, CUgraphNode * nodes, size_t * n)) \
    X(graph_get_edges, cuGraphGetEdges_v2,                                                         \
      (CUgraph graph, CUgraphNode * from, CUgraphNode * to, CudaEdgeData * data, size_t * n))      \
    X(graph_node_get_type, cuGraphNodeGetType, (CUgraphNode node, int *type))                      \
    X(graph_node_get_dependents, cuGraphNodeGetDependentNodes_v2,                                  \
      (CUgraphNode node, CUgraphNode * dependents, CudaEdgeData * data, size_t * n))               \
    X(graph_add_dependencies, cuGraphAddDependencies_v2,                                           \
      (CUgraph graph, const CUgraphNode *from, const CUgraphNode *to, const CudaEdgeData *data,    \
       size_t n))                                                                                  \
    X(graph_remove_dependencies, cuGraphRemoveDependencies_v2,                                     \
      (CUgraph graph, const CUgraphNode *from, const CUgraphNode *to, const CudaEdgeData *data,    \
       size_t n))                                                                                  \
    X(graph_destroy_node, cuGraphDestroyNode, (CUgraphNode node))                                  \
    X(graph_node_set_enabled, cuGraphNodeSetEnabled,                                               \
      (CUgraphExec exec, CUgraphNode node, unsigned is_enabled))                                   \
    X(kernel_node_add, cuGraphAddKernelNode_v2, (CUDA_ADD_NODE_, const CudaKernelNode *params))    \
    X(kernel_node_get, cuGraphKernelNodeGetParams_v2, (CUgraphNode node, CudaKernelNode * params)) \
    X(kernel_node_set, cuGraphKernelNodeSetParams_v2,                                              \
      (CUgraphNode node, const CudaKernelNode *params))                                            \
    X(kernel_node_exec_set, cuGraphExecKernelNodeSetParams_v2,                                     \
      (CUgraphExec exec, CUgraphNode node, const CudaKernelNode *params))                          \
    X(kernel_node_get_attribute, cuGraphKernelNodeGetAttribute,                                    \
      (CUgraphNode node, int attribute, void *value))                                              \
    X(kernel_node_set_attribute, cuGraphKernelNodeSetAttribute,                                    \
      (CUgraphNode node, int attribute, const void *value))                                        \
    X(memcpy_node_add, cuGraphAddMemcpyNode,                                                       \
      (CUDA_ADD_NODE_, const struct CudaCopy3D *params, CUcontext context))                        \
    X(memcpy_node_get, cuGraphMemcpyNodeGetParams, (CUgraphNode node, struct CudaCopy3D * params)) \
    X(memcpy_node_set, cuGraphMemcpyNodeSetParams,                                                 \
      (CUgraphNode node, const struct CudaCopy3D *params))                                         \
    X(memcpy_node_exec_set, cuGraphExecMemcpyNodeSetParams,                                        \
      (CUgraphExec exec, CUgraphNode node, const struct CudaCopy3D *params, CUcontext context))    \
    X(memset_node_add, cuGraphAddMemsetNode,                                                       \
      (CUDA_ADD_NODE_, const CudaMemsetNode *params, CUcontext context))                           \
    X(memset_node_get, cuGraphMemsetNodeGetParams, (CUgraphNode node, CudaMemsetNode * params))    \
    X(memset_node_set, cuGraphMemsetNodeSetParams,                                                 \
      (CUgraphNode node, const CudaMemsetNode *params))                                            \
    X(memset_node_exec_set, cuGraphExecMemsetNodeSetParams,                                        \
      (CUgraphExec exec, CUgraphNode node, const CudaMemsetNode *params, CUcontext context))       \
    X(host_node_add, cuGraphAddHostNode, (CUDA_ADD_NODE_, const CudaHostNode *params))             \
    X(host_node_get, cuGraphHostNodeGetParams, (CUgraphNode node, CudaHostNode * params))          \
    X(host_node_set, cuGraphHostNodeSetParams, (CUgraphNode node, const CudaHostNode *params))     \
    X(host_node_exec_set, cuGraphExecHostNodeSetParams,                                            \
      (CUgraphExec exec, CUgraphNode node, const CudaHostNode *params))                            \
    X(child_node_add, cuGraphAddChildGraphNode, (CUDA_ADD_NODE_, CUgraph child))                   \
    X(child_node_get, cuGraphChildGraphNodeGetGraph, (CUgraphNode node, CUgraph * child))          \
    X(child_node_exec_set, cuGraphExecChildGraphNodeSetParams,                                     \
      (CUgraphExec exec, CUgraphNode node, CUgraph child))                                         \
    X(empty_node_add, cuGraphAddEmptyNode, (CUDA_ADD_NODE_))                                       \
    X(event_record_node_add, cuGraphAddEventRecordNode,                                            \
      (CUDA_ADD_NODE_, struct CUevent_st * event))                                                 \
    X(event_record_node_get, cuGraphEventRecordNodeGetEvent,                                       \
      (CUgraphNode node, struct CUevent_st * *event))                                              \
    X(event_record_node_set, cuGraphEventRecordNodeSetEvent,                                       \
      (CUgraphNode node, struct CUevent_st * event))                                               \
    X(event_record_node_exec_set, cuGraphExecEventRecordNodeSetEvent,                              \
      (CUgraphExec exec, CUgraphNode node, struct CUevent_st * event))                             \
    X(event_wait_node_add, cuGraphAddEventWaitNode, (CUDA_ADD_NODE_, struct CUevent_st * event))   \
    X(event_wait_node_get, cuGraphEventWaitNodeGetEvent,                                           \
      (CUgraphNode node, struct CUevent_st * *event))                                              \
    X(event_wait_node_set, cuGraphEventWaitNodeSetEvent,                                           \
      (CUgraphNode node, struct CUevent_st * event))                                               \
    X(event_wait_node_exec_set, cuGraphExecEventWaitNodeSetEvent,                                  \
      (CUgraphExec exec, CUgraphNode node, struct CUevent_st * event))                             \
    X(mem_op_node_add, cuGraphAddBatchMemOpNode, (CUDA_ADD_NODE_, const CudaMemOpNode *params))    \
    X(mem_op_node_get, cuGraphBatchMemOpNodeGetParams, (CUgraphNode node, CudaMemOpNode * params)) \
    X(mem_op_node_set, cuGraphBatchMemOpNodeSetParams,                                             \
      (CUgraphNode node, const CudaMemOpNode *params))                                             \
    X(mem_op_node_exec_set, cuGraphExecBatchMemOpNodeSetParams,                                    \
      (CUgraphExec exec, CUgraphNode node, const CudaMemOpNode *params))                           \
    X(graph_conditional_handle_create, cuGraphConditionalHandleCreate,                             \
      (uint64_t * handle, CUgraph graph, CUcontext context, unsigned value, unsigned flags))       \
    X(node_add, cuGraphAddNode_v2,                                                                 \
      (CUgraphNode * node, CUgraph graph, const CUgraphNode *dependencies,                         \
       const CudaEdgeData *data, size_t n_dependencies, CudaNodeParams *params))

#endif

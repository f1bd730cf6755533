/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What programs see of graphs and captures: beside cuda-api.h, from the same manual. */
#ifndef VGPU_LIBCUDA_CUDA_API_GRAPHS_H
#define VGPU_LIBCUDA_CUDA_API_GRAPHS_H

#include "cuda-api.h"

typedef struct CUuserObject_st *CUuserObject;
typedef void (*GraphFunction)(void *data); /* CUhostFn */

enum {
    CUDA_ERROR_OPERATING_SYSTEM = 304,
    CUDA_ERROR_LOSSY_QUERY = 402,
    CUDA_ERROR_STREAM_CAPTURE_MERGE = 902,
    CUDA_ERROR_STREAM_CAPTURE_UNMATCHED = 903,
    CUDA_ERROR_STREAM_CAPTURE_UNJOINED = 904,
    CUDA_ERROR_STREAM_CAPTURE_IMPLICIT = 906,
    CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD = 908,
    CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE = 910,
};

/* CUstreamCaptureStatus */
enum { CAPTURE_NONE = 0, CAPTURE_ACTIVE = 1, CAPTURE_INVALIDATED = 2 };

/* CUstreamCaptureMode */
enum { CAPTURE_GLOBAL = 0, CAPTURE_THREAD_LOCAL = 1, CAPTURE_RELAXED = 2 };

/* CUstreamUpdateCaptureDependencies_flags */
enum { CAPTURE_ADD_DEPENDENCIES = 0, CAPTURE_SET_DEPENDENCIES = 1 };

/* CUgraphNodeType */
typedef enum NodeType {
    NODE_KERNEL = 0,
    NODE_MEMCPY = 1,
    NODE_MEMSET = 2,
    NODE_HOST = 3,
    NODE_GRAPH = 4,
    NODE_EMPTY = 5,
    NODE_WAIT_EVENT = 6,
    NODE_EVENT_RECORD = 7,
    NODE_SEMAPHORE_SIGNAL = 8,
    NODE_SEMAPHORE_WAIT = 9,
    NODE_MEM_ALLOC = 10,
    NODE_MEM_FREE = 11,
    NODE_BATCH_MEM_OP = 12,
    NODE_CONDITIONAL = 13,
} NodeType;

/* CUgraphInstantiate_flags */
enum {
    GRAPH_AUTO_FREE_ON_LAUNCH = 0x1,
    GRAPH_UPLOAD = 0x2,
    GRAPH_DEVICE_LAUNCH = 0x4,
    GRAPH_USE_NODE_PRIORITY = 0x8,
};

/* CUuserObject_flags, CUuserObjectRetain_flags */
enum { USER_OBJECT_NO_DESTRUCTOR_SYNC = 1, GRAPH_USER_OBJECT_MOVE = 1 };

/* CUgraphDependencyType, CU_GRAPH_KERNEL_NODE_PORT_* */
enum { EDGE_DEFAULT = 0, EDGE_PROGRAMMATIC = 1 };
enum { PORT_DEFAULT = 0, PORT_PROGRAMMATIC = 1, PORT_LAUNCH_ORDER = 2 };

/* CUgraphEdgeData */
typedef struct GraphEdge {
    unsigned char from_port, to_port, type, reserved[5];
} GraphEdge;

/* CUDA_KERNEL_NODE_PARAMS_v1; the versions 2 and 3 have the same members, and two more */
typedef struct KernelNodeV1 {
    CUfunction function;
    unsigned grid_x, grid_y, grid_z;
    unsigned block_x, block_y, block_z;
    unsigned shared_bytes;
    void **parameters;
    void **extra;
} KernelNodeV1;

typedef struct KernelNode {
    CUfunction function;
    unsigned grid_x, grid_y, grid_z;
    unsigned block_x, block_y, block_z;
    unsigned shared_bytes;
    void **parameters;
    void **extra;
    CUkernel kernel; /* looked at when @function is NULL */
    CUcontext context;
} KernelNode;

/* CUDA_MEMSET_NODE_PARAMS_v1, which _v2 begins with */
typedef struct SetNode {
    CUdeviceptr address;
    size_t pitch;
    unsigned value;
    unsigned element;     /* bytes */
    size_t width, height; /* elements, rows */
} SetNode;

/* CUDA_HOST_NODE_PARAMS */
typedef struct HostNode {
    GraphFunction function;
    void *data;
} HostNode;

/* CUstreamBatchMemOpParams, of a wait or a write */
typedef struct GraphWord {
    int operation; /* CUstreamBatchMemOpType */
    CUdeviceptr address;
    uint64_t value;
    unsigned flags;
    CUdeviceptr alias;
    uint64_t pad;
} GraphWord;

/* CUDA_BATCH_MEM_OP_NODE_PARAMS */
typedef struct WordNode {
    CUcontext context;
    unsigned n;
    GraphWord *words;
    unsigned flags;
} WordNode;

/* CUmemPoolProps, CUDA_MEM_ALLOC_NODE_PARAMS */
typedef struct AllocNode {
    struct {
        int type;
        int handle_types;
        MemLocation location;
        void *win32;
        size_t max_size;
        unsigned short usage;
        unsigned char reserved[54];
    } pool;
    const AccessDesc *access;
    size_t n_access;
    size_t size;
    CUdeviceptr address;
} AllocNode;

typedef cuuint64_t CUgraphConditionalHandle;

/* CU_GRAPH_COND_*, CUgraphConditionalNodeType */
enum { CONDITION_ASSIGN_DEFAULT = 1 };
enum { CONDITION_IF = 0, CONDITION_WHILE = 1, CONDITION_SWITCH = 2 };

/* CUDA_CONDITIONAL_NODE_PARAMS */
typedef struct ConditionalNode {
    CUgraphConditionalHandle handle;
    int type;
    unsigned size;
    CUgraph *graphs; /* written: @size of them, while the node lives */
    CUcontext context;
} ConditionalNode;

/* CUgraphNodeParams */
typedef struct AnyNode {
    int type;
    int reserved[3];
    union {
        long long room[29];
        KernelNode kernel;
        struct {
            int flags, reserved;
            CUcontext context;
            Copy3D copy;
        } memcpy;
        struct {
            SetNode set;
            CUcontext context;
        } memset;
        HostNode host;
        struct {
            CUgraph graph;
            int ownership; /* CUgraphChildGraphNodeOwnership */
        } child;
        CUevent event;
        AllocNode alloc;
        CUdeviceptr free;
        WordNode words;
        ConditionalNode conditional;
    };
    long long reserved2;
} AnyNode;

/* CUDA_GRAPH_INSTANTIATE_PARAMS */
typedef struct GraphInstantiate {
    cuuint64_t flags;
    CUstream upload_stream;
    CUgraphNode error_node;
    int result;
} GraphInstantiate;

/* CUgraphExecUpdateResultInfo */
typedef struct GraphUpdate {
    int result;
    CUgraphNode error_node, error_from_node;
} GraphUpdate;

/* What each function that adds a node begins with */
#define GRAPH_ADD_ \
    CUgraphNode *ret, CUgraph graph, const CUgraphNode *dependencies, size_t n_dependencies

#pragma GCC visibility push(default)

/* ---- Captures ----------------------------------------------------------------------------------
 */

CUresult cuStreamBeginCapture(CUstream handle);
CUresult cuStreamBeginCapture_ptsz(CUstream handle);
CUresult cuStreamBeginCapture_v2(CUstream handle, int mode);
CUresult cuStreamBeginCapture_v2_ptsz(CUstream handle, int mode);
CUresult cuStreamBeginCaptureToGraph(CUstream handle, CUgraph graph, const CUgraphNode *nodes,
                                     const GraphEdge *edges, size_t n, int mode);
CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream handle, CUgraph graph, const CUgraphNode *nodes,
                                          const GraphEdge *edges, size_t n, int mode);
CUresult cuStreamEndCapture(CUstream handle, CUgraph *ret);
CUresult cuStreamEndCapture_ptsz(CUstream handle, CUgraph *ret);
CUresult cuStreamIsCapturing(CUstream handle, int *status);
CUresult cuStreamIsCapturing_ptsz(CUstream handle, int *status);
CUresult cuStreamGetCaptureInfo(CUstream handle, int *status, cuuint64_t *id);
CUresult cuStreamGetCaptureInfo_ptsz(CUstream handle, int *status, cuuint64_t *id);
CUresult cuStreamGetCaptureInfo_v2(CUstream handle, int *status, cuuint64_t *id, CUgraph *graph,
                                   const CUgraphNode **nodes, size_t *n);
CUresult cuStreamGetCaptureInfo_v2_ptsz(CUstream handle, int *status, cuuint64_t *id,
                                        CUgraph *graph, const CUgraphNode **nodes, size_t *n);
CUresult cuStreamGetCaptureInfo_v3(CUstream handle, int *status, cuuint64_t *id, CUgraph *graph,
                                   const CUgraphNode **nodes, const GraphEdge **edges, size_t *n);
CUresult cuStreamGetCaptureInfo_v3_ptsz(CUstream handle, int *status, cuuint64_t *id,
                                        CUgraph *graph, const CUgraphNode **nodes,
                                        const GraphEdge **edges, size_t *n);
CUresult cuStreamUpdateCaptureDependencies(CUstream handle, CUgraphNode *nodes, size_t n,
                                           unsigned flags);
CUresult cuStreamUpdateCaptureDependencies_ptsz(CUstream handle, CUgraphNode *nodes, size_t n,
                                                unsigned flags);
CUresult cuStreamUpdateCaptureDependencies_v2(CUstream handle, CUgraphNode *nodes,
                                              const GraphEdge *edges, size_t n, unsigned flags);
CUresult cuStreamUpdateCaptureDependencies_v2_ptsz(CUstream handle, CUgraphNode *nodes,
                                                   const GraphEdge *edges, size_t n,
                                                   unsigned flags);

/* ---- Graphs ------------------------------------------------------------------------------------
 */

CUresult cuGraphCreate(CUgraph *ret, unsigned flags);
CUresult cuGraphClone(CUgraph *ret, CUgraph graph);
CUresult cuGraphDestroy(CUgraph graph);
CUresult cuGraphDebugDotPrint(CUgraph graph, const char *path, unsigned flags);
CUresult cuGraphRetainUserObject(CUgraph graph, CUuserObject object, unsigned n, unsigned flags);
CUresult cuGraphReleaseUserObject(CUgraph graph, CUuserObject object, unsigned n);
CUresult cuUserObjectCreate(CUuserObject *ret, void *data, GraphFunction destroy, unsigned n,
                            unsigned flags);
CUresult cuUserObjectRetain(CUuserObject object, unsigned n);
CUresult cuUserObjectRelease(CUuserObject object, unsigned n);

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *n);
CUresult cuGraphGetRootNodes(CUgraph graph, CUgraphNode *nodes, size_t *n);
CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *n);
CUresult cuGraphGetEdges_v2(CUgraph graph, CUgraphNode *from, CUgraphNode *to, GraphEdge *edges,
                            size_t *n);
CUresult cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode *nodes, size_t *n);
CUresult cuGraphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode *nodes, GraphEdge *edges,
                                       size_t *n);
CUresult cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode *nodes, size_t *n);
CUresult cuGraphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode *nodes, GraphEdge *edges,
                                         size_t *n);
CUresult cuGraphAddDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                size_t n);
CUresult cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   const GraphEdge *edges, size_t n);
CUresult cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   size_t n);
CUresult cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                      const GraphEdge *edges, size_t n);
CUresult cuGraphNodeGetType(CUgraphNode node, int *type);
CUresult cuGraphNodeFindInClone(CUgraphNode *ret, CUgraphNode original, CUgraph clone);
CUresult cuGraphDestroyNode(CUgraphNode node);

/* ---- Nodes -------------------------------------------------------------------------------------
 */

CUresult cuGraphAddNode(GRAPH_ADD_, AnyNode *params);
CUresult cuGraphAddNode_v2(CUgraphNode *ret, CUgraph graph, const CUgraphNode *dependencies,
                           const GraphEdge *edges, size_t n_dependencies, AnyNode *params);
CUresult cuGraphNodeSetParams(CUgraphNode node, AnyNode *params);
CUresult cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, AnyNode *params);

CUresult cuGraphAddKernelNode(GRAPH_ADD_, const KernelNodeV1 *params);
CUresult cuGraphAddKernelNode_v2(GRAPH_ADD_, const KernelNode *params);
CUresult cuGraphKernelNodeGetParams(CUgraphNode node, KernelNodeV1 *params);
CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode node, KernelNode *params);
CUresult cuGraphKernelNodeSetParams(CUgraphNode node, const KernelNodeV1 *params);
CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode node, const KernelNode *params);
CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const KernelNodeV1 *params);
CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                           const KernelNode *params);
CUresult cuGraphKernelNodeGetAttribute(CUgraphNode node, int attribute, void *value);
CUresult cuGraphKernelNodeSetAttribute(CUgraphNode node, int attribute, const void *value);
CUresult cuGraphKernelNodeCopyAttributes(CUgraphNode to, CUgraphNode from);

CUresult cuGraphAddMemcpyNode(GRAPH_ADD_, const Copy3D *copy, CUcontext context);
CUresult cuGraphMemcpyNodeGetParams(CUgraphNode node, Copy3D *copy);
CUresult cuGraphMemcpyNodeSetParams(CUgraphNode node, const Copy3D *copy);
CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const Copy3D *copy,
                                        CUcontext context);
CUresult cuGraphAddMemsetNode(GRAPH_ADD_, const SetNode *set, CUcontext context);
CUresult cuGraphMemsetNodeGetParams(CUgraphNode node, SetNode *set);
CUresult cuGraphMemsetNodeSetParams(CUgraphNode node, const SetNode *set);
CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node, const SetNode *set,
                                        CUcontext context);

CUresult cuGraphAddHostNode(GRAPH_ADD_, const HostNode *host);
CUresult cuGraphHostNodeGetParams(CUgraphNode node, HostNode *host);
CUresult cuGraphHostNodeSetParams(CUgraphNode node, const HostNode *host);
CUresult cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node, const HostNode *host);
CUresult cuGraphAddChildGraphNode(GRAPH_ADD_, CUgraph child);
CUresult cuGraphChildGraphNodeGetGraph(CUgraphNode node, CUgraph *child);
CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph child);
CUresult cuGraphAddEmptyNode(GRAPH_ADD_);
CUresult cuGraphAddEventRecordNode(GRAPH_ADD_, CUevent event);
CUresult cuGraphEventRecordNodeGetEvent(CUgraphNode node, CUevent *event);
CUresult cuGraphEventRecordNodeSetEvent(CUgraphNode node, CUevent event);
CUresult cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event);
CUresult cuGraphAddEventWaitNode(GRAPH_ADD_, CUevent event);
CUresult cuGraphEventWaitNodeGetEvent(CUgraphNode node, CUevent *event);
CUresult cuGraphEventWaitNodeSetEvent(CUgraphNode node, CUevent event);
CUresult cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event);
CUresult cuGraphAddMemAllocNode(GRAPH_ADD_, AllocNode *params);
CUresult cuGraphMemAllocNodeGetParams(CUgraphNode node, AllocNode *params);
CUresult cuGraphAddMemFreeNode(GRAPH_ADD_, CUdeviceptr address);
CUresult cuGraphMemFreeNodeGetParams(CUgraphNode node, CUdeviceptr *address);
CUresult cuDeviceGetGraphMemAttribute(CUdevice device, int attribute, void *value);
CUresult cuDeviceSetGraphMemAttribute(CUdevice device, int attribute, void *value);
CUresult cuDeviceGraphMemTrim(CUdevice device);
CUresult cuGraphConditionalHandleCreate(CUgraphConditionalHandle *ret, CUgraph graph,
                                        CUcontext context, unsigned value, unsigned flags);
CUresult cuGraphAddBatchMemOpNode(GRAPH_ADD_, const WordNode *params);
CUresult cuGraphBatchMemOpNodeGetParams(CUgraphNode node, WordNode *params);
CUresult cuGraphBatchMemOpNodeSetParams(CUgraphNode node, const WordNode *params);
CUresult cuGraphExecBatchMemOpNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                            const WordNode *params);

/* ---- Executable graphs -------------------------------------------------------------------------
 */

CUresult cuGraphInstantiate(CUgraphExec *ret, CUgraph graph, CUgraphNode *error_node, char *log,
                            size_t size);
CUresult cuGraphInstantiate_v2(CUgraphExec *ret, CUgraph graph, CUgraphNode *error_node, char *log,
                               size_t size);
CUresult cuGraphInstantiateWithFlags(CUgraphExec *ret, CUgraph graph, unsigned long long flags);
CUresult cuGraphInstantiateWithParams(CUgraphExec *ret, CUgraph graph, GraphInstantiate *params);
CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec *ret, CUgraph graph,
                                           GraphInstantiate *params);
CUresult cuGraphExecDestroy(CUgraphExec exec);
CUresult cuGraphExecGetFlags(CUgraphExec exec, cuuint64_t *flags);
CUresult cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode *error_node, int *result);
CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, GraphUpdate *info);
CUresult cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned is_enabled);
CUresult cuGraphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, unsigned *is_enabled);
CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream);
CUresult cuGraphLaunch_ptsz(CUgraphExec exec, CUstream stream);
CUresult cuGraphUpload(CUgraphExec exec, CUstream stream);
CUresult cuGraphUpload_ptsz(CUgraphExec exec, CUstream stream);

#pragma GCC visibility pop

#endif

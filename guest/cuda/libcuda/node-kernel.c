/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nodes that are kernels: checked, and packed, as launches are. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "graph.h"
#include "launch.h"

/* CUlaunchAttributeID of those that a node has */
enum {
    KERNEL_ACCESS_POLICY = 1,
    KERNEL_COOPERATIVE = 2,
    KERNEL_CLUSTER_DIMENSION = 4,
    KERNEL_CLUSTER_POLICY = 5,
    KERNEL_PRIORITY = 8,
    KERNEL_DOMAIN_MAP = 9,
    KERNEL_DOMAIN = 10,
    KERNEL_PREFERRED_CLUSTER = 11,
    KERNEL_DEVICE_UPDATABLE = 13,
    KERNEL_CARVEOUT = 14,
};

/* ---- To the executor ---------------------------------------------------------------------------
 */

/* The function, in the context that it is of: of a kernel the one of the context that is given, or
 * of the calling thread's. */
static CUresult kernel_of(LibCall *call, const KernelNode *p, LibFunction **ret)
{
    LibContext *current = libcuda_current();
    CUresult r;

    if (!p->function && !p->kernel)
        return CUDA_ERROR_INVALID_VALUE;
    if (current && __atomic_load_n(&current->number, __ATOMIC_ACQUIRE) != 0) {
        call->context = current;
        call->from.context = current->number;
    }
    r = p->function ? CUDA_SUCCESS : graph_in_context(call, p->context);
    if (r == CUDA_SUCCESS)
        r = function_of(call, p->function ? p->function : (CUfunction) p->kernel, ret);
    if (r != CUDA_SUCCESS)
        return r;
    call->context = (*ret)->module->context;
    call->from.context = call->context->number;
    return CUDA_SUCCESS;
}

/* @ret: to be freed with free() */
static CUresult kernel_payload(LibCall *call, const KernelNode *p, unsigned char **ret,
                               size_t *ret_size)
{
    const LaunchConfig config = {
        .grid_x = p->grid_x,
        .grid_y = p->grid_y,
        .grid_z = p->grid_z,
        .block_x = p->block_x,
        .block_y = p->block_y,
        .block_z = p->block_z,
        .shared_bytes = p->shared_bytes,
    };
    LaunchParameters parameters;
    VGPUSessionLaunch launch;
    LibFunction *function;
    CUresult r = kernel_of(call, p, &function);

    if (r == CUDA_SUCCESS)
        r = launch_check(function, &config);
    if (r == CUDA_SUCCESS)
        r = launch_read(function, p->parameters, p->extra, &parameters);
    if (r != CUDA_SUCCESS)
        return r;
    launch = (VGPUSessionLaunch){
        .function = function->number,
        .grid = {p->grid_x, p->grid_y, p->grid_z},
        .block = {p->block_x, p->block_y, p->block_z},
        .shared_bytes = p->shared_bytes,
        .parameters_size = function->info->parameters_size,
    };
    *ret_size = sizeof(launch) + launch.parameters_size;
    *ret = calloc(1, *ret_size);
    if (!*ret)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(*ret, &launch, sizeof(launch));
    launch_pack(function->info, &parameters, *ret + sizeof(launch));
    return CUDA_SUCCESS;
}

CUresult kernel_node_add(NodePlace *place, const KernelNode *p, LibNode **ret)
{
    const VGPUSessionNode what = {.type = NODE_KERNEL};
    CLEANUP_FREE unsigned char *payload = NULL;
    size_t size;
    CUresult r;

    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    r = kernel_payload(&place->call, p, &payload, &size);
    if (r == CUDA_SUCCESS)
        r = node_add(place, &what, payload, size, ret);
    if (r == CUDA_SUCCESS)
        (*ret)->kernel = p->function ? NULL : p->kernel;
    return r;
}

CUresult kernel_node_set(NodeTarget *target, const KernelNode *p)
{
    const VGPUSessionNode what = {0};
    CLEANUP_FREE unsigned char *payload = NULL;
    size_t size;
    CUresult r;

    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    r = kernel_payload(&target->call, p, &payload, &size);
    if (r == CUDA_SUCCESS)
        r = node_set(target, &what, payload, size);
    if (r == CUDA_SUCCESS && !target->exec)
        target->node->kernel = p->function ? NULL : p->kernel;
    return r;
}

/* ---- From the executor -------------------------------------------------------------------------
 */

static bool function_has_number(const void *object, uint32_t number)
{
    const LibFunction *function = object;

    return function->number == number;
}

/* What a node is, with its attributes and parameters behind */
typedef struct KernelShown {
    VGPUSessionLaunch launch;
    unsigned char *payload; /* to be freed with free() */
    unsigned char *attributes, *parameters;
} KernelShown;

static CUresult kernel_get(const LibCall *call, const LibNode *node, KernelShown *ret)
{
    VGPUSessionLaunch *launch = &ret->launch;
    size_t size, fixed;
    void *payload;
    CUresult r = node_get(call, node, sizeof(*launch), &payload, &size, NULL);

    if (r != CUDA_SUCCESS)
        return r;
    memcpy(launch, payload, sizeof(*launch));
    fixed = sizeof(*launch) + launch->n_attributes * sizeof(VGPUSessionLaunchAttribute);
    if (launch->n_attributes > VGPU_SESSION_LAUNCH_ATTRIBUTES || size < fixed ||
        size - fixed < launch->parameters_size) {
        free(payload);
        return CUDA_ERROR_UNKNOWN; /* the host lies */
    }
    ret->payload = payload;
    ret->attributes = ret->payload + sizeof(*launch);
    ret->parameters = ret->payload + fixed;
    return CUDA_SUCCESS;
}

/* The program may look at parameters until they change: the node keeps them. */
static CUresult kernel_show(LibNode *node, const LibFunction *function, const KernelShown *shown,
                            void ***ret)
{
    const VGPUSessionFunction *info = function->info;
    const size_t pointers = (info->n_parameters + 1) * sizeof(void *);
    unsigned char *bytes;
    void **each;

    if (info->parameters_size > shown->launch.parameters_size)
        return CUDA_ERROR_UNKNOWN;
    each = malloc(pointers + info->parameters_size);
    if (!each)
        return CUDA_ERROR_OUT_OF_MEMORY;
    bytes = (unsigned char *) each + pointers;
    memcpy(bytes, shown->parameters, info->parameters_size);
    for (uint32_t i = 0; i < info->n_parameters; i++)
        each[i] = bytes + info->parameter[i].offset;
    free(node->shown);
    node->shown = each;
    *ret = info->n_parameters > 0 ? each : NULL;
    return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode handle, KernelNode *p)
{
    LibFunction *function = NULL;
    KernelShown shown;
    void **parameters;
    LibNode *node;
    LibCall call;
    CUresult r = node_enter(handle, NODE_KERNEL, &call, &node);

    if (r == CUDA_SUCCESS && !p)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        r = kernel_get(&call, node, &shown);
    if (r != CUDA_SUCCESS)
        return r;
    function = handle_object(
        HANDLE_FUNCTION, handle_find(HANDLE_FUNCTION, function_has_number, shown.launch.function));
    r = function ? kernel_show(node, function, &shown, &parameters) : CUDA_ERROR_INVALID_HANDLE;
    free(shown.payload);
    if (r != CUDA_SUCCESS)
        return r;
    *p = (KernelNode){
        .function = node->kernel ? NULL : function->handle,
        .grid_x = shown.launch.grid[0],
        .grid_y = shown.launch.grid[1],
        .grid_z = shown.launch.grid[2],
        .block_x = shown.launch.block[0],
        .block_y = shown.launch.block[1],
        .block_z = shown.launch.block[2],
        .shared_bytes = shown.launch.shared_bytes,
        .parameters = parameters,
        .kernel = node->kernel,
        .context = node->kernel ? function->module->context->handle : NULL,
    };
    return CUDA_SUCCESS;
}

/* The old form has no place for a kernel. */
CUresult cuGraphKernelNodeGetParams(CUgraphNode handle, KernelNodeV1 *p)
{
    KernelNode node;
    CUresult r = cuGraphKernelNodeGetParams_v2(handle, &node);

    if (r != CUDA_SUCCESS)
        return r;
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(p, &node, sizeof(*p));
    if (!p->function)
        p->function = (CUfunction) node.kernel;
    return CUDA_SUCCESS;
}

/* ---- Attributes --------------------------------------------------------------------------------
 */

static bool attribute_is_known(int id)
{
    return id == KERNEL_ACCESS_POLICY || id == KERNEL_COOPERATIVE ||
           id == KERNEL_CLUSTER_DIMENSION || id == KERNEL_CLUSTER_POLICY || id == KERNEL_PRIORITY ||
           id == KERNEL_DOMAIN_MAP || id == KERNEL_DOMAIN || id == KERNEL_CARVEOUT;
}

static CUresult attribute_check(int id)
{
    if (attribute_is_known(id))
        return CUDA_SUCCESS;
    if (id != KERNEL_PREFERRED_CLUSTER && id != KERNEL_DEVICE_UPDATABLE)
        return CUDA_ERROR_INVALID_VALUE;
    libcuda_log("attribute %d of kernel nodes is not served", id);
    return CUDA_ERROR_NOT_SUPPORTED;
}

static VGPUSessionLaunchAttribute attribute_read(const KernelShown *shown, uint32_t i)
{
    VGPUSessionLaunchAttribute attribute;

    memcpy(&attribute, shown->attributes + i * sizeof(attribute), sizeof(attribute));
    return attribute;
}

/* An attribute that is not told is 0. */
CUresult cuGraphKernelNodeGetAttribute(CUgraphNode handle, int id, void *value)
{
    KernelShown shown;
    LibNode *node;
    LibCall call;
    CUresult r = node_enter(handle, NODE_KERNEL, &call, &node);

    if (r == CUDA_SUCCESS)
        r = value ? attribute_check(id) : CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        r = kernel_get(&call, node, &shown);
    if (r != CUDA_SUCCESS)
        return r;
    memset(value, 0, sizeof(((LaunchAttribute *) NULL)->value));
    for (uint32_t i = 0; i < shown.launch.n_attributes; i++) {
        const VGPUSessionLaunchAttribute attribute = attribute_read(&shown, i);

        if (attribute.id == (uint32_t) id)
            memcpy(value, attribute.value, sizeof(attribute.value));
    }
    free(shown.payload);
    return CUDA_SUCCESS;
}

/* The node stays what it is, with other attributes. */
static CUresult attributes_set(const NodeTarget *target, const VGPUSessionLaunchAttribute *all,
                               uint32_t n)
{
    const VGPUSessionNode what = {0};
    const size_t attributes = n * sizeof(*all);
    CLEANUP_FREE unsigned char *payload = NULL;
    KernelShown shown;
    CUresult r = kernel_get(&target->call, target->node, &shown);

    if (r != CUDA_SUCCESS)
        return r;
    payload = malloc(sizeof(shown.launch) + attributes + shown.launch.parameters_size);
    if (payload) {
        shown.launch.n_attributes = n;
        memcpy(payload, &shown.launch, sizeof(shown.launch));
        memcpy(payload + sizeof(shown.launch), all, attributes);
        memcpy(payload + sizeof(shown.launch) + attributes, shown.parameters,
               shown.launch.parameters_size);
    }
    free(shown.payload);
    return payload ? node_set(target, &what, payload,
                              sizeof(shown.launch) + attributes + shown.launch.parameters_size)
                   : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuGraphKernelNodeSetAttribute(CUgraphNode handle, int id, const void *value)
{
    VGPUSessionLaunchAttribute attribute = {.id = (uint32_t) id};
    NodeTarget target;
    CUresult r = node_target(handle, NODE_KERNEL, &target);

    if (r == CUDA_SUCCESS)
        r = value ? attribute_check(id) : CUDA_ERROR_INVALID_VALUE;
    if (r != CUDA_SUCCESS)
        return r;
    memcpy(attribute.value, value, sizeof(attribute.value));
    return attributes_set(&target, &attribute, 1);
}

/* Those that @from does not have, @to has no more. */
CUresult cuGraphKernelNodeCopyAttributes(CUgraphNode to, CUgraphNode from)
{
    static const int ids[] = {
        KERNEL_ACCESS_POLICY,  KERNEL_COOPERATIVE, KERNEL_CLUSTER_DIMENSION,
        KERNEL_CLUSTER_POLICY, KERNEL_PRIORITY,    KERNEL_DOMAIN_MAP,
        KERNEL_DOMAIN,         KERNEL_CARVEOUT,
    };
    VGPUSessionLaunchAttribute all[VGPU_SESSION_LAUNCH_ATTRIBUTES];
    KernelShown a, b;
    NodeTarget target;
    LibNode *node;
    LibCall call;
    uint32_t n = 0;
    CUresult r = node_target(to, NODE_KERNEL, &target);

    if (r == CUDA_SUCCESS)
        r = node_enter(from, NODE_KERNEL, &call, &node);
    if (r == CUDA_SUCCESS)
        r = kernel_get(&call, node, &a);
    if (r != CUDA_SUCCESS)
        return r;
    r = kernel_get(&target.call, target.node, &b);
    if (r == CUDA_SUCCESS) {
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
            VGPUSessionLaunchAttribute attribute = {.id = (uint32_t) ids[i]};
            bool is_there = false;

            for (uint32_t j = 0; j < a.launch.n_attributes; j++)
                if (attribute_read(&a, j).id == attribute.id) {
                    attribute = attribute_read(&a, j);
                    is_there = true;
                }
            for (uint32_t j = 0; j < b.launch.n_attributes; j++)
                is_there = is_there || attribute_read(&b, j).id == attribute.id;
            if (is_there)
                all[n++] = attribute;
        }
        free(b.payload);
    }
    free(a.payload);
    return r == CUDA_SUCCESS && n > 0 ? attributes_set(&target, all, n) : r;
}

/* ---- The functions -----------------------------------------------------------------------------
 */

static KernelNode kernel_from_v1(const KernelNodeV1 *p)
{
    KernelNode node = {0};

    memcpy(&node, p, sizeof(*p));
    return node;
}

CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode node, const KernelNode *p)
{
    NodeTarget target;
    CUresult r = node_target(node, NODE_KERNEL, &target);

    return r == CUDA_SUCCESS ? kernel_node_set(&target, p) : r;
}

CUresult cuGraphKernelNodeSetParams(CUgraphNode node, const KernelNodeV1 *p)
{
    return cuGraphKernelNodeSetParams_v2(node,
                                         p ? &(const KernelNode[]){kernel_from_v1(p)}[0] : NULL);
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node, const KernelNode *p)
{
    NodeTarget target;
    CUresult r = node_target_exec(exec, node, NODE_KERNEL, &target);

    return r == CUDA_SUCCESS ? kernel_node_set(&target, p) : r;
}

CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node, const KernelNodeV1 *p)
{
    return cuGraphExecKernelNodeSetParams_v2(
        exec, node, p ? &(const KernelNode[]){kernel_from_v1(p)}[0] : NULL);
}

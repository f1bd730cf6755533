/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kernels in graphs. What a launch is checked for, these are, by the same functions. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "session-launch.h"
#include "session-local.h"
#include "session-node.h"

/* CUlaunchAttributeID, of which a node has any; NODE_GET gives back those that are not 0 */
static const int kernel_attributes[] = {
    1,  /* access policy window */
    2,  /* cooperative */
    4,  /* cluster dimension */
    5,  /* cluster scheduling policy */
    8,  /* priority */
    9,  /* domain map */
    10, /* domain */
    14, /* preferred shared memory carveout */
};

#define KERNEL_ATTRIBUTES (sizeof(kernel_attributes) / sizeof(kernel_attributes[0]))
_Static_assert(KERNEL_ATTRIBUTES <= VGPU_SESSION_LAUNCH_ATTRIBUTES, "all of them have room");

static CUresult kernel_set_attributes(Session *s, CUgraphNode node, const CUlaunchConfig *config)
{
    CUresult r = CUDA_SUCCESS;

    for (unsigned i = 0; r == CUDA_SUCCESS && i < config->n_attributes; i++)
        r = session_driver(s)->kernel_node_set_attribute(node, config->attributes[i].id,
                                                         config->attributes[i].value);
    return r;
}

static CUresult kernel_give(Session *s, SessionNodeCall *c, const CudaKernelNode *node,
                            const CUlaunchConfig *config)
{
    const CudaSessionDriver *d = session_driver(s);
    CUresult r;

    if (c->use == SESSION_NODE_EXEC_SET)
        return d->kernel_node_exec_set(c->exec->exec, c->node->handle, node);
    if (c->use == SESSION_NODE_SET) {
        r = d->kernel_node_set(c->node->handle, node);
        return r == CUDA_SUCCESS ? kernel_set_attributes(s, c->node->handle, config) : r;
    }
    r = d->kernel_node_add(&c->made.handle, c->graph->graph, c->dependencies, c->n_dependencies,
                           node);
    if (r != CUDA_SUCCESS)
        return r;
    r = kernel_set_attributes(s, c->made.handle, config);
    if (r != CUDA_SUCCESS)
        (void) d->graph_destroy_node(c->made.handle);
    return r;
}

/* Points the driver to the parameters, where they are in the copy of the record. */
static CUresult kernel_make(Session *s, SessionNodeCall *c, const SessionFunction *f,
                            const CUlaunchConfig *config, unsigned char *parameters)
{
    CLEANUP_FREE void **params = calloc(f->n_parameters + 1, sizeof(void *));
    const CudaKernelNode node = {
        .function = f->handle,
        .grid_x = config->grid_x,
        .grid_y = config->grid_y,
        .grid_z = config->grid_z,
        .block_x = config->block_x,
        .block_y = config->block_y,
        .block_z = config->block_z,
        .shared_bytes = config->shared_bytes,
        .params = params,
    };
    CUresult r;

    if (!params)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < f->n_parameters; i++)
        params[i] = parameters + f->parameter[i].offset;
    r = session_uses_add_object(&c->graph->uses, f->module);
    if (r == CUDA_SUCCESS && c->exec)
        r = session_uses_add_object(&c->exec->uses, f->module);
    /* Once it is in a graph nobody looks at it again. */
    if (r == CUDA_SUCCESS)
        r = session_local_charge(s, f);
    return r == CUDA_SUCCESS ? kernel_give(s, c, &node, config) : r;
}

/* Attributes of a node name no events: there they are edges. */
static bool kernel_has_events(const CUlaunchConfig *config)
{
    for (unsigned i = 0; i < config->n_attributes; i++)
        if (config->attributes[i].id == SESSION_LAUNCH_PROGRAMMATIC_EVENT ||
            config->attributes[i].id == SESSION_LAUNCH_COMPLETION_EVENT)
            return true;
    return false;
}

CUresult session_node_make_kernel(Session *s, SessionNodeCall *c)
{
    CUlaunchAttribute attributes[SESSION_LAUNCH_ATTRIBUTES];
    SessionCall launch = *c->call;
    CUlaunchConfig config;
    VGPUSessionLaunch p;
    const SessionFunction *f;
    unsigned char *parameters;
    CUresult r;

    if (c->payload_size < sizeof(p))
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&p, c->payload, sizeof(p));
    launch.parameters = &p;
    launch.more = c->payload + sizeof(p);
    launch.more_size = c->payload_size - (uint32_t) sizeof(p);
    if (p.stream != 0 || (p.flags & ~SESSION_LAUNCH_COOPERATIVE) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = session_launch_config(s, &launch, &config, attributes);
    if (r == CUDA_SUCCESS)
        r = session_launch_function(s, &launch, &f, &parameters);
    if (r != CUDA_SUCCESS)
        return r;
    if (p.flags & SESSION_LAUNCH_COOPERATIVE)
        session_launch_add_cooperative(&config);
    if (kernel_has_events(&config) || (c->use == SESSION_NODE_EXEC_SET && config.n_attributes > 0))
        return CUDA_ERROR_INVALID_VALUE;
    return kernel_make(s, c, f, &config, parameters);
}

/* ---- Asking -----------------------------------------------------------------------------------
 */

static bool kernel_is_zero(const CUlaunchAttribute *attribute)
{
    static const unsigned char zero[sizeof(attribute->value)];

    return memcmp(attribute->value, zero, sizeof(zero)) == 0;
}

static uint32_t kernel_get_attributes(Session *s, CUgraphNode node, unsigned char *at)
{
    uint32_t n = 0;

    for (size_t i = 0; i < KERNEL_ATTRIBUTES; i++) {
        VGPUSessionLaunchAttribute out = {.id = (uint32_t) kernel_attributes[i]};
        CUlaunchAttribute attribute = {0};

        /* A driver may not know each of them. */
        if (session_driver(s)->kernel_node_get_attribute(node, kernel_attributes[i],
                                                         attribute.value) != CUDA_SUCCESS ||
            kernel_is_zero(&attribute))
            continue;
        memcpy(out.value, attribute.value, sizeof(out.value));
        memcpy(at + n++ * sizeof(out), &out, sizeof(out));
    }
    return n;
}

/* The driver has them one by one, or as one block: as they were given. */
static bool kernel_get_parameters(const CudaKernelNode *node, const SessionFunction *f,
                                  unsigned char *at)
{
    const void *block = NULL;
    size_t size = 0;

    for (uint32_t i = 0; node->params && i < f->n_parameters; i++)
        memcpy(at + f->parameter[i].offset, node->params[i], f->parameter[i].size);
    if (node->params || f->parameters_size == 0)
        return true;
    for (void **extra = node->extra; extra && *extra != SESSION_LAUNCH_PARAM_END; extra += 2) {
        if (*extra == SESSION_LAUNCH_PARAM_POINTER)
            block = extra[1];
        else if (*extra == SESSION_LAUNCH_PARAM_SIZE)
            size = *(const size_t *) extra[1];
    }
    if (!block || size < f->parameters_size)
        return false;
    memcpy(at, block, f->parameters_size);
    return true;
}

CUresult session_node_get_kernel(Session *s, const SessionNode *node, SessionCall *call,
                                 unsigned char *into, uint64_t room)
{
    CudaKernelNode kernel = {0};
    CLEANUP_FREE unsigned char *payload = NULL;
    VGPUSessionLaunch p = {0};
    const SessionFunction *f;
    size_t size;
    CUresult r = session_driver(s)->kernel_node_get(node->handle, &kernel);

    if (r != CUDA_SUCCESS)
        return r;
    f = session_function_of(session_store(s), kernel.function);
    if (!f)
        return CUDA_ERROR_INVALID_HANDLE;
    payload = calloc(1, sizeof(p) + KERNEL_ATTRIBUTES * sizeof(VGPUSessionLaunchAttribute) +
                            f->parameters_size);
    if (!payload)
        return CUDA_ERROR_OUT_OF_MEMORY;
    p = (VGPUSessionLaunch){
        .function = f->id,
        .grid = {kernel.grid_x, kernel.grid_y, kernel.grid_z},
        .block = {kernel.block_x, kernel.block_y, kernel.block_z},
        .shared_bytes = kernel.shared_bytes,
        .n_attributes = kernel_get_attributes(s, node->handle, payload + sizeof(p)),
        .parameters_size = f->parameters_size,
    };
    memcpy(payload, &p, sizeof(p));
    size = sizeof(p) + p.n_attributes * sizeof(VGPUSessionLaunchAttribute);
    if (!kernel_get_parameters(&kernel, f, payload + size))
        return CUDA_ERROR_NOT_SUPPORTED;
    size += f->parameters_size;
    call->value[1] = size;
    if (into)
        memcpy(into, payload, size < room ? size : room);
    return CUDA_SUCCESS;
}

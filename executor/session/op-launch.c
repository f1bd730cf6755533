/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LAUNCH is the operation of which there are most: it allocates nothing. */
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "session-captures.h"
#include "session-launch.h"
#include "session-local.h"

/* A function with more parameters is given them as one block. */
#define LAUNCH_POINTERS 64u

/* How often the end of a launch is looked for, which may wait for room in the driver's queues */
#define LAUNCH_PAUSE_NSEC (20 * NSEC_PER_USEC)

/* CUlaunchAttributeID. Those left out speak of streams and graphs, or hold addresses that the
 * driver writes to. */
enum {
    LAUNCH_IGNORE = 0,
    LAUNCH_ACCESS_POLICY_WINDOW = 1,
    LAUNCH_COOPERATIVE_ATTRIBUTE = 2,
    LAUNCH_CLUSTER_DIMENSION = 4,
    LAUNCH_CLUSTER_SCHEDULING_POLICY = 5,
    LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION = 6,
    LAUNCH_PROGRAMMATIC_EVENT = SESSION_LAUNCH_PROGRAMMATIC_EVENT, /* begins with an event */
    LAUNCH_PRIORITY = 8,
    LAUNCH_MEM_SYNC_DOMAIN_MAP = 9,
    LAUNCH_MEM_SYNC_DOMAIN = 10,
    LAUNCH_PREFERRED_CLUSTER_DIMENSION = 11,
    LAUNCH_COMPLETION_EVENT = SESSION_LAUNCH_COMPLETION_EVENT, /* begins with an event */
    LAUNCH_PREFERRED_SHARED_MEMORY_CARVEOUT = 14,
};

/* ---- Without a lock
 * ------------------------------------------------------------------------------
 */

void session_launch_open(Session *s)
{
    s->launches_lock = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) < 0;
}

/* Returns whether it has taken the handles' lock, which captures need for what they name. */
static bool launch_begin(Session *s)
{
    const bool is_locked = s->launches_lock || s->captures.n > 0;

    if (is_locked)
        pthread_mutex_lock(&s->store->handles);
    __atomic_store_n(&s->launch_number, s->launch_number + 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* for the processor, membarrier() does the same */
    return is_locked;
}

static void launch_end(Session *s, bool is_locked)
{
    __atomic_store_n(&s->launch_number, s->launch_number + 1, __ATOMIC_RELEASE);
    if (is_locked)
        pthread_mutex_unlock(&s->store->handles);
}

void session_launch_settle(Session *s)
{
    const struct timespec pause = {.tv_nsec = LAUNCH_PAUSE_NSEC};
    uint64_t number;

    if (s->launches_lock)
        return;
    (void) syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    number = __atomic_load_n(&s->launch_number, __ATOMIC_ACQUIRE);
    while (number % 2 != 0 && __atomic_load_n(&s->launch_number, __ATOMIC_ACQUIRE) == number)
        (void) nanosleep(&pause, NULL);
}

/* ---- The operation
 * -------------------------------------------------------------------------------
 */

static CUresult launch_attribute(Session *s, const VGPUSessionLaunchAttribute *from,
                                 CUlaunchAttribute *ret)
{
    void *event;
    uint32_t id;
    CUresult result;

    ret->id = (int) from->id;
    memset(ret->pad, 0, sizeof(ret->pad));
    memcpy(ret->value, from->value, sizeof(ret->value));
    switch (from->id) {
    case LAUNCH_IGNORE:
    case LAUNCH_ACCESS_POLICY_WINDOW:
    case LAUNCH_COOPERATIVE_ATTRIBUTE:
    case LAUNCH_CLUSTER_DIMENSION:
    case LAUNCH_CLUSTER_SCHEDULING_POLICY:
    case LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION:
    case LAUNCH_PRIORITY:
    case LAUNCH_MEM_SYNC_DOMAIN_MAP:
    case LAUNCH_MEM_SYNC_DOMAIN:
    case LAUNCH_PREFERRED_CLUSTER_DIMENSION:
    case LAUNCH_PREFERRED_SHARED_MEMORY_CARVEOUT:
        return CUDA_SUCCESS;
    case LAUNCH_PROGRAMMATIC_EVENT:
    case LAUNCH_COMPLETION_EVENT:
        memcpy(&id, from->value, sizeof(id));
        result = session_find(s, SESSION_EVENT, id, &event);
        if (result == CUDA_SUCCESS)
            memcpy(ret->value, &event, sizeof(event));
        return result;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult session_launch_config(Session *s, const SessionCall *call, CUlaunchConfig *ret,
                               CUlaunchAttribute *attributes)
{
    const VGPUSessionLaunch *p = call->parameters;

    if (p->n_attributes > VGPU_SESSION_LAUNCH_ATTRIBUTES ||
        p->n_attributes * sizeof(VGPUSessionLaunchAttribute) > call->more_size)
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; i < p->n_attributes; i++) {
        VGPUSessionLaunchAttribute attribute;
        CUresult result;

        memcpy(&attribute, call->more + i * sizeof(attribute), sizeof(attribute));
        result = launch_attribute(s, &attribute, &attributes[i]);
        if (result != CUDA_SUCCESS)
            return result;
    }
    *ret = (CUlaunchConfig){
        .grid_x = p->grid[0],
        .grid_y = p->grid[1],
        .grid_z = p->grid[2],
        .block_x = p->block[0],
        .block_y = p->block[1],
        .block_z = p->block[2],
        .shared_bytes = p->shared_bytes,
        .attributes = attributes,
        .n_attributes = p->n_attributes,
    };
    return CUDA_SUCCESS;
}

void session_launch_add_cooperative(CUlaunchConfig *config)
{
    CUlaunchAttribute *attribute = &config->attributes[config->n_attributes++];
    const int yes = 1;

    *attribute = (CUlaunchAttribute){.id = LAUNCH_COOPERATIVE_ATTRIBUTE};
    memcpy(attribute->value, &yes, sizeof(yes));
}

static CUresult launch_give(Session *s, const VGPUSessionLaunch *p, const SessionFunction *f,
                            CUlaunchConfig *config, void **params, void **extra)
{
    const CudaSessionDriver *driver = &s->driver;

    if (p->flags & SESSION_LAUNCH_COOPERATIVE)
        session_launch_add_cooperative(config);
    if (config->n_attributes > 0)
        return driver->launch_kernel_ex(config, f->handle, params, extra);
    return driver->base.launch_kernel(f->handle, p->grid[0], p->grid[1], p->grid[2], p->block[0],
                                      p->block[1], p->block[2], p->shared_bytes, config->stream,
                                      params, extra);
}

/* Points the driver to the parameters, where they are in the copy of the record. */
static CUresult launch_with(Session *s, const VGPUSessionLaunch *p, const SessionFunction *f,
                            CUlaunchConfig *config, unsigned char *parameters)
{
    void *params[LAUNCH_POINTERS];
    size_t size = f->parameters_size;
    void *extra[] = {SESSION_LAUNCH_PARAM_POINTER, parameters, SESSION_LAUNCH_PARAM_SIZE, &size,
                     SESSION_LAUNCH_PARAM_END};

    if (f->n_parameters > LAUNCH_POINTERS)
        return launch_give(s, p, f, config, NULL, extra);
    for (uint32_t i = 0; i < f->n_parameters; i++)
        params[i] = parameters + f->parameter[i].offset;
    return launch_give(s, p, f, config, params, NULL);
}

CUresult session_launch_function(Session *s, const SessionCall *call, const SessionFunction **ret,
                                 unsigned char **ret_parameters)
{
    const VGPUSessionLaunch *p = call->parameters;
    const size_t at = p->n_attributes * sizeof(VGPUSessionLaunchAttribute);
    const SessionFunction *f;

    f = session_table_find(&s->tables[SESSION_FUNCTION], p->function);
    if (!f)
        return CUDA_ERROR_INVALID_HANDLE;
    if (p->parameters_size != f->parameters_size || p->parameters_size > call->more_size - at)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = f;
    *ret_parameters = (unsigned char *) call->more + at;
    return CUDA_SUCCESS;
}

/* What a launch that is captured names: its module, and events. */
static CUresult launch_captured(Session *s, const SessionCall *call, const SessionFunction *f)
{
    const VGPUSessionLaunch *p = call->parameters;
    CUresult result = session_captures_module(s, f->module);

    for (uint32_t i = 0; result == CUDA_SUCCESS && i < p->n_attributes; i++) {
        VGPUSessionLaunchAttribute attribute;
        uint32_t id;
        void *event;

        memcpy(&attribute, call->more + i * sizeof(attribute), sizeof(attribute));
        if (attribute.id != LAUNCH_PROGRAMMATIC_EVENT && attribute.id != LAUNCH_COMPLETION_EVENT)
            continue;
        memcpy(&id, attribute.value, sizeof(id));
        result = session_find(s, SESSION_EVENT, id, &event);
        if (result == CUDA_SUCCESS)
            result = session_captures_event(s, event, id);
    }
    return result;
}

/* Between launch_begin() and launch_end() */
static CUresult launch_kept(Session *s, const SessionCall *call, CUlaunchConfig *config)
{
    const VGPUSessionLaunch *p = call->parameters;
    unsigned char *parameters;
    const SessionFunction *f;
    CUresult result;

    result = session_launch_function(s, call, &f, &parameters);
    if (result == CUDA_SUCCESS)
        result = session_find_stream(s, p->stream, &config->stream);
    if (result == CUDA_SUCCESS && session_thread()->captures)
        result = launch_captured(s, call, f);
    if (result == CUDA_SUCCESS)
        result = session_local_charge(s, f);
    return result == CUDA_SUCCESS ? launch_with(s, p, f, config, parameters) : result;
}

CUresult session_op_LAUNCH(Session *s, SessionCall *call)
{
    const VGPUSessionLaunch *p = call->parameters;
    CUlaunchAttribute attributes[SESSION_LAUNCH_ATTRIBUTES];
    CUlaunchConfig config;
    CUresult result;
    bool is_locked;

    if (p->flags & ~SESSION_LAUNCH_COOPERATIVE)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_launch_config(s, call, &config, attributes);
    if (result != CUDA_SUCCESS)
        return result;
    is_locked = launch_begin(s);
    result = launch_kept(s, call, &config);
    launch_end(s, is_locked);
    if (result == CUDA_SUCCESS)
        session_count(&s->control->launches, 1);
    return result;
}

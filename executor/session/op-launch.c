/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LAUNCH is the operation of which there are most: it allocates nothing. */
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "session-launch.h"
#include "session-store.h"

/* LAUNCH's flags */
#define LAUNCH_COOPERATIVE 0x1u

/* A function with more parameters is given them as one block. */
#define LAUNCH_POINTERS 64u

/* What cuLaunchKernel() reads from `extra` */
#define LAUNCH_PARAM_END ((void *) 0)
#define LAUNCH_PARAM_BUFFER_POINTER ((void *) 1)
#define LAUNCH_PARAM_BUFFER_SIZE ((void *) 2)

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
    LAUNCH_PROGRAMMATIC_EVENT = 7, /* begins with an event */
    LAUNCH_PRIORITY = 8,
    LAUNCH_MEM_SYNC_DOMAIN_MAP = 9,
    LAUNCH_MEM_SYNC_DOMAIN = 10,
    LAUNCH_PREFERRED_CLUSTER_DIMENSION = 11,
    LAUNCH_COMPLETION_EVENT = 12, /* begins with an event */
    LAUNCH_PREFERRED_SHARED_MEMORY_CARVEOUT = 14,
};

/* ---- Without a lock
 * ------------------------------------------------------------------------------
 */

void session_launch_open(Session *s)
{
    s->launches_lock = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) < 0;
}

static void launch_begin(Session *s)
{
    if (s->launches_lock)
        pthread_mutex_lock(&s->store->handles);
    __atomic_store_n(&s->launch_number, s->launch_number + 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* for the processor, membarrier() does the same */
}

static void launch_end(Session *s)
{
    __atomic_store_n(&s->launch_number, s->launch_number + 1, __ATOMIC_RELEASE);
    if (s->launches_lock)
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

static void launch_add_cooperative(CUlaunchConfig *config)
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

    if (p->flags & LAUNCH_COOPERATIVE)
        launch_add_cooperative(config);
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
    void *extra[] = {LAUNCH_PARAM_BUFFER_POINTER, parameters, LAUNCH_PARAM_BUFFER_SIZE, &size,
                     LAUNCH_PARAM_END};

    if (f->n_parameters > LAUNCH_POINTERS)
        return launch_give(s, p, f, config, NULL, extra);
    for (uint32_t i = 0; i < f->n_parameters; i++)
        params[i] = parameters + f->parameter[i].offset;
    return launch_give(s, p, f, config, params, NULL);
}

/* Between launch_begin() and launch_end() */
static CUresult launch_function(Session *s, const SessionCall *call, CUlaunchConfig *config)
{
    const VGPUSessionLaunch *p = call->parameters;
    const size_t at = p->n_attributes * sizeof(VGPUSessionLaunchAttribute);
    const SessionFunction *f;
    CUresult result;

    f = session_table_find(&s->tables[SESSION_FUNCTION], p->function);
    if (!f)
        return CUDA_ERROR_INVALID_HANDLE;
    if (p->parameters_size != f->parameters_size || p->parameters_size > call->more_size - at)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_find_stream(s, p->stream, &config->stream);
    if (result != CUDA_SUCCESS)
        return result;
    return launch_with(s, p, f, config, (unsigned char *) call->more + at);
}

CUresult session_op_LAUNCH(Session *s, SessionCall *call)
{
    const VGPUSessionLaunch *p = call->parameters;
    CUlaunchAttribute attributes[SESSION_LAUNCH_ATTRIBUTES];
    CUlaunchConfig config;
    CUresult result;

    if (p->flags & ~LAUNCH_COOPERATIVE)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_launch_config(s, call, &config, attributes);
    if (result != CUDA_SUCCESS)
        return result;
    launch_begin(s);
    result = launch_function(s, call, &config);
    launch_end(s);
    if (result == CUDA_SUCCESS)
        session_count(&s->control->launches, 1);
    return result;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-capture.h"
#include "fake-memory.h"
#include "fake-module.h"
#include "fake-queue.h"

#include <stdlib.h>
#include <string.h>

/* Local memory: bytes of a thread that every context has, and threads of the device */
#define FAKE_LOCAL_FREE 1024
#define FAKE_THREADS (2048u * FAKE_MULTIPROCESSORS)

enum { LAUNCH_PARAM_END = 0, LAUNCH_PARAM_POINTER = 1, LAUNCH_PARAM_SIZE = 2 };

size_t fake_kernel_parameters_size(const FakeKernel *k)
{
    const FakeParameter *last;

    if (k->n_parameters == 0)
        return 0;
    last = &k->parameters[k->n_parameters - 1];
    return last->offset + last->size;
}

FakeLaunch fake_launch_new(const FakeKernel *kernel, const void *parameters, size_t size)
{
    FakeLaunch l = {.kernel = kernel, .parameters = malloc(size + 1), .parameters_size = size};

    if (!l.parameters)
        abort();
    memcpy(l.parameters, parameters, size);
    return l;
}

/* Packs what the caller gives in one way or the other. Returns whether it is as the kernel needs
 * it. */
static bool pack(const FakeKernel *k, void **params, void **extra, unsigned char *packed)
{
    size_t size = fake_kernel_parameters_size(k);
    const void *buffer = NULL;
    const size_t *given = NULL;

    if (params && extra)
        return false;
    for (size_t i = 0; params && i < k->n_parameters; i++)
        memcpy(packed + k->parameters[i].offset, params[i], k->parameters[i].size);
    if (params || size == 0)
        return true;

    for (size_t i = 0; extra && (intptr_t) extra[i] != LAUNCH_PARAM_END; i += 2) {
        if ((intptr_t) extra[i] == LAUNCH_PARAM_POINTER)
            buffer = extra[i + 1];
        else if ((intptr_t) extra[i] == LAUNCH_PARAM_SIZE)
            given = extra[i + 1];
        else
            return false;
    }
    if (!buffer || !given || *given < size)
        return false;
    memcpy(packed, buffer, size);
    return true;
}

/* What the manual says of any launch */
static CUresult check(const struct CUfunc_st *f, const CUlaunchConfig *c)
{
    const FakeKernel *k = f->kernel;

    if (c->grid_x == 0 || c->grid_x > INT32_MAX || c->grid_y == 0 || c->grid_y > 65535 ||
        c->grid_z == 0 || c->grid_z > 65535 || c->block_x == 0 || c->block_y == 0 ||
        c->block_z == 0 || c->block_x > FAKE_THREADS_MAX || c->block_y > FAKE_THREADS_MAX ||
        c->block_z > 64 || c->block_x * c->block_y * c->block_z > fake_function_threads_max(f) ||
        c->shared_bytes > (unsigned) f->max_dynamic_shared)
        return fake_refuse("cuLaunchKernel: %s, %u by %u by %u blocks", k->name, c->grid_x,
                           c->grid_y, c->grid_z);
    return CUDA_SUCCESS;
}

static CUresult check_cluster(const struct CUfunc_st *f, const CUlaunchConfig *c)
{
    const CUlaunchAttribute *a = c->attributes;
    unsigned dimension[3], size;

    for (unsigned i = 0; i < c->n_attributes; i++) {
        if (a[i].id != FAKE_LAUNCH_CLUSTER)
            continue;
        CUresult r = fake_function_clusters(f, c, &size);

        if (r != CUDA_SUCCESS)
            return r;
        memcpy(dimension, a[i].value, sizeof(dimension));
        if (c->grid_x % dimension[0] || c->grid_y % dimension[1] || c->grid_z % dimension[2])
            return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

static CUresult check_cooperative(const struct CUfunc_st *f, const CUlaunchConfig *c,
                                  const CUlaunchAttribute *a)
{
    uint64_t blocks = (uint64_t) c->grid_x * c->grid_y * c->grid_z;
    int each = fake_function_blocks(f, c->block_x * c->block_y * c->block_z, c->shared_bytes), on;

    memcpy(&on, a->value, sizeof(on));
    if (on && blocks > (uint64_t) each * FAKE_MULTIPROCESSORS)
        return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
    return CUDA_SUCCESS;
}

static bool is_event(int id)
{
    return id == FAKE_LAUNCH_PROGRAMMATIC_EVENT || id == FAKE_LAUNCH_COMPLETION_EVENT;
}

static CUresult check_attributes(const struct CUfunc_st *f, const CUlaunchConfig *c)
{
    for (unsigned i = 0; i < c->n_attributes; i++) {
        const CUlaunchAttribute *a = &c->attributes[i];
        CUresult r = CUDA_SUCCESS;
        CUevent event;

        if (a->id < 0 || a->id >= FAKE_LAUNCH_ATTRIBUTES)
            return CUDA_ERROR_INVALID_VALUE;
        if (is_event(a->id)) {
            memcpy(&event, a->value, sizeof(event));
            fake_object_check(event, FAKE_KIND_EVENT, "launch attribute");
        }
        if (a->id == FAKE_LAUNCH_COOPERATIVE)
            r = check_cooperative(f, c, a);
        if (r != CUDA_SUCCESS)
            return r;
    }
    return check_cluster(f, c);
}

/* By which port of the kernel a captured event leaves */
static CudaEdgeData event_edge(const CUlaunchAttribute *a)
{
    struct {
        CUevent event;
        int flags, trigger_at_block_start;
    } value;

    memcpy(&value, a->value, sizeof(value));
    if (a->id == FAKE_LAUNCH_COMPLETION_EVENT)
        return (CudaEdgeData){.from_port = CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER};
    return (CudaEdgeData){
        .from_port = value.trigger_at_block_start ? CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER
                                                  : CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC,
        .type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC,
    };
}

/* Events that a launch records are recorded when the kernel ends. */
static CUresult record_events(const CUlaunchConfig *c, CUstream s)
{
    for (unsigned i = 0; i < c->n_attributes; i++) {
        FakeWork w = {.kind = FAKE_WORK_RECORD};
        CUresult r;

        if (!is_event(c->attributes[i].id))
            continue;
        memcpy(&w.event.event, c->attributes[i].value, sizeof(w.event.event));
        if (s->capture) {
            fake_capture_record(s, w.event.event, event_edge(&c->attributes[i]));
            continue;
        }
        w.event.event->references++;
        r = fake_submit(s, &w);
        if (r != CUDA_SUCCESS)
            return r;
    }
    return CUDA_SUCCESS;
}

static bool is_programmatic(const CUlaunchConfig *c)
{
    int on = 0;

    for (unsigned i = 0; i < c->n_attributes; i++)
        if (c->attributes[i].id == FAKE_LAUNCH_PROGRAMMATIC)
            memcpy(&on, c->attributes[i].value, sizeof(on));
    return on != 0;
}

/* The context has it from now on, until it ends. */
static CUresult grow_local(const struct CUfunc_st *f)
{
    CUcontext c = f->object.context;
    int has = c->local_bytes > FAKE_LOCAL_FREE ? c->local_bytes : FAKE_LOCAL_FREE;

    if (f->kernel->local_bytes <= has)
        return CUDA_SUCCESS;
    if (!fake_total_take(c->device, (uint64_t) (f->kernel->local_bytes - has) * FAKE_THREADS))
        return CUDA_ERROR_OUT_OF_MEMORY;
    c->local_bytes = f->kernel->local_bytes;
    return CUDA_SUCCESS;
}

void fake_local_end(CUcontext c)
{
    if (c->local_bytes > FAKE_LOCAL_FREE)
        fake_total_give(c->device, (uint64_t) (c->local_bytes - FAKE_LOCAL_FREE) * FAKE_THREADS);
    c->local_bytes = 0;
}

CUresult fake_launch_make(const CUlaunchConfig *c, CUfunction f, void **params, void **extra,
                          const char *what, FakeWork *ret)
{
    CUresult r;

    fake_object_check(f, FAKE_KIND_FUNCTION, what);
    r = check(f, c);
    if (r == CUDA_SUCCESS)
        r = check_attributes(f, c);
    if (r == CUDA_SUCCESS)
        r = grow_local(f);
    if (r != CUDA_SUCCESS)
        return r;

    *ret = (FakeWork){.kind = FAKE_WORK_KERNEL};
    ret->launch = (FakeLaunch){
        .kernel = f->kernel,
        .function = f,
        .module = f->module,
        .context = f->object.context,
        .grid = {c->grid_x, c->grid_y, c->grid_z},
        .block = {c->block_x, c->block_y, c->block_z},
        .shared_bytes = c->shared_bytes,
        .parameters_size = fake_kernel_parameters_size(f->kernel),
        .is_programmatic = is_programmatic(c),
    };
    ret->launch.parameters = calloc(1, ret->launch.parameters_size + 1);
    if (!ret->launch.parameters)
        abort();
    if (!pack(f->kernel, params, extra, ret->launch.parameters)) {
        free(ret->launch.parameters);
        return fake_refuse("%s: %s: not the parameters it has", what, f->kernel->name);
    }
    return CUDA_SUCCESS;
}

static CUresult launch(const CUlaunchConfig *c, CUfunction f, void **params, void **extra,
                       const char *what)
{
    FAKE_LOCKED();

    CUstream s = fake_stream_get(c->stream, what);
    FakeWork w;
    CUresult r;

    fake_object_check(f, FAKE_KIND_FUNCTION, what);
    if (f->object.context != s->object.context)
        return CUDA_ERROR_INVALID_HANDLE;
    r = fake_launch_make(c, f, params, extra, what, &w);
    if (r != CUDA_SUCCESS)
        return r;
    if (f->kernel->builtin)
        fake_builtin_prepare(&w.launch);
    r = fake_submit(s, &w);
    if (r == CUDA_SUCCESS && s->capture)
        fake_capture_attributes(s, c);
    return r != CUDA_SUCCESS ? r : record_events(c, s);
}

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                        CUstream stream, void **params, void **extra)
{
    const CUlaunchConfig c = {
        .grid_x = grid_x,
        .grid_y = grid_y,
        .grid_z = grid_z,
        .block_x = block_x,
        .block_y = block_y,
        .block_z = block_z,
        .shared_bytes = shared_bytes,
        .stream = stream,
    };

    ENTER(FAKE_CONTEXT);
    return launch(&c, function, params, extra, __func__);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **params,
                          void **extra)
{
    ENTER_SESSION(FAKE_CONTEXT);
    return launch(config, function, params, extra, __func__);
}

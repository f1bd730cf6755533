/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-memory.h"
#include "fake-queue.h"

#include <stdlib.h>

static CUcontext primaries[FAKE_DEVICES_MAX];
static unsigned primary_flags[FAKE_DEVICES_MAX];
static _Thread_local CUcontext current;

/* Stack of a thread, printf's buffer, heap, depth, launches pending, fetch, cache kept: bytes or
 * numbers, by CUlimit */
static const size_t default_limits[FAKE_LIMITS] = {1024, 1 << 20, 8 << 20, 2, 2048, 128, 0};

CUcontext fake_context(void)
{
    return current;
}

bool fake_has_device(CUdevice device)
{
    const Plan *plan = fake_plan();

    return device >= plan->first_device && device - plan->first_device < plan->devices;
}

void fake_check_device(CUdevice device, const char *function)
{
    if (!fake_has_device(device))
        fake_misuse("%s: no device %d", function, device);
}

static CUcontext context_new(CUdevice device, unsigned flags)
{
    CUcontext c = fake_object_new(FAKE_KIND_CONTEXT, NULL, sizeof(*c));

    c->device = device;
    c->flags = flags;
    for (size_t i = 0; i < FAKE_LIMITS; i++)
        c->limits[i] = default_limits[i];
    return c;
}

/* With all that it has */
static void context_end(CUcontext c)
{
    fake_streams_end(c);
    fake_graphs_end(c);
    fake_events_end(c);
    fake_modules_end(c);
    fake_links_end(c);
    fake_textures_end(c);
    fake_arrays_end(c);
    fake_memory_end(c);
    fake_physicals_end(c);
    fake_print_end(c);
    fake_local_end(c);
    if (current == c)
        current = NULL;
    fake_object_end(c);
}

void fake_contexts_stop(void)
{
    for (CUcontext c; (c = fake_object_any(FAKE_KIND_CONTEXT, NULL));)
        context_end(c);
}

/* ---- The driver's functions ------------------------------------------------------ */

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags)
{
    ENTER_NUMBER(FAKE_INIT, flags);
    fake_check_device(device, __func__);

    FAKE_LOCKED();
    primary_flags[device] = flags;
    if (primaries[device])
        primaries[device]->flags = flags;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    ENTER(FAKE_INIT);
    fake_check_device(device, __func__);

    FAKE_LOCKED();
    if (!primaries[device]) {
        primaries[device] = context_new(device, primary_flags[device]);
        primaries[device]->primary = true;
    }
    primaries[device]->references++;
    *context = primaries[device];
    return CUDA_SUCCESS;
}

/* What the executor's own operations use, they give back; a guest's may be left. */
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    ENTER(FAKE_INIT);
    fake_check_device(device, __func__);

    FAKE_LOCKED();
    CUcontext c = primaries[device];

    if (!c)
        fake_misuse("cuDevicePrimaryCtxRelease_v2: not retained");
    if (--c->references > 0)
        return CUDA_SUCCESS;
    if (!fake_is_session() && (fake_memory_is_left(c) || fake_object_any(FAKE_KIND_STREAM, c) ||
                               fake_object_any(FAKE_KIND_MODULE, c)))
        fake_misuse("cuDevicePrimaryCtxRelease_v2: a stream, memory or module is left");
    primaries[device] = NULL;
    context_end(c);
    return CUDA_SUCCESS;
}

CUresult cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device)
{
    ENTER_SESSION(FAKE_INIT);
    fake_check_device(device, __func__);
    /* CU_CTX_SCHED_*, MAP_HOST, LMEM_RESIZE_TO_MAX, COREDUMP_*, SYNC_MEMOPS */
    if (flags & ~0xffu)
        return CUDA_ERROR_INVALID_VALUE;

    FAKE_LOCKED();
    *context = current = context_new(device, flags);
    return CUDA_SUCCESS;
}

CUresult cuCtxDestroy_v2(CUcontext context)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(context, FAKE_KIND_CONTEXT, __func__);
    if (context->primary)
        return CUDA_ERROR_INVALID_CONTEXT;
    context_end(context);
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context)
{
    ENTER(FAKE_INIT);
    FAKE_LOCKED();

    if (context)
        fake_object_check(context, FAKE_KIND_CONTEXT, __func__);
    current = context;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetLimit(size_t *value, int limit)
{
    ENTER_SESSION(FAKE_CONTEXT);
    if (limit < 0 || limit >= (int) FAKE_LIMITS)
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    *value = current->limits[limit];
    return CUDA_SUCCESS;
}

CUresult cuCtxSetLimit(int limit, size_t value)
{
    ENTER_SESSION(FAKE_CONTEXT);
    if (limit < 0 || limit >= (int) FAKE_LIMITS)
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    if (value > fake_total())
        return CUDA_ERROR_INVALID_VALUE;
    current->limits[limit] = value;
    return CUDA_SUCCESS;
}

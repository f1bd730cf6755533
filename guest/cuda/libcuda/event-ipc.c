/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events that processes share. The executors of two processes have no event in common: so a record
 * of such an event waits until it has come, in whichever process that is. Whoever waits for the
 * event after the record has returned, in another process too, has nothing to wait for.
 */
#include <string.h>

#include "cuda-api-memory.h"
#include "event.h"

/* What stands in a handle: that it is one */
static const char event_mark_of_handles[] = "vgpu: an event of processes";

CUresult cuIpcGetEventHandle(IpcEventHandle *ret, CUevent handle)
{
    LibEvent *event;
    LibCall call;
    CUresult r = event_of(handle, &call, &event);

    if (r != CUDA_SUCCESS)
        return r;
    if (!ret || !(event->flags & EVENT_INTERPROCESS))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (IpcEventHandle){0};
    memcpy(ret->bytes, event_mark_of_handles, sizeof(event_mark_of_handles));
    return CUDA_SUCCESS;
}

CUresult cuIpcOpenEventHandle(CUevent *ret, IpcEventHandle handle)
{
    if (!ret || memcmp(handle.bytes, event_mark_of_handles, sizeof(event_mark_of_handles)) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    return cuEventCreate(ret, EVENT_INTERPROCESS | EVENT_DISABLE_TIMING);
}

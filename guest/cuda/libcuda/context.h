/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device and its contexts, for each other. */
#ifndef VGPU_LIBCUDA_CONTEXT_H
#define VGPU_LIBCUDA_CONTEXT_H

#include "libcuda.h"

/* device_hide_what_is_not_served() - attributes of what no program may rely on here are as on a
 * device that lacks it */
void device_hide_what_is_not_served(VGPUSessionDevice *device);

/* device_is() - is that the number of a device? */
static inline bool device_is(CUdevice device)
{
    return device == 0;
}

/* device_check() - what a function of the device returns, or CUDA_SUCCESS for an argument that may
 * be used */
CUresult device_check(const void *ret, CUdevice device);

/* context_create() - a context of a program's own, current from then on. @api_version: what
 * cuCtxGetApiVersion() tells of it */
CUresult context_create(CUcontext *ret, unsigned flags, CUdevice device, unsigned api_version);

/* context_events_before() - a new stream waits for what its context waits for */
CUresult context_events_before(const LibCall *call, const LibStream *stream);

/* context_events_drop() - a context ends */
void context_events_drop(vgpu_session *s, LibContext *c);

/* storage_drop() - context-local storage: a context ends; calls the destructors */
void storage_drop(LibContext *c);

#endif

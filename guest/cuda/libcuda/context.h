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

/* storage_drop() - context-local storage: a context ends; calls the destructors */
void storage_drop(LibContext *c);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the runtime and other libraries keep for each context (an export table has the functions).
 */
#ifndef VGPU_LIBCUDA_CONTEXT_STORAGE_H
#define VGPU_LIBCUDA_CONTEXT_STORAGE_H

#include "libcuda.h"

/* Called when the context ends, with what was put */
typedef void (*StorageEnd)(CUcontext context, void *key, void *value);

/* storage_put(), storage_get(), storage_delete() - @context: NULL or all ones is the thread's own.
 * Return CUDA_SUCCESS; _INVALID_CONTEXT; get and delete also _INVALID_HANDLE for a key that has
 * nothing */
CUresult storage_put(CUcontext context, void *key, void *value, StorageEnd end);
CUresult storage_get(void **ret, CUcontext context, void *key);
CUresult storage_delete(CUcontext context, void *key);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module of "vgpu run", and its kernel. */
#ifndef VGPU_GUEST_RUN_MODULE_H
#define VGPU_GUEST_RUN_MODULE_H

#include "cuda-client.h"

/* All print a message unless they return 0, and return an exit code. */

/* run_module_load() - load an image; what the driver's compiler says of an error is printed, too
 * @image: @size bytes, and a 0 behind them
 * @name: of its file */
int run_module_load(vgpu_session *s, const vgpu_session_from *from, const uint8_t *image,
                    size_t size, const char *name, uint32_t *ret_module);

/* run_module_find() - a kernel of it; where there is none of this name, those that there are are
 * printed
 * @ret: to be freed with free() */
int run_module_find(vgpu_session *s, const vgpu_session_from *from, uint32_t module,
                    const char *name, uint32_t *ret_id, VGPUSessionFunction **ret);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a module takes of the session's quota of device memory: its variables, constants and code.
 *
 * Most images say what that is (image-facts.h). Then it is charged before the driver is asked, and
 * an image that is too large never comes to the device. Of the others, which no compiler makes by
 * itself, the driver's own figures before and after say what it was: then what the driver needs
 * once in a context, some 90 MiB, is charged with the context's first module, and one that is too
 * large is unloaded again.
 */
#ifndef VGPU_SESSION_MODULE_MEMORY_H
#define VGPU_SESSION_MODULE_MEMORY_H

#include "session-store.h"

/* One loading */
typedef struct ModuleMemory {
    bool known;
    uint64_t charge;    /* bytes that are charged */
    uint64_t had, used; /* before, where it is not known: by the driver, and of the quota */
} ModuleMemory;

/* module_memory_begin() - before the driver loads the image. Returns CUDA_SUCCESS, _OUT_OF_MEMORY
 * above the quota, or what the driver says. On failure there is nothing to undo. On the SLOW
 * thread, as the others */
CUresult module_memory_begin(Session *s, const SessionCall *call, const ImageFacts *facts,
                             ModuleMemory *ret);

/* module_memory_abort() - it was not loaded */
void module_memory_abort(Session *s, const ModuleMemory *m);

/* module_memory_end() - it was. @ret_charge: to be given back when it is unloaded. Returns as the
 * first; on failure nothing is charged, and the caller unloads the module. */
CUresult module_memory_end(Session *s, ModuleMemory *m, uint64_t *ret_charge);

#endif

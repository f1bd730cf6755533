/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables of functions that NVIDIA's runtime and libraries ask cuGetExportTable() for. None is
 * documented by NVIDIA; what each function is to do is known from programs that are published, and
 * from what the runtime makes of the answers:
 *
 *   ZLUDA (github.com/vosen/ZLUDA, dark_api/), MIT or Apache-2.0
 *   Lupine (github.com/lupinemachines/lupine, cuda_client.cpp), Apache-2.0
 *
 * A table is an array of words: its size in bytes, and functions. A function that nobody is known
 * to call refuses; none is NULL.
 */
#ifndef VGPU_LIBCUDA_EXPORT_TABLES_H
#define VGPU_LIBCUDA_EXPORT_TABLES_H

#include "libcuda.h"

typedef union ExportWord {
    size_t size;
    int (*function)(void);
    const void *pointer;
} ExportWord;

/* export_refuse() - what is in the slots of functions that are not served */
int export_refuse(void);

/* A function of whatever type in a table */
#define EXPORT_FUNCTION(f)            \
    {                                 \
        .pointer = (const void *) (f) \
    }
#define EXPORT_REFUSED            \
    {                             \
        .function = export_refuse \
    }

extern const ExportWord export_runtime[];    /* export-runtime.c: modules, the primary context */
extern const ExportWord export_callbacks[];  /* export-tools.c: callbacks of tools */
extern const ExportWord export_thread[];     /* export-tools.c: the thread's context */
extern const ExportWord export_checks[];     /* export-tools.c: checks of a context */
extern const ExportWord export_storage[];    /* export-storage.c */
extern const ExportWord export_context[];    /* export-tools.c: what tools ask of a context */
extern const ExportWord export_module[];     /* export-tools.c: what tools ask of a module */
extern const ExportWord export_refused_17[]; /* export-tools.c */
extern const ExportWord export_handshake[];  /* export-handshake.c; not in every build */

#endif

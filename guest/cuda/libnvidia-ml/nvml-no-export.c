/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Instead of nvml-export.c, in a library that has no table for nvidia-smi. */
#include "nvml-library.h"

nvmlReturn_t nvmlInternalGetExportTable(const void **table, const void *id)
{
    static bool is_told;

    (void) table, (void) id;
    return nvml_refuse("nvmlInternalGetExportTable", NVML_ERROR_NOT_SUPPORTED, &is_told);
}

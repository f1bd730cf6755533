/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Context-local storage. This table has no size; it ends with NULL. */
#include "context-storage.h"
#include "export-tables.h"

const ExportWord export_storage[4] = {
    EXPORT_FUNCTION(storage_put),
    EXPORT_FUNCTION(storage_delete),
    EXPORT_FUNCTION(storage_get),
    {.pointer = NULL},
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cuGetProcAddress: from a name and a version to a function of this library. */
#include <stdlib.h>
#include <string.h>

#include "libcuda.h"
#include "proc-table.h"

/* CUdriverProcAddress_flags, CUdriverProcAddressQueryResult */
enum {
    PROC_DEFAULT = 0,
    PROC_LEGACY_STREAM = 1,
    PROC_PER_THREAD_STREAM = 2,
    PROC_FOUND = 0,
    PROC_NOT_FOUND = 1,
    PROC_VERSION_TOO_OLD = 2,
};

static int proc_compare(const void *key, const void *row)
{
    return strcasecmp(key, ((const ProcRow *) row)->base);
}

/* The first row of a name; NULL for a name that nobody has */
static const ProcRow *proc_first(const char *name)
{
    const ProcRow *row =
        bsearch(name, proc_table, proc_table_n, sizeof(proc_table[0]), proc_compare);

    while (row && row > proc_table && strcmp(row[-1].base, row->base) == 0)
        row--;
    return row && strcmp(row->base, name) == 0 ? row : NULL;
}

/* Where there is a function for the thread's stream, that is it; else the one for all. */
static bool proc_fits(const ProcRow *row, uint64_t flags)
{
    switch (row->streams) {
    case PROC_STREAMS_ANY:
        return true;
    case PROC_STREAMS_LEGACY:
        return flags != PROC_PER_THREAD_STREAM;
    case PROC_STREAMS_PER_THREAD:
        return flags == PROC_PER_THREAD_STREAM;
    default:
        return false;
    }
}

static int proc_find(const char *name, int version, uint64_t flags, void **ret)
{
    const ProcRow *first = proc_first(name), *best = NULL;
    bool has_newer = false;

    for (const ProcRow *row = first;
         row && row < proc_table + proc_table_n && strcmp(row->base, name) == 0; row++) {
        if (!proc_fits(row, flags))
            continue;
        if (row->since <= version)
            best = row;
        else
            has_newer = true;
    }
    if (!best)
        return has_newer ? PROC_VERSION_TOO_OLD : PROC_NOT_FOUND;
    *ret = (void *) best->function;
    return PROC_FOUND;
}

CUresult cuGetProcAddress_v2(const char *name, void **ret, int version, cuuint64_t flags,
                             int *ret_status)
{
    void *function = NULL;
    int status;

    if (!name || !ret || flags > PROC_PER_THREAD_STREAM || version > libcuda_version())
        return CUDA_ERROR_INVALID_VALUE;
    status = proc_find(name, version, flags, &function);
    *ret = function;
    if (ret_status)
        *ret_status = status;
    return CUDA_SUCCESS;
}

CUresult cuGetProcAddress(const char *name, void **ret, int version, cuuint64_t flags)
{
    void *function;

    if (!name || !ret || flags > PROC_PER_THREAD_STREAM || version > libcuda_version())
        return CUDA_ERROR_INVALID_VALUE;
    if (proc_find(name, version, flags, &function) != PROC_FOUND)
        return CUDA_ERROR_NOT_FOUND;
    *ret = function;
    return CUDA_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What profilers and debuggers would be told. None can look into the executor: so these say what
 * the driver says where there is none. */
#include <string.h>

#include "cuda-api-streams.h"
#include "libcuda.h"

CUresult cuProfilerStart(void)
{
    LibCall call;

    return libcuda_enter_context(&call);
}

CUresult cuProfilerStop(void)
{
    LibCall call;

    return libcuda_enter_context(&call);
}

/* ---- Core dumps of the device ------------------------------------------------------------------
 *
 * They would be files of the executor's, which has none: nothing is dumped, and nothing that asks
 * for it is accepted.
 */

/* CUcoredumpSettings */
enum {
    COREDUMP_ENABLE = 1,
    COREDUMP_TRIGGER_HOST = 2,
    COREDUMP_LIGHTWEIGHT = 3,
    COREDUMP_USER_TRIGGER = 4,
    COREDUMP_FILE = 5,
    COREDUMP_PIPE = 6,
    COREDUMP_FLAGS = 7,
};

/* What an attribute is: 0 bytes for one that is none */
static size_t coredump_value(int attribute, const void **ret)
{
    static const bool no = false, yes = true;
    static const int flags = 0;

    switch (attribute) {
    case COREDUMP_ENABLE:
    case COREDUMP_LIGHTWEIGHT:
    case COREDUMP_USER_TRIGGER:
        *ret = &no;
        return sizeof(no);
    case COREDUMP_TRIGGER_HOST:
        *ret = &yes;
        return sizeof(yes);
    case COREDUMP_FILE:
    case COREDUMP_PIPE:
        *ret = "";
        return 1;
    case COREDUMP_FLAGS:
        *ret = &flags;
        return sizeof(flags);
    default:
        return 0;
    }
}

/* Without a place for the value: how large that has to be */
static CUresult coredump_get(int attribute, void *value, size_t *size)
{
    const void *from;
    const size_t bytes = coredump_value(attribute, &from);

    if (!size || bytes == 0 || (value && *size < bytes))
        return CUDA_ERROR_INVALID_VALUE;
    if (value)
        memcpy(value, from, bytes);
    *size = bytes;
    return CUDA_SUCCESS;
}

static CUresult coredump_set(int attribute, const void *value, const size_t *size)
{
    const void *now;
    const size_t bytes = coredump_value(attribute, &now);

    if (!value || !size || bytes == 0 || *size < bytes)
        return CUDA_ERROR_INVALID_VALUE;
    return memcmp(value, now, bytes) == 0 ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

CUresult cuCoredumpGetAttribute(int attribute, void *value, size_t *size)
{
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    return r == CUDA_SUCCESS ? coredump_get(attribute, value, size) : r;
}

CUresult cuCoredumpSetAttribute(int attribute, void *value, size_t *size)
{
    LibCall call;
    CUresult r = libcuda_enter_context(&call);

    return r == CUDA_SUCCESS ? coredump_set(attribute, value, size) : r;
}

CUresult cuCoredumpGetAttributeGlobal(int attribute, void *value, size_t *size)
{
    LibCall call;
    CUresult r = libcuda_enter(&call);

    return r == CUDA_SUCCESS ? coredump_get(attribute, value, size) : r;
}

CUresult cuCoredumpSetAttributeGlobal(int attribute, void *value, size_t *size)
{
    LibCall call;
    CUresult r = libcuda_enter(&call);

    return r == CUDA_SUCCESS ? coredump_set(attribute, value, size) : r;
}

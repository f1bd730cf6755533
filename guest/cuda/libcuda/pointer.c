/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a pointer is: answered from the map of all memory that CUDA gave to this process. */
#include <string.h>

#include "memory-map.h"

/* CUpointer_attribute */
enum {
    POINTER_CONTEXT = 1,
    POINTER_MEMORY_TYPE = 2,
    POINTER_DEVICE_POINTER = 3,
    POINTER_HOST_POINTER = 4,
    POINTER_P2P_TOKENS = 5,
    POINTER_SYNC_MEMOPS = 6,
    POINTER_BUFFER_ID = 7,
    POINTER_IS_MANAGED = 8,
    POINTER_DEVICE_ORDINAL = 9,
    POINTER_IS_LEGACY_IPC = 10,
    POINTER_RANGE_START = 11,
    POINTER_RANGE_SIZE = 12,
    POINTER_MAPPED = 13,
    POINTER_HANDLE_TYPES = 14,
    POINTER_IS_GPU_DIRECT = 15,
    POINTER_ACCESS = 16,
    POINTER_MEMPOOL = 17,
    POINTER_MAPPING_SIZE = 18,
    POINTER_MAPPING_BASE = 19,
    POINTER_BLOCK_ID = 20,
    POINTER_HW_DECOMPRESS = 21,
};

#define POINTER_READ_WRITE 3

static CUresult pointer_int(void *to, int value)
{
    memcpy(to, &value, sizeof(value));
    return CUDA_SUCCESS;
}

static CUresult pointer_word(void *to, uint64_t value)
{
    memcpy(to, &value, sizeof(value));
    return CUDA_SUCCESS;
}

/* Types of @to, and what the driver says of each kind of memory: cuPointerGetAttribute() of driver
 * 580. */
static CUresult pointer_answer(void *to, int attribute, uint64_t address, const MemoryPiece *p)
{
    const bool is_device = memory_is_device(p), is_managed = p->kind == MEMORY_MANAGED;

    switch (attribute) {
    case POINTER_CONTEXT:
        return pointer_word(to, (uintptr_t) (p->context ? p->context->handle : NULL));
    case POINTER_MEMORY_TYPE:
        return pointer_int(to, is_device || is_managed ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST);
    case POINTER_DEVICE_POINTER:
        return pointer_word(to, p->device + (address - p->address));
    case POINTER_HOST_POINTER:
        if (is_device)
            return CUDA_ERROR_INVALID_VALUE;
        return pointer_word(to, address);
    case POINTER_SYNC_MEMOPS:
        return pointer_int(to, is_device || is_managed);
    case POINTER_BUFFER_ID:
    case POINTER_BLOCK_ID:
        return pointer_word(to, p->id);
    case POINTER_IS_MANAGED:
        memcpy(to, &is_managed, 1);
        return CUDA_SUCCESS;
    case POINTER_DEVICE_ORDINAL:
        return pointer_int(to, 0);
    case POINTER_IS_LEGACY_IPC:
        return pointer_int(to, p->kind == MEMORY_DEVICE);
    case POINTER_RANGE_START:
    case POINTER_MAPPING_BASE:
        return pointer_word(to, p->address);
    case POINTER_RANGE_SIZE:
    case POINTER_MAPPING_SIZE:
        return pointer_word(to, p->size);
    case POINTER_MAPPED:
        return pointer_int(to, p->kind != MEMORY_RESERVED);
    case POINTER_HANDLE_TYPES:
        return pointer_word(to, 0);
    case POINTER_IS_GPU_DIRECT:
    case POINTER_HW_DECOMPRESS:
        return pointer_int(to, 0);
    case POINTER_ACCESS:
        return pointer_int(to, POINTER_READ_WRITE);
    case POINTER_MEMPOOL:
        return pointer_word(to, (uintptr_t) (p->kind == MEMORY_ASYNC ? p->object : NULL));
    default:
        return attribute == POINTER_P2P_TOKENS ? CUDA_ERROR_NOT_SUPPORTED
                                               : CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuPointerGetAttribute(void *to, int attribute, CUdeviceptr address)
{
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!to || !memory_map_find(address, &piece))
        return CUDA_ERROR_INVALID_VALUE;
    return pointer_answer(to, attribute, address, &piece);
}

/* Of memory that CUDA does not know: success, with nothing in all but the ordinal */
static void pointer_unknown(void *to, int attribute)
{
    if (attribute == POINTER_DEVICE_ORDINAL)
        (void) pointer_int(to, -2);
    else if (attribute == POINTER_MEMORY_TYPE)
        (void) pointer_int(to, 0);
    else if (attribute == POINTER_IS_MANAGED)
        *(char *) to = 0;
    else if (attribute == POINTER_SYNC_MEMOPS || attribute == POINTER_MAPPED ||
             attribute == POINTER_IS_LEGACY_IPC || attribute == POINTER_ACCESS)
        (void) pointer_int(to, 0);
    else
        (void) pointer_word(to, 0);
}

CUresult cuPointerGetAttributes(unsigned n, int *attributes, void **to, CUdeviceptr address)
{
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter(&call);
    bool is_known;

    if (r != CUDA_SUCCESS)
        return r;
    if (n == 0 || !attributes || !to)
        return CUDA_ERROR_INVALID_VALUE;
    is_known = memory_map_find(address, &piece);
    for (unsigned i = 0; i < n; i++)
        if (!is_known || pointer_answer(to[i], attributes[i], address, &piece) != CUDA_SUCCESS)
            pointer_unknown(to[i], attributes[i]);
    return CUDA_SUCCESS;
}

/* CU_POINTER_ATTRIBUTE_SYNC_MEMOPS: copies that this library makes of the memory are in order
 * anyway. */
CUresult cuPointerSetAttribute(const void *value, int attribute, CUdeviceptr address)
{
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    return value && attribute == POINTER_SYNC_MEMOPS && memory_map_find(address, &piece)
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
}

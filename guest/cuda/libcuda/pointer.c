/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a pointer is: answered from the map of all memory that CUDA gave to this process. */
#include <string.h>

#include "cuda-api-memory.h"
#include "physical-memory.h"

/* In which driver 580 maps memory */
#define BLOCK (UINT64_C(2) << 20)
#define POOL_BLOCK (UINT64_C(32) << 20)

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

/* Memory that is of the device, and no context's, has none. */
static CUcontext pointer_context(const MemoryPiece *p)
{
    return p->context && p->kind != MEMORY_ASYNC ? p->context->handle : NULL;
}

static CUresult pointer_host(void *to, uint64_t address, const MemoryPiece *p)
{
    if (memory_is_device(p))
        return CUDA_ERROR_INVALID_VALUE;
    if (p->kind == MEMORY_ALIAS)
        return pointer_word(to, (uintptr_t) p->object + (address - p->address));
    return pointer_word(to, address);
}

static CUresult pointer_device(void *to, uint64_t address, const MemoryPiece *p)
{
    if (!libcuda_current())
        return CUDA_ERROR_INVALID_CONTEXT;
    return pointer_word(to, p->device + (address - p->address));
}

/* Of what is mapped, the range is what was reserved around it. */
static CUresult pointer_range(void *to, int attribute, uint64_t address, const MemoryPiece *p)
{
    MemoryPiece range = *p;

    if (p->kind == MEMORY_MAPPED)
        (void) memory_map_find_reserved(address, &range);
    return pointer_word(to, attribute == POINTER_RANGE_START ? range.address : range.size);
}

/* The device's memory is mapped in blocks, which hold several pieces, and a pool grows by larger
 * ones. What lies in the window begins a block, as far as a program can tell. */
static CUresult pointer_mapping(void *to, int attribute, const MemoryPiece *p)
{
    uint64_t begin = p->address, end = p->address + p->size, block = 1;

    if (p->kind == MEMORY_ASYNC)
        block = POOL_BLOCK;
    else if (p->kind != MEMORY_MAPPED && p->kind != MEMORY_REGISTERED && p->kind != MEMORY_ALIAS)
        block = BLOCK;
    if (memory_is_device(p))
        begin = begin / block * block;
    end = begin + (end - begin + block - 1) / block * block;
    return pointer_word(to, attribute == POINTER_MAPPING_BASE ? begin : end - begin);
}

static int pointer_sync(const MemoryPiece *p)
{
    return p->sync == MEMORY_SYNC_UNSAID ? p->kind == MEMORY_MANAGED : p->sync == MEMORY_SYNC_ON;
}

/* Types of @to, and what the driver says of each kind of memory: cuPointerGetAttribute() of driver
 * 580. */
static CUresult pointer_answer(void *to, int attribute, uint64_t address, const MemoryPiece *p)
{
    const bool is_managed = p->kind == MEMORY_MANAGED;

    switch (attribute) {
    case POINTER_CONTEXT:
        return pointer_word(to, (uintptr_t) pointer_context(p));
    case POINTER_MEMORY_TYPE:
        return pointer_int(to, memory_is_device(p) || is_managed ? CU_MEMORYTYPE_DEVICE
                                                                 : CU_MEMORYTYPE_HOST);
    case POINTER_DEVICE_POINTER:
        return pointer_device(to, address, p);
    case POINTER_HOST_POINTER:
        return pointer_host(to, address, p);
    case POINTER_SYNC_MEMOPS:
        return pointer_int(to, pointer_sync(p));
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
    case POINTER_RANGE_SIZE:
        return pointer_range(to, attribute, address, p);
    case POINTER_MAPPING_BASE:
    case POINTER_MAPPING_SIZE:
        return pointer_mapping(to, attribute, p);
    case POINTER_MAPPED:
        return pointer_int(to, 1);
    case POINTER_HANDLE_TYPES:
        return pointer_word(to, (uint64_t) physical_handle_types(address));
    case POINTER_IS_GPU_DIRECT:
    case POINTER_HW_DECOMPRESS:
        return pointer_int(to, 0);
    case POINTER_ACCESS:
        return pointer_int(to, p->kind == MEMORY_MAPPED ? (int) p->flags : ACCESS_READ_WRITE);
    case POINTER_MEMPOOL:
        return pointer_word(to, (uintptr_t) (p->kind == MEMORY_ASYNC ? p->object : NULL));
    case POINTER_P2P_TOKENS:
        return CUDA_ERROR_NOT_SUPPORTED;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

/* Addresses to which nothing is mapped are none of CUDA's here. */
static bool pointer_find(uint64_t address, MemoryPiece *ret)
{
    return memory_map_find(address, ret) && ret->kind != MEMORY_RESERVED;
}

CUresult cuPointerGetAttribute(void *to, int attribute, CUdeviceptr address)
{
    MemoryPiece piece;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!to || !pointer_find(address, &piece))
        return CUDA_ERROR_INVALID_VALUE;
    return pointer_answer(to, attribute, address, &piece);
}

/* What is no attribute of this memory */
static void pointer_nothing(void *to, int attribute)
{
    if (attribute == POINTER_DEVICE_ORDINAL)
        (void) pointer_int(to, -2);
    else if (attribute == POINTER_MEMORY_TYPE)
        (void) pointer_int(to, 0);
    else if (attribute == POINTER_IS_MANAGED)
        *(char *) to = 0;
    else if (attribute == POINTER_SYNC_MEMOPS || attribute == POINTER_MAPPED ||
             attribute == POINTER_IS_LEGACY_IPC || attribute == POINTER_ACCESS ||
             attribute == POINTER_IS_GPU_DIRECT || attribute == POINTER_HW_DECOMPRESS)
        (void) pointer_int(to, 0);
    else
        (void) pointer_word(to, 0);
}

/* Memory that CUDA does not know is the host's, for all that the driver says. */
static void pointer_unknown(void *to, int attribute, uint64_t address)
{
    if (attribute == POINTER_HOST_POINTER)
        (void) pointer_word(to, address);
    else
        pointer_nothing(to, attribute);
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
    for (unsigned i = 0; i < n; i++)
        if (!to[i] || attributes[i] < POINTER_CONTEXT || attributes[i] > POINTER_HW_DECOMPRESS)
            return CUDA_ERROR_INVALID_VALUE;
    is_known = pointer_find(address, &piece);
    for (unsigned i = 0; i < n; i++)
        if (!is_known)
            pointer_unknown(to[i], attributes[i], address);
        else if (pointer_answer(to[i], attributes[i], address, &piece) != CUDA_SUCCESS)
            pointer_nothing(to[i], attributes[i]);
    return CUDA_SUCCESS;
}

/* Wait for synchronous copies and sets that may still be under way: their context's */
static CUresult pointer_settle(LibCall *call, const MemoryPiece *piece)
{
    call->context = piece->context ? piece->context : libcuda_current();
    if (!call->context)
        return CUDA_SUCCESS;
    call->from.context = __atomic_load_n(&call->context->number, __ATOMIC_ACQUIRE);
    return call->from.context != 0 ? libcuda_context_wait(call) : CUDA_SUCCESS;
}

/* CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, the one that can be set */
CUresult cuPointerSetAttribute(const void *value, int attribute, CUdeviceptr address)
{
    MemoryPiece piece;
    unsigned is_on;
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!value || attribute != POINTER_SYNC_MEMOPS || !memory_map_find(address, &piece))
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&is_on, value, sizeof(is_on));
    if (is_on > 1 || !memory_map_sync(address, is_on ? MEMORY_SYNC_ON : MEMORY_SYNC_OFF))
        return CUDA_ERROR_INVALID_VALUE;
    return is_on ? pointer_settle(&call, &piece) : CUDA_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one device, as programs ask about it: answered from what the session told when it was opened.
 */
#include <stdio.h>
#include <string.h>

#include "context.h"

/* CUdevice_attribute */
enum {
    MAX_PITCH = 11,
    PCI_DOMAIN_ID = 50,
    CAPABILITY_MAJOR = 75,
    CAPABILITY_MINOR = 76,
};

/* Kernels reach the program's memory in the window alone; managed memory lies there and does not
 * move; the host's memory is not mapped, and has no pools; arrays have all their memory from the
 * beginning; processes share neither pools nor events; several devices, graphics and other drivers
 * are not there. */
static const struct {
    int attribute, value;
} device_hidden[] = {
    {84, 0},  /* MULTI_GPU_BOARD */
    {86, 0},  /* HOST_NATIVE_ATOMIC_SUPPORTED */
    {88, 0},  /* PAGEABLE_MEMORY_ACCESS */
    {89, 0},  /* CONCURRENT_MANAGED_ACCESS */
    {91, 0},  /* CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM */
    {99, 0},  /* HOST_REGISTER_SUPPORTED: of some memory, where the system lets it */
    {100, 0}, /* PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES */
    {101, 0}, /* DIRECT_MANAGED_MEM_ACCESS_FROM_HOST */
    {104, 0}, /* HANDLE_TYPE_WIN32_HANDLE_SUPPORTED */
    {105, 0}, /* HANDLE_TYPE_WIN32_KMT_HANDLE_SUPPORTED */
    {110, 0}, /* GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED */
    {112, 0}, /* SPARSE_CUDA_ARRAY_SUPPORTED */
    {113, 0}, /* READ_ONLY_HOST_REGISTER_SUPPORTED */
    {114, 0}, /* TIMELINE_SEMAPHORE_INTEROP_SUPPORTED */
    {116, 0}, /* GPU_DIRECT_RDMA_SUPPORTED */
    {117, 0}, /* GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS */
    {119, 0}, /* MEMPOOL_SUPPORTED_HANDLE_TYPES */
    {121, 0}, /* DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED */
    {124, 0}, /* DMA_BUF_SUPPORTED */
    {128, 0}, /* HANDLE_TYPE_FABRIC_SUPPORTED */
    {129, 0}, /* UNIFIED_FUNCTION_POINTERS */
    {132, 0}, /* MULTICAST_SUPPORTED */
    {136, 0}, /* MEM_DECOMPRESS_ALGORITHM_MASK */
    {137, 0}, /* MEM_DECOMPRESS_MAXIMUM_LENGTH */
    {141, 0}, /* HOST_NUMA_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED */
    {142, 0}, /* HOST_NUMA_MEMORY_POOLS_SUPPORTED */
    {143, 0}, /* HOST_NUMA_MULTINODE_IPC_SUPPORTED */
    {144, 0}, /* HOST_MEMORY_POOLS_SUPPORTED */
    {145, 0}, /* HOST_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED */
    {146, 0}, /* HOST_ALLOC_DMA_BUF_SUPPORTED */
    {147, 0}, /* ONLY_PARTIAL_HOST_NATIVE_ATOMIC_SUPPORTED */
};

void device_hide_what_is_not_served(VGPUSessionDevice *device)
{
    for (size_t i = 0; i < sizeof(device_hidden) / sizeof(device_hidden[0]); i++)
        if (device->attribute[device_hidden[i].attribute].result == 0)
            device->attribute[device_hidden[i].attribute].value = device_hidden[i].value;
}

CUresult device_check(const void *ret, CUdevice device)
{
    if (!libcuda_is_ready())
        return libcuda_unready();
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    return device_is(device) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetCount(int *count)
{
    CUresult r = device_check(count, 0);

    if (r == CUDA_SUCCESS)
        *count = 1;
    return r;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    CUresult r = device_check(device, ordinal);

    if (r == CUDA_SUCCESS)
        *device = ordinal;
    return r;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device)
{
    CUresult r = device_check(name, device);

    if (r != CUDA_SUCCESS)
        return r;
    if (length <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    snprintf(name, (size_t) length, "%s", libcuda_process.device.name);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
    CUresult r = device_check(uuid, device);

    if (r == CUDA_SUCCESS)
        memcpy(uuid->bytes, libcuda_process.device.uuid, sizeof(uuid->bytes));
    return r;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device)
{
    return cuDeviceGetUuid_v2(uuid, device);
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    CUresult r = device_check(bytes, device);

    if (r == CUDA_SUCCESS)
        *bytes = libcuda_process.device.total_memory;
    return r;
}

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device)
{
    const VGPUSessionDevice *d = &libcuda_process.device;
    CUresult r = device_check(value, device);

    if (r != CUDA_SUCCESS)
        return r;
    if (attribute < 1 || (uint32_t) attribute >= d->n_attributes ||
        (unsigned) attribute >= VGPU_SESSION_ATTRIBUTES)
        return CUDA_ERROR_INVALID_VALUE;
    if (d->attribute[attribute].result != 0)
        return d->attribute[attribute].result;
    *value = d->attribute[attribute].value;
    return CUDA_SUCCESS;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device)
{
    CUresult r = cuDeviceGetAttribute(major, CAPABILITY_MAJOR, device);

    return r == CUDA_SUCCESS ? cuDeviceGetAttribute(minor, CAPABILITY_MINOR, device) : r;
}

CUresult cuDeviceGetPCIBusId(char *id, int length, CUdevice device)
{
    const LibProcess *p = &libcuda_process;
    CUresult r = device_check(id, device);

    if (r != CUDA_SUCCESS)
        return r;
    return snprintf(id, length > 0 ? (size_t) length : 0, "%04X:%02X:%02X.0",
                    (unsigned) p->pci_domain, (unsigned) p->pci_bus,
                    (unsigned) p->pci_device) < length
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetByPCIBusId(CUdevice *device, const char *id)
{
    const LibProcess *p = &libcuda_process;
    unsigned domain = 0, bus, number, function = 0;
    CUresult r = device_check(device, 0);

    if (r != CUDA_SUCCESS)
        return r;
    if (!id || (sscanf(id, "%x:%x:%x.%x", &domain, &bus, &number, &function) < 3 &&
                (domain = 0, sscanf(id, "%x:%x.%x", &bus, &number, &function)) < 2))
        return CUDA_ERROR_INVALID_VALUE;
    if ((int) domain != p->pci_domain || (int) bus != p->pci_bus || (int) number != p->pci_device ||
        function != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    *device = 0;
    return CUDA_SUCCESS;
}

/* A device is no peer of its own. */
CUresult cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer)
{
    CUresult r = device_check(can, device);

    if (r != CUDA_SUCCESS)
        return r;
    if (!device_is(peer))
        return CUDA_ERROR_INVALID_DEVICE;
    *can = 0;
    return CUDA_SUCCESS;
}

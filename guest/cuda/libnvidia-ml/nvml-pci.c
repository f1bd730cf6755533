/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device on its bus. In a guest that is the device that the guest has: so this, CUDA and sysfs
 * speak of the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nvml-library.h"

/* A number of sysfs; 0 where there is none */
static unsigned pci_read(const nvmlPciInfo_t *pci, const char *name)
{
    char path[96], text[32] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%04x:%02x:%02x.0/%s", pci->domain, pci->bus,
             pci->device, name);
    file = fopen(path, "re");
    if (!file)
        return 0;
    if (!fgets(text, sizeof(text), file))
        text[0] = '\0';
    fclose(file);
    return (unsigned) strtoul(text, NULL, 16);
}

static void pci_describe(const nvml_facts *f, nvmlPciInfo_t *ret)
{
    *ret = (nvmlPciInfo_t){
        .domain = (unsigned) f->device.attribute[ATTRIBUTE_PCI_DOMAIN].value,
        .bus = (unsigned) f->device.attribute[ATTRIBUTE_PCI_BUS].value,
        .device = (unsigned) f->device.attribute[ATTRIBUTE_PCI_DEVICE].value,
    };
    snprintf(ret->busIdLegacy, sizeof(ret->busIdLegacy), "%04X:%02X:%02X.0", ret->domain & 0xffff,
             ret->bus & 0xff, ret->device & 0x1f);
    snprintf(ret->busId, sizeof(ret->busId), "%08X:%02X:%02X.0", ret->domain, ret->bus,
             ret->device);
    ret->pciDeviceId = pci_read(ret, "device") << 16 | pci_read(ret, "vendor");
    ret->pciSubSystemId =
        pci_read(ret, "subsystem_device") << 16 | pci_read(ret, "subsystem_vendor");
}

/* The first @size bytes of it */
static nvmlReturn_t pci_get(nvmlDevice_t device, nvmlPciInfo_t *pci, size_t size)
{
    nvmlPciInfo_t info;
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, pci, &f);

    if (r != NVML_SUCCESS)
        return r;
    pci_describe(f, &info);
    memcpy(pci, &info, size);
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    return pci_get(device, pci, offsetof(nvmlPciInfo_t, pciSubSystemId));
}

nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    return pci_get(device, pci, offsetof(nvmlPciInfo_t, busId));
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    return pci_get(device, pci, sizeof(*pci));
}

nvmlReturn_t nvmlDeviceGetPciInfoExt(nvmlDevice_t device, nvmlPciInfoExt_t *pci)
{
    nvmlPciInfo_t info;
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, pci, &f);
    unsigned class;

    if (r != NVML_SUCCESS)
        return r;
    if (pci->version != NVML_STRUCT_VERSION(nvmlPciInfoExt_t, 1))
        return nvml_leave(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    pci_describe(f, &info);
    class = pci_read(&info, "class");
    *pci = (nvmlPciInfoExt_t){
        .version = pci->version,
        .domain = info.domain,
        .bus = info.bus,
        .device = info.device,
        .pciDeviceId = info.pciDeviceId,
        .pciSubSystemId = info.pciSubSystemId,
        .baseClass = class >> 16,
        .subClass = class >> 8 & 0xff,
    };
    memcpy(pci->busId, info.busId, sizeof(pci->busId));
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetBusType(nvmlDevice_t device, unsigned *type)
{
    return nvml_answer(device, type, NVML_BUS_TYPE_PCIE);
}

/* What the host's library says of the GPU; 0: nothing */
static nvmlReturn_t pci_link(nvmlDevice_t device, unsigned *ret, size_t member)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, ret, &f);
    uint32_t value;

    if (r != NVML_SUCCESS)
        return r;
    memcpy(&value, (const char *) &f->board + member, sizeof(value));
    if (value == 0)
        return nvml_leave(NVML_ERROR_NOT_SUPPORTED);
    *ret = value;
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned *generation)
{
    return pci_link(device, generation, offsetof(VGPUSessionBoard, pcie_generation));
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t device, unsigned *width)
{
    return pci_link(device, width, offsetof(VGPUSessionBoard, pcie_width));
}

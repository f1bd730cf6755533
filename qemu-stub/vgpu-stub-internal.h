/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device as vgpu-stub.c and vgpu-stub-state.c know it. */
#ifndef VGPU_STUB_INTERNAL_H
#define VGPU_STUB_INTERNAL_H

#include "qom/object.h"
#include "qemu-compat.h"
#include "vgpu-link.h"
#include "vgpu-stub.h"
#include "vgpu-stub-mailbox.h"
#include "vgpu-stub-ring.h"
#include "vgpu-stub-session.h"
#include "vgpu-stub-window.h"

OBJECT_DECLARE_TYPE(VGPUStub, VGPUStubClass, VGPU_STUB)

struct VGPUStubClass {
    PCIDeviceClass parent_class;
    DeviceRealize parent_realize;
};

struct VGPUStub {
    PCIDevice parent_obj;

    MemoryRegion bar0;
    bool has_msix;
    VGPULink link;
    VGPULinkConfig config;
    VGPUMailbox mailbox;
    VGPUWindow window;
    VGPURing ring;
    VGPUSessions sessions;

    /* Properties as given */
    char *pool_id;
    char *priority;

    /* Guest accesses to the registers since the device was made */
    uint64_t mmio_reads;
    uint64_t mmio_writes;
};

static inline bool vgpu_stub_has_window(const VGPUStub *s)
{
    return s->window.size > 0;
}

/*
 * vgpu_stub_n_vectors() - how many messages MSI-X has: one for the mailbox, and
 * one for each ring
 */
static inline unsigned vgpu_stub_n_vectors(const VGPUStub *s)
{
    return 1 + s->sessions.rings;
}

/* vgpu_stub_update_irq() - the line is up while anything wants an interrupt */
void vgpu_stub_update_irq(VGPUStub *s);

/* What the device's state is in a stream. */
extern const VMStateDescription vgpu_stub_vmstate;

#endif

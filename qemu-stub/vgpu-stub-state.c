/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of the device is saved when the VM is saved or migrated.
 *
 * The ring's registers are a subsection, so a stream from before there were
 * rings is one of window-size=0. The window is RAM like any other, and a ring
 * that is on is set up with the destination's mediator.
 */

#include "qemu/osdep.h"
#include "hw/pci/msix.h"
#include "migration/vmstate.h"
#include "vgpu-stub-internal.h"

/* VMSTATE_UINT32() with the name that the stream has always had for it */
#define VGPU_VMSTATE_UINT32(_name, _field)                         \
    {                                                              \
        .name = (_name),                                           \
        .size = sizeof(uint32_t),                                  \
        .info = &vmstate_info_uint32,                              \
        .flags = VMS_SINGLE,                                       \
        .offset = vmstate_offset_value(VGPUStub, _field, uint32_t) \
    }

/* QEMU has reset the device before this, so nothing is pending. */
static int vgpu_stub_post_load(void *opaque, int version_id)
{
    VGPUStub *s = opaque;

    if (!vgpu_mailbox_is_valid(&s->mailbox)) {
        return -EINVAL;
    }
    if (vgpu_stub_has_window(s)) {
        int r = vgpu_ring_post_load(&s->ring);

        if (r < 0) {
            return r;
        }
    }
    vgpu_stub_update_irq(s);
    vgpu_mailbox_resume(&s->mailbox);
    return 0;
}

static bool vgpu_stub_ring_needed(void *opaque)
{
    return vgpu_stub_has_window(opaque);
}

static const VMStateDescription vgpu_stub_ring_vmstate = {
    .name = TYPE_VGPU_STUB "/lane", /* in the stream, so it cannot change */
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = vgpu_stub_ring_needed,
    .fields = (VMStateField[]) {
        VMSTATE_MSIX(parent_obj, VGPUStub),
        VMSTATE_UINT64(ring.offset, VGPUStub),
        VMSTATE_UINT32(ring.entries, VGPUStub),
        VMSTATE_UINT32(ring.state, VGPUStub),
        VMSTATE_UINT32(ring.error, VGPUStub),
        VGPU_VMSTATE_UINT32("ring.irq_ctrl", ring.signals.irq_ctrl),
        VGPU_VMSTATE_UINT32("ring.irq_status", ring.signals.irq_status),
        VMSTATE_END_OF_LIST()
    },
};

const VMStateDescription vgpu_stub_vmstate = {
    .name = TYPE_VGPU_STUB,
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = vgpu_stub_post_load,
    .fields = (VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, VGPUStub),
        VMSTATE_UINT32(mailbox.status, VGPUStub),
        VMSTATE_UINT32(mailbox.error_code, VGPUStub),
        VMSTATE_UINT32(mailbox.request_len, VGPUStub),
        VMSTATE_UINT32(mailbox.response_len, VGPUStub),
        VMSTATE_UINT32(mailbox.irq_ctrl, VGPUStub),
        VMSTATE_UINT32(mailbox.irq_status, VGPUStub),
        VMSTATE_UINT32(mailbox.request_id, VGPUStub),
        VMSTATE_UINT32(mailbox.scratch, VGPUStub),
        VMSTATE_UINT64(mailbox.timestamp, VGPUStub),
        VMSTATE_UINT8_ARRAY(mailbox.request, VGPUStub, VGPU_REQUEST_MAX),
        VMSTATE_UINT8_ARRAY(mailbox.response, VGPUStub, VGPU_RESPONSE_MAX),
        VMSTATE_UINT32(mailbox.in_flight.id, VGPUStub),
        VMSTATE_UINT32(mailbox.in_flight.len, VGPUStub),
        VMSTATE_UINT8_ARRAY(mailbox.in_flight.data, VGPUStub, VGPU_REQUEST_MAX),
        VMSTATE_END_OF_LIST()
    },
    .subsections = (const VMStateDescription *[]) {
        &vgpu_stub_ring_vmstate,
        NULL
    },
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of the device is saved when the VM is saved or migrated.
 *
 * The ring's registers are a subsection, so a stream from before there were
 * rings is one of window-size=0. The window is RAM like any other, and a ring
 * that is on is set up with the destination's mediator.
 *
 * Streams and the number of rings
 * -------------------------------
 * A device whose guest uses ring 0 alone makes the stream that a device of
 * rings=1 makes, which is the device from before there were sessions. So both
 * load each other's. For that, the configuration space and the state of MSI-X
 * are in the stream as those of two vectors, however many there are.
 *
 * Once the guest has written to another ring's registers, or to the entry of
 * another vector, there is a second subsection, and only a device with as many
 * rings loads the stream. A reset brings that to an end. A session that is open
 * is never in a stream: a migration blocker stands before that.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "hw/pci/msix.h"
#include "migration/vmstate.h"
#include "vgpu-stub-internal.h"

/* The vectors of a device of rings=1 */
#define BASIC_VECTORS 2

/* VMSTATE_UINT32() with the name that the stream has always had for it */
#define VGPU_VMSTATE_UINT32(_name, _field)                         \
    {                                                              \
        .name = (_name),                                           \
        .size = sizeof(uint32_t),                                  \
        .info = &vmstate_info_uint32,                              \
        .flags = VMS_SINGLE,                                       \
        .offset = vmstate_offset_value(VGPUStub, _field, uint32_t) \
    }

/* ---- Configuration space and MSI-X --------------------------------------- */

/* Says in the configuration space that MSI-X has @n vectors. */
static void vgpu_stub_show_vectors(VGPUStub *s, unsigned n)
{
    PCIDevice *dev = PCI_DEVICE(s);

    if (s->has_msix) {
        uint8_t *flags = dev->config + dev->msix_cap + PCI_MSIX_FLAGS;

        pci_set_word(flags, (pci_get_word(flags) & ~PCI_MSIX_FLAGS_QSIZE) |
                            (n - 1));
    }
}

/* msix_save() and msix_load(), as for a device of two vectors. */
static int vgpu_stub_put_msix(QEMUFile *f, void *pv, size_t size,
                              const VMStateField *field, JSONWriter *vmdesc)
{
    PCIDevice *dev = pv;
    int n = dev->msix_entries_nr;

    dev->msix_entries_nr = MIN(n, BASIC_VECTORS);
    msix_save(dev, f);
    dev->msix_entries_nr = n;
    return 0;
}

static int vgpu_stub_get_msix(QEMUFile *f, void *pv, size_t size,
                              const VMStateField *field)
{
    PCIDevice *dev = pv;
    int n = dev->msix_entries_nr;

    dev->msix_entries_nr = MIN(n, BASIC_VECTORS);
    msix_load(dev, f);
    dev->msix_entries_nr = n;
    return 0;
}

static const VMStateInfo vgpu_stub_msix_info = {
    .name = "msix state",
    .get = vgpu_stub_get_msix,
    .put = vgpu_stub_put_msix,
};

/* What VMSTATE_MSIX() has in the stream */
static const VMStateDescription vgpu_stub_msix_vmstate = {
    .name = "msix",
    .fields = (VMStateField[]) {
        {
            .name = "msix",
            .info = &vgpu_stub_msix_info,
            .flags = VMS_SINGLE,
        },
        VMSTATE_END_OF_LIST()
    },
};

/* Has the guest written to the entry of a vector beyond the basic ones? */
static bool vgpu_stub_vectors_are_used(const VGPUStub *s)
{
    const PCIDevice *dev = &s->parent_obj;

    for (int i = BASIC_VECTORS; s->has_msix && i < dev->msix_entries_nr; i++) {
        const uint8_t *entry = dev->msix_table + i * PCI_MSIX_ENTRY_SIZE;

        if (ldq_le_p(entry + PCI_MSIX_ENTRY_LOWER_ADDR) != 0 ||
            ldl_le_p(entry + PCI_MSIX_ENTRY_DATA) != 0 ||
            ldl_le_p(entry + PCI_MSIX_ENTRY_VECTOR_CTRL) !=
            PCI_MSIX_ENTRY_CTRL_MASKBIT ||
            dev->msix_pba[i / 8] & 1 << i % 8) {
            return true;
        }
    }
    return false;
}

/* ---- The device ---------------------------------------------------------- */

static int vgpu_stub_pre_save(void *opaque)
{
    VGPUStub *s = opaque;

    if (vgpu_sessions_are_open(&s->sessions)) {
        error_report("vgpu-stub %s: a CUDA session is open", s->config.name);
        return -EBUSY;
    }
    vgpu_stub_show_vectors(s, BASIC_VECTORS);
    return 0;
}

static int vgpu_stub_post_save(void *opaque)
{
    VGPUStub *s = opaque;

    vgpu_stub_show_vectors(s, vgpu_stub_n_vectors(s));
    return 0;
}

/*
 * QEMU compares the configuration space with the one in the stream. A VM whose
 * stream does not load is of no use, so nothing is put right then.
 */
static int vgpu_stub_pre_load(void *opaque)
{
    vgpu_stub_show_vectors(opaque, BASIC_VECTORS);
    return 0;
}

/* QEMU has reset the device before this, so nothing is pending. */
static int vgpu_stub_post_load(void *opaque, int version_id)
{
    VGPUStub *s = opaque;

    vgpu_stub_show_vectors(s, vgpu_stub_n_vectors(s));
    if (!vgpu_mailbox_is_valid(&s->mailbox) ||
        !vgpu_sessions_are_valid(&s->sessions)) {
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
        VMSTATE_STRUCT(parent_obj, VGPUStub, 0, vgpu_stub_msix_vmstate,
                       PCIDevice),
        VMSTATE_UINT64(ring.offset, VGPUStub),
        VMSTATE_UINT32(ring.entries, VGPUStub),
        VMSTATE_UINT32(ring.state, VGPUStub),
        VMSTATE_UINT32(ring.error, VGPUStub),
        VGPU_VMSTATE_UINT32("ring.irq_ctrl", ring.signals.irq_ctrl),
        VGPU_VMSTATE_UINT32("ring.irq_status", ring.signals.irq_status),
        VMSTATE_END_OF_LIST()
    },
};

static bool vgpu_stub_sessions_needed(void *opaque)
{
    const VGPUStub *s = opaque;

    return vgpu_stub_has_window(s) && (vgpu_sessions_are_used(&s->sessions) ||
                                       vgpu_stub_vectors_are_used(s));
}

static const VMStateDescription vgpu_stub_session_vmstate = {
    .name = TYPE_VGPU_STUB "/session",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (VMStateField[]) {
        VMSTATE_UINT64(offset, VGPUSession),
        VMSTATE_UINT32(state, VGPUSession),
        VMSTATE_UINT32(error, VGPUSession),
        VMSTATE_UINT32(cuda_result, VGPUSession),
        VMSTATE_UINT32(signals.irq_ctrl, VGPUSession),
        VMSTATE_UINT32(signals.irq_status, VGPUSession),
        VMSTATE_END_OF_LIST()
    },
};

/* The number of rings comes first: the state of MSI-X is as long as that. */
static const VMStateDescription vgpu_stub_sessions_vmstate = {
    .name = TYPE_VGPU_STUB "/sessions",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = vgpu_stub_sessions_needed,
    .fields = (VMStateField[]) {
        VMSTATE_UINT32_EQUAL(sessions.rings, VGPUStub,
                             "a vgpu-stub whose guest has used its sessions is "
                             "for one with as many rings"),
        VMSTATE_MSIX(parent_obj, VGPUStub),
        VMSTATE_STRUCT_ARRAY(sessions.session, VGPUStub, VGPU_RINGS_MAX, 1,
                             vgpu_stub_session_vmstate, VGPUSession),
        VMSTATE_END_OF_LIST()
    },
};

const VMStateDescription vgpu_stub_vmstate = {
    .name = TYPE_VGPU_STUB,
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_save = vgpu_stub_pre_save,
    .post_save = vgpu_stub_post_save,
    .pre_load = vgpu_stub_pre_load,
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
        &vgpu_stub_sessions_vmstate,
        NULL
    },
};

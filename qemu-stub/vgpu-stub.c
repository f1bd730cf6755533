/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpu-stub: the PCI device through which a guest uses the host's GPU.
 *
 * This file is the PCI device: it cuts the guest's accesses into registers,
 * raises interrupts, and ties the parts together. vgpu-stub-mailbox.c keeps the
 * registers of vgpu-protocol.h, vgpu-stub-window.c the data window,
 * vgpu-stub-ring.c ring 0 and the extension block of vgpu-ring.h,
 * vgpu-stub-session.c the other rings, and vgpu-link.c speaks with the mediator
 * for all of them. vgpu-stub-state.c says what is saved when the VM is saved or
 * migrated. With window-size=0 there is neither window nor extension block, and the
 * device is as it was before it had them.
 *
 * Interrupts
 * ----------
 * INTx is a level: IRQ_STATUS & IRQ_CTRL, or the same two registers of a ring. A guest that switches MSI-X on gets a message for each event instead,
 * and need not clear IRQ_STATUS for it.
 *
 * Reset
 * -----
 * System reset, hot reset and function level reset all end in
 * vgpu_stub_reset(): every register takes its power-on value. If a request is
 * pending, the connection is closed with it: its answer may be on its way, and
 * must not be taken for the answer to the next request, whatever REQUEST_ID
 * that has. A connection on which the mediator has the window is closed too.
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "qemu-compat.h"
#include "vgpu-protocol.h"
#include "vgpu-stub-internal.h"

#include <sys/un.h>

/* BAR2 is 64 bits wide, and BAR3 its upper half. */
#define BAR_REGISTERS 0
#define BAR_WINDOW 2
#define BAR_MSIX 4

/* Vector 1 + i is ring i's. */
enum {
    VECTOR_REQUEST,
    VECTOR_RING,
};

/* ---- Interrupts ---------------------------------------------------------- */

static VGPUSignals *vgpu_stub_signals(VGPUStub *s, unsigned ring)
{
    return ring == 0 ? &s->ring.signals : &s->sessions.session[ring].signals;
}

static bool vgpu_stub_wants_irq(VGPUStub *s)
{
    for (unsigned i = 0; i < s->sessions.rings; i++) {
        if (vgpu_signals_irq(vgpu_stub_signals(s, i))) {
            return true;
        }
    }
    return vgpu_mailbox_irq(&s->mailbox);
}

void vgpu_stub_update_irq(VGPUStub *s)
{
    pci_set_irq(PCI_DEVICE(s),
                !msix_enabled(PCI_DEVICE(s)) && vgpu_stub_wants_irq(s));
}

/* Something is new. Interrupts the guest if it @wants to be. */
static void vgpu_stub_interrupt(VGPUStub *s, unsigned vector, bool wants)
{
    vgpu_stub_update_irq(s);
    if (wants && msix_enabled(PCI_DEVICE(s))) {
        msix_notify(PCI_DEVICE(s), vector);
    }
}

static void vgpu_stub_mailbox_event(void *opaque)
{
    VGPUStub *s = opaque;

    vgpu_stub_interrupt(s, VECTOR_REQUEST, vgpu_mailbox_irq(&s->mailbox));
}

static void vgpu_stub_ring_event(void *opaque, unsigned vector, bool wants)
{
    vgpu_stub_interrupt(opaque, vector, wants);
}

static void vgpu_stub_update_vector(VGPUStub *s, unsigned vector)
{
    if (vector >= VECTOR_RING) {
        vgpu_signals_update(vgpu_stub_signals(s, vector - VECTOR_RING));
    }
}

static int vgpu_stub_vector_unmasked(PCIDevice *dev, unsigned vector,
                                     MSIMessage message)
{
    vgpu_stub_update_vector(VGPU_STUB(dev), vector);
    return 0;
}

static void vgpu_stub_vector_masked(PCIDevice *dev, unsigned vector)
{
    vgpu_stub_update_vector(VGPU_STUB(dev), vector);
}

/* The guest reads which messages are pending. */
static void vgpu_stub_vector_poll(PCIDevice *dev, unsigned start, unsigned end)
{
    VGPUStub *s = VGPU_STUB(dev);

    end = MIN(end, vgpu_stub_n_vectors(s));
    for (unsigned i = MAX(start, VECTOR_RING); i < end; i++) {
        vgpu_signals_poll(vgpu_stub_signals(s, i - VECTOR_RING));
    }
}

/* ---- What the link says -------------------------------------------------- */

static void vgpu_stub_complete(void *opaque, uint32_t error,
                               const uint8_t *response, uint32_t len)
{
    VGPUStub *s = opaque;

    vgpu_mailbox_complete(&s->mailbox, error, response, len);
}

static void vgpu_stub_ring_ready(void *opaque, uint32_t error)
{
    VGPUStub *s = opaque;

    vgpu_ring_ready(&s->ring, error);
}

static void vgpu_stub_ring_released(void *opaque)
{
    VGPUStub *s = opaque;

    vgpu_ring_released(&s->ring);
}

static void vgpu_stub_session_ready(void *opaque, unsigned ring, uint32_t error,
                                    uint32_t cuda_result)
{
    VGPUStub *s = opaque;

    vgpu_sessions_ready(&s->sessions, ring, error, cuda_result);
}

static void vgpu_stub_session_released(void *opaque, unsigned ring)
{
    VGPUStub *s = opaque;

    vgpu_sessions_released(&s->sessions, ring);
}

static const VGPULinkOps vgpu_stub_link_ops = {
    .complete = vgpu_stub_complete,
    .ring_ready = vgpu_stub_ring_ready,
    .ring_released = vgpu_stub_ring_released,
    .session_ready = vgpu_stub_session_ready,
    .session_released = vgpu_stub_session_released,
};

/* ---- Registers ----------------------------------------------------------- */

static uint32_t vgpu_stub_load(const VGPUStub *s, hwaddr word)
{
    if (word < VGPU_REG_EXTENSION) {
        return vgpu_mailbox_load(&s->mailbox, word);
    }
    if (!vgpu_stub_has_window(s)) {
        return 0;
    }
    return vgpu_sessions_has_word(word) ? vgpu_sessions_load(&s->sessions, word)
                                        : vgpu_ring_load(&s->ring, word);
}

static void vgpu_stub_store_mailbox(VGPUStub *s, hwaddr word, uint32_t value,
                                    uint32_t mask)
{
    bool had_irq = vgpu_mailbox_irq(&s->mailbox);

    vgpu_mailbox_store(&s->mailbox, word, value, mask);
    if (word == VGPU_REG_IRQ_CTRL || word == VGPU_REG_IRQ_STATUS) {
        vgpu_stub_interrupt(s, VECTOR_REQUEST,
                            !had_irq && vgpu_mailbox_irq(&s->mailbox));
    }
}

/*
 * Writes those bits of the word at @word, a multiple of 4, that @mask has;
 * @value has no others.
 */
static void vgpu_stub_store(VGPUStub *s, hwaddr word, uint32_t value,
                            uint32_t mask)
{
    if (word < VGPU_REG_EXTENSION) {
        vgpu_stub_store_mailbox(s, word, value, mask);
    } else if (!vgpu_stub_has_window(s)) {
        return;
    } else if (vgpu_sessions_has_word(word)) {
        vgpu_sessions_store(&s->sessions, word, value, mask);
    } else {
        vgpu_ring_store(&s->ring, word, value, mask);
    }
}

/*
 * An access of any width at any place is cut into the words that it touches.
 * Returns how many of its bytes fall into the word at @addr.
 */
static unsigned vgpu_stub_bytes_in_word(hwaddr addr, unsigned left)
{
    return MIN(4 - (addr & 3), left);
}

static uint64_t vgpu_stub_mmio_read(void *opaque, hwaddr addr, unsigned size)
{
    VGPUStub *s = opaque;
    uint64_t value = 0;
    unsigned done, n;

    s->mmio_reads++;
    for (done = 0; done < size; done += n) {
        hwaddr at = addr + done;
        unsigned shift = (at & 3) * 8;

        n = vgpu_stub_bytes_in_word(at, size - done);
        value = deposit64(value, done * 8, n * 8,
                          vgpu_stub_load(s, at & ~(hwaddr)3) >> shift);
    }
    return value;
}

static void vgpu_stub_mmio_write(void *opaque, hwaddr addr, uint64_t value,
                                 unsigned size)
{
    VGPUStub *s = opaque;
    unsigned done, n;

    s->mmio_writes++;
    for (done = 0; done < size; done += n) {
        hwaddr at = addr + done;
        unsigned shift = (at & 3) * 8;

        n = vgpu_stub_bytes_in_word(at, size - done);
        vgpu_stub_store(s, at & ~(hwaddr)3,
                        extract64(value, done * 8, n * 8) << shift,
                        MAKE_64BIT_MASK(shift, n * 8));
    }
}

static const MemoryRegionOps vgpu_stub_mmio_ops = {
    .read = vgpu_stub_mmio_read,
    .write = vgpu_stub_mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

/* ---- Reset --------------------------------------------------------------- */

static void vgpu_stub_reset(DeviceState *dev)
{
    VGPUStub *s = VGPU_STUB(dev);

    vgpu_link_reset(&s->link);
    vgpu_mailbox_reset(&s->mailbox);
    vgpu_ring_reset(&s->ring);
    vgpu_sessions_reset(&s->sessions);
    vgpu_stub_update_irq(s);
}

/* ---- The PCI device ------------------------------------------------------ */

/* Function level reset is a bit in an express device's control register. */
static void vgpu_stub_config_write(PCIDevice *dev, uint32_t address,
                                   uint32_t value, int len)
{
    VGPUStub *s = VGPU_STUB(dev);

    pci_default_write_config(dev, address, value, len);
    vgpu_stub_update_irq(s); /* MSI-X may have come or gone */
    for (unsigned i = 0; vgpu_stub_has_window(s) && i < s->sessions.rings; i++) {
        vgpu_signals_update(vgpu_stub_signals(s, i));
    }
    if (pci_is_express(dev)) {
        pcie_cap_flr_write_config(dev, address, value, len);
    }
}

static bool vgpu_stub_check_properties(VGPUStub *s, Error **errp)
{
    const char *pool = s->pool_id ? s->pool_id : "A";
    const char *priority = s->priority ? s->priority : "medium";
    int level = vgpu_priority_from_string(priority);

    if (s->sessions.rings < 1 || s->sessions.rings > VGPU_RINGS_MAX) {
        error_setg(errp, "rings must be from 1 to %u, not %" PRIu32,
                   VGPU_RINGS_MAX, s->sessions.rings);
        return false;
    }
    if (strlen(pool) != 1 || !vgpu_pool_is_valid((uint8_t)pool[0])) {
        error_setg(errp, "pool_id must be one letter from %c to %c, not '%s'",
                   VGPU_POOL_FIRST, VGPU_POOL_LAST, pool);
        return false;
    }
    if (level < 0) {
        error_setg(errp, "priority must be low, medium or high, not '%s'",
                   priority);
        return false;
    }
    if (!s->config.socket) {
        s->config.socket = g_strdup(VGPU_SOCKET_PATH);
    }
    if (s->config.socket[0] == '\0') {
        error_setg(errp, "socket must be a path, not empty");
        return false;
    }
    if (strlen(s->config.socket) >= sizeof_field(struct sockaddr_un, sun_path)) {
        error_setg(errp, "socket must be shorter than %zu bytes: '%s'",
                   sizeof_field(struct sockaddr_un, sun_path),
                   s->config.socket);
        return false;
    }

    s->config.pool_id = pool[0];
    s->config.priority = level;
    return true;
}

/* A machine may have no MSI-X; INTx serves there. */
static void vgpu_stub_realize_msix(VGPUStub *s)
{
    PCIDevice *dev = PCI_DEVICE(s);

    s->has_msix = msix_init_exclusive_bar(dev, vgpu_stub_n_vectors(s), BAR_MSIX,
                                          NULL) == 0;
    if (!s->has_msix) {
        return;
    }
    for (unsigned i = 0; i < vgpu_stub_n_vectors(s); i++) {
        msix_vector_use(dev, i);
    }
    msix_set_vector_notifiers(dev, vgpu_stub_vector_unmasked,
                              vgpu_stub_vector_masked, vgpu_stub_vector_poll);
}

/* Makes the window, and what needs it. */
static bool vgpu_stub_realize_window(VGPUStub *s, Error **errp)
{
    PCIDevice *dev = PCI_DEVICE(s);
    uint32_t features = VGPU_EXT_FEATURE_WINDOW | VGPU_EXT_FEATURE_RING;

    if (!vgpu_window_init(&s->window, DEVICE(s), errp)) {
        return false;
    }
    pci_register_bar(dev, BAR_WINDOW,
                     PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->window.region);

    vgpu_signals_init(&s->ring.signals, dev, &s->bar0, 0, vgpu_stub_ring_event,
                      s);
    vgpu_stub_realize_msix(s);
    features |= s->has_msix ? VGPU_EXT_FEATURE_MSIX : 0;
    s->config.features |= VGPU_FEATURE_RING;
    if (s->sessions.rings > 1) {
        features |= VGPU_EXT_FEATURE_SESSIONS;
        s->config.features |= VGPU_FEATURE_SESSIONS;
    }
    vgpu_ring_init(&s->ring, &s->link, &s->window, features);
    vgpu_sessions_init(&s->sessions, dev, &s->bar0, &s->link, &s->window,
                       vgpu_stub_ring_event, s);
    return true;
}

static void vgpu_stub_realize(PCIDevice *dev, Error **errp)
{
    VGPUStub *s = VGPU_STUB(dev);

    if (!vgpu_stub_check_properties(s, errp)) {
        return;
    }
    if (qemu_uuid_is_null(&s->config.uuid) && qemu_uuid_set) {
        s->config.uuid = qemu_uuid;
    }
    if (pci_is_express(dev)) {
        if (pcie_endpoint_cap_init(dev, 0) < 0) {
            error_setg(errp, "cannot add the PCI Express capability");
            return;
        }
        pcie_cap_flr_init(dev);
    }

    pci_config_set_interrupt_pin(dev->config, 1);
    memory_region_init_io(&s->bar0, OBJECT(s), &vgpu_stub_mmio_ops, s,
                          TYPE_VGPU_STUB, VGPU_BAR0_SIZE);
    pci_register_bar(dev, BAR_REGISTERS, PCI_BASE_ADDRESS_SPACE_MEMORY,
                     &s->bar0);
    if (vgpu_stub_has_window(s) && !vgpu_stub_realize_window(s, errp)) {
        return;
    }

    s->config.name = dev->qdev.id ? g_strdup(dev->qdev.id)
                                  : object_get_canonical_path(OBJECT(s));
    vgpu_link_init(&s->link, &s->config, &vgpu_stub_link_ops, s);
    vgpu_mailbox_init(&s->mailbox, &s->link, vgpu_stub_mailbox_event, s);
}

static void vgpu_stub_exit(PCIDevice *dev)
{
    VGPUStub *s = VGPU_STUB(dev);

    vgpu_link_cleanup(&s->link);
    if (vgpu_stub_has_window(s)) {
        vgpu_signals_close(&s->ring.signals);
        vgpu_sessions_reset(&s->sessions);
        vgpu_window_cleanup(&s->window, DEVICE(s));
        if (s->has_msix) {
            msix_unset_vector_notifiers(dev);
            msix_uninit_exclusive_bar(dev);
        }
    }
    g_free(s->config.name);
    s->config.name = NULL;
}

/*
 * QEMU chooses the size of the configuration space before vgpu_stub_realize(),
 * so this is the place to say that the device is an express one.
 */
static void vgpu_stub_device_realize(DeviceState *dev, Error **errp)
{
    PCIDevice *pci = PCI_DEVICE(dev);

    if (pci_bus_is_express(pci_get_bus(pci))) {
        pci->cap_present |= QEMU_PCI_CAP_EXPRESS;
    }
    VGPU_STUB_GET_CLASS(dev)->parent_realize(dev, errp);
}

static void vgpu_stub_instance_init(Object *obj)
{
    VGPUStub *s = VGPU_STUB(obj);

    object_property_add_uint64_ptr(obj, "mmio-reads", &s->mmio_reads,
                                   OBJ_PROP_FLAG_READ);
    object_property_add_uint64_ptr(obj, "mmio-writes", &s->mmio_writes,
                                   OBJ_PROP_FLAG_READ);
}

VGPU_PROPERTY_LIST vgpu_stub_properties[] = {
    DEFINE_PROP_STRING("pool_id", VGPUStub, pool_id),
    DEFINE_PROP_STRING("priority", VGPUStub, priority),
    DEFINE_PROP_UINT32("vm_id", VGPUStub, config.vm_id, 0),
    DEFINE_PROP_UUID_NODEFAULT("uuid", VGPUStub, config.uuid),
    DEFINE_PROP_STRING("socket", VGPUStub, config.socket),
    DEFINE_PROP_UINT32("reconnect-timeout", VGPUStub, config.timeout_s, 10),
    DEFINE_PROP_SIZE("window-size", VGPUStub, window.size,
                     VGPU_WINDOW_SIZE_DEFAULT),
    DEFINE_PROP_BOOL("hugepages", VGPUStub, window.hugepages, false),
    DEFINE_PROP_UINT32("rings", VGPUStub, sessions.rings, VGPU_RINGS_MAX),
    VGPU_PROPERTY_END
};

static void vgpu_stub_class_init(ObjectClass *class, VGPU_CLASS_DATA *data)
{
    DeviceClass *dc = DEVICE_CLASS(class);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(class);

    k->realize = vgpu_stub_realize;
    k->exit = vgpu_stub_exit;
    k->config_write = vgpu_stub_config_write;
    k->vendor_id = VGPU_PCI_VENDOR_ID;
    k->device_id = VGPU_PCI_DEVICE_ID;
    k->class_id = VGPU_PCI_CLASS;
    k->revision = VGPU_PCI_REVISION;

    dc->desc = "GPU of the host through vgpu-mediator";
    dc->vmsd = &vgpu_stub_vmstate;
    /*
     * On an i440FX machine, and behind a port, the guest can eject what can be
     * plugged. It would lose its GPU until QEMU is started anew.
     */
    dc->hotpluggable = false;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_props(dc, vgpu_stub_properties);
    device_class_set_parent_realize(dc, vgpu_stub_device_realize,
                                    &VGPU_STUB_CLASS(class)->parent_realize);
    vgpu_compat_set_reset(dc, vgpu_stub_reset);
}

static const TypeInfo vgpu_stub_info = {
    .name = TYPE_VGPU_STUB,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(VGPUStub),
    .instance_init = vgpu_stub_instance_init,
    .class_size = sizeof(VGPUStubClass),
    .class_init = vgpu_stub_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { }
    },
};

void vgpu_stub_register_types(void)
{
    type_register_static(&vgpu_stub_info);
}

#ifndef VGPU_STUB_PLUGIN
type_init(vgpu_stub_register_types)
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz-target.h"

#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

Target *target_open(const char *options)
{
    Target *t = calloc(1, sizeof(*t));
    char device[128];
    QTest *q;

    if (!t)
        abort();
    snprintf(device, sizeof(device), "vgpu-stub,id=gpu,addr=3,socket=mediator.sock,%s", options);
    q = qtest_start((const char *const[]){"-machine", "q35", "-device", device, NULL});
    if (!device_find(q, 0, &t->device))
        abort();
    device_map_window(&t->device);
    hostile_init(&t->mediator, qtest_directory(q));
    return t;
}

void target_close(Target *t)
{
    if (!t)
        return;
    hostile_vanish(&t->mediator);
    qtest_stop(t->device.qtest);
    free(t);
}

void target_set_stopped(Target *t, bool stopped)
{
    if (t->stopped != stopped)
        qtest_qmp_ok(t->device.qtest, "{\"execute\": \"%s\"}", stopped ? "stop" : "cont");
    t->stopped = stopped;
}

void target_system_reset(Target *t)
{
    if (t->stopped)
        return; /* QEMU would do it, and report it, only when the machine goes on */
    qtest_system_reset(t->device.qtest);
    device_enable(&t->device);
}

void target_synchronize(Target *t)
{
    qtest_synchronize(t->device.qtest);
}

void target_write_config(Target *t, FuzzInput *in)
{
    uint8_t offset = input_take8(in);

    pci_write32(t->device.qtest, 0, t->device.slot, offset, input_take32(in));
}

void target_access_registers(Target *t, FuzzInput *in, bool store)
{
    unsigned size = 1u << (input_take8(in) % 4);
    uint64_t address = DEVICE_BAR0 + input_take16(in) % (VGPU_BAR0_SIZE - size + 1);

    if (store) {
        uint64_t low = input_take32(in);

        qtest_write(t->device.qtest, address, size, low | (uint64_t) input_take32(in) << 32);
    } else {
        qtest_read(t->device.qtest, address, size);
    }
}

void target_start_ring(Target *t, FuzzInput *in)
{
    device_ring_place(&t->device, input_take8(in) * 4096u,
                      input_take8(in) % 8 ? 64 : input_take8(in));
    if (input_take8(in) % 8 == 0)
        device_write(&t->device, VGPU_REG_RING_OFFSET_LO, input_take32(in));
    device_write(&t->device, VGPU_REG_RING_CTRL, 1);
}

/* A device that was reset, and a mediator that listens */
static void target_renew(Target *t)
{
    target_set_stopped(t, false);
    hostile_vanish(&t->mediator);
    hostile_listen(&t->mediator);
    device_enable(&t->device);
    device_reset(&t->device);
    device_enable(&t->device);
    device_map_window(&t->device);
}

void target_bring_up_ring(Target *t)
{
    const VGPUWelcome welcome = {.features = VGPU_FEATURE_RING};
    const VGPURingReady ready = {.error = VGPU_ERROR_NONE};
    const VGPUSocketHeader welcome_header = wire_header(VGPU_MSG_WELCOME, 0, 0, 0, sizeof(welcome));
    const VGPUSocketHeader ready_header = wire_header(VGPU_MSG_RING_READY, 0, 0, 0, sizeof(ready));

    target_renew(t);
    device_ring_start(&t->device);
    hostile_accept(&t->mediator);
    if (t->mediator.peer < 0)
        return;
    (void) !wire_send(t->mediator.peer, &welcome_header, &welcome);
    target_synchronize(t);
    hostile_read(&t->mediator);
    (void) !wire_send(t->mediator.peer, &ready_header, &ready);
    target_synchronize(t);
}

void target_access_extension(Target *t, FuzzInput *in)
{
    static const uint16_t regs[] = {
        VGPU_REG_RING_OFFSET_LO, VGPU_REG_RING_ENTRIES,    VGPU_REG_RING_CTRL,
        VGPU_REG_RING_IRQ_CTRL,  VGPU_REG_RING_IRQ_STATUS, VGPU_REG_RING_DOORBELL,
        VGPU_REG_RING_DOORBELL,  VGPU_REG_RING_DOORBELL,
    };
    unsigned size = 1u << (input_take8(in) % 4);
    uint32_t at = regs[input_take8(in) % 8] + (input_take8(in) % 4 ? 0 : input_take8(in) % 4);

    qtest_write(t->device.qtest, DEVICE_BAR0 + at, size,
                input_take8(in) % 4 ? input_take8(in) % 2 : input_take32(in));
}

static uint32_t choose_session(FuzzInput *in)
{
    return 1 + input_take8(in) % (VGPU_RINGS_MAX - 1);
}

void target_access_session(Target *t, FuzzInput *in)
{
    unsigned size = 1u << (input_take8(in) % 4);
    uint32_t ring = choose_session(in), reg = input_take8(in) % VGPU_SESSION_REG_STRIDE;
    uint32_t at =
        input_take8(in) % 4 ? vgpu_session_register(ring, reg & ~3u) : vgpu_ring_doorbell(ring);

    at += input_take8(in) % 4 ? 0 : reg % 4;
    qtest_write(t->device.qtest, DEVICE_BAR0 + at, size,
                input_take8(in) % 4 ? input_take8(in) % 2 : input_take32(in));
    qtest_read(t->device.qtest, DEVICE_BAR0 + at, size);
}

void target_start_session(Target *t, FuzzInput *in)
{
    uint32_t ring = choose_session(in);

    device_write(&t->device, vgpu_session_register(ring, VGPU_SESSION_REG_OFFSET_LO),
                 input_take8(in) % 8 ? input_take8(in) * 4096u : input_take32(in));
    device_write(&t->device, vgpu_session_register(ring, VGPU_SESSION_REG_CTRL), 1);
}

void target_bring_up_sessions(Target *t)
{
    const VGPUWelcome welcome = {.features = VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS};
    const VGPUSocketHeader welcome_header = wire_header(VGPU_MSG_WELCOME, 0, 0, 0, sizeof(welcome));

    target_renew(t);
    for (uint32_t ring = 1; ring <= 3; ring++) {
        device_write(&t->device, vgpu_session_register(ring, VGPU_SESSION_REG_OFFSET_LO), 0x1000);
        device_write(&t->device, vgpu_session_register(ring, VGPU_SESSION_REG_IRQ_CTRL), 1);
        device_write(&t->device, vgpu_session_register(ring, VGPU_SESSION_REG_CTRL), 1);
    }
    hostile_accept(&t->mediator);
    if (t->mediator.peer < 0)
        return;
    (void) !wire_send(t->mediator.peer, &welcome_header, &welcome);
    target_synchronize(t);
    for (uint32_t ring = 1; ring <= 3; ring++) {
        const VGPUSessionReady ready = {.ring = ring};
        const VGPUSocketHeader header = wire_header(VGPU_MSG_SESSION_READY, 0, 0, 0, sizeof(ready));

        hostile_read(&t->mediator);
        (void) !wire_send(t->mediator.peer, &header, &ready);
    }
    target_synchronize(t);
}

void target_access_other_bars(Target *t, FuzzInput *in)
{
    unsigned size = 1u << (input_take8(in) % 4);
    uint64_t address = input_take8(in) % 2 ? DEVICE_BAR2 + input_take16(in) * 256
                                           : DEVICE_BAR4 + input_take16(in) % 4096 / 8 * 8;

    qtest_write(t->device.qtest, address, size, input_take8(in) % 2 ? 0x200000 : input_take32(in));
    qtest_read(t->device.qtest, address, size);
}

void target_switch_msix(Target *t, FuzzInput *in)
{
    uint8_t at = pci_capability(t->device.qtest, 0, t->device.slot, PCI_CAP_ID_MSIX);
    uint32_t flags = input_take8(in) % 3 ? PCI_MSIX_FLAGS_ENABLE : input_take16(in);

    if (at != 0)
        pci_write32(t->device.qtest, 0, t->device.slot, at, flags << 16);
}

void target_fill_request(Target *t, FuzzInput *in)
{
    uint8_t bytes[VGPU_REQUEST_MAX];
    size_t size = 1 + input_take_length(in, VGPU_REQUEST_MAX);

    memset(bytes, input_take8(in), sizeof(bytes));
    qtest_write_buffer(t->device.qtest, DEVICE_BAR0 + VGPU_REG_REQUEST, bytes, size);
}

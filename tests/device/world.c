/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void world_open_args(World *w, uint8_t bus, const char *const *args)
{
    memset(w, 0, sizeof(*w));
    w->qtest = qtest_start(args);
    fake_listen(&w->mediator, qtest_directory(w->qtest));
    if (bus != 0)
        pci_open_bridge(w->qtest, 4);
    if (!device_find(w->qtest, bus, &w->device))
        fail_msg("the device is not on bus %d", bus);
}

void world_open(World *w, const char *options)
{
    char device[256];

    snprintf(device, sizeof(device), "vgpu-stub,id=gpu,addr=3,socket=mediator.sock%s", options);
    world_open_args(w, 0, (const char *const[]){"-machine", "q35", "-device", device, NULL});
}

void world_open_port(World *w, const char *options)
{
    char device[256];

    snprintf(device, sizeof(device), "vgpu-stub,id=gpu,bus=rp,socket=mediator.sock%s", options);
    world_open_args(w, 1,
                    (const char *const[]){"-machine", "q35", "-device",
                                          "pcie-root-port,id=rp,addr=4,chassis=1", "-device",
                                          device, NULL});
}

void world_system_reset(World *w)
{
    qtest_qmp_ok(w->qtest, "{\"execute\": \"system_reset\"}");
    qtest_wait_event(w->qtest, "RESET", "");
    if (w->device.bus != 0)
        pci_open_bridge(w->qtest, 4);
}

void world_function_level_reset(World *w)
{
    device_reset(&w->device);
}

void world_hot_reset(World *w)
{
    uint32_t control = pci_read32(w->qtest, 0, 4, PCI_INTERRUPT_LINE);

    pci_write32(w->qtest, 0, 4, PCI_INTERRUPT_LINE, control | PCI_BRIDGE_CTL_BUS_RESET << 16);
    pci_write32(w->qtest, 0, 4, PCI_INTERRUPT_LINE, control);
}

void world_close(World *w)
{
    fake_stop(&w->mediator);
    qtest_stop(w->qtest);
}

static int setup(void **state, const char *options)
{
    World *w = malloc(sizeof(*w));

    if (!w)
        return -1;
    world_open(w, options);
    *state = w;
    return 0;
}

int world_setup(void **state)
{
    return setup(state, "");
}

int world_setup_impatient(void **state)
{
    return setup(state, ",reconnect-timeout=1");
}

int world_teardown(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

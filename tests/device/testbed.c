/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testbed.h"

#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void testbed_open_args(Testbed *t, uint8_t bus, const char *const *args)
{
    memset(t, 0, sizeof(*t));
    t->qtest = qtest_start(args);
    fake_listen(&t->mediator, qtest_directory(t->qtest));
    if (bus != 0)
        pci_open_bridge(t->qtest, 4);
    if (!device_find(t->qtest, bus, &t->device))
        fail_msg("the device is not on bus %d", bus);
}

void testbed_open(Testbed *t, const char *options)
{
    char device[256];

    snprintf(device, sizeof(device), "vgpu-stub,id=gpu,addr=3,socket=mediator.sock%s", options);
    testbed_open_args(t, 0, (const char *const[]){"-machine", "q35", "-device", device, NULL});
}

void testbed_open_port(Testbed *t, const char *options)
{
    char device[256];

    snprintf(device, sizeof(device), "vgpu-stub,id=gpu,bus=rp,socket=mediator.sock%s", options);
    testbed_open_args(t, 1,
                      (const char *const[]){"-machine", "q35", "-device",
                                            "pcie-root-port,id=rp,addr=4,chassis=1", "-device",
                                            device, NULL});
}

void testbed_system_reset(Testbed *t)
{
    qtest_qmp_ok(t->qtest, "{\"execute\": \"system_reset\"}");
    qtest_wait_event(t->qtest, "RESET", "");
    if (t->device.bus != 0)
        pci_open_bridge(t->qtest, 4);
}

void testbed_function_level_reset(Testbed *t)
{
    device_reset(&t->device);
}

void testbed_hot_reset(Testbed *t)
{
    uint32_t control = pci_read32(t->qtest, 0, 4, PCI_INTERRUPT_LINE);

    pci_write32(t->qtest, 0, 4, PCI_INTERRUPT_LINE, control | PCI_BRIDGE_CTL_BUS_RESET << 16);
    pci_write32(t->qtest, 0, 4, PCI_INTERRUPT_LINE, control);
}

void testbed_close(Testbed *t)
{
    fake_stop(&t->mediator);
    qtest_stop(t->qtest);
}

static int setup(void **state, const char *options)
{
    Testbed *t = malloc(sizeof(*t));

    if (!t)
        return -1;
    testbed_open(t, options);
    *state = t;
    return 0;
}

int testbed_setup(void **state)
{
    return setup(state, "");
}

int testbed_setup_impatient(void **state)
{
    return setup(state, ",reconnect-timeout=1");
}

int testbed_teardown(void **state)
{
    testbed_close(*state);
    free(*state);
    return 0;
}

int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

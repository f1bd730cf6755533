/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testbed.h"

#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>

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

void testbed_open_pc(Testbed *t)
{
    testbed_open_args(t, 0,
                      (const char *const[]){"-machine", "pc", "-device",
                                            "vgpu-stub,id=gpu,addr=3,socket=mediator.sock", NULL});
}

void testbed_listen(Testbed *t)
{
    fake_listen(&t->mediator, qtest_directory(t->qtest));
}

void testbed_submit_and_take(Testbed *t, uint32_t id)
{
    device_submit_add(&t->device, id, 100, 200);
    if (t->mediator.peer < 0)
        fake_accept(&t->mediator, NULL);
    fake_expect_request(&t->mediator, id, NULL);
}

void testbed_serve_add(Testbed *t, uint32_t id)
{
    fake_serve_add(&t->mediator, id);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
}

void testbed_system_reset(Testbed *t)
{
    qtest_system_reset(t->qtest);
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
    fake_close_rings(&t->mediator);
    fake_stop(&t->mediator);
    qtest_stop(t->qtest);
}

static Testbed *testbed_new(void)
{
    Testbed *t = malloc(sizeof(*t));

    assert_non_null(t);
    return t;
}

int testbed_setup(void **state)
{
    const char *options = *state;
    Testbed *t = testbed_new();

    testbed_open(t, options ? options : "");
    *state = t;
    return 0;
}

int testbed_setup_port(void **state)
{
    Testbed *t = testbed_new();

    testbed_open_port(t, "");
    *state = t;
    return 0;
}

int testbed_setup_pc(void **state)
{
    Testbed *t = testbed_new();

    testbed_open_pc(t);
    *state = t;
    return 0;
}

int testbed_teardown(void **state)
{
    testbed_close(*state);
    free(*state);
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "migration-stream.h"

#define VECTOR_RING 1

static_assert(offsetof(GuestState, starts) == GUEST_STARTS - GUEST_STATE, "guest.S");
static_assert(offsetof(GuestState, interrupts) == GUEST_INTERRUPTS - GUEST_STATE, "guest.S");
static_assert(offsetof(GuestState, kicks) == GUEST_KICKS - GUEST_STATE, "guest.S");
static_assert(offsetof(GuestState, address) == GUEST_ADDRESS - GUEST_STATE, "guest.S");
static_assert(offsetof(GuestState, writes) == GUEST_WRITES - GUEST_STATE, "guest.S");

extern const uint8_t guest_firmware[GUEST_FIRMWARE_SIZE];

static void map_state(Guest *g)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/ram", qtest_directory(g->testbed.qtest));
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    g->state = mmap(NULL, sizeof(*g->state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, GUEST_STATE);
    assert_true(g->state != MAP_FAILED);
    close(fd);
}

static void start(Guest *g, const char *accel, const char *machine, const char *const *more)
{
    char type[64];
    const char *args[16] = {
        "-machine", type,
        "-object",  "memory-backend-file,id=ram,size=16M,mem-path=ram,share=on",
        "-device",  "vgpu-stub,id=gpu,addr=3,socket=mediator.sock",
    };

    snprintf(type, sizeof(type), "%s,memory-backend=ram", machine);
    for (int n = 6; *more; n++)
        args[n] = *more++;
    memset(g, 0, sizeof(*g));
    g->testbed.qtest = qtest_start_firmware(accel, guest_firmware, sizeof(guest_firmware), args);
    fake_listen(&g->testbed.mediator, qtest_directory(g->testbed.qtest));
    map_state(g);
}

void guest_open(Guest *g, const char *accel, const char *machine)
{
    start(g, accel, machine, (const char *const[]){NULL});
    guest_wait(&g->state->starts, 1);
    assert_true(device_find(g->testbed.qtest, 0, &g->testbed.device));
    guest_set_up_device(g);
}

void guest_migrate(Guest *from, Guest *to)
{
    char path[] = STREAM_FILE;

    stream_save_new(&from->testbed, path);
    start(to, "kvm", "q35", (const char *const[]){"-incoming", "defer", NULL});
    memcpy(to->seen, from->seen, sizeof(to->seen));
    stream_receive(&to->testbed, path);
    unlink(path);
}

void guest_close(Guest *g)
{
    munmap(g->state, sizeof(*g->state));
    testbed_close(&g->testbed);
}

void guest_set_vector(Guest *g, uint32_t interrupt, bool masked)
{
    msix_set_vector(&g->testbed.device, VECTOR_RING, GUEST_APIC, interrupt, masked);
}

void guest_set_up_device(Guest *g)
{
    device_enable(&g->testbed.device);
    device_map_window(&g->testbed.device);
    msix_write_flags(&g->testbed.device, PCI_MSIX_FLAGS_ENABLE);
    guest_set_vector(g, GUEST_VECTOR, false);
}

void guest_wait(const _Atomic uint32_t *value, uint32_t wanted)
{
    int64_t begin = now_ms();

    while (*value != wanted) {
        if (now_ms() - begin > QTEST_TIMEOUT_MSEC)
            fail_msg("the guest has counted to %u, not to %u", *value, wanted);
        sched_yield();
    }
}

void guest_kick(Guest *g)
{
    uint32_t kicks = g->state->kicks;

    qtest_write(g->testbed.qtest, GUEST_APIC, 4, GUEST_KICK);
    guest_wait(&g->state->kicks, kicks + 1);
}

void guest_wait_interrupt(Guest *g, unsigned i)
{
    guest_wait(&g->state->interrupts[i], ++g->seen[i]);
}

void guest_expect_no_interrupt(Guest *g)
{
    guest_kick(g);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(g->state->interrupts[i], g->seen[i]);
}

FakeRing *guest_ring_open(Guest *g)
{
    FakeMediator *m = &g->testbed.mediator;

    device_ring_start(&g->testbed.device);
    if (m->peer < 0)
        fake_accept_setup(m);
    else
        fake_expect_setup(m);
    fake_ready(m, VGPU_ERROR_NONE);
    guest_wait_interrupt(g, 0);
    assert_int_equal(ring_state(&g->testbed), VGPU_RING_ON);
    return m->ring;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ring-peer.h"
#include "test.h"

int ring_hello(uint32_t vm_id, uint8_t priority)
{
    const VGPUHello hello = {.features = VGPU_FEATURE_RING};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, vm_id, 70, priority, sizeof(hello));
    VGPUWelcome welcome;
    WireMessage m;
    int fd = dial();

    assert_true(wire_send(fd, &h, &hello));
    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_WELCOME);
    memcpy(&welcome, m.payload, sizeof(welcome));
    assert_int_equal(welcome.features, VGPU_FEATURE_RING);
    return fd;
}

void ring_turn_on(const RingGuest *g, int fd)
{
    assert_true(ring_guest_setup(g, fd, RING_SETUP_ID, VGPU_RING_N_FDS));
    expect_ready(fd, VGPU_ERROR_NONE);
}

void ring_turn_off(int fd)
{
    ring_off(fd);
    expect_stopped(fd);
}

int ring_again(const RingGuest *g)
{
    int fd = ring_hello(5, VGPU_PRIORITY_LOW);

    ring_turn_on(g, fd);
    return fd;
}

int ring_up(RingGuest *g, uint32_t entries, uint32_t begin)
{
    assert_int_equal(ring_guest_open(g, RING_WINDOW, 0, entries, begin), 0);
    return ring_again(g);
}

void ring_down(RingGuest *g, int fd)
{
    close(fd);
    ring_guest_close(g);
}

void expect_ready(int fd, uint32_t error)
{
    VGPURingReady ready;
    WireMessage m;

    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_RING_READY);
    assert_int_equal(m.header.request_id, RING_SETUP_ID);
    memcpy(&ready, m.payload, sizeof(ready));
    assert_int_equal(ready.error, error);
}

void ring_off(int fd)
{
    VGPUSocketHeader h = wire_header(VGPU_MSG_RING_OFF, 5, 72, 0, 0);

    assert_true(wire_send(fd, &h, NULL));
}

void expect_stopped(int fd)
{
    WireMessage m;

    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_RING_STOPPED);
    assert_int_equal(m.header.request_id, 72);
}

VGPUCompletion expect_completion(RingGuest *g, uint32_t status)
{
    VGPUCompletion c;

    assert_true(ring_guest_wait(g, &c, WIRE_TIMEOUT_MSEC));
    assert_int_equal(c.status, status);
    return c;
}

void expect_tag(RingGuest *g, uint64_t tag)
{
    assert_int_equal(expect_completion(g, VGPU_ERROR_NONE).tag, tag);
}

void expect_tags(RingGuest *g, uint64_t tag, unsigned n)
{
    for (; n > 0; n--)
        expect_tag(g, tag++);
}

bool ring_publish_nops(RingGuest *g, uint64_t tag, unsigned n)
{
    for (; n > 0; n--) {
        const VGPUSubmission nop = ring_guest_nop(tag++);

        ring_guest_fill(g, &nop);
    }
    return ring_guest_publish(g);
}

void expect_ring_works(RingGuest *g)
{
    const VGPUSubmission nop = ring_guest_nop(0xabcdef);

    ring_guest_submit(g, &nop);
    expect_tag(g, nop.tag);
}

void ring_wait_first_taken(const RingGuest *g)
{
    time_t end = time(NULL) + WIRE_TIMEOUT_MSEC / 1000;

    while (__atomic_load_n(&g->submissions[0].state, __ATOMIC_ACQUIRE) != VGPU_ENTRY_STARTED) {
        assert_true(time(NULL) < end);
        sched_yield();
    }
}

void ring_wait_taken(const RingGuest *g)
{
    time_t end = time(NULL) + WIRE_TIMEOUT_MSEC / 1000;

    while (__atomic_load_n(&g->header->sq_event, __ATOMIC_ACQUIRE) != g->sq_tail) {
        assert_true(time(NULL) < end);
        sched_yield();
    }
}

unsigned count_fds(pid_t pid)
{
    struct dirent *entry;
    char path[40];
    unsigned n = 0;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
    d = opendir(path);
    assert_non_null(d);
    while ((entry = readdir(d)))
        if (entry->d_name[0] != '.')
            n++;
    closedir(d);
    return n;
}
